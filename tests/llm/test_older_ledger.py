"""The ledger of earlier versions, tally.db, is taken over once and whole, whoever opens it and whatever is killed."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from simulator.errors import LLMError
from simulator.files import born
from simulator.llm.spending.budget import Budget, DayBudgetError
from simulator.llm.spending.shared_ledger import HOUR, SharedLedger, Spending, _place

from .conftest import Clock

FORMAT_1 = """
CREATE TABLE holders (id INTEGER PRIMARY KEY AUTOINCREMENT, place TEXT, pid INT, born TEXT, seen REAL);
CREATE TABLE held (id INTEGER PRIMARY KEY, holder INT, run TEXT, usd REAL, likely REAL);
CREATE TABLE spent (run TEXT, hour INT, usd REAL, lost REAL, PRIMARY KEY (run, hour)) WITHOUT ROWID;
CREATE TABLE questions (key TEXT PRIMARY KEY, holder INT) WITHOUT ROWID;
CREATE TABLE calls (id INTEGER PRIMARY KEY, endpoint TEXT, at REAL, tokens INT);
CREATE INDEX calls_at ON calls (endpoint, at);
CREATE TABLE breaker (one INT PRIMARY KEY, state TEXT, day INT, usd REAL);
PRAGMA user_version = 1;
"""


@pytest.fixture
def older(folder: Path, clock: Clock) -> Path:
    """A ledger as earlier versions made it: $2.50 spent by two runs, $1 promised by a process that lives."""
    folder.mkdir()
    path, hour = folder / "tally.db", int(clock() // HOUR)
    with sqlite3.connect(path) as db:
        db.execute("PRAGMA journal_mode = WAL")
        db.executescript(FORMAT_1)
        holder = (7, _place(), os.getpid(), born(os.getpid()) or "", clock())
        db.execute("INSERT INTO holders VALUES (?, ?, ?, ?, ?)", holder)
        db.execute("INSERT INTO held VALUES (3, 7, 'a', 1.0, 0.25)")
        db.executemany("INSERT INTO spent VALUES (?, ?, ?, ?)", [("a", hour, 2.0, 0.5), ("b", hour - 1, 0.5, 0.0)])
        db.execute("INSERT INTO questions VALUES ('asked there', 7)")
        db.execute("INSERT INTO calls VALUES (1, 'claude_code', ?, 900)", (clock(),))
        db.execute("INSERT INTO breaker VALUES (1, 'open', ?, 5.0)", (int(clock() // 86_400),))
    db.close()
    return path


def spending_of(ledger: SharedLedger, run: str) -> Spending:
    with ledger.transaction() as db:
        return ledger.spending(db, run)


@pytest.mark.usefixtures("older")
def test_all_that_was_spent_promised_and_asked_is_taken_over(ledger: SharedLedger) -> None:
    assert spending_of(ledger, "a") == Spending(day=2.5, day_held=1.0, run=2.0, run_held=1.0, lost=0.5)
    assert not ledger.claim("asked there")
    with ledger.transaction() as db:
        assert db.execute("SELECT endpoint, tokens FROM calls").fetchall() == [("claude_code", 900)]
    with pytest.raises(DayBudgetError):
        Budget(9.0, max_usd_per_day=5.0, ledger=ledger).reserve(0.5)


@pytest.mark.usefixtures("older")
def test_it_is_taken_over_once(folder: Path, clock: Clock) -> None:
    for _ in range(3):
        ledger = SharedLedger(folder, clock)
        assert spending_of(ledger, "b").run == 0.5
        ledger.close()


def test_an_earlier_version_can_settle_what_is_in_flight_and_promise_nothing_more(
    older: Path, ledger: SharedLedger
) -> None:
    working = sqlite3.connect(older)
    spending_of(ledger, "a")
    with working:
        working.execute("DELETE FROM held WHERE id = 3")
    with pytest.raises(sqlite3.IntegrityError, match="taken over by shared_ledger"):
        working.execute("INSERT INTO held VALUES (4, 7, 'a', 1.0, 0.25)")
    # Earlier versions refuse any format above 1.
    assert working.execute("PRAGMA user_version").fetchone() == (2,)
    working.close()


def test_an_older_ledger_that_was_never_finished_is_fenced(folder: Path, ledger: SharedLedger) -> None:
    folder.mkdir()
    sqlite3.connect(folder / "tally.db").execute("PRAGMA journal_mode = WAL")
    assert spending_of(ledger, "a") == Spending(0.0, 0.0, 0.0, 0.0)
    with sqlite3.connect(folder / "tally.db") as db:
        assert db.execute("PRAGMA user_version").fetchone() == (2,)
    db.close()


def test_an_older_ledger_that_is_broken_is_named(folder: Path, ledger: SharedLedger) -> None:
    folder.mkdir()
    (folder / "tally.db").write_bytes(b"no database " * 1000)
    with pytest.raises(LLMError, match=r"tally\.db: cannot be taken over \(file is not a database\)"):
        ledger.claim("question")


OPENER = """
import os, signal, sys
from pathlib import Path
from simulator.llm.spending import shared_ledger
moment, folder, now = sys.argv[1], Path(sys.argv[2]), float(sys.argv[3])
def killed_after(name):
    step = getattr(shared_ledger, name)
    def run(*arguments):
        done = step(*arguments)
        os.kill(os.getpid(), signal.SIGKILL)
        return done
    setattr(shared_ledger, name, run)
if moment:
    killed_after(moment)
ledger = shared_ledger.SharedLedger(folder, lambda: now)
with ledger.transaction() as db:
    shared_ledger.book(db, "c", ledger.hour, 0.125)
ledger.close()
"""


def opener(folder: Path, clock: Clock, moment: str = "") -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", OPENER, moment, folder, str(clock())])


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGKILL")
@pytest.mark.usefixtures("older")
@pytest.mark.parametrize("moment", ["attach_older", "copy_older", "_make_tables"])
def test_a_kill_at_any_step_loses_nothing(folder: Path, ledger: SharedLedger, clock: Clock, moment: str) -> None:
    assert opener(folder, clock, moment).wait() == -signal.SIGKILL
    assert spending_of(ledger, "a") == Spending(day=2.5, day_held=1.0, run=2.0, run_held=1.0, lost=0.5)


@pytest.mark.usefixtures("older")
def test_several_processes_at_once_take_it_over_once(folder: Path, clock: Clock) -> None:
    started = [opener(folder, clock, "copy_older" if i == 1 and sys.platform != "win32" else "") for i in range(6)]
    # The one that would have been killed may have come too late to copy anything.
    assert sum(process.wait() == 0 for process in started) in (5, 6)
    booked = sum(process.returncode == 0 for process in started) / 8
    ledger = SharedLedger(folder, clock)
    now = spending_of(ledger, "c")
    ledger.close()
    assert (now.day, now.run, now.day_held) == (2.5 + booked, booked, 1.0)
