"""The verdict on a forward test: the same d as in a run, an honest clock, words no larger than a run's."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from simulator.analysis.anytime import forward_series, judge_forward
from simulator.errors import DataError
from simulator.forward.records import HeldWeights
from simulator.forward.registration import PriorEvidence, Usual
from simulator.stats.confidence_sequence import confidence_sequence
from simulator.stats.skill import split_return, usual_exposure

from .made import CASH, FREE, SYMBOLS, make_record, make_registration

ALONE = {"accounts": {"COUNCIL": "PA3COUNCIL"}}


def weights_and_moves(record, account="COUNCIL"):
    bars = [bar for day in record.days if day.account == account for bar in day.held]
    return (np.array([[bar.weights[s] for s in SYMBOLS] for bar in bars]),
            np.array([[bar.moves[s] for s in SYMBOLS] for bar in bars]) - FREE)  # fmt: skip


def test_without_a_backtest_d_is_that_of_a_run() -> None:
    registration = make_registration(usual=Usual())
    record = make_record(registration, 80, edge=0.001)
    series = forward_series([d for d in record.days if d.account == "COUNCIL"], registration, CASH)
    w, x = weights_and_moves(record)
    equity = np.array([CASH, *(day.equity for day in record.days if day.account == "COUNCIL")])
    excess = equity[1:] / equity[:-1] - 1 - FREE
    assert series.excess == pytest.approx(excess, abs=1e-15)
    assert series.parts.exposure == pytest.approx(usual_exposure(w, x), abs=1e-15)
    want = split_return(excess, usual_exposure(w, x), 1.5 / equity[:-1])
    assert series.parts.beyond == pytest.approx(want.beyond, abs=1e-15)
    assert series.parts.costs == pytest.approx(want.costs)


def test_the_usual_exposure_starts_with_the_backtest_and_looks_back_alone() -> None:
    registration = make_registration()
    record = make_record(registration, 30)
    w, x = weights_and_moves(record)
    start = np.vstack([np.full((251, 2), 0.25), w])
    by_hand = usual_exposure(start, np.vstack([np.zeros((251, 2)), x]))[251:]
    days = [day for day in record.days if day.account == "COUNCIL"]
    found = forward_series(days, registration, CASH)
    assert found.parts.exposure == pytest.approx(by_hand, abs=1e-15)
    shorter = forward_series(days[:20], registration, CASH)
    assert shorter.parts.beyond.tolist() == found.parts.beyond[:20].tolist()


def test_a_book_that_is_flat_at_every_open_but_held_the_market_is_seen_bar_by_bar() -> None:
    registration = make_registration(usual=Usual(), **ALONE)
    record = make_record(registration, 70)
    half = dict.fromkeys(SYMBOLS, 0.5)
    days, equity = [], CASH
    for day in record.days:
        moves = day.held[0].moves
        bars = (
            HeldWeights("10:00", dict.fromkeys(SYMBOLS, 0.0), dict.fromkeys(SYMBOLS, 0.0)),
            HeldWeights("11:00", half, moves),
        )
        equity *= 1 + 0.5 * sum(moves.values())
        days.append(replace(day, held=bars, equity=equity, costs=0.0, free=0.0))
    found = judge_forward(replace(record, days=tuple(days)), registration, "COUNCIL")
    exposure, beyond = found.skill["exposure"], found.skill["beyond"]
    assert exposure is not None
    assert beyond is not None
    assert abs(beyond) < abs(exposure)
    assert found.standing != "skill"


def test_before_session_sixty_there_is_one_look_and_no_verdict() -> None:
    registration = make_registration()
    for n, words in ((0, "No session has ended"), (5, "too few for an interval"), (59, "one look, 95")):
        found = judge_forward(make_record(registration, n, edge=0.01), registration, "COUNCIL")
        assert found.standing == "too short"
        assert found.one_look
        assert found.p is None
        assert words in found.headline
        assert "No verdict before session 60" in found.headline or not n
        assert "a year beyond" not in found.headline  # annualised figures are withheld
        assert found.more == 4358 - n
    assert any(one.startswith("Power: in 59") for one in found.details)


def test_an_edge_is_called_skill_from_session_sixty_on_and_its_interval_is_the_sequence() -> None:
    registration = make_registration()
    record = make_record(registration, 150, edge=0.004)
    found = judge_forward(record, registration, "COUNCIL")
    assert found.standing == "skill"
    assert "at whichever session one looks" in found.headline
    d = forward_series([x for x in record.days if x.account == "COUNCIL"], registration, CASH).parts.beyond
    want = confidence_sequence(d)
    assert (found.low, found.high, found.e_value) == (want.low[-1], want.high[-1], want.e_value[-1])
    assert found.course.low[59:].tolist() == want.low[59:].tolist()
    assert found.course.low[58] != want.low[58]
    assert math.isnan(found.course.low[8])
    assert found.p is not None
    assert found.p >= 1 / found.e_value


def test_another_account_and_other_tests_of_the_strategy_are_corrected_for() -> None:
    registration = make_registration()
    record = make_record(registration, 150, edge=0.002)
    first, tried = (judge_forward(record, registration, "COUNCIL", trials) for trials in (1, 20))
    assert tried.low < first.low
    assert tried.p > first.p
    assert tried.trials == 20
    second = judge_forward(record, registration, "SECOND")
    assert second.trials == 2
    assert "not the primary one" in " ".join(second.details)


@pytest.mark.parametrize("edge", [0.0, 0.004, -0.004])
def test_a_rehearsal_is_never_evidence(edge: float) -> None:
    registration = make_registration()
    found = judge_forward(make_record(registration, 100, edge=edge, rehearsed=True), registration, "COUNCIL")
    assert found.standing == "not assessable"
    assert "skill beyond" not in found.headline
    assert found.headline.startswith("Rehearsed on past bars")


def test_carried_evidence_stands_before_the_test_and_is_said_to() -> None:
    beyond = tuple((0.003 + 0.004 * np.random.default_rng(3).normal(size=120)).tolist())
    prior = PriorEvidence("2023-12-01", "2024-05-31", beyond, 0.0, 24, 9)
    plain, carried = make_registration(), make_registration(prior=prior)
    record = make_record(plain, 90, edge=0.001)
    without, found = judge_forward(record, plain, "COUNCIL"), judge_forward(record, carried, "COUNCIL", 9)
    assert found.e_value > without.e_value
    assert found.sessions == 90
    assert "and 120 carried in" in found.headline
    assert "chosen among 9\u00a0trials" in " ".join(found.details)
    early = judge_forward(make_record(plain, 59, edge=0.01), carried, "COUNCIL")
    assert early.standing == "too short"  # the clock is that of the test


def test_words_are_never_larger_than_those_of_a_run_of_as_many_sessions() -> None:
    """Few decisions, a benchmark, nothing held, everything lost."""
    registration = make_registration(**ALONE)
    record = make_record(registration, 100, edge=0.004)
    last = record.days[-1]
    none = dict.fromkeys(SYMBOLS, 0.0)
    cases = {
        "few": [replace(day, decided=i < 19) for i, day in enumerate(record.days)],
        "benchmark": [replace(day, decided=False) for day in record.days],
        "nothing": [
            replace(day, positions={"BIL": 3.0}, held=(replace(day.held[0], weights=none),)) for day in record.days
        ],
        "loss": [*record.days[:-1], replace(last, equity=0.0)],
    }
    for standing, days in cases.items():
        found = judge_forward(replace(record, days=tuple(days)), registration, "COUNCIL")
        assert found.standing == standing
        assert "skill" not in found.headline


def test_returns_that_lean_to_the_left_carry_the_sizes_measured_for_rare_losses() -> None:
    registration = make_registration(**ALONE)
    record = make_record(registration, 100, edge=0.001)
    days = [replace(day, equity=day.equity * (0.8 if i >= 50 else 1.0)) for i, day in enumerate(record.days)]
    found = judge_forward(replace(record, days=tuple(days)), registration, "COUNCIL")
    assert "leans to the left" in found.headline
    assert "55\u00a0% with a disaster in 1 %" in found.headline


def test_a_session_after_one_that_is_missing_is_left_out_and_said() -> None:
    registration = make_registration(**ALONE)
    record = make_record(registration, 70)
    days = record.days[:30] + record.days[31:]
    found = judge_forward(replace(record, days=days), registration, "COUNCIL")
    assert found.sessions == 68
    assert "left out" in " ".join(found.details)


@pytest.mark.fault(
    "bars", "a session of a forward test without bars", "one line: which session, fetch and report again"
)
def test_sessions_without_bars_are_refused() -> None:
    registration = make_registration(**ALONE)
    day = make_record(registration, 1).days[0]
    with pytest.raises(DataError, match="2024-06-03: a session has no bars"):
        forward_series([replace(day, held=())], registration, CASH)


def test_what_was_bought_by_hand_is_part_of_the_usual_exposure() -> None:
    registration = make_registration(usual=Usual(), **ALONE)
    moves = np.random.default_rng(5).normal(size=40) * 0.02
    days, equity = [], CASH
    for day, move in zip(make_record(registration, 40).days, moves.tolist(), strict=True):
        equity *= 1 + 0.5 * move
        bar = HeldWeights(day.held[0].at, {"TSLA": 0.5}, {"SPY": 0.0, "QQQ": 0.0, "TSLA": move})
        days.append(replace(day, held=(bar,), free=0.0, costs=0.0, equity=equity))
    assert forward_series(days, registration, CASH).parts.beyond == pytest.approx(np.zeros(40), abs=1e-12)
