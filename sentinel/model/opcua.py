"""OPC UA names, shared by ear and brain: the services and the numeric identifiers that mark their messages.

An identifier is that of the message's binary encoding in namespace 0 (OPC 10000-6, annex A, NodeIds).  A message's ``function`` is its
own identifier, a request's or a response's; a response that is a `SERVICE_FAULT` answers whatever was asked.
"""

from enum import IntEnum
from typing import Any

HEADER_OCTETS = 8  # message type, chunk type, size (OPC 10000-6, 7.1.2.2)
LEAST_BUFFER_OCTETS = 8192  # that a peer takes at once (OPC 10000-6, 7.1.2.3)
USUAL_BUFFER_OCTETS = 1 << 16  # that real stacks take
MAX_MESSAGE_OCTETS = 1 << 24  # of one chunk; a peer may announce up to 4 GiB, and real stacks stay at or below 64 KiB

# service: (request, response).  OPC 10000-4, clause 5, in its order.
SERVICES: dict[str, tuple[int, int]] = {
    "FindServers": (422, 425),
    "FindServersOnNetwork": (12208, 12209),
    "GetEndpoints": (428, 431),
    "RegisterServer": (437, 440),
    "RegisterServer2": (12211, 12212),
    "OpenSecureChannel": (446, 449),
    "CloseSecureChannel": (452, 455),
    "CreateSession": (461, 464),
    "ActivateSession": (467, 470),
    "CloseSession": (473, 476),
    "Cancel": (479, 482),
    "SessionlessInvoke": (15903, 21001),
    "AddNodes": (488, 491),
    "AddReferences": (494, 497),
    "DeleteNodes": (500, 503),
    "DeleteReferences": (506, 509),
    "Browse": (527, 530),
    "BrowseNext": (533, 536),
    "TranslateBrowsePathsToNodeIds": (554, 557),
    "RegisterNodes": (560, 563),
    "UnregisterNodes": (566, 569),
    "QueryFirst": (615, 618),
    "QueryNext": (621, 624),
    "Read": (631, 634),
    "HistoryRead": (664, 667),
    "Write": (673, 676),
    "HistoryUpdate": (700, 703),
    "Call": (712, 715),
    "CreateMonitoredItems": (751, 754),
    "ModifyMonitoredItems": (763, 766),
    "SetMonitoringMode": (769, 772),
    "SetTriggering": (775, 778),
    "DeleteMonitoredItems": (781, 784),
    "CreateSubscription": (787, 790),
    "ModifySubscription": (793, 796),
    "SetPublishingMode": (799, 802),
    "Publish": (826, 829),
    "Republish": (832, 835),
    "TransferSubscriptions": (841, 844),
    "DeleteSubscriptions": (847, 850),
}
# Of the standard until its edition 1.03: for trying stacks out, and in no set of services.
STACK_TESTS = {"TestStack": (410, 413), "TestStackEx": (416, 419)}
SERVICE_FAULT = 397
REQUESTS = tuple(sorted(request for request, _ in SERVICES.values()))
RESPONSES = (SERVICE_FAULT, *sorted(response for _, response in SERVICES.values()))
_NAME_OF = {identifier: name for name, pair in (SERVICES | STACK_TESTS).items() for identifier in pair} | {SERVICE_FAULT: "ServiceFault"}

WRITES = frozenset(
    SERVICES[name][0] for name in ("Write", "HistoryUpdate", "Call", "AddNodes", "AddReferences", "DeleteNodes", "DeleteReferences")
)


BAD, UNCERTAIN = 2, 1  # the two highest bits of a StatusCode (OPC 10000-4, 7.39.1); 3 is kept for later and bad too


def is_bad(status: Any) -> Any:
    """Of a StatusCode or a column of them; -1 = not told, and not bad."""
    return (status >= 0) & (status >> 30 >= BAD)


def is_uncertain(status: Any) -> Any:
    return (status >= 0) & (status >> 30 == UNCERTAIN)


class MessageType(IntEnum):
    """The three letters of a message header, in `Messages.subfunction` of a message that belongs to no service."""

    HELLO = 1  # HEL
    ACKNOWLEDGE = 2  # ACK
    ERROR = 3  # ERR
    REVERSE_HELLO = 4  # RHE
    OPEN = 5  # OPN
    CLOSE = 6  # CLO
    MESSAGE = 7  # MSG


def operation(function: int) -> str:
    """The service's name in the standard; what it does not name is called so."""
    return _NAME_OF.get(function, f"unassigned_{function}")
