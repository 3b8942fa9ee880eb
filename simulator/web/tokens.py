"""Tokens of the people who may look, or answer: `web.tokens` in the workspace holds a hash of each, never the token."""

from __future__ import annotations

import hashlib
import json
import secrets
import unicodedata
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from simulator.errors import ConfigError, UsageError
from simulator.files import PRIVATE, locked, read_text, write_file
from simulator.workspace import Workspace

Role = Literal["read", "approve"]
FILE = "web.tokens"
TERMINAL = "terminal:"
"""Begins the name of who acts at a terminal."""


@dataclass(frozen=True)
class Token:
    """A person's token: `digest` is its SHA-256. It has 256 random bits, so a slow hash would add nothing."""

    name: str
    role: Role
    digest: str
    made_at: str


def digest_of(text: str) -> str:
    """Return the SHA-256 of a token, in hex."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def read_tokens(workspace: Workspace) -> list[Token]:
    """Return the tokens of a workspace. Raises ConfigError for a file that is none."""
    path = workspace.out / FILE
    try:
        return [Token(**one) for one in json.loads(read_text(path, 1_000_000))]
    except FileNotFoundError:
        return []
    except (OSError, ValueError, TypeError):
        raise ConfigError("is no list of tokens", where=str(path), mend="remove it and add tokens anew") from None


def add_token(workspace: Workspace, name: str, role: Role) -> str:
    """Return a new token, which is kept nowhere. Raises UsageError where `name` has one."""
    text = secrets.token_urlsafe(32)
    with locked(workspace.out):
        known = read_tokens(workspace)
        if not name.isprintable() or not name.strip() or len(name) > 64:
            raise UsageError("a token has the name of its person", mend="1 to 64 printable characters")
        if TERMINAL in _fold(name):
            raise UsageError(f"{TERMINAL} names who acts at a terminal", mend="give the token another name")
        if _fold(name) in {_fold(one.name) for one in known}:
            raise UsageError(f'"{name}" has a token', mend=f"`sim web token revoke {name}` first")
        made_at = datetime.now(UTC).isoformat(timespec="seconds")
        _write(workspace.out / FILE, [*known, Token(name, role, digest_of(text), made_at)])
    return text


def refuse_claimed(workspace: Workspace, name: str) -> None:
    """Raise UsageError where somebody at a terminal acts for a `name` that has a token, or one that says a terminal."""
    if not name.isprintable() or len(name) > 64 or TERMINAL in _fold(name):
        raise UsageError("nobody has such a name", mend="1 to 64 printable characters")
    if _fold(name) in {_fold(one.name) for one in read_tokens(workspace)}:
        raise UsageError(f'"{name}" has a token', mend="answer on the page, by it, or here under your own name")


def _fold(name: str) -> str:
    """Return a name as people tell it from others: without case, spaces around it and look-alike forms."""
    return unicodedata.normalize("NFKC", name).casefold().strip()


def revoke_token(workspace: Workspace, name: str) -> None:
    """Revoke the token of `name`; its sessions end with it. Raises UsageError where there is none."""
    with locked(workspace.out):
        known = read_tokens(workspace)
        left = [one for one in known if one.name != name]
        if len(left) == len(known):
            raise UsageError(f'"{name}" has no token', mend="`sim web token list` names them")
        _write(workspace.out / FILE, left)


def find_token(workspace: Workspace, text: str) -> Token | None:
    """Return the token whose text this is; every hash is compared, each in constant time."""
    given = digest_of(text)
    found = [one for one in read_tokens(workspace) if secrets.compare_digest(one.digest, given)]
    return found[0] if found else None


def _write(path: Path, tokens: list[Token]) -> None:
    write_file(path, (json.dumps([asdict(one) for one in tokens], indent=1) + "\n").encode(), PRIVATE)
