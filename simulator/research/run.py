"""One run, from what was typed to a folder of evidence.

RunSpec ─► bars, strategy, gateway ─► replay (two engines) ─► measures ─► run folder ─► registry
"""

from __future__ import annotations

import platform
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from simulator.config import load_config
from simulator.errors import UsageError
from simulator.replay.run import Progress, replay_strategy
from simulator.research.asking import open_gateway
from simulator.research.record import Work, record
from simulator.research.spec import RunSpec
from simulator.research.staging import stage
from simulator.store import folders
from simulator.store.registry import Registry
from simulator.strategies import load_strategy
from simulator.trading.cycle import Terms
from simulator.trading.execution import ExecutionRules
from simulator.trading.risk import Limits
from simulator.workspace import Workspace

if TYPE_CHECKING:
    import pandas as pd

    from simulator.llm.gateway import Gateway


@dataclass(frozen=True, eq=False)
class Run:
    """A finished run: its folder, and what run.json and runtime.json say."""

    folder: Path
    facts: Mapping[str, Any]
    runtime: Mapping[str, Any]

    @property
    def metrics(self) -> dict[str, float | None]:
        """Names and conventions as in `simulator.stats.metrics`; None where undefined."""
        return dict(self.facts["metrics"])

    @cached_property
    def equity(self) -> pd.Series:
        """Dollars at the close of each session, indexed by session."""
        import pandas as pd

        table = pd.read_csv(self.folder / "equity.csv", index_col="session", parse_dates=True)
        return table["equity"]

    @cached_property
    def decisions(self) -> list[dict[str, Any]]:
        """The lines of decisions.jsonl."""
        return folders.read_lines(self.folder / "decisions.jsonl")

    def report(self) -> Path:
        """Build report.html from the run folder and return its path."""
        from simulator.report import build

        return build(self.folder)

    def summary(self) -> dict[str, Any]:
        """What ``sim run --json`` prints."""
        same = ("run_id", "digest", "strategy", "from", "to", "sessions", "metrics", "reasons", "benchmarks")
        return {
            **{name: self.facts[name] for name in same},
            "dir": str(self.folder),
            "source": self.facts["sources"],
            "audit": {"max_relative_difference": self.facts["audit"]["max_relative_difference"]},
            "llm": {
                "asked": self.runtime["asked"],
                "cached": self.runtime["cached"],
                "failed": self.facts["llm"]["failed"],
                "cost_usd": self.runtime["cost_usd"],
                "analysts": self.facts["analysts"],
            },
            "notes": self.facts["notes"],
        }


@dataclass(frozen=True)
class Tick:
    """How far a run is: `stage` is ``ask`` or ``replay``, `session` the date just done, the rest what answers took."""

    stage: str
    done: int
    total: int
    session: str
    asked: int
    cached: int
    cost_usd: float


def simulate(spec: RunSpec, workspace: Workspace, progress: Callable[[Tick], None] | None = None) -> Run:
    """Replay, measure, write the run folder, count the run. Raises the errors of `simulator.errors`.

    The folder is written when everything is known, in one step; a killed run leaves only cached answers behind, which
    the same command uses.
    """
    started = time.perf_counter()
    if not spec.symbols:
        raise UsageError("no symbols", mend="name some: --symbols SPY,QQQ")
    config = load_config(workspace.config)
    with open_gateway(spec.cache, spec.models, workspace, config) as asking:
        loaded = load_strategy(spec.strategy, workspace.strategies, asking, spec.parameters)
        staged = stage(spec.symbols, spec.first, spec.last, loaded.strategy, workspace, config)
        limits = Limits.from_config(config.risk, config.assets)
        terms = Terms(limits, ExecutionRules.from_config(config.risk, config.costs))
        report = _ticking(progress, asking.gateway) if progress else None
        replayed = replay_strategy(loaded.strategy, staged.scene, terms, config.accounts.cash, report)
        work = Work(spec, workspace, config, loaded, staged, terms, replayed, asking.gateway)
        files, facts = record(work)
        runtime = _runtime(asking.gateway, started)
    name = f"{facts['strategy']}-{facts['from']}-{facts['to']}-{facts['run_id']}"
    files |= {"run.json": folders.json_bytes(facts), "runtime.json": folders.json_bytes(runtime)}
    folder = folders.write_folder(workspace.reports, name, files)
    registry = Registry(workspace.registry)
    registry.record(facts, name)
    registry.close()
    return Run(folder, facts, runtime)


def _ticking(progress: Callable[[Tick], None], gateway: Gateway) -> Progress:
    def report(stage: str, done: int, total: int, session: str) -> None:
        progress(Tick(stage, done, total, session, gateway.asked, gateway.cached, gateway.cost_usd))

    return report


def _runtime(gateway: Gateway, started: float) -> dict[str, Any]:
    return {
        "seconds": round(time.perf_counter() - started, 3),
        "asked": gateway.asked,
        "cached": gateway.cached,
        "cost_usd": gateway.cost_usd,
        "python": platform.python_version(),
        "machine": platform.machine(),
    }
