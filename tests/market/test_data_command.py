"""`sim data` as a person types it."""

from __future__ import annotations

import json
import resource
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from simulator.cli import sim as command
from simulator.errors import SimError
from simulator.market.sources.files import read_table

Sim = Callable[..., "subprocess.CompletedProcess[str]"]
Call = Callable[..., Result]

BAD = "date,open,high,low,close,volume\n2024-01-02,10,12,9,11,5\n2024-01-03,10,8,9,11,5\n"


@pytest.fixture
def call(workspace: Path) -> Call:
    """``call("data", "list")`` within this process; what goes wrong is `exception` of the result."""

    def run(*words: str | Path) -> Result:
        return CliRunner().invoke(command, ["--workspace", str(workspace), *map(str, words)])

    return run


def test_a_fresh_workspace_lists_its_sample(call: Call) -> None:
    lines = call("data", "list").stdout.splitlines()
    assert [line.split()[0] for line in lines] == ["AAPL", "BIL", "GLD", "NVDA", "QQQ", "SPY", "VIX"]
    assert lines[5].split() == ["SPY", "2015-01-02", "to", "2025-12-30", "2,765", "×", "1d", "sample"]


def test_the_list_is_one_json_object_too(call: Call) -> None:
    (row,) = json.loads(call("data", "list", "--symbols", "spy", "--json").stdout)["symbols"]
    assert row.pop("path").endswith("SPY.parquet")
    assert row == {
        "symbol": "SPY", "source": "sample", "error": None, "from": "2015-01-02", "to": "2025-12-30",
        "bars": 2765, "frequency": "1d", "dividends": False,
    }  # fmt: skip


def test_a_broken_file_is_listed_with_what_is_wrong_and_hides_no_other(call: Call, workspace: Path) -> None:
    (workspace / "data" / "ACME.csv").write_text("")
    done = call("data", "list")
    assert done.exit_code == 0
    assert "ACME.csv:1: the file is empty" in done.stdout
    assert "SPY" in done.stdout


def test_the_sample_is_sound(call: Call) -> None:
    done = call("data", "check")
    assert (done.exit_code, done.stdout) == (0, "7 symbols, 0 problems, 0 of them keep a run from starting\n")


def test_check_names_symbol_and_date_and_ends_with_3(call: Call, workspace: Path) -> None:
    (workspace / "data" / "ACME.csv").write_text(BAD)
    (workspace / "data" / "EMPTY.csv").write_text("")
    done = call("data", "check")
    assert done.exit_code == 3
    first, second, last = done.stdout.splitlines()
    assert first.startswith("ACME 2024-01-03: high 8 is below low 9 (")
    assert first.endswith("ACME.csv:3)")
    assert second.startswith("EMPTY: the file is empty; delete it or fetch it again (")
    assert last == "9 symbols, 2 problems, 2 of them keep a run from starting"


def test_check_speaks_json_with_the_same_exit_code(call: Call, workspace: Path) -> None:
    (workspace / "data" / "ACME.csv").write_text(BAD)
    done = call("data", "check", "--symbols", "ACME,SPY", "--json")
    assert done.exit_code == 3
    answer = json.loads(done.stdout)
    assert answer["checked"] == ["ACME", "SPY"]
    (problem,) = answer["problems"]
    assert problem.pop("where").endswith("ACME.csv:3")
    assert problem == {"symbol": "ACME", "date": "2024-01-03", "what": "high 8 is below low 9", "refused": True}


@pytest.mark.parametrize("verb", ["list", "check"])
def test_an_unknown_symbol_is_refused_with_the_nearest_known(verb: str, call: Call) -> None:
    error = call("data", verb, "--symbols", "SPYY").exception
    assert isinstance(error, SimError)
    assert error.exit_code == 3
    assert str(error) == 'no bars for "SPYY", did you mean "SPY"?; `sim data list` shows what is there'


def test_fetched_bars_lie_in_data_and_progress_goes_to_stderr(call: Call, workspace: Path, tmp_path: Path) -> None:
    given = tmp_path / "given"
    given.mkdir()
    (given / "acme.csv").write_text(BAD.replace(",8,", ",18,").replace("2024-01-03", "2024-01-04"))
    done = call("data", "fetch", "--source", "files", "--path", given)
    path = workspace / "data" / "ACME.csv"
    assert done.exit_code == 0
    assert done.stdout == f"ACME     2024-01-02 to 2024-01-04       2 bars  {path}\n"
    assert done.stderr.splitlines() == [
        f"ACME from {given / 'acme.csv'}",
        f"look at ACME 2024-01-03: the session is missing ({given / 'acme.csv'})",
    ]
    assert len(read_table(path)) == 2


def test_synthetic_bars_are_labelled_wherever_they_are_listed(call: Call) -> None:
    words = ["--source", "synthetic", "--symbols", "aaa,bbb", "--from", "2024-01-02", "--to", "2024-02-01"]
    assert call("data", "fetch", *words, "--seed", "3").exit_code == 0
    done = call("data", "list", "--symbols", "AAA,BBB")
    assert done.stdout.count("(synthetic, seed 3)") == 2


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--source", "yahooo"], "yahooo"),
        (["--from", "someday"], '"someday" is not a date like 2024-01-31'),
        (["--source", "synthetic", "--symbols", "A"], "needs a first day"),
        (["--source", "alpaca", "--symbols", "SPY", "--from", "2024-01-02"], "no Alpaca keys in the environment"),
    ],
)
def test_what_cannot_be_meant_is_one_line_and_exit_code_2(
    words: list[str], said: str, workspace: Path, sim: Sim
) -> None:
    done = sim("data", "fetch", *words, cwd=workspace)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert said in done.stderr


def test_without_a_workspace_bars_go_to_data_in_the_current_folder(tmp_path: Path, sim: Sim) -> None:
    place = tmp_path / "empty"
    place.mkdir()
    words = ["--source", "synthetic", "--symbols", "AAA", "--from", "2024-01-02", "--to", "2024-02-01"]
    assert sim("data", "fetch", *words, cwd=place).returncode == 0
    assert [str(path.relative_to(place)) for path in place.rglob("*.csv")] == ["data/AAA.csv"]
    listed = sim("data", "list", "--symbols", "AAA,SPY", cwd=place).stdout
    assert [line.split()[0] for line in listed.splitlines()] == ["AAA", "SPY"]


def test_a_full_disk_leaves_nothing_half_written(workspace: Path, sim: Sim) -> None:
    words = ["--source", "synthetic", "--from", "2000-01-02", "--to", "2020-01-02"]
    assert sim("data", "fetch", *words, "--symbols", "AAA", "--seed", "1", cwd=workspace).returncode == 0
    before = {path: path.read_bytes() for path in (workspace / "data").glob("*.csv")}
    limit = lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))  # noqa: E731
    done = sim("data", "fetch", *words, "--symbols", "AAA,BBB", "--seed", "2", cwd=workspace, preexec_fn=limit)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1)
    assert {path: path.read_bytes() for path in (workspace / "data").glob("*.csv")} == before
    assert [path.name for path in (workspace / "data").iterdir() if path.name.startswith(".")] == []


@pytest.mark.parametrize("verb", ["fetch", "list", "check"])
def test_every_command_explains_itself_with_few_options(verb: str, call: Call) -> None:
    text = call("data", verb, "--help").stdout
    assert sum(line.lstrip().startswith("-") for line in text.splitlines()) <= 9


def test_a_universe_that_nobody_lists_comes_by_one_command_and_says_what_it_is(call: Call) -> None:
    span = ("--from", "2024-11-25", "--to", "2024-11-29")
    result = call("data", "fetch", "--source", "synthetic", "--universe", "30min", *span)
    assert result.exit_code == 0, result.output
    rows = json.loads(call("data", "list", "--json").stdout)["symbols"]
    own = [row for row in rows if row["symbol"].startswith("SYN-")]
    assert len(own) == 24
    assert {(row["frequency"], row["bars"]) for row in own} == {("30min", 3 * 13 + 7)}
    assert all("synthetic, seed 0" in row["source"] for row in own)
    assert call("data", "fetch", "--universe", "1d").exit_code == 2
