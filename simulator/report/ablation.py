"""Value of the parts of a council: ablation.json as two tables in a terminal, in the report and on its own page."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from simulator.analysis.verdict import withheld
from simulator.evidence.reader import Evidence
from simulator.evidence.records import AblationRecord, VariantRecord
from simulator.number_format import counted, interval, p_value, signed_percent, signed_ratio
from simulator.report.catalogue import METRICS, WITHHELD
from simulator.report.charts import Forest, draw_intervals
from simulator.report.renderers.html import list_pages, render_page
from simulator.report.table import Cell, Column, Row, Table, make_table

if TYPE_CHECKING:
    from rich.console import Console

FILE, FACTS = "ablation.html", "ablation.json"

RULE = (
    "Each line is the reference less the variant that lacks the part, on the same sessions: above 0, the part has paid."
)
METHOD = (
    "Sharpe ratios: the test of Ledoit & Wolf (2008), studentised circular block bootstrap. Mean returns: stationary "
    "bootstrap of the paired difference. p adjusted by Holm (1979) for all pairs of this page. An interval that "
    "covers 0 cannot tell the two apart; that is not to say that there is no difference."
)


@dataclass(frozen=True)
class CouncilValue:
    """The sentence, the rule by which to read it, and both tables of `sim ablate`."""

    headline: str
    rule: str
    added: Table
    earned: Table


def compose_council_value(evidence: Evidence) -> CouncilValue | None:
    """Return what ablation.json says; None where nobody asked."""
    facts = evidence.ablation
    if facts is None:
        return None
    return CouncilValue(headline(facts), RULE, tabulate_added(facts), tabulate_earned(facts, caption=True))


def page(facts: AblationRecord, beside: Evidence | None = None) -> bytes:
    """Return ablation.html as UTF-8: no network, decided by `facts` (ablation.json) and what lies beside it."""
    content = {
        "run": facts,
        "title": f"What the council adds: {facts['strategy']}, {facts['from']} to {facts['to']}",
        "name": facts["strategy"],
        "facts": _facts(facts),
        "headline": headline(facts),
        "details": (METHOD, *filter(None, (describe_judgements(facts),)), *facts["notes"]),
        "rule": RULE,
        "forest": draw_added(facts),
        "pages": list_pages("Ablation", beside),
        "added": tabulate_added(facts),
        "earned": tabulate_earned(facts),
        "choices": _tabulate_choices(facts),
        "command": f"sim ablate {facts['run_id']}",
    }
    return render_page(FILE, **content).encode()


def headline(facts: AblationRecord) -> str:
    """Return one sentence: which parts of the council can be told from chance."""
    if facts.get("judged", 0) is None:
        return "Not assessable: the models may remember these sessions."
    clear = [one["verdict"] for one in facts["variants"] if one["pair"] and _is_clear(one)]
    if clear:
        return f"Beyond chance on this run: {'; '.join(filter(None, clear))}."
    if not facts["compared"]:
        return "Nothing to compare: the variants traded the same, or on too few sessions."
    pairs = counted(facts["compared"], "pair")
    return f"On this run none of {pairs} can be told apart once all are counted: it may be chance."


def describe_judgements(facts: AblationRecord) -> str:
    """Return the verdict on each variant by itself; empty in a file of an earlier version."""
    alike: dict[str, list[str]] = {}
    for one in facts["variants"]:
        if "judgement" in one:
            alike.setdefault(one["judgement"], []).append(one["name"])
    judged = "; ".join(f"{', '.join(names)}: {words}" for words, names in alike.items())
    return f"Each by itself, as one trial: {judged}." if judged else ""


def _is_clear(one: VariantRecord) -> bool:
    return (one["verdict"] or "").startswith(("better", "worse"))


def tabulate_earned(facts: AblationRecord, caption: bool = False) -> Table:
    """Return what each variant earned, a row per variant."""
    rows = []
    for one in facts["variants"]:
        total, sharpe, fall = (
            METRICS[key].cell(one["metrics"], {}, withheld(facts)) for key in ("total_return", "sharpe", "max_drawdown")
        )
        skill = one.get("skill")
        beyond = "" if skill is None or withheld(facts) else signed_percent(skill["beyond"])
        judged = Cell(beyond, one.get("judgement", ""))
        changed = "" if one["meetings_changed"] is None else f"{one['meetings_changed']} of {facts['meetings']}"
        rows.append(Row(_name(one, one["name"]), (total, sharpe, fall, judged, Cell(changed)), one["what"]))
    columns = ("Return", "Sharpe", "Drawdown", "Beyond a year", "Meetings changed")
    return make_table("What each variant earned", columns, rows, corner="Variant", caption=caption)


def tabulate_added(facts: AblationRecord, brief: bool = False) -> Table:
    """Return what each part adds, a row per pair; `brief` as a terminal has room."""
    rows = []
    for one in facts["variants"]:
        if one["pair"]:
            label = _name(one, one["part"].removeprefix("the "))
            cells = _make_cells(one, withheld(facts))
            cells = tuple(cells[n] for n in ((0, 1, 2, 5, 6) if brief else range(7)))
            rows.append(Row(label, cells, f"{one['against']} less {one['name']}", "chosen" if _is_clear(one) else ""))
    names = ["Sharpe", "95\u00a0% interval", "Return a year", "95\u00a0% interval", "p", "p adjusted"]
    shown = ["Sharpe", "95\u00a0% interval", "a year", "p adj."] if brief else names
    columns = [*map(Column, shown), Column("Verdict", words=True)]
    return make_table("What each part of the council adds", columns, rows, corner="Part")


def _name(one: VariantRecord, name: str) -> str:
    """Return `name`, which ends with the seat, with who answers there and its account."""
    who, account = one.get("who"), one["account"]
    return name + (f" · {who}" if who else "") + (f" ({account})" if account else "")


def _make_cells(one: VariantRecord, short: bool) -> tuple[Cell, ...]:
    pair, verdict = one["pair"], Cell(one["verdict"] or "")
    if pair is None or short:
        return (Cell(WITHHELD), Cell(""), Cell(WITHHELD), Cell(""), Cell(""), Cell(""), verdict)
    texts = (
        signed_ratio(pair["sharpe"]),
        interval(pair["sharpe_low"], pair["sharpe_high"], signed_ratio),
        signed_percent(pair["annual_return"]),
        interval(pair["annual_return_low"], pair["annual_return_high"], signed_percent),
        p_value(pair["p"]),
        p_value(pair["p_adjusted"]),
    )
    return (*(Cell(text, pair["reason"] or "") for text in texts), verdict)


def print_ablation(facts: AblationRecord, path: Path, console: Console) -> None:
    """Print both tables for a terminal of 80 columns, the verdict, notes and the path of the page."""
    from simulator.report.renderers.console import Text
    from simulator.report.renderers.terminal import print_paragraph, print_table

    console.print()
    console.print(Text(f"What the council adds: {facts['strategy']}", style="bold cyan"))
    print_paragraph(console, " · ".join(_facts(facts)), "dim")
    console.print()
    print_table(console, tabulate_earned(facts))
    console.print()
    print_paragraph(console, RULE, "dim")
    console.print()
    print_table(console, tabulate_added(facts, brief=True))
    for one in facts["variants"]:
        if one["pair"] and one["pair"]["reason"] and one["verdict"] != "the same trades":
            part = _name(one, one["part"].removeprefix("the "))
            print_paragraph(console, f"{part}: {one['pair']['reason']}", "dim")
    console.print()
    print_paragraph(console, headline(facts), "bold")
    for sentence in (describe_judgements(facts), *(f"note: {note}" for note in facts["notes"])):
        print_paragraph(console, sentence)
    console.print(Text(f"page: {path}"), soft_wrap=True)


def _facts(facts: AblationRecord) -> tuple[str, ...]:
    checkpoints = facts["checkpoints"]
    return (
        ", ".join(facts["symbols"]),
        f"{facts['from']} to {facts['to']}",
        counted(facts["meetings"], "meeting"),
        *((counted(checkpoints, "checkpoint"),) if checkpoints else ()),
        f"run {facts['run_id']}",
        "recorded votes, nobody asked",
    )


def draw_added(facts: AblationRecord) -> Forest | None:
    """Return what each part adds to the Sharpe ratio, with its interval; None where none could be computed."""
    rows, spoken = [], []
    for one in facts["variants"]:
        if one["pair"] and one["pair"]["sharpe"] is not None and not withheld(facts):
            label, pair = _name(one, one["part"].removeprefix("the ")), one["pair"]
            css = "s0" if _is_clear(one) else "s7"
            rows.append((label, css, pair["sharpe"], pair["sharpe_low"], pair["sharpe_high"]))
            spoken.append(f"{label} {signed_ratio(pair['sharpe'])}")
    return draw_intervals(rows, f"What each part adds to the Sharpe ratio: {'; '.join(spoken)}.", room=0.05)


def _tabulate_choices(facts: AblationRecord) -> Table:
    """Return the manager followed at each meeting, and each manager's return by then."""
    names = {one["seat"]: _name(one, one["seat"]) for one in facts["variants"] if one["seat"]}
    seats = list(dict.fromkeys(seat for row in facts["choices"] for seat in row["results"]))
    rows = [
        Row(
            row["as_of"][:10],
            (
                Cell(names.get(row["seat"], row["seat"]) if row["seat"] else "the council"),
                *(Cell(signed_percent(row["results"][s]) if s in row["results"] else "") for s in seats),
            ),
        )
        for row in facts["choices"]
    ]
    columns = (Column("Followed", words=True), *(Column(names.get(seat, seat)) for seat in seats))
    return make_table("Whom the best single manager follows", columns, rows, corner="Meeting")
