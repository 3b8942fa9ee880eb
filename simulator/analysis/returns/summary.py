"""Metrics and inference of anyone's returns: the answers of `sim stats` and `sim stats compare`.

    Returns ──describe─────► Description       metrics and inference of every strategy
            ──compare_two──► PairedDifference  two strategies on the same sessions, paired
            ──judge_best───► BestOfMany        the best of many, judged with the number of trials (best_of_many.py)

What does not exist is None, and ``reasons`` beside it says why.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, is_dataclass, replace
from typing import TYPE_CHECKING, Any, TypedDict

import numpy as np

from simulator.analysis.returns.frequency import longest_gap, rows_a_year
from simulator.analysis.returns.load import Returns
from simulator.analysis.returns.scale import LIKE_CASH, Values, check_scale
from simulator.analysis.verdict import Verdict, judge
from simulator.errors import DataError, UsageError
from simulator.evidence.records import JudgedRun, SkillRecord
from simulator.stats.bootstrap import DRAWS, IntervalAndBand, intervals_and_bands
from simulator.stats.inference import inference_summary
from simulator.stats.metrics import PERIODS, summary
from simulator.stats.series import Floats, Measure, Undefined, split

if TYPE_CHECKING:
    from simulator.analysis.returns.factor_file import Factors
    from simulator.evidence.factor_records import FactorRecord
    from simulator.stats.compare import SharpeDifference

Tick = Callable[[str, int, int], None]
Json = dict[str, object]

TOGETHER = 8
"""Strategies whose bootstrap histories are drawn side by side: more spare little, and progress is seen less often."""

LIKE_BENCHMARK = ("bench", "benchmark", "index", "market", "mkt")
RELATIVE = ("alpha", "beta", "alpha_t", "information_ratio")


@dataclass(frozen=True)
class Settings:
    """Conventions under which returns are read.

    Attributes
    ----------
    benchmark : a column; None for none
    risk_free : a column of returns per session, or a yearly rate such as 0.04 or 4%; None for none
    periods : sessions a year
    trades : profits of closed trades per strategy; None for none
    draws, seed : of every bootstrap
    percent, values : what the columns hold, as stated
    warnings, notes : sentences on how periods and trades were read
    factors : returns of factors that each strategy is held against; None for none
    """

    benchmark: str | None = None
    risk_free: str | None = None
    periods: float = PERIODS
    trades: Mapping[str, Floats] | None = None
    draws: int = DRAWS
    seed: int = 0
    percent: bool = False
    values: Values = ""
    warnings: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    factors: Factors | None = None


Span = TypedDict("Span", {"sessions": int, "from": str | None, "to": str | None})
"""Number of sessions, first and last date; None where the file has no dates."""


@dataclass(frozen=True)
class About:
    """File, span, conventions and warnings: the beginning of every answer."""

    file: str
    span: Span
    periods: float
    risk_free: str
    benchmark: str | None
    draws: int
    seed: int
    warnings: tuple[str, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Prepared:
    """Strategies, benchmark and risk-free return apart from each other, over the same (T,) rows."""

    read: Returns
    strategies: Mapping[str, Floats]
    benchmark: Floats | None
    free: Floats
    about: About


@dataclass(frozen=True)
class Figures:
    """Metrics and inference of one strategy over its own span."""

    span: Span
    values: Mapping[str, float | None]
    reasons: Mapping[str, str]
    annualised_withheld: bool
    max_drawdown_open: bool | None
    max_drawdown_trough: str | None
    beyond: SkillRecord | None = None
    """The test of what lies beyond the returns of the benchmark; None without one."""
    verdict: str = ""
    factors: FactorRecord | None = None
    untested: str = ""
    """Begins the verdict where there is a benchmark that was not there all the time; empty elsewhere."""


@dataclass(frozen=True)
class Description:
    """Figures of every strategy, and those of the benchmark where there is one."""

    about: About
    strategies: Mapping[str, Figures]
    benchmark_metrics: Figures | None


@dataclass(frozen=True)
class PairedDifference:
    """Two strategies on the sessions both have; keys of `values` are those of `KEYS`, power and sessions_needed.

    `verdict` names the better one or is "cannot tell them apart", also where the comparison is undefined.
    """

    about: About
    a: str
    b: str
    values: Mapping[str, float | None]
    reasons: Mapping[str, str]
    borderline: bool | None
    verdict: str
    strategies: Mapping[str, Figures]


FLAT = ("about", "span", "values", "overfitting")


def to_json(answer: object) -> Json:
    """Return an answer as one object for JSON: its fields, those of `FLAT` directly in it."""
    content: Json = {}
    for name, value in vars(answer).items():
        content |= _plain(value) if name in FLAT else {name: _plain(value)}
    return content


def _plain(value: Any) -> Any:
    if is_dataclass(value):
        return to_json(value)
    if isinstance(value, Mapping):
        return {key: _plain(one) for key, one in value.items()}
    return [_plain(one) for one in value] if isinstance(value, tuple) else value


def ignore_progress(stage: str, done: int, total: int) -> None:
    """Do nothing."""


def prepare(read: Returns, settings: Settings) -> Prepared:
    """Return the columns by their part.

    Raises UsageError for a column that is not there or a rate that cannot be meant, DataError where columns are not
    returns.
    """
    free, source, free_column = _risk_free(read, settings)
    benchmark = None if settings.benchmark is None else read.column(settings.benchmark, "--benchmark")
    rest = read.without(free_column, settings.benchmark)
    if not rest.columns:
        raise UsageError(f"{read.source} has no column left to judge", mend="leave out --benchmark or --rf")
    named = [*rest.columns, *([settings.benchmark] if settings.benchmark else [])]
    about = About(
        file=read.source,
        span=measure_span(read),
        periods=settings.periods,
        risk_free=source,
        benchmark=settings.benchmark,
        draws=settings.draws,
        seed=settings.seed,
        warnings=(
            *check_scale(read, named, settings.periods, settings.percent, settings.values),
            *_suspect(read, settings, list(rest.columns)),
            *settings.warnings,
        ),
        notes=(*read.notes, *settings.notes),
    )
    return Prepared(read, rest.columns, benchmark, free, about)


def describe(read: Returns, settings: Settings, tick: Tick = ignore_progress) -> Description:
    """Return every metric and all inference of each strategy.

    Strategies are computed side by side; the answer does not depend on how many processors there are.
    """
    from concurrent.futures import ThreadPoolExecutor
    from os import cpu_count

    ready = prepare(read, settings)
    columns = dict(ready.strategies)
    if settings.benchmark is not None and ready.benchmark is not None:
        columns[settings.benchmark] = ready.benchmark
    figures: dict[str, Figures] = {}
    # The compiled loops, where the time goes, hold no lock of the interpreter.
    with ThreadPoolExecutor(min(len(columns), cpu_count() or 1)) as pool:
        names, size = list(columns), min(TOGETHER, -(-len(columns) // (cpu_count() or 1)))
        parts = [{name: columns[name] for name in names[at : at + size]} for at in range(0, len(names), size)]
        for job in [pool.submit(_measure_many, ready, settings, part) for part in parts]:
            figures |= job.result()
            tick("bootstrap", len(figures), len(names))
    own = figures.pop(settings.benchmark) if settings.benchmark else None
    if own is not None:
        own = replace(own, reasons={**own.reasons, **dict.fromkeys(RELATIVE, "it is the benchmark itself")})
    return Description(ready.about, figures, own)


def _measure_many(ready: Prepared, settings: Settings, columns: Mapping[str, Floats]) -> dict[str, Figures]:
    """Return the figures of each column; bootstrap histories of one length are drawn from the same numbers, once."""
    rows = {name: _span(ready, name, values) for name, values in columns.items()}
    series = [(columns[name][own], ready.free[own]) for name, own in rows.items()]
    drawn = intervals_and_bands(series, settings.periods, draws=settings.draws, seed=settings.seed)
    each = zip(columns.items(), drawn, strict=True)
    return {name: _measure(ready, settings, name, values, found) for (name, values), found in each}


def _span(ready: Prepared, name: str, values: Floats) -> slice:
    there = np.flatnonzero(np.isfinite(values))
    if not there.size:
        raise DataError(f'column "{name}" is empty', where=ready.read.source, mend="leave it out")
    return slice(int(there[0]), int(there[-1]) + 1)


def _measure(
    ready: Prepared, settings: Settings, name: str, values: Floats, drawn: IntervalAndBand | None = None
) -> Figures:
    rows = _span(ready, name, values)
    r, free = values[rows], ready.free[rows]
    benchmark = None if ready.benchmark is None or name == settings.benchmark else ready.benchmark[rows]
    lacking = benchmark is not None and bool(np.isnan(benchmark).any())
    trades = (settings.trades or {}).get(name)
    metrics = summary(r, free, None if lacking else benchmark, settings.periods, trades=trades)
    inference = inference_summary(r, free, settings.periods, draws=settings.draws, seed=settings.seed, drawn=drawn)
    reasons = {**metrics.reasons, **inference.reasons}
    if lacking:
        reasons |= dict.fromkeys(RELATIVE, f"the benchmark lacks sessions of {name}")
    worst = metrics.drawdown
    figures = Figures(
        span=measure_span(ready.read.rows(rows)),
        values={**metrics.values, **inference.values},
        reasons=reasons,
        annualised_withheld=metrics.annualised_withheld,
        max_drawdown_open=None if worst is None else worst.open,
        max_drawdown_trough=None if worst is None else ready.read.day(rows.start + worst.trough - 1),
        beyond=None if benchmark is None or lacking else _beyond(r, benchmark, free, settings),
        untested=f"Not tested against {settings.benchmark}, which lacks some of its sessions. " if lacking else "",
        factors=None if settings.factors is None else _explain(ready, settings, rows, r, settings.factors),
    )
    return replace(figures, verdict=judge_figures(figures).headline)


def _beyond(returns: Floats, benchmark: Floats, free: Floats, settings: Settings) -> SkillRecord:
    from simulator.runs.exposure import beyond_returns, skill_record

    found = skill_record(beyond_returns(returns, benchmark, free), settings.periods, settings.draws)
    return {**found, "against": settings.benchmark or ""}


def _explain(ready: Prepared, settings: Settings, rows: slice, returns: Floats, factors: Factors) -> FactorRecord:
    """Return the regression on factors, over the risk-free return that was named, else over that of the factors."""
    from simulator.analysis.factors import explain_by_factors

    dates = None if ready.read.dates is None else ready.read.dates[rows]
    free: Floats | None = ready.free[rows]
    over = ready.about.risk_free
    if settings.risk_free is None:
        free, over = (None, "the factors' own risk-free return") if factors.free is not None else (free, "0")
    return explain_by_factors(dates, returns, free, over, factors, settings.periods)


def judge_figures(figures: Figures) -> Verdict:
    """Return the verdict on one strategy, by the rule of a run's report: on what lies beyond the benchmark's returns,
    where there is one."""
    judged: JudgedRun = {
        "from": figures.span["from"] or "",
        "to": figures.span["to"] or "",
        "sessions": figures.span["sessions"],
        "metrics": figures.values,
        "inference": figures.values,
        "reasons": figures.reasons,
        "benchmarks": {},
        "analysts": None,
        "partial": False,
        "contamination": None,
        "llm": {"calls": 0, "failed": 0, "cost_usd": 0.0, "analysts": None, "models": [], "cache_entries": ""},
        "replicates": {"count": 1},
        "shortfalls": {"meetings": 0, "answers": 0, "failed": [], "no_decision": []},
        "risk_free": "",
    }
    verdict = judge(judged if figures.beyond is None else {**judged, "skill": figures.beyond})
    return replace(verdict, headline=f"{figures.untested}{verdict.headline}")


def compare_two(
    read: Returns, first: str, second: str, settings: Settings, tick: Tick = ignore_progress
) -> PairedDifference:
    """Return how two strategies differ on the sessions both have: Ledoit-Wolf, paired bootstrap, power, verdict."""
    from simulator.stats.compare import compare

    if settings.risk_free in (first, second):
        raise UsageError(f'--rf and --a or --b are both "{settings.risk_free}"', mend="name three columns")
    if first == second:
        raise UsageError(f'--a and --b are both "{first}"', mend="name two columns")
    a, b = read.column(first, "--a"), read.column(second, "--b")
    both = np.isfinite(a) & np.isfinite(b)
    if not both.any():
        raise DataError(f'"{first}" and "{second}" have no session in common', where=read.source, mend="compare others")
    # Scales and suspicions of further columns are not this comparison's.
    others = [name for name in read.columns if name not in (first, second, settings.risk_free)]
    ready = prepare(read.without(*others).rows(both), settings)
    about, left_out = ready.about, int(np.sum(np.isfinite(a) | np.isfinite(b))) - int(both.sum())
    if left_out:
        about = replace(about, notes=(*about.notes, f"{left_out} sessions that only one of the two has are left out."))
    tick("comparison", 0, 2)
    alone = {name: _measure(ready, settings, name, ready.strategies[name]) for name in (first, second)}
    tick("comparison", 1, 2)
    pair = ready.strategies[first], ready.strategies[second]
    found = compare(*pair, ready.free, settings.periods, draws=settings.draws, seed=settings.seed)
    tick("comparison", 2, 2)
    values, reasons = split(_difference(found, settings.periods))
    if isinstance(found, Undefined):
        return PairedDifference(about, first, second, values, reasons, None, "cannot tell them apart", alone)
    better = {"the first is better": f"{first} is better", "the second is better": f"{second} is better"}
    verdict = better.get(found.verdict, found.verdict)
    return PairedDifference(about, first, second, values, reasons, found.borderline, verdict, alone)


KEYS = {
    "first": "sharpe_a",
    "second": "sharpe_b",
    "difference": "sharpe_difference",
    "error": "se_hac",
    "p": "p",
    "p_hac": "p_hac",
    "low": "ci_low",
    "high": "ci_high",
    "paired_low": "paired_ci_low",
    "paired_high": "paired_ci_high",
    "correlation": "correlation",
    "detectable": "detectable_difference",
    "block": "block_length",
}
"""Fields of `SharpeDifference` and their keys."""


def _difference(found: SharpeDifference | Undefined, periods: float) -> dict[str, Measure]:
    from simulator.stats.power import pair_power, sessions_to_tell_apart

    if isinstance(found, Undefined):
        return dict.fromkeys((*KEYS.values(), "power", "sessions_needed"), found)
    own = asdict(found)
    ratios = (found.first, found.second, found.correlation, periods)
    power = {"power": pair_power(found.sessions, *ratios), "sessions_needed": sessions_to_tell_apart(*ratios)}
    return {**{key: own[name] for name, key in KEYS.items()}, **power}


def _risk_free(read: Returns, settings: Settings) -> tuple[Floats, str, str | None]:
    """(T,) return per session, where it comes from, and its column if it is one."""
    named = settings.risk_free
    if named is None:
        return np.zeros(read.sessions), "none, so Sharpe ratios are over 0", None
    if named not in read.columns:
        rate = _rate(read, named)
        return np.full(read.sessions, (1.0 + rate) ** (1.0 / settings.periods) - 1.0), f"{rate:.2%} a year", None
    free = read.columns[named]
    if np.isnan(free).any():
        row = int(np.argmax(np.isnan(free)))
        raise DataError(
            f'column "{named}" has no return on {read.day(row)}',
            where=f"{read.source}:{read.lines[row]}",
            mend="fill it for every session, or give a yearly rate: --rf 0.04",
        )
    yearly = float(np.median(free)) * settings.periods
    if yearly > 0.5:
        raise DataError(
            f'column "{named}" amounts to {yearly:.0%} a year',
            where=read.source,
            mend="it must hold the return of each session, not a yearly rate or percentages",
        )
    return free, f"column {named}", named


def _rate(read: Returns, text: str) -> float:
    try:
        rate = float(text.removesuffix("%")) / (100.0 if text.endswith("%") else 1.0)
    except ValueError:
        read.column(text, "--rf")
        raise
    if not -0.5 < rate < 0.5:
        raise UsageError(f"--rf {text} is {rate:.0%} a year", mend=f"write --rf {rate:g}% or --rf {rate / 100:g}")
    return rate


def choose_periods(read: Returns, given: float | None) -> tuple[float, tuple[str, ...]]:
    """Return the periods a year that were given, else those of the rows, with a warning where they are not 252."""
    usual = rows_a_year(read.dates)
    if given is not None or usual == PERIODS:
        return given or usual, ()
    return usual, (f"Figures are of {usual:g} periods a year, as the rows lie apart: --periods {usual:g}.",)


def measure_span(read: Returns) -> Span:
    """Return the span of all rows."""
    first, last = (None, None) if read.dates is None else (read.day(0), read.day(read.sessions - 1))
    return {"sessions": read.sessions, "from": first, "to": last}


def _suspect(read: Returns, settings: Settings, names: Sequence[str]) -> list[str]:
    """Return warnings on columns and settings that were probably meant otherwise."""
    warnings = []
    usual = rows_a_year(read.dates)
    if read.dates is not None and not usual / 1.3 < settings.periods < usual * 1.3:
        warnings.append(
            f"Dates lie apart like {usual:g} sessions a year, not {settings.periods:g}: --periods {usual:g}."
        )
    gap = longest_gap(read.dates)
    if gap is not None:
        warnings.append(f"No row stands between {read.day(gap)} and {read.day(gap + 1)}: figures pass over the gap.")
    cash = next((n for n in names if n.lower() in LIKE_CASH), None)
    if cash is not None and settings.risk_free is None:
        warnings.append(f'Column "{cash}" is judged as a strategy; --rf {cash} makes it the risk-free return.')
    market = next((n for n in names if n.lower() in LIKE_BENCHMARK), None)
    if market is not None and settings.benchmark is None:
        warnings.append(f'Column "{market}" is judged as a strategy; --benchmark {market} holds the others against it.')
    return warnings
