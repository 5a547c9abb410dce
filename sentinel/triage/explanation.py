"""What is behind a finding: attack, fault, maintenance or misconfiguration, what speaks for and against each, and what to look at next.

Every detection is a sign, and so is what the court said and what is missing.  A sign weighs for each explanation what it is worth there;
weights add up from how common each explanation is in a plant.  They are judgement, not calibrated: their use is an order and a list of
reasons that a person can check, not a probability.
"""

import math
from collections.abc import Iterator, Sequence

from sentinel.model.finding import Explanation, Finding, Hypothesis
from sentinel.triage.signs import BOTH, COURT, MANY, NOBODY, Sign, sign_of

MAX_LOOK_INTO = 5
_SPEAKS = 0.3  # a weight that is a reason, for or against
_COMMON = (0.0, 0.6, 0.4, 0.4)  # before any sign: attack, fault, maintenance, misconfiguration
_PROCESS = ("process:", "rhythm:")


def hypotheses(finding: Finding) -> tuple[tuple[Hypothesis, ...], tuple[str, ...]]:
    """(the explanations, likeliest first; what to look at, most telling first)."""
    signs = list(_signs(finding))
    sums = [common + sum(sign.weights[at] for sign in signs) for at, common in enumerate(_COMMON)]
    odds = [math.exp(total - max(sums)) for total in sums]
    told = [
        Hypothesis(
            explanation=explanation,
            share=round(odds[at] / sum(odds), 3),
            supporting=_sentences(signs, at, 1.0),
            contradicting=_sentences(signs, at, -1.0),
        )
        for at, explanation in enumerate(Explanation)
    ]
    telling = sorted(signs, key=lambda sign: -max(map(abs, sign.weights)))
    places = [_filled(sign.look_into, finding) for sign in telling]
    return tuple(sorted(told, key=lambda one: -one.share)), tuple(dict.fromkeys(places))[:MAX_LOOK_INTO]


def _signs(finding: Finding) -> Iterator[Sign]:
    """Each once, however many detections say the same."""
    seen = dict.fromkeys(sign for detection in finding.detections if (sign := sign_of(detection.detector, detection.feature)))
    yield from seen
    court = COURT.get((finding.judgement, finding.intent)) or COURT.get((finding.judgement, None)) if finding.judgement else None
    if court:
        yield court
    suffers = [detection.cause.startswith(_PROCESS) for detection in finding.detections]
    if suffers and all(suffers) and not finding.commands:
        yield NOBODY
    elif any(suffers) and not all(suffers):
        yield BOTH
    if len({technique.partition(".")[0] for technique in finding.techniques}) >= 3:
        yield MANY


def _sentences(signs: Sequence[Sign], at: int, side: float) -> tuple[str, ...]:
    speaking = sorted((sign for sign in signs if side * sign.weights[at] >= _SPEAKS), key=lambda sign: -side * sign.weights[at])
    return tuple(dict.fromkeys(sign.says for sign in speaking))


def _filled(text: str, finding: Finding) -> str:
    source, target = (*finding.assets[:2], "its server", "its server")[:2] if finding.assets else ("the source", "its server")
    tags = ", ".join(finding.tags[:3]) or "the value"
    return text.replace("{source}", source).replace("{target}", target).replace("{tags}", tags)
