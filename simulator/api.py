"""The Python face: one function for the one job.

run = simulator.run(strategy="sma_cross", symbols=["SPY", "QQQ"], start="2024-01-01")
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from datetime import date
from typing import Any, Literal

from simulator.errors import UsageError
from simulator.runs.eta import RunProgress
from simulator.runs.execute import Completion, Run
from simulator.runs.execute import simulate as execute
from simulator.runs.spec import MAX_COST, RunSpec
from simulator.workspace import Workspace, find_workspace


# The options of `sim run` by the same names: grouped, they would have to be learned twice.
def run(
    strategy: str | type = "macro_council",
    symbols: Sequence[str] = ("SPY", "QQQ"),
    start: str | date = "2024-01-01",
    end: str | date | None = None,
    *,
    workspace: str | os.PathLike[str] | None = None,
    models: str | None = None,
    cache: Literal["record", "replay", "refresh", "off"] = "record",
    parameters: Mapping[str, Any] | None = None,
    replicates: int = 1,
    max_cost: float = MAX_COST,
    progress: Callable[[RunProgress], None] | None = None,
) -> Run:
    """Replay a strategy and write its run folder, exactly as ``sim run`` does.

    Parameters
    ----------
    strategy : name of a strategy in the workspace, path of a strategy file or folder, or a class derived from `Rule`
    symbols : what may be traded
    start, end : first and last session, ISO dates; without `end` the last session that all symbols have
    models : profile of ``config/models.yaml``
    cache : what the LLM cache may do; ``replay`` never asks
    parameters : overrides of the strategy's own parameters
    replicates : how often each question is asked; the metrics are the first's, ``facts["replicates"]`` has the spread
    max_cost : dollars the run may spend on models
    progress : called with a `RunProgress` after each date that was asked or replayed

    Raises the errors of :mod:`simulator.errors`; `PartialRunError`, whose ``run`` holds what was decided so far, where
    the money or the answers ran out.
    """
    spec = RunSpec(
        strategy=strategy,
        symbols=tuple(symbols),
        first=parse_date(start, "start"),
        last=None if end is None else parse_date(end, "end"),
        models=models,
        cache=cache,
        parameters=dict(parameters or {}),
        replicates=replicates,
        max_cost=max_cost,
    )
    return simulate(spec, find_workspace(workspace), progress)


def simulate(spec: RunSpec, workspace: Workspace, progress: Callable[[RunProgress], None] | None = None) -> Run:
    """Execute `spec` and complete it with analyses, trials and report: see :func:`simulator.runs.execute.simulate`."""
    from simulator.analysis.run_facts import analyse
    from simulator.analysis.trials import count_trials
    from simulator.report import build

    return execute(spec, workspace, Completion(analyse, count_trials, build), progress)


def parse_date(given: str | date, name: str) -> date:
    """Return an ISO date. Raises UsageError naming the option."""
    if isinstance(given, date):
        return given
    try:
        return date.fromisoformat(given)
    except ValueError:
        raise UsageError(f'{name} was "{given}", which is not a date', mend="write it as 2024-01-31") from None
