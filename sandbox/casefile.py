"""A case as evidence: all that a verdict rests on in one file, from which anybody can come to the same verdict again.

In and out: a `CaseFile`, and octets.  The file is a ZIP archive (APPNOTE 6.3.10) that `unzip` opens: ``plant.yaml`` (the model's source),
``snapshot.bin`` (the state it was judged from), ``case.json`` (command with its octets, what was known around it, the court's terms),
``verdict.json``, and, where it was sealed, ``signature.der`` and ``signer.pem``.  Equal cases give equal octets: entries stand in a fixed
order, uncompressed, without times.  What comes back is treated as hostile: bounded, checked against its types, else `CodecError`.
"""

import io
import zipfile
from dataclasses import dataclass, replace

from sandbox.config import Thresholds
from sandbox.judge import hearing
from sandbox.protocol import Context, Request
from sandbox.replay import Replay
from sentinel.errors import InputError
from sentinel.model.codec import CodecError, from_json, to_json
from sentinel.model.command import Command
from sentinel.model.ids import Digest, digest
from sentinel.model.verdict import Verdict
from sentinel.twin.engine import compile_model
from sentinel.twin.plant import load_plant
from sentinel.twin.snapshot import Snapshot

PLANT, SNAPSHOT, CASE, VERDICT = "plant.yaml", "snapshot.bin", "case.json", "verdict.json"
SIGNATURE, SIGNER = "signature.der", "signer.pem"
_STATED = (PLANT, SNAPSHOT, CASE, VERDICT)
MAX_OCTETS = 32 * 1024 * 1024  # a snapshot of 4096 members stays below half of it
_BEGINNING = (1980, 1, 1, 0, 0, 0)  # the earliest time that a ZIP archive can say


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """By which the court judged."""

    members: int
    horizon_s: float
    seed: int = 0
    thresholds: Thresholds = Thresholds()


@dataclass(frozen=True, slots=True, kw_only=True)
class Stated:
    """``case.json``."""

    command: Command
    context: Context
    terms: Terms


@dataclass(frozen=True, slots=True, kw_only=True)
class Seal:
    """``signature``: over `CaseFile.statement`.  ``signer``: certificates, PEM, the signer's own first."""

    signature: bytes
    signer: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseFile:
    plant: str
    snapshot: Snapshot
    stated: Stated
    verdict: Verdict
    seal: Seal | None = None

    @property
    def statement(self) -> bytes:
        """What a seal signs: the digest of every entry under its name."""
        named = [part for name, octets in self._entries() for part in (name, octets)]
        return f"sentinel case 1 {digest(*named)}".encode()

    def to_octets(self) -> bytes:
        sealed = ((SIGNATURE, self.seal.signature), (SIGNER, self.seal.signer)) if self.seal else ()
        target = io.BytesIO()
        with zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as archive:
            for name, octets in (*self._entries(), *sealed):
                archive.writestr(zipfile.ZipInfo(name, _BEGINNING), octets)
        return target.getvalue()

    def _entries(self) -> tuple[tuple[str, bytes], ...]:
        return (
            (PLANT, self.plant.encode()),
            (SNAPSHOT, self.snapshot.to_octets()),
            (CASE, to_json(self.stated)),
            (VERDICT, to_json(self.verdict)),
        )

    @staticmethod
    def from_octets(octets: bytes) -> "CaseFile":
        found = _unpacked(octets)
        sealed = SIGNATURE in found or SIGNER in found
        missing = [name for name in (*_STATED, *((SIGNATURE, SIGNER) if sealed else ())) if name not in found]
        if missing:
            raise CodecError(f"case: {', '.join(missing)} is missing")
        try:
            plant = found[PLANT].decode()
        except UnicodeDecodeError as error:
            raise CodecError(f"case: {PLANT} is not UTF-8") from error
        return CaseFile(
            plant=plant,
            snapshot=Snapshot.from_octets(found[SNAPSHOT]),
            stated=from_json(Stated, found[CASE]),
            verdict=from_json(Verdict, found[VERDICT]),
            seal=Seal(signature=found[SIGNATURE], signer=found[SIGNER]) if sealed else None,
        )


def _unpacked(octets: bytes) -> dict[str, bytes]:
    if len(octets) > MAX_OCTETS:
        raise CodecError(f"case: {len(octets)} octets, at most {MAX_OCTETS} are read")
    found: dict[str, bytes] = {}
    try:
        with zipfile.ZipFile(io.BytesIO(octets)) as archive:
            for entry in archive.infolist():
                if entry.filename not in (*_STATED, SIGNATURE, SIGNER) or entry.filename in found:
                    raise CodecError(f"case: {entry.filename[:64]!r} does not belong there, or stands there twice")
                if entry.compress_type != zipfile.ZIP_STORED:  # so that a small file cannot become a large one
                    raise CodecError(f"case: {entry.filename} is compressed")
                found[entry.filename] = archive.read(entry)
    except (zipfile.BadZipFile, ValueError, NotImplementedError, RuntimeError, EOFError, OSError) as error:
        if isinstance(error, CodecError):
            raise
        raise CodecError(f"case: not a whole ZIP archive: {error}") from error
    return found


def rerun(case: CaseFile) -> Verdict:
    """The verdict that the case's own plant, snapshot, command and terms lead to, here and now.

    It equals the stated one to the last bit, apart from how long it took; one that the court did not complete, in what it does say.
    Raises InputError when snapshot or verdict are of another model than the plant in the file, `ConfigError` when it cannot be read.
    """
    model, terms, verdict = compile_model(load_plant(case.plant)), case.stated.terms, case.verdict
    for what, named in (("snapshot", case.snapshot.digest), ("verdict", verdict.model)):
        if named != model.digest:
            raise InputError(f"the {what} is of model {_short(named)}, {PLANT} gives {_short(model.digest)}")
    replay = Replay(model=model, members=terms.members, horizon_s=terms.horizon_s)
    if objection := replay.objection(case.snapshot):
        raise InputError(objection)
    stated = case.stated
    if verdict.refers is not None:
        from sandbox.emulators import case as wire  # pymodbus is loaded where a kept replay is read, and not by every brain

        asked = Request(command=stated.command, snapshot=case.snapshot.fingerprint(), context=stated.context, refers=verdict.refers)
        if objection := wire.objection(stated.command):
            raise InputError(objection)
        scene = wire.Scene(snapshot=case.snapshot, values=wire.image(replay, case.snapshot), replay=replay)
        return replace(wire.rehear(asked, scene, terms.thresholds, terms.seed, verdict.judged), took_ms=verdict.took_ms)
    again: Verdict | None = None
    for again in hearing(stated.command, case.snapshot, replay, stated.context, terms.thresholds, terms.seed, verdict.judged):
        if again is not None and again.complete == verdict.complete:
            break
    assert again is not None
    return replace(again, took_ms=verdict.took_ms)


def _short(model: Digest | None) -> str:
    return model[:16] if model else "none"
