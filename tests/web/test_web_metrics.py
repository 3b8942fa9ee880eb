"""Health and metrics over HTTP."""

from __future__ import annotations

import time
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest
from starlette.testclient import TestClient

from simulator.forward.status import Status
from simulator.web import metrics
from simulator.web.app import make_app
from simulator.web.guard import addresses
from simulator.web.sessions import TRIES

if TYPE_CHECKING:
    from tests.web.conftest import Site


def test_health_and_metrics_are_served(site: Site) -> None:
    with urllib.request.urlopen(f"{site.url}/healthz", timeout=10) as answer:
        assert (answer.status, answer.read()) == (200, b"ok\n")
    with urllib.request.urlopen(f"{site.url}/metrics", timeout=10) as answer:
        assert b"sim_forward_loops 0.0\n" in answer.read()


def test_metrics_are_not_handed_through_a_proxy(site: Site) -> None:
    request = urllib.request.Request(f"{site.url}/metrics", headers={"X-Forwarded-For": "203.0.113.9"})
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(request, timeout=10)
    caught.value.close()
    assert caught.value.code == 403


def test_behind_a_proxy_metrics_are_for_who_brings_a_token_by_this_machine_s_name(site: Site) -> None:
    """A proxy asks from this machine, for strangers too, and hands on whatever Host they write."""
    app = make_app(site.workspace, site.store, addresses("127.0.0.1", 8800, ["https://desk.example.org"]))
    token = {"authorization": f"Bearer {site.token('prometheus', 'read')}"}
    for host, status in {"127.0.0.1:8800": 200, "desk.example.org": 421, "evil.example": 421}.items():
        here = TestClient(app, f"http://{host}", client=("127.0.0.1", 5000))
        assert here.get("/metrics", headers=token).status_code == status
        assert here.get("/metrics").status_code == (401 if status == 200 else status)
    assert TestClient(app, "http://127.0.0.1:8800").get("/approvals").status_code == 421
    guess = {"authorization": "Bearer guess"}
    here = TestClient(app, "http://127.0.0.1:8800", client=("127.0.0.1", 5000))
    assert [here.get("/metrics", headers=guess).status_code for _ in range(TRIES + 1)] == [401] * TRIES + [429]


def test_however_many_ask_for_health_the_store_is_read_once(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody has to log in for it: it must not be a way to keep others from their pages."""
    read: list[float] = []

    def slowly(*_: object) -> list[Status]:
        read.append(time.monotonic())
        time.sleep(0.3)
        return []

    monkeypatch.setattr(metrics, "read_status", slowly)
    monkeypatch.setattr(metrics, "KEPT_S", 60.0)

    def ask(_: int) -> int:
        with urllib.request.urlopen(f"{site.url}/healthz", timeout=60) as answer:
            return int(answer.status)

    with ThreadPoolExecutor(30) as pool:
        assert set(pool.map(ask, range(60))) == {200}
    assert len(read) == 1
