from __future__ import annotations

import gzip
import os
from datetime import UTC, date, datetime
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from simulator.errors import DataError
from simulator.market.sources.files import is_symbol, read_table, symbol_of, write_csv
from simulator.market.table import BarTable

PRICES = "10,12,9,11,500"
DAYS = ["2024-01-02", "2024-01-03", "2024-01-04"]


def read(folder: Path, text: str, name: str = "ACME.csv") -> BarTable:
    path = folder / name
    path.write_text(text)
    return read_table(path)


def dates(table: BarTable) -> list[str]:
    return table.session_of.astype("datetime64[D]").astype(str).tolist()


@pytest.mark.parametrize(
    "head",
    [
        "date,open,high,low,close,volume",
        "Date,Open,High,Low,Close,Volume",
        "timestamp,o,h,l,c,v",
        "Datetime,OPEN,HIGH,LOW,CLOSE,Vol",
        " date , open , high , low , close , volume ",
        ",open,high,low,close,volume",
        "Unnamed: 0,Open,High,Low,Close,Volume",
    ],
)
def test_common_spellings_of_columns_are_understood(head: str, folder: Path) -> None:
    table = read(folder, f"{head}\n2024-01-02,{PRICES}\n")
    values = [float(getattr(table, name)[0]) for name in ("open", "high", "low", "close", "volume", "dividend")]
    assert (dates(table), values) == (["2024-01-02"], [10, 12, 9, 11, 500, 0])


@pytest.mark.parametrize(
    "label",
    [
        "2024-01-02",
        "20240102",
        "2024-01-02 00:00:00",
        "2024-01-02T00:00:00Z",
        "2024-01-02 00:00:00-05:00",
        "2024-01-02T05:00:00Z",
        "2024-01-02T16:00:00-0500",
        "2024-01-02 16:00",
    ],
)
def test_daily_bars_take_the_date_of_their_session_however_it_is_written(label: str, folder: Path) -> None:
    table = read(folder, f"date,open,high,low,close,volume\n{label},{PRICES}\n")
    assert (table.frequency, dates(table)) == ("1d", ["2024-01-02"])


def test_new_york_midnights_written_in_utc_keep_their_dates_across_the_change_of_clocks(folder: Path) -> None:
    labels = ["2024-03-07T05:00:00Z", "2024-03-08T05:00:00Z", "2024-03-11T04:00:00Z"]
    text = "\n".join(["t,o,h,l,c,v", *(f"{label},{PRICES}" for label in labels)])
    assert dates(read(folder, text)) == ["2024-03-07", "2024-03-08", "2024-03-11"]


@pytest.mark.parametrize("text", ["2024-01-02;10;12;9;11;500", "2024-01-02\t10\t12\t9\t11\t500"])
def test_semicolons_and_tabs_separate_columns_too(text: str, folder: Path) -> None:
    mark = ";" if ";" in text else "\t"
    table = read(folder, mark.join(["date", "open", "high", "low", "close", "volume"]) + "\n" + text + "\n")
    assert table.close.tolist() == [11.0]


def test_a_byte_order_mark_windows_line_ends_blank_lines_and_quotes_do_no_harm(folder: Path) -> None:
    path = folder / "ACME.csv"
    path.write_bytes(b'\xef\xbb\xbfDate,Open,High,Low,Close,Volume\r\n"2024-01-02","10","12","9","11","500"\r\n\r\n')
    assert read_table(path).close.tolist() == [11.0]


def test_zipped_files_are_read(folder: Path) -> None:
    path = folder / "ACME.csv.gz"
    path.write_bytes(gzip.compress(f"date,open,high,low,close,volume\n2024-01-02,{PRICES}\n".encode()))
    assert (symbol_of(path), read_table(path).close.tolist()) == ("ACME", [11.0])


def test_prices_are_taken_as_they_stand_and_an_unused_adjusted_close_is_said(folder: Path) -> None:
    table = read(folder, "Date,Open,High,Low,Close,Adj Close,Volume\n2024-01-02,10,12,9,11,5.5,500\n")
    assert table.close.tolist() == [11.0]
    assert "adjusted close is not used" in table.notes[0]


@pytest.mark.parametrize("name", ["dividend", "Dividends", "divCash"])
def test_a_dividend_column_is_used_and_then_nothing_need_be_said(name: str, folder: Path) -> None:
    table = read(folder, f"Date,Open,High,Low,Close,Adj Close,Volume,{name}\n2024-01-02,10,12,9,11,5.5,500,0.25\n")
    assert (table.dividend.tolist(), table.notes) == ([0.25], ())


def test_a_missing_volume_is_zero(folder: Path) -> None:
    assert read(folder, "date,open,high,low,close\n2024-01-02,10,12,9,11\n").volume.tolist() == [0.0]


def test_crumbs_of_rounding_widen_high_and_low_and_real_breaches_stay(folder: Path) -> None:
    rows = ["2024-01-02,10,11.9999999,9,12,1", "2024-01-03,8.9999999,12,9,11,1", "2024-01-04,10,11.9,9,12,1"]
    table = read(folder, "\n".join(["date,open,high,low,close,volume", *rows]))
    assert table.high.tolist() == [12.0, 12.0, 11.9]
    assert table.low.tolist() == [9.0, 8.9999999, 9.0]


# ---- intraday ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "labels",
    [
        ["2024-03-08 09:30", "2024-03-08 09:31", "2024-03-11 09:30"],
        ["2024-03-08T09:30:00-0500", "2024-03-08T09:31:00-0500", "2024-03-11T09:30:00-0400"],
        ["2024-03-08T14:30:00Z", "2024-03-08T14:31:00Z", "2024-03-11T13:30:00Z"],
        ["2024-03-08 15:30:00+01:00", "2024-03-08 15:31:00+01:00", "2024-03-11 14:30:00+01:00"],
    ],
)
def test_start_labels_of_intraday_bars_are_instants_in_any_time_zone(labels: list[str], folder: Path) -> None:
    table = read(folder, "\n".join(["datetime,open,high,low,close,volume", *(f"{x},{PRICES}" for x in labels)]))
    starts = [datetime.fromtimestamp(at / 1e9, UTC).strftime("%d %H:%M") for at in table.starts.tolist()]
    assert starts == ["08 14:30", "08 14:31", "11 13:30"]
    assert (table.frequency, dates(table)) == ("1min", ["2024-03-08", "2024-03-08", "2024-03-11"])


@pytest.mark.parametrize(("minutes", "frequency"), [([30, 35, 45], "5min"), ([0, 30], "30min"), ([0, 1, 59], "1min")])
def test_the_frequency_is_the_spacing_of_the_labels(minutes: list[int], frequency: str, folder: Path) -> None:
    rows = [f"2024-01-02 10:{m:02},{PRICES}" for m in minutes]
    assert read(folder, "\n".join(["date,open,high,low,close,volume", *rows])).frequency == frequency


def test_labels_with_and_without_a_time_zone_do_not_mix(folder: Path) -> None:
    rows = [f"2024-01-02 09:30,{PRICES}", f"2024-01-02 09:31-05:00,{PRICES}"]
    with pytest.raises(DataError, match=r"ACME\.csv:3: some dates have a time zone"):
        read(folder, "\n".join(["date,open,high,low,close,volume", *rows]))


# ---- Parquet -----------------------------------------------------------------------------------------------------


def frame(index: pd.Index) -> pd.DataFrame:
    columns = {"Open": 10.0, "High": 12.0, "Low": 9.0, "Close": 11.0, "Volume": 500}
    return pd.DataFrame(columns, index=index)


@pytest.mark.parametrize("zone", [None, "America/New_York", "UTC"])
@pytest.mark.parametrize("unit", ["s", "ns"])
def test_pandas_frames_with_a_date_index_are_read(zone: str | None, unit: str, folder: Path) -> None:
    index = pd.DatetimeIndex(DAYS, tz=zone, name="Date").as_unit(unit)
    frame(index).to_parquet(folder / "ACME.parquet")
    table = read_table(folder / "ACME.parquet")
    assert (table.frequency, dates(table), table.close.tolist()) == ("1d", DAYS, [11.0] * 3)


def test_intraday_parquet_in_new_york_time_is_read_across_the_change_of_clocks(folder: Path) -> None:
    index = pd.DatetimeIndex(["2024-03-08 09:30", "2024-03-08 09:35", "2024-03-11 09:30"], tz="America/New_York")
    frame(index).rename_axis("timestamp").to_parquet(folder / "ACME.parquet")
    table = read_table(folder / "ACME.parquet")
    assert table.frequency == "5min"
    assert pd.DatetimeIndex(table.starts, tz="UTC").tz_convert("America/New_York").tolist() == index.tolist()


@pytest.mark.parametrize(
    "column",
    [
        pa.array([date(2024, 1, 2), date(2024, 1, 3)], pa.date32()),
        pa.array([date(2024, 1, 2), date(2024, 1, 3)], pa.date64()),
        pa.array(["2024-01-02", "2024-01-03"]),
        pa.array(["2024-01-02T00:00:00Z", "2024-01-03T00:00:00Z"]),
    ],
    ids=str,
)
def test_any_kind_of_date_column_in_parquet_will_do(column: pa.Array, folder: Path) -> None:
    numbers = {name: pa.array([10, 10], pa.int32()) for name in ("open", "high", "low", "close")}
    pq.write_table(pa.table({"date": column, **numbers}), folder / "ACME.parquet")
    assert dates(read_table(folder / "ACME.parquet")) == ["2024-01-02", "2024-01-03"]


def test_a_null_price_in_parquet_is_nan(folder: Path) -> None:
    numbers = {name: pa.array([10.0, None if name == "close" else 10.0]) for name in ("open", "high", "low", "close")}
    pq.write_table(pa.table({"date": pa.array(DAYS[:2]), **numbers}), folder / "ACME.parquet")
    np.testing.assert_array_equal(read_table(folder / "ACME.parquet").close, [10.0, np.nan])


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        ({"date": [1.5], "close": [1.0]}, "date holds double"),
        ({"date": ["2024-01-02"], "close": [[1.0]]}, "column open: holds list"),
        ({"date": pa.array([None], pa.date32()), "close": [1.0]}, "row 1 has no date"),
        ({"date": pa.array([9_999_999], pa.date32()), "close": [1.0]}, "row 1: the year"),
        ({"date": pa.array([9**12], pa.timestamp("s")), "close": [1.0]}, "row 1: the year"),
        ({"date": pa.array([], pa.date32()), "close": pa.array([], pa.float64())}, "has no bars"),
    ],
)
def test_parquet_without_dates_or_numbers_is_refused(columns: dict[str, object], said: str, folder: Path) -> None:
    prices = dict.fromkeys(("open", "high", "low"), columns["close"])
    pq.write_table(pa.table({**columns, **prices}), folder / "ACME.parquet")
    with pytest.raises(DataError, match=said):
        read_table(folder / "ACME.parquet")


# ---- what cannot be read -----------------------------------------------------------------------------------------

HEAD = "date,open,high,low,close,volume"


@pytest.mark.fault("bars", "an empty file, no header, a header alone", "refused with file and row", since="0.1")
@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "ACME.csv:1: the file is empty"),
        ("\n\n", "ACME.csv:1: the file is empty"),
        (f"{HEAD}\n", "ACME.csv:1: has a header and no bars"),
        (f"2024-01-02,{PRICES}\n", "ACME.csv:1: no column for date, open, high, low, close; it has 2024-01-02, 10"),
        ("Date,Open,High,Low\n2024-01-02,1,2,1\n", "ACME.csv:1: no column for close; it has Date, Open, High, Low"),
        ("Date,Day,Open,High,Low,Close\n1,2,3,4,5,6\n", 'ACME.csv:1: columns "Date" and "Day" both look like'),
        (f"{HEAD}\n2024-01-02,{PRICES}\n2024-01-03,10,12\n", "ACME.csv:3: has 3 columns where the header has 6"),
        (f"{HEAD}\n2024-01-02,{PRICES}\n\n2024-01-03,10,12,x,11,5\n", 'ACME.csv:4: low was "x", not a number'),
        (f'{HEAD}\n2024-01-02,10,12,9,11,"1,000"\n', 'ACME.csv:2: volume was "1,000": thousands or decimals'),
        (f"{HEAD}\n2024-01-02,{PRICES}\n2024-13-45,{PRICES}\n", 'ACME.csv:3: date was "2024-13-45"'),
        (f"{HEAD}\n01/02/2024,{PRICES}\n", 'ACME.csv:2: date was "01/02/2024", 2024-02-01 or 2024-01-02: nothing'),
        (f"{HEAD}\n,{PRICES}\n", "ACME.csv:2: date is missing"),
        (f"{HEAD}\n0024-01-02,{PRICES}\n", 'ACME.csv:2: the year of "0024-01-02" cannot be meant'),
        (f"{HEAD}\n2024-01-02,10,\0,9,11,5\n", "ACME.csv:2: is not text"),
    ],
)
def test_what_is_no_table_of_bars_is_named_with_file_and_line(text: str, said: str, folder: Path) -> None:
    with pytest.raises(DataError) as error:
        read(folder, text)
    assert said in str(error.value)


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("ACME.csv", b"date,open\n2024-01-02,\xff\xfe\n", "ACME.csv:2: is not text"),
        ("ACME.csv.gz", b"no zip at all", "ACME.csv.gz: cannot be read"),
        ("ACME.csv.gz", gzip.compress(b"date,open,high,low,close\n" * 99, mtime=0)[:-9], "ACME.csv.gz: cannot be read"),
        ("ACME.parquet", b"PAR1 and then nothing PAR1", "ACME.parquet: is not a whole Parquet file"),
        ("ACME.parquet", b"", "ACME.parquet: is not a whole Parquet file"),
    ],
)
def test_broken_files_are_named(name: str, content: bytes, said: str, folder: Path) -> None:
    (folder / name).write_bytes(content)
    with pytest.raises(DataError) as error:
        read_table(folder / name)
    assert said in str(error.value)


def test_a_file_below_the_current_folder_is_shown_as_one_would_type_it(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder.parent)
    with pytest.raises(DataError) as error:
        read(folder, "")
    assert str(error.value).startswith(f"data{os.sep}ACME.csv:1: ")


# ---- writing -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("labels", [DAYS, ["2024-03-08 09:30", "2024-03-08 09:31", "2024-03-11 09:30"]])
def test_what_is_written_is_read_back_bit_by_bit_with_its_origin(labels: list[str], folder: Path) -> None:
    rows = [f"{label},0.1,0.30000000000000004,0.1,0.2,{n}.5,0.01" for n, label in enumerate(labels)]
    before = read(folder, "\n".join([f"{HEAD},dividend", *rows]))
    write_csv(before, folder / "COPY.csv", "synthetic, seed 7")
    after = read_table(folder / "COPY.csv", source="data/COPY.csv")
    assert after.source == "data/COPY.csv (synthetic, seed 7)"
    assert after.frequency == before.frequency
    for name in ("session_of", "starts", "open", "high", "low", "close", "volume", "dividend"):
        assert getattr(after, name).tobytes() == getattr(before, name).tobytes()


def test_bars_of_several_origins_in_one_file_are_called_mixed(folder: Path) -> None:
    rows = [f"2024-01-02,{PRICES},yahoo", f"2024-01-03,{PRICES},alpaca"]
    table = read(folder, "\n".join([f"{HEAD},source", *rows]))
    assert table.source == "ACME.csv (mixed: alpaca, yahoo)"


@pytest.mark.parametrize("name", ["SPY", "BRK-B", "BRK.B", "^VIX", "BTC-USD", "ES=F", "A", "X_1"])
def test_these_are_symbols(name: str) -> None:
    assert is_symbol(name)


@pytest.mark.parametrize("name", ["", "../x", "A/B", ".hidden", "A B", "^", "é", "A\n", "X" * 40])
def test_these_are_none(name: str) -> None:
    assert not is_symbol(name)


@pytest.mark.parametrize(
    ("name", "symbol"),
    [("SPY.csv", "SPY"), ("spy.parquet", "SPY"), ("a.b.csv.gz", "A.B"), ("events.csv", None), (".SPY.csv", None),
     ("NOTICE", None), ("SPY.txt", None), ("SPY.csv.bak", None)],
)  # fmt: skip
def test_files_are_named_after_their_symbol(name: str, symbol: str | None) -> None:
    assert symbol_of(Path(name)) == symbol
