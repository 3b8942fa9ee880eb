"""Questions of a meeting begin alike: one system message, the facts, and then what differs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from simulator.council.facts import listed_facts, market_facts
from simulator.council.spec import load_definition
from simulator.errors import ConfigError
from simulator.llm.providers.offline import facts_of

from .conftest import ROOT

SHIPPED = ROOT / "strategies" / "macro_council"


def beginning(texts):
    """The longest beginning that all `texts` share."""
    alike = next(n for n, letters in enumerate(zip(*texts, strict=False)) if len(set(letters)) > 1)
    return texts[0][:alike]


@pytest.fixture(scope="module")
def first(convene, year):
    """The first meeting of the year."""
    return convene().hold([year.snapshot(0)])


@pytest.mark.medium
def test_the_system_message_is_the_same_for_everybody_at_every_meeting(followed):
    assert len({request.messages[0].content for request in followed[0].gateway.heard}) == 1


def test_all_questions_of_a_meeting_share_the_facts_of_the_market(first):
    asked = first.gateway.heard
    assert len(asked) == 28
    texts = [request.messages[1].content for request in asked]
    opening = texts[0][: asked[0].messages[1].shared[0]]
    assert opening.count("```json") == 1
    assert all(text.startswith(opening) for text in texts)
    assert {request.messages[1].shared[0] for request in asked} == {len(opening)}
    market = json.loads(opening.partition("```json\n")[2].partition("\n```")[0])["market"]
    assert market == first.opinions[0].facts


def test_a_stage_is_the_same_up_to_who_is_asked(first):
    asked = [request for request in first.gateway.heard if request.purpose["stage"] == "pitch"]
    texts = [request.messages[1].content for request in asked]
    alike = beginning(texts)
    assert {request.messages[1].shared[-1] for request in asked} == {len(alike)}
    assert "## Who you are" in alike
    assert "portfolio manager" in texts[0][len(alike) - 30 :]


def test_a_reviewer_is_asked_about_the_same_pitches_up_to_the_last_line(first):
    asked = [request for request in first.gateway.heard if request.purpose["stage"] == "review"]
    own = [request.messages[1].content for request in asked if request.purpose["seat"] == "pm.trend"]
    assert len(own) == 4
    assert max(len(text) - len(beginning(own)) for text in own) < 60


def test_rules_are_handed_the_same_facts_as_ever(first):
    """Blocks of facts are put together again, whatever order they stand in."""
    by_stage = {request.purpose["stage"]: facts_of(request) for request in first.gateway.heard}
    assert set(by_stage["research"]) == {"market"}
    assert set(by_stage["pitch"]) == {"market", "research"}
    assert set(by_stage["review"]) == {"market", "pitches", "review"}
    assert set(by_stage["chairman"]) == {"market", "max_trades", "net_votes", "pitches", "reviews", "sizes"}


def test_each_symbol_has_its_strongest_correlations_and_that_with_the_benchmark(wide_year):
    snapshot = wide_year.snapshot(30)
    pairs = market_facts(snapshot)["correlations"]
    facts = listed_facts(snapshot, snapshot.symbols, "BIL", "VIX", "SPY", 2)
    kept = facts["correlations"]
    assert len(kept) <= 2 * len(snapshot.symbols) < len(pairs)
    assert kept == {pair: correlation for pair, correlation in pairs.items() if pair in kept}
    for symbol in snapshot.symbols:
        own = sorted((abs(r) for pair, r in pairs.items() if symbol in pair.split("/")), reverse=True)
        shown = [abs(r) for pair, r in kept.items() if symbol in pair.split("/")]
        assert sorted(shown, reverse=True)[:2] == own[:2]
    beside = {symbol: known["benchmark_correlation_63"] for symbol, known in facts["symbols"].items()}
    assert beside["SPY"] == 1.0
    assert beside["QQQ"] == pairs["SPY/QQQ"]
    plain = market_facts(snapshot)["symbols"]["QQQ"]
    assert {**facts["symbols"]["QQQ"]} == {**plain, "benchmark_correlation_63": pairs["SPY/QQQ"]}


def test_a_benchmark_nobody_knows_is_left_out(wide_year):
    snapshot = wide_year.snapshot(30)
    facts = listed_facts(snapshot, ("QQQ", "GLD"), "BIL", "VIX", "ACWI", 3)
    assert list(facts["symbols"]) == ["QQQ", "GLD"]
    assert "benchmark_correlation_63" not in facts["symbols"]["QQQ"]


@pytest.mark.parametrize(
    ("file", "old", "new", "said"),
    [
        ("pitch.md", "{{ persona }}", "", "does not show its persona"),
        ("research.md", "{{ persona }}", "{{ persona }} {{ facts }}", 'unknown variable "facts"'),
        ("council.md", "{{ max_trades }}", "{{ symbols }}", 'unknown variable "symbols"'),
        ("facts.md", "{{ facts }}", "", "does not show its facts"),
        ("chairman.md", "{{ facts }}", "", "does not show its facts"),
    ],
)
def test_prompts_of_a_council_with_an_opening_are_checked(
    tmp_path: Path, file: str, old: str, new: str, said: str
) -> None:
    for path in [SHIPPED / "strategy.yaml", *(SHIPPED / "prompts").iterdir()]:
        place = tmp_path / path.relative_to(SHIPPED)
        place.parent.mkdir(exist_ok=True)
        place.write_text(path.read_text())
    prompt = tmp_path / "prompts" / file
    assert old in prompt.read_text()
    prompt.write_text(prompt.read_text().replace(old, new))
    with pytest.raises(ConfigError, match=said):
        load_definition(tmp_path / "strategy.yaml")
