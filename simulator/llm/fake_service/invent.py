"""Answers out of nothing but their JSON schema: valid, deterministic, and of no interest."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from simulator.llm.messages import ChatRequest, ChatResponse

WORDS = ("calm", "steady", "quiet", "plain", "even", "level", "modest", "mild")
DEEPEST = 20


class Invented:
    """A provider that fills in the schema it is asked for.

    It takes the last of several choices, ``null`` where that is allowed, numbers nearest to 0 and as few items as may
    be, which in most schemas means to abstain. Texts differ from question to question.
    """

    name = "invented"

    async def ask(self, request: ChatRequest) -> ChatResponse:
        schema = request.schema
        word = WORDS[int(hashlib.sha256(request.messages[-1].content.encode()).hexdigest(), 16) % len(WORDS)]
        text = word if schema is None else json.dumps(_value(schema, schema, word, 0))
        return ChatResponse(text, model=request.model)


def _value(schema: Any, root: Mapping[str, Any], word: str, depth: int) -> Any:
    if not isinstance(schema, Mapping) or depth > DEEPEST:
        return None
    if "$ref" in schema:
        return _value(_resolved(str(schema["$ref"]), root), root, word, depth + 1)
    if "const" in schema:
        return schema["const"]
    if "enum" in schema:
        return schema["enum"][-1]
    for several in ("anyOf", "oneOf", "allOf"):
        if schema.get(several):
            return _value(schema[several][-1], root, word, depth + 1)
    return _of_type(schema, root, word, depth)


def _of_type(schema: Mapping[str, Any], root: Mapping[str, Any], word: str, depth: int) -> Any:
    kind = schema.get("type", "object" if "properties" in schema else "string")
    kind = kind[-1] if isinstance(kind, list) else kind
    if kind == "object":
        properties = schema.get("properties") or {}
        wanted = schema.get("required", properties)
        return {name: _value(properties.get(name, {}), root, word, depth + 1) for name in wanted}
    if kind == "array":
        return [_value(schema.get("items", {}), root, word, depth + 1) for _ in range(schema.get("minItems", 0))]
    if kind in ("integer", "number"):
        return _number(schema)
    if kind == "boolean":
        return False
    if kind == "null":
        return None
    return (word + " ") * (schema.get("minLength", 0) // (len(word) + 1)) + word


def _number(schema: Mapping[str, Any]) -> float:
    """The number nearest to 0 inside the bounds; 1 away from an open one."""
    low, high = schema.get("minimum"), schema.get("maximum")
    above, below = schema.get("exclusiveMinimum"), schema.get("exclusiveMaximum")
    lowest = max([bound for bound in (low, None if above is None else above + 1) if bound is not None], default=None)
    highest = min([bound for bound in (high, None if below is None else below - 1) if bound is not None], default=None)
    nearest = 0 if lowest is None else max(0, lowest)
    return nearest if highest is None else min(nearest, highest)


def _resolved(reference: str, root: Mapping[str, Any]) -> Any:
    found: Any = root
    for part in reference.removeprefix("#/").split("/"):
        found = found.get(part, {}) if isinstance(found, Mapping) else {}
    return found
