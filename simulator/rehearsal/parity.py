"""Parity of a forward test with a replay of the same sessions, from the inputs that it recorded.

    events of the store ──► prompts, decisions, orders, fills, books ──┐
    <run>/data ──► replay, strategy and settings as they are now ──────┴──► first differences, slippage

The replay asks no model: a question that was not asked before is a prompt that has changed.

In every account what follows from its own records is worked out again from these (`own_records.py`). In one where a
person changed trades each later decision is replayed on the book it was recorded with (`approved.py`); by how much its
fills and books differ from the replay's is counted.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Hashable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from itertools import chain
from math import isclose
from pathlib import Path
from typing import Any

from simulator.config import load_config, override_config
from simulator.errors import DataError, LLMError, UsageError
from simulator.evidence.writer import session_ends
from simulator.forward import payloads
from simulator.forward.approvals import fold
from simulator.forward.books import Split, adjust_for_splits
from simulator.forward.feed import ASKED, input_digests
from simulator.forward.registration import FILE, find_folder, read_registration
from simulator.forward.state import State
from simulator.llm.providers.offline import Offline
from simulator.llm.registry import seats
from simulator.market.bars import instant
from simulator.market.calendar import day_of, sessions
from simulator.market.load import available
from simulator.market.news import load_news
from simulator.rehearsal.approved import Approved, find_changed, find_questions
from simulator.rehearsal.difference import CENT, NOTHING, PARTS, PRICE, ROUNDING, SHARE, Difference, Part
from simulator.rehearsal.own_records import OwnRecords, find_late, minute, ratio_since
from simulator.replay.inputs import ReplayInputs
from simulator.replay.run import Replayed, replay_strategy
from simulator.runs.accounts import COUNCIL, replay_accounts
from simulator.runs.forward import as_traded, members_of
from simulator.runs.gateway_setup import open_gateway
from simulator.runs.identity import code_digest, digest_of
from simulator.runs.load_inputs import find_benchmark, load_inputs
from simulator.runs.registering import describe_seats
from simulator.runs.spec import RunSpec
from simulator.runs.strategies import Nobody, Seating, load_strategy
from simulator.store.database import open_store
from simulator.store.events import Event, Stored
from simulator.trading.cycle import Intent, TradingRules
from simulator.trading.model import Decision, Order
from simulator.trading.orders import Origin
from simulator.trading.strategy import points_of, seats_of
from simulator.workspace import Workspace

Facts = dict[tuple[Hashable, ...], Any]
"""Values of one part, under (account, instant or session, …)."""


@dataclass(frozen=True)
class Parity:
    """Result of a comparison: how much was compared of each part, and all that differed.

    `slippage_bps` is what market orders paid over the price they were to fill at, `traded` the dollars behind it.
    `approved` are fills and books of accounts in which a person refused, changed or left unanswered a trade, the first
    of them decided at `since`: what differs from the book as decided. `changed` are files of the strategy, settings and
    the program, where they are no longer those that the test was registered with: differences may come of them.
    """

    run: str
    first: date
    last: date
    compared: Mapping[Part, int]
    differences: tuple[Difference, ...]
    slippage_bps: float | None = None
    traded: float = 0.0
    since: str | None = None
    approved: tuple[Difference, ...] = ()
    changed: tuple[str, ...] = ()

    @property
    def holds(self) -> bool:
        return not self.differences

    def count_approved(self) -> dict[str, int]:
        """Return how many differences of each part are of the book as approved."""
        counts = Counter(one.part for one in self.approved)
        return {part: counts[part] for part in PARTS if counts[part]}

    def to_json(self, most: int) -> dict[str, object]:
        """Return what ``--json`` prints, with at most so many differences of each part."""
        found = {part: [one for one in self.differences if one.part == part] for part in PARTS}
        return {
            "run": self.run, "holds": self.holds, "from": str(self.first), "to": str(self.last),
            "changed": list(self.changed),
            "compared": dict(self.compared), "different": {part: len(one) for part, one in found.items()},
            "differences": [vars(one) for part in PARTS for one in found[part][:most]],
            "slippage_bps": self.slippage_bps, "traded_usd": self.traded,
            "approved": self.since and {"since": self.since, "different": self.count_approved()},
        }  # fmt: skip


@dataclass(frozen=True)
class Asked:
    """An order, in dollars or in `shares`, which are counted to nine digits on their day: a split multiplies them."""

    kind: str
    dollars: str
    shares: float | None
    prices: str

    def __str__(self) -> str:
        amount = self.dollars if self.shares is None else f"{self.shares:.9f}".rstrip("0").rstrip(".")
        return " ".join(filter(None, (self.kind, amount, self.prices)))

    def is_same(self, other: Asked) -> bool:
        """Return True for the same order; a split by 10,000 leaves `SHARE` of a rounded share at most."""
        same = (self.kind, self.dollars, self.prices) == (other.kind, other.dollars, other.prices)
        return same and isclose(self.shares or 0.0, other.shares or 0.0, rel_tol=0.0, abs_tol=SHARE)


@dataclass
class Side:
    """One of the two that are compared: what it says of each part, in shares after all `splits`."""

    splits: Sequence[Split] = ()
    prompts: Facts = field(default_factory=dict)
    decisions: Facts = field(default_factory=dict)
    orders: Facts = field(default_factory=dict)
    fills: Facts = field(default_factory=dict)
    books: Facts = field(default_factory=dict)

    def decide(self, account: str, decision: Decision) -> None:
        """Add a decision: the keys of its questions, its targets, and everything else it says."""
        at = minute(decision.as_of)
        targets = {}
        for one in decision.targets:
            ratio, prices = self._ratio(one.symbol, at[:10]), (one.limit, one.stop, one.take_profit)
            terms = [None if price is None else price / ratio for price in prices]
            targets[one.symbol] = [one.weight, one.order, *terms]
        self.decisions[account, at, "made"] = True
        for path, value in _leaves({"targets": targets, "record": decision.record}):
            asked = path.endswith("prompts") or ".keys[" in path
            (self.prompts if asked else self.decisions)[account, at, path] = value

    def order(self, account: str, at: int, order: Order) -> None:
        ratio = self._ratio(order.symbol, minute(at)[:10])
        shares = None if order.quantity is None else order.quantity * ratio
        prices = (
            f"{name} {price / ratio:.4f}"
            for name in ("limit", "stop", "take_profit")
            if (price := getattr(order, name))
        )
        amount = f"${order.notional:.2f}" if shares is None else ""
        self.orders[account, minute(at), order.symbol] = Asked(order.kind, amount, shares, " ".join(prices))

    def fill(self, account: str, at: int, symbol: str, shares: float, paid: float) -> None:
        """Add a fill; those of a symbol on one side in a session are one."""
        where = account, minute(at)[:10], symbol, "bought" if shares > 0.0 else "sold"
        ratio = self._ratio(symbol, where[1])
        shares, paid = shares * ratio, paid / ratio
        before, price = self.fills.get(where, (0.0, 0.0))
        self.fills[where] = before + shares, (before * price + shares * paid) / (before + shares)

    def close(self, account: str, session: str, equity: float, cash: float, positions: Mapping[str, float]) -> None:
        self.books[account, session, "equity"], self.books[account, session, "cash"] = equity, cash
        for symbol, shares in positions.items():
            if abs(shares) > SHARE:
                self.books[account, session, symbol] = shares * self._ratio(symbol, session)

    def _ratio(self, symbol: str, session: str) -> float:
        return ratio_since(self.splits, symbol, session)


def _leaves(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping):
        for name, one in value.items():
            yield from _leaves(one, f"{path}.{name}" if path else str(name))
    elif isinstance(value, list | tuple):
        for n, one in enumerate(value):
            yield from _leaves(one, f"{path}[{n}]")
    else:
        yield path, value


# ── the two sides ───────────────────────────────────────────────────────────────────────────────────────────────────


def splits_of(events: Sequence[Event]) -> list[Split]:
    """Return the splits that came in a forward test."""
    found = [one.payload for one in events if one.kind == "forward.split"]
    return [Split(one["symbol"], date.fromisoformat(one["session"]), one["ratio"]) for one in found]


def read_side(events: Sequence[Event], last: date, held: Container[datetime], approved: Mapping[str, Approved]) -> Side:
    """Return what a forward test did. After the close of the session `last` a replay orders nothing, and of the points
    there it has those `held` alone, reviews. Of decisions on books as `approved` the first intent counts."""
    (ends,) = sessions(last, last).closes_at.tolist()
    side, made = Side(splits=splits_of(events)), dict[tuple[str, datetime], Any]()
    for event in events:
        account, payload = str(event.account), event.payload
        if event.kind == "forward.intent":
            intent = payloads.read_intent(payload)
            over = instant(intent.decision.as_of) >= ends
            if over and intent.decision.as_of not in held:
                continue
            if account in approved:
                intent, _ = approved[account].points.get(intent.decision.as_of, (intent, ()))
            made[account, intent.decision.as_of] = intent
            planned = not over and "approval" not in payload  # else as a person changed it
            for order in intent.orders if planned else ():  # of a later revision those that had still to be sent
                side.order(account, order.submitted_at, order)
        elif event.kind == "forward.fill":
            fill = payloads.read_fill(payload)
            if minute(fill.at)[:10] > str(last):
                continue  # of a session that has not ended: the replay has none of it yet
            side.fill(account, fill.at, fill.symbol, fill.quantity, fill.price)
        elif event.kind == "forward.session" and event.account is not None:
            side.close(account, *(payload[one] for one in ("session", "equity", "cash", "positions")))
    for (account, _), intent in made.items():
        side.decide(account, intent.decision)
    return side


def _replayed_side(accounts: Mapping[str, Replayed]) -> Side:
    side = Side()
    for name, replayed in accounts.items():
        ledger, bars = replayed.ledger, replayed.ledger.bars
        intents = [one for one in replayed.results if isinstance(one, Intent)]
        on_record = {instant(one.decision.as_of) for one in intents}
        for result in replayed.results:
            side.decide(name, result.decision)
        planned = [order for one in intents if instant(one.decision.as_of) < bars.closes_at[-1] for order in one.orders]
        for order in chain((one for one in ledger.orders if one.submitted_at not in on_record), planned):
            side.order(name, order.submitted_at, order)
        for fill in ledger.fills:
            side.fill(name, fill.at, fill.symbol, fill.quantity, fill.price + fill.slippage / fill.quantity)
        for t in session_ends(bars).tolist():
            positions = dict(zip(bars.symbols, ledger.positions[t].tolist(), strict=True))
            side.close(name, str(day_of(bars.session_of[t])), float(ledger.equity[t]), float(ledger.cash[t]), positions)
    return side


def spec_of(events: Sequence[Event]) -> tuple[RunSpec, date]:
    """Return what a forward test trades, and its last session that has ended. Raises DataError."""
    started = next((one.payload for one in events if one.kind == "forward.started" and "strategy" in one.payload), None)
    ended = [str(one.payload["session"]) for one in events if one.kind == "forward.session"]
    if started is None or not ended:
        raise DataError("no session of it has ended", mend="parity is shown of sessions that were traded")
    spec = RunSpec(
        started["strategy"], tuple(started["symbols"]), date.fromisoformat(started["first"]),
        models=started["models"], parameters=started["parameters"],
    )  # fmt: skip
    return as_traded(spec), date.fromisoformat(max(ended))


def cash_of(events: Sequence[Event]) -> dict[str, float]:
    """Return the dollars each account of a forward test began with. Raises DataError for one that held positions."""
    opening = next((one.payload["opening"] for one in events if "opening" in one.payload), dict[str, Any]())
    for name, one in opening.items():
        if one.get("positions"):
            what = f"{name} held {', '.join(one['positions'])} before the test: a replay begins with cash alone"
            raise DataError(what, mend="begin a test on flat accounts: `sim forward close-all`")
    return {name: float(one["cash"]) for name, one in opening.items() if "cash" in one}


def replay_again(
    spec: RunSpec,
    last: date,
    workspace: Workspace,
    data: Path,
    splits: Sequence[Split] = (),
    cash: Mapping[str, float] | None = None,
    approved: Mapping[str, Approved] | None = None,
) -> tuple[dict[str, Replayed], str, ReplayInputs]:
    """Return the accounts of a replay of `spec` on the bars in `data`, why it ended early, empty where it did not, and
    all its inputs. They begin with `cash` by account, or that of config/accounts.yaml; those `approved` decide on books
    on record.

    Rules and rule-based analysts answer anew; what models are asked must have been asked before.
    """
    config = override_config(load_config(workspace.config), spec.overrides)
    rules, books = TradingRules.from_config(config), {name: one.books() for name, one in (approved or {}).items()}
    with open_gateway(replace(spec, cache="replay"), workspace, config) as asking:
        strategy = load_strategy(spec.strategy, workspace.strategies, asking, spec.own, len(spec.symbols)).strategy
        if all(seat.provider == Offline.name for seat in seats_of(strategy).values()):
            asking.gateway.mode = "record"
        asking.open_for("", seats_of(strategy))
        points = points_of(strategy, config.schedule)
        there = workspace.reading(str(data.absolute()))
        beside = find_benchmark(strategy, spec.symbols, there)
        inputs = load_inputs(spec.symbols, spec.first, last, strategy.window, points, there, config, beside).inputs
        shown = adjust_for_splits(inputs.bars, splits), adjust_for_splits(inputs.context, splits)
        inputs = replace(inputs, bars=shown[0], context=shown[1])
        if (data / ASKED).is_file():  # headlines were the broker's, as it told them then
            inputs = replace(inputs, news=load_news(data / "news"))
        try:
            own = next(name for name, one in members_of(strategy, config).items() if one is strategy)
            begins = (cash or {}).get(own, config.accounts.cash)
            replayed = replay_strategy(strategy, inputs, rules, begins, None, asking.loop, books=books.get(own))
        except LLMError as error:
            return {}, error.found, inputs
    every = replay_accounts(strategy, replayed, rules, config.accounts, cash, books)
    accounts = {one.name: one.replayed for one in every}
    return accounts or {COUNCIL: replayed}, "" if replayed.stopped is None else replayed.stopped.found, inputs


# ── compared ────────────────────────────────────────────────────────────────────────────────────────────────────────


def find_run(workspace: Workspace, name: str) -> tuple[str, Path]:
    """Return id and folder of the forward test that `name`, an id or its beginning, stands for; of ``last`` the one
    that was written to last. Raises UsageError."""
    folders = sorted(one for one in workspace.reports.glob("forward-*") if (one / "data").is_dir())
    if name == "last":
        found = [find_folder(workspace.reports)]
    else:
        found = [one for one in folders if one.name == name or one.name.rpartition("-")[2].startswith(name)]
    if len(found) != 1:
        there = ", ".join(one.name.rpartition("-")[2] for one in found or folders)
        what = f"{len(found)} forward tests fit" if found else "no forward test"
        raise UsageError(f'{what} "{name}"', mend=f"one of {there}" if there else "`sim rehearse` makes one")
    return found[0].name.rpartition("-")[2], found[0]


def compare(run: str, folder: Path, workspace: Workspace) -> Parity:
    """Replay what the forward test `run` traded so far and compare. Raises DataError for what is no forward test."""
    with open_store(workspace) as store:
        stored = store.of_forward(run)
    events = [one.event for one in stored]
    spec, last = spec_of(events)
    recorded = available(folder / "data")
    if gone := next((symbol for symbol in spec.symbols if symbol not in recorded), None):
        what = f"the recorded bars of {gone} are gone"
        raise DataError(
            what, where=str(folder / "data"), mend="parity needs what the test was decided on: restore them"
        )
    cash, splits = cash_of(events), splits_of(events)
    records, approved = read_records(run, stored, spec, workspace, folder / "data")
    accounts, stopped, inputs = replay_again(spec, last, workspace, folder / "data", splits, cash, approved)
    held = {result.decision.as_of for replayed in accounts.values() for result in replayed.results}
    forward, again = read_side(events, last, held, approved), _replayed_side(accounts)
    checked, differences = _changed_inputs(events, folder / "data")
    if stopped:
        differences.append(Difference("prompts", ("all", str(last), "asked"), None, stopped))
    counted = list[Difference]()
    for one in chain.from_iterable(_differ(part, getattr(forward, part), getattr(again, part)) for part in PARTS[1:]):
        changed = approved.get(one.where[0])
        (counted if changed is not None and changed.excuses(one) else differences).append(one)
    for name in accounts or records:
        differences += records[name].find_differences(inputs) if name in records else ()
    compared = {part: len(getattr(forward, part)) if part != "inputs" else checked for part in PARTS}
    compared["books"] += sum(one.held for one in records.values())
    since = min((one.since.isoformat() for one in approved.values()), default=None)
    paid = _slippage(events)
    edited = _list_changed(folder, spec, workspace)
    return Parity(run, spec.first, last, compared, tuple(differences), *paid, since, tuple(counted), edited)


def _list_changed(folder: Path, spec: RunSpec, workspace: Workspace) -> tuple[str, ...]:
    """Return what is no longer as it was registered: files of the strategy, ``config/``, the program."""
    then, as_it_is = read_registration(folder / FILE), load_config(workspace.config)
    config = override_config(as_it_is, spec.overrides)
    taken = seats(config.models, spec.models)
    seating = Seating(Nobody("parity"), taken, tuple(config.accounts.accounts), config=config)
    loaded = load_strategy(spec.strategy, workspace.strategies, seating, spec.own, len(spec.symbols))
    files, seated = loaded.files, describe_seats(loaded.strategy)
    changed = sorted(name for name in {*then.files, *files} if then.files.get(name) != files.get(name))
    typed = {name: value for name, value in spec.overrides.items() if name != "risk.execution"}
    known = (digest_of({**one.dump(), "models": seated}) for one in (config, override_config(as_it_is, typed)))
    return (
        *(name if name.startswith(("config/", "sectors")) else f"strategies/{name}" for name in changed),
        *(() if then.config in known else ("config/",)),
        *(() if then.code == code_digest() else ("the program",)),
    )


def read_records(
    run: str, stored: Sequence[Stored], spec: RunSpec, workspace: Workspace, data: Path
) -> tuple[dict[str, OwnRecords], dict[str, Approved]]:
    """Return the records of each account, and those accounts in which a person changed trades."""
    config, events = override_config(load_config(workspace.config), spec.overrides), [one.event for one in stored]
    trades = list(fold({}, stored).values())
    late = find_late({f"data/{one.name}": one.read_bytes() for one in data.glob("*.csv")}, events)
    rules, cash, splits = TradingRules.from_config(config), cash_of(events), splits_of(events)
    records = dict[str, OwnRecords]()
    for name in sorted({one.account for one in events if one.account}):
        began, asked = cash.get(name, config.accounts.cash), find_questions(trades, name)
        records[name] = OwnRecords(name, rules, began, splits, State(Origin(run, name)), asked, late)
        records[name].read(events)
    return records, {name: Approved(at, records[name]) for name, at in find_changed(trades).items() if name in records}


def _changed_inputs(events: Sequence[Event], data: Path) -> tuple[int, list[Difference]]:
    """Return how many recorded files have a digest on record, and those that have changed since, decisions or not."""
    rows = [one.payload for one in events if one.kind == "forward.session" and one.payload.get("inputs")]
    if not rows:
        return 0, []
    kept, now = rows[-1]["inputs"], input_digests(data, rows[-1]["inputs"])
    changed = [name for name, one in kept.items() if tuple(one) != now.get(name)]
    return len(kept), [Difference("inputs", (one, rows[-1]["session"]), kept[one], now.get(one)) for one in changed]


def _differ(part: Part, forward: Facts, again: Facts) -> Iterator[Difference]:
    for where in sorted({*forward, *again}, key=lambda one: (one[1], *map(str, one))):
        mine, theirs = forward.get(where), again.get(where)
        if not _same(part, mine, theirs):
            mine, theirs = (str(one) if isinstance(one, Asked) else one for one in (mine, theirs))
            yield Difference(part, tuple(map(str, where)), mine, theirs)


def _same(part: Part, mine: Any, theirs: Any) -> bool:
    if part == "decisions" and isinstance(mine, float) and isinstance(theirs, float):
        # A weight of what is held follows from sums of fills; a profit is a small difference of such sums.
        return isclose(mine, theirs, rel_tol=ROUNDING, abs_tol=NOTHING)
    if isinstance(mine, Asked) and isinstance(theirs, Asked):
        return mine.is_same(theirs)
    if mine is None or theirs is None or part not in ("fills", "books"):
        return bool(mine == theirs)
    if part == "books":
        return isclose(mine, theirs, rel_tol=0.0, abs_tol=CENT)
    (shares, price), (others, paid) = mine, theirs
    return isclose(shares, others, rel_tol=0.0, abs_tol=SHARE) and isclose(price, paid, rel_tol=PRICE)


def _slippage(events: Sequence[Event]) -> tuple[float | None, float]:
    """Return basis points that market orders paid over the open, and the dollars they traded."""
    fills = {one.payload["id"]: payloads.read_fill(one.payload) for one in events if one.kind == "forward.fill"}
    paid = traded = 0.0
    for event in events:
        for name, price in (event.payload.get("references") or {}).items() if event.kind == "forward.session" else ():
            with suppress(KeyError):
                fill = fills[name]
                if fill.price != price:
                    paid += (fill.price - price) * fill.quantity
                    traded += abs(price * fill.quantity)
    return (paid / traded * 1e4 if traded else None), traded
