"""The filter as the kernel would run it: a small interpreter of classic BPF."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.syscall_filter import FIONBIO, MACHINES, program

ALLOW, KILL, EPERM = 0x7FFF0000, 0x80000000, 0x00050001
X86_64 = 0xC000003E


def run(number: int, *arguments: int, architecture: int = X86_64) -> int:
    given_arguments = (*arguments, 0, 0, 0, 0, 0, 0)[:6]
    octets = struct.pack("=IIQ6Q", number, architecture, 0, *given_arguments)
    code = list(struct.iter_unpack("=HBBI", program("x86_64")))
    accumulator, at = 0, 0
    while True:
        operation, yes, no, operand = code[at]
        at += 1
        match operation:
            case 0x20:
                (accumulator,) = struct.unpack_from("=I", octets, operand)
            case 0x15:
                at += yes if accumulator == operand else no
            case 0x35:
                at += yes if accumulator >= operand else no
            case 0x45:
                at += yes if accumulator & operand else no
            case 0x06:
                return int(operand)
            case _:
                raise AssertionError(f"operation {operation:#x}")


def test_listed_calls_pass_and_all_others_are_refused() -> None:
    known = MACHINES["x86_64"].calls
    free = {number for name, number in known.items() if name not in ("mmap", "mprotect", "ioctl")}
    assert {number for number in range(600) if run(number) == ALLOW} == free | {known["mmap"], known["mprotect"]}
    assert all(run(number) == EPERM for number in range(600) if number not in known.values())


@pytest.mark.parametrize("call", ["mmap", "mprotect"])
def test_memory_may_not_be_executable(call: str) -> None:
    number = MACHINES["x86_64"].calls[call]
    assert run(number, 0, 4096, 3) == ALLOW
    assert run(number, 0, 4096, 7) == EPERM
    assert run(number, 0, 4096, 4) == EPERM


def test_of_ioctl_only_non_blocking_mode() -> None:
    assert run(16, 5, FIONBIO) == ALLOW
    assert run(16, 5, 0x5401) == EPERM


def test_other_architectures_are_killed() -> None:
    assert run(0, architecture=0x40000003) == KILL  # i386, where 0 is restart_syscall


@given(st.integers(0x40000000, 0xFFFFFFFF))
def test_the_x32_numbers_are_refused(number: int) -> None:
    assert run(number) == EPERM


def test_an_unknown_machine_has_no_filter() -> None:
    with pytest.raises(NotImplementedError, match="m68k"):
        program("m68k")
