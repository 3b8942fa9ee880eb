"""Reviewers do not learn whose pitch they read."""

from __future__ import annotations

import re
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from simulator.config import load_config
from simulator.council import analysts
from simulator.council.anonymity import labels, names_to_strike, strike
from simulator.council.strategy import Council
from simulator.llm.providers.offline import facts_of

ROOT = Path(__file__).parents[2]
SEATS = ("pm.trend", "pm.reversion", "pm.risk", "pm.carry", "pm.breakout")


def review_prompts(gateway) -> list[str]:
    return [
        "\n".join(message.content for message in request.messages)
        for request in gateway.heard
        if request.purpose["stage"] == "review"
    ]


@pytest.mark.medium
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


SIGNATURES = {
    "trend": "I, ChatGPT (account CHATGPT, model gpt-5.2-pm) in seat pm.trend, say so.",
    "reversion": "GEMINI here, running gemini-3-pro-pm for pm.reversion.",
    "risk": "CLAUDE (claude-sonnet-4.5-pm) of Anthropic, pm.risk.",
    "carry": "GROQ with grok-4.1-pm at pm.carry.",
    "breakout": "DEEPSEEK, deepseek-v3-pm, pm.breakout; the chairman is COUNCIL on claude-opus-4.5-chairman.",
}
TELLING = re.compile(
    r"(?<!\w)(?:chatgpt|gpt|gemini|claude|anthropic|opus|sonnet|groq|grok|deepseek|openai|offline|pm\.\w+|research\.\d)"
    r"|(?<!\w)COUNCIL(?!\w)",
    re.IGNORECASE,
)
COUNCIL_AS_A_WORD = re.compile(r"(?<!\w)[Cc]ouncil(?!\w)")


def signing(name):
    """The analyst's own answer with its name, account and model in every sentence of it."""

    def pitched(prompt):
        answer = analysts.pitch(analysts.LENSES[name], prompt)
        signed = [f"{SIGNATURES[name]} {bullet}" for bullet in answer["thesis_bullets"]]
        return answer | {"thesis_bullets": signed, "horizon": SIGNATURES[name], "invalidation": SIGNATURES[name]}

    def reviewed(prompt):
        answer = analysts.review(analysts.LENSES[name], prompt)
        return answer | {"kill_shot": SIGNATURES[name], "flip_condition": SIGNATURES[name]}

    return {f"{name}/Pitch": pitched, f"{name}/Review": reviewed}


@pytest.mark.medium
def test_a_year_of_members_who_sign_everything_leaves_no_name_in_any_review(convene, year):
    rules = {key: rule for name in SIGNATURES for key, rule in signing(name).items()}
    meetings = convene(rules)
    minutes = meetings.follow(year.points)
    signed = [said for one in minutes if one["kind"] == "council" for said in one["pitches"]]
    assert all(SIGNATURES[said["seat"][3:]] in said["answer"]["thesis_bullets"][0] for said in signed)
    read = [
        "\n".join(message.content for message in request.messages)
        for request in meetings.gateway.heard
        if request.purpose["stage"] == "review" or request.purpose["seat"] == "chairman"
    ]
    assert len(read) > 21 * len(year.instants), "every review, every ruling, and the chairman's checkpoints"
    lines = {COUNCIL_AS_A_WORD.sub("", line) for prompt in read for line in prompt.splitlines()}
    assert {found[0] for line in lines if (found := TELLING.search(line))} == set()


def test_an_account_of_ones_own_is_struck_out_as_it_is_spelt(convene, year):
    def rule(prompt):
        return analysts.pitch(analysts.trend, prompt) | {"invalidation": "ZEPHYR sold; a zephyr is a wind"}

    meetings = convene({"trend/Pitch": rule})
    council = meetings.council
    named = Council(council.definition, council.seats, meetings.gateway, accounts=("COUNCIL", "ZEPHYR"))
    replace(meetings, council=named).hold([year.snapshot(0)])
    text = "\n".join(review_prompts(meetings.gateway))
    assert "[name] sold; a zephyr is a wind" in text
    assert "ZEPHYR" not in text


def test_labels_are_shuffled_between_reviewers_and_between_meetings(held):
    orders = [tuple(order.items()) for decision in held.decisions for order in decision.record["labels"].values()]
    of_trend = {tuple(decision.record["labels"]["pm.trend"].values()) for decision in held.decisions}
    assert len(of_trend) > 12, "of 24 possible orders"
    assert len({order[0] for order in orders}) > 4


def test_the_label_in_the_prompt_is_that_of_the_pitch_the_review_is_booked_to(held):
    decision, opinion = held.decisions[0], held.opinions[0]
    asked = [r for r in held.gateway.heard if r.purpose["stage"] == "review"][:20]
    for request in asked:
        facts = facts_of(request)
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


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.permutations(SEATS), st.permutations(("research.1", "research.2")), st.integers(0, 52))
def test_in_whatever_order_seats_stand_every_reviewer_scores_every_seat_the_same(
    convene, held, year, tmp_path, managers, researchers, k
):
    folder = tmp_path / "macro_council"
    shutil.copytree(ROOT / "strategies" / "macro_council", folder, dirs_exist_ok=True)
    spec = yaml.safe_load((ROOT / "strategies" / "macro_council" / "strategy.yaml").read_text())
    for stage, order in (("pitch", managers), ("research", researchers)):
        seats = spec["stages"][stage]["seats"]
        spec["stages"][stage]["seats"] = {seat: seats[seat] for seat in order}
    (folder / "strategy.yaml").write_text(yaml.safe_dump(spec, sort_keys=False))
    (opinion,) = convene(path=folder / "strategy.yaml").hold([year.snapshot(k)]).opinions

    def mapped(opinion):
        return {(said.seat, said.about): (said.value.scores, said.keys) for said in opinion.peer_reviews}

    assert mapped(opinion) == mapped(held.opinions[k])


@pytest.mark.medium
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
