from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from simulator.errors import DataError, SimError, UsageError
from simulator.market.fetch import FetchRequest, fetch, last_complete_session
from simulator.market.load import load_bars
from simulator.market.sources.files import read_table

Write = Callable[..., Path]
NOW = datetime(2024, 6, 12, 12, tzinfo=UTC)
JANUARY = (date(2024, 1, 2), date(2024, 1, 31))


@pytest.fixture
def into(tmp_path: Path) -> Path:
    return tmp_path / "workspace" / "data"


def nothing(_line: str) -> None:
    pass


def synthetic(*symbols: str, first: date = JANUARY[0], last: date | None = JANUARY[1], seed: int = 7) -> FetchRequest:
    return FetchRequest("synthetic", symbols, first, last, seed=seed)


def here(into: Path) -> list[str]:
    return sorted(path.name for path in into.iterdir()) if into.exists() else []


def test_what_is_fetched_can_be_loaded_and_says_where_it_came_from(into: Path) -> None:
    kept = fetch(synthetic("AAA", "BBB"), into, NOW, nothing)
    assert [(k.symbol, k.path, k.first, k.last, k.bars) for k in kept] == [
        ("AAA", into / "AAA.csv", *JANUARY, 21),
        ("BBB", into / "BBB.csv", *JANUARY, 21),
    ]
    loaded = load_bars(["AAA", "BBB"], into, first=JANUARY[0])
    assert loaded.bars.sources == ("data/AAA.csv (synthetic, seed 7)", "data/BBB.csv (synthetic, seed 7)")
    assert here(into) == ["AAA.csv", "BBB.csv"]


def test_fetching_again_gives_the_same_file_and_a_longer_range_replaces_it(into: Path) -> None:
    (kept,) = fetch(synthetic("AAA"), into, NOW, nothing)
    before = kept.path.read_bytes()
    fetch(synthetic("AAA"), into, NOW, nothing)
    assert kept.path.read_bytes() == before
    fetch(synthetic("AAA", last=date(2024, 3, 28)), into, NOW, nothing)
    assert kept.path.read_bytes().startswith(before)


@pytest.mark.parametrize(
    ("fetch_request", "said"),
    [
        (synthetic("AAA", first=date(2024, 1, 3)), "1 of their sessions are not among the new ones"),
        (synthetic("AAA", last=date(2024, 1, 30)), "has 21 bars from 2024-01-02 to 2024-01-31; 1 of their sessions"),
    ],
)
def test_a_file_that_covers_more_is_not_overwritten(fetch_request: FetchRequest, said: str, into: Path) -> None:
    (kept,) = fetch(synthetic("AAA"), into, NOW, nothing)
    before = kept.path.read_bytes()
    with pytest.raises(DataError, match=f"{said}.*; fetch the whole range or move .*AAA.csv away first"):
        fetch(fetch_request, into, NOW, nothing)
    assert kept.path.read_bytes() == before
    assert here(into) == ["AAA.csv"]


def test_bars_of_the_market_are_not_overwritten_by_synthetic_ones(write: Write, folder: Path) -> None:
    path = write("ACME", JANUARY)
    before = path.read_bytes()
    with pytest.raises(DataError, match=r"has bars of the market \(ACME.csv\), the new ones are synthetic, seed 7"):
        fetch(synthetic("ACME", last=date(2024, 5, 31)), folder, NOW, nothing)
    assert path.read_bytes() == before


def test_bars_with_more_problems_do_not_replace_better_ones(write: Write, folder: Path, into: Path) -> None:
    path = write("ACME", JANUARY)
    fetch(FetchRequest("files", ("ACME",), path=folder), into, NOW, nothing)
    lines = path.read_text().splitlines()
    halved = [line.split(",") for line in lines[10:]]
    split = [",".join([d, *(str(float(x) / 2) for x in (o, h, lo, c)), v]) for d, o, h, lo, c, v in halved]
    path.write_text("\n".join([*lines[:10], *split]))
    with pytest.raises(DataError, match=r"has fewer problems than the new bars, e\.g\. ACME 2024-01-16: opens at"):
        fetch(FetchRequest("files", ("ACME",), path=folder), into, NOW, nothing)


def test_a_broken_file_may_be_replaced(into: Path) -> None:
    into.mkdir(parents=True)
    for content in ("", "date,open,high,low,close\n2024-01-02,1,-2,1,1\n"):
        (into / "AAA.csv").write_text(content)
        fetch(synthetic("AAA"), into, NOW, nothing)
        assert len(read_table(into / "AAA.csv")) == 21


def test_a_second_file_for_a_symbol_is_not_put_beside_the_first(into: Path) -> None:
    into.mkdir(parents=True)
    (into / "aaa.parquet").write_bytes(b"anything")
    with pytest.raises(DataError, match=r"aaa\.parquet is there and would stand beside the new file"):
        fetch(synthetic("AAA"), into, NOW, nothing)


def test_either_all_symbols_arrive_or_none(write: Write, folder: Path, into: Path) -> None:
    write("GOOD", JANUARY)
    write("WORSE", ["2024-01-02,10,12,-9,11,5"])
    with pytest.raises(DataError, match=r"WORSE 2024-01-02: low is -9, not above zero .*: bars like this are not"):
        fetch(FetchRequest("files", ("GOOD", "WORSE"), path=folder), into, NOW, nothing)
    assert here(into) == []


def test_a_folder_that_cannot_be_written_leaves_no_crumbs(into: Path) -> None:
    into.parent.mkdir()
    into.write_text("a file where the folder should be")
    with pytest.raises((SimError, OSError)):
        fetch(synthetic("AAA"), into, NOW, nothing)
    assert [path.name for path in into.parent.iterdir()] == ["data"]


def test_a_whole_folder_is_taken_over_with_what_should_be_looked_at(write: Write, folder: Path, into: Path) -> None:
    write("AAA", JANUARY)
    path = write("BBB", JANUARY)
    path.write_text("\n".join(line for line in path.read_text().splitlines() if "2024-01-10" not in line))
    (folder / "events.csv").write_text("no bars\n")
    kept = fetch(FetchRequest("files", (), path=folder), into, NOW, nothing)
    assert [k.symbol for k in kept] == ["AAA", "BBB"]
    assert [[p.what for p in k.problems] for k in kept] == [[], ["the session is missing"]]
    assert read_table(into / "AAA.csv", source="x").source == "x (AAA.csv)"


def test_intraday_files_are_taken_over_instant_by_instant(write: Write, folder: Path, into: Path) -> None:
    rows = [f"2024-07-03 {h:02}:{m:02},10,11,9,10,1" for h in (9, 10, 11, 12) for m in range(60) if (h, m) >= (9, 30)]
    path = write("ACME", rows)
    fetch(FetchRequest("files", ("ACME",), path=folder), into, NOW, nothing)
    before, after = read_table(path), read_table(into / "ACME.csv")
    assert after.frequency == before.frequency == "1min"
    assert after.starts.tolist() == before.starts.tolist()


def test_a_folder_is_cut_to_the_days_asked_for(write: Write, folder: Path, into: Path) -> None:
    write("AAA", JANUARY)
    (kept,) = fetch(FetchRequest("files", (), date(2024, 1, 10), date(2024, 1, 12), path=folder), into, NOW, nothing)
    assert (kept.first, kept.last, kept.bars) == (date(2024, 1, 10), date(2024, 1, 12), 3)
    with pytest.raises(DataError, match="AAA has no bars there: 2024-01-02 to 2024-01-31"):
        fetch(FetchRequest("files", (), date(2025, 1, 10), path=folder), into, NOW, nothing)


def test_the_label_synthetic_outlives_being_copied(folder: Path, into: Path) -> None:
    fetch(synthetic("AAA"), folder, NOW, nothing)
    fetch(FetchRequest("files", (), path=folder), into, NOW, nothing)
    assert "synthetic, seed 7" in load_bars(["AAA"], into, first=JANUARY[0]).bars.sources[0]


@pytest.mark.parametrize(
    ("now", "session"),
    [
        (datetime(2024, 6, 12, 12, tzinfo=UTC), date(2024, 6, 11)),
        (datetime(2024, 6, 12, 20, 19, tzinfo=UTC), date(2024, 6, 11)),
        (datetime(2024, 6, 12, 20, 20, tzinfo=UTC), date(2024, 6, 12)),
        (datetime(2024, 6, 16, 12, tzinfo=UTC), date(2024, 6, 14)),
        (datetime(2024, 7, 3, 17, 20, tzinfo=UTC), date(2024, 7, 3)),
    ],
)
def test_a_session_counts_as_complete_some_time_after_its_close(now: datetime, session: date) -> None:
    assert last_complete_session(now) == session


@pytest.mark.parametrize("last", [None, date(2030, 1, 1)])
def test_unfinished_sessions_are_not_fetched(last: date | None, into: Path) -> None:
    (kept,) = fetch(synthetic("AAA", last=last), into, NOW, nothing)
    assert kept.last == date(2024, 6, 11)


@pytest.mark.parametrize(
    ("fetch_request", "said"),
    [
        (FetchRequest("synthetic", (), JANUARY[0]), "synthetic needs symbols; name them with --symbols SPY,QQQ"),
        (FetchRequest("synthetic", ("AAA",)), "synthetic needs a first day; give one with --from 2015-01-01"),
        (FetchRequest("synthetic", ("A/B",), JANUARY[0]), '"A/B" is not a symbol'),
        (FetchRequest("synthetic", ("AAA",), JANUARY[1], JANUARY[0]), "--to 2024-01-02 lies before --from 2024-01-31"),
        (FetchRequest("yaho", ("AAA",), JANUARY[0]), 'no source "yaho", did you mean "yahoo"?'),
        (FetchRequest("files", ("AAA",)), "the source files needs a folder; give one with --path DIR"),
        (FetchRequest("files", (), path=Path("nowhere")), "there is no folder nowhere"),
    ],
)
def test_what_cannot_be_meant_is_a_usage_error(fetch_request: FetchRequest, said: str, into: Path) -> None:
    with pytest.raises(UsageError, match=re.escape(said)):
        fetch(fetch_request, into, NOW, nothing)
    assert here(into) == []


@pytest.mark.parametrize(
    ("names", "symbols", "said"),
    [
        ([], (), "holds no file of bars"),
        (["ACME.csv"], ("ACNE",), 'holds no file for ACNE, did you mean "ACME"?'),
        (["ACME.csv", "acme.parquet"], ("ACME",), "two files for ACME: ACME.csv and acme.parquet"),
    ],
)
def test_a_folder_without_what_was_asked_for_is_named(
    names: list[str], symbols: tuple[str, ...], said: str, folder: Path, into: Path
) -> None:
    for name in names:
        (folder / name).write_text("")
    with pytest.raises(DataError, match=re.escape(said)):
        fetch(FetchRequest("files", symbols, path=folder), into, NOW, nothing)


def test_sessions_to_come_cannot_be_fetched(into: Path) -> None:
    with pytest.raises(DataError, match="no session of the New York Stock Exchange is complete from 2024-06-12"):
        fetch(synthetic("AAA", first=date(2024, 6, 12), last=None), into, NOW, nothing)
