"""Walk-forward and combinatorial splits of a sweep: chosen in sample, judged out of sample, played as one account."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import date
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import simulator
from simulator.api import simulate
from simulator.errors import UsageError
from simulator.evidence.reader import read_decisions, read_run
from simulator.evidence.sweep_records import WalkForwardRecord
from simulator.runs.spec import RunSpec
from simulator.stats.metrics import sharpe
from simulator.stats.splits import backtest_paths, walk_forward
from simulator.studies.inputs import SweepInputs
from simulator.studies.space import Parameter, Space
from simulator.studies.splitting import Combinatorial, WalkForward
from simulator.studies.study import Study
from simulator.studies.sweep import run_sweep
from simulator.studies.walk_forward import check_splits, choose, cross_validate, path_spec, walk
from simulator.workspace import Workspace, find_workspace, make_workspace

from ..conftest import Sim

RNG = np.random.default_rng(5)
BEYOND = RNG.normal(0.0, 0.01, (37, 300))
BEYOND[20] = BEYOND[11]  # equal in all
BEYOND[3] = np.nan  # a member that failed
BEYOND[4] = 0.0  # one that never traded
SPLITS = walk_forward(300, 60, 30, purge=5)


def by_blocks(*sizes: int) -> Callable[[], Iterator[np.ndarray]]:
    def series() -> Iterator[np.ndarray]:
        yield from np.split(BEYOND, np.cumsum(sizes))

    return series


def ratio(series: Any) -> float:
    found = sharpe(series)
    return found if isinstance(found, float) else -np.inf


def test_the_choice_is_the_largest_ratio_on_the_training_part_however_members_are_cut_into_chunks() -> None:
    live = [n for n in range(len(BEYOND)) if n not in (3, 4)]
    found = choose(by_blocks(), SPLITS)
    for f, split in enumerate(SPLITS):
        scores = {n: ratio(BEYOND[n, split.train]) for n in live}
        assert found.members[f] == max(scores, key=lambda n: (scores[n], -n))
        assert found.inside[f] * 252**0.5 == pytest.approx(max(scores.values()), rel=1e-12)
        assert found.outside[f] * 252**0.5 == pytest.approx(ratio(BEYOND[found.members[f], split.test[0]]), rel=1e-12)
    for blocks in (by_blocks(1), by_blocks(11, 9), by_blocks(20, 1, 1)):
        other = choose(blocks, SPLITS)
        for name in ("members", "inside", "outside", "rank"):
            np.testing.assert_array_equal(getattr(other, name), getattr(found, name))


def test_of_equal_members_the_first_is_chosen_in_one_chunk_and_in_two() -> None:
    alike = np.array([BEYOND[0], BEYOND[11] + 0.01, BEYOND[11] + 0.01])
    assert set(choose(lambda: [alike], SPLITS).members.tolist()) == {1}
    assert set(choose(lambda: [alike[:2], alike[2:]], SPLITS).members.tolist()) == {1}


def test_whatever_stands_outside_a_training_part_changes_no_bit_of_its_choice() -> None:
    found = choose(by_blocks(), SPLITS)
    for f, split in enumerate(SPLITS):
        noise = RNG.normal(5.0, 3.0, BEYOND.shape)
        noise[:, split.train] = BEYOND[:, split.train]
        other = choose(lambda noise=noise: [noise], SPLITS)  # type: ignore[misc]
        assert (other.members[f], other.inside[f]) == (found.members[f], found.inside[f])


def test_where_nobody_decided_anything_the_first_is_taken_and_one_that_failed_never_is() -> None:
    idle = np.where(np.arange(300) < 30, BEYOND[[3, 0, 1]], 0.0)
    idle[0] = np.nan
    found = choose(lambda: [idle], SPLITS[1:])
    assert set(found.members.tolist()) == {1}
    assert np.isnan(found.inside).all()
    with pytest.raises(UsageError, match="no member could be played to its end"):
        choose(lambda: [idle[:1]], SPLITS)


def test_paths_of_combinatorial_splits_are_put_together_of_the_chosen_on_their_tests() -> None:
    given, dates = Combinatorial(6, 2, 2, 3), np.arange("2020-01-01", 300, dtype="datetime64[D]")
    found, splits = cross_validate(given, dates, by_blocks(9, 9)), given.splits(300)
    assert found["splits"] == 15
    paths = backtest_paths(6, 2)
    assert len(found["ratios"]) == len(paths) == 5
    for path, figure in zip(paths.tolist(), found["ratios"], strict=True):
        series = np.full(300, np.nan)
        for fold, split in enumerate(path):
            rows = np.arange(50 * fold, 50 * fold + 50)
            assert any(np.array_equal(rows, test) for test in splits[split].test)
            series[rows] = BEYOND[found["chosen"][split], rows]
        assert figure == pytest.approx(ratio(series), rel=1e-12)
    assert found["loss"] == np.mean([one <= 0 for one in found["ratios"] if one is not None])


def study(**more: Any) -> Study:
    base = RunSpec("sma_cross", ("AAA", "BBB"), date(2020, 6, 1), date(2022, 6, 30), **more)
    return Study(base, Space((Parameter("fast", (3, 8, 20)), Parameter("slow", (30, 60)))))


def test_the_path_is_a_run_whose_parameters_change_where_the_choice_does() -> None:
    days = [date(2021, 1, 4), date(2021, 2, 1), date(2021, 3, 1), date(2021, 4, 5)]
    spec = path_spec(study(parameters={"cadence": "daily"}), [0, 0, 1, 3], days, date(2021, 5, 3))
    changes = {"slow@2021-03-01": 60, "fast@2021-04-05": 8}
    assert spec.parameters == {"cadence": "daily", "fast": 3, "slow": 30, **changes}
    assert (spec.first, spec.last) == (days[0], date(2021, 5, 3))


def test_what_holds_for_a_whole_account_cannot_be_chosen_along_the_way() -> None:
    space = Space((Parameter("fast", (3, 8)), Parameter("costs.slippage_bps", (1, 5))))
    given = WalkForward(120, 60)
    with pytest.raises(UsageError, match=r"--walk-forward: costs\.slippage_bps is swept"):
        check_splits(replace(study(), space=space, walk_forward=given))
    check_splits(replace(study(), space=space, walk_forward=replace(given, path=False)))
    check_splits(replace(study(), walk_forward=given, combinatorial=Combinatorial(6, 2)))


def test_a_search_that_looks_at_the_tests_is_refused() -> None:
    space = Space((Parameter("fast", (3, 8)),), search="tpe", members=2)
    for given in ({"walk_forward": WalkForward(120, 60)}, {"combinatorial": Combinatorial(6, 2)}):
        with pytest.raises(UsageError, match="a tpe search looks at all sessions"):
            check_splits(replace(study(), space=space, **given))  # type: ignore[arg-type]


@dataclass(frozen=True)
class Walked:
    workspace: Workspace
    study: Study
    dates: np.ndarray
    found: WalkForwardRecord


def write_bars(folder: Path, seed: int, keep_until: date | None = None, like: Path | None = None) -> None:
    """Bars of AAA and BBB: a random walk; those up to `keep_until` as in `like`."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(seed)
    days = pd.bdate_range("2020-01-02", "2022-06-30")
    for symbol in ("AAA", "BBB"):
        close = 100.0 * np.exp(np.cumsum(rng.normal(0.0002, 0.012, len(days))))
        opens = close * np.exp(rng.normal(0.0, 0.004, len(days)))
        high, low = np.maximum(opens, close) * 1.003, np.minimum(opens, close) * 0.997
        table = pd.DataFrame({"date": days, "open": opens, "high": high, "low": low, "close": close, "volume": 1e6})
        table = table[table["date"].dt.date.isin(EXCHANGE)]
        if like is not None:
            before = pd.read_csv(like / f"{symbol}.csv", parse_dates=["date"])
            known = table["date"].dt.date <= keep_until
            table[known.to_numpy()] = before[known.to_numpy()].to_numpy()
        table.to_csv(folder / f"{symbol}.csv", index=False)


def exchange_days() -> set[date]:
    from simulator.market.calendar import sessions

    return set(sessions(date(2020, 1, 1), date(2022, 7, 1)).dates.astype(object).tolist())


EXCHANGE = exchange_days()


def walk_over(place: Workspace, bars: Path, given: WalkForward) -> Walked:
    swept = study(bars=str(bars))
    inputs = SweepInputs(swept, place)
    dates = np.unique(inputs.staged(inputs.member(0)).inputs.traded.dates)
    folder = run_sweep(swept, place).folder
    found = walk(swept, given, dates, folder.blocks, lambda spec: simulate(spec, place))
    return Walked(place, swept, dates, found)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    folder = tmp_path_factory.mktemp("walked") / "w"
    make_workspace(folder, git=False)
    write_bars(folder / "own", 1)
    return find_workspace(folder)


@pytest.fixture(scope="module")
def walked(place: Workspace) -> Walked:
    return walk_over(place, place.reports.parent / "own", WalkForward(120, 60, 5))


@pytest.mark.medium
def test_the_path_is_one_account_that_both_engines_agree_on_and_its_command_makes_again(
    walked: Walked, sim: Sim
) -> None:
    path = walked.found["path"]
    assert path is not None
    folder = walked.workspace.reports / path["folder"]
    run = read_run(folder)
    assert (run["from"], run["to"]) == (
        walked.found["folds"][0]["test"]["from"],
        walked.found["folds"][-1]["test"]["to"],
    )
    assert path["max_relative_difference"] == 0.0
    made = sim(*shlex.split(run["command"])[1:], "--json", cwd=walked.workspace.reports.parent)
    assert made.returncode == 0, made.stderr
    assert f'"digest":"{path["digest"]}"' in made.stdout.replace('": "', '":"')
    for words in (
        ["verify", folder],
        ["report", folder],
        ["explain", folder, walked.found["folds"][1]["test"]["from"]],
    ):
        assert sim(*words, cwd=walked.workspace.reports.parent).returncode == 0


@pytest.mark.medium
def test_folds_follow_without_gap_and_add_up_to_the_account(walked: Walked) -> None:
    folds, found = walked.found["folds"], walked.found
    days = [str(day) for day in walked.dates]
    for fold in folds:
        first, last = (days.index(fold["train"][end]) for end in ("from", "to"))
        assert (last - first + 1, days.index(fold["test"]["from"]) - last - 1) == (120, 5)
        assert fold["settings"] == walked.study.space.settings(fold["member"])
    for one, other in pairwise(folds):
        assert days.index(other["test"]["from"]) == days.index(one["test"]["to"]) + 1
    path, concentration = found["path"], found["concentration"]
    assert path is not None
    assert concentration is not None
    growth = np.prod([1.0 + (fold["total_return"] or 0.0) for fold in folds])
    assert growth - 1.0 == pytest.approx(path["metrics"]["total_return"], rel=1e-12)
    assert sum(fold["profit"] or 0.0 for fold in folds) == pytest.approx(concentration["profit"], rel=1e-12)
    assert found["notes"] == [f"no whole test is left for {len(days) - 125 - 60 * len(folds)} sessions at the end"]


@pytest.mark.medium
def test_at_a_seam_the_account_turns_to_the_new_settings_whose_indicators_are_warm(walked: Walked) -> None:
    path = walked.found["path"]
    assert path is not None
    folder = walked.workspace.reports / path["folder"]
    rows = {row["session"]: row for row in read_decisions(folder / "decisions.jsonl", read_run(folder))}
    changed = [
        f
        for f, fold in enumerate(walked.found["folds"])
        if f and fold["settings"] != walked.found["folds"][f - 1]["settings"]
    ]
    assert changed
    paid: list[str] = []
    for f in changed:
        fold = walked.found["folds"][f]
        row = rows[fold["test"]["from"]]
        assert row["record"]["parameters"] == {"cadence": "weekly", **fold["settings"]}
        alone = simulator.run(
            "sma_cross",
            ["AAA", "BBB"],
            fold["test"]["from"],
            fold["test"]["to"],
            parameters=fold["settings"],
            workspace=walked.workspace.reports.parent,
            bars=walked.study.base.bars,
        )
        first = read_decisions(alone.folder / "decisions.jsonl", read_run(alone.folder))[0]
        assert row["targets"] == first["targets"]
        before = [other for session, other in rows.items() if session < fold["test"]["from"]][-1]
        if before["allowed"] != row["allowed"]:
            fills = pd.read_csv(folder / "fills.csv")
            fills = fills[fills["session"] == row["session"]]
            assert fills["slippage"].sum() > 0  # a change of settings costs what its trades cost
            paid.append(row["session"])
    assert paid


@pytest.mark.medium
def test_noise_in_place_of_the_bars_of_a_test_leaves_the_choice_before_it_as_it_was(
    walked: Walked, place: Workspace
) -> None:
    root = place.reports.parent
    for f in (0, len(walked.found["folds"]) // 2, len(walked.found["folds"]) - 1):
        until = date.fromisoformat(walked.found["folds"][f]["train"]["to"])
        write_bars(root / f"noise{f}", 77 + f, until, root / "own")
        other = walk_over(place, root / f"noise{f}", WalkForward(120, 60, 5, path=False)).found["folds"]
        for one, known in zip(other[: f + 1], walked.found["folds"][: f + 1], strict=True):
            assert (one["member"], one["in_sample"]) == (known["member"], known["in_sample"])
        assert [one["in_sample"] for one in other[f + 1 :]] != [
            one["in_sample"] for one in walked.found["folds"][f + 1 :]
        ] or f + 1 == len(other)


def test_the_splits_of_a_study_are_told_before_it_is_played(workspace: Path, sim: Sim) -> None:
    words = ("sweep", "--strategy", "sma_cross", "--symbols", "SPY", "--set", "fast=5,10", "--from", "2022-01-03")
    given = ("--to", "2024-06-28", "--walk-forward", "train=252,test=63,purge=5", "--cpcv", "folds=6,test=2")
    made = sim(*words, *given, "--plan", "--json", cwd=workspace)
    assert json.loads(made.stdout)["splits"] == [
        "Walk-forward: 5 folds, judged from 2023-01-11 to 2024-04-12, played as one account.",
        "Cross-validation: 15 splits, 5 paths through all sessions.",
    ]
    assert not [*(workspace / "reports").glob("sweep-*")]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (
            ("--strategy", "sma_cross", "--set", "fast=5,10", "--walk-forward", "train=252,test=63,embargo=5"),
            "embargo is",
        ),
        (("--strategy", "sma_cross", "--set", "fast=5,10", "--walk-forward", "train=2520,test=63"), "hold no window"),
        (
            ("--strategy", "sma_cross", "--set", "costs.slippage_bps=1,2", "--walk-forward", "train=252,test=63"),
            "is swept",
        ),
        (("--set", "max_trades=1,2", "--walk-forward", "train=252,test=63"), "a setting of a council is swept"),
    ],
)
def test_splits_that_cannot_be_are_one_line_before_any_work(
    words: tuple[str, ...], said: str, workspace: Path, sim: Sim
) -> None:
    made = sim("sweep", "--symbols", "SPY", "--from", "2022-01-03", "--to", "2024-06-28", *words, cwd=workspace)
    assert made.returncode == 2
    assert said in made.stderr
    assert made.stderr.count("\n") == 1
    assert not [*(workspace / "reports").glob("*sweep*")]


@pytest.mark.medium
def test_each_path_is_one_trial_beside_others_and_none_of_the_sweep_it_was_chosen_in(workspace: Path, sim: Sim) -> None:
    words = ("sweep", "--strategy", "sma_cross", "--symbols", "SPY", "--set", "fast=5,10,20", "--from", "2022-01-03")
    made = []
    for splits in ("train=120,test=60", "train=120,test=60,anchored", "train=60,test=60"):
        done = sim(*words, "--to", "2024-06-28", "--walk-forward", splits, "--json", cwd=workspace)
        made.append(json.loads(done.stdout))
    paths = [one["walk_forward"]["path"] for one in made]
    assert len({path["digest"] for path in paths}) == 3
    assert {one["identity"]["run_id"] for one in made} == {made[0]["identity"]["run_id"]}
    assert [one["verdict"]["trials"] for one in made] == [3, 3, 3]
    for number, path in enumerate(paths):
        found = json.loads((workspace / "reports" / path["folder"] / "trials.json").read_text())
        assert [row["run_id"] for row in found["counted"]] == [path["run_id"], *(p["run_id"] for p in paths[:number])]
        swept = made[0]["identity"]["run_id"]
        left_out = {(row["run_id"], row["why"]) for row in found["left_out"]}
        assert left_out - {(swept, f"the beginning of {swept}, whose whole is there")} == {
            (swept, "the sweep its settings were chosen in, each before the sessions it was played on")
        }


@pytest.mark.medium
def test_splits_end_before_the_hold_out_and_leave_it_closed_and_nothing_depends_on_the_time_it_took(
    workspace: Path, sim: Sim
) -> None:
    words = ("sweep", "--strategy", "sma_cross", "--symbols", "SPY", "--set", "fast=5,10,20", "--from", "2022-01-03")
    splits = ("--walk-forward", "train=120,test=60", "--cpcv", "folds=4,test=1", "--json")
    made = [
        json.loads(sim(*words, *given, *splits, cwd=workspace).stdout)
        for given in (("--to", "2024-06-28", "--hold-out", "2023-09-01"), ("--to", "2023-08-31"))
    ]
    walked, held = made[0]["walk_forward"], made[0]["verdict"]["hold_out"]
    assert walked["path"]["to"] == walked["folds"][-1]["test"]["to"] < held["from"] == "2023-09-01"
    assert (held["opened"], held["openings"], held["skill"]) == (0, [], None)
    assert "closed" in held["headline"]
    for part in ("walk_forward", "combinatorial"):
        assert made[0][part] == made[1][part]
    folder = Path(made[0]["folder"])
    runtime = (folder / "runtime.json").read_bytes()
    assert set(json.loads(runtime)["seconds"]) == {"reading", "imports", "play", "inference", "runs"}
    assert json.loads(runtime)["played"] == 3
    study = (folder / "study.json").read_bytes()
    again = sim(*words, "--to", "2023-08-31", *splits[:-1], cwd=workspace)
    told = " ".join(again.stdout.split())
    assert re.search(r"took imports .*, reading .*, play .* s \(.* s of processors\), inference .*", told)
    assert (folder / "study.json").read_bytes() == study
    assert (folder / "runtime.json").read_bytes() == runtime  # nothing was played
    (folder / "runtime.json").unlink()
    assert sim("verify", folder.name, cwd=workspace).returncode == 0
