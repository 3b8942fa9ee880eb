"""Profiles of config/models.yaml: models have names, seats refer to them, mistakes are named with their line."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from simulator.config import Accounts, Models, load_config, read_yaml
from simulator.errors import ConfigError
from simulator.llm.registry import seat_of, seats

ROOT = Path(__file__).parents[2]

COUNCIL = ("research.1", "research.2", "pm.trend", "pm.reversion", "pm.risk", "pm.carry", "pm.breakout", "chairman")


@pytest.fixture(scope="module")
def shipped() -> Models:
    return load_config(ROOT / "config").models


def written(folder: Path, text: str) -> Path:
    path = folder / "models.yaml"
    path.write_text(text)
    return path


def test_without_a_word_nobody_is_asked_for_money(shipped: Models) -> None:
    assert shipped.default == "offline"
    assert {seat.provider for seat in seats(shipped).values()} == {"offline"}


@pytest.mark.parametrize("profile", ["offline", "requesty", "local", "claude_code"])
def test_every_shipped_profile_seats_the_whole_council(shipped: Models, profile: str) -> None:
    taken = seats(shipped, profile)
    assert all(seat_of(taken, name).model for name in COUNCIL)


def test_the_requesty_profile_seats_the_models_of_the_accounts(shipped: Models) -> None:
    taken, named = seats(shipped, "requesty"), shipped.models
    for account in load_config(ROOT / "config").accounts.accounts.values():
        assert taken[account.role] == named[account.model]
    assert taken["pm.trend"].model == "openai/gpt-5.2-preview"
    assert taken["pm.reversion"].model == "google/gemini-3-pro"
    for name in ("gpt-5.2-pm", "gemini-3-pro-pm", "grok-4.1-pm", "claude-sonnet-4.5-pm", "deepseek-v3-pm"):
        assert (named[name].max_tokens, named[name].temperature) == (4000, 0.7)
        assert named[name].endpoint == "https://router.requesty.ai/v1"


def test_a_seat_takes_a_named_model_with_changes(tmp_path: Path) -> None:
    text = """
models:
  big: {provider: openai_compatible, endpoint: "http://127.0.0.1:1/v1", model: big-1, max_tokens: 4000}
profiles:
  mine:
    chairman: {use: big, max_tokens: 100}
    "*": big
"""
    taken = seats(read_yaml(written(tmp_path, text), Models), "mine")
    assert taken["chairman"] == taken["*"].model_copy(update={"max_tokens": 100})


@pytest.mark.parametrize(
    ("seat", "message"),
    [
        ("bigg", r'models\.yaml:4: profiles\.a\.x was \'bigg\': is no model, did you mean "big"\?'),
        ("{use: small}", r"models\.yaml:4: profiles\.a\.x was 'small': is no model"),
        ("{use: big, temprature: 1}", r'models\.yaml:4: unknown key .*did you mean "temperature"\?'),
        ("3", r"models\.yaml:4: profiles\.a\.x was 3"),
    ],
)
def test_a_wrong_seat_is_named_with_its_line(tmp_path: Path, seat: str, message: str) -> None:
    text = f"models:\n  big: {{provider: offline, model: trend}}\nprofiles:\n  a: {{x: {seat}}}\n"
    assert yaml.safe_load(text)
    with pytest.raises(ConfigError, match=message):
        read_yaml(written(tmp_path, text), Models)


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ("role: pm.carry", "role: pm.trend", "is the role of CHATGPT already"),
        ("  GROQ:", "  ../GROQ:", "String should match pattern"),
        ("  GROQ:", "  GEMINI:", '"GEMINI" stands there twice'),
        ("cash: 100000", "cash: .inf", "cash was inf"),
    ],
)
def test_what_accounts_cannot_be_is_named_with_its_line(tmp_path: Path, old: str, new: str, complaint: str) -> None:
    text = (ROOT / "config" / "accounts.yaml").read_text()
    assert old in text
    path = tmp_path / "accounts.yaml"
    path.write_text(text.replace(old, new))
    line = max(n for n, said in enumerate(path.read_text().splitlines(), 1) if new in said)
    with pytest.raises(ConfigError, match=complaint) as caught:
        read_yaml(path, Accounts)
    assert str(caught.value).startswith(f"{path}:{line}: ")
