"""Backtests for a person or a client: runs and sweeps of the workspace, on record, each a trial as any other.

Wanted ──simulate──► run folder ──► Backtest        swept ──play_sweep──► folder of the sweep ──► Sensitivity
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from simulator.analysis.verdict import find_inference, judge, p_of_skill, part_after_cutoff, sweep_p, trials_of
from simulator.desk.backtests import Backtest, Report, Sensitivity, Setting, Wanted
from simulator.errors import UsageError
from simulator.evidence.reader import read
from simulator.market.bars import Snapshot
from simulator.market.daily import closed_sessions
from simulator.runs.backtests import apart, check_name
from simulator.runs.eta import RunProgress
from simulator.runs.execute import FinishedRun
from simulator.runs.spec import RunSpec
from simulator.store.folders import find_run
from simulator.studies.study import Study
from simulator.studies.study_file import make_study
from simulator.studies.sweep import FinishedSweep
from simulator.workspace import Workspace

Simulate = Callable[[RunSpec, Workspace, Callable[[RunProgress], None] | None], FinishedRun]
PlaySweep = Callable[[Study, Workspace, Callable[[int, int], None] | None], FinishedSweep | int]


@dataclass(frozen=True, eq=False)
class WorkspaceBacktester:
    """Backtests on the bars of `workspace`, those of the folder `bars` before them. `simulate` and `play_sweep` make
    and complete their folders. Models are paid nothing: what a council would have to ask ends with an error. `by_tool`:
    on record as asked for by a tool."""

    workspace: Workspace
    simulate: Simulate
    play_sweep: PlaySweep
    bars: str | None = None
    by_tool: bool = False

    def run(self, wanted: Wanted, market: Snapshot, report: Report) -> Backtest:
        """Return the run `wanted`, to the newest session of `market` that is over at most. Raises SimError."""
        name, last = check_name(wanted.strategy, self.workspace.strategies), _last(wanted, market)
        spec = RunSpec(name, wanted.symbols, wanted.first, last, parameters=wanted.parameters, max_cost=0.0)
        spec = replace(spec, bars=self.bars, by_tool=self.by_tool)

        def heard(now: RunProgress) -> None:
            report(now.done, now.total, now.session)

        return _read(apart(partial(self.simulate, spec, self.workspace, heard)).folder)

    def find(self, name: str, market: Snapshot) -> Backtest:
        """Return the run of that id. Raises UsageError where there is none, or it goes on after now."""
        found, over = _read(find_run(self.workspace.reports, name)), closed_sessions(market).session
        if found.sessions[-1] > over:
            raise UsageError(f"{name} goes on to {found.sessions[-1]}, after {over}", mend="name an earlier one")
        return found

    def sweep(
        self, wanted: Wanted, swept: Mapping[str, Sequence[Setting]], market: Snapshot, report: Report
    ) -> Sensitivity:
        """Return `wanted` in every combination of `swept`, as ``sim sweep`` plays it. Raises SimError."""
        name, last = check_name(wanted.strategy, self.workspace.strategies), _last(wanted, market)
        sets = [*wanted.parameters.items(), *((key, list(values)) for key, values in swept.items())]
        typed = {"strategy": name, "symbols": list(wanted.symbols), "first": wanted.first, "last": last}
        study = make_study(self.workspace, None, sets, **typed, bars=self.bars, max_cost=0.0)
        made = apart(
            partial(self.play_sweep, study, self.workspace, lambda done, total: report(done, total, "members"))
        )
        assert not isinstance(made, int), "a whole sweep has no chunk missing"
        return _read_sweep(made, wanted)


def _last(wanted: Wanted, market: Snapshot) -> date:
    over = closed_sessions(market).session
    return min(over, wanted.last or over)


def _read(folder: Path) -> Backtest:
    """Return the run in `folder`. Raises DataError where it has changed."""
    evidence = read(folder)
    run, part = evidence.run, part_after_cutoff(evidence.run)
    skill = None if part is None else part.get("skill")
    verdict = judge(run)
    parameters: Any = run["parameters"]
    first, last = (date.fromisoformat(run[key]) for key in ("from", "to"))
    return Backtest(
        id=run["run_id"],
        counts=True,
        wanted=Wanted(run["strategy"], tuple(run["symbols"]), first, last, parameters),
        cash=run["cash"],
        sessions=evidence.sessions,
        equity=np.asarray(evidence.equity["equity"]),
        trips=evidence.own_trips or (),
        metrics=run["metrics"],
        reasons=run["reasons"],
        p=None if skill is None else p_of_skill(skill, trials_of(run), sweep_p(run)),
        trials=find_inference(run, "trials") or 1.0,
        verdict=verdict.headline,
        notes=(*verdict.details, *run["notes"]),
    )


def _read_sweep(made: FinishedSweep, wanted: Wanted) -> Sensitivity:
    record, table, place = made.record, made.folder.table(), made.folder.path
    inference, origin = record["inference"], record["identity"]
    p = pd.read_parquet(place / "inference.parquet", columns=["p"])["p"].to_numpy()
    best = record["best"]["member"]
    p_of_all = max(float(p[best]), json.loads((place / "verdict.json").read_text(encoding="utf-8"))["p"])
    found = inference["overfitting"]
    return Sensitivity(
        id=origin["run_id"],
        counts=True,
        wanted=wanted,
        sessions=(date.fromisoformat(origin["from"]), date.fromisoformat(origin["to"])),
        settings=[made.study.space.settings(n) for n in range(len(made.study))],
        sharpe=table["sharpe"].to_numpy(),
        total_return=table["total_return"].to_numpy(),
        max_drawdown=table["max_drawdown"].to_numpy(),
        p=p,
        best=best,
        p_of_all=p_of_all,
        overfitting=None if found is None else found["pbo"],
        reason="" if found is not None else inference["reasons"].get("overfitting", "not known"),
        failed=made.folder.failures(),
    )
