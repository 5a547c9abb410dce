"""`python -m sandbox.fmu`: a job on standard input, its answer on standard output, then the end.

The process enters namespaces of its own, locks itself in and proves it, and only then loads the FMU.  What the FMU prints goes nowhere.
"""

import os
import sys

from sandbox import kernel
from sandbox.fmu.binding import FmuError, Library
from sandbox.fmu.drive import drive
from sandbox.fmu.job import MAX_REASON_OCTETS, REFUSED, Job, encode
from sandbox.isolation import enter_namespaces, foreign_layers, lock_down
from sentinel.errors import IsolationError


def main() -> None:
    job = Job.decode(sys.stdin.buffer.read())
    answer = os.dup(1)
    nowhere = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(nowhere, stream)
    try:
        _enter()
        library = Library(
            os.path.join(job.directory, job.library), os.path.join(job.directory, "resources"), job.version, job.name, job.token
        )
        lock_down(foreign_layers(job.directory))
        octets = encode(drive(job, library))
    except (FmuError, IsolationError, MemoryError) as error:
        octets = REFUSED + f"{error or 'it asks for more memory than it may have'}".encode()[:MAX_REASON_OCTETS]
    while octets:
        octets = octets[os.write(answer, octets) :]
    os._exit(0)  # not by way of the FMU's own destructors


def _enter() -> None:
    missing = [f"{one.name}: {one.says}" for one in enter_namespaces() if not one.holds]
    if missing:
        raise IsolationError(f"this machine cannot isolate an FMU: {'; '.join(missing)}")


if __name__ == "__main__":
    kernel.prctl(kernel.PR_SET_PDEATHSIG, 9)
    main()
