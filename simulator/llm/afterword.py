"""Text behind the last object of an answer: its end and prose about it, or the beginning of another answer.

Objects in a notation that is not read, lists, fences and marks of unknown thoughts are told by their outlines alone.
"""

from __future__ import annotations

import re
from typing import Literal

from simulator.llm.normalise import WRAPPERS, words_of

FENCE = re.compile("`{3,}|~{3,}")
LANGUAGE = re.compile(r"[ \t]*([\w+-]*)")
PLAIN_LANGUAGES = frozenset((
    "", "answer", "javascript", "js", "json", "json5", "jsonc", "jsonl", "markdown", "md", "ndjson", "output", "plain",
    "plaintext", "py", "python", "text", "tool_call", "tool_code", "ts", "txt", "typescript", "yaml",
))  # fmt: skip
BRACE = re.compile(r"[{｛]|\\u007b|&#0*123;|&#x7b;|&l(?:brace|cub);", re.IGNORECASE)
CLOSING = re.compile("[}｝]")
WORDS_IN_BRACES = re.compile("[{｛] *[a-z][a-z_ ]{0,40}[}｝]")
LIST_OF_TEXTS = re.compile(r"""\[\s*["'“‘]""")
UNSEEN = r"[\u200b-\u200d\u2060\ufeff|｜]*+"
MARK = re.compile(
    rf"""(?:[<＜]|&(?:amp;)*lt;|\\u003c){UNSEEN}(?P<close>[/／]?){UNSEEN}(?P<name>[^\W\d][\w.:-]{{0,60}})
        [^<>＜＞&\n]{{0,200}}?(?:[>＞]|&(?:amp;)*gt;|\\u003e|\Z)
    |(?P<other>-->|(?:[\[◁]|\(\()[/／](?P<label>\w*)|^:::)""",
    re.IGNORECASE | re.VERBOSE | re.MULTILINE,
)
"""Marks as of XML, however they are written, and ends of others."""
END = re.compile(r"(?:im_|tool_calls?_)?(?:end\w*|eo[stm](?:_id)?|call|return|stop)", re.IGNORECASE)
PLAIN = WRAPPERS | frozenset(
    ("b", "call", "calls", "code", "div", "function", "functions", "inst", "invoke", "p", "pre", "s", "use")
)


BEGINNINGS = frozenset(("assistant", "begin", "br", "im", "of", "python", "start", "tag", "text"))
ASSIGNED = re.compile(r"""\w\s{0,9}=>?\s*["'`“‘]""")
HEADING = re.compile(
    r"""(?:^|\n)[\s#*_>-]*(?:my[ ]|the[ ]|an?[ ])?(?:brainstorm|draft|example|initial|preliminar|ponder|reason|scratch
        |tentative|think|thought)\w*(?:[ ](?:answer|block|decision|idea|json|only|pitch|process|review|view))?
        [\s:：*_]*(?:`{3,}\w*)?\s*\Z""",
    re.IGNORECASE | re.VERBOSE,
)
"""A line that says of the object under it that it is none to go by."""


def describe_afterword(
    text: str, start: int, begin: int, end: int, wrappers: frozenset[str]
) -> Literal["", "cut", "more"]:
    """Return ``cut`` where more was to follow the object of `text` from `begin` to before `end`, ``more`` where another
    answer may follow, or the object be none; empty for an end or prose. Thoughts end at `start`; marks around an answer
    are made of `wrappers`. Takes linear time."""
    rest = text[end:]
    fences = list(FENCE.finditer(text, start, begin))
    # A fence left open before the object is its own, and may have been a stop sequence.
    own = fences[-1] if len(fences) % 2 else None
    behind = len(FENCE.findall(rest)) - (own is not None)
    plain = WORDS_IN_BRACES.sub("", rest)
    brace = BRACE.search(plain)
    if rest.lstrip().startswith(",") or _leaves_list_open(rest) or (behind > 0 and behind % 2):
        return "cut"
    if brace is not None and not CLOSING.search(plain, brace.end()):
        return "cut"
    language = "" if own is None else LANGUAGE.match(text, own.end())[1]  # type: ignore[index]
    doubled = text[start:begin].rstrip().endswith("{")
    if (
        brace is not None
        or behind > 0
        or language.casefold() not in PLAIN_LANGUAGES
        or (CLOSING.search(plain) and not doubled)
        or LIST_OF_TEXTS.search(rest)
        or ASSIGNED.search(rest)
        or _is_opened(text[max(start, begin - 100) : begin], PLAIN | BEGINNINGS | wrappers)
        or HEADING.search(text[max(start, begin - 100) : begin])
        or _is_set_apart(rest, PLAIN | wrappers)
    ):
        return "more"
    return ""


def _leaves_list_open(rest: str) -> bool:
    depth = 0
    for mark in re.finditer(r"[\[\]]", rest):
        depth = depth + 1 if mark[0] == "[" else max(0, depth - 1)
    return depth > 0


def _is_opened(before: str, plain: frozenset[str]) -> bool:
    """True where the last mark before the object is one of no answer and is not closed there."""
    *_, last = [None, *MARK.finditer(before)]
    if last is None or last["other"] or last["close"] or END.fullmatch(last["name"]):
        return False
    return not plain.issuperset(words_of(last["name"].rpartition(":")[2]))


def _is_set_apart(rest: str, plain: frozenset[str]) -> bool:
    """True where a mark that is not of an answer ends behind the object, or where any mark begins."""
    for mark in MARK.finditer(rest):
        if mark["other"] or mark["close"]:
            words = words_of((mark["name"] or mark["label"] or "").rpartition(":")[2])
            if not (words and plain.issuperset(words)):
                return True
        elif not END.fullmatch(mark["name"]):
            return True
    return False
