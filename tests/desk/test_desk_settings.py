"""Settings of a desk that cannot be meant: refused in one line that says where, not taken in silence."""

from __future__ import annotations

from datetime import time
from pathlib import Path

import pytest
from click.testing import CliRunner

from simulator.cli import sim as command
from simulator.desk.spec import load_definition
from simulator.errors import ConfigError, SimError
from simulator.workspace import make_workspace


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("settings") / "house"
    make_workspace(folder, git=False)
    return folder


def load_with(house: Path, key: str, value: str) -> object:
    """Load the desk of `house` with one key of config/desk.yaml written as `value`."""
    rules = house / "config" / "desk.yaml"
    shipped = rules.read_text()
    lines = [f"{line.partition(key)[0]}{key}: {value}" if line.strip().startswith(f"{key}:") else line
             for line in shipped.splitlines()]  # fmt: skip
    try:
        rules.write_text("\n".join(lines) + "\n")
        return load_definition(house / "strategies" / "momentum_desk" / "strategy.yaml", house / "config").house
    finally:
        rules.write_text(shipped)


@pytest.mark.parametrize(
    ("key", "value", "told"),
    [
        ("pre_market", '"11:00"', "pre_market at 11:00 is not before open at 09:30"),
        ("pre_market", '"09:30"', "pre_market at 09:30 is not before open at 09:30"),
        ("review", '"09:00"', "monitor at 14:00 is not before review at 09:00"),
        ("week", '"03:00"', "review at 16:00 is not before week at 03:00"),
        ("monitor", '["08:00"]', "open at 09:30 is not before monitor at 08:00"),
        ("monitor", '["10:00", "10:00"]', "stands there twice"),
        ("monitor", "[10]", 'was 10: give a New York time as "09:30"'),
        ("open", "930", 'was 930: give a New York time as "09:30"'),
        ("open", '"09:30+02:00"', 'give a New York time as "09:30"'),
        ("open", "true", 'give a New York time as "09:30"'),
        ("alternatives", "[buy_and_hodl]", '"buy_and_hodl" is no rule of strategies/, did you mean "buy_and_hold"?'),
        ("alternatives", "[momentum_desk]", '"momentum_desk" is no rule'),
        ("alternatives", '[""]', '"" is no rule'),
        ("alternatives", "[sma_cross, sma_cross]", "sma_cross stands there twice"),
    ],
)  # fmt: skip
def test_a_schedule_or_a_name_that_cannot_be_meant_is_refused(house: Path, key: str, value: str, told: str) -> None:
    with pytest.raises(ConfigError) as refused:
        load_with(house, key, value)
    assert told in str(refused.value)
    assert "desk.yaml" in str(refused.value)


def test_points_are_switched_off_by_one_word(house: Path) -> None:
    for key in ("pre_market", "open", "monitor", "review", "week"):
        times = load_with(house, key, "off").schedule  # type: ignore[attr-defined]
        assert not getattr(times, key)
        assert times.review in (time(16), None)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("desk", "screen", "--symbols", ",,"), "name at least one symbol"),
        (("mcp", "market", "--symbols", ""), "name at least one symbol"),
        (("run", "--strategy", "momentum_desk", "--set", "benchmark=NOPE", "--plan"), 'the benchmark "NOPE"'),
        (("run", "--set", "schedule.decision_time=800", "--plan"), "New York time"),
    ],
)
def test_what_names_nothing_is_refused(house: Path, words: tuple[str, ...], told: str) -> None:
    done = CliRunner().invoke(command, ["--workspace", str(house), *words])
    assert done.exit_code
    assert told in f"{done.output} {done.exception}"
    assert isinstance(done.exception, SimError | SystemExit)
