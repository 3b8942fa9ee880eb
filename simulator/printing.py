"""Text on its way to people: the one place through which everything that is printed passes.

    say(text) ────────────────────────┐
    print() of a strategy, warnings ──┼─► PrintableStream ─► terminal, pipe or file
    tables and colour ────────────────┘   (the Console of simulator.report.renderers.console)

Answers of models, headlines, names of files and symbols come from elsewhere. What in them would steer a terminal, turn
the direction of a line or hide, is shown as Python writes it: ``\\x1b``, ``\\u202e``, ``\\x00``.
"""

from __future__ import annotations

import io
import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TextIO, cast

STEERING = re.compile(
    # Controls but line feed and tab, halves of surrogate pairs, separators of lines and paragraphs.
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\u2028\u2029"
    # Marks that turn the direction of writing, and the rest of Unicode's category Cf.
    "\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"
    "\xad\u0600-\u0605\u06dd\u070f\u0890\u0891\u08e2\u200b-\u200d\u2060-\u2065\u206a-\u206f\ufeff\ufff0-\ufffb"
    "\U000110bd\U000110cd\U00013430-\U0001343f\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff"
    # Letters, marks and noncharacters that show nothing.
    "\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2800\u3164\ufe00-\ufe0f\uffa0\ufffe\uffff]"
)
PLAIN = bytes([*b"\t\n", *range(0x20, 0x7F)])
EMOJI = re.compile(
    "[\xa9\xae\u203c\u2049\u2122\u2139\u2190-\u21ff\u2300-\u27bf\u2900-\u297f\u2b00-\u2bff\u3030\u303d\u3297\u3299"
    "\U0001f000-\U0001faff]"
)
OF_EMOJI = "\u200d\ufe0e\ufe0f"
"""Marks that join and colour emoji, and are let be behind one."""
STILL = ("dumb", "unknown")
"""Values of TERM for terminals that cannot move their cursor."""


def printable(text: str) -> str:
    """Return `text` with what would steer a terminal or hide in it as escapes; lines, tabs and emoji stay.

    Half a surrogate pair, which models do send, is ``?``.
    """
    if text.isascii() and text.replace("\n", "").isprintable():
        return text
    return STEERING.sub(_escape, text.replace("\r\n", "\n"))


def printable_values(value: Any) -> Any:
    """Return JSON-able `value` with every text in it as `printable` has it."""
    if isinstance(value, str):
        return printable(value)
    if isinstance(value, dict):
        return {printable_values(key): printable_values(one) for key, one in value.items()}
    if isinstance(value, list | tuple):  # of which most, and most of them, are numbers
        return [one if type(one) is float or type(one) is int else printable_values(one) for one in value]
    return value


def is_printable_json(text: str) -> bool:
    """Return True where JSON `text` surely says the same with `printable_values` as without: nothing in it steers."""
    # A page has a million letters, nearly all of them plain: those are dropped first, at a tenth of the search's time.
    others = text.encode("utf-8", "surrogatepass").translate(None, PLAIN).decode("utf-8", "surrogatepass")
    return STEERING.search(others) is None and re.search(r"\\[bfru]", text) is None


def _escape(found: re.Match[str]) -> str:
    code = ord(found[0])
    before = found.string[max(0, found.start() - 2) : found.start()].rstrip("\ufe0f")
    if found[0] in OF_EMOJI and EMOJI.match(before[-1:]) and found.string[found.start() - 1] != found[0]:
        return found[0]
    if 0xD800 <= code <= 0xDFFF:
        return "?"
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


class PrintableStream:
    """A text stream that writes to `stream` what `printable` leaves of what it is given."""

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream

    def write(self, text: str) -> int:
        self.stream.write(printable(text))
        return len(text)

    def writelines(self, lines: Any) -> None:
        for line in lines:
            self.write(line)

    def close(self) -> None:
        """Close nothing: a strategy that closes it has not made it, and the command has more to say."""

    def detach(self) -> Any:
        raise io.UnsupportedOperation("stdout and stderr stay with the command")

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)


@contextmanager
def guard_streams() -> Iterator[None]:
    """While it lasts, whatever is written to stdout and stderr, by whomever, is printable.

    What their encoding lacks is written as an escape rather than ending the command.
    """
    before = sys.stdout, sys.stderr
    for stream in before:
        if reconfigure := getattr(stream, "reconfigure", None):
            reconfigure(errors="backslashreplace")
    sys.stdout, sys.stderr = (cast(TextIO, PrintableStream(stream)) for stream in before)
    try:
        yield
    finally:
        sys.stdout, sys.stderr = before


def fill_streams() -> bool:
    """Put the null device in the place of closed streams, whose numbers a database would be given next; True where
    stdout was closed."""
    closed = sys.stdout is None
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
    sys.stdout = sys.stdout or open(os.devnull, "w")  # noqa: SIM115
    sys.stderr = sys.stderr or open(os.devnull, "w")  # noqa: SIM115
    return closed


def stream_of(err: bool = False) -> TextIO:
    """Return stdout or stderr itself, for whoever has made printable what it writes there."""
    stream = sys.stderr if err else sys.stdout
    return stream.stream if isinstance(stream, PrintableStream) else stream


def say(text: object = "", err: bool = False) -> None:
    """Print lines on stdout or, with `err`, on stderr, at once."""
    print(printable(str(text)), file=stream_of(err), flush=True)


def is_animated(err: bool = True) -> bool:
    """True where the stream is a terminal on which a line can be drawn again."""
    return stream_of(err).isatty() and os.environ.get("TERM", "").lower() not in STILL


def is_coloured() -> bool:
    """True unless NO_COLOR or FORCE_COLOR=0 says otherwise (no-color.org, force-color.org)."""
    return not os.environ.get("NO_COLOR") and os.environ.get("FORCE_COLOR", "").lower() not in ("0", "false")


def close_stdout() -> None:
    """Drop what is left in its buffer: the reader of stdout is gone or its disk full, and exit must not fail again."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
