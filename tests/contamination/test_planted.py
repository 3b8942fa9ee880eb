"""A model that memorised the future is found out, by the cut-off split and by hiding what it recognises; an honest one,
shown the same facts, is not."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path
from typing import Any

import pytest

import simulator
from simulator.analysis.ablation import ablate
from simulator.contamination import blind
from simulator.contamination.results import Figure, Result
from simulator.errors import BudgetError
from simulator.runs.execute import PartialRunError
from simulator.workspace import find_workspace

from .conftest import END, START, SYMBOLS, Plant, Planted

pytestmark = pytest.mark.medium

BEFORE = date(2022, 12, 30)
"""Last session of a run that ends before the cut-off."""


@pytest.fixture(scope="module")
def memoriser(plant: Plant) -> Planted:
    return plant("memoriser")


@pytest.fixture(scope="module")
def honest(plant: Plant) -> Planted:
    return plant("honest")


def result(planted: Planted, name: str) -> Result:
    found = planted.check(name)[name].result
    assert found is not None
    return found


def ablation_of(planted: Planted) -> Any:
    return ablate(planted.run.folder, find_workspace(planted.workspace))


def figures(found: Result) -> dict[str, Figure]:
    return {one.name: one for one in found.figures}


def test_the_cut_off_split_flags_the_memoriser_and_not_the_honest_model(memoriser: Planted, honest: Planted) -> None:
    found = result(memoriser, "cutoff")
    assert found.outcome == "flagged"
    assert "FLAGGED, what was earned before may be memory" in found.verdict
    shown = figures(found)
    assert shown["before: Sharpe"].value > 3
    assert shown["before: beyond its exposure"].p < 0.01
    assert shown["before: beyond its exposure"].note == "may be remembered: no verdict"
    assert shown["after: beyond its exposure"].note == "cannot be told from luck"
    assert shown["after: Sharpe"].low < 0 < shown["after: Sharpe"].high
    assert shown["alpha after, less before"].high < 0
    assert result(honest, "cutoff").outcome == "passed"


def test_hiding_names_and_dates_takes_the_memorisers_gain_away_and_leaves_the_honest_models(plant: Plant) -> None:
    found = result(plant("memoriser", end=BEFORE), "blind")
    assert found.outcome == "flagged"
    assert "Under another real name" in found.verdict
    assert found.notes[0] == "judged on the 127 sessions up to the cut-off 2022-12-31"
    shown = figures(found)
    assert shown["both hidden, less as run"].high < -0.3
    for hidden in ("names hidden", "dates hidden", "both hidden", "another real name"):
        assert shown[f"{hidden}: Sharpe"].value < shown["as run: Sharpe"].value - 2
    same = result(plant("honest", end=BEFORE), "blind")
    assert same.outcome == "passed"
    assert same.verdict.startswith(f"{blind.SAME} With facts coarse as well it cannot be told apart")


def test_costs_and_moments_of_execution_are_of_the_sessions_a_model_cannot_remember(memoriser: Planted) -> None:
    done, run = memoriser.check("costs", "execution", models=False), memoriser.run
    after = run.facts["contamination"]["parts"]["after"]
    for name in ("costs", "execution"):
        found = done[name].result
        assert found is not None
        assert found.notes == (f"on the {after['sessions']} of 377 sessions after the models' cut-off",)
        label = "Sharpe at 1 × the costs" if name == "costs" else "next open: Sharpe"
        assert figures(found)[label].value == pytest.approx(after["sharpe"], abs=1e-12)
        if name == "costs":
            assert figures(found)["return at 1 × the costs"].value == pytest.approx(after["total_return"], abs=1e-12)
            fees = run.fills.loc[run.fills["at"] >= after["from"], ["slippage", "commission"]]
            assert figures(found)["dollars paid at 1 × the costs"].value == pytest.approx(fees.to_numpy().sum())


def test_where_no_session_can_be_judged_costs_say_that_they_show_no_skill(plant: Plant) -> None:
    found = result(plant("honest", end=BEFORE), "costs")
    assert found.notes == ("on all 127 sessions, which the models may remember: it shows no skill",)


def test_an_ablation_rests_on_the_sessions_a_model_cannot_remember(memoriser: Planted) -> None:
    facts, after = ablation_of(memoriser), memoriser.run.facts["contamination"]["parts"]["after"]
    assert facts["judged"] == after["sessions"]
    assert facts["notes"][0].startswith(f"figures, intervals and verdicts are of {after['sessions']} of 377 sessions")
    own = facts["variants"][0]
    assert own["metrics"] == {key: pytest.approx(after[key]) for key in own["metrics"] if key in after} | {
        key: value for key, value in own["metrics"].items() if key not in after
    }
    assert own["skill"] == after["skill"]
    assert own["metrics"]["sharpe"] < memoriser.run.metrics["sharpe"] - 1
    assert own["judgement"] == "cannot be told from luck"


def test_an_ablation_concludes_nothing_of_sessions_a_model_may_remember(plant: Plant) -> None:
    facts = ablation_of(plant("memoriser", end=BEFORE))
    assert facts["judged"] is None
    assert "the models may remember these sessions" in facts["notes"][0]
    assert {one["judgement"] for one in facts["variants"]} == {"not assessable"}
    assert {one["verdict"] for one in facts["variants"] if one["pair"]} <= {"not assessable", "the same trades"}


def test_who_looks_up_returns_by_their_digits_is_found_on_coarse_facts_though_it_denies_to_recognise(
    plant: Plant, sim: Any
) -> None:
    reader = plant("reader", end=BEFORE)
    words = ("check", "last", "--only", "blind,reidentify", "--models", "--max-cost", 50, "--json")
    done = sim(*words, "--workspace", reader.workspace)
    assert done.returncode == 0, done.stderr
    found, denied = (json.loads(done.stdout)["checks"][name] for name in ("blind", "reidentify"))
    assert (found["bill"]["calls"], denied["bill"]["calls"]) == (8 * 2 * 27, 24)
    assert found["outcome"] == "flagged"
    assert found["verdict"].startswith("With names, dates and price levels hidden it cannot be told apart from the run")
    assert "FLAGGED: with facts coarse as well it earns" in found["verdict"]
    shown = {one["name"]: one for one in found["figures"]}
    assert shown["both hidden: Sharpe"]["value"] > 3
    assert shown["coarse facts, less both hidden"]["high"] < -0.3
    draws = [shown[f"{name}: Sharpe"]["value"] for name in blind.COARSE_DRAWS]
    assert max(draws) < 2
    assert len(set(draws)) == 3
    assert denied["outcome"] == "passed"
    assert denied["verdict"] == "Masking holds: assets 50 % (chance 50 %), quarters 0 % (chance 50 %)."


def test_who_guesses_by_the_date_it_is_shown_decides_anew_at_every_date_and_passes(plant: Plant) -> None:
    guesser = plant("guesser", end=BEFORE)
    found = result(guesser, "blind")
    assert found.outcome == "passed", found.verdict
    shown = figures(found)
    assert len({shown[f"{arm}: Sharpe"].value for arm in (blind.AS_RUN, *blind.COARSE_DRAWS)}) == 4


def test_a_memoriser_does_not_care_for_the_facts_and_an_honest_model_turns_with_them(
    memoriser: Planted, honest: Planted
) -> None:
    found = result(memoriser, "inputs")
    assert found.outcome == "flagged"
    assert "decisions barely use their inputs" in found.verdict
    assert figures(found)["unchanged when signs are flipped"].value == 1.0
    turned = result(honest, "inputs")
    assert turned.outcome == "passed"
    assert figures(turned)["unchanged when signs are flipped"].value < 0.1


def test_forecasts_that_are_better_where_more_is_recalled_are_flagged(memoriser: Planted, honest: Planted) -> None:
    found = result(memoriser, "recall")
    assert found.outcome == "flagged"
    assert figures(found)["β₃ of forecast × LAP"].low > 0
    assert figures(found)["LAP: closes recalled, mean"].value == pytest.approx(26 / 78, abs=0.03)
    assert result(honest, "recall").verdict == "Its models recall none of the closes they were asked for."


def test_a_model_that_sees_through_the_mask_makes_masking_fail(plant: Plant, honest: Planted) -> None:
    seer = plant("reader", end=BEFORE, sees_through=True)
    found = result(seer, "reidentify")
    assert found.outcome == "flagged"
    assert found.verdict.startswith("FLAGGED: masking failed, assets are recognised: assets 92 % (chance 50 %)")
    assert result(honest, "reidentify").outcome == "passed"


def test_no_decision_of_either_needs_a_later_bar_and_nothing_is_asked_to_see_that(memoriser: Planted) -> None:
    done = memoriser.check("future", models=False)["future"]
    assert (done.bill.misses, done.bill.calls) == (0, 158)
    assert done.result is not None
    assert done.result.outcome == "passed"
    assert figures(done.result)["decisions tried"].value == 79


def test_more_than_may_be_spent_stops_before_anything_is_asked(honest: Planted) -> None:
    with pytest.raises(BudgetError, match="would cost about") as caught:
        honest.check("replicates", max_cost=0.001)
    assert "--max-cost 0.001" in str(caught.value)


def test_without_models_a_bill_is_told_and_nothing_asked(plant: Plant) -> None:
    fresh = plant("honest", end=date(2022, 9, 30))
    done = fresh.check("replicates", "costs", models=False)
    assert done["replicates"].result is None
    assert done["replicates"].bill.misses == 2 * 2 * 14
    assert 0 < done["replicates"].bill.usd.likely < 1
    assert done["replicates"].to_json()["outcome"] == "not asked"
    assert done["costs"].result is not None
    journal = (fresh.workspace / "logs" / "llm").glob("*.jsonl")
    lines = [json.loads(line) for file in journal for line in file.read_text().splitlines()]
    assert sum(not line["hit"] for line in lines) == 2 * 14
    asked = fresh.check("replicates")["replicates"].result
    assert asked is not None
    assert asked.verdict.startswith("Over 3 draws the Sharpe ratio is")
    again = fresh.check("replicates", models=False)["replicates"]
    assert again.bill.misses == 0
    assert again.result == asked


def test_without_a_known_cut_off_the_split_is_not_assessable(plant: Plant) -> None:
    unknown = plant("honest", end=date(2022, 9, 30), cutoff=None)
    found = result(unknown, "cutoff")
    assert found.outcome == "not assessable"
    assert found.verdict == "Not assessable: the cut-off of planted-1 is not known."
    assert "config/models.yaml" in found.notes[0]
    assert isinstance(unknown.run.folder, Path)


def test_what_there_is_of_a_run_that_stopped_early_can_be_checked(plant: Plant) -> None:
    whole = plant("honest", end=date(2022, 9, 30))
    with pytest.raises(PartialRunError) as stopped:
        simulator.run(
            strategy="duo", symbols=list(SYMBOLS), start=START, end=END, max_cost=0.2, workspace=whole.workspace
        )
    part = Planted(whole.workspace, stopped.value.run)
    done = part.check("cutoff", "future", "costs", models=False)
    decided = part.run.facts["stopped"]["decided"]
    assert 14 < decided < 79
    assert done["future"].result is not None
    assert done["future"].result.outcome == "passed"
    assert done["future"].result.figures[0].value == decided
    assert done["costs"].result is not None
    assert done["costs"].result.outcome in ("passed", "flagged")
