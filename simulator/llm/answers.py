"""Structured answers: the part of a model's text that satisfies a schema, and the repair question where none does.

text ─► thoughts cut ─► objects (tolerant_json) ─► the last one ─► normalise ─► pydantic ─► value, fixes
              │                     │                                              │
              └── no answer, cut, two different answers, something unclear ────────┴─► one repair question
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from typing import Any, Generic, TypeVar

from pydantic import BaseModel, ValidationError

from simulator.llm.afterword import describe_afterword
from simulator.llm.messages import ChatRequest, ChatResponse, FrozenSchema, Message
from simulator.llm.normalise import Normalised, normalise, spare_lists, wrappers_of
from simulator.llm.tolerant_json import Found, find_objects, position, scan_objects
from simulator.number_format import gate

T = TypeVar("T", bound=BaseModel)

THOUGHT = "think|thought|reason|rationale|reflect|analys|scratchpad|monologue|deliberat|draft|planning|cot"
TAG = re.compile(
    rf"""(?:<|&lt;|＜|\\u003c)[|｜]?\s*(?P<xml>/?)[|｜]?\s*(?:\w[\w.:-]*?)??(?:{THOUGHT})[\w.:-]*+(?:\s[^<>]*+)?[|｜]?(?:>|&gt;|＞|\\u003e)
    |[\[◁](?P<other>/?)think(?:ing)?[\]▷]
    |<\|(?:begin_of_thought|channel\|>(?:analysis|commentary))\b
    |(?P<end><\|(?:end_of_thought\|>|channel\|>final\b))""",
    re.IGNORECASE | re.VERBOSE,
)
"""Marks around a thought: of XML and its look-alikes, and those of channels."""
MOST_TAGS = 16
MOST_OBJECTS = 64
CUT = frozenset(("length", "max_tokens", "max_output_tokens", "model_length"))
CUT_OFF = "it was cut off at max_tokens before it was complete"
MOST_ERRORS = 8
REPAIR = "That answer could not be used: "


@dataclass(frozen=True)
class StructuredAnswer(Generic[T]):
    """A checked answer, or why there is none.

    Attributes
    ----------
    value : the answer in its type, None after a refusal or a repair that failed
    error : why there is no value
    keys : keys of the questions it took: one, or two after a repair
    response : the last response as it came
    fixes : slips of the text that were read all the same, and how
    """

    value: T | None
    error: str | None
    keys: tuple[str, ...]
    response: ChatResponse
    fixes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Reading(Generic[T]):
    """Meaning of a text: `value` after `fixes`, or the `error` for which it says nothing."""

    value: T | None = None
    error: str | None = None
    fixes: tuple[str, ...] = ()


@cache
def schema_of(model: type[BaseModel]) -> FrozenSchema:
    """JSON schema of a pydantic model with its title, made once. It is part of the cache key of every question."""
    return FrozenSchema(model.model_json_schema())


def with_schema(request: ChatRequest, model: type[BaseModel]) -> ChatRequest:
    """Return `request` asking for an answer in the schema of `model`."""
    schema = schema_of(model)
    return request if request.schema is schema else replace(request, schema=schema)


def read_answer(response: ChatResponse, model: type[T], known: Mapping[str, Any] | None = None) -> Reading[T]:
    """Return what `response` says as a `model`: its last object, whatever stands in thoughts before it.

    `known` is what validators may hold an answer against (pydantic's context). An answer that is cut, that gives two
    different objects or one thing twice is not read. Nothing is guessed: see simulator/llm/normalise.py.
    """
    if response.outcome == "refusal":
        return Reading(error=f"refused: {response.text[:200]}".rstrip(": "))
    if response.finish.casefold() in CUT:
        return Reading(error=CUT_OFF)
    value = _read_plain(response.text, model, known)
    return Reading(value) if value is not None else _read_text(response.text, model, known)


def repair_request(request: ChatRequest, response: ChatResponse, error: str) -> ChatRequest:
    """Return the question that shows a model the error in its answer: a further one, with a key of its own."""
    answer = (Message("assistant", response.text),) if response.text.strip() else ()
    text = f"{REPAIR}{error}. Answer again: one JSON object in the schema asked for, nothing else."
    messages = (*request.messages, *answer, Message("user", text))
    return replace(request, messages=messages, purpose={**request.purpose, "repair": "1"})


def _read_plain(text: str, model: type[T], known: Mapping[str, Any] | None) -> T | None:
    """The value of a text that is one object of JSON and fits as it is, as nearly all are: without a key more."""
    try:
        content = json.loads(text, object_pairs_hook=_distinct, parse_float=_number, parse_constant=_number)
        value = model.model_validate_json(text.strip(), strict=True, context=known)
    except (ValueError, RecursionError):  # that of pydantic among them
        return None
    # Models drop keys that they do not know: there the answer may be given again, or taken back.
    return value if value.model_dump(mode="json") == content else None


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("a key is given twice")
    return members


def _number(text: str) -> float:
    return gate(float(text))


def _read_text(text: str, model: type[T], known: Mapping[str, Any] | None) -> Reading[T]:
    start = _end_of_thoughts(text)
    if start is None:
        return Reading(error="a thought is opened in it and never closed: no answer follows")
    objects = find_objects(text, start)
    if not objects:
        return Reading(error=_describe_without_objects(text[start:]))
    if len(objects) > MOST_OBJECTS:
        return Reading(error=f"{len(objects)} JSON objects in it")
    last = objects[-1]
    if last.end is not None and last.error is None:
        match describe_afterword(text, start, last.start, last.end, wrappers_of(model)):
            case "cut":
                return Reading(error=f"it is cut: more was to follow the object at {position(text, last.start)}")
            case "more":
                place = position(text, last.start)
                return Reading(error=f"another answer may stand behind the object at {place}: give one object alone")
    reading = _read_object(last, model, known)
    if reading.value is None:
        return reading
    for one in objects[:-1]:
        other = _read_object(one, model, known)
        if other.value is not None and other.value != reading.value:
            places = f"{position(text, one.start)} and {position(text, last.start)}"
            return Reading(error=f"two different answers in it, at {places}: give one")
    return reading


def _end_of_thoughts(text: str) -> int | None:
    """End of the last thought, 0 without one; None where one is never closed. Within a JSON string a mark is text."""
    tags = list(TAG.finditer(text))
    if not tags:
        return 0
    opened, ended = False, 0
    objects = scan_objects(text)
    one = next(objects, None)
    for tag in tags:
        if len(tags) <= MOST_TAGS:
            while one is not None and one.end is not None and one.end <= tag.start():
                one = next(objects, None)
            if one is not None and one.error is None and one.start < tag.start():
                continue
            objects = scan_objects(text, tag.end())
            one = next(objects, None)
        opened = not (tag["xml"] or tag["other"] or tag["end"])
        ended = ended if opened else tag.end()
    return None if opened else ended


def _describe_without_objects(text: str) -> str:
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return "no JSON object in it"
    return "answer: Input should be an object"


def _read_object(found: Found, model: type[T], known: Mapping[str, Any] | None) -> Reading[T]:
    if found.error is not None:
        return Reading(error=found.error)
    meant = normalise(found.value, model)
    value, dropped = meant.value, ()
    for _ in range(2):
        try:
            checked = model.model_validate_json(json.dumps(value), strict=True, context=known)
        except ValidationError as failed:
            spared = None if dropped else _without_spare_items(failed, value, model)
            if spared is None:
                return Reading(error=_describe(failed, meant, found.fixes))
            value, dropped = spared
        else:
            return Reading(checked, None, (*found.fixes, *meant.fixes, *dropped))
    raise AssertionError("unreachable")


def _without_spare_items(failed: ValidationError, value: Any, model: type[BaseModel]) -> Any:
    """(`value` without what failed, a line for each) where all that failed stands in lists an answer can do without."""
    bad: dict[str, set[int]] = {}
    for error in failed.errors(include_url=False, include_context=False, include_input=False):
        name, *rest = error["loc"] or ("",)
        if name not in spare_lists(model):
            return None
        bad.setdefault(str(name), set()).add(rest[0] if rest and isinstance(rest[0], int) else -1)
    kept = {
        name: [] if -1 in numbers else [one for n, one in enumerate(value[name]) if n not in numbers]
        for name, numbers in bad.items()
    }
    lines = tuple(
        f"{name}.{n}: left out, it cannot be read" if n >= 0 else f"{name}: left out, it is no list"
        for name, numbers in bad.items()
        for n in sorted(numbers)
    )
    return {**value, **kept}, lines


def _describe(failed: ValidationError, meant: Normalised, fixes: tuple[str, ...]) -> str:
    """The errors in one line, without the parts that change with pydantic's version or repeat the answer.

    It stands in the repair question and so in its key. What was unclear stands in place of what pydantic says of it,
    and after all else where the text was no JSON.
    """
    if whole := meant.unclear.get(""):
        return f"answer: {whole}"
    lines = []
    for error in failed.errors(include_url=False, include_context=False, include_input=False):
        path = ".".join(str(part) for part in error["loc"])
        of = [why for place, why in meant.unclear.items() if f"{path}.".startswith(f"{place}.")]
        lines.append(f"{path or 'answer'}: {of[0] if of else error['msg']}")
    lines = list(dict.fromkeys(lines))
    more = f" and {len(lines) - MOST_ERRORS} more" if len(lines) > MOST_ERRORS else ""
    also = f" (also: {'; '.join(fixes[:3])})" if fixes else ""
    return " ".join(f"{'; '.join(lines[:MOST_ERRORS])}{more}{also}".split())
