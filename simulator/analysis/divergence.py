"""The first decision on which two runs part, and the first thing in their records that differs there."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import zip_longest
from typing import Any

from simulator.evidence.reader import Evidence

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


def first_divergence(a: Evidence, b: Evidence, inputs: Sequence[Mapping[str, Any]]) -> dict[str, Any] | None:
    """The first decision within both periods that differs; where none does, the first fill or session that does.

    Keys: ``what`` (decision, limits, only a, only b, fill, equity), ``session``, ``as_of`` and ``symbol`` (None where
    there is none), ``a``, ``b`` (what each wanted, got or held), ``why`` {``kind``, ``path``, ``a``, ``b``}, ``inputs``
    (keys of run.json that differ and can make decisions differ). None when nothing differs on the common sessions, or
    there are none. `inputs` are rows {key, values} of what differs between the two run.json.
    """
    first, last = max(a.sessions[0], b.sessions[0]), min(a.sessions[-1], b.sessions[-1])
    if first > last:
        return None
    found = _decision(a, b, str(first), str(last)) or _fill(a, b, str(first), str(last))
    if found is None:
        return None
    return {**found, "inputs": [key for key, _ in _causes(inputs)], "why": _why(found, a, b, inputs)}


def _decision(a: Evidence, b: Evidence, first: str, last: str) -> dict[str, Any] | None:
    made = [{d["as_of"]: d for d in one.decisions if first <= d["session"] <= last} for one in (a, b)]
    for as_of in sorted({*made[0], *made[1]}):
        one, other = (part.get(as_of) for part in made)
        spot = {"as_of": as_of, "session": as_of[:10]}
        if one is None or other is None:
            there = one or other or {}
            held = [_wanted(d) if d else None for d in (one, other)]
            what = "only b" if one is None else "only a"
            symbol = next(iter(_wanted(there)), None)
            return {"what": what, **spot, "symbol": symbol, "a": held[0], "b": held[1]}
        for what, part in (("decision", _wanted), ("limits", _allowed)):
            symbol = _differs(part(one), part(other))
            if symbol is not None:
                return {
                    "what": what,
                    **spot,
                    "symbol": symbol,
                    "a": part(one).get(symbol),
                    "b": part(other).get(symbol),
                }
    return None


def _wanted(decision: Mapping[str, Any]) -> dict[str, Any]:
    """Symbol → target without what changes no order."""
    return {t["symbol"]: {k: v for k, v in t.items() if k not in NOT_ACTED_ON} for t in decision["targets"]}


def _allowed(decision: Mapping[str, Any]) -> dict[str, Any]:
    return dict(decision["allowed"])


def _differs(one: Mapping[str, Any], other: Mapping[str, Any]) -> str | None:
    return next((symbol for symbol in dict.fromkeys([*one, *other]) if one.get(symbol) != other.get(symbol)), None)


FILLED = ("symbol", "session", "quantity", "price", "slippage", "commission", "why")


def _fill(a: Evidence, b: Evidence, first: str, last: str) -> dict[str, Any] | None:
    """The first fill that differs, else the first session whose equity does."""
    filled = [[f for f in one.fills if first <= f["session"] <= last] for one in (a, b)]
    for one, other in zip_longest(*filled):
        parts = [{k: f[k] for k in FILLED} if f else None for f in (one, other)]
        if parts[0] != parts[1]:
            there = min((f for f in (one, other) if f), key=lambda f: f["session"])
            spot = {"as_of": None, "session": there["session"], "symbol": there["symbol"]}
            return {"what": "fill", **spot, "a": parts[0], "b": parts[1]}
    held = [dict(zip(map(str, one.sessions), one.equity["equity"].tolist(), strict=True)) for one in (a, b)]
    for session in sorted(set(held[0]) & set(held[1])):
        one_equity, other_equity = held[0][session], held[1][session]
        if one_equity != other_equity:
            spot = {"as_of": None, "session": session, "symbol": None}
            return {"what": "equity", **spot, "a": one_equity, "b": other_equity}
    return None


def _why(
    found: Mapping[str, Any], a: Evidence, b: Evidence, inputs: Sequence[Mapping[str, Any]]
) -> dict[str, Any] | None:
    """The first thing that differs in the two records of that decision; else the input nearest to decisions."""
    if found["what"] == "decision":
        records = [next(d["record"] for d in one.decisions if d["as_of"] == found["as_of"]) for one in (a, b)]
        inside = _in_records(*records)
        if inside is not None:
            return inside
    wanted = {"limits": "config.risk.", "fill": "config.costs."}.get(found["what"], "")
    causes = _causes(inputs)
    chosen = next((c for c in causes if wanted and c[0].startswith(wanted)), causes[0] if causes else None)
    if chosen is None:
        return None
    row = next(row for row in inputs if row["key"] == chosen[0])
    return {"kind": "input", "name": chosen[1], "path": chosen[0], "a": row["values"][0], "b": row["values"][1]}


def _causes(inputs: Sequence[Mapping[str, Any]]) -> list[tuple[str, str]]:
    """(key, what it is called) of the inputs that differ, the nearest to a decision first."""
    found: list[tuple[str, str]] = []
    for start, name in CAUSES:
        for row in inputs:
            key = row["key"]
            if (key == start or (start.endswith(".") and key.startswith(start))) and key not in [k for k, _ in found]:
                found.append((key, name))
    return found


def _in_records(one: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, Any] | None:
    """Parameters of a rule; of a council the first difference along the chain from facts to ruling."""
    if one.get("kind") != other.get("kind"):
        return None
    if one.get("rule") != other.get("rule"):
        return None
    parts = ("parameters",) if one.get("kind") == "rule" else CHAIN
    for part in parts:
        found = next(_differences(one.get(part), other.get(part), part), None)
        if found is None:
            continue
        path, left, right = found
        said = _said(part, path)
        return {"kind": said or part, "name": NAMES.get(said or part, part), "path": path, "a": left, "b": right}
    return None


NAMES = {
    "parameters": "a parameter",
    "user_query": "the question put to the council",
    "facts": "a fact the members were shown",
    "seats": "who sits in a seat",
    "question": "the question put to a member: its prompt or what it was shown",
    "answer": "the answer to the same question",
}


def _said(part: str, path: str) -> str:
    """``question`` or ``answer`` for a difference within the answers of a stage."""
    if part not in ("research", "pitches", "reviews", "chairman"):
        return ""
    return "question" if ".keys" in path else "answer"


def _differences(one: Any, other: Any, path: str) -> Iterator[tuple[str, Any, Any]]:
    """(path, value, value) of every leaf that differs, in the order of the record; a seat names its answers."""
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        for key in dict.fromkeys([*one, *other]):
            yield from _differences(one.get(key), other.get(key), f"{path}.{key}")
    elif isinstance(one, list) and isinstance(other, list) and path.count(".") == 0:
        left, right = ({_who(said): said for said in part} for part in (one, other))
        for who in dict.fromkeys([*left, *right]):
            yield from _differences(left.get(who), right.get(who), f"{path}[{who}]")
    elif one != other:
        yield path, one, other


def _who(said: Any) -> str:
    if not isinstance(said, Mapping):
        return str(said)
    return f"{said.get('seat')} on {said['about']}" if "about" in said else str(said.get("seat"))
