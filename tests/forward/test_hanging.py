"""Peers that hang: a byte now and then, the same page for ever. The loop heeds its switches and ends meanwhile."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from simulator.errors import BrokerError, DataError
from simulator.forward import actions
from simulator.forward.actions import alpaca_source
from simulator.forward.mode import make_rehearsal_keys
from simulator.forward.requests import PER_MINUTE, Patience, RateLimit, Requester
from simulator.forward.settings import Forward
from simulator.forward.switches import STOP, throw
from simulator.forward.threads import begin, in_thread, within
from simulator.forward.watch import StoppedError, Watch, Watched
from simulator.market.calendar import NEW_YORK
from simulator.market.sources import alpaca
from simulator.trading.broker import UnansweredError
from simulator.workspace import Workspace

from .sessions import TUESDAY

ONCE = Patience(attempts=1, read_s=5.0)
NOW = datetime(2024, 6, 4, 9, tzinfo=NEW_YORK)
PAGES = {"bars": '"bars": {"A": []}', "news": '"news": []', "corporate-actions": '"corporate_actions": {}'}


@contextmanager
def serving(dripping: bool = False, fresh: bool = False) -> Iterator[tuple[str, list[str]]]:
    """A server that sends a byte now and then, or pages without end: the same one, or `fresh` ones."""
    asked, done = list[str](), threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            what = PAGES[self.path.partition("?")[0].rpartition("/")[2]]
            page = f'{{{what}, "next_page_token": "{len(asked) if fresh else 0}"}}'.encode()
            self.send_response(200)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(page)))
            self.end_headers()
            for byte in page:
                if dripping and done.wait(0.1):
                    return
                self.wfile.write(bytes([byte]))

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", asked
    finally:
        done.set()
        server.shutdown()
        server.server_close()


def questions(url: str, patience: Patience = ONCE) -> list[Callable[[], object]]:
    source = alpaca_source(make_rehearsal_keys("DATA"), url, patience, news=True)
    assert source.news is not None
    return [
        partial(source.bars, ["A"], TUESDAY, TUESDAY),
        partial(source.actions, ["A"], TUESDAY, TUESDAY),
        partial(source.news, ["A"], NOW, NOW),
    ]


@pytest.mark.fault("services", "data come a byte now and then", "no data in that time, in one line")
def test_an_answer_that_drips_is_limited_as_a_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(actions, "WHOLE_S", 0.3)
    with serving(dripping=True) as (url, _):
        for ask in questions(url):
            began = time.monotonic()
            with pytest.raises(DataError, match="no whole answer within"):
                ask()
            assert time.monotonic() - began < 3.0


@pytest.mark.fault("services", "data tell the same page for ever", "refused at its second coming")
def test_a_page_that_comes_again_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(alpaca, "PAGE_S", 0.0)
    with serving() as (url, asked):
        for ask in questions(url):
            asked.clear()
            with pytest.raises((BrokerError, DataError), match="InvalidURL"):
                ask()
            assert len(asked) == 2


@pytest.mark.fault("services", "data tell fresh pages for ever", "turned at the allowed pace, given up, ended")
def test_pages_without_end_are_turned_slowly_and_end(monkeypatch: pytest.MonkeyPatch) -> None:
    assert 60.0 / alpaca.PAGE_S <= PER_MINUTE
    monkeypatch.setattr(alpaca, "PAGE_S", 0.05)
    monkeypatch.setattr(alpaca, "MOST_PAGES", 6)
    monkeypatch.setattr(actions, "WHOLE_S", 0.2)
    with serving(fresh=True) as (url, asked):
        for ask in questions(url, Patience(attempts=4, read_s=5.0)):
            asked.clear()
            with pytest.raises(DataError, match="no whole answer within"):  # and not asked again beside it
                ask()
            assert len(asked) <= 5
            until = time.monotonic() + 10.0
            while len(asked) < 7 and time.monotonic() < until:
                time.sleep(0.02)
            time.sleep(0.15)
            assert len(asked) == 7  # what was left behind has ended


@pytest.mark.fault("services", "data hang while the kill switch is thrown", "the loop ends within seconds")
def test_the_kill_switch_does_not_wait_for_data(tmp_path: Path) -> None:
    workspace, never = Workspace(tmp_path, tmp_path), threading.Event()
    watch = Watch(workspace, Forward(), Watched("r", "s", {}), lambda *_: None, {})
    watch.start(NOW)
    threading.Timer(0.2, lambda: throw(workspace, STOP, "enough")).start()
    began = time.monotonic()
    with pytest.raises(StoppedError, match="enough"):
        asyncio.run(watch.look_while(in_thread(never.wait)))
    assert time.monotonic() - began < 4.0
    never.set()


def test_what_hangs_keeps_no_program_from_ending() -> None:
    hang = (
        "import time; from simulator.forward.threads import within\n"
        "try: within(0.1, lambda: time.sleep(60))\nexcept TimeoutError: print('left')"
    )
    done = subprocess.run([sys.executable, "-c", hang], capture_output=True, text=True, timeout=20)
    assert (done.returncode, done.stdout) == (0, "left\n"), done.stderr


def test_slots_bound_what_runs_at_once_and_what_nobody_waits_for_is_not_begun() -> None:
    slots, go, ran = threading.Semaphore(1), threading.Event(), list[str]()
    first = begin(go.wait, slots)
    second = begin(lambda: ran.append("second"), slots)
    third = begin(lambda: ran.append("third"), slots)
    assert second.cancel()
    go.set()
    third.result(5.0)
    assert (first.result(5.0), ran) == (True, ["third"])
    with pytest.raises(ZeroDivisionError):
        within(5.0, lambda: 1 // 0)


@pytest.mark.fault("services", "the broker hangs while the kill switch is thrown", "nothing is asked again meanwhile")
def test_what_does_not_answer_is_not_asked_again_while_a_loop_is_to_end(tmp_path: Path) -> None:
    watch = Watch(workspace := Workspace(tmp_path, tmp_path), Forward(), Watched("r", "s", {}), lambda *_: None, {})
    line, asked = Requester(RateLimit(), Patience(attempts=3, backoff_s=0.0)), list[int]()
    line.is_hurried = watch.is_asked_to_end

    def fail() -> None:
        asked.append(1)
        raise UnansweredError("no answer")

    def attempts() -> int:
        asked.clear()
        with pytest.raises(UnansweredError):
            asyncio.run(line.ask(fail))
        return len(asked)

    assert attempts() == 3
    throw(workspace, STOP, "enough")
    assert attempts() == 1
    with pytest.raises(StoppedError):
        watch.look(NOW)
    assert attempts() == 3, "exits are put back with all patience"
