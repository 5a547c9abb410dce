"""A plan as a Gantt picture: SVG text, machines as rows, one bar per operation, unavailability hatched, due dates as marks.

In: the shop and a plan with decisions.  Out: a standalone SVG document; every name in it is escaped, nothing is loaded from elsewhere.
Jobs are told apart by a label and a tooltip, not by colour alone.
"""

import math
from html import escape

from sentinel.model.plan import Plan
from sentinel.optimise.problem import Shop

_ROW, _BAR, _LEFT, _TOP, _WIDTH = 28, 20, 120, 44, 1000  # pixels
_TICKS = 10
_MAX_LABEL = 24


def draw(shop: Shop, plan: Plan) -> str:
    """Raises ValueError for a plan without decisions."""
    if not plan.decisions:
        raise ValueError("a plan without decisions has no picture")
    end = max(1, *(row["end"] for row in plan.decisions))
    scale = _WIDTH / end
    rows = {machine.name: index for index, machine in enumerate(shop.machines)}
    hues = {job.name: index * 137.508 % 360 for index, job in enumerate(shop.jobs)}  # the golden angle keeps neighbours apart
    height = _TOP + _ROW * len(rows) + 30
    parts = [_head(shop, plan, height), *_axis(end, scale, len(rows), shop.time_unit)]
    for name, index in rows.items():
        top = _TOP + _ROW * index
        parts.append(f'<text x="{_LEFT - 8}" y="{top + 18}" text-anchor="end">{_short(name)}</text>')
    for machine in shop.machines:
        for start, until in machine.unavailable:
            if start < end:
                parts.append(_bar(rows[machine.name], start, min(until, end), scale, "url(#blocked)", f"{machine.name}: unavailable"))
    for row in plan.decisions:
        told = f"{row['job']}, {row['operation']} on {row['machine']}: {row['start']} to {row['end']}"
        told += "".join(f"; {tag} = {value:g}" for tag, value in row.get("writes", {}).items())
        parts.append(_bar(rows[row["machine"]], row["start"], row["end"], scale, f"hsl({hues[row['job']]:.0f} 60% 78%)", told, row["job"]))
    for job in shop.jobs:
        if job.due is not None and job.due <= end:
            x = _LEFT + job.due * scale
            parts.append(f'<path d="M{x:.1f} {_TOP - 14}v10" stroke="#a00"><title>{escape(job.name)} is due at {job.due}</title></path>')
    return "\n".join([*parts, "</svg>"]) + "\n"


def _head(shop: Shop, plan: Plan, height: int) -> str:
    title = f"{escape(shop.name)}: {escape(plan.status)}, objective {plan.objective:g}, bound {plan.bound:g}"
    box = f"0 0 {_LEFT + _WIDTH + 20} {height}"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="{box}" font-family="sans-serif" font-size="12" role="img">\n'
        f"<title>{title}</title>\n"
        '<defs><pattern id="blocked" width="6" height="6" patternUnits="userSpaceOnUse" patternTransform="rotate(45)">'
        '<rect width="6" height="6" fill="#eee"/><path d="M0 0v6" stroke="#999" stroke-width="2"/></pattern></defs>\n'
        f'<rect width="100%" height="100%" fill="#fff"/>\n<text x="{_LEFT}" y="18" font-weight="bold">{title}</text>'
    )


def _axis(end: int, scale: float, rows: int, unit: str) -> list[str]:
    step = 10 ** math.floor(math.log10(max(1, end / _TICKS)))
    step = next(int(step * factor) for factor in (1, 2, 5, 10, 20) if end / (step * factor) <= _TICKS * 1.5)
    bottom, parts = _TOP + _ROW * rows, []
    for tick in range(0, end + 1, max(1, step)):
        x = _LEFT + tick * scale
        parts.append(
            f'<path d="M{x:.1f} {_TOP}V{bottom}" stroke="#ddd"/><text x="{x:.1f}" y="{bottom + 16}" text-anchor="middle">{tick}</text>'
        )
    if unit != "1":
        parts.append(f'<text x="{_LEFT - 8}" y="{bottom + 16}" text-anchor="end">{escape(unit)}</text>')
    return parts


def _bar(index: int, start: int, end: int, scale: float, fill: str, told: str, label: str = "") -> str:
    x, width, top = _LEFT + start * scale, max(0.5, (end - start) * scale), _TOP + _ROW * index + (_ROW - _BAR) / 2
    rectangle = f'<rect x="{x:.1f}" y="{top:.0f}" width="{width:.1f}" height="{_BAR}" fill="{fill}" stroke="#555" stroke-width="0.5"/>'
    text = ""
    if label and width >= 7 * len(label) + 4:
        text = f'<text x="{x + width / 2:.1f}" y="{top + 14:.0f}" text-anchor="middle">{escape(label)}</text>'
    return f"<g><title>{escape(told)}</title>{rectangle}{text}</g>"


def _short(name: str) -> str:
    return escape(name if len(name) <= _MAX_LABEL else name[: _MAX_LABEL - 1] + "…")
