"""Streams of events: as many of a login as leave a browser connections for pages; one that was refused comes back."""

from __future__ import annotations

import gc
import http.client
from contextlib import ExitStack, closing
from pathlib import Path

import pytest
from click.testing import CliRunner

from simulator.cli import sim
from simulator.store.events import Event
from simulator.web import app, feed
from simulator.web.tokens import revoke_token
from tests.report.conftest import Browser
from tests.web.conftest import Site
from tests.web.test_web_pages import LINE, alone, enter, until
from tests.web.test_web_security import ask
from tests.web.test_web_security import enter as log_in

__all__ = ["alone"]


def follow(site: Site, cookie: str) -> tuple[int, http.client.HTTPResponse, http.client.HTTPConnection]:
    connection = http.client.HTTPConnection("127.0.0.1", site.port, timeout=60)
    connection.request("GET", "/events", headers={"cookie": cookie})
    stream = connection.getresponse()
    return stream.status, stream, connection


def test_a_login_follows_on_a_few_pages_and_reads_as_many_as_it_likes(site: Site) -> None:
    ann, again = (log_in(site, site.token(name, "read"))["cookie"] for name in ("ann", "bob"))
    with ExitStack() as opened:
        last = None
        for _ in range(app.MOST_STREAMS):
            status, last, connection = follow(site, ann)
            assert status == 200
            assert last.readline() == b"retry: 1000\n"
            opened.enter_context(closing(connection))
        for _ in range(3):
            status, refused, connection = follow(site, ann)
            with closing(connection):
                assert status == 429
                assert refused.read().count(b"\n") == 1
        assert ask(site, "GET", "/approvals", cookie=ann)[0] == 200
        status, _, connection = follow(site, again)
        opened.enter_context(closing(connection))
        assert status == 200
    status = 429
    while status != 200:  # the server notices when it writes
        site.store.append("run", [Event("forward.paused", None, None, {"why": "x"})])
        status, _, connection = follow(site, ann)
        connection.close()


def test_the_stream_of_a_revoked_token_ends_though_nothing_happens(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feed, "BEAT_S", 10_000.0)
    (ann, bob) = (log_in(site, site.token(name, "read"))["cookie"] for name in ("ann", "bob"))
    with ExitStack() as opened:
        (_, revoked, first), (_, other, second) = follow(site, ann), follow(site, bob)
        for one in (revoked, first, other, second):
            opened.enter_context(closing(one))
        while revoked.readline() != b"event: beat\n":
            pass
        revoke_token(site.workspace, "ann")
        while revoked.readline():
            pass
        assert other.readline() == b"retry: 1000\n"
    assert ask(site, "GET", "/events", cookie=ann)[0] == 401


@pytest.mark.medium
def test_pages_collect_garbage_as_what_runs_for_months_must(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before, seen = gc.get_threshold(), list[tuple[int, int, int]]()
    monkeypatch.setattr("simulator.web.serve.serve", lambda *_: seen.append(gc.get_threshold()))
    gc.set_threshold(300_000, 50, 50)  # as of a command that ends with its run
    try:
        done = CliRunner().invoke(sim, ["--workspace", str(workspace), "web"], catch_exceptions=False)
    finally:
        gc.set_threshold(*before)
        gc.unfreeze()
    assert done.exit_code == 0, done.output
    assert seen == [(700, 10, 10)]


@pytest.mark.medium
def test_a_page_that_was_refused_its_stream_says_so_and_is_live_once_there_is_room(
    site: Site, alone: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    enter(alone, site)
    monkeypatch.setattr(app, "MOST_STREAMS", 0)
    alone.run("location.reload()")
    until(alone, f"{LINE}.startsWith('not live: 0 pages of this login are live already')", 120.0)
    site.ask("SPY")
    monkeypatch.undo()
    until(alone, f"{LINE} === 'live' && document.querySelector('[data-id$=spy]') !== null", 120.0)


@pytest.mark.medium
def test_a_page_that_nobody_sees_gives_up_its_stream_and_catches_up_when_it_is_seen(
    site: Site, alone: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(app, "MOST_STREAMS", 1)
    enter(alone, site)
    alone.run(
        "window.hide = (hidden) => {"
        " Object.defineProperty(document, 'hidden', {value: hidden, configurable: true});"
        " document.dispatchEvent(new Event('visibilitychange')); }; 0"
    )
    free = "fetch('/events').then((answer) => { answer.body?.cancel(); return answer.status; })"
    assert alone.run(free) == 429
    alone.run("window.hide(true)")
    until(alone, f"({free}).then((status) => status === 200)", 120.0)
    site.ask("SPY")
    alone.run("window.hide(false)")
    until(alone, f"{LINE} === 'live' && document.querySelector('[data-id$=spy]') !== null", 120.0)
