"""The filter's arithmetic as machine code: readings correct an ensemble, one after the other.

In: rows (quantities) by lanes, and per reading which row forecasts it.  Out: the rows, corrected in place, and which readings were used.
Sums are taken in a fixed order, so every processor comes to the same bits.  It is the serial ensemble square-root filter of Whitaker and
Hamill (Monthly Weather Review 130, 2002); no random numbers: the anomalies shrink by exactly what was learnt.
"""

from functools import cache

import numpy as np
from numpy.typing import NDArray

from sentinel.twin.machine import ATTRIBUTES, LANES, POINTER, REAL, VEC, WHOLE, Code, assemble

F8 = NDArray[np.float64]

_UNROLLED = 4  # vectors side by side, so that an addition need not wait for the one before it
BLOCK = LANES * _UNROLLED  # lanes come in whole blocks


def padded(members: int) -> int:
    """Lanes that hold so many members."""
    return -(-members // BLOCK) * BLOCK


def correct(
    rows: F8, members: int, gains: F8, forecasts: NDArray[np.int64], values: F8, variances: F8, outlier: float
) -> NDArray[np.bool_]:
    """`rows[forecasts[k]]` predicts `values[k]`, read with `variances[k]`; the first `members` lanes count.

    `gains` (readings, rows), 0 to 1, damps or bars what a reading may correct.  A reading further than `outlier` standard deviations from
    its forecast corrects nothing.
    """
    quantities, lanes = rows.shape
    readings = len(forecasts)
    shapes = gains.shape == (readings, quantities) and len(values) == len(variances) == readings and lanes == padded(members)
    if not (shapes and rows.flags.c_contiguous and members > 1 and (forecasts >= 0).all() and (forecasts < quantities).all()):
        raise ValueError(f"{readings} readings by {quantities} rows of {lanes} lanes for {members} members do not fit")
    weights = np.zeros(lanes)
    weights[:members] = 1.0
    scratch, used = np.empty((2, lanes)), np.zeros(readings, np.int64)
    gains, values, variances = (np.ascontiguousarray(one, np.float64) for one in (gains, values, variances))
    forecasts = np.ascontiguousarray(forecasts, np.int64)
    _code().run(
        lanes,
        quantities,
        readings,
        float(members),
        outlier * outlier,
        rows.ctypes.data,
        weights.ctypes.data,
        gains.ctypes.data,
        forecasts.ctypes.data,
        values.ctypes.data,
        variances.ctypes.data,
        scratch.ctypes.data,
        used.ctypes.data,
    )
    return used.astype(np.bool_)


@cache
def _code(portable: bool = False) -> Code:
    return assemble(_text(), (WHOLE, WHOLE, WHOLE, REAL, REAL, *(POINTER,) * 8), portable)


def _text() -> str:
    """Loops over lanes are written out `_UNROLLED` vectors wide."""
    lines = [
        f"declare double @llvm.vector.reduce.fadd.v{LANES}f64(double, {VEC})",
        "declare double @llvm.sqrt.f64(double)",
        "define void @run(i64 %lanes, i64 %quantities, i64 %readings, double %members, double %outlier2, ptr noalias %rows, "
        "ptr noalias %weights, ptr noalias %gains, ptr noalias %forecasts, ptr noalias %values, ptr noalias %variances, "
        "ptr noalias %anomaly, ptr noalias %used) #0 {",
        "entry:",
        "  %shift = getelementptr double, ptr %anomaly, i64 %lanes",
        "  %others = fsub double %members, 1.0",
        "  br label %reading",
        "reading:",
        "  %k = phi i64 [ 0, %entry ], [ %k1, %next ]",
        "  %more = icmp slt i64 %k, %readings",
        "  br i1 %more, label %predict, label %end",
        "end:",
        "  ret void",
        "predict:",
        *_fetch("forecast", "i64", "%forecasts", "%k"),
        *_fetch("value", "double", "%values", "%k"),
        *_fetch("variance", "double", "%variances", "%k"),
        "  %at = mul i64 %forecast, %lanes",
        "  %predicted = getelementptr double, ptr %rows, i64 %at",
        *_lanes("sum", "predict", ["%predicted", "%weights"], ["  {v} = fmul {VEC} {0}, {1}"], summed=True),
        "  %mean = fdiv double %sum, %members",
        *_splat("means", "%mean"),
        *_lanes(
            "square",
            "sum.end",
            ["%predicted", "%weights"],
            [
                "  {v}d = fsub {VEC} {0}, %means",
                "  {v}a = fmul {VEC} {v}d, {1}",
                "  {v} = fmul {VEC} {v}a, {v}a",
            ],
            summed=True,
            into=("%anomaly", "a"),
        ),
        "  %innovation = fsub double %value, %mean",
        "  %population = fdiv double %square, %members",
        "  %expected2 = fadd double %variance, %population",
        "  %allowed2 = fmul double %outlier2, %expected2",
        "  %innovation2 = fmul double %innovation, %innovation",
        "  %usable = fcmp ole double %innovation2, %allowed2",
        "  br i1 %usable, label %use, label %next",
        "use:",
        "  %spread = fdiv double %square, %others",
        "  %total = fadd double %spread, %variance",
        "  %ratio = fdiv double %variance, %total",
        "  %root = call double @llvm.sqrt.f64(double %ratio)",
        "  %one = fadd double 1.0, %root",
        "  %shrink = fdiv double 1.0, %one",
        "  %scale = fmul double %others, %total",
        *_splat("shrinks", "%shrink"),
        *_splat("innovations", "%innovation"),
        *_lanes(
            "shifts",
            "use",
            ["%anomaly"],
            ["  {v}s = fmul {VEC} %shrinks, {0}", "  {v} = fsub {VEC} %innovations, {v}s"],
            into=("%shift", ""),
        ),
        "  %flag = getelementptr i64, ptr %used, i64 %k",
        "  store i64 1, ptr %flag, align 8",
        "  %offset = mul i64 %k, %quantities",
        "  %own = getelementptr double, ptr %gains, i64 %offset",
        "  br label %row",
        "row:",
        "  %q = phi i64 [ 0, %shifts.end ], [ %q1, %corrected ]",
        "  %left = icmp slt i64 %q, %quantities",
        "  br i1 %left, label %look, label %next",
        "look:",
        *_fetch("damped", "double", "%own", "%q"),
        "  %bears = fcmp une double %damped, 0.0",
        "  br i1 %bears, label %covary, label %corrected",
        "covary:",
        "  %begin = mul i64 %q, %lanes",
        "  %line = getelementptr double, ptr %rows, i64 %begin",
        *_lanes("product", "covary", ["%line", "%anomaly"], ["  {v} = fmul {VEC} {0}, {1}"], summed=True),
        "  %share = fmul double %damped, %product",
        "  %gain = fdiv double %share, %scale",
        *_splat("gain8", "%gain"),
        *_lanes(
            "moved",
            "product.end",
            ["%line", "%shift"],
            ["  {v}m = fmul {VEC} %gain8, {1}", "  {v} = fadd {VEC} {0}, {v}m"],
            into=("%line", ""),
        ),
        "  br label %corrected",
        "corrected:",
        "  %q1 = add i64 %q, 1",
        "  br label %row",
        "next:",
        "  %k1 = add i64 %k, 1",
        "  br label %reading",
        "}",
        ATTRIBUTES,
    ]
    return "\n".join(lines) + "\n"


def _fetch(name: str, kind: str, pointer: str, index: str) -> list[str]:
    return [f"  %{name}.p = getelementptr {kind}, ptr {pointer}, i64 {index}", f"  %{name} = load {kind}, ptr %{name}.p, align 8"]


def _splat(name: str, scalar: str) -> list[str]:
    return [
        f"  %{name}.1 = insertelement {VEC} poison, double {scalar}, i64 0",
        f"  %{name} = shufflevector {VEC} %{name}.1, {VEC} poison, <{LANES} x i32> zeroinitializer",
    ]


def _lanes(
    name: str, before: str, sources: list[str], body: list[str], summed: bool = False, into: tuple[str, str] | None = None
) -> list[str]:
    """A loop over all lanes, entered from the block `before`.

    `body` makes ``{v}`` from ``{0}`` and ``{1}``, vectors of `sources`.  When `summed`, ``%name`` is the sum of all.  `into`: the pointer
    that takes a value, and that value's suffix.
    """
    lines = [f"  br label %{name}.loop", f"{name}.loop:", f"  %{name}.i = phi i64 [ 0, %{before} ], [ %{name}.i1, %{name}.loop ]"]
    sums = [f"%{name}.s{u}" for u in range(_UNROLLED)] if summed else []
    lines += [f"  {one} = phi {VEC} [ zeroinitializer, %{before} ], [ {one}n, %{name}.loop ]" for one in sums]
    for u in range(_UNROLLED):
        offset, vector = f"%{name}.o{u}", f"%{name}.v{u}"
        lines.append(f"  {offset} = add i64 %{name}.i, {u * LANES}")
        loaded = []
        for n, source in enumerate(sources):
            lines.append(f"  {vector}p{n} = getelementptr double, ptr {source}, i64 {offset}")
            lines.append(f"  {vector}l{n} = load {VEC}, ptr {vector}p{n}, align 8")
            loaded.append(f"{vector}l{n}")
        lines += [line.format(*loaded, v=vector, VEC=VEC) for line in body]
        if into:
            lines.append(f"  {vector}q = getelementptr double, ptr {into[0]}, i64 {offset}")
            lines.append(f"  store {VEC} {vector}{into[1]}, ptr {vector}q, align 8")
        if summed:
            lines.append(f"  {sums[u]}n = fadd {VEC} {sums[u]}, {vector}")
    lines += [
        f"  %{name}.i1 = add i64 %{name}.i, {BLOCK}",
        f"  %{name}.go = icmp slt i64 %{name}.i1, %lanes",
        f"  br i1 %{name}.go, label %{name}.loop, label %{name}.end",
        f"{name}.end:",
    ]
    if summed:
        lines += [
            f"  %{name}.a = fadd {VEC} {sums[0]}n, {sums[1]}n",
            f"  %{name}.b = fadd {VEC} {sums[2]}n, {sums[3]}n",
            f"  %{name}.c = fadd {VEC} %{name}.a, %{name}.b",
            f"  %{name} = call double @llvm.vector.reduce.fadd.v{LANES}f64(double 0.0, {VEC} %{name}.c)",
        ]
    return lines
