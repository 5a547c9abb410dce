"""A baseline at rest: one ``.npz`` file with a JSON manifest; no pickle, and a digest over all of it.

The learnt state of every detector is a mapping of names to arrays or JSON values.  Equal baselines give equal octets.  Anything else
than such a file, and any change of what it holds, is an `InputError`.  The digest finds damage; it is no signature: whoever may write the
file may write another.  A seal (`anchor`) may lie in the same file, so that both are replaced at once; the digest does not cover it.
"""

import io
import json
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from sentinel.durable import write_whole
from sentinel.errors import InputError
from sentinel.model.columns import Array
from sentinel.model.ids import Digest, digest

FORMAT = "sentinel-baseline"
VERSION = 1
MAX_OCTETS = 1 << 30  # unpacked; a baseline of a large plant is some tens of megabytes
_MANIFEST, _SEAL = "manifest", "seal"
_READABLE = 0o644  # carried from site to site by hand
_EPOCH = (1980, 1, 1, 0, 0, 0)  # the zip format's own zero, so that equal content gives equal files


@dataclass(frozen=True, slots=True, kw_only=True)
class Baseline:
    """``learnt_from`` and ``learnt_until`` are the packet times covered, ns UTC; ``windows`` counts the seconds that taught something."""

    detectors: Mapping[str, Mapping[str, Any]]
    sources: tuple[str, ...] = ()
    learnt_from: int = 0
    learnt_until: int = 0
    windows: int = 0
    notes: Mapping[str, Any] = field(default_factory=dict)
    seal: Mapping[str, str] | None = None  # who vouches for it; checked by `anchor.opened`

    @property
    def learnt_s(self) -> float:
        return (self.learnt_until - self.learnt_from) / 1e9


def _packed(baseline: Baseline) -> tuple[dict[str, Any], dict[str, Array]]:
    values: dict[str, dict[str, Any]] = {}
    arrays: dict[str, Array] = {}
    for name, state in baseline.detectors.items():
        values[name] = {key: value for key, value in state.items() if not isinstance(value, np.ndarray)}
        arrays |= {f"{name}/{key}": value for key, value in state.items() if isinstance(value, np.ndarray)}
    manifest = {
        "format": FORMAT,
        "version": VERSION,
        "sources": list(baseline.sources),
        "learnt_from": baseline.learnt_from,
        "learnt_until": baseline.learnt_until,
        "windows": baseline.windows,
        "notes": dict(baseline.notes),
        "values": values,
    }
    return manifest, arrays


def _digest_of(manifest: Mapping[str, Any], arrays: Mapping[str, Array]) -> Digest:
    parts: list[bytes | str] = [json.dumps(manifest, sort_keys=True, separators=(",", ":"))]
    for name in sorted(arrays):
        parts += [name, str(arrays[name].dtype), str(arrays[name].shape), np.ascontiguousarray(arrays[name]).tobytes()]
    return digest(*parts)


def fingerprint(baseline: Baseline) -> Digest:
    """Of all that was learnt and where from; equal for equal baselines, sealed or not."""
    return _digest_of(*_packed(baseline))


def _text(value: Mapping[str, Any]) -> Array:
    return np.frombuffer(json.dumps(value, sort_keys=True, separators=(",", ":")).encode(), np.uint8)


def to_octets(baseline: Baseline) -> bytes:
    manifest, arrays = _packed(baseline)
    manifest["digest"] = _digest_of(manifest, arrays)
    members = [(_MANIFEST, _text(manifest)), *sorted(arrays.items())]
    if baseline.seal is not None:
        members.append((_SEAL, _text(baseline.seal)))
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, array in members:
            member = io.BytesIO()
            np.lib.format.write_array(member, np.ascontiguousarray(array), allow_pickle=False)
            archive.writestr(zipfile.ZipInfo(f"{name}.npy", _EPOCH), member.getvalue(), zipfile.ZIP_DEFLATED)
    return sink.getvalue()


def from_octets(octets: bytes, where: str = "baseline") -> Baseline:
    """Raises InputError, which names ``where``, for anything but an intact baseline."""
    try:
        with zipfile.ZipFile(io.BytesIO(octets)) as archive:
            if sum(member.file_size for member in archive.infolist()) > MAX_OCTETS:
                raise InputError(f"{where}: unpacks to more than {MAX_OCTETS} octets, no baseline is that large")
            arrays = {
                member.filename.removesuffix(".npy"): np.lib.format.read_array(io.BytesIO(archive.read(member)), allow_pickle=False)
                for member in archive.infolist()
            }
        manifest = json.loads(arrays.pop(_MANIFEST).tobytes())
        seal = json.loads(arrays.pop(_SEAL).tobytes()) if _SEAL in arrays else None
        if manifest.get("format") != FORMAT or manifest.get("version") != VERSION:
            raise InputError(f"{where}: is {manifest.get('format')} version {manifest.get('version')}, expected {FORMAT} version {VERSION}")
        claimed = manifest.pop("digest")
        if claimed != _digest_of(manifest, arrays):
            raise InputError(f"{where}: its content does not match its digest; it was changed or damaged after it was written")
        detectors = {name: dict(values) for name, values in manifest["values"].items()}
        for name, array in arrays.items():
            owner, _, key = name.partition("/")
            detectors[owner][key] = array
        return Baseline(
            detectors=detectors,
            sources=tuple(manifest["sources"]),
            learnt_from=int(manifest["learnt_from"]),
            learnt_until=int(manifest["learnt_until"]),
            windows=int(manifest["windows"]),
            notes=manifest["notes"],
            seal=None if seal is None else {str(key): str(value) for key, value in seal.items()},
        )
    except (
        zipfile.BadZipFile,
        zlib.error,
        ValueError,
        KeyError,
        AttributeError,
        TypeError,
        EOFError,
        NotImplementedError,
        RuntimeError,
    ) as error:
        raise InputError(f"{where}: not a baseline file ({error})") from error


def save(baseline: Baseline, path: Path) -> None:
    write_whole(path, to_octets(baseline), _READABLE)


def load(path: Path) -> Baseline:
    try:
        octets = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from error
    return from_octets(octets, str(path))
