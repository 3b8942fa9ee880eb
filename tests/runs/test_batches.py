"""Runs asked in batches, against a fake service that speaks the batch interface over HTTP."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from simulator import run as simulate

from .conftest import Serve, seat_models

pytestmark = pytest.mark.medium

DATES = {"start": "2024-01-02", "end": "2024-01-19"}


def run(workspace: Path, **options: Any) -> Any:
    words = {"workspace": workspace, "models": "dry", "max_cost": 100.0, **DATES, **options}
    return simulate("macro_council", ["SPY", "QQQ"], **words)


@pytest.fixture
def serve(serve: Serve) -> Serve:
    return partial(serve, "--latency", 0, "--batch-delay", 0)


def lines(folder: Path) -> list[dict[str, Any]]:
    text = (folder / "llm_calls.jsonl").read_text()
    return [{k: v for k, v in json.loads(line).items() if k != "cost_usd"} for line in text.splitlines()]


def test_a_run_in_batches_is_the_run_asked_singly_at_half_the_price(
    serve: Serve, workspace: Path, tmp_path: Path
) -> None:
    service = serve()
    seat_models(workspace, service.url)
    batched = run(workspace, batch="all")
    stats = service.stats()
    assert (stats["requests"], stats["twice"]) == (0, 0)
    for folder in ("llm_cache", "reports"):
        (workspace / folder).rename(tmp_path / folder)
    single = run(workspace)
    print(stats, service.stats())
    assert batched.facts["digest"] == single.facts["digest"]
    assert lines(tmp_path / "reports" / batched.folder.name) == lines(single.folder)
    assert batched.runtime["cost_usd"] == pytest.approx(single.runtime["cost_usd"] / 2)
