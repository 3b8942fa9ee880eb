"""What of a model's text satisfies a schema."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict, Field

from simulator.llm.answers import read_answer, repair_request, schema_of, with_schema
from simulator.llm.messages import ChatRequest, ChatResponse, Message


class Vote(BaseModel):
    model_config = ConfigDict(extra="forbid")

    symbol: str
    conviction: int = Field(ge=-2, le=2)
    weight: float = 0.0


SPY = Vote(symbol="SPY", conviction=1)
STRICT = '{"symbol": "SPY", "conviction": 1}'
OTHER = '{"symbol": "QQQ", "conviction": 2}'


def read(text: str) -> tuple[Vote | None, str | None]:
    said = read_answer(ChatResponse(text), Vote)
    return said.value, said.error


@pytest.mark.parametrize(
    "text",
    [
        STRICT,
        f"\n  {STRICT}\n\n",
        f"```json\n{STRICT}\n```",
        f"```\n{STRICT}\n```",
        f"Sure! Here it is:\n```json\n{STRICT}\n```\nLet me know.",
        f"My vote is {STRICT}.",
        f"```json {STRICT}```",
        f"<think>{{maybe {OTHER}? no</think>\n{STRICT}",
        f'First I thought of {{"symbol": "SPY"}}, then {STRICT}',
        f"{{{{{{ {STRICT}",
        '{"symbol": "SPY", "conviction": 1, "weight": 0}',
    ],
)
def test_the_answer_is_found(text: str) -> None:
    assert read(text) == (SPY, None)


def test_braces_fences_and_nan_inside_strings_are_text() -> None:
    text = '{"symbol": "a } ``` NaN { \\n```json\\n b", "conviction": 0}'
    assert read(text) == (Vote(symbol="a } ``` NaN { \n```json\n b", conviction=0), None)


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("", "no JSON object in it"),
        ("I cannot say.", "no JSON object in it"),
        ('{"symbol": "SPY", "convic', "it is cut: the object that begins at line 1, column 1 is never closed"),
        (
            f"An example is {OTHER}, and my answer {STRICT}",
            "two different answers in it, at line 1, column 15 and line 1, column 65: give one",
        ),
        ('{"symbol": "SPY"}', "conviction: Field required"),
        ('{"symbol": "SPY", "conviction": 3}', "conviction: Input should be less than or equal to 2"),
        ('{"symbol": "SPY", "conviction": 1, "more": 1}', "more: Extra inputs are not permitted"),
        (
            '{"symbol": "SPY", "conviction": 1, "weight": NaN}',
            "NaN is no number of JSON, at line 1, column 46",
        ),
        (
            '```json\n{"symbol": "SPY", "conviction": 1, "weight": -Infinity}\n```',
            "-Infinity is no number of JSON, at line 2, column 46",
        ),
        ("[1, 2]", "answer: Input should be an object"),
        ("null", "answer: Input should be an object"),
    ],
)
def test_the_error_says_what_is_wrong_in_one_line_that_no_library_version_changes(text: str, error: str) -> None:
    assert read(text) == (None, error)


OPENINGS = [
    *("{direction", '{方向: "SHORT", 信念: -2', "{(symbol) QQQ", '｛"symbol":"QQQ"', "{" + "a" * 80 + ": 1", "{"),
    *('["QQQ", 2,', "[\n", "~~~json", "```json\n", "~~~json\n", "\\u007b\\u0022symbol", "&#123;symbol"),
]
OTHERS = [
    "dict(symbol='QQQ', conviction=2)",
    *(
        '{symbol = "QQQ", conviction = 2}',
        "{symbol => 2}",
        "{`symbol`: 2}",
        "{:symbol => 2}",
        "{&quot;symbol&quot;: 2}",
    ),
    *(
        "{「symbol」: 2}",
        "{″symbol″: 2}",
        '｛"symbol":"QQQ"｝',
        '{"symbol" = "QQQ"}',
        "{- symbol: QQQ}",
        "{1:2}",
        "{2}",
    ),
    *('["QQQ", 2]', "```yaml\nsymbol: QQQ\n```", "~~~\nsymbol: QQQ\n~~~", "<answer><symbol>QQQ</symbol></answer>"),
]


@pytest.mark.fault(
    "answers",
    "behind a whole object a list, a fence or an object in any notation is opened and never closed",
    "nothing is read; asked about as cut",
)
@pytest.mark.parametrize("more", OPENINGS)
def test_what_is_opened_behind_the_last_object_and_never_closed_means_a_cut(more: str) -> None:
    escaped = STRICT.replace('"', '\\"')
    for said in (f"{STRICT}\nFinal: {more}", f"```json\n{STRICT}\n```\nFinal:\n{more}", f"{escaped}\nFinal: {more}"):
        value, error = read(said)
        assert value is None
        assert "it is cut" in str(error)


@pytest.mark.fault(
    "answers", "behind a whole object another in a notation that is not read", "asked about; neither is taken"
)
@pytest.mark.parametrize("more", OTHERS)
def test_another_notation_behind_the_last_object_is_asked_about(more: str) -> None:
    for said in (f"{STRICT}\nFinal: {more}", f"```json\n{STRICT}\n```\nFinal:\n{more}\nDone."):
        assert read(said)[0] is None


@pytest.mark.fault("answers", "a draft in marks of a thought that nobody knows", "asked about, not read")
@pytest.mark.parametrize("said", ["", "\nSo it is QQQ, conviction -2."])
@pytest.mark.parametrize(
    "thought",
    [
        '<details type="reasoning" done="true"><summary>Thought</summary>{}</details>',
        *("[REASONING]{}[/REASONING]", "[thought]{}[/thought]", "```thinking\n{}\n```", "```reasoning\n{}\n```"),
        *("<思考>{}</思考>", "<denken>{}</denken>", "<pensée>{} hm</pensée>", "<ponder>{}</ponder>"),
        *("<internal>{}</internal>", "<inner_voice>{}</inner_voice>", "<unused94>thought\n{}<unused95>"),
        *("<|channel>thought\n{}<channel|>", "<!-- thinking: {} -->", "<\u200bthink>{}<\u200b/think>"),
        *("＜ｔｈｉｎｋ＞{}＜／ｔｈｉｎｋ＞", "&amp;lt;think&amp;gt;{}&amp;lt;/think&amp;gt;", ":::thinking\n{}\n:::"),
        *(
            "**Thinking**\n{}\n**End of thinking**",
            "<思考>{} hm",
            "<think/>{}",
            "Draft: {}",
            "## Initial answer\n```json\n{}\n```",
        ),
    ],
)
def test_an_object_in_marks_that_are_not_of_an_answer_is_asked_about(thought: str, said: str) -> None:
    assert read(thought.replace("{}", STRICT) + said)[0] is None


@pytest.mark.parametrize(
    "said",
    [
        *("<answer>{}</answer>", "<final_answer>\n{}\n</final_answer>\nThat is all.", "<vote>{}</vote>"),
        *(
            "<tool_call>{}</tool_call>",
            "{}<|im_end|>",
            "<|im_start|>assistant\n{}",
            "<function=vote>{}",
            "{}<|eot_id|>",
            "{}</s>",
            "{}<end_of_turn>",
            "[ANSWER]{}[/ANSWER]",
        ),
        *("{}\n\nRSI <30 and MA >5 [1], see {if} it holds.", "~~~json\n{}\n~~~", "data: {}\n\ndata: [DONE]"),
        *("Here is my reasoning: it is late.\n{}", "```json\n{}\n```\nIt pays: 2:1."),
    ],
)
def test_marks_of_an_answer_and_prose_around_it_change_nothing(said: str) -> None:
    assert read(said.replace("{}", STRICT)) == (SPY, None)


def test_a_refusal_is_not_searched_for_an_answer() -> None:
    said = read_answer(ChatResponse(f"I will not. {STRICT}", outcome="refusal"), Vote)
    assert said.value is None
    assert said.error is not None
    assert said.error.startswith("refused: I will not.")


@given(st.text() | st.text(alphabet='{}[]"`\\:,\n jsonN1'))
def test_no_text_makes_reading_fail_otherwise_than_by_saying_so(text: str) -> None:
    value, error = read(text)
    assert (value is None) != (error is None)


@pytest.mark.parametrize(
    "text",
    [
        *("{" * 100_000, '{"a":' * 50_000, "```json\n" * 20_000, "[" * 100_000, "{" + "#" * 100_000, "<" * 100_000),
        *(
            '{"a"' + "\n" * 100_000,
            "{" + "/*" * 50_000,
            *(STRICT + mark * 50_000 for mark in ("\n<p>", "</a", "{ a", "[", "\n~~~ ``` ```", "[/")),
            "<think>" * 15 + '{"a": "x"} ' * 5_000,
            '{"a": "' + '"\n' * 50_000,
        ),
    ],
)
def test_a_text_of_nothing_but_openings_is_given_up_soon(text: str) -> None:
    started = time.process_time()
    assert read(text)[0] is None
    assert time.process_time() - started < 5


def test_the_schema_carries_its_title_and_is_made_once() -> None:
    assert schema_of(Vote)["title"] == "Vote"
    assert schema_of(Vote) is schema_of(Vote)
    request = with_schema(ChatRequest("told", "m", ()), Vote)
    assert request.schema is schema_of(Vote)
    assert with_schema(request, Vote) is request


def test_the_repair_question_shows_answer_and_error_and_has_a_key_of_its_own() -> None:
    request = with_schema(ChatRequest("told", "m", (Message("user", "vote"),), purpose={"stage": "pitch"}), Vote)
    repair = repair_request(request, ChatResponse("hm"), "conviction: Field required")
    assert [message.role for message in repair.messages] == ["user", "assistant", "user"]
    assert repair.messages[1].content == "hm"
    assert "conviction: Field required" in repair.messages[2].content
    assert repair.schema is request.schema
    assert repair.purpose == {"stage": "pitch", "repair": "1"}
    assert repair.key != request.key


def test_an_empty_answer_is_not_quoted_in_the_repair_question() -> None:
    repair = repair_request(ChatRequest("told", "m", (Message("user", "vote"),)), ChatResponse(" \n"), "empty")
    assert [message.role for message in repair.messages] == ["user", "user"]


@pytest.mark.parametrize(
    "text", ['{"symbol": "SPY", "conv\niction" 1}', '{"symbol": "S\\u001b[2J", "conviction": "a\nb"}']
)
def test_an_error_is_one_line_whatever_the_text_holds(text: str) -> None:
    error = str(read(text)[1])
    assert error.isprintable()
