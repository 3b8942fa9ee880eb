"""Meaning of a value read from a model's text, by the fields of its answer: before validation, each fix named.

    value ─► keys ─► wrappers ─► per field: choice, number, list, text, object ─► Normalised(value, fixes, unclear)

Slips that can mean one thing only are read. What may mean two is left as it stands, with the reason under `unclear`:
validation then fails there and the reason is what the model is told. Nothing here knows markets: the words of an
answer's own field come with its `Vocabulary`.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any, ClassVar

from pydantic import BaseModel

from simulator.llm.tolerant_json import JsonError, parse, same
from simulator.number_format import gate

Schema = Mapping[str, Any]

NUMBER = re.compile(r"[+-]?(?:\d{1,3}(?:,\d{3})+|\d{1,3}(?:['’_]\d{3})+|\d+)?(?:\.\d+|(?<=\d)\.)?(?:[eE][+-]?\d+)?")
DOLLARS = re.compile(r"usd|us\$|\$|dollars?", re.IGNORECASE)
OF_TEN = re.compile(r"(.+?)\s*(?:/|out of|of)\s*10(?:\.0)?")
BULLET = re.compile(r"^\s*(?:[-*•·]|\d+[.)])\s+")
NOTHING = frozenset((
    "", "-", "--", "n/a", "na", "n.a.", "none", "null", "nil", "not applicable", "no stop", "no target", "not needed",
    "none needed", "no position", "not set",
))  # fmt: skip
MARKS = frozenset(("score", "value", "rating"))
YES, NO = frozenset(("true", "yes")), frozenset(("false", "no"))
MOST_WRAPPERS = 4
WRAPPERS = frozenset((
    "answer", "arguments", "args", "content", "data", "final", "input", "json", "message", "object", "output",
    "parameters", "payload", "properties", "report", "response", "result", "results", "structured", "tool", "value",
))  # fmt: skip
"""Words of which the key around an answer may be made. "draft", "example" and the like are not among them."""
HARMLESS = frozenset((
    "agent", "analysis", "author", "call", "chain", "comment", "comments", "confidence", "created", "date",
    "description", "explanation", "id", "index", "manager", "meta", "metadata", "model", "name", "note", "notes", "of",
    "rationale", "reason", "reasoning", "role", "schema", "seat", "summary", "think", "thinking", "thought", "thoughts",
    "time", "timestamp", "title", "tool", "usage", "version",
))  # fmt: skip
"""Words of keys that may stand beside the one around an answer: of prose, and of the service's own."""
KINDS = frozenset(("kind", "object", "state", "status", "type", "success", "ok", "stop", "finish"))
FINE = frozenset((
    "ok", "success", "succeeded", "complete", "completed", "done", "final", "finished", "stop", "true", "1", "200",
    "function", "functioncall", "tooluse", "toolcall", "object", "message", "json", "text", "answer",
))  # fmt: skip
REVISING = frozenset((
    "final", "finally", "revised", "revision", "corrected", "correction", "amended", "amendment", "adjusted", "actual",
    "override", "overridden", "instead", "updated", "verdict", "error", "errors", "retracted", "withdrawn", "opposite",
))  # fmt: skip
"""Words of a key, itself no field, under which an answer is taken back."""
TAKEN_BACK = frozenset((
    "cancelled", "canceled", "declined", "draft", "error", "failed", "rejected", "superseded", "vetoed", "void",
    "withdrawn",
))  # fmt: skip
GIVEN_KEY = re.compile(r"""([^\W_][\w -]*)\\*["'`“”‘’]\s*[:：=]""")


@dataclass(frozen=True)
class Vocabulary:
    """Words of a field of work.

    Attributes
    ----------
    meanings : {value of a choice: words and phrases that mean it}, in lower case
    unclear : {word: what it may mean}: one of them makes the whole phrase unclear
    fillers : words beside others that change nothing
    wrappers : words of which the key around a whole answer may be made, beside its title
    """

    meanings: Mapping[str, frozenset[str]] = field(default_factory=dict)
    unclear: Mapping[str, str] = field(default_factory=dict)
    fillers: frozenset[str] = frozenset()
    wrappers: frozenset[str] = frozenset()


class Spoken(BaseModel):
    """A model whose answers are read with a vocabulary.

    Lists named `spare` are those the answer can do without: they may be missing, and lose items that cannot be read.
    """

    vocabulary: ClassVar[Vocabulary] = Vocabulary()
    spare: ClassVar[tuple[str, ...]] = ()


@dataclass(frozen=True)
class Normalised:
    """`unclear` maps paths, as ``scores.clarity``, to why their value was left alone."""

    value: Any
    fixes: tuple[str, ...]
    unclear: Mapping[str, str]


@cache
def fields_of(model: type[BaseModel]) -> Schema:
    """JSON schema of the fields as they are read, defaults included. The schema sent may be another."""
    from pydantic.json_schema import model_json_schema

    return model_json_schema(model)


def normalise(value: Any, model: type[BaseModel]) -> Normalised:
    """Return `value`, which a model wrote as its answer, in the terms of the fields of `model`."""
    words = model.vocabulary if issubclass(model, Spoken) else Vocabulary()
    reader = _Normaliser(fields_of(model), words, spare_lists(model))
    return Normalised(reader.read(reader.unwrap(value), reader.root, ""), tuple(reader.fixes), reader.unclear)


def spare_lists(model: type[BaseModel]) -> tuple[str, ...]:
    """Return the names of the lists that an answer can do without."""
    return model.spare if issubclass(model, Spoken) else ()


def wrappers_of(model: type[BaseModel]) -> frozenset[str]:
    """Return the words of which a key or a mark around an answer may be made."""
    return _wrappers(fields_of(model), model.vocabulary if issubclass(model, Spoken) else Vocabulary())


def _wrappers(root: Schema, words: Vocabulary) -> frozenset[str]:
    return frozenset((*words_of(str(root.get("title", ""))), *WRAPPERS, *words.wrappers))


def fold(text: str) -> str:
    """`text` without case, space and punctuation: ``Thesis_Bullets`` and ``thesisBullets`` are one."""
    return "".join(mark for mark in unicodedata.normalize("NFKC", text).casefold() if mark.isalnum())


def words_of(text: str) -> list[str]:
    """The words of `text` in lower case, those in camel case apart."""
    return re.findall(r"[^\W_]+", re.sub(r"(?<=[a-z])(?=[A-Z])", " ", text).casefold())


class _Normaliser:
    def __init__(self, root: Schema, words: Vocabulary, spare: tuple[str, ...]) -> None:
        self.root, self.words, self.spare = root, words, spare
        self.fixes: list[str] = []
        self.unclear: dict[str, str] = {}

    def fix(self, path: str, was: Any, now: Any) -> None:
        self.fixes.append(f"{path or 'answer'}: {_short(was)} read as {_short(now)}")

    def doubt(self, path: str, why: str) -> None:
        self.unclear[path] = why

    def unwrap(self, value: Any) -> Any:
        """The answer within ``{"Pitch": {…}}`` and the like: the one object under a key that says it is the answer."""
        known = {fold(name) for name in self.root.get("properties", {})}
        wrappers = _wrappers(self.root, self.words)
        for _ in range(MOST_WRAPPERS):
            if not isinstance(value, dict) or not known or known & {fold(key) for key in value}:
                break
            inner = {key: self._open_wrapped(one) for key, one in value.items()}
            objects = {key: one for key, one in inner.items() if isinstance(one, dict)}
            # Beside the answer an object of other things may stand, as {"analysis": {…}, "pitch": {…}}.
            objects = {key: one for key, one in objects.items() if known & set(map(fold, one))} or objects
            if len(objects) != 1 or not wrappers.issuperset(words_of(key := next(iter(objects)))):
                if objects:
                    named = ", ".join(map(_short, objects))
                    self.doubt("", f"none of its fields is there; what stands under {named} is not taken for them")
                break
            if beside := [name for name, one in value.items() if name != key and not _is_harmless(name, one, known)]:
                self.doubt("", f"{_short(beside[0])} beside {_short(key)} may be another answer: give one object")
                return None
            value = objects[key]
            self.fixes.append(f"answer: taken out of {_short(key)}")
        return value

    def _open_wrapped(self, value: Any) -> Any:
        """An object that stands in a string or, alone, in a list."""
        if isinstance(value, str) and value.lstrip().startswith(("{", "[")):
            try:
                value = parse(value)[0]
            except JsonError:
                return value
        return value[0] if isinstance(value, list) and len(value) == 1 else value

    def read(self, value: Any, schema: Schema, path: str) -> Any:
        """`value` in the terms of `schema`."""
        schema = self._resolve(schema)
        if "anyOf" in schema:
            return self._optional(value, schema["anyOf"], path)
        if "enum" in schema or "const" in schema:
            return self._choice(value, [schema["const"]] if "const" in schema else schema["enum"], path)
        if isinstance(value, list) and len(value) == 1 and schema.get("type") in ("integer", "number", "boolean"):
            self.fix(path, value, value[0])
            value = value[0]
        match schema.get("type"):
            case "object":
                return self._object(value, schema, path)
            case "array":
                return self._list(value, schema, path)
            case "integer" | "number":
                return self._number(value, schema, path)
            case "boolean":
                return self._boolean(value, path)
            case "string":
                return self._text(value, path)
        return value

    def _resolve(self, schema: Schema) -> Schema:
        while "$ref" in schema:
            schema = self.root["$defs"][schema["$ref"].rpartition("/")[2]]
        return schema

    def _optional(self, value: Any, choices: list[Schema], path: str) -> Any:
        kinds = [self._resolve(one) for one in choices]
        rest = [one for one in kinds if one.get("type") != "null"]
        if len(rest) < len(kinds) and isinstance(value, str):
            plain = _plain(value).casefold()
            if plain.replace("—", "-").replace("–", "-") in NOTHING:
                self.fix(path, value, None)
                return None
        return value if value is None or len(rest) != 1 else self.read(value, rest[0], path)

    # -------------------------------------------------------------------------------------------------- objects, lists

    def _object(self, value: Any, schema: Schema, path: str) -> Any:
        value = self._from_string(value, "{", path)
        if not isinstance(value, dict):
            return value
        known: Schema = schema.get("properties", {})
        rest = schema.get("additionalProperties")
        named: dict[str, str] = {fold(name): name for name in known}
        members: dict[str, Any] = value
        found: dict[str, Any] = {}
        for key, one in members.items():
            name = key if key in known else named.get(fold(key)) or key
            where = f"{path}.{name}" if path else name
            kind = known.get(name) or (rest if isinstance(rest, Mapping) else None)
            one = one if kind is None else self.read(one, kind, where)
            if name in found and not same(found[name], one):
                self.doubt(where, f'"{name}" is given twice with different values')
                # No field takes an object that says so: neither of the two is read.
                found[name] = {"given twice": [found[name], one]}
                continue
            if name != key:
                self.fixes.append(f"{where}: key {_short(key)}")
            found[name] = one
        more = {key: one for key, one in found.items() if key not in known} if found.keys() & known.keys() else {}
        if again := [key for key, one in more.items() if _takes_back(key, one, named)]:
            self.doubt(path, f"{_short(again[0])} beside its fields may be another answer: give one object")
            return None
        self._fill_in(found, known, path)
        return found

    def _fill_in(self, found: dict[str, Any], known: Schema, path: str) -> None:
        """Add what may be missing, unless a number stands under a key that may mean it, as ``stop_loss``."""
        strangers = [key for key, one in found.items() if key not in known and _may_be_number(key, one, known)]
        there = found.keys() & known.keys()
        for name, kind in known.items():
            parts = {fold(part): part for part in self._resolve(kind).get("properties", ())}
            flat = {fold(key): key for key in found if key not in known}
            if name in found:
                if isinstance(inner := found[name], dict) and any(
                    not same(
                        self.read(found[flat[part]], self._resolve(kind)["properties"][parts[part]], name),
                        inner.get(parts[part]),
                    )
                    for part in parts.keys() & flat.keys()
                ):
                    self.doubt(name, f'fields of "{name}" are given again beside it with different values')
                    found[name] = None
                continue
            nullable = {"type": "null"} in kind.get("anyOf", ()) and not strangers
            if parts and parts.keys() <= flat.keys():
                self.fixes.append(f"{name}: its fields stood beside it")
                found[name] = self.read({parts[key]: found[flat[key]] for key in parts}, kind, name)
            elif there and (nullable or (not path and name in self.spare)):
                found[name] = None if nullable else []
                self.fixes.append(f"{f'{path}.{name}' if path else name}: missing, read as none")

    def _list(self, value: Any, schema: Schema, path: str) -> Any:
        value = self._from_string(value, "[", path)
        items = self._resolve(schema.get("items", {}))
        texts, was = items.get("type") == "string", value
        if value is None and path in self.spare:
            value = []
        elif isinstance(value, str) and texts:
            value = [line for line in (BULLET.sub("", line).strip() for line in value.splitlines()) if line]
        elif isinstance(value, dict) and texts:
            value = [f"{name} {one}" for name, one in value.items()]
        elif isinstance(value, dict) and {fold(name) for name in items.get("properties", ())} & set(map(fold, value)):
            value = [value]
        if value is not was:
            self.fix(path, was, value)
        if not isinstance(value, list):
            return value
        if texts and len(value) > (most := schema.get("maxItems", len(value))):
            self.fixes.append(f"{path}: the first {most} of {len(value)}")
            value = value[:most]
        return [self.read(one, items, f"{path}.{n}") for n, one in enumerate(value)]

    def _from_string(self, value: Any, mark: str, path: str) -> Any:
        if not isinstance(value, str) or not value.lstrip().startswith(mark):
            return value
        try:
            inner, fixes = parse(value)
        except JsonError:
            return value
        self.fixes += [f"{path}: JSON in a string", *(f"{path}: {one}" for one in fixes)]
        return inner

    # ---------------------------------------------------------------------------------------------------------- values

    def _choice(self, value: Any, choices: list[Any], path: str) -> Any:
        if isinstance(value, list) and len(value) == 1:
            value = value[0]
        if not isinstance(value, str) or value in choices:
            return value
        means = self._find_choice(value, choices, path)
        if means is None:
            return value
        self.fix(path, value, means)
        return means

    def _find_choice(self, value: str, choices: list[Any], path: str) -> Any:
        """The one choice that `value` can mean, None where there is no such one."""
        plain = _plain(value).rstrip("!.")
        if not re.fullmatch(r"(?![+\-–—])[\w\s*`\"'().:,/&$+\-–—|^=@]*", plain):
            return None
        same_letters = [one for one in choices if fold(str(one)) == fold(plain)]
        if len(same_letters) == 1:
            return same_letters[0]
        phrase = " ".join(words_of(plain))
        exact = [one for one in choices if phrase in self.words.meanings.get(one, ())]
        if len(exact) == 1:
            return exact[0]
        words = phrase.split()
        if doubtful := [word for word in (phrase, *words) if word in self.words.unclear]:
            offered = ", ".join(map(str, choices[:12])) + (" …" if len(choices) > 12 else "")
            several = f" ({self.words.unclear[doubtful[0]]})"
            self.doubt(path, f"{_short(value)} can mean more than one thing{several}: say one of {offered}")
            return None
        # Of names written with signs, as BRK.B, the parts are no words.
        marked = {fold(str(one)): one for one in choices}
        tokens = [fold(part) for part in re.split(r"[\s:()\[\],|]+", plain) if fold(part)]
        meant = {self._word(token, marked) for token in tokens} - {""}
        if None in meant or len(meant) != 1:
            meant = {self._word(word, marked) for word in words} - {""}
        return meant.pop() if len(meant) == 1 and None not in meant else None

    def _word(self, word: str, choices: Mapping[str, Any]) -> Any:
        """The choice that `word` means, empty for a filler, None for an unknown one."""
        if word in choices:
            return choices[word]
        found = [one for one in choices.values() if word in self.words.meanings.get(one, ())]
        return found[0] if len(found) == 1 else "" if word in self.words.fillers else None

    def _number(self, value: Any, schema: Schema, path: str) -> Any:
        whole = schema["type"] == "integer"
        if isinstance(value, dict):
            marks = [one for key, one in value.items() if fold(key) in MARKS]
            if len(marks) == 1 and not isinstance(marks[0], dict):
                self.fix(path, value, marks[0])
                value = marks[0]
        if isinstance(value, float) and whole and value.is_integer():
            return int(value)
        if not isinstance(value, str):
            return value
        text = _plain(value)
        number = _parse_number(text, signed=whole)
        if number is None and schema.get("maximum") == 10 and (of_ten := OF_TEN.fullmatch(text)):
            number = _parse_number(of_ten[1], signed=whole)
        if number is None or (whole and not number.is_integer()):
            span = (
                f" from {schema['minimum']} to {schema['maximum']}" if {"minimum", "maximum"} <= schema.keys() else ""
            )
            self.doubt(path, f"{_short(value)} is no plain {'integer' if whole else 'number'}{span}")
            return value
        self.fix(path, value, int(number) if whole else number)
        return int(number) if whole else number

    def _boolean(self, value: Any, path: str) -> Any:
        plain = _plain(value).casefold() if isinstance(value, str) else value
        means = True if plain in YES or plain == 1 else False if plain in NO or plain == 0 else value
        if means is not value:
            self.fix(path, value, means)
        return means

    def _text(self, value: Any, path: str) -> Any:
        if isinstance(value, list) and value and all(isinstance(one, str) for one in value):
            text = "; ".join(value)
        elif isinstance(value, int | float) and not isinstance(value, bool):
            text = str(value)
        elif isinstance(value, dict) and value and all(isinstance(one, str | int | float) for one in value.values()):
            text = " ".join(str(one) for one in value.values())
        else:
            return value
        self.fix(path, value, text)
        return text


def _is_harmless(key: str, value: Any, known: set[str]) -> bool:
    """True for what may stand beside the key around an answer: prose about it, what the service adds, nothing."""
    words = set(words_of(key))
    return (
        _says_nothing(value)
        or (bool(words & KINDS) and fold(str(value)) in FINE)
        or (words <= HARMLESS and not known & _keys_within(value))
    )


def _takes_back(key: str, value: Any, known: Mapping[str, str]) -> bool:
    """True where the unknown `key` beside the fields of an answer says that another holds, or brings one."""
    words = set(words_of(key))
    if _says_nothing(value):
        return False
    if words & KINDS and TAKEN_BACK.intersection(words_of(str(value))):
        return True
    return bool(words & REVISING or known.keys() & _keys_within(value))


def _says_nothing(value: Any) -> bool:
    return not value or str(value).strip().casefold() in NOTHING


def _keys_within(value: Any) -> set[str]:
    """Keys given anywhere in `value`, within strings of JSON too, folded."""
    return {fold(key) for key in GIVEN_KEY.findall(json.dumps(value, ensure_ascii=False))}


def _may_be_number(key: str, value: Any, known: Schema) -> bool:
    """True where an unknown key may hold the number of a field: by a digit in what it says first, or by its name."""
    if isinstance(value, dict | list):
        inner = value.items() if isinstance(value, dict) else ((key, one) for one in value)
        return any(_may_be_number(name, one, known) for name, one in inner)
    if _says_nothing(value) or value is True:
        return False
    return bool(re.search(r"\d", str(value)[:40])) or not known.keys().isdisjoint(words_of(key))


def _plain(text: str) -> str:
    """`text` with one form of each character, without the marks of Markdown and quotes around it."""
    text = unicodedata.normalize("NFKC", text).replace("\u2212", "-").replace("\u200b", "")
    return text.strip().strip("*`_\"'“”‘’ \t\n").strip()


def _parse_number(text: str, *, signed: bool) -> float | None:
    """A number as people write it. A plus sign before one that is no count may mean that it is relative."""
    bare = DOLLARS.sub("", text, count=2).strip() if not signed else text.strip()
    if not NUMBER.fullmatch(bare) or not re.search(r"\d", bare) or (bare.startswith("+") and not signed):
        return None
    try:
        return gate(float(re.sub(r"[,'’_]", "", bare)))
    except ValueError:
        return None


def _short(value: Any) -> str:
    text = "none" if value is None else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else text[:57] + "…"
