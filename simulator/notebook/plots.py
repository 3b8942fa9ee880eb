"""Charts of a run with matplotlib. Every one returns its axes and draws into `ax` where one is given."""

from __future__ import annotations

import os
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from simulator.analysis.verdict import describe_memory
from simulator.errors import UsageError
from simulator.files import write_file
from simulator.notebook.card import headline
from simulator.stats import drawdowns
from simulator.stats.series import Undefined

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from simulator.notebook.run import Account

OWN, HOLD, EQUAL, LOSS, GAIN = "#1f5fa8", "#8a8a8a", "#c9a227", "#b3403a", "#2f7d4f"
BENCHMARKS = {"equal_weight": ("Equal-weight", EQUAL, "-"), "buy_and_hold": ("Buy-and-hold", HOLD, "--")}
MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
PICTURE = "report.png"


class Plots:
    """``run.plot()`` draws equity, drawdown, months and weights on one figure; the methods draw one chart each. Of an
    account too."""

    def __init__(self, account: Account) -> None:
        self._run, self._facts = account, account.run.facts

    def __call__(self) -> Sequence[Axes]:
        """Return the four axes of a figure of the whole run."""
        figure = _new_figure((10, 9))
        axes: Any = figure.subplots(4, 1, gridspec_kw={"height_ratios": (3, 1.4, 1.6, 1.6)})
        for draw, ax in zip((self.equity, self.drawdown, self.monthly, self.weights), axes, strict=True):
            draw(ax=ax)
        axes[1].sharex(axes[0])
        axes[3].sharex(axes[0])
        figure.suptitle(headline(self._run), fontsize=10, wrap=True)
        return list(axes)

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the figure of the whole run; the ending of `path` says in which format. Returns the path."""
        written = Path(path)
        content = self.picture(written.suffix.lstrip("."))
        return write_file(written, content)

    def picture(self, kind: str) -> bytes:
        """Return the figure of the whole run as ``png``, ``svg``, ``pdf``, …"""
        from matplotlib import pyplot

        self()
        try:
            pyplot.gcf().savefig(content := BytesIO(), dpi=150, format=kind)
        except ValueError as error:
            found = f"no picture can be made as .{kind} ({str(error).splitlines()[0]})"
            raise UsageError(found, mend="name a .png, .svg or .pdf") from None
        finally:
            pyplot.close()
        return content.getvalue()

    def equity(self, ax: Axes | None = None) -> Axes:
        """Draw dollars at the close, of the run and of its benchmarks."""
        ax = _axes(ax)
        benchmarks = self._run.benchmarks
        for name, (label, colour, style) in BENCHMARKS.items():
            if name in benchmarks:
                ax.plot(benchmarks.index, benchmarks[name], color=colour, linewidth=1, label=label, linestyle=style)
        ax.plot(
            self._run.equity.index,
            self._run.equity,
            color=OWN,
            linewidth=1.6,
            label=self._facts["strategy"] if self._run is self._run.run else self._run.name,
        )
        if (self._run.equity > 0).all() and self._run.equity.max() > 3 * self._run.equity.min():
            ax.set_yscale("log")
        return _finish(ax, "Equity, $", legend=True)

    def drawdown(self, ax: Axes | None = None) -> Axes:
        """Draw the distance from the highest close so far, in percent."""
        ax, returns = _axes(ax), self._run.returns
        below = drawdowns.underwater(returns.to_numpy())
        if not isinstance(below, Undefined):
            ax.fill_between(returns.index, 100 * below[1:], 0, color=LOSS, alpha=0.45, linewidth=0)
        return _finish(ax, "Drawdown, %")

    def monthly(self, ax: Axes | None = None) -> Axes:
        """Draw the return of each month in percent, years from top to bottom."""
        ax, months = _axes(ax), monthly_returns(self._run.returns)
        largest = float(np.nanmax(np.abs(months.to_numpy()), initial=0.01))
        ax.imshow(100 * months, cmap="RdYlGn", vmin=-100 * largest, vmax=100 * largest, aspect="auto")
        ax.set_xticks(range(12), MONTHS)
        ax.set_yticks(range(len(months)), [str(year) for year in months.index])
        for (row, column), value in np.ndenumerate(months.to_numpy()):
            if np.isfinite(value):
                ink = "white" if abs(value) > 0.75 * largest else "black"
                ax.text(column, row, f"{100 * value:.1f}", ha="center", va="center", fontsize=7, color=ink)
        ax.set_title("Return by month, %", loc="left", fontsize=9)
        return ax

    def weights(self, ax: Axes | None = None) -> Axes:
        """Draw the weight of each symbol at the close in percent of equity; long above zero, short below."""
        ax, weights = _axes(ax), 100 * self._run.weights
        shown = weights[weights.abs().mean().sort_values(ascending=False).index[:12]]
        for side, labels in ((shown.clip(lower=0), tuple(shown.columns)), (shown.clip(upper=0), ())):
            ax.set_prop_cycle(None)
            ax.stackplot(shown.index, side.T.to_numpy(), labels=labels, alpha=0.75, linewidth=0)
        return _finish(ax, "Weights, % of equity", legend=True)

    def rolling(self, window: int = 126, ax: Axes | None = None, figure: str = "sharpe") -> Axes:
        """Draw ``sharpe``, ``volatility`` or ``beta`` of the `window` sessions up to each, as `run.rolling` has it."""
        names = {"sharpe": "Sharpe ratio", "volatility": "Volatility", "beta": "Beta to buy-and-hold"}
        if figure not in names:
            raise UsageError(f'no rolling figure "{figure}"', mend=f"it is one of {', '.join(names)}")
        values = self._run.rolling(window)[figure]
        ax = _axes(ax)
        ax.plot(values.index, values, color=OWN, linewidth=1.4)
        ax.axhline(0, color=HOLD, linewidth=0.8)
        return _finish(ax, f"{names[figure]} over {window} sessions")

    def trades(self, ax: Axes | None = None) -> Axes:
        """Draw each round trip that ended: when, and what it earned in percent of its entry."""
        ax, trades = _axes(ax), self._run.trades
        closed = trades[trades["exit_at"].notna()]
        colours = np.where(closed["pnl"] > 0, GAIN, LOSS).tolist()
        ax.vlines(closed["exit_at"], 0, 100 * closed["pnl_fraction"], colors=colours, linewidth=1)
        ax.scatter(closed["exit_at"], 100 * closed["pnl_fraction"], c=colours, s=14)
        ax.axhline(0, color=HOLD, linewidth=0.8)
        return _finish(ax, "Round trips, % earned")

    def prices(self, symbol: str, ax: Axes | None = None) -> Axes:
        """Draw the closes of `symbol`, where it was bought and sold, and the stops and targets of its orders."""
        run = self._run
        if symbol not in self._facts["symbols"]:
            raise UsageError(f'no "{symbol}" in this run', mend=f"it has {', '.join(self._facts['symbols'])}")
        ax, closes = _axes(ax), run.closes(symbol)
        ax.plot(closes.index, closes, color=HOLD, linewidth=1)
        fills = run.fills[run.fills["symbol"] == symbol]
        for side, name, marker, colour in ((1, "bought", "^", GAIN), (-1, "sold", "v", LOSS)):
            these = fills[np.sign(fills["quantity"]) == side]
            ax.scatter(these["session"], these["price"], marker=marker, color=colour, s=26, zorder=3, label=name)
        orders = run.orders[run.orders["symbol"] == symbol]
        for column, colour in (("stop", LOSS), ("take_profit", GAIN)):
            there = orders[orders[column].notna()]
            days = there["submitted_at"].dt.tz_localize(None)
            ax.scatter(days, there[column], marker="_", color=colour, s=36, label=column.replace("_", " "))
        return _finish(ax, f"{symbol}, $", legend=True)

    def leaderboard(self, ax: Axes | None = None) -> Axes:
        """Draw the total return of each account in percent, the best on top."""
        ax = _axes(ax)
        if not self._run.run.accounts:
            raise UsageError(f"{self._facts['strategy']} has one account", mend="plot.equity() draws it")
        earned = pd.Series({name: 100 * one.metrics["total_return"] for name, one in self._run.run.accounts.items()})
        earned = earned.sort_values()
        ax.barh(list(earned.index), earned.to_numpy(), color=np.where(earned > 0, GAIN, LOSS).tolist())
        return _finish(ax, f"Return by account, %. {describe_memory(self._facts)}".rstrip(". "))


def monthly_returns(returns: pd.Series) -> pd.DataFrame:
    """Return (years, 12) compounded returns of the months; NaN where there was no session."""
    grown = (1.0 + returns).groupby([returns.index.year, returns.index.month]).prod() - 1.0  # type: ignore[attr-defined]
    return grown.unstack().reindex(columns=range(1, 13))


def _new_figure(size: tuple[float, float]) -> Figure:
    from matplotlib import pyplot

    return pyplot.figure(figsize=size, layout="constrained")


def new_axes(size: tuple[float, float]) -> Axes:
    """Return the axes of a new figure of `size`, in inches."""
    axes: Axes = _new_figure(size).subplots()
    return axes


def _axes(ax: Axes | None) -> Axes:
    return ax if ax is not None else new_axes((9, 3.6))


def _finish(ax: Axes, title: str, legend: bool = False) -> Axes:
    ax.set_title(title, loc="left", fontsize=9)
    ax.grid(alpha=0.25, linewidth=0.6)
    for side in ("top", "right"):
        ax.spines[side].set_visible(False)
    if legend:
        ax.legend(fontsize=8, frameon=False, loc="upper left", ncols=4)
    return ax
