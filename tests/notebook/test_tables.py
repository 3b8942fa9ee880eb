"""Tables of a run are the files of its folder, and say together what each says alone."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pandas as pd
import pytest

import simulator
from simulator.errors import DataError, UsageError

pytestmark = pytest.mark.medium

INSTANT = "datetime64[ns, America/New_York]"
DTYPES = {
    "fills": {"order_id": "int64", "symbol": "object", "at": INSTANT, "session": "datetime64[ns]", "price": "float64"},
    "orders": {"id": "int64", "submitted_at": INSTANT, "quantity": "float64", "limit": "float64", "status": "object"},
    "rejections": {"order_id": "int64", "at": INSTANT, "wanted": "float64", "why": "object"},
    "decisions": {"as_of": INSTANT, "session": "datetime64[ns]", "weight": "float64", "allowed": "float64"},
    "trades": {"entry_at": INSTANT, "exit_at": INSTANT, "pnl": "float64", "sessions": "int64", "decision": INSTANT},
    "drawdowns": {"depth": "float64", "peak": "datetime64[ns]", "recovery": "datetime64[ns]", "sessions": "int64"},
    "llm": {"session": "datetime64[ns]", "prompt_tokens": "int64", "cost_usd": "float64", "replicate": "int64"},
}


@pytest.mark.parametrize("name", DTYPES)
@pytest.mark.parametrize("run", ["made", "council"])
def test_columns_have_one_dtype_whether_or_not_there_are_rows(
    name: str, run: str, request: pytest.FixtureRequest
) -> None:
    table = getattr(request.getfixturevalue(run), name)
    assert {column: str(table[column].dtype) for column in DTYPES[name]} == DTYPES[name]


def test_series_are_the_files_of_the_folder(made: simulator.Run) -> None:
    equity = pd.read_csv(made.folder / "equity.csv", index_col="session", parse_dates=True)
    assert made.equity.to_list() == equity["equity"].to_list()
    assert made.risk_free.to_list() == equity["risk_free"].to_list()
    assert (made.equity.index == equity.index).all()
    before = np.r_[made.facts["cash"], equity["equity"][:-1]]
    assert made.returns.to_list() == (equity["equity"] / before - 1).to_list()
    assert made.benchmarks["buy_and_hold"].to_list() == equity["buy_and_hold"].to_list()
    weights = pd.read_csv(made.folder / "weights.csv", index_col="session", parse_dates=True)
    pd.testing.assert_frame_equal(made.weights, weights, check_freq=False, check_index_type=False)
    fills = pd.read_csv(made.folder / "fills.csv")
    for name in ("order_id", "symbol", "quantity", "price", "slippage", "commission", "why"):
        assert made.fills[name].to_list() == fills[name].to_list()
    assert [at.isoformat() for at in made.fills["at"]] == fills["at"].to_list()


def test_positions_at_their_closes_are_the_weights(made: simulator.Run) -> None:
    for symbol in made.positions:
        worth = made.positions[symbol] * made.closes(symbol) / made.equity
        assert np.allclose(worth, made.weights[symbol], rtol=0, atol=1e-9)


def test_a_decision_is_a_row_per_target(made: simulator.Run) -> None:
    lines = [json.loads(line) for line in (made.folder / "decisions.jsonl").read_text().splitlines()]
    assert len(made.decisions) == sum(len(line["targets"]) for line in lines)
    assert made.records == lines
    first = made.decisions.iloc[0]
    assert (first["as_of"].isoformat(), first["weight"]) == (lines[0]["as_of"], lines[0]["targets"][0]["weight"])


def test_drawdowns_are_those_of_the_returns(made: simulator.Run) -> None:
    path = np.r_[1.0, (1 + made.returns).cumprod()]
    below = path / np.maximum.accumulate(path) - 1
    deepest = made.drawdowns.iloc[0]
    assert deepest["depth"] == pytest.approx(below.min(), abs=1e-12)
    assert deepest["depth"] == made.metrics["max_drawdown"]
    assert deepest["trough"] == made.returns.index[int(below.argmin()) - 1]


def test_every_account_of_a_council_has_tables_of_its_own(council: simulator.Run) -> None:
    equity = pd.read_csv(council.folder / "equity.csv")
    assert list(council.accounts) == [one["name"] for one in council.facts["accounts"]]
    for name, account in council.accounts.items():
        assert account.equity.to_list() == equity[f"account:{name}"].to_list()
        assert account.metrics["total_return"] == pytest.approx(account.returns.add(1).prod() - 1, abs=1e-12)
        assert account.positions.shape == account.weights.shape == (len(equity), 2)
        assert account.trades["pnl"].notna().all()
    own = council.accounts[str(council.facts["account"])]
    pd.testing.assert_frame_equal(own.trades, council.trades)
    assert len(council.llm) == council.facts["llm"]["calls"]


def test_an_account_has_what_a_run_has(council: simulator.Run) -> None:
    pd.testing.assert_frame_equal(next(iter(council.accounts.values())).benchmarks, council.benchmarks)
    for name, account in council.accounts.items():
        assert len(account.llm) == account.record["llm"]["calls"]
        assert len(repr(account).splitlines()) == 5
        assert f"Account {name}" in account._repr_html_()
        assert account.plot.equity().get_lines()[-1].get_ydata()[-1] == account.equity.iloc[-1]


def test_round_trips_add_up_to_what_was_earned_but_for_dividends_and_interest(council: simulator.Run) -> None:
    fills = council.fills
    paid = (fills["quantity"] * fills["price"] + fills["slippage"] + fills["commission"]).sum()
    worth = sum(council.positions[s].iloc[-1] * council.closes(s).iloc[-1] for s in council.positions)
    assert council.trades["pnl"].sum() == pytest.approx(worth - paid, abs=1e-6)


def test_a_run_is_found_again_and_is_the_same(made: simulator.Run, lab: Any) -> None:
    for name in (made.id, made.folder.name, made.folder.name[:-4]):
        again = simulator.load(name, workspace=lab)
        assert (again.id, again.folder) == (made.id, made.folder)
    pd.testing.assert_series_equal(again.returns, made.returns)
    assert again.report() == made.folder / "report.html"
    listed = simulator.runs(workspace=lab).set_index("run_id")
    assert listed.loc[made.id, "total_return"] == made.metrics["total_return"]
    assert str(listed["first"].dtype) == "datetime64[ns]"
    assert str(listed["last_run_at"].dtype) == INSTANT
    assert {"definition", "run_json", "bar_months", "event"}.isdisjoint(listed)
    assert "as ``sim runs`` lists them" in str(simulator.runs.__doc__)


@pytest.mark.fault("python", "a file of a run has changed before its table is first looked at", "DataError names it")
def test_a_changed_folder_is_no_table(lab: Any) -> None:
    run = simulator.run("buy_and_hold", "SPY", "2024-01-02", "2024-02-01", workspace=lab)
    path = run.folder / "weights.csv"
    path.write_text(path.read_text().replace("0.9", "0.8"))
    with pytest.raises(DataError, match=r"weights\.csv has changed"):
        _ = run.equity


def test_a_run_is_five_lines_and_a_card(made: simulator.Run) -> None:
    assert len(repr(made).splitlines()) == 5
    assert made.verdict.headline in repr(made)
    card = made._repr_html_()
    assert made.verdict.headline in card
    assert card.count("<polyline") == 2
    assert "<script" not in card
    assert len(card.encode()) < 40_000


def test_answers_of_the_commands_are_tables_with_a_page(council: simulator.Run, made: simulator.Run, lab: Any) -> None:
    compared = simulator.compare(made, council.id, workspace=lab)
    assert list(compared.table.columns) == ["A trend", "B macro_council"]
    assert compared.table.loc["total_return"].notna().all()
    assert compared.page is not None
    assert compared.page.is_file()
    checked = council.check("costs", "execution")
    assert set(checked.table["check"]) == {"costs", "execution"}
    assert (council.folder / "checks.html").is_file()
    apart = council.ablate()
    assert {"name", "sharpe", "pair_p", "verdict"} <= set(apart.table)
    assert "Checkpoints" in apart.text or "checkpoints" in apart.text
    day = council.decisions["session"].iloc[3]
    assert f"{day:%Y-%m-%d}" in council.explain(day).text
    assert "decided" in council.explain().text.lower()


def test_anyones_returns_are_summed_up(made: simulator.Run) -> None:
    returns = pd.DataFrame({"mine": made.returns, "hold": made.benchmarks["buy_and_hold"].pct_change().fillna(0)})
    table = simulator.stats.summary(returns, benchmark="hold", risk_free=0.04, draws=200)
    assert list(table) == ["mine", "hold"]
    assert table.loc["total_return", "mine"] == pytest.approx(made.metrics["total_return"], abs=1e-12)
    assert table.loc["beta"].isna().tolist() == [False, True]
    assert set(table.attrs["verdict"]) == {"mine"}
    with pytest.raises(DataError, match='column "mine" has no return on row 2'):
        simulator.stats.summary(pd.Series([0.1, np.nan, 0.2], name="mine"))


def test_dates_of_returns_are_read_however_they_stand_in_the_frame() -> None:
    days = pd.date_range("2018-01-31", periods=60, freq="ME")
    returns = pd.Series(np.random.default_rng(0).normal(0.005, 0.03, 60), index=days, name="x")
    expected = simulator.stats.summary(returns, draws=100)
    texts = returns.set_axis(days.strftime("%d/%m/%Y"))
    shapes = (texts, texts[::-1], returns.set_axis(days.date), returns.rename_axis("date").reset_index())
    for shape in (*shapes, returns.set_axis(days.strftime("%Y%m%d").astype(int)), returns.to_period("M")):
        table = simulator.stats.summary(shape, draws=100)
        pd.testing.assert_frame_equal(table, expected)
        assert table.attrs["notes"][0].endswith("12 periods a year, as the rows lie apart: periods=12.")
    levels = (1 + returns).cumprod() * 100
    assert simulator.stats.summary(levels, draws=100, values="prices").loc["sharpe"].notna().all()


@pytest.mark.parametrize(
    ("index", "options", "found"),
    [
        (["a", "b", "c"], {}, "is not a date throughout"),
        ([pd.Timestamp("2024-01-02"), pd.Timestamp("2024-01-03"), pd.NaT], {}, 'column "date" is empty'),
        (pd.MultiIndex.from_product([["a"], [1, 2, 3]]), {}, "2 levels of index"),
        ([0, 1, 2], {"draws": 0}, "draws was 0"),
        ([0, 1, 2], {"draws": "x"}, "draws was 'x'"),
        ([0, 1, 2], {"periods": 0}, "periods was 0"),
        ([0, 1, 2], {"benchmark": "zz"}, "^benchmark: returns has no column"),
        ([0, 1, 2], {"values": "price"}, "values was 'price'"),
    ],
)
def test_what_is_no_index_of_dates_or_no_option_is_refused(index: object, options: dict[str, Any], found: str) -> None:
    with pytest.raises((DataError, UsageError), match=found):
        simulator.stats.summary(pd.Series([0.1, 0.2, 0.3], index=index), **options)  # type: ignore[call-overload]
    with pytest.raises(DataError, match="no row"):
        simulator.stats.summary(pd.Series([], dtype=float))


@pytest.mark.fault("python", "load or compare is given what names no run", "UsageError says what to pass")
def test_what_names_no_run_is_one_line(made: simulator.Run) -> None:
    assert simulator.load(made).id == simulator.load(made.folder).id == made.id
    for odd in (None, 3, [made, made]):
        with pytest.raises(UsageError, match="names no run"):
            simulator.load(odd)  # type: ignore[arg-type]
        with pytest.raises(UsageError, match="names no run"):
            simulator.compare(made, odd)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="no run"):
        simulator.load("a" * 5000, workspace=made.workspace.root)
    for wrong in ({"page": 0}, {"trades": -1}):
        with pytest.raises(UsageError, match="whole number from 1 on"):
            made.explain("sharpe", **wrong)
    with pytest.raises(UsageError, match="no window of 'x'"):
        made.rolling("x")  # type: ignore[arg-type]
