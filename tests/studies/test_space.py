"""The space of a study: values as they are written, members by their number, conditions."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator.errors import UsageError
from simulator.studies.conditions import Condition
from simulator.studies.space import Parameter, Space, Spread
from simulator.studies.values import read_parameter


def values(text: Any) -> list[Any]:
    return list(read_parameter("x", text).values)


def test_a_range_includes_both_ends_and_decimals_are_those_that_were_typed() -> None:
    assert values("5:50:5") == list(range(5, 51, 5))
    assert values("0.1:0.3:0.1") == [0.1, 0.2, 0.3]
    assert values("10:0:-5") == [10, 5, 0]
    assert values("-1:1:0.5") == [-1.0, -0.5, 0.0, 0.5, 1.0]
    assert values("5:9:3") == [5, 8]
    assert values("1e1:3e1:1e1") == [10.0, 20.0, 30.0]


def test_lists_texts_booleans_and_lists_of_lists_are_read_as_sim_run_reads_one_value() -> None:
    assert values("10,20,50") == [10, 20, 50]
    assert values("daily, weekly") == ["daily", "weekly"]
    assert values("true,false") == [True, False]
    assert values('[1,2],["a"]') == [[1, 2], ["a"]]
    assert values("09:30,15:50") == ["09:30", "15:50"]
    assert values([0.1, "cash"]) == [0.1, "cash"]
    assert values(7) == [7]


def test_distributions_have_two_ends() -> None:
    assert read_parameter("x", "log(0.5, 50)").spread == Spread(0.5, 50.0, log=True)
    assert read_parameter("x", "int(5, 200)").spread == Spread(5.0, 200.0, whole=True)
    assert read_parameter("x", {"low": 1, "high": 9, "log": True}).spread == Spread(1.0, 9.0, log=True)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        *(("5:50:0", "step is 0"), ("5:1:5", "empty range"), ("1:2:-1", "empty range"), ("", "no value")),
        *(
            ("1:1e12:1", "at most"),
            ("1:1e999999:1", "at most"),
            ("1,,2", "empty"),
            ("5:x:1", "text:"),
            ("::", "no range"),
        ),
        *(("nan", "finite"), ("1,Infinity", "finite"), ("5,5.0", "twice"), ("a,a", "twice"), ("logg(1, 2)", '"log"')),
        *(
            ("log(0, 2)", "no logarithm"),
            ("int(1.5, 2)", "whole"),
            ("uniform(2, 1)", "empty range"),
            ("log(1)", "ends"),
        ),
        *(({"low": 1}, "high was None"), ({"low": 1, "hihg": 2}, '"high"'), ([], "no value"), ("log(1,nan)", "finite")),
        *(("nan:50:5", "nan is no finite"), ("1:-Inf:1", "-Inf is no"), ("inf,1", "was inf"), ("1,-nan", "was nan")),
        *(("٥:٥٠:٥", "no range"), ("٥,١٠", "digits 0 to 9"), ((n for n in (1, 2)), "was <generator")),
        *(({"low": 1, "high": 2, "log": "yes"}, "true or false"), ("1:5", "text:"), ("5:50:5,60", "no range")),
    ],
)
def test_values_that_make_no_sense_are_refused_in_one_line(text: Any, why: str) -> None:
    if why == "text:":  # times look so: they are texts, which the strategy refuses
        assert isinstance(values(text)[0], str)
        return
    with pytest.raises(UsageError) as error:
        read_parameter("x", text)
    assert why in str(error.value)


FAST, SLOW = Parameter("fast", (5, 10, 20)), Parameter("slow", (10, 20, 40, 80))


def settings(space: Space) -> list[tuple[Any, ...]]:
    return [tuple(space.settings(number).values()) for number in range(len(space))]


def test_the_last_parameter_of_a_grid_changes_fastest_and_a_condition_leaves_out_without_reordering() -> None:
    whole = settings(Space((FAST, SLOW)))
    assert whole == [(fast, slow) for fast in FAST.values for slow in SLOW.values]
    some = settings(Space((FAST, SLOW), (Condition("fast < slow"),)))
    assert some == [pair for pair in whole if pair[0] < pair[1]]


@pytest.mark.parametrize("search", ["random", "sobol"])
def test_drawn_members_are_distinct_meet_the_conditions_and_depend_on_the_seed_alone(search: Any) -> None:
    cost = Parameter("cost", (), Spread(0.5, 50, log=True))
    space = Space((FAST, SLOW, cost), (Condition("2 * fast <= slow"),), search, 200, seed=3)
    found = settings(space)
    assert len(set(found)) == len(found) == 200
    assert all(2 * fast <= slow and 0.5 <= cost <= 50 for fast, slow, cost in found)
    assert abs(np.mean([np.log(cost) for *_, cost in found]) - np.log(5)) < 0.2  # evenly by logarithm
    assert found == settings(Space((FAST, SLOW, cost), (Condition("2 * fast <= slow"),), search, 200, seed=3))
    assert found != settings(Space((FAST, SLOW, cost), (Condition("2 * fast <= slow"),), search, 200, seed=4))
    assert all(isinstance(fast, int) and isinstance(cost, float) for fast, _, cost in found)


@pytest.mark.parametrize("search", ["random", "sobol"])
def test_more_members_go_on_where_fewer_ended(search: Any) -> None:
    """Thirty members of a distribution are the first thirty of sixty."""
    parameters = (FAST, Parameter("x", (), Spread(0, 1)))
    assert settings(Space(parameters, (), search, 60))[:30] == settings(Space(parameters, (), search, 30))


def test_a_random_choice_from_a_grid_finds_all_of_it_and_says_where_it_ends() -> None:
    assert sorted(settings(Space((FAST, SLOW), (), "random", 12))) == sorted(settings(Space((FAST, SLOW))))
    with pytest.raises(UsageError, match="only 12 different members, not 13"):
        Space((FAST, SLOW), (), "random", 13)
    with pytest.raises(UsageError, match="only 12 different members, not 13"):
        Space((FAST, SLOW), (), "sobol", 13)


@pytest.mark.parametrize(
    ("space", "why"),
    [
        (lambda: Space((FAST, FAST)), '"fast" stands there twice'),
        (lambda: Space(()), "nothing is swept"),
        (lambda: Space((FAST, Parameter("x", (), Spread(0, 1)))), "has no grid"),
        (lambda: Space((FAST,), (), "grid", 3), "as many members as it has"),
        (lambda: Space((FAST,), (), "random"), "needs a number of members"),
        (lambda: Space((FAST,), (), "sobol", 0), "--members was 0"),
        (lambda: Space((FAST,), (), "random", 2_000_000), "at most 1,000,000"),
        (lambda: Space(tuple(Parameter(f"x{n}", tuple(range(1000))) for n in range(4))), "1,000,000,000,000 comb"),
        (lambda: Space((FAST, SLOW), (Condition("fast < slow"), Condition("slow < fast"))), "no combination meets"),
        (lambda: Space((FAST, Parameter("x", (), Spread(0, 1))), (Condition("x > 2"),), "random", 5), "no combination"),
    ],
)
def test_spaces_that_cannot_be_played_are_refused_before_any_work(space: Any, why: str) -> None:
    with pytest.raises(UsageError) as error:
        space()
    assert why in str(error.value)


def test_examples_show_every_value() -> None:
    space = Space((FAST, SLOW), (Condition("fast < slow"),))
    shown = [space.settings(number) for number in space.examples()]
    assert {one["fast"] for one in shown} == set(FAST.values)
    assert {one["slow"] for one in shown} == set(SLOW.values)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("fast < slow", [True, False, False]),
        ("5 <= fast <= slow", [True, False, True]),
        ("not fast < slow", [False, True, True]),
        ("kind == 'a' and fast < 15", [True, False, False]),
        ("kind == 'b' or costs.slippage_bps > 1", [True, True, True]),
        ("on != false", [True, False, True]),
        ("on", [True, False, True]),
        ("fast % 10 == 0 and slow // 3 == 6", [False, True, True]),
        ("kind == none", [False, False, False]),
        ("slow / 0 > 1", [True, True, True]),
    ],
)
def test_a_condition_is_worked_out_for_all_members_at_once(text: str, expected: list[bool]) -> None:
    kind = np.array(["a", "b", "c"], dtype=object)
    columns = {"fast": np.array([5, 30, 20]), "slow": np.array([20, 20, 20]), "kind": kind}
    columns |= {"on": np.array([True, False, True]), "costs.slippage_bps": 2.0}
    if text == "on":
        with pytest.raises(UsageError, match="compares nothing"):
            Condition(text)
        return
    assert Condition(text).holds(columns).tolist() == expected


@pytest.mark.parametrize(
    "text",
    [
        *(
            "__import__('os').system('x') < 3",
            "fast.__class__ < 3 if 1 else 2",
            "(lambda: 1)() < 2",
            "[1] < [2]",
            "a :=",
        ),
        *(
            "",
            "fast",
            "fast < ",
            "x" * 600,
            "'a'.join < 3",
            "f'{fast}' < 3",
            "2 ** 9 ** 9 < fast",
            "fast[0] < 1",
            "1j < 2",
        ),
    ],
)
def test_whatever_is_no_condition_is_refused_and_never_executed(text: str) -> None:
    with pytest.raises(UsageError, match="the condition"):
        Condition(text)


def test_a_text_is_not_compared_with_a_number_and_unknown_names_get_the_nearest() -> None:
    with pytest.raises(UsageError, match="what is no number"):
        Condition("kind < 3").holds({"kind": np.array(["a"], dtype=object)})
    with pytest.raises(UsageError, match='did you mean "slow"'):
        Condition("fast < slwo").check_names({"fast": 1, "slow": 2})


@given(st.lists(st.integers(1, 5), min_size=1, max_size=4), st.data())
def test_a_number_stands_for_one_combination(sizes: list[int], data: st.DataObject) -> None:
    space = Space(tuple(Parameter(f"x{n}", tuple(range(size))) for n, size in enumerate(sizes)))
    number = data.draw(st.integers(0, len(space) - 1))
    found = tuple(space.settings(number).values())
    assert np.ravel_multi_index(found, sizes) == number
