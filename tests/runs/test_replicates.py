"""`--replicates K` asks each question K times, replays K tapes, and says how far they lie apart."""

from __future__ import annotations

import json
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import pytest

import simulator
from simulator.errors import UsageError
from simulator.runs.execute import PartialRunError
from simulator.runs.replicates import spread

from .conftest import Serve, evidence, seat_models

pytestmark = pytest.mark.medium

PERIOD = {"start": "2024-01-02", "end": "2024-04-26"}
DATES, K = 17, 3


def run(workspace: Path, **changes: Any) -> simulator.Run:
    return simulator.run(**{**PERIOD, "models": "dry", "max_cost": 100.0, **changes}, workspace=workspace)


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.fixture
def moody(serve: Serve, workspace: Path) -> Any:
    """A service that answers the same question now this way, now that: some of its answers are no answers."""
    service = serve("--latency", 0, "--faults", 0.25, "--fault", "refusal", "--seed", 4)
    seat_models(workspace, service.url)
    return service


def test_every_question_is_asked_k_times_and_the_spread_is_that_of_k_tapes(moody: Any, workspace: Path) -> None:
    single = run(workspace)
    asked = moody.stats()["answered"]
    made = run(workspace, replicates=K)
    # The first replicate is the single run's: its answers were on disk.
    assert made.runtime["cached"] == asked
    assert made.metrics.equals(single.metrics)
    calls = lines(made.folder / "llm_calls.jsonl")
    assert {call["replicate"] for call in calls} == set(range(K))
    assert len({call["key"] for call in calls}) == len(calls)
    for number in range(K):
        assert sum(call["replicate"] == number and call["stage"] == "research" for call in calls) == 2 * DATES
    tapes = [made.folder / name for name in ("decisions.jsonl", *(f"decisions-replicate-{n}.jsonl" for n in (1, 2)))]
    assert [len(lines(tape)) for tape in tapes] == [DATES] * K
    assert len({tape.read_bytes() for tape in tapes}) == K

    import pandas as pd

    equity = pd.read_csv(made.folder / "equity.csv")
    ends = [equity[name].iloc[-1] / 100_000 - 1 for name in ("equity", "replicate:1", "replicate:2")]
    found = made.facts["replicates"]["metrics"]["total_return"]
    assert found == {
        "mean": pytest.approx(mean(ends)),
        "min": pytest.approx(min(ends)),
        "max": pytest.approx(max(ends)),
        "sd": pytest.approx(stdev(ends)),
    }
    assert found["sd"] > 0
    assert made.facts["replicates"]["count"] == K
    assert single.facts["replicates"] == {"count": 1}
    assert made.facts["run_id"] != single.facts["run_id"]
    assert made.facts["command"].endswith("--models dry --replicates 3")
    shortfalls = made.facts["shortfalls"]
    assert shortfalls["meetings"] == K * DATES
    assert {one["replicate"] for one in shortfalls["failed"]} == set(range(K))
    assert evidence(run(workspace, replicates=K, cache="replay").folder) == evidence(made.folder)


def test_the_reader_is_told_that_there_were_several_draws(serve: Serve, workspace: Path, sim: Any) -> None:
    seat_models(workspace, serve("--latency", 0).url)
    words = ("run", "--models", "dry", "--from", "2024-01-02", "--to", "2024-01-26", "--workspace", workspace)
    done = sim(*words, "--replicates", 2)
    assert done.returncode == 0, done.stderr
    told = " ".join(done.stdout.split())
    assert "2 draws of the same questions: total return" in told
    assert "All other figures are the first draw's." in told
    assert "A single draw" not in told
    (report,) = (workspace / "reports").glob("*/report.html")
    assert "How far the draws lie apart" in report.read_text()


def test_the_money_running_out_amid_a_later_replicate_leaves_the_whole_ones(serve: Serve, workspace: Path) -> None:
    seat_models(workspace, serve("--latency", 0).url)
    period = {"start": "2024-01-02", "end": "2024-01-26"}
    once = run(workspace, **period)
    with pytest.raises(PartialRunError) as stopped:
        run(workspace, **period, replicates=3, max_cost=1.5 * once.runtime["cost_usd"])
    facts = stopped.value.run.facts
    assert (facts["partial"], facts["replicates"]["count"], facts["stopped"]["replicates"]) == (True, 2, 3)
    assert facts["stopped"]["decided"] == facts["stopped"]["planned"] == 4
    assert facts["metrics"] == once.facts["metrics"]


@pytest.mark.parametrize("number", [0, -1])
def test_fewer_than_one_replicate_is_a_usage_error(workspace: Path, number: int) -> None:
    with pytest.raises(UsageError, match="--replicates was"):
        run(workspace, models="offline", replicates=number)


def test_a_rule_cannot_be_replicated(workspace: Path) -> None:
    with pytest.raises(UsageError, match="equal_weight asks no model: all replicates are the same"):
        run(workspace, strategy="equal_weight", models=None, replicates=2)


def test_a_metric_that_a_draw_has_not_has_no_spread() -> None:
    assert spread([1.0, None]) == {"mean": None, "min": None, "max": None, "sd": None}
    assert spread([2.0]) == {"mean": 2.0, "min": 2.0, "max": 2.0, "sd": None}
