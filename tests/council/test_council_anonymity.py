"""Reviewers do not learn whose pitch they read."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from simulator.config import load_config
from simulator.council.anonymity import labels, names_to_strike, strike

ROOT = Path(__file__).parents[2]
SEATS = ("pm.trend", "pm.reversion", "pm.risk", "pm.carry", "pm.breakout")


def review_prompts(gateway) -> list[str]:
    return [
        "\n".join(message.content for message in request.messages)
        for request in gateway.heard
        if request.purpose["stage"] == "review"
    ]


def test_no_seat_account_or_model_is_named_in_any_review_prompt_of_a_year(held, year):
    prompts = review_prompts(held.gateway)
    assert len(prompts) == 20 * len(year.instants)
    config = load_config(ROOT / "config")
    names = {*held.council.setup.seats, *config.accounts.accounts}
    names |= {account.model for account in config.accounts.accounts.values()}
    names |= {seat.model for profile in config.models.profiles.values() for seat in profile.values()}
    assert {"trend", "risk", "chairman", "pm.carry", "CLAUDE", "gpt-5.2-pm"} <= names
    text = "\n".join({line for prompt in prompts for line in prompt.splitlines()})
    found = {name for name in names if re.search(rf"(?<!\w){re.escape(name)}(?!\w)", text, re.IGNORECASE)}
    assert found == set()


def test_a_manager_that_signs_its_pitch_is_still_not_named(convene, year):
    signed = "As Claude of Anthropic in seat pm.trend (gpt-5.2-pm, offline) I like SPY."

    def rule(prompt):
        close = prompt["facts"]["market"]["symbols"]["SPY"]["close"]
        return {
            "instrument": "SPY",
            "direction": "LONG",
            "horizon": "pm.trend's usual",
            "thesis_bullets": [signed, "two", "three"],
            "indicators": ["ChatGPT 5"],
            "conviction": 1,
            "invalidation": "pm.carry says no",
            "stop": close - 5,
            "target": close + 5,
        }

    meeting = convene({"trend/Pitch": rule}).hold([year.snapshot(0)])
    text = "\n".join(review_prompts(meeting.gateway))
    assert "As [name] of [name] in seat [name] ([name], offline) I like SPY." in text
    assert not re.search(r"claude|anthropic|gpt|pm\.", text, re.IGNORECASE)
    pitch = meeting.opinions[0].pitches["pm.trend"]
    assert pitch.thesis_bullets[0] == signed, "the record keeps what was said"


def test_labels_are_shuffled_between_reviewers_and_between_meetings(held):
    orders = [tuple(order.items()) for decision in held.decisions for order in decision.record["labels"].values()]
    of_trend = {tuple(decision.record["labels"]["pm.trend"].values()) for decision in held.decisions}
    assert len(of_trend) > 12, "of 24 possible orders"
    assert len({order[0] for order in orders}) > 4


def test_the_label_in_the_prompt_is_that_of_the_pitch_the_review_is_booked_to(held):
    decision, opinion = held.decisions[0], held.opinions[0]
    asked = [r for r in held.gateway.heard if r.purpose["stage"] == "review"][:20]
    for request in asked:
        facts = json.loads(re.search(r"```json\n(.*?)\n```", request.messages[-1].content, re.DOTALL)[1])
        label = facts["review"]
        seat = decision.record["labels"][request.purpose["seat"]][label]
        assert seat == request.purpose["about"]
        shown, said = facts["pitches"][label], opinion.pitches[seat].model_dump(mode="json")
        assert shown == said
        assert len(facts["pitches"]) == 4


def test_shuffling_the_seats_changes_no_reviewers_scores(convene, held, year, tmp_path):
    folder = shutil.copytree(ROOT / "strategies" / "macro_council", tmp_path / "macro_council")
    spec = yaml.safe_load((folder / "strategy.yaml").read_text())
    for stage in ("research", "pitch"):
        spec["stages"][stage]["seats"] = dict(reversed(spec["stages"][stage]["seats"].items()))
    (folder / "strategy.yaml").write_text(yaml.safe_dump(spec, sort_keys=False))
    snapshots = [year.snapshot(k) for k in range(0, len(year.instants), 10)]
    shuffled = convene(path=folder / "strategy.yaml").hold(snapshots)
    assert shuffled.council.members == tuple(reversed(held.council.members))

    def mapped(opinion):
        return {(said.seat, said.about): (said.value.scores, said.keys) for said in opinion.peer_reviews}

    for opinion, same_date in zip(shuffled.opinions, held.opinions[::10], strict=True):
        assert mapped(opinion) == mapped(same_date)
        assert opinion.chairman_decision == same_date.chairman_decision


@given(st.permutations(SEATS), st.text(max_size=30), st.sampled_from(SEATS))
def test_labels_do_not_depend_on_the_order_in_which_seats_are_given(seats, meeting, reader):
    found = labels(meeting, reader, seats)
    assert found == labels(meeting, reader, SEATS)
    assert sorted(found.values()) == list("ABCDE")


def test_more_than_twenty_six_seats_are_labelled_too():
    found = labels("now", "me", [f"seat{n}" for n in range(60)])
    assert len(set(found.values())) == 60
    assert {"A", "Z", "AA", "BH"} <= set(found.values())


@pytest.mark.parametrize(
    ("text", "struck"),
    [
        ("the trend is up", "the trend is up"),
        ("pm.trend says so", "[name] says so"),
        ("PM.TREND.", "[name]."),
        ("as claude-opus-4.5-chairman would", "as [name] would"),
        ("GPT-4o and ChatGPT agree", "[name] and [name] agree"),
        ("engpt is no model", "engpt is no model"),
    ],
)
def test_names_are_struck_as_whole_words_only(text, struck):
    names = names_to_strike(SEATS, ("trend", "claude-opus-4.5-chairman"))
    assert strike(text, names) == struck
