"""What a finished run prints: the same numbers as the report, in the same columns."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table as Grid
from rich.text import Text

from simulator.report.evidence import read_equity, with_trials
from simulator.report.leaderboard import against_best, council_sentence, ranked
from simulator.report.numbers import SPACE, counted, dollars, interval, percent, ratio
from simulator.report.page import FILE
from simulator.report.tables import Table, audit_line, comparison, sources
from simulator.report.verdict import judge, withheld

WIDEST = 100
"""Sentences are wrapped here even where the terminal is wider."""


def print_run(run: Mapping[str, Any], folder: Path, console: Console) -> None:
    """Print run.json for people: comparison, verdict, audit, notes and the path of the report.

    Fits 80 columns. Colour and weight only where `console` writes to a terminal.
    """
    run = with_trials(folder, dict(run))
    table, verdict = comparison(run, brief=True), judge(run)
    width = min(console.width, WIDEST)
    console.print()
    console.print(Text(str(run["strategy"]), style="bold cyan"))
    _say(console, _facts(run), width, "dim")
    console.print()
    console.print(_grid(table))
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
        told = council_sentence(run, against_best(run, read_equity(folder, run)))
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


def _grid(table: Table) -> Grid:
    grid = Grid(box=None, padding=(0, 0, 0, 2), pad_edge=False)
    grid.add_column(no_wrap=True)
    for number, name in enumerate(table.columns):
        own = number == 0
        header = Text(name, style="bold cyan" if own else "dim")
        grid.add_column(header, justify="right", style="bold" if own else "", max_width=24, no_wrap=True)
    for _, rows in table.groups:
        for row in rows:
            grid.add_row(Text(_plain(row.label)), *(_cell(cell.text, cell.note) for cell in row.cells))
    return grid


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
