"""`sim explain` for a terminal: a decision and what came of it, or everything behind an account's numbers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from rich.console import Console, RenderableType
from rich.padding import Padding

from simulator.analysis.explain import Explanation, Opinion, Trace, list_keys
from simulator.analysis.explain_number import ExplainedNumber
from simulator.analysis.verdict import FEWEST_SESSIONS
from simulator.council.records import (
    AnswerRow,
    ChairmanAnswer,
    CouncilRecord,
    MeetingRecord,
    MemberRecord,
    PitchAnswer,
    RevisedThesis,
    council_record,
)
from simulator.evidence.members import OFFLINE, describe_model
from simulator.number_format import (
    cents,
    counted,
    interval,
    number_of,
    percent,
    price,
    ratio,
    shares,
    signed_percent,
    signed_ratio,
    whole,
)
from simulator.report.catalogue import GROUPS
from simulator.report.decision_text import (
    SHOWN_OF_KEY,
    describe_prices,
    describe_shortlist,
    describe_thesis,
    find_label,
    find_reviews,
    flatten_facts,
)
from simulator.report.explain_desk import show_desk
from simulator.report.explain_number import Page, choose_page, print_turn, tabulate_parts
from simulator.report.renderers.console import Text
from simulator.report.renderers.terminal import make_grid, print_table
from simulator.report.table import Cell, Column, Row, Table, make_row, make_table
from simulator.trading.model import Fill


def print_explanation(found: Explanation, console: Console) -> None:
    """Print the explanation, in the order in which the decision came about."""
    for one in (found, *found.later):
        _print_decision(one, console)


def _print_decision(found: Explanation, console: Console) -> None:
    of = f" of {found.name}" if found.name else ""
    when = found.decision["as_of"][:16].replace("T", " ")
    console.print(Text(f"Decision{of} of {when} New York time, {found.run}", "bold"))
    if found.analysts:
        console.print(Text(found.analysts, "italic"))
    record = council_record(found.decision["record"])
    parts = show_record(record, found) if record else show_desk(found.decision["record"], found.symbol)
    for part in parts:
        console.print(part)
    for heading, lines in (("Decided", _list_targets(found)), ("What came of it", _outcome(found))):
        console.print(Text(f"\n{heading}", "bold"))
        for line in lines:
            console.print(Text(f"  {line}"))
    keys = list_keys(found.decision["record"])
    if keys:
        hint = f"[…] is the key of an answer; in full: `sim cache show {keys[-1][:SHOWN_OF_KEY]}`"
        console.print(Text(f"\n{hint}", "dim"))


def _list_targets(found: Explanation) -> Iterator[str]:
    for target in found.decision["targets"]:
        allowed = found.decision["allowed"].get(target["symbol"], target["weight"])
        cut = "" if allowed == target["weight"] else f", allowed {signed_percent(allowed)}"
        reason = f": {target['reason']}" if target.get("reason") else ""
        prices = f" ({', '.join(named)})" if (named := describe_prices(target)) else ""
        yield f"{target['symbol']} {signed_percent(target['weight'])}{cut}{prices}{reason}"
    for cut in found.decision["cuts"]:
        yield f"cut: {cut}"
    if not found.decision["targets"]:
        yield "nothing new: positions stay as they are"


def _outcome(found: Explanation) -> Iterator[str]:
    own = {order.id for order in found.orders}
    for fill in found.fills:
        yield describe_fill(fill) + ("" if fill.order_id in own else ", ordered earlier")
    for row in found.rejected:
        yield f"{row.session} {row.symbol}: {shares(row.got)} of {shares(row.wanted)} shares, {row.why}"
    for order in found.orders:
        if order.status in ("cancelled", "open"):
            yield f"{order.symbol} {order.kind} order {order.id}: {order.status}"
    if not found.fills and not found.rejected and not found.orders:
        yield "no order was needed"


def describe_fill(fill: Fill) -> str:
    """Return a fill in one line: when, how much, at what price, why it was filled there, what it cost."""
    return (
        f"{fill.session} {'bought' if fill.quantity > 0 else 'sold'} {shares(abs(fill.quantity))} {fill.symbol} "
        f"at {price(fill.price)} ({fill.why}), costs {cents(fill.slippage + fill.commission)}"
    )


@dataclass(frozen=True)
class Members:
    """Authors of the answers of a record: {seat: provider/model asked}, and what `found` knows of who served."""

    seats: Mapping[str, str]
    found: Explanation

    def name(self, row: Mapping[str, object]) -> str:
        """``pm.risk · rule-based``: the seat of an answer and who gave it."""
        seat, keys = str(row["seat"]), row.get("keys")
        who = self.found.members.get(seat, "")
        provider, _, model = self.seats.get(seat, "").partition("/")
        if model and (provider == OFFLINE or (isinstance(keys, list) and keys)):
            last = keys[-1] if isinstance(keys, list) and keys else ""
            who = describe_model(provider, model, [self.found.served.get(last, "")])
        return f"{seat} · {who}" if who else seat


def show_record(record: CouncilRecord, found: Explanation) -> Iterator[RenderableType]:
    """Yield what to print of a record, by its kind.

    A member's own record has its pitch only: what it was shown stands in the council's record of the hour.
    """
    meeting, symbol = found.meeting, found.symbol
    if record["kind"] == "council":
        yield from _show_facts(record["facts"], symbol)
        yield from _show_meeting(record, Members(record["seats"], found), symbol)
    elif record["kind"] == "checkpoint":
        yield from _show_facts(record["facts"], symbol)
        yield from _show_theses(record["meeting"], record["theses"], Members(record["seats"], found), symbol)
    elif record["kind"] == "member":
        yield from _show_member(record, meeting if meeting and meeting["kind"] == "council" else None, found)
    else:
        thesis = [record["thesis"]] if record["thesis"] else []
        if meeting:
            yield from _show_facts(meeting["facts"], symbol)
        yield from _show_theses(record["meeting"], thesis, Members(meeting["seats"] if meeting else {}, found), symbol)


def _show_meeting(record: MeetingRecord, members: Members, symbol: str | None) -> Iterator[RenderableType]:
    if "shortlist" in record:
        yield Text(f"\nShortlist: {describe_shortlist(record['shortlist'])}")
    if record["no_decision"]:
        yield Text(f"\nNo decision: {record['no_decision']}", "bold")
    yield from _show_research(record, members)
    yield Text("\nPitches, with the mean score their reviewers gave", "bold")
    answers = [(one, one.get("answer")) for one in record["pitches"]]
    shown = [one for one, answer in answers if answer is None or symbol in (None, answer["instrument"])]
    for one in shown:
        yield _show_pitch(record, one, members)
    yield from _show_reviews(record, [one["seat"] for one in shown if one.get("answer")], members)
    chairman = record["chairman"]
    if chairman:
        yield Text("\nChairman", "bold")
        yield _quote(members, chairman, _ruling(chairman, symbol))
    votes = [f"{name} {signed_ratio(votes)}" for name, votes in record["net_votes"].items() if symbol in (None, name)]
    if votes:
        yield Text(f"\nNet votes: {', '.join(votes)}")


def _show_member(record: MemberRecord, meeting: MeetingRecord | None, found: Explanation) -> Iterator[RenderableType]:
    members = Members(meeting["seats"] if meeting else {}, found)
    if meeting:
        yield from _show_facts(meeting["facts"], None)
        yield from _show_research(meeting, members)
    if record["no_decision"]:
        yield Text(f"\nNo decision: {record['no_decision']}", "bold")
    pitch = record["pitch"]
    if pitch:
        yield Text("\nIts pitch, with the mean score its reviewers gave", "bold")
        yield _show_pitch(meeting, pitch, members)
    if pitch and meeting:
        yield from _show_reviews(meeting, [pitch["seat"]], members)


def _show_theses(
    meeting: str, theses: Sequence[RevisedThesis], members: Members, symbol: str | None
) -> Iterator[RenderableType]:
    """Yield what was held, what it was held for, and what was made of it."""
    shown = [thesis for thesis in theses if symbol in (None, thesis["instrument"])]
    yield Text(f"\nTheses of the meeting of {meeting[:10]}, read again" if meeting else "\nTheses, read again", "bold")
    for thesis in shown:
        yield _quote(members, thesis, describe_thesis(thesis))
    if not shown:
        yield Padding(Text("none was open"), (0, 0, 0, 2))


def _show_facts(facts: Mapping[str, object], symbol: str | None) -> Iterator[RenderableType]:
    """Yield the facts every member was shown, a column per symbol."""
    found = facts.get("symbols")
    symbols = {name: dict(flatten_facts(one)) for name, one in found.items()} if isinstance(found, Mapping) else {}
    symbols = {name: one for name, one in symbols.items() if symbol in (None, name)}
    yield Text("\nFacts every member saw", "bold")
    labels = dict.fromkeys(label for one in symbols.values() for label in one)
    rows = [make_row(label, (str(one.get(label, "")) for one in symbols.values())) for label in labels]
    yield Padding(make_grid(make_table("Facts", tuple(symbols), rows), 100), (0, 0, 0, 2))
    for key, value in flatten_facts({key: value for key, value in facts.items() if key != "symbols"}):
        yield Padding(Text(f"{key}: {value}"), (0, 0, 0, 2))


def _quote(members: Members, row: Mapping[str, object], text: str) -> Padding:
    """Return who wrote it, by seat and model, with the beginning of the answer's key and what was read otherwise than
    as written."""
    keys, fixes = row.get("keys"), row.get("fixes")
    key = f" [{keys[-1][:SHOWN_OF_KEY]}]" if isinstance(keys, list) and keys else ""
    read = (f" ({'; '.join(fixes)})" if isinstance(fixes, list) else "", "dim")
    return Padding(Text.assemble((members.name(row), "bold"), (key, "dim"), f": {text}", read), (0, 0, 0, 2))


def _show_research(record: MeetingRecord, members: Members) -> Iterator[RenderableType]:
    yield Text("\nResearch", "bold")
    for one in record["research"]:
        answer = one.get("answer")
        story = f"{answer['macro_regime']}. {' '.join(answer['top_narratives'])}" if answer else _failure(one)
        yield _quote(members, one, story)


def _failure(row: Mapping[str, object]) -> str:
    return f"no answer: {row.get('error')}"


def _show_pitch(record: MeetingRecord | None, one: AnswerRow[PitchAnswer], members: Members) -> Padding:
    answer, seat = one.get("answer"), one["seat"]
    if answer is None:
        return _quote(members, one, _failure(one))
    score = record["scores"].get(seat) if record else None
    scored = "" if score is None else f", score {ratio(score, 1)}"
    label = find_label(record, seat) if record else ""
    shown = f", Pitch {label} to the chairman" if label else ""
    conviction = ratio(answer["conviction"], 0, sign=True)
    wants = f"{answer['direction']} {answer['instrument']}, conviction {conviction}{scored}{shown}."
    return _quote(members, one, f"{wants} {' '.join(answer['thesis_bullets'])} Invalid if: {answer['invalidation']}")


def _show_reviews(record: MeetingRecord, shown: Sequence[str], members: Members) -> Iterator[RenderableType]:
    """Yield by pitch: each dimension's mean score, then what was held against it and by whom."""
    reviews = {seat: find_reviews(record, seat) for seat in shown}
    if not any(reviews.values()):
        return
    yield Text("\nReviews, anonymous when they were written", "bold")
    pitches = ((one["seat"], one.get("answer")) for one in record["pitches"])
    instruments = {seat: pitch["instrument"] for seat, pitch in pitches if pitch}
    for seat, found in reviews.items():
        names = found[0][1]["scores"] if found else ()
        means = [
            f"{name.replace('_', ' ')} {ratio(sum(answer['scores'][name] for _, answer in found) / len(found), 1)}"
            for name in names
        ]
        yield _quote(members, {"seat": seat}, f"{instruments[seat]}: {', '.join(means)}")
        words: dict[tuple[str, str], list[str]] = {}
        for one, answer in found:
            key = f" [{one['keys'][-1][:SHOWN_OF_KEY]}]" if one["keys"] else ""
            words.setdefault((answer["kill_shot"], answer["flip_condition"]), []).append(f"{one['seat']}{key}")
        for (kill_shot, flip), who in words.items():
            yield Padding(Text(f"{', '.join(who)}: {kill_shot} Flips if: {flip}"), (0, 0, 0, 4))


def _ruling(chairman: AnswerRow[ChairmanAnswer], symbol: str | None) -> str:
    answer = chairman.get("answer")
    if answer is None:
        return _failure(chairman)
    approved = [
        f"approves {t['direction']} {t['instrument']} at {ratio(t['conviction'], 0, sign=True)}: {t['rationale']}"
        for t in answer["approved_trades"]
        if symbol in (None, t["instrument"])
    ]
    rejected = [
        f"rejects {t['direction']} {t['instrument']}: {t['reason']}"
        for t in answer["rejected_trades"]
        if symbol in (None, t["instrument"])
    ]
    rest = (f"Dissent: {answer['dissent_summary']}", f"Watch: {answer['monitoring_plan']}")
    return " ".join([*approved, *rejected, *rest])


def print_trace(
    found: Trace, console: Console, largest: ExplainedNumber | None = None, page: int | None = None
) -> None:
    """Print numbers, trades, then every decision that was a meeting or led to an order.

    `largest` are trades to print instead of all fills; from the second `page` on there are no more than trades.
    """
    rows = choose_page(len(found.trades if largest is None else largest.rows), page)
    if rows.number == 1:
        console.print(Text(f"{found.name}, {found.run}", "bold"))
        if found.analysts:
            console.print(Text(found.analysts, "italic"))
        console.print()
        print_table(console, tabulate_numbers(found), headings=False, hints=True)
    if largest is None:
        console.print(Text(f"\n{counted(len(found.trades), 'trade')}, and the decision behind each", "bold"))
        print_table(console, tabulate_trades(found, rows))
    else:
        console.print(Text(f"\n{counted(len(largest.rows), 'trade')} that earned or lost most", "bold"))
        print_table(console, tabulate_parts(largest, rows))
    print_turn(console, rows)
    if rows.number == 1:
        _print_decisions(found, console)


def _print_decisions(found: Trace, console: Console) -> None:
    acting = [one for one in found.decisions if one["orders"] or one["kind"] in ("council", "member")]
    console.print(Text(f"\n{counted(len(found.decisions), 'decision')}, with what was wanted", "bold"))
    rows = [
        make_row(
            one["session"],
            (
                one["kind"].replace("_", " "),
                ", ".join(map(_format_opinion, one["opinions"])) or "nothing",
                str(one["orders"]),
                str(len(one["keys"])),
                one["keys"][-1][:SHOWN_OF_KEY] if one["keys"] else "",
            ),
        )
        for one in acting
    ]
    columns = (Column("kind", words=True), Column("wanted", words=True), "orders", "answers", "key of the last")
    print_table(console, make_table("Decisions", columns, rows, corner="date"))
    silent = len(found.decisions) - len(acting)
    if silent:
        console.print(Text(f"{counted(silent, 'checkpoint')} changed nothing; --json lists them too", "dim"))
    last = next(
        (one for one in reversed(found.decisions) if one["orders"]), found.decisions[-1:] and found.decisions[-1]
    )
    if last:
        of = f" --account {found.account}" if not found.own else ""
        lines = [f"\nwhat was seen, said and voted: `sim explain {found.run} {last['session']}{of}`"]
        lines += [f"an answer in full: `sim cache show {last['keys'][-1][:SHOWN_OF_KEY]}`"] if last["keys"] else []
        for line in lines:
            console.print(Text(line, "dim"), soft_wrap=True)


def tabulate_numbers(found: Trace) -> Table:
    """Return the metrics of an account, its cost, and how its convictions and the reviews of its pitches came out."""
    values = {**found.metrics, "sharpe_ci_low": found.sharpe_ci_low, "sharpe_ci_high": found.sharpe_ci_high}
    short = found.sessions < FEWEST_SESSIONS
    rows = [
        Row(metric.name, (metric.cell(values, found.reasons, short),), metric.help)
        for metrics in GROUPS.values()
        for metric in metrics
        if metric.value_key in values or (short and metric.annualised)
    ]
    if found.llm:
        rows.append(make_row("LLM cost", (cents(found.llm["cost_usd"]),), f"{whole(found.llm['calls'])} questions"))
    if found.calibration:
        calibration = found.calibration
        bounds = interval(calibration["ic_low"], calibration["ic_high"])
        hint = f"{bounds}; {whole(calibration['n'])} convictions against returns"
        rows.append(make_row("Calibration", (signed_ratio(calibration["ic"]),), hint))
    if found.reviews:
        reviews = found.reviews
        hint = f"{interval(reviews['low'], reviews['high'])}; {whole(reviews['n'])} pitches, mean score against outcome"
        rows.append(make_row("Reviews", (signed_ratio(reviews["correlation"]),), hint))
    return make_table("Numbers", [Column("")], rows)


def tabulate_trades(found: Trace, page: Page) -> Table:
    """Return a page of an account's fills, and the session of the decision behind each."""
    rows = []
    for one in found.trades[page.first : page.end]:
        fill = one.fill
        cells = (
            "bought" if fill.quantity > 0 else "sold",
            fill.symbol,
            Cell(shares(abs(fill.quantity), 2), value=fill.quantity),
            Cell(price(fill.price), value=fill.price),
            Cell(cents(fill.slippage + fill.commission), value=fill.slippage + fill.commission),
            fill.why,
            one.decision["session"] if one.decision else "",
        )
        rows.append(make_row(str(fill.session), cells))
    words = [Column(name, words=True) for name in ("", "symbol", "why", "decided")]
    columns = [*words[:2], Column("shares"), Column("price"), Column("costs"), *words[2:]]
    return make_table("Trades", columns, rows, corner="filled")


def _format_opinion(opinion: Opinion) -> str:
    conviction, score, weight = (number_of(opinion.get(key)) for key in ("conviction", "score", "weight"))
    strength = "" if conviction is None else f" {ratio(conviction, 0, sign=True)}"
    if conviction is None and weight is not None:
        strength = f" {percent(weight, 0, sign=True)}" if weight else " flat"
    action = f" {opinion['action']}" if opinion.get("action") else ""
    return f"{opinion['instrument']}{strength}{action}" + ("" if score is None else f" (score {ratio(score, 1)})")
