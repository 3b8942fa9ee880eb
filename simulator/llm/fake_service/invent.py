"""Answers out of nothing but their JSON schema: valid, deterministic, and of no interest."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from typing import Any

from simulator.llm.messages import ChatRequest, ChatResponse

WORDS = ("calm", "steady", "quiet", "plain", "even", "level", "modest", "mild")
DEEPEST = 20


class Invented:
    """A provider that fills in the schema of the question.

    It takes the last of several choices, ``null`` where that is allowed, numbers nearest to 0 and as few items as
    allowed, which in most schemas means to abstain. Texts differ from question to question.
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
        target: Any = root
        for part in str(schema["$ref"]).removeprefix("#/").split("/"):
            target = target.get(part, {}) if isinstance(target, Mapping) else {}
        return _value(target, root, word, depth + 1)
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
        required = schema.get("required", properties)
        return {name: _value(properties.get(name, {}), root, word, depth + 1) for name in required}
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
    low: float = max(schema.get("minimum", -math.inf), schema.get("exclusiveMinimum", -math.inf) + 1)
    high: float = min(schema.get("maximum", math.inf), schema.get("exclusiveMaximum", math.inf) - 1)
    return min(max(0, low), high)
