"""One meeting for a terminal: research packs side by side, pitches, the review matrix, the chairman's decision."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.console import Console, RenderableType
from rich.padding import Padding
from rich.table import Table

from simulator.evidence.meeting import MeetingFacts, ResearchResult, ReviewResult
from simulator.number_format import cents, price, ratio, signed_percent
from simulator.report.renderers.console import Text
from simulator.report.renderers.terminal import make_grid
from simulator.report.table import Column, make_row, make_table

WIDEST = 120


def print_meeting(facts: MeetingFacts, console: Console) -> None:
    """Print what the stages of a meeting came to; `facts` as of `simulator.runs.meeting.hold_meeting`."""
    console.width = min(console.width, WIDEST)
    when = str(facts["as_of"])[:16].replace("T", " ")
    console.print()
    console.print(Text(f"{facts['strategy']}, meeting of {when} New York time", style="bold cyan"))
    known = f"bars to {facts['known_to']}" if facts["known_to"] else "no bars"
    console.print(Text(f"{', '.join(facts['symbols'])} · {known} · models {facts['models']}", style="dim"))
    console.print(Text(f"Question: {facts['metadata']['user_query']}"))
    for line in (facts["moved"], *facts["notes"]):
        if line:
            console.print(Text(line))
    sections = {
        "research_pack": _research,
        "pm_pitches": _pitches,
        "peer_reviews": _reviews,
        "chairman_decision": _chairman,
        "execution_results": _targets,
    }
    for name, show in sections.items():
        if facts.get(name):
            console.print()
            for part in show(facts):
                console.print(part)
    if facts["no_decision"]:
        console.print(Text(f"\nNo decision: {facts['no_decision']}", style="bold"))
    spent = facts["llm"]
    answers = f"{spent['asked']} asked, {spent['cached']} on disk, {spent['failed']} failed"
    console.print(Text(f"\n{answers}, {cents(spent['cost_usd'])}", style="dim"))


def _name(facts: MeetingFacts, seat: str) -> str:
    """``pm.risk · rule-based``: a seat and who answers in it."""
    who = facts["members"].get(seat, "")
    return f"{seat} · {who}" if who else seat


def _research(facts: MeetingFacts) -> Iterator[RenderableType]:
    packs = facts["research_pack"]
    yield Text("Research", "bold")
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), expand=True, header_style="bold")
    for pack in packs:
        table.add_column(Text(_name(facts, pack["seat"])), ratio=1, overflow="fold")
    table.add_row(*(_pack(pack) for pack in packs))
    yield table


def _pack(pack: ResearchResult) -> Text:
    if "error" in pack:
        return Text(f"no answer: {pack['error']}", "dim")
    lines = [("Regime", [pack["macro_regime"]]), ("Narratives", pack["top_narratives"])]
    lines.append(("Consensus", [f"{name} {view}" for name, view in pack["consensus_map"].items()]))
    lines.append(("Candidates", [f"{one['ticker']}: {one['rationale']}" for one in pack["tradable_candidates"]]))
    events = [f"{one['date']} {one['event']} ({one['impact']})" for one in pack["event_calendar"]]
    lines.append(("Events", events or ["none"]))
    text = Text()
    for n, (label, entries) in enumerate(lines):
        text.append(f"{chr(10) * bool(n)}{label}\n", "italic")
        text.append("".join(f"  {entry}\n" for entry in entries))
    return text


def _pitches(facts: MeetingFacts) -> Iterator[RenderableType]:
    yield Text("Pitches", "bold")
    rows = []
    for pitch in facts["pm_pitches"]:
        account = f"({pitch['account']})" if pitch.get("account") else ""
        who = "\n".join(filter(None, (f"{pitch['seat']} ·", facts["members"].get(pitch["seat"]), account)))
        if "error" in pitch:
            rows.append(make_row(who, ("none", "", "", "", pitch["error"])))
            continue
        wants = f"{pitch['direction']} {pitch['instrument']}"
        prices = ("" if pitch[name] is None else price(pitch[name]) for name in ("stop", "target"))
        thesis = f"{' '.join(pitch['thesis_bullets'])} Over {pitch['horizon']}. Invalid if: {pitch['invalidation']}\n"
        rows.append(make_row(who, (wants, ratio(pitch["conviction"], 0, sign=True), *prices, thesis)))
    columns = (Column("pitch", words=True), "conv.", "stop", "target", Column("thesis", words=True))
    yield make_grid(make_table("Pitches", columns, rows, corner="manager"), WIDEST)


def _reviews(facts: MeetingFacts) -> Iterator[RenderableType]:
    """Yield managers by managers: the mean score each gave to each pitch; then the words, by pitch."""
    reviews = facts["peer_reviews"]
    seats = list(dict.fromkeys([*(one["reviewer"] for one in reviews), *(one["author"] for one in reviews)]))
    given = {(one["reviewer"], one["author"]): _mean(one) for one in reviews}
    yield Text("Reviews: mean score given by (row) to the pitch of (column), 1 to 10", "bold")
    rows = [
        make_row(reviewer, ("·" if reviewer == seat else given.get((reviewer, seat), "") for seat in seats))
        for reviewer in seats
    ]
    rows.append(make_row("mean", (ratio(facts["scores"].get(seat)) for seat in seats), css="own"))
    yield make_grid(make_table("Reviews", seats, rows), WIDEST)
    for seat in seats:
        yield from _words(_name(facts, seat), [one for one in reviews if one["author"] == seat])


def _mean(review: ReviewResult) -> str:
    scores = list(review.get("scores", {}).values())
    return ratio(sum(scores) / len(scores)) if scores else "failed"


def _words(author: str, reviews: Sequence[ReviewResult]) -> Iterator[RenderableType]:
    words: dict[tuple[str, str], list[str]] = {}
    for one in reviews:
        if "error" not in one:
            words.setdefault((one["kill_shot"], one["flip_condition"]), []).append(one["reviewer"])
    if words:
        yield Text(f"\nOn the pitch of {author}", "bold")
    for (kill_shot, flip), reviewers in words.items():
        line = Text.assemble((", ".join(reviewers), "italic"), f": {kill_shot} ", ("Flips if: ", "dim"), flip)
        yield Padding(line, (0, 0, 0, 2))


def _chairman(facts: MeetingFacts) -> Iterator[RenderableType]:
    decision = facts["chairman_decision"]
    if decision is None:
        return
    yield Text(f"Decision of {_name(facts, decision['seat'])}", "bold")
    if "error" in decision:
        yield Text(f"no answer: {decision['error']}", "dim")
        return
    for trade in decision["approved_trades"]:
        conviction = ratio(trade["conviction"], 0, sign=True)
        wants = f"{trade['direction']} {trade['instrument']}, conviction {conviction}, {trade['position_size']}"
        yield _label("approved", f"{wants}: {trade['rationale']}")
    for refused in decision["rejected_trades"]:
        yield _label("rejected", f"{refused['direction']} {refused['instrument']}: {refused['reason']}")
    yield _label("dissent", decision["dissent_summary"])
    yield _label("plan", decision["monitoring_plan"])
    if facts["labels"]:
        yield _label("pitches", ", ".join(f"{label} is {seat}'s" for label, seat in facts["labels"].items()))


def _label(label: str, text: str) -> Table:
    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(width=8)
    grid.add_column(overflow="fold")
    grid.add_row(Text(label, "dim"), Text(text))
    return grid


def _targets(facts: MeetingFacts) -> Iterator[RenderableType]:
    yield Text("Targets of an empty account", "bold")
    rows = []
    for one in facts["execution_results"]:
        weights = map(signed_percent, (one["weight"], facts["allowed"].get(one["symbol"])))
        prices = ("" if one.get(name) is None else price(one[name]) for name in ("limit", "stop", "take_profit"))
        rows.append(make_row(one["symbol"], (*weights, one["order"], *prices, one["seat"] or "")))
    columns = ("weight", "allowed", "order", "limit", "stop", "take profit", Column("from", words=True))
    yield make_grid(make_table("Targets", columns, rows, corner="symbol"), WIDEST)
    for one in facts["execution_results"]:
        for note in one["notes"]:
            yield Padding(Text(f"{one['symbol']}: {note}"), (0, 0, 0, 2))
    for cut in facts["cuts"]:
        yield Padding(Text(f"cut: {cut}"), (0, 0, 0, 2))
