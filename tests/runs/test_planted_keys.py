"""A key planted in the environment is found in no byte that a run writes or prints, whatever sends it back."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from simulator.llm import gateway
from simulator.llm.cache import AnswerCache
from simulator.llm.fake_service.faults import SPELLINGS

from .conftest import Serve, seat_models

pytestmark = pytest.mark.medium

PERIOD = ("--from", "2024-01-02", "--to", "2024-01-12", "--symbols", "SPY,QQQ")
RUN = ("run", "--models", "dry", "--max-cost", "500", *PERIOD)
KEY = "sk-or+v1/Ab&c=9\"x<z>'q\\w%41-0123456789"
"""Looks different in every spelling."""
PASSWORD = "hunter2+hunter2/hunter2"
SECRETS = {
    "FAKE_API_KEY": KEY,
    "ALPACA_PAPER_SECRET_TREND": "PKtrend/0123456789+abc",
    "HTTPS_PROXY": f"http://me:{PASSWORD}@127.0.0.1:1",
    "ANTHROPIC_API_KEY": "sk-ant/api03-0123456789+xyz",
}
ALL = (*(SECRETS[name] for name in SECRETS if name != "HTTPS_PROXY"), PASSWORD)
WINDOW = 12
"""Characters of a spelling that give it away: a key that was cut short is one too."""


def needles() -> list[bytes]:
    """Windows of every spelling of every secret."""
    found = {
        spelled[start : start + WINDOW]
        for secret in ALL
        for spell in SPELLINGS.values()
        if (spelled := spell(secret).strip("'\""))
        for start in range(0, len(spelled) - WINDOW + 1, 5)
    }
    return sorted(one.encode() for one in found)


def written(workspace: Path) -> Iterator[tuple[str, bytes]]:
    """(name, bytes) of every file, and the stored questions and answers as they are when they are unpacked."""
    for path in sorted(workspace.rglob("*")):
        if path.is_file() and "data" not in path.relative_to(workspace).parts[:1]:
            yield str(path.relative_to(workspace)), path.read_bytes()
    with AnswerCache(workspace / "llm_cache") as cache:
        yield "entries", b"\n".join(json.dumps(entry.to_json(), ensure_ascii=False).encode("utf-8", "replace")
                                    for entry in cache.entries())  # fmt: skip


def assert_found_nowhere(workspace: Path, done: Any) -> None:
    places = [("stdout", done.stdout.encode()), ("stderr", done.stderr.encode()), *written(workspace)]
    found = [(name, one) for name, data in places for one in NEEDLES if one in data]
    assert found == []


NEEDLES = needles()
FAULTS = ["echo-401", "echo-429", "echo-400", "echo-page", "echo-redirect", "echo-200", "echo-choice", "echo-answer",
          "echo-refusal"]  # fmt: skip


@pytest.fixture
def planted(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(gateway, "Retry", partial(gateway.Retry, waits=(0.01,)))


def name_the_key(workspace: Path) -> None:
    path = workspace / "config" / "models.yaml"
    content = json.loads(path.read_text())
    for seat in content["profiles"]["dry"].values():
        seat["api_key_env"] = "FAKE_API_KEY"
    path.write_text(json.dumps(content))


@pytest.mark.fault(
    "money", "a service that sends the key back: in errors, headers, redirects, pages, answers, refusals",
    "found in no byte that is written or printed, in eight spellings",
)  # fmt: skip
@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.usefixtures("planted")
def test_a_key_that_a_service_sends_back_is_found_nowhere(fault: str, serve: Serve, workspace: Path, sim: Any) -> None:
    service = serve("--latency", 0, "--faults", 0.9, "--fault", fault)
    seat_models(workspace, service.url)
    name_the_key(workspace)
    done = sim(*RUN, "--json", cwd=workspace, env={"SIM_DEBUG": "1"})
    assert service.stats()["faults"][fault] >= 1
    assert done.returncode in (0, 4), done.stderr
    if fault not in ("echo-redirect", "echo-choice"):
        assert "[FAKE_API_KEY]" in "".join(data.decode("latin-1") for _, data in written(workspace)) + done.stderr
    assert_found_nowhere(workspace, done)
    for words in (("report", "last"), ("cache", "stats"), ("explain", "last", "2024-01-08")):
        assert_found_nowhere(workspace, sim(*words, cwd=workspace, env={"SIM_DEBUG": "1"}))


CLAUDES = {
    "stderr": "sys.stderr.write(keys * 20); sys.exit(1)",
    "an error": 'print(json.dumps({"type": "result", "is_error": True, "result": "API Error: 529 " + keys}))',
    "an error for good": 'print(json.dumps({"type": "result", "is_error": True, "errors": [keys]}))',
    "an answer": 'print(json.dumps({"type": "result", "result": keys, "modelUsage": {keys: {}}, "stop_reason": keys}))',
}


@pytest.mark.skipif(sys.platform == "win32", reason="the fake is a script with a #! line")
@pytest.mark.fault(
    "money", "claude that prints the keys of the environment", "found in no byte that is written or printed"
)
@pytest.mark.parametrize("act", CLAUDES)
@pytest.mark.usefixtures("planted")
def test_a_key_that_claude_prints_is_found_nowhere(
    act: str, workspace: Path, sim: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = tmp_path / "claude"
    command.write_text(
        f"#!{sys.executable}\nimport json, os, sys\n"
        "from simulator.llm.fake_service.faults import SPELLINGS\n"
        "sys.stdin.read()\n"
        f"keys = ' '.join(spell(os.environ[n]) for spell in SPELLINGS.values() for n in {sorted(SECRETS)!r})\n"
        f"{CLAUDES[act]}\n"
    )
    command.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    monkeypatch.setenv("PYTHONPATH", str(Path(gateway.__file__).parents[2]))
    seat = {"provider": "claude_code", "model": "haiku"}
    seats = {"offline": {"*": {"provider": "offline", "model": "trend"}}, "dry": {"*": seat}}
    content = {"profiles": seats, "max_usd_per_day": 1000, "limits": {"claude_code": {"calls_per_hour": 10_000}}}
    (workspace / "config" / "models.yaml").write_text(json.dumps(content))
    done = sim("council", "research", "--as-of", "2024-01-08", "--models", "dry", "--max-cost", "500", cwd=workspace)
    assert "[ANTHROPIC_API_KEY]" in "".join(data.decode("latin-1") for _, data in written(workspace)) + done.stderr
    assert_found_nowhere(workspace, done)


RULE = """
import os
from simulator.rules.base import Rule

class Leaky(Rule):
    def weights(self, snapshot):
        raise ValueError(os.environ["FAKE_API_KEY"] + " " + repr(dict(os.environ)))
"""


@pytest.mark.fault("money", "a strategy that fails with the key in its error", "struck out of the traceback too")
@pytest.mark.usefixtures("planted")
def test_a_key_in_the_error_of_a_strategy_is_not_printed(workspace: Path, sim: Any) -> None:
    (workspace / "strategies" / "leaky.py").write_text(RULE)
    done = sim("run", "--strategy", "leaky", *PERIOD, cwd=workspace, env={"SIM_DEBUG": "1"})
    assert done.returncode != 0
    assert re.search(r"ValueError: \[FAKE_API_KEY\]", done.stderr)
    assert_found_nowhere(workspace, done)


@pytest.mark.fault("money", "a PostgreSQL database that cannot be reached, its password in DATABASE_URL", "not printed")
@pytest.mark.parametrize(
    "words", [("run", "--strategy", "sma_cross", *PERIOD), ("runs",), ("db", "status"), ("doctor",)]
)
def test_a_password_of_a_database_is_not_printed(
    words: tuple[str, ...], workspace: Path, sim: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    for address in (
        "postgresql://trader:hunter2%2Bhunter2%2Fhunter2@127.0.0.1:1/sim",
        "postgresql://127.0.0.1:1/sim?user=trader&password=hunter2%2Bhunter2%2Fhunter2",
        "postgresql://trader:hunter2+hunter2/hunter2@127.0.0.1:1/sim",
        "postgres//trader:hunter2+hunter2/hunter2@127.0.0.1:1/sim",
    ):
        monkeypatch.setenv("DATABASE_URL", address)
        done = sim(*words, cwd=workspace, env={"SIM_DEBUG": "1"})
        assert done.returncode != 0 or words == ("doctor",)
        assert_found_nowhere(workspace, done)
        assert "hunter2" not in done.stdout + done.stderr
