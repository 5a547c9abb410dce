"""The door to LLVM: the text of one function becomes machine code in memory, without a compiler on the box.

In: LLVM IR.  Out: a function that ctypes calls, which releases the interpreter lock.  Nothing is optimised that would change a bit of a
result: no fast-math, no fused multiply-add.
"""

import ctypes
from collections.abc import Callable
from dataclasses import dataclass

import llvmlite.binding as llvm

LANES = 8
VEC = f"<{LANES} x double>"
# "stackrealign": vectors that leave the registers lie on whole cache lines
ATTRIBUTES = 'attributes #0 = { nounwind "stackrealign" "prefer-vector-width"="512" "min-legal-vector-width"="512" }'

POINTER, WHOLE, REAL = ctypes.c_void_p, ctypes.c_int64, ctypes.c_double


@dataclass(frozen=True, slots=True, kw_only=True)
class Code:
    run: Callable[..., None]
    keep: tuple[object, ...]  # owns the machine code
    processor: str  # "native" or "portable"


def assemble(text: str, arguments: tuple[type, ...], portable: bool = False) -> Code:
    """Of the function ``run`` in `text`: for this processor, or where LLVM does not know it for any of its family."""
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    if not portable:
        try:
            return _assemble(text, arguments, llvm.get_host_cpu_name(), llvm.get_host_cpu_features().flatten(), "native")
        except RuntimeError:
            pass  # an unknown processor: the plain instruction set of its family serves every one
    return _assemble(text, arguments, "", "", "portable")


def _assemble(text: str, arguments: tuple[type, ...], cpu: str, features: str, processor: str) -> Code:
    machine = llvm.Target.from_default_triple().create_target_machine(cpu=cpu, features=features, opt=2)
    module = llvm.parse_assembly(text)
    module.verify()
    builder = llvm.create_pass_builder(machine, llvm.create_pipeline_tuning_options(speed_level=2))
    passes = builder.getModulePassManager()
    passes.run(module, builder)
    engine = llvm.create_mcjit_compiler(module, machine)
    engine.finalize_object()
    function = ctypes.CFUNCTYPE(None, *arguments)(engine.get_function_address("run"))
    return Code(run=function, keep=(engine,), processor=processor)
