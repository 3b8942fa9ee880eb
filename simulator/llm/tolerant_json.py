"""JSON as models write it: read with its slips, each of them named; what was cut or says two things is an error.

    text ─► find_objects ─► Found(value, fixes) | Found(error) …, in the order of the text

Read all the same: trailing commas, comments, single, curly and missing quotes, Python's literals, raw line breaks,
quotes not escaped where nothing else can be meant, half surrogate pairs, JSON escaped once too often. Not read: an
object that is never closed, a key given twice with different values, a number that is not finite. Repair libraries are
made to complete the first, take the last of the second and pass the third on (json-repair 0.64: 56 ms to import).
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Literal, NoReturn

from simulator.llm.messages import whole
from simulator.number_format import gate

DEEPEST = 30
# Possessive, or a text of nothing but # takes for ever.
BLANK = r"(?:[\s\ufeff\u200b\u2060]++|//[^\n]*+|/\*.*?\*/|#[^\n]*+)*+"
SPACE = re.compile(BLANK, re.DOTALL)
OPENING = re.compile(r"\{" + BLANK + r"""(?:["'“”„‟‘’‚«»＂}]|[A-Za-z_][\w -]{0,60}[:：]|\Z)""", re.DOTALL)
"""A brace that begins an object, or with which the text ends; others are prose."""
ESCAPED = re.compile(r'\{(?:\s|\\[nrt])*+\\"')
ESCAPE = re.compile(r'\\(["\\/bfnrt])')
NUMBER = re.compile(r"-?(?:0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?")
NOT_FINITE = re.compile(r"[+-]?(?:nan|inf(?:inity)?)", re.IGNORECASE)
WORD = r"""[^\s,，{}\[\]:：<>"'“”„‟‘’‚«»＂#]+"""
BARE = re.compile(rf"{WORD}(?: (?!//|/\*){WORD})*")
LITERALS: dict[str, Any] = {"true": True, "false": False, "null": None, "none": None, "undefined": None}
DOUBLE, SINGLE = "“”„‟«»＂", "'‘’‚"
CLOSERS = {'"': '"', **dict.fromkeys(DOUBLE, DOUBLE + '"'), **dict.fromkeys(SINGLE, SINGLE)}
AFTER_STRING = re.compile(r"""\s*+(?:[,，:：}\]#]|//|/\*|\Z)|[^\S\n]*+\n\s*+["'“”„‘’«]""")
"""Behind the quote that ends a string. Any other quote stands within it."""
CONTROL = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}


class JsonError(ValueError):
    """Reason why there is no value, with its position in the text."""


@dataclass(frozen=True)
class Found:
    """An object of a text: from `start` to before `end`, None where its end is unknown.

    Either `error` says why it cannot be read, or it is `value`, read after the `fixes`.
    """

    start: int
    end: int | None
    value: Any = None
    fixes: tuple[str, ...] = ()
    error: str | None = None


def find_objects(text: str, start: int = 0) -> list[Found]:
    """Return the objects of `text` from `start` on that lie in no other, in their order; takes linear time.

    The last has an error where it is never closed: what follows its brace cannot be told from what is within it.
    """
    return list(scan_objects(text, start))


def scan_objects(text: str, start: int = 0) -> Iterator[Found]:
    """Yield the objects of :func:`find_objects` one by one."""
    at = text.find("{", start)
    while at >= 0:
        if ESCAPED.match(text, at):
            inner = find_objects(ESCAPE.sub(lambda match: CONTROL.get(match[1], match[1]), text[at:]))
            noted = f"JSON within a JSON string at {position(text, at)}"
            # Without their marks, the places of the escapes are those of the inner text.
            escapes = [match.start() - at - n for n, match in enumerate(ESCAPE.finditer(text, at))]
            for one in inner:
                end = None if one.end is None else at + one.end + bisect_left(escapes, one.end)
                yield replace(one, start=at, end=end, fixes=(noted, *one.fixes))
            return
        if not OPENING.match(text, at):
            at = text.find("{", at + 1)
            continue
        one = _read_at(text, at)
        yield one
        at = -1 if one.end is None else text.find("{", one.end)


def parse(text: str) -> tuple[Any, tuple[str, ...]]:
    """Return (value, fixes) of a text that is one JSON value and nothing else. Raises JsonError."""
    reader = _Reader(text, 0)
    value = reader.value("value")
    reader.skip()
    if reader.at < len(text):
        reader.fail(f'"{text[reader.at]}" follows the end')
    return value, reader.fixes


def position(text: str, at: int) -> str:
    """Return ``line 2, column 5`` of a place in `text`, both counted from 1."""
    line = text.count("\n", 0, at) + 1
    return f"line {line}, column {at - text.rfind(chr(10), 0, at)}"


def _read_at(text: str, at: int) -> Found:
    reader = _Reader(text, at)
    try:
        value = reader.value("value")
    except JsonError as error:
        return Found(at, _balanced_end(text, at), error=" ".join(str(error).split()))
    return Found(at, reader.at, value, reader.fixes)


def _balanced_end(text: str, at: int) -> int | None:
    """End of an object that cannot be read, by its braces; None where they do not balance."""
    depth, quoted = 0, False
    for mark in re.compile(r'\\.|["{}]', re.DOTALL).finditer(text, at):
        if mark[0] == '"':
            quoted = not quoted
        elif not quoted and mark[0] in "{}":
            depth += 1 if mark[0] == "{" else -1
            if not depth:
                return mark.end()
    return None


class _Reader:
    """Reads one value from `at` on; `fixes` names what was read otherwise than as written."""

    def __init__(self, text: str, at: int) -> None:
        self.text, self.at, self.begin, self.depth = text, at, at, 0
        self._slips: dict[str, list[int]] = {}

    @property
    def fixes(self) -> tuple[str, ...]:
        """A line for each kind of slip, with the place of the first."""
        return tuple(
            f"{what} at {position(self.text, places[0])}" + (f" and {len(places) - 1} more" if len(places) > 1 else "")
            for what, places in self._slips.items()
        )

    def fix(self, what: str, at: int) -> None:
        self._slips.setdefault(what, []).append(at)

    def fail(self, what: str, at: int | None = None) -> NoReturn:
        raise JsonError(f"{what} at {position(self.text, self.at if at is None else at)}")

    def never_closed(self) -> NoReturn:
        raise JsonError(f"it is cut: the object that begins at {position(self.text, self.begin)} is never closed")

    def skip(self) -> str:
        """Skip space and comments; return the next character, empty at the end."""
        match = SPACE.match(self.text, self.at)
        end = self.at if match is None else match.end()
        if match is not None and match[0].strip(" \t\r\n\ufeff\u200b\u2060\xa0"):
            self.fix("comment", self.at)
        self.at = end
        return self.text[end : end + 1]

    def value(self, place: Literal["value", "member", "item"]) -> Any:
        """Read a value; a `member` of an object, an `item` of a list."""
        mark = self.skip()
        if not mark:
            self.never_closed()
        if mark in "{[":
            self.depth += 1
            if self.depth > DEEPEST:
                self.fail(f"more than {DEEPEST} objects and lists in each other")
            value: Any = self.object() if mark == "{" else self.list()
            self.depth -= 1
            return value
        return self.string() if mark in CLOSERS else self.bare(place)

    def object(self) -> dict[str, Any]:
        members: dict[str, Any] = {}
        self.at += 1
        while self.skip() != "}":
            at, key = self.at, self.key()
            if self.skip() not in (":", "："):
                self.never_closed() if self.at >= len(self.text) else self.fail(f'no ":" after "{key[:40]}"')
            self.at += 1
            value = self.value("member")
            if key in members and not same(members[key], value):
                self.fail(f'"{key[:40]}" is given twice with different values', at)
            members[key] = value
            self.separate("}", at)
        self.at += 1
        return members

    def list(self) -> list[Any]:
        items: list[Any] = []
        self.at += 1
        while self.skip() != "]":
            at = self.at
            items.append(self.value("item"))
            self.separate("]", at)
        self.at += 1
        return items

    def separate(self, end: str, before: int) -> None:
        """Pass the comma behind a member or item that began at `before`."""
        behind, mark = self.at, self.skip()
        if not mark:
            self.never_closed()
        if mark in ",，":
            comma = self.at
            self.at += 1
            if self.skip() == end:
                self.fix("trailing comma", comma)
        elif mark != end:
            if mark not in CLOSERS or "\n" not in self.text[behind : self.at]:
                after = f"behind what begins at {position(self.text, before)},"
                self.fail(f'"{mark}" where "," or "{end}" should be, {after}')
            self.fix("missing comma", behind)

    def key(self) -> str:
        mark = self.text[self.at : self.at + 1]
        if not mark:
            self.never_closed()
        if mark in CLOSERS:
            return self.string(is_key=True)
        match = re.compile(r"[^\W\d][\w -]{0,60}?(?=\s*[:：])").match(self.text, self.at)
        if match is None:
            self.fail(f'"{mark}" where a key should be')
        self.fix("key without quotes", self.at)
        self.at = match.end()
        return match[0]

    def bare(self, place: str) -> Any:
        """Read a number, a literal, or a word without quotes."""
        begin, match = self.at, BARE.match(self.text, self.at)
        if match is None:
            self.fail(f'"{self.text[begin]}" where a value should be')
        word, self.at = match[0], match.end()
        if place == "value" or self.at >= len(self.text):
            self.never_closed()
        if not word.strip(".…"):
            self.fail(f'"{word[:3]}" stands for something that is left out,', begin)
        if NOT_FINITE.fullmatch(word):
            self.fail(f"{word} is no number of JSON,", begin)
        if number := NUMBER.fullmatch(word):
            try:
                value = gate(float(word))
            except ValueError as error:
                self.fail(f"{word[:20]} is {error},", begin)
            return value if number[1] or number[2] else int(word)
        if word.lower() in LITERALS:
            if word not in ("true", "false", "null"):
                self.fix(f"{word} for {'null' if LITERALS[word.lower()] is None else word.lower()}", begin)
            return LITERALS[word.lower()]
        self.fix("value without quotes", begin)
        return word

    def string(self, *, is_key: bool = False) -> str:
        begin, opened = self.at, self.text[self.at]
        if opened != '"':
            self.fix("quote that is not JSON's", begin)
        closers, parts = CLOSERS[opened], []
        stop = re.compile(f"[{closers}\\\\\x00-\x1f]")
        self.at += 1
        while True:
            match = stop.search(self.text, self.at)
            if match is None:
                self.never_closed()
            parts.append(self.text[self.at : match.start()])
            self.at = match.end()
            if match[0] == "\\":
                parts.append(self.escape())
            elif match[0] in closers:
                if AFTER_STRING.match(self.text, self.at):
                    return _whole(self, "".join(parts), begin)
                if is_key:
                    self.fail(f'no ":" after "{"".join(parts)[:40]}"')
                self.fix("quote that is not escaped", match.start())
                parts.append(match[0])
            else:
                self.fix("raw line break or control character", match.start())
                parts.append(match[0])

    def escape(self) -> str:
        """The character that the escape stands for whose backslash was just passed."""
        mark = self.text[self.at : self.at + 1]
        self.at += 1
        if mark == "u" and re.fullmatch(r"[0-9a-fA-F]{4}", self.text[self.at : self.at + 4]):
            self.at += 4
            return chr(int(self.text[self.at - 4 : self.at], 16))
        if mark not in '"\\/bfnrt':
            self.fix("escape that JSON does not know", self.at - 2)
        return CONTROL.get(mark, mark)


def _whole(reader: _Reader, text: str, begin: int) -> str:
    """`text` with its surrogate pairs put together, halves of one replaced."""
    if not re.search("[\ud800-\udfff]", text):
        return text
    if "\ufffd" in (put_together := whole(text)):
        reader.fix("half of a surrogate pair in the string", begin)
    return put_together


def same(one: Any, other: Any) -> bool:
    """True where two JSON values are equal; true is not 1."""
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same, one, other))
    return isinstance(one, bool) == isinstance(other, bool) and bool(one == other)
