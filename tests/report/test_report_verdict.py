"""What is said of a run, and what is not."""

from __future__ import annotations

from typing import Any

import pytest

from simulator.report.verdict import FEWEST_SESSIONS, judge
from simulator.stats.metrics import ENOUGH_SESSIONS


def facts(sessions: int = 251, sharpe: float | None = 1.21, **inference: Any) -> dict[str, Any]:
    given = {"sharpe_ci_low": -0.4, "sharpe_ci_high": 2.7, "sharpe_p_hac": 0.12, "block_length": 4.2, **inference}
    return {
        "sessions": sessions,
        "metrics": {"sharpe": sharpe, "total_return": 0.121},
        "reasons": {} if sharpe is not None else {"sharpe": "excess returns do not vary"},
        "benchmarks": {"buy_and_hold": {"total_return": 0.24}, "equal_weight": {"total_return": None}},
        "inference": given,
        "analysts": None,
    }


def test_the_sentence_carries_the_interval_and_the_number_of_sessions() -> None:
    told = judge(facts()).headline.replace("\u00a0", " ")
    assert told == "Sharpe 1.21, 95 % interval −0.40 to 2.70 over 251 sessions: cannot be told from luck."


@pytest.mark.parametrize(
    ("given", "standing"),
    [
        ({"sharpe_ci_low": 0.3, "sharpe_p_hac": 0.01}, "distinct"),
        ({"sharpe_ci_low": -0.1, "sharpe_p_hac": 0.2}, "luck"),
        ({"sharpe_ci_low": 0.0, "sharpe_p_hac": 0.2}, "luck"),
        ({"sharpe_ci_low": 0.3, "sharpe_p_hac": 0.03}, "borderline"),
        ({"sharpe_ci_low": -0.1, "sharpe_p_hac": 0.07}, "borderline"),
        ({"sharpe_ci_low": -0.1, "sharpe_p_hac": 0.02}, "borderline"),
        ({"sharpe_ci_low": 0.1, "sharpe_p_hac": 0.2}, "borderline"),
        ({"sharpe_ci_low": -3.0, "sharpe_ci_high": -0.2, "sharpe_p_hac": 0.99}, "loss"),
        ({"sharpe_ci_low": None}, "undefined"),
        ({"sharpe_ci_low": 0.3, "sharpe_p_hac": 0.01, "trials": 40, "dsr": 0.8}, "luck"),
        ({"sharpe_ci_low": 0.3, "sharpe_p_hac": 0.01, "trials": 40, "dsr": 0.97}, "distinct"),
        ({"sharpe_ci_low": 0.3, "sharpe_p_hac": None}, "distinct"),
    ],
)
def test_interval_and_p_must_agree_and_trials_count(given: dict[str, Any], standing: str) -> None:
    assert judge(facts(**given)).standing == standing


def test_below_sixty_sessions_there_is_no_annualised_figure() -> None:
    verdict = judge(facts(sessions=59, detectable_sharpe=2.5))
    assert verdict.standing == "too short"
    assert not any("Sharpe" in sentence for sentence in (verdict.headline, *verdict.details))
    assert judge(facts(sessions=60)).standing == "luck"


def test_the_limit_is_the_one_of_the_statistics() -> None:
    assert FEWEST_SESSIONS == ENOUGH_SESSIONS


def test_an_undefined_sharpe_ratio_is_told_with_its_reason() -> None:
    assert "undefined (excess returns do not vary)" in judge(facts(sharpe=None)).headline


def test_unknown_trials_are_called_unadjusted_and_known_ones_counted() -> None:
    assert any("Unadjusted for selection" in s for s in judge(facts()).details)
    known = judge(facts(trials=40, dsr=0.8)).details
    assert any(s.startswith("40\u00a0trials were run") and "0.80" in s for s in known)
    assert not any("Unadjusted" in s for s in known)


def test_borderline_says_which_of_the_two_reasons_it_has() -> None:
    assert any("p from 0.03 to 0.07" in s for s in judge(facts(sharpe_p_hac=0.05)).details)
    assert any("Interval and p disagree" in s for s in judge(facts(sharpe_p_hac=0.01)).details)


def test_who_decided_is_said() -> None:
    offline = {**facts(), "analysts": "rule-based analysts, no LLM", "llm": {"calls": 9}}
    assert "Decided by rule-based analysts, no LLM." in judge(offline).details
    assert any("single draw" in s for s in judge({**facts(), "llm": {"calls": 9}}).details)
    assert not any("draw" in s for s in judge({**facts(), "llm": {"calls": 0}}).details)


def test_the_returns_stand_beside_those_benchmarks_that_have_one() -> None:
    told = judge(facts()).returns.replace("\u00a0", " ")
    assert told == "Total return +12.1 % after costs, against +24.0 % for buy-and-hold."
