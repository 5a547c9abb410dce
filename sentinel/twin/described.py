"""Models that are not of our components, in lines for a person: what they are, what they take and show, how far they can be believed."""

from collections.abc import Iterator

from sentinel.twin.arx import Arx
from sentinel.twin.arx_fit import ArxFit
from sentinel.twin.foreign import Binding, Foreign

_MAX_LISTED = 40


def describe(model: Foreign | Arx) -> Iterator[str]:
    yield from _fmu(model) if isinstance(model, Foreign) else _arx(model)
    yield ""


def _fmu(model: Foreign) -> Iterator[str]:
    fmu = model.fmu
    made = fmu.generator or "an unnamed tool"
    yield f"{model.plant.title} ({model.plant.name}), by an FMU: {fmu.name}, FMI {fmu.version}.0 co-simulation, made with {made}"
    if fmu.can_fork:
        yield "its state can be kept and put back: futures are compared from one state, and that it comes back is tried each time"
    else:
        yield "its state cannot be kept and put back: every future begins anew; for questions at the desk, not for verdicts"
    yield f"step {model.step_s:g} s; it is machine code: it runs in a process of its own, without files, network or rights"
    yield ""
    for what, bindings in (("inputs", model.given), ("outputs", model.shown), ("uncertain parameters", model.parameters)):
        yield f"{what} ({len(bindings)})"
        yield from (_line(one) for one in bindings[:_MAX_LISTED])
        if len(bindings) > _MAX_LISTED:
            yield f"  and {len(bindings) - _MAX_LISTED} more"
    starts = ", ".join(one.name for one in model.starts)
    yield f"starts that can be told: {starts or 'none'}"
    for remark in model.remarks[:_MAX_LISTED]:
        yield f"mind: {remark}"


def _line(one: Binding) -> str:
    variable = one.variable
    start = "" if variable.start is None else f"start {variable.start:g}"
    return f"  {one.name:<20} {variable.name:<20} {variable.unit or '1':<10} {start:<14} {variable.says}".rstrip()


def _arx(model: Arx) -> Iterator[str]:
    yield f"{model.plant.title} ({model.plant.name}), without a model: a linear recursion of step {model.step_s:g} s, fitted to a recording"
    for caveat in model.caveats:
        yield f"mind: {caveat}"
    yield ""
    yield f"driven by: {', '.join(one.tag for one in model.inputs) or 'nothing'}"
    yield "error of each tag on what was held out of the fit"
    for output, error in zip(model.outputs, model.errors, strict=True):
        yield f"  {output.tag:<12} {error:10.3g} {output.unit:<6} {100 * error / (output.high - output.low):8.2f} % of range"


def told(found: ArxFit) -> Iterator[str]:
    """What a fit found."""
    hang = "tags that hang on each other" if found.is_coupled else "each tag by itself"
    yield f"{found.rows} steps of {found.step_s:g} s, {found.lags} lags, ridge {found.ridge:g}, {hang}"
    yield "low trust: what it finds broken is a warning, what it finds kept is no proof"
    if found.unmoved:
        yield f"stood still, so that nothing is known of them: {', '.join(found.unmoved)}"
    if found.unread:
        yield f"not in the recording: {', '.join(found.unread)}"
    yield ""
    yield "error over ten minutes ahead on what was held out, beside the guess that nothing changes"
    yield f"{'tag':<12} {'error':>10} {'still':>10} {'unit':<6} {'of range':>10}"
    for one in found.tags:
        yield f"{one.tag:<12} {one.error:10.3g} {one.still:10.3g} {one.unit:<6} {100 * one.error / one.span:8.2f} %"
