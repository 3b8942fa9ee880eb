"""A test is started, ended and closed from the pages, at a rehearsal exchange, with processes of their own."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path

import pytest

from simulator.exchange.exchange import Exchange
from simulator.exchange.server import Served, serve
from simulator.forward.switches import Heartbeat, read_heartbeats
from simulator.market.load import load_bars
from simulator.runs import forward_accounts
from simulator.store.connection import store_place
from simulator.store.database import Store
from simulator.web import starting
from simulator.workspace import Workspace, make_workspace
from tests.forward.test_closing import no_keys
from tests.forward.test_start import STEPS, at, begun
from tests.report.conftest import Browser
from tests.web.conftest import Site
from tests.web.test_web_pages import SAID, alone, tab_to, until
from tests.web.test_web_pages import enter as come_in
from tests.web.test_web_security import ask, enter

__all__ = ["alone"]
pytestmark = pytest.mark.medium
ROOT = Path(__file__).parents[2]
MONDAY, TUESDAY = date(2024, 6, 3), date(2024, 6, 4)


@pytest.fixture
def served() -> Iterator[Served]:
    places = [ROOT / "data" / "sample"]
    loaded = load_bars(("SPY", "QQQ", "BIL"), places, first=MONDAY, last=date(2024, 6, 14), history=60)
    with serve(Exchange(loaded.bars, at(MONDAY, "20:00"), 100_000.0, 2.0), per_minute=10**9) as made:
        yield made


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    monkeypatch.setattr(starting, "LOOKED_S", 300.0)  # a start takes as long as the machine is busy
    make_workspace(tmp_path / "desk", git=False)
    workspace = Workspace(tmp_path / "desk", tmp_path / "desk")
    with Store(store_place(workspace.registry)) as store:
        site = Site(workspace, store)
        site.mend()
        yield site
        site.cut()
    for one in read_heartbeats(workspace):
        if one.is_running():
            os.kill(one.pid, signal.SIGKILL)


def wait_for(found: Callable[[], object]) -> None:
    until = time.monotonic() + 300.0
    while not found():
        assert time.monotonic() < until
        time.sleep(0.05)


def fill_in(browser: Browser, **fields: str) -> None:
    """Come to each of the fields by Tab and type over what stands there."""
    for name, text in fields.items():
        tab_to(browser, f"main form [name={name}]")
        browser.run("document.activeElement.select()")
        browser.ask("Input.insertText", text=text)


def press(browser: Browser, selector: str) -> None:
    tab_to(browser, f"main {selector}")
    browser.press("Enter")


def test_a_test_is_started_outlives_the_pages_and_is_closed_and_ended(
    desk: Site, served: Served, alone: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    ann = enter(desk, desk.token("ann", "approve"))
    words = {"action": "start", "strategy": "equal_weight", "symbols": "SPY,QQQ", "models": "offline", "sessions": 5,
             "exchange": served.url}  # fmt: skip
    assert ask(desk, "POST", "/act", {**words, "typed": "yes"}, **ann)[0] == 409
    wrong = {"symbols": "SPY;rm", "sessions": 0, "models": "--x", "exchange": "http://evil.example"}
    for name, value in wrong.items():
        status, _, text = ask(desk, "POST", "/act", {**words, "typed": "equal_weight", name: value}, **ann)
        assert (status, text.count("\n")) == (409, 1), name
    status, _, text = ask(desk, "POST", "/act", {**words, "typed": "equal_weight", "exchange": ""}, **ann)
    assert (status, text.startswith("ALPACA_PAPER_KEY_COUNCIL is not set")) == (409, True), text
    acted = [one.event.payload for one in desk.store.of_forward("web")]
    assert [(one["action"], one["what"]) for one in acted][-2:] == [
        ("start", "equal_weight"), ("start: refused", text.strip()),
    ]  # fmt: skip
    assert not read_heartbeats(desk.workspace)
    status, _, text = ask(desk, "POST", "/act", {**words, "typed": "equal_weight"}, **ann)
    assert (status, "equal_weight registered" in text) == (200, True), text
    wait_for(lambda: [one for one in read_heartbeats(desk.workspace) if one.is_running()])
    heart: Heartbeat = read_heartbeats(desk.workspace)[0]
    assert os.getsid(heart.pid) != os.getsid(0)
    sessions = desk.sessions
    desk.cut()
    desk.mend(sessions)
    assert heart.is_running()
    wait_for(lambda: begun(1)([one.event for one in desk.store.of_forward(heart.run)]))
    for clock in STEPS[:5]:
        served.advance(at(TUESDAY, clock))
        if clock == "08:01":  # what is decided then is not missed, however slow the loop is
            wait_for(lambda: desk.store.of_forward(heart.run, ("forward.point",)))
    wait_for(lambda: desk.store.of_forward(heart.run, ("forward.fill",)))
    close = {"action": "close-all", "run": heart.run, "reason": "enough"}
    assert ask(desk, "POST", "/act", {**close, "typed": "close-all"}, **ann)[0] == 409
    bob = enter(desk, desk.token("bob", "read"))
    assert ask(desk, "POST", "/act", {**close, "typed": heart.run}, **bob)[0] == 403
    release = {"action": "release kill switch", "typed": "release kill switch"}
    status, _, text = ask(desk, "POST", "/act", release, **ann)
    assert (status, text.startswith(f"{heart.run} has not ended yet")) == (409, True)
    assert heart.is_running()
    monkeypatch.setattr(forward_accounts, "_open_keys", no_keys)
    come_in(alone, desk, f"/forward/{heart.run}", 390)
    fill_in(alone, typed=heart.run, reason="enough")
    press(alone, "button[value=close-all]")
    until(alone, f"{SAID}.startsWith('COUNCIL: QQQ, SPY ordered to close; outside of a session')")
    wait_for(lambda: not heart.is_running())
    assert ask(desk, "POST", "/act", {**words, "typed": "equal_weight"}, **ann)[0] == 409  # the kill switch is thrown
    acted = [one.event.payload["action"] for one in desk.store.of_forward("web")]
    assert acted.count("close-all") == 1
    trail = ask(desk, "GET", "/audit", cookie=bob["cookie"])[2]
    assert "close-all ordered" in trail
    assert "COUNCIL: QQQ, SPY ordered to close" in trail
    assert "ordered to close, not known to have filled" in ask(desk, "GET", "/", cookie=bob["cookie"])[2]
    alone.run("location.assign('/')")
    until(alone, "document.querySelector('button[value=\"release kill switch\"]') !== null")
    tab_to(alone, "[aria-labelledby=switches] [name=typed]")
    alone.ask("Input.insertText", text="release kill switch")
    press(alone, "button[value='release kill switch']")
    until(alone, f"{SAID}.startsWith('the kill switch is released')")
    assert not (desk.workspace.out / "forward.stop").exists()
    assert "release kill switch" in ask(desk, "GET", "/audit", cookie=bob["cookie"])[2]


def test_a_start_that_fails_after_its_first_seconds_says_so_among_the_events(
    desk: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(starting, "LOOKED_S", 0.0)
    ann = enter(desk, desk.token("ann", "approve"))
    words = {"action": "start", "strategy": "equal_weight", "typed": "equal_weight", "symbols": "SPY,QQQ",
             "models": "offline", "sessions": 2, "exchange": "http://127.0.0.1:1"}  # fmt: skip
    status, _, text = ask(desk, "POST", "/act", words, **ann)
    assert (status, "should it fail, that will stand among the events" in text) == (200, True)

    def failed() -> list[str]:
        acted = [one.event.payload for one in desk.store.of_forward("web")]
        return [str(one["what"]) for one in acted if one["action"] == "start: failed"]

    wait_for(failed)
    assert failed()[0].startswith("http://127.0.0.1:1 does not answer: GET /v2/account: ConnectionError")
    assert "does not answer" in ask(desk, "GET", "/", cookie=ann["cookie"])[2]


def test_the_keyboard_alone_starts_a_test_and_ends_it_by_its_typed_id(
    desk: Site, served: Served, alone: Browser
) -> None:
    come_in(alone, desk, "/")
    for name, value in (("strategy", "equal_weight"), ("models", "offline")):
        tab_to(alone, f"[name={name}]")
        alone.press("Home")
        while alone.run("document.activeElement.value") != value:
            alone.press("ArrowDown")
        if name == "strategy":
            fill_in(alone, symbols="SPY,QQQ")
    fill_in(alone, sessions="5", exchange=served.url, typed="equal_weight")
    press(alone, "button[value=start]")
    until(alone, f"{SAID}.includes('equal_weight registered')")
    wait_for(lambda: [one for one in read_heartbeats(desk.workspace) if one.is_running()])
    heart = read_heartbeats(desk.workspace)[0]
    until(alone, "document.querySelector('button[value=stop]') !== null")
    fill_in(alone, typed="stop")
    press(alone, "button[value=stop]")
    until(alone, f"{SAID}.includes('stop is confirmed by typing {heart.run}')")
    assert heart.is_running()
    fill_in(alone, typed=heart.run)
    press(alone, "button[value=stop]")
    until(alone, f"{SAID} === '{heart.run} ends after what it is doing'")
    wait_for(lambda: not heart.is_running())
    assert not (desk.workspace.out / "forward.stop").exists()
