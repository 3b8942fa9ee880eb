"""Approvals: trades that wait for a person, and the answers, as the store has them.

    loop: approval.asked (version 1, 2 …) ──► read_approvals ──► a person ──► answer: approval.given | .refused
                                                                loop, at its deadline: approval.expired

A trade is a decision on a symbol. A question about it names accounts, each with its order; while it waits it may be
asked in other terms or for other accounts, once it was answered it stands for good, and what is asked later is a
question of its own: of each account the newest that names it counts. Every event carries the version it makes; an
answer to another than the newest is stale. Nothing is ordered here: the loop reads the answers and acts.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from math import inf, isfinite
from typing import Any, Literal

from pydantic import TypeAdapter

from simulator.errors import SimError, UsageError
from simulator.forward.exposure import Exposure, Room
from simulator.forward.payloads import from_json, to_json
from simulator.number_format import price as write_price
from simulator.store.database import Store
from simulator.store.events import Event, Stored
from simulator.store.kept import Kept
from simulator.trading.parts import Parts
from simulator.trading.risk import EntryRules

State = Literal["waiting", "approved", "rejected", "expired"]
Action = Literal["approve", "reject", "modify"]
KINDS: Mapping[str, State] = {
    "approval.asked": "waiting",
    "approval.given": "approved",
    "approval.refused": "rejected",
    "approval.expired": "expired",
}
ABSENT: Mapping[str, tuple[object, ...]] = {
    "room": (None,), "whole": ((None, None),), "parts": ((),), "rules": (None,), "is_changed": (False,),
    "filled": ((0.0, 0.0),),
}  # fmt: skip
"""What earlier versions did not write, by the values that say nothing."""
LEAST_DOLLARS = 1.0
SIZES = ("quantity", "scale")
CHANGEABLE = (*SIZES, "limit", "stop", "take_profit")
"""What a person may change in every account, or as ``ACCOUNT.stop`` in one."""
Ended = dict[tuple[str, str, str, str], dict[str, tuple[int, str]]]
"""{(run, day, account, symbol): {order: (position of its first event, how it stands)}}."""


class StaleError(SimError):
    """An answer to what is not asked any more; `found` says what changed."""


@dataclass(frozen=True)
class Staged:
    """Order of one account as it would be sent.

    `quantity` is signed shares, else `notional` dollars to buy for; `exits` the order class that brings stop and
    take-profit, ``simple`` for none; `held` the shares before it, `most` the dollars that the risk rules allow in the
    symbol; `blocked` the rule of broker or risk that forbids it, empty where none does; `room` what else the account
    will hold, None where an earlier version asked; `whole` stop and take-profit of the whole position, where the
    decision sets them and the order, which enlarges it, does not bring them; `parts` as ((share, price), …) what of it
    leaves before its take-profit; `rules` those of the strategy, to which it is held once it `is_changed` by a person;
    `filled` the shares and dollars of its trade that had filled when it was asked for: it is what is ordered beside.
    """

    quantity: float | None = None
    notional: float | None = None
    limit: float | None = None
    stop: float | None = None
    take_profit: float | None = None
    exits: str = "simple"
    held: float = 0.0
    equity: float = 0.0
    most: float = float("inf")
    blocked: str = ""
    room: Room | None = None
    whole: tuple[float | None, float | None] = (None, None)
    parts: Parts = ()
    rules: EntryRules | None = None
    is_changed: bool = False
    filled: tuple[float, float] = (0.0, 0.0)

    @property
    def size(self) -> float:
        """Signed shares, or dollars to buy for."""
        return self.quantity or self.notional or 0.0

    @property
    def side(self) -> str:
        """``buy`` or ``sell short``: what waits opens or enlarges a position."""
        return "sell short" if (self.quantity or 0.0) < 0.0 else "buy"

    def exposure(self, price: float, beside: Mapping[str, float]) -> Exposure | None:
        """Return the exposure of the account after the order at `price`; `beside` are the dollars of other trades."""
        return None if self.room is None else self.room.after(self.worth(price), self.equity, beside, self.rules)

    def worth(self, price: float) -> float:
        """Return the signed dollars of the position after the order; what is ordered is paid at its limit."""
        ordered = self.notional if self.quantity is None else self.quantity * self.price_paid(price)
        return self.held * price + (ordered or 0.0)

    def price_paid(self, price: float) -> float:
        """Return the price that is reckoned with while the market is at `price`: a buy is paid its limit at most, a
        sale brings its limit at least, and the market's price where that is more."""
        if self.limit is None:
            return price
        return max(self.limit, price) if (self.quantity or 0.0) < 0.0 else self.limit

    @property
    def terms(self) -> tuple[float | None, ...]:
        """Terms of the order: an approval holds for them alone. More of what is held brings no exits of its own."""
        exits = (None, None) if self.held else (self.stop, self.take_profit)
        return self.quantity, self.notional, self.limit, *exits


_staged: TypeAdapter[Staged] = TypeAdapter(Staged)


@dataclass(frozen=True)
class Approval:
    """A question about a trade: it waits, or has been answered. Instants are ISO with New York's offset.

    `sizes` are by account, as they would be sent: after ``modify`` as changed. `changes` are those of the answer,
    `seen` the digest of what it answered.
    """

    id: str
    run: str
    symbol: str
    decided_at: str
    point: str
    deadline: str
    version: int
    state: State
    sizes: Mapping[str, Staged]
    price_then: float | None = None
    thesis: tuple[str, ...] = ()
    reviews: tuple[Mapping[str, Any], ...] = ()
    kill_shots: tuple[str, ...] = ()
    dissent: str = ""
    rules: tuple[str, ...] = ()
    by: str = ""
    reason: str = ""
    answered_at: str = ""
    changes: Mapping[str, float] = field(default_factory=dict)
    seen: str = ""
    position: int = field(default=0, compare=False)
    """Position in the store at which it was asked for in this version."""

    def is_changed_in(self, account: str) -> bool:
        """Return True where a person changed the order of `account`."""
        return any(name in ("", account) for name in (key.rpartition(".")[0] for key in self.changes))

    @property
    def digest(self) -> str:
        """16 hex digits of what a person is shown."""
        shown = [self.id, self.version, to_json({name: write_staged(one) for name, one in self.sizes.items()})]
        more = [self.deadline, self.price_then, self.thesis, self.reviews, self.kill_shots, self.dissent, self.rules]
        return hashlib.sha256(json.dumps([*shown, *to_json(more)], sort_keys=True).encode()).hexdigest()[:16]


def list_kill_shots(asked: Approval) -> list[str]:
    """Return each kill shot once, with who aimed it at whose pitch."""
    aimed: dict[str, list[str]] = {shot: [] for shot in asked.kill_shots}
    for one in asked.reviews:
        aimed.setdefault(str(one.get("kill_shot", "")), []).append(_about(one))
    return [f"{shot} ({'; '.join(who)})" if who else shot for shot, who in aimed.items() if shot]


def list_reviews(asked: Approval) -> list[str]:
    """Return a line a review: who of whose pitch, the mean score and all of them."""
    lines = []
    for one in asked.reviews:
        scores = {str(name).replace("_", " "): float(mark) for name, mark in dict(one.get("scores") or {}).items()}
        mean = f"mean {sum(scores.values()) / len(scores):.1f}" if scores else "no score"
        marks = ", ".join((mean, *(f"{name} {mark:g}" for name, mark in scores.items())))
        turns = f"; would turn if: {one['flip_condition']}" if one.get("flip_condition") else ""
        lines.append(f"{_about(one)}: {marks}{turns}")
    return lines


def _about(review: Mapping[str, Any]) -> str:
    return f"{review.get('seat')} on {review.get('about')} {review.get('direction', '')}".rstrip()


def approval_id(run: str, decided_at: str, symbol: str, number: int = 0) -> str:
    """Return 12 hex digits that name a question about a trade of a run, by how many were asked of it before."""
    named = [run, decided_at, symbol, *([number] if number else [])]
    return hashlib.sha256(json.dumps(named).encode()).hexdigest()[:12]


def list_questions(known: Mapping[str, Approval], run: str, decided_at: str, symbol: str) -> list[Approval]:
    """Return what was asked about a trade, oldest first."""
    found: list[Approval] = []
    while (one := known.get(approval_id(run, decided_at, symbol, len(found)))) is not None:
        found.append(one)
    return found


def fold(known: Mapping[str, Approval], stored: Iterable[Stored]) -> dict[str, Approval]:
    """Return the approvals after further events, by id, the first asked first."""
    found = dict(known)
    for one in stored:
        _take(found, one)
    return found


def _take(known: dict[str, Approval], stored: Stored) -> None:
    if (state := KINDS.get(stored.event.kind)) is None:
        return
    given = from_json(stored.event.payload)
    if state == "waiting":
        known[str(given["id"])] = replace(_parse_approval(stored.run_id, given), position=stored.position)
    elif (before := known.get(str(given["id"]))) is not None:
        known[before.id] = replace(
            before,
            state=state,
            version=int(given["version"]),
            sizes=_sizes(given["sizes"]) if given.get("sizes") else before.sizes,
            by=str(given.get("by", "")),
            reason=str(given.get("reason", "")),
            answered_at=stored.recorded_at,
            changes=dict(given.get("changes", {})),
            seen=str(given.get("seen", "")),
        )


_known = Kept(tuple(KINDS), dict[str, Approval], _take)


def write_staged(staged: Staged) -> dict[str, Any]:
    """Return an order as it stands in an event: without what earlier versions did not have, where it is not known."""
    return {name: one for name, one in asdict(staged).items() if one not in ABSENT.get(name, ())}


def _sizes(given: Mapping[str, Any]) -> dict[str, Staged]:
    return {name: _staged.validate_python(one) for name, one in given.items()}


def _parse_approval(run: str, given: Mapping[str, Any]) -> Approval:
    lists: dict[str, Any] = {name: tuple(given[name]) for name in ("thesis", "reviews", "kill_shots", "rules")}
    named = ("id", "symbol", "decided_at", "point", "deadline", "version", "price_then", "dissent")
    plain: dict[str, Any] = {name: given[name] for name in named}
    return Approval(run=run, state="waiting", sizes=_sizes(given["sizes"]), **plain, **lists)


def write_asked(asked: Approval) -> dict[str, Any]:
    """Return the payload of ``approval.asked``."""
    unanswered = ("run", "state", "by", "reason", "answered_at", "changes", "seen", "position")
    sizes = {name: to_json(write_staged(one)) for name, one in asked.sizes.items()}
    return {name: to_json(one) for name, one in asdict(asked).items() if name not in unanswered} | {"sizes": sizes}


def read_approvals(store: Store, run: str | None = None) -> list[Approval]:
    """Return the trades of a run, of all runs by default, that wait or were answered, the first asked first."""
    with _known.of(store) as known:
        return [one for one in known.values() if run in (None, one.run)]


def list_changed(trades: Iterable[Approval]) -> list[Approval]:
    """Return the trades that were not made as they were decided: refused, changed or left unanswered."""
    return [one for one in trades if one.state in ("rejected", "expired") or one.changes]


def read_outcomes(store: Store, trades: Iterable[Approval]) -> dict[str, dict[str, list[str]]]:
    """Return {id: {account: what came of each of its orders}} of trades that were approved: sent and how it stands, or
    not sent and why. What came after an account was asked anew, where that is among `trades`, is the newer one's."""
    asked = sorted(trades, key=lambda one: one.position)
    came: dict[str, dict[str, list[str]]] = {}
    until: dict[tuple[str, str, str, str], float] = {}
    with _orders.of(store) as ended, _paid.of(store) as paid:
        for one in reversed(asked):
            for name in one.sizes:
                key = one.run, one.decided_at[:10], name, one.symbol
                if one.state == "approved" and (found := ended.get(key)):
                    told_of = [
                        told + paid.get((one.run, name, order), Paid()).text
                        for order, (at, told) in found.items()
                        if one.position < at < until.get(key, inf)
                    ]
                    came.setdefault(one.id, {})[name] = told_of
                until[key] = one.position
    return came


def _take_order(ended: Ended, stored: Stored) -> None:
    given, day = stored.event.payload, str(stored.event.at)[:10]
    state, why = str(given["state"]).replace("_", " "), str(given.get("why") or "")
    told = f"not sent: {why}" if state == "given up" else ", ".join(filter(None, (state, why)))
    key = stored.run_id, day, stored.event.account or "", str(given.get("symbol", ""))
    orders = ended.setdefault(key, {})
    first, _ = orders.get(order := str(given["client_order_id"]), (stored.position, ""))
    orders[order] = first, told


_orders = Kept(("forward.order",), Ended, _take_order)


@dataclass
class Paid:
    """Signed shares that an order has filled, and their dollars."""

    shares: float = 0.0
    dollars: float = 0.0

    @property
    def text(self) -> str:
        return f": {abs(self.shares):,.10g} at {write_price(self.dollars / self.shares)}" if self.shares else ""


def _take_fill(paid: dict[tuple[str, str, str], Paid], stored: Stored) -> None:
    given = stored.event.payload
    one = paid.setdefault((stored.run_id, stored.event.account or "", str(given["client_order_id"])), Paid())
    one.shares += float(given["quantity"])
    one.dollars += float(given["quantity"]) * float(given["price"])


_paid = Kept(("forward.fill",), dict[tuple[str, str, str], Paid], _take_fill)


# ── answers ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def answer(
    store: Store,
    id: str,
    version: int,
    by: str,
    action: Action,
    reason: str = "",
    changes: Mapping[str, float] | None = None,
    price: float | None = None,
) -> Approval:
    """Answer a trade, in one transaction; returns it as it stands then.

    `by` names the person, `price` is the price that was seen. `changes` of ``modify``, which approves what it makes:
    ``quantity`` in shares, ``limit``, ``stop``, ``take_profit``, the same in every account, or ``scale``, a factor of
    the quantity in each; ``GEMINI.stop`` is that of one account and goes before. Raises StaleError,
    UsageError where a rule forbids it; nothing is recorded then.
    """
    (done,) = answer_together(store, [Answer(id, version, by, action, reason, dict(changes or {}), price)])
    if isinstance(done, SimError):
        raise done
    return done


@dataclass(frozen=True)
class Answer:
    """Answer of a person to a trade; the fields are those of `answer`."""

    id: str
    version: int
    by: str
    action: Action
    reason: str = ""
    changes: Mapping[str, float] = field(default_factory=dict)
    price: float | None = None
    run: str = ""
    """Its run, where it is known: without it the runs are searched."""
    price_at: str = ""
    """Instant of the price that was seen, ISO."""
    newest: float | None = None
    """Newest price that is known, by which it is judged where the one that was seen is older."""


def answer_together(store: Store, answers: Sequence[Answer]) -> list[Approval | SimError]:
    """Answer trades; returns of each how it stands then, or why it was not answered.

    Those of one run are one transaction: where one is refused, none of that run is answered.
    """
    known = {} if all(one.run for one in answers) else {one.id: one.run for one in read_approvals(store)}
    runs = [one.run or known.get(one.id, "") for one in answers]
    done: dict[str, Mapping[str, Approval] | SimError] = {}
    for run in dict.fromkeys(runs):
        try:
            done[run] = _answer_run(store, run, [one for one, of in zip(answers, runs, strict=True) if of == run])
        except SimError as error:
            done[run] = error
    found = [(one.id, done[run]) for one, run in zip(answers, runs, strict=True)]
    return [its if isinstance(its, SimError) else its[id] for id, its in found]


def _answer_run(store: Store, run: str, answers: Sequence[Answer]) -> dict[str, Approval]:
    if len({one.id for one in answers}) < len(answers):
        raise UsageError("a trade is answered once at a time")
    for one in answers:
        if one.action == "reject" and not one.reason.strip():
            raise UsageError("a rejection has a reason", mend="give --reason")
        if (one.action == "modify") != bool(one.changes):
            mend = f"change one of {', '.join(CHANGEABLE)}"
            raise UsageError("changes belong to modify, and it has some", mend=mend)
    rehearsed = any(one.event.payload.get("rehearsed") for one in store.of_forward(run, ("forward.started",)))
    now = None if rehearsed else store.now()  # a rehearsal's clock is not this machine's

    def make(stored: list[Stored]) -> list[Event]:
        known = fold({}, stored)
        made = {one.id: _apply_answer(one, known, now) for one in answers}
        decided = {one.decided_at for one in made.values()}
        trades = [made.get(one.id, one) for one in known.values() if one.decided_at in decided]
        for one, it in ((one, made[one.id]) for one in answers if made[one.id].state == "approved"):
            for name, staged in it.sizes.items():
                others = beside(it, name, trades)
                if why := forbids(staged, one.newest or one.price or it.price_then, others):
                    raise UsageError(f"{it.symbol} in {name}: {why}", mend="modify or reject it")
        return [_event_of(one, known[one.id], made[one.id]) for one in answers]

    return fold({}, store.append_after_reading(run, tuple(KINDS), make))


def _apply_answer(given: Answer, known: Mapping[str, Approval], now: datetime | None) -> Approval:
    """Return a trade as it stands after the answer. Raises StaleError, UsageError."""
    found = known.get(given.id)
    if found is None:
        raise UsageError(f'no trade "{given.id}" waits for approval', mend="`sim forward approvals` lists them")
    if found.state != "waiting":
        who = f" by {found.by}" if found.by else ""
        raise StaleError(f"{found.symbol} was {found.state} meanwhile{who}")
    if found.version != given.version:
        changed = f"version {found.version} is asked now, {given.version} was answered"
        raise StaleError(f"{found.symbol} has changed: {changed}", mend="look at it again")
    if now is not None and now >= datetime.fromisoformat(found.deadline):
        raise StaleError(f"{found.symbol} could be answered until {found.deadline}")
    if given.action == "reject":
        return replace(found, state="rejected")
    return replace(found, state="approved", sizes=change_all(found.sizes, given.changes))


def _event_of(given: Answer, found: Approval, made: Approval) -> Event:
    payload: dict[str, Any] = {"id": found.id, "version": found.version + 1, "by": given.by, "action": given.action}
    payload |= {"reason": given.reason, "seen": found.digest, "seen_version": found.version}
    payload |= {"price": given.price, "price_at": given.price_at, "changes": dict(given.changes)}
    if made.state == "rejected":
        return Event("approval.refused", found.decided_at, None, payload)
    sizes = {name: to_json(write_staged(replace(one, room=None))) for name, one in made.sizes.items()}
    return Event("approval.given", found.decided_at, None, {**payload, "sizes": sizes})


def beside(asked: Approval, account: str, trades: Iterable[Approval]) -> dict[str, float]:
    """Return the dollars, by symbol, that the other trades of its decision bring about in `account`: those that wait or
    were approved, the newest question of each, at their sizes and the prices they were decided at."""
    newest = {
        one.symbol: one
        for one in trades
        if one.symbol != asked.symbol and (one.run, one.decided_at) == (asked.run, asked.decided_at)
        if account in one.sizes
    }
    found = (one for one in newest.values() if one.state in ("waiting", "approved"))
    return {one.symbol: one.sizes[account].worth(one.price_then or 0.0) for one in found}


def change_all(sizes: Mapping[str, Staged], changes: Mapping[str, float]) -> dict[str, Staged]:
    """Return the orders by account with `changes`: what is said of one account takes the place of what is said of all,
    its size that of theirs, whichever of the two is a scale. Raises UsageError for what cannot be changed."""
    alone: dict[str, dict[str, float]] = {name: {} for name in sizes}
    every: dict[str, float] = {}
    for key, value in changes.items():
        account, _, name = key.rpartition(".")
        if account and account not in sizes:
            raise UsageError(f'{key}: no account "{account}" trades it', mend=f"one of {', '.join(sizes)}")
        (alone[account] if account else every)[name] = value
    for own in alone.values():
        is_sized = not own.keys().isdisjoint(SIZES)
        own |= {name: one for name, one in every.items() if name not in own and not (is_sized and name in SIZES)}
    return {name: change(one, alone[name]) for name, one in sizes.items()}


def change(staged: Staged, changes: Mapping[str, float]) -> Staged:
    """Return `staged` with `changes`. Raises UsageError for what cannot be changed."""
    if not changes:
        return staged
    if {*SIZES} <= changes.keys():
        raise UsageError("a size is changed by scale or by quantity", mend="give one of them")
    new: dict[str, Any] = {}
    side = -1.0 if (staged.quantity or 0.0) < 0.0 else 1.0
    for name, value in changes.items():
        if name not in CHANGEABLE or not isfinite(value) or value <= 0.0:
            raise UsageError(f"{name} = {value:g} cannot be", mend=f"positive numbers of {', '.join(CHANGEABLE)}")
        if name == "scale":
            dollars, shares = staged.notional, staged.quantity
            if not isfinite((shares or dollars or 0.0) * value):
                raise UsageError(f"{name} = {value:g} cannot be", mend="a factor that leaves a number")
            new |= {"quantity": None if shares is None else float(int(shares * value))}
            new |= {"notional": None if dollars is None else round(dollars * value, 2)}
        elif name == "quantity":
            new |= {"quantity": side * value, "notional": None}
        else:
            new[name] = value
    if new.get("take_profit", staged.take_profit) != staged.take_profit:
        new["parts"] = ()  # a new target is one for all
    if {"stop", "take_profit"} & new.keys() and staged.exits == "simple" and staged.held != 0.0:
        raise UsageError("exits of a position that is held are those of its decision", mend="change quantity or limit")
    return replace(staged, **new, is_changed=True)


def forbids(staged: Staged, price: float | None, beside: Mapping[str, float] | None = None) -> str:
    """Return the rule of broker or risk that forbids `staged` at `price`, empty where none does; `beside` are the
    dollars in the symbols of other trades."""
    shares, prices = staged.quantity, (staged.limit, staged.stop, staged.take_profit)
    bare = prices == (None, None, None)
    if shares == 0.0:
        return "less than one share"
    if price is None or not 0.0 < price < inf:
        return "no price is known: nothing says what it is worth"
    if shares is not None and shares % 1.0 and (not bare or shares < 0.0):
        return "limits, exits and short sales have whole shares"
    if shares is None and not bare:
        return "an order in dollars has neither limit nor exits: give its quantity"
    for one in prices:
        if one is not None and abs(one - round(one, 2 if one >= 1.0 else 4)) > 1e-9:
            return f"{one:g} is between two ticks"
    side = -1.0 if (shares or 0.0) < 0.0 else 1.0
    at = side * min(side * (staged.limit or price), side * price)  # a limit that the market meets fills at the market
    if staged.stop is not None and (at - staged.stop) * side <= 0.0:
        return f"the price {at:g} is beyond the stop {staged.stop:g}"
    if staged.take_profit is not None and (staged.take_profit - at) * side <= 0.0:
        return f"the price {at:g} is beyond the target {staged.take_profit:g}"
    worth = staged.notional or abs(shares or 0.0) * staged.price_paid(price)
    if worth < LEAST_DOLLARS:
        return "less than a dollar"
    if worth + abs(staged.held) * price > staged.most * 1.02:  # prices have moved since it was sized
        return f"max_weight: ${worth:,.0f} more is above the ${staged.most:,.0f} that the risk rules allow"
    after = staged.exposure(price, beside or {})
    if after is None or after.broken or staged.rules is None or not staged.is_changed or staged.room is None:
        return "" if after is None else after.broken
    stop = staged.whole[0] if staged.stop is None else staged.stop
    bought = shares if shares is not None else (staged.notional or 0.0) / price
    return staged.room.find_broken(
        staged.rules, staged.worth(price), staged.equity, beside or {}, bought, staged.price_paid(price), stop
    )
