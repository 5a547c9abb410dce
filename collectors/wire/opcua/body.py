"""How far the parts of a body reach: a cursor goes in, the place behind the part comes out.  OPC 10000-6, 5.2.

`CUT` = the part goes on where ``end`` is, or a length field says so; `DEEP` = nested deeper than MAX_DEPTH; `FORBIDDEN` = a form that the
encoding does not have; `NO_TEXT` = a string that is no UTF-8.  Every read is guarded, every loop consumes octets or ends.  ``stack`` is a
scratch array of `STACK` numbers.
"""

# mypy: disable-error-code="no-any-return"
# Octets and tables are numpy arrays, whose kernels have no static types; the compiler infers and checks the real ones.

from typing import Any

import numpy as np

from collectors.compiled import kernel
from collectors.wire.loads import byte, little16, little32
from collectors.wire.opcua.chunk import signed32

Octets = Any  # numpy uint8 array

CUT, DEEP, FORBIDDEN, NO_TEXT = -1, -2, -3, -4
MAX_DEPTH = 100  # a decoder supports at least as many levels, and reports what goes deeper (5.1.9)
STACK = 4 * (MAX_DEPTH + 2)  # a type and a count for each level; an array and its dimensions take two
MASK_VALUE, MASK_STATUS, MASK_SOURCE, MASK_SERVER, MASK_SOURCE_PICO, MASK_SERVER_PICO = 1, 2, 4, 8, 16, 32  # of a DataValue (5.2.2.17)

BOOLEAN, DOUBLE, STRING, DATE_TIME, GUID, XML = 1, 11, 12, 13, 14, 16  # built-in types (5.1.2, table 1)
NODE_ID, EXPANDED, STATUS, QUALIFIED, LOCALIZED = 17, 18, 19, 20, 21
EXTENSION, DATA_VALUE, VARIANT, DIAGNOSTIC, LAST_TYPE = 22, 23, 24, 25, 31
_NOT_ASCII = -0x7F7F7F7F7F7F7F80  # the highest bit of each of eight octets
_OCTETS = 64  # no built-in type: so many octets
_DIMENSIONS = 65
FIXED = np.array([0, 1, 1, 1, 2, 2, 4, 4, 8, 8, 4, 8, 0, 8, 16, 0, 0, 0, 0, 4, *[0] * 12])  # octets of each built-in type; 0 = it depends


@kernel
def after(at: int, octets: int, end: int) -> int:
    return at + octets if 0 <= at <= end - octets else min(at, CUT)


@kernel
def little64(octets: Octets, at: int) -> int:
    return little32(octets, at) | (little32(octets, at + 4) << 32)


@kernel
def after_string(octets: Octets, at: int, end: int) -> int:
    """Strings and byte strings; a length of -1 is null (5.2.2.4)."""
    if at < 0 or at + 4 > end:
        return min(at, CUT)
    length = signed32(octets, at)
    if length < -1:
        return FORBIDDEN
    return after(at + 4, max(0, length), end)


@kernel
def is_utf8(octets: Octets, at: int, end: int) -> bool:
    """RFC 3629, section 4: no overlong forms, no surrogates, nothing beyond U+10FFFF."""
    while at < end:
        if at + 8 <= end and little64(octets, at) & _NOT_ASCII == 0:
            at += 8
            continue
        lead = byte(octets, at)
        at += 1
        if lead < 0x80:
            continue
        if lead < 0xC2 or lead > 0xF4:
            return False
        more = 1 if lead < 0xE0 else 2 if lead < 0xF0 else 3
        if at + more > end:
            return False
        second = byte(octets, at)
        lowest = 0xA0 if lead == 0xE0 else 0x90 if lead == 0xF0 else 0x80
        highest = 0x9F if lead == 0xED else 0x8F if lead == 0xF4 else 0xBF
        if second < lowest or second > highest:
            return False
        for i in range(1, more):
            if byte(octets, at + i) & 0xC0 != 0x80:
                return False
        at += more
    return True


@kernel
def after_text(octets: Octets, at: int, end: int) -> int:
    """A String, which is UTF-8 (5.2.2.4), as a byte string is not."""
    behind = after_string(octets, at, end)
    return behind if behind < 0 or is_utf8(octets, at + 4, behind) else NO_TEXT


@kernel
def after_node(octets: Octets, at: int, end: int) -> int:
    """A NodeId or, by its flags, an ExpandedNodeId (5.2.2.9, 5.2.2.10)."""
    if at < 0 or at + 1 > end:
        return min(at, CUT)
    flags = byte(octets, at)
    form = flags & 0x3F
    if form == 0:
        at = after(at, 2, end)
    elif form == 1:
        at = after(at, 4, end)
    elif form == 2:
        at = after(at, 7, end)
    elif form == 3:
        at = after_text(octets, after(at, 3, end), end)
    elif form == 5:
        at = after_string(octets, after(at, 3, end), end)
    elif form == 4:
        at = after(at, 19, end)
    else:
        return FORBIDDEN
    if flags & 0x80:
        at = after_text(octets, at, end)
    return after(at, 4, end) if flags & 0x40 else at


@kernel
def after_extension(octets: Octets, at: int, end: int) -> int:
    """An ExtensionObject: type, how it is encoded, and its length where there is a body (5.2.2.15)."""
    at = after_node(octets, at, end)
    if at < 0 or at + 1 > end:
        return min(at, CUT)
    form = byte(octets, at)
    if form > 2:
        return FORBIDDEN
    return at + 1 if form == 0 else after_string(octets, at + 1, end)


@kernel
def after_diagnostic(octets: Octets, at: int, end: int) -> int:
    """A DiagnosticInfo, whose inner one comes last (5.2.2.12)."""
    for _ in range(MAX_DEPTH):
        if at < 0 or at + 1 > end:
            return min(at, CUT)
        mask = byte(octets, at)
        at += 1
        for bit in (1, 2, 4, 8):
            if mask & bit:
                at = after(at, 4, end)
        if mask & 16:
            at = after_text(octets, at, end)
        if mask & 32:
            at = after(at, 4, end)
        if not mask & 64:
            return at
    return DEEP


@kernel
def after_localized(octets: Octets, at: int, end: int) -> int:
    if at < 0 or at + 1 > end:
        return min(at, CUT)
    mask = byte(octets, at)
    at += 1
    if mask & 1:
        at = after_text(octets, at, end)
    return after_text(octets, at, end) if mask & 2 else at


@kernel
def trailer_octets(mask: int) -> int:
    """Of a DataValue, behind its value."""
    octets = 4 if mask & MASK_STATUS else 0
    for bit in (MASK_SOURCE, MASK_SERVER):
        if mask & bit:
            octets += 8
    for bit in (MASK_SOURCE_PICO, MASK_SERVER_PICO):
        if mask & bit:
            octets += 2
    return octets


@kernel
def after_values(octets: Octets, at: int, end: int, kind: int, count: int, stack: Octets) -> int:
    """``count`` values of a built-in type, without recursion: what is nested waits on the stack."""
    depth = 0
    stack[0], stack[1] = kind, count
    while depth >= 0:
        if at < 0:
            return at
        kind, count = stack[2 * depth], stack[2 * depth + 1]
        if kind == _OCTETS:
            at = after(at, count, end)
            depth -= 1
            continue
        if kind < LAST_TYPE + 1 and FIXED[kind] > 0:
            at = after(at, count * FIXED[kind], end) if count <= end - at else CUT
            depth -= 1
            continue
        if count == 0:
            depth -= 1
            continue
        stack[2 * depth + 1] = count - 1
        if kind == _DIMENSIONS:
            if at + 4 > end:
                return CUT
            dimensions = max(0, signed32(octets, at))
            at = after(at + 4, 4 * dimensions, end) if dimensions <= end - at else CUT
        elif kind in (NODE_ID, EXPANDED):
            at = after_node(octets, at, end)
        elif kind == QUALIFIED:
            at = after_text(octets, after(at, 2, end), end)
        elif kind == LOCALIZED:
            at = after_localized(octets, at, end)
        elif kind == EXTENSION:
            at = after_extension(octets, at, end)
        elif kind == DIAGNOSTIC:
            at = after_diagnostic(octets, at, end)
        elif kind in (DATA_VALUE, VARIANT):
            if at + 1 > end:
                return CUT
            mask = byte(octets, at)
            at += 1
            if 2 * (depth + 3) >= STACK:
                return DEEP
            if kind == DATA_VALUE:
                depth += 1
                stack[2 * depth], stack[2 * depth + 1] = _OCTETS, trailer_octets(mask)
                if mask & MASK_VALUE:
                    depth += 1
                    stack[2 * depth], stack[2 * depth + 1] = VARIANT, 1
                continue
            inner, many = mask & 0x3F, 1
            if inner > LAST_TYPE:
                return FORBIDDEN
            if mask & 0x40 and not mask & 0x80:
                return FORBIDDEN
            if inner == 0:
                continue
            if inner == VARIANT and not mask & 0x80:
                return FORBIDDEN  # a variant holds an array of variants, never one (5.1.6)
            if mask & 0x80:
                if at + 4 > end:
                    return CUT
                many = max(0, signed32(octets, at))
                at += 4
                if many > end - at:
                    return CUT
            if mask & 0x40:
                depth += 1
                stack[2 * depth], stack[2 * depth + 1] = _DIMENSIONS, 1
            depth += 1
            stack[2 * depth], stack[2 * depth + 1] = inner, many
        elif kind in (STRING, XML):
            at = after_text(octets, at, end)
        else:  # byte strings, and what the standard keeps for later
            at = after_string(octets, at, end)
    return at


@kernel
def after_request_header(octets: Octets, at: int, end: int) -> int:
    """Token, time, handle, diagnostics wished, audit entry, timeout, additional header (OPC 10000-4, 7.33)."""
    at = after(after_node(octets, at, end), 16, end)
    return after_extension(octets, after(after_text(octets, at, end), 4, end), end)


@kernel
def after_response_header(octets: Octets, at: int, end: int, stack: Octets) -> int:
    """Time, handle, result, diagnostics, string table, additional header (OPC 10000-4, 7.34)."""
    at = after_diagnostic(octets, after(at, 16, end), end)
    count = count_at(octets, at, end)
    if count < 0:
        return count
    return after_extension(octets, after_values(octets, at + 4, end, STRING, count, stack), end)


@kernel
def count_at(octets: Octets, at: int, end: int) -> int:
    """The length of an array that begins here; a null one has none.  Never more than there are octets left: each element takes one."""
    if at < 0 or at + 4 > end:
        return min(at, CUT)
    count = max(0, signed32(octets, at))
    return count if count <= end - at - 4 else CUT


@kernel
def service_octets(octets: Octets, at: int, end: int) -> int:
    """Where the body begins, behind its type's node id."""
    if at + 2 > end or byte(octets, at) > 2:
        return CUT
    return after_node(octets, at, end)


@kernel
def number_bits(octets: Octets, at: int, kind: int) -> int:
    """The octets of a number as one word, sign extended where the type has a sign; `numbers` makes a float of them."""
    if kind in (1, 3):
        return byte(octets, at)
    if kind == 2:
        number = byte(octets, at)
        return number - 256 if number >= 128 else number
    if kind == 5:
        return little16(octets, at)
    if kind == 4:
        number = little16(octets, at)
        return number - (1 << 16) if number >= 1 << 15 else number
    if kind == 6:
        return signed32(octets, at)
    return little32(octets, at) if kind in (7, 10, 19) else little64(octets, at)
