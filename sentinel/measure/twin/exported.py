"""The same plant as an FMU, driven by FMPy step for step and by our own loop: what a plant that brings an FMU has to wait for.

In: a model and a snapshot.  Out: `Rival`s.  The equations are those that the other rivals compute, as C, compiled here: where there is no C
compiler, or no FMPy (which is for tests only), the rival is left out.
"""

import shutil
import subprocess
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from numpy.typing import NDArray

from sandbox.fmu.client import ask
from sandbox.fmu.job import Job
from sentinel.clock import Clock
from sentinel.measure.twin.rivals import STAGES, Rival, Task, statements
from sentinel.twin.elementary import ROUNDER
from sentinel.twin.engine import Model, Rollout, Snapshot

F8 = NDArray[np.float64]

NAME, TOKEN, DEADLINE_S = "plant", "bench", 120.0
_FIRST = {"x": 0, "c": 10_000, "p": 20_000, "u": 30_000}  # value references of each array's first element

_HEAD = """#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#define inf INFINITY
#define sqrt __builtin_sqrt
static inline double minimum(double a, double b) { return a < b ? a : b; }
static inline double maximum(double a, double b) { return a > b ? a : b; }
static inline double where(int yes, double a, double b) { return yes ? a : b; }
static inline double absolute(double a) { return fabs(a); }
static inline double scale(double rounded) { return ldexp(1.0, (int)(rounded - ROUNDER)); }
static inline double exponent(double a) { int e; frexp(a, &e); return e - 1.0; }
static inline double significand(double a) { int e; return 2.0 * frexp(a, &e); }
"""
_TAIL = """
static double *at(plant *it, uint32_t r) {
    double *arrays[] = {it->x, it->c, it->p, it->u};
    return arrays[r / 10000] + r % 10000;
}
int fmi2DoStep(plant *it, double t, double h, int no_way_back) {
    for (int k = 0, n = (int)(h / DT + 0.5); k < n; k++) step(it, DT);
    return 0;
}
void *fmi2Instantiate(const char *name, int type, const char *guid, const char *where, const void *callbacks, int visible, int logging) {
    return calloc(1, sizeof(plant));
}
void fmi2FreeInstance(void *it) { free(it); }
int fmi2SetupExperiment(void *it, int td, double t, double begin, int sd, double stop) { return 0; }
int fmi2EnterInitializationMode(void *it) { return 0; }
int fmi2ExitInitializationMode(void *it) { return 0; }
int fmi2Terminate(void *it) { return 0; }
int fmi2Reset(void *it) { memset(it, 0, sizeof(plant)); return 0; }
int fmi2SetReal(plant *it, const uint32_t *r, size_t n, const double *v) { for (size_t i = 0; i < n; i++) *at(it, r[i]) = v[i]; return 0; }
int fmi2GetReal(plant *it, const uint32_t *r, size_t n, double *v) { for (size_t i = 0; i < n; i++) v[i] = *at(it, r[i]); return 0; }
int fmi2GetFMUstate(plant *it, void **s) { if (!*s) *s = malloc(sizeof *it); memcpy(*s, it, sizeof *it); return 0; }
int fmi2SetFMUstate(plant *it, void *s) { memcpy(it, s, sizeof *it); return 0; }
int fmi2FreeFMUstate(plant *it, void **s) { free(*s); *s = NULL; return 0; }
"""
# what FMPy binds when it loads a library, whether it is used or not
_UNUSED = (
    "GetTypesPlatform", "GetVersion", "SetDebugLogging", "GetInteger", "GetBoolean", "GetString", "SetInteger", "SetBoolean", "SetString",
    "SerializedFMUstateSize", "SerializeFMUstate", "DeSerializeFMUstate", "GetDirectionalDerivative", "SetRealInputDerivatives",
    "GetRealOutputDerivatives", "CancelStep", "GetStatus", "GetRealStatus", "GetIntegerStatus", "GetBooleanStatus", "GetStringStatus",
)  # fmt: skip


def source(model: Model) -> str:
    """C of an FMI 2.0 co-simulation FMU with the plant's equations, scans and invariants; values are SI."""
    plant = model.plant
    sizes = {"x": len(plant.states), "c": 2 * len(plant.controllers), "trip": len(plant.interlocks), "p": len(plant.parameters)}
    sizes |= {"u": len(plant.inputs), "worst": len(plant.invariants)}
    fields = " ".join(f"double {name}[{max(size, 1)}];" for name, size in sizes.items())
    arguments = "double *x, double *c, double *trip, const double *p, const double *u, double dt, double *out"
    functions = [
        f"static void {name}({arguments}) {{\n" + "\n".join(f"    {'double ' if _is_new(line) else ''}{line};" for line in lines) + "\n}"
        for name, lines in statements(model).items()
    ]
    times, weights = STAGES[plant.method]
    given = "it->c, it->trip, it->p, it->u, dt"
    body = [
        f"    double k[{len(weights)}][{sizes['x']}], at[{sizes['x']}], far[{max(sizes['worst'], 1)}];",
        f"    scan(it->x, {given}, far);",
    ]
    for stage in range(len(weights)):
        begin = "it->x" if not stage else "at"
        if stage:
            body.append(f"    for (int i = 0; i < {sizes['x']}; i++) at[i] = it->x[i] + {times[stage - 1]!r} * dt * k[{stage - 1}][i];")
        body.append(f"    rates({begin}, {given}, k[{stage}]);")
    summed = " + ".join(f"{weight!r} * k[{stage}][i]" for stage, weight in enumerate(weights) if weight)
    body += [
        f"    for (int i = 0; i < {sizes['x']}; i++) it->x[i] += dt * ({summed});",
        f"    hold(it->x, {given}, far);",
        f"    watch(it->x, {given}, far);",
        f"    for (int i = 0; i < {sizes['worst']}; i++) it->worst[i] = minimum(it->worst[i], far[i]);",
    ]
    unused = "\n".join(f"int fmi2{name}(void) {{ return 3; }}" for name in _UNUSED)
    step = "static void step(plant *it, double dt) {\n" + "\n".join(body) + "\n}"
    return "\n".join([_HEAD, f"typedef struct {{ {fields} }} plant;", *functions, step, _TAIL, unused])


def _is_new(line: str) -> bool:
    """Whether it names an intermediate value, not an element of an array."""
    return "[" not in line.partition("=")[0]


def fmu_rivals(
    model: Model, start: Snapshot, writes: Mapping[str, float], ours: Rollout, horizon_s: float, clock: Clock
) -> dict[str, Rival]:
    """One communication step for each of the engine's steps, the states read after each."""
    if shutil.which("cc") is None:
        return {}
    task = Task(model, start, writes, horizon_s, ours)
    with TemporaryDirectory(prefix="fmu-") as name:
        directory = Path(name)
        begun = clock.monotonic_s()
        library = _built(model, directory)
        built_s = clock.monotonic_s() - begun
        found = {"FMU, our loop": _by_us(task, library, directory, built_s, clock)}
        if find_spec("fmpy") is not None:
            found["FMU, FMPy"] = _by_fmpy(task, directory, built_s, clock)
    return found


def _built(model: Model, directory: Path) -> Path:
    library = directory / f"binaries/linux64/{NAME}.so"
    library.parent.mkdir(parents=True)
    (directory / "resources").mkdir()
    directory.chmod(0o755)
    written = directory / "plant.c"
    written.write_text(source(model), encoding="utf-8")
    words = ["cc", "-std=c11", "-O3", "-march=native", "-fPIC", "-shared", "-w", f"-DROUNDER={ROUNDER!r}", f"-DDT={model.step_s!r}"]
    subprocess.run([*words, str(written), "-o", str(library), "-lm"], check=True)
    return library


def _by_us(task: Task, library: Path, directory: Path, built_s: float, clock: Clock) -> Rival:
    """All members, the process that locks itself in included."""
    x, c, p, u = task.arrays()
    model = task.model
    job = Job(
        directory=str(directory),
        library=str(library.relative_to(directory)),
        version=2,
        name=NAME,
        token=TOKEN,
        can_fork=True,
        step_s=model.step_s,
        steps=round(task.horizon_s / model.step_s),
        every=round(task.horizon_s / model.step_s),
        members=x.shape[1],
        parameter_references=_references("p", p),
        parameters=p.T.tolist(),
        start_references=[*_references("x", x), *_references("c", c)],
        starts=np.concatenate([x, c]).T.tolist(),
        input_references=_references("u", u),
        input_kinds=["real"] * len(u),
        futures=[[(0, u.tolist())]],
        outputs=_references("x", x),
        limits=[],
        record=[],
    )
    begun = clock.monotonic_s()
    (lived,) = ask(job, NAME, DEADLINE_S)
    took_s = clock.monotonic_s() - begun
    return Rival(members=x.shape[1], wall_ms=1e3 * took_s, build_s=built_s, difference=task.difference(lived.final[: len(x)]))


def _by_fmpy(task: Task, directory: Path, built_s: float, clock: Clock) -> Rival:
    """One member, in this process: the machine code is our own."""
    from fmpy.fmi2 import FMU2Slave

    x, c, p, u = task.arrays()
    slave = FMU2Slave(guid=TOKEN, unzipDirectory=str(directory), modelIdentifier=NAME, instanceName=NAME)
    slave.instantiate()
    slave.setupExperiment(startTime=0.0)
    slave.enterInitializationMode()
    for name, values in (("x", x[:, 0]), ("c", c[:, 0]), ("p", p[:, 0]), ("u", u)):
        slave.setReal(_references(name, values), values.tolist())
    slave.exitInitializationMode()
    states, step_s = _references("x", x), task.model.step_s
    begun = clock.monotonic_s()
    for step in range(round(task.horizon_s / step_s)):
        slave.doStep(step * step_s, step_s)
        final = slave.getReal(states)
    took_s = clock.monotonic_s() - begun
    slave.terminate()
    slave.freeInstance()
    return Rival(members=1, wall_ms=1e3 * took_s, build_s=built_s, difference=task.difference(np.array(final).reshape(-1, 1)))


def _references(name: str, values: F8) -> list[int]:
    return list(range(_FIRST[name], _FIRST[name] + len(values)))
