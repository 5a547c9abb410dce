"""Credentials: passwords that cross the network so that everybody can read them.  Needs no baseline; one quiets what is usual here.

An OPC UA client that sends a user name over a channel without encryption shall encrypt the password itself (OPC 10000-4, 7.41).  One that
does not gives it away.  The password is told to nobody here; whose it is, and between whom it passes, is.
"""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from sentinel.detect.evidence import asset, counted_detection, frames_of, listed
from sentinel.detect.usual import Usual
from sentinel.model.columns import distinct, grouped
from sentinel.model.detection import Detection, Severity
from sentinel.model.observation import Details
from sentinel.model.protocol import Topic
from sentinel.model.time import Instant
from sentinel.model.window import Window
from sentinel.ports import Spec


class Credentials:
    spec: ClassVar[Spec] = Spec(name="credentials", summary="passwords that cross the network in clear text", attack=("T1694",))

    def __init__(self) -> None:
        self._usual = Usual()

    def learn(self, window: Window) -> None:
        self._usual.learn(self._find(window.details))

    def activate(self) -> None:
        """Nothing is fitted."""

    def score(self, window: Window) -> Sequence[Detection]:
        return self._usual.without(self._find(window.details))

    def _find(self, details: Details) -> list[Detection]:
        rows = np.flatnonzero((details.topic == Topic.IDENTITY) & (details.number == 1))
        first, which = distinct(details.client[rows], details.server[rows])
        found = []
        for at, group in zip(first.tolist(), grouped(which), strict=True):
            members = rows[group]
            client, server = (details.name_of(int(codes[rows[at]])) for codes in (details.client, details.server))
            users = listed(sorted({details.name_of(code) or "nobody" for code in details.text[members].tolist()}))
            found.append(
                counted_detection(
                    self.spec.name,
                    title=f"{client} logs in to {server} with a password that everybody on the network can read",
                    seen=Instant(int(details.time[members[0]])),
                    frames=frames_of(details.frame[members]),
                    source=asset(client),
                    target=asset(server),
                    cause="protocol:passwords in clear text",  # one way of working, however many stations follow it
                    feature="password in clear text",
                    expected="a channel that is encrypted, or a password that is",
                    score=float(len(members)),
                    threshold=0.0,
                    why=f"The password of {users} passes from {client} to {server} without encryption.",
                    techniques=("T1694",),
                    severity=Severity.MEDIUM,
                    confidence=0.95,
                )
            )
        return found

    def state(self) -> Mapping[str, Any]:
        return self._usual.state()

    def restore(self, state: Mapping[str, Any]) -> None:
        self._usual.restore(state)
