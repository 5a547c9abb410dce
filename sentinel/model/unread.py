"""Which messages the sensor could not read: a blind spot, whoever made it."""

import numpy as np
from numpy.typing import NDArray

from sentinel.model import opcua
from sentinel.model.observation import Messages
from sentinel.model.protocol import Defect, Protocol

_UNREAD = (Defect.TRUNCATED, Defect.GARBAGE)


def is_encrypted(messages: Messages) -> NDArray[np.bool_]:
    """An OPC UA message, whole, without a service that can be read."""
    encrypted: NDArray[np.bool_] = (
        (messages.protocol == Protocol.OPCUA)
        & (messages.subfunction == opcua.MessageType.MESSAGE)
        & (messages.function < 0)
        & ~np.isin(messages.defect, _UNREAD)
    )
    return encrypted


def is_unread(messages: Messages) -> NDArray[np.bool_]:
    """Cut, no unit at all, or encrypted: an OPC UA message without a service.  Its handshake is none of these."""
    is_handshake = (messages.protocol == Protocol.OPCUA) & (messages.subfunction != opcua.MessageType.MESSAGE)
    unread: NDArray[np.bool_] = np.isin(messages.defect, _UNREAD) | ((messages.function < 0) & ~is_handshake)
    return unread
