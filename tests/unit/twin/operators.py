"""An operator at work on the reference plant, as a list of writes."""

import random

SPANS = {"LIC101.SP": (0.7, 1.4), "LIC102.SP": (0.6, 1.2), "TIC201.SP": (45, 70), "TIC301.SP": (35, 52), "SIC301.SP": (3000, 7500)}


def operator(hours: float, seed: int) -> list[tuple[float, str, float]]:
    """A setpoint moved somewhere within what is usual, every one to three minutes."""
    chance, at, writes = random.Random(seed), 60, []
    while at < 3600 * hours:
        tag = chance.choice(list(SPANS))
        writes.append((float(at), tag, round(chance.uniform(*SPANS[tag]), 3)))
        at += chance.randint(60, 180)
    return writes
