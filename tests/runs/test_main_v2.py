"""What the last main before schema 3 left on disk is still read, asked and counted. tests/data/README.md says how it
was made: five runs, the answers they asked for, the money they spent and the store that recorded them."""

from __future__ import annotations

import json
import shutil
import sqlite3
import tarfile
import time
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest

import simulator
from simulator.errors import BudgetError
from simulator.evidence.verify import verify
from simulator.llm.spending.budget import Budget
from simulator.llm.spending.shared_ledger import SharedLedger
from simulator.workspace import shipped

from ..conftest import Sim

pytestmark = pytest.mark.medium

ARCHIVE = Path(__file__).parents[1] / "data" / "main_v2.tar.xz"

RULE = "sma_cross-2023-07-03-2024-06-28-dd13e11192"
COUNCIL = "macro_council-2024-01-02-2024-02-02-351f7d0465"
REPLICATES = "macro_council-2024-01-02-2024-01-19-bd305c4afe"
UNDECIDED = "macro_council-2024-03-04-2024-03-15-ee8d4db55e"
PARTIAL = "macro_council-2024-05-01-2024-05-17-2576f36a79-partial"
FOLDERS = (RULE, COUNCIL, REPLICATES, UNDECIDED, PARTIAL)

COMMANDS: dict[str, dict[str, Any]] = {
    RULE: {"strategy": "sma_cross", "start": "2023-07-03", "end": "2024-06-28", "parameters": {"fast": 20}},
    COUNCIL: {"models": "dry", "start": "2024-01-02", "end": "2024-02-02"},
    REPLICATES: {"models": "dry", "start": "2024-01-02", "end": "2024-01-19", "replicates": 2},
    UNDECIDED: {"models": "dry", "start": "2024-03-04", "end": "2024-03-15"},
}
"""How each of the whole runs was made."""

PAID = {"2576f36a79": 0.478938, "351f7d0465": 1.139496, "bd305c4afe": 0.644325, "ee8d4db55e": 0.423825}
"""Dollars by run, as the ledger has them."""

RULES_OF_THEN = "margin_spread: 0.0\nlimit_fill: touch\n"
"""What could not be stated then; its `cash_interest` was 0."""

KEYS = {
    "research": "1998addd27fe95d78d5181660e8dbf3d5fe37da14d08c0dbc114aad1533ff89d",
    "pitch": "459f42dec5c6b4bb9556ee63d61fecaf1b28556f1a52d65e4bd45ccbdd0a80c5",
    "repair of a pitch": "0cdfc4d87768501c9084f99a0f5b6770e8add3be0a126bca4d0f073e56af67ed",
    "review": "5dc4de008c8040417524681024dffbea79ef7b42454dfa39b860ebba92649e09",
    "chairman": "3054404227f68758ae293ce009f4fc6f0da08c197d6ca2d92e0f209f892c994d",
    "checkpoint": "229b3ce9682312b2f21b574b79d9a64ec1350aefde21647ee2057b3a0ee8c16b",
}
"""The key of one question of each stage in `UNDECIDED`: prompts, settings and the JSON schema of the answer make it."""


def unpack(folder: Path) -> Path:
    with tarfile.open(ARCHIVE) as archive:
        archive.extractall(folder, filter="data")
    (folder / "data").symlink_to(shipped() / "data", target_is_directory=True)
    with (folder / "config" / "costs.yaml").open("a", encoding="utf-8") as costs:
        costs.write(RULES_OF_THEN)
    return folder


@pytest.fixture(scope="module")
def v2(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The workspace, for tests that only add to it."""
    return unpack(tmp_path_factory.mktemp("main") / "v2")


@pytest.fixture
def own_v2(tmp_path: Path) -> Path:
    """The workspace, for a test that changes it."""
    return unpack(tmp_path / "v2")


def facts(workspace: Path, name: str) -> dict[str, Any]:
    read: dict[str, Any] = json.loads((workspace / "reports" / name / "run.json").read_text())
    return read


def calls(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "llm_calls.jsonl").read_text().splitlines()]


def note(name: str) -> str:
    """What is said of a folder that has no digests of its files."""
    return f"sim: note: {name}: not recorded here: an earlier version wrote it, without digests of all its files\n"


def test_the_archive_holds_folders_of_schema_2(v2: Path) -> None:
    assert {facts(v2, name)["schema"] for name in FOLDERS} == {2}
    assert [facts(v2, name)["partial"] for name in FOLDERS] == [False, False, False, False, True]


@pytest.mark.parametrize("name", FOLDERS)
def test_the_report_of_a_folder_of_schema_2_is_built_again(v2: Path, sim: Sim, name: str) -> None:
    for form in ("html", "md", "json"):
        done = sim("report", name, "--format", form, "--workspace", v2)
        assert (done.returncode, done.stderr) == (0, note(name))
    page = (v2 / "reports" / name / "report.html").read_text()
    assert facts(v2, name)["run_id"] in page


@pytest.mark.parametrize("name", FOLDERS)
def test_a_folder_of_schema_2_is_explained(v2: Path, sim: Sim, name: str) -> None:
    done = sim("explain", name, "--json", "--workspace", v2)
    assert (done.returncode, done.stderr) == (0, note(name))
    last = json.loads((v2 / "reports" / name / "decisions.jsonl").read_text().splitlines()[-1])
    dated = sim("explain", name, last["session"], "--json", "--workspace", v2)
    assert (dated.returncode, dated.stderr) == (0, note(name))
    assert last["as_of"] in dated.stdout


def test_folders_of_schema_2_are_compared(v2: Path, sim: Sim) -> None:
    done = sim("compare", COUNCIL, REPLICATES, "--draws", "50", "--json", "--workspace", v2)
    assert (done.returncode, done.stderr) == (0, note(REPLICATES) + note(COUNCIL))
    assert {"351f7d0465", "bd305c4afe"} <= {run["run_id"] for run in json.loads(done.stdout)["runs"]}


def test_folders_of_schema_2_are_listed(v2: Path, sim: Sim) -> None:
    done = sim("runs", "--json", "--workspace", v2)
    assert (done.returncode, done.stderr) == (0, "")
    assert {name.removesuffix("-partial")[-10:] for name in FOLDERS} <= {r["run_id"] for r in json.loads(done.stdout)}


@pytest.fixture(scope="module")
def repeat(v2: Path) -> Callable[[str], simulator.Run]:
    """``repeat(name)``: the same command by today's code, with nobody to ask."""
    return cache(lambda name: simulator.run(**COMMANDS[name], cache="replay", workspace=v2))


@pytest.mark.parametrize("stage", KEYS)
def test_the_key_of_a_question_is_what_it_was(repeat: Callable[[str], simulator.Run], stage: str) -> None:
    asked = {call["key"]: call["stage"] for call in calls(repeat(UNDECIDED).folder)}
    assert asked.get(KEYS[stage]) == stage.rpartition(" ")[2]


def over_bills(folder: Path, then: Path, copy: Path) -> Path:
    """A copy of `folder` with the risk-free returns of `then`: until a number in `cash_interest` was what excess
    returns subtract, they were those of bills."""
    shutil.copytree(folder, copy)
    rows, old = ([r.split(b",") for r in (one / "equity.csv").read_bytes().split(b"\n")] for one in (folder, then))
    at = rows[0].index(b"risk_free")
    assert {float(row[at]) for row in rows[1:] if len(row) > 1} == {0.0}
    whole = [[*row[:at], *was[at : at + 1], *row[at + 1 :]] for row, was in zip(rows, old, strict=True)]
    (copy / "equity.csv").write_bytes(b"\n".join(b",".join(row) for row in whole))
    return copy


@pytest.mark.parametrize("name", COMMANDS)
def test_the_same_command_asks_nothing_and_gives_the_same_digest(
    v2: Path, repeat: Callable[[str], simulator.Run], name: str, tmp_path: Path
) -> None:
    run = repeat(name)
    assert (run.runtime["asked"], run.runtime["cost_usd"]) == (0, 0.0)
    verify(over_bills(run.folder, v2 / "reports" / name, tmp_path / "copy"), facts(v2, name))
    assert {call["key"] for call in calls(run.folder)} == {call["key"] for call in calls(v2 / "reports" / name)}


def test_a_partial_run_continues_from_its_answers(v2: Path) -> None:
    """Two of three meetings were decided when the money ran out: they are decided the same."""
    run = simulator.run(models="dry", start="2024-05-01", end="2024-05-07", cache="replay", workspace=v2)
    first = [json.loads(line) for line in (v2 / "reports" / PARTIAL / "decisions.jsonl").read_text().splitlines()]
    assert run.records == first[: len(run.records)]
    assert run.runtime["asked"] == 0


def test_the_store_is_upgraded_and_its_tables_are_as_their_events_have_them(own_v2: Path, sim: Sim) -> None:
    for command in ("status", "upgrade"):
        done = sim("db", command, "--workspace", own_v2)
        assert (done.returncode, done.stderr) == (0, "")
    rebuilt = sim("db", "rebuild", "--json", "--workspace", own_v2)
    assert (rebuilt.returncode, rebuilt.stderr) == (0, "")
    answer = json.loads(rebuilt.stdout)
    assert (answer["runs"], answer["differed"]) == (5, {})


@pytest.fixture
def ledger(own_v2: Path) -> Iterator[SharedLedger]:
    """The ledger of today over the file of then. Money counts for a day: its hour is moved to this one."""
    with sqlite3.connect(own_v2 / "llm_cache" / "tally.db") as db:
        db.execute("UPDATE spent SET hour = ?", (int(time.time() // 3600),))
    db.close()
    opened = SharedLedger(own_v2 / "llm_cache")
    yield opened
    opened.close()


def test_what_was_spent_counts_against_the_limit_of_the_day(ledger: SharedLedger) -> None:
    total = sum(PAID.values())
    budget = Budget(100.0, max_usd_per_day=total + 0.02, ledger=ledger)
    held = budget.reserve(0.01)
    assert held is not None
    budget.settle(held, 0.01)
    with pytest.raises(BudgetError, match=rf"\${total + 0.01:.4f} paid today by all runs"):
        budget.reserve(0.02)


@pytest.mark.parametrize("run", PAID)
def test_what_was_spent_counts_against_the_limit_of_the_run(ledger: SharedLedger, run: str) -> None:
    budget = Budget(PAID[run] + 0.02, ledger=ledger, run=run)
    held = budget.reserve(0.01)
    assert held is not None
    budget.release(held)
    with pytest.raises(BudgetError):
        budget.reserve(0.03)


def test_the_cache_verifies(v2: Path, sim: Sim) -> None:
    done = sim("cache", "verify", "--workspace", v2)
    assert done.returncode == 0, done.stdout + done.stderr
