"""Table and page of `sim stats`: the same cells, printed or as one self-contained file.

dictionary of research/judging.py or research/best_of_many.py
    ──grids────► Grid   (cells as people read them, "n/a" with its reason)
    ──say──────► terminal
    ──render───► HTML, with the drawings of returns_charts.py
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from simulator.analysis.verdict import JUDGEMENT, Verdict, judge
from simulator.errors import SimError
from simulator.number_format import (
    SPACE,
    UNDEFINED,
    counted,
    interval,
    number_of,
    p_value,
    percent,
    ratio,
    whole,
)
from simulator.report import layout

if TYPE_CHECKING:
    from rich.console import Console

    from simulator.analysis.returns.load import Returns

Write = Callable[[Any], str]
Numbers = Mapping[str, Any]


WITHHELD = frozenset(
    (
        *("annual_return", "cagr", "volatility", "sharpe", "sortino", "calmar", "alpha", "information_ratio"),
        *("sharpe_ci", "sharpe_se_hac", "sharpe_eta", "detectable_sharpe"),
    )
)
"""What speaks of a year, and is not shown below 60 sessions."""


@dataclass(frozen=True)
class Cell:
    """A number as text; `why` it is n/a or withheld."""

    text: str
    why: str = ""


@dataclass(frozen=True)
class Row:
    label: str
    hint: str
    cells: tuple[Cell, ...]


@dataclass(frozen=True)
class Grid:
    """A table: a column per strategy, rows in groups."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[Row, ...]


def _days(value: Any) -> str:
    return whole(value)


def _blocks(value: Any) -> str:
    return ratio(value, 1)


def _roughly(value: Any) -> str:
    return percent(value, 0)


GROUPS: tuple[tuple[str, tuple[tuple[str, str, Write, str], ...]], ...] = (
    (
        "Return and risk",
        (
            ("total_return", "Total return", percent, ""),
            ("cagr", "A year, compounded", percent, ""),
            ("annual_return", "A year, mean", percent, ""),
            ("volatility", "Volatility", percent, "a year"),
            ("sharpe", "Sharpe", ratio, "over the risk-free return"),
            ("sortino", "Sortino", ratio, "shortfalls over all sessions"),
            ("calmar", "Calmar", ratio, "whole history"),
            ("omega", "Omega", ratio, "around 0"),
            ("max_drawdown", "Max drawdown", percent, ""),
            ("max_drawdown_sessions", "Drawdown sessions", _days, "peak to recovery, or to the end"),
            ("ulcer", "Ulcer index", percent, ""),
            ("var_95", "VaR 95", percent, "a session, historical"),
            ("cvar_95", "CVaR 95", percent, "a session, historical"),
            ("tail_ratio", "Tail ratio", ratio, ""),
            ("skew", "Skew", ratio, "0 when normal"),
            ("kurtosis", "Kurtosis", ratio, "3 when normal"),
        ),
    ),
    (
        "Significance",
        (
            ("sharpe_ci", "Sharpe, 95 % interval", ratio, "stationary bootstrap"),
            ("sharpe_se_hac", "Standard error", ratio, "HAC, a year"),
            ("sharpe_p_hac", "p, Sharpe ≤ 0", p_value, "HAC, one-sided"),
            ("block_length", "Mean block", _blocks, "sessions"),
            ("psr", "PSR", ratio, "2012 form, against 0"),
            ("min_trl", "MinTRL", _days, "sessions needed at 95 %"),
            ("detectable_sharpe", "Detectable Sharpe", ratio, "found four times in five"),
            ("rho_1", "Autocorrelation", ratio, "first"),
            ("ljung_box_p", "Ljung-Box p", p_value, "ten lags"),
            ("eta", "η", ratio, "in place of √P"),
            ("sharpe_eta", "Sharpe by η", ratio, "allows for autocorrelation"),
            ("max_drawdown_band", "Drawdown, 90 % band", _roughly, "bootstrap histories"),
        ),
    ),
    (
        "Against the benchmark",
        (
            ("alpha", "Alpha", percent, "a year"),
            ("alpha_t", "t of alpha", ratio, "HAC"),
            ("beta", "Beta", ratio, ""),
            ("information_ratio", "Information ratio", ratio, "a year"),
        ),
    ),
    (
        "Closed trades",
        (
            ("trades", "Trades", whole, ""),
            ("hit_rate", "Hit rate", percent, "scratches apart"),
            ("profit_factor", "Profit factor", ratio, ""),
            ("payoff", "Payoff", ratio, "mean gain over mean loss"),
            ("expectancy", "Expectancy", ratio, "a trade"),
        ),
    ),
)
"""(key, label, how it is written, hint) by group."""

RANGES = {"sharpe_ci": ("sharpe_ci_low", "sharpe_ci_high"), "max_drawdown_band": ("max_drawdown_5", "max_drawdown_95")}


def grids(strategies: Mapping[str, Numbers], *, benchmark: bool, trades: bool) -> tuple[Grid, ...]:
    """The tables of `strategies` (name → values and reasons), without the groups nothing was given for."""
    shown = [
        g for g in GROUPS if (g[0] != "Against the benchmark" or benchmark) and (g[0] != "Closed trades" or trades)
    ]
    return tuple(
        Grid(
            title,
            tuple(strategies),
            tuple(
                Row(label, hint, tuple(_cell(values, key, write) for values in strategies.values()))
                for key, label, write, hint in rows
            ),
        )
        for title, rows in shown
    )


def _cell(values: Numbers, key: str, write: Write) -> Cell:
    if values.get("annualised_withheld") and key in WITHHELD:
        sessions = int(values["sessions"])
        few = f"{counted(sessions, 'session')} {'is' if sessions == 1 else 'are'} too few for a figure of a year"
        return Cell("withheld", few)
    reasons = values.get("reasons") or {}
    if key in RANGES:
        low, high = RANGES[key]
        text = interval(values.get(low), values.get(high), write)
        return Cell(text, reasons.get(low, "") if text == UNDEFINED else "")
    text = write(values.get(key))
    if key == "max_drawdown_sessions" and values.get("max_drawdown_open"):
        text += ", open"
    return Cell(text, reasons.get(key, "") if text == UNDEFINED else "")


def verdict_of(values: Numbers) -> Verdict:
    """The verdict on one strategy, by the rule of a run's report."""
    return judge({**values, "metrics": values, "inference": values, "benchmarks": {}})


def footnotes(shown: Sequence[Grid]) -> dict[str, int]:
    """Reason → its number, in order of appearance."""
    found = (cell.why for grid in shown for row in grid.rows for cell in row.cells if cell.why)
    return {why: i for i, why in enumerate(dict.fromkeys(found), 1)}


# The terminal


def say(form: str, found: Numbers, console: Console) -> None:
    """Print the answer of one form of the command: table, verdict, warnings. Fits 80 columns."""
    from rich.text import Text

    for warning in found["warnings"]:
        console.print(Text(f"warning: {warning}", style="yellow"), soft_wrap=False)
    console.print(Text(facts(found), style="dim"))
    {"stats": _say_stats, "compare": _say_compare, "sweep": _say_sweep}[form](found, console)
    for note in found["notes"]:
        console.print(Text(note, style="dim"))


def facts(found: Numbers) -> str:
    """``1,260 sessions, 2019-01-02 to 2023-12-29, 252 a year; risk-free: column rf``"""
    dates = f", {found['from']} to {found['to']}" if found["from"] else ""
    benchmark = f"; benchmark: {found['benchmark']}" if found["benchmark"] else ""
    text = f"{counted(found['sessions'], 'session')}{dates}, {found['periods']:g} a year"
    return f"{text}; risk-free: {found['risk_free']}{benchmark}".replace(SPACE, " ")


def _say_stats(found: Numbers, console: Console) -> None:
    shown = _grids_of(found)
    notes = footnotes(shown)
    per_table = max((console.width - 26) // 16, 1)
    names = shown[0].columns
    for start in range(0, len(names), per_table):
        console.print()
        console.print(_table(shown, slice(start, start + per_table), notes))
    for why, number in notes.items():
        console.print(f"({number}) {why}", style="dim", highlight=False)
    console.print()
    for name, values in found["strategies"].items():
        console.print(f"{name}: {_plain(verdict_of(values).headline)}", highlight=False, markup=False)
    console.print(_plain(SELECTION), style="dim", highlight=False)


SELECTION = (
    "Unadjusted for selection: how many variants were tried before these is not known here; "
    "`sim stats sweep` adjusts for those in the file."
)


def _grids_of(found: Numbers) -> tuple[Grid, ...]:
    strategies = dict(found["strategies"])
    if found.get("benchmark_metrics"):
        strategies[found["benchmark"]] = found["benchmark_metrics"]
    traded = any(values.get("trades") is not None for values in strategies.values())
    return grids(strategies, benchmark=bool(found["benchmark"]), trades=traded)


def _table(shown: Sequence[Grid], columns: slice, notes: Mapping[str, int]) -> Any:
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, padding=(0, 0, 0, 2), pad_edge=False)
    table.add_column(no_wrap=True)
    for name in shown[0].columns[columns]:
        table.add_column(Text(name, style="bold"), justify="right", max_width=24, overflow="fold")
    for grid in shown:
        table.add_row(Text(grid.title, style="dim"))
        for row in grid.rows:
            cells = [
                Text(f"{_plain(c.text)} ({notes[c.why]})" if c.why else _plain(c.text)) for c in row.cells[columns]
            ]
            table.add_row(Text(f"  {row.label}"), *cells)
    return table


def _say_compare(found: Numbers, console: Console) -> None:
    console.print()
    console.print(_listed(differences(found)))
    _conclude(console, compare_headline(found), compare_details(found))


def _listed(rows: Sequence[tuple[str, Cell, str]]) -> Any:
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, padding=(0, 0, 0, 2), pad_edge=False, show_header=False)
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column()
    for label, cell, hint in rows:
        table.add_row(Text(label), _plain(cell.text), Text(cell.why or hint, style="dim"))
    return table


def _conclude(console: Console, headline: str, details: Sequence[str]) -> None:
    console.print()
    console.print(_plain(headline), style="bold", highlight=False, markup=False)
    for sentence in details:
        console.print(_plain(sentence), highlight=False, markup=False)


def differences(found: Numbers) -> tuple[tuple[str, Cell, str], ...]:
    """(label, cell, hint) of a comparison."""
    a, b, reasons = found["a"], found["b"], found["reasons"]
    rows: tuple[tuple[str, str, Write, str], ...] = (
        ("sharpe_a", f"Sharpe, {a}", ratio, ""),
        ("sharpe_b", f"Sharpe, {b}", ratio, ""),
        ("sharpe_difference", "Difference", lambda v: ratio(v, sign=True), f"{a} less {b}"),
        ("ci", "95 % interval", ratio, "Ledoit-Wolf"),
        ("paired_ci", "95 % interval, paired", ratio, "stationary bootstrap on the same sessions"),
        ("p", "p, equal Sharpe ratios", p_value, "Ledoit-Wolf, studentised bootstrap, two-sided"),
        ("p_hac", "p, normal", p_value, "prewhitened HAC, beside it"),
        ("correlation", "Correlation", ratio, ""),
        ("detectable_difference", "Detectable difference", ratio, "found four times in five at this length"),
        ("power", "Power", percent, "for a true difference as large as the one seen"),
        ("sessions_needed", "Sessions needed", _days, "to find that difference four times in five"),
        ("block_length", "Block", _days, "sessions, circular bootstrap"),
    )
    return tuple((label, _pair_cell(found, key, write, reasons), hint) for key, label, write, hint in rows)


def _pair_cell(found: Numbers, key: str, write: Write, reasons: Mapping[str, str]) -> Cell:
    low = f"{key}_low"
    text = interval(found[low], found[f"{key}_high"], write) if key in ("ci", "paired_ci") else write(found[key])
    return Cell(text, reasons.get(low if key.endswith("ci") else key, "") if text == UNDEFINED else "")


def compare_headline(found: Numbers) -> str:
    """The verdict in a sentence, with its interval."""
    verdict = str(found["verdict"])
    verdict = verdict[:1].upper() + verdict[1:] if verdict == "cannot tell them apart" else verdict
    if found["sharpe_difference"] is None:
        return f"{verdict}: {found['reasons']['sharpe_difference']}."
    bounds = interval(found["ci_low"], found["ci_high"])
    difference = ratio(found["sharpe_difference"], sign=True)
    near = " Borderline: p lies between 0.03 and 0.07." if found["borderline"] else ""
    return f"{verdict}: the Sharpe ratios differ by {difference}, 95{SPACE}% interval {bounds}.{near}"


def compare_details(found: Numbers) -> tuple[str, ...]:
    """What the verdict does not say by itself."""
    if found["sharpe_difference"] is None:
        return ()
    years = found["sessions"] / found["periods"]
    power = (
        f"Power: {ratio(years, 1)} years show a difference of {ratio(found['detectable_difference'])} or more "
        f"four times in five; one as large as that seen would be found {percent(found['power'], 0)} of the time."
    )
    needed = number_of(found["sessions_needed"])
    if needed is not None and needed > found["sessions"]:
        power += f" It would take {ratio(needed / found['periods'], 1)} years to find it four times in five."
    if found["verdict"] == "cannot tell them apart":
        return (power, "Not finding a difference is not finding that there is none.")
    return (power,)


def _say_sweep(found: Numbers, console: Console) -> None:
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, padding=(0, 0, 0, 2), pad_edge=False)
    for name in ("configuration", "Sharpe", "p alone", "p, Romano-Wolf", "p, MCS", "in the set"):
        table.add_column(Text(name, style="dim"), justify="left" if name == "configuration" else "right")
    ranked = configurations(found)
    for row in ranked[:TERMINAL_ROWS]:
        table.add_row(*(Text(_plain(text)) for text in row))
    console.print()
    console.print(table)
    if len(ranked) > TERMINAL_ROWS:
        console.print(f"and {len(ranked) - TERMINAL_ROWS} more: --json and --html have them all", style="dim")
    console.print()
    console.print(_listed(selection_figures(found)))
    _conclude(console, sweep_headline(found), sweep_details(found))


TERMINAL_ROWS = 20


def configurations(found: Numbers) -> list[tuple[str, ...]]:
    """Name, Sharpe, p alone, Romano-Wolf p, MCS p, membership; the best first."""
    ranked = sorted(found["configurations"], key=lambda c: -(c["sharpe"] if c["sharpe"] is not None else -1e9))
    return [
        (
            c["name"],
            ratio(c["sharpe"]),
            p_value(c["sharpe_p_hac"]),
            p_value(c["romano_wolf_p"]),
            p_value(c["mcs_p"]),
            {True: "yes", False: "no", None: UNDEFINED}[c["in_mcs"]],
        )
        for c in ranked
    ]


def selection_figures(found: Numbers) -> tuple[tuple[str, Cell, str], ...]:
    """(label, cell, hint) of what is held against the best."""
    rows: tuple[tuple[str, str, Write, str], ...] = (
        ("trials", "Trials", whole, "columns, failed ones too, or --trials"),
        ("effective_trials", "Effective trials", _blocks, "independent ones they amount to"),
        ("best_sharpe", f"Best Sharpe, {found['best']}", ratio, ""),
        ("expected_maximum_sharpe", "Expected best without skill", ratio, "of as many trials with this spread"),
        ("expected_maximum_sharpe_effective", "… of the effective trials", ratio, ""),
        ("reality_check_p", "Reality check p", p_value, "largest Sharpe ratio, recentred, own sd"),
        ("dsr", "Deflated Sharpe ratio", ratio, "probability that the best has skill"),
        ("dsr_effective", "… by effective trials", ratio, ""),
        ("psr", "PSR, unadjusted", ratio, "beside it"),
        ("pbo", "PBO", percent, _blocks_used(found)),
        ("prob_oos_loss", "Loss out of sample", percent, "splits in which the best in sample lost"),
        ("is_oos_slope", "Slope, in to out of sample", ratio, ""),
        ("minimum_backtest_years", "Minimum backtest length", _blocks, f"years; there are {ratio(found['years'], 1)}"),
    )
    reasons = found["reasons"]
    return tuple(
        (label, Cell(write(found[key]), reasons.get(key, "") if found[key] is None else ""), hint)
        for key, label, write, hint in rows
    )


def _blocks_used(found: Numbers) -> str:
    if found["pbo_blocks"] is None:
        return ""
    dropped = f", {counted(found['pbo_dropped'], 'oldest row')} dropped" if found["pbo_dropped"] else ""
    return f"{found['pbo_blocks']} blocks, {whole(found['pbo_splits'])} splits{dropped}; noise gives about 50 %"


def sweep_headline(found: Numbers) -> str:
    """The verdict in a sentence, with the adjusted p."""
    near = " Borderline: p lies between 0.03 and 0.07." if found["borderline"] else ""
    return (
        f"The best of {counted(found['trials'], 'trial')}, {found['best']} with a Sharpe ratio of "
        f"{ratio(found['best_sharpe'])}, is {found['verdict']}: adjusted p {p_value(found['reality_check_p'])}.{near}"
    )


def sweep_details(found: Numbers) -> tuple[str, ...]:
    """What the verdict does not say by itself."""
    said = []
    expected = number_of(found["expected_maximum_sharpe"])
    if expected is not None:
        effective = ratio(found["effective_trials"], 1)
        said.append(
            f"{counted(found['trials'], 'trial')} without any skill would have shown a best Sharpe ratio of about "
            f"{ratio(expected)}; they amount to {effective} independent ones."
        )
    alone = [
        c["name"] for c in found["configurations"] if c["romano_wolf_p"] is not None and c["romano_wolf_p"] <= 0.05
    ]
    named = ", ".join(alone[:8]) + (f" and {len(alone) - 8} more" if len(alone) > 8 else "")
    said.append(f"Better than luck one by one (Romano-Wolf, 5 %): {named or 'none'}.")
    if found["pbo"] is not None:
        said.append(
            f"Choosing the best in sample put it in the lower half out of sample {percent(found['pbo'], 0)} of the "
            f"time and lost money {percent(found['prob_oos_loss'], 0)} of the time."
        )
    if found["trials"] > len(found["configurations"]) + len(found["failed"]):
        said.append("The reality check knows only the columns of the file; the deflated Sharpe ratio knows all trials.")
    return tuple(said)


def _plain(text: str) -> str:
    return text.replace(SPACE, " ")


# The page


def write(target: Path, content: bytes) -> None:
    """Write a page in one step. Errors: `SimError` where the folder cannot be written."""
    staging = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        staging.write_bytes(content)
        os.replace(staging, target)
    except OSError as error:
        staging.unlink(missing_ok=True)
        mend = "name a file in a folder that can be written"
        raise SimError(f"cannot be written ({error.strerror})", where=str(target), mend=mend) from None


def render(form: str, found: Numbers, read: Returns, command: str) -> bytes:
    """The page of one form (stats, compare, sweep) as UTF-8 HTML; no time, no path but the ones in `command`."""
    from simulator.report import returns_charts as charts

    if form == "compare":
        read = read.rows(np.isfinite(read.columns[found["a"]]) & np.isfinite(read.columns[found["b"]]))
    common = {
        "found": found,
        "command": command,
        "facts": facts(found),
        "name": Path(found["file"]).name,
        "axis": charts.axis(found, read),
    }
    shown = {"stats": _stats_page, "compare": _compare_page, "sweep": _sweep_page}[form](found, read)
    return layout.template(f"returns_{form}.html", "returns.css").render(**common, **shown).encode()


def _stats_page(found: Numbers, read: Returns) -> dict[str, Any]:
    from simulator.report import returns_charts as charts

    shown = _grids_of(found)
    verdicts = [(name, verdict_of(values)) for name, values in found["strategies"].items()]
    return {
        "grids": shown,
        "footnotes": footnotes(shown),
        "verdicts": verdicts,
        "headline": verdicts[0][1].headline if len(verdicts) == 1 else _several(verdicts),
        "selection": SELECTION.replace("`", ""),
        "forest": charts.sharpes(found),
        "growth": charts.growth(found, read, shown[0].columns),
        "drawdown": charts.underwater(found, read, shown[0].columns),
    }


def _several(verdicts: Sequence[tuple[str, Verdict]]) -> str:
    """How many of several strategies stand out, and which."""
    stand = [name for name, verdict in verdicts if verdict.standing == "distinct"]
    short = sum(verdict.standing == "too short" for _, verdict in verdicts)
    if short == len(verdicts):
        return verdicts[0][1].headline
    if not stand:
        return f"None of {len(verdicts)} strategies can be told from luck, each judged by itself."
    named = ", ".join(stand[:5]) + (f" and {len(stand) - 5} more" if len(stand) > 5 else "")
    return f"{len(stand)} of {len(verdicts)} strategies, each judged by itself: {JUDGEMENT['distinct']} ({named})."


def _compare_page(found: Numbers, read: Returns) -> dict[str, Any]:
    from simulator.report import returns_charts as charts

    names = (found["a"], found["b"])
    shown = grids(found["strategies"], benchmark=False, trades=False)
    return {
        "headline": compare_headline(found),
        "details": compare_details(found),
        "differences": differences(found),
        "forest": charts.difference(found),
        "grids": shown,
        "footnotes": footnotes(shown),
        "growth": charts.growth(found, read, names),
        "drawdown": charts.underwater(found, read, names),
    }


def _sweep_page(found: Numbers, read: Returns) -> dict[str, Any]:
    from simulator.report import returns_charts as charts

    del read
    return {
        "headline": sweep_headline(found),
        "details": sweep_details(found),
        "figures": selection_figures(found),
        "configurations": configurations(found),
        "ranked": charts.ranked(found),
        "logits": charts.logits(found),
    }
