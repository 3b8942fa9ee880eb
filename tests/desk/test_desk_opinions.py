"""Words before the open: kept by digest and read again, and the same whether they are formed ahead or in their turn."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from simulator.config import load_config
from simulator.replay.prefetch import prefetch, silent
from simulator.replay.run import play
from simulator.runs.gateway_setup import open_gateway, open_opinions
from simulator.runs.load_inputs import load_inputs
from simulator.runs.spec import RunSpec
from simulator.runs.strategies import load_strategy
from simulator.trading.cycle import TradingRules
from simulator.trading.strategy import points_of
from simulator.workspace import find_workspace

pytestmark = pytest.mark.medium


@dataclass(frozen=True)
class Formed:
    """Words by point, records of all decisions, and questions put, read and spared."""

    opinions: Any
    records: list[Any]
    asked: int
    cached: int
    taken: int


def form(workspace: Path, ahead: bool = True, **parameters: Any) -> Formed:
    """Form the words of three weeks and play them, ahead or each when its date has come."""
    spec = RunSpec(
        "momentum_desk", ("AAPL", "SPY", "QQQ", "NVDA"), date(2024, 1, 2), date(2024, 1, 19), parameters=parameters
    )
    found = find_workspace(str(workspace))
    config = load_config(found.config)
    with open_gateway(spec, found, config) as asking:
        strategy = load_strategy(spec.strategy, found.strategies, asking, spec.parameters).strategy
        points = points_of(strategy, config.schedule)
        inputs = load_inputs(spec.symbols, spec.first, spec.last, strategy.window, points, found, config).inputs
        kept = open_opinions(spec, found, asking.gateway)
        opinions = asking.loop.run(prefetch(strategy, inputs, silent, kept)).opinions if ahead else {}
        with asyncio.Runner() as loop:
            done = play(strategy, inputs, TradingRules.from_config(config), 1e5, opinions, silent, loop)
        records = [one.decision.record for one in done.results]
        gateway = asking.gateway
        return Formed(opinions, records, gateway.asked, gateway.cached, 0 if kept is None else kept.taken)


def test_a_rerun_takes_the_words_it_kept(workspace: Path) -> None:
    first, again = form(workspace), form(workspace)
    assert len(first.opinions) == again.taken > 10
    assert first.taken == 0
    assert first.asked > 0 == again.asked
    assert again.opinions == first.opinions
    assert again.records == first.records


def test_words_formed_ahead_are_those_formed_in_their_turn(workspace: Path) -> None:
    ahead = form(workspace)
    in_turn = form(workspace, ahead=False)
    assert in_turn.records == ahead.records


def test_other_settings_take_no_words_of_these(workspace: Path) -> None:
    form(workspace)
    assert form(workspace, analysed=1).taken == 0
