"""Seconds that the parts of a sweep took: runtime.json, which stands in no digest."""

from __future__ import annotations

import platform
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from simulator.evidence.sweep_records import SweepRuntime
from simulator.studies.executors import Executor


@dataclass
class Stopwatch:
    """Wall and processor seconds of each part, those of parts within it left out; who played, and how many members."""

    wall: dict[str, float] = field(default_factory=dict)
    cpu: dict[str, float] = field(default_factory=dict)
    executor: Executor = field(default_factory=Executor)
    played: int = 0
    _running: list[str] = field(default_factory=list)
    _since: tuple[float, float] = (0.0, 0.0)

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        self._turn()
        self._running.append(name)
        try:
            yield
        finally:
            self._turn()
            self._running.pop()

    def _turn(self) -> None:
        """Add what passed to the innermost part."""
        now = time.perf_counter(), time.process_time()
        if self._running:
            name = self._running[-1]
            self.wall[name] = self.wall.get(name, 0.0) + now[0] - self._since[0]
            self.cpu[name] = self.cpu.get(name, 0.0) + now[1] - self._since[1]
        self._since = now

    def record(self) -> SweepRuntime:
        # Processes and clusters have processors of their own, whose seconds nobody counted.
        own = self.executor.kind == "threads"
        return {
            "seconds": {name: round(seconds, 3) for name, seconds in self.wall.items()},
            "cpu_seconds": {name: round(cpu, 3) for name, cpu in self.cpu.items() if own or name != "play"},
            "played": self.played,
            "executor": self.executor.kind,
            "threads": self.executor.count,
            "python": platform.python_version(),
            "machine": platform.machine(),
        }
