"""How bad, and how likely.

Severity: how bad it is if it is true; what the twin saw outranks what the wire suggests.  Risk: consequence times likelihood (IEC
62443-3-2, 4.6), as a sum that a person can follow; it puts two hundred findings into the order in which to look at them.
"""

from sentinel.model.detection import Severity
from sentinel.model.finding import Finding, Term
from sentinel.model.tags import TagMap, TagRole
from sentinel.model.verdict import Intent, Judgement, Verdict

_SURE = 0.9  # share of members, lower confidence bound
_SEEN = {Severity.INFO: 5.0, Severity.LOW: 15.0, Severity.MEDIUM: 35.0, Severity.HIGH: 55.0, Severity.CRITICAL: 75.0}  # points of 100
_CONTROLS = 5.0  # a controller is concerned: ISA-95 level 1
_HARM = 10.0  # the twin saw an invariant broken
_NO_HARM = -20.0  # the twin saw that nothing follows
_ROLES = {  # of the tag that is concerned: what depends on it
    TagRole.LIMIT: (10.0, "a limit of an alarm or interlock"),
    TagRole.ALARM: (10.0, "an alarm"),
    TagRole.MODE: (8.0, "a mode"),
    TagRole.SETPOINT: (6.0, "a setpoint"),
    TagRole.OUTPUT: (6.0, "an output"),
}
_SAFETY = 20.0  # a safety-instrumented function is concerned
MAX_RISK = 100.0


def severity_of_verdict(verdict: Verdict) -> Severity | None:
    """None: the verdict says nothing that would raise a finding."""
    if verdict.judgement is not Judgement.UNSAFE:
        return None
    sure = verdict.probability is not None and verdict.probability >= _SURE
    return Severity.CRITICAL if sure or verdict.intent is Intent.TARGETED else Severity.HIGH


def lowered(severity: Severity) -> Severity:
    return Severity(max(Severity.INFO, severity - 1))


def together(confidences: list[float]) -> float:
    """Independent voices: one minus the chance that all of them err."""
    doubt = 1.0
    for confidence in confidences:
        doubt *= 1.0 - confidence
    return round(1.0 - doubt, 4)


def reckoned(finding: Finding, tags: TagMap | None) -> tuple[float, tuple[Term, ...]]:
    """(risk, its sum)."""
    terms = [Term(what=f"what was seen is {finding.severity.name.lower()}", points=_SEEN[finding.severity])]
    if finding.controller is not None:
        terms.append(Term(what=f"{finding.controller} is a controller, on ISA-95 level 1", points=_CONTROLS))
    terms += _of_tags(finding, tags)
    if finding.judgement is Judgement.UNSAFE:
        terms.append(Term(what="the twin saw an invariant broken", points=_HARM))
    elif finding.judgement is Judgement.SAFE and finding.severity < Severity.HIGH:
        terms.append(Term(what="the twin saw that nothing follows from what was commanded", points=_NO_HARM))
    consequence = min(MAX_RISK, max(0.0, sum(term.points for term in terms)))
    risk = round(consequence * finding.confidence, 1)
    return risk, (
        *terms,
        Term(what=f"likelihood {finding.confidence:.2f} of a consequence of {consequence:.0f}", points=round(risk - consequence, 1)),
    )


def _of_tags(finding: Finding, tags: TagMap | None) -> list[Term]:
    """The gravest thing that depends on a tag, and safety."""
    known = [tag for name in finding.tags if tags is not None and (tag := tags.by_name.get(name)) is not None]
    found = []
    if roles := [(*_ROLES[tag.role], tag.name) for tag in known if tag.role in _ROLES]:
        points, role, name = max(roles, key=lambda one: one[0])
        found.append(Term(what=f"{name} is {role}", points=points))
    if safety := next((tag.name for tag in known if tag.safety), None):
        found.append(Term(what=f"{safety} belongs to a safety-instrumented function", points=_SAFETY))
    return found
