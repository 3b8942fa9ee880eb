"""Rows and cells of the report and the terminal. An undefined number is "n/a" and carries its reason as a footnote."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from math import fsum
from typing import Any

import numpy as np

from simulator.analysis.unanswered import draws, spread_of
from simulator.analysis.verdict import FEWEST_SESSIONS, withheld
from simulator.evidence.reader import Evidence, Series
from simulator.evidence.records import CallRow
from simulator.number_format import UNDEFINED, dollars, interval, number_of, p_value, percent, ratio, small, whole
from simulator.trading.model import Rejection

WITHHELD = "withheld"
WITHHELD_WHY = f"annualised figures are withheld below {FEWEST_SESSIONS} sessions"

SPREAD_COLUMNS = ("First", "Mean", "Lowest", "Highest", "Standard deviation")

Write = Callable[[Any], str]


@dataclass(frozen=True)
class Metric:
    """How one key of ``metrics`` is named and written."""

    key: str
    label: str
    hint: str
    write: Write
    annualised: bool = False
    terminal: bool = False


@dataclass(frozen=True)
class Cell:
    """`text` to show; `note` marks the footnote that says why it is not a number, `why` is that reason."""

    text: str
    note: str = ""
    why: str = ""


@dataclass(frozen=True)
class Row:
    label: str
    hint: str
    cells: tuple[Cell, ...]


@dataclass(frozen=True)
class Table:
    """Groups of rows under the same columns; `footnotes` are (mark, reason)."""

    columns: tuple[str, ...]
    groups: tuple[tuple[str, tuple[Row, ...]], ...]
    footnotes: tuple[tuple[str, str], ...]


def _signed_percent(value: Any) -> str:
    return percent(value, sign=True)


def _loss(value: Any) -> str:
    x = number_of(value)
    return UNDEFINED if x is None else percent(-abs(x))


def _fine_percent(value: Any) -> str:
    return percent(value, 2)


def _times(value: Any) -> str:
    text = ratio(value, 1)
    return text if text == UNDEFINED else text + "×"


def _money(value: Any) -> str:
    return dollars(value, 2)


GROUPS: tuple[tuple[str, tuple[Metric, ...]], ...] = (
    (
        "Return",
        (
            Metric("total_return", "Total return", "after costs", _signed_percent, terminal=True),
            Metric("cagr", "Growth a year", "compound, CAGR", _signed_percent, True, True),
            Metric("annual_return", "Mean return a year", "arithmetic", _signed_percent, True),
            Metric("final_equity", "Final equity", "", dollars),
        ),
    ),
    (
        "Risk",
        (
            Metric("volatility", "Volatility", "a year", percent, True, True),
            Metric("max_drawdown", "Largest drawdown", "from a peak at the close", _loss, terminal=True),
            Metric("max_drawdown_sessions", "Longest drawdown", "sessions, recovery included", whole),
            Metric("ulcer", "Ulcer index", "root mean square drawdown", percent),
            Metric("var_95", "Value at risk 95\u00a0%", "one session, historical", _fine_percent),
            Metric("cvar_95", "Expected shortfall 95\u00a0%", "mean of the worst 5\u00a0%", _fine_percent),
            Metric("tail_ratio", "Tail ratio", "95th over 5th percentile", ratio),
            Metric("skew", "Skewness", "negative: the longer tail is of losses", ratio),
            Metric("kurtosis", "Kurtosis", "weight of the tails, normal is 3", ratio),
        ),
    ),
    (
        "Return for risk",
        (
            Metric("sharpe", "Sharpe ratio", "excess of the risk-free return, a year", ratio, True, True),
            Metric(
                "sharpe_interval", "95\u00a0% interval", "of the Sharpe ratio, stationary bootstrap", ratio, True, True
            ),
            Metric("sortino", "Sortino ratio", "downside below the risk-free return", ratio, True, True),
            Metric("calmar", "Calmar ratio", "CAGR over largest drawdown", ratio, True),
            Metric("omega", "Omega ratio", "gains over losses", ratio),
        ),
    ),
    (
        "Against buy-and-hold",
        (
            Metric("beta", "Beta", "share of its moves that is followed", ratio),
            Metric("alpha", "Alpha", "a year, what beta does not explain", _signed_percent, True),
            Metric("alpha_t", "Alpha, t", "alpha over its HAC error", ratio, True),
            Metric("information_ratio", "Information ratio", "difference over its spread, a year", ratio, True, True),
        ),
    ),
    (
        "Trading",
        (
            Metric("trades", "Round trips", "from flat to flat", whole, terminal=True),
            Metric("wins", "Trades won", "", whole),
            Metric("losses", "Trades lost", "", whole),
            Metric("scratches", "Scratches", "neither won nor lost", whole),
            Metric("hit_rate", "Hit rate", "round trips that gained", percent, terminal=True),
            Metric("profit_factor", "Profit factor", "gains over losses", ratio, terminal=True),
            Metric("payoff", "Payoff ratio", "mean gain over mean loss", ratio),
            Metric("expectancy", "Expectancy", "mean gain of a trade, net", _money),
            Metric("gross_profit", "Gained", "by the trades won, net", dollars),
            Metric("gross_loss", "Lost", "by the trades lost, net", dollars),
            Metric("max_consecutive_losses", "Longest losing streak", "trades", whole),
            Metric("turnover", "Turnover", "times equity a year, one side", _times, True, True),
            Metric("exposure", "Exposure", "mean gross weight", percent, terminal=True),
        ),
    ),
)
"""Every metric with a name of its own, in the order it is shown."""

SIGNIFICANCE: tuple[Metric, ...] = (
    Metric("sharpe_se_hac", "Standard error", "of the Sharpe ratio, HAC", ratio),
    Metric("sharpe_p_hac", "p, HAC", "of a Sharpe ratio of zero or less, one-sided", p_value),
    Metric("sharpe_p_iid", "p, independent normal", "for comparison only", p_value),
    Metric("psr", "Probabilistic Sharpe", "probability that the true one is above zero", percent),
    Metric("min_trl", "Minimum track record", "sessions needed for 95\u00a0% of that", whole),
    Metric("trials", "Trials", "results on overlapping data, this one included", whole),
    Metric("effective_trials", "Effective trials", "after their correlation", ratio),
    Metric("expected_max_sharpe", "Best by luck", "expected best Sharpe of so many trials without skill", ratio),
    Metric("dsr", "Deflated Sharpe", "probability that the true one is above the best by luck", percent),
    Metric("dsr_effective", "Deflated, effective", "for the effective number of trials", percent),
    Metric("timing_percentile", "Timing", "of all shifts in time, those that earn less", percent),
    Metric("timing_p", "p, timing", "that some other time would have done as well, one-sided", p_value),
    Metric("detectable_sharpe", "Detectable Sharpe", "80\u00a0% power at this length", ratio),
    Metric("rho_1", "Autocorrelation", "of the first lag", ratio),
    Metric("ljung_box_p", "Ljung-Box p", "ten lags", p_value),
    Metric("sharpe_eta", "Sharpe, adjusted", "for autocorrelation, Lo's η", ratio),
)
"""What is known of the strategy's Sharpe ratio beyond its interval."""

ALWAYS = ("total_return", "cagr", "volatility", "max_drawdown", "sharpe", "sharpe_interval")
ELSEWHERE = ("sharpe_ci_low", "sharpe_ci_high")


def comparison(run: Mapping[str, Any], brief: bool = False) -> Table:
    """The strategy and its benchmarks in the same columns; keys without a name of their own come last.

    `brief` keeps the rows a terminal shows and leaves out those withheld from all columns.
    """
    columns = [
        (str(run["strategy"]), {**(run.get("inference") or {}), **run["metrics"]}, run.get("reasons") or {}),
        _benchmark(run, "buy_and_hold", "Buy-and-hold"),
        _benchmark(run, "equal_weight", "Equal-weight"),
    ]
    if "exposure_matched" in run["benchmarks"]:
        columns.append(_benchmark(run, "exposure_matched", "Same exposure"))
    short = withheld(run)
    named = {m.key for _, metrics in GROUPS for m in metrics} | set(ELSEWHERE) | set(run.get("inference") or {})
    unnamed = [k for k, v in run["metrics"].items() if k not in named and (v is None or number_of(v) is not None)]
    extra = tuple(Metric(key, key.replace("_", " ").capitalize(), "", ratio) for key in unnamed)
    notes: dict[str, str] = {}
    groups = []
    for title, metrics in (*GROUPS, ("Further figures", extra)):
        shown = [m for m in metrics if _present(m.key, columns)]
        if brief:
            shown = [m for m in shown if m.terminal and not (short and m.annualised)]
        if shown:
            groups.append((title, tuple(_row(m, columns, short, notes) for m in shown)))
    names = tuple(name for name, _, _ in columns)
    return Table(names, tuple(groups), tuple((mark, why) for why, mark in notes.items()))


def replicates(run: Mapping[str, Any]) -> tuple[tuple[str, tuple[Cell, ...]], ...]:
    """(metric, cells of SPREAD_COLUMNS) over the draws of the run; nothing for a single one."""
    if draws(run) == 1:
        return ()
    shown = [
        m for _, metrics in GROUPS for m in metrics if spread_of(run, m.key) and not (m.annualised and withheld(run))
    ]
    return tuple((metric.label, _spread(run, metric)) for metric in shown)


def _spread(run: Mapping[str, Any], metric: Metric) -> tuple[Cell, ...]:
    spread: Mapping[str, Any] = spread_of(run, metric.key) or {}
    values = (run["metrics"].get(metric.key), *(spread.get(key) for key in ("mean", "min", "max", "sd")))
    return tuple(Cell(metric.write(value)) for value in values)


def significance(run: Mapping[str, Any]) -> tuple[tuple[str, str, Cell], ...]:
    """(label, hint, cell) on how far the Sharpe ratio can be trusted; empty for runs too short for one."""
    inference, reasons = run.get("inference") or {}, run.get("reasons") or {}
    known = [m for m in SIGNIFICANCE if m.key in inference and not withheld(run)]
    rows = [(m.label, m.hint, _explained(m.write(inference[m.key]), reasons.get(m.key))) for m in known]
    depths = [number_of(inference.get(f"max_drawdown_{q}")) for q in (5, 50, 95)]
    if rows and None not in depths:
        band = interval(depths[0], depths[2], percent)
        rows.append(("Largest drawdown", f"nine in ten redrawn histories, median {percent(depths[1])}", Cell(band)))
    return tuple(rows)


def _explained(text: str, why: Any) -> Cell:
    """A cell that stands alone: its reason is a title, not a footnote."""
    return Cell(text, "", str(why or "no reason recorded")) if text == UNDEFINED else Cell(text)


Column = tuple[str, Mapping[str, Any], Mapping[str, Any]]


def _benchmark(run: Mapping[str, Any], key: str, label: str) -> Column:
    values = run["benchmarks"].get(key) or {}
    reasons = values.get("reasons") or (run.get("reasons") or {}).get(key) or {}
    return label, {k: v for k, v in values.items() if k != "reasons"}, reasons if isinstance(reasons, Mapping) else {}


def _present(key: str, columns: Sequence[Column]) -> bool:
    return key in ALWAYS or any(key in values for _, values, _ in columns)


def _row(metric: Metric, columns: Sequence[Column], short: bool, notes: dict[str, str]) -> Row:
    cells = tuple(_cell(metric, values, reasons, short, notes) for _, values, reasons in columns)
    return Row(metric.label, metric.hint, cells)


def _cell(
    metric: Metric, values: Mapping[str, Any], reasons: Mapping[str, Any], short: bool, notes: dict[str, str]
) -> Cell:
    if short and metric.annualised:
        return Cell(WITHHELD, _mark(WITHHELD_WHY, notes), WITHHELD_WHY)
    if metric.key == "sharpe_interval":
        text = interval(values.get("sharpe_ci_low"), values.get("sharpe_ci_high"))
        known = "sharpe_ci_low" in values
        why = reasons.get("sharpe_ci_low") or reasons.get("sharpe")
    else:
        text, known, why = metric.write(values.get(metric.key)), metric.key in values, reasons.get(metric.key)
    if text != UNDEFINED:
        return Cell(text)
    reason = str(why or ("no reason recorded" if known else "not computed for this column"))
    return Cell(UNDEFINED, _mark(reason, notes), reason)


def _mark(why: str, notes: dict[str, str]) -> str:
    """The footnote mark of a reason: a, b … z, then numbers."""
    if why not in notes:
        notes[why] = chr(ord("a") + len(notes)) if len(notes) < 26 else str(len(notes) + 1)
    return notes[why]


@dataclass(frozen=True)
class Shade:
    """A monthly return: its text, the side of zero it lies on, and how strongly to tint it (0–60)."""

    text: str
    side: str = ""
    strength: int = 0


@dataclass(frozen=True)
class Year:
    year: int
    months: tuple[Shade | None, ...]
    total: Shade
    benchmark: str


def monthly(evidence: Evidence) -> tuple[Year, ...]:
    """Returns by calendar month and year, from the close before it (or the starting cash) to its last close."""
    sessions, cash = evidence.sessions, float(evidence.run["cash"])
    months = period_returns(sessions, evidence.equity["equity"], cash, lambda d: (d.year, d.month))
    years = period_returns(sessions, evidence.equity["equity"], cash, lambda d: (d.year,))
    held = evidence.equity.get("buy_and_hold")
    against = {} if held is None else period_returns(sessions, held, cash, lambda d: (d.year,))
    strongest = max([abs(r) for r in months.values() if r is not None] + [0.02])
    return tuple(
        Year(
            year,
            tuple(_shade(months[(year, m)], strongest) if (year, m) in months else None for m in range(1, 13)),
            _shade(total, strongest),
            percent(against.get((year,)), sign=True),
        )
        for (year, *_), total in years.items()
    )


def period_returns(
    sessions: Sequence[date], equity: Series, cash: float, period: Callable[[date], tuple[int, ...]]
) -> dict[tuple[int, ...], float | None]:
    """Period → return from the last close before it, or from `cash`, to its last close; None where that was lost."""
    last = {period(day): float(value) for day, value in zip(sessions, equity, strict=True)}
    returns: dict[tuple[int, ...], float | None] = {}
    before = cash
    for key, value in last.items():
        returns[key] = number_of(value / before - 1) if before > 0 else None
        before = value
    return returns


def _shade(value: float | None, strongest: float) -> Shade:
    if value is None:
        return Shade(UNDEFINED)
    side = "gain" if value > 0 else "loss" if value < 0 else ""
    return Shade(percent(value, sign=True), side, round(60 * min(1.0, abs(value) / strongest)))


COST_COLUMNS = ("Costs paid", "Total return", "Growth a year", "Sharpe", "Largest drawdown")


def cost_sensitivity(run: Mapping[str, Any]) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """(multiple of the stated costs, cells of COST_COLUMNS)."""
    short = withheld(run)
    rows = []
    for entry in run.get("cost_sensitivity") or []:
        m = entry.get("metrics") or {}
        yearly = (WITHHELD, WITHHELD) if short else (_signed_percent(m.get("cagr")), ratio(m.get("sharpe")))
        multiple = number_of(entry.get("multiple"))
        name = UNDEFINED if multiple is None else f"{multiple:g}×"
        paid = dollars(entry.get("costs_paid"))
        rows.append((name, (paid, _signed_percent(m.get("total_return")), *yearly, _loss(m.get("max_drawdown")))))
    return tuple(rows)


@dataclass(frozen=True)
class Orders:
    """What became of the orders.

    `statuses` and `ways` (of filling) are (words, count); `refused` is (rule, times, symbols, when, share carried out).
    """

    total: int
    statuses: tuple[tuple[str, int], ...]
    ways: tuple[tuple[str, int], ...]
    slippage: str
    commission: str
    refused: tuple[tuple[str, str, str, str, str], ...]
    decisions: int
    cut: int


def orders(evidence: Evidence) -> Orders:
    """Orders, fills and refusals, counted."""
    return Orders(
        total=len(evidence.orders),
        statuses=_counts(order.status for order in evidence.orders),
        ways=_counts(fill.why for fill in evidence.fills),
        slippage=dollars(fsum(fill.slippage for fill in evidence.fills), 2),
        commission=dollars(fsum(fill.commission for fill in evidence.fills), 2),
        refused=_refused(evidence.rejected),
        decisions=len(evidence.decisions),
        cut=sum(1 for decision in evidence.decisions if decision.get("cuts")),
    )


def _counts(words: Any) -> tuple[tuple[str, int], ...]:
    counts = Counter(word.replace("_", " ") or "unnamed" for word in words)
    return tuple(sorted(counts.items(), key=lambda pair: (-pair[1], pair[0])))


def _refused(rows: Sequence[Rejection]) -> tuple[tuple[str, str, str, str, str], ...]:
    reasons = _counts(row.why for row in rows)
    lines = []
    for why, count in reasons:
        mine = [row for row in rows if (row.why.replace("_", " ") or "unnamed") == why]
        symbols = list(dict.fromkeys(row.symbol for row in mine))
        named = ", ".join(symbols[:4]) + (f" and {len(symbols) - 4} more" if len(symbols) > 4 else "")
        span = str(mine[0].session) if len(mine) == 1 else f"{mine[0].session} to {mine[-1].session}"
        lines.append((why, whole(count), named, span, _kept(mine)))
    return tuple(lines)


def _kept(rows: Sequence[Rejection]) -> str:
    """Share of the wanted quantity that was carried out all the same."""
    wanted, got = fsum(abs(row.wanted) for row in rows), fsum(abs(row.got) for row in rows)
    return percent(got / wanted) if wanted > 0 else UNDEFINED


STAGES = ("research", "pitch", "review", "chairman", "execution", "checkpoint")
"""Stages of a council in the order they speak; others follow."""


CALL_COLUMNS = ("Model", "Asked for", "Asked", "Unanswered", "Tokens", "Cost")


def calls(evidence: Evidence) -> tuple[tuple[str, ...], ...]:
    """Questions to each model, cells of CALL_COLUMNS; models in the order in which they speak."""
    groups: dict[str, list[CallRow]] = {}
    for call in evidence.calls:
        model = "/".join(filter(None, (call["provider"], call["model"])))
        groups.setdefault(model, []).append(call)
    stages = {model: Counter(str(row.get("stage") or "?") for row in rows) for model, rows in groups.items()}
    return tuple(
        (
            model,
            ", ".join(f"{stage} {whole(n)}" for stage, n in sorted(stages[model].items(), key=lambda s: _turn(s[0]))),
            whole(len(rows)),
            whole(sum(1 for row in rows if row.get("outcome") != "answer")),
            whole(fsum(_tokens(row) for row in rows)),
            dollars(fsum(number_of(row.get("cost_usd")) or 0.0 for row in rows), 2),
        )
        for model, rows in sorted(groups.items(), key=lambda group: (min(map(_turn, stages[group[0]])), group[0]))
    )


def _turn(stage: str) -> int:
    return STAGES.index(stage) if stage in STAGES else len(STAGES)


def _tokens(call: Mapping[str, Any]) -> float:
    return fsum(number_of(call.get(part)) or 0.0 for part in ("tokens", "prompt_tokens", "completion_tokens"))


def sources(run: Mapping[str, Any], key: str = "sources") -> tuple[tuple[str, str], ...]:
    """(source, its symbols), in the order of the symbols. With `key` "context": series that were shown, not traded."""
    grouped: dict[str, list[str]] = {}
    for symbol, source in (run.get(key) or {}).items():
        grouped.setdefault(str(source), []).append(str(symbol))
    return tuple((source, ", ".join(symbols)) for source, symbols in grouped.items())


def audit_line(run: Mapping[str, Any]) -> str:
    """How far the two engines differ, in one sentence."""
    audit = run.get("audit") or {}
    difference = number_of(audit.get("max_relative_difference"))
    if difference is None:
        return "Not audited by a second engine."
    engines = f"{audit.get('engine', 'engine')} and {audit.get('auditor', 'auditor')}"
    if difference == 0:
        return f"{engines} agree to the last bit in cash, positions and equity."
    return f"{engines} differ by at most {small(difference)} of equity."


def drawdown(equity: Series, start: float) -> Series:
    """Fraction below the highest close so far; `start` counts as a peak. NaN stays NaN."""
    peaks = np.fmax.accumulate(np.r_[start, equity])[1:]
    return equity / peaks - 1
