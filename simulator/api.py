"""The Python face: one function for the one job.

run = simulator.run(strategy="sma_cross", symbols=["SPY", "QQQ"], start="2024-01-01")
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date, datetime
from pathlib import Path
from types import NoneType
from typing import Any, get_args

import numpy as np

from simulator.errors import UsageError, did_you_mean
from simulator.replay.inputs import Engine
from simulator.runs.eta import RunProgress
from simulator.runs.execute import Completion, Run, nothing_added
from simulator.runs.execute import simulate as execute
from simulator.runs.spec import MAX_COST, Batch, CacheMode, RunSpec
from simulator.workspace import Workspace, find_workspace

Day = str | date | np.datetime64
"""A date as people have it in Python; datetime and pandas Timestamp are dates."""


# The options of `sim run` by the same names: grouped, they would have to be learned twice.
def run(
    strategy: str | os.PathLike[str] | type = "macro_council",
    symbols: str | Iterable[str] = ("SPY", "QQQ"),
    start: Day = "2024-01-01",
    end: Day | None = None,
    *,
    workspace: str | os.PathLike[str] | None = None,
    models: str | None = None,
    cache: CacheMode = "record",
    parameters: Mapping[str, Any] | None = None,
    replicates: int = 1,
    max_cost: float = MAX_COST,
    factors: str | os.PathLike[str] | None = None,
    batch: Batch | None = None,
    engine: Engine = "auto",
    progress: Callable[[RunProgress], None] | None = None,
) -> Run:
    """Replay a strategy and write its run folder, exactly as ``sim run`` does.

    Parameters
    ----------
    strategy : name of a strategy in the workspace, path of a strategy file or folder, or a class derived from `Rule`
    symbols : what may be traded: ``"SPY"``, ``"SPY,QQQ"``, or a list, in any case
    start, end : first and last session: ``"2024-01-31"``, date, datetime, pandas Timestamp or numpy datetime64, of
        which the date counts; without `end` the last session that all symbols have
    models : profile of ``config/models.yaml``
    cache : as `--cache`: ``replay`` never asks, ``retry`` asks stored failures again, ``verify-opinions`` compares
    parameters : overrides of the strategy's own parameters
    replicates : how often each question is asked; the metrics are the first's, ``facts["replicates"]`` has the spread
    max_cost : dollars the run may spend on models
    engine : ``backtrader``, or ``kernel``, of which backtrader audits a slice; ``auto`` takes that past 200,000 bars
    factors : file of factor returns, Kenneth French's or one of fractions, that the result is held against
    batch : ``all`` or ``meetings`` asks in batches, at half price and in days
    progress : called with a `RunProgress` after each date that was asked or replayed

    Raises the errors of :mod:`simulator.errors`; `PartialRunError`, whose ``run`` holds what was decided so far, where
    the money or the answers ran out.
    """
    _check_kinds(
        ("strategy", strategy, (str, type, os.PathLike), "pass its name, the path of its file, or its class"),
        ("workspace", workspace, (str, os.PathLike, NoneType), "pass the path of a folder made by sim init"),
        ("factors", factors, (str, os.PathLike, NoneType), "pass the path of a file of factor returns"),
        ("models", models, (str, NoneType), "pass the name of a profile of config/models.yaml"),
        ("parameters", parameters, (Mapping, NoneType), 'pass a dict: {"fast": 20}'),
        ("replicates", replicates, (int,), "pass a whole number from 1 on"),
    )
    spec = RunSpec(
        strategy=os.fspath(strategy) if isinstance(strategy, os.PathLike) else strategy,
        symbols=parse_symbols(symbols),
        first=parse_date(start, "start"),
        last=end if end is None else parse_date(end, "end"),
        models=models,
        cache=choose(cache, get_args(CacheMode), "cache"),
        parameters=dict(parameters or {}),
        replicates=replicates,
        max_cost=max_cost,
        batch=None if batch is None else choose(batch, get_args(Batch), "batch"),
        engine=choose(engine, get_args(Engine), "engine"),
    )
    return simulate(spec, find_workspace(workspace), progress, None if factors is None else Path(factors))


def _check_kinds(*given: tuple[str, object, tuple[type, ...], str]) -> None:
    """Raise UsageError for the first (name, value, kinds, what to pass instead) that is of none of its kinds."""
    for name, value, kinds, mend in given:
        if not isinstance(value, kinds):
            raise UsageError(f"{name} was {value!r:.60}", mend=mend)


def simulate(
    spec: RunSpec,
    workspace: Workspace,
    progress: Callable[[RunProgress], None] | None = None,
    factors: Path | None = None,
) -> Run:
    """Execute `spec` and complete it with analyses, trials, report, and `factors` where a file of them is named: see
    :func:`simulator.runs.execute.simulate`."""
    from simulator.analysis.run_facts import analyse
    from simulator.analysis.trials import count_trials
    from simulator.report import build
    from simulator.rules.failure import exit_of_strategy

    add: Callable[[Path], Mapping[str, bytes]] = nothing_added
    if factors is not None:  # read before anything is asked
        from simulator.analysis.factors import explaining

        add = explaining(factors)
    try:
        return execute(spec, workspace, Completion(analyse, count_trials, build, add), progress)
    except (Exception, KeyboardInterrupt):
        raise
    except BaseException as error:
        raise exit_of_strategy(error) from error


def parse_symbols(given: str | Iterable[str]) -> tuple[str, ...]:
    """Return symbols in capitals, each once. Raises UsageError for what is no list of names."""
    try:
        words = [given] if isinstance(given, str) else list(given)
        return tuple(dict.fromkeys(word for text in words for word in re.split(r"[,;\s]+", text.upper()) if word))
    except (TypeError, AttributeError):
        raise UsageError(f"symbols was {given!r:.60}", mend='name them: "SPY,QQQ" or ["SPY", "QQQ"]') from None


def parse_date(given: Day, name: str) -> date:
    """Return the day of a date in any of Python's forms. Raises UsageError naming the argument,
    also for a year no exchange calendar has."""
    from simulator.market.calendar import check_year

    value: object = given.astype("datetime64[us]").item() if isinstance(given, np.datetime64) else given
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value.strip())
        except ValueError:
            value = None
    # NaT of pandas is a datetime that equals nothing, itself included.
    if not isinstance(value, date) or value != value:
        raise UsageError(f'{name} was "{given}", which is not a date', mend="write it as 2024-01-31")
    return check_year(value.date() if isinstance(value, datetime) else value, name)


def choose(given: str, words: Sequence[str], name: str) -> Any:
    """Return `given` where it is one of `words`. Raises UsageError naming the argument and the likeliest of them."""
    if given not in words:
        guess = did_you_mean(str(given), words)
        raise UsageError(f"{name} was {given!r}{guess}", mend=f"it is one of {', '.join(words)}")
    return given
