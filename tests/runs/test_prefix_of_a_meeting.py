"""Shares of a real council's prompts that a service with a prefix cache reads again, and what the plan says of them."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import pytest

import simulator
from simulator.council.analysts import RULES
from simulator.evidence.plan import Plan
from simulator.llm.fake_service.server import Behaviour, FakeService
from simulator.llm.messages import ChatRequest, ChatResponse
from simulator.llm.providers.offline import Offline
from simulator.runs.plan import make_plan
from simulator.runs.spec import RunSpec
from simulator.workspace import find_workspace

from ..conftest import listening
from .conftest import PRICE, SEATS, seat_models

pytestmark = pytest.mark.medium

SYMBOLS = ("SPY", "QQQ", "GLD", "AAPL", "NVDA", "BIL")
FIRST, LAST = date(2024, 3, 4), date(2024, 3, 8)
CACHED = 0.3
PERSONAS = {
    "trades mean reversion": "reversion",
    "starts from risk": "risk",
    "against cash": "carry",
    "trades breakouts": "breakout",
    "market-narrative researcher": "narrative",
}


def one_model_for_all(workspace: Path, url: str, **seat: Any) -> None:
    """Give every seat the same model, which has a price of cached input: only a model's own prompts are read again."""
    seat_models(workspace, url)
    path = workspace / "config" / "models.yaml"
    content = json.loads(path.read_text())
    for name in SEATS:
        content["profiles"]["dry"][name] |= {"model": "one", **seat}
    content["prices"][url]["cached_input"] = CACHED
    path.write_text(json.dumps(content))


class OneForAll(Offline):
    """One model in every seat: it answers as the analyst whose persona it is shown."""

    async def ask(self, request: ChatRequest) -> ChatResponse:
        text = "".join(message.content for message in request.messages)
        title = str((request.schema or {}).get("title"))
        usual = {"ResearchPack": "macro", "ChairmanDecision": "chairman"}.get(title, "trend")
        seat = next((seat for words, seat in PERSONAS.items() if words in text), usual)
        return await super().ask(replace(request, model=seat if f"{seat}/{title}" in RULES else usual))


def held(workspace: Path, loop: asyncio.AbstractEventLoop, **seat: Any) -> tuple[simulator.Run, Plan]:
    """A meeting of 28 questions to one model, and the plan made of it before."""
    behaviour = Behaviour(latency_s=0.02, usd_per_million=PRICE, cached_usd_per_million=CACHED)
    with listening(loop, FakeService(OneForAll(RULES, "rehearsal"), behaviour)) as service:
        one_model_for_all(workspace, service.url, **seat)
        plan = planned(workspace)
        run = simulator.run(
            symbols=list(SYMBOLS), start=FIRST, end=LAST, models="dry", max_cost=50, workspace=workspace
        )
    return run, plan


def planned(workspace: Path) -> Plan:
    spec = RunSpec("macro_council", SYMBOLS, FIRST, LAST, models="dry", max_cost=50)
    return make_plan(spec, find_workspace(workspace))


def calls(run: simulator.Run) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run.folder / "llm_calls.jsonl").read_text().splitlines()]


@pytest.mark.parametrize(("native_schema", "least"), [(False, 0.4), (True, 0.6)])
def test_most_of_a_meeting_is_read_again(
    workspace: Path, service_loop: asyncio.AbstractEventLoop, native_schema: bool, least: float
) -> None:
    run, plan = held(workspace, service_loop, native_schema=native_schema)
    made = calls(run)
    assert len(made) == 28
    prompt, cached = (sum(call.get(name, 0) for call in made) for name in ("prompt_tokens", "cached_tokens"))
    assert cached / prompt > least
    completion = sum(call["completion_tokens"] for call in made)
    usd = ((prompt - cached) * PRICE[0] + cached * CACHED + completion * PRICE[1]) / 1e6
    assert run.runtime["cost_usd"] == pytest.approx(usd)
    assert 0.4 * plan.cached_tokens < cached < 2.5 * plan.cached_tokens
    again = planned(workspace)
    assert (again.read_tokens, again.reread_tokens) == (prompt, cached)
    assert again.misses == 0


def test_the_council_as_it_was_has_nothing_read_again(workspace: Path, service_loop: asyncio.AbstractEventLoop) -> None:
    old = Path(__file__).parents[1] / "data" / "before_openings"
    for path in (old / "strategy.yaml", *(old / "prompts").iterdir()):
        (workspace / "strategies" / "macro_council" / path.relative_to(old)).write_text(path.read_text())
    run, plan = held(workspace, service_loop)
    assert plan.cached_tokens == 0
    made = calls(run)
    prompt, cached = (sum(call.get(name, 0) for call in made) for name in ("prompt_tokens", "cached_tokens"))
    assert cached / prompt < 0.45
