"""The run of the README, replayed in plain pandas out of its orders, its fills and the bars: nothing of ours in it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

pytestmark = pytest.mark.medium

SYMBOLS, SPREAD, BPS = ["SPY", "QQQ"], 0.015, 2e-4


@pytest.fixture(scope="module")
def folder(readme_run: Path) -> Path:
    return readme_run


@pytest.fixture(scope="module")
def bars(folder: Path) -> dict[str, pd.DataFrame]:
    """{open, high, low, close: (sessions, symbols)}, BIL among them, read from the sample as it lies there."""
    sample = folder.parents[1] / "data" / "sample"
    each = {name: pd.read_parquet(sample / f"{name}.parquet").set_index("date") for name in (*SYMBOLS, "BIL")}
    return {field: pd.DataFrame({name: one[field] for name, one in each.items()}) for field in each["SPY"].columns}


@pytest.fixture(scope="module")
def equity(folder: Path) -> pd.DataFrame:
    return pd.read_csv(folder / "equity.csv", index_col="session", converters={"session": as_day})


def as_day(text: str) -> object:
    return pd.Timestamp(text).date()


def fills_of(folder: Path) -> pd.DataFrame:
    fills = pd.read_csv(folder / "fills.csv", converters={"session": as_day})
    assert len(fills) > 50
    return fills


def test_both_engines_agree(folder: Path) -> None:
    audit = json.loads((folder / "run.json").read_text())["audit"]
    assert {audit["engine"], audit["auditor"]} == {"backtrader", "kernel"}
    assert audit["max_relative_difference"] <= 1e-9


def test_every_fill_is_one_its_order_and_its_bar_allow(folder: Path, bars: dict[str, pd.DataFrame]) -> None:
    orders = pd.read_csv(folder / "orders.csv", index_col="id")
    for fill in fills_of(folder).itertuples():
        opened, high, low = (bars[field].loc[fill.session, fill.symbol] for field in ("open", "high", "low"))
        order, buys = orders.loc[fill.order_id], fill.quantity > 0
        assert order["symbol"] == fill.symbol
        assert low <= fill.price <= high
        if fill.why == "open":
            assert fill.price == opened
        elif fill.why == "limit":
            through = max(0.01, 1e-4 * order["limit"])
            assert fill.price == order["limit"]
            assert low <= order["limit"] - through if buys else high >= order["limit"] + through
        elif fill.why == "stop":  # its price may have been raised since the order
            assert fill.price >= opened if buys else fill.price <= opened
        if fill.why in ("open", "stop"):
            assert fill.slippage == pytest.approx(BPS * abs(fill.quantity) * fill.price, rel=1e-3)
        assert fill.commission == 0.0


@pytest.fixture(scope="module")
def books(folder: Path, bars: dict[str, pd.DataFrame], equity: pd.DataFrame) -> pd.DataFrame:
    """Cash, equity, positions and the bill rate of each session, from the fills alone."""
    days = list(equity.index)
    close, rate = bars["close"].loc[days], bars["close"]["BIL"].pct_change().loc[days]
    fills = fills_of(folder)
    bought = fills.pivot_table("quantity", "session", "symbol", "sum").reindex(
        index=days, columns=SYMBOLS, fill_value=0
    )
    paid = fills["quantity"] * fills["price"] + fills["slippage"] + fills["commission"]
    spent = paid.groupby(fills["session"]).sum().reindex(days, fill_value=0.0)
    positions = bought.fillna(0.0).cumsum()
    rows, cash = [], 100_000.0
    for day in days:
        # On what was carried from the close before, at first the money put in; a debit pays the spread too.
        earned = cash * rate[day] + min(cash, 0.0) * SPREAD / 252
        cash = cash - spent[day] + earned
        rows.append((cash, cash + (positions.loc[day] * close.loc[day, SYMBOLS]).sum(), rate[day]))
    return pd.DataFrame(rows, index=days, columns=["cash", "equity", "rate"]).join(positions)


def test_cash_with_its_interest_and_equity_are_those_of_pandas(books: pd.DataFrame, equity: pd.DataFrame) -> None:
    assert len(books) > 200
    np.testing.assert_allclose(equity["cash"], books["cash"], rtol=1e-9, atol=1e-4)
    np.testing.assert_allclose(equity["equity"], books["equity"], rtol=1e-9)


def test_weights_are_those_of_pandas(folder: Path, books: pd.DataFrame, bars: dict[str, pd.DataFrame]) -> None:
    weights = pd.read_csv(folder / "weights.csv", index_col="session", converters={"session": as_day})
    held = books[SYMBOLS] * bars["close"].loc[books.index, SYMBOLS]
    np.testing.assert_allclose(weights[SYMBOLS], held.div(books["equity"], axis=0), rtol=1e-9, atol=1e-12)


def test_the_figures_of_skill_are_those_of_pandas(
    folder: Path, books: pd.DataFrame, bars: dict[str, pd.DataFrame], equity: pd.DataFrame
) -> None:
    facts = json.loads((folder / "run.json").read_text())
    before = books["equity"].shift(1, fill_value=100_000.0)
    free = books["rate"]
    np.testing.assert_allclose(equity["risk_free"], free, rtol=0, atol=1e-12)
    excess = books["equity"] / before - 1 - free
    close = bars["close"][SYMBOLS]
    held = (books[SYMBOLS] * close.loc[books.index]).div(books["equity"], axis=0).shift(1, fill_value=0.0)
    moves = close.pct_change().loc[books.index].sub(free, axis=0)
    exposure = (held.expanding().mean() * moves).sum(axis=1)
    fills = fills_of(folder)
    charged = (fills["slippage"] + fills["commission"]).groupby(fills["session"]).sum()
    paid = charged.reindex(books.index, fill_value=0.0)
    paid += books["cash"].shift(1, fill_value=0.0).clip(upper=0.0).abs() * SPREAD / 252
    beyond = excess - exposure
    for key, values in (("excess", excess), ("exposure", exposure), ("beyond", beyond), ("costs", -paid / before)):
        assert facts["skill"][key] == pytest.approx(252 * values.mean(), abs=1e-9), key
    assert facts["skill"]["ratio"] == pytest.approx(beyond.mean() / beyond.std(), rel=1e-7)
    assert facts["metrics"]["sharpe"] == pytest.approx(np.sqrt(252) * excess.mean() / excess.std(), rel=1e-9)
    assert facts["metrics"]["total_return"] == pytest.approx(books["equity"].iloc[-1] / 100_000 - 1, rel=1e-9)


def test_the_readme_names_this_run() -> None:
    readme = Path(__file__).parents[2] / "README.md"
    assert "sim run --from 2024-01-01 --symbols SPY,QQQ" in readme.read_text(encoding="utf-8")
