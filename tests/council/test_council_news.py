"""Dated news: what a file may say, and from when on it is known."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator.council.facts import market_facts, select_facts
from simulator.errors import DataError
from simulator.market.news import News, load_news

HEADER = "published_at,headline,symbols,source\n"


@pytest.fixture
def folder(tmp_path):
    def write(**files):
        for name, text in files.items():
            (tmp_path / name.replace("_", ".")).write_text(text, encoding="utf-8")
        return tmp_path

    return write


def test_headlines_of_csv_and_jsonl_files_are_read_in_order_of_time(folder):
    found = load_news(
        folder(
            a_csv=HEADER + '2024-01-03T09:00:00-05:00,"Rates, again",spy qqq,Wire\n2024-01-02T09:00:00-05:00,First,,\n',
            b_jsonl='{"published_at": "2024-01-02T15:00:00+00:00", "headline": "Between", "symbols": ["GLD"]}\n\n',
        )
    )
    assert [one.headline for one in found] == ["First", "Between", "Rates, again"]
    assert found[2] == News(found[2].published_at, "Rates, again", ("QQQ", "SPY"), "Wire")
    assert (found[0].symbols, found[1].symbols) == ((), ("GLD",))


def test_without_a_folder_there_is_no_news(tmp_path):
    assert load_news(tmp_path / "news") == ()


@pytest.mark.parametrize(
    ("name", "text", "line", "complaint"),
    [
        ("a_csv", "at,headline\n", 1, 'unknown column "at"'),
        ("a_csv", "published_at,headline,symbol\n", 1, 'did you mean "symbols"'),
        ("a_csv", "published_at,symbols\n", 1, 'column "headline" is missing'),
        ("a_csv", "published_at,headline,headline\n", 1, "twice"),
        ("a_csv", HEADER + "2024-01-02T09:00:00,Late,,\n", 2, "has no offset"),
        ("a_csv", HEADER + "yesterday,Late,,\n", 2, 'published_at was "yesterday"'),
        ("a_csv", HEADER + "2024-01-02T09:00:00-05:00, ,,\n", 2, "headline is empty"),
        ("a_csv", HEADER + "2024-01-02T09:00:00-05:00,Late\n", 2, "has 2 columns, the header has 4"),
        ("a_csv", "", 1, 'column "published_at" is missing'),
        ("a_jsonl", "{\n", 1, "is no JSON"),
        ("a_jsonl", "\n[1]\n", 2, "is no JSON object"),
        ("a_jsonl", '{"published_at": 5, "headline": "x"}\n', 1, 'published_at was "5"'),
        ("a_jsonl", '{"published_at": "2024-01-02T09:00:00Z", "headline": "x", "symbols": [1]}\n', 1, "symbols was"),
        ("a_jsonl", '{"published_at": "2024-01-02T09:00:00Z", "headline": "x", "tone": 1}\n', 1, 'key "tone"'),
    ],
)
def test_a_bad_row_is_named_by_file_and_line(folder, name, text, line, complaint):
    with pytest.raises(DataError, match=re.escape(complaint)) as caught:
        load_news(folder(**{name: text}))
    assert f"{name.replace('_', '.')}:{line}: " in str(caught.value)


@given(st.integers(-10_000, 10_000))
def test_a_headline_is_known_from_its_second_on_and_no_sooner(year, seconds):
    at = year.snapshot(3).as_of
    news = (News(at + timedelta(seconds=seconds), "So it is"),)
    known = year.bars.snapshot(at, year.events, year.context, news).news
    assert known == (news if seconds <= 0 else ())


def seen(year, *news):
    at = year.snapshot(3).as_of
    ordered = tuple(sorted(news, key=lambda one: one.published_at))
    return market_facts(year.bars.snapshot(at, year.events, year.context, ordered))


def test_the_newest_ten_headlines_of_a_week_on_these_symbols_are_shown(year):
    at = year.snapshot(3).as_of
    many = [News(at - timedelta(hours=n), f"Hour {n}", ("SPY",)) for n in range(12)]
    facts = seen(year, *many, News(at, "Elsewhere", ("TLT",)), News(at - timedelta(days=8), "Old"))
    assert [one["headline"] for one in facts["news"]] == [f"Hour {n}" for n in range(10)]
    assert facts["news"][0] == {"published_at": "2024-01-22 08:00", "headline": "Hour 0", "symbols": ["SPY"]}


def test_where_there_is_no_news_the_facts_do_not_mention_it(year):
    at = year.snapshot(3).as_of
    plain = market_facts(year.snapshot(3))
    assert "news" not in plain
    assert seen(year, News(at - timedelta(days=8), "Old"), News(at, "Elsewhere", ("TLT",))) == plain


def test_news_can_be_left_out_of_the_facts_by_name(year):
    facts = seen(year, News(year.snapshot(3).as_of, "So it is"))
    assert "news" in select_facts(facts, ("close", "news"))
    assert "news" not in select_facts(facts, ("close", "vix"))


def test_reviewers_and_the_chairman_read_headlines_without_telling_names(convene, year):
    snapshot = year.snapshot(3)
    told = replace(snapshot, news=(News(snapshot.as_of, "Gemini and OpenAI agree on SPY", ("SPY",)),))
    meetings = convene().hold([told])
    for request, prompt in zip(meetings.gateway.heard, meetings.prompts, strict=True):
        facts = json.loads(re.search(r"```json\n(.*?)\n```", prompt, re.DOTALL)[1])["market"]
        hidden = request.purpose["stage"] in ("review", "chairman")
        expected = "[name] and [name] agree on SPY" if hidden else "Gemini and OpenAI agree on SPY"
        assert facts["news"][0]["headline"] == expected
    assert meetings.decisions[0].record["facts"]["news"][0]["headline"].startswith("Gemini")


def test_the_example_on_the_page_is_read_as_it_stands(folder):
    page = (Path(__file__).parents[2] / "docs" / "councils.md").read_text(encoding="utf-8")
    first, second = load_news(folder(a_csv=re.search(r"```csv\n(.*?)```", page, re.DOTALL)[1]))
    assert (first.symbols, second.symbols) == ((), ("AAPL", "QQQ"))
