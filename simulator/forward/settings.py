"""Settings of forward trading: `config/forward.yaml`. A workspace without the file has the defaults.

`terms` are those that change what is decided or ordered, and part of what is registered; the others say how an account
is looked after, and may change while a test goes on.
"""

from __future__ import annotations

import math
import re
from collections.abc import Collection
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from simulator.config import Section, parse_amount, read_yaml
from simulator.errors import ConfigError, did_you_mean

FILE = "forward.yaml"
EVERY = "*"
"""In `daily_loss`: every account not named."""
LOOKS_SECRET = re.compile(r"[\w-]{20,}")
"""A part of an address that may be a token, as in the webhooks of chat services."""

Seconds = Annotated[float, Field(gt=0, le=3600)]
Amount = Annotated[float | str, BeforeValidator(parse_amount)]
Address = Annotated[str, Field(pattern=r"^[^@\s,;<>]+@[^@\s,;<>]+$", max_length=254)]


def _check_webhook(url: str) -> str:
    parts = urlsplit(url)
    if url and not (parts.scheme in ("http", "https") and parts.hostname and url.isprintable()):
        raise ValueError("is no address of a webhook, which begins with https://")
    if "@" in parts.netloc or parts.query or LOOKS_SECRET.search(parts.path):
        raise ValueError("an address with a secret in it belongs into the variable SIM_WEBHOOK_URL")
    return url


class Email(Section):
    """Alerts by e-mail. The password stands in the variable SIM_SMTP_PASSWORD; without one nobody logs in."""

    host: Annotated[str, Field(pattern=r"^[A-Za-z0-9.:_-]+$")]
    port: int = Field(default=587, ge=1, le=65535)
    security: Literal["starttls", "ssl", "none"] = "starttls"
    """`ssl` for port 465; `none` only for a server that asks for no password."""
    user: str = ""
    """Name to log in with; empty for the sender's address."""
    sender: Address = Field(alias="from")
    to: tuple[Address, ...] = Field(min_length=1, max_length=20)


class AlertSettings(Section):
    repeat_minutes: float = Field(default=30.0, ge=0, le=1440)
    """Minutes within which the same alert goes out once; how often it came is told with the next."""
    email: Email | None = None
    webhook: Annotated[str, AfterValidator(_check_webhook)] = ""
    """URL that gets each alert as JSON; the variable SIM_WEBHOOK_URL comes before it."""


def _parse_approval(value: object) -> object:
    """Return ``none``, ``required`` or the percent of ``above 5 %``."""
    if value in (None, "none", "required"):
        return value
    above = re.fullmatch(r"above\s+(\d+(?:\.\d+)?)\s*%", str(value).strip())
    if above is None:
        raise ValueError("is none of `none`, `required`, `above 5 %`")
    return f"above {float(above[1]):g} %"


class Forward(Section):
    mode: Literal["paper", "live"] = "paper"
    """`live` alone opens nothing: `simulator.forward.mode` says what else it needs."""
    daily_loss: dict[str, Amount] = Field(default={})
    """Account, or ``*`` for every other → dollars or percent of the morning's equity. Beyond it nothing is entered
    on that day; exits and stops go on."""
    late: Literal["never", "same session"] = "never"
    """A point of decision that was missed: passed over and reported, or made good on its session."""
    bars_feed: Literal["sip", "iex"] | None = None
    """Tape that bars come from: empty for the consolidated one (sip) of days and the best that the plan has of minutes.
    Alpaca's free plan refuses the last 15 minutes of sip; iex is one exchange."""
    news: Literal["workspace", "broker"] = "workspace"
    """Headlines that models are shown: those of ``data/news``, or the broker's on the symbols, kept as they came."""
    bars_wait_minutes: float = Field(default=20.0, ge=0, le=120)
    """Minutes after its close that a point waits for the newest bar, within the day no longer than a bar; then the
    point is passed over, never decided on the bar before."""
    stale_quote_s: Seconds = 120.0
    """Seconds after which a quote is too old to order on."""
    clock_tolerance_s: Seconds = 120.0
    """Seconds this machine's clock may differ from the broker's, which counts; beyond them nothing is started."""
    poll_s: Seconds = 2.0
    """Seconds between two looks at orders and switches: the stream of trade updates is a hint, this is the truth."""
    timeout_s: Seconds = 10.0
    """Seconds one request to the broker may take."""
    heartbeat_s: Seconds = 15.0
    approval: Annotated[str | None, BeforeValidator(_parse_approval)] = None
    """Orders a person is asked for before they are sent: ``none``, ``required`` or ``above 5 %`` of the account's
    equity. Where nothing is set, required with real money and none on paper."""
    approval_minutes: float = Field(default=30.0, gt=0, le=390)
    """Minutes that a trade of an open market waits for an answer; before the open it waits until 09:27."""
    web_url: str = Field(default="", pattern=r"^(https?://[^\s]+)?$", max_length=200)
    """Address of `sim web`, which alerts link to."""
    alerts: AlertSettings = AlertSettings()

    @model_validator(mode="after")
    def _check_order(self) -> Forward:
        if self.heartbeat_s < self.poll_s:
            raise ValueError("heartbeat_s is below poll_s; the heart beats between two polls")
        return self

    @property
    def terms(self) -> dict[str, object]:
        """Settings that change what is decided or ordered."""
        asked = self.approval or ("required" if self.mode == "live" else "none")
        kept = (
            "mode",
            "daily_loss",
            "late",
            "news",
            "bars_feed",
            "bars_wait_minutes",
            "stale_quote_s",
            "approval_minutes",
        )
        return {**{name: getattr(self, name) for name in kept}, "approval": asked}

    def approval_share(self, mode: str) -> float | None:
        """Return the percent of equity above which an order waits for a person; None where none does."""
        asked = self.approval or ("required" if mode == "live" else "none")
        if asked == "none":
            return None
        return 0.0 if asked == "required" else float(asked.split()[1])

    def loss_limit(self, account: str, equity: float) -> float:
        """Return the dollars `account` may lose in a day that it begins with `equity`; infinite where none is set."""
        amount = self.daily_loss.get(account, self.daily_loss.get(EVERY, math.inf))
        return equity * float(amount[:-1]) / 100 if isinstance(amount, str) else amount


def load_settings(folder: Path, accounts: Collection[str] = ()) -> Forward:
    """Read ``forward.yaml`` of a config folder; the defaults where there is none.

    Raises ConfigError naming file and line, also for a `daily_loss` of none of the `accounts`.
    """
    path = folder / FILE
    try:
        path.lstat()
    except FileNotFoundError:
        return Forward()
    settings = read_yaml(path, Forward)
    for name in settings.daily_loss:
        if accounts and name != EVERY and name not in accounts:
            near = did_you_mean(name, accounts) or f"; there are {', '.join(accounts)}"
            raise ConfigError(f'daily_loss: no account "{name}"{near}', where=str(path))
    return settings
