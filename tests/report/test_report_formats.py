"""The report as Markdown and as numbers: the same content, harmless, and nothing undefined passes for a number."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from simulator.analysis import targets
from simulator.errors import UsageError
from simulator.evidence.reader import read
from simulator.evidence.rows import trip_profits
from simulator.report.formats import as_json, write
from simulator.report.markdown import as_markdown
from simulator.report.renderers import html as html_renderer
from simulator.report.renderers import json as json_renderer
from simulator.report.renderers.markdown import escape, render_table, sparkline
from simulator.report.table import Cell, Row, make_row, make_table


def test_markdown_has_the_sections_of_the_page_in_their_order(write_run: Any) -> None:
    text = as_markdown(write_run())
    heads = [line.removeprefix("## ") for line in text.splitlines() if line.startswith("## ")]
    assert heads == [
        *(
            "Targets",
            "Comparison",
            "Profit and loss",
            "Rolling figures",
            "Drawdowns",
            "Monthly returns",
            "Distribution",
        ),
        *("Weights", "Significance", "Members and council", "Calibration"),
        *("Costs and execution", "Assumptions", "Bias checklist", "Reproduce", "Reporting protocol"),
    ]
    assert text.count("COUNCIL") >= 2
    assert "\u00a0" not in text


def test_every_table_of_the_markdown_has_rows_of_one_width(write_run: Any) -> None:
    for name, shape in {"a": {}, "b": {"members": ()}, "c": {"sessions": 1}, "d": {"undefined": True}}.items():
        blocks = as_markdown(write_run(name, **shape)).split("\n\n")
        tables = [block.splitlines() for block in blocks if block.startswith("|")]
        assert len(tables) >= 5
        assert all(len({line.replace("\\|", "").count("|") for line in lines}) == 1 for lines in tables)


def test_markup_in_names_is_harmless_in_markdown(write_run: Any) -> None:
    text = as_markdown(write_run(strategy="<b>|x|</b>", notes=("[a](http://b) `c` *d*",)))
    outside = "".join(text.split("```")[::2])
    assert "<b>" not in outside
    assert "\\[a\\](http://b) \\`c\\` \\*d\\*" in text


def test_columns_of_numbers_stand_to_the_right() -> None:
    lines = render_table(
        make_table("", ("n", "why"), [make_row("a", ("−1.2 %", "so")), make_row("b", ("n/a", "so too"))])
    ).splitlines()
    assert lines[1] == "| --- | ---: | --- |"
    assert escape("a|b\nc") == "a\\|b c"


def test_a_course_is_drawn_in_blocks_and_a_flat_one_not_at_all() -> None:
    assert sparkline(np.array([1.0, 2.0, 3.0])) == "▁▅█"
    assert sparkline(np.array([1.0, 1.0])) == sparkline(np.array([np.nan, 2.0])) == ""


def test_json_has_every_number_of_the_page(write_run: Any) -> None:
    folder = write_run()
    found, evidence = json.loads(as_json(folder)), read(folder)
    assert found["chart"]["accounts"]["COUNCIL"] == found["chart"]["accounts"]["equity"]
    assert len(found["chart"]["sessions"]) == found["run"]["sessions"] == 252
    assert len(found["chart"]["trades"]) == len(evidence.fills)
    assert found["leaderboard"][0]["name"] == "DEEPSEEK"
    assert found["comparison"]["macro_council"] == evidence.run["metrics"]
    assert np.prod([1 + r for r in found["monthly"]["equity"].values()]) == pytest.approx(
        evidence.equity["equity"][-1] / 1e5
    )
    assert found["verdict"]["headline"].startswith("Sharpe ")


@pytest.mark.medium
@pytest.mark.parametrize(
    "shape", [{"sessions": 1}, {"trades": False}, {"undefined": True}, {"ruin": True}, {"members": ()}]
)
def test_awkward_runs_are_told_in_every_format(write_run: Any, shape: dict[str, Any]) -> None:
    folder = write_run(**shape)
    for kind in ("html", "md", "json"):
        path = write(folder, kind)
        assert path == folder / f"report.{kind}"
        assert path.stat().st_size > 2_000
    words = as_markdown(folder).lower().replace("|", " ").split()
    assert not {"nan", "inf", "none", "null"} & set(words)


def test_a_format_there_is_not_is_refused(write_run: Any) -> None:
    with pytest.raises(UsageError, match="html, md, json"):
        write(write_run(sessions=20), "pdf")


def test_targets_say_whether_chance_may_have_met_them() -> None:
    def verdict(reached: float | None, low: float | None, high: float | None, below: bool = False) -> str:
        return targets.Yardstick("sharpe", "", 1.0, reached, low, high, "", below).verdict

    assert verdict(1.2, 0.4, 2.0) == "met, within chance"
    assert verdict(1.2, 1.1, 2.0) == "met, beyond chance"
    assert verdict(1.2, 0.9, None) == "met, within chance"
    assert verdict(0.2, -1.0, 0.8) == "missed, beyond chance"
    assert verdict(0.2, 0.1, 0.8, below=True) == "met, beyond chance"
    assert verdict(None, None, None) == "n/a"
    assert verdict(2.0, None, None) == "met"


def test_the_interval_of_a_win_rate_is_wilsons() -> None:
    from scipy.stats import binomtest

    for wins, losses in ((8, 7), (0, 4), (300, 11)):
        known = binomtest(wins, wins + losses).proportion_ci(0.95, "wilson")
        found = targets._wilson({"wins": float(wins), "losses": float(losses)})
        assert found == (pytest.approx(known.low, abs=1e-12), pytest.approx(known.high, abs=1e-12))
    assert targets._wilson({"wins": 0.0, "losses": 0.0}) == (None, None)


def test_a_profit_factor_has_no_upper_end_where_losses_are_rare() -> None:
    gains = np.full(20, 100.0)
    low, high = targets.profit_factor_interval(np.r_[gains, -50.0])
    assert low is not None
    assert high is None
    low, high = targets.profit_factor_interval(np.r_[gains, -gains])
    assert low is not None
    assert high is not None
    assert low < 1.0 < high
    assert targets.profit_factor_interval(np.array([1.0, -1.0])) == (None, None)


def test_round_trips_are_told_from_the_fills_alone(write_run: Any) -> None:
    folder: Path = write_run()
    rows = ["order_id,symbol,at,session,quantity,price,slippage,commission,why"]
    for day, quantity, price in (("02", 10, 100.0), ("03", -10, 110.0), ("04", 5, 100.0), ("05", -5, 90.0)):
        rows.append(f"1,SPY,2024-01-{day}T09:30:00-05:00,2024-01-{day},{quantity},{price},1.0,0.5,open")
    (folder / "fills.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    assert trip_profits(read(folder).fills).tolist() == [97.0, -53.0]


def test_what_misses_a_target_by_a_rounding_can_be_seen_to() -> None:
    one = targets.Yardstick("sharpe", "", 1.0, 0.9965, -1.0, 3.0, "")
    assert one.cells[:2] == ("above 1.00", "0.9965")
    assert one.verdict == "missed, within chance"


def test_code_is_code_and_orders_are_not_mixed_with_fills_in_markdown(write_run: Any) -> None:
    text = as_markdown(write_run())
    assert "`sim data check` tells" in text
    assert "\\`" not in text
    assert re.search(r"^- Fills: \d+ at the open, \d+ by stop\.$", text, re.MULTILINE)
    assert re.search(r"^- \d+ orders: \d+ filled, \d+ rejected; slippage", text, re.MULTILINE)


def test_a_table_is_the_same_in_a_page_in_markdown_and_as_json() -> None:
    rows = [Row("Sharpe ratio", (Cell("1.20", value=1.2), Cell("n/a", "it never moved")), "a year")]
    table = make_table("Both", ("mine", "hold"), rows, corner="Metric", reasons="footnotes")
    assert json_renderer.render_table(table) == {
        "title": "Both",
        "columns": ["mine", "hold"],
        "rows": [
            {
                "label": "Sharpe ratio",
                "group": None,
                "cells": [
                    {"text": "1.20", "value": 1.2, "why": None},
                    {"text": "n/a", "value": None, "why": "it never moved"},
                ],
            }
        ],
    }
    assert render_table(table).splitlines()[2:] == ["| Sharpe ratio | 1.20 | n/a (a) |", "", "- (a) it never moved"]
    page = html_renderer.render_table(table)
    assert '<td class="undefined" title="it never moved">n/a<sup>a</sup></td>' in page
    assert "<sup>a</sup> it never moved</li>" in page


def test_every_table_of_the_page_is_among_the_numbers(write_run: Any) -> None:
    folder = write_run()
    titles = [table["title"] for table in json.loads(as_json(folder))["tables"]]
    html = write(folder, "html").read_text(encoding="utf-8")
    assert titles == ["Table of all figures", *titles[1:]]
    assert all(f'aria-label="{title}"' in html for title in titles if title not in ("Significance", "Cut-offs"))


def test_a_name_in_a_table_cannot_become_markup() -> None:
    table = make_table("<i>", ("<b>",), [make_row("<script>", ("<img>",))])
    assert not re.search(r"<(i|b|script|img)>", html_renderer.render_table(table))
