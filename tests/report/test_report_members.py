"""The leaderboard: ranked, its bars to scale, and honest about whether the council stands out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from simulator.analysis.paired import DRAWS_FOR_BEST, Paired, against_best
from simulator.evidence.reader import read, read_equity, read_run
from simulator.report import build
from simulator.report.markdown import as_markdown
from simulator.report.sections import calibration
from simulator.report.sections.members_and_council import compare_with_best, draw_accounts, draw_leaderboard


def facts(folder: Path) -> dict[str, Any]:
    return dict(json.loads((folder / "run.json").read_text(encoding="utf-8")))


def change(folder: Path, **entries: Any) -> None:
    (folder / "run.json").write_text(json.dumps({**facts(folder), **entries}), encoding="utf-8")


def test_accounts_stand_by_their_sharpe_ratio_and_those_without_one_last(write_run: Any) -> None:
    folder = write_run()
    run = facts(folder)
    for entry, sharpe in zip(run["accounts"], (0.5, None, 2.0, -1.0, 1.0, 0.7), strict=True):
        entry["metrics"]["sharpe"] = sharpe
    change(folder, accounts=run["accounts"])
    found = draw_leaderboard(read(folder))
    assert found is not None
    assert [row.hint for row in found.table.rows] == ["CLAUDE", "DEEPSEEK", "COUNCIL", "CHATGPT", "GROQ", "GEMINI"]
    assert list(found.ranks) == ["1", "2", "3", "4", "5", "n/a"]
    assert [row.label for row in found.table.rows if row.css == "own"] == ["chairman · rule-based"]
    assert found.table.rows[-1].cells[0].why == "no reason recorded"


def test_the_leaderboard_of_the_markdown_begins_with_the_rank_and_the_account_stands_behind_who_answers(
    write_run: Any,
) -> None:
    folder = write_run()
    found = draw_leaderboard(read(folder))
    assert found is not None
    head, _, *lines = as_markdown(folder).partition("## Members and council")[2].split("\n\n")[2].splitlines()
    assert head.startswith("|  | Account | Sharpe | 95 % interval | Return |")
    cells = [[cell.strip() for cell in line.strip("|").split("|")[:2]] for line in lines]
    seats = {account["name"]: account["seat"] for account in facts(folder)["accounts"]}
    assert cells == [
        [rank, f"{seats[row.hint]} · rule-based ({row.hint})"]
        for rank, row in zip(found.ranks, found.table.rows, strict=True)
    ]


def test_bars_lie_on_one_scale(write_run: Any) -> None:
    folder = write_run()
    run = facts(folder)
    ends = ((-1.0, 1.0), (0.0, 2.0), (-2.0, 0.0), (-1.0, 0.0), (0.0, 1.0), (-0.5, 0.5))
    for entry, (low, high) in zip(run["accounts"], ends, strict=True):
        entry |= {"sharpe_ci_low": low, "sharpe_ci_high": high}
        entry["metrics"]["sharpe"] = (low + high) / 2
    change(folder, accounts=run["accounts"])
    found = draw_leaderboard(read(folder))
    assert found is not None
    assert found.scale is not None
    bars = {bar.label: bar for bar in found.scale.bars}
    assert len(bars) == 6
    assert bars["pm.trend · rule-based"].point == pytest.approx(found.scale.zero)
    unit = bars["pm.reversion · rule-based"].point - found.scale.zero
    assert bars["pm.risk · rule-based"].point == pytest.approx(found.scale.zero - unit, abs=0.02)
    assert bars["pm.reversion · rule-based"].high - bars["pm.reversion · rule-based"].low == pytest.approx(
        2 * unit, abs=0.02
    )


def test_the_sentence_weighs_the_council_against_its_best_member(write_run: Any) -> None:
    folder = write_run()
    said = {}
    for p in (0.2, 0.05, 0.001):
        said[p] = compare_with_best(read_run(folder), Paired("CLAUDE", "CLAUDE", 0.4, -0.2, 1.0, p))
    council, best = "chairman · rule-based (COUNCIL)", "pm.risk · rule-based (CLAUDE)"
    assert said[0.2].startswith(
        f"{council} cannot be told from its best member, {best}: its Sharpe ratio is 0.40 higher"
    )
    assert "borderline" in said[0.05]
    assert said[0.001].startswith(f"{council} is better than its best member, {best}")
    assert all("known only afterwards" in sentence for sentence in said.values())


def test_the_council_is_compared_with_its_best_member_session_by_session(write_run: Any) -> None:
    from simulator.stats.compare import compare

    folder = write_run()
    run, equity = read_run(folder), read_equity(folder, read_run(folder))[1]
    found = against_best(run, equity)
    best = max(run["accounts"][:-1], key=lambda entry: float(entry["metrics"]["sharpe"]))["name"]
    returns = [np.diff(np.r_[1e5, equity[c]]) / np.r_[1e5, equity[c][:-1]] for c in ("equity", f"account:{best}")]
    expected = compare(*returns, equity["risk_free"], draws=DRAWS_FOR_BEST)
    assert found is not None
    assert found.label == best
    assert (found.difference, found.p) == (pytest.approx(expected.difference), pytest.approx(expected.p))  # type: ignore[union-attr]


@pytest.mark.parametrize("shape", [{"sessions": 40}, {"ruin": True}])
def test_what_cannot_be_compared_says_why(write_run: Any, shape: dict[str, Any]) -> None:
    found = draw_leaderboard(read(write_run(**shape)))
    assert found is not None
    assert "cannot be judged" in found.sentence
    assert "None" not in found.sentence


def test_a_run_of_rules_has_no_leaderboard(write_run: Any) -> None:
    assert draw_leaderboard(read(write_run(members=()))) is None
    assert draw_accounts(read(write_run("other", members=()))) is None


def test_an_older_folder_shows_its_members_as_accounts(write_run: Any) -> None:
    folder = write_run()
    run = facts(folder)
    members = [{k: e[k] for k in ("name", "model", "metrics")} for e in run.pop("accounts") if e["name"] != "COUNCIL"]
    del run["account"]
    (folder / "run.json").write_text(json.dumps({**run, "schema": 1, "members": members}), encoding="utf-8")
    path = folder / "equity.csv"
    path.write_text(path.read_text(encoding="utf-8").replace("account:", "member:"), encoding="utf-8")
    evidence = read(folder)
    assert set(evidence.accounts) == {"COUNCIL", *(m["name"] for m in members)}
    assert np.array_equal(evidence.accounts["COUNCIL"], evidence.equity["equity"])
    assert "COUNCIL" in build(folder).read_text(encoding="utf-8")


def test_calibration_panels_share_a_scale_and_say_what_they_show(write_run: Any) -> None:
    found = calibration.compose(read_run(write_run()))
    assert [c.own for c in found].count(True) == 1
    assert len({c.panel.ticks for c in found if c.panel}) == 1
    assert all("27 calls, 15 sessions ahead; rank correlation +0.10 (−0.20 to 0.40)" in c.summary for c in found)
    name = "chairman · rule-based (COUNCIL)"
    council = next(c for c in found if c.name == name)
    assert (
        council.spoken == f"{name}: conviction −1: +0.1\u00a0%; conviction +1: +0.9\u00a0%; conviction +2: +1.3\u00a0%"
    )


def test_no_calibration_no_section(write_run: Any) -> None:
    folder = write_run()
    change(folder, accounts=[{**entry, "calibration": None, "reviews": None} for entry in facts(folder)["accounts"]])
    assert calibration.compose(read_run(folder)) == ()
    assert 'id="calibration"' not in build(folder).read_text(encoding="utf-8")
