"""Cells: rounded and signed as people write, compounded as they are earned, n/a with a reason."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from simulator import number_format
from simulator.analysis.periods import drawdown, period_returns
from simulator.evidence.reader import Evidence, read, read_run
from simulator.evidence.records import Audit
from simulator.report.catalogue import CATALOGUE, DIFFERENCE, METRICS, SELECTION, SIGNIFICANCE
from simulator.report.sections import monthly_returns
from simulator.report.sections.all_figures import tabulate_figures
from simulator.report.sections.assumptions_and_notes import describe_audit
from simulator.report.sections.costs_and_execution import count_orders
from simulator.report.sections.members_and_council import tabulate_calls
from simulator.report.sections.significance import tabulate_significance
from simulator.report.table import Row, Table


def test_numbers_carry_a_true_minus_grouped_thousands_and_a_space_before_percent() -> None:
    assert number_format.percent(-0.0123) == "−1.2\u00a0%"
    assert number_format.percent(0.0123, sign=True) == "+1.2\u00a0%"
    assert number_format.percent(-0.00001, sign=True) == "0.0\u00a0%"
    assert number_format.dollars(-1234567.6) == "−$1,234,568"
    assert number_format.interval(-0.4, 2.7) == "−0.40 to 2.70"
    assert number_format.small(3.14e-16) == "3.1e−16"
    assert number_format.p_value(0.0004) == "below 0.001"


@pytest.mark.parametrize(
    "write",
    [number_format.ratio, number_format.percent, number_format.dollars, number_format.whole, number_format.p_value],
)
@pytest.mark.parametrize("value", [None, math.nan, math.inf, -math.inf, "x", True])
def test_what_is_no_number_is_not_available(write: Any, value: Any) -> None:
    assert write(value) == "n/a"


def facts(folder: Path) -> dict[str, Any]:
    return dict(json.loads((folder / "run.json").read_text(encoding="utf-8")))


def rows(table: Table) -> dict[str, Row]:
    return {row.label: row for row in table.rows}


def test_no_number_is_more_exact_than_anybody_can_use() -> None:
    assert [number_format.ratio(x) for x in (999.994, 1000.4, -54321.987)] == ["999.99", "1,000", "−54,322"]
    assert [number_format.percent(x) for x in (9.994, 10.004, -1234.5678)] == [
        "999.4\u00a0%",
        "1,000\u00a0%",
        "−123,457\u00a0%",
    ]
    assert number_format.cents(12345.678) == "$12,345.68"
    assert [number_format.years(x) for x in (3.24, 12.4, 99.4, 100, 236_045, None)] == [
        "3.2 years", "12 years", "99 years", "not in this lifetime", "not in this lifetime", "n/a",
    ]  # fmt: skip
    assert number_format.sessions_needed(812.3) == "812"
    assert METRICS["min_trl"].format(59_483_340.0) == METRICS["minimum_backtest_years"].format(1e9)


def test_months_compound_to_years_and_years_to_the_total(write_run: Any) -> None:
    folder = write_run(sessions=600)
    evidence = read(folder)
    years = monthly_returns.compose(evidence)
    assert [y.year for y in years] == [2024, 2025, 2026]
    months = period_returns(evidence.sessions, evidence.equity["equity"], 100_000.0, lambda d: (d.year, d.month))
    assert math.prod(1 + r for r in months.values() if r is not None) == pytest.approx(
        evidence.equity["equity"][-1] / 100_000.0
    )
    assert years[2].months[11] is None


def test_months_after_ruin_have_no_return(write_run: Any) -> None:
    years = monthly_returns.compose(read(write_run(ruin=True)))
    assert years[-1].months[11] == monthly_returns.Shade("n/a")


def test_the_starting_cash_counts_as_a_peak() -> None:
    falls = drawdown(np.array([100.0, 90.0, 95.0, 110.0, 55.0]))[1:]
    assert falls == pytest.approx([-0.1, -0.05, 0.0, -0.5])


def test_all_three_accounts_share_the_rows(write_run: Any) -> None:
    table = tabulate_figures(facts(write_run()))
    assert [column.name for column in table.columns] == ["macro_council", "Buy-and-hold", "Equal-weight"]
    assert all(len(row.cells) == 3 for row in rows(table).values())


def test_an_undefined_cell_points_at_its_reason(write_run: Any) -> None:
    run = facts(write_run(undefined=True))
    run["benchmarks"]["buy_and_hold"] |= {"sharpe": None, "reasons": {"sharpe": "it never moved"}}
    table = tabulate_figures(run)
    own, hold, _ = rows(table)["Sharpe ratio"].cells
    assert (own.text, own.why) == ("n/a", "returns never vary")
    assert (hold.text, hold.why) == ("n/a", "it never moved")
    assert {own.why, hold.why} <= set(table.footnotes)


def test_a_metric_without_a_name_of_its_own_is_shown_all_the_same(write_run: Any) -> None:
    run = facts(write_run())
    run["metrics"]["luck_of_the_draw"] = 0.77
    assert rows(tabulate_figures(run))["Luck of the draw"].cells[0].text == "0.77"


def test_every_metric_of_the_statistics_has_a_name(write_run: Any) -> None:
    from simulator.stats.inference import inference_summary
    from simulator.stats.metrics import summary

    returns = np.random.default_rng(1).normal(0.001, 0.01, 300)
    run = facts(write_run())
    run["metrics"] = dict(summary(returns, trades=[1.0, -2.0], weights=np.ones((300, 1)), benchmark=returns**2).values)
    run["inference"] = dict(inference_summary(returns, draws=50).values)
    table = tabulate_figures(run)
    assert "Further figures" not in [group.title for group in table.groups]
    assert len(tabulate_significance(run).rows) == 10


def test_no_two_metrics_have_one_key() -> None:
    keys = [metric.key for metric in CATALOGUE]
    assert sorted(keys) == sorted(set(keys))
    assert tuple(METRICS.values()) == CATALOGUE
    assert {*SIGNIFICANCE, *DIFFERENCE, *SELECTION} <= {*CATALOGUE}


def test_a_metric_of_another_table_reads_its_value_and_its_reason_where_they_stand() -> None:
    swept = METRICS["effective_trials_swept"]
    assert swept.cell({"effective_trials": 3.04}, {}).text == "3.0"
    assert METRICS["effective_trials"].cell({"effective_trials": 3.04}, {}).text == "3.04"
    assert swept.cell({"effective_trials": None}, {"effective_trials": "one column"}).why == "one column"


def test_drawdowns_are_shown_as_losses_whatever_their_sign(write_run: Any) -> None:
    run = facts(write_run())
    shown = []
    for value in (-0.12, 0.12):
        run["metrics"]["max_drawdown"] = value
        shown.append(rows(tabulate_figures(run))["Largest drawdown"].cells[0].text)
    assert shown == ["−12.0\u00a0%"] * 2


def test_refusals_are_gathered_by_their_rule(write_run: Any) -> None:
    folder = write_run(sessions=20)
    lines = ["order_id,symbol,at,session,wanted,got,why"]
    lines += [
        "1,SPY,2024-01-02T09:30:00-05:00,2024-01-02,10,4,buying_power",
        "2,QQQ,2024-01-09T09:30:00-05:00,2024-01-09,-10,-1,buying_power",
        "3,SPY,2024-01-03T09:30:00-05:00,2024-01-03,5,0,",
    ]
    (folder / "rejected.csv").write_text("\n".join(lines) + "\n")
    assert count_orders(read(folder)).refused == (
        ("buying power", "2", "SPY, QQQ", "2024-01-02 to 2024-01-09", "25.0\u00a0%"),
        ("unnamed", "1", "SPY", "2024-01-03", "0.0\u00a0%"),
    )


def questions(evidence: Evidence) -> list[tuple[str, ...]]:
    table = tabulate_calls(evidence)
    return [(row.label, *(cell.text for cell in row.cells)) for row in table.rows] if table else []


def test_questions_are_counted_by_model(write_run: Any) -> None:
    found = questions(read(write_run(sessions=20)))
    assert found[0] == ("offline/CHATGPT", "pitch 4", "4", "0", "3,248", "$0.00")


def test_the_audit_line_tells_bit_identity_from_a_difference(write_run: Any) -> None:
    run = read_run(write_run(sessions=20))
    audit: Audit = {"engine": "backtrader", "auditor": "kernel", "max_relative_difference": 0.0}
    assert "agree to the last bit" in describe_audit({**run, "audit": audit})
    apart: Audit = {**audit, "max_relative_difference": 2e-13}
    assert "differ by at most 2.0e−13 of equity" in describe_audit({**run, "audit": apart})
    assert describe_audit({**run, "audit": None}) == "Not audited by a second engine."


def test_models_and_their_stages_stand_in_the_order_they_speak(write_run: Any) -> None:
    folder = write_run(sessions=5)
    asked = [("b", "chairman"), ("a", "afterthought"), ("d", "review"), ("d", "pitch"), ("c", "research")]
    lines = [json.dumps({"stage": stage, "model": model, "outcome": "refusal"}) for model, stage in asked]
    (folder / "llm_calls.jsonl").write_text("\n".join(lines))
    found = questions(read(folder))
    assert [row[:2] for row in found] == [
        *(("c", "research 1"), ("d", "pitch 1, review 1"), ("b", "chairman 1"), ("a", "afterthought 1")),
    ]
    assert [row[3] for row in found] == ["1", "2", "1", "1"]
