"""The debates behind the trades, as small as they can be said: the JSON that the page's script reads.

Long sentences that recur are written once, in ``texts``, and referred to by number. Where a page would grow beyond its
two megabytes, the debates are told more briefly, step by step, and the page says so; the run folder has them whole.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from simulator.evidence.reader import Evidence
from simulator.evidence.rows import decided_by
from simulator.number_format import number_of
from simulator.report.retold import flat_facts, label_of, thesis_line

MOST_BYTES = 1_400_000
"""What the debates take at most, where nothing else is said."""

LONG = 20
"""Sentences longer than this are written once."""

SAMPLE = 50
"""Decisions from which the size of all is guessed."""

HOPE = 4.0
"""Sentences recur more often among all decisions than among a few, so that all may take less than was guessed."""


@dataclass(frozen=True)
class Brevity:
    """One way to tell the debates: `without` these parts; `quiet`: those are left out where nothing was traded."""

    said: str
    without: frozenset[str] = frozenset()
    quiet: frozenset[str] = frozenset()
    longest: int = 4_000


DEBATED = frozenset({"facts", "around", "reviews", "research", "pitches", "chairman", "theses"})

BREVITIES = (
    Brevity(""),
    Brevity("Facts are left out", frozenset({"facts", "around"})),
    Brevity("Facts and single reviews are left out", frozenset({"facts", "around", "reviews"})),
    Brevity("Only debates that led to a trade are here, without facts", frozenset({"facts", "around"}), DEBATED),
    Brevity(
        "Only debates that led to a trade are here, shortened", frozenset({"facts", "around", "reviews"}), DEBATED, 200
    ),
    Brevity("Only votes and decisions are here", DEBATED, DEBATED, 120),
)
"""From whole to brief."""


class Texts:
    """Sentences in the order of their first use; `short` cuts them at `longest` characters."""

    def __init__(self, longest: int) -> None:
        self.known: dict[str, int] = {}
        self.longest = longest

    def short(self, value: Any) -> str | int:
        """`value` as text, or the number under which the page holds it."""
        text = value if isinstance(value, str) else "" if value is None else str(value)
        if len(text) <= LONG and "\n" not in text:
            return text
        if len(text) > self.longest:
            text = text[: self.longest - 1].rstrip() + "…"
        return self.known.setdefault(text, len(self.known))


def debates(evidence: Evidence, most: int = MOST_BYTES) -> str:
    """What the panel shows, for every decision of the run's own account, as JSON within `most` bytes.

    Its keys: ``decisions`` (a dictionary each, see `_decision`), ``texts``, and ``left_out``: what had to go, in words.
    """
    acting = {trade[5] for trade in trades(evidence)}
    every = list(enumerate(evidence.decisions))
    few = every[:: max(1, len(every) // SAMPLE)]
    for brevity in BREVITIES:
        if len(_told(few, brevity, acting).encode()) * len(every) / max(1, len(few)) > HOPE * most:
            continue
        found = _told(every, brevity, acting)
        if len(found.encode()) <= most:
            return found
    return _told((), Brevity("The debates of this run are too many for one page"), acting)


def _told(decisions: Sequence[tuple[int, Mapping[str, Any]]], brevity: Brevity, acting: Collection[int]) -> str:
    texts = Texts(brevity.longest)
    told = [
        _decision(decision, texts, brevity.without if n in acting else brevity.without | brevity.quiet)
        for n, decision in decisions
    ]
    return as_json({"decisions": told, "texts": list(texts.known), "left_out": brevity.said})


def trades(evidence: Evidence) -> list[list[Any]]:
    """Fills as [session number, symbol, shares, price, why, number of the decision behind it or -1], in file order."""
    behind = decided_by(evidence.decisions, evidence.orders)
    row = {day: n for n, day in enumerate(evidence.sessions)}
    return [
        [
            row[fill.session],
            fill.symbol,
            round(fill.quantity, 4),
            round(fill.price, 4),
            fill.why.replace("_", " "),
            behind.get(fill.order_id, -1),
        ]
        for fill in evidence.fills
        if fill.session in row
    ]


def as_json(value: Any) -> str:
    """Compact JSON that may stand inside a script element: no ``<``, no NaN."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return text.replace("<", "\\u003c")


def _decision(decision: Mapping[str, Any], texts: Texts, without: frozenset[str]) -> dict[str, Any]:
    """One decision; keys are there only where there is something to show.

    at, kind, none (why there is no decision), targets [[symbol, weight, order, limit, stop, take profit, reason]],
    cuts, facts [symbols, labels, rows], around [[name, value]], research [[seat, regime, narratives]], pitches
    (dictionaries), chairman, votes [[symbol, votes]], theses [[seat, text]].
    """
    record = decision.get("record") or {}
    say = texts.short
    parts: dict[str, Callable[[], Any]] = {
        "facts": lambda: _facts(record, say),
        "around": lambda: _around(record, say),
        "research": lambda: [_research(said, say) for said in record.get("research") or ()],
        "pitches": lambda: [_pitch(record, said, say, without) for said in record.get("pitches") or ()],
        "chairman": lambda: _chairman(record.get("chairman"), say),
        "votes": lambda: [[symbol, number_of(net)] for symbol, net in (record.get("net_votes") or {}).items()],
        "theses": lambda: [[say(t.get("seat")), say(thesis_line(t))] for t in record.get("theses") or ()],
        "targets": lambda: [_target(target, say) for target in decision.get("targets") or ()],
        "cuts": lambda: [say(cut) for cut in decision.get("cuts") or ()],
    }
    told = {name: part() for name, part in parts.items() if name not in without}
    head = {
        "at": str(decision.get("as_of"))[:16].replace("T", " "),
        "kind": record.get("kind", ""),
        "none": say(record.get("no_decision") or ""),
        "meeting": str(record.get("meeting") or "")[:10],
    }
    return {name: value for name, value in {**head, **told}.items() if value}


Say = Callable[[Any], str | int]


def _facts(record: Mapping[str, Any], say: Say) -> list[Any]:
    symbols = (record.get("facts") or {}).get("symbols") or {}
    flat = {name: dict(flat_facts(content)) for name, content in symbols.items()}
    labels = list(dict.fromkeys(label for content in flat.values() for label in content))
    if not labels:
        return []
    rows = [[_short_number(content.get(label)) for content in flat.values()] for label in labels]
    return [list(flat), say("|".join(label.replace("_", " ") for label in labels)), rows]


def _short_number(value: Any) -> Any:
    return "" if value is None else value if isinstance(value, int | float) else str(value)


def _around(record: Mapping[str, Any], say: Say) -> list[Any]:
    facts = {k: v for k, v in (record.get("facts") or {}).items() if k not in ("symbols", "as_of")}
    return [[key.replace("_", " "), say(value)] for key, value in flat_facts(facts)]


def _research(said: Mapping[str, Any], say: Say) -> list[Any]:
    answer = said.get("answer")
    if not answer:
        return [said.get("seat"), say(f"no answer: {said.get('error')}"), []]
    return [said.get("seat"), say(answer.get("macro_regime")), [say(n) for n in answer.get("top_narratives") or ()]]


def _pitch(record: Mapping[str, Any], said: Mapping[str, Any], say: Say, without: frozenset[str]) -> dict[str, Any]:
    """seat; error, or what was pitched, its marks (mean scores) and what was said against it."""
    seat, answer = said.get("seat"), said.get("answer")
    if not answer:
        return {"seat": seat, "error": say(said.get("error"))}
    reviews = [r for r in record.get("reviews") or () if r.get("answer") and r.get("about") == seat]
    told = {
        "seat": seat,
        "label": label_of(record, seat),
        "instrument": answer.get("instrument"),
        "direction": answer.get("direction"),
        "conviction": number_of(answer.get("conviction")),
        "horizon": say(answer.get("horizon")),
        "score": number_of((record.get("scores") or {}).get(seat)),
        "thesis": [say(bullet) for bullet in answer.get("thesis_bullets") or ()],
        "invalid": say(answer.get("invalidation")),
        "stop": number_of(answer.get("stop")),
        "target": number_of(answer.get("target")),
        "marks": _marks(reviews),
        "against": [] if "reviews" in without else _against(reviews, say),
    }
    return {name: value for name, value in told.items() if value not in (None, [], "")}


def _marks(reviews: Sequence[Mapping[str, Any]]) -> list[Any]:
    """[[dimension, mean score]]"""
    marks: dict[str, list[float]] = {}
    for review in reviews:
        for name, score in (review["answer"].get("scores") or {}).items():
            marks.setdefault(name, []).append(float(score))
    return [[name.replace("_", " "), round(sum(given) / len(given), 1)] for name, given in marks.items()]


def _against(reviews: Sequence[Mapping[str, Any]], say: Say) -> list[Any]:
    """[[reviewers, kill shot, flip condition]], those who said the same together."""
    said: dict[tuple[Any, Any], list[str]] = {}
    for review in reviews:
        answer = review["answer"]
        said.setdefault((answer.get("kill_shot"), answer.get("flip_condition")), []).append(str(review.get("seat")))
    return [[", ".join(who), say(kill), say(flip)] for (kill, flip), who in said.items()]


def _chairman(said: Mapping[str, Any] | None, say: Say) -> dict[str, Any]:
    """seat, error or: approved and rejected [[direction, instrument, conviction, why]], dissent, watch."""
    if not said:
        return {}
    answer = said.get("answer")
    if not answer:
        return {"seat": said.get("seat"), "error": say(said.get("error"))}
    approved = [
        [t.get("direction"), t.get("instrument"), number_of(t.get("conviction")), say(t.get("rationale"))]
        for t in answer.get("approved_trades") or ()
    ]
    rejected = [
        [t.get("direction"), t.get("instrument"), None, say(t.get("reason"))]
        for t in answer.get("rejected_trades") or ()
    ]
    told = {"approved": approved, "rejected": rejected}
    return {
        "seat": said.get("seat"),
        **told,
        "dissent": say(answer.get("dissent_summary")),
        "watch": say(answer.get("monitoring_plan")),
    }


def _target(target: Mapping[str, Any], say: Say) -> list[Any]:
    weight = number_of(target.get("weight"))
    prices = [number_of(target.get(name)) for name in ("limit", "stop", "take_profit")]
    return [
        target.get("symbol"),
        None if weight is None else round(weight, 4),
        target.get("order", ""),
        *prices,
        say(target.get("reason")),
    ]
