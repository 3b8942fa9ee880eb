"""Charts show the run's own numbers, into axes that are given or new."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pytest

import simulator
from simulator.errors import DataError, UsageError
from simulator.notebook.plots import monthly_returns

mpl.use("Agg")
pyplot = pytest.importorskip("matplotlib.pyplot")
pytestmark = pytest.mark.medium
CHARTS = ("equity", "drawdown", "monthly", "weights", "rolling", "trades", "leaderboard")


@pytest.fixture(autouse=True)
def _closed() -> Any:
    yield
    pyplot.close("all")


@pytest.mark.parametrize("name", CHARTS)
def test_a_chart_draws_into_the_axes_it_is_given(name: str, council: simulator.Run) -> None:
    figure, ax = pyplot.subplots()
    more = {"window": 40} if name == "rolling" else {}
    assert getattr(council.plot, name)(ax=ax, **more) is ax
    assert ax.has_data()
    assert ax.get_title(loc="left")
    figure.canvas.draw()


def test_lines_are_the_run_s_own_numbers(made: simulator.Run) -> None:
    lines = {line.get_label(): np.asarray(line.get_ydata()) for line in made.plot.equity().get_lines()}
    assert lines["trend"].tolist() == made.equity.tolist()
    assert lines["Buy-and-hold"].tolist() == made.benchmarks["buy_and_hold"].tolist()
    rolled = made.plot.rolling(63).get_lines()[0].get_ydata()
    excess = (made.returns - made.risk_free).iloc[-63:]
    assert rolled[-1] == pytest.approx(excess.mean() / excess.std() * 252**0.5, rel=1e-9)
    assert made.rolling(63)["sharpe"].tolist()[62:] == list(rolled)[62:]
    volatility = made.plot.rolling(63, figure="volatility").get_lines()[0].get_ydata()
    assert volatility[-1] == pytest.approx(made.returns.iloc[-63:].std() * 252**0.5, rel=1e-9)
    months = monthly_returns(made.returns)
    assert (1 + months.stack()).prod() - 1 == pytest.approx(made.metrics["total_return"], rel=1e-9)
    closes = made.plot.prices("SPY").get_lines()[0].get_ydata()
    assert np.asarray(closes).tolist() == made.closes("SPY").tolist()


def test_all_of_a_run_is_a_picture(made: simulator.Run, tmp_path: Path, sim: Any, lab: Path) -> None:
    axes = made.plot()
    assert len(axes) == 4
    open_before = pyplot.get_fignums()
    path = made.plot.save(tmp_path / "run.png")
    assert path.read_bytes().startswith(b"\x89PNG")
    assert pyplot.get_fignums() == open_before
    with pytest.raises(UsageError, match=r"no picture can be made as \.nothing .*; name a \.png"):
        made.plot.save(tmp_path / "run.nothing")
    done = sim("report", made.id, "--format", "png", cwd=lab)
    assert done.returncode == 0, done.stderr
    assert (made.folder / "report.png").read_bytes().startswith(b"\x89PNG")
    assert sim("verify", made.id, cwd=lab).returncode == 0


def test_what_cannot_be_drawn_is_one_line(made: simulator.Run, lab: Path) -> None:
    for draw, found in (
        (made.plot.leaderboard, "trend has one account"),
        (lambda: made.plot.rolling(400), "311 sessions have no window of 400"),
        (lambda: made.plot.rolling(63, figure="alpha"), 'no rolling figure "alpha"'),
        (lambda: made.plot.prices("GLD"), 'no "GLD" in this run'),
    ):
        with pytest.raises(UsageError, match=found):
            draw()
    other = simulator.run("buy_and_hold", "SPY", "2024-01-02", "2024-01-31", workspace=lab)
    (lab / "data" / "SPY.csv").write_text("date,open,high,low,close,volume\n" + "".join(
        f"2024-01-{day:02},1,1,1,1,1\n" for day in range(2, 32) if day not in (6, 7, 13, 14, 15, 20, 21, 27, 28)
    ))  # fmt: skip
    try:
        with pytest.raises(DataError, match=f"bars of SPY have changed since run {other.id}"):
            other.closes("SPY")
    finally:
        (lab / "data" / "SPY.csv").unlink()
