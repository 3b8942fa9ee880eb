"""The first decision on which two runs part, and the first thing in their records that differs there."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import zip_longest
from typing import TypedDict

from simulator.evidence.reader import Evidence
from simulator.evidence.records import DecisionRow, Record
from simulator.evidence.rows import as_row

NOT_ACTED_ON = ("reason",)
"""Fields of a target that change no order."""

CAUSES: tuple[tuple[str, str], ...] = (
    ("strategy", "the strategy"),
    ("strategy_files.", "a strategy or prompt file"),
    ("parameters.", "a parameter"),
    ("symbols", "the symbols"),
    ("models", "the models"),
    ("config.models.", "the models"),
    ("data_digest", "the bars"),
    ("sources.", "the bars"),
    ("context.", "the bars"),
    ("config.risk.", "the risk limits"),
    ("config.costs.", "the costs"),
    ("config.schedule.", "the schedule"),
    ("config.", "the configuration"),
    ("cash", "the starting cash"),
    ("from", "the first session"),
    ("code.digest", "the code"),
    ("packages.", "a package"),
)
"""Keys of run.json that can make decisions differ, the nearest to a decision first, and what they are called."""

CHAIN = ("user_query", "facts", "seats", "research", "pitches", "reviews", "chairman")
"""The parts of a council's record in the order in which they come about; `labels`, `scores`, votes follow from them."""


class ConfigurationDifference(TypedDict):
    """A key of run.json, dotted, and its value in each run, None where a run lacks it."""

    key: str
    values: list[object]


class Cause(TypedDict):
    """The first thing that differs behind a divergence: where it stands and its two values."""

    kind: str
    name: str
    path: str
    a: object
    b: object


class Spot(TypedDict):
    """The first decision (`what`: decision, limits, only a, only b), fill or session's equity that differs.

    `a` and `b` are what each run wanted, was filled with or was worth.
    """

    what: str
    as_of: str | None
    session: str
    symbol: str | None
    a: object
    b: object


class Divergence(Spot):
    """A spot, the keys of run.json that differ and can make decisions differ, and the cause, None where unknown."""

    inputs: list[str]
    why: Cause | None


def first_divergence(a: Evidence, b: Evidence, inputs: Sequence[ConfigurationDifference]) -> Divergence | None:
    """Return the first decision within both periods that differs; where none does, the first fill or session.

    None when nothing differs on the common sessions, or there are none. `inputs` is what differs between the two
    run.json.
    """
    first, last = max(a.sessions[0], b.sessions[0]), min(a.sessions[-1], b.sessions[-1])
    if first > last:
        return None
    found = _decision(a, b, str(first), str(last)) or _fill(a, b, str(first), str(last))
    if found is None:
        return None
    return {**found, "inputs": [key for key, _ in _causes(inputs)], "why": _why(found, a, b, inputs)}


def _decision(a: Evidence, b: Evidence, first: str, last: str) -> Spot | None:
    made = [{d["as_of"]: d for d in one.decisions if first <= d["session"] <= last} for one in (a, b)]
    for as_of in sorted({*made[0], *made[1]}):
        one, other = (part.get(as_of) for part in made)
        if one is None or other is None:
            targets = [None if decision is None else _targets(decision) for decision in (one, other)]
            symbol = next((symbol for part in targets if part is not None for symbol in part), None)
            return _spot("only b" if one is None else "only a", as_of, symbol, *targets)
        for what, left, right in (
            ("decision", _targets(one), _targets(other)),
            ("limits", one["allowed"], other["allowed"]),
        ):
            symbol = next((s for s in dict.fromkeys([*left, *right]) if left.get(s) != right.get(s)), None)
            if symbol is not None:
                return _spot(what, as_of, symbol, left.get(symbol), right.get(symbol))
    return None


def _spot(what: str, at: str, symbol: str | None, a: object, b: object) -> Spot:
    """`at` is the instant of a decision, or a session."""
    return {
        "what": what,
        "as_of": at if len(at) > len("2024-01-31") else None,
        "session": at[:10],
        "symbol": symbol,
        "a": a,
        "b": b,
    }


def _targets(decision: DecisionRow) -> dict[str, object]:
    """Symbol → target without what changes no order."""
    return {t["symbol"]: {k: v for k, v in t.items() if k not in NOT_ACTED_ON} for t in decision["targets"]}


FILLED = ("symbol", "session", "quantity", "price", "slippage", "commission", "why")


def _fill(a: Evidence, b: Evidence, first: str, last: str) -> Spot | None:
    """The first fill that differs, else the first session whose equity does."""
    rows = [[as_row(fill) for fill in one.fills if first <= str(fill.session) <= last] for one in (a, b)]
    for pair in zip_longest(*rows):
        left, right = ({name: row[name] for name in FILLED} if row else None for row in pair)
        if left != right:
            there = min((row for row in pair if row), key=lambda row: str(row["session"]))
            return _spot("fill", str(there["session"]), str(there["symbol"]), left, right)
    equity = [dict(zip(map(str, one.sessions), one.equity["equity"].tolist(), strict=True)) for one in (a, b)]
    for session in sorted(set(equity[0]) & set(equity[1])):
        if equity[0][session] != equity[1][session]:
            return _spot("equity", session, None, equity[0][session], equity[1][session])
    return None


def _why(found: Spot, a: Evidence, b: Evidence, inputs: Sequence[ConfigurationDifference]) -> Cause | None:
    """The first thing that differs in the two records of that decision; else the input nearest to decisions."""
    if found["what"] == "decision":
        records = [next(d["record"] for d in one.decisions if d["as_of"] == found["as_of"]) for one in (a, b)]
        inside = _in_records(*records)
        if inside is not None:
            return inside
    nearest = {"limits": "config.risk.", "fill": "config.costs."}.get(found["what"], "")
    causes = _causes(inputs)
    chosen = next((c for c in causes if nearest and c[0].startswith(nearest)), causes[0] if causes else None)
    if chosen is None:
        return None
    row = next(row for row in inputs if row["key"] == chosen[0])
    return {"kind": "input", "name": chosen[1], "path": chosen[0], "a": row["values"][0], "b": row["values"][1]}


def _causes(inputs: Sequence[ConfigurationDifference]) -> list[tuple[str, str]]:
    """(key, what it is called) of the inputs that differ, the nearest to a decision first."""
    found: list[tuple[str, str]] = []
    for start, name in CAUSES:
        for row in inputs:
            key = row["key"]
            if (key == start or (start.endswith(".") and key.startswith(start))) and key not in [k for k, _ in found]:
                found.append((key, name))
    return found


def _in_records(one: Record, other: Record) -> Cause | None:
    """Parameters of a rule; of a council the first difference along the chain from facts to ruling."""
    if any(one.get(name) != other.get(name) for name in ("kind", "rule")):
        return None
    parts = ("parameters",) if one.get("kind") == "rule" else CHAIN
    for part in parts:
        for path, left, right in _differences(one.get(part), other.get(part), part):
            answers = part in ("research", "pitches", "reviews", "chairman")
            kind = ("question" if ".keys" in path else "answer") if answers else part
            return {"kind": kind, "name": NAMES.get(kind, part), "path": path, "a": left, "b": right}
    return None


NAMES = {
    "parameters": "a parameter",
    "user_query": "the question put to the council",
    "facts": "a fact the members were shown",
    "seats": "who sits in a seat",
    "question": "the question put to a member: its prompt or what it was shown",
    "answer": "the answer to the same question",
}


def _differences(one: object, other: object, path: str) -> Iterator[tuple[str, object, object]]:
    """(path, value, value) of every leaf that differs, in the order of the record; a seat names its answers."""
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        for key in dict.fromkeys([*one, *other]):
            yield from _differences(one.get(key), other.get(key), f"{path}.{key}")
    elif isinstance(one, list) and isinstance(other, list) and path.count(".") == 0:
        left, right = ({_who(answer): answer for answer in part} for part in (one, other))
        for who in dict.fromkeys([*left, *right]):
            yield from _differences(left.get(who), right.get(who), f"{path}[{who}]")
    elif one != other:
        yield path, one, other


def _who(answer: object) -> str:
    if not isinstance(answer, Mapping):
        return str(answer)
    return f"{answer.get('seat')} on {answer['about']}" if "about" in answer else str(answer.get("seat"))
