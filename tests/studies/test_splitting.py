"""`--walk-forward` and `--cpcv` as they are typed: what is wrong with them is one line, before any work."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from simulator.errors import UsageError
from simulator.studies.splitting import Combinatorial, WalkForward, describe, read_combinatorial, read_walk_forward


def test_a_walk_forward_is_read_from_words_and_from_a_study() -> None:
    assert read_walk_forward("train=252,test=63,purge=5") == WalkForward(252, 63, 5)
    assert read_walk_forward("train=252, test=63, anchored") == WalkForward(252, 63, anchored=True)
    assert read_walk_forward({"train": 252, "test": 63, "anchored": True}) == WalkForward(252, 63, anchored=True)
    assert read_walk_forward("train=252,test=63,step=63") == WalkForward(252, 63, step=63)
    assert read_combinatorial("folds=10,test=2,purge=5,embargo=7") == Combinatorial(10, 2, 5, 7)


@pytest.mark.parametrize("words", ["train=252,test=63", "train=252,test=63,purge=5,step=21,anchored=yes,path=no"])
def test_it_is_described_as_it_is_typed(words: str) -> None:
    assert describe(read_walk_forward(words)) == words
    assert describe(Combinatorial(8, 2, embargo=3)) == "folds=8,test=2,embargo=3"


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("train=252,test=63,embargo=5", "embargo is for combinatorial splits alone"),
        ("train=252,test=63,step=21", "step=21 with test=63: tests would overlap"),
        ("train=252,test=63,step=70", "step=70 with test=63: sessions between tests would be left out"),
        ("train=10,test=63", "train=10 is too few sessions"),
        ("train=252,test=5", "test=5 is too few sessions"),
        ("train=252", "test is missing"),
        ("test=63", "train is missing"),
        ("train=252,test=63,purg=5", 'unknown key "purg", did you mean "purge"'),
        ("train=252,test=63,test=70", "test is given twice"),
        ("train=x,test=63", 'train was "x"'),
        ("train=252.5,test=63", 'train was "252.5"'),
        ("train=-252,test=63", 'train was "-252"'),
        ("train=252,test", 'test was "True"'),
        ("train=252,test=63,anchored=maybe", 'anchored was "maybe"'),
        ("", 'was ""'),
        ("train=252,,test=63", 'was "train=252,,test=63"'),
        ({"train": 252.0, "test": 63}, 'train was "252.0"'),
        ({"train": True, "test": 63}, 'train was "True"'),
        ({"train": 252, "test": None}, 'test was "None"'),
    ],
)
def test_a_walk_forward_that_cannot_be_is_one_line(given: str | Mapping[str, Any], said: str) -> None:
    with pytest.raises(UsageError) as caught:
        read_walk_forward(given)
    assert said in str(caught.value)
    assert str(caught.value).startswith("--walk-forward: ")
    assert "\n" not in str(caught.value)


def test_folds_that_are_too_short_for_the_sessions_there_are_are_refused() -> None:
    with pytest.raises(UsageError, match=r"--walk-forward: 300 sessions hold no window of 252 \+ 5 \+ 63"):
        WalkForward(252, 63, 5).splits(300)
    with pytest.raises(UsageError, match="40 folds of 300 sessions are 7 sessions each"):
        Combinatorial(40, 2).splits(300)
    with pytest.raises(UsageError, match="6 sessions are left to train on"):
        Combinatorial(3, 2, purge=2).splits(30)
    with pytest.raises(UsageError, match="--cpcv: a purge of 5 and an embargo of 30 fill a fold of 30 sessions"):
        Combinatorial(10, 2, 5, 30).splits(300)
    with pytest.raises(UsageError, match="--cpcv: 10 of 10 folds"):
        Combinatorial(10, 10).splits(300)
    assert len(WalkForward(252, 16, 5, path=False, step=8).splits(300)) == 4


@pytest.mark.parametrize("given", ["folds=100,test=50", "folds=60,test=30", f"folds={10**30},test={10**29}"])
def test_more_splits_than_can_be_held_are_refused_before_they_are_made(given: str) -> None:
    with pytest.raises(UsageError, match=r"--cpcv: \d+ of \d+ folds are more than 5,000 splits"):
        read_combinatorial(given)
    with pytest.raises(UsageError, match="folds was"):
        read_combinatorial("folds=١٠,test=2")
