"""A run folder is read whole and typed, whatever version wrote it, or refused in one line."""

from __future__ import annotations

import csv
import json
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from simulator.council.records import council_record
from simulator.errors import DataError
from simulator.evidence.reader import read, read_books, read_run, read_runtime
from simulator.evidence.rows import as_row, decided_by, trip_profits
from simulator.evidence.verify import verify

RULE = "sma_cross-2023-07-03-2024-06-28-dd13e11192"
COUNCIL = "macro_council-2024-01-02-2024-02-02-351f7d0465"
PARTIAL = "macro_council-2024-05-01-2024-05-17-2576f36a79-partial"


@pytest.fixture
def council(v2_runs: Path, tmp_path: Path) -> Path:
    """A run of a council, to be damaged."""
    return Path(shutil.copytree(v2_runs / COUNCIL, tmp_path / "run"))


def change(folder: Path, **changed: Any) -> Path:
    """Write run.json with other values; a key whose value is ``...`` is taken away."""
    path = folder / "run.json"
    facts = {**json.loads(path.read_text(encoding="utf-8")), **changed}
    kept = {key: value for key, value in facts.items() if value is not ...}
    path.write_text(json.dumps(kept), encoding="utf-8")
    return folder


def test_every_run_of_version_2_is_read_and_has_the_digest_it_tells_of(v2_runs: Path) -> None:
    folders = sorted(v2_runs.iterdir())
    assert len(folders) == 5
    for folder in folders:
        evidence, facts = read(folder), json.loads((folder / "run.json").read_text(encoding="utf-8"))
        assert evidence.run["schema"] == 2
        assert {key: evidence.run[key] for key in facts if key not in ("inference", "reasons")} == {  # type: ignore[literal-required]
            key: value for key, value in facts.items() if key not in ("inference", "reasons")
        }
        verify(folder, evidence.run)


def test_what_trials_json_knows_joins_the_inference(v2_runs: Path) -> None:
    trials = json.loads((v2_runs / RULE / "trials.json").read_text(encoding="utf-8"))
    assert read_run(v2_runs / RULE)["inference"]["trials"] == trials["inference"]["trials"]


def test_a_partial_run_tells_how_far_it_was_to_go(v2_runs: Path) -> None:
    run = read_run(v2_runs / PARTIAL)
    assert run["partial"]
    assert run["stopped"]["to"] == "2024-05-17"


@pytest.mark.parametrize("name", [RULE, COUNCIL])
def test_rows_are_read_as_they_were_written(v2_runs: Path, name: str) -> None:
    books = read_books(v2_runs / name, read_run(v2_runs / name))
    for file, rows in (("orders", books.orders), ("fills", books.fills), ("rejected", books.rejected)):
        with (v2_runs / name / f"{file}.csv").open(encoding="utf-8", newline="") as lines:
            written = list(csv.DictReader(lines))
        assert [{k: "" if v is None else str(v) for k, v in as_row(row).items()} for row in rows] == written
    assert all(str(fill.session) == as_row(fill)["session"] for fill in books.fills)


def test_a_fill_leads_to_the_decision_that_ordered_it(v2_runs: Path) -> None:
    books = read_books(v2_runs / RULE, read_run(v2_runs / RULE))
    behind = decided_by(books.decisions, books.orders)
    for order in books.orders:
        assert books.decisions[behind[order.id]]["as_of"] == as_row(order)["submitted_at"]


def test_round_trips_earn_what_the_metrics_say(v2_runs: Path) -> None:
    evidence = read(v2_runs / RULE)
    trips, metrics = trip_profits(evidence.fills), evidence.run["metrics"]
    assert len(trips) == metrics["trades"]
    assert trips[trips > 0].sum() == pytest.approx(metrics["gross_profit"])


def test_records_of_a_council_are_typed_by_their_kind(v2_runs: Path) -> None:
    run = read_run(v2_runs / COUNCIL)
    member = read_books(v2_runs / COUNCIL, run, "CHATGPT")
    kinds = {record["kind"] for row in member.decisions if (record := council_record(row["record"])) is not None}
    assert kinds == {"member", "member_checkpoint"}


def test_members_of_version_1_are_accounts_and_so_is_their_council(council: Path) -> None:
    facts = json.loads((council / "run.json").read_text(encoding="utf-8"))
    members = [{"name": "CHATGPT", "metrics": facts["metrics"]}]
    path = council / "equity.csv"
    path.write_text(path.read_text(encoding="utf-8").replace("account:", "member:"), encoding="utf-8")
    missing = dict.fromkeys(("schema", "accounts", "account", "llm", "contamination", "shortfalls"), ...)
    evidence = read(change(council, members=members, **missing))
    assert evidence.run["schema"] == 1
    assert [account["name"] for account in evidence.run["accounts"]] == ["CHATGPT", "COUNCIL"]
    assert evidence.run["llm"]["models"] == []
    assert evidence.run["contamination"] is None
    assert np.array_equal(evidence.accounts["COUNCIL"], evidence.equity["equity"])
    assert "CHATGPT" in evidence.accounts


@pytest.mark.parametrize(
    ("changed", "found"),
    [
        ({"sessions": "many"}, "\"sessions\" holds 'many'"),
        ({"digest": ...}, 'has no key "digest"'),
        ({"schema": 4}, "is of version 4, this program reads up to 3"),
        ({"schema": 3, "packages": ...}, 'has no key "packages"'),
        ({"accounts": [{"name": "A", "metrics": 3}]}, "\"accounts[0].metrics\" holds '3'"),
        ({"llm": {"models": [True]}}, "\"llm.models[0]\" holds 'True'"),
    ],
)
def test_wrong_content_of_run_json_is_named_by_its_key(council: Path, changed: dict[str, Any], found: str) -> None:
    with pytest.raises(DataError, match=re.escape(f"run.json: {found}; type the same `sim run` again")):
        read(change(council, **changed))


@pytest.mark.parametrize(
    ("name", "old", "new", "found"),
    [
        (
            "decisions.jsonl",
            '"indicators":',
            '"indicators":1,"y":',
            r'decisions.jsonl:1: "record\.pitches\[0\]\.answer\.ind',
        ),
        ("decisions.jsonl", r'^\{"as_of"', '{"at"', r'decisions.jsonl:1: has no key "as_of"'),
        ("fills.csv", r"^0,SPY,2024", "0,SPY,20x4", r'fills.csv:2: at was "20x4.*", not a time'),
        ("llm_calls.jsonl", '"cost_usd":', '"dollars":', r'llm_calls.jsonl:1: has no key "cost_usd"'),
    ],
)
def test_wrong_content_is_named_by_line_and_key(council: Path, name: str, old: str, new: str, found: str) -> None:
    path = change(council, schema=3) / name
    before = path.read_text(encoding="utf-8")
    after = re.sub(old, new, before, count=1, flags=re.M)
    assert after != before
    path.write_text(after, encoding="utf-8")
    with pytest.raises(DataError, match=f"{found}.*`sim run --strategy macro_council .*` writes it again"):
        read(council)


def test_a_wrong_runtime_keeps_no_evidence_from_its_reader(council: Path) -> None:
    path = change(council, schema=3) / "runtime.json"
    path.write_text(path.read_text(encoding="utf-8").replace('"asked": ', '"asked": "x", "y": '), encoding="utf-8")
    with pytest.raises(DataError, match=r"holds 'x'.*`sim run --strategy macro_council .*` writes it again"):
        read_runtime(council, read_run(council))
    assert read(council).runtime is None


def test_a_result_that_was_touched_is_not_the_one_of_its_digest(council: Path) -> None:
    verify(council, read_run(council))
    path = council / "accounts" / "CHATGPT" / "orders.csv"
    path.write_bytes(path.read_bytes() + b"\n")
    with pytest.raises(DataError, match="holds another result"):
        verify(council, read_run(council))
    path.unlink()
    with pytest.raises(DataError, match="holds another result"):
        verify(council, read_run(council))
    (council / "fills.csv").unlink()
    with pytest.raises(DataError, match=r"fills\.csv: cannot be read"):
        verify(council, read_run(council))
