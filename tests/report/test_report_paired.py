"""The run against its benchmarks on the same sessions."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from simulator.analysis.paired import against_benchmarks, returns_of
from simulator.evidence.reader import read
from simulator.number_format import ratio
from simulator.report.markdown import as_markdown
from simulator.report.page import render


def curves(shift: float, sessions: int = 500, noise: float = 0.002) -> dict[str, Any]:
    rng = np.random.default_rng(4)
    market = rng.normal(0.0004, 0.01, sessions)
    own = market + rng.normal(shift, noise, sessions)
    return {
        "equity": 100.0 * np.cumprod(1 + own),
        "buy_and_hold": 100.0 * np.cumprod(1 + market),
        "risk_free": np.full(sessions, 0.0001),
    }


def test_what_a_model_may_remember_is_not_compared() -> None:
    split = {"assessable": False, "parts": None}
    run = {"sessions": 500, "cash": 100.0, "llm": {"models": ["m"]}, "contamination": split}
    (row,) = against_benchmarks(run, curves(0.0008))
    assert (row.difference, row.p) == (None, None)
    assert "not assessable" in row.why
    part = {
        "sessions": 100,
        **dict.fromkeys(("sharpe", "sharpe_p_hac", "sharpe_ci_low", "sharpe_ci_high")),
        "reasons": {},
    }
    after = {"assessable": True, "parts": {"after": part}}
    whole = {**run, "inference": {}, "metrics": {}, "contamination": after}
    path = curves(0.0008)
    (late,) = against_benchmarks(whole, path)
    alone = {"sessions": 100, "cash": 100.0, "llm": {"models": []}}
    lead = {name: values[-101] for name, values in path.items()}
    cut = {n: v[-100:] if n == "risk_free" else 100.0 * v[-100:] / lead[n] for n, v in path.items()}
    (same,) = against_benchmarks(alone, cut)
    assert late.difference == pytest.approx(same.difference, rel=1e-9)


def test_a_run_that_lags_its_benchmark_each_session_is_called_worse() -> None:
    (row,) = against_benchmarks({"sessions": 500, "cash": 100.0, "llm": {"models": []}}, curves(-0.0008))
    assert row.verdict == "worse"
    assert row.high is not None
    assert row.high < 0
    (other,) = against_benchmarks({"sessions": 500, "cash": 100.0, "llm": {"models": []}}, curves(+0.0008))
    assert other.verdict == "better"


def test_the_difference_is_that_of_the_two_sharpe_ratios() -> None:
    equity = curves(-0.0003)
    (row,) = against_benchmarks({"sessions": 500, "cash": 100.0, "llm": {"models": []}}, equity)
    own, other = (returns_of(equity[key], 100.0) - equity["risk_free"] for key in ("equity", "buy_and_hold"))
    expected = (own.mean() / own.std(ddof=1) - other.mean() / other.std(ddof=1)) * np.sqrt(252)
    assert row.difference is not None
    assert abs(row.difference - expected) < 0.02


def test_nothing_is_compared_on_a_short_run_nor_where_an_account_was_lost() -> None:
    assert against_benchmarks({"sessions": 59, "cash": 100.0, "llm": {"models": []}}, curves(0.0, 59)) == ()
    lost = curves(0.0)
    lost["equity"][-1] = -5.0
    (row,) = against_benchmarks({"sessions": 500, "cash": 100.0, "llm": {"models": []}}, lost)
    assert (row.difference, row.why) == (None, "an account was lost")
    still = curves(0.0)
    still["equity"][:] = 100.0
    (row,) = against_benchmarks({"sessions": 500, "cash": 100.0, "llm": {"models": []}}, still)
    assert (row.difference, row.why) == (None, "no position was held")


def test_page_and_markdown_show_the_same_rows(write_run: Any) -> None:
    folder = write_run()
    evidence = read(folder)
    (row,) = against_benchmarks(evidence.run, evidence.equity)
    assert "Against the benchmarks, session by session" in render(folder).decode()
    assert f"| Buy-and-hold | {ratio(row.difference, sign=True)} |" in as_markdown(folder)
