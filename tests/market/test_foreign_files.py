"""Files of bars as vendors, programs and countries write them: read rightly, or refused in one line."""

from __future__ import annotations

import gzip
import io
import os
import zipfile
from contextlib import suppress
from datetime import UTC, date, datetime
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from simulator.errors import DataError
from simulator.market import quality
from simulator.market.fetch import FetchRequest, fetch
from simulator.market.load import load_bars
from simulator.market.sources import sheets
from simulator.market.sources.files import read_table
from simulator.market.table import BarTable

DAYS = ["2024-01-11", "2024-01-12", "2024-01-16"]
CLOSES = [1011.5, 1012.25, 1016.0]


def read(folder: Path, content: str | bytes, name: str = "ACME.csv") -> BarTable:
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return read_table(path)


def facts(table: BarTable) -> tuple[list[str], list[float], float]:
    days = table.session_of.astype("datetime64[D]").astype(str).tolist()
    return days, table.close.tolist(), float(table.volume[0])


def refusal(folder: Path, content: str | bytes, name: str = "ACME.csv") -> str:
    with pytest.raises(DataError) as error:
        read(folder, content, name)
    line = str(error.value)
    assert "\n" not in line
    return line


PLAIN = """date,open,high,low,close,volume
2024-01-11,1010,1020,1000,1011.5,1234567
2024-01-12,1011,1021,1001,1012.25,1234568
2024-01-16,1015,1025,1005,1016,1234569
"""
NEWEST_FIRST = "\n".join([PLAIN.splitlines()[0], *PLAIN.splitlines()[:0:-1]])
YFINANCE = """Price,Close,High,Low,Open,Volume
Ticker,ACME,ACME,ACME,ACME,ACME
Date,,,,,
2024-01-11,1011.5,1020,1000,1010,1234567
2024-01-12,1012.25,1021,1001,1011,1234568
2024-01-16,1016,1025,1005,1015,1234569
"""
NASDAQ = """Date,Close/Last,Volume,Open,High,Low
01/16/2024,"$1,016.00",1234569,"$1,015.00","$1,025.00","$1,005.00"
01/12/2024,"$1,012.25",1234568,"$1,011.00","$1,021.00","$1,001.00"
01/11/2024,"$1,011.50",1234567,"$1,010.00","$1,020.00","$1,000.00"
"""
GERMAN = """Datum;Eröffnung;Hoch;Tief;Schluss;Volumen
11.01.2024;1.010,00;1.020,00;1.000,00;1.011,50;1.234.567
12.01.2024;1.011,00;1.021,00;1.001,00;1.012,25;1.234.568
16.01.2024;1.015,00;1.025,00;1.005,00;1.016,00;1.234.569
"""
INVESTING = """\ufeff"Date","Price","Open","High","Low","Vol.","Change %"
"01/16/2024","1,016.00","1,015.00","1,025.00","1,005.00","1.23M","0.37%"
"01/12/2024","1,012.25","1,011.00","1,021.00","1,001.00","1.23M","0.07%"
"01/11/2024","1,011.50","1,010.00","1,020.00","1,000.00","1.23M","0.15%"
"""


def headed(header: str) -> str:
    return "\n".join([header, *PLAIN.splitlines()[1:]])


def dated(*days: str) -> str:
    text = PLAIN
    for day, written in zip(DAYS, days, strict=True):
        text = text.replace(day, written)
    return text


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(YFINANCE, id="yfinance",
                     marks=pytest.mark.fault("bars", "yfinance's header of two levels", "read")),
        pytest.param(
            YFINANCE.replace("Price,Close,High,Low,Open,Volume\nTicker,ACME,ACME,ACME,ACME,ACME",
                             "Ticker,ACME,ACME,ACME,ACME,ACME\nPrice,Close,High,Low,Open,Volume"), id="by ticker"),
        pytest.param(YFINANCE.replace("Price,", ",").replace("Ticker,", ","), id="older yfinance"),
        pytest.param(headed("Date,ACME_Open,ACME_High,ACME_Low,ACME_Close,ACME_Volume"), id="flattened"),
        pytest.param(headed("Date,Open ACME,High ACME,Low ACME,Close ACME,Volume ACME"), id="flattened behind"),
        pytest.param(headed("timestamp,1. open,2. high,3. low,4. close,5. volume"), id="Alpha Vantage"),
        pytest.param(headed("<DATE>,<OPEN>,<HIGH>,<LOW>,<CLOSE>,<VOL>"), id="MetaStock"),
        pytest.param("\n".join(f"{n or ''},{row}" for n, row in enumerate(PLAIN.splitlines())), id="index",
                     marks=pytest.mark.fault("bars", "a column with the index of a frame", "read")),
        pytest.param(NEWEST_FIRST, id="newest", marks=pytest.mark.fault("bars", "rows newest first", "turned round")),
        pytest.param(PLAIN + ",,,,,\n,,,,,\n", id="empty",
                     marks=pytest.mark.fault("bars", "empty rows at the end", "left out")),
        pytest.param(PLAIN + "2024-01-17,,,,,\n", id="no prices"),
        pytest.param(PLAIN + "2024-01-17,null,null,null,null,null\n", id="null"),
        pytest.param(PLAIN.replace("\n", ",\n"), id="a separator at the end of each line"),
        pytest.param(PLAIN.replace(",", "\t"), id="tabs"),
        pytest.param(PLAIN.replace(",", "|"), id="bars"),
        pytest.param("sep=;\n" + PLAIN.replace(",", ";"), id="Excel's sep"),
        pytest.param("ACME Inc. daily\n\n" + PLAIN, id="title"),
        pytest.param("Price history\x0b of ACME\u2028Inc.\n" + PLAIN, id="title with odd ends"),
        pytest.param(PLAIN + '"Downloaded from Barchart.com as of 01-17-2024 06:18pm CDT"\n', id="footer",
                     marks=pytest.mark.fault("bars", "a title above the header, words below the rows", "left out")),
        pytest.param(PLAIN + '\nSource: someone\n"All rights, whatever, reserved",,,,,\n', id="footers"),
        pytest.param(headed("window_start,open,high,low,close,volume"), id="Polygon"),
        pytest.param(NASDAQ, id="Nasdaq",
                     marks=pytest.mark.fault("bars", "Nasdaq's Close/Last, $, 01/31/2024", "read")),
        pytest.param(GERMAN, id="German",
                     marks=pytest.mark.fault("bars", "decimal commas, semicolons, German headers", "read")),
        pytest.param(GERMAN.replace(".", "/", 2).replace("1.010", "1 010"), id="blank between thousands"),
        pytest.param(GERMAN.replace(";1.0", ";1'0"), id="Swiss thousands"),
        pytest.param(PLAIN.replace("2024-01-", "2024/1/"), id="slashes"),
        pytest.param(PLAIN.replace("2024-01-", "2024年1月"), id="年月"),
        pytest.param(dated('"Jan 11, 2024"', '"Jan 12, 2024"', '"Jan 16, 2024"'), id="Jan 11, 2024"),
        pytest.param(dated("11-Jan-24", "12-Jan-24", "16-Jan-24"), id="11-Jan-24"),
        pytest.param(dated("1704983400", "1705069800", "1705415400"), id="seconds",
                     marks=pytest.mark.fault("bars", "seconds or milliseconds since 1970", "read as UTC")),
        pytest.param(dated("1704931200000", "1705017600000", "1705363200000"), id="milliseconds"),
        pytest.param(PLAIN.replace("date,", "Date,Time,").replace("2024-01-11,", "20240111,160000,")
                     .replace("2024-01-12,", "20240112,160000,").replace("2024-01-16,", "20240116,160000,"),
                     id="date and time",
                     marks=pytest.mark.fault("bars", "date and time in two columns", "read as one")),
        pytest.param(headed("Date,Ouverture,Plus Haut,Plus Bas,Clôture,Volume"), id="French",
                     marks=pytest.mark.fault("bars", "headers in ten languages", "read")),
        pytest.param(headed("Fecha,Apertura,Máximo,Mínimo,Cierre,Volumen"), id="Spanish"),
        pytest.param(headed("Data,Apertura,Massimo,Minimo,Ultimo,Vol."), id="Italian"),
        pytest.param(headed("Data,Abertura,Máxima,Mínima,Último,Vol."), id="Portuguese"),
        pytest.param(headed("日期,开盘,最高,最低,收盘,成交量"), id="Chinese"),
        pytest.param(headed("日付,始値,高値,安値,終値,出来高"), id="Japanese"),
        pytest.param(headed("날짜,시가,고가,저가,종가,거래량"), id="Korean"),
        pytest.param(headed("Дата,Откр.,Макс.,Мин.,Цена,Объём"), id="Russian"),
        pytest.param(headed("Data,Otwarcie,Najwyzszy,Najnizszy,Zamkniecie,Wolumen"), id="Polish"),
        pytest.param(headed("DATUM,Öppning,Högst,Lägst,Stängning,Volym").replace(",Volym", ",Vol"), id="Swedish"),
    ],
)  # fmt: skip
def test_common_forms_of_one_file_give_the_same_bars(text: str, folder: Path) -> None:
    assert facts(read(folder, text)) == (DAYS, CLOSES, 1234567.0)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        pytest.param(
            "ACME.csv", PLAIN.encode("utf-16"), id="UTF-16", marks=pytest.mark.fault("bars", "UTF-16, a BOM", "read")
        ),
        pytest.param("ACME.csv", PLAIN.encode("utf-16-le"), id="UTF-16 without mark"),
        pytest.param("ACME.csv", b"\xef\xbb\xbf" + PLAIN.encode(), id="BOM"),
        pytest.param("ACME.csv", GERMAN.encode("cp1252"), id="Latin"),
        pytest.param("ACME.csv", headed("日付,始値,高値,安値,終値,出来高").encode("cp932"), id="Shift JIS"),
        pytest.param("ACME.csv", headed("日期,开盘,最高,最低,收盘,成交量").encode("gb18030"), id="GBK"),
        pytest.param("ACME.csv.gz", gzip.compress(PLAIN.encode()), id="gz"),
        pytest.param("ACME.csv", gzip.compress(PLAIN.encode()), id="gz without its ending"),
        pytest.param("ACME.CSV", PLAIN.encode(), id=".CSV", marks=pytest.mark.fault("bars", "the ending .CSV", "read")),
    ],
)
def test_encodings_and_packings_are_found_out(name: str, content: bytes, folder: Path) -> None:
    assert facts(read(folder, content, name)) == (DAYS, CLOSES, 1234567.0)


@pytest.mark.fault("bars", "a zipped file", "read where it holds one file")
def test_a_zip_of_one_file_is_read_and_of_two_refused(folder: Path) -> None:
    def packed(*names: str) -> bytes:
        out = io.BytesIO()
        with zipfile.ZipFile(out, "w") as into:
            for name in names:
                into.writestr(name, PLAIN)
        return out.getvalue()

    assert facts(read(folder, packed("a.csv"), "ACME.csv.zip"))[1] == CLOSES
    assert "ACME.csv.zip: holds 2 files; unzip it" in refusal(folder, packed("a.csv", "b.csv"), "ACME.csv.zip")


def test_investing_s_volume_with_units_is_read(folder: Path) -> None:
    assert facts(read(folder, INVESTING)) == (DAYS, CLOSES, 1_230_000.0)


@pytest.mark.fault("bars", "yfinance's frame with two levels in Parquet", "read")
@pytest.mark.parametrize("symbols", [["ACME"], ["ACME", "OTHR"]])
def test_a_frame_of_yfinance_in_parquet_gives_the_bars_of_its_symbol(symbols: list[str], folder: Path) -> None:
    base = pd.read_csv(io.StringIO(PLAIN), index_col="date", parse_dates=True)
    frame = pd.concat({s: base.rename(columns=str.capitalize) * (1 + n) for n, s in enumerate(symbols)}, axis=1)
    frame = frame.swaplevel(axis=1)
    frame.to_parquet(folder / "ACME.parquet")
    frame.to_csv(folder / "ACME.csv")
    for name in ("ACME.parquet", "ACME.csv"):
        assert facts(read_table(folder / name)) == (DAYS, CLOSES, 1234567.0)


def test_numbers_and_dates_as_text_or_epochs_in_parquet_are_read(folder: Path) -> None:
    frame = pd.read_csv(io.StringIO(GERMAN), sep=";", dtype=str)
    frame.to_parquet(folder / "ACME.parquet")
    assert facts(read_table(folder / "ACME.parquet")) == (DAYS, CLOSES, 1234567.0)
    plain = pd.read_csv(io.StringIO(PLAIN))
    plain["date"] = [1704931200000, 1705017600000, 1705363200000]
    plain.to_parquet(folder / "ACME.parquet")
    assert facts(read_table(folder / "ACME.parquet")) == (DAYS, CLOSES, 1234567.0)


# ---- several symbols ---------------------------------------------------------------------------------------------

LONG = "\n".join(
    ["date,symbol,open,high,low,close,volume"]
    + [f"{day},{s},10,12,9,{11 - n},500" for day in DAYS for n, s in enumerate(("BRK-B", "OTHR"))]
)


@pytest.mark.fault("bars", "two symbols in one file", "the symbol's own rows, or refused with the command")
def test_of_several_symbols_those_of_the_file_s_name_are_read_or_the_command_is_said(folder: Path) -> None:
    table = read(folder, LONG, "BRK.B.csv")
    assert (table.close.tolist(), table.notes) == (
        [11.0] * 3,
        ("rows of 1 other symbols in its file are left out",),
    )
    line = refusal(folder, LONG, "ALL.csv")
    assert "ALL.csv:2: holds bars of 2 symbols and none for ALL" in line
    assert line.endswith("ALL.csv --symbols BRK-B,OTHR`")


# ---- what may mean two things ------------------------------------------------------------------------------------

HEAD = "date,open,high,low,close,volume"


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        pytest.param(['2024-01-11,"1,010","1,020","1,000","1,011","1,234"'], 'ACME.csv:2: open was "1,010": thousands',
                     marks=pytest.mark.fault("bars", "1,234: thousands or decimals?",
                                             "settled by the whole file, or refused")),
        pytest.param(["03/04/2024,10,12,9,11,5", "03/05/2024,10,12,9,11,5"],
                     'ACME.csv:2: date was "03/04/2024", 2024-04-03 or 2024-03-04: nothing in the column says which',
                     marks=pytest.mark.fault("bars", "03/04/2024: March or April?",
                                             "settled by the whole column, or refused")),
        (["13/01/2024,10,12,9,11,5", "01/16/2024,10,12,9,11,5"], 'date was "01/16/2024"'),
        (['2024-01-11,"1.010,50","1.020,00","1,000.00","1.011,00",5', '2024-01-12,"1,010.50",1,1,1,5'],
         'ACME.csv:3: open has "1.010,50" and "1,010.50": two decimal marks in one column'),
        pytest.param(["45302,10,12,9,11,5"], 'ACME.csv:2: date was "45302", a day number of a spreadsheet; format',
                     marks=pytest.mark.fault("bars", "day numbers of a spreadsheet", "refused")),
        (["Jan 11 2024,10,12,9,11,5", "01/12/2024,10,12,9,11,5"], 'ACME.csv:3: date was "01/12/2024"'),
        (["11/31/2024,10,12,9,11,5"], 'ACME.csv:2: date was "11/31/2024"'),
        (["2024-01-11 25:61,10,12,9,11,5"], 'ACME.csv:2: date was "2024-01-11 25:61"'),
        (["2024-01-11,10,12,9,12M,5"], 'ACME.csv:2: close was "12M", not a number'),
        pytest.param(["2024-01-11,10,12,9,11,5", "2024-01-1"], "ACME.csv:3: has 1 columns where the header has 6",
                     marks=pytest.mark.fault("bars", "a file that ends in the middle of a row", "refused")),
        (["2024-01-11,10,12,9,11,5,6"], "ACME.csv:2: has 7 columns where the header has 6"),
        (["2024-01-11,,,,,"], "ACME.csv:2: has no row with a price"),
    ],
)  # fmt: skip
def test_what_may_mean_two_things_or_none_is_refused_with_its_row(rows: list[str], said: str, folder: Path) -> None:
    assert said in refusal(folder, "\n".join([HEAD, *rows]))


@pytest.mark.parametrize("rows", [["1.234;1.240;1.230;1.235;500"], ["1.234;1.240;1.230;1.235;1.500"]])
def test_points_before_three_digits_are_open_between_semicolons_only(rows: list[str], folder: Path) -> None:
    text = "\n".join(["date;open;high;low;close;volume", *(f"2024-01-11;{row}" for row in rows)])
    assert 'open was "1.234": thousands or decimals' in refusal(folder, text)
    settled = text + "\n2024-01-12;1.234;1.24;1.23;1.235;500"
    assert read(folder, settled).close.tolist() == [1.235, 1.235]
    assert read(folder, text.replace(";", ",")).close.tolist() == [1.235]


def test_a_column_that_leaves_the_mark_open_is_settled_by_the_others(folder: Path) -> None:
    rows = ['2024-01-11,10.5,12.5,9.5,11.5,"1,234"', '2024-01-12,10.5,12.5,9.5,11.5,"2,345"']
    assert read(folder, "\n".join([HEAD, *rows])).volume.tolist() == [1234.0, 2345.0]


def test_a_day_beyond_the_twelfth_settles_the_whole_column(folder: Path) -> None:
    rows = [f"{day},10,12,9,11,5" for day in ("11/01/2024", "12/01/2024", "16/01/2024")]
    assert facts(read(folder, "\n".join([HEAD, *rows])))[0] == DAYS


# ---- rows without prices, volumes, actions -----------------------------------------------------------------------


@pytest.mark.fault("bars", "rows without prices in the middle (halts)", "left out with a note")
def test_halts_are_left_out_and_said_and_half_a_bar_is_refused(folder: Path) -> None:
    rows = PLAIN.splitlines()
    table = read(folder, "\n".join([*rows[:2], "2024-01-12,,,,,", *rows[3:]]))
    assert (facts(table)[0], table.notes) == ([DAYS[0], DAYS[2]], ("1 rows without a price are left out",))
    half = read(folder, "\n".join([*rows[:2], "2024-01-12,10,,9,11,5", *rows[3:]]))
    assert [p.what for p in quality.refusals(half)] == ["high is NaN"]


@pytest.mark.parametrize("cell", ["", "-", "null", "N/A"])
def test_a_column_of_volumes_that_says_nothing_is_none(cell: str, folder: Path) -> None:
    rows = [f"{day},10,12,9,11,{cell}" for day in DAYS]
    assert read(folder, "\n".join([HEAD, *rows])).volume.tolist() == [0.0] * 3


@pytest.mark.fault("bars", "infinite, tiny or huge prices, a dividend above the price", "refused")
@pytest.mark.parametrize("price", ["inf", "1e999", "1e300", "1e-300"])
def test_prices_beyond_any_price_are_refused(price: str, folder: Path) -> None:
    text = "\n".join([f"{HEAD},dividend", "2024-01-11,10,12,9,11,5,0", f"2024-01-12,10,{price},9,11,5,12"])
    found = [p.what for p in quality.refusals(read(folder, text))]
    assert found[0].startswith("high is")
    assert found[-1] == "dividend 12 is a whole price"


def test_a_dividend_on_a_day_without_prices_is_paid_on_the_next_one_with_them(folder: Path) -> None:
    rows = ["2024-01-11,10,12,9,11,5,0", "2024-01-12,,,,,,0.5", "2024-01-16,10,12,9,11,5,0"]
    for order in (rows, rows[::-1]):
        table = read(folder, "\n".join([f"{HEAD},dividends", *order]))
        np.testing.assert_array_equal(table.dividend, [0.0, 0.5])


@pytest.mark.medium
def test_no_garbled_file_ends_in_anything_but_bars_or_one_line(folder: Path) -> None:
    texts = [PLAIN, YFINANCE, NASDAQ, GERMAN, INVESTING, LONG]
    scraps = [
        "",
        ",",
        ";",
        '"',
        "\n",
        "nan",
        "1,2",
        "-",
        "99999999999999999999",
        "٣",
        "2024-13-01",
        "\t",
        "\r",
        "\ufeff",
        "inf",
        "Z",
    ]
    rng = np.random.default_rng(1)
    for _ in range(600):
        text = texts[rng.integers(len(texts))]
        at, length = rng.integers(len(text)), rng.integers(12)
        broken = text[:at] + scraps[rng.integers(len(scraps))] + text[at + length :]
        with suppress(DataError):
            quality.refusals(read(folder, broken))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"PAR1" + bytes(40) + b"PAR1", "ACME.csv: is a Parquet file; name it SYMBOL.parquet"),
        ("date,open,high,low,close\n2024-01-11,1,1,1,1\n0000-00-00,1,1,1,1\n", 'ACME.csv:3: date was "0000-00-00"'),
        ("date,open,high,low,close\nNaT,1,1,1,1\n", 'ACME.csv:2: date was "NaT"'),
    ],
)
def test_what_is_something_else_is_named(content: str | bytes, said: str, folder: Path) -> None:
    assert said in refusal(folder, content)


def test_line_ends_of_old_macs_currencies_and_single_missing_volumes_are_read(folder: Path) -> None:
    assert facts(read(folder, PLAIN.replace("\n", "\r")))[0] == DAYS
    priced = PLAIN.replace(",1011.5,", ",USD 1011.5,").replace(",1016,", ",1016 €,").replace(",1234568", ",")
    table = read(folder, priced)
    assert (table.close.tolist(), table.volume[1]) == (CLOSES, 0.0)
    assert table.notes == ("1 bars say no volume and are read with 0",)


@pytest.mark.fault("bars", "an adjusted close far from the close", "not used, and a note")
def test_an_adjusted_close_far_from_the_close_is_said(folder: Path) -> None:
    rows = [f"{day},10,12,9,11,{11 * 37},500" for day in DAYS]
    table = read(folder, "\n".join(["date,open,high,low,close,adj close,volume", *rows]))
    assert "its adjusted close on 2024-01-16 is 37 times its close: are both of this symbol?" in table.notes


@pytest.mark.fault("bars", "a named pipe, a device or a link to nothing for a file of bars", "one line, at once")
@pytest.mark.parametrize("name", ["ACME.csv", "ACME.parquet", "ACME.csv.gz"])
def test_what_is_no_file_is_one_line_at_once(name: str, folder: Path) -> None:
    os.mkfifo(folder / name)
    with pytest.raises(DataError, match=r"is a named pipe, not a file"):
        load_bars(["ACME"], folder, first=date(2024, 1, 2))
    with pytest.raises(DataError, match=r"is a named pipe, not a file"):
        fetch(FetchRequest("files", (), path=folder), folder / "into", datetime.now(UTC), print)
    (folder / name).unlink()
    (folder / name).symlink_to(folder / "nothing.csv")
    with pytest.raises(DataError, match=r"No such file"):
        load_bars(["ACME"], folder, first=date(2024, 1, 2))


@pytest.mark.fault("bars", "cells of thousands of digits, files that unpack to gigabytes", "one short line")
@pytest.mark.parametrize("row", ["{},10,12,9,11,5", "2024-01-11,10,12,9,{}x,5"])
def test_endless_cells_are_one_short_line(row: str, folder: Path) -> None:
    line = refusal(folder, f"{HEAD}\n{row.format('9' * 5000)}\n")
    assert len(line) < 400
    endless = read(folder, f"{HEAD}\n2024-01-11,10,{'9' * 5000},9,11,5\n")
    assert [p.what for p in quality.refusals(endless)] == ["high is inf"]


def test_what_unpacks_to_more_than_any_file_of_bars_is_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sheets, "MOST_BYTES", 1 << 20)
    said = "holds more than 1 MiB; cut it into parts"
    assert said in refusal(folder, gzip.compress(bytes(2 << 20)), "ACME.csv.gz")
    assert "is larger than 1,048,576 bytes" in refusal(folder, b"x" * (2 << 20))
