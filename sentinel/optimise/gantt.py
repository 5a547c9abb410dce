"""A plan as a Gantt picture: SVG text, machines as rows, one bar per operation, unavailability hatched, due dates as marks.

In: the shop and a plan with decisions.  Out: a standalone SVG document; every name in it is escaped, nothing is loaded from elsewhere.
Jobs are told apart by a label and a tooltip, not by colour alone; the due date of a job that is late is red and says so in its tooltip.
"""

import math
from collections.abc import Iterator
from html import escape

from sentinel.model.plan import Plan
from sentinel.optimise.problem import Shop

_ROW, _BAR, _TOP, _WIDTH = 28, 20, 62, 1000  # pixels
_CHARACTER, _GAP = 7, 8  # pixels: a character of the 12 px font at most, and what is left between a name and its row
_TICKS = 10
_MAX_LABEL = 24


def draw(shop: Shop, plan: Plan) -> str:
    """Raises ValueError for a plan without decisions."""
    if not plan.decisions:
        raise ValueError("a plan without decisions has no picture")
    end = max(1, *(row["end"] for row in plan.decisions))
    left = 2 * _GAP + _CHARACTER * max(len(shop.time_unit), *(len(_short(machine.name)) for machine in shop.machines))
    scale = _WIDTH / end
    rows = {machine.name: index for index, machine in enumerate(shop.machines)}
    hues = {job.name: index * 137.508 % 360 for index, job in enumerate(shop.jobs)}  # the golden angle keeps neighbours apart
    parts = [*_head(shop, plan, left, _TOP + _ROW * len(rows) + 30), *_axis(end, left, scale, len(rows), shop.time_unit)]
    for name, index in rows.items():
        parts.append(f'<text x="{left - _GAP}" y="{_TOP + _ROW * index + 18}" text-anchor="end">{escape(_short(name))}</text>')
    for machine in shop.machines:
        for start, until in machine.unavailable:
            if start < end:
                told = f"{machine.name}: unavailable from {start} to {until}"
                parts.append(_bar(rows[machine.name], left + start * scale, (min(until, end) - start) * scale, "url(#blocked)", told))
    for row in plan.decisions:
        told = f"{row['job']}, {row['operation']} on {row['machine']}: {row['start']} to {row['end']}"
        told += "".join(f"; {tag} = {value:g}" for tag, value in row.get("writes", {}).items())
        x, width = left + row["start"] * scale, (row["end"] - row["start"]) * scale
        parts.append(_bar(rows[row["machine"]], x, width, f"hsl({hues[row['job']]:.0f} 60% 78%)", told, row["job"]))
    return "\n".join([*parts, *_due_dates(shop, plan, end, left, scale), "</svg>"]) + "\n"


def _head(shop: Shop, plan: Plan, left: int, height: int) -> Iterator[str]:
    title = f"{escape(shop.name)}: {escape(plan.status)}, objective {plan.objective:g}, bound {plan.bound:g}"
    width = left + _WIDTH + 20
    yield (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}" '
        'font-family="sans-serif" font-size="12" role="img">'
    )
    yield f"<title>{title}</title>"
    yield (
        '<defs><pattern id="blocked" width="6" height="6" patternUnits="userSpaceOnUse" patternTransform="rotate(45)">'
        '<rect width="6" height="6" fill="#eee"/><path d="M0 0v6" stroke="#999" stroke-width="2"/></pattern></defs>'
    )
    yield f'<rect width="100%" height="100%" fill="#fff"/>\n<text x="{left}" y="18" font-weight="bold">{title}</text>'


def _axis(end: int, left: int, scale: float, rows: int, unit: str) -> Iterator[str]:
    step = 10 ** math.floor(math.log10(max(1, end / _TICKS)))
    step = next(int(step * factor) for factor in (1, 2, 5, 10, 20) if end / (step * factor) <= _TICKS * 1.5)
    bottom = _TOP + _ROW * rows
    for tick in range(0, end + 1, max(1, step)):
        x = left + tick * scale
        yield f'<path d="M{x:.1f} {_TOP}V{bottom}" stroke="#ddd"/><text x="{x:.1f}" y="{bottom + 16}" text-anchor="middle">{tick}</text>'
    if unit != "1":
        yield f'<text x="{left - _GAP}" y="{bottom + 16}" text-anchor="end">{escape(unit)}</text>'


def _due_dates(shop: Shop, plan: Plan, end: int, left: int, scale: float) -> Iterator[str]:
    """Marks above the rows; a name beside its mark where it does not run into the one before."""
    ends: dict[str, int] = {}
    for row in plan.decisions:
        ends[row["job"]] = max(row["end"], ends.get(row["job"], 0))
    free_from = 0.0
    for due, name in sorted((job.due, job.name) for job in shop.jobs if job.due is not None and job.due <= end):
        late = ends[name] - due
        told = f"{name} is due at {due}" + (f" and {late} late" if late > 0 else "")
        x, colour, label = left + due * scale, "#a00" if late > 0 else "#555", f"{_short(name)} due"
        text, width = "", _CHARACTER * len(label)
        if x >= free_from and x + width <= left + _WIDTH + 20:
            text = f'<text x="{x + 4:.1f}" y="{_TOP - 16}" fill="{colour}">{escape(label)}</text>'
            free_from = x + width
        yield f'<g><title>{escape(told)}</title><path d="M{x:.1f} {_TOP - 26}v24" stroke="{colour}" stroke-width="2"/>{text}</g>'


def _bar(index: int, x: float, width: float, fill: str, told: str, label: str = "") -> str:
    width, top = max(0.5, width), _TOP + _ROW * index + (_ROW - _BAR) / 2
    rectangle = f'<rect x="{x:.1f}" y="{top:.0f}" width="{width:.1f}" height="{_BAR}" fill="{fill}" stroke="#555" stroke-width="0.5"/>'
    text = ""
    if label and width >= _CHARACTER * len(label) + 4:
        text = f'<text x="{x + width / 2:.1f}" y="{top + 14:.0f}" text-anchor="middle">{escape(label)}</text>'
    return f"<g><title>{escape(told)}</title>{rectangle}{text}</g>"


def _short(name: str) -> str:
    return name if len(name) <= _MAX_LABEL else name[: _MAX_LABEL - 1] + "…"
