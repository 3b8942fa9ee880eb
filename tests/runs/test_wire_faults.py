"""Whole runs on services that fail: what passes leaves no trace in a result, what lasts can be asked again."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from simulator import run as simulate
from simulator.errors import UnansweredError
from simulator.llm import gateway
from simulator.llm.cache import AnswerCache
from simulator.llm.messages import ChatRequest, ChatResponse, Message

from .conftest import Serve, seat_models

pytestmark = pytest.mark.medium

DATES = {"start": "2024-01-02", "end": "2024-01-12"}


def run(workspace: Path, **options: Any) -> Any:
    words = {"workspace": workspace, "models": "dry", "max_cost": 100.0, **DATES, **options}
    return simulate("macro_council", ["SPY", "QQQ"], **words)


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gateway, "Retry", partial(gateway.Retry, waits=(0.0,) * 5))


PASSING = (
    "error-beside",
    "finish-null",
    "empty-content",
    "null-content",
    "text-rate-limit",
    "html",
    "200-error",
    "502",
)


@pytest.mark.usefixtures("impatient")
def test_a_result_does_not_depend_on_failures_that_passed(serve: Serve, workspace: Path, tmp_path: Path) -> None:
    good = serve("--latency", 0)
    seat_models(workspace, good.url)
    calm = run(workspace)
    for folder in ("llm_cache", "reports"):
        (workspace / folder).rename(tmp_path / folder)
    bad = serve("--latency", 0, "--fault", ",".join(PASSING), "--faults", 0.3, "--seed", 2)
    seat_models(workspace, bad.url)
    stormy = run(workspace)
    assert sum(bad.stats()["faults"].values()) > 10
    assert stormy.facts["metrics"] == calm.facts["metrics"]
    assert stormy.facts["llm"]["failed"] == 0
    with AnswerCache(workspace / "llm_cache") as cache:
        assert cache.stats().outcomes == {"answer": stormy.facts["llm"]["calls"]}


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("name", ["empty-content", "retry-after-day"])
def test_one_that_does_not_pass_ends_the_run_without_a_folder(
    name: str, serve: Serve, workspace: Path, sim: Any
) -> None:
    bad = serve("--latency", 0, "--fault", name)
    seat_models(workspace, serve("--latency", 0).url, elsewhere={"chairman": bad.url})
    with pytest.raises(UnansweredError):
        run(workspace)
    words = ("run", "--from", "2024-01-02", "--to", "2024-01-12", "--models", "dry", "--workspace", workspace)
    done = sim(*words)
    assert done.returncode == 4
    assert "no answer after" in done.stderr.splitlines()[-1]
    assert ("left alone until" in done.stderr.splitlines()[-1]) is (name == "retry-after-day")
    assert not (workspace / "reports").exists()
    with AnswerCache(workspace / "llm_cache") as cache:
        assert cache.stats().outcomes == {"answer": cache.stats().entries}
        assert cache.stats().entries >= 27, "answers that came are kept"


@pytest.mark.fault(
    "services",
    "a member's answers are stored as failures",
    "`sim cache forget --failures` removes them and nothing else",
)
def test_stored_failures_are_retried_or_forgotten(serve: Serve, workspace: Path, sim: Any) -> None:
    good, bad = serve("--latency", 0), serve("--latency", 0, "--fault", "refusal", "--first", 1)
    seat_models(workspace, good.url, elsewhere={"pm.risk": bad.url})
    words = ("run", "--from", "2024-01-02", "--to", "2024-01-12", "--models", "dry", "--json", "--workspace", workspace)
    first = sim(*words)
    assert first.returncode == 0, first.stderr
    with AnswerCache(workspace / "llm_cache") as cache:
        refused = cache.stats().outcomes["refusal"]
        answers = {entry.key for entry in cache.entries() if entry.response.outcome == "answer"}
    assert refused > 0
    before = good.stats()["requests"], bad.stats()["requests"]
    assert sim(*words).returncode == 0
    assert (good.stats()["requests"], bad.stats()["requests"]) == before, "a rerun asks nothing"

    assert sim("cache", "forget", "--workspace", workspace).returncode == 2
    planned = sim(*words[:-3], "--plan", "--cache", "retry", "--json", "--workspace", workspace)
    assert json.loads(planned.stdout)["total"]["misses"] >= refused
    retried = sim(*words, "--cache", "retry")
    assert retried.returncode == 0, retried.stderr
    assert bad.stats()["requests"] >= before[1] + refused
    with AnswerCache(workspace / "llm_cache") as cache:
        assert "refusal" not in cache.stats().outcomes
        assert answers <= set(cache.keys())
        question = ChatRequest("openai_compatible", "m", (Message("user", "buy?"),))
        cache.put(question, ChatResponse("no", outcome="refusal"))
    told = sim("cache", "forget", "--failures", "--json", "--workspace", workspace)
    assert json.loads(told.stdout)["forgotten"] == 1


def test_what_a_service_refuses_is_a_note_of_the_run_and_replays_from_a_cassette(
    serve: Serve, workspace: Path, sim: Any, tmp_path: Path
) -> None:
    service = serve("--latency", 0, "--fault", "no-json-output,no-max-tokens", "--seed", 3)
    seat_models(workspace, service.url)
    first = run(workspace)
    notes = [note for note in first.facts["notes"] if "refuses" in note]
    assert any("JSON schemas (asked for in the prompt)" in note for note in notes)
    assert any("max_tokens (max_completion_tokens sent)" in note for note in notes)
    assert run(workspace).facts == first.facts
    tape = tmp_path / "answers.jsonl"
    assert sim("cache", "export", tape, "--run", first.folder.name, "--workspace", workspace).returncode == 0
    (workspace / "llm_cache").rename(tmp_path / "gone")
    asked = service.stats()["requests"]
    assert sim("cache", "import", tape, "--workspace", workspace).returncode == 0
    assert run(workspace, cache="replay").facts == first.facts
    assert service.stats()["requests"] == asked
