"""A line per call, by day, whole even when several processes write at once; no secrets."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from simulator.errors import LLMError
from simulator.llm.cache import AnswerCache
from simulator.llm.gateway import Gateway
from simulator.llm.journal import Journal
from simulator.llm.messages import ChatRequest, ChatResponse, Usage
from simulator.llm.providers import TransientError
from simulator.llm.retries import Retry

Ask = Callable[..., ChatRequest]

QUESTION, YES = ChatRequest("told", "m", ()), ChatResponse("yes")


class Told:
    """Answers or raises, in the order it was told to."""

    name = "told"

    def __init__(self, *answers: ChatResponse | Exception) -> None:
        self.answers = list(answers)

    async def ask(self, request: ChatRequest) -> ChatResponse:  # noqa: ARG002
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


async def nothing(seconds: float) -> None:  # noqa: ARG001
    return


def lines(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for file in sorted(folder.glob("*.jsonl")) for line in file.read_text().splitlines()]


def test_every_question_and_every_failed_attempt_gets_a_line(cache: AnswerCache, ask: Ask, tmp_path: Path) -> None:
    paid = ChatResponse("yes", model="trend-2026-01", usage=Usage(100, 10, 0.25), latency_s=0.5)
    told = Told(TransientError("429 slow down"), paid, ChatResponse("no", outcome="refusal"), LLMError("401 no"))
    for _ in range(2):
        journal = Journal(tmp_path / "log")
        gateway = Gateway(cache, {"told": told}, retry=Retry((0.0,), nothing), journal=journal)
        for text in ("a", "a", "b"):
            asyncio.run(gateway.ask(ask(text)))
        journal.close()
    with pytest.raises(LLMError, match="401"):
        asyncio.run(gateway.ask(ask("c")))
    found = lines(tmp_path / "log")
    assert [(line["outcome"], line["hit"], line["attempt"], line["error"]) for line in found] == [
        ("failed", False, 1, "429 slow down"),
        ("answer", False, 2, ""),
        ("refusal", False, 1, ""),
        ("answer", True, 1, ""),
        ("refusal", True, 1, ""),
        ("failed", False, 1, "401 no"),
    ]
    answered = found[1]
    del answered["at"]
    assert answered == {
        "key": ask("a").key,
        "provider": "told",
        "model": "trend@abc",
        "served": "trend-2026-01",
        "stage": "pitch",
        "date": "2024-01-05",
        "account": "trend",
        "outcome": "answer",
        "hit": False,
        "attempt": 2,
        "tokens": [100, 10],
        "cost_usd": 0.25,
        "latency_s": 0.5,
        "error": "",
    }


def test_a_new_day_begins_a_new_file(tmp_path: Path) -> None:
    now = datetime(2026, 1, 2, 23, 59, 59, 999_000, UTC)
    journal = Journal(tmp_path, lambda: now)
    journal.write(QUESTION, YES)
    now += timedelta(seconds=1)
    journal.write(QUESTION, YES)
    journal.close()
    now -= timedelta(days=1)
    Journal(tmp_path, lambda: now).write(QUESTION, YES)
    assert {file.name: len(file.read_text().splitlines()) for file in tmp_path.iterdir()} == {
        "20260102.jsonl": 2,
        "20260103.jsonl": 1,
    }
    assert lines(tmp_path)[0]["at"] == "2026-01-02T23:59:59.999Z"


WRITER = """
import sys
from pathlib import Path
from simulator.llm.journal import Journal
from simulator.llm.messages import ChatRequest, ChatResponse
journal = Journal(Path(sys.argv[1]))
for i in range(500):
    journal.write(ChatRequest("told", "m" * (i % 300), (), purpose={"seat": sys.argv[2]}), ChatResponse("yes"))
"""


def test_lines_of_several_processes_do_not_mix(tmp_path: Path) -> None:
    writers = [subprocess.Popen([sys.executable, "-c", WRITER, tmp_path, str(i)]) for i in range(4)]
    assert [writer.wait() for writer in writers] == [0] * 4
    found = lines(tmp_path)
    assert sorted(line["account"] for line in found) == sorted("0123" * 500)


def test_a_disk_that_says_no_stops_nothing_and_is_told(tmp_path: Path, cache: AnswerCache, ask: Ask) -> None:
    (tmp_path / "log").write_text("a file where a folder should be")
    journal = Journal(tmp_path / "log")
    gateway = Gateway(cache, {"told": Told(ChatResponse("yes"))}, journal=journal)
    assert asyncio.run(gateway.ask(ask())).text == "yes"
    assert journal.error
