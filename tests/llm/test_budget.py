"""What is reserved counts as spent until it is settled; a day has its limit, and all processes share both."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from threading import Thread

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator.errors import BudgetError
from simulator.llm.spending.budget import Budget, DayBudgetError, RunBudgetError
from simulator.llm.spending.shared_ledger import DAY, HOUR, SharedLedger

from .conftest import Clock


def spend(budget: Budget, at_most: float, paid: float) -> None:
    held = budget.reserve(at_most, paid)
    assert held is not None
    budget.settle(held, paid)


@given(
    st.lists(
        st.tuples(st.floats(0, 3), st.floats(0, 1), st.sampled_from(["settle", "write_off", "release"])), max_size=30
    )
)
def test_no_sequence_of_questions_passes_the_limit_when_estimates_are_upper_bounds(
    questions: list[tuple[float, float, str]],
) -> None:
    budget = Budget(5.0)
    for estimate, share, outcome in questions:
        try:
            held = budget.reserve(estimate, estimate * share)
        except BudgetError:
            continue
        assert held is not None
        if outcome == "settle":
            budget.settle(held, estimate * share)
        else:
            getattr(budget, outcome)(held)
    assert budget.spent_usd + budget.lost_usd <= 5.0 + 1e-9
    assert budget.reserved_usd <= 1e-9


@pytest.mark.parametrize("shared", [False, True])
def test_what_is_in_flight_is_waited_for_and_only_what_is_paid_refuses(shared: bool, ledger: SharedLedger) -> None:
    budget = Budget(1.0, ledger=ledger if shared else None)
    first = budget.reserve(0.6, 0.1)
    assert first is not None
    assert budget.reserve(0.6) is None
    budget.settle(first, 0.1)
    second = budget.reserve(0.6)
    assert second is not None
    budget.settle(second, 0.5)
    with pytest.raises(RunBudgetError, match=r"\$1\.00 is spent: \$0\.6000 paid, \$0\.6000 at most") as caught:
        budget.reserve(0.6)
    assert caught.value.exit_code == 4
    assert caught.value.wanted_usd == pytest.approx(1.2)
    assert "`--max-cost 3` continues" in str(caught.value)


@pytest.mark.parametrize("shared", [False, True])
def test_a_budget_of_nothing_lets_free_questions_through_and_no_others(shared: bool, ledger: SharedLedger) -> None:
    budget = Budget(0.0, ledger=ledger if shared else None)
    spend(budget, 0.0, 0.0)
    with pytest.raises(BudgetError, match="--max-cost"):
        budget.reserve(0.000001)


def test_free_questions_make_no_file(folder: Path, ledger: SharedLedger) -> None:
    spend(Budget(0.0, ledger=ledger), 0.0, 0.0)
    assert not folder.exists()


@pytest.mark.parametrize("shared", [False, True])
def test_threads_together_do_not_pass_the_limit(shared: bool, ledger: SharedLedger) -> None:
    budget = Budget(100.0, ledger=ledger if shared else None)
    granted: list[int] = []

    def run() -> None:
        for _ in range(200):
            try:
                held = budget.reserve(1.0)
            except BudgetError:
                return
            if held is not None:
                budget.settle(held, 1.0)
                granted.append(1)

    threads = [Thread(target=run) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(granted), budget.spent_usd) == (100, 100.0)


def test_a_named_run_finds_what_it_spent_before_and_other_runs_do_not(folder: Path, clock: Clock) -> None:
    for _ in range(2):
        ledger = SharedLedger(folder, clock)
        spend(Budget(1.0, ledger=ledger, run="a"), 0.4, 0.4)
        ledger.close()
    ledger = SharedLedger(folder, clock)
    with pytest.raises(RunBudgetError, match=r"\$0\.8000 paid"):
        Budget(1.0, ledger=ledger, run="a").reserve(0.4)
    spend(Budget(1.0, ledger=ledger, run="b"), 0.4, 0.4)
    spend(Budget(1.0, ledger=ledger), 0.9, 0.9)
    clock.now += DAY
    spend(Budget(1.0, ledger=ledger, run="a"), 0.9, 0.9)
    ledger.close()


def test_the_day_has_a_limit_over_all_runs_which_opens_the_breaker_for_the_rest_of_it(
    ledger: SharedLedger, clock: Clock
) -> None:
    for run in ("a", "b"):
        spend(Budget(9.0, max_usd_per_day=5.0, ledger=ledger, run=run), 2.0, 2.0)
    budget = Budget(9.0, max_usd_per_day=5.0, ledger=ledger)
    with pytest.raises(DayBudgetError, match=r"the day's \$5\.00 are spent: \$4\.0000 paid today.*midnight UTC"):
        budget.reserve(1.5)
    with pytest.raises(DayBudgetError):
        budget.reserve(0.5)
    clock.now += 13 * HOUR
    with pytest.raises(DayBudgetError):
        budget.reserve(0.5)
    spend(Budget(9.0, max_usd_per_day=7.0, ledger=ledger), 0.5, 0.5)


def test_the_next_day_one_question_goes_ahead_and_the_others_follow_when_it_was_answered(
    ledger: SharedLedger, clock: Clock
) -> None:
    budget = Budget(99.0, max_usd_per_day=5.0, ledger=ledger)
    spend(budget, 4.0, 4.0)
    with pytest.raises(DayBudgetError):
        budget.reserve(2.0)
    clock.now += DAY
    for outcome in ("release", "write_off"):
        probe = budget.reserve(0.5, 0.1)
        assert probe is not None
        assert budget.reserve(0.5) is None
        getattr(budget, outcome)(probe)
    probe = budget.reserve(0.5)
    assert probe is not None
    assert budget.reserve(0.5) is None
    budget.settle(probe, 0.5)
    held = [budget.reserve(0.5) for _ in range(3)]
    assert None not in held


def test_the_day_ends_at_midnight_utc(ledger: SharedLedger, clock: Clock) -> None:
    budget = Budget(99.0, max_usd_per_day=5.0, ledger=ledger)
    clock.now = 20_000.0 * DAY + DAY - 1
    spend(budget, 4.0, 4.0)
    clock.now += 2
    spend(budget, 4.0, 4.0)


def test_what_never_came_is_booked_at_its_likely_price(ledger: SharedLedger) -> None:
    budget = Budget(1.0, ledger=ledger, run="a")
    held = budget.reserve(0.9, 0.2)
    assert held is not None
    budget.write_off(held)
    assert (budget.spent_usd, budget.lost_usd, budget.reserved_usd) == (0.0, 0.2, 0.0)
    with pytest.raises(RunBudgetError, match=r"\$0\.2000 paid"):
        budget.reserve(0.9)


DIES = """
import os, sys
from pathlib import Path
from simulator.llm.spending.budget import Budget
from simulator.llm.spending.shared_ledger import SharedLedger
ledger = SharedLedger(Path(sys.argv[1]))
Budget(5.0, ledger=ledger, run="a").reserve(4.0, 0.5)
assert ledger.claim("question")
os._exit(9)
"""


def test_what_a_killed_process_held_is_free_again_and_its_likely_price_is_booked(folder: Path) -> None:
    assert subprocess.run([sys.executable, "-c", DIES, folder], check=False).returncode == 9
    ledger = SharedLedger(folder)
    with ledger.transaction() as db:
        spending = ledger.spending(db, "a")
    assert (spending.run, spending.run_held, spending.day, spending.lost) == (0.5, 0.0, 0.5, 0.5)
    assert ledger.claim("question")
    ledger.close()


LIVES = """
import sys, time
from pathlib import Path
from simulator.llm.spending.budget import Budget
from simulator.llm.spending.shared_ledger import SharedLedger
ledger = SharedLedger(Path(sys.argv[1]))
held = Budget(5.0, ledger=ledger, run="a").reserve(4.0, 0.5)
assert ledger.claim("question")
print("held", flush=True)
sys.stdin.read()
ledger.close()
"""


def test_what_a_living_process_holds_stands_until_it_ends(folder: Path) -> None:
    ledger = SharedLedger(folder)
    with subprocess.Popen(
        [sys.executable, "-c", LIVES, folder], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as other:
        assert other.stdout is not None
        assert other.stdin is not None
        other.stdout.readline()
        assert not ledger.claim("question")
        assert Budget(5.0, ledger=ledger, run="a").reserve(4.0) is None
        other.stdin.close()
        other.wait()
    assert ledger.claim("question")
    held = Budget(5.0, ledger=ledger, run="a").reserve(4.0)
    assert held is not None
    ledger.close()
