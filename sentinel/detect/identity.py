"""Identity: a device that says it is something else than before.  New firmware, another product, another certificate behind an address.

Nobody checks what a device says; that it says something else is news all the same: it was updated, exchanged, or somebody answers in its
place.  What was learnt to alternate, as behind an address that several devices share, may go on to.  What a program calls itself is held
against a baseline alone: without one nobody knows which programs take turns on an address.
"""

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from sentinel.model.detection import Detection, Severity
from sentinel.model.identity import FIRMWARE, PRODUCT, VENDOR, Saying, sayings
from sentinel.model.window import Window
from sentinel.ports import Spec

MAX_KNOWN = 65_536  # things that were said; the one longest unheard is forgotten
MAX_USUAL = 8  # texts that may alternate
_GRAVE = (VENDOR, PRODUCT, FIRMWARE, "model", "product code", "serial", "build")

Key = tuple[str, str, str]  # asset, in which protocol, what


class IdentityChange:
    spec: ClassVar[Spec] = Spec(
        name="identity",
        summary="devices whose vendor, product, firmware, name or certificate changes, by what they say of themselves",
        attack=("T1693.001", "T0830"),
    )

    def __init__(self) -> None:
        self._usual: OrderedDict[Key, list[str]] = OrderedDict()  # the last one is what it says now
        self._active = False

    def learn(self, window: Window) -> None:
        for said in sayings(window.messages, window.details):
            usual = self._take(said)
            if said.text in usual:
                usual.remove(said.text)
            usual.append(said.text)
            del usual[:-MAX_USUAL]

    def activate(self) -> None:
        self._active = True

    def score(self, window: Window) -> Sequence[Detection]:
        found = []
        for said in sayings(window.messages, window.details):
            if not said.own:  # who asks may be several people's programs
                continue
            usual = self._take(said)
            if usual and said.text not in usual:
                if self._active or said.what in _GRAVE:
                    found.append(self._detection(said, usual[-1]))
                usual.clear()
            if said.text not in usual:
                usual.append(said.text)
        return found

    def _take(self, said: Saying) -> list[str]:
        key = said.asset, said.by, said.what
        usual = self._usual.pop(key, [])
        self._usual[key] = usual
        if len(self._usual) > MAX_KNOWN:
            self._usual.popitem(last=False)
        return usual

    def _detection(self, said: Saying, before: str) -> Detection:
        is_grave = said.what in _GRAVE
        return Detection(
            detector=self.spec.name,
            title=f"{said.asset} says its {said.what} is {said.text!r}, and said {before!r} before",
            seen=said.time,
            frame=said.frame,
            frames=(said.frame,) if said.frame else (),
            target=said.asset,
            cause=f"identity:{said.asset}",
            feature=said.what,
            observed=said.text,
            expected=before,
            score=1.0,
            threshold=0.0,
            why=f"In {said.by} {said.asset} told {said.what} {before!r} until now, and tells {said.text!r}: it was updated or exchanged, or"
            " somebody answers in its place.",
            techniques=("T1693.001",) if said.what in (FIRMWARE, "build") else ("T0830",) if is_grave else (),
            severity=Severity.HIGH if is_grave else Severity.MEDIUM,
            confidence=0.6,
        )

    def state(self) -> Mapping[str, Any]:
        return {"usual": [[*key, *texts] for key, texts in self._usual.items()]}

    def restore(self, state: Mapping[str, Any]) -> None:
        self._usual = OrderedDict(((str(asset), str(by), str(what)), [*map(str, texts)]) for asset, by, what, *texts in state["usual"])
        self.activate()
