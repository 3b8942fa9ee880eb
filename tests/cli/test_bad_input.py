"""What cannot be meant, read or written: one line on stderr, the right exit code, and every file as it was before."""

from __future__ import annotations

import ctypes
import hashlib
import os
import resource
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import date, timedelta
from pathlib import Path

import pytest

Sim = Callable[..., "subprocess.CompletedProcess[str]"]

CLOSED = {date(2024, 1, 1), date(2024, 1, 15), date(2024, 2, 19)}
PERIOD = ("--from", "2024-01-02", "--to", "2024-02-29")
RULE = ("run", "--strategy", "equal_weight", *PERIOD)


def listing(folder: Path) -> dict[str, str]:
    """Every path below `folder` with the digest of its bytes."""
    paths = [path for path in sorted(folder.rglob("*")) if "__pycache__" not in path.parts]
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "folder"
        for path in paths
    }


def assert_refused(done: subprocess.CompletedProcess[str], code: int, *said: str) -> None:
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1, done.stderr
    assert done.stderr.startswith("sim: error: ")
    assert [words for words in said if words not in done.stderr] == [], done.stderr
    assert done.returncode == code, done.stderr


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        ([*RULE, "--symbols", "SPYY"], 3, ["SPYY", "`sim data fetch "]),
        ([*RULE, "--symbols", "SPY,NOPE"], 3, ["NOPE", "`sim data fetch "]),
        ([*RULE, "--symbols", "../../etc/passwd"], 3, []),
        ([*RULE, "--symbols", ","], 2, ["symbol"]),
        (["run", "--from", "2024-06-01", "--to", "2024-01-31"], 2, ["2024-06-01", "2024-01-31"]),
        (["run", "--from", "1990-01-02", "--to", "1990-12-31"], 3, ["SPY", "2018-01-02"]),
        (["run", "--from", "2024-01-06", "--to", "2024-01-07"], 3, ["2024-01-06"]),
        (["run", "--from", "2024-13-01"], 2, ["2024-13-01", "not a date"]),
        (["run", "--from", "yesterday"], 2, ["yesterday", "not a date"]),
        (["run", "--strategy", "sma_corss", *PERIOD], 2, ["sma_corss", "sma_cross"]),
        (["run", "--strategy", "sma_cross", "--set", "fasst=3", *PERIOD], 2, ["fasst", "fast"]),
        (["run", "--models", "ofline", *PERIOD], 2, ["ofline", "offline"]),
        (["run", "--cache", "rec", *PERIOD], 2, ["'rec'", "record"]),
        (["run", "--max-cost", "nan", *PERIOD], 2, ["--max-cost was nan", "0 or more"]),
        (["run", "--max-cost", "inf", *PERIOD], 2, ["--max-cost was inf", "0 or more"]),
        (["run", "--plan", "--max-cost", "-inf", *PERIOD], 2, ["--max-cost was -inf", "0 or more"]),
        (["council", "run", "--as-of", "2024-06-03", "--max-cost", "1e999"], 2, ["--max-cost was inf", "0 or more"]),
        (["run", "--cache", "replay", *PERIOD], 4, []),
        (["report", "nothing"], 2, ["nothing", "`sim runs`"]),
        (["explain", "nothing", "2024-02-01"], 2, ["nothing", "`sim runs`"]),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) and value and value[0].islower() else "",
)
def test_what_was_typed_cannot_be_meant(
    words: list[str], code: int, said: list[str], workspace: Path, sim: Sim
) -> None:
    before = listing(workspace)
    assert_refused(sim(*words, cwd=workspace), code, *said)
    assert listing(workspace) == before


def rows() -> list[str]:
    """A line of CSV for each session of January and February 2024."""
    days = [date(2024, 1, 2) + timedelta(n) for n in range(59)]
    sessions = [day for day in days if day.weekday() < 5 and day not in CLOSED]
    return [f"{day},{100 + n}.0,{102 + n}.0,{99 + n}.0,{101 + n}.0,{1000 + n}" for n, day in enumerate(sessions)]


HEAD = "Date,Open,High,Low,Close,Volume"


def with_row(number: int, line: str) -> str:
    lines = rows()
    lines[number] = line
    return "\n".join([HEAD, *lines]) + "\n"


BAD_FILES = {
    "empty": ("", ["ACME.csv"]),
    "only a head": (HEAD + "\n", ["ACME.csv"]),
    "no close column": ("Date,Open,High,Low\n2024-01-02,1,2,1\n", ["ACME.csv", "close"]),
    "not text": (bytes(range(256)) * 8, ["ACME.csv"]),
    "words for prices": (with_row(3, "2024-01-05,a,b,c,d,e"), ["ACME.csv"]),
    "cut in the middle of a line": (with_row(-1, "2024-02-29,1"), ["ACME.csv"]),
    "no dates": (with_row(3, "someday,103,105,102,104,1000"), ["ACME.csv"]),
    "a date twice": (with_row(3, rows()[2]), ["ACME", "2024-01-04"]),
    "dates out of order": (HEAD + "\n" + "\n".join([*rows()[20:], *rows()[:20]]) + "\n", ["ACME", "2024-01-02"]),
    "NaN price": (with_row(3, "2024-01-05,103,105,102,NaN,1000"), ["ACME", "2024-01-05", "close"]),
    "negative price": (with_row(3, "2024-01-05,103,105,-102,104,1000"), ["ACME", "2024-01-05", "low"]),
    "zero price": (with_row(3, "2024-01-05,0,105,0,104,1000"), ["ACME", "2024-01-05"]),
    "infinite price": (with_row(3, "2024-01-05,103,inf,102,104,1000"), ["ACME", "2024-01-05", "high"]),
    "high below low": (with_row(3, "2024-01-05,103,101,102,104,1000"), ["ACME", "2024-01-05", "high"]),
}


@pytest.mark.parametrize("kind", BAD_FILES)
def test_bars_that_cannot_be_trusted_name_symbol_and_date(kind: str, workspace: Path, sim: Sim) -> None:
    content, said = BAD_FILES[kind]
    held = content if isinstance(content, bytes) else content.encode()
    (workspace / "data" / "ACME.csv").write_bytes(held)
    before = listing(workspace)
    assert_refused(sim(*RULE, "--symbols", "ACME,SPY", cwd=workspace), 3, *said)
    assert listing(workspace) == before


def test_good_bars_of_the_same_shape_run(workspace: Path, sim: Sim) -> None:
    (workspace / "data" / "ACME.csv").write_text("\n".join([HEAD, *rows()]) + "\n")
    done = sim(*RULE, "--symbols", "ACME,SPY", "--json", cwd=workspace)
    assert done.returncode == 0, done.stderr


def test_a_corrupt_parquet_file_is_one_line(workspace: Path, sim: Sim) -> None:
    (workspace / "data" / "ACME.parquet").write_bytes(b"PAR1 and then nothing of the kind PAR1")
    before = listing(workspace)
    assert_refused(sim(*RULE, "--symbols", "ACME", cwd=workspace), 3, "ACME.parquet")
    assert listing(workspace) == before


RATE = "give a yearly rate from 0 to 1, 0.05 for 5 %"


@pytest.mark.fault(
    "python", "a rate in config/ is in percent, true, 1:30 or 1e308", "one line that says what is allowed, exit code 2"
)
@pytest.mark.parametrize(
    ("file", "content", "said"),
    [
        ("costs.yaml", "commission_bps: 1\nslipage_bps: 2\n", ["costs.yaml:2", 'did you mean "slippage_bps"?']),
        ("risk.yaml", "shares: some\n", ["risk.yaml:1", "shares", "'some'"]),
        ("risk.yaml", "max_gross: -1\n", ["risk.yaml:1", "max_gross"]),
        *(
            ("costs.yaml", f"cash_interest: {given}\n", ["costs.yaml:1: cash_interest was", RATE + ", or cash"])
            for given in ("1e308", "5", "true", "5%", "null", "-0.05", "BIL", "[1]")
        ),
        ("costs.yaml", "margin_spread: 1.5\n", ["margin_spread was 1.5", RATE]),
        ("costs.yaml", "slippage_bps: 1:30\n", ["slippage_bps was '1:30': not a finite number; give basis points"]),
        ("costs.yaml", "commission_bps: 10000\n", ["give basis points from 0 to below 10000"]),
        ("risk.yaml", "max_weight: 50\n", ["max_weight was 50: give a fraction above 0 up to 10, 0.5 for 50 %"]),
        ("assets.yaml", "risk_free_rate: true\nassets: {}\n", ["risk_free_rate was True", "0.02 for 2 %"]),
        ("accounts.yaml", "cash: .nan\naccounts: {}\n", ["cash was nan: not a finite number; give dollars"]),
        ("models.yaml", "max_usd_per_day: true\nprofiles: {}\n", ["max_usd_per_day was True: true and false are"]),
        ("accounts.yaml", "accounts: {A: {model: x\n", ["accounts.yaml:", "not YAML"]),
        ("assets.yaml", "- a\n- list\n", ["assets.yaml:1"]),
        ("models.yaml", b"\xff\xfe", ["models.yaml", "cannot be read"]),
        ("schedule.yaml", None, ["schedule.yaml", "missing", "`sim init"]),
    ],
)
def test_a_wrong_config_file_names_its_line(
    file: str, content: str | bytes | None, said: list[str], workspace: Path, sim: Sim
) -> None:
    path = workspace / "config" / file
    path.unlink()
    if content is not None:
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    before = listing(workspace)
    assert_refused(sim(*RULE, cwd=workspace), 2, *said)
    assert listing(workspace) == before


def test_a_strategy_file_that_breaks_shows_its_own_line_last(workspace: Path, sim: Sim) -> None:
    text = (workspace / "strategies" / "equal_weight.py").read_text()
    (workspace / "strategies" / "broken.py").write_text(text + "\n1 / 0\n")
    line = len(text.splitlines()) + 2
    before = listing(workspace)
    done = sim("run", "--strategy", "broken", *PERIOD, cwd=workspace)
    assert done.returncode == 2
    last = done.stderr.splitlines()[-1]
    assert last.startswith("sim: error: ")
    assert f"broken.py:{line}" in last
    assert "simulator/" not in done.stderr
    assert listing(workspace) == before


def test_a_reports_folder_that_cannot_be_written_is_one_line(workspace: Path, sim: Sim) -> None:
    """A file lies where the folder should be: root cannot write there either."""
    (workspace / "reports").write_text("not a folder")
    before = listing(workspace)
    assert_refused(sim(*RULE, cwd=workspace), 1, str(workspace / "reports"))
    assert listing(workspace) == before


def test_a_registry_that_cannot_be_written_is_one_line_and_the_same_command_goes_on(workspace: Path, sim: Sim) -> None:
    (workspace / "sim.db").mkdir()
    assert_refused(sim(*RULE, cwd=workspace), 1, str(workspace / "sim.db"))
    (workspace / "sim.db").rmdir()
    assert sim(*RULE, cwd=workspace).returncode == 0


def test_an_llm_cache_that_cannot_be_written_is_one_line(workspace: Path, sim: Sim) -> None:
    shutil.rmtree(workspace / "llm_cache")
    (workspace / "llm_cache").write_text("not a folder")
    before = listing(workspace)
    assert_refused(sim("run", *PERIOD, cwd=workspace), 4, str(workspace / "llm_cache"))
    assert listing(workspace) == before


@pytest.fixture
def answered(workspace: Path, sim: Sim) -> Path:
    """A workspace whose council has been asked once, without the run folder of it."""
    done = sim("run", *PERIOD, cwd=workspace)
    assert done.returncode == 0, done.stderr
    shutil.rmtree(workspace / "reports")
    return workspace


@pytest.mark.medium
def test_a_corrupt_cache_entry_is_an_error_with_the_command_that_mends_it(answered: Path, sim: Sim) -> None:
    with sqlite3.connect(answered / "llm_cache" / "cache.db") as database:
        database.execute("UPDATE Cache SET value = CAST(replace(value, 'a', 'b') AS BLOB)")
    database.close()
    assert_refused(sim("run", *PERIOD, cwd=answered), 4, "corrupt", "`sim cache verify --repair`")
    assert not (answered / "reports").exists()
    assert sim("cache", "verify", "--repair", cwd=answered).returncode == 0
    assert sim("run", *PERIOD, cwd=answered).returncode == 0


def test_a_cache_file_of_rubbish_is_an_error_with_the_command_that_mends_it(answered: Path, sim: Sim) -> None:
    (answered / "llm_cache" / "cache.db").write_bytes(b"no database at all" * 1000)
    assert_refused(sim("run", *PERIOD, cwd=answered), 4, "`sim cache verify --repair`")
    assert not (answered / "reports").exists()


class SmallDisk:
    """A folder whose disk can be filled: a tmpfs where mounting is allowed, else a limit on the size of files."""

    def __init__(self, folder: Path, mounted: bool) -> None:
        self.folder, self.mounted = folder, mounted

    def fill(self, leave: int) -> Callable[[], None] | None:
        """Leave `leave` bytes. Returns what the process must do before it starts, if anything."""
        if not self.mounted:
            return lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (leave, leave))
        state = os.statvfs(self.folder)
        (self.folder / "filler").write_bytes(bytes(max(0, state.f_bavail * state.f_frsize - leave)))
        return None


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[SmallDisk]:
    folder = tmp_path / "small"
    folder.mkdir()
    libc = ctypes.CDLL(None, use_errno=True)
    mounted = hasattr(libc, "mount") and libc.mount(b"none", bytes(folder), b"tmpfs", 0, b"size=8m") == 0
    yield SmallDisk(folder, mounted)
    if mounted:
        libc.umount2(bytes(folder), 2)


@pytest.mark.medium
@pytest.mark.parametrize("leave", [0, 4096, 20_000])
def test_a_full_disk_is_one_line_and_leaves_no_half_run(
    leave: int, workspace: Path, small_disk: SmallDisk, sim: Sim
) -> None:
    place = small_disk.folder / "workspace"
    shutil.copytree(workspace, place)
    before = small_disk.fill(leave)
    was = listing(place)
    assert_refused(sim(*RULE, cwd=place, preexec_fn=before), 1)
    # reports/ may have been made by then, but there is nothing in it.
    assert listing(place) | {"reports": "folder"} == was | {"reports": "folder"}


@pytest.mark.medium
def test_a_full_disk_keeps_the_answers_that_were_paid_for(workspace: Path, small_disk: SmallDisk, sim: Sim) -> None:
    place = small_disk.folder / "workspace"
    shutil.copytree(workspace, place)
    before = small_disk.fill(100_000)
    done = sim("run", *PERIOD, cwd=place, preexec_fn=before)
    assert done.returncode in (1, 4)
    assert done.stderr.count("\n") == 1, done.stderr
    assert not [path for path in (place / "reports").glob("*") if not path.name.startswith(".")]
    (small_disk.folder / "filler").unlink(missing_ok=True)
    assert sim("cache", "verify", cwd=place).returncode == 0
    assert sim("run", *PERIOD, cwd=place).returncode == 0


@pytest.mark.medium
def test_an_interrupted_run_says_so_and_leaves_no_folder(workspace: Path) -> None:
    # Seven years of questions: the signal falls among them, not among the callbacks of a compiler, which swallow it.
    words = [sys.executable, "-m", "simulator", "run", "--from", "2018-06-01", "--to", "2024-12-30"]
    running = subprocess.Popen(words, cwd=workspace, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
    deadline = time.monotonic() + 120
    while not (workspace / "llm_cache" / "cache.db").exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    running.send_signal(signal.SIGINT)
    _, said = running.communicate(timeout=120)
    assert running.returncode in (130, -signal.SIGINT)  # a shell shows both as 130
    assert said.split("\n")[-2:] == ["sim: interrupted", ""]
    assert not list((workspace / "reports").glob("*"))
