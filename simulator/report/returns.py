"""Tables and pages of `sim stats`: the same cells, printed or as one self-contained file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from simulator.analysis.returns.summary import About, Description, Figures, PairedDifference, judge_figures
from simulator.analysis.verdict import AGAINST, CASH_ONLY, JUDGEMENT, Verdict, against_only
from simulator.number_format import (
    NEVER,
    SPACE,
    UNDEFINED,
    counted,
    interval,
    number_of,
    p_value,
    plain,
    ratio,
    rough_percent,
    signed_ratio,
    whole,
    years,
)
from simulator.report.catalogue import DIFFERENCE, GROUPS, RESAMPLING, SELECTION, SIGNIFICANCE, Metric
from simulator.report.renderers.html import render_page
from simulator.report.sections.factors import compose
from simulator.report.table import Cell, Column, Group, Row, Table, make_row, make_table

if TYPE_CHECKING:
    from rich.console import Console

    from simulator.analysis.returns.best_of_many import BestOfMany
    from simulator.analysis.returns.load import Returns

TERMINAL_ROWS = 20

HELP = {"total_return": "", "hit_rate": "scratches apart", "omega": "around 0"}
"""Help where less is known than of a run: whether costs are in the returns, for one."""

OF_TRADES = ("trades", "hit_rate", "profit_factor", "payoff", "expectancy", "max_consecutive_losses")

SELECTION_UNKNOWN = (
    "Unadjusted for selection: how many variants were tried before these is not known here; "
    "`sim stats sweep` adjusts for those in the file."
)


def tabulate_strategies(strategies: Mapping[str, Figures], benchmark: bool = False, trades: bool = False) -> Table:
    """Return metrics and inference, a column per strategy, without the groups nothing was given for."""
    groups = {**GROUPS, "Significance": (*SIGNIFICANCE, *RESAMPLING)}
    against, trading = groups.pop("Against buy-and-hold"), groups.pop("Trading")
    groups["Against the benchmark"] = against if benchmark else ()
    # In whatever currency the profits are.
    shown_of_trades = (
        replace(one, format=ratio) if one.unit == "$" else one for one in trading if one.key in OF_TRADES
    )
    groups["Closed trades"] = tuple(shown_of_trades) if trades else ()
    shown = []
    for title, metrics in groups.items():
        rows = tuple(
            Row(
                metric.name, tuple(_cell(metric, one) for one in strategies.values()), HELP.get(metric.key, metric.help)
            )
            for metric in metrics
            if any(metric.value_key in one.values for one in strategies.values())
        )
        shown += [Group(title, rows)] if rows else []
    columns = tuple(map(Column, strategies))
    return Table("Metrics and significance", columns, tuple(shown), reasons="footnotes", css="strategies")


def _cell(metric: Metric, figures: Figures) -> Cell:
    cell = metric.cell(figures.values, figures.reasons, figures.annualised_withheld)
    if metric.key == "max_drawdown_sessions" and figures.max_drawdown_open:
        return replace(cell, text=f"{cell.text}, open")
    return cell


def _tabulate(found: Description) -> Table:
    strategies = dict(found.strategies)
    if found.benchmark_metrics and found.about.benchmark:
        strategies[found.about.benchmark] = found.benchmark_metrics
    traded = any(one.values.get("trades") is not None for one in strategies.values())
    return tabulate_strategies(strategies, benchmark=bool(found.about.benchmark), trades=traded)


def describe_data(about: About) -> str:
    """``1,260 sessions, 2019-01-02 to 2023-12-29, 252 a year; risk-free: column rf``"""
    dates = f", {about.span['from']} to {about.span['to']}" if about.span["from"] else ""
    benchmark = f"; benchmark: {about.benchmark}" if about.benchmark else ""
    text = f"{counted(about.span['sessions'], 'session')}{dates}, {about.periods:g} a year"
    return plain(f"{text}; risk-free: {about.risk_free}{benchmark}")


def tabulate_differences(found: PairedDifference) -> Table:
    """Return both Sharpe ratios and everything that is known of their difference."""
    alone = [
        make_row(f"Sharpe, {name}", (Cell(ratio(found.values[key]), found.reasons.get(key, "")),))
        for name, key in ((found.a, "sharpe_a"), (found.b, "sharpe_b"))
    ]
    rows = [Row(metric.name, (metric.cell(found.values, found.reasons),), metric.help) for metric in DIFFERENCE]
    rows[0] = replace(rows[0], hint=f"{found.a} less {found.b}")
    return make_table("Difference", [Column("")], [*alone, *rows], reasons="inline", css="results")


def write_difference_headline(found: PairedDifference) -> str:
    """Return the verdict in a sentence, with its interval."""
    verdict, difference = found.verdict, found.values["sharpe_difference"]
    verdict = verdict[:1].upper() + verdict[1:] if verdict == "cannot tell them apart" else verdict
    if difference is None:
        return f"{verdict}: {found.reasons['sharpe_difference']}."
    bounds = interval(found.values["ci_low"], found.values["ci_high"])
    near = " Borderline: p lies between 0.03 and 0.07." if found.borderline else ""
    return f"{verdict}: the Sharpe ratios differ by {signed_ratio(difference)}, 95{SPACE}% interval {bounds}.{near}"


def list_difference_details(found: PairedDifference) -> tuple[str, ...]:
    """Return sentences on power, and what a difference not found does not mean."""
    values, sessions, periods = found.values, found.about.span["sessions"], found.about.periods
    if values["sharpe_difference"] is None:
        return ()
    seen = ratio(values["detectable_difference"])
    power = (
        f"Power: {ratio(sessions / periods, 1)} years show a difference of {seen} or more four times in five; one "
        f"as large as that seen would be found {rough_percent(values['power'])} of the time."
    )
    needed = number_of(values["sessions_needed"])
    if needed is not None and needed > sessions:
        length = years(needed / periods)
        power += (
            f" It is found {length}." if length == NEVER else f" It would take {length} to find it four times in five."
        )
    if found.verdict == "cannot tell them apart":
        return (power, "Not finding a difference is not finding that there is none.")
    return (power,)


def tabulate_configurations(found: BestOfMany) -> Table:
    """Return every trial with its Sharpe ratio and what is left of it among the others, the best first."""
    ranked = sorted(found.configurations, key=lambda c: -(c.sharpe if c.sharpe is not None else -1e9))
    rows = [
        make_row(
            one.name,
            (
                ratio(one.sharpe),
                p_value(one.sharpe_p_hac),
                p_value(one.romano_wolf_p),
                p_value(one.mcs_p),
                {True: "yes", False: "no", None: UNDEFINED}[one.in_mcs],
            ),
        )
        for one in ranked
    ]
    return make_table(
        "Every trial",
        ("Sharpe", "p alone", "p, Romano-Wolf", "p, MCS", "in the set"),
        rows,
        corner="Configuration",
        long_labels=True,
    )


def tabulate_selection(found: BestOfMany) -> Table:
    """Return what is held against the best."""
    values = {
        **found.values,
        **found.overfitting.values,
        "trials": found.trials,
        "reality_check_p": found.reality_check_p,
    }
    own = {
        "best_sharpe": (f"Best Sharpe, {found.best}", ""),
        "pbo": ("PBO", _blocks_used(found)),
        "minimum_backtest_years": ("Minimum backtest length", f"there are {ratio(found.values['years'], 1)}"),
    }
    rows = []
    for metric in SELECTION:
        name, hint = own.get(metric.key, (metric.name, metric.help))
        rows.append(Row(name, (metric.cell(values, found.reasons),), hint))
    return make_table("Selection", [Column("")], rows, reasons="inline", css="results")


def _blocks_used(found: BestOfMany) -> str:
    test = found.overfitting
    if test.pbo_blocks is None:
        return ""
    dropped = f", {counted(test.pbo_dropped, 'oldest row')} dropped" if test.pbo_dropped else ""
    return f"{test.pbo_blocks} blocks, {whole(test.pbo_splits)} splits{dropped}; noise gives about 50 %"


def write_selection_headline(found: BestOfMany) -> str:
    """Return the verdict in a sentence, with the adjusted p."""
    near = " Borderline: p lies between 0.03 and 0.07." if found.borderline else ""
    return (
        f"The best of {counted(found.trials, 'trial')}, {found.best} with a Sharpe ratio of "
        f"{ratio(found.values['best_sharpe'])}, is {found.verdict}: adjusted p {p_value(found.reality_check_p)}.{near}"
    )


def list_selection_details(found: BestOfMany) -> tuple[str, ...]:
    """Return sentences on luck, on each trial by itself, on overfitting and on trials that are not in the file."""
    sentences, expected = [], number_of(found.values["expected_maximum_sharpe"])
    if expected is not None:
        sentences.append(
            f"{counted(found.trials, 'trial')} without any skill would have shown a best Sharpe ratio of about "
            f"{ratio(expected)}; they amount to {ratio(found.values['effective_trials'], 1)} independent ones."
        )
    alone = [one.name for one in found.configurations if one.romano_wolf_p is not None and one.romano_wolf_p <= 0.05]
    named = ", ".join(alone[:8]) + (f" and {len(alone) - 8} more" if len(alone) > 8 else "")
    sentences.append(f"Better than luck one by one (Romano-Wolf, 5 %): {named or 'none'}.")
    test = found.overfitting.values
    if test["pbo"] is not None:
        sentences.append(
            f"Choosing the best in sample put it in the lower half out of sample {rough_percent(test['pbo'])} of the "
            f"time and lost money {rough_percent(test['prob_oos_loss'])} of the time."
        )
    if found.trials > len(found.configurations) + len(found.failed):
        sentences.append(
            "The reality check knows only the columns of the file; the deflated Sharpe ratio knows all trials."
        )
    return tuple(sentences)


Answer: TypeAlias = "Description | PairedDifference | BestOfMany"


def print_answer(found: Answer, console: Console) -> None:
    """Print tables, verdict and warnings of an answer. Fits 80 columns."""
    from simulator.report.renderers.console import Text
    from simulator.report.renderers.terminal import print_paragraph

    for warning in found.about.warnings:
        console.print(Text(f"warning: {warning}", style="yellow"), soft_wrap=False)
    console.print(Text(describe_data(found.about), style="dim"))
    console.print()
    if isinstance(found, Description):
        _print_strategies(found, console)
    elif isinstance(found, PairedDifference):
        _print_figures(
            console, tabulate_differences(found), write_difference_headline(found), list_difference_details(found)
        )
    else:
        _print_best(found, console)
    for note in found.about.notes:
        print_paragraph(console, note, "dim")


def _print_strategies(found: Description, console: Console) -> None:
    from simulator.report.renderers.console import Text
    from simulator.report.renderers.terminal import make_grid, print_paragraph
    from simulator.report.terminal import print_factors

    table = _tabulate(found)
    per_table = max((console.width - 26) // 16, 1)
    for start in range(0, len(table.columns), per_table):
        part = slice(start, start + per_table)
        groups = tuple(
            replace(g, rows=tuple(replace(row, cells=row.cells[part]) for row in g.rows)) for g in table.groups
        )
        console.print(
            make_grid(replace(table, columns=table.columns[part], groups=groups), console.width, marks=table.footnotes)
        )
        console.print()
    for why, mark in table.footnotes.items():
        print_paragraph(console, f"({mark}) {why}", "dim")
    console.print()
    for name, figures in found.strategies.items():
        print_paragraph(console, f"{name}: {figures.verdict}")
    for name, figures in found.strategies.items():
        if figures.factors is not None:
            console.print(Text(f"\n{name}", style="bold"))
            print_factors(console, compose(figures.factors))
    print_paragraph(console, SELECTION_UNKNOWN, "dim")


def _print_figures(console: Console, table: Table, headline: str, details: Sequence[str]) -> None:
    from simulator.report.renderers.terminal import print_paragraph, print_table

    print_table(console, table, hints=True)
    console.print()
    print_paragraph(console, headline, "bold")
    for sentence in details:
        print_paragraph(console, sentence)


def _print_best(found: BestOfMany, console: Console) -> None:
    from simulator.report.renderers.console import Text
    from simulator.report.renderers.terminal import print_table

    table = tabulate_configurations(found)
    print_table(console, table, most=TERMINAL_ROWS)
    if len(table.rows) > TERMINAL_ROWS:
        more = len(table.rows) - TERMINAL_ROWS
        console.print(Text(f"and {more} more: --json and --html have them all", style="dim"))
    console.print()
    _print_figures(console, tabulate_selection(found), write_selection_headline(found), list_selection_details(found))


def render(found: Answer, read: Returns, command: str) -> bytes:
    """Return the page of an answer as UTF-8 HTML; no time, no path but the ones in `command`."""
    if isinstance(found, Description):
        return _stats_page(found, read, command)
    return _compare_page(found, read, command) if isinstance(found, PairedDifference) else _sweep_page(found, command)


def _render(template: str, about: About, command: str, **content: object) -> bytes:
    name = Path(about.file).name
    title, facts = f"{name}: {content['subject']}", describe_data(about).split("; ")
    return render_page(template, about=about, command=command, name=name, title=title, facts=facts, **content).encode()


def _stats_page(found: Description, read: Returns, command: str) -> bytes:
    from simulator.report import returns_charts as charts

    table, verdicts = _tabulate(found), {name: judge_figures(one) for name, one in found.strategies.items()}
    (first, *others) = verdicts.values()
    return _render(
        "returns_stats.html",
        found.about,
        command,
        subject="Returns",
        metrics=table,
        verdicts=[(name, verdict.headline) for name, verdict in verdicts.items()],
        headline=_headline_of_several(verdicts, found.about.benchmark) if others else first.headline,
        details=(SELECTION_UNKNOWN.replace("`", ""),) if others else first.details,
        forest=charts.draw_sharpes(found),
        growth=charts.draw_growth(found.about, read, [column.name for column in table.columns]),
        drawdown=charts.draw_underwater(found.about, read, [column.name for column in table.columns]),
        axis=charts.row_axis(read),
        factors=[(name, compose(one.factors)) for name, one in found.strategies.items() if one.factors],
    )


def _headline_of_several(verdicts: Mapping[str, Verdict], benchmark: str | None) -> str:
    """Return how many of several strategies stand out, and which."""
    stand = [name for name, verdict in verdicts.items() if verdict.standing == "above cash"]
    if all(verdict.standing == "too short" for verdict in verdicts.values()):
        return next(iter(verdicts.values())).headline
    if not stand:
        return f"None of {len(verdicts)} strategies can be told from luck, each judged by itself."
    named = ", ".join(stand[:5]) + (f" and {len(stand) - 5} more" if len(stand) > 5 else "")
    judged = f"{len(stand)} of {len(verdicts)} strategies, each judged by itself"
    if benchmark is not None:
        return f"{judged}: {AGAINST['above cash'].format(benchmark)} ({named}); {against_only(benchmark)}."
    return f"{judged}: {JUDGEMENT['above cash']} ({named}); {CASH_ONLY}."


def _compare_page(found: PairedDifference, read: Returns, command: str) -> bytes:
    from simulator.report import returns_charts as charts

    names = (found.a, found.b)
    read = read.rows(np.isfinite(read.columns[found.a]) & np.isfinite(read.columns[found.b]))
    return _render(
        "returns_compare.html",
        found.about,
        command,
        subject=f"{found.a} against {found.b}",
        headline=write_difference_headline(found),
        details=list_difference_details(found),
        differences=tabulate_differences(found),
        forest=charts.draw_difference(found),
        metrics=tabulate_strategies(found.strategies),
        growth=charts.draw_growth(found.about, read, names),
        drawdown=charts.draw_underwater(found.about, read, names),
        axis=charts.row_axis(read),
    )


def _sweep_page(found: BestOfMany, command: str) -> bytes:
    from simulator.report import returns_charts as charts

    overfitting = found.overfitting
    logits = overfitting.pbo_logits
    return _render(
        "returns_sweep.html",
        found.about,
        command,
        subject=f"Sweep of {found.trials} trials",
        headline=write_selection_headline(found),
        details=list_selection_details(found),
        sweep=found,
        figures=tabulate_selection(found),
        configurations=tabulate_configurations(found),
        ranked=charts.draw_ranked(found),
        logits=logits and charts.draw_logits(logits.edges, logits.counts, overfitting.values["pbo"]),
        forest=None,
    )
