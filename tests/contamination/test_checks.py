"""Checks of rules and offline councils: nobody is asked, and what looks ahead or looks at nothing is found."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import simulator
from simulator.contamination.checks import NAMES, Done, run_checks, select_checks
from simulator.contamination.future import with_noise
from simulator.contamination.recall import fit_clustered, propensity
from simulator.errors import DataError, UsageError
from simulator.market.sources.synthetic import synthetic_bars
from simulator.report.checks import content, headline, merge
from simulator.store.folders import add_files
from simulator.workspace import find_workspace

pytestmark = pytest.mark.medium

PEEKING = """
from simulator.rules import Rule

class Peeking(Rule):
    '''Reads the close after next where the array it is shown is a window on a longer one.'''
    cadence = "weekly"
    window = 20

    def weights(self, market):
        shown = market.bars.close
        whole = shown if shown.base is None else shown.base
        later = whole[min(len(shown) + 1, len(whole) - 1), 0]
        return {market.symbols[0]: 1.0 if later > shown[-1, 0] else 0.0}
"""

NAMING = """
from simulator.rules import Rule

class Naming(Rule):
    '''Knows one asset by name.'''
    cadence = "weekly"

    def weights(self, market):
        return {"SPY": 1.0}
"""

Checked = Callable[..., dict[str, Done]]


def run_of(workspace: Path, strategy: str, end: str, symbols: list[str]) -> simulator.Run:
    return simulator.run(strategy=strategy, symbols=symbols, start="2024-01-02", end=end, workspace=workspace)


@pytest.fixture
def checked(workspace: Path) -> Checked:
    """``checked("sma_cross", "future", …)``: those checks of a run of that strategy over half a year."""

    def make(strategy: str, *names: str, end: str = "2024-06-28") -> dict[str, Done]:
        run = run_of(workspace, strategy, end, ["SPY", "QQQ"])
        silent = (lambda *_: None), (lambda *_: None)
        done = run_checks(run.folder, find_workspace(workspace), select_checks(names or None), 5.0, False, *silent)
        return {one.check.name: one for one in done}

    return make


def outcome(done: Done) -> str:
    assert done.result is not None
    assert done.bill.calls == 0
    return done.result.outcome


def test_an_offline_council_passes_what_needs_no_model_and_the_rest_says_that_it_needs_one(checked: Checked) -> None:
    done = checked("macro_council", end="2024-02-02")
    assert {name: outcome(one) for name, one in done.items()} == {
        "cutoff": "not applicable",
        "costs": "passed",
        "execution": "shown",
        "future": "passed",
        "inputs": "passed",
        "blind": "passed",
        "reidentify": "not applicable",
        "recall": "not applicable",
        "replicates": "not applicable",
    }
    assert done["cutoff"].result.verdict == "Rule-based analysts answered, no model: nothing to remember."
    assert done["recall"].result.verdict == "Needs a model: rule-based analysts answered in this run."
    assert done["future"].result.figures[0].value > 16, "checkpoints are tried too"
    assert done["blind"].result.figures[0].value == pytest.approx(0.0, abs=1e-4)


def test_a_rule_that_reaches_behind_its_window_is_caught_by_noise_in_the_future(
    checked: Checked, workspace: Path
) -> None:
    (workspace / "strategies" / "peeking.py").write_text(PEEKING)
    caught = checked("peeking", "future")["future"].result
    assert caught.outcome == "flagged"
    assert re.match(r"FLAGGED: \d+ of 26 decisions change with bars after them", caught.verdict)
    assert outcome(checked("sma_cross", "future")["future"]) == "passed"


def test_a_strategy_that_looks_at_nothing_is_caught_by_turning_the_facts_around(checked: Checked) -> None:
    idle = checked("equal_weight", "inputs")["inputs"].result
    assert idle.outcome == "flagged"
    assert "decisions barely use their inputs" in idle.verdict
    assert outcome(checked("sma_cross", "inputs")["inputs"]) == "passed"


def test_a_rule_that_names_its_asset_cannot_be_blinded(checked: Checked, workspace: Path) -> None:
    (workspace / "strategies" / "naming.py").write_text(NAMING)
    found = checked("naming", "blind")["blind"].result
    assert found.outcome == "not assessable"
    assert 'no symbol "SPY"' in found.verdict


def test_a_gain_that_does_not_cover_costs_twice_is_flagged(checked: Checked, workspace: Path) -> None:
    costs = workspace / "config" / "costs.yaml"
    calm = checked("sma_cross", "costs")["costs"].result
    assert calm.outcome == "passed"
    costs.write_text(costs.read_text().replace("slippage_bps: 2", "slippage_bps: 400"))
    dear = checked("sma_cross", "costs")["costs"].result
    by_name = {figure.name: figure.value for figure in dear.figures}
    assert by_name["Sharpe at 2 × the costs"] < by_name["Sharpe at 1 × the costs"]
    gained, left = by_name["return at 1 × the costs"], by_name["return at 2 × the costs"]
    assert (dear.outcome == "flagged") == (gained > 0 >= left)


def test_a_run_whose_strategy_or_books_are_not_what_they_were_is_not_checked(workspace: Path) -> None:
    run = run_of(workspace, "sma_cross", "2024-03-28", ["SPY"])
    silent = (lambda *_: None), (lambda *_: None)
    place = find_workspace(workspace)
    table = run.folder / "equity.csv"
    text = table.read_text()
    table.write_text(text.replace("\n2024-02-01,1", "\n2024-02-01,2"))
    with pytest.raises(DataError, match="do not give its equity"):
        run_checks(run.folder, place, select_checks(["costs"]), 5.0, False, *silent)
    table.write_text(text)
    rule = workspace / "strategies" / "sma_cross.py"
    rule.write_text(rule.read_text() + "\n# edited\n")
    with pytest.raises(DataError, match=r"strategies/sma_cross.py has changed since run"):
        run_checks(run.folder, place, select_checks(["costs"]), 5.0, False, *silent)


def test_unknown_checks_are_refused_with_the_nearest() -> None:
    with pytest.raises(UsageError, match='no check "blnd", did you mean "blind"'):
        select_checks(["blnd"])
    assert [one.name for one in select_checks(["recall", "costs"])] == ["costs", "recall"]


def test_noise_leaves_the_past_alone_and_makes_bars_that_can_be_traded() -> None:
    bars = synthetic_bars(("AAA", "BBB"), date(2024, 1, 2), date(2024, 3, 28), seed=3)
    noisy = with_noise(bars, 20, seed=1)
    np.testing.assert_array_equal(noisy.close[:20], bars.close[:20])
    assert not np.isclose(noisy.close[20:], bars.close[20:]).any()
    assert (noisy.low <= np.minimum(noisy.open, noisy.close)).all()
    assert (noisy.high >= np.maximum(noisy.open, noisy.close)).all()
    np.testing.assert_array_equal(noisy.close, with_noise(bars, 20, seed=1).close)


def test_recall_of_a_price_counts_from_one_to_nothing_at_ten_per_cent() -> None:
    assert propensity(100.0, 100.0) == 1.0
    assert propensity(100.0 * np.exp(0.05), 100.0) == pytest.approx(0.5)
    assert propensity(120.0, 100.0) == propensity(None, 100.0) == propensity(float("nan"), 100.0) == 0.0


def test_clustered_errors_are_those_of_one_observation_a_cluster_and_grow_with_copies() -> None:
    rng = np.random.default_rng(4)
    forecast, lap, noise = rng.normal(size=200), rng.uniform(size=200), rng.normal(size=200)
    y = 0.1 + 0.2 * forecast + 0.3 * lap + 1.5 * forecast * lap + noise
    dates = np.arange(200.0)
    fit = fit_clustered(y, forecast, lap, dates)
    x = np.column_stack((np.ones(200), forecast, lap, forecast * lap))
    beta = np.linalg.lstsq(x, y, rcond=None)[0]
    assert fit.beta == pytest.approx(beta)
    inverse, residual = np.linalg.inv(x.T @ x), y - x @ beta
    white = inverse @ (x.T * residual**2) @ x @ inverse * 200 / 196
    assert fit.error == pytest.approx(np.sqrt(np.diag(white)))
    copies = [np.repeat(values, 5) for values in (y, forecast, lap, dates)]
    assert fit_clustered(*copies).error == pytest.approx(fit.error * np.sqrt(999 / 996 * 196 / 199), rel=1e-9)
    assert fit_clustered(y, forecast, np.ones(200), dates) is None
    assert fit.p_above_0(3) < 0.05


def test_sim_check_writes_its_page_and_facts_and_adds_to_what_was_checked_before(sim: Any, workspace: Path) -> None:
    words = ("run", "--strategy", "sma_cross", "--from", "2024-01-02", "--to", "2024-06-28", "--json")
    run = json.loads(sim(*words, "--workspace", workspace).stdout)
    folder = Path(run["dir"])
    first = sim("check", "last", "--only", "costs,future", "--workspace", workspace)
    assert first.returncode == 0, first.stderr
    assert [line.split()[0] for line in first.stdout.splitlines()[:2]] == ["costs", "future"]
    assert "asks no model" in first.stdout
    assert first.stdout.rstrip().endswith("checks.html")
    second = sim("check", run["run_id"], "--only", "blind", "--json", "--workspace", workspace)
    said = json.loads(second.stdout)
    assert second.stderr.startswith("blind")
    assert list(said["checks"]) == ["future", "blind", "costs"]
    kept = json.loads((folder / "checks.json").read_text())
    assert said == {**kept, "page": str(folder / "checks.html")}
    assert kept["digest"] == run["digest"]
    for one in kept["checks"].values():
        assert {"name", "title", "what", "outcome", "verdict", "figures", "notes", "bill"} == set(one)
    page = (folder / "checks.html").read_text()
    assert not re.search(r"(?:src|href)=\"(?!#|data:|report\.html|\.\./index\.html)", page)
    for one in kept["checks"].values():
        assert one["title"] in page
    stray = [path.name for path in folder.iterdir() if path.name.startswith(".")]
    assert stray == []


def test_results_of_another_result_of_the_run_are_not_kept(workspace: Path) -> None:
    run = run_of(workspace, "sma_cross", "2024-03-28", ["SPY"])
    old = {"digest": "of another run", "checks": {"costs": {"name": "costs"}}}
    (run.folder / "checks.json").write_text(json.dumps(old))
    assert merge(run.folder, [])["checks"] == {}
    (run.folder / "checks.json").write_text("{")
    assert merge(run.folder, [])["verdict"] == "Nothing has been checked."


def test_a_check_made_again_from_disk_keeps_what_it_cost_and_one_not_asked_keeps_its_result(workspace: Path) -> None:
    folder = run_of(workspace, "sma_cross", "2024-02-28", ["SPY"]).folder
    nothing = {"low": 0.0, "likely": 0.0, "high": 0.0}
    paid = {"calls": 10, "hits": 0, "misses": 10, "usd": {"low": 1.0, "likely": 2.0, "high": 3.0}}
    free = {"calls": 10, "hits": 10, "misses": 0, "usd": nothing}
    blind = {"name": "blind", "title": "Blind A/B", "what": "names hidden", "outcome": "passed", "verdict": "Same."}
    more = {"figures": [], "notes": []}
    add_files(folder, content(merge(folder, [{**blind, **more, "bill": paid}])))
    add_files(folder, content(merge(folder, [{**blind, **more, "verdict": "Still the same.", "bill": free}])))
    kept = merge(folder, [{**blind, "outcome": "not asked", "bill": paid}])["checks"]["blind"]
    assert (kept["verdict"], kept["outcome"], kept["bill"]) == ("Still the same.", "passed", paid)
    page = (folder / "checks.html").read_text().replace("\u00a0", " ")
    assert "10 questions, 10 new ones when it was made, about $2.00" in page


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("--only", "blnd"), 2, 'no check "blnd", did you mean "blind"'),
        (("--max-cost", "-1"), 2, "--max-cost was -1"),
        (("--only", ""), 2, "no check named"),
    ],
)
def test_bad_input_gets_one_line(sim: Any, workspace: Path, words: tuple[str, ...], code: int, said: str) -> None:
    run_of(workspace, "sma_cross", "2024-02-28", ["SPY"])
    done = sim("check", "last", *words, "--workspace", workspace)
    assert (done.returncode, done.stdout) == (code, "")
    assert said in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_the_headline_says_what_was_flagged_and_what_could_not_be_judged() -> None:
    flagged = {"title": "Blind A/B", "outcome": "flagged"}
    passed, few = {"title": "Future bars", "outcome": "passed"}, {"title": "Recall", "outcome": "not assessable"}
    assert headline({"a": flagged, "b": passed, "c": few}).replace("\u00a0", " ") == (
        "Flagged by 1 of 2 checks: Blind A/B. Not assessable: Recall."
    )
    assert headline({"b": passed}).replace("\u00a0", " ").startswith("1 check passed, none flagged")
    assert len(NAMES) == len(set(NAMES)) == 9
