"""`sim sweep` as a person types it: its command, what is kept after Ctrl-C, shards, completion, one line for errors."""

from __future__ import annotations

import json
import re
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from click.shell_completion import ShellComplete

from simulator.cli import sim as command
from simulator.cli.sweep import sweep
from simulator.studies.space import Parameter, Spread
from simulator.studies.study_file import make_study
from simulator.studies.values import read_parameter
from simulator.workspace import Workspace, make_workspace

from ..conftest import Sim

SMALL = ["--strategy", "sma_cross", "--symbols", "SPY", "--from", "2024-06-03", "--to", "2024-09-30"]
SETS = ["--set", "fast=2:8:2", "--set", "slow=5:25:10", "--where", "fast < slow"]


SLOW = """\
import time
from simulator.rules import Rule


class Slow(Rule):
    n = 0
    cadence = "monthly"

    def weights(self, market):
        time.sleep(0.02)
        return {"SPY": (self.n % 7) / 7}
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("sweeps") / "w"
    make_workspace(root, git=False)
    return root


@pytest.mark.parametrize(
    "parameter",
    [
        *(Parameter("x", (5, 10, 15, 20)), Parameter("x", (0.1, 0.2, 0.3, 0.4)), Parameter("x", (20, 15, 10, 5))),
        *(
            Parameter("x", (5, 7)),
            Parameter("x", (1.0, 2.5)),
            Parameter("x", ("a", "a,b", "1:2:3", "5", "log(1, 2)")),
        ),
        *(Parameter("x", (True, False)), Parameter("x", (0.05, None)), Parameter("x", ([1], ["a", 2]))),
        *(Parameter("x", (), Spread(0.5, 50, log=True)), Parameter("x", (), Spread(5, 9, whole=True))),
        *(Parameter("x", (), Spread(1, 9, True, True)), Parameter("x", (), Spread(-1, 1e-7))),
    ],
)
def test_what_a_parameter_is_typed_as_is_read_as_that_parameter(parameter: Parameter) -> None:
    assert read_parameter("x", parameter.typed) == parameter


@pytest.mark.medium
def test_the_command_of_a_sweep_makes_the_same_study_and_the_same_digest(place: Path, sim: Sim) -> None:
    words = [*SMALL, *SETS, "--search", "random", "--members", "5", "--seed", "9", "--set", "exits.stop=0.02"]
    first = json.loads(sim("sweep", *words, "--json", cwd=place).stdout)
    told = shlex.split(first["identity"]["command"])
    again = sweep.make_context("sweep", told[2:], obj=Workspace(place, place)).params
    keys = ("strategy", "symbols", "first", "last", "where", "search", "members", "seed", "sets")
    typed: Any = {key: again[key] for key in keys}
    study = make_study(Workspace(place, place), None, typed.pop("sets"), **typed)
    assert study.described()["members"] == 5
    assert json.loads(sim(*told[1:], "--json", cwd=place).stdout)["identity"]["digest"] == first["identity"]["digest"]
    number, best = first["best"]["member"], first["best"]["command"]
    assert dict(study.spec(number).parameters) == {**first["best"]["settings"], "exits.stop": 0.02}
    run = json.loads(sim(*shlex.split(best)[1:], "--json", cwd=place).stdout)
    assert run["metrics"]["total_return"] == pytest.approx(first["best"]["measures"]["total_return"], rel=1e-12)


@pytest.mark.medium
def test_shards_say_what_is_missing_and_the_last_one_concludes(place: Path, sim: Sim) -> None:
    words = ["sweep", *SMALL, "--set", "fast=2:30:2"]
    first = sim(*words, "--shard", "1/2", cwd=place)
    assert first.returncode == 0, first.stderr
    assert re.search(r"shard 1/2 is done; \d+ chunks of the others are missing", first.stdout)
    last = json.loads(sim(*words, "--shard", "2/2", "--json", cwd=place).stdout)
    assert last["counts"]["members"] == 15
    folder = Path(last["folder"]).name
    for words in (["runs", "--trials", folder], ["explain", folder]):
        told = sim(*words, cwd=place)
        assert told.returncode == 2
        assert f"{folder} is a sweep, not a run; `sim report {folder}` shows it" in told.stderr


@pytest.mark.medium
@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["--set", "fast"], '"fast" is not NAME=VALUES'),
        (["--set", "fast=5:1:5"], "an empty range"),
        (["--set", "fast=5,10", "--set", "fast=20,30"], "stands there twice"),
        (["--set", "fast=5,10", "--executor", "dusk"], 'did you mean "dask"'),
        (["--set", "fast=5,10", "--shard", "3/2"], "--shard was 3/2"),
        (["--set", "fast=5,10", "--search", "gird"], 'did you mean "grid"'),
        (["--set", "fast=5,10", "--max-cost", "nan"], "--max-cost was nan"),
        (["--set", "fast=5,10", "--threads", "0"], "--threads"),
        (["--set", "fast=5,10", "--symbols", ""], "name at least one symbol"),
        (["--set", "fast@2024-03-01=5,10"], "changes at a date"),
        (["--set", "slow=5,99999999999999999999"], "20 digits"),
        (["--set", "fast=5,10", "--where", "fast < 'a'"], "compares or counts with what is no number"),
        (["no.yaml"], "no such file"),
        (["no.yaml", "other.yaml"], "unexpected extra argument"),
        (["--set", "fast=5,10", "--symbols", "SPYX"], 'no bars for "SPYX"'),
        (["--set", "fast=5,10", "--from", "2024-13-01"], "which is not a date"),
        ([word for name in ("fast", "slow") for word in ("--set", f"{name}=1:9000:1")], "81,000,000 combinations"),
        (["--set", "fsat=1:9000:1", "--set", "slow=1:9000:1"], 'did you mean "fast"'),
        (["--set", "fsat=5"], 'did you mean "fast"'),
        (["--set", "fast=5,10", "--seed", "-1"], "--seed"),
        (["--set", "fast=5,10", "--search", "random", "--members", "١"], "no number in the digits 0 to 9"),
        (
            ["--set", "fast=5,10", "--to", "2035-06-29", "--hold-out", "2035-01-01"],
            "0 sessions in the hold-out from 2035-01-01",
        ),
        (["--set", "fast=5,10", "--hold-out", "2024-07-05"], "before the hold-out from 2024-07-05"),
    ],
)
def test_a_bad_study_gets_one_line_and_nothing_is_written(place: Path, sim: Sim, words: list[str], why: str) -> None:
    before = set(place.rglob("*"))
    given = [word for word in SMALL if not ("--symbols" in words and word in ("--symbols", "SPY"))]
    told = sim("sweep", *given, *words, cwd=place)
    assert told.returncode in (2, 3)
    assert told.stdout == ""
    assert len(told.stderr.strip().splitlines()) == 1
    assert why in told.stderr
    assert set(place.rglob("*")) == before


def test_names_of_parameters_are_completed(place: Path) -> None:
    def offered(args: list[str], incomplete: str) -> set[str]:
        found = ShellComplete(command, {}, "sim", "_SIM_COMPLETE").get_completions(args, incomplete)
        return {one.value for one in found}

    at = ["--workspace", str(place), "sweep", "--strategy", "sma_cross", "--set"]
    assert offered(at, "f") == {"fast="}
    assert offered(at, "costs.s") == {"costs.slippage_bps=", "costs.short_proceeds_earn="}
    assert offered(at, "exits.") == {"exits.stop=", "exits.take_profit="}
    assert offered([*at[:-1], "--search"], "") >= {"grid", "random", "sobol", "tpe"}


@pytest.mark.slow
def test_ctrl_c_keeps_what_is_done_and_says_that_the_same_command_goes_on(place: Path) -> None:
    (place / "strategies" / "slow.py").write_text(SLOW)
    words = [sys.executable, "-m", "simulator", "sweep", "--strategy", "slow", "--symbols", "SPY"]
    words += ["--from", "2023-01-01", "--set", "n=1:60:1", "--threads", "2"]
    running = subprocess.Popen(words, cwd=place, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 120
    while not list(place.glob("reports/sweep-slow-*/chunks/*.parquet")) and time.monotonic() < deadline:
        time.sleep(0.05)
    running.send_signal(signal.SIGINT)
    _, told = running.communicate(timeout=60)
    assert running.returncode == 130, told
    assert re.search(r"\d+ of 60 members are done and kept; the same command goes on from there", told)
    kept = {path: path.stat().st_mtime_ns for path in place.glob("reports/sweep-slow-*/chunks/*.parquet")}
    assert kept
    done = subprocess.run(words, cwd=place, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    assert {path: path.stat().st_mtime_ns for path in kept} == kept
