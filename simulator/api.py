"""The Python face: a run, runs made before, and what is asked about them.

run = simulator.run(strategy="sma_cross", symbols=["SPY", "QQQ"], start="2024-01-01")
"""

from __future__ import annotations

import inspect
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from types import FunctionType, NoneType
from typing import TYPE_CHECKING, Any, cast, get_args

import numpy as np

from simulator.errors import UsageError, did_you_mean
from simulator.market.calendar import Day, parse_date
from simulator.replay.inputs import Engine
from simulator.runs.eta import RunProgress
from simulator.runs.execute import Completion, FinishedRun, PartialRunError, nothing_added
from simulator.runs.execute import simulate as execute
from simulator.runs.spec import MAX_COST, Batch, CacheMode, RunSpec
from simulator.workspace import Workspace, find_workspace

if TYPE_CHECKING:
    import pandas as pd

    from simulator.desk.backtests import Backtester
    from simulator.notebook.answers import Answer, PlanAnswer
    from simulator.notebook.run import Run
    from simulator.notebook.sweep import Objective, Sweep
    from simulator.studies.executors import Executor
    from simulator.studies.study import Study
    from simulator.studies.sweep import FinishedSweep, Shard

Place = str | os.PathLike[str]

STUDIES = (".yaml", ".yml")
SWEPT_BY = ("where", "search", "members", "seed", "models", "bars", "walk_forward", "cpcv", "objective")
"""Further arguments of `sweep`, beside those that say who plays."""
PLAYED_BY = ("executor", "threads")

_PATH, _WORD, _NUMBER = (str, os.PathLike, NoneType), (str, NoneType), (int, np.integer, NoneType)
_SPLITS = (str, Mapping, NoneType)
KINDS: Mapping[str, tuple[tuple[type, ...], str]] = {
    "strategy": ((str, type, FunctionType, partial), "pass its name, its path, its class or a function"),
    "workspace": (_PATH, "pass the path of a folder made by sim init"),
    "factors": (_PATH, "pass the path of a file of factor returns"),
    "models": (_WORD, "pass the name of a profile of config/models.yaml"),
    "parameters": ((Mapping, NoneType), 'pass a dict: {"fast": 20}'),
    "replicates": ((int,), "pass a whole number from 1 on"),
    "where": ((str, list, tuple), 'pass conditions as texts: "fast < slow"'),
    "search": (_WORD, "pass grid, random, sobol or tpe"),
    "objective": (_WORD, "pass the name of a measure"),
    "members": (_NUMBER, "pass a whole number from 1 on"),
    "seed": (_NUMBER, "pass a whole number from 0 on"),
    "threads": (_NUMBER, "pass a whole number from 1 on"),
    "executor": (_WORD, "pass threads, loky, dask or ray"),
    "walk_forward": (_SPLITS, 'pass "train=252,test=63" or a dict'),
    "cpcv": (_SPLITS, 'pass "folds=10,test=2" or a dict'),
}
"""Kinds of arguments that are checked before they are used."""

LISTED = {
    **dict.fromkeys(("run_id", "digest", "strategy", "symbols"), "object"),
    **dict.fromkeys(("first", "last"), "datetime64[ns]"),
    **dict.fromkeys(("parameters", "folder"), "object"),
    "partial": "bool",
    "recorded": "bool",
    "times": "int64",
    **dict.fromkeys(("first_run_at", "last_run_at"), "datetime64[ns, America/New_York]"),
}
"""Columns of `runs` before those of metrics, with their dtypes."""
INTERNAL = ("definition", "run_json", "bar_months", "event", "sweep")
"""Columns of the store that say nothing to a reader."""


@contextmanager
def _saying_what_is_kept() -> Iterator[None]:
    """Let an interruption, whenever it comes, say what is left of the run."""
    try:
        yield
    except KeyboardInterrupt as error:
        cause = None if isinstance(error.__cause__, KeyboardInterrupt) else error.__cause__
        kept = cause.run.folder if isinstance(cause, PartialRunError) else None
        what = f"what was decided so far is in {kept}" if kept else "no run was kept, answers that were paid for are"
        raise KeyboardInterrupt(what) from cause


@_saying_what_is_kept()
# The options of `sim run` by the same names: grouped, they would have to be learned twice.
def run(
    strategy: Place | type | Callable[..., Mapping[str, float]] = "macro_council",
    symbols: str | Iterable[str] = ("SPY", "QQQ"),
    start: Day = "2024-01-01",
    end: Day | None = None,
    *,
    bars: pd.DataFrame | Mapping[str, pd.DataFrame] | Place | None = None,
    workspace: Place | None = None,
    models: str | None = None,
    cache: CacheMode = "record",
    parameters: Mapping[str, Any] | None = None,
    replicates: int = 1,
    max_cost: float = MAX_COST,
    factors: Place | None = None,
    batch: Batch | None = None,
    engine: Engine = "auto",
    progress: bool | Callable[[RunProgress], None] | None = None,
) -> Run:
    """Replay a strategy and write its run folder, exactly as ``sim run`` does; in a notebook too.

    Parameters
    ----------
    strategy : name of a strategy in the workspace, path of one, a class derived from `Rule`, or a function
        ``decide(market, fast=20) -> {"SPY": 0.6}``; source and all that these two read is kept in the run's folder
    symbols : what may be traded: ``"SPY"``, ``"SPY,QQQ"``, or a list, in any case
    start, end : first and last session: ``"2024-01-31"``, date, datetime, pandas Timestamp or numpy datetime64, of
        which the date counts; without `end` the last session that all symbols have
    bars : bars instead of the workspace's: a DataFrame with open, high, low, close, volume by date, one per symbol, one
        with two levels of columns, or a folder; kept in the workspace, read and cut at each date as files are
    models : profile of ``config/models.yaml``
    cache : as `--cache`: ``replay`` never asks, ``retry`` asks stored failures again, ``verify-opinions`` compares
    parameters : overrides of the strategy's own parameters
    replicates : how often each question is asked; the metrics are the first's, ``facts["replicates"]`` has the spread
    max_cost : dollars the run may spend on models
    engine : ``backtrader``, or ``kernel``, of which backtrader audits a slice; ``auto`` takes that past 200,000 bars
    factors : file of factor returns, Kenneth French's or one of fractions, that the result is held against
    batch : ``all`` or ``meetings`` asks in batches, at half price and in days
    progress : a bar (True; None shows one in notebooks only), or a function called with a `RunProgress` after each date

    Raises the errors of :mod:`simulator.errors`; `PartialRunError` where money or answers ran out, whose ``run`` holds
    what was decided so far. Interrupted while models are asked it keeps that too, and says where.
    """
    spec, place = _specify(locals())
    return _run_in_thread(spec, place, progress, None if factors is None else Path(factors))


def plan(
    strategy: Place | type | Callable[..., Mapping[str, float]] = "macro_council",
    symbols: str | Iterable[str] = ("SPY", "QQQ"),
    start: Day = "2024-01-01",
    end: Day | None = None,
    **options: Any,
) -> PlanAnswer:
    """Return what `run` with the same arguments would ask and what it would cost, as ``sim run --plan``: asks nothing.

    Its ``table`` has a row per stage and model, ``totals`` the sums, ``facts`` all of it. Raises what the run would
    raise before its first question, ConfigError for a model whose price nobody knows, TypeError for a keyword that
    `run` has not.
    """
    from simulator.notebook.answers import plan as answer

    given = inspect.signature(run).bind(strategy, symbols, start, end, **options)
    given.apply_defaults()
    return answer(*_specify(given.arguments))


def _specify(given: Mapping[str, Any]) -> tuple[RunSpec, Workspace]:
    """Return (spec, workspace) of the arguments of `run` by name. Raises UsageError for one of another kind."""
    strategy, end, batch = given["strategy"], given["end"], given["batch"]
    strategy = os.fspath(strategy) if isinstance(strategy, os.PathLike) else strategy
    names = ("workspace", "factors", "models", "parameters", "replicates")
    _check_kinds({"strategy": strategy, **{name: given[name] for name in names}})
    place, symbols = find_workspace(given["workspace"]), parse_symbols(given["symbols"])
    spec = RunSpec(
        strategy=strategy,
        symbols=symbols,
        first=parse_date(given["start"], "start"),
        last=None if end is None else parse_date(end, "end"),
        models=given["models"],
        cache=choose(given["cache"], get_args(CacheMode), "cache"),
        parameters=dict(given["parameters"] or {}),
        replicates=given["replicates"],
        max_cost=given["max_cost"],
        batch=None if batch is None else choose(batch, get_args(Batch), "batch"),
        engine=choose(given["engine"], get_args(Engine), "engine"),
        bars=_place_bars(given["bars"], symbols, place),
    )
    return spec, place


def _check_kinds(given: Mapping[str, object]) -> None:
    """Raise UsageError for the first argument of `run` or `sweep` that is of another kind than its own."""
    for name, value in given.items():
        accepted, mend = KINDS[name]
        if not isinstance(value, accepted) or (isinstance(value, bool) and name in ("replicates", "threads")):
            raise UsageError(f"{name} was {value!r:.60}", mend=mend)


def sweep(
    strategy: Place | type | Callable[..., Mapping[str, float]] | None = None,
    symbols: str | Iterable[str] | None = None,
    start: Day | None = None,
    end: Day | None = None,
    parameters: Mapping[str, Any] | None = None,
    workspace: Place | None = None,
    progress: bool | Callable[[int, int], None] | None = None,
    **options: Any,
) -> Sweep:
    """Play a strategy in many settings and write the folder of the sweep, exactly as ``sim sweep`` does.

    Parameters
    ----------
    strategy : as of `run`, or the path of a study file (``study.yaml``), whose place all other arguments then take
    symbols, start, end : as of `run`
    parameters : {name: values}, of the strategy (``fast``) or of config/ (``costs.slippage_bps``): a range, a list, a
        text as on the command line (``"5:50:5"``, ``"log(0.5, 50)"``); a single value is the same for all members
    progress : a bar (True; None shows one in notebooks only), or a function called with the members done, and all
    options : ``where`` (a condition or several), ``search``, ``members``, ``seed``, ``models``, ``bars``,
        ``walk_forward``, ``cpcv`` as of ``sim sweep``; ``executor``, ``threads``

    Raises the errors of :mod:`simulator.errors`. Interrupted it keeps the members that are done: the same call goes on.
    """
    from simulator.notebook.progress import show_members
    from simulator.notebook.sweep import Sweep
    from simulator.notebook.worker import call_in_thread
    from simulator.studies.executors import choose_executor
    from simulator.studies.study_file import make_study

    strategy = os.fspath(strategy) if isinstance(strategy, os.PathLike) else strategy
    passed = {"strategy": strategy or "", "workspace": workspace, "parameters": parameters, **options}
    _check_kinds({name: value for name, value in passed.items() if name in KINDS})
    place = find_workspace(workspace)
    chosen = choose_executor(*(options.pop(name, None) for name in PLAYED_BY))
    file = Path(strategy) if isinstance(strategy, str) and strategy.endswith(STUDIES) else None
    typed = _type_study(options, None if file else strategy, symbols, start, end)
    bars = _place_bars(typed.pop("bars", None), parse_symbols(symbols or ()), place)
    study = make_study(place, file, [*_plain_values(parameters or {}).items()], bars=bars, **typed)
    with show_members(progress) as show:

        def play(report: Callable[[tuple[int, int, str]], None]) -> FinishedSweep | int:
            def asking(done: int, total: int, day: str) -> None:
                report((done, total, day or "models"))

            return play_sweep(study, place, lambda done, total: report((done, total, "")), chosen, asking=asking)

        made = call_in_thread(play, show)
    assert not isinstance(made, int), "a whole sweep has no chunk missing"
    return Sweep(made.folder.path, place, made.study)


def objective(
    strategy: str | type | Callable[..., Mapping[str, float]],
    symbols: str | Iterable[str],
    start: Day,
    end: Day | None = None,
    workspace: Place | None = None,
) -> Objective:
    """Return what plays one setting after another by the kernel, for a search of your own: docs/python.md."""
    from simulator.notebook.sweep import Objective
    from simulator.studies.inputs import SweepInputs
    from simulator.studies.space import Space
    from simulator.studies.study import Study
    from simulator.studies.study_file import NOTHING

    last = None if end is None else parse_date(end, "end")
    base = RunSpec(strategy, parse_symbols(symbols), parse_date(start, "start"), last)
    return Objective(SweepInputs(Study(base, Space(NOTHING)), find_workspace(workspace)))


def _type_study(
    options: Mapping[str, Any], strategy: object, symbols: str | Iterable[str] | None, start: Any, end: Any
) -> dict[str, Any]:
    """Return the arguments of `sweep` as :func:`simulator.studies.study_file.make_study` takes them. Raises UsageError
    for one there is not."""
    for name in options:
        if name not in SWEPT_BY:
            there_are = (*SWEPT_BY, *PLAYED_BY)
            guess = did_you_mean(name, there_are)
            raise UsageError(f'sweep has no argument "{name}"{guess}', mend=f"it has {', '.join(there_are)}")
    where = options.get("where", ())
    for one in () if isinstance(where, str) else where:
        if not isinstance(one, str):
            raise UsageError(f"where was {one!r:.60}", mend=KINDS["where"][1])
    return {
        **options,
        "strategy": strategy,
        "symbols": None if symbols is None else parse_symbols(symbols),
        "first": None if start is None else parse_date(start, "start"),
        "last": None if end is None else parse_date(end, "end"),
        "where": (where,) if isinstance(where, str) else tuple(where),
    }


def _plain_values(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Return values as numbers, texts and lists of them: of arrays, ranges and the numbers of numpy."""

    def plain(one: Any) -> Any:
        if hasattr(one, "tolist"):
            return one.tolist()
        return [plain(each) for each in one] if isinstance(one, range | list | tuple | set) else one

    return {name: plain(values) for name, values in parameters.items()}


def load(name: Run | Place = "last", workspace: Place | None = None) -> Any:
    """Return the `Run` made before: by its id, its folder or the beginning of that name, ``"last"``, or a run read
    anew; or the `Sweep` of that folder or id.

    Raises UsageError where there is none, DataError for a folder that has changed since it was made.
    """
    from simulator.evidence.sweep_reader import find_sweep
    from simulator.notebook.run import load as found
    from simulator.notebook.sweep import Sweep

    place = find_workspace(workspace)
    swept = find_sweep(place.reports, os.fspath(name)) if isinstance(name, str | os.PathLike) else None
    return found(name, place) if swept is None else Sweep(swept, place)


def runs(workspace: Place | None = None) -> pd.DataFrame:
    """Return the runs of a workspace, the newest last: what ``sim runs`` lists, with a column per metric (float64).

    Columns and dtypes: docs/python.md.
    """
    import pandas as pd

    from simulator.evidence.unrecorded import list_runs
    from simulator.market.calendar import NEW_YORK

    rows = [{**row, **cast(Mapping[str, object], row["metrics"])} for row in list_runs(find_workspace(workspace))]
    table = pd.DataFrame(rows, columns=list(dict.fromkeys([*LISTED, *(name for row in rows for name in row)])))
    table = table.drop(columns=["metrics", *INTERNAL], errors="ignore")
    for name in ("first_run_at", "last_run_at"):
        table[name] = pd.to_datetime(table[name], utc=True).dt.tz_convert(NEW_YORK).dt.as_unit("ns")
    return table.astype({name: LISTED.get(str(name), "float64") for name in table})


def compare(*chosen: Run | Place, workspace: Place | None = None, draws: int = 10_000, seed: int = 0) -> Answer:
    """Return how two to eight runs, their ids or folders, differ and since when, as ``sim compare`` does."""
    from simulator.notebook.answers import compare as answer
    from simulator.notebook.run import Run

    own = next((one.workspace for one in chosen if isinstance(one, Run)), None)
    return answer(chosen, own or find_workspace(workspace), draws, seed)


def simulate(
    spec: RunSpec,
    workspace: Workspace,
    progress: Callable[[RunProgress], None] | None = None,
    factors: Path | None = None,
) -> FinishedRun:
    """Execute `spec` and complete it with analyses, trials, report, its row in ``reports/index.html``, and `factors`
    where a file of them is named: see :func:`simulator.runs.execute.simulate`."""
    from simulator.analysis.run_facts import analyse
    from simulator.analysis.trials import count_trials
    from simulator.report import build
    from simulator.report.shelf import keep_shelf
    from simulator.rules.failure import exit_of_strategy

    add: Callable[[Path], Mapping[str, bytes]] = nothing_added
    if factors is not None:  # read before anything is asked
        from simulator.analysis.factors import explaining

        add = explaining(factors)
    try:
        made = execute(spec, workspace, Completion(analyse, count_trials, build, add), progress)
        keep_shelf(made.folder, workspace.reports)
        return made
    except PartialRunError as stopped:
        keep_shelf(stopped.run.folder, workspace.reports)
        raise
    except (Exception, KeyboardInterrupt):
        raise
    except BaseException as error:
        raise exit_of_strategy(error) from error


def play_sweep(
    study: Study,
    workspace: Workspace,
    progress: Callable[[int, int], None] | None = None,
    executor: Executor | None = None,
    shard: Shard | None = None,
    asking: Callable[[int, int, str], None] | None = None,
) -> FinishedSweep | int:
    """Play `study` and complete its folder with its page and its row in ``reports/index.html``.

    `progress` is called with members done and all, `asking` with decisions answered, all, and the session. Of a `shard`
    that is not the last to be done the number of chunks that are missing is returned. Raises as
    :func:`simulator.studies.sweep.run_sweep`.
    """
    from simulator.report.shelf import keep_shelf
    from simulator.report.sweep_page import build
    from simulator.studies.sweep import WHOLE, run_shard

    play = partial(simulate, workspace=workspace)
    made = run_shard(study, workspace, shard or WHOLE, progress, play, executor, asking)
    if not isinstance(made, int):
        build(made.folder.path)
        keep_shelf(made.folder.path, workspace.reports)
    return made


def _run_in_thread(
    spec: RunSpec,
    workspace: Workspace,
    progress: bool | Callable[[RunProgress], None] | None,
    factors: Path | None,
) -> Run:
    """Execute `spec` beside whatever event loop the caller has, showing progress where he is."""
    from simulator.notebook.progress import choose_progress
    from simulator.notebook.run import Run
    from simulator.notebook.worker import call_in_thread

    with choose_progress(progress) as show:
        try:
            made = call_in_thread(lambda report: simulate(spec, workspace, report, factors), show)
        except PartialRunError as error:
            error.run = Run(error.run, workspace)  # type: ignore[assignment]
            raise
    return Run(made, workspace)


def _place_bars(
    given: pd.DataFrame | Mapping[str, pd.DataFrame] | Place | None, symbols: Sequence[str], workspace: Workspace
) -> str | None:
    """Return the folder of bars that were passed, written where they were no folder yet."""
    if given is None or isinstance(given, str | os.PathLike):
        return None if given is None else os.fspath(given)
    from simulator.notebook.frames import store_frames

    return store_frames(given, symbols, workspace)


def parse_symbols(given: str | Iterable[str]) -> tuple[str, ...]:
    """Return symbols in capitals, each once. Raises UsageError for what is no list of names."""
    try:
        words = [given] if isinstance(given, str) else list(given)
        return tuple(dict.fromkeys(word for text in words for word in re.split(r"[,;\s]+", text.upper()) if word))
    except (TypeError, AttributeError):
        raise UsageError(f"symbols was {given!r:.60}", mend='name them: "SPY,QQQ" or ["SPY", "QQQ"]') from None


def choose(given: str, words: Sequence[str], name: str) -> Any:
    """Return `given` where it is one of `words`. Raises UsageError naming the argument and the likeliest of them."""
    if given not in words:
        guess = did_you_mean(str(given), words)
        raise UsageError(f"{name} was {given!r}{guess}", mend=f"it is one of {', '.join(words)}")
    return given


def make_backtester(workspace: Workspace, bars: str | None = None, by_tool: bool = False) -> Backtester:
    """Return who makes the backtests of a desk's tools for a person or, `by_tool`, a client: runs and sweeps on record,
    each a trial."""
    from simulator.studies.backtests import WorkspaceBacktester

    return WorkspaceBacktester(workspace, simulate, play_sweep, bars, by_tool)
