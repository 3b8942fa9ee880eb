"""A council as it was shipped before questions had an opening asks, word for word, what it asked then: the answers of
older versions are found. tests/data/README.md says where it comes from."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import pytest

import simulator

pytestmark = pytest.mark.medium

OLD = Path(__file__).parents[1] / "data" / "before_openings"
QUESTIONS = 2593
KEYS = "6b8d008fabc1012a821824aea2db9c18af21c2ec2114144c3f08503b3742cd5f"
"""sha256 of the sorted keys of the README's first command, a line each, as the last version before asked it."""


def test_every_question_of_the_year_in_the_readme_has_the_key_it_had(workspace: Path) -> None:
    shutil.copytree(OLD, workspace / "strategies" / "old_council")
    run = simulator.run("old_council", ["SPY", "QQQ"], "2024-01-01", workspace=workspace)
    keys = sorted(json.loads(line)["key"] for line in (run.folder / "llm_calls.jsonl").read_text().splitlines())
    assert len(keys) == QUESTIONS
    assert hashlib.sha256("\n".join(keys).encode()).hexdigest() == KEYS
    shipped = simulator.run("macro_council", ["SPY", "QQQ"], "2024-01-01", workspace=workspace)
    assert (run.folder / "orders.csv").read_bytes() == (shipped.folder / "orders.csv").read_bytes()
    assert (run.folder / "equity.csv").read_bytes() == (shipped.folder / "equity.csv").read_bytes()
