"""`sim stats` on files as people have them: periods a year, prices and money for returns, dates, numbers and trades."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner

from simulator.analysis.returns.frequency import rows_a_year
from simulator.analysis.returns.trades import read_trades
from simulator.cli.stats import stats
from simulator.errors import DataError, SimError, UsageError
from simulator.workspace import shipped

R = np.round(np.random.default_rng(5).normal(0.0005, 0.01, 260), 6)
DAYS = np.busday_offset("2022-01-03", np.arange(260))
SHARPE = float(R.mean() / R.std(ddof=1) * 252**0.5)

Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """A file of dates and one column, each written by `form`, under a header."""

    def file(
        dates: Iterable[object] = DAYS,
        values: Sequence[float] | np.ndarray = R,
        head: str = "date,mine",
        form: Callable[[float], str] = repr,
        name: str = "r.csv",
    ) -> Path:
        mark = ";" if ";" in head else ","
        rows = [f"{date}{mark}{form(float(value))}" for date, value in zip(dates, values, strict=False)]
        (tmp_path / name).write_text("\n".join([head, *rows]) + "\n")
        return tmp_path / name

    return file


def ask(*words: str | Path) -> dict[str, Any]:
    done = CliRunner().invoke(stats, [*map(str, words), "--json", "--draws", "100"], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


def refusal(*words: str | Path) -> str:
    with pytest.raises(SimError) as caught:
        ask(*words)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def own(found: dict[str, Any], name: str = "mine") -> dict[str, Any]:
    return found["strategies"][name]


# Periods a year


def hours(first: str, count: int, step: int = 1) -> list[str]:
    return [str(np.datetime64(first, "h") + np.timedelta64(step * k, "h")) for k in range(count)]


def in_session(count: int, minutes: int, bars: int) -> list[str]:
    opens = [np.datetime64(f"{day}T09:30") for day in DAYS[:count]]
    return [str(at + np.timedelta64(minutes * k, "m")).replace("T", " ") for at in opens for k in range(bars)]


FX = [at for at in hours("2024-01-07T17", 24 * 119) if not (
    (day := np.datetime64(at, "D").astype(int) + 3) % 7 == 5 or (day % 7 == 6 and at[11:13] < "17")
    or (day % 7 == 4 and at[11:13] >= "17"))]  # fmt: skip

FREQUENCIES = {
    "sessions": (DAYS, 252),
    "every day of the week": (np.datetime64("2022-01-01") + np.arange(260), 365),
    "hours around the clock": (hours("2024-01-01", 260), 8760),
    "eight hours": (hours("2024-01-01", 260, 8), 1095),
    "hours of sessions": (in_session(37, 60, 7), 1764),
    "half hours of sessions": (in_session(20, 30, 13), 3276),
    "minutes of two sessions": (in_session(2, 1, 390)[:700], 98_280),
    "hours of currencies": (FX, 6257),
    "weeks": (np.datetime64("2015-01-02") + 7 * np.arange(260), 52),
    "months": ([f"{2000 + k // 12}-{k % 12 + 1:02}" for k in range(260)], 12),
    "quarters": ([f"{1950 + k // 4}-Q{k % 4 + 1}" for k in range(260)], 4),
    "years": ([str(1950 + k) for k in range(60)], 1),
    "Mondays, Wednesdays, Fridays": ([d for d in DAYS if (d.astype(int) + 3) % 7 in (0, 2, 4)], 151),
    "sessions with a year missing": ([*DAYS[:130], *(DAYS[130:] + 364)], 252),
    "two rows": (DAYS[:2], 252),
}


@pytest.mark.fault("returns", "rows are hours, weeks, months or every day of the week", "the periods a year are theirs")
@pytest.mark.parametrize("how", FREQUENCIES)
def test_the_periods_a_year_are_those_of_the_rows(how: str, write: Write) -> None:
    dates, periods = FREQUENCIES[how]
    found = ask(write(dates, np.resize(R / 10 if periods > 9000 else R, len(dates))))
    assert found["periods"] == periods
    said = [w for w in found["warnings"] if w.endswith(f"--periods {periods}.")]
    assert bool(said) == (periods != 252)
    assert found["periods"] == rows_a_year(None if periods == 252 else np.array(
        [d.replace("Q1", "03").replace("Q2", "06").replace("Q3", "09").replace("Q4", "12") for d in map(str, dates)],
        dtype="datetime64[s]"))  # fmt: skip


def test_periods_that_were_given_stand_and_a_gap_is_told(write: Write) -> None:
    every_day = write(np.datetime64("2022-01-01") + np.arange(260))
    assert own(ask(every_day))["sharpe"] == pytest.approx(SHARPE * (365 / 252) ** 0.5)
    found = ask(every_day, "--periods", "252")
    assert own(found)["sharpe"] == pytest.approx(SHARPE)
    assert any("--periods 365" in warning for warning in found["warnings"])
    (gap,) = ask(write([*DAYS[:130], *(DAYS[130:] + 364)]))["warnings"]
    assert gap == "No row stands between 2022-07-01 and 2023-07-03: figures pass over the gap."


# What the numbers are

EQUITY = 100_000 * np.cumprod(1 + R)
CUMULATIVE = np.cumprod(1 + R) - 1

KINDS = {
    "account": (EQUITY, "holds prices or the value of an account (around", "--prices"),
    "growth of 1": (EQUITY / 1e5, "holds prices or the value of an account", "--prices"),
    "penny prices": (EQUITY * 8e-7, "holds prices or the value of an account (around 0.07", "--prices"),
    "prices of 1e-5": (EQUITY * 1e-10, "holds prices", "--prices"),
    "gross returns": (1 + R, "looks like gross returns, 1 + r", "subtract 1"),
    "drawdowns": (EQUITY / np.maximum.accumulate(EQUITY) - 1, "looks like drawdowns", "--prices"),
    "cumulative returns": (CUMULATIVE, "looks like cumulative returns", "say --cumulative;"),
    "cumulative gains": (np.cumsum(np.abs(R)), "looks like cumulative returns", "say --cumulative;"),
    "cumulative percentages": (100 * CUMULATIVE, "looks like cumulative returns", "say --cumulative with --percent"),
    "profits in money": (1e5 * R, "looks like profits in money: half of its moves are above 67", "capital"),
    "profits in money so far": (1e5 * CUMULATIVE, "looks like profits in money so far", "say --prices"),
    "percentages": (100 * R, "looks like percentages", "say --percent"),
    "percentages of bonds": (20 * R, "looks like percentages", "say --percent"),
    "basis points": (1e4 * R, "looks like profits in money", "capital"),
    "a number beyond all": (1e200 * R, "looks like profits in money", "capital"),
}


@pytest.mark.fault("returns", "prices, cumulative returns, money or percentages for returns", "named, with the option")
@pytest.mark.parametrize("kind", KINDS)
def test_what_is_no_return_is_named_with_the_option_that_reads_it(kind: str, write: Write) -> None:
    values, name, option = KINDS[kind]
    line = refusal(write(values=values))
    assert name in line
    assert option in line


@pytest.mark.parametrize(
    ("values", "options"),
    [
        (EQUITY, ("--prices",)),
        (EQUITY * 1e-10, ("--prices",)),
        (CUMULATIVE, ("--cumulative",)),
        (100 * CUMULATIVE, ("--cumulative", "--percent")),
        (100 * R, ("--percent",)),
        (R, ("--returns",)),
        (R, ()),
    ],
)
def test_an_option_says_what_the_numbers_are(values: np.ndarray, options: tuple[str, ...], write: Write) -> None:
    found = own(ask(write(values=values), *options))
    begun = "--prices" in options  # the first row has no return
    assert found["sharpe"] == pytest.approx(own(ask(write(DAYS[begun:], R[begun:])))["sharpe"], rel=1e-6)
    assert found["sessions"] == 260 - begun


@pytest.mark.fault("returns", "--percent or --prices on numbers that are none", "a line or a warning")
def test_an_option_that_cannot_be_meant_is_refused(write: Write) -> None:
    assert "prices are above 0; leave out --prices" in refusal(write(), "--prices")
    for values, option in ((1 + R, "--prices"), (np.abs(R) + 1e-6, "--prices"), (R, "--cumulative")):
        assert f"does not hang together from row to row as {option} would" in refusal(write(values=values), option)
    assert "no return is so large" in refusal(write(values=1e100 * R), "--returns")
    assert "no return is so large" in refusal(write(values=[0.01, 1e7, 0.02]))
    assert "leave one out" in refusal(write(values=EQUITY), "--prices", "--percent")
    assert "cumulative returns begin near 0" in refusal(write(values=EQUITY), "--cumulative")
    assert "a cumulative return is above" in refusal(write(values=300 * R), "--cumulative")
    assert "looks like profits in money" in refusal(write(values=1e5 * R), "--percent")
    assert "holds prices" in refusal(write(values=EQUITY * 8e-7), "--percent")
    assert any("leave out --percent" in warning for warning in ask(write(), "--percent")["warnings"])


def test_a_rate_beside_prices_is_never_converted(tmp_path: Path) -> None:
    frame = pd.DataFrame({"mine": EQUITY, "rf": np.linspace(1e-4, 2e-4, 260)}, index=DAYS)
    frame.to_csv(tmp_path / "r.csv")
    assert 'column "rf" looks like a rate; say --rf rf' in refusal(tmp_path / "r.csv", "--prices")
    frame.assign(mine=frame["mine"].pct_change()).iloc[1:].to_csv(tmp_path / "s.csv")
    found, same = (own(ask(tmp_path / n, "--rf", "rf", *o)) for n, o in (("r.csv", ["--prices"]), ("s.csv", [])))
    assert found["sharpe"] == pytest.approx(same["sharpe"])


@pytest.mark.fault("returns", "a file of bars, a column of volumes", "refused")
def test_bars_and_volumes_are_no_returns(tmp_path: Path) -> None:
    frame = pd.DataFrame({"date": DAYS, "Open": EQUITY, "High": EQUITY, "Low": EQUITY, "Close": EQUITY})
    frame.to_csv(tmp_path / "bars.csv", index=False)
    assert "is a file of bars; keep the dates and one column of prices" in refusal(tmp_path / "bars.csv", "--prices")
    frame[["date", "Close"]].assign(Volume=1000).to_csv(tmp_path / "v.csv", index=False)
    assert 'column "Volume" holds no returns; leave it out' in refusal(tmp_path / "v.csv", "--prices")


def test_returns_that_hang_together_a_little_are_returns(write: Write, tmp_path: Path) -> None:
    smooth = np.convolve(R, [0.4, 0.3, 0.2, 0.1], mode="same")
    for values in (smooth, np.abs(R), np.sort(R)[np.argsort(np.random.default_rng(1).random(260))]):
        assert own(ask(write(values=values)))["sessions"] == 260
    for symbol in ("BIL", "SPY", "GLD"):
        frame = pd.read_parquet(shipped() / "data" / "sample" / f"{symbol}.parquet").set_index("date")
        frame["close"].pct_change().dropna().rename("mine").to_csv(tmp_path / "s.csv")
        assert own(ask(tmp_path / "s.csv"))["sessions"] > 1000


@pytest.mark.fault("returns", "returns that never vary, or are all zero", "no Sharpe ratio, with the reason")
@pytest.mark.parametrize("options", [(), ("--rf", "rf")])
def test_returns_that_do_not_vary_have_no_sharpe_ratio(options: tuple[str, ...], tmp_path: Path) -> None:
    frame = pd.DataFrame({"flat": 0.0, "even": 1e-4, "rf": np.linspace(1e-4, 2e-4, 260)}, index=DAYS)
    frame.to_csv(tmp_path / "r.csv")
    for name in ("flat", "even"):
        found = own(ask(tmp_path / "r.csv", *options), name)
        assert found["sharpe"] is None
        assert "do not vary" in found["reasons"]["sharpe"]


# Dates and numbers


def written(form: str) -> list[str]:
    return [format(day.item(), form) for day in DAYS]


EPOCH = [int(day.astype("datetime64[s]").astype(np.int64)) for day in DAYS]
NEW_YORK_FALL = pd.date_range("2022-11-01 20:00", periods=260, freq="h", tz="America/New_York")

DATES = {
    "01/31/2022": (written("%m/%d/%Y"), "date,mine", 252),
    "31.01.2022": (written("%d.%m.%Y"), "date,mine", 252),
    "20220131": (written("%Y%m%d"), "date,mine", 252),
    "Jan 31, 2022": (written('"%b %d, %Y"'), "Date,mine", 252),
    "31-Jan-22": (written("%d-%b-%y"), "DATE,mine", 252),
    "seconds since 1970": (EPOCH, "timestamp,mine", 252),
    "milliseconds since 1970": ([1000 * at for at in EPOCH], "time,mine", 252),
    "seconds with a point": ([f"{at}.0" for at in EPOCH], "date,mine", 252),
    "midnights of New York": ([f"{day} 00:00:00-05:00" for day in DAYS], "date,mine", 252),
    "the hour clocks go back over": ([str(at) for at in NEW_YORK_FALL], "date,mine", 8760),
    "a header ,0 of pandas": (DAYS, ",0", 252),
    "a header of numbers": (DAYS, "date,50", 252),
    "an index called index": (DAYS, "index,mine", 252),
}


@pytest.mark.fault("returns", "dates as 31.01.2022, seconds since 1970, with the hour clocks go back over", "read")
@pytest.mark.fault("returns", "a header `,0`, as pandas writes a series", "read")
@pytest.mark.parametrize("how", DATES)
def test_dates_are_read_as_people_write_them(how: str, write: Write) -> None:
    dates, head, periods = DATES[how]
    found = ask(write(dates, R, head))
    ((name, values),) = found["strategies"].items()
    assert (name, values["sessions"], found["periods"]) == (head.split(",")[1], 260, periods)
    assert values["sharpe"] == pytest.approx(SHARPE * (periods / 252) ** 0.5)
    if periods == 252:
        assert (values["from"], values["to"]) == ("2022-01-03", "2022-12-30")


NUMBERS = {
    "decimal commas": (lambda v: f"{v:.6f}".replace(".", ","), "date;mine"),
    "decimal commas in quotes": (lambda v: f'"{v:.6f}"'.replace(".", ","), "date,mine"),
    "percent signs and commas": (lambda v: f"{100 * v:.4f} %".replace(".", ","), "date;mine"),
    "parentheses for losses": (lambda v: f"({-100 * v:.4f}%)" if v < 0 else f"{100 * v:.4f}%", "date,mine"),
    "true minus signs": (lambda v: f"{v:.6f}".replace("-", "\u2212"), "date,mine"),
    "an empty cell behind": (lambda v: f"{v:.6f},", "date,mine"),
}


@pytest.mark.fault("returns", "0,0123 or (1.23%)", "read as the file shows it")
@pytest.mark.parametrize("how", NUMBERS)
def test_numbers_are_read_as_people_write_them(how: str, write: Write) -> None:
    form, head = NUMBERS[how]
    assert own(ask(write(DAYS, R, head, form)))["sharpe"] == pytest.approx(SHARPE)


@pytest.mark.fault("returns", "a title or `sep=;` above the header, date and time in two columns", "read")
def test_titles_and_two_columns_of_time_are_read(tmp_path: Path) -> None:
    rows = "\n".join(f"{day};{value}" for day, value in zip(DAYS, R, strict=True))
    for above in ("sep=;", "My strategy", "My strategy\n\nsep=;"):
        (tmp_path / "r.csv").write_text(f"{above}\nDate;mine\n{rows}\n")
        assert own(ask(tmp_path / "r.csv"))["sharpe"] == pytest.approx(SHARPE)
    frame = pd.DataFrame({"Date": np.repeat(DAYS[:130], 2), "Time": ["09:30", "16:00"] * 130, "mine": R})
    frame.to_csv(tmp_path / "r.csv", index=False)
    found = ask(tmp_path / "r.csv")
    assert (found["periods"], found["from"], own(found)["sessions"]) == (504, "2022-01-03 09:30:00", 260)


def test_percent_signs_are_not_counted_twice(write: Write) -> None:
    file = write(form=lambda v: f"{100 * v:.6f}%")
    assert own(ask(file, "--percent"))["total_return"] == pytest.approx(own(ask(file))["total_return"])


def test_an_account_in_dollars_is_read(write: Write) -> None:
    found = own(ask(write(values=EQUITY, form=lambda v: f'"${v:,.2f}"'), "--prices"))
    assert found["total_return"] == pytest.approx(EQUITY[-1] / EQUITY[0] - 1, abs=1e-6)


LEFT_OPEN = {
    "01/02/2022: January or February?": (
        "date,mine\n01/02/2022,0.1\n02/03/2022,0.2\n", ":2: ", "2022-02-01 or 2022-01-02",
    ),
    "1,234: thousands or decimals?": ('date,mine\n2022-01-03,"1,234"\n', ":2: ", "thousands or decimals"),
    "a date twice": ("date,mine\n2022-01-03,0.1\n2022-01-03,0.2\n", ":3: ", "keep one row per date"),
    "an hour twice without offset": (
        "date,mine\n2022-11-06 01:00,0.1\n2022-11-06 01:00,0.2\n", ":3: ", "where clocks went back write the offset",
    ),
    "half with a zone": ("date,mine\n2022-11-06 01:00-04:00,0.1\n2022-11-06 02:00,0.2\n", ":3: ", "some have none"),
    "NaN in the middle": ("date,mine\n2022-01-03,0.1\n2022-01-04,NaN\n2022-01-05,0.2\n", ":3: ", "has no return on"),
    "1e400": ("date,mine\n2022-01-03,1e400\n", ":2: ", "holds inf"),
    "a day that is none": ("date,mine\n2022-02-30,0.1\n", ":2: ", "is not a date"),
    "no date in a row": ("date,mine\n2022-02-28,0.1\n,0.2\n", ":3: ", 'column "date" is empty'),
    "a total below": ("date,mine\n2022-01-03,0.1\nTotal,0.2\n", ":3: ", 'date was "Total"'),
    "a day number of a spreadsheet": ("date,mine\n44564,0.1\n44565,0.2\n", ":2: ", "a day number of a spreadsheet"),
    "percent signs here and there": (
        "date,mine\n2022-01-03,1%\n2022-01-04,0.2\n", ":2: ", "or percentages (1.2%) throughout",
    ),
}  # fmt: skip


@pytest.mark.fault("returns", "1,234 or 01/02/2022 that nothing in the file settles", "refused with its row")
@pytest.mark.fault("returns", "a date twice, a hole, 1e400", "refused with its row")
@pytest.mark.parametrize("what", LEFT_OPEN)
def test_what_the_file_leaves_open_is_refused_with_its_row(what: str, tmp_path: Path) -> None:
    text, place, complaint = LEFT_OPEN[what]
    (tmp_path / "r.csv").write_text(text)
    line = refusal(tmp_path / "r.csv")
    assert place in line
    assert complaint in line


def test_a_zone_in_parquet_keeps_the_hour_clocks_go_back_over(tmp_path: Path) -> None:
    pd.DataFrame({"mine": R}, index=NEW_YORK_FALL.rename("date")).to_parquet(tmp_path / "r.parquet")
    found = ask(tmp_path / "r.parquet")
    assert (found["periods"], own(found)["sessions"]) == (8760, 260)


def test_row_numbers_of_a_frame_are_no_dates(tmp_path: Path) -> None:
    pd.DataFrame({"mine": R}).to_csv(tmp_path / "r.csv")
    assert own(ask(tmp_path / "r.csv"))["sharpe"] == pytest.approx(SHARPE)


# Trades

FILLS = [
    ("2022-01-03", "A", 100, 10.0), ("2022-02-03", "A", -100, 12.0), ("2022-03-03", "A", 100, 11.0),
    ("2022-04-04", "A", -100, 10.5), ("2022-05-03", "A", 50, 20.0), ("2022-06-01", "A", -50, 30.0),
]  # fmt: skip
PROFITS = [200.0, -50.0, 500.0]


def fills(path: Path, rows: Iterable[Sequence[object]], head: str = "date,symbol,quantity,price") -> Path:
    path.write_text("\n".join([head, *(",".join(map(str, row)) for row in rows)]) + "\n")
    return path


@pytest.mark.fault("returns", "fills newest first, or in no order", "sorted by their dates, with a note")
@pytest.mark.fault("returns", "fills with a column side", "the side gives the sign")
@pytest.mark.parametrize(
    ("rows", "head", "note"),
    [
        (FILLS, "date,symbol,quantity,price", ""),
        (FILLS[::-1], "date,symbol,quantity,price", "newest first by date"),
        (FILLS[3:] + FILLS[:3], "Date,Ticker,Qty,Fill Price", "not in order of Date"),
        ([(d, s, "buy" if q > 0 else "SELL", abs(q), p) for d, s, q, p in FILLS],
         "date,symbol,side,quantity,price", ""),
        ([(d, s, "B" if q > 0 else "sell_short", q, p) for d, s, q, p in FILLS], "at,symbol,action,shares,price", ""),
        ([(s, q, p) for _, s, q, p in FILLS], "symbol,quantity,price", ""),
        ([(*one, "market") for one in FILLS], "Date/Time,Symbol,Quantity,Price,Type", ""),
        ([(*one, "sell" if one[2] < 0 else "buy") for one in FILLS], "Date Time,Symbol,Quantity,Price,Type", ""),
        ([*((f"{d[5:7]}/{d[8:]}/{d[:4]}", s, q, f"${p}") for d, s, q, p in FILLS[::-1]), ("02/28/2022", "B", -1, "$1")],
         "trade_date,symbol,quantity,price", "not in order of trade_date"),
    ],
)  # fmt: skip
def test_fills_count_in_order_of_time_and_by_their_side(
    rows: Sequence[Any], head: str, note: str, tmp_path: Path
) -> None:
    found = read_trades(fills(tmp_path / "f.csv", rows, head), ["mine"])
    assert found.profits["mine"].tolist() == PROFITS
    assert note in "".join(found.notes)
    assert bool(found.notes) == bool(note)
    assert not found.warnings


def test_fills_of_one_day_newest_first_are_turned_round(tmp_path: Path) -> None:
    rows = [
        ("2022-01-04", "A", -10, 12),
        ("2022-01-03", "A", 10, 11),
        ("2022-01-03", "A", -10, 10),
        ("2022-01-03", "A", 10, 8),
    ]
    assert read_trades(fills(tmp_path / "f.csv", rows), ["mine"]).profits["mine"].tolist() == [20.0, 10.0]


def test_sides_that_cannot_be_meant_are_refused_and_fills_without_a_sale_are_told(tmp_path: Path, write: Write) -> None:
    head = "date,symbol,side,quantity,price"
    for side, quantity, line in (("long", 5, 'column "side" holds "long"; write buy or sell'), ("buy", -5, "buys -5")):
        with pytest.raises(DataError) as caught:
            read_trades(fills(tmp_path / "f.csv", [("2022-01-03", "A", side, quantity, 1)], head), ["mine"])
        assert line in str(caught.value)
    bought = fills(tmp_path / "f.csv", [(d, s, abs(q), p) for d, s, q, p in FILLS])
    assert any("No fill sells" in warning for warning in ask(write(), "--trades", bought)["warnings"])
    closed = fills(tmp_path / "c.csv", [("2022-02-03", 5.0), ("2022-01-03", -1.0)], "exit date,Net PnL")
    assert read_trades(closed, ["mine"]).profits["mine"].tolist() == [-1.0, 5.0]
    with pytest.raises(UsageError, match="to which of 2 strategies"):
        read_trades(bought, ["a", "b"])


def test_notes_of_trades_are_in_the_answer(write: Write, tmp_path: Path) -> None:
    found = ask(write(), "--trades", fills(tmp_path / "f.csv", FILLS[::-1]))
    assert own(found)["gross_profit"] == 700.0
    assert found["notes"] == ["Trades were newest first by date; they were turned round."]


@pytest.mark.parametrize("head", ["0,1", ",0", "0,1,2", ",0,1", "0;1"])
@pytest.mark.fault(
    "returns", "the header counts columns: `0,1`, `,0`", "read; refused where the rows below are numbers too"
)
def test_a_header_that_counts_columns_is_one(head: str, tmp_path: Path) -> None:
    mark = head[-2]
    width, file = head.count(mark), tmp_path / "counted.csv"
    days = pd.bdate_range("2023-01-02", periods=12).strftime("%Y-%m-%d")
    numbers = [mark.join(f"{value:.4f}" for value in R[at : at + width]) for at in range(12)]
    file.write_text("\n".join([head, *(f"{day}{mark}{row}" for day, row in zip(days, numbers, strict=True))]))
    found = ask(file)
    assert (found["from"], found["sessions"], len(found["strategies"])) == ("2023-01-02", 12, width)
    file.write_text("0,1\n" + "".join(f"{row},{row}\n" for row in R[:12]))
    assert "has no header" in refusal(file)


@pytest.mark.parametrize("form", ["pipe", "device"])
@pytest.mark.fault("returns", "a named pipe or a device for a file of returns", "one line, nothing waits for it")
def test_a_file_of_returns_that_is_none_is_called_what_it_is(form: str, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "device").symlink_to("/dev/zero")
    assert f"{form}, not a file" in refusal(tmp_path / form)
