"""Orders of a rehearsal whose trades were answered by a script: the broker has what was approved, and nothing beside
it; and the audit trail alone says what that is."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

import pytest

from simulator.errors import UsageError
from simulator.exchange.server import serve
from simulator.forward.approvals import KINDS, fold
from simulator.rehearsal.answers import parse_answers
from simulator.rehearsal.rehearse import Rehearsal, rehearse
from simulator.rehearsal.summary import summarise
from simulator.runs.spec import RunSpec
from simulator.store.connection import store_place
from simulator.store.database import Store
from simulator.store.events import Stored
from simulator.workspace import Workspace, make_workspace

pytestmark = pytest.mark.medium

ANSWERS = (
    "2024-06-04 SPY modify quantity=40 limit=530 stop=505 take_profit=560 smaller, with a stop",
    "2024-06-04 QQQ modify scale=0.5",
    "2024-06-05 QQQ approve",
    "2024-06-05 *   reject not this week",
)


@dataclass
class Played:
    """A rehearsal: its events, and at the broker the orders, cash and shares of its account."""

    stored: list[Stored]
    orders: list[Any]
    cash: float
    shares: dict[str, float]
    counted: int
    """Orders, as the last lines of `sim rehearse` count them."""


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Played]:
    make_workspace(root := tmp_path_factory.mktemp("approved") / "workspace", git=False)
    workspace = Workspace(root, root)
    fast = {"risk.execution": "alpaca", "schedule.cadence": "daily", "fast": 2, "slow": 3}
    spec = RunSpec("sma_cross", ("SPY", "QQQ"), date(2024, 6, 3), models="offline", parameters=fast)
    asked = Rehearsal(spec, 3, workspace, answers=ANSWERS)
    with serve(asked.open_exchange(), per_minute=10**9) as served:
        made: Any = summarise(asked, rehearse(asked, url=served.url))
        account = served.call(lambda exchange: exchange.accounts["REHEARSALCOUNCIL"])
        with Store(store_place(workspace.registry)) as store:
            shares = {symbol: account.shares_of(symbol) for symbol in ("SPY", "QQQ")}
            yield Played(store.of_forward(asked.run), list(account.orders.values()), account.cash, shares,
                         made["accounts"]["COUNCIL"]["orders"])  # fmt: skip


def terms_of(order: Any) -> tuple[object, ...]:
    """What an entry asks for: symbol, dollars or shares, limit, stop and target."""
    stops = [leg.stop_price for leg in order.legs if leg.kind == "stop"]
    targets = [leg.limit_price for leg in order.legs if leg.kind == "limit"]
    size = (None, order.notional) if order.notional is not None else (order.qty, None)
    return order.symbol, *size, order.limit_price, *(stops or [None]), *(targets or [None])


def entries_of(played: Played) -> list[tuple[object, ...]]:
    """Entries that the broker got: what leaves or protects waits for nobody."""
    return sorted((terms_of(one) for one in played.orders if one.side == "buy"), key=repr)


def rebuild(stored: list[Stored]) -> list[tuple[object, ...]]:
    """The entries that follow from what was asked and what was answered, worked out from these events alone."""
    asked: dict[str, dict[str, Any]] = {}
    entries = []
    for one in stored:
        given = dict(one.event.payload)
        if one.event.kind == "approval.asked":
            asked[given["id"]] = given
        elif one.event.kind == "approval.given":
            before = asked[given["id"]]
            assert given["seen_version"] == before["version"]
            for size in before["sizes"].values():
                changes, made = dict(given["changes"]), dict(size)
                factor = changes.pop("scale", 1.0)
                made["quantity"] = None if size["quantity"] is None else int(size["quantity"] * factor)
                made["notional"] = None if size["notional"] is None else round(size["notional"] * factor, 2)
                if "quantity" in changes:
                    made["notional"] = None
                made |= changes
                names = ("quantity", "notional", "limit", "stop", "take_profit")
                entries.append((before["symbol"], *(made[name] for name in names)))
    return sorted(entries, key=repr)


def test_the_brokers_books_change_by_exactly_what_was_approved(played: Played) -> None:
    asked = [one.event.payload for one in played.stored if one.event.kind == "approval.asked"]
    half, whole = (one["sizes"]["COUNCIL"]["notional"] for one in asked if one["symbol"] == "QQQ")
    expected: list[tuple[object, ...]] = [
        ("QQQ", None, round(half / 2.0, 2), None, None, None),
        ("QQQ", None, whole, None, None, None),
        ("SPY", 40.0, None, 530.0, 505.0, 560.0),
    ]
    assert entries_of(played) == sorted(expected, key=repr)
    assert [one["symbol"] for one in asked].count("SPY") == 2, "the second was rejected"
    legs = {leg.id for one in played.orders for leg in one.legs}
    assert played.counted == len({one.id for one in played.orders} - legs), "what was rejected is no order"
    filled = [one for one in played.orders if one.filled]
    for symbol, shares in played.shares.items():
        assert shares == pytest.approx(sum(one.sign * one.filled for one in filled if one.symbol == symbol), rel=1e-12)
    assert played.shares["SPY"] == 40.0
    spent = sum(one.sign * one.paid + one.commission for one in filled)
    assert played.cash == pytest.approx(100_000.0 - spent, abs=1e-6)


def test_the_audit_trail_alone_says_what_the_broker_has_and_who_saw_what(played: Played) -> None:
    trail = [one for one in played.stored if one.event.kind in KINDS]
    assert rebuild(trail) == entries_of(played)
    for number, one in enumerate(trail):
        if one.event.kind in ("approval.given", "approval.refused"):
            given = one.event.payload
            seen = fold({}, trail[:number])[given["id"]]
            assert (given["by"], given["seen"], given["seen_version"]) == ("script", seen.digest, seen.version)
            assert datetime.fromisoformat(one.recorded_at).tzinfo is not None
            assert given["price"] is None or given["price"] > 0.0


@pytest.mark.parametrize("line", ["modify limt=3", "modify limit=-3", "modify stop=nan", "modify", "modify stop=x"])
def test_a_change_that_cannot_be_is_refused_before_anything_is_played(line: str) -> None:
    with pytest.raises(UsageError, match=r"answers\.txt:1"):
        parse_answers([f"* SPY {line}"], "answers.txt")
