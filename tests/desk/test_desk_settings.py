"""Settings of a desk that cannot be meant: refused in one line that says where, not taken in silence."""

from __future__ import annotations

import json
from datetime import date, time
from pathlib import Path

import pytest
from click.testing import CliRunner

from simulator.api import simulate
from simulator.cli import sim as command
from simulator.desk.spec import load_definition
from simulator.errors import ConfigError, SimError, UsageError
from simulator.runs.spec import RunSpec
from simulator.workspace import Workspace, make_workspace

DESK = ("--strategy", "momentum_desk", "--symbols", "AAPL,NVDA")


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
        ("open", '"03:00"', "open at 03:00 is not within the session, 09:30 to 15:59"),
        ("open", '"10:30"', "open at 10:30 is not before monitor at 10:00"),
        ("review", '"15:00"', "review at 15:00 is not from the close at 16:00 on"),
        ("review", '"16:30"', "review at 16:30 is not before week at 16:05"),
        ("week", '"03:00"', "week at 03:00 is not from the close at 16:00 on"),
        ("monitor", '["08:00"]', "monitor at 08:00 is not within the session"),
        ("monitor", '["16:00"]', "monitor at 16:00 is not within the session"),
        ("monitor", "10", 'was 10: give a list, as ["one", "two"]'),
        ("alternatives", "sma_cross", "was 'sma_cross': give a list, as"),
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


@pytest.mark.parametrize(
    ("parameter", "value", "told"),
    [
        ("exits.near", 5, "exits: near 5 is not below second 2.5"),
        ("exits.near", 101, "exits.near was 101: give 100 at most"),
        ("exits.first", 3, "exits: first 3 is not below second 2.5"),
        ("exits.trailing_atr", 1e300, "give 100 at most"),
        ("exits.gap_atr", -1, "give 0 or more"),
        ("filters.volume", 1e300, "give 1,000,000,000,000 at most"),
        ("filters.atr_fraction", 1, "give less than 1"),
        ("caps.risk", 0, "give more than 0"),
        ("caps.position", "much", "caps.position was 'much': give a number"),
        ("caps.entries_a_day", 1.5, "give a whole number"),
        ("caps.resting_sessions", 100_000, "give 1,000 at most"),
        ("analysed", 0, "give 1 or more"),
        ("agents", "maybe", "give true or false"),
        ("benchmark", "", "benchmark was ''"),
        ("schedule.monitor", "10:00", "schedule.monitor was '10:00': give a list, as"),
        ("schedule", [1], "schedule was [1]: give keys and values, as {key: value}"),
        ("schedule.open", "03:00", "open at 03:00 is not within the session"),
    ],
)
def test_a_parameter_that_cannot_be_meant_is_refused(house: Path, parameter: str, value: object, told: str) -> None:
    desk = house / "strategies" / "momentum_desk" / "strategy.yaml"
    with pytest.raises(UsageError) as refused:
        load_definition(desk, house / "config", {parameter: value})
    assert told in str(refused.value)
    assert "Input should" not in str(refused.value)


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
        (("run", "--strategy", "momentum_desk", "--set", "benchmark=VIX", "--plan"), "the benchmark VIX has no volume"),
        (("rehearse", *DESK, "--from", "2024-06-03", "--set", "benchmark=NOPE"), 'no bars of the benchmark "NOPE"'),
        (("forward", "start", *DESK, "--set", "benchmark=NOPE"), 'no bars of the benchmark "NOPE"'),
        (("sweep", *DESK, "--set", "benchmark=SPY,NOPE", "--plan"), 'no bars of the benchmark "NOPE"'),
        (("sweep", *DESK, "--set", "benchmark=SPY,NOPE", "--set", "agents=false"), 'no bars of the benchmark "NOPE"'),
        (("run", "--set", "schedule.decision_time=800", "--plan"), "New York time"),
        (("run", "--set", 'schedule.checkpoints=["12:00", "17:00"]', "--plan"), "17:00 is not before the close"),
        (("desk", "screen", "--as-of", "2024-03-10T02:30"), "02:30, which does not come in New York"),
        (("desk", "screen", "--as-of", "2024-11-03T01:30"), "say 2024-11-03T01:30-04:00 or 2024-11-03T01:30-05:00"),
    ],
)
def test_what_names_nothing_is_refused(house: Path, words: tuple[str, ...], told: str) -> None:
    done = CliRunner().invoke(command, ["--workspace", str(house), *words])
    assert done.exit_code
    assert told in f"{done.output} {done.exception}"
    assert isinstance(done.exception, SimError | SystemExit)
    assert not (house / "reports").exists() or not [*(house / "reports").iterdir()], "before any work"


def test_strength_is_measured_against_a_benchmark_that_is_not_traded(tmp_path: Path) -> None:
    make_workspace(tmp_path / "w", git=False)
    place, days = Workspace(tmp_path / "w", tmp_path / "w"), (date(2024, 2, 1), date(2024, 2, 9))

    def analyses(*symbols: str) -> list[dict[str, object]]:
        parameters = {"agents": False, "filters.rsi_high": 100}
        run = simulate(RunSpec("momentum_desk", symbols, *days, parameters=parameters), place)
        rows = [json.loads(line) for line in (run.folder / "decisions.jsonl").read_text().splitlines()]
        found = [row["record"]["analyses"] for row in rows if row["record"]["point"] == "pre-market"]
        assert ("SPY" in run.facts["context"]) == ("SPY" not in symbols)
        return [one for day in found for one in day if one["symbol"] == "NVDA"]

    alone = analyses("NVDA")
    assert alone == analyses("NVDA", "SPY")
    assert len(alone) == 7
