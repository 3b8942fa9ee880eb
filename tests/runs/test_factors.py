"""`--factors`: Kenneth French's file and others, held against a run and against anyone's returns."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import simulator
from simulator.analysis.factors import explain_by_factors
from simulator.analysis.returns.factor_file import read_factors
from simulator.errors import DataError, UsageError

from ..conftest import Sim

HEAD = "This file was created by CMPT_ME_BEME_RETS_DAILY using the 202405 CRSP database.\n\n"
ANNUAL = "\n Annual Factors: January-December \n,Mkt-RF,SMB,HML,RF\n  2023,   21.70,   -2.04,   -4.54,    4.12\n"
FOOT = "\nCopyright 2024 Eugene F. Fama and Kenneth R. French\n"
DAYS = pd.bdate_range("2023-01-02", "2023-12-29")


def percentages(days: pd.DatetimeIndex = DAYS) -> pd.DataFrame:
    """Daily factors as French writes them, to two digits."""
    rng = np.random.default_rng(8)
    made = pd.DataFrame(rng.normal(0.03, 0.8, (len(days), 3)), index=days, columns=["Mkt-RF", "SMB", "HML"]).round(2)
    return made.assign(RF=0.019)


def rows(table: pd.DataFrame, form: str) -> str:
    head = ",Mkt-RF,SMB,HML,RF\n"
    lines = (f"{day:{form}}," + ",".join(f"{x:9.3f}" for x in values) for day, *values in table.itertuples())
    return head + "\n".join(lines) + "\n"


def french(path: Path, table: pd.DataFrame | None = None) -> Path:
    """A file with a daily, a monthly and an annual part."""
    daily = percentages() if table is None else table
    months = (daily.groupby(daily.index.to_period("M")).sum()).to_timestamp()
    path.write_text(f"{HEAD}{rows(daily, '%Y%m%d')}\n{rows(months, '%Y%m')}{ANNUAL}{FOOT}")
    return path


def ols(excess: np.ndarray, factors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Coefficients and t of OLS with Newey-West errors, written out: the oracle of golden/factors.json once more."""
    x = np.column_stack([np.ones(len(excess)), factors])
    bread = np.linalg.inv(x.T @ x)
    beta = bread @ x.T @ excess
    scores, lag = x * (excess - x @ beta)[:, None], int(4 * (len(x) / 100) ** (2 / 9))
    meat = scores.T @ scores
    for k in range(1, lag + 1):
        one = scores[k:].T @ scores[:-k]
        meat += (1 - k / (lag + 1)) * (one + one.T)
    return beta, beta / np.sqrt(np.diag(bread @ meat @ bread))


@pytest.mark.medium
def test_a_run_is_held_against_the_file_and_its_folder_says_which(sim: Sim, workspace: Path, tmp_path: Path) -> None:
    file = french(tmp_path / "F-F.csv")
    words = ("run", "--strategy", "sma_cross", "--symbols", "SPY,QQQ", "--from", "2023-01-03", "--to", "2023-12-29")
    done = sim(*words, "--set", "fast=10", "--factors", file, cwd=workspace)
    assert done.returncode == 0, done.stderr
    assert "Selection (alpha)" in done.stdout
    assert "F-F.csv, percent" in done.stdout
    again = sim(*words, "--set", "fast=10", "--factors", file, "--json", cwd=workspace)
    assert json.loads(again.stdout)["factors"]["figures"]["lag"] == 4
    (folder,) = (workspace / "reports").glob("*/")
    equity = pd.read_csv(folder / "equity.csv", index_col="session", parse_dates=True)
    returns = equity["equity"] / equity["equity"].shift(1, fill_value=100_000.0) - 1
    excess = (returns - equity["risk_free"]).to_numpy()
    table = percentages().reindex(equity.index)[["Mkt-RF", "SMB", "HML"]].to_numpy() / 100
    beta, t = ols(excess, table)
    regression = json.loads((folder / "factors.json").read_text())["regression"]
    found = regression["figures"]
    assert [found["alpha"] / 252, *(one["loading"] for one in found["factors"])] == pytest.approx(beta, rel=1e-9)
    assert [found["alpha_t"], *(one["t"] for one in found["factors"])] == pytest.approx(t, rel=1e-9)
    assert found["excess"] == pytest.approx(252 * excess.mean(), rel=1e-12)
    assert found["market"] + found["style"] + found["selection"] == pytest.approx(found["excess"], abs=1e-15)
    assert found["market"] == pytest.approx(252 * beta[1] * table[:, 0].mean(), rel=1e-9)
    assert found["selection"] == pytest.approx(252 * beta[0], abs=1e-14)
    assert found["cash"] + found["excess"] == pytest.approx(252 * returns.mean(), rel=1e-12)
    assert sim("verify", cwd=workspace).returncode == 0
    assert 'id="factors"' in (folder / "report.html").read_text()

    # The same file again, in the other forms of the report; and another one, whose dates do not meet.
    before = (folder / "factors.json").read_bytes()
    for kind in ("md", "json"):
        assert sim("report", "--factors", file, "--format", kind, cwd=workspace).returncode == 0
    assert (folder / "factors.json").read_bytes() == before
    assert json.loads((folder / "report.json").read_text())["factors"]["file_digest"] == regression["file_digest"]
    assert "| SMB |" in (folder / "report.md").read_text()
    old = french(tmp_path / "old.csv", percentages(pd.bdate_range("1999-01-04", "1999-12-30")))
    assert sim("report", "--factors", old, "--format", "md", cwd=workspace).returncode == 0
    assert (
        "n/a: no session in common: the factors are those of 1999-01-04 to 1999-12-30"
        in (folder / "report.md").read_text()
    )
    assert sim("verify", cwd=workspace).returncode == 0


@pytest.mark.medium
def test_a_file_that_is_none_is_refused_before_anything_is_run(workspace: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no file"):
        simulator.run("sma_cross", "SPY", "2023-01-03", "2023-12-29", factors=tmp_path / "no", workspace=workspace)
    assert not list((workspace / "reports").glob("*"))


@pytest.mark.medium
def test_anyones_returns_are_held_against_the_part_of_their_frequency(sim: Sim, tmp_path: Path) -> None:
    days = pd.bdate_range("2015-01-01", "2023-12-29")
    table = percentages(days)
    file = french(tmp_path / "ff.csv", table)
    rng = np.random.default_rng(2)
    daily = 0.012 * table["Mkt-RF"] - 0.004 * table["HML"] + table["RF"] / 100 + rng.normal(0, 0.003, len(days))
    months = daily.groupby(daily.index.to_period("M")).sum()
    for name, series, divided in (
        ("daily", daily, table / 100),
        ("monthly", months.set_axis(months.index.to_timestamp("M").normalize()), None),
    ):
        series.rename("mine").rename_axis("date").to_csv(tmp_path / f"{name}.csv")
        done = sim("stats", tmp_path / f"{name}.csv", "--factors", file, "--json", cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        regression = json.loads(done.stdout)["strategies"]["mine"]["factors"]
        assert name in regression["form"]
        found = regression["figures"]
        assert found["factors"][0]["loading"] == pytest.approx(1.2, abs=0.1)
        assert found["factors"][2]["loading"] == pytest.approx(-0.4, abs=0.1)
        if divided is not None:
            beta, _ = ols((series - divided["RF"]).to_numpy(), divided[["Mkt-RF", "SMB", "HML"]].to_numpy())
            assert found["alpha"] / 252 == pytest.approx(beta[0], rel=1e-9)
    shown = sim("stats", tmp_path / "daily.csv", "--factors", file, "--html", tmp_path / "page.html", cwd=tmp_path)
    assert "Where the return came from" in shown.stdout
    assert "Returns over the factors' own risk-free return" in " ".join(shown.stdout.split())
    assert 'id="factors"' in (tmp_path / "page.html").read_text()


def test_the_forms_of_the_same_factors_are_read_alike(tmp_path: Path) -> None:
    table = percentages()
    whole = read_factors(french(tmp_path / "ff.csv", table))
    assert list(whole.columns) == ["Mkt-RF", "SMB", "HML"]
    assert (len(whole.dates), str(whole.dates[-1]), whole.unit) == (len(DAYS), "2023-12-29", "D")
    assert whole.columns["SMB"].tolist() == (table["SMB"] / 100).tolist()
    assert whole.free is not None
    assert whole.free.tolist() == [0.019 / 100] * len(DAYS)
    with zipfile.ZipFile(tmp_path / "F-F_CSV.zip", "w") as archive:
        archive.write(tmp_path / "ff.csv", "ff.csv")
    (tmp_path / "ff.txt").write_text((tmp_path / "ff.csv").read_text().replace(",Mkt-RF", " Mkt-RF").replace(",", " "))
    (table / 100).iloc[::-1].rename_axis("date").to_csv(tmp_path / "fractions.csv")
    table.map("{:.3f}%".format).rename_axis("Date").to_csv(tmp_path / "signs.csv")
    for name in ("F-F_CSV.zip", "ff.txt", "fractions.csv", "signs.csv"):
        other = read_factors(tmp_path / name)
        assert other.dates.tolist() == whole.dates.tolist(), name
        for column, values in whole.columns.items():
            assert other.columns[column] == pytest.approx(values, rel=1e-14), name
    assert read_factors(tmp_path / "ff.csv", "M").dates.tolist()[0].isoformat() == "2023-01-01"


def test_factors_of_every_fifth_day_are_of_another_frequency(tmp_path: Path) -> None:
    daily = percentages().drop(columns="RF") / 100
    returns = np.random.default_rng(3).normal(0.0, 0.01, len(DAYS))
    for rows_of, why in ((daily, None), (daily.iloc[::5], "another frequency: the factors are those of 52 of 256")):
        rows_of.rename_axis("date").to_csv(tmp_path / "f.csv")
        found = explain_by_factors(DAYS.to_numpy(), returns, None, "0", read_factors(tmp_path / "f.csv"))
        assert (found["figures"] is None) == bool(why)
        assert (found["reason"] or "").startswith(why or "")


@pytest.mark.parametrize("mark", ["-99.99", "-999"])
def test_a_missing_factor_leaves_its_session_out(tmp_path: Path, mark: str) -> None:
    table = percentages()
    file = french(tmp_path / "ff.csv", table)
    text = file.read_text()
    day = f"{DAYS[7]:%Y%m%d}"
    line = next(one for one in text.splitlines() if one.startswith(day))
    file.write_text(text.replace(line, f"{day},   {mark},    0.10,    0.10,    0.019"))
    returns = np.random.default_rng(3).normal(0, 0.01, len(DAYS))
    record = explain_by_factors(DAYS.to_numpy().astype("M8[s]"), returns, np.zeros(len(DAYS)), "0", read_factors(file))
    assert record["sessions"] == len(DAYS) - 1
    assert record["notes"] == [f"1 session of {len(DAYS)} without a factor left out"]
    few = explain_by_factors(DAYS.to_numpy()[:40].astype("M8[s]"), returns[:40], np.zeros(40), "0", read_factors(file))
    assert few["figures"] is None
    assert few["reason"] == "39 sessions in common with the factors, 60 are needed"


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (rows(percentages(), "%Y-%m-%d").replace(",Mkt", "date,Mkt", 1), "percentages, where fractions are read"),
        (rows(percentages() / 100, "%Y%m%d"), "fractions, where percentages are read"),
        (rows(percentages(), "%Y%m%d") + "20230103,1,1,1,1\n", r"2023-01-03 stands twice .*ff.csv:262|ff.csv:262"),
        (rows(percentages(), "%Y%m%d") + "20231230,1,1\n", "ff.csv:262.* 3 fields, the header 5|3 fields"),
        (rows(percentages(), "%Y%m%d") + "20231330,1,1,1,1\n", "20231330 is not a date"),
        (rows(percentages(), "%Y%m%d") + "20231230,1,x,1,1\n", '"x" is not a number'),
        ("Mkt-RF,SMB\n0.01,0.02\n", "no column of dates"),
        ("date,Mkt-RF\n", "has no row"),
        ("date,Mkt-RF\n2023-01-03,\n", "has no row of factors"),
        (rows(percentages().iloc[:0], "%Y%m%d"), "has no row|no column"),
        ("date,RF\n2023-01-03,0.0001\n2023-01-04,0.0001\n", "no column of a factor"),
    ],
)
def test_what_is_no_file_of_factors_is_refused_with_its_place(tmp_path: Path, text: str, found: str) -> None:
    (tmp_path / "ff.csv").write_text(text)
    with pytest.raises(DataError, match=found):
        read_factors(tmp_path / "ff.csv")
