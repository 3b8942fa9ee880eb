"""From events to rows: pure functions, the same whether a run is recorded or everything is computed again.

    Stored, Stored, … ──project──► {table: rows}              (the newest result of one run)
    runs row, run.recorded ──count_recording──► runs row       (the registry)

A row has every column of its table. Text that a database would refuse (NUL, half a surrogate pair) is replaced here, so
that all databases hold the same; the event keeps it as it came.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any

from sqlalchemy import Boolean, Float, Integer, String, Table

from simulator.errors import SimError
from simulator.store import schema
from simulator.store.events import Kind, Stored
from simulator.store.listing import FIGURES
from simulator.store.packing import KEY_DIGITS

ASKED = ("symbol", "decided_at", "deadline")
TERMS = ("quantity", "notional", "limit", "stop", "take_profit")
"""Terms of an order that is asked for."""
OF_HOLDINGS: tuple[Kind, ...] = ("forward.started", "forward.split", "forward.fill")
"""Kinds of events of forward tests that holdings follow from."""
Row = dict[str, Any]
Rows = dict[str, list[Row]]

FULL = 1e-9
"""Share of its largest size below which a position counts as closed: sums of fractional shares leave dust."""
LEAST = 5e-10
"""Shares below which an account of a forward test holds nothing, as its loop counts (`trading.fills.LEAST_SHARES`)."""


def project(run_id: str, history: Iterable[Stored], before: Folds | None = None) -> Rows:
    """Rows of every projection but `runs`, in the order of their events, for the events of one result of one run.

    Where two events have the same key (the same seat at the same instant) the later one stays. `before` is what earlier
    events came to, where `history` is only what was added: the rows are those that are new or have changed.
    """
    tables: dict[str, dict[tuple[Any, ...], Row]] = {table.name: {} for table in schema.PROJECTIONS}
    folds = before or Folds()
    for stored in history:
        maker = _MAKERS.get(stored.event.kind)
        try:
            for table, values in maker(stored, folds) if maker else ():
                row = _row(table, {**values, "run_id": run_id, "event": stored.position})
                tables[table.name][key_of(table, row)] = row
        except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError):
            found = f"event {stored.position} of the store is no {stored.event.kind}"
            raise SimError(found, mend="restore a copy of the store; events are never rewritten") from None
    return {name: list(rows.values()) for name, rows in tables.items()}


def in_effect(history: Iterable[Stored], splits: Iterable[Stored]) -> Iterator[Stored]:
    """Yield the events of a forward test, each of its `splits` no later than the first fill of its session: one may be
    told after it."""
    ahead = {one.position: one for one in splits}
    for stored in history:
        given, day = stored.event.payload, str(stored.event.at)[:10]
        for one in list(ahead.values()):
            told = one.event.payload
            fills = stored.event.kind == "forward.fill" and told.get("symbol") == given.get("symbol")
            if one.position == stored.position or (fills and str(told.get("session")) <= day):
                yield ahead.pop(one.position)
        if stored.event.kind != "forward.split":
            yield stored


def fold_holdings(history: Sequence[Stored]) -> dict[tuple[str, str], Holding]:
    """Return the newest holding of each account and symbol of a forward test."""
    folds = Folds()
    booked = [one for one in history if one.event.kind in OF_HOLDINGS]
    project("", in_effect(booked, [one for one in booked if one.event.kind == "forward.split"]), folds)
    return folds.held


def key_of(table: Table, row: Mapping[str, Any]) -> tuple[Any, ...]:
    """The primary key of `row`."""
    return tuple(map(row.__getitem__, _key_names(table)))


def count_recording(before: Row | None, stored: Stored) -> Row:
    """Row of the registry for a result after one more `run.recorded`; `before` is None for the first.

    A registry made before there were events hands its rows over as events that carry `times` and `first_run_at`.
    """
    facts = stored.event.payload
    first = facts.get("first_run_at", stored.recorded_at) if before is None else before["first_run_at"]
    # A whole run and one that stopped early can come to the same digest; the facts of the whole one stay then.
    kept = before is not None and bool(facts["partial"]) and not before["partial"]
    shown = before if kept and before is not None else {**facts, "first": facts["from"], "last": facts["to"]}
    row = {
        **shown,
        "run_id": stored.run_id,
        "digest": stored.digest,
        "times": (0 if before is None else before["times"]) + facts.get("times", 1),
        "first_run_at": first,
        "last_run_at": stored.recorded_at,
        "event": stored.position,
    }
    metrics = row["metrics"] if isinstance(row["metrics"], Mapping) else {}
    return _row(schema.runs, {**row, **{name: metrics.get(name) for name in FIGURES}})


# ── from one event ──────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass
class Folds:
    """State that later rows of a result need of earlier ones.

    Attributes
    ----------
    fills, opened : numbers of fills and of holdings, by account
    held : newest holding, by account and symbol
    fill_ids : fills of forward tests that were counted, by account
    approvals, orders : rows by their keys within the run
    """

    calls: int = 0
    fills: dict[str, int] = field(default_factory=dict)
    held: dict[tuple[str, str], Holding] = field(default_factory=dict)
    opened: dict[str, int] = field(default_factory=dict)
    fill_ids: set[tuple[str, str]] = field(default_factory=set)
    approvals: dict[str, Row] = field(default_factory=dict)
    orders: dict[tuple[str, str], Row] = field(default_factory=dict)
    has_begun: bool = False


_Made = Iterator[tuple[Table, Mapping[str, Any]]]


def _meeting(stored: Stored, _folds: Folds) -> _Made:
    payload = stored.event.payload
    record: Mapping[str, Any] = payload["record"]
    at = _instant(stored)
    models: Mapping[str, str] = record.get("seats") or {}
    scores: Mapping[str, float] = record.get("scores") or {}
    yield (
        schema.pipeline_runs,
        {
            **at,
            "session": payload.get("session"),
            **_some(record, "no_decision", "user_query", "seats", "scores", "net_votes"),
            "execution_results": record.get("execution"),
        },
    )
    for part in record.get("research") or ():
        yield schema.research_packs, {**at, **_seat(part, models), **_answer(part)}
    for part in record.get("pitches") or ():
        yield schema.pm_pitches, {**at, **_seat(part, models), **_answer(part), "score": scores.get(part["seat"])}
    for part in record.get("reviews") or ():
        yield schema.peer_reviews, {**at, **_seat(part, models), **_review(part)}
    if part := record.get("chairman"):
        yield schema.chairman_decisions, {**at, **_seat(part, models), **_answer(part)}


def _checkpoint(stored: Stored, _folds: Folds) -> _Made:
    payload = stored.event.payload
    record: Mapping[str, Any] = payload["record"]
    models: Mapping[str, str] = record.get("seats") or {}
    for number, thesis in enumerate(record.get("theses") or ()):
        yield (
            schema.checkpoints,
            {
                **_instant(stored),
                "number": number,
                "session": payload.get("session"),
                "meeting": record.get("meeting"),
                "model": models.get(thesis.get("seat", "")),
                **thesis,
            },
        )


def _fill(stored: Stored, folds: Folds) -> _Made:
    # Keys hold no null: a rule's only account has the empty name.
    yield from _book(stored.event.account or "", {"at": stored.event.at, **stored.event.payload}, folds)


def _book(account: str, fill: Mapping[str, Any], folds: Folds) -> _Made:
    number = folds.fills.get(account, 0)
    folds.fills[account] = number + 1
    yield schema.trades, {**fill, "account": account, "number": number}
    before = folds.held.get((account, str(fill["symbol"])))
    for holding in apply_fill(before, fill, folds.opened.get(account, 0)):
        yield from _hold(account, holding, folds)


def _calls(stored: Stored, folds: Folds) -> _Made:
    for call in stored.event.payload["calls"]:
        yield schema.llm_calls, {**call, "key": str(call["key"])[:KEY_DIGITS], "number": folds.calls}
        folds.calls += 1


def _forward_fill(stored: Stored, folds: Folds) -> _Made:
    event, account = stored.event, stored.event.account or ""
    given, session = event.payload, str(event.at)[:10]
    if (account, str(given["id"])) in folds.fill_ids:
        return  # a loop that was killed may tell it again
    folds.fill_ids.add((account, str(given["id"])))
    fill = {name: given[name] for name in ("symbol", "quantity", "price")}
    own = {"order_id": given["client_order_id"], "fill_id": given["id"], "session": session, "at": event.at}
    yield from _book(account, fill | own, folds)


def _forward_opening(stored: Stored, folds: Folds) -> _Made:
    """Yield what accounts held when their test began, at prices that nobody knows; a later start is none."""
    opening = stored.event.payload.get("opening")
    if opening is None or folds.has_begun:
        return
    folds.has_begun = True
    for account, found in opening.items():
        for symbol, shares in found.get("positions", {}).items():
            before = folds.held.get((account, symbol))
            number = folds.opened.get(account, 0)
            held = Holding(number, symbol, stored.event.at, None, shares, shares, None, None, 0.0, 0.0, 0)
            if before is not None and before.closed_at is None:  # of an older version, whose first start told none
                held = replace(before, quantity=shares, largest=max(before.largest, shares, key=abs))
            yield from _hold(account, held, folds)


def _forward_split(stored: Stored, folds: Folds) -> _Made:
    symbol, ratio = stored.event.payload["symbol"], float(stored.event.payload["ratio"])
    for (account, name), held in folds.held.items():
        if name == symbol and held.closed_at is None:
            yield from _hold(account, apply_split(held, ratio, stored.event.at), folds)


def _hold(account: str, held: Holding, folds: Folds) -> _Made:
    folds.opened[account] = max(folds.opened.get(account, 0), held.number + 1)
    folds.held[account, held.symbol] = held
    yield schema.positions, {**vars(held), "account": account}


def _forward_order(stored: Stored, folds: Folds) -> _Made:
    event, given = stored.event, stored.event.payload
    key = event.account or "", str(given["client_order_id"])
    before = folds.orders.get(key, {})
    row = {
        "account": key[0],
        "order_id": key[1],
        "symbol": given.get("symbol") or before.get("symbol"),
        "state": given["state"],
        "first_at": before.get("first_at", event.at),
        "last_at": event.at,
        "why": given.get("why") or before.get("why"),
        "filled": given.get("filled", before.get("filled")),
    }
    folds.orders[key] = row
    yield schema.orders, row


def _approval(stored: Stored, folds: Folds) -> _Made:
    event, given = stored.event, stored.event.payload
    state, id = event.kind.rpartition(".")[2], str(given["id"])
    row = {**folds.approvals.get(id, {}), "id": id, "state": state, "version": given.get("version")}
    if state == "asked":
        unanswered = dict.fromkeys(("settled_at", "by", "reason", "changes"))
        row |= {**unanswered, **_some(given, *ASKED), "asked_at": stored.recorded_at}
        row["price_then"] = price if isinstance(price := given.get("price_then"), int | float) else None
    else:
        row |= {**_some(given, "by", "reason", "changes"), "settled_at": stored.recorded_at}
    if sizes := given.get("sizes"):
        row["sizes"] = {account: _some(one, *TERMS) for account, one in sizes.items()}
    folds.approvals[id] = row
    yield schema.approvals, row


_MAKERS: Mapping[str, Callable[[Stored, Folds], _Made]] = {
    "meeting.held": _meeting,
    "checkpoint.held": _checkpoint,
    "order.filled": _fill,
    "calls.made": _calls,
    **{f"approval.{state}": _approval for state in ("asked", "given", "refused", "expired")},
    "forward.started": _forward_opening,
    "forward.split": _forward_split,
    "forward.fill": _forward_fill,
    "forward.order": _forward_order,
}


def _instant(stored: Stored) -> Row:
    payload = stored.event.payload
    return {"as_of": payload.get("as_of") or stored.event.at, "replicate": payload.get("replicate", 0)}


def _seat(part: Mapping[str, Any], models: Mapping[str, str]) -> Row:
    return {"model": models.get(part["seat"]), **_some(part, "seat", "about", "error")}


def _answer(part: Mapping[str, Any]) -> Mapping[str, Any]:
    return part.get("answer") or {}


def _review(part: Mapping[str, Any]) -> Row:
    answer = _answer(part)
    scores: Mapping[str, int] = answer.get("scores") or {}
    given = [scores[name] for name in schema.DIMENSIONS if scores.get(name) is not None]
    mean = sum(given) / len(given) if given else None
    return {**scores, "mean_score": mean}


def _some(values: Mapping[str, Any], *names: str) -> Row:
    return {name: values.get(name) for name in names}


# ── holdings ────────────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class Holding:
    """A position from the fill that opens it to the one that closes it.

    Attributes
    ----------
    number : counts the holdings of an account by opening
    quantity, largest : shares after the last fill, and the most there were; negative when short
    entry_price : average price paid on the way in; None of what an account held when its forward test began
    profit : dollars that fills on the way out realised, before `slippage` and `commission`; None without an entry price

    A fill that turns the position closes one holding and opens the next; its costs count with the one it closes.
    """

    number: int
    symbol: str
    opened_at: str | None
    closed_at: str | None
    quantity: float
    largest: float
    entry_price: float | None
    profit: float | None
    slippage: float
    commission: float
    fills: int


def apply_fill(held: Holding | None, fill: Mapping[str, Any], number: int) -> tuple[Holding, ...]:
    """Apply a fill to the position it meets: one holding, or the closed one and the one opened the other way.

    `number` is that of a holding the fill opens.
    """
    quantity, price, at = float(fill["quantity"]), float(fill["price"]), fill["at"]
    slippage, commission = float(fill.get("slippage") or 0), float(fill.get("commission") or 0)
    opened = Holding(number, str(fill["symbol"]), at, None, quantity, quantity, price, 0.0, slippage, commission, 1)
    if held is None or held.closed_at is not None:
        return (opened,)
    after = held.quantity + quantity
    now = replace(
        held, slippage=held.slippage + slippage, commission=held.commission + commission, fills=held.fills + 1
    )
    if quantity * held.quantity > 0:
        before = held.entry_price
        entry = None if before is None else (held.quantity * before + quantity * price) / after
        return (replace(now, quantity=after, largest=max(after, held.largest, key=abs), entry_price=entry),)
    if abs(after) < LEAST if "fill_id" in fill else abs(after) <= FULL * abs(held.largest):
        after = 0.0
    reduced = after * held.quantity > 0
    out = -quantity if reduced else held.quantity
    if held.entry_price is not None and held.profit is not None:
        now = replace(now, profit=held.profit + out * (price - held.entry_price))
    if reduced:
        return (replace(now, quantity=after),)
    closed = replace(now, quantity=0.0, closed_at=at)
    if after == 0:
        return (closed,)
    return closed, replace(opened, quantity=after, largest=after, slippage=0.0, commission=0.0)


def apply_split(held: Holding, ratio: float, at: str | None) -> Holding:
    """Apply a split: what was paid stays. It ends a holding of which it leaves nothing."""
    shares, largest = round(held.quantity * ratio, 9), held.largest * ratio
    paid = None if held.entry_price is None else held.quantity * held.entry_price
    if not shares:
        profit = None if paid is None or held.profit is None else held.profit - paid
        return replace(held, quantity=0.0, largest=largest, closed_at=at, profit=profit)
    return replace(held, quantity=shares, largest=largest, entry_price=None if paid is None else paid / shares)


# ── rows as a database holds them ───────────────────────────────────────────────────────────────────────────────────


def _row(table: Table, values: Mapping[str, Any]) -> Row:
    row = {}
    for name, kind, convert in _columns(table):
        value = values.get(name)
        row[name] = value if value is None or type(value) is kind else convert(value)
    return row


@lru_cache
def _columns(table: Table) -> Sequence[tuple[str, type, Callable[[Any], Any]]]:
    """Name of each column, the type of values that are stored as they are, and the conversion of all others."""
    return [(column.name, *_conversion(column.type)) for column in table.columns]


@lru_cache
def _key_names(table: Table) -> Sequence[str]:
    return [column.name for column in table.primary_key.columns]


def _conversion(kind: object) -> tuple[type, Callable[[Any], Any]]:
    for column, plain in ((Boolean, bool), (Integer, int), (Float, float)):
        if isinstance(kind, column):
            return plain, plain
    # Every text is checked; JSON is stored as it is.
    return (type(None), _text) if isinstance(kind, String) else (dict, lambda value: value)


def _text(value: Any) -> str:
    text = str(value)
    if text.isascii() and "\0" not in text:
        return text
    return text.replace("\0", "\ufffd").encode("utf-8", "replace").decode()
