"""Health and metrics over HTTP."""

from __future__ import annotations

import urllib.error
import urllib.request
from typing import TYPE_CHECKING

import pytest
from starlette.testclient import TestClient

from simulator.web.app import make_app
from simulator.web.guard import addresses

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


def test_behind_a_proxy_this_machine_asks_for_metrics_by_its_own_name(site: Site) -> None:
    app = make_app(site.workspace, site.store, addresses("127.0.0.1", 8800, ["https://desk.example.org"]))
    for host, status in {"127.0.0.1:8800": 200, "desk.example.org": 200, "evil.example": 421}.items():
        here = TestClient(app, f"http://{host}", client=("127.0.0.1", 5000))
        assert here.get("/metrics").status_code == status
    assert TestClient(app, "http://127.0.0.1:8800").get("/approvals").status_code == 421
