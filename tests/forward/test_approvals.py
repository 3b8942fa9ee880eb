"""Approvals in the store: what is asked, who answered what, and that an answer to something else is stale."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from simulator.errors import UsageError
from simulator.forward import approvals
from simulator.forward.approvals import (
    Answer,
    Approval,
    Staged,
    StaleError,
    answer,
    answer_together,
    change,
    change_all,
    forbids,
    list_kill_shots,
    list_reviews,
    read_approvals,
    write_asked,
)
from simulator.forward.exposure import Room
from simulator.store.backup import back_up, restore
from simulator.store.database import Store
from simulator.store.events import Event, Stored
from simulator.trading.risk import EntryRules, Limits

ASKED = Approval(
    "a" * 12, "run", "A", "2024-06-04T08:45:00-04:00", "meeting", "2024-06-04T09:27:00-04:00", 1, "waiting",
    {"COUNCIL": Staged(10.0, limit=99.0, stop=90.0, exits="oto", equity=1e5, most=2e4)}, 100.0,
)  # fmt: skip


@pytest.fixture
def store(tmp_path: Path) -> Store:
    opened = Store(tmp_path / "sim.db")
    opened.append("run", [Event("forward.started", None, None, {"rehearsed": True})])
    opened.append("run", [Event("approval.asked", ASKED.decided_at, None, write_asked(ASKED))])
    return opened


def test_what_is_asked_comes_back(store: Store) -> None:
    assert read_approvals(store) == [ASKED]
    assert read_approvals(store, "another") == []


def test_every_event_is_read_once_and_all_of_them_anew_after_a_backup_was_put_back(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read, take = list[str](), approvals._known._take

    def note(known: dict[str, Approval], stored: Stored) -> None:
        read.append(stored.event.kind)
        take(known, stored)

    back_up(tmp_path / "sim.db", tmp_path / "kept")
    monkeypatch.setattr(approvals._known, "_take", note)
    assert [one.state for one in read_approvals(store)] == ["waiting"]
    answer(store, ASKED.id, 1, "ann", "approve")
    read.clear()
    assert [one.state for one in (*read_approvals(store), *read_approvals(store, "run"))] == ["approved"] * 2
    assert read == ["approval.given"]
    restore(tmp_path / "kept", tmp_path / "sim.db", tmp_path / "before")
    assert [one.state for one in read_approvals(store)] == ["waiting"]
    for number in range(3):  # as long as before, and longer
        store.append("run", [Event("approval.asked", None, None, write_asked(replace(ASKED, id=f"{number}")))])
    assert [one.state for one in read_approvals(store)] == ["waiting"] * 4


def test_an_answer_to_an_older_version_is_stale(store: Store) -> None:
    newer = replace(ASKED, version=2, sizes={"COUNCIL": Staged(12.0)})
    store.append("run", [Event("approval.asked", ASKED.decided_at, None, write_asked(newer))])
    with pytest.raises(StaleError, match="version 2 is asked now, 1 was answered"):
        answer(store, ASKED.id, 1, "ann", "approve")
    assert answer(store, ASKED.id, 2, "ann", "approve").sizes["COUNCIL"].quantity == 12.0


def test_a_real_test_takes_no_answer_after_the_deadline(tmp_path: Path) -> None:
    with Store(tmp_path / "sim.db") as store:
        store.append("run", [Event("approval.asked", ASKED.decided_at, None, write_asked(ASKED))])
        with pytest.raises(StaleError, match="could be answered until"):
            answer(store, ASKED.id, 1, "ann", "approve")


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"quantity": 1.5}, "whole shares"),
        ({"stop": 99.5}, "beyond the stop"),
        ({"take_profit": 98.0}, "beyond the target"),
        ({"limit": 99.001}, "between two ticks"),
        ({"quantity": 500}, "risk rules allow"),
        ({"quantity": -3}, "cannot be"),
        ({"quantity": float("nan")}, "cannot be"),
        ({"scale": 0.01}, "less than one share"),
        ({"colour": 1}, "cannot be"),
        ({"scale": 1e308}, "cannot be"),
        ({"scale": 2.0, "quantity": 5.0}, "by scale or by quantity"),
    ],
)
def test_changes_that_broker_or_risk_rules_forbid_leave_it_waiting(
    store: Store, changes: dict[str, float], why: str
) -> None:
    with pytest.raises(UsageError, match=why):
        answer(store, ASKED.id, 1, "ann", "modify", changes=changes)
    assert read_approvals(store) == [ASKED]


def test_an_approval_at_a_price_beyond_its_stop_is_refused(store: Store) -> None:
    bare = replace(ASKED, version=2, sizes={"COUNCIL": Staged(10.0, stop=90.0, exits="oto")})
    store.append("run", [Event("approval.asked", ASKED.decided_at, None, write_asked(bare))])
    with pytest.raises(UsageError, match="price 89 is beyond the stop 90"):
        answer(store, ASKED.id, 2, "ann", "approve", price=89.0)


@pytest.mark.parametrize(
    ("staged", "price", "why"),
    [
        (Staged(-150.0, limit=1.0, most=20_000.0), 517.0, "max_weight"),  # a sale below the market fills at the market
        (Staged(-150.0, limit=1.0, stop=600.0, exits="oto", most=20_000.0), 517.0, "max_weight"),
        (Staged(150.0, limit=1.0, most=20_000.0), 517.0, ""),
        (Staged(10.0, limit=600.0, stop=560.0, take_profit=650.0, exits="bracket"), 516.0, "the price 516 is beyond"),
        (Staged(-10.0, limit=500.0, stop=510.0, take_profit=400.0, exits="bracket"), 516.0, "the price 516 is beyond"),
        (Staged(10.0, limit=500.0, stop=490.0, take_profit=510.0, exits="bracket"), 516.0, ""),
        (Staged(1e9, most=20_000.0), None, "no price is known"),
        (Staged(10.0, most=20_000.0), float("nan"), "no price is known"),
        (Staged(1e-9, most=20_000.0), 100.0, "less than a dollar"),
        (Staged(notional=0.0, most=20_000.0), 100.0, "less than a dollar"),
    ],
)
def test_a_size_is_held_against_what_it_may_cost(staged: Staged, price: float | None, why: str) -> None:
    found = forbids(staged, price)
    assert found.startswith(why)
    assert bool(found) == bool(why)


def test_a_change_is_kept_with_who_saw_what(store: Store) -> None:
    done = answer(store, ASKED.id, 1, "ann", "modify", "smaller", {"scale": 0.5, "limit": 98.0})
    assert (done.state, done.version, done.by, done.reason) == ("approved", 2, "ann", "smaller")
    assert (done.sizes["COUNCIL"].quantity, done.sizes["COUNCIL"].limit) == (5.0, 98.0)
    assert done.seen == ASKED.digest
    with pytest.raises(UsageError, match="has a reason"):
        answer(store, ASKED.id, 2, "bob", "reject")


def test_accounts_on_opposite_sides_are_changed_each_for_itself(store: Store) -> None:
    sizes = {"GEMINI": Staged(-20.0, stop=110.0, exits="oto", equity=1e5, most=2e4), "CHATGPT": ASKED.sizes["COUNCIL"]}
    both = replace(ASKED, id="b" * 12, sizes=sizes)
    store.append("run", [Event("approval.asked", both.decided_at, None, write_asked(both))])
    with pytest.raises(UsageError, match="GEMINI: the price 100 is beyond the stop 95"):
        answer(store, both.id, 1, "ann", "modify", changes={"stop": 95.0})
    with pytest.raises(UsageError, match='no account "GROK" trades it'):
        answer(store, both.id, 1, "ann", "modify", changes={"GROK.stop": 95.0})
    done = answer(store, both.id, 1, "ann", "modify", changes={"GEMINI.stop": 104.0, "stop": 95.0, "scale": 0.5})
    assert {name: (one.quantity, one.stop) for name, one in done.sizes.items()} == {
        "GEMINI": (-10.0, 104.0), "CHATGPT": (5.0, 95.0),
    }  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "shares"),
    [
        ({"scale": 0.5, "GEMINI.quantity": 3.0}, {"GEMINI": 3.0, "COUNCIL": 5.0}),
        ({"GEMINI.scale": 0.5, "quantity": 3.0}, {"GEMINI": 10.0, "COUNCIL": 3.0}),
        ({"GEMINI.scale": 0.5, "scale": 0.2}, {"GEMINI": 10.0, "COUNCIL": 2.0}),
        ({"quantity": 4.0, "GEMINI.stop": 91.0}, {"GEMINI": 4.0, "COUNCIL": 4.0}),
        ({"GEMINI.scale": 0.5, "GEMINI.quantity": 3.0}, None),
        ({"scale": 0.5, "quantity": 3.0}, None),
    ],
)
def test_the_size_said_of_one_account_goes_before_that_said_of_all(
    changes: dict[str, float], shares: dict[str, float] | None
) -> None:
    own = ASKED.sizes["COUNCIL"]
    sizes = {"GEMINI": replace(own, quantity=20.0), "COUNCIL": replace(own, quantity=10.0)}
    if shares is None:
        with pytest.raises(UsageError, match="by scale or by quantity"):
            change_all(sizes, changes)
        return
    assert {name: one.quantity for name, one in change_all(sizes, changes).items()} == shares


def test_where_one_of_a_run_is_refused_none_of_that_run_is_answered(store: Store) -> None:
    for run, id in (("run", "b" * 12), ("other", "c" * 12)):
        asked = replace(ASKED, id=id, symbol=id[0].upper(), run=run)
        store.append(run, [Event("forward.started", None, None, {"rehearsed": True})])
        store.append(run, [Event("approval.asked", asked.decided_at, None, write_asked(asked))])
    given = [Answer(id * 12, version, "ann", "approve") for id, version in (("a", 1), ("b", 7), ("c", 1))]
    first, second, third = answer_together(store, given)
    assert isinstance(first, StaleError)
    assert "B has changed" in str(first)
    assert first is second
    assert isinstance(third, Approval)
    assert [(one.symbol, one.state) for one in read_approvals(store)] == [
        ("A", "waiting"), ("B", "waiting"), ("C", "approved"),
    ]  # fmt: skip
    done = answer_together(store, [Answer(id * 12, 1, "ann", "approve", run="run") for id in "ab"])
    assert [one.state for one in done if isinstance(one, Approval)] == ["approved", "approved"]


def test_a_trade_named_twice_in_one_answer_is_refused(store: Store) -> None:
    (first, second) = answer_together(store, [Answer(ASKED.id, 1, "ann", "approve")] * 2)
    assert "once at a time" in str(first) == str(second)
    assert read_approvals(store) == [ASKED]


LIMITS = Limits(0.3, 0.4, 0.5, {"A": "stocks", "B": "stocks"})
CHANGES = [
    ({"quantity": 250}, ""),
    ({"quantity": 290}, "max_group: 44.0% of equity is above the 40.0% that the risk rules allow"),
    ({"quantity": 400}, "max_weight: $40,000 more is above the $30,000"),
]


def ask_for(store: Store, beside: dict[str, float], margin: float = 1.0, **shares: float) -> None:
    """Ask for trades at $100 in an account of $100,000 that holds `beside`."""
    for symbol, quantity in shares.items():
        room = Room.of(symbol, beside, LIMITS, (margin, 0.5), shares.keys() | {"A", "B"})
        staged = Staged(quantity, equity=1e5, most=3e4, room=room)
        asked = replace(ASKED, id=symbol.lower() * 12, symbol=symbol, sizes={"COUNCIL": staged}, version=1)
        store.append("run", [Event("approval.asked", ASKED.decided_at, None, write_asked(asked))])


@pytest.mark.parametrize(("changes", "why"), CHANGES)
def test_a_size_is_held_against_each_rule_by_its_name(store: Store, changes: dict[str, float], why: str) -> None:
    ask_for(store, {}, B=150, C=10)
    answer(store, "b" * 12, 1, "ann", "modify", changes={"quantity": 150})
    ask_for(store, {}, A=10)
    if not why:
        assert answer(store, "a" * 12, 1, "ann", "modify", changes=changes).sizes["COUNCIL"].quantity == 250
        return
    with pytest.raises(UsageError) as refused:
        answer(store, "a" * 12, 1, "ann", "modify", changes=changes)
    assert why in refused.value.found


def test_gross_and_buying_power_count_what_is_held_and_what_else_waits(store: Store) -> None:
    ask_for(store, {"X": -2e4}, C=290, D=10)
    with pytest.raises(UsageError, match=r"max_gross: 60\.0% of equity"):
        answer(store, "d" * 12, 1, "ann", "modify", changes={"quantity": 100})
    together = [
        Answer("c" * 12, 1, "ann", "reject", "no"), Answer("d" * 12, 1, "ann", "modify", changes={"quantity": 100}),
    ]  # fmt: skip
    assert [one.state for one in answer_together(store, together) if isinstance(one, Approval)] == [
        "rejected", "approved",
    ], "what is rejected with it makes room"  # fmt: skip
    ask_for(store, {}, 4.0, E=290)
    with pytest.raises(UsageError, match=r"buying power: \$13,990 are missing"):
        answer(store, "e" * 12, 1, "ann", "modify", changes={"quantity": 280})


def test_an_approval_of_an_earlier_version_has_the_digest_it_always_had() -> None:
    assert ASKED.digest == "6dfbd20754268c05"


def test_a_kill_shot_is_told_once_with_who_aims_it_at_whose_pitch() -> None:
    def review(seat: str, about: str, direction: str, shot: str) -> dict[str, object]:
        return {"seat": seat, "about": about, "direction": direction, "scores": {"edge_plausibility": 5, "timing": 8},
                "kill_shot": shot, "flip_condition": "it falls"}  # fmt: skip

    reviews = (review("trend", "value", "LONG", "jobs"), review("macro", "value", "LONG", "jobs"),
               review("trend", "carry", "FLAT", "cash"))  # fmt: skip
    asked = replace(ASKED, reviews=reviews, kill_shots=("jobs", "jobs", "cash"))
    assert list_kill_shots(asked) == ["jobs (trend on value LONG; macro on value LONG)", "cash (trend on carry FLAT)"]
    first = "trend on value LONG: mean 6.5, edge plausibility 5, timing 8; would turn if: it falls"
    assert list_reviews(asked)[0] == first
    assert list_kill_shots(replace(ASKED, kill_shots=("rates", "rates"), reviews=())) == ["rates"]


@pytest.mark.parametrize(
    ("changes", "rule"),
    [
        ({"scale": 0.5}, ""),
        ({"scale": 6.0}, "position: 90.0% of equity is above the 15.0% that the strategy allows"),
        ({"stop": 90.0}, "stop: 10.0% of the price is above the 3.0% that the strategy allows"),
        ({"scale": 1.01, "stop": 97.5}, ""),
        ({"limit": 98.5}, ""),
    ],
)
def test_a_person_who_changes_an_entry_is_held_to_the_rules_of_its_strategy(
    changes: dict[str, float], rule: str
) -> None:
    """A desk whose risk rules would let it: 15 % of equity in a position, a stop 3 % away at most."""
    room = Room("NVDA", {"AMD": 1_000.0}, (), (1.0, 1.0, 1.0))
    rules = EntryRules(risk=0.02, position=0.15, sector=0.3, stop=0.03, peers=("AMD",))
    staged = Staged(150.0, None, None, 98.0, 110.0, "bracket", 0.0, 100_000.0, 1e6, "", room, rules=rules)
    assert forbids(staged, 100.0) == ""
    assert forbids(change(staged, changes), 100.0) == rule


def test_the_limits_that_are_shown_of_a_desk_are_those_that_hold() -> None:
    room = Room("NVDA", {"AMD": 10_000.0, "F": 20_000.0}, ("F",), (0.5, 0.4, 1.0))
    rules = EntryRules(risk=0.02, position=0.15, sector=0.3, stop=0.03, peers=("AMD",))
    after = room.after(15_000.0, 100_000.0, {}, rules)
    assert after.binding == ((0.15, 0.15), (0.35, 0.4), (0.45, 1.0)), "the group is nearer to its limit"
    assert room.after(15_000.0, 100_000.0, {"F": 0.0}, rules).binding[1] == (0.25, 0.3), "its own sector is"
    assert room.after(15_000.0, 100_000.0, {}).binding == ((0.15, 0.5), (0.35, 0.4), (0.45, 1.0)), "no desk"


@pytest.mark.parametrize(
    ("rules", "rule"),
    [
        (EntryRules(risk=0.002, position=1.0, sector=1.0, stop=0.03), "risk: 0.3% of equity down to the stop"),
        (EntryRules(risk=1.0, position=1.0, sector=0.15, stop=0.03, peers=("AMD",)), "sector: 16.1% of equity"),
    ],
)
def test_risk_and_sector_of_a_changed_entry_count_what_is_held_beside_it(rules: EntryRules, rule: str) -> None:
    room = Room("NVDA", {"AMD": 1_000.0}, (), (1.0, 1.0, 1.0))
    staged = Staged(150.0, None, None, 98.0, 110.0, "bracket", 0.0, 100_000.0, 1e6, "", room, rules=rules)
    assert forbids(change(staged, {"scale": 1.01}), 100.0).startswith(rule)
    bare = Staged(150.0, None, None, None, None, "simple", 0.0, 100_000.0, 1e6, "", room, rules=rules)
    assert forbids(change(bare, {"scale": 0.9}), 100.0) == "stop: the strategy enters with one"
