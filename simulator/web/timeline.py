"""Timeline of a forward test: what was asked, who said what, what was decided, the newest first.

forward.asked, forward.stage ─► being asked     forward.point ─► minutes of a council     forward.intent ─► of a desk
                └── stages of a council, agents of a desk, as they come
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

from simulator.council.records import AnswerRow, CheckpointRecord, MeetingRecord, PitchAnswer
from simulator.desk.records import DeskRecord, desk_record
from simulator.number_format import cents, counted, price, ratio
from simulator.report.decision_text import describe_thesis, find_label, find_reviews
from simulator.store.events import Stored

NEWEST = 30
"""Occasions that are shown."""
NOTHING_SAID: Mapping[str, Any] = {
    "seats": {},
    "research": (),
    "pitches": (),
    "reviews": (),
    "chairman": None,
    "labels": {},
    "scores": {},
    "no_decision": None,
}
"""Minutes of a meeting before its first stage is over."""


@dataclass(frozen=True)
class Words:
    """Words of one seat: `under` is the letter by which others knew it, `model` who answers in the seat."""

    seat: str
    text: str
    model: str = ""
    under: str = ""
    points: Sequence[str] = ()


@dataclass(frozen=True)
class Part:
    """A stage of an occasion."""

    name: str
    words: Sequence[Words]


@dataclass(frozen=True)
class Occasion:
    """A point of the schedule: `state` is ``being asked`` until it is on record as done, late, missed or failed."""

    at: str
    name: str
    state: str
    facts: Sequence[str] = ()
    parts: Sequence[Part] = field(default_factory=tuple)


def read_timeline(stored: Sequence[Stored]) -> list[Occasion]:
    """Return the newest occasions of a test, the newest first."""
    found: dict[str, Occasion] = {}
    desks: dict[str, DeskRecord] = {}
    said: dict[str, dict[str, Any]] = {}
    for event in (one.event for one in stored):
        at, given = str(event.at), event.payload
        if event.kind == "forward.asked":
            found[at], said[at] = Occasion(at, str(given["name"]), "being asked"), dict(NOTHING_SAID)
        elif event.kind == "forward.stage" and at in said:
            minutes = given["minutes"]
            if (
                minutes.get("kind") == "desk"
            ):  # each agent has an event of its own; one that is asked again says it again
                told = said[at].setdefault("agents", {})
                told |= {(one["agent"], one.get("about")): one for one in minutes["agents"]}
                over = f"{given['stage']} has answered"
                parts: tuple[Part, ...] = (Part("Agents", [*map(_write_agent, told.values())]),)
            else:
                said[at] |= minutes
                over, parts = f"{given['stage']} is over", read_parts({"minutes": said[at]})
            found[at] = Occasion(at, str(given["name"]), "being asked", (over,), parts)
        elif event.kind == "forward.intent" and not given.get("revision"):
            record = desk_record(given["decision"]["record"])
            if record is not None:
                desks[at] = record
        elif event.kind == "forward.point":
            calls = given.get("calls", 0)
            asked = f"{counted(int(calls), 'question')}, {cents(given.get('cost_usd', 0.0))}" if calls else ""
            facts = tuple(filter(None, (str(given.get("why") or ""), asked)))
            found[at] = Occasion(at, str(given["name"]), str(given["state"]), facts, read_parts(given))
    newest = sorted({**found, **dict.fromkeys(desks.keys() - found.keys())}, reverse=True)[:NEWEST]
    return [_with_desk(found.get(at), at, desks.get(at)) for at in newest]


def _with_desk(found: Occasion | None, at: str, desk: DeskRecord | None) -> Occasion:
    if found is None:
        assert desk is not None
        found = Occasion(at, desk["point"], "ordered")
    if desk is None:
        return found
    return Occasion(
        at, found.name, found.state, (*found.facts, f"workflow {desk['workflow']['state']}"), tuple(_of_desk(desk))
    )


def read_parts(given: Mapping[str, Any]) -> tuple[Part, ...]:
    """Return the stages of the ``minutes`` that an event has."""
    record: Any = given.get("minutes") or {}
    kind = record.get("kind")
    parts = _of_meeting(record) if kind == "council" else _of_checkpoint(record) if kind == "checkpoint" else ()
    return tuple(part for part in parts if part.words)


def _of_meeting(record: MeetingRecord) -> Iterator[Part]:
    models, chairman = record["seats"], record["chairman"]
    yield Part("Research", [_write_words(one, models, *_research(one.get("answer"))) for one in record["research"]])
    pitches = [
        _write_words(one, models, *_pitch(one.get("answer")), under=find_label(record, one["seat"]))
        for one in record["pitches"]
    ]
    yield Part("Pitches", pitches)
    if record["reviews"]:
        yield Part("Reviews", [_write_reviews(record, one["seat"]) for one in record["pitches"]])
    if chairman is not None:
        yield Part("Chairman", [_write_words(chairman, models, *_ruling(chairman.get("answer")))])
    if record["no_decision"]:
        yield Part("No decision", [Words("", record["no_decision"])])


def _write_words(
    row: AnswerRow[Any], models: Mapping[str, str], text: str, points: Sequence[str] = (), under: str = ""
) -> Words:
    error = row.get("error")
    return Words(row["seat"], f"no answer: {error}" if error else text, models.get(row["seat"], ""), under, points)


def _research(answer: Any) -> tuple[str, list[str]]:
    if not answer:
        return "", []
    candidates = [f"{one['ticker']}: {one['rationale']}" for one in answer["tradable_candidates"]]
    return answer["macro_regime"], [*answer["top_narratives"], *candidates]


def _pitch(answer: PitchAnswer | None) -> tuple[str, list[str]]:
    if not answer:
        return "", []
    ends = [f"{name} {price(answer[name])}" for name in ("stop", "target") if answer[name] is not None]
    conviction = f"conviction {ratio(answer['conviction'], 0, sign=True)}"
    text = ", ".join((f"{answer['direction']} {answer['instrument']}", conviction, answer["horizon"], *ends))
    return text, [*answer["thesis_bullets"], f"Invalid if: {answer['invalidation']}"]


def _write_reviews(record: MeetingRecord, seat: str) -> Words:
    """Return what the reviewers made of one pitch, which they knew by a letter alone."""
    given = [(row["seat"], one["kill_shot"], list(one["scores"].values())) for row, one in find_reviews(record, seat)]
    points = [f"{who}, {ratio(sum(marks) / len(marks)) if marks else 'no score'}: {shot}" for who, shot, marks in given]
    score = record["scores"].get(seat)
    text = f"of {seat}: mean score {ratio(score)}" if score is not None else f"of {seat}: no score"
    return Words("", text, "", find_label(record, seat), points)


def _ruling(answer: Any) -> tuple[str, list[str]]:
    if not answer:
        return "", []
    approved = [
        f"approved {one['direction']} {one['instrument']}, {one['position_size']}: {one['rationale']}"
        for one in answer["approved_trades"]
    ]
    rejected = [
        f"rejected {one['direction']} {one['instrument']}: {one['reason']}" for one in answer["rejected_trades"]
    ]
    rest = [f"Dissent: {answer['dissent_summary']}", f"Plan: {answer['monitoring_plan']}"]
    return f"{len(approved)} approved, {len(rejected)} rejected", [*approved, *rejected, *rest]


def _of_checkpoint(record: CheckpointRecord) -> Iterator[Part]:
    models = record["seats"]
    theses = [Words(one["seat"], describe_thesis(one), models.get(one["seat"], "")) for one in record["theses"]]
    yield Part("Theses", theses)
    yield Part("Notes", [Words("", one) for one in record.get("notes", ())])


def _of_desk(record: DeskRecord) -> Iterator[Part]:
    steps = [
        Words("", f"{one['at'][11:16]} {one['before']} to {one['after']}", "", "", ())
        for one in record["workflow"]["history"]
    ]
    agents = [*map(_write_agent, record.get("agents", ()))]
    screened = [Words(one["symbol"], f"score {ratio(one['score'])} at {price(one['price'])}") for one in
                record.get("watchlist", ())]  # fmt: skip
    left = [Words(symbol, ", ".join(why)) for symbol, why in record.get("rejected", {}).items()]
    plans = [
        Words(one["symbol"], f"{one['shares']} shares at {price(one['entry'])}, stop {price(one['stop'])}")
        for one in record.get("plans", ())
    ]
    vetoes = [Words(one["symbol"], f"{one['rule']}: {one['why']}") for one in record.get("vetoes", ())]
    told = [Words("", one) for one in chain(record.get("moves", ()), record.get("notes", ()))]
    parts = {"Agents": agents, "Watchlist": screened, "Screened out": left, "Plans": plans, "Vetoes": vetoes,
             "Stops and exits": told, "Workflow": steps}  # fmt: skip
    yield from (Part(name, words) for name, words in parts.items() if words)


def _write_agent(row: Mapping[str, Any]) -> Words:
    about = f" on {row['about']}" if row.get("about") else ""
    text = _brief(row["said"]) if row["error"] is None else f"no answer: {row['error']}"
    points = [f"asked {call['tool']}: {_brief(call['answer'])}" for call in row["tools"]]
    return Words(f"{row['agent']}{about}", text, row["seat"], "", points)


def _brief(value: Any, longest: int = 600) -> str:
    return _write(value)[:longest]


def _write(value: Any) -> str:
    """Return what an agent or tool answered as one would read it out; what says nothing is left out."""
    if isinstance(value, Mapping):
        told = ((str(name).replace("_", " "), _write(one)) for name, one in value.items())
        return ", ".join(f"{name} {one}" for name, one in told if one)
    if isinstance(value, list | tuple):
        return "; ".join(filter(None, map(_write, value)))
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "" if value is None else f"{value:,.6g}" if isinstance(value, float) else str(value)
