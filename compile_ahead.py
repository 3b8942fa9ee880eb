"""Compile the package's loops ahead, for Linux on 64-bit x86: `make kernels` writes simulator/compiled_ahead/*.so.

Needs a C compiler, for linking. Each loop is compiled for the argument types a small run gives it; see
simulator/compiled.py for what is done with the files.
"""

from __future__ import annotations

import hashlib
import subprocess
import tempfile
from collections import defaultdict
from datetime import date
from pathlib import Path
from typing import Any

import numba
import numpy as np
from llvmlite import binding

from simulator import compiled
from simulator.market.sources.synthetic import synthetic_bars
from simulator.replay import kernel
from simulator.replay.tape import Tape
from simulator.rules import Occasions, load_rule
from simulator.stats import bootstrap
from simulator.trading.execution import ExecutionRules

TRIPLE = "x86_64-unknown-linux-gnu"
LIBC = {"memcpy", "memmove", "memset"}

Calls = dict[str, tuple[compiled.Entry[Any], tuple[Any, ...]]]


def small_run() -> None:
    """Call every entry once with each set of argument types the package has."""
    bars = synthetic_bars(("A", "B"), date(2024, 1, 2), date(2024, 3, 1), 0)
    weight = np.full((1, 2), 0.5)
    none = np.full((1, 2), np.nan)
    tape = Tape(bars.opens_at[5:6], bars.symbols, weight, none, none, none)
    kernel.replay_tape(bars, tape, ExecutionRules(), 1e5)
    load_rule(Path("strategies/sma_cross.py")).weights_for(Occasions(bars, bars.opens_at), {"fast": 2, "slow": 3})
    rng = np.random.default_rng(0)
    bootstrap.stationary_rows(9, 2.0, 3, rng)
    bootstrap.stationary_counts(9, 2.0, 3, rng)
    bootstrap.sharpe_interval(rng.normal(size=40), draws=9)


def recorded() -> Calls:
    """Return (entry, arguments) by the name of the machine code, for every call of a small run."""
    found: Calls = {}
    called = compiled.Entry.__call__

    def record(entry: compiled.Entry[Any], *given: Any) -> None:
        kinds: list[Any] = []
        compiled._flatten(given, [], [], [], kinds)
        found[entry.symbol(tuple(kinds))] = entry, given
        called(entry, *given)

    compiled.Entry.__call__ = record  # type: ignore[assignment, method-assign]
    small_run()
    return found


def adapter(entry: compiled.Entry[Any], given: tuple[Any, ...]) -> Any:
    """Return a C function of (arrays, whole numbers, floats) that calls `entry`, compiled.

    The third word of an array object is the address of its data (`PyArrayObject_fields` of numpy's C interface).
    """
    names: dict[str, Any] = {"carray": numba.carray, "called": compiled._make_inlined(entry.function)}
    counts = {"arrays": 0, "numbers": 0, "floats": 0}

    def next_of(kind: str) -> str:
        counts[kind] += 1
        return f"{kind}[{counts[kind] - 1}]"

    def text(each: Any) -> str:
        if isinstance(each, np.ndarray):
            dtype = f"dtype{len(names)}"
            names[dtype] = each.dtype
            at = next_of("arrays")
            return f"carray({at}[2], ({' '.join(next_of('numbers') + ',' for _ in each.shape)}), {dtype})"
        if isinstance(each, tuple):
            kind = f"kind{len(names)}" if hasattr(each, "_fields") else ""
            names[kind] = type(each)
            parts = ", ".join(map(text, each))
            return f"{kind}({parts})" if kind else f"({parts},)"
        return next_of("floats" if isinstance(each, float) else "numbers")

    arguments = ", ".join(map(text, given))
    exec(f"def adapter(arrays, numbers, floats):\n    called({arguments})\n", names)
    while compiled._PARTS:
        compiled._make_inlined(compiled._PARTS.pop())
    signature = "void(CPointer(CPointer(voidptr)), CPointer(int64), CPointer(float64))"
    # carray makes arrays, so the adapter alone may allocate; as these own nothing, nothing of that is left.
    return numba.cfunc(signature, **compiled.OPTIONS | {"_nrt": True})(names["adapter"])


def machine_code(entry: compiled.Entry[Any], given: tuple[Any, ...], symbol: str) -> bytes:
    made = adapter(entry, given)
    module = binding.parse_assembly(made._library.get_llvm_str())
    module.triple = TRIPLE
    module.get_function(made.native_name).name = symbol
    machine = binding.Target.from_triple(TRIPLE).create_target_machine(
        cpu=compiled.BASELINE, features="", opt=3, reloc="pic", codemodel="small"
    )
    code: bytes = machine.emit_object(module)
    return code


def main() -> None:
    binding.initialize_all_targets()
    binding.initialize_all_asmprinters()
    digests: list[str] = []
    by_library = defaultdict(list)
    for symbol, (entry, given) in recorded().items():
        by_library[entry.library].append((symbol, machine_code(entry, given, symbol)))
    compiled.AHEAD.mkdir(exist_ok=True)
    for old in compiled.AHEAD.glob("*.so"):
        old.unlink()
    for library, codes in by_library.items():
        with tempfile.TemporaryDirectory() as name:
            link(library, codes, Path(name))
        digests.append(f"{hashlib.sha256(library.read_bytes()).hexdigest()}  {library.name}\n")
        print(f"{library.name}: {library.stat().st_size:,} bytes, {len(codes)} loops")
    compiled.DIGESTS.write_text("".join(sorted(digests)))


def link(library: Path, codes: list[tuple[str, bytes]], folder: Path) -> None:
    objects = [folder / f"{symbol}.o" for symbol, _ in codes]
    for path, (_, code) in zip(objects, codes, strict=True):
        path.write_bytes(code)
    # What numba would call to raise an error: our loops raise none, and nothing of Python may be needed for loading.
    listed = subprocess.run(["nm", "-u", *map(str, objects)], check=True, capture_output=True, text=True).stdout
    needed = sorted({line.split()[1] for line in listed.splitlines() if line.strip().startswith("U ")})
    stubs, exported = folder / "stubs.c", folder / "exported"
    stubs.write_text("".join(f"void {each}(void) {{ __builtin_trap(); }}\n" for each in needed if each not in LIBC))
    exported.write_text("{ global: " + " ".join(f"{symbol};" for symbol, _ in codes) + " local: *; };")
    options = ["-shared", "-nostdlib", "-s", "-O2", "-fno-builtin", "-Wl,--build-id=none", "-Wl,-z,noexecstack"]
    subprocess.run(
        ["cc", *options, f"-Wl,--version-script={exported}", "-o", str(library), str(stubs), *map(str, objects)],
        check=True,
    )


if __name__ == "__main__":
    main()
