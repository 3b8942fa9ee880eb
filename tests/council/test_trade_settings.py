"""Settings of carrying out and of the vote: they change what is traded and ask nothing anew."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from simulator.analysis.variants import drop_chairman, drop_seat
from simulator.council.spec import load_definition
from simulator.council.stages.execution import move_level
from simulator.council.strategy import Council
from simulator.errors import UsageError
from simulator.trading.model import Book, Decision

from .conftest import CASH, ROOT, Convene, Meetings, Year

pytestmark = pytest.mark.medium

MACRO = ROOT / "strategies/macro_council/strategy.yaml"
TRADE = {"scale": 2.0, "half": 0.03, "full": 0.3, "stops": 2.0, "targets": 0.5, "limit_atr": 0.4, "min_conviction": 2}
VOTE_ONLY: dict[str, Any] = {"stages.chairman.enabled": False}


@pytest.fixture(scope="module")
def weeks(convene: Convene, year: Year) -> tuple[Meetings, list[Any]]:
    """Six weeks of the shipped council with its checkpoints, and their points."""
    meetings, points = convene(), year.points[:40]
    meetings.follow(points)
    return meetings, points


def trading(meetings: Meetings, **settings: Any) -> Council:
    """Return the council of `meetings` with other settings of the trade."""
    definition = load_definition(MACRO, {f"trade.{name}": value for name, value in settings.items()})
    return Council(definition, meetings.council.seats, meetings.gateway)


def test_settings_of_the_trade_put_the_same_questions(convene: Convene, year: Year) -> None:
    usual, other = convene(), convene(parameters={f"trade.{name}": value for name, value in TRADE.items()})
    assert usual.follow(year.points[:6]) == other.follow(year.points[:6])
    assert usual.prompts == other.prompts
    assert usual.council.basis == other.council.basis


def test_each_setting_of_the_trade_does_what_it_says(year: Year, held: Meetings) -> None:
    def decided(**settings: Any) -> list[Any]:
        council, found = trading(held, **settings), []
        for k, opinion in enumerate(held.opinions):
            found += council.decide(year.snapshot(k), opinion, CASH, ()).targets
        return found

    usual = decided()
    closes = [opinion.facts["symbols"][s]["close"] for opinion in held.opinions for s in opinion.facts["symbols"]]
    assert {abs(one.weight) for one in usual} == {0.0, 0.1, 0.2}
    assert {abs(one.weight) for one in decided(scale=2.0, half=0.03)} == {0.0, 0.06, 0.4}
    assert all(one.conviction == 2 for one in decided(min_conviction=2) if one.weight)
    for one, wide, none, close in zip(usual, decided(stops=2.0, targets=3.0), decided(stops=0), closes, strict=True):
        assert none.stop is None
        assert none.take_profit == one.take_profit
        if one.stop is not None:
            assert wide.stop == pytest.approx(close + 2 * (one.stop - close), abs=0.006)
        if one.take_profit is not None:
            assert wide.take_profit == pytest.approx(close + 3 * (one.take_profit - close), abs=0.006)
    limits = [(one.limit, deep.limit) for one, deep in zip(usual, decided(limit_atr=1.0), strict=True) if one.limit]
    assert limits
    assert all(one != deep for one, deep in limits)


def test_a_level_beyond_all_prices_is_left_out() -> None:
    assert move_level(90.0, 100.0, 1.0) == 90.0
    assert move_level(90.0, 100.0, 2.0) == 80.0
    assert move_level(90.0, 100.0, 11.0) is None
    assert move_level(90.0, None, 2.0) == 90.0


def test_a_kept_stop_is_moved_from_the_close_it_was_set_on(weeks: tuple[Meetings, list[Any]]) -> None:
    """So a checkpoint that changes the target alone leaves the account's stop where the meeting put it."""
    meetings, points = weeks
    council, stops, kept = trading(meetings, stops=2.0), {}, 0
    for (snapshot, name), opinion in zip(points, meetings.opinions, strict=True):
        decision = decide(council, name, snapshot, opinion)
        unmoved = {
            one.thesis.instrument
            for one in opinion.revisions
            if one.thesis.seat == "chairman" and one.stop == one.thesis.terms[-1].stop
        }
        for one in decision.targets:
            if name != "meeting" and one.symbol in unmoved and one.weight:
                assert one.stop == pytest.approx(stops[one.symbol], abs=0.02)
                kept += 1
        stops |= {one.symbol: one.stop for one in decision.targets if one.weight}
    assert kept


def test_so_many_checkpoints_a_session_are_carried_out(weeks: tuple[Meetings, list[Any]]) -> None:
    meetings, points = weeks
    once, never, acted = trading(meetings, checkpoints_per_day=1), trading(meetings, checkpoints_per_day=0), 0
    for (snapshot, name), opinion in zip(points, meetings.opinions, strict=True):
        if name != "meeting":
            usual = decide(meetings.council, name, snapshot, opinion)
            earlier = Decision(snapshot.as_of - timedelta(hours=1), (), usual.record)
            assert decide(once, name, snapshot, opinion) == usual
            assert decide(once, name, snapshot, opinion, earlier).targets == ()
            assert decide(never, name, snapshot, opinion).targets == ()
            acted += bool(usual.targets)
    assert acted


def decide(council: Council, name: str, snapshot: Any, opinion: Any, *journal: Decision) -> Decision:
    """Return the decision of an account that holds every thesis."""
    if name == "meeting":
        return council.decide(snapshot, opinion, CASH, journal)
    positions = {one.thesis.instrument: 10.0 * one.thesis.conviction for one in opinion.revisions}
    assert council.checkpoint is not None
    book = Book(1e5, positions, dict.fromkeys(positions, 100.0), 1e5)
    return council.checkpoint.decide(snapshot, opinion, book, journal)


def test_a_seat_without_a_vote_is_the_council_without_it(convene: Convene, year: Year, held: Meetings) -> None:
    meetings = convene(parameters={**VOTE_ONLY, "vote.weights.pm.trend": 0})
    meetings.hold([year.snapshot(k) for k in range(0, len(year.instants), 4)])
    changed = 0
    for opinion, k in zip(meetings.opinions, range(0, len(year.instants), 4), strict=True):

        def targets(meeting: Any, council: Council = held.council, k: int = k) -> list[Any]:
            return [replace(one, reason="") for one in council.decide(year.snapshot(k), meeting, CASH, ()).targets]

        weights, usual = targets(opinion, meetings.council), held.opinions[k]
        assert weights == targets(drop_seat(usual, "pm.trend", held.council.spec))
        changed += weights != targets(drop_chairman(usual, held.council.spec))
    assert changed


def test_stages_that_are_left_out_change_no_other_question(convene: Convene, year: Year, weeks: Any) -> None:
    points, asked = year.points[:6], {*weeks[0].prompts}
    for parameters in (
        VOTE_ONLY,
        {"stages.checkpoint.enabled": False},
        {**VOTE_ONLY, "vote.half": 0.5, "vote.full": 2, "vote.neutral": 5, "vote.weights.pm.risk": 3},
        {"stages.pitch.quorum": 0.1, "stages.review.quorum": 1},
    ):
        other = convene(parameters=parameters)
        other.follow([one for one in points if one[1] == "meeting" or other.council.checkpoint])
        assert {*other.prompts} <= asked


@pytest.mark.parametrize(
    ("parameters", "told"),
    [
        ({"trade.stop": 1}, r'no parameter "trade.stop", did you mean "stops"\?'),
        ({"trade.scale": 0}, "parameter trade.scale was 0: give more than 0"),
        ({"trade.scale": float("nan")}, "parameter trade.scale was nan: .*finite"),
        ({"trade.stops": True}, "true and false are no value here"),
        ({"trade.min_conviction": 3}, "parameter trade.min_conviction was 3"),
        ({"vote.half": 4}, "half conviction at 4 net votes, full at 3"),
        ({"vote.weights.pm.trnd": 0}, r'no manager sits in "pm.trnd", did you mean "pm.trend"\?'),
        ({f"vote.weights.pm.{one}": 0 for one in ("trend", "reversion", "risk", "carry", "breakout")}, "nobody has a"),
        ({"stages": 1}, 'no parameter "stages"'),
        ({"stages.pitch": 1}, "parameter stages.pitch was 1"),
        ({"max_trades.x": 3}, "max_trades is a single value"),
    ],
)
def test_bad_settings_get_one_line(parameters: dict[str, Any], told: str) -> None:
    with pytest.raises(UsageError, match=told):
        load_definition(MACRO, parameters)


def test_a_seat_can_be_taken_out_of_the_council(convene: Convene) -> None:
    council: Council = convene(parameters={"stages.pitch.seats.pm.carry": "off"}).council
    assert council.members == ("pm.trend", "pm.reversion", "pm.risk", "pm.breakout")
    assert council.setup.names.search("as pm.carry said")
