"""The loop over an FMU's steps in compiled code: a step and its outputs cost what the FMU takes, not what Python takes.

In: addresses of the FMU's functions.  Out: `advance`, which fills an array of outputs and says how far it came.  Signatures: FMI 2.0.4,
4.2.2 (fmi2DoStep) and 2.1.7 (fmi2GetReal); FMI 3.0.2, 4.2.1.2 (fmi3DoStep) and 2.2.6.2 (fmi3GetFloat64).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sentinel.twin.machine import POINTER, REAL, WHOLE, Code, assemble

F8 = NDArray[np.float64]

OK, WARNING, DISCARD, ERROR, FATAL = range(5)
TERMINATED = 100  # ours: it asked for the simulation to end (fmi3DoStep)
_STEP = {
    2: "%status = call i32 %step(ptr %it, double %time, double %h, i32 0)",
    3: "%status = call i32 %step(ptr %it, double %time, double %h, i1 zeroext 0, ptr %flags, ptr %ends, ptr %early, ptr %last)",
}
_GET = {
    2: "%got = call i32 %get(ptr %it, ptr %references, i64 %count, ptr %row)",
    3: "%got = call i32 %get(ptr %it, ptr %references, i64 %count, ptr %row, i64 %count)",
}
_TEXT = """
define void @run(ptr %it, ptr %step, ptr %get, ptr %references, i64 %count, double %begin, double %h, i64 %steps, ptr %out, ptr %result) {{
entry:
  %flags = alloca [4 x i8]
  %last = alloca double
  %ends = getelementptr i8, ptr %flags, i64 1
  %early = getelementptr i8, ptr %flags, i64 2
  store i32 0, ptr %flags
  br label %loop
loop:
  %k = phi i64 [0, %entry], [%next, %continue]
  %left = icmp slt i64 %k, %steps
  br i1 %left, label %work, label %done
work:
  %whole = sitofp i64 %k to double
  %since = fmul double %whole, %h
  %time = fadd double %begin, %since
  {step}
  %bad = icmp ugt i32 %status, 1
  br i1 %bad, label %failed, label %stepped
stepped:
  %end = load i8, ptr %ends
  %ended = icmp ne i8 %end, 0
  br i1 %ended, label %failed, label %read
read:
  %offset = mul i64 %k, %count
  %row = getelementptr double, ptr %out, i64 %offset
  {get}
  %lost = icmp ugt i32 %got, 1
  br i1 %lost, label %failed, label %continue
continue:
  %next = add i64 %k, 1
  br label %loop
failed:
  %why = phi i32 [%status, %work], [{terminated}, %stepped], [%got, %read]
  %code = zext i32 %why to i64
  br label %done
done:
  %how = phi i64 [0, %loop], [%code, %failed]
  store i64 %k, ptr %result
  %second = getelementptr i64, ptr %result, i64 1
  store i64 %how, ptr %second
  ret void
}}
"""


@dataclass(frozen=True, slots=True)
class Loop:
    _code: Code

    def advance(self, instance: int, step: int, get: int, references: NDArray[np.uint32], begin_s: float, step_s: float, out: F8) -> int:
        """The status of the step that failed, OK when all came through.  ``out``: (steps, outputs), a row after each step."""
        result = np.zeros(2, np.int64)
        self._code.run(
            instance, step, get, references.ctypes.data, len(references), begin_s, step_s, len(out), out.ctypes.data, result.ctypes.data
        )
        return int(result[1])


def compiled(version: int) -> Loop:
    text = _TEXT.format(step=_STEP[version], get=_GET[version], terminated=TERMINATED)
    return Loop(assemble(text, (POINTER, POINTER, POINTER, POINTER, WHOLE, REAL, REAL, WHOLE, POINTER, POINTER)))
