"""Parameters that change at dates: `fast@2024-03-01=20` is 20 from that day on."""

from __future__ import annotations

from datetime import date, datetime
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from simulator.config import Schedule
from simulator.errors import UsageError
from simulator.market import calendar
from simulator.market.calendar import NEW_YORK
from simulator.market.sources.synthetic import synthetic_bars
from simulator.rules import load_rule
from simulator.rules.in_turn import RulesInTurn, in_turn, split_dated
from simulator.runs.strategies import load_strategy
from simulator.trading.schedule import make_schedule
from simulator.trading.strategy import DecidesAlone, points_of

STRATEGIES = Path(__file__).parents[2] / "strategies"
BARS = synthetic_bars(("A", "B"), date(2023, 1, 3), date(2024, 12, 30), 3)
GIVEN = {"fast": 5, "slow": 20, "slow@2024-06-05": 40, "fast@2024-03-06": 10, "cadence@2024-06-05": "daily"}


def loaded(parameters: dict[str, Any]) -> Any:
    return load_strategy("sma_cross", STRATEGIES, None, parameters).strategy


def due(strategy: Any) -> Any:
    sessions = calendar.sessions(date(2024, 1, 2), date(2024, 8, 30))
    return make_schedule(points_of(strategy, Schedule()), sessions, BARS.closes_at)


def test_each_date_is_decided_by_the_parameters_of_its_day_as_a_run_with_those_alone_decides() -> None:
    strategy = loaded(GIVEN)
    instants = due(strategy).instants
    snapshots = [BARS.snapshot(datetime.fromtimestamp(at / 1e9, NEW_YORK)) for at in instants.tolist()]
    single = [loaded({"fast": f, "slow": s, "cadence": c}) for f, s, c in ((5, 20, "weekly"), (10, 20, "weekly"))]
    single.append(loaded({"fast": 10, "slow": 40, "cadence": "daily"}))
    for snapshot, ahead in zip(snapshots, strategy.decide_ahead(snapshots, BARS, instants), strict=True):
        turn = (snapshot.as_of.date() >= date(2024, 3, 6)) + (snapshot.as_of.date() >= date(2024, 6, 5))
        assert strategy.decide_alone(snapshot) == ahead == single[turn].decide_alone(snapshot)
    assert strategy.window == 40
    assert isinstance(strategy, DecidesAlone)


def test_a_change_is_an_occasion_and_its_cadence_begins_there() -> None:
    schedule = due(loaded(GIVEN))
    days = [str(day) for day in schedule.instants.astype("datetime64[ns]").astype("datetime64[D]")]
    assert days[8:13] == ["2024-02-26", "2024-03-04", "2024-03-06", "2024-03-11", "2024-03-18"]
    assert days[days.index("2024-06-05") :][:3] == ["2024-06-05", "2024-06-06", "2024-06-07"]
    plain = due(loaded({"fast": 5, "slow": 20, "fast@2030-01-02": 6}))
    assert plain.instants.tolist() == due(loaded({"fast": 5, "slow": 20})).instants.tolist()


def test_a_rule_that_decides_once_decides_once_for_each_of_its_settings() -> None:
    assert len(due(loaded({"cadence": "once", "fast@2024-03-06": 10, "fast@2024-06-05": 20})).instants) == 3


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"fast@2024-02-30": 5}, 'fast@2024-02-30: no date "2024-02-30"'),
        ({"fast@": 5}, 'no date ""'),
        ({"fst@2024-03-01": 5}, 'no parameter "fst", did you mean "fast"'),
        ({"fast@2024-03-01": "x"}, "SmaCross.fast was 'x'"),
    ],
)
def test_a_change_that_cannot_be_is_one_line(given: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        loaded(given)


def test_only_rules_have_parameters_that_change() -> None:
    fixed, dated = split_dated({"fast@2024-03-01": 5})
    with pytest.raises(UsageError, match="object is no rule"):
        in_turn(lambda _: object(), fixed, dated)
    with pytest.raises(UsageError, match="macro_council is no rule"):
        load_strategy("macro_council", STRATEGIES, None, {"quorum@2024-03-01": 2})
    rule = in_turn(partial(load_rule, STRATEGIES / "sma_cross.py"), *split_dated(GIVEN))
    assert isinstance(rule, RulesInTurn)
    assert rule.name == "sma_cross"
