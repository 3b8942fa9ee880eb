"""Whole runs against a service that fails, is killed, or is shared: nothing is lost, nothing is paid for twice."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from simulator.llm.cache import AnswerCache

pytestmark = pytest.mark.medium

SMALL_RUN = Path(__file__).parent / "small_run.py"


def _load() -> Any:
    spec = importlib.util.spec_from_file_location("small_run", SMALL_RUN)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["small_run"] = module
    spec.loader.exec_module(module)
    return module


small_run = _load()
PER_DATE = 6
PASSING = "429,429-retry-after,500,502,cut,cut-body,hang,empty"

Serve = Callable[..., Any]


def start(**settings: object) -> subprocess.Popen[str]:
    words = [sys.executable, str(SMALL_RUN), json.dumps(settings, default=str)]
    return subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def finish(process: subprocess.Popen[str]) -> dict[str, Any]:
    out, _ = process.communicate(timeout=120)
    assert process.returncode == 0
    found: dict[str, Any] = json.loads(out)
    return found


def run_several(processes: int, **settings: object) -> list[dict[str, Any]]:
    process = start(**settings, processes=processes)
    out, _ = process.communicate(timeout=120)
    found = [json.loads(line) for line in out.splitlines()]
    assert len(found) == processes
    return found


def run(**settings: object) -> dict[str, Any]:
    """In this process where nothing is patched: it has the SDK imported already."""
    if settings.get("guard"):
        return finish(start(**settings))
    return small_run.run(small_run.Settings(**{**settings, "folder": str(settings["folder"])}))


def bytes_written(folder: Path) -> bytes:
    return b"\0".join(path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file())


@pytest.mark.parametrize("schema", ["native", "in the prompt"])
def test_passing_failures_change_nothing_but_the_time_a_run_takes(serve: Serve, tmp_path: Path, schema: str) -> None:
    plain = [] if schema == "native" else ["--no-schema"]
    good = serve("--latency", 0.01, "--price", 100, 400, *plain)
    expected = run(folder=tmp_path / "good", url=good.url, dates=10)
    faulty = serve("--latency", 0.01, "--price", 100, 400, "--faults", 0.2, "--fault", PASSING, "--seed", 3,
                   "--retry-after", 0.05, *plain)  # fmt: skip
    found = run(folder=tmp_path / "faulty", url=faulty.url, dates=10, timeout_s=2.0)
    stats = faulty.stats()
    assert found["error"] == ""
    assert found["digest"] == expected["digest"]
    assert sum(stats["faults"].values()) >= 8
    assert len(stats["faults"]) >= 5
    assert (stats["answered"], stats["questions"], stats["twice"]) == (60, 60, 0)
    assert (found["asked"], found["entries"]) == (60, 60)
    assert found["cost_usd"] == pytest.approx(stats["usd"])
    again = run(folder=tmp_path / "faulty", url=faulty.url, dates=10)
    assert (again["digest"], again["asked"], again["cached"]) == (found["digest"], 0, 60)
    assert again["calls"] == found["calls"]
    assert faulty.stats()["requests"] == stats["requests"]


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_with_every_kind_of_fault_a_run_ends_and_keeps_every_answer_it_paid_for(
    serve: Serve, tmp_path: Path, seed: int
) -> None:
    service = serve("--latency", 0.01, "--price", 100, 400, "--faults", 0.2, "--seed", seed, "--retry-after", 0.05)
    found = run(folder=tmp_path, url=service.url, dates=10, timeout_s=2.0, concurrency=16)
    stats = service.stats()
    assert found["error"] == ""
    assert stats["twice"] == 0
    assert stats["answered"] == found["entries"] == found["asked"]
    assert found["cost_usd"] == pytest.approx(stats["usd"])
    bad_answers = {"not-json", "wrong-schema", "truncated", "refusal"}
    assert bad_answers & set(stats["faults"])
    if stats["faults"].get("refusal"):
        assert found["failed"] >= 1
    again = run(folder=tmp_path, url=service.url, dates=10, mode="replay", guard=True)
    assert (again["digest"], again["calls"], again["failed"]) == (found["digest"], found["calls"], found["failed"])
    assert service.stats()["requests"] == stats["requests"]
    with AnswerCache(tmp_path / "llm_cache") as cache:
        assert cache.verify().bad == ()


def test_a_service_that_stays_away_ends_the_run_and_what_was_paid_for_is_continued_with(
    serve: Serve, tmp_path: Path
) -> None:
    service = serve("--latency", 0.01, "--faults", 0.7, "--fault", "502,empty", "--seed", 1)
    found = run(folder=tmp_path, url=service.url, dates=5, waits=1)
    assert found["code"] == 4
    assert "no answer after 2 attempts" in found["error"]
    stats = service.stats()
    assert stats["answered"] == found["entries"]
    found = run(folder=tmp_path, url=service.url, dates=5, waits=40)
    stats = service.stats()
    assert (found["error"], stats["answered"], stats["twice"]) == ("", 30, 0)


@pytest.mark.parametrize("kills", [8, pytest.param(50, marks=pytest.mark.slow)])
def test_kills_of_a_cold_run_cost_only_what_was_in_flight(serve: Serve, tmp_path: Path, kills: int) -> None:
    service, at_once, dates = serve("--latency", 0.01, "--price", 100, 400), 8, 6 * kills
    settings = {"folder": tmp_path, "url": service.url, "dates": dates, "concurrency": at_once, "run": "r"}
    lost, stored = [0], [0]
    with start(**settings, kills=kills, seed=11) as killer, AnswerCache(tmp_path / "llm_cache") as cache:
        assert killer.stdout is not None
        assert killer.stdin is not None
        for _ in range(kills):
            assert killer.stdout.readline() == "killed\n"
            stored.append(len(cache.keys()))
            lost.append(service.stats()["answered"] - stored[-1])
            killer.stdin.write("\n")
            killer.stdin.flush()
    each = [later - before for before, later in pairwise(lost)]
    assert stored[-1] > 0, "some were killed while they asked"
    assert all(0 <= increase <= at_once for increase in each), each
    whole = run(**{**settings, "concurrency": 64})
    stats, questions = service.stats(), dates * PER_DATE
    assert (whole["error"], whole["entries"], stats["questions"]) == ("", questions, questions)
    assert whole["asked"] == questions - stored[-1]
    assert stats["answered"] == questions + lost[-1]
    with AnswerCache(tmp_path / "llm_cache") as cache:
        assert cache.verify().bad == ()


def test_four_processes_ask_no_question_twice_and_together_keep_to_one_budget(serve: Serve, tmp_path: Path) -> None:
    service = serve("--latency", 0.02, "--price", 100, 400)
    settings = {"folder": tmp_path, "url": service.url, "dates": 30, "run": "r"}
    limited = run_several(4, **settings, max_cost=0.5)
    stats = service.stats()
    assert {found["kind"] for found in limited} == {"RunBudgetError"}
    assert all("`--max-cost" in found["error"] for found in limited)
    assert 0.3 < stats["usd"] <= 0.5
    assert stats["twice"] == 0
    assert sum(found["asked"] for found in limited) == stats["answered"]
    whole = run_several(4, **settings, max_cost=50)
    assert len({found["digest"] for found in whole}) == 1
    assert [found["error"] for found in whole] == [""] * 4
    stats = service.stats()
    assert (stats["answered"], stats["questions"], stats["twice"]) == (180, 180, 0)
    assert sum(found["asked"] for found in (*limited, *whole)) == 180
    assert sum(found["asked"] > 0 for found in whole) >= 2


def test_the_days_money_is_one_for_all_runs_and_processes(serve: Serve, tmp_path: Path) -> None:
    service = serve("--latency", 0.01, "--price", 100, 400)
    found = run_several(2, folder=tmp_path, url=service.url, dates=30, max_day=0.4)
    assert {one["kind"] for one in found} == {"DayBudgetError"}
    assert service.stats()["usd"] <= 0.4
    again = run(folder=tmp_path, url=service.url, dates=30, max_day=0.4)
    assert (again["kind"], again["asked"]) == ("DayBudgetError", 0)


def test_a_key_in_the_environment_is_in_no_byte_a_run_wrote(
    serve: Serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = "sk-planted-4f1c9a77e2"
    monkeypatch.setenv("MY_SERVICE_KEY", secret)
    service = serve("--latency", 0.01, "--faults", 0.3, "--seed", 5, "--retry-after", 0.01)
    found = run(folder=tmp_path, url=service.url, dates=5, key_env="MY_SERVICE_KEY", timeout_s=0.5)
    process = start(folder=tmp_path, url=service.url, dates=400, key_env="MY_SERVICE_KEY", kills=1)
    process.communicate("\n", timeout=60)
    written = bytes_written(tmp_path)
    assert found["entries"] >= 20
    assert b"rehearsal" in written
    assert secret.encode() not in written
    assert secret.encode()[3:] not in written


def test_replay_needs_no_network_no_key_and_names_what_differs(serve: Serve, tmp_path: Path) -> None:
    service = serve("--latency", 0)
    cold = run(folder=tmp_path, url=service.url, dates=3)
    replayed = run(folder=tmp_path, url=service.url, dates=3, mode="replay", guard=True, key_env="NOT_SET_ANYWHERE")
    assert (replayed["digest"], replayed["asked"], replayed["cached"]) == (cold["digest"], 0, 18)
    missed = run(folder=tmp_path, url=service.url, dates=4, mode="replay", guard=True)
    assert (missed["code"], missed["kind"]) == (4, "CacheMissError")
    assert "asked against stored: messages[0].content" in missed["error"]
    assert '"Date 3, research' in missed["error"]


def test_all_at_once_gives_the_bytes_of_one_after_the_other(serve: Serve, tmp_path: Path) -> None:
    service = serve("--latency", 0.005)
    found = [run(folder=tmp_path / str(n), url=service.url, dates=8, concurrency=n) for n in (1, 64)]
    assert found[0]["digest"] == found[1]["digest"]
    assert found[0]["calls"] == found[1]["calls"]
