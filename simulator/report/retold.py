"""Records of decisions retold for a terminal: a council's meeting, a checkpoint, a member on its own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from simulator.number_format import dollars, ratio

PRICES = {"limit": "limit", "stop": "stop", "take_profit": "take profit"}
SHOWN_OF_KEY = 12


def sections(record: Mapping[str, Any], meeting: Mapping[str, Any] | None, symbol: str | None) -> Iterator[Any]:
    """What to print of a record, by its kind; nothing for a plain rule.

    `meeting` is the council's record of the same hour: a member's own record has its pitch only, and what it was shown
    and told stands there.
    """
    kind = record.get("kind")
    if kind == "council":
        yield from _council(record, symbol)
    elif kind == "checkpoint":
        yield from _seen(record.get("facts") or {}, symbol)
        yield from _theses(record, record.get("theses") or [], symbol)
    elif kind == "member":
        yield from _member(record, meeting or {}, symbol)
    elif kind == "member_checkpoint":
        around = meeting or record
        yield from _seen(around.get("facts") or {}, symbol)
        yield from _theses(
            {**around, "meeting": record.get("meeting")}, [t for t in [record.get("thesis")] if t], symbol
        )


def keys_of(record: Mapping[str, Any]) -> list[str]:
    """Keys of all answers behind a record, in the order in which they were given."""
    parts = [*record.get("research", ()), *record.get("pitches", ()), *record.get("reviews", ())]
    parts += [record.get(name) for name in ("chairman", "pitch", "thesis")]
    parts += record.get("theses", ())
    return list(dict.fromkeys(key for part in parts if part for key in part.get("keys") or ()))


def key_hint(record: Mapping[str, Any]) -> str:
    """How to read an answer in full; empty where nobody was asked."""
    keys = keys_of(record)
    return f"[…] is the key of an answer; in full: `sim cache show {keys[-1][:SHOWN_OF_KEY]}`" if keys else ""


def _council(record: Mapping[str, Any], symbol: str | None) -> Iterator[Any]:
    yield from _seen(record["facts"], symbol)
    if record.get("no_decision"):
        yield Text(f"\nNo decision: {record['no_decision']}", "bold")
    yield from _research(record)
    yield Text("\nPitches, with the mean score their reviewers gave", "bold")
    for said in record["pitches"]:
        answer = said.get("answer")
        if answer is None or symbol in (None, answer["instrument"]):
            yield _pitched(record, said)
    shown = [s["seat"] for s in record["pitches"] if s.get("answer") and symbol in (None, s["answer"]["instrument"])]
    yield from _reviews(record, shown)
    chairman = record.get("chairman")
    if chairman:
        yield Text("\nChairman", "bold")
        yield _said(record, chairman, _ruling(chairman, symbol))
    votes = {s: v for s, v in record["net_votes"].items() if symbol in (None, s)}
    if votes:
        yield Text("\nNet votes: " + ", ".join(f"{s} {ratio(v, sign=True)}" for s, v in votes.items()))


def _member(record: Mapping[str, Any], meeting: Mapping[str, Any], symbol: str | None) -> Iterator[Any]:
    if meeting:
        yield from _seen(meeting["facts"], symbol)
        yield from _research(meeting)
    if record.get("no_decision"):
        yield Text(f"\nNo decision: {record['no_decision']}", "bold")
    said = record.get("pitch")
    if said:
        yield Text("\nIts pitch, with the mean score its reviewers gave", "bold")
        yield _pitched(meeting or record, said)
    if said and meeting:
        yield from _reviews(meeting, [said["seat"]])


def _theses(record: Mapping[str, Any], theses: Sequence[Mapping[str, Any]], symbol: str | None) -> Iterator[Any]:
    """What was held, what it was held for, and what was made of it."""
    met = str(record.get("meeting") or "")[:10]
    shown = [t for t in theses if symbol in (None, t.get("instrument"))]
    yield Text(f"\nTheses of the meeting of {met}, read again" if met else "\nTheses, read again", "bold")
    for thesis in shown:
        yield _said(record, thesis, thesis_line(thesis))
    if not shown:
        yield Padding(Text("none was open"), (0, 0, 0, 2))


def thesis_line(thesis: Mapping[str, Any]) -> str:
    """What a checkpoint made of one thesis, in words."""
    conviction = ratio(thesis.get("conviction"), 0, sign=True)
    before = ratio(thesis.get("conviction_before"), 0, sign=True)
    changed = f"conviction {conviction}" if before == conviction else f"conviction {before} to {conviction}"
    entry = thesis.get("entry") or {}
    since = f", entered {str(entry['at'])[:10]} at {dollars(entry.get('price'), 2)}" if entry.get("at") else ""
    ends = [f"{name} {dollars(thesis[name], 2)}" for name in ("stop", "target") if thesis.get(name) is not None]
    where = f", {', '.join(ends)}" if ends else ""
    answer = thesis.get("answer") or {}
    reason = thesis.get("reason") or answer.get("reason") or answer.get("rationale") or ""
    said = f"no answer: {thesis['error']}" if thesis.get("error") else str(reason)
    return (
        f"{thesis.get('action', '')} {thesis.get('direction', '')} {thesis.get('instrument', '')}, {changed}, "
        f"{thesis.get('state', '')}{since}{where}. {said}"
    ).strip()


def _seen(facts: Mapping[str, Any], symbol: str | None) -> Iterator[Any]:
    """The facts every member was shown, a column per symbol."""
    symbols = {s: f for s, f in facts.get("symbols", {}).items() if symbol in (None, s)}
    if not facts:
        return
    yield Text("\nFacts every member saw", "bold")
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    table.add_column("")
    for name in symbols:
        table.add_column(name, justify="right")
    flat = {name: dict(flat_facts(content)) for name, content in symbols.items()}
    for label in dict.fromkeys(key for content in flat.values() for key in content):
        table.add_row(label, *(str(content.get(label, "")) for content in flat.values()))
    yield Padding(table, (0, 0, 0, 2))
    for key, value in flat_facts({k: v for k, v in facts.items() if k != "symbols"}):
        yield Padding(Text(f"{key}: {value}"), (0, 0, 0, 2))


def flat_facts(content: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, Any]]:
    """Nested facts as (name, value), lists in words."""
    for key, value in content.items():
        if isinstance(value, Mapping):
            yield from flat_facts(value, f"{before}{key} ")
        elif isinstance(value, list):
            yield f"{before}{key}", "; ".join(_words(v) for v in value) or "none"
        else:
            yield f"{before}{key}", value


def _words(value: Any) -> str:
    return " ".join(str(v) for v in value.values()) if isinstance(value, Mapping) else str(value)


def _said(record: Mapping[str, Any], said: Mapping[str, Any], text: str) -> Padding:
    """Who said it, by seat and model, with the beginning of the answer's key."""
    seat, keys = said["seat"], said.get("keys") or ()
    model = record.get("seats", {}).get(seat, "")
    key = f" [{keys[-1][:SHOWN_OF_KEY]}]" if keys else ""
    who = (f" ({model})" if model else "", "dim")
    return Padding(Text.assemble((seat, "bold"), who, (key, "dim"), f": {text}"), (0, 0, 0, 2))


def _research(record: Mapping[str, Any]) -> Iterator[Any]:
    yield Text("\nResearch", "bold")
    for said in record.get("research") or []:
        answer = said.get("answer")
        story = (
            f"{answer['macro_regime']}. {' '.join(answer['top_narratives'])}"
            if answer
            else f"no answer: {said['error']}"
        )
        yield _said(record, said, story)


def _pitched(record: Mapping[str, Any], said: Mapping[str, Any]) -> Padding:
    answer = said.get("answer")
    if answer is None:
        return _said(record, said, f"no answer: {said['error']}")
    score = (record.get("scores") or {}).get(said["seat"])
    scored = "" if score is None else f", score {ratio(score, 1)}"
    conviction = ratio(answer["conviction"], 0, sign=True)
    label = label_of(record, said["seat"])
    shown = f", Pitch {label} to the chairman" if label else ""
    wants = f"{answer['direction']} {answer['instrument']}, conviction {conviction}{scored}{shown}."
    return _said(record, said, f"{wants} {' '.join(answer['thesis_bullets'])} Invalid if: {answer['invalidation']}")


def label_of(record: Mapping[str, Any], seat: Any) -> str:
    """Under which letter the chairman was shown the pitch of `seat`; empty where it was not."""
    chairman = (record.get("chairman") or {}).get("seat")
    shown = (record.get("labels") or {}).get(chairman) or {}
    return next((str(label) for label, who in shown.items() if who == seat), "")


def _reviews(record: Mapping[str, Any], shown: Sequence[str]) -> Iterator[Any]:
    """By pitch: each dimension's mean score, then what was held against it and who said so."""
    reviews = [r for r in record.get("reviews") or [] if r.get("answer") and r["about"] in shown]
    if not reviews:
        return
    pitched = {s["seat"]: s["answer"]["instrument"] for s in record["pitches"] if s.get("answer")}
    yield Text("\nReviews, anonymous when they were written", "bold")
    for seat in shown:
        on = [(r, r["answer"]) for r in reviews if r["about"] == seat]
        names = on[0][1]["scores"] if on else ()
        means = [f"{n.replace('_', ' ')} {ratio(sum(a['scores'][n] for _, a in on) / len(on), 1)}" for n in names]
        yield _said(record, {"seat": seat}, f"{pitched[seat]}: {', '.join(means)}")
        for said in dict.fromkeys((a["kill_shot"], a["flip_condition"]) for _, a in on):
            who = ", ".join(_reviewer(r) for r, a in on if (a["kill_shot"], a["flip_condition"]) == said)
            yield Padding(Text(f"{who}: {said[0]} Flips if: {said[1]}"), (0, 0, 0, 4))


def _reviewer(review: Mapping[str, Any]) -> str:
    keys = review.get("keys") or ()
    return f"{review['seat']} [{keys[-1][:SHOWN_OF_KEY]}]" if keys else str(review["seat"])


def _ruling(chairman: Mapping[str, Any], symbol: str | None) -> str:
    answer = chairman.get("answer")
    if answer is None:
        return f"no answer: {chairman['error']}"
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
    return " ".join(
        [*approved, *rejected, f"Dissent: {answer['dissent_summary']}", f"Watch: {answer['monitoring_plan']}"]
    )
