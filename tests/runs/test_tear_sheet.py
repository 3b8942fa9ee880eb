"""Every number of the tear sheet, worked out again in plain pandas from the CSV files of the README's run."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

pytestmark = pytest.mark.medium

ROOT = Path(__file__).parent.parent.parent
CASH = 100_000.0
TILE = re.compile(r'<dt>([^<]+)</dt><dd>([^<]+)</dd><dd class="hint">([^<]+)</dd>')


@pytest.fixture(scope="module")
def page(readme_run: Path) -> str:
    return (readme_run / "report.html").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def numbers(readme_run: Path) -> dict[str, Any]:
    """What `sim report --format json` writes: the numbers behind the texts of the page."""
    from simulator.report.formats import as_json

    return dict(json.loads(as_json(readme_run)))


def read(folder: Path, name: str) -> pd.DataFrame:
    return pd.read_csv(folder / f"{name}.csv", index_col="session", parse_dates=["session"])


@pytest.fixture(scope="module")
def equity(readme_run: Path) -> pd.DataFrame:
    return read(readme_run, "equity")


@pytest.fixture(scope="module")
def returns(equity: pd.DataFrame) -> pd.DataFrame:
    """(T, 3) of the run, of cash and of buy-and-hold."""
    paths = equity[["equity", "buy_and_hold"]]
    before = paths.shift(1).fillna(CASH)
    return (paths / before - 1).assign(risk_free=equity["risk_free"])


@pytest.fixture(scope="module")
def trips(readme_run: Path) -> pd.DataFrame:
    return pd.read_csv(readme_run / "trades.csv")


def embedded(page: str, name: str) -> dict[str, Any]:
    found = re.search(rf'<script type="application/json" id="{name}">(.*?)</script>', page, re.S)
    assert found
    return dict(json.loads(found[1]))


def number(text: str) -> float:
    """``−3.7 %`` as a fraction, ``$1,234`` in dollars."""
    value = float(re.sub(r"[^\d.−-]", "", text).replace("−", "-"))
    return value / 100 if "%" in text else value


def rounded(text: str, value: float) -> bool:
    """True where `text` is `value` to its last digit."""
    digits = len(text.partition(".")[2].rstrip("\u00a0%")) + (2 if "%" in text else 0)
    return abs(number(text) - value) <= 0.5000001 * 10.0**-digits


def test_the_tiles_of_the_first_screen(
    page: str, readme_run: Path, equity: pd.DataFrame, returns: pd.DataFrame
) -> None:
    first = page[page.index('<dl class="tiles">') :]
    tiles = {name: (text, under) for name, text, under in TILE.findall(first[: first.index("</dl>")])}
    excess = returns["equity"] - returns["risk_free"]
    path = pd.Series(np.r_[CASH, equity["equity"]])
    held = pd.Series(np.r_[CASH, equity["buy_and_hold"]])
    parts, fills = read(readme_run, "exposure"), pd.read_csv(readme_run / "fills.csv")
    inference = json.loads((readme_run / "run.json").read_text())["inference"]
    skill = json.loads((readme_run / "run.json").read_text())["skill"]
    weights = read(readme_run, "weights")
    paid = fills[["slippage", "commission"]].sum()
    expected = {
        "Return": (path.iloc[-1] / CASH - 1, [held.iloc[-1] / CASH - 1]),
        "Beyond its exposure": (
            252 * (parts["choosing"] + parts["costs"]).mean(),
            [skill["beyond_low"], skill["beyond_high"]],
        ),
        "Sharpe ratio": (
            np.sqrt(252) * excess.mean() / excess.std(),
            [inference["sharpe_ci_low"], inference["sharpe_ci_high"]],
        ),
        "Largest drawdown": ((path / path.cummax() - 1).min(), [(held / held.cummax() - 1).min()]),
        "Exposure": (weights.abs().sum(axis=1).mean(), [np.sqrt(252) * returns["equity"].std()]),
        "Cost": (paid.sum(), list(paid)),
    }
    assert list(tiles) == list(expected)
    for name, (value, others) in expected.items():
        text, under = tiles[name]
        assert rounded(text, value), (name, text, value)
        found = re.findall(r"[+−]?\$?\d[\d,]*(?:\.\d+)?(?:\u00a0%)?", under.replace("95\u00a0% interval", ""))
        assert len(found) == len(others), under
        assert all(rounded(one, other) for one, other in zip(found, others, strict=True)), (name, under, others)


def test_the_numbers_the_script_reads(page: str, readme_run: Path, equity: pd.DataFrame, trips: pd.DataFrame) -> None:
    data = embedded(page, "evidence")
    assert data["days"] == [str(day)[:10] for day in equity.index]
    columns = {"equity": "equity", "hold": "buy_and_hold", "equal": "equal_weight", "gross": "gross", "net": "net"}
    for name, column in columns.items():
        np.testing.assert_allclose(
            data["curves"][name], equity[column], atol=0.005 if equity[column].max() > 5 else 5e-5
        )
    fills = pd.read_csv(readme_run / "fills.csv")
    assert [[row[1], row[2], row[3]] for row in data["trades"]] == [
        [row.symbol, pytest.approx(row.quantity, abs=1e-3), pytest.approx(row.price, abs=1e-3)]
        for row in fills.itertuples()
    ]
    assert [data["days"][row[0]] for row in data["trades"]] == fills["session"].tolist()
    table = embedded(page, "trips")
    own = [row for row in table["rows"] if table["accounts"][row[0]] == "COUNCIL"]
    assert len(own) == len(trips)
    for row, trip in zip(own, trips.itertuples(), strict=True):
        assert table["symbols"][row[1]] == trip.symbol
        assert data["days"][row[3] // 1440] == trip.entry_at[:10]
        assert row[5] == trip.sessions
        assert row[7:9] == [
            pytest.approx(trip.entry_price, abs=1e-4),
            None if np.isnan(trip.exit_price) else pytest.approx(trip.exit_price, abs=1e-4),
        ]
        assert row[9:11] == [pytest.approx(trip.costs, abs=0.005), pytest.approx(trip.pnl, abs=0.005)]
        assert row[11:14] == pytest.approx([trip.pnl_fraction, trip.mae, trip.mfe], abs=5e-6)


def test_excursions_are_of_the_printed_entry_price(readme_run: Path, trips: pd.DataFrame) -> None:
    """Most positions of the README's run are added to or reduced before they end."""
    fills = pd.read_csv(readme_run / "fills.csv").sort_values("at", kind="stable")
    several = 0
    for trip in trips.itertuples():
        bars = pd.read_parquet(ROOT / "data" / "sample" / f"{trip.symbol}.parquet").set_index("date")
        bars.index = pd.to_datetime(bars.index)
        ended = isinstance(trip.exit_at, str)
        own = fills[(fills["symbol"] == trip.symbol) & (fills["at"] >= trip.entry_at)]
        own = own[own["at"] <= trip.exit_at] if ended else own
        opens = bars["open"].reindex(pd.to_datetime(own["session"])).to_numpy()
        at_open = np.isclose(own["price"], opens, rtol=1e-12)
        days = bars.loc[own["session"].iloc[0] : trip.exit_at[:10] if ended else own_end(readme_run), ["low", "high"]]
        days = days.iloc[0 if at_open[0] else 1 :]
        bought = own[own["quantity"] > 0]
        paid = (bought["quantity"] * bought["price"]).sum()
        assert trip.side == "long"
        assert trip.entry_price == pytest.approx(paid / bought["quantity"].sum(), rel=1e-9)
        if ended:
            last = own["price"].iloc[-1]
            days.iloc[-1:] = [min(last, opens[-1]), max(last, opens[-1])]
        lowest, highest = days["low"].min(), days["high"].max()
        assert trip.mae == pytest.approx(min(0.0, lowest / trip.entry_price - 1), abs=1e-9)
        assert trip.mfe == pytest.approx(max(0.0, highest / trip.entry_price - 1), abs=1e-9)
        if not at_open[:-1].all():
            continue
        several += len(own) > 2
        moved = own.iloc[:-1] if ended else own
        by_day = moved.assign(cash=-moved["quantity"] * moved["price"]).groupby("session")[["quantity", "cash"]].sum()
        books = by_day.set_axis(pd.to_datetime(by_day.index)).cumsum().reindex(days.index, method="ffill")
        for column, found, worst in (("low", trip.mae_usd, np.min), ("high", trip.mfe_usd, np.max)):
            assert found == pytest.approx(worst([0.0, *(books["cash"] + books["quantity"] * days[column])]), abs=1e-6)
    assert several > 5


def own_end(folder: Path) -> str:
    return str(json.loads((folder / "run.json").read_text())["to"])


def test_profit_by_symbol_reason_time_and_account(
    numbers: dict[str, Any], readme_run: Path, equity: pd.DataFrame, trips: pd.DataFrame
) -> None:
    found = numbers["profit"]
    classes = pd.cut(trips["sessions"], [-1, 0, 1, 5, 21, 63, 252, np.inf])
    classes = classes.cat.rename_categories(["0", "1", "2–5", "6–21", "22–63", "64–252", "253 or more"])
    ended = trips["exit_at"].notna()
    for kind, key in (("symbols", trips["symbol"]), ("reasons", trips["ended"]), ("time_held", classes[ended])):
        groups = {str(name): rows for name, rows in trips.groupby(key, observed=True)}
        assert {one["key"] for one in found[kind]} == set(groups)
        for one in found[kind]:
            rows = groups[one["key"]]
            check_part(one, rows)
    assert [one["pnl"] for one in found["symbols"]] == sorted((one["pnl"] for one in found["symbols"]), reverse=True)
    assert len(found["accounts"]) == 6
    for one in found["accounts"]:
        own = one["key"] == "COUNCIL"
        place = readme_run if own else readme_run / "accounts" / one["key"]
        check_part(one, pd.read_csv(place / "trades.csv"))
        curve = equity["equity" if own else f"account:{one['key']}"]
        assert one["net"] == pytest.approx(curve.iloc[-1] - CASH, rel=1e-9)


def check_part(one: dict[str, Any], rows: pd.DataFrame) -> None:
    ended = rows[rows["exit_at"].notna()]
    won, lost = (ended["pnl"] > 1e-9).sum(), (ended["pnl"] < -1e-9).sum()
    assert [one["positions"], one["closed"], one["won"], one["lost"]] == [len(rows), len(ended), won, lost]
    assert one["pnl"] == pytest.approx(rows["pnl"].sum(), rel=1e-9, abs=1e-6)
    assert one["mean"] == pytest.approx(rows["pnl_fraction"].mean(), rel=1e-9)
    assert one["sessions"] == (ended["sessions"].median() if len(ended) else None)
    assert one["hit_rate"] == (pytest.approx(won / (won + lost)) if won + lost else None)


def test_the_texts_of_the_profit_are_its_numbers(page: str, numbers: dict[str, Any], equity: pd.DataFrame) -> None:
    section = page[page.index('id="profit"') : page.index("</section>", page.index('id="profit"'))]
    sentence = re.search(r'class="finding">([^<]+)<', section)
    assert sentence
    net, earned, rest = re.findall(r"[+−]?\$[\d,]+", sentence[1])
    together = sum(one["pnl"] for one in numbers["profit"]["symbols"])
    whole = equity["equity"].iloc[-1] - CASH
    assert rounded(net, whole)
    assert rounded(earned, together)
    assert rounded(rest, whole - together)
    for one in numbers["profit"]["symbols"]:
        row = re.search(rf'<th scope="row">{one["key"]}</th>(.*?)</tr>', section)
        assert row
        pnl, positions, won, mean, held = re.findall(r"<td[^>]*>([^<]+)</td>", row[1])
        assert rounded(pnl, one["pnl"])
        assert rounded(won, one["hit_rate"])
        assert rounded(mean, one["mean"])
        assert [number(positions), number(held)] == [one["positions"], one["sessions"]]


def test_rolling_figures(numbers: dict[str, Any], returns: pd.DataFrame) -> None:
    excess = returns["equity"] - returns["risk_free"]
    market = returns["buy_and_hold"] - returns["risk_free"]
    assert set(numbers["rolling"]) == {"63", "126"} | ({"252"} if len(returns) >= 252 else set())
    for window, found in numbers["rolling"].items():
        rolled = excess.rolling(int(window))
        expected = {
            "sharpe": np.sqrt(252) * rolled.mean() / rolled.std(),
            "volatility": np.sqrt(252) * returns["equity"].rolling(int(window)).std(),
            "beta": rolled.cov(market) / market.rolling(int(window)).var(),
        }
        for name, values in expected.items():
            there = np.array([np.nan if value is None else value for value in found[name]])
            np.testing.assert_allclose(there, values, rtol=1e-7, atol=1e-9, err_msg=f"{name} {window}")


def test_the_deepest_drawdowns(numbers: dict[str, Any], equity: pd.DataFrame) -> None:
    start = equity.index[0] - pd.Timedelta(days=1)
    path = pd.concat([pd.Series([CASH], index=[start]), equity["equity"]])
    under = path / path.cummax() - 1
    below = under[under < 0]
    spell = (under >= 0).cumsum()[under < 0]
    rows = []
    for _, part in below.groupby(spell):
        first, last = path.index.get_loc(part.index[0]), path.index.get_loc(part.index[-1])
        over = last + 1 if last + 1 < len(path) else None
        rows.append(
            (part.min(), path.index[first - 1], part.idxmin(), over and path.index[over], (over or last) - first + 1)
        )
    deepest = sorted(rows, key=lambda row: row[0])[:5]
    assert len(numbers["drawdowns"]) == 5
    for one, (depth, peak, trough, recovery, sessions) in zip(numbers["drawdowns"], deepest, strict=True):
        assert one["depth"] == pytest.approx(depth, rel=1e-9)
        assert one["peak"] == (None if peak == start else str(peak)[:10])
        assert one["trough"] == str(trough)[:10]
        assert one["recovery"] == (recovery and str(recovery)[:10])
        assert one["sessions"] == sessions


def test_months_and_the_distribution_of_returns(numbers: dict[str, Any], returns: pd.DataFrame) -> None:
    own = returns["equity"]
    months = ((1 + own).groupby(own.index.strftime("%Y-%m")).prod() - 1).rename(None)
    assert numbers["monthly"]["equity"] == pytest.approx(months.to_dict(), rel=1e-9, abs=1e-12)
    sessions = own.set_axis(own.index.strftime("%Y-%m-%d"))
    for name, values in (("sessions", sessions), ("months", months)):
        found = numbers["distribution"][name]
        counts = pd.cut(values, found["edges"], right=False).value_counts(sort=False)
        assert found["counts"] == counts.tolist()
        assert sum(found["counts"]) == len(values)
        assert found["best"] == pytest.approx(values.nlargest(5).to_dict(), rel=1e-9)
        assert found["worst"] == pytest.approx(values.nsmallest(5).to_dict(), rel=1e-9)


def test_weights_and_prices_of_each_symbol(page: str, readme_run: Path) -> None:
    weights, prices = read(readme_run, "weights"), read(readme_run, "prices")
    closes = pd.read_parquet(readme_run.parents[1] / "data" / "sample" / "SPY.parquet").set_index("date")["close"]
    there = closes[
        closes.index.isin(prices.index.date) if closes.index.dtype == object else closes.index.isin(prices.index)
    ]
    np.testing.assert_allclose(prices["SPY"], there, rtol=1e-6)
    section = page[page.index('id="weights"') : page.index("</section>", page.index('id="weights"'))]
    for symbol in weights:
        found = re.search(rf"<b>{symbol}</b> <span>mean ([^,]+), last ([^;]+);", section)
        assert found
        assert rounded(found[1], weights[symbol].mean())
        assert rounded(found[2], weights[symbol].iloc[-1])
