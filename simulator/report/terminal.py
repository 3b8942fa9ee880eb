"""What a finished run prints: the same numbers as the report, in the same columns."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table as Grid
from rich.text import Text

from simulator.analysis.verdict import judge, withheld
from simulator.evidence.reader import read_equity
from simulator.evidence.records import RunRecord
from simulator.number_format import SPACE, counted, dollars, interval, percent, ratio
from simulator.report.leaderboard import against_best, council_sentence, ranked
from simulator.report.page import FILE
from simulator.report.tables import Table, audit_line, comparison, sources

WIDEST = 100
"""Sentences are wrapped here even where the terminal is wider."""


def print_run(run: RunRecord, folder: Path, console: Console) -> None:
    """Print run.json for people: comparison, verdict, audit, notes and the path of the report.

    Fits 80 columns. Colour and weight only where `console` writes to a terminal.
    """
    table, verdict = comparison(run, brief=True), judge(run)
    width = min(console.width, WIDEST)
    console.print()
    console.print(Text(str(run["strategy"]), style="bold cyan"))
    _say(console, _facts(run), width, "dim")
    console.print()
    console.print(_grid(table, width))
    for mark, why in table.footnotes:
        _say(console, f"({mark}) {why}", width, "dim")
    console.print()
    _say(console, verdict.headline, width, "bold")
    for sentence in verdict.details:
        _say(console, sentence, width)
    console.print()
    if run.get("accounts"):
        console.print(_leaderboard(run))
        console.print()
        told = council_sentence(run, against_best(run, read_equity(folder, run)[1]))
        if told:
            _say(console, told, width)
            console.print()
    for source, symbols in sources(run):
        _say(console, f"{symbols}: {source}", width, label="bars")
    _say(console, audit_line(run), width, label="audit")
    for note in run.get("notes") or []:
        _say(console, str(note), width, label="note")
    console.print(_labelled("report", str(_nearest(folder / FILE))), soft_wrap=True)


def _facts(run: Mapping[str, Any]) -> str:
    symbols = [str(symbol) for symbol in run["symbols"]]
    named = ", ".join(symbols[:6]) + (f" and {len(symbols) - 6} more" if len(symbols) > 6 else "")
    sessions = counted(int(run["sessions"]), "session")
    return f"{named} · {run['from']} to {run['to']} · {sessions} · {dollars(run['cash'])}"


def _grid(table: Table, width: int) -> Grid:
    """The comparison within `width`: intervals take two lines where they must, and long names as many as they need."""
    rows = [row for _, rows in table.groups for row in rows]
    labels = [_plain(row.label) for row in rows]
    cells = [[_cell(cell.text, cell.note) for cell in row.cells] for row in rows]
    room = width - max(map(len, labels), default=0)
    heads = [max(map(len, name.split())) for name in table.columns[1:]]
    if sum(_widths(cells, heads)) > room:
        for row in cells:
            for cell in row:
                cell.plain = cell.plain.replace(" to ", " to\n")
    widths = _widths(cells, heads)
    widths[0] = max(widths[0], min(len(table.columns[0]) + 2, room - sum(widths[1:])))
    grid = Grid(box=None, padding=(0, 0, 0, 2), pad_edge=False)
    grid.add_column(no_wrap=True)
    for number, (name, wide) in enumerate(zip(table.columns, widths, strict=True)):
        header = Text(_broken(name, wide - 2), style="dim" if number else "bold cyan")
        grid.add_column(header, justify="right", style="" if number else "bold", min_width=wide - 2, overflow="fold")
    for label, row in zip(labels, cells, strict=True):
        grid.add_row(label, *row)
    return grid


def _widths(cells: list[list[Text]], heads: list[int]) -> list[int]:
    """Characters each column needs, the two before it included; the first one may break its name anywhere."""
    longest = [
        max((len(line) for cell in column for line in cell.plain.splitlines()), default=0)
        for column in zip(*cells, strict=True)
    ]
    return [2 + max(pair) for pair in zip(longest, [0, *heads], strict=True)]


def _broken(name: str, width: int) -> str:
    """`name` in lines of at most `width`, broken behind an underscore or a space where there is one."""
    lines = [""]
    for piece in re.split(r"(?<=[_ ])", name):
        if lines[-1] and len(lines[-1]) + len(piece.rstrip()) > width:
            lines.append("")
        lines[-1] += piece
        while len(lines[-1].rstrip()) > width:
            lines[-1:] = [lines[-1][:width], lines[-1][width:]]
    return "\n".join(line.rstrip() for line in lines)


def _leaderboard(run: Mapping[str, Any]) -> Grid:
    """The accounts by Sharpe ratio, the council's own in bold."""
    short = withheld(run)
    grid = Grid(box=None, padding=(0, 0, 0, 2), pad_edge=False, header_style="dim")
    grid.add_column("account", no_wrap=True)
    for name in (*(() if short else ("Sharpe", "95 % interval")), "return", "drawdown", "hit rate", "LLM cost"):
        grid.add_column(name, justify="right", no_wrap=True)
    for entry in ranked(run):
        own = entry.get("name") == run.get("account")
        metrics, llm = entry.get("metrics") or {}, entry.get("llm") or {}
        sure = (ratio(metrics.get("sharpe")), interval(entry.get("sharpe_ci_low"), entry.get("sharpe_ci_high")))
        cells = (
            *(() if short else sure),
            percent(metrics.get("total_return"), sign=True),
            percent(metrics.get("max_drawdown")),
            percent(metrics.get("hit_rate"), 0),
            dollars(llm.get("cost_usd"), 2),
        )
        row = [Text(_plain(text)) for text in (str(entry.get("name", "?")), *cells)]
        grid.add_row(*row, style="bold" if own else "")
    return grid


def _cell(text: str, note: str) -> Text:
    return Text(f"{text} ({note})", style="dim not bold") if note else Text(_plain(text))


def _say(console: Console, sentence: str, width: int, style: str = "", label: str = "") -> None:
    """Print a sentence wrapped to `width`; with a label its lines stand in their own column."""
    indent = 8 if label else 0
    wrapped = textwrap.fill(_plain(sentence), width - indent - 1, break_on_hyphens=False)
    text = textwrap.indent(wrapped, " " * indent)[indent:]
    console.print(_labelled(label, text) if label else Text(text, style=style), soft_wrap=True)


def _labelled(label: str, text: str) -> Text:
    return Text(f"{label:<8}", style="dim") + Text(text)


def _plain(text: str) -> str:
    return text.replace(SPACE, " ")


def _nearest(path: Path) -> Path:
    """`path` as seen from the current folder where it lies below it."""
    here, whole = Path.cwd(), path.resolve()
    return whole.relative_to(here) if whole.is_relative_to(here) else whole
