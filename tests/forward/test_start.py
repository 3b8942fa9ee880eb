"""`sim forward start` against a rehearsal exchange whose clock this test moves: whole days, in a real process."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import date, datetime
from pathlib import Path

import pytest

from simulator.exchange.exchange import Exchange
from simulator.exchange.server import Served, serve
from simulator.files import born
from simulator.forward.lock import hold
from simulator.forward.log import read_log
from simulator.forward.registration import registrations
from simulator.forward.switches import STOP, read_heartbeats, throw
from simulator.market.bars import instant
from simulator.market.calendar import NEW_YORK
from simulator.market.load import load_bars
from simulator.store.database import Store
from simulator.store.events import Event
from simulator.trading.model import Book
from simulator.workspace import find_workspace

from ..rehearsal.test_parity import write_minutes

pytestmark = pytest.mark.medium

Sim = Callable[..., "subprocess.CompletedProcess[str]"]
ROOT = Path(__file__).parents[2]
UNIT = ROOT / "deploy" / "systemd" / "sim-forward.service"
TEST = ("forward", "start", "--strategy", "equal_weight", "--symbols", "SPY,QQQ")
MONDAY, TUESDAY, WEDNESDAY = (date(2024, 6, day) for day in (3, 4, 5))
STEPS = ("07:00", "08:01", "08:40", "09:31", "09:45", "16:01", "16:25")
PLANTED = {
    "ALPACA_PAPER_KEY_COUNCIL": "PKQ7X2M9W4R8T1Z6Y3",
    "ALPACA_PAPER_SECRET_COUNCIL": "hT7/qv9+Zp3LxW8rK2mN5bYc4Df6Gj1As0Qe",
    "SIM_SMTP_PASSWORD": "correct7horse9battery",
    "SIM_WEBHOOK_URL": "http://127.0.0.1:9/services/T9q2/xYz81mQpL0wVn4",
}


def at(day: date, clock: str) -> int:
    return instant(datetime.fromisoformat(f"{day}T{clock}").replace(tzinfo=NEW_YORK))


@pytest.fixture
def served() -> Iterator[Served]:
    loaded = load_bars(
        ("SPY", "QQQ", "BIL"), [ROOT / "data" / "sample"], first=MONDAY, last=date(2024, 6, 14), history=60
    )
    exchange = Exchange(loaded.bars, at(MONDAY, "10:00"), 100_000.0, 2.0)
    with serve(exchange, per_minute=10**9) as made:
        yield made


@contextmanager
def started(
    workspace: Path, served: Served, *more: str, program: Sequence[str] = ("-m", "simulator")
) -> Iterator[subprocess.Popen[str]]:
    words = [sys.executable, *program, *TEST, "--exchange", served.url, *more]
    process = subprocess.Popen(
        words, cwd=workspace, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL
    )
    with process:
        try:
            yield process
        finally:
            process.kill()


def events(workspace: Path) -> list[Event]:
    files = sorted((workspace / "reports").glob("forward-*/registration.json"))  # its folder is there before it
    if not files:
        return []
    run = json.loads(files[-1].read_text())["id"]
    with Store(workspace / "sim.db") as store:
        return [stored.event for stored in store.of_forward(run)]


def wait_for(workspace: Path, found: Callable[[list[Event]], bool], seconds: float = 300.0) -> None:
    until = time.monotonic() + seconds
    while not found(events(workspace)):
        assert time.monotonic() < until, [event.kind for event in events(workspace)]
        time.sleep(0.1)


def has(kind: str, day: date | None = None, **payload: object) -> Callable[[list[Event]], bool]:
    return lambda events: any(
        event.kind == kind
        and (day is None or str(event.at).startswith(str(day)))
        and payload.items() <= dict(event.payload).items()
        for event in events
    )


def begun(times: int) -> Callable[[list[Event]], bool]:
    return lambda found: sum("opening" in event.payload for event in found) == times


def pass_day(workspace: Path, served: Served, day: date, steps: Sequence[str] = STEPS) -> None:
    """Let a day pass so that the loop sees each of its instants."""
    for clock in steps:
        served.advance(at(day, clock))
        if clock == "08:01" and day == TUESDAY:  # it decides once a month
            wait_for(workspace, has("forward.point", day))
        elif clock == "16:25":
            wait_for(workspace, has("forward.session", day))
        time.sleep(0.3)


def test_a_test_is_registered_traded_killed_and_goes_on(workspace: Path, served: Served, sim: Sim) -> None:
    backtest = sim("run", *TEST[2:], "--from", "2024-03-01", "--to", "2024-05-31", "--json", cwd=workspace)
    assert backtest.returncode == 0, backtest.stderr
    run = json.loads(backtest.stdout)["run_id"]
    refused = sim(*TEST, "--exchange", served.url, "--backtest", "last", cwd=workspace)
    assert refused.returncode == 2
    assert f"give --backtest {run}" in refused.stderr
    more = ("--sessions", "2", "--backtest", run)
    with started(workspace, served, *more) as process:
        assert process.stdout is not None
        assert " equal_weight registered 2024-06-03T10:00" in process.stdout.readline()
        said = [process.stdout.readline() for _ in range(3)][-1]
        assert said == "  too late for 2024-06-03 (meeting 08:00): the first session is 2024-06-04\n"
        wait_for(workspace, begun(1))
        second = sim(*TEST, "--exchange", served.url, *more, cwd=workspace)
        assert second.returncode == 2
        assert f"already (process {process.pid})" in second.stderr
        other = sim(*TEST, "--exchange", served.url, "--edge", "2", cwd=workspace)
        assert (other.returncode, len(registrations(workspace / "reports"))) == (2, 1), "refused before it registers"
        assert f"already (process {process.pid})" in other.stderr
        pass_day(workspace, served, TUESDAY)
        process.kill()
    fills = [event for event in events(workspace) if event.kind == "forward.fill"]
    assert {event.payload["symbol"] for event in fills} == {"SPY", "QQQ"}
    with started(workspace, served, *more) as process:
        wait_for(workspace, begun(2))
        pass_day(workspace, served, WEDNESDAY)
        out, err = process.communicate(timeout=30)
    assert (process.returncode, err) == (0, "")
    assert " goes on, registered 2024-06-03T10:00" in out
    assert "stopped: the end of 2024-06-05" in out
    rows = [event for event in events(workspace) if event.kind == "forward.session" and event.account]
    assert [str(event.at)[:10] for event in rows] == ["2024-06-04", "2024-06-05"]
    again = [event for event in events(workspace) if event.kind == "forward.fill"]
    assert [event.payload["id"] for event in again[: len(fills)]] == [event.payload["id"] for event in fills]
    assert sim("forward", "reconcile", cwd=workspace).returncode == 0, "at the exchange that is on record"
    other = sim(*TEST, "--exchange", served.url, "--edge", "2", cwd=workspace)
    assert (other.returncode, len(registrations(workspace / "reports"))) == (2, 1)
    (test,) = registrations(workspace / "reports")
    assert "a test begins on flat accounts, COUNCIL holds " in other.stderr
    assert f"`sim forward close-all {test.id}`" in other.stderr
    store = workspace / "sim.db"
    store.rename(workspace / "aside.db")
    lost = sim(*TEST, "--exchange", served.url, *more, cwd=workspace)
    assert lost.returncode == 2
    assert f"the store has nothing of {test.id}, and COUNCIL holds " in lost.stderr
    assert "sim db restore FILE" in lost.stderr
    assert "same words" not in lost.stderr
    assert "positions unknown" in sim("forward", "status", cwd=workspace).stdout
    (workspace / "aside.db").rename(store)
    assert "positions unknown" not in sim("forward", "status", cwd=workspace).stdout
    lines = list(read_log(workspace / "logs" / "forward", TUESDAY))
    assert {line["account"] for line in lines if line["kind"] == "forward.fill"} == {"COUNCIL"}
    assert len({line["run"] for line in lines}) == 1
    (said,) = registrations(workspace / "reports")
    assert said.usual.bars == 64
    told = json.loads(sim("forward", "report", said.id[:5], "--json", cwd=workspace).stdout)
    assert told["registration"]["digest"] == said.digest
    assert said.digest in (workspace / "docs" / "forward_test_results.md").read_text("utf-8")
    assert told["accounts"][0]["number"] == said.accounts["COUNCIL"]
    assert said.usual.weights == pytest.approx({"SPY": 0.49, "QQQ": 0.49}, abs=0.02)

    where = ("--exchange", served.url)
    done = sim("forward", "reconcile", *where, cwd=workspace)
    assert (done.returncode, done.stdout.endswith(": the books of COUNCIL are the broker's\n")) == (0, True)
    assert sim("forward", "parity", lines[0]["run"], cwd=workspace).returncode == 0
    done = sim("forward", "close-all", *where, cwd=workspace)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("COUNCIL: QQQ, SPY ordered to close\n")
    assert "these fill at the next open; the exits of the positions are withdrawn until then" in done.stdout
    assert sim("forward", "close-all", *where, cwd=workspace).returncode == 0, "once more orders nothing twice"
    served.advance(at(date(2024, 6, 6), "09:45"))
    done = sim("forward", "reconcile", "--json", *where, cwd=workspace)
    found = json.loads(done.stdout)
    assert done.returncode == 1, "the loop that books fills has ended"
    assert [(one["symbol"], one["held"]) for one in found["differences"]] == [("QQQ", 0.0), ("SPY", 0.0)]
    assert sim(*TEST, *where, cwd=workspace).returncode == 2, "the kill switch is thrown"
    done = sim("forward", "close-all", *where, cwd=workspace)
    assert (done.stdout.splitlines()[0], "next open" in done.stdout) == ("COUNCIL: nothing to close", False)
    hold_another(workspace, served, sim)


def hold_another(workspace: Path, served: Served, sim: Sim) -> None:
    """Another test on the same account, flat again, begins with the cash that the first left."""
    (workspace / "forward.stop").unlink()
    served.advance(at(date(2024, 6, 6), "20:00"))
    with started(workspace, served, "--sessions", "1", "--edge", "2") as process:
        assert process.stdout is not None
        other = process.stdout.readline().split()[0]

        def recorded(kind: str, n: int) -> Callable[[list[Event]], bool]:
            def found(_: list[Event]) -> bool:
                with Store(workspace / "sim.db") as store:
                    return sum(stored.event.kind == kind for stored in store.of_forward(other)) >= n

            return found

        wait_for(workspace, recorded("forward.started", 2))
        for clock in STEPS[1:]:
            served.advance(at(date(2024, 6, 7), clock))
            time.sleep(0.3)
        wait_for(workspace, recorded("forward.stopped", 1))
    told = json.loads(sim("forward", "report", other, "--json", cwd=workspace).stdout)
    assert abs(told["accounts"][0]["pnl"]) < 100.0, "interest and no more"
    assert sim("forward", "parity", other, cwd=workspace).returncode == 0


def test_a_test_on_bars_within_the_day_is_its_replay(workspace: Path, tmp_path: Path, sim: Sim) -> None:
    write_minutes(tmp_path / "minutes", 5)
    loaded = load_bars(("SPY", "QQQ"), [tmp_path / "minutes"], first=MONDAY, last=WEDNESDAY, history=60)
    words = [*TEST[:3], "buy_and_hold", *TEST[4:], "--sessions", "1", "--frequency"]
    daily = ("--set", "schedule.cadence=daily", "--set", "schedule.decision_time=10:00")
    with serve(Exchange(loaded.bars, at(MONDAY, "17:00"), 100_000.0, 2.0), per_minute=10**9) as served:
        where = ("--exchange", served.url)
        refused = sim(*words, "7min", *where, cwd=workspace)
        assert (refused.returncode, "was 7min" in refused.stderr) == (2, True)
        process = subprocess.Popen(
            [sys.executable, "-m", "simulator", *words, "5min", *daily, *where], cwd=workspace,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True,
        )  # fmt: skip
        with process:
            try:
                wait_for(workspace, begun(1))
                for clock in ("08:40", "09:31", "10:00", "10:06", "12:00", "16:01", "16:25"):
                    served.advance(at(TUESDAY, clock))
                    if clock == "10:00":
                        wait_for(workspace, has("forward.point", TUESDAY, state="done"))
                    time.sleep(0.3)
                out, err = process.communicate(timeout=30)
            finally:
                process.kill()
    assert (process.returncode, err) == (0, ""), out
    fills = [one.payload for one in events(workspace) if one.kind == "forward.fill"]
    assert {one["symbol"] for one in fills} == {"SPY", "QQQ"}
    (test,) = registrations(workspace / "reports")
    assert test.terms["bars"] == "5min"
    parity = sim("forward", "parity", test.id, "--json", cwd=workspace)
    assert (parity.returncode, json.loads(parity.stdout)["differences"]) == (0, []), parity.stderr


def test_it_is_paused_and_stopped_from_outside(workspace: Path, served: Served, sim: Sim) -> None:
    (workspace / "forward.pause").write_text("earnings")
    with started(workspace, served) as process:
        wait_for(workspace, has("forward.paused"))
        pass_day(workspace, served, TUESDAY, STEPS[:5])
        assert not has("forward.fill")(events(workspace)), "nothing is entered while it is paused"
        done = sim("forward", "status", cwd=workspace)
        assert "at work, paused" in done.stdout
        aside = workspace / "aside"
        aside.write_text("something is wrong")
        aside.rename(workspace / "forward.stop")  # a loop looks so often that it may see a file not yet written
        out, err = process.communicate(timeout=30)
    assert (process.returncode, err) == (0, "")
    assert "stopped: the kill switch is thrown: something is wrong" in out
    done = sim(*TEST, "--exchange", served.url, cwd=workspace)
    assert done.returncode == 2
    assert "`rm " in done.stderr


def read_unit() -> tuple[list[str], dict[str, str]]:
    """Return the words that the systemd unit starts, and what it sets in the environment."""
    lines = [line.partition("=") for line in UNIT.read_text().splitlines() if "=" in line and line[0] != "#"]
    (start,) = (value for name, _, value in lines if name == "ExecStart")
    words = (word for name, _, value in lines if name == "Environment" for word in value.split())
    return start.split()[1:], dict(word.split("=", 1) for word in words)


def test_the_command_of_the_unit_tells_its_manager_when_it_is_ready_and_when_it_ends(
    workspace: Path, served: Served, tmp_path: Path
) -> None:
    words, given = read_unit()
    own = {name: value.replace("/var/lib/sim", str(tmp_path / "state")) for name, value in given.items()}
    command = [sys.executable, "-m", "simulator", *words]
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(30)
        env = {**os.environ, **own, "NOTIFY_SOCKET": str(tmp_path / "notify")}
        done = subprocess.run(command, cwd=workspace, env=env, capture_output=True, text=True)
        assert (done.returncode, registrations(workspace / "reports")) == (2, []), "systemd does not start it again"
        assert "RestartPreventExitStatus=2\n" in UNIT.read_text()
        assert "ALPACA_PAPER_KEY_COUNCIL" in done.stderr
        with subprocess.Popen([*command, "--exchange", served.url], cwd=workspace, env=env, stdout=-1) as process:
            try:
                told = [manager.recv(1000).decode()]
                while told[-1] != "READY=1":
                    told.append(manager.recv(1000).decode())
                assert list((tmp_path / "state/.local/state/sim/locks").rglob("*.lock")), "where terminals look"
                process.terminate()
                process.communicate(timeout=30)
            finally:
                process.kill()
            manager.settimeout(0.0)
            while told[-1] != "STOPPING=1":
                told.append(manager.recv(1000).decode())
    assert process.returncode == 0
    assert all(one.startswith(("WATCHDOG=1\nSTATUS=", "READY=1", "STOPPING=1")) for one in told)


def test_without_an_exchange_no_second_loop_starts_on_an_account(
    workspace: Path, sim: Sim, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All but the broker's first answers is real: without keys there are none."""
    from simulator.runs import forward_start

    async def introduce(*_: object) -> object:
        return {"COUNCIL": Book(1e5, {}, {}, 1e5)}, {"COUNCIL": "PA1"}, datetime(2024, 6, 3, 10, tzinfo=NEW_YORK)

    monkeypatch.setattr(forward_start, "_introduce", introduce)
    for name in ("ALPACA_PAPER_KEY_COUNCIL", "ALPACA_PAPER_SECRET_COUNCIL"):
        monkeypatch.setenv(name, PLANTED[name])
    with hold(["account PA1"]):
        done = sim(*TEST, cwd=workspace)
        assert (done.returncode, f"on account PA1 already (process {os.getpid()})" in done.stderr) == (2, True)
    other, parent = {"opening": {"COUNCIL": {"number": "PA1"}}, "host": socket.gethostname()}, os.getppid()
    with Store(workspace / "sim.db") as store:
        started = Event("forward.started", None, None, {**other, "pid": parent, "born": born(parent) or ""})
        store.append_after_reading("0123456789", (), lambda _: [started])
    done = sim(*TEST, cwd=workspace)
    assert (done.returncode, f"process {parent} on " in done.stderr) == (2, True), done.stderr
    assert registrations(workspace / "reports") == [], "refused before it registers"


BROKEN = """
import asyncio, sys
from simulator.forward.session import Session
from simulator.cli import main
async def wait(*_): {}
Session._wait = wait
main(sys.argv[1:])
"""


@pytest.mark.fault("machine", "a forward loop hangs and is asked to stop twice", "it is broken off, with a record")
def test_a_second_sigterm_ends_a_loop_that_hangs(workspace: Path, served: Served) -> None:
    program = ("-c", BROKEN.format("await asyncio.Event().wait()"))
    with started(workspace, served, program=program) as process:
        wait_for(workspace, begun(1))
        process.terminate()
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(0.5)
        process.terminate()
        _, err = process.communicate(timeout=20)
    assert (process.returncode, err.strip()) == (130, "sim: interrupted")
    assert has("forward.stopped")(events(workspace))


@pytest.mark.fault("python", "a bug ends a forward loop", "it exits with code 1 and says so, on record too")
def test_a_bug_ends_the_loop_and_is_said(workspace: Path, served: Served) -> None:
    program = ("-c", BROKEN.format("raise RuntimeError('a bug')"))
    with started(workspace, served, program=program) as process:
        out, err = process.communicate(timeout=30)
    assert process.returncode == 1
    assert "stopped: RuntimeError: a bug" in out
    assert err.endswith("\nRuntimeError: a bug\n")
    assert has("forward.stopped", why="RuntimeError: a bug")(events(workspace))


def test_planted_keys_stand_in_no_byte_it_writes_or_prints(
    workspace: Path, served: Served, monkeypatch: pytest.MonkeyPatch, sim: Sim
) -> None:
    """They are really sent: to the exchange, to a mail server and to a webhook that are not there."""
    from simulator.forward.mode import Keys
    from simulator.forward.requests import Patience
    from simulator.runs import forward_start

    for name, value in PLANTED.items():
        monkeypatch.setenv(name, value)
    (workspace / "config" / "forward.yaml").write_text(
        "timeout_s: 1\nalerts: {email: {host: 127.0.0.1, port: 9, from: a@b.org, to: [a@b.org]}}\n"
    )
    keys = Keys("COUNCIL", PLANTED["ALPACA_PAPER_KEY_COUNCIL"], PLANTED["ALPACA_PAPER_SECRET_COUNCIL"])
    monkeypatch.setattr(forward_start, "make_rehearsal_keys", lambda _name: keys)
    served.call(lambda _: served.wire.faults.set({"502-html": 0.05}))
    monkeypatch.setattr(forward_start, "make_patience", lambda _: Patience(read_s=1.0, backoff_s=0.1))

    def conduct() -> None:
        wait_for(workspace, begun(1))
        pass_day(workspace, served, TUESDAY)

    conductor = threading.Thread(target=conduct, daemon=True)
    conductor.start()
    done = sim(*TEST, "--exchange", served.url, "--sessions", "1", cwd=workspace)
    conductor.join(30)
    status = sim("forward", "status", cwd=workspace)
    places = [(done.stdout + done.stderr + status.stdout).encode()]
    places += [path.read_bytes() for path in workspace.rglob("*") if path.is_file()]
    assert done.returncode == 0, done.stderr
    assert any(line["kind"] == "alert.not delivered" for line in read_log(workspace / "logs" / "forward", MONDAY))
    windows = {
        value[start : start + 12].encode()
        for value in (*PLANTED.values(), "services/T9q2/xYz81mQpL0wVn4")
        if not value.startswith("http")
        for start in range(max(1, len(value) - 11))
    }
    assert [window for window in windows if any(window in place for place in places)] == []


HANGING = """
import sys, time
from contextlib import contextmanager
from simulator.cli import main
from simulator.runs import forward_start
@contextmanager
def open_session(*_):
    time.sleep(60)
    yield
forward_start.open_session = open_session
main(sys.argv[1:])
"""


@pytest.mark.fault("services", "data hang while a loop is still loading", "the kill switch and `stop` end it")
@pytest.mark.parametrize("stops", ["kill switch", "sim forward stop"])
def test_a_loop_that_is_still_loading_is_seen_and_stopped(
    workspace: Path, served: Served, sim: Sim, stops: str
) -> None:
    place = find_workspace(workspace)
    with started(workspace, served, program=("-c", HANGING)) as process:
        until = time.monotonic() + 30.0
        while not [one for one in read_heartbeats(place) if one.state == "starting" and one.is_running()]:
            assert time.monotonic() < until
            time.sleep(0.05)
        if stops == "kill switch":
            throw(place, STOP, "enough")
        else:
            assert sim("forward", "stop", cwd=workspace).returncode == 0
        process.wait(10)
    assert not [one for one in read_heartbeats(place) if one.is_running()]
