"""`sim compare` and `sim runs --trials` as a person types them."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import simulator
from simulator.analysis.verdict import judge
from simulator.evidence.reader import read, read_run
from simulator.report.page import render
from simulator.workspace import make_workspace

pytestmark = pytest.mark.medium

Sim = Callable[..., Any]

SPAN = ("2023-01-03", "2023-12-29")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[simulator.Run]]:
    folder = tmp_path_factory.mktemp("compared") / "workspace"
    make_workspace(folder, git=False)
    rules: list[dict[str, Any]] = [{}, {"parameters": {"fast": 20}}]
    runs = [simulator.run("sma_cross", ["SPY", "QQQ"], *SPAN, workspace=folder, **more) for more in rules]
    runs.append(simulator.run("buy_and_hold", ["SPY"], "2021-01-04", "2021-12-30", workspace=folder))
    return folder, runs


def ids(runs: list[simulator.Run]) -> list[str]:
    return [run.facts["run_id"] for run in runs]


def test_two_runs_get_a_verdict_a_parting_and_a_page(made: Any, sim: Sim) -> None:
    folder, runs = made
    a, b, _ = ids(runs)
    done = sim("compare", a, b, "--draws", 300, cwd=folder)
    assert (done.returncode, done.stderr) == (0, "")
    told = " ".join(done.stdout.split())
    assert "First different decision: " in told
    assert "parameters.fast not set 20" in told
    page = folder / "reports" / f"compare-{a}-{b}" / "comparison.html"
    assert f"page {page.relative_to(folder)}" in told
    html = page.read_text()
    assert html.count('<path class="strategy"') == 1
    assert f"sim compare {a} {b}" in html
    # A comparison is no run: `last` and the list of runs stay what they were.
    assert {row["run_id"] for row in json.loads(sim("runs", "--json", cwd=folder).stdout)} == set(ids(runs))
    assert sim("report", "last", cwd=folder).returncode == 0


def test_each_run_leads_to_its_comparisons_the_newest_first(made: Any, sim: Sim) -> None:
    folder, runs = made
    a, b, c = ids(runs)
    for other in (b, c, b):
        assert sim("compare", a, other, "--draws", 50, cwd=folder).stderr == ""
    listed = json.loads((runs[0].folder / "comparisons.json").read_text())["comparisons"]
    assert [one["folder"] for one in listed] == [f"compare-{a}-{b}", f"compare-{a}-{c}"]
    for run, addresses in ((runs[0], listed), (runs[1], listed[:1])):
        page = (run.folder / "report.html").read_bytes()
        links = [link.decode() for link in re.findall(rb'href="([.][.]/[^"]+)"', page)]
        assert links == ["../index.html", *(f"../{one['folder']}/comparison.html" for one in addresses)]
        assert all((run.folder / link).is_file() for link in links)
        assert render(run.folder) == page
    found = json.loads(sim("verify", "--json", cwd=folder).stdout)["runs"]
    assert {row["state"] for row in found} == {"verified"}
    kept = (runs[0].folder / "comparisons.json").read_bytes()
    (runs[0].folder / "comparisons.json").write_text("[")
    assert read(runs[0].folder).comparisons == ()
    (runs[0].folder / "comparisons.json").write_bytes(kept)


def test_json_has_verdict_pairs_and_what_differs(made: Any, sim: Sim, tmp_path: Path) -> None:
    folder, runs = made
    a, b, _ = ids(runs)
    page = tmp_path / "page.html"
    done = sim("compare", a, runs[1].folder, "--draws", 300, "--json", "--html", page, cwd=folder)
    facts = json.loads(done.stdout)
    assert [run["run_id"] for run in facts["runs"]] == [a, b]
    assert facts["verdict"]["headline"]
    assert facts["pairs"][0]["values"]["sharpe_difference"] == pytest.approx(
        runs[0].metrics["sharpe"] - runs[1].metrics["sharpe"]
    )
    assert [run["verdict"] for run in facts["runs"]] == [judge(read_run(run.folder)).headline for run in runs[:2]]
    earned = [run.facts["skill"]["beyond"] for run in runs[:2]]
    beyond = facts["pairs"][0]["beyond"]
    assert [beyond["a"], beyond["b"]] == pytest.approx(earned, abs=1e-12)
    assert beyond["difference"] == pytest.approx(earned[0] - earned[1], abs=1e-12)
    assert beyond["low"] < beyond["difference"] < beyond["high"]
    assert facts["configuration"] == [{"key": "parameters.fast", "values": [None, 20]}]
    assert facts["page"] == str(page)
    assert page.read_bytes().startswith(b"<!doctype html>")


def test_last_compared_with_last_is_the_same_run(made: Any, sim: Sim) -> None:
    folder, _ = made
    done = sim("compare", "last", "last", cwd=folder)
    assert "The same run, to the last byte." in done.stdout


def test_periods_apart_are_no_error(made: Any, sim: Sim) -> None:
    folder, runs = made
    done = sim("compare", *ids(runs)[1:], cwd=folder)
    assert (done.returncode, done.stderr) == (0, "")
    assert "Nothing to compare: A runs from" in done.stdout


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "missing argument"),
        (["last"], "1 runs; name two to 8 runs"),
        (["last", "nowhere"], 'no run "nowhere"'),
        (["last", "sma_cross"], '"sma_cross" fits 2 runs'),
        (["last", "last", "--draws", "0"], "'--draws'"),
        (["last", "last", "--seed", "x"], "'--seed'"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(made: Any, sim: Sim, words: list[str], said: str) -> None:
    done = sim("compare", *words, cwd=made[0])
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1
    assert said in done.stderr


def test_a_page_that_cannot_be_written_is_one_line(made: Any, sim: Sim, tmp_path: Path) -> None:
    done = sim("compare", "last", "last", "--html", tmp_path / "nowhere" / "page.html", cwd=made[0])
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "page.html: cannot be written" in done.stderr


def test_a_folder_with_a_torn_file_is_one_line(made: Any, sim: Sim) -> None:
    folder, runs = made
    equity = runs[2].folder / "equity.csv"
    kept = equity.read_bytes()
    equity.write_bytes(kept[: len(kept) // 2].rpartition(b",")[0] + b"\n")
    try:
        done = sim("compare", ids(runs)[0], ids(runs)[2], cwd=folder)
    finally:
        equity.write_bytes(kept)
    assert done.returncode == 3
    assert done.stderr.count("\n") == 1
    assert "equity.csv" in done.stderr


def test_trials_are_listed_with_what_is_left_out_and_why(made: Any, sim: Sim) -> None:
    folder, runs = made
    a, b, c = ids(runs)
    told = sim("runs", "--trials", a, cwd=folder).stdout
    assert "2 trials counted: this run, 1 other result of sma_cross on any bars." in " ".join(told.split())
    assert "same strategy" in told
    before, _, after = told.partition("left out")
    assert a in before
    assert b in before
    assert c in after
    assert "2021-01-04 to 2021-12-30: no session in common" in " ".join(after.split())
    facts = json.loads(sim("runs", "--trials", "--json", cwd=folder).stdout)
    assert facts["inference"]["trials"] == len(facts["counted"])
    alone = sim("runs", "--trials", c, cwd=folder).stdout
    assert "1 trial counted: this run; no other of" in " ".join(alone.split())


def test_trials_of_a_run_that_does_not_exist_are_one_line(made: Any, sim: Sim) -> None:
    done = sim("runs", "--trials", "nowhere", cwd=made[0])
    assert (done.returncode, done.stdout) == (2, "")
    assert 'no run "nowhere"' in done.stderr


def test_a_long_list_of_runs_stands_in_plain_columns(made: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from click.testing import CliRunner

    from simulator.cli import runs as command
    from simulator.workspace import Workspace

    folder, runs = made
    place = Workspace(folder, folder)
    short = CliRunner().invoke(command.runs, [], obj=place).output
    monkeypatch.setattr(command, "MANY", 1)
    long = CliRunner().invoke(command.runs, [], obj=place).output
    assert [line.split()[0] for line in long.splitlines()] == ["id", *ids(runs)]
    assert long.split() == short.split()
