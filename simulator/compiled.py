"""Compiled loops, for one baseline of processors. Importing this module loads numba; nothing else in the package does.

Kept figures must not depend on the machine. So numba compiles for `BASELINE`, whatever the processor can do beyond it,
and without Intel's vector library (SVML), whose logarithms differ in the last bit: both are settings that must stand
before numba is loaded. No loop allows fast mathematics, so that no sum is reordered and no product fused with a sum;
therefore whoever sets NUMBA_CPU_NAME keeps it: it changes how long a loop takes and nothing that comes out.
"""

from __future__ import annotations

import os
import platform
from collections.abc import Callable
from typing import Any, TypeVar, cast

BASELINE = "x86-64-v2" if platform.machine().lower() in ("x86_64", "amd64") else "generic"
"""As LLVM names it: 64-bit x86 up to SSE 4.2 (2009), which numpy asks for too; elsewhere what every processor has."""

if "NUMBA_CPU_NAME" not in os.environ:
    os.environ["NUMBA_CPU_NAME"] = BASELINE
    os.environ.setdefault("NUMBA_CPU_FEATURES", "")  # else numba adds those of this machine
os.environ.setdefault("NUMBA_DISABLE_INTEL_SVML", "1")

import numba  # noqa: E402  # reads the settings above

F = TypeVar("F", bound=Callable[..., Any])


def compiled(function: F, **options: Any) -> F:
    """Compile `function`; keep the code beside the source, else in the user's cache folder, else not at all.

    `options` are numba's. With ``_nrt=False`` nothing may be allocated inside, and arrays are passed on several times
    faster. Only what runs for long should release the interpreter's lock (``nogil``): getting it back may take 5 ms
    beside a busy thread.
    """
    try:
        return cast(F, numba.njit(cache=True, **options)(function))
    except RuntimeError:  # numba found no folder it may write to
        return cast(F, numba.njit(**options)(function))


def inner(function: F) -> F:
    """Compile `function` into the one cached entry, not on its own: a cached part would outlive a change elsewhere."""
    return cast(F, numba.njit(_nrt=False, nogil=True, error_model="numpy", forceinline=True)(function))
