"""What docs/models.md tells people to write is what the program reads."""

from __future__ import annotations

import re
from pathlib import Path

import yaml

from simulator.config import Models, Seat
from simulator.llm.fake_service.__main__ import parse_options
from simulator.llm.providers.openai_compatible import KEY_NAMES
from simulator.llm.spending.limits import KNOWN, LOCAL, PATIENCE, REMOTE

PAGE = (Path(__file__).parents[2] / "docs" / "models.md").read_text(encoding="utf-8")


def test_its_yaml_is_valid_config() -> None:
    blocks = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
    models = Models.model_validate(yaml.safe_load("\n".join(blocks)))
    assert models.profiles["mine"]["chairman"].temperature == 0.2
    assert models.max_usd_per_day == 20


def test_its_commands_and_defaults_are_those_of_the_program() -> None:
    (words,) = re.findall(r"python -m simulator\.llm\.fake_service (.*)", PAGE)
    assert parse_options(words.split()).rules == "simulator.council.analysts:RULES"
    assert f"| questions in flight per endpoint | {REMOTE.concurrency}; {LOCAL.concurrency} on this machine" in PAGE
    assert f"| calls per hour | {KNOWN['claude_code'].calls_per_hour} for `claude_code`" in PAGE
    assert f"| dollars per UTC day, all runs of the workspace | {Models(profiles={}).max_usd_per_day:g} |" in PAGE
    assert PATIENCE == 120
    assert f"| seconds one attempt may take, {Seat(provider='x', model='m').timeout_s:g} |" in PAGE
    assert all(name in PAGE for name in KEY_NAMES.values())
