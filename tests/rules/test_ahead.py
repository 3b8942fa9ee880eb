"""A rule over very many bars decides by its vector form, where that tells what the step form tells."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Any

import numpy as np
import pytest

from simulator.market.bars import Floats
from simulator.market.sources.synthetic import synthetic_bars
from simulator.rules import Occasions, Rule, Snapshot, vector_forms
from simulator.rules.base import RuleStrategy

BARS = synthetic_bars(("A", "B", "C"), date(2020, 1, 2), date(2022, 12, 30), 3)
MARKET = Occasions(BARS, BARS.closes_at[60:700:5])
SNAPSHOTS = [MARKET.snapshot(k) for k in range(len(MARKET))]
ASKED: list[Any] = []


class Falling(Rule):
    """Hold in equal parts what closed below its close of five sessions ago."""

    def weights(self, market: Snapshot) -> Mapping[str, float]:
        ASKED.append(market.as_of)
        closes = {symbol: market.history(symbol, last=6) for symbol in market.symbols}
        return {symbol: 0.25 for symbol, c in closes.items() if c[-1] < c[0]}

    @classmethod
    def weights_for(cls, market: Occasions, parameters: Mapping[str, Any]) -> Floats:  # noqa: ARG003
        close = market.bars.close
        return market.targets(np.where(close[market.ends - 1] < close[market.ends - 6], 0.25, 0.0))


class Blind(Falling):
    """The same with a vector form that is late by a bar."""

    @classmethod
    def weights_for(cls, market: Occasions, parameters: Mapping[str, Any]) -> Floats:  # noqa: ARG003
        close = market.bars.close
        return market.targets(np.where(close[market.ends - 2] < close[market.ends - 7], 0.25, 0.0))


class Breaking(Falling):
    """The same with a vector form that fails."""

    @classmethod
    def weights_for(cls, market: Occasions, parameters: Mapping[str, Any]) -> Floats:
        raise RuntimeError(f"{len(market)} {parameters}")


class Plain(Falling):
    """The same without a vector form."""

    weights_for = Rule.weights_for


def steps(rule: Rule) -> list[Any]:
    return [rule.decide(snapshot) for snapshot in SNAPSHOTS]


def ahead(rule: Rule) -> list[Any]:
    return list(RuleStrategy(rule).decide_ahead(SNAPSHOTS, BARS, MARKET.instants))


@pytest.mark.parametrize("kind", [Falling, Blind, Breaking, Plain])
def test_decisions_ahead_are_those_of_the_step_form_whatever_the_vector_form_is(kind: type[Rule]) -> None:
    one, other = steps(kind()), ahead(kind())
    assert one == other
    assert [[*each.record["weights"]] for each in one] == [[*each.record["weights"]] for each in other]


def test_the_step_form_is_asked_at_a_dozen_dates_where_the_vector_form_agrees() -> None:
    ASKED.clear()
    ahead(Falling())
    assert len(ASKED) == 12
    assert len(MARKET) > 100


def test_dates_there_are_none_of_decide_nothing() -> None:
    assert list(RuleStrategy(Falling()).decide_ahead([], BARS, MARKET.instants[:0])) == []
    assert vector_forms.equal_weight(Falling, Occasions(BARS, MARKET.instants[:0]), {}).shape == (0, 3)
