"""`sim forward parity`: a rehearsed test is the replay of its sessions, and one changed byte is seen."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Callable, Iterator
from datetime import date, datetime
from pathlib import Path
from typing import Any

import pytest

from simulator.forward.feed import input_digests
from simulator.market.bars import instant, moment
from simulator.market.calendar import MINUTE, sessions
from simulator.market.news import load_news
from simulator.rehearsal.parity import _same, read_side
from simulator.rehearsal.rehearse import Rehearsal
from simulator.runs.spec import RunSpec
from simulator.store.database import Store
from simulator.store.events import Event
from simulator.workspace import find_workspace, make_workspace

from ..conftest import _in_this_process

pytestmark = pytest.mark.medium

Show = Callable[[], tuple[int, dict[str, Any]]]


def rehearse(workspace: Path, *words: str) -> dict[str, Any]:
    done = _in_this_process(["rehearse", "--from", "2024-06-03", "--json", *words], workspace, {})
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout))


def parity(workspace: Path, run: str) -> tuple[int, dict[str, Any]]:
    done = _in_this_process(["forward", "parity", run, "--json"], workspace, {})
    assert done.stdout, done.stderr
    return done.returncode, dict(json.loads(done.stdout))


@pytest.fixture(scope="module")
def rehearsed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A small council rehearsed for two sessions, and the id of its test."""
    workspace = tmp_path_factory.mktemp("rehearsed") / "workspace"
    make_workspace(workspace, git=False)
    made = rehearse(workspace, "--sessions", "2", "--strategy", "small_council")
    assert made["sessions"] == 2
    return workspace, str(made["run"])


@pytest.fixture
def council(rehearsed: tuple[Path, str]) -> Iterator[tuple[Path, Show]]:
    """The folder of its strategy, which is as it was afterwards, and what parity says."""
    workspace, run = rehearsed
    folder = workspace / "strategies" / "small_council"
    shutil.copytree(folder, aside := workspace / "aside")
    yield folder, lambda: parity(workspace, run)
    shutil.rmtree(folder)
    aside.rename(folder)


def test_a_council_in_all_its_accounts_is_the_replay_of_its_sessions(council: tuple[Path, Show]) -> None:
    code, found = council[1]()
    assert code == 0
    assert found["differences"] == []
    assert all(found["compared"][part] > 0 for part in ("prompts", "decisions", "orders", "fills", "books"))
    assert found["slippage_bps"] == pytest.approx(2.0)  # as config/costs.yaml has it


def test_a_rule_with_exits_and_commission_is_the_replay_of_its_sessions(rehearsed: tuple[Path, str]) -> None:
    exits = ("--set", "exits.stop=0.004", "--set", "exits.take_profit=0.006")
    costs = ("--set", "costs.commission_bps=5", "--set", "costs.commission_min=1")
    deed = ("--fault", "at 2024-06-05T11:00 order SPY buy 100000")
    words = ("--sessions", "4", "--strategy", "buy_and_hold", *exits, *costs, *deed)
    made = rehearse(rehearsed[0], *words)
    assert ["insufficient buying power" in one for one in made["refused"]] == [True]  # and it went on
    assert abs(made["accounts"]["COUNCIL"]["unexplained"]) < 0.005
    code, found = parity(rehearsed[0], made["run"])
    assert (code, found["differences"]) == (0, [])
    assert made["accounts"]["COUNCIL"]["fills"] > made["accounts"]["COUNCIL"]["orders"]  # some by stop or target


def test_a_rehearsal_is_registered_and_refusals_are_in_its_error_rate(rehearsed: tuple[Path, str]) -> None:
    workspace = rehearsed[0]
    made = rehearse(workspace, "--sessions", "1", "--strategy", "buy_and_hold", "--fault", "halt SPY")
    told = {}
    for what in (["status"], ["report", made["run"]]):
        told[what[0]] = json.loads(_in_this_process(["forward", *what, "--json"], workspace, {}).stdout)
    assert told["report"]["registration"]["digest"] == made["digest"]
    assert made["digest"] in Path(told["report"]["results"]).read_text()
    (loop,) = (one for one in told["status"]["loops"] if one["run"] == made["run"])
    assert loop["failed"] == 1
    assert told["report"]["error_rate"] == loop["error_rate"] == 1 / loop["requests"]


def write_minutes(folder: Path, step: int) -> None:
    """Write a fortnight of bars of so many minutes of SPY and QQQ, each with moves of its own."""
    folder.mkdir()
    for n, symbol in enumerate(("SPY", "QQQ")):
        cents, rows = 50_000 - 6_000 * n, ["timestamp,open,high,low,close,volume"]
        on = sessions(date(2024, 5, 20), date(2024, 6, 5))
        for opens, closes in zip(on.opens_at.tolist(), on.closes_at.tolist(), strict=True):
            for at in range(opens, closes, step * MINUTE):
                after = cents + (at // MINUTE * (7 + n)) % 161 - 80
                low, high = min(cents, after) - 5, max(cents, after) + 5
                prices = ",".join(f"{one / 100:.2f}" for one in (cents, high, low, after))
                rows.append(f"{moment(at).isoformat()},{prices},1000")
                cents = after
        (folder / f"{symbol}.csv").write_text("\n".join([*rows, ""]))


@pytest.mark.parametrize("strategy", ["small_council", "buy_and_hold", "momentum_desk"])
def test_minute_bars_of_two_symbols_are_the_replay_of_their_sessions(
    rehearsed: tuple[Path, str], tmp_path: Path, strategy: str
) -> None:
    write_minutes(tmp_path / "minutes", 5)
    exits = ("--set", "exits.stop=0.004", "--set", "exits.take_profit=0.006") if strategy == "buy_and_hold" else ()
    words = ("--bars", str(tmp_path / "minutes"), "--sessions", "2", "--symbols", "SPY,QQQ", "--strategy", strategy)
    made = rehearse(rehearsed[0], *words, *exits)
    code, found = parity(rehearsed[0], made["run"])
    assert (code, found["differences"]) == (0, [])
    assert found["compared"]["fills"] >= (strategy != "momentum_desk")  # which finds nothing to trade
    assert found["compared"]["decisions"] > 10


FLIPS = """from simulator.rules import Rule, Snapshot


class Flips(Rule):
    \"\"\"Long on even days, short on odd ones.\"\"\"

    cadence = "daily"

    def weights(self, market: Snapshot) -> dict[str, float]:
        return dict.fromkeys(market.symbols, 0.4 if market.as_of.day % 2 == 0 else -0.4)
"""


@pytest.mark.parametrize("exits", [(), ("--set", "exits.stop=0.004")], ids=["plain", "stop"])
def test_a_rule_on_minutes_that_goes_from_long_to_short_is_the_replay_of_its_sessions(
    rehearsed: tuple[Path, str], tmp_path: Path, exits: tuple[str, ...]
) -> None:
    write_minutes(tmp_path / "minutes", 5)
    (rehearsed[0] / "strategies" / "flips.py").write_text(FLIPS)
    words = ("--bars", str(tmp_path / "minutes"), "--sessions", "3", "--symbols", "SPY,QQQ", "--strategy", "flips")
    made = rehearse(rehearsed[0], *words, *exits)
    code, found = parity(rehearsed[0], made["run"])
    assert (code, found["differences"]) == (0, [])
    assert found["compared"]["orders"] == 6  # of three days in two symbols, each through zero but the first


def test_headlines_of_the_broker_are_shown_kept_and_what_a_replay_reads(
    rehearsed: tuple[Path, str], tmp_path: Path
) -> None:
    folder = tmp_path / "workspace"
    shutil.copytree(rehearsed[0], folder, ignore=shutil.ignore_patterns("reports", "sim.db*", "logs"))
    news = folder / "data" / "news" / "made.csv"
    news.parent.mkdir(exist_ok=True)
    rows = ["2024-06-02T18:00:00-04:00,Rates stay,SPY", "2024-06-04T11:00:00-04:00,Rates fall,SPY QQQ",
            "2024-06-04T11:00:00-04:00,Of others,XYZ"]  # fmt: skip
    news.write_text("\n".join(["published_at,headline,symbols", *rows, ""]))
    (folder / "config" / "forward.yaml").write_text("news: broker\n")
    facts = folder / "strategies" / "small_council" / "strategy.yaml"
    facts.write_text(facts.read_text().replace("drawdown_252_pct, vix]", "drawdown_252_pct, vix, news]"))
    made = rehearse(folder, "--sessions", "3", "--symbols", "SPY,QQQ", "--strategy", "small_council")
    news.unlink()
    (place,) = (folder / "reports").glob("forward-*/data/news")
    kept = load_news(place)
    assert [one.headline for one in kept] == ["Rates stay", "Rates fall"]
    code, found = parity(folder, made["run"])
    assert (code, found["differences"]) == (0, [])
    (place / "headlines.jsonl").write_text("")
    code, found = parity(folder, made["run"])
    assert (code, found["different"]["prompts"] > 0) == (1, True), "the prompts had them"


def test_one_changed_byte_of_a_prompt_fails(council: tuple[Path, Show]) -> None:
    folder, show = council
    with (folder / "prompts" / "trend.md").open("a") as file:
        file.write("!")
    code, found = show()
    assert code == 1
    assert found["different"]["prompts"] > 0


@pytest.mark.parametrize(
    ("before", "after", "part"),
    [("2: 0.20", "2: 0.21", "orders"), ("cadence: weekly", "cadence: daily", "decisions")],
    ids=["size", "cadence"],
)
def test_one_changed_setting_fails(council: tuple[Path, Show], before: str, after: str, part: str) -> None:
    folder, show = council
    text = (folder / "strategy.yaml").read_text()
    assert before in text
    (folder / "strategy.yaml").write_text(text.replace(before, after))
    code, found = show()
    assert code == 1
    assert found["different"][part] > 0


def test_parity_refuses_where_bars_that_were_recorded_are_gone(rehearsed: tuple[Path, str]) -> None:
    workspace, run = rehearsed
    file = next((workspace / "reports").glob(f"forward-*{run}")) / "data" / "SPY.csv"
    aside = file.rename(file.with_suffix(".aside"))
    done = _in_this_process(["forward", "parity", run], workspace, {})
    aside.rename(file)
    assert done.returncode == 3
    assert "the recorded bars of SPY are gone" in done.stderr


@pytest.mark.fault(
    "bars", "a recorded bar or headline was changed after it was traded on", "parity names the file; exit code 1"
)
@pytest.mark.parametrize("name", ["QQQ.csv", "BIL.csv"])
def test_a_changed_input_is_noticed_though_it_changes_no_decision(rehearsed: tuple[Path, str], name: str) -> None:
    workspace, run = rehearsed
    file = next((workspace / "reports").glob(f"forward-*{run}")) / "data" / name
    was = file.read_bytes()
    head, row, *rest = was.decode().splitlines(keepends=True)
    cells = row.split(",")
    cells[5] += "1"  # volume, of the oldest bar
    file.write_text("".join([head, ",".join(cells), *rest]))
    try:
        done = _in_this_process(["forward", "parity", run], workspace, {})
    finally:
        file.write_bytes(was)
    assert done.returncode == 1
    assert f"inputs: data/{name} is not what it was when 2024-06-04 was booked" in done.stdout
    assert "1\xa0difference" in done.stdout


def test_headlines_that_came_later_change_no_digest_and_a_rewritten_one_does(tmp_path: Path) -> None:
    file = tmp_path / "data" / "news" / "headlines.jsonl"
    file.parent.mkdir(parents=True)
    file.write_text('{"headline": "Rates stay"}\n')
    kept = input_digests(tmp_path / "data")
    file.write_text('{"headline": "Rates stay"}\n{"headline": "Rates fall"}\n')
    assert input_digests(tmp_path / "data", kept) == kept
    file.write_text('{"headline": "Rates rise"}\n{"headline": "Rates fall"}\n')
    assert input_digests(tmp_path / "data", kept) != kept


def test_fills_of_a_session_that_has_not_ended_are_not_compared() -> None:
    """A close-all fills at the open; the replay goes to the last close."""
    fills = [
        Event("forward.fill", f"{day}T09:30:00-04:00", "A", {
            "id": day, "client_order_id": "", "symbol": "SPY", "quantity": 1.0, "price": 500.0,
            "at": instant(datetime.fromisoformat(f"{day}T09:30:00-04:00")),
        })
        for day in ("2024-06-04", "2024-06-05")
    ]  # fmt: skip
    side = read_side(fills, date(2024, 6, 4), (), {})
    assert [where[1] for where in side.fills] == ["2024-06-04"]


def test_another_prompt_or_rule_is_another_rehearsal(council: tuple[Path, Show]) -> None:
    workspace = find_workspace(council[0].parents[1])
    spec = RunSpec("small_council", ("SPY",), date(2024, 6, 3))
    before = Rehearsal(spec, 2, workspace).run
    assert Rehearsal(spec, 2, workspace).run == before
    prompt = next(council[0].rglob("*.md"))
    prompt.write_text(prompt.read_text() + "\n")
    assert Rehearsal(spec, 2, workspace).run != before


def test_the_last_bit_of_a_small_difference_of_sums_is_no_difference_and_a_changed_setting_is() -> None:
    assert _same("decisions", -0.00018739323674288322, -0.00018739323674266117), "a day's return, seen on 5-minute bars"
    assert _same("decisions", -120.47339953113988, -120.47339953115443)
    assert not _same("decisions", 0.02, 0.020001)
    assert not _same("decisions", 169.19, 169.2)


def test_an_account_that_is_reset_is_not_traded_on_in(tmp_path: Path) -> None:
    make_workspace(tmp_path / "lab", git=False)
    made = rehearse(
        tmp_path / "lab", "--sessions", "2", "--strategy", "buy_and_hold", "--symbols", "SPY",
        "--fault", "at 2024-06-04T07:00 reset REHEARSALCOUNCIL",
    )  # fmt: skip
    with Store(tmp_path / "lab" / "sim.db") as store:
        alerts = [one.event.payload for one in store.of_forward(made["run"]) if one.event.kind == "forward.alert"]
    assert "account changed" in [one["kind"] for one in alerts]


def test_costs_of_a_rehearsal_are_those_of_its_replay_stops_among_them(tmp_path: Path) -> None:
    make_workspace(tmp_path / "lab", git=False)
    words = ["--strategy", "sma_cross", "--set", "exits.stop=0.01", "--set", "exits.take_profit=0.015"]
    made = rehearse(tmp_path / "lab", "--sessions", "10", *words)
    period = ["--from", "2024-06-03", "--to", "2024-06-14", "--set", "risk.execution=alpaca", "--json"]
    run = json.loads(_in_this_process(["run", *words, *period], tmp_path / "lab", {}).stdout)
    with (tmp_path / "lab" / run["dir"] / "fills.csv").open() as file:
        fills = list(csv.DictReader(file))
    assert {"stop", "take_profit"} & {one["why"] for one in fills}
    with Store(tmp_path / "lab" / "sim.db") as store:
        events = [one.event for one in store.of_forward(made["run"])]
    days = [one.payload for one in events if one.kind == "forward.session"]
    whys = [(one.payload["symbol"], one.payload["why"]) for one in events if one.kind == "forward.fill"]
    assert sorted(whys) == sorted((one["symbol"], one["why"]) for one in fills)
    booked = sum(float(one["costs"]) for one in days if "costs" in one)
    assert booked == pytest.approx(sum(float(one["slippage"]) for one in fills), abs=1e-6)
