"""What the gate makes of one request, and how it refuses one.  Sans-io.

In: a request's body.  Out: what shall become of it, and what it would write.  Whatever is not a service that the standard defines and that
changes nothing is held: also a service that nobody knows, and SessionlessInvoke, which carries any other in its body.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, auto

from collectors.gate.opcua.binary import NULL, DecodingError, Reader, RequestHeader, fault, request_header, response, u32
from sentinel.model.command import TagWrite
from sentinel.model.opcua import SERVICES, WRITES
from sentinel.model.tags import OnDeadline, Tag, TagMap

USER_ACCESS_DENIED, TOO_MANY_OPERATIONS, REQUEST_TOO_LARGE = 0x801F0000, 0x80100000, 0x80B80000  # OPC 10000-6, A.2
VALUE = 13  # the attribute that the plant feels (OPC 10000-6, A.1)
MAX_ITEMS = 1024  # of one Write or Call: real clients send tens
MAX_HELD_OCTETS = 1 << 16  # of one held request: it travels to the brain as evidence

_WRITE, _CALL = SERVICES["Write"][0], SERVICES["Call"][0]
_OPENING = {SERVICES[name][0] for name in ("OpenSecureChannel", "CloseSecureChannel")}  # come in chunks of their own kind
PASSING = frozenset(pair[0] for pair in SERVICES.values()) - WRITES - {SERVICES["SessionlessInvoke"][0]} - _OPENING


class Course(Enum):
    SAFETY = auto()  # a write of nothing but safety-instrumented points: passes, but is recorded
    HOLD = auto()
    REFUSE = auto()  # malformed, or more than the gate takes: answered by the gate


@dataclass(frozen=True, slots=True)
class Judged:
    course: Course
    header: RequestHeader
    writes: tuple[TagWrite, ...] = ()
    choice: OnDeadline = OnDeadline.REFUSE
    items: int = 0
    status: int = 0  # of a refusal


def nodes_of(tags: TagMap) -> Mapping[str, Tag]:
    """By the node's text as `Reader.node` writes it, whatever the plant file's spelling of namespace 0."""
    return {node.removeprefix("ns=0;"): tag for node, tag in tags.by_node.items()}


def judge(nodes: Mapping[str, Tag], body: bytes, unknown: OnDeadline) -> Judged:
    """Of a request that is not PASSING.  Raises DecodingError where not even its header can be read: nobody could be answered."""
    header = request_header(body)
    if len(body) > MAX_HELD_OCTETS:
        return Judged(Course.REFUSE, header, status=REQUEST_TOO_LARGE)
    try:
        if header.service == _WRITE:
            return _written(nodes, body, header, unknown)
        if header.service == _CALL:
            return _called(nodes, body, header, unknown)
    except DecodingError as error:
        return Judged(Course.REFUSE, header, status=error.status)
    return Judged(Course.HOLD, header, choice=unknown)


def _written(nodes: Mapping[str, Tag], body: bytes, header: RequestHeader, unknown: OnDeadline) -> Judged:
    reader = Reader(body, header.end)
    items = reader.count()
    if items > MAX_ITEMS:
        return Judged(Course.REFUSE, header, status=TOO_MANY_OPERATIONS)
    writes, tags = [], list[Tag | None]()
    for _ in range(items):
        node, attribute, part, number = reader.node(), reader.u32(), reader.string(), reader.data_value()
        tag = nodes.get(node)
        tags.append(tag if attribute == VALUE and not part else None)  # another attribute is no value, a part of an array none of a tag's
        writes.append(_one(tags[-1], node if attribute == VALUE else f"{node} attribute {attribute}", number))
    return _judged(reader, header, items, tuple(writes), tags, unknown)


def _called(nodes: Mapping[str, Tag], body: bytes, header: RequestHeader, unknown: OnDeadline) -> Judged:
    """A method is a point like any other; its value is its argument, where it has one that is a number."""
    reader = Reader(body, header.end)
    items = reader.count()
    if items > MAX_ITEMS:
        return Judged(Course.REFUSE, header, status=TOO_MANY_OPERATIONS)
    writes, tags = [], list[Tag | None]()
    for _ in range(items):
        reader.node()
        method = reader.node()
        arguments = [reader.variant() for _ in range(reader.count())]
        tags.append(nodes.get(method))
        writes.append(_one(tags[-1], method, arguments[0] if len(arguments) == 1 else None))
    return _judged(reader, header, items, tuple(writes), tags, unknown)


def _one(tag: Tag | None, point: str, number: float | None) -> TagWrite:
    value = number if tag else None  # nodes carry engineering units
    return TagWrite(tag=tag.name if tag else None, point=point, raw=number, value=value, unit=tag.unit if tag else None)


def _judged(
    reader: Reader, header: RequestHeader, items: int, writes: tuple[TagWrite, ...], tags: list[Tag | None], unknown: OnDeadline
) -> Judged:
    if reader.at != len(reader.octets):
        raise DecodingError(f"{len(reader.octets) - reader.at} octets follow the request")  # another reader might see something in them
    if tags and all(tag is not None and tag.safety for tag in tags):
        return Judged(Course.SAFETY, header, writes, items=items)
    choices = {tag.on_deadline if tag else unknown for tag in tags} or {unknown}
    choice = OnDeadline.FORWARD if choices == {OnDeadline.FORWARD} else OnDeadline.REFUSE
    return Judged(Course.HOLD, header, writes, choice, items)


def refusal(judged: Judged, stamp: int) -> bytes:
    """The response to a request that is not forwarded.

    A refused Write or Call is a good response whose every result is Bad_UserAccessDenied: that is how a server says it of a node (OPC
    10000-4, 5.11.4.4 and 5.12.2.4), so operators see it beside the value that they wrote, and no client takes the session for broken.
    What has no results, and what is malformed, gets a ServiceFault.
    """
    header = judged.header
    if judged.status:
        return fault(header.handle, judged.status, stamp)
    if header.service == _WRITE and judged.items:
        results = u32(judged.items) + u32(USER_ACCESS_DENIED) * judged.items
        return response(SERVICES["Write"][1], header.handle, 0, stamp, results + NULL)
    if header.service == _CALL and judged.items:
        results = u32(judged.items) + (u32(USER_ACCESS_DENIED) + 3 * NULL) * judged.items
        return response(SERVICES["Call"][1], header.handle, 0, stamp, results + NULL)
    return fault(header.handle, USER_ACCESS_DENIED, stamp)
