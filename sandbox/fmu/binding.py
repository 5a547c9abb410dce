"""FMI by function pointer: instances of one FMU, told values, stepped, taken back to a kept state.

In: a library that has been unpacked.  Out: `Instance`.  `FmuError` says which function answered what, with what the FMU last logged.
Values are in the FMU's own units.  Nothing here trusts the FMU's memory: it must only run in a process that has locked itself in.
"""

import ctypes
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sandbox.fmu.loop import DISCARD, ERROR, FATAL, TERMINATED, WARNING, Loop, compiled

F8 = NDArray[np.float64]
P, D, I32, SIZE, TEXT, BOOL = ctypes.c_void_p, ctypes.c_double, ctypes.c_int, ctypes.c_size_t, ctypes.c_char_p, ctypes.c_bool

MAX_LOGGED = 300  # octets of a message
_STATUS = {WARNING: "warning", DISCARD: "discard", ERROR: "error", FATAL: "fatal", TERMINATED: "end of simulation", 5: "pending"}
_CO_SIMULATION = 1  # fmi2Type
# kind: (FMI 2 function, C type), (FMI 3 function, C type)
_SETTERS: dict[str, tuple[tuple[str, Any], ...]] = {
    "real": (("SetReal", ctypes.c_double), ("SetFloat64", ctypes.c_double)),
    "int32": (("SetInteger", ctypes.c_int), ("SetInt32", ctypes.c_int32)),
    "boolean": (("SetBoolean", ctypes.c_int), ("SetBoolean", ctypes.c_bool)),
}


class FmuError(Exception):
    """The FMU refuses, or cannot be loaded."""


class _Callbacks(ctypes.Structure):
    """fmi2CallbackFunctions."""

    _fields_ = (("logger", P), ("allocate", P), ("free", P), ("finished", P), ("environment", P))


class Library:
    def __init__(self, path: str, resources: str, version: int, name: str, token: str) -> None:
        self.version, self._resources, self._name, self._token = version, resources, name, token
        self.logged = ""
        self.loop: Loop = compiled(version)
        self._library: ctypes.CDLL | None = None
        self._path = path
        log = ctypes.CFUNCTYPE(None, P, TEXT, I32, TEXT, TEXT) if version == 2 else ctypes.CFUNCTYPE(None, P, I32, TEXT, TEXT)
        self._logger = log(self._log)
        self._callbacks = _Callbacks()
        libc = ctypes.CDLL(None)
        for field, function in (("logger", self._logger), ("allocate", libc.calloc), ("free", libc.free)):
            setattr(self._callbacks, field, ctypes.cast(function, P).value)

    def load(self) -> None:
        """Runs the library's own constructors: only where nothing is within reach."""
        try:
            self._library = ctypes.CDLL(self._path)
        except OSError as error:
            raise FmuError(f"the library cannot be loaded: {error}") from error

    def _log(self, *arguments: Any) -> None:
        """The last thing that it said; a format's arguments are not filled in."""
        text = arguments[-1] or b""
        self.logged = text[:MAX_LOGGED].decode("utf-8", "replace")

    def function(self, name: str, result: Any, *arguments: Any) -> Callable[..., Any]:
        assert self._library is not None
        full = f"fmi{self.version}{name}"
        try:
            function = getattr(self._library, full)
        except AttributeError as error:
            raise FmuError(f"the library has no function {full}") from error
        function.restype, function.argtypes = result, list(arguments)
        called: Callable[..., Any] = function
        return called

    def checked(self, name: str, *pairs: tuple[Any, Any]) -> None:
        """Calls a function that answers with a status; pairs of type and value."""
        status = self.function(name, I32, *(kind for kind, _ in pairs))(*(value for _, value in pairs))
        if status not in {0, WARNING}:
            self.refuse(name, status)

    def refuse(self, name: str, status: int) -> None:
        said = f': "{self.logged}"' if self.logged else ""
        raise FmuError(f"fmi{self.version}{name} answers {_STATUS.get(status, status)}{said}")

    def instantiate(self) -> "Instance":
        name, token, resources = (text.encode() for text in (self._name, self._token, self._resources))
        if self.version == 2:
            make = self.function("Instantiate", P, TEXT, I32, TEXT, TEXT, P, I32, I32)
            it = make(name, _CO_SIMULATION, token, f"file://{self._resources}".encode(), ctypes.byref(self._callbacks), 0, 0)
        else:
            make = self.function("InstantiateCoSimulation", P, TEXT, TEXT, TEXT, BOOL, BOOL, BOOL, BOOL, P, SIZE, P, P, P)
            it = make(name, token, resources + b"/", False, False, False, False, None, 0, None, ctypes.cast(self._logger, P), None)
        if not it:
            raise FmuError("it makes no instance" + (f': "{self.logged}"' if self.logged else ""))
        return Instance(self, it)


class Instance:
    def __init__(self, library: Library, it: int) -> None:
        self._library, self._it = library, it
        get = "GetReal" if library.version == 2 else "GetFloat64"
        sizes = (SIZE, P) if library.version == 2 else (SIZE, P, SIZE)
        self._get = library.function(get, I32, P, P, *sizes)
        self._addresses = [_address(library.function("DoStep", I32)), _address(library.function(get, I32, P, P, *sizes))]

    def reset(self) -> None:
        self._library.checked("Reset", (P, self._it))

    def enter_initialization(self) -> None:
        if self._library.version == 2:
            experiment = ((P, self._it), (I32, 0), (D, 0.0), (D, 0.0), (I32, 0), (D, 0.0))
            self._library.checked("SetupExperiment", *experiment)
            self._library.checked("EnterInitializationMode", (P, self._it))
        else:
            self._library.checked("EnterInitializationMode", (P, self._it), (BOOL, False), (D, 0.0), (D, 0.0), (BOOL, False), (D, 0.0))

    def exit_initialization(self) -> None:
        self._library.checked("ExitInitializationMode", (P, self._it))

    def set(self, kinds: Sequence[str], references: NDArray[np.uint32], values: F8) -> None:
        for kind in dict.fromkeys(kinds):
            name, c_type = _SETTERS[kind][self._library.version - 2]
            rows = [row for row, one in enumerate(kinds) if one == kind]
            numbers = [float(values[row]) for row in rows]
            given = (c_type * len(rows))(*(numbers if kind == "real" else [round(one) for one in numbers]))
            which = (ctypes.c_uint32 * len(rows))(*(int(references[row]) for row in rows))
            arguments = [(P, self._it), (P, ctypes.addressof(which)), (SIZE, len(rows)), (P, ctypes.addressof(given))]
            if self._library.version == 3:
                arguments.append((SIZE, len(rows)))
            self._library.checked(name, *arguments)

    def get(self, references: NDArray[np.uint32]) -> F8:
        found = np.zeros(len(references))
        if len(references):
            sizes = (len(references), found.ctypes.data, len(references))[: self._library.version]
            status = self._get(self._it, references.ctypes.data, *sizes)
            if status not in {0, WARNING}:
                self._library.refuse("GetReal", status)
        return found

    def advance(self, references: NDArray[np.uint32], begin_s: float, step_s: float, out: F8) -> None:
        status = self._library.loop.advance(self._it, self._addresses[0], self._addresses[1], references, begin_s, step_s, out)
        if status not in {0, WARNING}:
            self._library.refuse("DoStep", status)

    def keep(self) -> int:
        """Its state, to be put back into this instance."""
        kept = ctypes.c_void_p(None)
        name = "GetFMUstate" if self._library.version == 2 else "GetFMUState"
        self._library.checked(name, (P, self._it), (P, ctypes.addressof(kept)))
        if not kept.value:
            raise FmuError(f"fmi{self._library.version}{name} gives no state")
        return kept.value

    def put_back(self, state: int) -> None:
        self._library.checked("SetFMUstate" if self._library.version == 2 else "SetFMUState", (P, self._it), (P, state))

    def forget(self, state: int) -> None:
        held = ctypes.c_void_p(state)
        name = "FreeFMUstate" if self._library.version == 2 else "FreeFMUState"
        self._library.checked(name, (P, self._it), (P, ctypes.addressof(held)))


def _address(function: Any) -> int:
    address = ctypes.cast(function, P).value
    assert address is not None
    return address
