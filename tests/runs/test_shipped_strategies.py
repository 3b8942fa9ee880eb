"""Every shipped strategy carries its expected statistics and digests: examples are golden tests.

`digest` is of everything a run decided, ordered, filled and earned; the shipped cassette has its own in
test_cassette.py. After a change that is meant to change them ``python tests/runs/test_shipped_strategies.py`` writes
them anew.
"""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path
from typing import Any

import pytest

import simulator
from simulator.runs.strategies import available
from simulator.workspace import shipped

pytestmark = pytest.mark.medium

EXPECTED = Path(__file__).with_name("expected.json")

RULE = (["SPY", "QQQ", "GLD"], "2022-01-03", "2024-06-28")
COMMANDS = {
    "sixty_forty": (["SPY", "BIL"], *RULE[1:]),
    "macro_council": (["SPY", "QQQ"], "2024-01-01", None),  # the first command of the README
    "small_council": (["SPY", "QQQ", "GLD"], "2024-01-02", "2024-12-30"),
    "momentum_desk": (["AAPL", "SPY", "QQQ", "NVDA"], "2024-01-02", "2024-12-30"),
}
"""Symbols, first and last session."""

NAMES = ("total_return", "sharpe", "max_drawdown", "turnover", "exposure")


def statistics(strategy: str, workspace: Path) -> dict[str, Any]:
    """Counts, digests and metrics of a run of the shipped strategy on the sample."""
    run = simulator.run(strategy, *COMMANDS.get(strategy, RULE), workspace=workspace)
    orders = (run.folder / "orders.csv").read_bytes()
    return {
        "decisions": len(run.records),
        "orders": len(orders.splitlines()) - 1,
        "orders_sha256": hashlib.sha256(orders).hexdigest(),
        "digest": run.facts["digest"],
        **{name: run.facts["metrics"][name] for name in NAMES},
    }


def test_every_shipped_strategy_has_expected_statistics() -> None:
    assert sorted(json.loads(EXPECTED.read_text())) == list(available(shipped() / "strategies"))


@pytest.mark.parametrize("strategy", available(shipped() / "strategies"))
def test_a_shipped_strategy_does_what_it_did(strategy: str, workspace: Path) -> None:
    expected = json.loads(EXPECTED.read_text())[strategy]
    found = statistics(strategy, workspace)
    for name in NAMES:
        assert found.pop(name) == pytest.approx(expected.pop(name), rel=1e-9), name
    assert found == expected


if __name__ == "__main__":
    import tempfile

    from simulator.workspace import make_workspace

    with tempfile.TemporaryDirectory() as folder:
        make_workspace(Path(folder) / "workspace", git=False)
        table = {s: statistics(s, Path(folder) / "workspace") for s in available(shipped() / "strategies")}
    EXPECTED.write_text(json.dumps(table, indent=1) + "\n")
    sys.stdout.write(f"{EXPECTED.name}: {len(table)} strategies\n")
