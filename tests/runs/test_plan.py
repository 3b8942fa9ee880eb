"""`--plan` says beforehand what a run asks and pays; it asks nothing and writes nothing."""

from __future__ import annotations

import asyncio
import json
import re
import shutil
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import pytest

import simulator
from simulator.config import load_config
from simulator.errors import ConfigError, UsageError
from simulator.evidence.plan import Plan
from simulator.llm.cache import AnswerCache
from simulator.runs.plan import make_plan
from simulator.runs.spec import RunSpec
from simulator.workspace import find_workspace, make_workspace

from ..conftest import listening
from .conftest import Serve, priced_service, seat_models

pytestmark = pytest.mark.medium

PERIOD = (date(2024, 1, 2), date(2024, 1, 26))
DATES, PER_DATE = 4, 28


def plan(workspace: Path, **changes: Any) -> Plan:
    given = {"strategy": "macro_council", "symbols": ("SPY", "QQQ"), "first": PERIOD[0], "last": PERIOD[1]}
    return make_plan(RunSpec(**{**given, "models": "dry", **changes}), find_workspace(workspace))


def run(workspace: Path, **changes: Any) -> simulator.Run:
    given = {"symbols": ["SPY", "QQQ"], "start": PERIOD[0], "end": PERIOD[1], "models": "dry", "max_cost": 50}
    return simulator.run(**{**given, **changes}, workspace=workspace)


@pytest.fixture(scope="module")
def answered_once(service_loop: asyncio.AbstractEventLoop, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A workspace whose profile `dry` has answered the whole period."""
    workspace = tmp_path_factory.mktemp("answered") / "workspace"
    make_workspace(workspace, git=False)
    with listening(service_loop, priced_service()) as service:
        seat_models(workspace, service.url)
        run(workspace)
        yield workspace


@pytest.fixture
def answered(answered_once: Path, tmp_path: Path) -> Path:
    """Such a workspace, to be changed."""
    copy = tmp_path / "answered"
    shutil.copytree(answered_once, copy)
    return copy


def tree(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def forget(workspace: Path, keys: set[str]) -> None:
    """Take answers out of the cache."""
    with AnswerCache(workspace / "llm_cache") as cache:
        kept = [entry for entry in cache.entries() if entry.key not in keys]
    for path in (workspace / "llm_cache").glob("cache.db*"):
        path.unlink()
    with AnswerCache(workspace / "llm_cache") as cache:
        cache.put_entries(kept)


def test_a_plan_asks_nothing_writes_nothing_and_says_what_the_run_then_asks(serve: Serve, workspace: Path) -> None:
    service = serve("--latency", 0)
    seat_models(workspace, service.url)
    before = tree(workspace)
    cold = plan(workspace)
    assert tree(workspace) == before
    assert service.stats()["requests"] == 0
    assert (cold.calls, cold.misses) == (DATES * PER_DATE, DATES * PER_DATE)
    made = run(workspace)
    assert made.runtime["asked"] == cold.misses
    assert cold.usd.low < made.runtime["cost_usd"] < cold.usd.high
    warm = plan(workspace)
    assert (warm.calls, warm.misses, warm.usd.high, warm.minutes) == (DATES * PER_DATE, 0, 0.0, 0.0)


@pytest.mark.parametrize(
    ("stage", "asked"),
    [
        ("research", 1 + 5 + 20 + 1),
        # The four others saw that pitch in each of their four reviews; who wrote it did not.
        ("pitch", 1 + 16 + 1),
        ("review", 1 + 1),
        ("chairman", 1),
    ],
)
def test_what_rests_on_a_missing_answer_is_to_be_asked_too(answered: Path, stage: str, asked: int) -> None:
    with AnswerCache(answered / "llm_cache") as cache:
        lost = next(entry.key for entry in cache.entries() if entry.purpose["stage"] == stage)
    forget(answered, {lost})
    assert plan(answered).misses == asked


def test_a_stand_in_is_never_found_on_disk_by_accident(serve: Serve, workspace: Path) -> None:
    """The chairman has answered to what the analysts said; managers are exchanged for models not asked yet."""
    service = serve("--latency", 0)
    seat_models(workspace, service.url)
    models = workspace / "config" / "models.yaml"
    content = json.loads(models.read_text())
    content["profiles"]["half"] = {**content["profiles"]["offline"], "chairman": content["profiles"]["dry"]["chairman"]}
    models.write_text(json.dumps(content))
    run(workspace, models="half")
    half, whole = plan(workspace, models="half"), plan(workspace)
    assert [line.misses for line in half.lines if line.stage == "chairman"] == [0]
    assert [line.misses for line in whole.lines if line.stage == "chairman"] == [DATES]


def test_answers_on_disk_make_the_next_plan_exact(answered: Path) -> None:
    later = {"first": date(2024, 3, 4), "last": date(2024, 4, 26)}
    known = plan(answered, **later)
    assert all(line.past for line in known.lines)
    made = run(answered, start=later["first"], end=later["last"])
    assert known.usd.likely == pytest.approx(made.runtime["cost_usd"], rel=0.03)
    assert known.usd.low <= made.runtime["cost_usd"] <= known.usd.high


def test_replicates_and_modes_are_planned_for(answered: Path) -> None:
    assert plan(answered, replicates=3).misses == 2 * DATES * PER_DATE
    assert plan(answered, cache="refresh").misses == DATES * PER_DATE
    assert plan(answered, cache="replay").fails is None
    later = plan(answered, cache="replay", last=date(2024, 3, 1))
    assert later.fails == f"--cache replay asks nothing, and {later.misses} answers are not on disk"


def test_the_usual_seats_cost_nothing_and_a_rule_asks_nothing(workspace: Path) -> None:
    offline = plan(workspace, models=None)
    asked = {line.stage: 0 for line in offline.lines}
    for line in offline.lines:
        asked[line.stage] += line.calls
    looked_again = asked.pop("checkpoint")
    assert asked == {"research": 8, "pitch": 20, "review": 80, "chairman": 4}
    assert (offline.decisions, offline.checkpoints) == (4, 14)
    assert (offline.models, offline.misses, offline.usd.high) == ("offline", 112 + looked_again, 0.0)
    run = simulator.run("macro_council", ["SPY", "QQQ"], *PERIOD, workspace=workspace)
    assert run.facts["llm"]["calls"] == offline.calls
    assert run.runtime["asked"] == offline.misses
    rule = plan(workspace, models=None, strategy="sma_cross")
    assert (rule.models, rule.lines, rule.calls) == (None, (), 0)
    with pytest.raises(UsageError, match="sma_cross asks no model"):
        plan(workspace, models=None, strategy="sma_cross", replicates=2)


def test_the_shipped_profiles_can_be_planned(workspace: Path) -> None:
    for name in load_config(workspace / "config").models.profiles:
        made = plan(workspace, models=name)
        assert made.calls > DATES * PER_DATE
        assert (made.usd.likely > 0) == (name in ("requesty", "claude_code"))
        assert made.usd.low <= made.usd.likely <= made.usd.high


def test_a_price_nobody_knows_is_asked_for(sim: Any, workspace: Path) -> None:
    models = workspace / "config" / "models.yaml"
    models.write_text(models.read_text().replace("model: xai/grok-4.1", "model: xai/grok-of-tomorrow"))
    with pytest.raises(ConfigError, match="xai/grok-of-tomorrow"):
        plan(workspace, models="requesty")
    # Before anybody else is asked: nothing is paid for a run that could not go on.
    done = sim("run", "--models", "requesty", "--workspace", workspace, env={"REQUESTY_API_KEY": "sk-1"})
    assert done.returncode == 2
    assert 'config/models.yaml: no price is known for "xai/grok-of-tomorrow"' in done.stderr
    assert done.stderr.count("\n") == 1


def test_the_table_says_what_it_comes_to(sim: Any, workspace: Path) -> None:
    words = ("run", "--models", "requesty", "--plan", "--to", "2024-12-30", "--workspace", workspace)
    done = sim(*words, env={"COLUMNS": "80"})
    assert (done.returncode, done.stderr) == (0, "")
    assert "53 decisions and 198 checkpoints" in done.stdout
    assert re.search(r"(\d,\d{3}) questions: 0 answered on disk, \1 to ask. About \$", done.stdout)
    assert "More than --max-cost 5: the run would stop there" in done.stdout
    assert "All runs of a day may spend $5" in done.stdout
    assert "first guess" in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= 80
    told = json.loads(sim(*words, "--json").stdout)
    calls = {line["stage"]: line["calls"] for line in told["lines"] if line["stage"] == "chairman"}
    assert calls == {"chairman": 53}
    assert told["total"]["misses"] == sum(line["misses"] for line in told["lines"]) > 1484
    assert told["total"]["usd"]["likely"] == pytest.approx(sum(line["usd"]["likely"] for line in told["lines"]))
    assert {line["stage"] for line in told["lines"]} == {"research", "pitch", "review", "chairman", "checkpoint"}
