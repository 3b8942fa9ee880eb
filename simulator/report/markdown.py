"""report.md: the page's content in its order, without its looks."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from simulator.analysis.targets import targets
from simulator.evidence.reader import Evidence, read
from simulator.number_format import counted
from simulator.printing import printable
from simulator.report.page import Report, compose
from simulator.report.renderers.markdown import bullets, escape, prose, render_table, sparkline
from simulator.report.sections import monthly_returns
from simulator.report.sections.desk_work import DeskSection
from simulator.report.sections.factors import FactorSection
from simulator.report.sections.members_and_council import Leaderboard
from simulator.report.table import Column, Table, make_row, make_table

BENCHMARKS = (
    "Benchmarks trade the same symbols at the same costs: buy-and-hold buys equal parts once, equal-weight restores "
    "them each month, same exposure does so with the part of equity this run held on average."
)


def as_markdown(folder: Path, altered: str = "") -> str:
    """Return the report of a run folder as Markdown. Nothing but the folder's content decides it."""
    evidence = read(folder, altered)
    report = compose(evidence)
    parts = [
        *_head(evidence, report),
        *_comparison(report),
        *_course(report),
        *_significance(report),
        *_factors(report.factors),
        *_members(report),
        *write_desk(report.desk),
        *_costs(report),
        *_contamination(report),
        *_assumptions(report),
        *_reproduce(report),
        *_protocol(report),
    ]
    return printable("\n\n".join(filter(None, parts))) + "\n"


def tabulate_targets(evidence: Evidence) -> Table:
    """Return what was aimed at, what was reached, and whether chance may have met it."""
    rows = [make_row(one.label, (*one.cells, one.how, one.verdict)) for one in targets(evidence)]
    words = (Column("How", words=True), Column("Verdict", words=True))
    return make_table("Targets", ("Target", "Reached", "Interval", *words), rows, corner="Measure")


def tabulate_biases(report: Report) -> Table:
    """Return the checklist as a table."""
    columns = [Column(name, words=True) for name in ("Standing", "What this run did about it")]
    rows = [make_row(one.name, (one.standing, one.sentence)) for one in report.biases]
    return make_table("Bias checklist", columns, rows, corner="Bias")


def tabulate_ranks(board: Leaderboard) -> Table:
    """Return the leaderboard with the rank first and the account behind who answers."""
    rows = [
        make_row(rank, (f"{row.label} ({row.hint})" if row.hint else row.label, *row.cells))
        for rank, row in zip(board.ranks, board.table.rows, strict=True)
    ]
    return make_table(board.table.title, (Column(board.table.corner, words=True), *board.table.columns), rows)


def _head(evidence: Evidence, report: Report) -> Iterator[str]:
    verdict, notes = report.verdict, report.assumptions.notes
    yield f"# {escape(report.title)}"
    yield f"**{escape(report.altered)}**" if report.altered else ""
    yield f"**{escape(verdict.headline)}**"
    yield " · ".join(map(escape, report.facts))
    course = sparkline(evidence.equity["equity"])
    yield f"`{course}` {escape(report.chart.equity.keys[0].value)}" if course else ""
    yield bullets([verdict.returns, *verdict.details])
    if notes:
        yield "Notes on this run:"
        yield bullets(notes)
    yield "## Targets"
    yield render_table(tabulate_targets(evidence))


def _comparison(report: Report) -> Iterator[str]:
    yield "## Comparison"
    yield escape(BENCHMARKS)
    yield render_table(report.figures)
    if report.comparison.replicates:
        yield f"### {report.comparison.replicates.title}"
        yield render_table(report.comparison.replicates)


def _course(report: Report) -> Iterator[str]:
    profit, distribution = report.profit, report.distribution
    if profit:
        yield "## Profit and loss"
        yield bullets((*profit.sentences, profit.why))
        for part in profit.parts:
            yield f"### {part.name}"
            yield render_table(part.table)
    if report.rolling:
        yield "## Rolling figures"
        for group in report.rolling.table.groups:
            yield render_table(replace(report.rolling.table, groups=(group,), corner=group.title))
    if report.drawdowns:
        yield "## Drawdowns"
        yield render_table(report.drawdowns.table)
        yield escape(report.drawdowns.sentence)
    yield "## Monthly returns"
    yield render_table(monthly_returns.tabulate(report.months))
    if distribution:
        yield "## Distribution"
        yield bullets(one.spoken for one in distribution.histograms)
        yield render_table(distribution.table)
    yield "## Weights"
    yield bullets(f"{holding.symbol}: {holding.summary}" for holding in report.holdings)


def _significance(report: Report) -> Iterator[str]:
    if report.significance.figures.rows:
        yield "## Significance"
        yield render_table(report.significance.figures, hints="What")
    if report.significance.origin:
        yield f"### {report.significance.origin.title}"
        yield render_table(report.significance.origin, hints="What")
    if report.significance.paired:
        yield f"### {report.significance.paired.title}"
        yield render_table(report.significance.paired)


def _factors(found: FactorSection | None) -> Iterator[str]:
    if found is not None:
        yield "## Factors"
        yield render_table(found.table) if found.table else ""
        yield bullets(found.sentences)


def _members(report: Report) -> Iterator[str]:
    members = report.members
    if members.leaderboard is None:
        return
    yield "## Members and council"
    yield escape(members.leaderboard.sentence)
    yield render_table(tabulate_ranks(members.leaderboard))
    if members.value:
        yield f"**{escape(members.value.headline)}**"
        yield render_table(members.value.added)
        yield render_table(members.value.earned)
    if members.calls:
        yield render_table(members.calls, hints="Served")
    if report.calibration:
        yield "## Calibration"
        yield bullets(f"{one.name}: {one.summary}. {one.spoken.partition(': ')[2]}" for one in report.calibration)


def write_desk(desk: DeskSection | None) -> Iterator[str]:
    """Return the desk's tables, each under its title; nothing for a run of anything else."""
    if desk is None:
        return
    yield "## Desk"
    yield bullets(filter(None, (*desk.sentences, desk.classes_say, desk.bills_say if desk.bills else "")))
    for table in desk.tables:
        yield f"### {table.title}"
        for group in table.groups:
            yield render_table(replace(table, groups=(group,), corner=group.title or table.corner))


def _costs(report: Report) -> Iterator[str]:
    costs, orders = report.costs, report.costs.orders
    yield "## Costs and execution"
    yield escape(costs.memory)
    if costs.costs:
        yield render_table(costs.costs)
    if costs.toggles:
        yield render_table(costs.toggles, hints="What")
    became = ", ".join(f"{count} {name}" for name, count in orders.statuses)
    ways = ", ".join(f"{count} {'at the open' if name == 'open' else f'by {name}'}" for name, count in orders.ways)
    paid = f"slippage {orders.slippage}, commission {orders.commission}"
    yield bullets(
        (
            f"{counted(orders.total, 'order')}{f': {became}' if became else ''}; {paid}.",
            f"Fills: {ways}." if ways else "Nothing was traded.",
        )
    )
    if costs.refused:
        yield f"### {costs.refused.title}"
        yield render_table(costs.refused)


def _contamination(report: Report) -> Iterator[str]:
    found = report.contamination
    if found is None:
        return
    yield "## Contamination"
    yield bullets(found.sentences)
    if found.parts:
        yield render_table(found.parts, hints="Sessions of")
    yield bullets(f"{name}, {outcome}: {verdict}" for name, outcome, verdict in found.checks)
    if found.models:
        yield render_table(found.models)


def _assumptions(report: Report) -> Iterator[str]:
    granted = report.assumptions
    yield "## Assumptions"
    yield bullets(granted.assumptions)
    yield "### Data"
    series = [f"{symbols}: {source}" for source, symbols in granted.sources]
    yield bullets(
        [*series, *(f"{symbols}: {source}, not traded" for source, symbols in granted.context), granted.audit]
    )
    yield "## Bias checklist"
    yield render_table(tabulate_biases(report), write=prose)


def _reproduce(report: Report) -> Iterator[str]:
    yield "## Reproduce"
    yield f"```console\n{report.reproduce.command}\n```"
    rows = [make_row(name, (value,)) for name, value in report.reproduce.identity]
    yield render_table(make_table("Identity", (Column("", words=True),), rows))


def _protocol(report: Report) -> Iterator[str]:
    yield "## Reporting protocol"
    for review in dict.fromkeys(one.review for one in report.protocol):
        rows = [
            make_row(one.question, (one.standing, one.evidence, one.where or one.command))
            for one in report.protocol
            if one.review == review
        ]
        columns = [Column(name, words=True) for name in ("Standing", "Evidence", "Where, or the command that shows it")]
        yield render_table(make_table("Reporting protocol", columns, rows, corner=review), write=prose)
