"""Sweeps from Python: the table, the best member, heat maps, members as runs, and what cannot be."""

from __future__ import annotations

import asyncio
import shlex
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pytest

import simulator
from simulator.errors import UsageError

mpl.use("agg")

pytestmark = pytest.mark.medium


def above(market, n=20, cadence="daily"):  # noqa: ARG001
    """All in SPY above its own average."""
    closes = market.history("SPY", last=n)
    return {"SPY": 1.0 if closes[-1] > closes.mean() else 0.0}


@pytest.fixture(scope="session")
def swept(lab: Path) -> simulator.Sweep:
    """Made where an event loop runs, as in every notebook."""
    seen: list[tuple[int, int]] = []

    async def within() -> simulator.Sweep:
        parameters = {
            "fast": range(2, 11, 2),
            "slow": np.array([8, 12, 20]),
            "costs.slippage_bps": "1,5",
            "cadence": "daily",
        }
        return simulator.sweep(
            "sma_cross", "spy", "2024-01-02", "2024-06-28", parameters, lab,
            progress=lambda done, total: seen.append((done, total)), where="fast < slow",
        )  # fmt: skip

    found = asyncio.run(within())
    assert seen[-1] == (26, 26)
    return found


def test_the_table_has_settings_and_measures_of_every_member(swept: simulator.Sweep) -> None:
    assert [one["kind"] for one in swept.facts["study"]["parameters"]] == ["signal", "signal", "execution"]
    table = swept.table
    assert len(table) == len(swept) == 26
    assert table.index.name == "member"
    assert list(table)[:3] == ["fast", "slow", "costs.slippage_bps"]
    assert (table["fast"] < table["slow"]).all()
    assert {str(table[name].dtype) for name in swept.measures} == {"float64"}
    assert {"ratio", "p", "neighbours", "total_return", "sharpe", "max_drawdown"} <= set(table)
    assert swept.best.number == swept.facts["best"]["member"]
    assert "".join(swept.verdict.headline.split()) in "".join(repr(swept).split())
    assert swept.report().name == "sweep.html"
    assert swept.summary()["folder"] == str(swept.folder)


def test_a_member_run_alone_has_the_figures_it_has_in_the_sweep(swept: simulator.Sweep, lab: Path) -> None:
    member = swept.member(17)
    alone = member.run()
    for name in ("total_return", "sharpe", "max_drawdown", "turnover"):
        assert alone.metrics[name] == pytest.approx(member.measures[name], rel=1e-12)
    assert shlex.split(alone.facts["command"]) == shlex.split(member.command)
    again = simulator.load(swept.id, workspace=lab)
    assert isinstance(again, simulator.Sweep)
    assert again.table.equals(swept.table)
    assert again.member(17).command == member.command
    assert again.member(17).run().id == alone.id


def test_a_function_is_swept_and_its_members_are_run_while_it_is_there(lab: Path) -> None:
    made = simulator.sweep(above, "SPY", "2024-01-02", "2024-06-28", {"n": [5, 10]}, lab)
    alone = made.member(1).run()
    assert alone.metrics["sharpe"] == pytest.approx(made.member(1).measures["sharpe"], rel=1e-12)
    loaded = simulator.load(made.folder, workspace=lab)
    with pytest.raises(UsageError, match="passed from Python"):
        loaded.member(1).run()
    assert loaded.member(1).run(strategy=above).metrics["sharpe"] == alone.metrics["sharpe"]


def test_a_heat_map_shows_medians_and_frames_the_best(swept: simulator.Sweep) -> None:
    ax: Any = swept.heatmap("fast", "slow")
    shown = ax.images[0].get_array()
    assert shown.shape == (3, 5)
    these = swept.table[(swept.table["fast"] == 4) & (swept.table["slow"] == 12)]
    assert shown[1, 1] == pytest.approx(these["ratio"].median())
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("fast", "slow")
    best = swept.best.settings
    frame = ax.patches[-1].get_xy()
    assert frame == ([2, 4, 6, 8, 10].index(best["fast"]) - 0.5, [8, 12, 20].index(best["slow"]) - 0.5)
    highest = swept.heatmap("slow", "costs.slippage_bps", "sharpe", "best").images[0].get_array()
    these = swept.table[(swept.table["slow"] == 8) & (swept.table["costs.slippage_bps"] == 1)]
    assert highest[0, 0] == these.loc[these["ratio"].idxmax(), "sharpe"]


def test_the_card_shows_the_best_and_is_plain_html(swept: simulator.Sweep) -> None:
    card = swept._repr_html_()
    assert "26 members" in card
    assert swept.verdict.headline in card
    assert "<script" not in card


def sweep_badly(swept: simulator.Sweep, **given: Any) -> simulator.Sweep:
    return simulator.sweep("sma_cross", "SPY", workspace=swept.workspace.root, **given)


@pytest.mark.parametrize(
    ("ask", "words"),
    [
        (lambda s: s.member(26), "no member 26; members are 0 to 25"),
        (lambda s: s.member("best"), "no member 'best'"),
        (lambda s: s.heatmap("fst", "slow"), 'no "fst", did you mean "fast"'),
        (lambda s: s.heatmap("fast", "fast"), "x and y are both fast"),
        (lambda s: s.heatmap("fast", "slow", "sharp"), 'did you mean "sharpe"'),
        (lambda s: simulator.sweep("sma_cross", "SPY", serch="grid", workspace=s.workspace.root), '"serch"'),
        (
            lambda s: simulator.sweep("sma_cross", "SPY", parameters={"fats": [1, 2]}, workspace=s.workspace.root),
            '"fats"',
        ),
        (lambda s: simulator.load("sweep-none", workspace=s.workspace.root), "no run"),
    ],
)
def test_what_cannot_be_is_said_in_one_line(swept: simulator.Sweep, ask: Any, words: str) -> None:
    with pytest.raises(UsageError, match=words.replace("(", r"\(")) as told:
        ask(swept)
    assert "\n" not in str(told.value)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"parameters": [1, 2]}, r"parameters was \[1, 2\]"),
        ({"parameters": {"fast": (n for n in (2, 4))}}, "a value of fast was <generator"),
        ({"where": lambda fast: fast < 3}, "where was <function"),
        ({"where": [len]}, "where was"),
        ({"members": "4", "search": "random"}, "members was '4'"),
        ({"members": True, "search": "random"}, "members was True"),
        ({"seed": "7"}, "seed was '7'"),
        ({"seed": -1}, "seed was -1"),
        ({"threads": -1}, "threads was -1"),
        ({"threads": "2"}, "threads was '2'"),
        ({"executor": 5}, "executor was 5"),
        ({"cpcv": [10, 2]}, r"cpcv was \[10, 2\]"),
        ({"search": 5}, "search was 5"),
        ({"strategy": 5}, "strategy was 5"),
        ({"bars": 5}, "bars"),
        ({"thread": 2}, 'did you mean "threads"'),
    ],
)
def test_an_argument_of_another_kind_is_one_line(given: dict[str, Any], words: str, lab: Path) -> None:
    before = set(lab.rglob("*"))
    with pytest.raises(UsageError, match=words) as told:
        simulator.sweep(
            **{"strategy": "sma_cross", "symbols": "SPY", "workspace": lab, "parameters": {"fast": [2, 4]}, **given}
        )
    assert "\n" not in str(told.value)
    assert set(lab.rglob("*")) == before


def test_settings_that_are_none_stay_so(lab: Path) -> None:
    parameters = {"fast": [3, 5], "exits.stop": [0.02, None]}
    made = simulator.sweep("sma_cross", "SPY", "2024-01-02", "2024-06-28", parameters, lab)
    assert made.table["exits.stop"].tolist() == [0.02, None, 0.02, None]
    alone = made.member(1).run()
    assert "exits.stop=null" in made.member(1).command
    assert alone.metrics["sharpe"] == pytest.approx(made.member(1).measures["sharpe"], rel=1e-12)
    assert made.heatmap("fast", "exits.stop").images[0].get_array().shape == (2, 2)


def test_a_search_of_ones_own_is_played_by_the_kernel(swept: simulator.Sweep, lab: Path) -> None:
    play = simulator.objective("sma_cross", "SPY", "2024-01-02", "2024-06-28", lab)
    member = swept.member(17)
    found = play(**member.settings, cadence="daily")
    for name in ("total_return", "sharpe", "ratio", "turnover"):
        assert found[name] == pytest.approx(member.measures[name], rel=1e-12)
    assert play.tried == [{**member.settings, "cadence": "daily"}]
    with pytest.raises(UsageError, match="fats"):
        play(fats=3)


@pytest.mark.medium
def test_the_recipe_for_optuna_is_played_as_it_stands(lab: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("optuna").logging.set_verbosity(50)
    page = Path(__file__).parents[2] / "docs" / "python.md"
    recipe = page.read_text().partition("## With optuna")[2].partition("```python\n")[2].partition("```")[0]
    assert "n_trials=200" in recipe
    monkeypatch.chdir(lab)
    names: dict[str, Any] = {}
    exec(recipe.replace("n_trials=200", "n_trials=12"), names)
    play, study = names["play"], names["study"]
    assert [dict(one) for one in play.tried] == [trial.params for trial in study.trials]
    assert len(study.trials) == 12
    assert study.best_value == max(trial.value for trial in study.trials) == play(**study.best_params)["ratio"]
    assert simulator.stats.skill.p_of_trials(0.01, 12) == pytest.approx(1 - 0.99**12)
