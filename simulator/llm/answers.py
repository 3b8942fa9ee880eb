"""Structured answers: what of a model's text satisfies a schema, and how it is asked again when nothing does.

text ─► strict JSON ─► fenced JSON ─► JSON amid prose ─► pydantic ─► value
                                                  └── no: one repair question ─► value, or a recorded failure
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache
from typing import Generic, TypeVar

from pydantic import BaseModel, ValidationError

from simulator.llm.messages import ChatRequest, ChatResponse, FrozenSchema, Message

T = TypeVar("T", bound=BaseModel)

FENCED = re.compile(r"^[ \t]*```[\w-]*[ \t]*\n(.*?)^[ \t]*```", re.MULTILINE | re.DOTALL)
NOT_JSON = re.compile(r"NaN|Infinity")
CUT_OFF = "it was cut off at max_tokens before it was complete"
MOST_ERRORS = 8
MOST_STARTS = 64
"""Braces tried in prose before giving up: a text made of braces must not take forever."""


@dataclass(frozen=True)
class StructuredAnswer(Generic[T]):
    """A checked answer, or why there is none.

    Attributes
    ----------
    value : the answer in its type, None after a refusal or a repair that failed
    error : what was wrong, None where there is a value
    keys : keys of the questions it took: one, or two after a repair
    response : the last response as it came
    """

    value: T | None
    error: str | None
    keys: tuple[str, ...]
    response: ChatResponse


@cache
def schema_of(model: type[BaseModel]) -> FrozenSchema:
    """JSON schema of a pydantic model with its title, made once."""
    return FrozenSchema(model.model_json_schema())


def with_schema(request: ChatRequest, model: type[BaseModel]) -> ChatRequest:
    """`request` asking for an answer in the schema of `model`."""
    schema = schema_of(model)
    return request if request.schema is schema else replace(request, schema=schema)


def read_answer(response: ChatResponse, model: type[T]) -> tuple[T | None, str | None]:
    """(value, None) or (None, what was wrong). Of several fitting objects in a text the last is the answer."""
    if response.outcome == "refusal":
        return None, f"refused: {response.text[:200]}".rstrip(": ")
    wrong = [CUT_OFF] if response.finish == "length" else []
    # Of a text that was cut off, an inner object may be whole and fit by accident.
    for text in [response.text.strip()] if wrong else _candidates(response.text):
        if NOT_JSON.search(text) and _holds_nan(text):
            wrong.append("NaN and Infinity are no JSON numbers")
            continue
        try:
            return model.model_validate_json(text), None
        except ValidationError as failed:
            if failed.errors(include_url=False)[0]["type"] != "json_invalid":
                wrong.append(_describe(failed))
    return None, wrong[0] if wrong else "no JSON object in it"


def repair_request(request: ChatRequest, response: ChatResponse, error: str) -> ChatRequest:
    """The question that shows a model what was wrong with its answer: one more, with a key of its own."""
    said = (Message("assistant", response.text),) if response.text.strip() else ()
    ask = (
        f"That answer could not be used: {error}. Answer again: one JSON object in the schema asked for, nothing else."
    )
    return replace(
        request,
        messages=(*request.messages, *said, Message("user", ask)),
        purpose={**request.purpose, "repair": "1"},
    )


def _candidates(text: str) -> Iterator[str]:
    """Texts that may be the answer: the whole, then fenced blocks, then objects amid prose, the last first."""
    yield text.strip()
    yield from reversed(FENCED.findall(text))
    yield from reversed(_embedded(text))


def _embedded(text: str) -> list[str]:
    decoder = json.JSONDecoder()
    found: list[str] = []
    position = text.find("{")
    for _ in range(MOST_STARTS):
        if position < 0:
            break
        try:
            end = decoder.raw_decode(text, position)[1]
            found.append(text[position:end])
        except (ValueError, RecursionError):
            end = position + 1
        position = text.find("{", end)
    return found


def _holds_nan(text: str) -> bool:
    """Whether a number is NaN or infinite: pydantic lets both pass, JSON does not know them."""

    def refuse(_: str) -> None:
        raise FloatingPointError

    try:
        json.loads(text, parse_constant=refuse)
    except FloatingPointError:
        return True
    except (ValueError, RecursionError):
        return False
    return False


def _describe(failed: ValidationError) -> str:
    """The errors in one line, without the parts that change with pydantic's version or repeat the answer."""
    errors = failed.errors(include_url=False, include_context=False, include_input=False)
    told = [f"{'.'.join(str(part) for part in error['loc']) or 'answer'}: {error['msg']}" for error in errors]
    more = f" and {len(told) - MOST_ERRORS} more" if len(told) > MOST_ERRORS else ""
    return "; ".join(told[:MOST_ERRORS]) + more
