"""Data of a forward test: bars as traded, splits and dividends beside them, all of it on disk."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from datetime import date, datetime, timedelta
from datetime import time as clock_time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from simulator.errors import BrokerError, DataError
from simulator.forward.actions import alpaca_source, read_actions
from simulator.forward.books import Split, adjust_for_splits
from simulator.forward.feed import Actions, RecordedFeed, Source
from simulator.forward.mode import make_rehearsal_keys
from simulator.forward.protocols import Known
from simulator.market.bars import NUMBERS, Bars, instant
from simulator.market.calendar import MINUTE, NEW_YORK, day_number
from simulator.market.events import load_events
from simulator.market.news import News, load_news
from simulator.market.sources.files import read_table
from simulator.market.table import BarTable, daily_table
from simulator.rehearsal.rehearse import pass_time

from .conftest import QUICK, Market, run

MONDAY, TUESDAY = date(2024, 6, 3), date(2024, 6, 4)


def _after(day: date) -> datetime:
    return datetime.combine(day, clock_time(18), NEW_YORK)


def test_what_is_on_disk_is_not_asked_again_and_dividends_stand_on_their_session(tmp_path: Path) -> None:
    asked: list[tuple[date, date]] = []
    news = [News(_after(MONDAY), "Rates stay", ("SPY",), "wire")]

    def bars(symbols: Sequence[str], first: date, last: date) -> list[BarTable]:
        asked.append((first, last))
        days = np.arange(day_number(first), day_number(last) + 1)
        columns = {name: np.full(len(days), 100.0) for name in ("open", "high", "low", "close", "volume")}
        return [daily_table(symbol, "broker", days, columns) for symbol in symbols]

    def actions(_symbols: Sequence[str], _first: date, last: date) -> Actions:
        return Actions({("SPY", TUESDAY): 1.5}, (Split("SPY", TUESDAY, 4.0),) if last >= TUESDAY else ())

    def load(as_of: datetime, splits: Sequence[Split]) -> Known:
        shown: Any = SimpleNamespace(as_of=as_of, news=news, events=())
        return Known(shown, None, splits)  # type: ignore[arg-type]

    feed = RecordedFeed(("SPY",), MONDAY, tmp_path / "data", Source(bars, actions), load)
    assert asyncio.run(feed.known_at(_after(MONDAY))).splits == []
    again = RecordedFeed(("SPY",), MONDAY, tmp_path / "data", Source(bars, actions), load)
    assert asyncio.run(again.known_at(_after(TUESDAY))).splits == [Split("SPY", TUESDAY, 4.0)]
    asyncio.run(again.known_at(_after(TUESDAY)))
    assert asked == [(MONDAY, MONDAY), (TUESDAY, TUESDAY)]
    assert read_table(tmp_path / "data" / "SPY.csv").dividend.tolist() == [0.0, 1.5]
    assert load_news(tmp_path / "data" / "news") == tuple(news)
    assert load_events(tmp_path / "data" / "events.csv") == ()


def test_minutes_are_appended_and_a_line_that_a_kill_cut_off_is_fetched_again(tmp_path: Path) -> None:
    opens = datetime.combine(MONDAY, clock_time(9, 30), NEW_YORK)
    starts = np.array([instant(opens) + minute * MINUTE for minute in range(30)])
    asked: list[str] = []

    def bars(symbols: Sequence[str], _first: date, _last: date) -> list[BarTable]:
        asked.extend(symbols)
        prices = {name: np.arange(30) / 3.0 + 100.0 for name in ("open", "high", "low", "close", "volume", "dividend")}
        days = np.full(30, day_number(MONDAY))
        return [BarTable(symbol, "broker", "1min", days, starts, **prices) for symbol in symbols]

    def load(as_of: datetime, splits: Sequence[Split]) -> Known:
        shown: Any = SimpleNamespace(as_of=as_of, news=(), events=())
        return Known(shown, None, splits)  # type: ignore[arg-type]

    def feed() -> RecordedFeed:
        return RecordedFeed(("A", "B"), MONDAY, tmp_path / "data", Source(bars, frequency="1min"), load)

    path, running = tmp_path / "data" / "A.csv", feed()
    asyncio.run(running.known_at(opens + timedelta(minutes=10)))
    inode = path.stat().st_ino
    asyncio.run(running.known_at(opens + timedelta(minutes=20)))
    assert path.stat().st_ino == inode, "it is the same file"
    assert len(read_table(path)) == 20
    path.write_bytes(path.read_bytes()[:-9])
    again = feed()
    asyncio.run(again.known_at(opens + timedelta(minutes=25)))
    for one in (path, path.with_name("B.csv")):
        table = read_table(one, source=f"data/{one.name}")
        assert table.starts.tolist() == starts[:25].tolist()
        kept = again.tables[one]
        assert all(
            np.array_equal(getattr(kept, name), getattr(table, name)) for name in ("starts", "session_of", *NUMBERS)
        )
        assert kept.source == table.source


def test_history_is_shown_in_the_shares_of_today() -> None:
    days = np.arange(19_877, 19_880)
    at = days * 86_400_000_000_000
    prices = np.array([[700.0], [707.0], [102.0]])
    bars = Bars(("A",), at, at + 1, prices, prices, prices, prices, prices * 10, prices * 0.01, days, ("x",))
    shown = adjust_for_splits(bars, [Split("A", date(2024, 6, 5), 7.0)])
    assert shown.close[:, 0].tolist() == pytest.approx([100.0, 101.0, 102.0])
    assert shown.volume[:, 0].tolist() == pytest.approx([49_000.0, 49_490.0, 1_020.0])
    assert shown.dividend[:, 0].tolist() == pytest.approx([1.0, 1.01, 1.02])
    assert adjust_for_splits(bars, [Split("B", date(2024, 6, 5), 7.0)]) is bars


def test_corporate_actions_are_read_as_the_broker_has_them() -> None:
    found = read_actions(
        {
            "cash_dividends": [{"symbol": "A", "ex_date": "2024-06-05", "rate": 0.5, "id": n} for n in "abb"],
            "forward_splits": [{"symbol": "A", "ex_date": "2024-06-07", "new_rate": 10, "old_rate": 1}] * 2,
            "reverse_splits": [{"symbol": "B", "ex_date": "2024-06-06", "new_rate": 1, "old_rate": 8}],
            "stock_dividends": [{"symbol": "C", "ex_date": "2024-06-06", "rate": 0.05}],
        }
    )
    assert found.dividends == {("A", date(2024, 6, 5)): 1.0}
    assert [(one.symbol, one.ratio) for one in found.splits] == [("B", 0.125), ("C", 1.05), ("A", 10.0)]
    with pytest.raises(BrokerError, match="not understood"):
        read_actions({"forward_splits": [{"symbol": "A"}]})


@pytest.mark.parametrize("fault", ["429", "504"])
def test_bars_are_asked_again_at_our_pace_not_at_the_clients(market: Market, fault: str) -> None:
    source = alpaca_source(make_rehearsal_keys("DATA"), market.served.url, QUICK)
    before = time.monotonic()
    with market.fault(fault, on="GET /v2/stocks/bars", times=2):
        (table,) = source.bars(["A"], MONDAY, MONDAY)
    assert table.close.tolist() == [100.0]
    assert time.monotonic() - before < 3.0, "as long as alpaca-py waits once"


def test_a_rehearsal_does_not_wait_for_a_minute_of_requests_to_pass(market: Market) -> None:
    account = market.account(sleep=pass_time)
    before = time.monotonic()
    with market.fault("429", on="GET /v2/account", times=2):
        assert run(account.state()).number
    assert time.monotonic() - before < 3.0


@pytest.mark.fault("services", "corporate actions are down after the morning", "those told by then count")
def test_splits_are_asked_for_again_and_those_that_nobody_tells_are_written_by_hand(tmp_path: Path) -> None:
    told: list[Split | None] = [None]

    def bars(symbols: Sequence[str], first: date, _last: date) -> list[BarTable]:
        one = {name: np.full(1, 100.0) for name in ("open", "high", "low", "close", "volume")}
        return [daily_table(symbol, "broker", np.array([day_number(first)]), one) for symbol in symbols]

    def actions(*_: object) -> Actions:
        if told[0] is None:
            raise BrokerError("HTTP 503")
        return Actions({}, tuple(one for one in told if one is not None))

    def load(as_of: datetime, splits: Sequence[Split]) -> Known:
        return Known(SimpleNamespace(as_of=as_of, news=(), events=()), None, splits)  # type: ignore[arg-type]

    feed = RecordedFeed(("SPY", "QQQ"), TUESDAY, tmp_path / "data", Source(bars, actions), load)
    with pytest.raises(BrokerError):
        asyncio.run(feed.known_at(_after(TUESDAY)))
    told[0] = Split("SPY", TUESDAY, 4.0)
    assert asyncio.run(feed.known_at(_after(TUESDAY))).splits == [told[0]]
    told[0] = None
    with (tmp_path / "splits.csv").open("a") as file:
        file.write(f"QQQ,{TUESDAY},0.1\n")
    told[0] = Split("SPY", TUESDAY, 3.0)  # what is on record stays
    known = asyncio.run(feed.known_at(_after(TUESDAY))).splits
    assert known == [Split("SPY", TUESDAY, 4.0), Split("QQQ", TUESDAY, 0.1)]
    for wrong in ("QQQ,soon,2\n", "QQQ\n", f"QQQ,{TUESDAY},0\n"):
        (tmp_path / "splits.csv").write_text(f"symbol,session,ratio\n{wrong}")
        with pytest.raises(DataError, match="splits are not understood") as refused:
            asyncio.run(feed.known_at(_after(TUESDAY)))
        assert "symbol,session,ratio" in str(refused.value.mend)


def test_two_splits_of_one_morning_are_not_on_record_until_one_is_written_by_hand(tmp_path: Path) -> None:
    both = Actions({}, (Split("SPY", TUESDAY, 2.0), Split("SPY", TUESDAY, 3.0)))
    feed = RecordedFeed(("SPY",), TUESDAY, tmp_path / "data", Source(lambda *_: [], lambda *_: both), lambda *_: None)  # type: ignore[arg-type, return-value]
    with pytest.raises(DataError, match=r"two splits of SPY on 2024-06-04: 2 and 3"):
        feed._ask_actions(TUESDAY)
    assert feed.splits() == []
    (tmp_path / "splits.csv").write_text(f"symbol,session,ratio\nSPY,{TUESDAY},3\n")
    feed._ask_actions(TUESDAY)
    assert feed.splits() == [Split("SPY", TUESDAY, 3.0)]
    (tmp_path / "splits.csv").write_text(f"symbol,session,ratio\nSPY,{TUESDAY},0\n")
    with pytest.raises(DataError, match="not understood"):
        feed.splits()
