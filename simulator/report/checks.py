"""Findings of the checks of a run, for people: checks.json as lines in a terminal and as a page of its own."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from simulator.contamination.words import FINDS
from simulator.evidence.reader import read_run
from simulator.evidence.records import CheckBill, CheckRecord, Checks, FigureRecord, about
from simulator.files import read_bytes
from simulator.number_format import (
    UNDEFINED,
    cents,
    counted,
    interval,
    p_value,
    plain,
    ratio,
    rough_percent,
    signed_percent,
    whole,
)
from simulator.printing import say
from simulator.report.renderers.html import list_pages, render_page
from simulator.report.table import Cell, Row, Table, make_table
from simulator.store.folders import json_bytes

if TYPE_CHECKING:
    from rich.console import Console

    from simulator.evidence.reader import Evidence

FILE, FACTS = "checks.html", "checks.json"

ORDER = ("cutoff", "future", "blind", "reidentify", "inputs", "recall", "replicates", "costs", "execution")
"""Order of the checks: those of memory first."""

STYLES = {"flagged": "bold red", "passed": "green", "shown": "cyan", "not asked": "yellow"}


def merge(folder: Path, done: Sequence[CheckRecord], altered: str = "") -> Checks:
    """Return the content of checks.json: `done` put over the earlier results for the same result of the run.

    Checks that were not asked leave earlier results as they are, and one made again from answers on disk keeps the bill
    those answers had.
    """
    run = read_run(folder)
    checks = _read_earlier(folder, run["digest"])
    for one in done:
        before = checks.get(one["name"])
        if one["outcome"] != "not asked":
            paid = before is not None and before["bill"]["misses"] and not one["bill"]["misses"]
            checks[one["name"]] = {**one, "bill": before["bill"]} if before is not None and paid else one
    order = [name for name in ORDER if name in checks] + [name for name in checks if name not in ORDER]
    checks = {name: checks[name] for name in order}
    return {**about(run, altered), "verdict": headline(checks), "checks": checks}


def content(facts: Checks) -> dict[str, bytes]:
    """Return checks.json and checks.html by name."""
    return {FACTS: json_bytes(facts), FILE: page(facts)}


def headline(checks: dict[str, CheckRecord]) -> str:
    """Return one sentence over all of them: what was flagged, or what was tried."""
    if not checks:
        return "Nothing has been checked."
    flagged, open_ones = (
        [one["title"] for one in checks.values() if one["outcome"] == outcome]
        for outcome in ("flagged", "not assessable")
    )
    judged = sum(one["outcome"] in ("flagged", "passed") for one in checks.values())
    rest = f" Not assessable: {', '.join(open_ones)}." if open_ones else ""
    if flagged:
        return f"Flagged by {len(flagged)} of {counted(judged, 'check')}: {', '.join(flagged)}.{rest}"
    if not judged:
        return f"None of the checks could be judged.{rest}"
    passed = f"{counted(judged, 'check')} passed, none flagged"
    notes = (figure["note"] or "" for one in checks.values() for figure in one.get("figures", ()))
    if limits := [part for note in notes for part in note.split("; ") if part.startswith(FINDS)]:
        return f"{passed}; what is smaller may have escaped: blind A/B {' and '.join(limits)}.{rest}"
    return f"{passed}: no sign of memory or of looking ahead in these.{rest}"


def page(facts: Checks, beside: Evidence | None = None) -> bytes:
    """Return checks.html as UTF-8: one file, no network, decided by `facts` (checks.json) and what lies beside it."""
    checks = facts["checks"].values()
    shown = {
        "run": facts,
        "title": f"Checks: {facts['strategy']}, {facts['from']} to {facts['to']}",
        "name": facts["strategy"],
        "facts": (", ".join(facts["symbols"]), f"{facts['from']} to {facts['to']}", f"run {facts['run_id']}"),
        "headline": facts["verdict"],
        "checks": list(checks),
        "tables": {one["name"]: tabulate_check(one) for one in checks},
        "bills": {one["name"]: describe_bill(one["bill"]) for one in checks},
        "command": f"sim check {facts['run_id']}",
        "pages": list_pages("Checks", beside),
    }
    return render_page(FILE, **shown).encode()


def tabulate_check(one: CheckRecord) -> Table:
    """Return the figures of a check."""
    return make_table(one["title"], ("Value", "95\u00a0% interval", "p"), map(_row, one.get("figures", ())))


def describe_bill(bill: CheckBill) -> str:
    """Return what a check asked, before it was asked."""
    if not bill["calls"]:
        return "Asked no model"
    text = f"{counted(bill['calls'], 'question')}, {counted(bill['misses'], 'new one')} when it was made"
    return f"{text}, about {cents(bill['usd']['likely'])}" if bill["usd"]["high"] else text


def print_bill(name: str, bill: str, err: bool) -> None:
    """Print one line before anything is asked."""
    say(f"{name:<11} {bill}", err=err)


def print_checks(facts: Checks, done: Sequence[CheckRecord], path: Path, console: Console) -> None:
    """Print the checks just made, a line each, and where the page is."""
    from simulator.report.renderers.console import Text
    from simulator.report.renderers.terminal import WIDEST, print_paragraph

    console.print()
    for one in done:
        outcome = one["outcome"]
        text = "models are asked with --models" if outcome == "not asked" else one["verdict"]
        lines = textwrap.wrap(plain(text), min(console.width, WIDEST) - 13, break_on_hyphens=False) or [""]
        for n, line in enumerate(lines):
            label = Text(f"{one['name'] if n == 0 else '':<12}", style="bold")
            console.print(label + Text(line, style=STYLES.get(outcome, "dim")), soft_wrap=True)
    console.print()
    print_paragraph(console, facts["verdict"], "bold")
    console.print(Text(f"page: {path}"), soft_wrap=True)


def _read_earlier(folder: Path, digest: str) -> dict[str, CheckRecord]:
    """Return checks made before of the same result; none where the file is missing, damaged, or of another result."""
    try:
        found = json.loads(read_bytes(folder / FACTS))
        checks: dict[str, CheckRecord] = found["checks"] if found["digest"] == digest else {}
        for one in checks.values():
            tabulate_check(one), describe_bill(one["bill"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return {}
    return dict(checks)


def _row(figure: FigureRecord) -> Row:
    write_one = FORMATS.get(figure["unit"], ratio)
    p = "" if figure["p"] is None else p_value(figure["p"])
    within = interval(figure["low"], figure["high"], write_one)
    cells = (Cell(write_one(figure["value"])), Cell("" if within == UNDEFINED else within), Cell(p))
    return Row(figure["name"], cells, figure["note"] or "")


FORMATS: Mapping[str, Callable[[object], str]] = {
    "a year": signed_percent,
    "return": signed_percent,
    "share": rough_percent,
    "slope": partial(ratio, digits=4, sign=True),
    "count": whole,
}
"""Formats of figures by unit; Sharpe ratios and what is new as plain numbers."""
