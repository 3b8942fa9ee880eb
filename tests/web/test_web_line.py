"""An open page notices by itself what nobody writes down: a loop that is gone, a store that is away, a session that has
ended, a line that comes back."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import asdict, replace
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from sqlalchemy import text

from simulator.files import born, write_file
from simulator.forward.switches import PAUSE, Heartbeat, throw
from tests.report.conftest import Browser
from tests.web.conftest import Site
from tests.web.test_web_pages import LINE, alone, enter, until

__all__ = ["alone"]
pytestmark = pytest.mark.medium
MAIN = "document.querySelector('main').innerText"


def beat(site: Site, pid: int, ago: timedelta = timedelta()) -> None:
    """Write the heartbeat that a loop of that process has left."""
    at = (datetime.now(UTC) - ago).isoformat()
    heart = Heartbeat("run", "s", {"COUNCIL": "P1"}, "paper", "running", "", at, None, 3600.0)
    whole = replace(heart, pid=pid, born=born(pid) or "", beat_at=at)
    write_file(site.workspace.logs / "heartbeat-run.json", json.dumps(asdict(whole)).encode())


@pytest.fixture
def process() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as made:
        yield made
        made.kill()


def test_a_loop_that_hangs_or_is_killed_is_seen_on_pages_that_stand_open(
    site: Site, alone: Browser, process: subprocess.Popen[bytes]
) -> None:
    for one in ("config", "strategies"):
        shutil.copytree(Path(__file__).parents[2] / one, site.workspace.out / one)
    beat(site, process.pid)
    enter(alone, site)
    until(alone, f"{MAIN}.includes('Nothing waits for approval')")
    beat(site, process.pid, timedelta(hours=5))
    until(alone, f"{MAIN}.includes('COUNCIL of run: its loop does not answer')")
    assert "Nothing waits" not in alone.run(MAIN)
    alone.run("location.assign('/')")
    until(alone, f"location.pathname === '/' && {LINE} === 'live' && {MAIN}.includes('late')")
    assert "heartbeat 5\u00a0h ago" in alone.run(MAIN)
    beat(site, process.pid, timedelta(minutes=30))
    until(alone, f"{MAIN}.includes('at work') && {MAIN}.includes('heartbeat 30\u00a0min ago')")
    process.kill()
    process.wait()
    until(alone, f"{MAIN}.includes('gone')")
    throw(site.workspace, PAUSE, "lunch")
    until(alone, f"{MAIN}.includes('Entries are paused: lunch')")


def test_a_store_that_is_away_is_not_taken_for_one_in_which_nothing_waits(site: Site, alone: Browser) -> None:
    enter(alone, site)
    until(alone, f"{MAIN}.includes('Nothing waits for approval')")
    with site.store._engine.begin() as connection:
        connection.execute(text("ALTER TABLE events RENAME TO away"))
    until(alone, f"{LINE}.startsWith('the store cannot be read: as of 20')")
    assert "Nothing waits" not in alone.run(MAIN)
    assert "Not known what waits for approval." in alone.run(MAIN)
    with site.store._engine.begin() as connection:
        connection.execute(text("ALTER TABLE away RENAME TO events"))
    until(alone, f"{LINE} === 'live' && {MAIN}.includes('Nothing waits for approval')")


@pytest.mark.parametrize("page", ["/approvals", "/runs"])
def test_a_page_whose_session_has_ended_goes_to_the_login_and_back(site: Site, alone: Browser, page: str) -> None:
    enter(alone, site)
    alone.run(f"location.assign({page!r})")
    until(alone, f"location.pathname === {page!r} && /^(live|as of 20)/.test({LINE})")
    assert site.sessions is not None
    site.sessions.known.clear()
    until(alone, f"location.pathname === '/login' && location.search === '?to={page}'")


def test_a_proxy_that_answers_for_a_server_that_is_away_ends_nothing(site: Site, alone: Browser) -> None:
    refused = threading.Event()

    class Proxy(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_error(502)
            if self.path.startswith("/events"):
                refused.set()

        def log_message(self, *_: object) -> None:
            pass

    site.ask("SPY")
    enter(alone, site)
    sessions = site.sessions
    site.cut()
    proxy = ThreadingHTTPServer(("127.0.0.1", site.port), Proxy)
    threading.Thread(target=proxy.serve_forever, daemon=True).start()
    assert refused.wait(300.0)
    until(alone, f"{LINE}.startsWith('line cut: as of 20')")
    proxy.shutdown()
    proxy.server_close()
    site.ask("QQQ")
    site.mend(sessions)
    until(alone, f"{LINE} === 'live' && document.querySelector('[data-id$=qqq]') !== null")


def test_one_page_that_did_not_come_is_asked_for_again(site: Site, alone: Browser) -> None:
    enter(alone, site)
    alone.run("""window.missed = 0; const real = fetch;
        window.fetch = () => { window.missed += 1; window.fetch = real; return Promise.reject(new TypeError()); }; 0""")
    site.ask("SPY")
    until(alone, f"window.missed === 1 && {LINE} === 'live' && document.querySelector('[data-id$=spy]') !== null")


def test_the_mark_of_a_cut_line_is_in_sight_wherever_one_reads_and_ages_go_on(site: Site, alone: Browser) -> None:
    site.ask("SPY", "QQQ", "BIL", "GLD")
    site.beat(101.0, age_s=118.5)
    enter(alone, site, width=390)
    site.cut()
    until(alone, f"/^line cut: as of 20..-..-.. ..:..:..$/.test({LINE})")
    alone.run("window.scrollTo(0, document.body.scrollHeight); 0")
    top = "document.getElementById('line').getBoundingClientRect().top"
    until(alone, f"window.scrollY > 500 && {top} >= 0 && {top} < 50")
    until(alone, "document.querySelector('[data-id$=spy] .price').innerText.includes('told 2\u00a0min ago')")
