from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from simulator.errors import DataError, UsageError
from simulator.market.calendar import sessions
from simulator.market.load import Loaded, available, load_bars
from simulator.workspace import Workspace, shipped

Write = Callable[..., Path]
SAMPLE = shipped() / "data"
JANUARY, MARCH = (date(2024, 1, 2), date(2024, 1, 31)), (date(2024, 3, 1), date(2024, 3, 28))
WINTER = (JANUARY[0], MARCH[1])


def days(loaded: Loaded) -> list[str]:
    return loaded.bars.dates.astype(str).tolist()


# ---- where bars come from ----------------------------------------------------------------------------------------


def test_files_in_data_go_before_the_sample_and_sources_say_which(write: Write, folder: Path) -> None:
    write("SPY", WINTER)
    loaded = load_bars(["SPY", "QQQ"], [folder, SAMPLE], first=date(2024, 2, 1), last=date(2024, 2, 29))
    assert loaded.bars.sources == ("data/SPY.csv", "sample")
    assert loaded.bars.close[0, 0] == 122.0


def test_the_folders_of_a_workspace_can_be_handed_over_as_they_are(write: Write, folder: Path) -> None:
    write("ACME", WINTER)
    place = Workspace(shipped(), folder.parent)
    assert load_bars(["ACME", "SPY"], place.bar_folders, first=JANUARY[0]).bars.sources == ("data/ACME.csv", "sample")


def test_the_first_folder_that_has_a_symbol_wins(write: Write, folder: Path, tmp_path: Path) -> None:
    write("ACME", WINTER)
    other = tmp_path / "other"
    other.mkdir()
    (other / "ACME.csv").write_text((folder / "ACME.csv").read_text())
    assert available([other, folder])["ACME"].source == "other/ACME.csv"
    assert available([folder, other])["ACME"].source == "data/ACME.csv"


def test_two_files_for_one_symbol_in_a_folder_are_refused(write: Write, folder: Path) -> None:
    write("ACME", WINTER)
    (folder / "acme.parquet").write_bytes(b"")
    with pytest.raises(DataError, match=r"two files for ACME: .*ACME\.csv and .*acme\.parquet; delete one"):
        available(folder)


def test_events_and_folders_are_no_symbols(folder: Path) -> None:
    (folder / "events.csv").write_text("at,name\n")
    (folder / "news.csv").mkdir()
    assert available(folder) == {}


def test_loading_changes_no_file(write: Write, folder: Path) -> None:
    path = write("ACME", WINTER)
    before = (path.stat().st_mtime_ns, path.read_bytes(), sorted(folder.iterdir()))
    load_bars(["ACME"], folder, first=JANUARY[0])
    assert (path.stat().st_mtime_ns, path.read_bytes(), sorted(folder.iterdir())) == before


# ---- first, last, history ----------------------------------------------------------------------------------------


def test_without_an_end_the_run_ends_at_the_last_session_all_symbols_have_and_says_so() -> None:
    loaded = load_bars(["SPY", "QQQ"], SAMPLE, first=date(2024, 1, 1))
    assert loaded.last == date(2024, 12, 30)
    assert loaded.notes == (
        "without --to the run ends on 2024-12-30, the last session that all symbols have (SPY goes on to 2025-12-30)",
    )


def test_without_an_end_and_with_one_symbol_it_ends_where_that_symbol_does() -> None:
    loaded = load_bars(["SPY"], SAMPLE, first=date(2024, 1, 1))
    assert loaded.last == date(2025, 12, 30)
    assert loaded.notes == ("without --to the run ends on 2025-12-30, the last session that SPY has",)


def test_a_session_one_symbol_misses_is_not_the_end(write: Write) -> None:
    path = write("AAA", JANUARY)
    write("BBB", JANUARY)
    path.write_text(path.read_text().replace("2024-01-31", "2024-02-01"))
    assert load_bars(["AAA", "BBB"], path.parent, first=JANUARY[0]).last == date(2024, 1, 30)


def test_history_is_that_many_sessions_before_the_run_and_start_is_its_first_row() -> None:
    loaded = load_bars(["SPY"], SAMPLE, first=date(2024, 1, 1), last=date(2024, 1, 5), history=3)
    assert days(loaded) == [
        "2023-12-27", "2023-12-28", "2023-12-29", "2024-01-02", "2024-01-03", "2024-01-04", "2024-01-05",
    ]  # fmt: skip
    assert (loaded.start, loaded.last, loaded.notes) == (3, date(2024, 1, 5), ())


def test_history_there_is_not_is_said(write: Write, folder: Path) -> None:
    write("ACME", JANUARY)
    loaded = load_bars(["ACME"], folder, first=date(2024, 1, 9), last=date(2024, 1, 31), history=300)
    assert loaded.start == 5
    assert loaded.notes == ("5 sessions of history exist before 2024-01-09; 300 were asked for",)


def test_a_run_from_before_the_first_bar_begins_with_it_and_says_so(write: Write, folder: Path) -> None:
    write("ACME", JANUARY)
    loaded = load_bars(["ACME"], folder, first=date(2023, 12, 1), last=date(2024, 1, 31))
    assert (loaded.start, days(loaded)[0]) == (0, "2024-01-02")
    assert loaded.notes == ("the bars begin on 2024-01-02, 20 sessions after --from 2023-12-01",)


def test_an_end_beyond_the_bars_is_said(write: Write, folder: Path) -> None:
    write("ACME", JANUARY)
    loaded = load_bars(["ACME"], folder, first=JANUARY[0], last=date(2024, 2, 5))
    assert loaded.last == date(2024, 1, 31)
    assert loaded.notes == ("the bars end on 2024-01-31, 3 sessions before --to 2024-02-05",)


def test_an_end_on_the_weekend_after_the_last_bar_is_not_worth_a_word(write: Write, folder: Path) -> None:
    write("ACME", (date(2024, 1, 2), date(2024, 1, 12)))
    assert load_bars(["ACME"], folder, first=JANUARY[0], last=date(2024, 1, 15)).notes == ()


def test_symbols_may_start_late_stop_early_and_miss_sessions(write: Write, folder: Path) -> None:
    write("LONG", WINTER)
    path = write("GAPS", (date(2024, 1, 10), date(2024, 3, 20)))
    lines = path.read_text().splitlines()
    path.write_text("\n".join(line for line in lines if "2024-02-0" not in line) + "\n")
    loaded = load_bars(["LONG", "GAPS"], folder, first=JANUARY[0], last=MARCH[1])
    fresh = loaded.bars.fresh
    assert fresh[:, 0].all()
    assert len(loaded.bars) == len(sessions(*WINTER))
    assert loaded.bars.dates[fresh[:, 1]][[0, -1]].astype(str).tolist() == ["2024-01-10", "2024-03-20"]
    assert np.isnan(loaded.bars.volume[~fresh[:, 1], 1]).all()
    assert loaded.notes == (
        "GAPS starts late, on 2024-01-10",
        "GAPS ends early, on 2024-03-20: a position stays at that price",
        "GAPS has no bar on 7 sessions, the first 2024-02-01",
    )


def test_bars_open_and_close_with_the_exchange_early_closes_included() -> None:
    loaded = load_bars(["SPY"], SAMPLE, first=date(2024, 7, 3), last=date(2024, 7, 5))
    closed = [datetime.fromtimestamp(at / 1e9, UTC).hour for at in loaded.bars.closes_at.tolist()]
    assert closed == [17, 20]


def test_dividends_stand_on_their_ex_date(write: Write, folder: Path) -> None:
    head = "date,open,high,low,close,volume,dividends"
    write("ACME", ["2024-01-02,10,10,10,10,1,0", "2024-01-03,10,10,10,10,1,0.5"], head)
    assert load_bars(["ACME"], folder, first=JANUARY[0]).bars.dividend[:, 0].tolist() == [0.0, 0.5]


# ---- context -----------------------------------------------------------------------------------------------------


def test_context_stands_on_the_same_timeline_and_what_is_not_there_is_absent(write: Write, folder: Path) -> None:
    write("ACME", WINTER)
    loaded = load_bars(["ACME"], [folder, SAMPLE], first=JANUARY[0], context=["BIL", "NOPE", "VIX"])
    assert loaded.context.symbols == ("BIL", "VIX")
    np.testing.assert_array_equal(loaded.context.closes_at, loaded.bars.closes_at)
    assert loaded.context.fresh.all()


def test_context_that_ends_before_the_run_is_said() -> None:
    loaded = load_bars(["SPY"], SAMPLE, first=date(2024, 12, 1), last=date(2025, 1, 31), context=["VIX"])
    assert loaded.notes == ("VIX (context) ends 2024-12-30, before the run does",)


def test_a_symbol_may_be_traded_and_context_at_once() -> None:
    loaded = load_bars(["BIL"], SAMPLE, first=date(2024, 12, 1), context=["BIL"])
    np.testing.assert_array_equal(loaded.bars.close, loaded.context.close)


def test_without_context_the_context_is_empty_on_the_same_timeline() -> None:
    loaded = load_bars(["SPY"], SAMPLE, first=date(2024, 12, 1), last=date(2024, 12, 31))
    assert (len(loaded.context), loaded.context.symbols, loaded.context.digest != "") == (21, (), True)


# ---- intraday ----------------------------------------------------------------------------------------------------


def minutes(day: str, first: str, count: int, step: int = 1) -> list[str]:
    start = datetime.fromisoformat(f"{day} {first}")
    return [f"{start + timedelta(minutes=step * n)},10,11,9,10,100" for n in range(count)]


def test_minute_bars_open_at_their_label_and_close_a_minute_later(write: Write, folder: Path) -> None:
    write("ACME", [*minutes("2024-07-02", "15:58", 2), *minutes("2024-07-03", "09:30", 2)])
    bars = load_bars(["ACME"], folder, first=date(2024, 7, 2)).bars
    assert bars.frequency == "1min"
    assert (bars.closes_at - bars.opens_at).tolist() == [60_000_000_000] * 4
    assert datetime.fromtimestamp(bars.opens_at[2] / 1e9, UTC) == datetime(2024, 7, 3, 13, 30, tzinfo=UTC)


def test_the_last_bar_of_a_session_closes_with_it(write: Write, folder: Path) -> None:
    write("ACME", minutes("2024-07-03", "09:30", 4, 60))
    bars = load_bars(["ACME"], folder, first=date(2024, 7, 3)).bars
    assert datetime.fromtimestamp(bars.closes_at[-1] / 1e9, UTC) == datetime(2024, 7, 3, 17, 0, tzinfo=UTC)
    assert (bars.closes_at[-1] - bars.opens_at[-1]) == 1_800_000_000_000


def test_bars_outside_regular_hours_are_left_out_and_said(write: Write, folder: Path) -> None:
    write("ACME", [*minutes("2024-07-03", "09:28", 4), *minutes("2024-07-03", "12:59", 3)])
    loaded = load_bars(["ACME"], folder, first=date(2024, 7, 3))
    assert len(loaded.bars) == 3
    assert "ACME: 4 bars outside regular hours are left out" in loaded.notes


def test_intraday_history_is_counted_in_sessions(write: Write, folder: Path) -> None:
    write("ACME", [line for day in (1, 2, 3, 5) for line in minutes(f"2024-07-0{day}", "09:30", 3)])
    loaded = load_bars(["ACME"], folder, first=date(2024, 7, 3), history=1)
    assert (len(loaded.bars), loaded.start, days(loaded)[0]) == (9, 3, "2024-07-02")


def test_symbols_share_the_minutes_any_of_them_has(write: Write, folder: Path) -> None:
    write("AAA", minutes("2024-07-02", "09:30", 3))
    write("BBB", [line for line in minutes("2024-07-02", "09:30", 4) if "09:31" not in line])
    fresh = load_bars(["AAA", "BBB"], folder, first=date(2024, 7, 2)).bars.fresh
    assert fresh.T.tolist() == [[True, True, True, False], [True, False, True, True]]


def test_daily_context_is_known_with_the_last_minute_of_its_session(write: Write, folder: Path) -> None:
    write("ACME", [*minutes("2024-07-02", "15:58", 2), *minutes("2024-07-03", "12:58", 2)])
    loaded = load_bars(["ACME"], [folder, SAMPLE], first=date(2024, 7, 2), context=["VIX"])
    assert loaded.context.fresh[:, 0].tolist() == [False, True, False, True]
    np.testing.assert_array_equal(
        loaded.context.close[[1, 3], 0],
        load_bars(["VIX"], SAMPLE, first=date(2024, 7, 2), last=date(2024, 7, 3)).bars.close[:, 0],
    )


def test_intraday_context_beside_daily_bars_is_left_out_and_said(write: Write, folder: Path) -> None:
    write("TICK", minutes("2024-07-02", "09:30", 3))
    loaded = load_bars(["SPY"], [folder, SAMPLE], first=date(2024, 7, 1), last=date(2024, 7, 5), context=["TICK"])
    assert loaded.context.symbols == ()
    assert loaded.notes == ("TICK has 1min bars and is left out of a run on 1d bars",)


def test_symbols_of_two_frequencies_are_refused(write: Write, folder: Path) -> None:
    write("TICK", minutes("2024-07-02", "09:30", 3))
    with pytest.raises(DataError, match="1d bars of SPY; 1min bars of TICK; one run takes bars of one frequency"):
        load_bars(["SPY", "TICK"], [folder, SAMPLE], first=date(2024, 7, 1))


# ---- what is refused ---------------------------------------------------------------------------------------------


def test_an_unknown_symbol_ends_in_the_command_to_type() -> None:
    with pytest.raises(DataError) as error:
        load_bars(["SPY", "QQQQ"], SAMPLE, first=date(2024, 1, 1), last=date(2024, 6, 28), history=2)
    assert str(error.value) == (
        'no bars for "QQQQ", did you mean "QQQ"?; fetch them with '
        "`sim data fetch --source yahoo --symbols QQQQ --from 2023-12-28 --to 2024-06-28`"
    )
    assert error.value.exit_code == 3


@pytest.mark.parametrize("symbol", ["../../etc/passwd", "spy", "", "NUL\0"])
def test_names_that_are_no_symbols_have_no_bars(symbol: str) -> None:
    with pytest.raises(DataError, match="no bars for"):
        load_bars([symbol], SAMPLE, first=date(2024, 1, 1))


@pytest.mark.parametrize(
    ("symbols", "first", "last", "said"),
    [
        ([], date(2024, 1, 2), None, "no symbols were given"),
        (["SPY", "QQQ", "SPY"], date(2024, 1, 2), None, "SPY is named twice in SPY,QQQ,SPY"),
        (["SPY"], date(2024, 6, 1), date(2024, 1, 31), "would begin on 2024-06-01 and end on 2024-01-31"),
    ],
)
def test_what_cannot_be_meant_is_a_usage_error(symbols: list[str], first: date, last: date | None, said: str) -> None:
    with pytest.raises(UsageError, match=said) as error:
        load_bars(symbols, SAMPLE, first=first, last=last)
    assert error.value.exit_code == 2


@pytest.mark.parametrize(
    ("symbols", "first", "last", "said"),
    [
        (["SPY", "QQQ"], date(1990, 1, 2), date(1990, 12, 31), r"QQQ \(sample\) has 2018-01-02 to 2024-12-30; fetch"),
        (["SPY"], date(2031, 1, 1), None, r"no bars from 2031-01-01 on; SPY \(sample\) has 2015-01-02 to 2025-12-30"),
        (["SPY", "QQQ"], date(2025, 1, 1), None, "no bars from 2025-01-01 on; SPY"),
        (["SPY", "QQQ"], date(2025, 2, 3), date(2025, 3, 3), r"; QQQ \(sample\) has 2018-01-02 to 2024-12-30"),
        (["SPY"], date(2024, 1, 6), date(2024, 1, 7), "has no session from 2024-01-06 to 2024-01-07"),
    ],
)
def test_dates_without_bars_are_refused_with_what_there_is(
    symbols: list[str], first: date, last: date | None, said: str
) -> None:
    with pytest.raises(DataError, match=said):
        load_bars(symbols, SAMPLE, first=first, last=last)


def test_symbols_without_a_common_session_need_an_end(write: Write, folder: Path) -> None:
    write("OLD", JANUARY)
    write("NEW", MARCH)
    with pytest.raises(DataError, match="no session on which all of OLD, NEW have bars; give --to a date"):
        load_bars(["OLD", "NEW"], folder, first=JANUARY[0])


GOOD = ["2024-01-02,10,12,9,11,5", "2024-01-03,10,12,9,11,5", "2024-01-04,10,12,9,11,5", "2024-01-05,10,12,9,11,5"]


@pytest.mark.fault(
    "bars", "duplicate dates, rows on weekends, NaN, prices of 0 or less, high below low", "refused", since="0.1"
)
@pytest.mark.parametrize(
    ("row", "said"),
    [
        ("2024-01-03,10,12,9,11,5", r"ACME\.csv:4: ACME 2024-01-03: is dated like the bar before it: a duplicate"),
        ("2024-01-02,10,12,9,11,5", r"ACME\.csv:4: ACME 2024-01-02: comes after 2024-01-03: dates must ascend"),
        ("2024-01-04,nan,12,9,11,5", r"ACME\.csv:4: ACME 2024-01-04: open is NaN"),
        ("2024-01-04,10,12,9,,5", r"ACME\.csv:4: ACME 2024-01-04: close is NaN"),
        ("2024-01-04,10,inf,9,11,5", r"ACME\.csv:4: ACME 2024-01-04: high is inf"),
        ("2024-01-04,10,12,-9,11,5", r"ACME\.csv:4: ACME 2024-01-04: low is -9, not above zero"),
        ("2024-01-04,0,12,9,11,5", r"ACME\.csv:4: ACME 2024-01-04: open is 0, not above zero"),
        ("2024-01-04,10,8,9,11,5", r"ACME\.csv:4: ACME 2024-01-04: high 8 is below low 9"),
        ("2024-01-04,13,12,9,11,5", r"ACME\.csv:4: ACME 2024-01-04: open 13 lies outside \[low 9, high 12\]"),
        ("2024-01-04,10,12,9,8.5,5", r"ACME\.csv:4: ACME 2024-01-04: close 8.5 lies outside \[low 9, high 12\]"),
        ("2024-01-04,10,12,9,11,-5", r"ACME\.csv:4: ACME 2024-01-04: volume is -5"),
        ("2024-01-06,10,12,9,11,5", r"ACME 2024-01-06: Saturday is not a session of the New York Stock Exchange"),
    ],
)
def test_bars_that_cannot_be_true_are_refused_with_symbol_date_file_and_line(
    row: str, said: str, write: Write, folder: Path
) -> None:
    last = [] if "01-06" in row else GOOD[3:]
    write("ACME", [*GOOD[:2], row, *last])
    with pytest.raises(DataError, match=said) as error:
        load_bars(["ACME"], folder, first=JANUARY[0])
    assert re.search("`sim data check --symbols ACME`", str(error.value))
    assert error.value.exit_code == 3


def test_a_holiday_is_refused_by_its_date(write: Write, folder: Path) -> None:
    write("ACME", ["2024-01-12,10,12,9,11,5", "2024-01-15,10,12,9,11,5"])
    with pytest.raises(DataError, match="ACME 2024-01-15: Monday is not a session"):
        load_bars(["ACME"], folder, first=JANUARY[0])


def test_bars_are_refused_even_where_the_fault_lies_outside_the_run(write: Write, folder: Path) -> None:
    write("ACME", [*GOOD[:3], "2024-01-05,10,9,12,11,5"])
    with pytest.raises(DataError, match="2024-01-05"):
        load_bars(["ACME"], folder, first=JANUARY[0], last=date(2024, 1, 3))


def test_corrupt_context_is_refused_too(write: Write, folder: Path) -> None:
    write("VIX", ["2024-01-02,10,12,-9,11,5"])
    with pytest.raises(DataError, match="VIX 2024-01-02"):
        load_bars(["SPY"], [folder, SAMPLE], first=JANUARY[0], context=["VIX"])
