"""Our OPC UA chunks held against tshark's: the set of (frame, message type, request, service).

tshark goes by the registered port; it is told the others on which we heard OPC UA.  It names a service in a message's last chunk only, and
takes what is encrypted for readable, where we say nothing.  Every difference has a reason, or is ``unexplained``.
"""

from collections import defaultdict
from pathlib import Path
from typing import NamedTuple

from collectors.capture.replay import replay
from collectors.capture.tshark import ELEMENT, REPEATED, UNEXPLAINED, listed, tshark
from sentinel.model.observation import Messages
from sentinel.model.opcua import MessageType
from sentinel.model.protocol import Defect, Protocol

_PORT = 4840
_TYPES = {
    "HEL": MessageType.HELLO,
    "ACK": MessageType.ACKNOWLEDGE,
    "ERR": MessageType.ERROR,
    "RHE": MessageType.REVERSE_HELLO,
    "OPN": MessageType.OPEN,
    "CLO": MessageType.CLOSE,
    "MSG": MessageType.MESSAGE,
}
_FIELDS = ("opcua.transport.chunk", "opcua.security.rqid", "opcua.servicenodeid.numeric")


class Chunk(NamedTuple):
    frame: int
    type: int  # MessageType
    request: int  # -1 = not told
    service: int  # -1 = not told


class Known(NamedTuple):
    """``defect`` is ours alone, ``is_last`` theirs."""

    chunk: Chunk
    defect: int = 0
    is_last: bool = True


def theirs(path: Path, ports: set[int]) -> list[Known]:
    """tshark's chunks, from its packet details: one ``opcua`` tree per chunk."""
    told = [part for port in sorted(ports - {_PORT}) for part in ("-d", f"tcp.port=={port},opcua")]
    found, frame, fields = list[Known](), 0, dict[str, str]()
    for line in tshark("-r", str(path), *told, "-Y", "opcua", "-T", "pdml", "-J", "opcua"):
        element = ELEMENT.match(line)
        if element is None:
            if line.startswith("</packet>"):
                _say(found, frame, fields)
                fields = {}
            continue
        kind, name, show = element.groups()
        if kind == "proto" or name == "opcua.transport.type":
            _say(found, frame, fields)
            fields = {}
        if name == "num":
            frame = int(show)
        elif name == "opcua.transport.type":
            fields["type"] = show
        elif name in _FIELDS and "type" in fields:
            fields.setdefault(name, show)
    return found


def _say(found: list[Known], frame: int, fields: dict[str, str]) -> None:
    if fields.get("type") in _TYPES:
        final, request, service = (fields.get(name, "") for name in _FIELDS)
        numbers = (int(text) if text.isdigit() else -1 for text in (request, service))
        found.append(Known(Chunk(frame, int(_TYPES[fields["type"]]), *numbers), is_last=final == "F"))


def ours(messages: Messages) -> list[Known]:
    """Our chunks; runs of octets that are none are left out, and so is what was cut before its header's end."""
    found = []
    letters = {name.encode(): int(kind) for name, kind in _TYPES.items()}
    for row in range(len(messages)):
        kind = letters.get(messages.pdu(row)[:3])
        if kind is not None:
            numbers = (int(column[row]) for column in (messages.transaction, messages.function))
            found.append(Known(Chunk(int(messages.frame[row]), kind, *numbers), int(messages.defect[row])))
    return found


def compare(path: Path) -> dict[str, object]:
    """``matched``, ``missing`` (only tshark's), ``extra`` (only ours), each with reasons and their frames."""
    m = Messages.concat([heard.messages for heard in replay(path)])
    m = m.take(m.protocol == Protocol.OPCUA)
    repeated = {int(line) for line in tshark("-r", str(path), "-Y", REPEATED, "-T", "fields", "-e", "frame.number")}
    left: dict[tuple[int, int], list[Known]] = defaultdict(list)
    for known in ours(m):
        left[known.chunk.frame, known.chunk.type].append(known)
    matched, missing = 0, list[Known]()
    for known in theirs(path, set(m.port.tolist())):
        candidates = left[known.chunk.frame, known.chunk.type]
        same = next((one for one in candidates if _agrees(known, one.chunk)), None)
        if same is None:
            missing.append(known)
        else:
            candidates.remove(same)
            matched += 1
    extra = [known for known_ones in left.values() for known in known_ones]
    unread = {known.chunk.frame for known in extra if known.chunk.service < 0}
    defective = {known.chunk.frame for known in extra if known.defect}
    return {
        "matched": matched,
        "missing": len(missing),
        "extra": len(extra),
        "missing_reasons": listed((_why_missing(known, unread, defective, repeated), known.chunk.frame) for known in missing),
        "extra_reasons": listed((_why_extra(known, missing, repeated), known.chunk.frame) for known in extra),
    }


def _agrees(theirs_: Known, chunk: Chunk) -> bool:
    service = theirs_.chunk.service
    return theirs_.chunk.request == chunk.request and (service == chunk.service or (service < 0 and not theirs_.is_last))


def _why_missing(known: Known, unread: set[int], defective: set[int], repeated: set[int]) -> str:
    if known.chunk.frame in repeated:
        return "tshark takes a repetition for new octets"
    if known.chunk.frame in unread:
        return "on an encrypted channel, whose octets tshark takes for a service"
    return "the same frame is a row of ours with a defect, read otherwise" if known.chunk.frame in defective else UNEXPLAINED


def _why_extra(known: Known, missing: list[Known], repeated: set[int]) -> str:
    if known.defect == Defect.CONTRADICTING_COPY:
        return "a copy that contradicts what was heard before; tshark shows no repetitions"
    if known.chunk.frame in repeated:
        return "tshark takes the whole segment for a repetition, or for one that came too late"
    if known.chunk.service < 0 and any(one.chunk.frame == known.chunk.frame for one in missing):
        return "on an encrypted channel, which we do not read"
    if known.defect:
        return f"a row with the defect {Defect(known.defect).name.lower()}, for which tshark waits or shows no chunk"
    return UNEXPLAINED
