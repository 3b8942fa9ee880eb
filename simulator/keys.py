"""Keys and passwords of the environment: read and checked before use, struck out of whatever is written or printed.

read_key("NAME") ─► stripped key, or a ConfigError that names the variable
scrub(text)      ─► text with [NAME] for every key and password, however it is escaped or encoded
"""

from __future__ import annotations

import os
import re
import sys
from base64 import b32decode, b64encode, urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Iterator
from contextlib import suppress
from functools import lru_cache
from unicodedata import normalize
from urllib.parse import unquote, unquote_plus

from simulator.errors import ConfigError

SHORTEST = 8
"""Characters below which a value is a word like others, and striking it out would spoil texts."""
NAMED = re.compile(r"(^|_)(API)?(KEYS?|SECRETS?|TOKENS?|PASS|PASSWD|PASSPHRASE|PAT|CREDENTIALS?|WEBHOOKS?)(_|$)|"
                   r"(KEY|SECRET|TOKEN|PASSWORD)$", re.IGNORECASE)  # fmt: skip
"""Names of variables that hold secrets; ALPACA_PAPER_KEY_TREND is one."""
IN_ADDRESS = (re.compile(r"^(\w[\w+.-]*://[^/\s:@]*:)(.+)(@.*)$"), re.compile(r"(\bpassword=)([^&\s'\"]+|'[^']+')()"))
"""A password in the address of a database or proxy, and in a list of settings."""
WITH_PASSWORD = re.compile(r"(\w://[^/\s:@\"']*:)[^/\s@\"']+@")
"""An address with a password, however short and whosever it is."""
INVISIBLE = "\ufeff\u200b\u200c\u200d\u2060\u00a0"
ESCAPED = re.compile(r"\\+(?:u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|x([0-9a-fA-F]{2})|([nrt])|(?=(.)))", re.DOTALL)
LONG, WORDS = 10, re.compile(r"[A-Za-z]*\d{0,2}|\d*")
ENCODED = re.compile(r"[A-Za-z0-9+/_-]{16,}={0,6}")
"""A word that may be base64 or base32."""
URLSAFE, SIGNS = str.maketrans("+/", "-_"), re.compile(r"[\W_]+")
ASCII_SIGNS = {number: None for number in range(128) if not chr(number).isalnum()}
FOLDED = 12
"""Letters and digits from which on a secret is looked for without case and separators."""
CONTROLS = {"n": "\n", "r": "\r", "t": "\t"}

_configured: set[str] = set()
"""Variables that config/models.yaml names, whatever they are called."""


def read_key(name: str, where: str | None = None) -> str:
    """The key in the variable `name` without the spaces, line ends, quotes and byte-order mark around it.

    `where` is the address of the model it is for; what is on disk needs none.
    Raises ConfigError, which never repeats the value, where nothing is left or what is left can be no key: characters
    that are not visible ASCII, or several words.
    """
    _configured.add(name)
    key = os.environ.get(name, "").strip().strip(INVISIBLE).strip()
    if len(key) > 1 and key[0] == key[-1] and key[0] in "'\"`":
        key = key[1:-1].strip().strip(INVISIBLE)
    mend = f"`export {name}=…`" + ("; what is on disk needs no key: `--cache replay`" if where else "")
    if not key:
        raise ConfigError(f"{name} is {'empty' if name in os.environ else 'not set'}", where=where, mend=mend)
    odd = next((number for number, one in enumerate(key, 1) if not "!" <= one <= "~"), 0)
    if odd:
        kind = "a space or line end" if key[odd - 1].isspace() else "a character that is not ASCII"
        raise ConfigError(f"{name} holds no key: character {odd} of {len(key)} is {kind}", where=where, mend=mend)
    return key


def scrub(text: str) -> str:
    """`text` with ``[NAME]`` in place of every key and password of the environment.

    They are found as they are, as their repr, JSON-, URL- or HTML-escaped, in hex, and in base64 at any offset. A text
    is given up whole that holds one under several such layers, in other letters (case, full width), with signs between
    them, as octal or quoted-printable bytes, in base32, or in base64 of base64 or of UTF-16.
    """
    layers: list[str] = []
    for name, secret in _secrets():
        layers = layers or _readings(text)
        if not _stands_in(secret, layers):
            continue
        text = _match_spellings(secret).sub(f"[{name}]", text)
        layers = _readings(text)
        # Broken across lines, or under layers no pattern reaches. Words may meet by accident; keys do not.
        if len(secret) >= LONG and not WORDS.fullmatch(secret) and _stands_in(secret, layers):
            text, layers = f"[a text that held {name}]", []
    return WITH_PASSWORD.sub(r"\1***@", text) if "://" in text else text


def scrub_bytes(data: bytes) -> bytes:
    """`scrub` for bytes in UTF-8 or any encoding that holds ASCII as it is, in UTF-16 and UTF-32; gives UTF-8.

    NULs are left out: readers of JSON take bytes with some for UTF-16, and would read what was not looked at.
    """
    import json

    encoding = json.detect_encoding(data)
    text = data.decode(encoding, "replace") if not encoding.startswith("utf-8") else ""
    if text.count('"') < 2:
        # No JSON in that encoding, or a single character; a plain text in it is readable without its NULs.
        text = data.replace(b"\0", b"").lstrip(b"\xff\xfe").decode("utf-8", "surrogateescape")
    return scrub(text.replace("\0", "")).encode("utf-8", "surrogateescape")


def is_secret(name: str) -> bool:
    """True for names as variables with secrets have them."""
    return NAMED.search(name) is not None


def _secrets() -> list[tuple[str, str]]:
    """(name, value) of the environment's keys and passwords, long values first."""
    found: dict[str, str] = {}
    for name, value in os.environ.items():
        if is_secret(name) or name in _configured:
            for secret in (value, value.strip(), value.strip().strip(INVISIBLE + "'\"`").strip()):
                found.setdefault(secret, name)
        for pattern in IN_ADDRESS:
            for match in pattern.finditer(value):
                before, password, after = match.groups()
                # A password that is also the name of the user or the scheme is no secret, and a common word.
                if password not in before + after:
                    found.setdefault(password, name)
                    found.setdefault(unquote(password), name)
    pairs = [(name, secret) for secret, name in found.items() if len(secret) >= SHORTEST]
    return sorted(pairs, key=lambda pair: (-len(pair[1]), pair[0]))


def _stands_in(secret: str, layers: list[str]) -> bool:
    return any(one in layer for layer in layers for one in _plain(secret))


@lru_cache(maxsize=256)
def _plain(secret: str) -> tuple[str, ...]:
    """Texts of which at least one stands in a text that holds `secret`, once escapes and spaces are taken off."""
    data = secret.encode("utf-8", "surrogateescape")
    bare = tuple(_without_spaces(text) for text in (secret, data.decode("latin-1")))
    folded = _fold(secret)
    # Words may stand in any text, in any case and with any signs between them; keys have digits.
    if len(folded) >= FOLDED and any(one.isdigit() for one in folded) and not WORDS.fullmatch(secret):
        bare = (*bare, folded, "".join(f"{byte:03o}" for byte in data))
    return tuple({*filter(None, bare), data.hex(), data.hex().upper(), *_cores(data)})


@lru_cache(maxsize=256)
def _match_spellings(secret: str) -> re.Pattern[str]:
    """Pattern of every spelling of `secret`."""
    data = secret.encode("utf-8", "surrogateescape")
    edge = r"(?:[A-Za-z0-9+/_-]|%(?:25){0,3}(?i:2b|2f)|\\/){0,8}"
    cores = (
        edge + "".join(map(_match_character, core)) + edge + "(?:=|%(?:25){0,3}3[dD]){0,2}" for core in _cores(data)
    )
    plain = ("".join(map(_match_character, text)) for text in dict.fromkeys((secret, data.decode("latin-1"))))
    return re.compile("|".join((*plain, f"(?i:{data.hex()})", *cores)))


def _cores(data: bytes) -> list[str]:
    """Base64 of `data` after 0, 1 and 2 other bytes, without the characters that depend on what stands beside it."""
    found = []
    for offset in range(3):
        first, end = (offset * 8 + 5) // 6, (offset + len(data)) * 8 // 6
        found += [encode(b"\0" * offset + data).decode()[first:end] for encode in (b64encode, urlsafe_b64encode)]
    return list(dict.fromkeys(found))


@lru_cache(maxsize=512)
def _match_character(one: str) -> str:
    """Pattern of every way in which `one` character is written."""
    from html import entities

    number, data = ord(one), one.encode("utf-8", "surrogateescape")
    utf16 = one.encode("utf-16-be", "surrogatepass").hex()
    # Repeats are bounded: a text made of nothing but backslashes must not take minutes.
    slash, amp = r"\\{1,8}", "&(?:amp;){0,3}"
    ways = [
        r"\\{0,8}" + re.escape(one),
        slash + slash.join(f"(?i:u{utf16[i : i + 4]})" for i in range(0, len(utf16), 4)),
        rf"{slash}U(?i:{number:08x})",
        "".join(rf"{slash}(?i:x{byte:02x})" for byte in data),
        "".join(f"%(?:25){{0,3}}(?i:{byte:02x})" for byte in data),
        rf"{amp}#0{{0,6}}{number}(?!\d);?",
        rf"{amp}#(?i:x0{{0,6}}{number:x})(?![0-9a-fA-F]);?",
    ]
    names = [name for name, meant in entities.html5.items() if meant == one]
    ways += [amp + re.escape(name) for name in sorted(names, key=len, reverse=True)]
    if number < 256:
        ways.append(rf"{slash}(?i:x{number:02x})")
    ways += [slash + letter for letter, meant in CONTROLS.items() if meant == one]
    if one.isspace():
        ways += [r"\+", r"\s{1,40}"]
    return f"(?:{'|'.join(ways)})"


def _readings(text: str) -> list[str]:
    """Everything a reader could make of `text`: its layers, what is encoded in its words, all of it folded."""
    found = list(_layers(text))
    bare = text.replace("\\/", "/")
    for _ in range(2):
        bare = "\n".join(one for word in dict.fromkeys(ENCODED.findall(bare)) for one in _decode_word(word))
        found.append(bare)
    # The first layer is the text without backslashes and spaces: folded, it is the text folded.
    return list(dict.fromkeys((*found, *map(_fold, found))))


def _decode_word(word: str) -> Iterator[str]:
    """The word out of base64 and base32, where it can be; NULs of UTF-16 left out."""
    word = word.rstrip("=")
    for decode, block in ((urlsafe_b64decode, 4), (b32decode, 8)):
        given = word.translate(URLSAFE) if block == 4 else word.upper()
        with suppress(ValueError):
            yield decode(given + "=" * (-len(given) % block)).replace(b"\0", b"").decode("latin-1")


def _fold(text: str) -> str:
    """Letters and digits alone, in lower case and of usual width."""
    return text.lower().translate(ASCII_SIGNS) if text.isascii() else SIGNS.sub("", normalize("NFKC", text).casefold())


def _layers(text: str) -> Iterator[str]:
    """`text` without backslashes and spaces, and what is left when escapes are taken off, one layer after the other."""
    import html

    yield _without_spaces(text)
    for _ in range(3):
        bare = ESCAPED.sub(_unescape, text) if "\\" in text else text
        # Two escapes of one character beyond U+FFFF are halves until they are put together.
        bare = bare.encode("utf-16", "surrogatepass").decode("utf-16", "replace") if bare != text else bare
        bare = html.unescape(bare) if "&" in bare else bare
        if "%" in bare:
            yield _without_spaces(unquote_plus(bare))
            bare = unquote(bare)
        if bare == text:
            return
        yield _without_spaces(bare)
        text = bare


def _without_spaces(text: str) -> str:
    return "".join(text.replace("\\", "").split())


def _unescape(match: re.Match[str]) -> str:
    wide, wider, narrow, letter, _ = match.groups()
    if number := wide or wider or narrow:
        return chr(min(int(number, 16), sys.maxunicode))
    return CONTROLS.get(letter or "", "")
