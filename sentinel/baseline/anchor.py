"""An anchor: a baseline that the appliance vouches for with its own key.

In: a baseline and a `Statement`.  Out: the same baseline with a seal over the statement, which names the baseline's digest.  A statement of
one kind is not taken for another: a candidate that is moved to the anchor's place stays a candidate.  Raises InputError where a seal is
missing, is not ours, or says something else than the baseline beside it.
"""

import base64
import binascii
import dataclasses
import json
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from sentinel.access.seal import check
from sentinel.baseline.store import Baseline, fingerprint
from sentinel.errors import InputError
from sentinel.model.codec import CodecError, from_json, to_json
from sentinel.model.ids import Digest
from sentinel.model.time import Instant

_WHAT = b"sentinel baseline 1\n"  # no other thing that we sign begins so

Sealer = Callable[[bytes], tuple[bytes, bytes]]  # octets to (signature, certificates)


class Kind(StrEnum):
    ANCHOR = "anchor"  # judges
    CANDIDATE = "candidate"  # waits for two people; judges nothing
    CHECKPOINT = "checkpoint"  # learning that is not over
    PARAMETERS = "parameters"  # the twin's, of its plant


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """``previous``: the anchor that this one takes the place of; ``origin``: the file of the settings that it goes back to, if any."""

    kind: Kind
    digest: Digest
    by: str
    at: Instant
    previous: Digest | None = None
    origin: Digest | None = None


def sealed(baseline: Baseline, statement: Statement, sealer: Sealer) -> Baseline:
    words = to_json(statement)
    signature, signer = sealer(_WHAT + words)
    seal = {"statement": words.decode(), "signature": base64.b64encode(signature).decode(), "signer": signer.decode()}
    return dataclasses.replace(baseline, seal=seal)


def opened(baseline: Baseline, kind: Kind, root: bytes, where: str = "baseline") -> Statement:
    """What the seal says, when it was made under this root (PEM)."""
    if baseline.seal is None:
        raise InputError(f"{where}: is not sealed by this appliance")
    try:
        words, signature = baseline.seal["statement"].encode(), base64.b64decode(baseline.seal["signature"], validate=True)
        statement = from_json(Statement, words)
        check(_WHAT + words, signature, baseline.seal["signer"].encode(), statement.at, root)
    except InputError as error:
        raise InputError(f"{where}: its seal does not hold: {error}") from error
    except (KeyError, binascii.Error, CodecError, json.JSONDecodeError) as error:
        raise InputError(f"{where}: its seal cannot be read: {error}") from error
    if statement.kind is not kind:
        raise InputError(f"{where}: is sealed as {statement.kind}, not as {kind}")
    if statement.digest != fingerprint(baseline):
        raise InputError(f"{where}: its seal is that of another baseline")
    return statement
