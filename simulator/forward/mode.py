"""Paper or live: which keys open an account, and everything that must come together before one is live.

    config/forward.yaml  mode: live ─┐
    ALPACA_LIVE_KEY_<ACCOUNT> … ─────┤
    daily_loss for the account ──────┼─► open_keys ─► Keys(paper=False)
    the sentence, typed at start ────┘       └─ anything missing: an error that names it, or paper

Only this file knows that there is anything but paper (tests/forward/test_mode.py looks through the package).
"""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from simulator.errors import BrokerError, ConfigError, SimError, UsageError
from simulator.forward.settings import Forward
from simulator.keys import read_key


@dataclass(frozen=True)
class Keys:
    """Keys of one account; `paper` is False only where `open_keys` found everything that live trading needs."""

    account: str
    key: str = field(repr=False)
    secret: str = field(repr=False)
    paper: bool = True


def name_keys(account: str, mode: str = "paper") -> tuple[str, str]:
    """Return the variables that hold key and secret of `account`."""
    return f"ALPACA_{mode.upper()}_KEY_{account.upper()}", f"ALPACA_{mode.upper()}_SECRET_{account.upper()}"


def sentence(accounts: Sequence[str]) -> str:
    """Return the sentence that is typed at the start of live trading, word for word."""
    return f"trade real money in {' and '.join(accounts)}"


def open_keys(account: str, settings: Forward, accounts: Sequence[str] = (), typed: str = "") -> Keys:
    """Return the keys of `account`: live where all of it comes together, paper where `mode` is paper.

    `accounts` are all that are traded together (default: this one), `typed` is what a person typed at the start.
    Raises ConfigError that names all that live trading lacks, or the variable of a paper key that is missing, and never
    repeats a key.
    """
    if settings.mode != "live":
        key, secret = map(read_key, name_keys(account))
        return Keys(account, key, secret)
    if lacks := find_lacks(account, settings, accounts or (account,), typed):
        mend = "`mode: paper` in config/forward.yaml trades on paper"
        raise ConfigError(f"{account} is not traded live: {'; '.join(lacks)}", mend=mend)
    key, secret = map(read_key, name_keys(account, "live"))
    return Keys(account, key, secret, paper=False)


def make_rehearsal_keys(account: str) -> Keys:
    """Return keys for a rehearsal exchange: never real ones, which whoever listens on a port would get."""
    return Keys(account, f"REHEARSAL{account.upper()}", "rehearsed")


def find_lacks(account: str, settings: Forward, accounts: Sequence[str], typed: str) -> list[str]:
    """List what is missing before `account` may be traded live; empty where nothing is."""
    lacks = [] if settings.mode == "live" else ["config/forward.yaml says mode: paper"]
    for live, paper in zip(name_keys(account, "live"), name_keys(account), strict=True):
        try:
            key = read_key(live)
        except SimError as error:
            lacks.append(error.found)
            continue
        if key == os.environ.get(paper, "").strip():
            lacks.append(f"{live} is the paper key again")
    if settings.loss_limit(account, 1.0) == float("inf"):
        lacks.append(f"config/forward.yaml has no daily_loss for {account}")
    if " ".join(typed.split()) != sentence(accounts):
        lacks.append(f'"{sentence(accounts)}" was not typed at the start')
    return lacks


def pin_account(account: str, registered: str | None, found: str) -> str:
    """Return the number of the account that a key opens. Raises OtherAccountError where another one was registered."""
    if not found.strip():
        raise BrokerError(f"{account}: the broker names no account number", mend="`sim doctor` asks again")
    if registered is not None and registered != found:
        from simulator.forward.requests import OtherAccountError

        what = f"the key of {account} opens account {found}; {registered} is registered"
        raise OtherAccountError(what, mend="give the key of that account, or register anew: `sim forward start`")
    return found


def check_address(url: str | None, paper: bool = True) -> None:
    """Raise UsageError where `url`, an address in place of Alpaca's, leads off this machine or stands beside live keys:
    keys are sent there, and orders."""
    mend = "a rehearsal exchange is at http://127.0.0.1:PORT"
    try:
        parts = urlsplit(url or "")
        host, known = parts.hostname or "", parts.scheme in ("http", "https") and parts.port != 0
    except ValueError:  # a port beyond 65535, half a bracket
        host, known = "", False
    if url is not None and not known:
        raise UsageError(f'"{url}" is no address of an exchange', mend=mend)
    if url is not None and not paper:
        raise UsageError("live keys are for Alpaca alone", mend=mend)
    if url is not None and not is_loopback(host):
        raise UsageError(f'"{host}" is not on this machine', mend=mend)


def is_loopback(host: str) -> bool:
    """Return True for a name or number of this machine that others cannot reach."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
