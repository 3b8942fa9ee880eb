from __future__ import annotations

import hashlib
from datetime import date
from pathlib import Path

import numpy as np
import pytest

from simulator.market.bars import Floats
from simulator.market.load import available, load_bars
from simulator.market.quality import check
from simulator.market.sources.files import read_table
from simulator.market.sources.sample import SOURCE, convert
from simulator.workspace import shipped

DATA = shipped() / "data"
RANGES = {
    "AAPL": ("2018-01-02", "2024-12-30", 1760),
    "BIL": ("2018-01-02", "2024-12-30", 1760),
    "GLD": ("2018-01-02", "2024-12-30", 1760),
    "NVDA": ("2018-01-02", "2024-12-30", 1760),
    "QQQ": ("2018-01-02", "2024-12-30", 1760),
    "SPY": ("2015-01-02", "2025-12-30", 2765),
    "VIX": ("2018-01-02", "2024-12-30", 1760),
}


def closes(symbol: str, last: date) -> Floats:
    return load_bars([symbol], DATA, first=date(2024, 1, 2), last=last).bars.close[:, 0]


@pytest.mark.parametrize(
    ("symbol", "last", "total", "sharpe", "drawdown"),
    [
        ("SPY", date(2024, 12, 31), 25.5893, 1.8824, -8.4056),
        ("QQQ", date(2024, 12, 30), 28.8343, 1.5121, -13.5577),
    ],
)
def test_buy_and_hold_of_2024_has_the_known_values(
    symbol: str, last: date, total: float, sharpe: float, drawdown: float
) -> None:
    close = closes(symbol, last)
    daily = close[1:] / close[:-1] - 1
    assert round(100 * (close[-1] / close[0] - 1), 4) == total
    assert round(daily.mean() / daily.std(ddof=1) * np.sqrt(252), 4) == sharpe
    assert round(100 * (close / np.maximum.accumulate(close) - 1).min(), 4) == drawdown


@pytest.mark.parametrize("symbol", RANGES)
def test_the_sample_covers_its_range_with_no_session_missing_and_nothing_wrong(symbol: str) -> None:
    table = read_table(DATA / "sample" / f"{symbol}.parquet", source=SOURCE)
    assert (str(table.first), str(table.last), len(table)) == RANGES[symbol]
    assert check(table) == []


def test_the_numbers_of_the_sample_are_the_ones_that_were_shipped() -> None:
    digest = hashlib.sha256()
    for symbol in RANGES:
        table = read_table(DATA / "sample" / f"{symbol}.parquet", source=SOURCE)
        for array in (table.session_of, table.open, table.high, table.low, table.close, table.volume):
            digest.update(array.tobytes())
    assert digest.hexdigest() == "24ffbca8dee78eed4df6084b73dbfc5a92725daf1cce40a47dcc197df2788d4c"


def test_every_file_of_the_sample_has_its_attribution() -> None:
    files = {path.name for path in (DATA / "sample").glob("*.parquet")}
    notice = (DATA / "sample" / "NOTICE").read_text()
    assert files == {f"{symbol}.parquet" for symbol in RANGES}
    assert [name for name in sorted(files) if name not in notice] == []


def test_a_run_that_takes_the_sample_says_so() -> None:
    loaded = load_bars(["SPY", "QQQ"], DATA, first=date(2024, 1, 1), context=["VIX", "BIL"])
    assert loaded.bars.sources == loaded.context.sources == ("sample", "sample")
    assert set(RANGES) <= set(available(DATA))


def test_conversion_to_parquet_keeps_every_bit(tmp_path: Path) -> None:
    given = tmp_path / "given"
    given.mkdir()
    (given / "ACME.csv").write_text(
        "date,open,high,low,close,volume\n2024-01-02,0.1,0.30000000000000004,0.1,0.2,1\n2024-01-03,1e3,1e3,1e3,1e3,0\n"
    )
    (written,) = convert(given, tmp_path)
    before, after = read_table(given / "ACME.csv"), read_table(written)
    for name in ("session_of", "starts", "open", "high", "low", "close", "volume", "dividend"):
        assert getattr(before, name).tobytes() == getattr(after, name).tobytes()
