"""The decisions behind the trades, as small as they can be written: the JSON that the page's panel reads.

Long sentences that recur are written once, in ``texts``, and referred to by number. Where a page would grow beyond its
two megabytes, decisions are shortened, step by step, and the page says so; the run folder has them whole.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np

from simulator.council.records import (
    AnswerRow,
    ChairmanAnswer,
    CouncilRecord,
    MeetingRecord,
    PitchAnswer,
    ResearchAnswer,
    ReviewAnswer,
    council_record,
)
from simulator.evidence.prompts import PromptsRecord, questions_of, read_prompts
from simulator.evidence.reader import Evidence
from simulator.evidence.records import DecisionRow, TargetRow
from simulator.number_format import number_of
from simulator.report.decision_text import (
    describe_exits,
    describe_shortlist,
    describe_thesis,
    find_label,
    find_reviews,
    flatten_facts,
)
from simulator.report.sections.equity_and_trades import embed_json, list_trades

MOST_BYTES = 1_400_000
"""Most bytes of all decisions, unless given."""

LONG = 20
"""Sentences longer than this are written once."""

SAMPLE = 50
"""Decisions from which the size of all is guessed."""

NUMBER = re.compile(r"\d{1,9}")

HOPE = 4.0
"""Sentences recur more often among all decisions than among a few, so that all may take less than was guessed."""


@dataclass(frozen=True)
class Brevity:
    """One way to write them: `without` these parts; `quiet`: those are left out where nothing was traded."""

    notice: str
    without: frozenset[str] = frozenset()
    quiet: frozenset[str] = frozenset()
    longest: int = 4_000


MOST_PROMPTS = 1_200_000
"""Most bytes of prompts, after the decisions: those of decisions that led to trades first."""

NO_PROMPTS = ',"lines":[],"prompts":{}'

SHOWN_OF_KEY = 12

DEBATE = frozenset({"facts", "around", "reviews", "research", "pitches", "chairman", "theses", "asked"})

BREVITIES = (
    Brevity(""),
    Brevity("Facts are left out", frozenset({"facts", "around"})),
    Brevity("Facts and single reviews are left out", frozenset({"facts", "around", "reviews"})),
    Brevity("Only debates that led to a trade are here, without facts", frozenset({"facts", "around"}), DEBATE),
    Brevity(
        "Only debates that led to a trade are here, shortened", frozenset({"facts", "around", "reviews"}), DEBATE, 200
    ),
    Brevity("Only votes and decisions are here", DEBATE, DEBATE, 120),
)
"""From whole to brief."""


class Texts:
    """Sentences in the order of their first use, cut at `longest` characters."""

    def __init__(self, longest: int) -> None:
        self.numbers: dict[str, int] = {}
        self.longest = longest

    def __call__(self, value: object) -> str | int:
        """Return `value` as text, or the number under which the page holds it."""
        text = value if isinstance(value, str) else "" if value is None else str(value)
        if len(text) <= LONG and "\n" not in text:
            return text
        if len(text) > self.longest:
            text = text[: self.longest - 1].rstrip() + "…"
        return self.numbers.setdefault(text, len(self.numbers))


def write_decisions(evidence: Evidence, most: int = MOST_BYTES) -> str:
    """Return every decision of the run's own account, as JSON within `most` bytes.

    Its keys: ``decisions`` (see `_decision`), ``texts``, ``left_out``: what had to go, in words, and as many
    ``prompts`` as there is room for, {beginning of key: [[role, numbers of ``lines``]]}.
    """
    content = _write_debates(evidence, most - len(NO_PROMPTS))
    room = min(MOST_PROMPTS, most - len(content.encode()))
    return f"{content[:-1]},{write_prompts(read_prompts(evidence.folder, evidence.run), room)[1:]}"


def write_prompts(record: PromptsRecord, most: int) -> str:
    """Return the first prompts of `record` that have room in `most` bytes, and their lines, as JSON.

    Lines are numbered in the order of their first use: those of the first prompts are the first lines.
    """
    rows = {
        key[:SHOWN_OF_KEY]: [[one["role"], one["lines"]] for one in messages]
        for key, messages in record["prompts"].items()
    }
    lines, needed, sizes = record["lines"], [], []
    used = 0
    for row in rows.values():
        need = max(map(int, NUMBER.findall(",".join(numbers for _, numbers in row))), default=-1) + 1
        own = sum(len(role) + len(numbers) + 8 for role, numbers in row) + SHOWN_OF_KEY + 6
        new = "".join(lines[used:need])
        sizes.append(
            own + len(new.encode()) + sum(new.count(one) for one in '"\n') + 5 * new.count("<") + 3 * (need - used)
        )
        used = max(used, need)
        needed.append(used)
    room = most
    while True:
        taken = int(np.searchsorted(np.cumsum(sizes), room, side="right"))
        shown = dict(islice(rows.items(), taken))
        content = embed_json({"lines": lines[: needed[taken - 1]] if taken else [], "prompts": shown})
        if not taken or len(content.encode()) <= most:
            return content
        room -= len(content.encode()) - most  # letters that take more room than was thought


def _write_debates(evidence: Evidence, most: int) -> str:
    acting = {trade.decision for trade in list_trades(evidence)}
    every = list(enumerate(evidence.decisions))
    few = every[:: max(1, len(every) // SAMPLE)]

    def hopeless(brevity: Brevity) -> bool:
        return len(_write(few, brevity, acting).encode()) * len(every) / max(1, len(few)) > HOPE * most

    for brevity in BREVITIES:
        if hopeless(brevity):
            if brevity is BREVITIES[0] and hopeless(BREVITIES[-1]):
                break
            continue
        content = _write(every, brevity, acting)
        if len(content.encode()) <= most:
            return content
    return _write((), Brevity("The debates of this run are too many for one page"), acting)


def _write(decisions: Sequence[tuple[int, DecisionRow]], brevity: Brevity, acting: Collection[int]) -> str:
    texts = Texts(brevity.longest)
    written = [
        _decision(decision, texts, brevity.without if n in acting else brevity.without | brevity.quiet)
        for n, decision in decisions
    ]
    return embed_json({"decisions": written, "texts": list(texts.numbers), "left_out": brevity.notice})


def _decision(decision: DecisionRow, text: Texts, without: frozenset[str]) -> dict[str, object]:
    """Return one decision; keys are there only where there is something to show.

    at, kind, none (why there is no decision), meeting, targets [[symbol, weight, order, limit, stop, take profit,
    reason]], cuts, facts [symbols, labels, rows], around [[name, value]], research [[seat, regime, narratives]],
    pitches (objects), chairman, votes [[symbol, votes]], theses [[seat, text]], asked (see `_asked`).
    """
    record = council_record(decision["record"])
    parts = {} if record is None else _record(record, text, without)
    parts |= {
        "targets": lambda: [_target(target, text) for target in decision["targets"]],
        "cuts": lambda: [text(cut) for cut in decision["cuts"]],
    }
    head: dict[str, object] = {
        "at": decision["as_of"][:16].replace("T", " "),
        "kind": decision["record"].get("kind", ""),
        "none": text(decision["record"].get("no_decision")),
        "meeting": str(decision["record"].get("meeting") or "")[:10],
    }
    return {
        name: value
        for name, value in {**head, **{n: p() for n, p in parts.items() if n not in without}}.items()
        if value
    }


def _record(record: CouncilRecord, text: Texts, without: frozenset[str]) -> dict[str, Callable[[], object]]:
    parts: dict[str, Callable[[], object]] = {"asked": lambda: _list_questions(record, text)}
    if record["kind"] in ("council", "checkpoint"):
        facts = record["facts"]
        parts["facts"] = lambda: _facts(facts["symbols"], text)
        around: dict[str, object] = {key: value for key, value in facts.items() if key not in ("symbols", "as_of")}
        if record["kind"] == "council" and "shortlist" in record:
            around = {"shortlist": describe_shortlist(record["shortlist"]), **around}
        parts["around"] = lambda: [[key.replace("_", " "), text(value)] for key, value in flatten_facts(around)]
    if record["kind"] == "council":
        parts["research"] = lambda: [_research(one, text) for one in record["research"]]
        parts["pitches"] = lambda: [_pitch(record, one, text, without) for one in record["pitches"]]
        parts["chairman"] = lambda: _chairman(record["chairman"], text)
        parts["votes"] = lambda: [[symbol, number_of(net)] for symbol, net in record["net_votes"].items()]
    if record["kind"] == "checkpoint":
        parts["theses"] = lambda: [[text(one["seat"]), text(describe_thesis(one))] for one in record["theses"]]
    return parts


def _list_questions(record: CouncilRecord, text: Texts) -> list[object]:
    """[[what was asked, of whom and about whose pitch, beginning of its key]]"""
    return [[text(f"{one.stage}|{one.seat}|{one.about}"), one.key[:SHOWN_OF_KEY]] for one in questions_of(record)]


def _facts(symbols: Mapping[str, Mapping[str, object]], text: Texts) -> list[object]:
    flat = {name: dict(flatten_facts(content)) for name, content in symbols.items()}
    labels = list(dict.fromkeys(label for content in flat.values() for label in content))
    if not labels:
        return []
    rows = [[_short_number(content.get(label)) for content in flat.values()] for label in labels]
    return [list(flat), text("|".join(label.replace("_", " ") for label in labels)), rows]


def _short_number(value: object) -> object:
    return "" if value is None else value if isinstance(value, int | float) else str(value)


def _research(one: AnswerRow[ResearchAnswer], text: Texts) -> list[object]:
    answer = one.get("answer")
    if not answer:
        return [one["seat"], text(f"no answer: {one.get('error')}"), []]
    return [one["seat"], text(answer["macro_regime"]), [text(story) for story in answer["top_narratives"]]]


def _pitch(
    record: MeetingRecord, one: AnswerRow[PitchAnswer], text: Texts, without: frozenset[str]
) -> dict[str, object]:
    """Return seat; error, or the pitch, its marks (mean scores) and what was held against it."""
    seat, answer = one["seat"], one.get("answer")
    if not answer:
        return {"seat": seat, "error": text(one.get("error"))}
    reviews = [answer for _, answer in find_reviews(record, seat)]
    shown = {
        "seat": seat,
        "label": find_label(record, seat),
        "instrument": answer["instrument"],
        "direction": answer["direction"],
        "conviction": number_of(answer["conviction"]),
        "horizon": text(answer["horizon"]),
        "score": number_of(record["scores"].get(seat)),
        "thesis": [text(bullet) for bullet in answer["thesis_bullets"]],
        "invalid": text(answer["invalidation"]),
        "stop": number_of(answer["stop"]),
        "target": number_of(answer["target"]),
        "marks": _marks(reviews),
        "against": [] if "reviews" in without else _against(record, seat, text),
    }
    return {name: value for name, value in shown.items() if value not in (None, [], "")}


def _marks(reviews: Sequence[ReviewAnswer]) -> list[object]:
    """[[dimension, mean score]]"""
    marks: dict[str, list[float]] = {}
    for review in reviews:
        for name, score in review["scores"].items():
            marks.setdefault(name, []).append(float(score))
    return [[name.replace("_", " "), round(sum(given) / len(given), 1)] for name, given in marks.items()]


def _against(record: MeetingRecord, seat: str, text: Texts) -> list[object]:
    """[[reviewers, kill shot, flip condition]], those who wrote the same together."""
    found: dict[tuple[str, str], list[str]] = {}
    for reviewer, answer in find_reviews(record, seat):
        found.setdefault((answer["kill_shot"], answer["flip_condition"]), []).append(reviewer["seat"])
    return [[", ".join(who), text(kill), text(flip)] for (kill, flip), who in found.items()]


def _chairman(one: AnswerRow[ChairmanAnswer] | None, text: Texts) -> dict[str, object]:
    """Return seat, error or: approved and rejected [[direction, instrument, conviction, why]], dissent, watch."""
    if not one:
        return {}
    answer = one.get("answer")
    if not answer:
        return {"seat": one["seat"], "error": text(one.get("error"))}
    approved = [
        [t["direction"], t["instrument"], number_of(t["conviction"]), text(t["rationale"])]
        for t in answer["approved_trades"]
    ]
    rejected = [[t["direction"], t["instrument"], None, text(t["reason"])] for t in answer["rejected_trades"]]
    return {
        "seat": one["seat"],
        "approved": approved,
        "rejected": rejected,
        "dissent": text(answer["dissent_summary"]),
        "watch": text(answer["monitoring_plan"]),
    }


def _target(target: TargetRow, text: Texts) -> list[object]:
    prices = (number_of(target.get(name)) for name in ("limit", "stop", "take_profit"))
    why = "; ".join([*describe_exits(target), *filter(None, [target.get("reason")])])
    return [target["symbol"], round(target["weight"], 4), target["order"], *prices, text(why)]
