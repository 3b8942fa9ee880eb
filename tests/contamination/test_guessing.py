"""Re-identification: who guesses is not taken for one who recognises, whatever the guessing, and who recognises is."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from types import ModuleType

import pytest
from scipy import stats

from simulator.contamination.reidentify import masking_failed, rate_recognition
from simulator.stats.distributions import binomial_low, binomial_sf, student_reach

REPLICATES = 100
KINDS = (
    *("uniform", "always the first asset", "the same answer at every meeting", "another order at every meeting"),
    *("assets of the run, by lot", "middle of the span", "shown date, shifted", "one guess a quarter"),
)


@pytest.fixture(scope="module")
def bench() -> Iterator[ModuleType]:
    folder = str(Path(__file__).parents[2] / "benchmarks")
    sys.path.insert(0, folder)
    yield import_module("contamination")
    sys.path.remove(folder)


@pytest.mark.parametrize("kind", KINDS)
def test_guessers_are_flagged_in_one_of_twenty_at_most(bench: ModuleType, kind: str) -> None:
    flagged = sum(bool(masking_failed(rate_recognition(bench.guesses_of(kind, seed)))) for seed in range(REPLICATES))
    assert flagged <= stats.binom.ppf(0.999, REPLICATES, 0.05)


def test_who_recognises_half_of_what_is_shown_is_found(bench: ModuleType) -> None:
    found = [masking_failed(rate_recognition(bench.guesses_of("recognises half", seed))) for seed in range(20)]
    assert sum(map(bool, found)) >= 18


def test_one_asset_is_not_judged_by_its_name(bench: ModuleType) -> None:
    found = rate_recognition(bench.guesses_of("always the first asset", 0, assets=1))
    assert {one.what for one in found} == {"quarters"}
    assert not masking_failed(found)


@pytest.mark.parametrize(("hits", "trials", "p"), [(0, 5, 0.3), (3, 24, 1 / 9), (24, 24, 0.5), (7, 8, 0.9)])
def test_binomial_tail_and_lower_bound_are_those_of_scipy(hits: int, trials: int, p: float) -> None:
    assert binomial_sf(hits, trials, p) == pytest.approx(stats.binom.sf(hits - 1, trials, p), rel=1e-12)
    exact = stats.binomtest(hits, trials, p, alternative="greater").proportion_ci(0.95, "exact").low
    assert binomial_low(hits, trials) == pytest.approx(exact, abs=1e-12)


@pytest.mark.parametrize("degrees", [1, 4, 30])
def test_the_reach_of_students_t_is_that_of_scipy(degrees: int) -> None:
    assert student_reach(degrees, 0.025) == pytest.approx(stats.t.ppf(0.975, degrees), rel=1e-12)
