"""The shipped cassette: a real model's debate, replayed without the model, a key or a network."""

from __future__ import annotations

import json
import socket
from pathlib import Path
from typing import Any

import pytest

import simulator

pytestmark = pytest.mark.medium

DEBATE = ("small_council", ["SPY", "QQQ"], "2024-09-03", "2024-09-27")


@pytest.fixture
def imported(sim: Any, workspace: Path) -> Path:
    done = sim("cache", "import", "small_council", "--workspace", workspace)
    assert done.returncode == 0, done.stderr
    return workspace


def test_the_debate_of_a_real_model_replays_with_the_network_cut(
    imported: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def cut(*_: object) -> None:
        raise AssertionError("a replayed run opened a connection")

    monkeypatch.setattr(socket.socket, "connect", cut)
    run = simulator.run(*DEBATE, models="local", cache="replay", workspace=imported)
    assert run.facts["digest"] == "4f59cc9c99c5e7abb47a0a277b3fa5fded0692ee0d6ef10f2997af7760ef6eb1"
    assert len(run.records) == 4
    assert run.facts["analysts"] is None
    assert (run.runtime["asked"], run.runtime["cost_usd"]) == (0, 0.0)
    assert run.facts["audit"]["max_relative_difference"] == 0.0
    pitches = [said for decision in run.records for said in decision["record"]["pitches"]]
    assert len(pitches) == 12
    assert all(said["answer"]["thesis_bullets"] for said in pitches)
    assert run.facts["shortfalls"]["failed"], "the answer that stayed cut off after its repair is on record"


def test_a_changed_prompt_is_not_answered_from_the_cassette(sim: Any, imported: Path) -> None:
    prompt = imported / "strategies" / "small_council" / "prompts" / "trend.md"
    prompt.write_text(prompt.read_text().rstrip("\n") + " Think twice.\n")
    strategy, symbols, first, last = DEBATE
    words = ("run", "--strategy", strategy, "--symbols", ",".join(symbols), "--from", first, "--to", last)
    done = sim(*words, "--models", "local", "--cache", "replay", "--json", "--workspace", imported)
    assert done.returncode == 4
    assert "Think twice" in done.stderr
    assert not done.stdout
    assert not (imported / "reports").exists()


def test_the_cassette_holds_what_the_model_said_and_no_more(workspace: Path) -> None:
    lines = (workspace / "llm_cache" / "cassettes" / "small_council.jsonl").read_text(encoding="utf-8").splitlines()
    entries = [json.loads(line) for line in lines]
    assert len(entries) == 45
    assert [e["key"] for e in entries] == sorted({e["key"] for e in entries})
    assert sum(e["response"]["outcome"] == "unusable" for e in entries) == 1
