"""A TPE search: batches that rest on the results before them, the same again after a kill, refused in shards."""

from __future__ import annotations

import importlib.util
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from simulator.errors import UsageError
from simulator.studies.conditions import Condition
from simulator.studies.space import Parameter, Space, Spread
from simulator.studies.study_file import make_study
from simulator.studies.sweep import Shard, run_shard, run_sweep
from simulator.studies.tpe import BATCH, ask
from simulator.workspace import Workspace, make_workspace

needs_optuna = pytest.mark.skipif(importlib.util.find_spec("optuna") is None, reason="optuna is an extra: tpe")

PARAMETERS = (
    Parameter("x", (), Spread(-3, 3)),
    Parameter("n", tuple(range(10))),
    Parameter("kind", ("a", "b")),
    Parameter("cost", (), Spread(0.5, 50, log=True)),
)


def score(settings: tuple[Any, ...]) -> float:
    x, n, kind, _ = settings
    return -((x - 1) ** 2) - abs(n - 7) - (kind == "a")


def searched(space: Space) -> Space:
    while space.known < len(space):
        space = ask(space, [score(one) for one in space.asked])
    return space


@needs_optuna
def test_later_batches_are_better_than_the_first_and_meet_the_conditions() -> None:
    space = searched(Space(PARAMETERS, (Condition("n > x"),), "tpe", 100, seed=5))
    found = [score(one) for one in space.asked]
    assert np.mean(found[-BATCH:]) > np.mean(found[:BATCH]) + 1
    assert len(set(space.asked)) == 100
    assert all(n > x and 0.5 <= cost <= 50 for x, n, _, cost in space.asked)


@needs_optuna
def test_a_batch_follows_from_seed_and_results_alone() -> None:
    space = Space(PARAMETERS, (), "tpe", 3 * BATCH, seed=5)
    one, other = searched(space), searched(space)
    assert one.asked == other.asked != searched(replace(space, seed=6)).asked
    gone_on = ask(replace(space, asked=one.asked[:BATCH]), [score(member) for member in one.asked[:BATCH]])
    assert gone_on.asked == one.asked[: 2 * BATCH]


@needs_optuna
def test_a_small_grid_is_found_whole_and_failed_members_count_as_no_result() -> None:
    space = Space((Parameter("n", tuple(range(5))), Parameter("m", tuple(range(6)))), (), "tpe", 30)
    while space.known < 30:
        space = ask(space, [np.nan] * space.known)
    assert len(set(space.asked)) == 30


@needs_optuna
@pytest.mark.slow
def test_a_sweep_goes_on_where_it_was_and_gives_the_same_digest(tmp_path: Path) -> None:
    make_workspace(tmp_path / "w", git=False)
    place = Workspace(tmp_path / "w", tmp_path / "w")
    given: dict[str, Any] = {"strategy": "sma_cross", "symbols": ("SPY",), "first": "2024-01-02", "last": "2024-12-31"}
    given |= {"where": ("fast < slow",), "search": "tpe", "members": 2 * BATCH + 5, "seed": 1}
    study = make_study(place, None, [("fast", "int(2, 40)"), ("slow", "int(10, 120)")], **given)
    made = run_sweep(study, place)
    digest = made.record["identity"]["digest"]
    assert made.record["counts"]["members"] == 2 * BATCH + 5
    files = sorted((made.folder.path / "chunks").iterdir())
    for path in files[len(files) // 2 :]:
        path.unlink()
    assert run_sweep(study, place).record["identity"]["digest"] == digest
    with pytest.raises(UsageError, match="leave --shard out"):
        run_shard(study, place, Shard(1, 2))


@pytest.mark.skipif(importlib.util.find_spec("optuna") is not None, reason="optuna is here")
def test_without_optuna_one_line_says_how_to_get_it() -> None:
    with pytest.raises(UsageError, match=r"needs optuna") as error:
        ask(Space(PARAMETERS, (), "tpe", 20), ())
    assert "pip install 'council-simulator[tpe]'" in str(error.value)
