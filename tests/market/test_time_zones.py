"""Minute bars whose labels say no time zone: read as New York's, refused where they cannot be, and `--tz`."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from click.testing import CliRunner

from simulator.cli import sim as command
from simulator.errors import DataError
from simulator.market.bars import moment
from simulator.market.calendar import NEW_YORK, sessions
from simulator.market.load import load_bars
from simulator.market.quality import check
from simulator.market.sources.files import read_table

HEAD = "datetime,open,high,low,close,volume"
FIRST, LAST = date(2024, 3, 6), date(2024, 3, 14)
"""Daylight saving began in New York on 10 March, in Europe on the 31st."""


def labels(zone: str, *, extended: bool = False, step: int = 5) -> list[str]:
    """A line for each bar, its label read off a clock in `zone`; `extended` adds thin trading from 4:00 to 20:00."""
    rows = []
    for day in sessions(FIRST, LAST).dates.astype(object):
        start = datetime(day.year, day.month, day.day, *((4, 0) if extended else (9, 30)), tzinfo=NEW_YORK)
        for n in range(16 * 60 // step if extended else 390 // step):
            at = start + timedelta(minutes=n * step)
            volume = 1000 if (9, 30) <= (at.hour, at.minute) < (16, 0) else 10
            rows.append(f"{at.astimezone(ZoneInfo(zone)).replace(tzinfo=None)},10,12,9,11,{volume}")
    return rows


@pytest.mark.fault("bars", "minute bars in UTC that do not say so", "refused, naming --tz UTC")
@pytest.mark.parametrize("zone", ["UTC", "Europe/Berlin", "America/Chicago", "America/Los_Angeles", "Asia/Kolkata"])
@pytest.mark.parametrize("extended", [False, True])
def test_labels_of_another_zone_are_refused_naming_the_option(
    zone: str, extended: bool, write: Callable[..., Path]
) -> None:
    path = write("ACME", labels(zone, extended=extended), HEAD)
    with pytest.raises(DataError, match="of its volume lies outside the session: labels without a zone look like") as e:
        read_table(path)
    assert f"look like {zone}; `sim data fetch --source files --path " in str(e.value)
    assert str(e.value).endswith(f"--symbols ACME --tz {zone}` reads them so")


@pytest.mark.fault("bars", "minute bars that change to UTC in the middle of a file", "refused, naming the row")
def test_labels_that_change_their_zone_on_the_way_are_refused_from_there(write: Callable[..., Path]) -> None:
    rows = [*labels("America/New_York")[: 78 * 5], *labels("UTC")[78 * 5 :]]
    with pytest.raises(
        DataError, match=r"ACME\.csv:392: .* without a zone from 2024-03-13 on look like UTC; write each"
    ):
        read_table(write("ACME", rows, HEAD))


@pytest.mark.fault("bars", "labels that are the ends of intraday bars", "read as starts, with a note")
def test_labels_at_the_end_of_bars_are_said(write: Callable[..., Path], folder: Path) -> None:
    write("STARTS", labels("America/New_York"), HEAD)
    ends = [f"{datetime.fromisoformat(r[:19]) + timedelta(minutes=5)}{r[19:]}" for r in labels("America/New_York")]
    write("ENDS", ends, HEAD)
    notes = load_bars(["STARTS", "ENDS"], folder, first=FIRST).notes
    assert [n for n in notes if "look like the ends" in n] == [
        "ENDS: labels look like the ends of its bars (none at the open) and are read as starts"
    ]


@pytest.mark.fault("bars", "a live bar of today behind the daily ones", "refused as a duplicate of its day")
def test_a_live_bar_with_a_time_of_its_own_does_not_make_daily_bars_intraday(write: Callable[..., Path]) -> None:
    days = [f"{day} 00:00:00-05:00,10,12,9,11,5" for day in sessions(date(2024, 1, 2), date(2024, 1, 31)).dates]
    table = read_table(write("ACME", [*days, "2024-01-31 15:12:04-05:00,10,12,9,11,5"]))
    assert (table.frequency, [p.what for p in check(table)]) == (
        "1d",
        ["is dated like the bar before it: a duplicate"],
    )


@pytest.mark.parametrize("extended", [False, True])
@pytest.mark.parametrize("zone", ["UTC", "Europe/Berlin"])
def test_named_the_zone_of_the_labels_gives_the_bars_of_new_york(
    zone: str, extended: bool, write: Callable[..., Path]
) -> None:
    right = read_table(write("RIGHT", labels("America/New_York", extended=extended), HEAD))
    other = read_table(write("OTHER", labels(zone, extended=extended), HEAD), zone=ZoneInfo(zone))
    assert (other.frequency, other.starts.tolist()) == ("5min", right.starts.tolist())


def test_bars_around_a_session_without_volumes_are_new_yorks(write: Callable[..., Path]) -> None:
    rows = [f"{row.rpartition(',')[0]},0" for row in labels("America/New_York", extended=True)]
    assert len(read_table(write("ACME", rows, HEAD))) == len(rows)


def test_tz_reads_a_folder_once_and_keeps_the_file_as_it_came(workspace: Path) -> None:
    def call(*words: object) -> Any:
        return CliRunner().invoke(command, ["--workspace", str(workspace), *map(str, words)])

    data = workspace / "data"
    text = "\n".join([HEAD, *labels("UTC")]) + "\n"
    (data / "ACME.csv").write_text(text)
    assert "look like UTC" in call("data", "check", "--symbols", "ACME").stdout
    done = call("data", "fetch", "--source", "files", "--path", data, "--symbols", "ACME", "--tz", "UTC")
    assert (done.exit_code, done.stdout.split()[:4]) == (0, ["ACME", "2024-03-06", "to", "2024-03-14"])
    assert (data / "ACME.csv.original").read_text() == text
    bars = load_bars(["ACME"], data, first=FIRST).bars
    assert moment(int(bars.opens_at[0])) == datetime(2024, 3, 6, 14, 30, tzinfo=ZoneInfo("UTC"))
    assert len(bars) == 78 * 7
    wrong = call("data", "fetch", "--source", "files", "--path", data, "--tz", "Mars")
    assert "Invalid value for '--tz': \"Mars\" is not a time zone" in str(wrong.exception) + wrong.output


@pytest.mark.fault(
    "bars", "a file of another name, or of several symbols", "`data fetch --path FILE --symbols` reads it"
)
def test_one_file_of_any_name_is_taken_over_by_its_symbols(workspace: Path, tmp_path: Path) -> None:
    def call(*words: object) -> Any:
        return CliRunner().invoke(command, ["--workspace", str(workspace), *map(str, words)])

    path = tmp_path / "all of them, daily.csv"
    days = sessions(FIRST, LAST).dates.astype(str).tolist()
    rows = [f"{day},{s},10,12,9,{11 - n},500" for day in days for n, s in enumerate(("BRK.B", "OTHR"))]
    path.write_text("\n".join(["date,symbol,open,high,low,close,volume", *rows]))
    done = call("data", "fetch", "--source", "files", "--path", path, "--symbols", "BRK.B,OTHR")
    assert done.exit_code == 0, done.output
    loaded = load_bars(["BRK.B", "OTHR"], workspace / "data", first=FIRST)
    assert loaded.bars.close[0].tolist() == [11.0, 10.0]
    (workspace / "data" / "SPY Historical Data.csv").write_text(path.read_text())
    assert "SPY Historical Data.csv: is not named after a symbol" in call("data", "check").stdout
    unknown = call("data", "list", "--symbols", "SPYX")
    assert unknown.exit_code != 0
