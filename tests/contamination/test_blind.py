"""The rule of blind A/B: a loss beyond chance on one of its two steps, and nothing else, is flagged."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from scipy import stats

from simulator.contamination.blind import AS_RUN, BOTH, COARSE_DRAWS, COARSENED, MASKED, SAME, judge_steps
from simulator.contamination.results import Result

N, REPLICATES = 127, 60
NOISE = np.random.default_rng(5).normal(scale=0.01, size=(5, N))


def judge(masked: float = 0.0, coarse: float = 0.0, noise: float = 0.1, where: int = N) -> Result:
    """The result of a run of which masking takes `masked` a session, and coarse facts `coarse` more."""
    both = NOISE[0] - masked + noise * NOISE[1]
    draws = {name: both - coarse + noise * NOISE[2 + k] for k, name in enumerate(COARSE_DRAWS)}
    arms = {AS_RUN: NOISE[0], BOTH: both, **draws}
    return judge_steps({name: path[:where] for name, path in arms.items()}, f"{where} sessions")


@pytest.mark.parametrize(
    ("lost", "outcome", "words"),
    [
        ((0.003, 0.0), "flagged", "FLAGGED: with names, dates and price levels hidden it earns"),
        ((0.0, 0.003), "flagged", "FLAGGED: with facts coarse as well it earns"),
        ((0.003, -0.003), "flagged", "exact digits mislead it"),
        ((-0.003, 0.0), "shown", "names or dates mislead it"),
        ((0.0, 0.0), "passed", "it cannot be told apart from the run"),
    ],
    ids=["names and dates", "digits", "lost and won back", "won", "neither"],
)
def test_a_loss_on_either_step_is_flagged_a_gain_shown(lost: tuple[float, float], outcome: str, words: str) -> None:
    found = judge(*lost)
    assert (found.outcome, words in found.verdict) == (outcome, True), found.verdict
    for figure, less in zip(found.figures, lost, strict=True):
        assert figure.low < figure.value < figure.high  # type: ignore[operator]
        assert (figure.high < 0) == (less > 0)  # type: ignore[operator]
        assert figure.note.startswith("interval of 97.5")


def test_coarse_facts_earn_the_mean_of_their_draws() -> None:
    found = {one.name: one.value for one in judge(0.001, 0.002).figures}
    assert found[MASKED] == pytest.approx(252 * (0.1 * NOISE[1].mean() - 0.001))
    assert found[COARSENED] == pytest.approx(252 * (0.1 * NOISE[2:].mean() - 0.002))


def test_arms_that_do_the_same_pass_and_those_too_short_to_compare_are_not_assessable() -> None:
    assert judge(noise=0.0).verdict == f"{SAME} It earns the same on coarse facts."
    few = judge(0.003, 0.003, where=8)
    assert few.outcome == "not assessable"
    assert few.verdict.startswith("Not assessable: too few sessions differ (8 sessions)")


def test_without_coarse_facts_the_first_step_stands_alone() -> None:
    found = judge_steps({AS_RUN: NOISE[0], BOTH: NOISE[0] - 0.003 + NOISE[1] / 10}, "")
    assert (found.outcome, [one.name for one in found.figures]) == ("flagged", [MASKED])


@pytest.fixture(scope="module")
def bench() -> Iterator[ModuleType]:
    folder = str(Path(__file__).parents[2] / "benchmarks")
    sys.path.insert(0, folder)
    yield import_module("contamination")
    sys.path.remove(folder)


@pytest.mark.medium
def test_who_remembers_nothing_is_flagged_in_one_of_twenty_and_who_reads_digits_surely(bench: ModuleType) -> None:
    blind = {(who, aim): flag for check, who, flag, aim in bench.ROWS if check == "blind"}
    without = {who: bench.rate(flag, REPLICATES) for (who, aim), flag in blind.items() if aim == "≤ 5"}
    assert max(without.values()) <= 100 * stats.binom.ppf(0.999, REPLICATES, 0.05) / REPLICATES, without
    sure = {who: bench.rate(flag, REPLICATES) for (who, _), flag in blind.items() if "right in all weeks" in who}
    assert min(sure.values()) >= 95, sure
    assert (len(without), len(sure)) == (4, 2)
