"""Councils of two whose model is planted: it remembers the future, or does not."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import simulator
from simulator.contamination.checks import Done, run_checks, select_checks
from simulator.llm.fake_service.server import Behaviour, FakeService
from simulator.market.load import load_bars
from simulator.workspace import find_workspace, make_workspace

from ..conftest import listening
from .planted_model import PlantedModel

SYMBOLS = ("SPY", "QQQ")
START, END, CUTOFF = date(2022, 7, 1), date(2023, 12, 29), "2022-12"

COUNCIL = """\
user_query: Which position should be held until the next meeting?
cadence: weekly
window: 60
sizes: {1: 0.5, 2: 1.0}
opening: {system: prompts/council.md, facts: prompts/facts.md}
facts: [return_5_pct, return_21_pct, return_63_pct, volatility_21_pct]
stages:
  research: {enabled: false, prompt: prompts/research.md, seats: {research.1: prompts/macro.md}}
  pitch: {prompt: prompts/pitch.md, seats: {pm.one: prompts/trend.md, pm.two: prompts/risk.md}}
  review: {enabled: false, persona: prompts/reviewer.md, prompt: prompts/review.md}
  chairman: {enabled: false, persona: prompts/chairman_persona.md, prompt: prompts/chairman.md}
"""


class Planted:
    """A run of the council of two with a planted model, and checks of it."""

    def __init__(self, workspace: Path, run: simulator.Run) -> None:
        self.workspace, self.run = workspace, run

    def check(self, *names: str, max_cost: float = 50.0, models: bool = True) -> dict[str, Done]:
        done = run_checks(
            self.run.folder,
            find_workspace(self.workspace),
            select_checks(names),
            max_cost,
            models,
            lambda *_: None,
            lambda *_: None,
        )
        return {one.check.name: one for one in done}


Plant = Callable[..., Planted]


def table(workspace: Path, **said: Any) -> dict[str, Any]:
    """What the server is given: the week after each session's open, and the close before it."""
    folder = find_workspace(workspace)
    loaded = load_bars(SYMBOLS, folder.bar_folders, first=START, last=END, history=100)
    bars, days = loaded.bars, [str(day) for day in loaded.bars.dates]
    ahead = np.minimum(np.arange(len(bars)) + 5, len(bars) - 1)
    moved = bars.open[ahead] / bars.open - 1
    return {
        "next": {s: dict(zip(days, moved[:, n].tolist(), strict=True)) for n, s in enumerate(bars.symbols)},
        "prints": {
            " ".join(str(round(100 * (c[i - 1] / c[i - 1 - k] - 1), 2) + 0.0) for k in (5, 21, 63)): (s, days[i])
            for s, c in zip(bars.symbols, bars.close.T.tolist(), strict=True)
            for i in range(64, len(bars))
        },
        "close": {s: dict(zip(days, bars.close[:, n].tolist(), strict=True)) for n, s in enumerate(bars.symbols)},
        **said,
    }


def seat_planted(workspace: Path, url: str, cutoff: str | None = CUTOFF) -> None:
    """Write strategies/duo and a profile `planted` that sits at `url`."""
    price = {"input": 3.0, "output": 15.0, **({"cutoff": cutoff} if cutoff else {})}
    seat = {"provider": "openai_compatible", "endpoint": url, "model": "planted-1", "max_tokens": 400}
    content = {
        "default": "planted",
        "profiles": {"planted": {"*": seat}},
        "prices": {"planted-1": price},
        "limits": {url: {"concurrency": 32}},
        "max_usd_per_day": 1000,
    }
    (workspace / "config" / "models.yaml").write_text(json.dumps(content, indent=1))
    duo = workspace / "strategies" / "duo"
    (workspace / "strategies" / "macro_council").rename(duo)
    (duo / "strategy.yaml").write_text(COUNCIL)


@pytest.fixture(scope="package")
def plant(tmp_path_factory: pytest.TempPathFactory, service_loop: asyncio.AbstractEventLoop) -> Iterator[Plant]:
    """``plant("memoriser")``: a year and a half of weekly meetings with that model; ``end=…`` for fewer."""
    with ExitStack() as running:

        def start(kind: str, end: date = END, cutoff: str | None = CUTOFF, **said: Any) -> Planted:
            folder = tmp_path_factory.mktemp(kind)
            workspace = folder / "workspace"
            make_workspace(workspace, git=False)
            model = PlantedModel(table(workspace, kind=kind, cutoff="2022-12-31", **said))
            service = running.enter_context(listening(service_loop, FakeService(model, Behaviour(latency_s=0.0))))
            seat_planted(workspace, service.url, cutoff)
            run = simulator.run(
                strategy="duo", symbols=list(SYMBOLS), start=START, end=end, max_cost=50, workspace=workspace
            )
            return Planted(workspace, run)

        yield start
