"""What is reserved counts as spent until it is settled."""

from __future__ import annotations

from threading import Thread

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator.errors import BudgetError
from simulator.llm.budget import Budget


@given(st.lists(st.tuples(st.floats(0, 3), st.floats(0, 1)), max_size=30))
def test_no_sequence_of_questions_passes_the_limit_when_estimates_are_upper_bounds(
    questions: list[tuple[float, float]],
) -> None:
    budget = Budget(5.0)
    for estimate, share in questions:
        try:
            budget.reserve(estimate)
        except BudgetError:
            continue
        budget.settle(estimate, estimate * share)
    assert budget.spent_usd <= 5.0 + 1e-9
    assert budget.reserved_usd <= 1e-9


def test_what_is_in_flight_counts() -> None:
    budget = Budget(1.0)
    budget.reserve(0.6)
    with pytest.raises(BudgetError, match=r"\$1\.00 is spent: \$0\.0000 paid, \$0\.6000 in flight") as caught:
        budget.reserve(0.6)
    assert caught.value.exit_code == 4
    budget.settle(0.6, 0.1)
    budget.reserve(0.6)


def test_a_budget_of_nothing_lets_free_questions_through_and_no_others() -> None:
    budget = Budget(0.0)
    budget.reserve(0.0)
    with pytest.raises(BudgetError, match="--max-cost"):
        budget.reserve(0.000001)


def test_threads_together_do_not_pass_the_limit() -> None:
    budget = Budget(100.0)
    granted: list[int] = []

    def spend() -> None:
        for _ in range(200):
            try:
                budget.reserve(1.0)
            except BudgetError:
                return
            budget.settle(1.0, 1.0)
            granted.append(1)

    threads = [Thread(target=spend) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(granted), budget.spent_usd) == (100, 100.0)
