"""What the checks of a run found, for people: checks.json as lines in a terminal and as a page of its own."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from simulator.evidence.reader import read_run
from simulator.number_format import UNDEFINED, counted, dollars, interval, p_value, percent, ratio
from simulator.report import layout
from simulator.report.ablation import write
from simulator.store.folders import json_bytes

if TYPE_CHECKING:
    from rich.console import Console

FILE, FACTS = "checks.html", "checks.json"

COLUMNS = ("", "Value", "95\u00a0% interval", "p")

ORDER = ("cutoff", "future", "blind", "reidentify", "inputs", "recall", "replicates", "costs", "execution")
"""What concerns memory first."""

STYLES = {"flagged": "bold red", "passed": "green", "shown": "cyan", "not asked": "yellow"}


@dataclass(frozen=True)
class Row:
    """A figure as text; `why` says why a cell is n/a, or what else is to be known of it."""

    name: str
    cells: tuple[str, ...]
    why: str


@dataclass(frozen=True)
class Shown:
    """One check as text."""

    name: str
    title: str
    what: str
    outcome: str
    verdict: str
    bill: str
    rows: tuple[Row, ...]
    notes: tuple[str, ...]


def merged(folder: Path, done: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The content of checks.json: `done` put over the earlier results for the same result of the run.

    Keys: what was run (run_id, digest, strategy, symbols, from, to, analysts, partial, command), ``verdict`` and
    ``checks`` {name: {name, title, what, outcome, verdict, figures, notes, bill}}. Checks that were not asked leave
    earlier results as they are, and one made again from answers on disk keeps the bill those answers had.
    """
    run = read_run(folder)
    held = dict(_earlier(folder, str(run["digest"])))
    for one in done:
        name, before = str(one["name"]), held.get(str(one["name"]))
        if one["outcome"] != "not asked":
            paid = before is not None and before["bill"]["misses"] and not one["bill"]["misses"]
            held[name] = {**one, "bill": before["bill"]} if before is not None and paid else dict(one)
    order = [name for name in ORDER if name in held] + [name for name in held if name not in ORDER]
    checks = {name: held[name] for name in order}
    told = ("run_id", "digest", "strategy", "symbols", "from", "to", "analysts", "partial")
    about = {name: run.get(name) for name in told}
    return {**about, "command": run["command"], "verdict": headline(checks), "checks": checks}


def save(folder: Path, facts: Mapping[str, Any]) -> Path:
    """Write checks.json and checks.html, each in one step; returns the page's path. Raises SimError."""
    write(folder, {FACTS: json_bytes(facts), FILE: page(facts)})
    return folder / FILE


def headline(checks: Mapping[str, Mapping[str, Any]]) -> str:
    """One sentence over all of them: what was flagged, or what was tried."""
    if not checks:
        return "Nothing has been checked."
    flagged = [one["title"] for one in checks.values() if one["outcome"] == "flagged"]
    open_ones = [one["title"] for one in checks.values() if one["outcome"] == "not assessable"]
    judged = sum(one["outcome"] in ("flagged", "passed") for one in checks.values())
    rest = f" Not assessable: {', '.join(open_ones)}." if open_ones else ""
    if flagged:
        return f"Flagged by {len(flagged)} of {counted(judged, 'check')}: {', '.join(flagged)}.{rest}"
    if not judged:
        return f"None of the checks could be judged.{rest}"
    return f"{counted(judged, 'check')} passed, none flagged: no sign of memory or of looking ahead in these.{rest}"


def page(facts: Mapping[str, Any]) -> bytes:
    """checks.html as UTF-8: one file, no network, decided by `facts` (checks.json) alone."""
    contents = {
        "run": facts,
        "title": f"Checks: {facts['strategy']}, {facts['from']} to {facts['to']}",
        "facts": _facts(facts),
        "headline": facts["verdict"],
        "columns": COLUMNS,
        "checks": [shown(one) for one in facts["checks"].values()],
    }
    return layout.template(FILE, "checks.css").render(**contents).encode()


def shown(one: Mapping[str, Any]) -> Shown:
    """An entry of ``checks`` as text."""
    rows = tuple(_row(figure) for figure in one.get("figures", ()))
    notes = tuple(one.get("notes", ()))
    name, title, what, outcome = (str(one[key]) for key in ("name", "title", "what", "outcome"))
    return Shown(name, title, what, outcome, str(one["verdict"]), bill_line(one["bill"]), rows, notes)


def bill_line(bill: Mapping[str, Any]) -> str:
    """What a check asked, before it was asked."""
    if not bill["calls"]:
        return "Asked no model"
    said = f"{counted(bill['calls'], 'question')}, {counted(bill['misses'], 'new one')} when it was made"
    return f"{said}, about {dollars(bill['usd']['likely'], 2)}" if bill["usd"]["high"] else said


def print_bill(name: str, bill: str, err: bool) -> None:
    """One line before anything is asked."""
    import click

    click.echo(f"{name:<11} {bill}", err=err)


def print_checks(facts: Mapping[str, Any], done: Sequence[Mapping[str, Any]], path: Path, console: Console) -> None:
    """The checks just made, a line each, and where the page is."""
    from rich.text import Text

    width = min(console.width, 100)
    console.print()
    for one in done:
        outcome = str(one["outcome"])
        left = outcome == "not asked"
        said = "models are asked with --models" if left else str(one["verdict"])
        lines = textwrap.wrap(said.replace("\u00a0", " "), width - 13, break_on_hyphens=False) or [""]
        for n, line in enumerate(lines):
            label = Text(f"{one['name'] if n == 0 else '':<12}", style="bold")
            console.print(label + Text(line, style=STYLES.get(outcome, "dim")), soft_wrap=True)
    console.print()
    console.print(Text(textwrap.fill(facts["verdict"].replace("\u00a0", " "), width - 1), style="bold"))
    console.print(Text(f"page: {path}"), soft_wrap=True)


def _earlier(folder: Path, digest: str) -> Mapping[str, Any]:
    """Checks made before of the same result; none where the file is not there, is damaged, or of another result."""
    try:
        found = json.loads((folder / FACTS).read_text(encoding="utf-8"))
        checks = found["checks"] if found["digest"] == digest else {}
        for one in checks.values():
            shown(one)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}
    return dict(checks)


def _row(figure: Mapping[str, Any]) -> Row:
    write_one = WRITTEN.get(str(figure["unit"]), ratio)
    value = write_one(figure["value"])
    p = "" if figure["p"] is None else p_value(figure["p"])
    within = interval(figure["low"], figure["high"], write_one)
    return Row(str(figure["name"]), (value, "" if within == UNDEFINED else within, p), str(figure["note"] or ""))


def _signed_percent(value: Any) -> str:
    return percent(value, sign=True)


def _share(value: Any) -> str:
    return percent(value, 0)


def _slope(value: Any) -> str:
    return ratio(value, 4, sign=True)


def _count(value: Any) -> str:
    return ratio(value, 0)


WRITTEN = {"a year": _signed_percent, "return": _signed_percent, "share": _share, "slope": _slope, "count": _count}
"""How figures are written, by unit; Sharpe ratios and what is new as plain numbers."""


def _facts(facts: Mapping[str, Any]) -> tuple[str, ...]:
    symbols = ", ".join(map(str, facts["symbols"]))
    return (symbols, f"{facts['from']} to {facts['to']}", f"run {facts['run_id']}")
