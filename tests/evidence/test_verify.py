"""A run folder is held against its run.json, and that against the store, whenever it is read."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

import simulator
from simulator.errors import DataError
from simulator.evidence.reader import read_run
from simulator.evidence.unrecorded import find_unrecorded, record_unrecorded
from simulator.evidence.verify import verify_run
from simulator.store.database import Store
from simulator.store.folders import run_folders
from simulator.workspace import find_workspace, make_workspace

from ..conftest import Sim

pytestmark = pytest.mark.medium

PERIOD = {"start": "2024-01-02", "end": "2024-02-02"}


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace with a run of the council, and what `sim ablate` and `sim check` added to it."""
    workspace = tmp_path_factory.mktemp("verified") / "workspace"
    make_workspace(workspace, git=False)
    run = simulator.run("macro_council", workspace=workspace, **PERIOD)
    from simulator.cli import main

    for words in (["ablate", run.facts["run_id"]], ["check", run.facts["run_id"], "--only", "costs"]):
        with pytest.raises(SystemExit) as left:
            main(["--workspace", str(workspace), *words])
        assert not left.value.code
    return workspace


@pytest.fixture
def made(original: Path, tmp_path: Path) -> Path:
    """A copy of it, to be changed."""
    copy = tmp_path / "workspace"
    shutil.copytree(original, copy)
    return copy


def folder_of(workspace: Path) -> Path:
    (folder,) = run_folders(workspace / "reports")
    return folder


def flip(path: Path) -> None:
    """Change one bit in the middle of a file, or make an empty one longer."""
    content = path.read_bytes()
    middle = len(content) // 2
    path.write_bytes(content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :] if content else b"x")


@pytest.mark.fault(
    "disk", "a byte of a file in a run folder changes", "one line and exit code 3; --force shows a badge"
)
def test_a_changed_byte_of_any_part_is_found(made: Path) -> None:
    workspace, folder = find_workspace(made), folder_of(made)
    assert verify_run(workspace, folder).recorded
    parts = read_run(folder)["parts"]
    added = ("ablation.json", "ablation.html", "checks.json", "checks.html")
    assert {"decisions.jsonl", "llm_calls.jsonl", "accounts/CHATGPT/fills.csv"} < set(parts)
    there = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert there - set(parts) - set(added) == {"run.json", "trials.json", "runtime.json", "report.html"}
    for name in (*parts, *added, "report.html"):
        before = (folder / name).read_bytes()
        flip(folder / name)
        assert [why.partition(" ")[0] for why in verify_run(workspace, folder).changed] == [name]
        (folder / name).write_bytes(before)
    assert verify_run(workspace, folder).changed == ()


@pytest.mark.parametrize("words", [["report"], ["explain", "last"], ["compare", "last", "last"], ["ablate"], ["check"]])
def test_every_reader_refuses_a_changed_folder_and_shows_it_with_a_badge(
    made: Path, sim: Sim, words: list[str]
) -> None:
    path = folder_of(made) / "llm_calls.jsonl"
    path.write_bytes(path.read_bytes() + b"\n")
    refused = sim(*words, cwd=made)
    assert (refused.returncode, refused.stdout, refused.stderr.count("\n")) == (3, "", 1), refused.stderr
    assert "llm_calls.jsonl has changed since the run was made" in refused.stderr
    more = ["--only", "costs"] if words == ["check"] else ["--draws", "50"] if words[0] == "compare" else []
    shown = sim(*words, *more, "--force", cwd=made)
    assert shown.returncode == 0, shown.stderr
    assert "sim: warning: " in shown.stderr
    badge = '<span class="badge">altered: llm_calls.jsonl has changed since the run was made</span>'
    pages = {"compare": "compare-*/comparison.html", "ablate": "*/ablation.html", "check": "*/checks.html"}
    for pattern in [pages[words[0]]] if words[0] in pages else []:
        assert badge in next(made.glob(f"reports/{pattern}")).read_text()
    if words[0] in ("report", "ablate", "check"):
        assert badge in (folder_of(made) / "report.html").read_text()


@pytest.mark.fault("disk", "a byte of a report changes", "named by every reader, until it is deleted and built again")
def test_a_changed_report_is_named_and_one_built_anew_is_not(made: Path, sim: Sim) -> None:
    for kind in ("html", "md", "json"):
        page = folder_of(made) / f"report.{kind}"
        assert sim("report", "--format", kind, cwd=made).returncode == 0
        assert sim("verify", cwd=made).returncode == 0
        flip(page)
        changed = sim("verify", cwd=made)
        assert (changed.returncode, f"report.{kind} has changed" in changed.stdout) == (3, True), changed
        refused = sim("report", "--format", kind, cwd=made)
        assert f"delete report.{kind}, `sim report" in refused.stderr
        page.unlink()
        assert sim("report", "--format", kind, cwd=made).returncode == 0
        assert sim("verify", cwd=made).returncode == 0


@pytest.mark.parametrize("name", ["equity.csv", "weights.csv"])
@pytest.mark.fault(
    "disk", "a date or a row of equity.csv or weights.csv changes", "--force shows the sessions both have"
)
def test_sessions_that_only_one_file_has_are_left_out_of_what_force_shows(name: str, made: Path, sim: Sim) -> None:
    path = folder_of(made) / name
    head, *rows = path.read_text().splitlines()
    moved = [rows[0].replace("-01-02", "-01-01"), *rows[1:]]
    for kept in (moved, rows[1:], [rows[1], rows[0], *rows[2:]], [*rows, rows[-1]]):
        path.write_text("\n".join([head, *kept]) + "\n")
        for words in (["report"], ["compare", "last", "last", "--draws", "50"]):
            done = sim(*words, "--force", cwd=made)
            assert done.returncode == 0, done.stderr
            assert f"is altered: {name} has changed since the run was made" in done.stderr
    path.write_text(head + "\n")
    done = sim("report", "--force", cwd=made)
    assert (done.returncode, done.stderr.count("\n")) == (3, 1)
    assert name in done.stderr


@pytest.mark.fault("disk", "a figure of equity.csv changes", "`sim check --force` plays the decisions, with a warning")
def test_a_check_of_a_changed_folder_goes_on_and_says_so(made: Path, sim: Sim) -> None:
    path = folder_of(made) / "equity.csv"
    *rows, last = path.read_text().splitlines()
    day, figure, *rest = last.split(",")
    path.write_text("\n".join([*rows, ",".join([day, "9" + figure, *rest])]) + "\n")
    done = sim("check", "last", "--only", "costs", "--force", cwd=made)
    assert done.returncode == 0, done.stderr
    assert "equity.csv: its decisions, replayed, do not give its equity" in done.stderr
    assert "is altered: equity.csv has changed" in done.stderr


def test_markdown_and_json_of_a_changed_folder_say_so(made: Path, sim: Sim) -> None:
    flip(folder_of(made) / "weights.csv")
    for kind in ("md", "json"):
        done = sim("report", "--format", kind, "--force", cwd=made)
        assert "weights.csv has changed since the run was made" in Path(done.stdout.strip()).read_text(), done.stderr


@pytest.mark.fault("disk", "figures in run.json are edited", "the store knows another run.json: one line, exit code 3")
def test_an_edited_run_json_is_not_the_recorded_one(made: Path, sim: Sim) -> None:
    path = folder_of(made) / "run.json"
    for before, after in (
        ('"sharpe": ', '"sharpe": 1'),
        ('"run_id": "', '"run_id": "f'),
        ('"digest": "', '"digest": "a'),
    ):
        content = path.read_text()
        path.write_text(content.replace(before, after, 1))
        done = sim("report", folder_of(made).name, cwd=made)
        assert (done.returncode, done.stderr.count("\n")) == (3, 1), done.stderr
        path.write_text(content)


@pytest.mark.fault(
    "disk", "run folders exchange their names, or one is renamed", "one line, exit code 3; a name of no run is a note"
)
def test_a_folder_holds_the_run_it_is_named_after(made: Path, sim: Sim) -> None:
    council, reports = folder_of(made), made / "reports"
    rule = simulator.run("sma_cross", ["SPY"], "2024-01-02", "2024-02-02", workspace=made).folder
    council.rename(reports / "aside")
    rule.rename(council)
    (reports / "aside").rename(rule)
    assert json.loads(sim("verify", "--all", "--json", cwd=made).stdout)["runs"][0]["changed"] == [
        f"the folder is named {council.name}, but holds {rule.name}"
    ]
    for words in (["verify", rule.name], ["explain", rule.name], ["report", council.name]):
        done = sim(*words, cwd=made)
        assert (done.returncode, done.stderr.count("\n")) == (3, 1), done.stderr
    council.rename(reports / "mine")
    rule.rename(partial := rule.with_name(f"{council.name}-partial"))
    shutil.copytree(reports / "mine", rule)
    states = {str(row["folder"]): (row["state"], len(row["notes"])) for row in verified(sim, made)}
    assert states.pop(council.name) == ("missing", 0)
    assert states == {"mine": ("verified", 1), partial.name: ("changed", 0), rule.name: ("verified", 0)}
    assert f"the folder is named mine, but holds {rule.name}" in sim("explain", ".", cwd=reports / "mine").stderr


def verified(sim: Sim, workspace: Path) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = json.loads(sim("verify", "--all", "--json", cwd=workspace).stdout)["runs"]
    return rows


@pytest.mark.fault("disk", "files are added to or missing from a run folder", "one line that names them, exit code 3")
def test_added_and_missing_files_are_named(made: Path, sim: Sim) -> None:
    folder = folder_of(made)
    (folder / "accounts" / "MINE").mkdir()
    (folder / "accounts" / "MINE" / "fills.csv").write_text("x")
    (folder / "weights.csv").unlink()
    done = sim("verify", "--all", "--json", cwd=made)
    (row,) = json.loads(done.stdout)["runs"]
    assert row["changed"] == ["weights.csv is missing", "accounts/MINE/fills.csv was added since the run was made"]
    assert (done.returncode, row["state"]) == (3, "changed")


@pytest.mark.fault("disk", "a run folder from elsewhere is read", "a note, not recorded here; its files are verified")
def test_a_folder_from_elsewhere_is_a_note_and_its_parts_are_verified(made: Path, tmp_path: Path, sim: Sim) -> None:
    other = tmp_path / "other"
    make_workspace(other, git=False)
    copy = shutil.copytree(folder_of(made), other / "reports" / folder_of(made).name)
    done = sim("explain", "last", cwd=other)
    assert done.returncode == 0
    assert "not recorded here" in done.stderr
    flip(copy / "orders.csv")
    assert sim("explain", "last", cwd=other).returncode == 3


def test_the_python_face_reads_no_changed_file(made: Path) -> None:
    run = simulator.run("macro_council", workspace=made, **PERIOD)
    (run.folder / "report.html").unlink()
    for name in ("equity.csv", "decisions.jsonl"):
        (run.folder / name).write_bytes((run.folder / name).read_bytes() + b"\n")
    for read in (lambda: run.equity, lambda: run.records, run.report):
        with pytest.raises(DataError, match="has changed since the run was made"):
            read()


@pytest.mark.fault(
    "disk", "sim.db is deleted", "folders are listed, counted as trials, and recorded by `sim db rebuild`"
)
def test_a_deleted_store_is_made_again_from_the_folders(made: Path, sim: Sim) -> None:
    simulator.run("sma_cross", ["SPY"], "2024-01-02", "2024-02-02", workspace=made)
    with Store(made / "sim.db") as store:
        before = {
            name: store.rows(name) for name in ("peer_reviews", "trades", "positions", "checkpoints", "llm_calls")
        }
        known = {(row["run_id"], row["digest"]): row["strategy"] for row in store.runs()}
    (made / "sim.db").unlink()
    listed = sim("runs", "--json", cwd=made)
    assert {row["recorded"] for row in json.loads(listed.stdout)} == {False}
    assert "not recorded here" in listed.stderr
    counted = json.loads(sim("runs", "--trials", "last", "--json", cwd=made).stdout)
    assert len(counted["counted"]) == 2
    assert json.loads(sim("db", "rebuild", "--json", cwd=made).stdout)["recorded"]
    with Store(made / "sim.db") as store:
        assert {(row["run_id"], row["digest"]): row["strategy"] for row in store.runs()} == known
        for name, rows in before.items():
            assert [without_event(row) for row in store.rows(name)] == [without_event(row) for row in rows], name
        assert find_unrecorded(store.results(), made / "reports") == []
        assert record_unrecorded(store, made / "reports") == []
    assert sim("verify", "--all", cwd=made).returncode == 0


def without_event(row: dict[str, object]) -> dict[str, object]:
    return {name: value for name, value in row.items() if name != "event"}


@pytest.mark.fault(
    "disk", "runtime.json of a run is missing, a pipe or no JSON", "a note; the report says that run time is unknown"
)
@pytest.mark.parametrize("damage", [None, b"\xff\xfe", b'{"asked": "x"}', b'{"seconds": 1e400}', "folder", "pipe"])
def test_what_differs_between_reruns_may_be_missing(damage: bytes | str | None, made: Path, sim: Sim) -> None:
    folder = folder_of(made)
    (folder / "trials.json").write_text("{")
    path = folder / "runtime.json"
    path.unlink()
    if isinstance(damage, bytes):
        path.write_bytes(damage)
    elif damage:
        path.mkdir() if damage == "folder" else os.mkfifo(path)
    (row,) = verified(sim, made)
    assert (row["state"], len(row["notes"])) == ("verified", 1)  # type: ignore[arg-type]
    for words in (["report"], ["explain", "last"], ["runs"]):
        assert sim(*words, cwd=made).returncode == 0
    assert "Run time and spending unknown" in (folder / "report.html").read_text()


@pytest.mark.fault("disk", "trials.json or report.html is a folder", "one line that says so and to remove it")
@pytest.mark.parametrize("name", ["trials.json", "report.html"])
def test_a_folder_where_a_file_belongs_is_named(name: str, made: Path, sim: Sim) -> None:
    path = folder_of(made) / name
    path.unlink()
    path.mkdir()
    done = sim("report", cwd=made)
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert f"{name}: cannot be written (a folder is there); remove it" in done.stderr


@pytest.mark.parametrize("name", ["checks.json", "ablation.json"])
@pytest.mark.fault("disk", "checks.json or ablation.json is no JSON", "one line that says what makes it again")
def test_a_file_another_command_added_is_no_json(made: Path, sim: Sim, name: str) -> None:
    (folder_of(made) / name).write_text("[" * 100_000)
    for words in (["report"], ["report", "--force"]):
        done = sim(*words, cwd=made)
        assert done.returncode == 3
        assert done.stderr.splitlines()[-1].startswith("sim: error: ")
        assert name in done.stderr.splitlines()[-1]


@pytest.mark.fault("disk", "a number of a run folder is 1e400", "one line that names file, line and column")
def test_a_number_that_is_not_finite_is_refused(made: Path, sim: Sim) -> None:
    path = folder_of(made) / "fills.csv"
    head, first, *rest = path.read_text().splitlines()
    cells = first.split(",")
    cells[head.split(",").index("price")] = "1e400"
    path.write_text("\n".join([head, ",".join(cells), *rest]) + "\n")
    done = sim("report", "--force", cwd=made)
    assert (done.returncode, "Traceback" in done.stderr) == (3, False)
    assert 'fills.csv:2: price was "1e400"' in done.stderr
