"""Rows of forward tests: kept event by event, the same as all events make at once, on each database."""

from __future__ import annotations

import shutil
from datetime import date, datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine

from simulator.errors import SimError
from simulator.forward.approvals import Approval, Staged, answer, read_approvals, write_asked
from simulator.forward.status import read_positions
from simulator.market.bars import instant
from simulator.rehearsal.rehearse import Rehearsal, rehearse
from simulator.runs.spec import RunSpec
from simulator.store.backup import back_up, restore
from simulator.store.connection import parse_place, store_place
from simulator.store.database import Change, Store
from simulator.store.events import Event
from simulator.store.projections import LEAST
from simulator.trading.fills import LEAST_SHARES
from simulator.workspace import Workspace, make_workspace

pytestmark = pytest.mark.medium

RUN = "test"
TABLES = ("approvals", "orders", "positions", "trades")
ANSWERS = ("2024-06-03 SPY approve", "* QQQ modify scale=0.5 smaller", "* * reject not this week")


@pytest.fixture(scope="module")
def rehearsed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The store of a council's rehearsal, of whose trades one was approved, one changed and one rejected."""
    root = tmp_path_factory.mktemp("rehearsed") / "workspace"
    make_workspace(root, git=False)
    workspace = Workspace(root, root)
    spec = RunSpec("macro_council", ("SPY", "QQQ", "GLD"), date(2024, 6, 3), models="offline",
                   parameters={"risk.execution": "alpaca"})  # fmt: skip
    rehearse(Rehearsal(spec, 3, workspace.reading(None), answers=ANSWERS), lambda *_: None)
    return Path(str(store_place(workspace.registry)))


def fill(id: str, symbol: str, quantity: float, price: float, day: int, hour: str = "10:00:00") -> Event:
    at = f"2024-06-{day:02}T{hour}-04:00"
    given = {"id": id, "client_order_id": f"order {id}", "symbol": symbol, "quantity": quantity, "price": price}
    return Event("forward.fill", at, "COUNCIL", {**given, "at": instant(datetime.fromisoformat(at))})


def split(symbol: str, day: int, ratio: float) -> Event:
    at = f"2024-06-{day:02}"
    return Event("forward.split", f"{at}T16:00:00-04:00", None, {"symbol": symbol, "session": at, "ratio": ratio})


def held(store: Store) -> dict[str, float]:
    """What the rows have open."""
    return {row["symbol"]: row["quantity"] for row in store.rows("positions") if row["closed_at"] is None}


def booked(store: Store) -> dict[str, float]:
    """What the loop's books have."""
    return {symbol: n for symbol, n in read_positions("COUNCIL", store.of_forward(RUN)).items() if n}


def test_rows_of_a_rehearsal_with_answers_are_those_that_a_rebuild_makes_and_a_restored_store_has(
    rehearsed: Path, place: Path | str, tmp_path: Path
) -> None:
    with Store(Path(shutil.copy(rehearsed, tmp_path / "copy.db"))) as store:
        kept = {name: store.rows(name) for name in TABLES}
        assert all(kept.values()), "there is something to compare"
        assert not store.rebuild().differed
        trades = {one.id: one for one in read_approvals(store)}
        assert {row["state"] for row in kept["approvals"]} == {"given", "refused"}
        assert {row["id"]: row["by"] for row in kept["approvals"]} == {id: one.by for id, one in trades.items()}
        (run,) = {row["run_id"] for row in kept["positions"]}
        for name in {row["account"] for row in kept["positions"]}:
            open_ = {
                r["symbol"]: r["quantity"] for r in kept["positions"] if r["account"] == name and not r["closed_at"]
            }
            assert open_ == read_positions(name, store.of_forward(run))
        ids = {one.event.payload["client_order_id"] for one in store.of_forward(run, ("forward.order",))}
        assert {row["order_id"] for row in kept["orders"]} == ids
    back_up(tmp_path / "copy.db", tmp_path / "b.sqlite")
    restore(tmp_path / "b.sqlite", place)
    with Store(place) as store:
        assert not store.rebuild().differed
        assert {name: store.rows(name) for name in TABLES} == kept


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE approvals SET state = 'given' WHERE state = 'refused'",
        "UPDATE positions SET quantity = quantity + 1",
        "UPDATE orders SET filled = 0",
        "DELETE FROM trades",
        "INSERT INTO orders (run_id, account, order_id, event) VALUES ('test', 'COUNCIL', 'made up', 1)",
    ],
)
def test_a_row_that_was_tampered_with_is_found_and_put_right(place: Path | str, statement: str) -> None:
    with Store(place) as store:
        asked = Approval("a" * 12, RUN, "A", "2024-06-04T08:45:00-04:00", "meeting", "2024-06-04T09:27:00-04:00", 1,
                         "waiting", {"COUNCIL": Staged(10.0)}, 100.0)  # fmt: skip
        store.append(RUN, [Event("forward.started", None, None, {"rehearsed": True})])
        store.append(RUN, [Event("approval.asked", asked.decided_at, None, write_asked(asked))])
        answer(store, asked.id, 1, "ann", "reject", "no")
        order = {"client_order_id": "order 1", "symbol": "SPY", "state": "filled", "why": "", "filled": 10.0}
        store.append(RUN, [Event("forward.order", "2024-06-03T10:00:00-04:00", "COUNCIL", order)])
        store.append(RUN, [fill("1", "SPY", 10.0, 100.0, 3)])
        right = {name: store.rows(name) for name in TABLES}
        tamper(place, statement)
        differed = store.rebuild().differed
        assert list(differed) == [next(name for name in TABLES if name in statement)]
        assert {name: store.rows(name) for name in TABLES} == right
        assert not store.rebuild().differed


ODD = {"quantity": "NULL", "number": "'x'"}


def tamper(place: Path | str, *statements: str) -> None:
    engine = create_engine(parse_place(place))
    with engine.begin() as db:
        for statement in statements:
            db.exec_driver_sql(statement)
    engine.dispose()


def test_what_happens_is_on_record_though_a_row_it_goes_on_from_was_tampered_with(
    place: Path | str, capsys: pytest.CaptureFixture[str]
) -> None:
    sqlite = isinstance(place, Path)  # a server refuses text for a number
    for number, name in enumerate(("positions.quantity", *(("trades.number", "positions.number") if sqlite else ()))):
        table, column = name.split(".")
        with Store(place) as store:
            run = f"test {number}"
            store.append(run, [fill("1", "SPY", 10.0, 100.0, 3)])
            tamper(place, f"UPDATE {table} SET {column} = {ODD[column]} WHERE run_id = '{run}'")
            store.append(run, [fill("2", "SPY", 5.0, 110.0, 3)])
            store.append(run, [fill("3", "SPY", 1.0, 110.0, 3)])
            assert [one.event.payload["id"] for one in store.of_forward(run)] == ["1", "2", "3"]
            said = capsys.readouterr().err
            assert said.count(f"rows of {run} in the store stay as they were") == said.count("\n") == 1
            assert "sim db rebuild" in said
            assert store.rebuild().differed
            (row,) = store.rows("positions", run)
            assert (row["quantity"], row["fills"]) == (16.0, 3)


@pytest.mark.parametrize("column", ["positions.symbol", "trades.fill_id", "trades.account"])
def test_text_that_is_no_text_keeps_nothing_from_being_recorded_and_is_put_right(tmp_path: Path, column: str) -> None:
    table, name = column.split(".")
    with Store(tmp_path / "sim.db") as store:
        store.append(RUN, [fill("1", "SPY", 10.0, 100.0, 3)])
        tamper(tmp_path / "sim.db", f"UPDATE {table} SET {name} = CAST(x'ff' AS TEXT)")
        store.append(RUN, [fill("2", "SPY", 5.0, 110.0, 3)])
        done = store.rebuild()
        assert table in done.differed
        assert not done.left
        assert held(store) == booked(store) == {"SPY": 15.0}
        assert not store.rebuild().differed


def test_what_happens_is_on_record_though_its_table_is_gone(place: Path | str) -> None:
    with Store(place) as store:
        store.append(RUN, [fill("1", "SPY", 10.0, 100.0, 3)])
        tamper(place, "ALTER TABLE positions RENAME TO elsewhere")
        store.append(RUN, [fill("2", "SPY", 5.0, 110.0, 3)])
        assert [one.event.payload["id"] for one in store.of_forward(RUN)] == ["1", "2"]
        tamper(place, "ALTER TABLE elsewhere RENAME TO positions")
        assert store.rebuild().differed
        assert held(store) == booked(store) == {"SPY": 15.0}


def test_no_event_counts_as_recorded_where_the_database_gave_up_its_transaction(tmp_path: Path) -> None:
    """SQLite does so by itself when the disk is full in the midst of a statement."""
    with Store(tmp_path / "sim.db") as store:
        store.append(RUN, [fill("1", "SPY", 10.0, 100.0, 3)])
        tamper(
            tmp_path / "sim.db", "CREATE TRIGGER gone BEFORE INSERT ON trades BEGIN SELECT RAISE(ROLLBACK, 'x'); END"
        )
        with pytest.raises(SimError, match="the store cannot be used"):
            store.append(RUN, [fill("2", "SPY", 5.0, 110.0, 3)])
        assert [one.event.payload["id"] for one in store.of_forward(RUN)] == ["1"]


OPENING = {"COUNCIL": {"number": "P", "cash": 1e5, "equity": 2e5, "positions": {"GLD": 7.0}}}
STARTED = Event("forward.started", "2024-06-03T09:00:00-04:00", None, {"opening": OPENING})
HISTORY = [
    STARTED,
    fill("1", "SPY", 10.0, 500.0, 3),
    fill("1", "SPY", 10.0, 500.0, 3),  # told twice
    fill("2", "GLD", 3.0, 200.0, 3),
    fill("3", "SPY", -4.0, 510.0, 4),
    STARTED,
    fill("4", "SPY", 5.0, 52.0, 6),  # on the day of the split, which is told after it
    split("SPY", 6, 10.0),
    fill("5", "GLD", -10.0, 210.0, 7),
    fill("6", "SPY", -65.0, 60.0, 7),
    fill("7", "SPY", 1.0, 61.0, 7, "11:00:00"),
]


def test_a_split_an_opening_and_a_fill_that_is_told_twice_are_booked_as_the_loop_books_them(store: Store) -> None:
    for event in HISTORY:
        store.append(RUN, [event])
        assert held(store) == booked(store)
    rows = {(row["symbol"], row["number"]): row for row in store.rows("positions")}
    gold, first, last = rows["GLD", 0], rows["SPY", 1], rows["SPY", 2]
    assert (gold["profit"], gold["entry_price"], gold["fills"]) == (None, None, 2), "nobody knows what it was bought at"
    assert first["profit"] == pytest.approx(4 * 10.0 + 65 * 60.0 - (6 * 500.0 + 5 * 52.0))
    assert (last["quantity"], last["closed_at"]) == (1.0, None)
    assert not store.rebuild().differed


def test_events_that_come_together_make_the_rows_of_events_that_come_one_by_one(store: Store, tmp_path: Path) -> None:
    store.append(RUN, HISTORY)
    with Store(tmp_path / "one by one.db") as other:
        for event in HISTORY:
            other.append(RUN, [event])
        rows: list[dict[str, Any]] = other.rows("positions")
        assert store.rows("positions") == rows
    assert not store.rebuild().differed


@pytest.mark.parametrize(
    ("sold", "left", "numbers"),
    [
        pytest.param(20.0, 0.0, 1, id="all of it"),
        pytest.param(15.0, 5.0, 1, id="more than there seemed to be"),
        pytest.param(10.0, 10.0, 1, id="all that there seemed to be"),
        pytest.param(6.0, 14.0, 1, id="less"),
        pytest.param(25.0, -5.0, 2, id="more than there is"),
    ],
)
def test_a_split_that_is_told_after_a_sale_of_its_day_leaves_the_loops_shares_and_what_they_cost(
    place: Path | str, tmp_path: Path, sold: float, left: float, numbers: int
) -> None:
    history = [Event("forward.started", None, None, {"rehearsed": True}), fill("1", "SPY", 10.0, 100.0, 5),
               fill("2", "SPY", -sold, 60.0, 10), split("SPY", 10, 2.0)]  # fmt: skip
    with Store(place) as store:
        for event in history:
            store.append(RUN, [event])
        assert held(store) == booked(store) == ({"SPY": left} if left else {})
        rows = store.rows("positions")
        assert [row["number"] for row in rows] == [*range(numbers)]
        assert (rows[0]["largest"], rows[0]["entry_price"]) == (20.0, 50.0)
        open_ = [row for row in rows if row["closed_at"] is None]
        worth = sum(row["profit"] for row in rows) + sum(row["quantity"] * (60.0 - row["entry_price"]) for row in open_)
        assert worth == pytest.approx(20 * (60.0 - 50.0)), "ten at 100 became twenty at 50, and stand at 60"
        done = store.rebuild()
        assert not done.differed
        assert not done.left
        store.append(RUN, [fill("3", "SPY", 4.0, 60.0, 11)])
        assert held(store) == booked(store)
        assert not store.rebuild().differed
    back_up(place, tmp_path / "b.sqlite")
    restore(tmp_path / "b.sqlite", tmp_path / "again.db")
    with Store(tmp_path / "again.db") as again:
        assert held(again) == booked(again)


def test_an_opening_that_only_a_later_start_tells_is_what_the_loop_takes_over(store: Store) -> None:
    told = {"COUNCIL": {"number": "P", "cash": 1e5, "positions": {"SPY": 12.0, "GLD": 7.0}}}
    later = Event("forward.started", "2024-06-04T09:00:00-04:00", None, {"opening": told})
    for event in [Event("forward.started", "2024-06-03T09:00:00-04:00", None, {"rehearsed": True}),
                  fill("1", "SPY", 10.0, 100.0, 3), fill("2", "QQQ", 1.0, 400.0, 3), later, later,
                  fill("3", "SPY", -2.0, 110.0, 5), fill("4", "IWM", 1.0, 200.0, 5)]:  # fmt: skip
        store.append(RUN, [event])
        assert held(store) == booked(store)
    assert [row["symbol"] for row in store.rows("positions")] == ["SPY", "QQQ", "GLD", "IWM"]
    assert not store.rebuild().differed


def test_a_ten_millionth_of_a_share_is_held_where_the_loop_holds_it(store: Store) -> None:
    assert LEAST == LEAST_SHARES
    store.append(RUN, [fill("1", "SPY", 1000.0, 100.0, 3), fill("2", "SPY", -999.9999999, 100.0, 4)])
    assert held(store) == booked(store) == {"SPY": pytest.approx(1e-7, rel=1e-3)}
    store.append(RUN, [fill("3", "SPY", -1e-7, 100.0, 5), fill("4", "GLD", 1e-9, 100.0, 5)])
    assert held(store) == booked(store) == {"GLD": 1e-9}


def test_a_forward_test_whose_rows_cannot_be_computed_locks_no_store_out(
    place: Path | str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with Store(place) as store:
        store.append(RUN, [fill("1", "SPY", 10.0, 100.0, 3)])
        store.append("other", [fill("1", "SPY", 10.0, 100.0, 3)])
        kept = {name: store.rows(name, RUN) for name in TABLES}
        store.append(RUN, [Event("forward.order", "2024-06-03T10:00:00-04:00", "COUNCIL", {"client_order_id": "a"})])
        assert len(store.of_forward(RUN)) == 2
        tamper(place, "UPDATE positions SET quantity = quantity + 1")
        done = store.rebuild()
        assert done.left == {RUN: "event 3 of the store is no forward.order"}
        assert done.differed == {"positions": Change(changed=1)}, "of the other"
        assert store.rows("trades", RUN) == kept["trades"]
    back_up(place, tmp_path / "b.sqlite")
    capsys.readouterr()
    restore(tmp_path / "b.sqlite", tmp_path / "again.db")
    assert "event 3 of the store is no forward.order" in capsys.readouterr().err
    with Store(tmp_path / "again.db") as again:
        assert len(again.of_forward(RUN)) == 2
