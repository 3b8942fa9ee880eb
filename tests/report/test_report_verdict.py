"""What is said of a run, and what is not."""

from __future__ import annotations

from typing import Any

import pytest

from simulator.analysis import verdict as asked
from simulator.analysis.verdict import FEWEST_SESSIONS, Verdict
from simulator.evidence.records import RunRecord
from simulator.evidence.schema import check
from simulator.number_format import ratio
from simulator.stats.metrics import ENOUGH_SESSIONS


def judge(run: dict[str, Any]) -> Verdict:
    """The verdict on a run.json that holds nothing but what is given."""
    check(RunRecord, run, older=True)
    return asked.judge(run)


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
    assert told == (
        "Sharpe 1.21, 95 % interval −0.40 to 2.70 over 251 sessions: cannot be told from luck; "
        "skill not assessable without positions: tested against cash only."
    )


@pytest.mark.parametrize(
    ("given", "standing"),
    [
        ({"sharpe_ci_low": 0.3, "sharpe_p_hac": 0.01}, "above cash"),
        ({"sharpe_ci_low": -0.1, "sharpe_p_hac": 0.2}, "luck"),
        ({"sharpe_ci_low": 0.0, "sharpe_p_hac": 0.2}, "luck"),
        ({"sharpe_ci_low": 0.3, "sharpe_p_hac": 0.03}, "borderline"),
        ({"sharpe_ci_low": -0.1, "sharpe_p_hac": 0.07}, "borderline"),
        ({"sharpe_ci_low": -0.1, "sharpe_p_hac": 0.02}, "borderline"),
        ({"sharpe_ci_low": 0.1, "sharpe_p_hac": 0.2}, "borderline"),
        ({"sharpe_ci_low": -3.0, "sharpe_ci_high": -0.2, "sharpe_p_hac": 0.99}, "loss"),
        ({"sharpe_ci_low": None}, "undefined"),
        ({"sharpe_ci_low": 0.3, "sharpe_p_hac": 0.01, "trials": 40, "dsr": 0.97}, "luck"),
        ({"sharpe_ci_low": 0.3, "sharpe_p_hac": 0.001, "trials": 40, "dsr": 0.8}, "above cash"),
        ({"sharpe_ci_low": 0.3, "sharpe_p_hac": None}, "above cash"),
        ({"sharpe_ci_low": -0.1, "sharpe_p_hac": 0.05, "trials": 3, "dsr": 0.8}, "luck"),
        ({"sharpe_ci_low": 0.3, "sharpe_p_hac": 0.04, "trials": 1, "dsr": 0.94}, "borderline"),
        ({"sharpe_ci_low": -3.0, "sharpe_ci_high": -0.2, "sharpe_p_hac": 0.85}, "borderline"),
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
    known = judge(facts(trials=40, dsr=0.8, sharpe_p_hac=0.001)).details
    assert any(s.startswith("40\u00a0trials counted; p as the best of them is 0.039") for s in known)
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


def dated(after: dict[str, Any] | None, **found: Any) -> dict[str, Any]:
    """A run of 251 sessions whose models have a cut-off, with the part after it; None: nobody knows the cut-off."""
    parts = None if after is None else {"after": {"reasons": {}, **after}}
    assessable = after is not None and after["sessions"] >= 60
    contamination = {"assessable": assessable, "parts": parts, "cutoff": "2024-03-31", "verdict": "Said.", **found}
    return {**facts(), "llm": {"models": ["gpt"]}, "contamination": contamination}


def test_the_part_after_the_models_cut_off_is_what_is_judged() -> None:
    part = {"sessions": 120, "sharpe": 2.5, "sharpe_ci_low": 0.4, "sharpe_ci_high": 4.4, "sharpe_p_hac": 0.01}
    verdict = judge(dated(part))
    assert verdict.standing == "above cash"
    assert verdict.headline.replace("\u00a0", " ") == (
        "Sharpe 2.50, 95 % interval 0.40 to 4.40 over 120 sessions after the models' cut-off: "
        "above cash, by more than luck explains; skill not assessable without positions: tested against cash only."
    )
    told = " ".join(verdict.details).replace("\u00a0", " ")
    assert "Over all 251 sessions, memory included: Sharpe 1.21, 95 % interval −0.40 to 2.70." in told


@pytest.mark.parametrize(
    ("after", "why"),
    [
        (
            {"sessions": 12},
            "Not assessable: 12 sessions lie after the models' cut-off (2024-03-31) and its 90 days of grace, "
            "60 are needed.",
        ),
        (
            {"sessions": 0},
            "Not assessable: no session lies after the models' cut-off (2024-03-31) and its 90 days of grace, "
            "60 are needed.",
        ),
        (None, "Not assessable: a model's knowledge cut-off is not known."),
    ],
)
def test_without_dates_the_models_cannot_know_nothing_is_claimed(after: dict[str, Any] | None, why: str) -> None:
    verdict = judge(dated(after))
    assert verdict.standing == "not assessable"
    told = verdict.headline.replace("\u00a0", " ")
    assert told.startswith(why)
    assert told.endswith("the models may remember: Sharpe 1.21, 95 % interval −0.40 to 2.70.")


def test_memory_that_was_found_stands_beside_the_verdict() -> None:
    part = {"sessions": 120, "sharpe": -0.2, "sharpe_ci_low": -2, "sharpe_ci_high": 1.7, "sharpe_p_hac": 0.6}
    assert judge(dated(part, flagged=True)).headline.endswith("may be memory.")


def test_the_trials_are_held_against_the_p_of_the_part_that_is_judged() -> None:
    part = {"sessions": 120, "sharpe": 2.5, "sharpe_ci_low": 0.4, "sharpe_ci_high": 4.4, "sharpe_p_hac": 0.01}
    remembered = {"trials": 8, "dsr": 0.99}
    run = dated(part)
    verdict = judge({**run, "inference": {**run["inference"], **remembered}})
    assert verdict.standing == "luck"
    assert any("p after the models' cut-off as the best of them is 0.077" in said for said in verdict.details)
    few = judge({**run, "inference": {**run["inference"], "trials": 2, "dsr": 0.2}})
    assert few.standing == "above cash"


def test_a_run_that_held_nothing_is_not_called_worse_than_cash() -> None:
    run = facts(sharpe=-20.2, sharpe_ci_low=-21.9, sharpe_ci_high=-18.7, sharpe_p_hac=1.0, trials=8, dsr=0.0)
    verdict = judge({**run, "metrics": {**run["metrics"], "exposure": 0.0}})
    assert verdict.headline.replace("\u00a0", " ") == "No position was held over 251 sessions: nothing to judge."
    assert verdict.settled
    assert not any("p for a Sharpe" in said or "deflated" in said for said in verdict.details)


def test_a_total_loss_is_called_one() -> None:
    run = facts(sharpe=-1.0, sharpe_ci_low=-4.0, sharpe_ci_high=-1.0, sharpe_p_hac=0.85)
    lost = {"total_return": None, "annual_return": -7.2, "sharpe": -1.0}
    verdict = judge({**run, "metrics": lost, "reasons": {"total_return": "session 51 lost 712%"}})
    assert (verdict.standing, verdict.headline) == ("loss", "Everything was lost: session 51 lost 712%.")


def skilled(**changed: Any) -> dict[str, Any]:
    """A run of 251 sessions whose positions are on record."""
    skill = {
        "sessions": 251, "decisions": 40, "idle": False,
        "excess": 0.08, "exposure": 0.05, "choosing": 0.04, "costs": -0.01, "beyond": 0.03, "beyond_low": -0.01,
        "beyond_high": 0.07, "p": 0.2, "p_mean": 0.2, "p_ratio": 0.15, "p_worse": 0.8, "t": 0.9, "degrees": 15,
        "ratio": 0.05, "skew": 0.0, "kurtosis": 3.0, "p_excess": 0.2, "reason": None, **changed,
    }  # fmt: skip
    return {**facts(), "skill": skill}


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"p": 0.01, "skew": -1.5}, "It leans to the left (skew −1.50), as short volatility does"),
        ({"p": 0.04, "skew": -4.0}, "a loss rarer than once in 50 sessions may not have come yet."),
        ({"p": 0.001, "ratio": 0.4}, "It earns 6.35 times its spread a year, as short volatility does"),
        ({"p": 0.01, "skew": -0.9}, ""),
        ({"p": 0.5, "skew": -4.0}, ""),
    ],
)
def test_the_shape_of_sold_options_is_named_beside_the_verdict(changed: dict[str, Any], words: str) -> None:
    headline = judge(skilled(**changed)).headline.replace("\u00a0", " ")
    assert words in headline
    assert ("short volatility" in headline) == bool(words)


@pytest.mark.parametrize(
    ("after", "said"),
    [
        (120, "of all 251 sessions; the models may remember all but the last 120."),
        (None, "of all 251 sessions, which the models may remember: they show no skill."),
        (251, ""),
    ],
)
def test_figures_of_sessions_that_models_may_remember_say_so(after: int | None, said: str) -> None:
    run: Any = dated({"sessions": after, "sharpe": 0.1} if after else None)
    check(RunRecord, run, older=True)
    assert asked.describe_memory(run).replace("\u00a0", " ") == (f"All figures here are {said}" if said else "")


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"p": 0.01, "anchor": -0.93}, True),
        ({"p": 0.05, "anchor": -0.7}, True),
        ({"p": 0.01, "anchor": -0.69}, False),
        ({"p": 0.3, "anchor": -0.93}, False),
        ({"p": 0.01}, False),
    ],
)
def test_a_book_anchored_to_its_starting_prices_is_named_beside_the_verdict(
    changed: dict[str, Any], said: bool
) -> None:
    headline = judge(skilled(**changed)).headline
    words = f"since the start (correlation {ratio(changed.get('anchor'))}): of such books about one in ten passes"
    assert (words in headline) == said


@pytest.mark.parametrize(
    ("changed", "trials", "standing"),
    [
        ({"p": 0.01}, 1, "skill"),
        ({"p": 0.04}, 1, "borderline"),
        ({"p": 0.07}, 1, "borderline"),
        ({"p": 0.071}, 1, "luck"),
        ({"p": 0.01}, 4, "borderline"),
        ({"p": 0.01}, 20, "luck"),
        ({"p": 0.001}, 20, "skill"),
        ({"p": 0.98, "p_worse": 0.02}, 1, "worse"),
        ({"p": 0.98, "p_worse": 0.026}, 1, "luck"),
        ({"p_excess": 0.01}, 1, "paid"),
        ({"p_excess": 0.01}, 500, "paid"),
        ({"p": 0.001, "decisions": 19}, 1, "few"),
        ({"p": 0.001, "decisions": 0}, 1, "benchmark"),
        ({"p": 0.001, "decisions": 0, "idle": True}, 1, "nothing"),
        ({"p": None, "p_worse": None, "reason": "it does not vary"}, 1, "luck"),
    ],
)
def test_what_lies_beyond_the_usual_exposure_is_judged(changed: dict[str, Any], trials: int, standing: str) -> None:
    run = skilled(**changed)
    assert judge({**run, "inference": {**run["inference"], "trials": trials}}).standing == standing


def test_the_headline_says_what_lies_beyond_the_exposure_and_the_details_where_the_return_came_from() -> None:
    run = skilled(p=0.01)
    verdict = judge({**run, "inference": {**run["inference"], "trials": 2, "dsr": 0.1}})
    assert verdict.headline.replace("\u00a0", " ") == (
        "+3.0 % a year beyond its own usual exposure, 95 % interval −1.0 % to 7.0 %, over 251 sessions and 2 trials: "
        "skill beyond its exposure."
    )
    told = " ".join(verdict.details).replace("\u00a0", " ")
    assert (
        "Of +8.0 % a year over cash its usual exposure earned +5.0 %, choosing and timing +4.0 %, costs took −1.0 %."
        in told
    )
    assert "0.020 as the best of 2 trials" in told
    assert "Sharpe 1.21 over cash, 95 % interval −0.40 to 2.70." in told


def test_too_short_comes_before_everything_that_is_said_of_skill() -> None:
    run = skilled(p=0.001)
    assert judge({**run, "sessions": 59}).standing == "too short"


def test_after_the_cut_off_the_skill_of_that_part_is_judged() -> None:
    part = {"sessions": 120, "sharpe": 0.1, "skill": skilled(p=0.001, sessions=120)["skill"]}
    verdict = judge({**dated(part), "skill": skilled()["skill"]})
    assert verdict.standing == "skill"
    assert "over 120 sessions after the models' cut-off" in verdict.headline.replace("\u00a0", " ")
