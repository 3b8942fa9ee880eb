"""Compiled loops, for one baseline of processors. Nothing else in the package loads numba, and this only to compile.

Kept figures must not depend on the machine. So numba compiles for `BASELINE`, whatever the processor can do beyond it,
and without Intel's vector library (SVML), whose logarithms differ in the last bit: both are settings that must stand
before numba is loaded. No loop allows fast mathematics, so that no sum is reordered and no product fused with a sum;
therefore whoever sets NUMBA_CPU_NAME keeps it: it changes how long a loop takes and nothing that comes out.

    entry(function) ──► same sources and argument types in simulator/compiled_ahead? ──► called as machine code
                                        └─ no ──► numba: from its cache, else compiled

What is compiled ahead (`make kernels`) is for Linux on 64-bit x86, whatever the Python; it spares a first run fifteen
seconds and every run the loading of numba. A function whose sources have changed since is not used from there.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import platform
import sys
import sysconfig
from array import array
from collections.abc import Callable
from functools import cache, cached_property
from pathlib import Path
from typing import Any, Generic, ParamSpec, TypeVar

import numpy as np
from numpy.typing import NDArray

BASELINE = "x86-64-v2" if platform.machine().lower() in ("x86_64", "amd64") else "generic"
"""As LLVM names it: 64-bit x86 up to SSE 4.2 (2009), which numpy asks for too; elsewhere what every processor has."""

if "NUMBA_CPU_NAME" not in os.environ:
    os.environ["NUMBA_CPU_NAME"] = BASELINE
    os.environ.setdefault("NUMBA_CPU_FEATURES", "")  # else numba adds those of this machine
os.environ.setdefault("NUMBA_DISABLE_INTEL_SVML", "1")

CALLING = "array objects, whole numbers, floats"
"""How machine code takes its arguments; written into its name, so that no other is called so."""

AHEAD = Path(__file__).parent / "compiled_ahead"
DIGESTS = AHEAD / "sha256"
"""What `sha256sum` says of the libraries."""

Array = NDArray[Any]
F = TypeVar("F", bound=Callable[..., Any])
P = ParamSpec("P")

_PARTS: list[Callable[..., Any]] = []
_APART: set[Callable[..., Any]] = set()


def inner(function: F) -> F:
    """Let entries call `function`. It is compiled into them and stays plain Python for everyone else."""
    _PARTS.append(function)
    return function


def apart(function: F) -> F:
    """Let entries call `function`, which stays a function of its own: a long loop then has all registers to itself."""
    _APART.add(function)
    return inner(function)


class Entry(Generic[P]):
    """A function that writes its result into arrays given to it, compiled; numba's options are those of all entries.

    Nothing is allocated inside (arrays are passed on several times faster so) and the interpreter's lock is released.
    Arguments are arrays, numbers and named tuples of them.
    """

    def __init__(self, function: Callable[P, None], sources: tuple[str, ...]) -> None:
        self.function = function
        self.sources = sources
        self._ahead: dict[tuple[Any, ...], Any] = {}

    @property
    def library(self) -> Path:
        return AHEAD / f"{self.function.__module__.rsplit('.', 1)[-1]}.so"

    @cached_property
    def digest(self) -> str:
        """Digest of everything compiled into it: files by their content, the rest as it is."""
        found = hashlib.sha256()
        for source in self.sources:
            found.update(Path(source).read_bytes() if source.endswith(".py") else source.encode())
        return found.hexdigest()

    def symbol(self, kinds: tuple[Any, ...]) -> str:
        """Name of the machine code for arguments of these kinds."""
        words = [repr(kind.descr) if isinstance(kind, np.dtype) else str(kind) for kind in kinds]
        digest = hashlib.sha256(" ".join([CALLING, self.digest, *words]).encode()).hexdigest()
        return f"{self.function.__name__}_{digest[:20]}"

    @cached_property
    def dispatcher(self) -> Callable[..., None]:
        """The function as numba compiles it: kept beside the source, else in the user's cache, else not at all."""
        import numba

        while _PARTS:
            _make_inlined(_PARTS.pop())
        try:
            made = numba.njit(cache=True, **OPTIONS)(_with_digest(self.function, self.digest))
        except RuntimeError:  # numba found no folder it may write to
            made = numba.njit(**OPTIONS)(_with_digest(self.function, self.digest))
        dispatcher: Callable[..., None] = made
        return dispatcher

    def __call__(self, *given: P.args, **named: P.kwargs) -> None:
        arrays: list[Any] = []
        numbers: list[int] = []
        floats: list[float] = []
        kinds: list[Any] = []
        _flatten(given, arrays, numbers, floats, kinds)
        key = tuple(kinds)
        if key not in self._ahead:
            self._ahead[key] = _machine_code(self.library, self.symbol(key))
        code = self._ahead[key]
        if code is not None:
            # The arrays themselves, by their addresses: the code takes that of the data from where numpy's C interface
            # has it. Arrays of ctypes would take longer to make than a short loop to run.
            tables = array("q", map(id, arrays)), array("q", numbers), array("d", floats)
            code(*(table.buffer_info()[0] for table in tables))
        elif is_interpreted():
            self.function(*given, **named)
        else:
            self.dispatcher(*given)


OPTIONS: dict[str, Any] = {"_nrt": False, "nogil": True, "error_model": "numpy"}


def entry(*sources: str) -> Callable[[Callable[P, None]], Entry[P]]:
    """Compile a function made of these sources, paths of files or text. A change elsewhere is not noticed."""
    return lambda function: Entry(function, sources)


def is_interpreted() -> bool:
    """Return True where numba is switched off, as tests that change the source do."""
    return os.environ.get("NUMBA_DISABLE_JIT", "0") not in ("", "0")


def _with_digest(function: Callable[..., None], digest: str) -> Callable[..., None]:
    # numba's cache knows this file alone: loops kept from before a change in another would go on as before. The digest
    # stands in the closure, and that is part of the key.
    called = _make_inlined(function)

    def call(*given: Any) -> None:
        if digest != "":
            called(*given)

    return call


def _make_inlined(function: F) -> F:
    import numba

    seen: F = numba.extending.register_jitable(**OPTIONS, forceinline=function not in _APART)(function)
    return seen


@cache
def _open_library(library: Path) -> ctypes.CDLL | None:
    fits = sys.platform == "linux" and BASELINE == os.environ["NUMBA_CPU_NAME"] == "x86-64-v2" and not is_interpreted()
    usual = sys.maxsize > 2**32 and not sysconfig.get_config_var("Py_GIL_DISABLED")  # objects begin with two words
    try:
        # A file that was cut short, by a full disk say, would end the process once it is called.
        whole = fits and usual and hashlib.sha256(library.read_bytes()).hexdigest() in DIGESTS.read_text().split()
        return ctypes.CDLL(str(library)) if whole else None
    except OSError:  # not there, another C library, a folder from which nothing may be run
        return None


def _machine_code(library: Path, symbol: str) -> Any:
    opened = _open_library(library)
    code = getattr(opened, symbol, None) if opened is not None else None
    if code is not None:
        code.restype, code.argtypes = None, [ctypes.c_void_p] * 3
    return code


def _flatten(given: Any, arrays: list[Any], numbers: list[int], floats: list[float], kinds: list[Any]) -> None:
    for each in given:
        if isinstance(each, np.ndarray):
            arrays.append(each)
            shape = each.shape
            numbers += shape
            kinds += each.dtype, len(shape) if each.flags.c_contiguous else -1
        elif isinstance(each, tuple):
            _flatten(each, arrays, numbers, floats, kinds)
        elif isinstance(each, float):
            floats.append(each)
            kinds.append("float")
        else:
            numbers.append(int(each))
            kinds.append("int")
