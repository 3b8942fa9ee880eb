"""`sim forward parity` of a test in which a person changed a trade: it excuses what follows from that, and no more."""

from __future__ import annotations

import json
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from simulator.workspace import make_workspace

from ..conftest import _in_this_process

pytestmark = pytest.mark.medium

WORDS = ["rehearse", "--from", "2024-06-03", "--sessions", "5", "--strategy", "small_council", "--symbols", "SPY,QQQ"]
CHANGED, STRICT = "CHATGPT", "COUNCIL"
"""Account in which a person halved the first trade, and one in which nobody changed anything."""
Change = Callable[[dict[str, Any]], None]


@pytest.fixture(scope="module")
def rehearsed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    make_workspace(place := tmp_path_factory.mktemp("approved") / "workspace", git=False)
    (place / "answers.txt").write_text(f"2024-06-03 SPY modify {CHANGED}.scale=0.5\n* * approve\n")
    words = [*WORDS, "--set", "schedule.cadence=daily", "--approvals", str(place / "answers.txt"), "--json"]
    done = _in_this_process(words, place, {})
    assert done.returncode == 0, done.stderr
    return place


@pytest.fixture
def workspace(rehearsed: Path, tmp_path: Path) -> Path:
    """Return a copy that may be changed."""
    return Path(shutil.copytree(rehearsed, tmp_path / "workspace"))


def parity(workspace: Path) -> tuple[int, dict[str, Any]]:
    done = _in_this_process(["forward", "parity", "last", "--json"], workspace, {})
    assert done.stdout, done.stderr
    return done.returncode, json.loads(done.stdout)


def rewrite(workspace: Path, kind: str, account: str, day: str, change: Change) -> None:
    """Change the last event of `kind` in `account` on `day` that is about QQQ, behind the back of the store."""
    with closing(sqlite3.connect(workspace / "sim.db")) as db, db:
        db.execute("DROP TRIGGER events_refuse_update")
        where = "kind = ? AND account = ? AND at LIKE ? AND payload LIKE '%\"QQQ\"%' ORDER BY position DESC"
        said = f"SELECT position, payload FROM events WHERE {where}"
        position, text = db.execute(said, (kind, account, f"{day}%")).fetchone()
        change(payload := json.loads(text))
        db.execute("UPDATE events SET payload = ? WHERE position = ?", (json.dumps(payload), position))


def more_shares(fill: dict[str, Any]) -> None:
    fill["quantity"] *= 1.5


def more_weight(intent: dict[str, Any]) -> None:
    intent["decision"]["targets"][1]["weight"] += 0.01


def more_ordered(intent: dict[str, Any]) -> None:
    intent["orders"][-1]["quantity"] += 1.0


def other_price(fill: dict[str, Any]) -> None:
    fill["price"] += 0.01


def more_read(intent: dict[str, Any]) -> None:
    intent["book"]["cash"] += 0.01


def more_cash(row: dict[str, Any]) -> None:
    row["cash"] += 0.01


def more_earned(row: dict[str, Any]) -> None:
    row["pnl"] += 0.01


def test_what_follows_from_a_change_is_counted_and_all_accounts_hold(workspace: Path) -> None:
    code, found = parity(workspace)
    assert (code, found["differences"]) == (0, [])
    assert found["approved"]["different"].keys() == {"fills", "books"}
    assert found["approved"]["since"].startswith("2024-06-03")


@pytest.mark.parametrize("account", [CHANGED, STRICT])
@pytest.mark.parametrize(
    ("kind", "day", "change", "part"),
    [
        ("fill", "2024-06-06", more_shares, "fills"),
        ("fill", "2024-06-06", other_price, "books"),
        ("intent", "2024-06-06", more_weight, "decisions"),
        ("intent", "2024-06-06", more_ordered, "orders"),
        ("session", "2024-06-06", more_cash, "books"),
        ("session", "2024-06-06", more_earned, "books"),
    ],
    ids=["fill", "price", "target", "order", "cash", "profit"],
)
def test_a_value_on_record_that_no_change_explains_is_a_difference(
    workspace: Path, account: str, kind: str, day: str, change: Change, part: str
) -> None:
    rewrite(workspace, f"forward.{kind}", account, day, change)
    code, found = parity(workspace)
    assert code == 1
    differences = [one for one in found["differences"] if one["part"] == part]
    if (account, change) == (STRICT, other_price):
        differences = found["differences"]  # the replay's fill has another price
    assert {one["where"][0] for one in differences} == {account}


def test_a_book_that_a_decision_read_and_no_fill_explains_is_a_difference(workspace: Path) -> None:
    rewrite(workspace, "forward.intent", CHANGED, "2024-06-06", more_read)
    code, found = parity(workspace)
    assert code == 1
    assert {(one["part"], one["where"][0], one["against"]) for one in found["differences"]} >= {
        ("books", CHANGED, "by its fills")
    }


def test_one_changed_byte_of_a_prompt_fails_after_a_change_as_well(workspace: Path) -> None:
    with (workspace / "strategies" / "small_council" / "prompts" / "trend.md").open("a") as file:
        file.write("!")
    code, found = parity(workspace)
    assert code == 1
    assert any(one["where"][1] > "2024-06-04" for one in found["differences"] if one["part"] == "prompts")


def test_the_target_that_an_entry_brought_is_an_exit_of_it_after_a_change(workspace: Path) -> None:
    (workspace / "no.txt").write_text("2024-06-04 * reject no\n* * approve\n")
    words = ["rehearse", "--from", "2024-06-03", "--sessions", "3", "--strategy", "sma_cross", "--symbols", "SPY,QQQ"]
    sets = ("schedule.cadence=daily", "fast=2", "slow=3", "exits.stop=0.01", "exits.take_profit=0.02")
    words += ["--approvals", str(workspace / "no.txt"), "--json", *(word for one in sets for word in ("--set", one))]
    made = json.loads(_in_this_process(words, workspace, {}).stdout)
    assert made["accounts"]["COUNCIL"]["fills"] > made["accounts"]["COUNCIL"]["orders"]
    done = _in_this_process(["forward", "parity", made["run"], "--json"], workspace, {})
    assert (done.returncode, json.loads(done.stdout)["differences"]) == (0, [])
