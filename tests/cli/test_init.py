from __future__ import annotations

import json
import os
import resource
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from simulator.config import load_config
from simulator.workspace import shipped

Sim = Callable[..., "subprocess.CompletedProcess[str]"]


def tree(folder: Path) -> dict[str, bytes | None]:
    """Every path below `folder` with its bytes; None for a folder."""
    return {str(p.relative_to(folder)): p.read_bytes() if p.is_file() else None for p in sorted(folder.rglob("*"))}


def test_init_makes_a_workspace_of_its_own(tmp_path: Path, sim: Sim) -> None:
    done = sim("init", "lab/mine")
    assert (done.returncode, done.stderr) == (0, "")
    made = tmp_path / "lab" / "mine"
    assert (made / "sim.toml").read_bytes() == (shipped() / "sim.toml").read_bytes()
    assert (made / "README.md").read_text().count("\n") == 5
    assert load_config(made / "config")
    assert {"strategies", "config", "data", ".gitignore"} <= set(os.listdir(made))
    assert not {"simulator", "tests", "pyproject.toml", "Makefile"} & set(os.listdir(made))
    assert [p.name for p in made.parent.iterdir()] == ["mine"]
    assert (made / ".git").is_dir() == bool(shutil.which("git"))


def test_init_copies_the_starter_files_byte_by_byte(workspace: Path) -> None:
    for folder in ("strategies", "config", "data/sample"):
        shipped_files = {name: held for name, held in tree(shipped() / folder).items() if "__pycache__" not in name}
        assert tree(workspace / folder) == shipped_files
        assert shipped_files


def test_init_fills_an_empty_folder_in_place(tmp_path: Path, sim: Sim) -> None:
    folder = tmp_path / "empty"
    folder.mkdir()
    inode = folder.stat().st_ino
    assert sim("init", ".", cwd=folder).returncode == 0
    assert folder.stat().st_ino == inode
    assert (folder / "sim.toml").is_file()
    assert not [name for name in os.listdir(folder) if ".init-" in name]


def test_init_refuses_a_folder_with_something_in_it(workspace: Path, sim: Sim) -> None:
    before = tree(workspace)
    done = sim("init", workspace)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "--add-missing" in done.stderr
    assert tree(workspace) == before


def test_add_missing_overwrites_nothing_and_brings_back_what_is_gone(workspace: Path, sim: Sim) -> None:
    (workspace / "config" / "costs.yaml").write_text("slippage_bps: 7.0\n")
    (workspace / "config" / "risk.yaml").unlink()
    shutil.rmtree(workspace / "strategies")
    done = sim("init", "--add-missing", workspace, "--json")
    answer = json.loads(done.stdout)
    assert answer["workspace"] == str(workspace)
    assert "config/risk.yaml" in answer["added"]
    assert "config/costs.yaml" not in answer["added"]
    assert (workspace / "config" / "costs.yaml").read_text() == "slippage_bps: 7.0\n"
    assert tree(workspace / "strategies")
    assert "lacks nothing" in sim("init", "--add-missing", workspace).stdout


def test_init_works_where_the_named_workspace_does_not_exist_yet(tmp_path: Path, sim: Sim) -> None:
    assert sim("init", "new", env={"SIM_WORKSPACE": str(tmp_path / "new")}).returncode == 0


def test_init_inside_a_git_hook_leaves_the_repository_of_the_hook_alone(tmp_path: Path, sim: Sim) -> None:
    hooked = tmp_path / "hooked.git"
    assert sim("init", "made", env={"GIT_DIR": str(hooked)}).returncode == 0
    assert not hooked.exists()


def test_init_inside_another_workspace_says_which_one_commands_will_use(workspace: Path, sim: Sim) -> None:
    below = workspace / "below"
    below.mkdir()
    made = below / "lab"
    line = f"Commands typed in {made} work there, elsewhere in {workspace} they work in that workspace"
    assert sim("init", "lab", cwd=below).stdout.splitlines()[-1] == line
    assert json.loads(sim("init", "two", "--json", cwd=below).stdout)["other_workspace"] == str(workspace)
    assert str(workspace) in sim("doctor", cwd=below).stdout
    assert str(made) in sim("doctor", cwd=made).stdout
    assert f"elsewhere in {workspace} " in sim("init", workspace / "far", cwd=workspace.parent).stdout
    assert json.loads(sim("init", "free", "--json", cwd=workspace.parent).stdout)["other_workspace"] is None


def test_init_says_that_a_variable_names_another_workspace(tmp_path: Path, workspace: Path, sim: Sim) -> None:
    named = {"SIM_WORKSPACE": str(workspace)}
    assert f"SIM_WORKSPACE is set: commands work in {workspace} " in sim("init", "lab", env=named).stdout
    assert sim("init", "--add-missing", workspace, env=named).stdout == f"{workspace} lacks nothing.\n"
    assert sim("doctor", cwd=tmp_path / "lab", env=named).stdout.count(str(tmp_path / "lab")) == 0


@pytest.mark.parametrize("there", [False, True])
def test_a_disk_that_fills_up_leaves_the_folder_as_it_was(there: bool, tmp_path: Path, sim: Sim) -> None:
    folder = tmp_path / "deep" / "workspace"
    if there:
        folder.mkdir(parents=True)
    before = tree(tmp_path)
    limit = 256  # bytes a file may grow to: sim.toml fits, most others do not
    done = sim("init", folder, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)))
    assert done.returncode == 1
    assert done.stderr.startswith(f"sim: error: {folder}: cannot be made a workspace (")
    assert done.stderr.count("\n") == 1
    assert tree(tmp_path) == before


def test_a_failure_while_moving_files_into_place_takes_them_back(workspace: Path, sim: Sim) -> None:
    (workspace / "README.md").unlink()
    shutil.rmtree(workspace / "config")
    (workspace / "config").write_text("a file where a folder should be")
    before = tree(workspace)
    done = sim("init", "--add-missing", workspace)
    assert done.returncode == 1
    assert done.stderr.startswith(f"sim: error: {workspace}: cannot be made a workspace (Not a directory)")
    assert tree(workspace) == before


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_prints_a_script_and_how_to_install_it(shell: str, sim: Sim) -> None:
    done = sim("completion", shell)
    assert (done.returncode, done.stderr) == (0, "")
    assert "_SIM_COMPLETE" in done.stdout
    assert done.stdout.splitlines()[-1].startswith("# To install: ")


def completed(sim: Sim, workspace: Path, line: str) -> list[str]:
    words = line.split(" ")
    env = {"_SIM_COMPLETE": "bash_complete", "COMP_WORDS": line, "COMP_CWORD": str(len(words) - 1)}
    return [row.partition(",")[2] for row in sim(cwd=workspace, env=env).stdout.splitlines()]


def test_the_shell_completes_commands_and_names_on_disk(workspace: Path, sim: Sim) -> None:
    (workspace / "reports" / "sma_cross-2024-01-02-2024-02-01-abc").mkdir(parents=True)
    (workspace / "reports" / ".half.1").mkdir()
    (workspace / "data" / "ACME.csv").write_text("")
    assert completed(sim, workspace, "sim ru") == ["run", "runs"]
    assert completed(sim, workspace, "sim run --strategy sma_") == ["sma_cross"]
    assert completed(sim, workspace, "sim run --symbols SPY,AC") == ["SPY,ACME"]
    assert completed(sim, workspace, "sim report ") == ["sma_cross-2024-01-02-2024-02-01-abc"]
