"""Splits of a sweep's sessions as they are typed: ``train=252,test=63,purge=5`` and ``folds=10,test=2,embargo=5``."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import MISSING, dataclass, fields
from typing import Any

from simulator.errors import UsageError, did_you_mean
from simulator.stats.splits import Split, combinatorial_purged, walk_forward

FEWEST_TRAINED = 20
"""Sessions below which a ratio chooses by luck alone."""

FEWEST_JUDGED = 10
"""Sessions below which a fold has no figures."""

MOST_SPLITS = 5_000
"""Of combinatorial splits: each holds its sessions, and is looked up in every chunk."""


@dataclass(frozen=True)
class WalkForward:
    """Train on `train` sessions, leave out `purge`, test on `test`, move on by `step`; `anchored` trains on all before.

    `step` 0 is `test`. With `path` the tests are played as one account, and must follow each other without a gap.
    """

    train: int
    test: int
    purge: int = 0
    step: int = 0
    anchored: bool = False
    path: bool = True

    def __post_init__(self) -> None:
        _check_sizes(self, "--walk-forward", ("train", FEWEST_TRAINED), ("test", FEWEST_JUDGED))
        if self.path and self.step not in (0, self.test):
            what = "tests would overlap" if self.step < self.test else "sessions between tests would be left out"
            raise UsageError(
                f"step={self.step} with test={self.test}: {what}, and one account plays all in turn",
                where="--walk-forward",
                mend="leave step out, or add path=no for figures by fold alone",
            )

    def splits(self, sessions: int) -> tuple[Split, ...]:
        """Return the folds of so many sessions. Raises UsageError where there is none."""
        step = self.step or self.test
        with _naming("--walk-forward"):
            return walk_forward(sessions, self.train, self.test, purge=self.purge, step=step, anchored=self.anchored)


@dataclass(frozen=True)
class Combinatorial:
    """Every choice of `test` out of `folds` stretches to test on; `purge` sessions around each are left out, and
    `embargo` further ones after it."""

    folds: int
    test: int
    purge: int = 0
    embargo: int = 0

    def __post_init__(self) -> None:
        _check_sizes(self, "--cpcv", ("folds", 2), ("test", 1))
        # There are as many splits as folds at least; of too many of these not even their number is worked out.
        if self.test < self.folds and (self.folds > MOST_SPLITS or math.comb(self.folds, self.test) > MOST_SPLITS):
            raise UsageError(
                f"{self.test} of {self.folds} folds are more than {MOST_SPLITS:,} splits",
                where="--cpcv",
                mend="take fewer folds or fewer test folds, e.g. folds=10,test=2",
            )

    def splits(self, sessions: int) -> tuple[Split, ...]:
        """Return the splits of so many sessions. Raises UsageError where a part is too short."""
        if sessions // self.folds < FEWEST_JUDGED:
            raise UsageError(
                f"{self.folds} folds of {sessions} sessions are {sessions // self.folds} sessions each, of which "
                f"{FEWEST_JUDGED} are the least",
                where="--cpcv",
                mend=f"take folds={max(2, sessions // FEWEST_TRAINED)} or fewer",
            )
        with _naming("--cpcv"):
            splits = combinatorial_purged(sessions, self.folds, self.test, purge=self.purge, embargo=self.embargo)
        if (shortest := min(len(one.train) for one in splits)) < FEWEST_TRAINED:
            raise UsageError(
                f"{shortest} sessions are left to train on, of which {FEWEST_TRAINED} are the least",
                where="--cpcv",
                mend="take fewer test folds, or less purge and embargo",
            )
        return splits


def read_walk_forward(given: str | Mapping[str, Any]) -> WalkForward:
    """Return the walk-forward of ``train=252,test=63,purge=5,anchored``, or of a mapping. Raises UsageError."""
    return WalkForward(**_read(given, WalkForward, "--walk-forward", "train=252,test=63,purge=5"))


def read_combinatorial(given: str | Mapping[str, Any]) -> Combinatorial:
    """Return the splits of ``folds=10,test=2,purge=5,embargo=5``, or of a mapping. Raises UsageError."""
    return Combinatorial(**_read(given, Combinatorial, "--cpcv", "folds=10,test=2,purge=5,embargo=5"))


def describe(splitting: WalkForward | Combinatorial) -> str:
    """Return `splitting` as it is typed, what is left at its default left out."""
    given = [(one.name, getattr(splitting, one.name), one.default) for one in fields(splitting)]
    flags = {True: "yes", False: "no"}
    return ",".join(
        f"{name}={flags[value] if isinstance(value, bool) else value}"
        for name, value, default in given
        if value != default
    )


@contextmanager
def _naming(option: str) -> Iterator[None]:
    try:
        yield
    except UsageError as error:
        error.where = option
        raise


def _read(given: str | Mapping[str, Any], kind: type, option: str, example: str) -> dict[str, Any]:
    pairs = _pairs(given, option) if isinstance(given, str) else list(given.items())
    known = {one.name: one.type for one in fields(kind)}
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name == "embargo" and name not in known:
            mend = (
                "leave it out, or `--cpcv folds=10,test=2,embargo=5`; tests of a walk-forward have nothing after them"
            )
            raise UsageError("embargo is for combinatorial splits alone", where=option, mend=mend)
        if name not in known:
            mend = f"write {example}"
            raise UsageError(f'unknown key "{name}"{did_you_mean(str(name), known)}', where=option, mend=mend)
        if name in found:
            raise UsageError(f"{name} is given twice", where=option, mend=f"write {example}")
        found[name] = _flag(value, name, option) if known[name] == "bool" else _whole(value, name, option, example)
    for one in fields(kind):
        if one.default is MISSING and one.name not in found:
            raise UsageError(f"{one.name} is missing", where=option, mend=f"write {example}")
    return found


def _pairs(text: str, option: str) -> list[tuple[str, Any]]:
    words = [word.partition("=") for word in text.replace(" ", "").split(",")]
    if any(not name for name, _, _ in words):
        raise UsageError(f'was "{text}"', where=option, mend="write NAME=NUMBER, separated by commas")
    return [(name, value if equals else True) for name, equals, value in words]


def _whole(value: Any, name: str, option: str, example: str) -> int:
    try:
        number = int(value) if isinstance(value, str) and value.isascii() else value
    except ValueError:
        number = None
    if not isinstance(number, int) or isinstance(number, bool) or number < 0:
        raise UsageError(f'{name} was "{value}"', where=option, mend=f"write a number of sessions, as in {example}")
    return number


def _flag(value: Any, name: str, option: str) -> bool:
    known = {"yes": True, "true": True, "no": False, "false": False}
    found = value if isinstance(value, bool) else known.get(str(value).lower())
    if found is None:
        raise UsageError(f'{name} was "{value}"', where=option, mend=f"write {name}=yes or {name}=no")
    return found


def _check_sizes(splitting: object, option: str, *least: tuple[str, int]) -> None:
    for name, number in least:
        if (given := vars(splitting)[name]) < number:
            what = "folds" if option == "--cpcv" else "sessions"
            raise UsageError(
                f"{name}={given} is too few {what} to say anything", where=option, mend=f"take {name}={number} or more"
            )
