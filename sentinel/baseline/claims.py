"""Claims: what each asset has said of itself, and from when to when.  Bounded; what does not fit is counted."""

from collections.abc import Iterable
from dataclasses import replace

from sentinel.model.asset import Claim, Identity
from sentinel.model.identity import FIRMWARE, PRODUCTS, VENDOR, Saying

MAX_PER_ASSET = 64  # of one asset; the one longest unheard goes
MAX_CLAIMS = 100_000  # of all together: a flood of forged answers must not fill the memory


class Claims:
    def __init__(self) -> None:
        self._held = 0
        self.refused = 0

    def taken(self, claims: tuple[Claim, ...], said: Saying) -> tuple[Claim, ...]:
        """The asset's claims with this one: a new one comes last, a known one was heard again."""
        for place, one in enumerate(claims):
            if (one.by, one.what, one.text) == (said.by, said.what, said.text):
                return (*claims[:place], replace(one, last_seen=max(one.last_seen, said.time)), *claims[place + 1 :])
        if len(claims) >= MAX_PER_ASSET:
            oldest = min(claims, key=lambda one: (one.last_seen, one.first_seen))
            claims = tuple(one for one in claims if one is not oldest)
        elif self._held >= MAX_CLAIMS:
            self.refused += 1
            return claims
        else:
            self._held += 1
        return (*claims, Claim(what=said.what, text=said.text, by=said.by, first_seen=said.time, last_seen=said.time))


def joined(before: Iterable[Claim], after: Iterable[Claim]) -> tuple[Claim, ...]:
    """Claims of two lives of the appliance."""
    found = {(one.by, one.what, one.text): one for one in before}
    for one in after:
        known = found.get((one.by, one.what, one.text))
        found[one.by, one.what, one.text] = replace(one, first_seen=min(one.first_seen, known.first_seen)) if known else one
    return tuple(sorted(found.values(), key=lambda one: (one.first_seen, one.by, one.what, one.text)))[-MAX_PER_ASSET:]


def identity_of(claims: Iterable[Claim]) -> Identity | None:
    """Vendor, product and firmware as they are told by now: of several, what was heard last, and of those what is newer."""
    latest: dict[str, Claim] = {}
    for one in claims:
        known = latest.get(one.what)
        if known is None or (one.last_seen, one.first_seen) >= (known.last_seen, known.first_seen):
            latest[one.what] = one
    product = next((latest[what].text for what in PRODUCTS if what in latest), None)
    vendor, firmware = (latest[what].text if what in latest else None for what in (VENDOR, FIRMWARE))
    return Identity(vendor=vendor, product=product, firmware=firmware) if vendor or product or firmware else None
