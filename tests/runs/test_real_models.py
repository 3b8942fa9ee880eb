"""Whole runs on a service over HTTP: side by side as one by one, out of money, out of service, killed, interrupted."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import pytest

import simulator
from simulator.errors import CacheMissError, LLMError, UnansweredError
from simulator.llm import gateway
from simulator.llm.cache import AnswerCache
from simulator.runs.execute import PartialRunError
from simulator.store.database import Store

from .conftest import Serve, evidence, seat_models

pytestmark = pytest.mark.medium

PERIOD = {"start": "2024-01-02", "end": "2024-02-16"}
WORDS = ("run", "--models", "dry", "--from", "2024-01-02", "--to", "2024-02-16", "--max-cost", "50")
DATES, PER_DATE = 7, 28


def run(workspace: Path, **changes: Any) -> simulator.Run:
    return simulator.run(**{**PERIOD, "models": "dry", "max_cost": 50.0, **changes}, workspace=workspace)


def verified(workspace: Path) -> int:
    """Sound entries of the cache, none of which may be bad."""
    with AnswerCache(workspace / "llm_cache") as cache:
        found = cache.verify()
    assert found.bad == ()
    return found.entries


def waiting_for(service: Any, answers: int) -> None:
    while service.stats()["answered"] < answers:
        time.sleep(0.02)


@pytest.fixture
def dry(serve: Serve, workspace: Path) -> Callable[..., Any]:
    """``dry("--latency", 0.05, concurrency=8)``: the service that answers in `workspace` from now on."""

    def start(*options: object, **how: Any) -> Any:
        service = serve(*options)
        seat_models(workspace, service.url, **how)
        return service

    return start


def test_asked_side_by_side_the_result_has_the_bytes_of_one_by_one(dry, workspace: Path, tmp_path: Path) -> None:
    service = dry("--latency", 0.005)
    copy = tmp_path / "copy"
    shutil.copytree(workspace, copy)
    seat_models(copy, service.url, concurrency=1)
    many, one = run(workspace), run(copy)
    assert service.stats()["most_at_once"] > 16
    assert many.runtime["asked"] == one.runtime["asked"] == DATES * PER_DATE
    assert evidence(many.folder) == evidence(one.folder)
    assert many.facts["analysts"] is None
    assert many.facts["llm"]["cost_usd"] == pytest.approx(many.runtime["cost_usd"])


def test_a_run_out_of_money_keeps_whole_dates_and_the_command_it_prints_continues(
    dry, workspace: Path, tmp_path: Path, sim: Any
) -> None:
    service = dry("--latency", 0.02, concurrency=16)
    fresh = tmp_path / "fresh"
    shutil.copytree(workspace, fresh)
    stopped = sim(*WORDS[:-1], "0.6", "--workspace", workspace)
    assert stopped.returncode == 4
    assert "PARTIAL:" in stopped.stdout
    last_line = stopped.stderr.splitlines()[-1]
    assert last_line.startswith("sim: error: budget of $0.60 is spent")
    assert service.stats()["usd"] <= 0.6

    (folder,) = (workspace / "reports").glob("*/")
    assert folder.name.endswith("-partial")
    facts = json.loads((folder / "run.json").read_text())
    decided = facts["stopped"]["decided"]
    assert facts["partial"] is True
    assert 1 <= decided < facts["stopped"]["planned"] == DATES
    assert len((folder / "decisions.jsonl").read_text().splitlines()) == decided
    report = (folder / "report.html").read_text()
    assert '<span class="badge">partial</span>' in report
    assert f"PARTIAL: {decided} of 7" in report.replace("\u00a0", " ")
    assert [row["partial"] for row in json.loads(sim("runs", "--json", "--workspace", workspace).stdout)] == [True]
    assert "partial" in sim("runs", "--workspace", workspace).stdout
    explained = sim("explain", facts["run_id"], "2024-01-03", "--workspace", workspace)
    assert explained.returncode == 0, explained.stderr

    command = re.search(r"`sim (run [^`]* --max-cost \d+)` continues", last_line)[1]
    continued = sim(*shlex.split(command), "--json", "--workspace", workspace)
    assert continued.returncode == 0, continued.stderr
    said = json.loads(continued.stdout)
    assert (said["partial"], said["run_id"]) == (False, facts["run_id"])
    stats = service.stats()
    assert (stats["answered"], stats["twice"]) == (DATES * PER_DATE, 0)
    assert {path.name for path in (workspace / "reports").iterdir()} == {Path(said["dir"]).name, "index.html"}
    with Store(workspace / "sim.db") as store:
        assert [(row["partial"], row["times"]) for row in store.runs()] == [(False, 2)]

    # What there was of it is what a run asked for as much comes to.
    assert run(workspace, end=facts["to"]).facts["digest"] == facts["digest"]
    assert evidence(Path(said["dir"])) == evidence(run(fresh, max_cost=float(command.split()[-1])).folder)


def test_in_python_a_run_out_of_money_is_an_error_that_carries_what_there_is(dry, workspace: Path) -> None:
    dry("--latency", 0.01, concurrency=4)
    with pytest.raises(PartialRunError, match=r"budget of \$0.60 is spent") as caught:
        run(workspace, max_cost=0.6)
    assert caught.value.exit_code == 4
    assert caught.value.run.facts["partial"] is True
    assert caught.value.run.equity.index[-1].date().isoformat() == caught.value.run.facts["to"] < "2024-02-16"


def test_the_days_money_spent_leaves_a_partial_run_that_the_next_day_continues(dry, workspace: Path) -> None:
    dry("--latency", 0.01, concurrency=4, max_usd_per_day=0.6)
    with pytest.raises(PartialRunError) as stopped:
        run(workspace)
    assert "the day's $0.60 are spent" in str(stopped.value)
    assert "the same command continues after midnight UTC" in str(stopped.value)
    assert f": `{stopped.value.run.facts['command']}`" in str(stopped.value)


def test_without_a_single_date_decided_there_is_no_partial_run(dry, workspace: Path) -> None:
    dry("--latency", 0)
    with pytest.raises(LLMError, match=r"`sim run .* --max-cost [1-9].*` continues") as caught:
        run(workspace, max_cost=0.05)
    assert not isinstance(caught.value, PartialRunError)
    assert not (workspace / "reports").exists()
    assert not (workspace / "sim.db").exists()


@pytest.mark.fault(
    "services",
    "a service keeps failing in the middle of a run",
    "exit 4, the answers that came are kept, no folder is written, and the same command continues",
)
def test_a_service_that_keeps_failing_leaves_answers_and_no_folder_and_the_same_command_continues(
    dry, workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gateway, "Retry", partial(gateway.Retry, waits=(0.01,)))
    service = dry("--latency", 0, "--faults", 0.1, "--fault", "502", "--seed", 6, concurrency=4)
    with pytest.raises(
        UnansweredError, match=r"no answer after 2 attempts .* answers that came are kept: `sim run "
    ) as stopped:
        run(workspace)
    assert stopped.value.exit_code == 4
    assert service.stats()["answered"] > PER_DATE
    assert not (workspace / "reports").exists()
    assert not (workspace / "sim.db").exists()
    made = None
    while made is None:
        with suppress(UnansweredError):
            made = run(workspace)
    assert made.facts["partial"] is False
    stats = service.stats()
    assert (stats["answered"], stats["twice"]) == (DATES * PER_DATE, 0)


def test_a_changed_prompt_is_named_when_only_the_cache_may_answer(dry, workspace: Path, sim: Any) -> None:
    service = dry("--latency", 0)
    run(workspace)
    asked = service.stats()["requests"]
    assert run(workspace, cache="replay").runtime["asked"] == 0
    prompt = workspace / "strategies" / "macro_council" / "prompts" / "review.md"
    prompt.write_text(prompt.read_text().replace("Judge the pitch, not the person;", "Judge the person;"))
    with pytest.raises(CacheMissError):
        run(workspace, cache="replay")
    done = sim(*WORDS, "--cache", "replay", "--workspace", workspace)
    assert done.returncode == 4
    assert "stage=review" in done.stderr
    assert "asked against stored: messages[1].content line" in done.stderr
    assert '"Judge the person;' in done.stderr
    assert '"Judge the pitch, not the person;' in done.stderr
    assert service.stats()["requests"] == asked


def start(workspace: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "simulator", *WORDS, "--workspace", str(workspace)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        env={**os.environ},
    )


def test_a_run_killed_while_asking_pays_only_for_what_was_in_flight(dry, workspace: Path, tmp_path: Path) -> None:
    service = dry("--latency", 0.05, concurrency=8)
    fresh = tmp_path / "fresh"
    shutil.copytree(workspace, fresh)
    for answers in (20, 70):
        doomed = start(workspace)
        waiting_for(service, answers)
        doomed.send_signal(signal.SIGKILL)
        doomed.communicate()
    stored, answered = verified(workspace), service.stats()["answered"]
    assert answered - stored <= 2 * 8
    assert not (workspace / "reports").exists()
    made = run(workspace)
    assert made.runtime["asked"] == DATES * PER_DATE - stored
    assert evidence(made.folder) == evidence(run(fresh).folder)


def test_ctrl_c_while_asking_ends_at_once_and_keeps_what_was_answered(dry, workspace: Path) -> None:
    service = dry("--latency", 0.1, concurrency=8)
    interrupted = start(workspace)
    waiting_for(service, 30)
    began = time.monotonic()
    interrupted.send_signal(signal.SIGINT)
    _, said = interrupted.communicate(timeout=30)
    assert time.monotonic() - began < 20
    assert interrupted.returncode == 130
    assert said.decode().splitlines()[-1] == "sim: interrupted"
    stored = verified(workspace)
    assert stored == service.stats()["answered"]
    assert not (workspace / "reports").exists()
    assert run(workspace).runtime["asked"] == DATES * PER_DATE - stored


IN_A_LOOP = """
import asyncio, sys, simulator
async def cell():
    simulator.run(start="2024-01-02", end="2024-02-16", models="dry", max_cost=50.0, workspace=sys.argv[1])
asyncio.run(cell())
"""


def test_an_interrupted_notebook_keeps_the_dates_that_were_decided_and_every_answer(dry, workspace: Path) -> None:
    service = dry("--latency", 0.1, concurrency=16)
    kernel = subprocess.Popen([sys.executable, "-c", IN_A_LOOP, str(workspace)], stderr=subprocess.PIPE)
    waiting_for(service, 4 * PER_DATE)
    began = time.monotonic()
    kernel.send_signal(signal.SIGINT)
    _, said = kernel.communicate(timeout=30)
    assert time.monotonic() - began < 20  # 2 s where nothing else runs
    assert "KeyboardInterrupt" in said.decode().splitlines()[-1]
    partial_run = simulator.load("last", workspace=workspace)
    assert partial_run.facts["partial"]
    assert 0 < len(partial_run.records) < DATES
    assert verified(workspace) == service.stats()["answered"]
    whole = run(workspace)
    assert whole.records[: len(partial_run.records)] == partial_run.records
    assert service.stats()["answered"] <= DATES * PER_DATE + 16


def test_after_twenty_answers_a_run_says_what_it_will_cost(dry, workspace: Path, sim: Any) -> None:
    dry("--latency", 0.05, concurrency=8)
    done = sim(*WORDS, "--workspace", workspace)
    assert done.returncode == 0, done.stderr
    said = re.fullmatch(r"sim: (\d+) answers so far: 0% cached, \$([\d.]+) of about \$([\d.]+), .* left\n", done.stderr)
    assert int(said[1]) >= 20
    facts = json.loads(next((workspace / "reports").glob("*/run.json")).read_text())
    assert float(said[3]) == pytest.approx(facts["llm"]["cost_usd"], rel=0.5)
    assert "A single draw" in done.stdout


@pytest.mark.fault(
    "money", "a run on models that the table calls free and that tell a cost", "ends at --max-cost, repeated or not"
)
def test_a_run_on_models_called_free_ends_at_its_limit(dry, workspace: Path, sim: Any) -> None:
    service = dry("--latency", 0.01, "--faults", 1, "--fault", "cost-tenth")
    config = workspace / "config" / "models.yaml"
    content = json.loads(config.read_text())
    content["prices"] = {service.url: {"input": 0, "output": 0}}
    config.write_text(json.dumps(content))
    for _ in range(2):
        done = sim(*WORDS[:-1], "1", cwd=workspace)
        assert done.returncode == 4
        assert "budget of $1.00 is spent: $1.0000 paid, $0.1000 at most for the next question" in done.stderr
        assert service.stats()["requests"] == 10
