"""The report as Markdown: the page's content in its order, without its looks."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import zip_longest
from pathlib import Path
from typing import Any

import numpy as np

from simulator.analysis.targets import targets
from simulator.evidence.reader import Evidence, Series, read
from simulator.number_format import MINUS, UNDEFINED, counted
from simulator.report.page import contents

BENCHMARKS = (
    "Benchmarks trade the same symbols at the same costs: buy-and-hold buys equal parts once, equal-weight restores "
    "them each month, same exposure does so with the part of equity this run held on average."
)

BLOCKS = "▁▂▃▄▅▆▇█"


def as_markdown(folder: Path) -> str:
    """The report of a run folder as Markdown. Nothing but the folder's content decides it."""
    evidence = read(folder)
    found = contents(evidence)
    parts = [
        *_head(evidence, found),
        *_comparison(evidence, found),
        *_significance(found),
        *_members(found),
        *_costs(found),
        *_contamination(found),
        *_granted(found),
        *_again(found),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def table(header: Sequence[Any], rows: Iterable[Sequence[Any]], write: Callable[[Any], str] | None = None) -> str:
    """A Markdown table, columns of numbers to the right; a row may be shorter than the header."""
    written = write or plain
    filled = [[written(cell) for _, cell in zip_longest(header, row, fillvalue="")] for row in rows]
    rule = ["---:" if all(map(_is_number, column)) else "---" for column in zip(*filled, strict=True)]
    rule = rule or ["---"] * len(header)
    lines = [list(map(plain, header)), rule, *filled]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _is_number(cell: str) -> bool:
    return not cell or cell.startswith((UNDEFINED, "withheld")) or cell.lstrip(f"+{MINUS}$")[:1].isdigit()


def plain(text: Any) -> str:
    """`text` on one line, with what Markdown or HTML would read as markup made harmless."""
    line = " ".join(str(text).replace("\u00a0", " ").split()).replace("\\", "\\\\")
    for sign in "|`[]*_":
        line = line.replace(sign, f"\\{sign}")
    return line.replace("&", "&amp;").replace("<", "&lt;")


def prose(sentence: Any) -> str:
    """As `plain`, and what stands between backticks is code. Only for sentences of our own: code escapes nothing."""
    return re.sub(r"\\`([a-z -]+)\\`", r"`\1`", plain(sentence))


def sparkline(values: Series, most: int = 48) -> str:
    """The course of `values` in blocks of eight heights; empty where nothing varies."""
    finite = values[np.isfinite(values)]
    if len(finite) < 2 or finite.min() == finite.max():
        return ""
    picked = finite[np.linspace(0, len(finite) - 1, min(most, len(finite))).astype(int)]
    heights = (picked - picked.min()) / max(float(picked.max() - picked.min()), 1e-12) * (len(BLOCKS) - 1)
    return "".join(BLOCKS[round(h)] for h in heights.tolist())


def _bullets(sentences: Iterable[Any]) -> str:
    return "\n".join(f"- {plain(sentence)}" for sentence in sentences if sentence)


def _head(evidence: Evidence, found: Mapping[str, Any]) -> Iterator[str]:
    run, verdict = found["run"], found["verdict"]
    yield f"# {plain(found['title'])}"
    yield f"**{plain(verdict.headline)}**"
    yield " · ".join(map(plain, found["facts"]))
    course = sparkline(evidence.equity["equity"])
    yield f"`{course}` {plain(found['linked'].equity.keys[0].value)}" if course else ""
    yield _bullets([verdict.returns, *verdict.details])
    if run.get("notes"):
        yield "Notes on this run:"
        yield _bullets(found["notes"])
    yield "## Targets"
    rows = [[one.label, *one.cells, one.how, one.verdict] for one in targets(evidence)]
    yield table(("Measure", "Target", "Reached", "Interval", "How", "Verdict"), rows)


def _comparison(evidence: Evidence, found: Mapping[str, Any]) -> Iterator[str]:
    whole = found["comparison"]
    yield "## Comparison"
    yield plain(BENCHMARKS)
    rows = [
        [row.label, *(f"{cell.text} ({cell.note})" if cell.note else cell.text for cell in row.cells)]
        for _, members in whole.groups
        for row in members
    ]
    yield table(("", *whole.columns), rows)
    yield _bullets(f"({mark}) {why}" for mark, why in whole.footnotes)
    if found["replicates"]:
        rows = [[label, *(cell.text for cell in cells)] for label, cells in found["replicates"]]
        yield table(("Over the draws", *found["spread_columns"]), rows)
    yield "## Monthly returns"
    months = [
        [year.year, *(m.text if m else "" for m in year.months), year.total.text, year.benchmark]
        for year in found["monthly"]
    ]
    yield table(("", *found["months"], "Year", "Buy-and-hold"), months)
    yield "## Weights"
    yield _bullets(f"{holding.symbol}: {holding.summary}" for holding in found["holdings"])
    del evidence


def _significance(found: Mapping[str, Any]) -> Iterator[str]:
    if found["significance"]:
        yield "## Significance"
        yield table(("", "Value", "What"), [[label, cell.text, hint] for label, hint, cell in found["significance"]])
    if found["paired"] and not found["verdict"].settled:
        yield "### Against the benchmarks, session by session"
        rows = [[it.label, *it.cells, it.why or it.verdict] for it in found["paired"]]
        yield table(("Benchmark", *found["paired_columns"], "Verdict"), rows)


def _members(found: Mapping[str, Any]) -> Iterator[str]:
    board, value = found["leaderboard"], found["value"]
    if board is None:
        return
    yield "## Members and council"
    yield plain(board.sentence)
    names = [name for name, _ in found["board_columns"]]
    rows = [
        [place.rank, f"{place.name} ({place.seat})", place.cells[0].text, place.range, *_cells(place.cells[1:])]
        for place in board.places
    ]
    yield table(("", "Account", "Sharpe", "95 % interval", *names[1:]), rows)
    if value:
        yield f"**{plain(value.headline)}**"
        added = [[row.part, *row.cells, row.verdict] for row in value.added]
        yield table(value.added_columns, added)
        yield table(value.earned_columns, [[row.name, *row.cells] for row in value.earned])
    if found["calls"]:
        yield table(found["call_columns"], found["calls"])
    if found["calibration"]:
        yield "## Calibration"
        yield _bullets(f"{it.name}: {it.summary}. {it.spoken.partition(': ')[2]}" for it in found["calibration"])


def _cells(cells: Iterable[Any]) -> list[str]:
    return [f"{cell.text} ({cell.note})" if cell.note else cell.text for cell in cells]


def _costs(found: Mapping[str, Any]) -> Iterator[str]:
    yield "## Costs and execution"
    if found["cost_sensitivity"]:
        rows = [[multiple, *cells] for multiple, cells in found["cost_sensitivity"]]
        yield table(("Costs", *found["cost_columns"]), rows)
    if found["toggles"]:
        rows = [[it.name, *it.cells, it.what] for it in found["toggles"]]
        yield table(("Filled at", *found["toggle_columns"], ""), rows)
    orders = found["orders"]
    became = ", ".join(f"{count} {name}" for name, count in orders.statuses)
    ways = ", ".join(f"{count} {'at the open' if name == 'open' else f'by {name}'}" for name, count in orders.ways)
    paid = f"slippage {orders.slippage}, commission {orders.commission}"
    yield _bullets(
        (
            f"{counted(orders.total, 'order')}{f': {became}' if became else ''}; {paid}.",
            f"Fills: {ways}." if ways else "Nothing was traded.",
        )
    )
    if orders.refused:
        yield table(("Rejected or trimmed", "Times", "Symbols", "When", "Carried out"), orders.refused)


def _contamination(found: Mapping[str, Any]) -> Iterator[str]:
    it = found["contamination"]
    if it is None:
        return
    yield "## Contamination"
    yield _bullets(it.sentences)
    if it.parts:
        yield table(
            ("", "Sessions of", *found["part_columns"]), [[label, span, *cells] for label, span, cells in it.parts]
        )
    yield _bullets(f"{name}, {outcome}: {said}" for name, outcome, said in it.checks)
    if it.models:
        yield table(("Model", "Seats", "Cut-off"), it.models)


def _granted(found: Mapping[str, Any]) -> Iterator[str]:
    yield "## Assumptions"
    yield _bullets(found["assumptions"])
    yield "### Data"
    series = (
        *(f"{symbols}: {source}" for source, symbols in found["sources"]),
        *(f"{symbols}: {source}, not traded" for source, symbols in found["context"]),
    )
    yield _bullets((*series, found["audit"]))
    yield "## Bias checklist"
    yield table(
        ("Bias", "Standing", "What this run did about it"),
        [[b.name, b.standing, b.sentence] for b in found["biases"]],
        write=prose,
    )


def _again(found: Mapping[str, Any]) -> Iterator[str]:
    yield "## Reproduce"
    yield f"```console\n{found['command']}\n```"
    yield table(("", ""), found["identity"])
