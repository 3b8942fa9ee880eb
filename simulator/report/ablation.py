"""What the council adds, for people: ablation.json as two tables in a terminal and as a page of its own."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from simulator.analysis.verdict import withheld
from simulator.number_format import counted, interval, p_value, percent, ratio
from simulator.report import layout
from simulator.report.tables import WITHHELD
from simulator.store.folders import write_file

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

FILE, FACTS = "ablation.html", "ablation.json"

EARNED = ("Variant", "Return", "Sharpe", "Drawdown", "Meetings changed")
ADDED = ("Part", "Sharpe", "95 % interval", "Return a year", "95 % interval", "p", "p adjusted", "Verdict")
SHORT = ("part", "Sharpe", "95 % interval", "a year", "p adj.", "verdict")

RULE = (
    "Each line is the reference less the variant that lacks the part, on the same sessions: above 0, the part has paid."
)
METHOD = (
    "Sharpe ratios: the test of Ledoit & Wolf (2008), studentised circular block bootstrap. Mean returns: stationary "
    "bootstrap of the paired difference. p adjusted by Holm (1979) for all pairs of this page. An interval that "
    "covers 0 cannot tell the two apart; that is not to say that there is no difference."
)


@dataclass(frozen=True)
class Earned:
    """A variant and what it earned, as text."""

    name: str
    what: str
    cells: tuple[str, ...]


@dataclass(frozen=True)
class Added:
    """What a part adds, as text: `pair` names the two, `why` says why cells are n/a, `clear` if they are told apart."""

    part: str
    pair: str
    cells: tuple[str, ...]
    verdict: str
    why: str
    clear: bool


def write(folder: Path, content: Mapping[str, bytes]) -> None:
    """Put files into a run folder, each in one step. Raises SimError when they cannot be written."""
    for name, data in content.items():
        write_file(folder / name, data)


def page(facts: Mapping[str, Any]) -> bytes:
    """ablation.html as UTF-8: one file, no network, decided by `facts` (ablation.json) alone."""
    contents = {
        "run": facts,
        "title": f"What the council adds: {facts['strategy']}, {facts['from']} to {facts['to']}",
        "facts": _facts(facts),
        "headline": headline(facts),
        "earned_columns": EARNED,
        "earned": earned(facts),
        "added_columns": ADDED,
        "added": added(facts),
        "rule": RULE,
        "method": METHOD,
        "choices": _choices(facts),
        "seats": list(facts["choices"][0]["results"]) if facts["choices"] else [],
    }
    return layout.template(FILE).render(**contents).encode()


def headline(facts: Mapping[str, Any]) -> str:
    """One sentence: which parts of the council can be told from chance."""
    rows = added(facts)
    clear = [row for row in rows if row.clear]
    if clear:
        return f"Beyond chance on this run: {'; '.join(row.verdict for row in clear)}."
    compared = int(facts["compared"])
    if not compared:
        return "Nothing to compare: the variants traded the same, or on too few sessions."
    return f"On this run none of {counted(compared, 'pair')} can be told apart once all are counted: it may be chance."


def earned(facts: Mapping[str, Any]) -> list[Earned]:
    """A row per variant, cells as in `EARNED` but the first."""
    rows = []
    for one in facts["variants"]:
        metrics, changed = one["metrics"], one["meetings_changed"]
        cells = (
            percent(metrics["total_return"], sign=True),
            WITHHELD if withheld(facts) else ratio(metrics["sharpe"]),
            percent(metrics["max_drawdown"]),
            "" if changed is None else f"{changed} of {facts['meetings']}",
        )
        rows.append(Earned(_named(one), one["what"], cells))
    return rows


def added(facts: Mapping[str, Any]) -> list[Added]:
    """A row per pair, cells as in `ADDED` between part and verdict."""
    rows = []
    for one in facts["variants"]:
        pair = one["pair"]
        if pair is None:
            continue
        cells = (
            (WITHHELD, "", WITHHELD, "", "", "")
            if withheld(facts)
            else (
                ratio(pair["sharpe"], sign=True),
                interval(pair["sharpe_low"], pair["sharpe_high"], _signed),
                percent(pair["annual_return"], sign=True),
                interval(pair["annual_return_low"], pair["annual_return_high"], _signed_percent),
                p_value(pair["p"]),
                p_value(pair["p_adjusted"]),
            )
        )
        clear = one["verdict"].startswith(("better", "worse"))
        part = str(one["part"]).removeprefix("the ")
        part = part if one["account"] is None else f"{part} ({one['account']})"
        rows.append(
            Added(part, f"{one['against']} less {one['name']}", cells, one["verdict"], pair["reason"] or "", clear)
        )
    return rows


def print_ablation(facts: Mapping[str, Any], path: Path, console: Console) -> None:
    """Both tables for a terminal of 80 columns, the verdict, notes and the path of the page."""
    from rich.text import Text

    width = min(console.width, 100)
    console.print()
    console.print(Text(f"What the council adds: {facts['strategy']}", style="bold cyan"))
    _say(console, " · ".join(_facts(facts)), width, "dim")
    console.print()
    console.print(_grid(EARNED, [(row.name, *row.cells) for row in earned(facts)]))
    console.print()
    _say(console, RULE, width, "dim")
    console.print()
    rows = added(facts)
    lines = [(row.part.partition(" (")[0], *(row.cells[n] for n in (0, 1, 2, 5)), row.verdict) for row in rows]
    console.print(_grid(SHORT, lines, last_left=True))
    for row in rows:
        if row.why and row.verdict != "the same trades":
            _say(console, f"{row.part}: {row.why}", width, "dim")
    console.print()
    _say(console, headline(facts), width, "bold")
    for note in facts["notes"]:
        _say(console, f"note: {note}", width)
    console.print(Text(f"page: {path}"), soft_wrap=True)


def _signed(value: Any) -> str:
    return ratio(value, sign=True)


def _signed_percent(value: Any) -> str:
    return percent(value, sign=True)


def _named(one: Mapping[str, Any]) -> str:
    return str(one["name"]) if one["account"] is None else f"{one['name']} ({one['account']})"


def _facts(facts: Mapping[str, Any]) -> tuple[str, ...]:
    checkpoints = facts["checkpoints"]
    return (
        ", ".join(map(str, facts["symbols"])),
        f"{facts['from']} to {facts['to']}",
        counted(int(facts["meetings"]), "meeting"),
        *((counted(int(checkpoints), "checkpoint"),) if checkpoints else ()),
        f"run {facts['run_id']}",
        "recorded votes, nobody asked",
    )


def _choices(facts: Mapping[str, Any]) -> list[tuple[str, str, tuple[str, ...]]]:
    """(session, manager followed, each manager's return by then) per meeting."""
    return [
        (
            str(row["as_of"])[:10],
            row["seat"] or "the council",
            tuple(percent(value, sign=True) for value in row["results"].values()),
        )
        for row in facts["choices"]
    ]


def _grid(columns: Sequence[str], rows: Sequence[Sequence[str]], last_left: bool = False) -> Table:
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, padding=(0, 0, 0, 2), pad_edge=False, header_style="dim")
    for n, name in enumerate(columns):
        left = n == 0 or (last_left and n == len(columns) - 1)
        table.add_column(name, justify="left" if left else "right", no_wrap=n > 0)
    for row in rows:
        table.add_row(*(Text(cell.replace("\u00a0", " ")) for cell in row))
    return table


def _say(console: Console, sentence: str, width: int, style: str = "") -> None:
    from rich.text import Text

    plain = sentence.replace("\u00a0", " ")
    console.print(Text(textwrap.fill(plain, width - 1, break_on_hyphens=False), style=style), soft_wrap=True)
