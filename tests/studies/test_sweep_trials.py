"""Sweeps among trials: a member run alone takes its p in the sweep, and a hold-out counts who looked."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import simulator
from simulator.analysis.trials import p_within, trials
from simulator.evidence.unrecorded import all_results
from simulator.number_format import plain
from simulator.store.database import Store

SWEEP = ("sweep", "--strategy", "sma_cross", "--symbols", "SPY", "--from", "2023-01-03", "--to", "2023-12-29")
SETS = ("--set", "fast=5,10", "--set", "slow=20,40")


@pytest.mark.medium
def test_a_member_run_alone_takes_its_p_and_a_hold_out_counts_its_openings(workspace: Path, sim: Any) -> None:
    held = ("--hold-out", "2023-10-02")
    assert sim(*SWEEP, *SETS, *held, cwd=workspace).returncode == 0
    folder = next((workspace / "reports").glob("sweep-*"))
    verdict = json.loads((folder / "verdict.json").read_text())
    assert (verdict["trials"], verdict["units"], verdict["hold_out"]["opened"]) == (4, 1, 0)
    p = json.loads((folder / "study.json").read_text())["inference"]["p"]
    with Store(workspace / "sim.db") as store:
        (row,) = store.results()
        assert row["sweep"]["members"] == 4
        assert not store.rebuild().differed
    best = json.loads((folder / "study.json").read_text())["best"]
    run = simulator.run(
        "sma_cross", ["SPY"], "2023-01-03", "2023-09-29", parameters=best["settings"], workspace=workspace
    )
    told = json.loads((run.folder / "trials.json").read_text())["inference"]
    assert (told["trials"], told["units"], told["sweep_p"]) == (4, 1, p)
    # Rows that an earlier build wrote have neither.
    old = {name: value for name, value in row["sweep"].items() if name not in ("paths", "null_best")}
    tried = trials([{**row, "sweep": old}], run.facts)
    assert tried.count == 5
    assert 0 < p_within(tried, np.random.default_rng(1).normal(0.0, 0.01, 187), 0.0) <= 1
    assert sim(*SWEEP, *SETS, *held, "--open-hold-out", cwd=workspace).returncode == 0
    assert json.loads((folder / "verdict.json").read_text())["hold_out"]["opened"] == 1


@pytest.mark.medium
@pytest.mark.fault(
    "disk", "a file in a sweep's folder is edited, missing, or of another sweep", "`sim verify` names it"
)
def test_what_is_edited_in_the_folder_of_a_sweep_is_named(workspace: Path, sim: Any) -> None:
    def verify(*words: str) -> tuple[int, dict[str, Any]]:
        done = sim("verify", *words, "--json", cwd=workspace)
        return done.returncode, json.loads(done.stdout)["runs"][0]

    assert sim(*SWEEP, *SETS, cwd=workspace).returncode == 0
    (folder,) = (workspace / "reports").glob("sweep-*")
    assert [(code, row["state"]) for code, row in (verify("--all"), verify(folder.name[-10:]))] == [(0, "verified")] * 2
    names = ("study.json", "verdict.json", "inference.parquet", "chunks/000000000.parquet", "chunks/000000000.npy")
    for name in names:
        kept = (folder / name).read_bytes()
        edits = [kept.replace(b"0.", b"1.", 1) if name.endswith("json") else kept[:-9] + b"\1" + kept[-8:]]
        for content in (*edits, None):
            (folder / name).unlink() if content is None else (folder / name).write_bytes(content)
            code, row = verify("--all")
            if (name, content) == ("study.json", None):
                assert row["notes"] == ["is not finished: the same `sim sweep` plays what is missing"]
            else:
                assert (code, row["state"]) == (3, "changed"), name
                assert any(name in told for told in row["changed"]), row["changed"]
        (folder / name).write_bytes(kept)
    # A chunk of another sweep, whole in itself.
    assert sim(*SWEEP, "--set", "fast=6,10", *SETS[2:], cwd=workspace).returncode == 0
    (other,) = {*(workspace / "reports").glob("sweep-*")} - {folder}
    for name in names[3:]:
        (folder / name).write_bytes((other / name).read_bytes())
    rows = {row["folder"]: row for row in json.loads(sim("verify", "--all", "--json", cwd=workspace).stdout)["runs"]}
    assert rows[other.name]["state"] == "verified"
    assert any("of another study" in told or "other members" in told for told in rows[folder.name]["changed"])


@pytest.mark.medium
def test_a_hold_out_counts_every_member_that_saw_it_whatever_its_symbol_and_a_lost_store(
    workspace: Path, sim: Any
) -> None:
    def held_out() -> dict[str, Any]:
        assert sim(*SWEEP, *SETS, "--hold-out", "2023-10-02", "--open-hold-out", cwd=workspace).returncode == 0
        told = [json.loads(path.read_text())["hold_out"] for path in reports.glob("sweep-*/verdict.json")]
        (found,) = filter(None, told)
        return dict(found)

    reports = workspace / "reports"
    (source,) = workspace.rglob("SPY.parquet")
    source.with_name("ZZZ.parquet").write_bytes(source.read_bytes())
    renamed = [word.replace("SPY", "ZZZ") for word in SWEEP]
    assert sim(*renamed, *SETS, cwd=workspace).returncode == 0
    first, again = held_out(), held_out()
    assert (first["opened"], first["results"]) == (2, 5)
    assert (again["opened"], again["results"]) == (3, 5)
    assert "opened 3 times among 5 results" in plain(again["headline"])
    for path in workspace.glob("sim.db*"):
        path.unlink()
    assert "opened at least 4 times among at least 5 results" in plain(held_out()["headline"])


@pytest.mark.medium
def test_members_of_a_sweep_that_nobody_concluded_count(workspace: Path, sim: Any) -> None:
    year: tuple[list[str], str, str] = (["SPY"], "2023-01-03", "2023-12-29")
    assert sim(*SWEEP, *SETS, "--shard", "1/2", cwd=workspace).returncode == 0
    (folder,) = (workspace / "reports").glob("sweep-*")
    member = simulator.run("sma_cross", *year, parameters={"fast": 5, "slow": 20}, workspace=workspace)
    other = simulator.run("buy_and_hold", *year, workspace=workspace)

    def told(run: Any) -> Any:
        return json.loads((run.folder / "trials.json").read_text())

    # Two members are done, one of them is the run; the second run meets them by its bars.
    assert (told(member)["inference"]["trials"], "units" in told(member)["inference"]) == (2, False)
    assert told(member)["held_out"]["seen_by"]["sweep"]["members"] == 2
    assert told(other)["inference"]["trials"] == 3
    # The store knows them without the folder; without either file the number is a lower bound.
    begun = (folder / "begun.json").read_bytes()
    (folder / "begun.json").unlink()
    assert "nothing tells the bars" in all_results(workspace / "sim.db", workspace / "reports").at_least
    shutil.move(folder, workspace / "moved")
    seen = all_results(workspace / "sim.db", workspace / "reports")
    assert sum(row["sweep"]["members"] for row in seen.rows if row.get("sweep")) == 2  # type: ignore[index]
    shutil.move(workspace / "moved", folder)
    (folder / "begun.json").write_bytes(begun)
    assert sim("runs", cwd=workspace).returncode == 0
    assert sim(*SWEEP, *SETS, cwd=workspace).returncode == 0
    assert not (folder / "begun.json").exists()
    listed = sim("runs", "--trials", member.facts["run_id"], cwd=workspace).stdout.replace("\u00a0", " ")
    assert "5 trials counted" in listed
