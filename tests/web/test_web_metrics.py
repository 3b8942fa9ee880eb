"""Health and metrics over HTTP."""

from __future__ import annotations

import urllib.error
import urllib.request
from typing import TYPE_CHECKING

import pytest

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
