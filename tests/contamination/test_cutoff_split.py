"""The always-on part: sessions before and after what the models know, by hand and by simulation."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from typing import Any

import numpy as np
import pytest

from simulator.config import Price, Seat
from simulator.contamination.disagreement import disagreement
from simulator.contamination.split import Daily, contamination_facts, daily_alpha
from simulator.llm.cutoffs import cutoffs_of, latest_cutoff, part_of
from simulator.llm.spending.prices import Prices
from simulator.market.calendar import sessions
from simulator.stats.metrics import alpha_beta
from simulator.trading.cycle import CycleResult
from simulator.trading.model import Decision

pytestmark = pytest.mark.medium

FIRST, LAST = date(2023, 1, 2), date(2024, 12, 31)


def seat(model: str) -> Seat:
    return Seat(provider="openai_compatible", model=model, endpoint="http://127.0.0.1:1/v1")


def prices(**cutoffs: str) -> Prices:
    return Prices({name: Price(input=1, output=1, cutoff=said) for name, said in cutoffs.items()})


def daily(seed: int, edge: float = 0.0, until: date | None = None) -> Daily:
    """Two years of a strategy with β 0.5 and, up to a day, `edge` a session beside it."""
    draws, days = np.random.default_rng(seed), sessions(FIRST, LAST).dates
    market, own = draws.normal(0.0004, 0.01, len(days)), draws.normal(0.0, 0.005, len(days))
    known = np.zeros(len(days)) if until is None else np.where(days <= np.datetime64(until), edge, 0.0)
    return Daily(days, 0.5 * market + own + known, market, np.full(len(days), 0.0001))


def turn(day: date, votes: dict[str, tuple[str, str]] | None = None) -> CycleResult:
    side = {"LONG": 1, "SHORT": -1, "FLAT": 0}
    pitches = [
        {"seat": s, "keys": [], "answer": {"instrument": i, "direction": d, "conviction": side[d], "horizon": "1 week"}}
        for s, (i, d) in (votes or {}).items()
    ]
    record = {"kind": "council", "pitches": pitches, "scores": {}} if votes else {}
    decision = Decision(datetime.combine(day, time(13), UTC), (), record)
    return CycleResult(decision, decision)


def facts(given: Daily, cutoff: str, **seats: Seat) -> dict[str, Any]:
    taken = seats or {"chairman": seat("m")}
    return contamination_facts(taken, prices(m=cutoff), [turn(date(2023, 1, 3))], given)


def test_the_cut_off_of_a_council_is_its_latest_members_and_unknown_while_one_is() -> None:
    seats = {
        "pm.a": seat("old"),
        "pm.b": seat("new"),
        "chairman": seat("old"),
        "pm.c": Seat(provider="offline", model="x"),
    }
    models = cutoffs_of(seats, prices(old="2023-04", new="2024-02-10"))
    assert [(m.model, m.seats, m.cutoff) for m in models] == [
        ("new", ("pm.b",), date(2024, 2, 10)),
        ("old", ("chairman", "pm.a"), date(2023, 4, 30)),
        ("x", ("pm.c",), None),
    ]
    assert latest_cutoff(models) == date(2024, 2, 10)
    assert latest_cutoff(cutoffs_of(seats, prices(old="2023-04"))) is None
    assert latest_cutoff(()) is None


def test_the_grey_stretch_has_ninety_days() -> None:
    cutoff = date(2024, 3, 31)
    around = {0: "before", 1: "grey", 90: "grey", 91: "after"}
    assert {n: part_of(cutoff + timedelta(days=n), cutoff) for n in around} == around


def test_a_run_without_models_has_nothing_to_remember() -> None:
    rule = contamination_facts({}, prices(), [], daily(1))
    offline = contamination_facts({"chairman": Seat(provider="offline", model="chairman")}, prices(), [], daily(1))
    assert rule["verdict"] == "No model was asked: nothing to remember."
    assert offline["verdict"] == "Rule-based analysts answered, no model: nothing to remember."
    assert not rule["flagged"]
    assert rule["parts"] is offline["alpha_decay"] is None


def test_an_unknown_cut_off_is_not_assessable_and_says_what_to_write() -> None:
    found = contamination_facts({"chairman": seat("mystery")}, prices(), [], daily(1))
    assert found["verdict"] == "Not assessable: the cut-off of mystery is not known."
    assert "cutoff: YYYY-MM" in found["mend"]
    assert "config/models.yaml" in found["mend"]
    assert not found["assessable"]


def test_parts_hold_every_session_once_and_the_figures_of_their_own_sessions() -> None:
    given = daily(3)
    found = facts(given, "2023-09")
    parts = found["parts"]
    assert (found["cutoff"], found["grey_until"]) == ("2023-09-30", "2023-12-29")
    assert sum(part["sessions"] for part in parts.values()) == len(given)
    assert (parts["before"]["to"], parts["grey"]["from"], parts["after"]["from"]) == (
        "2023-09-29",
        "2023-10-02",
        "2024-01-02",
    )
    after = given.rows(given.sessions > np.datetime64("2023-12-29"))
    expected = alpha_beta(after.returns, after.benchmark, after.free)
    assert parts["after"]["alpha"] == pytest.approx(expected["alpha"])
    assert float(np.mean(daily_alpha(after))) * 252 == pytest.approx(expected["alpha"])
    difference = parts["after"]["alpha"] - parts["before"]["alpha"]
    assert found["alpha_decay"]["value"] == pytest.approx(difference)
    assert parts["before"]["decisions"] == 1


def test_fewer_than_sixty_sessions_after_the_grey_days_are_not_assessable() -> None:
    found = facts(daily(3, edge=0.01, until=date(2024, 7, 31)), "2024-07")
    assert found["parts"]["after"]["sessions"] == 43
    assert found["verdict"].startswith("Not assessable: 43 sessions after the cut-off 2024-07-31 and its 90 grey days")
    assert found["parts"]["after"]["sharpe_ci_low"] is None
    assert not found["flagged"]
    assert found["alpha_decay"]["reason"] == "fewer than 60 sessions on one side: shown, not judged"


def test_what_was_earned_by_memory_is_flagged_and_a_change_of_exposure_is_not() -> None:
    remembered = facts(daily(5, edge=0.002, until=date(2023, 12, 29)), "2023-12")
    assert remembered["flagged"]
    assert remembered["alpha_decay"]["high"] < 0
    assert "FLAGGED" in remembered["verdict"]
    plain = daily(5)
    rising = np.abs(plain.benchmark)
    tilt = np.where(plain.sessions <= np.datetime64("2023-12-29"), 1.0, 0.0)
    honest = Daily(plain.sessions, plain.returns + tilt * rising, rising, plain.free)
    assert not facts(honest, "2023-12")["flagged"]


def test_without_memory_few_runs_are_flagged() -> None:
    flagged = sum(facts(daily(seed), "2023-12")["flagged"] for seed in range(100, 140))
    assert flagged <= 4, "a 95 % interval lies below 0 by chance in 2.5 % of runs"


def honest(kind: str, seed: int) -> Daily:
    """Two years without memory: residuals iid, AR(1) 0.2, or GARCH(1, 1)."""
    plain = daily(seed)
    shocks = (plain.returns - 0.5 * plain.benchmark) / 0.005
    own, variance = np.empty_like(shocks), 1.0
    for t, shock in enumerate(shocks):
        before = own[t - 1] if t else 0.0
        if kind == "garch":
            variance = 0.05 + 0.1 * before**2 + 0.85 * variance
            own[t] = np.sqrt(variance) * shock
        else:
            own[t] = shock + (0.2 * before if kind == "ar1" else 0.0)
    return Daily(plain.sessions, 0.5 * plain.benchmark + 0.005 * own, plain.benchmark, plain.free)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["iid", "ar1", "garch"])
def test_no_more_than_chance_allows_are_flagged_whatever_the_residuals(kind: str) -> None:
    flagged = np.mean([facts(honest(kind, seed), "2023-12")["flagged"] for seed in range(200)])
    assert flagged <= 0.055, "2.5 % if the interval is right"


def test_members_who_cover_a_date_are_held_against_those_who_do_not() -> None:
    cutoffs = {"a": date(2024, 6, 30), "b": date(2024, 6, 30), "c": date(2023, 6, 30), "d": None}
    long, short, flat = ("SPY", "LONG"), ("SPY", "SHORT"), ("QQQ", "FLAT")
    held = [
        (date(2023, 3, 1), {"a": long, "b": long, "c": long, "d": short}),  # all cover it
        (date(2023, 7, 3), {"a": long, "b": long, "c": short, "d": short}),  # c is in its grey days
        (date(2024, 1, 2), {"a": long, "b": long, "c": short, "d": long}),
        (date(2024, 1, 9), {"a": long, "b": flat, "c": ("SPY", "FLAT"), "d": long}),
    ]
    found = disagreement([(day, turn(day, votes).decision.record) for day, votes in held], cutoffs)
    assert found["meetings"] == 2
    assert found["across"] == pytest.approx((0 + 1 / 2) / 2)
    assert found["within"] == pytest.approx((1 + 0) / 2)
    assert found["difference"] == pytest.approx((-1 + 1 / 2) / 2)
    assert found["elsewhere"] == 1.0
    assert found["low"] is None
    assert found["reasons"] == {"low": "fewer than 10 meetings"}
    assert disagreement([], cutoffs)["across"] is None
