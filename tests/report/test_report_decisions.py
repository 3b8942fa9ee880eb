"""The debates in the page: small enough, whole where they can be, and tied to the trades they led to."""

from __future__ import annotations

import json
import re
from datetime import date, datetime
from pathlib import Path
from typing import Any, cast

import pytest

from simulator.errors import DataError
from simulator.evidence.prompts import PromptsRecord
from simulator.evidence.reader import read
from simulator.market.bars import instant
from simulator.report import build
from simulator.report.sections import contamination
from simulator.report.sections.decisions import MOST_BYTES, write_decisions, write_prompts
from simulator.report.sections.equity_and_trades import embed_json, list_trades


def told(folder: Path, most: int = MOST_BYTES) -> tuple[dict[str, Any], str]:
    found = json.loads(write_decisions(read(folder), most))
    return found, found["left_out"]


def test_every_decision_is_there_and_sentences_are_written_once(write_run: Any) -> None:
    folder = write_run()
    found, left_out = told(folder)
    assert left_out == ""
    assert len(found["decisions"]) == 252
    assert len(found["texts"]) == len(set(found["texts"]))
    first = found["decisions"][0]
    thesis = [found["texts"][n] if isinstance(n, int) else n for n in first["pitches"][0]["thesis"]]
    assert thesis == ["SPY stands above its average at meeting 0.", "Breadth has widened."]
    assert first["votes"] == [["SPY", 1.3]]


def test_trades_point_at_the_decision_that_ordered_them(write_run: Any) -> None:
    evidence = read(write_run())
    submitted = {order.id: order.submitted_at for order in evidence.orders}
    for fill, row in zip(evidence.fills, list_trades(evidence), strict=True):
        assert instant(datetime.fromisoformat(evidence.decisions[row[5]]["as_of"])) == submitted[fill.order_id]
        assert evidence.sessions[row[0]] == fill.session


@pytest.mark.medium
@pytest.mark.parametrize("most", [160_000, 60_000, 40_000, 10])
def test_debates_grow_briefer_rather_than_larger(write_run: Any, most: int) -> None:
    found, left_out = told(write_run(), most)
    assert left_out
    assert len(embed_json(found).encode()) <= max(most, 120)


@pytest.mark.medium
def test_three_years_of_long_winded_models_stay_below_two_megabytes(write_run: Any) -> None:
    """Every sentence of every meeting is another one, and long, as models write."""
    folder = write_run(sessions=756)
    path = folder / "decisions.jsonl"
    lines = path.read_text(encoding="utf-8").splitlines()
    path.write_text("".join(long_winded(json.loads(line), n) for n, line in enumerate(lines)), encoding="utf-8")
    assert path.stat().st_size > 4_000_000
    assert build(folder).stat().st_size < 2_000_000
    found, left_out = told(folder)
    assert left_out.startswith("Only debates that led to a trade are here")
    acting = {row[5] for row in list_trades(read(folder))}
    assert all("pitches" in found["decisions"][n] for n in acting)


def long_winded(decision: dict[str, Any], n: int) -> str:
    words = " ".join(f"word{n}x{k}" for k in range(30))

    def swell(value: Any, path: str = "") -> Any:
        if isinstance(value, dict):
            return {key: swell(v, f"{path}.{key}") for key, v in value.items()}
        if isinstance(value, list):
            return [swell(v, f"{path}.{k}") for k, v in enumerate(value)]
        return f"{value} {path} {words}" if isinstance(value, str) and " " in value else value

    record = {**decision["record"], **{k: swell(decision["record"].get(k) or []) for k in ("pitches", "reviews")}}
    return json.dumps({**decision, "record": record}) + "\n"


@pytest.mark.medium
def test_a_decade_of_councils_still_names_every_decision(write_run: Any) -> None:
    folder = write_run(sessions=2_520, start=date(2015, 1, 2))
    html = build(folder).read_text(encoding="utf-8")
    assert len(html.encode()) < 2_000_000
    assert html.count('"at":"') == 2_520


def test_json_inside_the_page_cannot_end_its_element() -> None:
    assert embed_json({"a": "</script><!--"}) == '{"a":"\\u003c/script>\\u003c!--"}'


VARIANT = {
    "name": "no chairman",
    "what": "the score-weighted vote decides",
    "account": None,
    "metrics": {"total_return": 0.1, "sharpe": 0.5, "max_drawdown": -0.1},
    "meetings_changed": 12,
    "pair": None,
    "part": "the chairman",
    "against": "the council",
    "verdict": "",
}
PAIR = {
    "sharpe": 0.2,
    "sharpe_low": -0.4,
    "sharpe_high": 0.8,
    "annual_return": 0.01,
    "annual_return_low": -0.02,
    "annual_return_high": 0.04,
    "p": 0.4,
    "p_adjusted": 0.8,
    "reason": None,
}


@pytest.mark.medium
def test_what_the_council_adds_joins_the_report(write_run: Any) -> None:
    folder = write_run()
    variant = {**VARIANT, "pair": PAIR, "verdict": "cannot be told apart"}
    content = {"variants": [variant], "compared": 1, "meetings": 51, "sessions": 251}
    (folder / "ablation.json").write_text(json.dumps(content), encoding="utf-8")
    html = build(folder).read_text(encoding="utf-8")
    assert "What the council adds" in html
    assert "12 of 51" in html
    (folder / "ablation.json").write_text('{"variants": 3}', encoding="utf-8")
    with pytest.raises(DataError, match=r"ablation\.json"):
        build(folder)


def change(folder: Path, **entries: Any) -> None:
    path = folder / "run.json"
    path.write_text(json.dumps({**json.loads(path.read_text(encoding="utf-8")), **entries}), encoding="utf-8")


@pytest.mark.medium
def test_execution_toggles_stand_beside_the_costs_where_they_were_tried(write_run: Any) -> None:
    folder = write_run()
    assert "filled otherwise" not in build(folder).read_text(encoding="utf-8")
    row = {"name": "same close", "what": "looks ahead", "metrics": {"total_return": 0.2, "sharpe": 1.1}}
    change(
        folder, execution_toggles=[{**row, "sharpe_ci_low": -0.5, "sharpe_ci_high": 2.0, "sharpe_less_default": 0.3}]
    )
    html = build(folder).read_text(encoding="utf-8").replace("\u00a0", " ")
    assert "filled otherwise" in html
    assert "−0.50 to 2.00" in html


@pytest.mark.medium
def test_contamination_is_flagged_where_it_was_found(write_run: Any) -> None:
    folder = write_run()
    assert 'id="contamination"' not in build(folder).read_text(encoding="utf-8")
    part = {
        "sessions": 100,
        "decisions": 20,
        "from": "2024-01-02",
        "to": "2024-05-20",
        "assessable": True,
        "sharpe": 1.5,
    }
    found = {
        "verdict": "FLAGGED, what was earned before may be memory.",
        "flagged": True,
        "assessable": True,
        "mend": None,
        "models": [{"model": "gpt-9", "seats": ["pm.trend"], "cutoff": "2024-05-20", "note": ""}],
        "parts": {"before": part, "grey": {**part, "assessable": False}, "after": part},
        "alpha_decay": {"value": -0.2, "low": -0.3, "high": -0.1, "flagged": True, "reason": None},
        "disagreement": {"difference": 0.1, "low": 0.0, "high": 0.2, "across": 0.4, "within": 0.5, "meetings": 50},
    }
    change(folder, contamination=found, llm={"calls": 9, "models": ["gpt-9"]}, analysts=None)
    html = build(folder).read_text(encoding="utf-8").replace("\u00a0", " ")
    assert 'class="finding flagged">FLAGGED' in html
    assert "Contamination: FLAGGED" in html
    assert "−20.0 % a year, −30.0 % to −10.0 %" in html
    assert "agree in 40 % of 50 meetings" in html
    dated = '<span class="date">2024-01-02</span> to <span class="date">2024-05-20</span>'
    assert html.count(dated) == 3


@pytest.mark.parametrize("junk", [{}, {"models": 3}, {"parts": []}, {"alpha_decay": "x"}, {"disagreement": []}])
def test_a_contamination_part_of_another_shape_is_no_traceback(write_run: Any, junk: dict[str, Any]) -> None:
    folder = write_run(sessions=60)
    change(folder, contamination={"verdict": "so", **junk})
    try:
        found = contamination.compose(read(folder))
    except DataError:
        return
    assert found is not None
    assert found.sentences == ("so",)


@pytest.mark.medium
def test_trials_of_the_same_result_reach_the_verdict_and_others_do_not(write_run: Any) -> None:
    folder = write_run()
    digest = read(folder).run["digest"]
    for written, known in ((digest, True), ("0" * 64, False)):
        content = {"digest": written, "inference": {"trials": 7, "dsr": 0.4}, "reasons": {}}
        (folder / "trials.json").write_text(json.dumps(content), encoding="utf-8")
        html = build(folder).read_text(encoding="utf-8")
        assert ("7\u00a0trials counted; " in html) == known
        assert ("Deflated, as published" in html) == known


@pytest.mark.medium
def test_checks_of_this_result_join_the_contamination_and_others_do_not(write_run: Any) -> None:
    folder = write_run()
    check = {
        "name": "blind",
        "title": "Blind A/B",
        "outcome": "flagged",
        "verdict": "Sharpe falls when names are masked.",
    }
    for digest, known in ((read(folder).run["digest"], True), ("0" * 64, False)):
        content = {"digest": digest, "verdict": "Flagged by 1 of 1 check.", "checks": {"blind": check}}
        (folder / "checks.json").write_text(json.dumps(content), encoding="utf-8")
        html = build(folder).read_text(encoding="utf-8")
        assert ("Sharpe falls when names are masked." in html) == known
        assert ('class="finding flagged">Flagged by 1 of 1 check.' in html) == known


RECORD: dict[str, Any] = {
    "lines": [f'{n}: <what> is "said"\u202e, at length\n' for n in range(300)],
    "prompts": {f"{n:012x}{0:052x}": [{"role": "user", "lines": f"0-2,{n}"}] for n in range(3, 300)},
}


@pytest.mark.parametrize("most", [20, 30, 200, 1_000, 5_000, 100_000])
def test_as_many_prompts_as_have_room_are_there_with_their_lines(most: int) -> None:
    content = write_prompts(cast(PromptsRecord, RECORD), most)
    assert len(content.encode()) <= max(most, len('{"lines":[],"prompts":{}}'))
    found = json.loads(content)
    assert list(found["prompts"]) == [key[:12] for key in list(RECORD["prompts"])[: len(found["prompts"])]]
    assert len(found["lines"]) == (len(found["prompts"]) + 3 if found["prompts"] else 0)
    assert len(found["prompts"]) >= min(297, (most - 400) // 100)
    assert not re.search("[<\u202e]", content)
