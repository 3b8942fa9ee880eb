"""What `sim stats` computes from anyone's returns: one dictionary per command, ready for JSON, table and page.

    Returns ──describe────► metrics and inference of every strategy
            ──tell_apart──► two strategies on the same sessions, paired
            ──best_of─────► the best of many, with the number of trials held against it (research/best_of_many.py)

What does not exist is None, and `reasons` beside it says why.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simulator.analysis.returns.load import Returns, check_scale, usual_periods
from simulator.errors import DataError, UsageError
from simulator.stats.bootstrap import DRAWS
from simulator.stats.inference import inference_summary
from simulator.stats.metrics import PERIODS, summary
from simulator.stats.series import Measure, Undefined, split

Floats = NDArray[np.float64]
Tick = Callable[[str, int, int], None]

LIKE_CASH = ("rf", "riskfree", "risk_free", "risk free", "cash", "tbill", "t-bill")
LIKE_BENCHMARK = ("bench", "benchmark", "index", "market", "mkt")


@dataclass(frozen=True)
class Asked:
    """What was typed.

    Attributes
    ----------
    benchmark : a column; None for none
    risk_free : a column of returns per session, or a yearly rate such as 0.04 or 4%; None for none
    periods : sessions a year
    trades : profits of closed trades per strategy; {} for none
    draws, seed : of every bootstrap
    """

    benchmark: str | None = None
    risk_free: str | None = None
    periods: float = PERIODS
    trades: Mapping[str, Floats] | None = None
    draws: int = DRAWS
    seed: int = 0


@dataclass(frozen=True, eq=False)
class Prepared:
    """Strategies, benchmark and risk-free return apart from each other, over the same (T,) rows.

    `says` is what every answer begins with: file, span, conventions, warnings.
    """

    read: Returns
    strategies: Mapping[str, Floats]
    benchmark: Floats | None
    free: Floats
    says: dict[str, Any]


def nothing(stage: str, done: int, total: int) -> None:
    """A tick nobody listens to."""


def prepare(read: Returns, asked: Asked) -> Prepared:
    """Columns by their part. Errors: `UsageError` for a column that is not there or a rate that cannot be meant,
    `DataError` where columns are not returns.
    """
    free, source, free_column = _risk_free(read, asked)
    benchmark = None if asked.benchmark is None else read.column(asked.benchmark, "--benchmark")
    rest = read.without(free_column, asked.benchmark)
    if not rest.columns:
        raise UsageError(f"{read.source} has no column left to judge", mend="leave out --benchmark or --rf")
    named = [*rest.columns, *([asked.benchmark] if asked.benchmark else [])]
    warnings = [*check_scale(read, named, asked.periods), *_suspicions(read, asked, list(rest.columns))]
    says = {
        "file": read.source,
        **_span(read, slice(0, read.sessions)),
        "periods": asked.periods,
        "risk_free": source,
        "benchmark": asked.benchmark,
        "draws": asked.draws,
        "seed": asked.seed,
        "warnings": warnings,
        "notes": list(read.notes),
    }
    return Prepared(read, rest.columns, benchmark, free, says)


def describe(read: Returns, asked: Asked, tick: Tick = nothing) -> dict[str, Any]:
    """Every metric and all inference of each strategy: ``strategies`` → name → value or None, with ``reasons``.

    A benchmark has its own entry of the same keys, ``benchmark_metrics``. Strategies are computed side by side; the
    answer does not depend on how many processors there are.
    """
    from concurrent.futures import ThreadPoolExecutor
    from os import cpu_count

    ready = prepare(read, asked)
    columns = dict(ready.strategies)
    if asked.benchmark is not None and ready.benchmark is not None:
        columns[asked.benchmark] = ready.benchmark
    found: dict[str, dict[str, Any]] = {}
    # The compiled loops, where the time goes, hold no lock of the interpreter.
    with ThreadPoolExecutor(min(len(columns), cpu_count() or 1)) as pool:
        jobs = {name: pool.submit(_one, ready, asked, name, values) for name, values in columns.items()}
        for name, job in jobs.items():
            found[name] = job.result()
            tick("bootstrap", len(found), len(jobs))
    own = found.pop(asked.benchmark) if asked.benchmark else None
    if own is not None:
        own["reasons"] |= dict.fromkeys(("alpha", "beta", "alpha_t", "information_ratio"), "it is the benchmark itself")
    return {**ready.says, "strategies": found, "benchmark_metrics": own}


def _one(ready: Prepared, asked: Asked, name: str, values: Floats) -> dict[str, Any]:
    there = np.flatnonzero(np.isfinite(values))
    if not there.size:
        raise DataError(f'column "{name}" is empty', where=ready.read.source, mend="leave it out")
    span = slice(int(there[0]), int(there[-1]) + 1)
    r, free = values[span], ready.free[span]
    benchmark = None if ready.benchmark is None or name == asked.benchmark else ready.benchmark[span]
    lacking = benchmark is not None and bool(np.isnan(benchmark).any())
    trades = (asked.trades or {}).get(name)
    metrics = summary(r, free, None if lacking else benchmark, asked.periods, trades=trades)
    inference = inference_summary(r, free, asked.periods, draws=asked.draws, seed=asked.seed)
    reasons = {**metrics.reasons, **inference.reasons}
    if lacking:
        why = f"the benchmark lacks sessions of {name}"
        reasons |= dict.fromkeys(("alpha", "beta", "alpha_t", "information_ratio"), why)
    worst = metrics.drawdown
    return {
        **_span(ready.read, span),
        **metrics.values,
        **inference.values,
        "annualised_withheld": metrics.annualised_withheld,
        "max_drawdown_open": None if worst is None else worst.open,
        "max_drawdown_trough": None if worst is None else ready.read.day(span.start + worst.trough - 1),
        "reasons": reasons,
    }


def tell_apart(read: Returns, first: str, second: str, asked: Asked, tick: Tick = nothing) -> dict[str, Any]:
    """Whether two strategies differ, on the sessions both have: Ledoit-Wolf, paired bootstrap, power, verdict.

    ``verdict`` names the better one or is "cannot tell them apart", also where the comparison is undefined.
    """
    from simulator.stats.compare import compare

    if asked.risk_free in (first, second):
        raise UsageError(f'--rf and --a or --b are both "{asked.risk_free}"', mend="name three columns")
    if first == second:
        raise UsageError(f'--a and --b are both "{first}"', mend="name two columns")
    a, b = read.column(first, "--a"), read.column(second, "--b")
    both = np.isfinite(a) & np.isfinite(b)
    if not both.any():
        raise DataError(f'"{first}" and "{second}" have no session in common', where=read.source, mend="compare others")
    # What else is in the file is nobody's concern here.
    others = [name for name in read.columns if name not in (first, second, asked.risk_free)]
    ready = prepare(read.without(*others).rows(both), asked)
    pair = {name: ready.strategies[name] for name in (first, second)}
    left_out = int(np.sum(np.isfinite(a) | np.isfinite(b))) - int(both.sum())
    if left_out:
        ready.says["notes"].append(f"{left_out} sessions that only one of the two has are left out.")
    tick("comparison", 0, 2)
    alone = {name: _one(ready, asked, name, values) for name, values in pair.items()}
    tick("comparison", 1, 2)
    found = compare(pair[first], pair[second], ready.free, asked.periods, draws=asked.draws, seed=asked.seed)
    tick("comparison", 2, 2)
    return {**ready.says, "a": first, "b": second, **_difference(found, first, second, asked), "strategies": alone}


DIFFERENCE = {
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


def _difference(found: Any, first: str, second: str, asked: Asked) -> dict[str, Any]:
    from simulator.stats.power import pair_power, sessions_to_tell_apart

    if isinstance(found, Undefined):
        names = (*DIFFERENCE.values(), "power", "sessions_needed")
        values, reasons = split(dict.fromkeys(names, found))
        return {**values, "borderline": None, "verdict": "cannot tell them apart", "reasons": reasons}
    own = asdict(found)
    measures: dict[str, Measure] = {key: own[name] for name, key in DIFFERENCE.items()}
    ratios = (found.first, found.second, found.correlation, asked.periods)
    measures["power"] = pair_power(found.sessions, *ratios)
    measures["sessions_needed"] = sessions_to_tell_apart(*ratios)
    values, reasons = split(measures)
    better = {"the first is better": f"{first} is better", "the second is better": f"{second} is better"}
    verdict = better.get(found.verdict, found.verdict)
    return {**values, "borderline": found.borderline, "verdict": verdict, "reasons": reasons}


def _risk_free(read: Returns, asked: Asked) -> tuple[Floats, str, str | None]:
    """(T,) return per session, where it comes from, and its column if it is one."""
    wanted = asked.risk_free
    if wanted is None:
        return np.zeros(read.sessions), "none, so Sharpe ratios are over 0", None
    if wanted in read.columns:
        free = read.columns[wanted]
        if np.isnan(free).any():
            row = int(np.argmax(np.isnan(free)))
            raise DataError(
                f'column "{wanted}" has no return on {read.day(row)}',
                where=f"{read.source}:{read.lines[row]}",
                mend="fill it for every session, or give a yearly rate: --rf 0.04",
            )
        yearly = float(np.median(free)) * asked.periods
        if yearly > 0.5:
            raise DataError(
                f'column "{wanted}" amounts to {yearly:.0%} a year',
                where=read.source,
                mend="it must hold the return of each session, not a yearly rate or percentages",
            )
        return free, f"column {wanted}", wanted
    rate = _rate(read, wanted)
    return np.full(read.sessions, (1.0 + rate) ** (1.0 / asked.periods) - 1.0), f"{rate:.2%} a year", None


def _rate(read: Returns, wanted: str) -> float:
    try:
        rate = float(wanted.removesuffix("%")) / (100.0 if wanted.endswith("%") else 1.0)
    except ValueError:
        read.column(wanted, "--rf")
        raise
    if not -0.5 < rate < 0.5:
        raise UsageError(f"--rf {wanted} is {rate:.0%} a year", mend=f"write --rf {rate:g}% or --rf {rate / 100:g}")
    return rate


def _span(read: Returns, span: slice) -> dict[str, Any]:
    last = span.stop - 1
    dated = read.dates is not None
    return {
        "sessions": span.stop - span.start,
        "from": read.day(span.start) if dated else None,
        "to": read.day(last) if dated else None,
    }


def _suspicions(read: Returns, asked: Asked, names: Sequence[str]) -> list[str]:
    """What was probably meant otherwise."""
    said = []
    usual = usual_periods(read.dates)
    if usual is not None and not usual / 1.6 < asked.periods < usual * 1.6:
        said.append(f"Dates lie apart like {usual} sessions a year, not {asked.periods:g}: --periods {usual}.")
    cash = next((n for n in names if n.lower() in LIKE_CASH), None)
    if cash is not None and asked.risk_free is None:
        said.append(f'Column "{cash}" is judged as a strategy; --rf {cash} makes it the risk-free return.')
    market = next((n for n in names if n.lower() in LIKE_BENCHMARK), None)
    if market is not None and asked.benchmark is None:
        said.append(f'Column "{market}" is judged as a strategy; --benchmark {market} holds the others against it.')
    return said


def trades_of(path: Path, strategies: Sequence[str]) -> dict[str, Floats]:
    """Profits of closed trades per strategy, from a file of closed trades or of fills.

    Closed trades: a column `net`, `net_pnl`, `pnl` or `profit`. Fills, in order of execution: `symbol`, `quantity`
    (negative sells), `price`, and `costs` or `slippage` and `commission` where there are any; round trips are formed
    by average cost, from flat to flat. A column `strategy` says whose they are when there are several strategies.
    """
    from simulator.analysis.returns.load import numbers_of
    from simulator.analysis.returns.table import read_table

    table = read_table(path)
    named = {n.lower(): n for n in table.names}
    owners = table.texts(named["strategy"]) if "strategy" in named else [strategies[0]] * len(table.lines)
    if "strategy" not in named and len(strategies) > 1:
        raise UsageError(
            f"{path} does not say to which of {len(strategies)} strategies its trades belong",
            mend="add a column strategy, or keep one strategy in the file of returns",
        )
    stranger = next((o for o in owners if o not in strategies), None)
    if stranger is not None:
        raise UsageError(f'{path} has trades of "{stranger}", which is no column of returns', mend="use the same names")
    profit = next((named[n] for n in ("net", "net_pnl", "pnl", "profit") if n in named), None)
    if profit is None and not {"symbol", "quantity", "price"} <= named.keys():
        raise DataError(
            f"has neither profits nor fills; its columns are {', '.join(table.names)}",
            where=str(path),
            mend="write a column net (one row a closed trade), or symbol, quantity and price (one row a fill)",
        )
    mine = {name: np.array([owner == name for owner in owners], dtype=bool) for name in strategies}
    if profit is not None:
        net = numbers_of(table, profit, whole=True)
        return {name: net[rows] for name, rows in mine.items()}
    get = {n: numbers_of(table, named[n], whole=True) for n in ("quantity", "price")}
    paid = [
        np.abs(numbers_of(table, named[n], whole=True))
        for n in ("costs", "cost", "slippage", "commission")
        if n in named
    ]
    costs = sum(paid, np.zeros(len(table.lines)))
    codes = np.unique(table.texts(named["symbol"]), return_inverse=True)[1]
    return {name: _round_trips(codes[m], get["quantity"][m], get["price"][m], costs[m]) for name, m in mine.items()}


def _round_trips(codes: NDArray[np.intp], quantity: Floats, price: Floats, costs: Floats) -> Floats:
    from simulator.stats.trades import closed_trades

    return closed_trades(codes, np.arange(len(codes)), quantity, price, costs).round_trips()
