"""Alerts of forward trading: to the log always, by e-mail and to a webhook where config/forward.yaml says so.

    send(alert) ──► log
        └── folded: the same alert once in `repeat_minutes` ──► queue of each channel ──► its own thread ──► SMTP, HTTP

Sending returns at once. A channel that is down is tried twice, then the log says so; the loop never waits for one.
"""

from __future__ import annotations

import os
import queue
import re
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from email.message import EmailMessage
from email.utils import format_datetime, make_msgid
from functools import partial
from typing import Any, Literal, get_args

from simulator.errors import ConfigError
from simulator.forward.log import Log
from simulator.forward.settings import AlertSettings, Email
from simulator.keys import read_key, scrub
from simulator.market.calendar import NEW_YORK, say_time
from simulator.printing import printable

Kind = Literal[
    "started", "stopped", "paused", "resumed", "kill switch", "point late", "point missed", "decision failed",
    "loss limit", "broker unreachable", "key refused", "account changed", "account restricted", "order refused",
    "order unknown", "position unprotected", "position unintended", "books differ", "external order", "stale quote",
    "approval asked", "approval expired", "halt", "no bar", "split", "not shortable", "clock", "disk",
    "program changed", "failed",
]  # fmt: skip
KINDS: tuple[str, ...] = get_args(Kind)
SERIOUS = frozenset[Kind](
    {"decision failed", "point missed", "broker unreachable", "order unknown", "position unprotected",
     "position unintended", "books differ", "approval expired", "disk", "clock", "failed"}
)  # fmt: skip
"""Kinds after which somebody should look, however the test ends."""
LEFT_ALONE = "nothing is done there any more"
"""Ends the alert about an account that is left alone until the next start."""
PASSWORD, WEBHOOK = "SIM_SMTP_PASSWORD", "SIM_WEBHOOK_URL"
TIMEOUT_S, RETRY_S, CLOSING_S = 10.0, 2.0, 5.0
WAITING = 100
"""Alerts a channel may be behind; further ones are in the log alone."""
CHANGING = re.compile(r"\d[\d.,:]*")
"""What differs between two tellings of the same thing: prices, times, counts."""


@dataclass(frozen=True)
class Alert:
    """A thing a person should hear of. `at` is aware and the loop's own time; `account` is empty for all of them."""

    kind: Kind
    text: str
    at: datetime
    account: str = ""

    def line(self) -> str:
        """Return the alert in one line that neither steers a terminal nor holds a key."""
        return printable(" ".join(scrub(f"{self.kind}: {self.account} {self.text}").split()))


Deliver = Callable[[str, Alert], None]
"""Sends an alert of a run, or raises."""


@dataclass
class _Fold:
    since: datetime
    alert: Alert
    more: int = 0


class Alerts:
    """Alerts of the run whose `log` is given. `settings` say which channels there are; `channels` are used instead."""

    def __init__(self, settings: AlertSettings, log: Log, channels: Mapping[str, Deliver] | None = None) -> None:
        self._log, self._window = log, timedelta(minutes=settings.repeat_minutes)
        opened = open_channels(settings) if channels is None else channels
        self._channels = [_Channel(name, deliver, log) for name, deliver in opened.items()]
        self.echo: Callable[[str], None] = lambda _line: None
        """Gets the line of every alert at once: a terminal."""
        self._folds: dict[tuple[str, str, str], _Fold] = {}
        self._lock = threading.RLock()

    def send(self, alert: Alert) -> None:
        """Write the alert to the log and put it in the channels' queues, unless it went out a short time ago."""
        self._log.write(f"alert.{alert.kind}", alert.at, alert.account, text=alert.text)
        with suppress(OSError, ValueError):  # its reader is gone, which stops nothing
            self.echo(f"{alert.at.astimezone(NEW_YORK):%Y-%m-%d %H:%M:%S %Z} {alert.line()}")
        with self._lock:
            same = (alert.kind, alert.account, CHANGING.sub("#", alert.text))
            fold = self._folds.get(same)
            if fold and alert.at - fold.since < self._window:
                fold.more, fold.alert = fold.more + 1, alert
                return
            self._folds[same] = _Fold(alert.at, alert)
            self._queue(_with_count(alert, fold))

    def tell_folded(self) -> None:
        """Send how often each alert came that was held back: at the end of a session, and of the loop."""
        with self._lock:
            folds, self._folds = self._folds, {}
            for fold in folds.values():
                if fold.more:
                    self._queue(_with_count(fold.alert, replace(fold, more=fold.more - 1)))

    def close(self, wait_s: float = CLOSING_S) -> None:
        """Tell what was held back and wait at most `wait_s` seconds for all channels together."""
        self.tell_folded()
        for channel in self._channels:
            channel.end()
        until = time.monotonic() + wait_s
        for channel in self._channels:
            channel.join(max(0.0, until - time.monotonic()))
            channel.give_up()

    def _queue(self, alert: Alert) -> None:
        for channel in self._channels:
            channel.put(alert)


def _with_count(alert: Alert, fold: _Fold | None) -> Alert:
    if fold is None or not fold.more:
        return alert
    return replace(alert, text=f"{alert.text} ({fold.more} more since {say_time(fold.since)})")


class _Channel(threading.Thread):
    """One way out, with a queue of its own, so that a dead one holds up neither the loop nor the others."""

    def __init__(self, name: str, deliver: Deliver, log: Log) -> None:
        super().__init__(name=f"alerts by {name}", daemon=True)
        self._channel, self._deliver, self._log = name, deliver, log
        self._waiting: queue.Queue[Alert | None] = queue.Queue(WAITING)
        self._sending: Alert | None = None
        self._ended = threading.Event()
        self.start()

    def put(self, alert: Alert) -> None:
        try:
            self._waiting.put_nowait(alert)
        except queue.Full:
            self._tell(alert, f"{WAITING} are waiting before it")

    def end(self) -> None:
        self._ended.set()
        with suppress(queue.Full):
            self._waiting.put_nowait(None)

    def give_up(self) -> None:
        """Write to the log what has not gone out by now; nothing where all has."""
        left = [self._sending, *self._waiting.queue] if self.is_alive() else []
        for alert in left:
            if alert is not None:
                self._tell(alert, "the loop ended before it")

    def run(self) -> None:
        while (alert := self._waiting.get()) is not None:
            self._sending = alert
            fault = self._try(alert)
            if fault:
                self._ended.wait(RETRY_S)
                fault = self._try(alert)
            if fault:
                self._tell(alert, fault)
            self._sending = None
            if self._ended.is_set() and self._waiting.empty():
                return

    def _try(self, alert: Alert) -> str:
        try:
            self._deliver(self._log.run, alert)
        except Exception as error:
            return _explain(error)
        return ""

    def _tell(self, alert: Alert, why: str) -> None:
        self._log.write("alert.not delivered", alert.at, alert.account, alert=alert.kind, by=self._channel, why=why)


def _explain(error: Exception) -> str:
    """Return the kind of fault without the text of the error, which may repeat an address with a secret in it."""
    for name in ("smtp_code", "code"):
        if isinstance(number := getattr(error, name, None), int):
            return f"answer {number}"
    reason = getattr(error, "reason", error)
    known = reason if isinstance(reason, OSError) else error
    return getattr(known, "strerror", None) or type(known).__name__


# ── ways out ────────────────────────────────────────────────────────────────────────────────────────────────────────


def open_channels(settings: AlertSettings) -> dict[str, Deliver]:
    """Return the channels that config/forward.yaml and the environment name. Raises ConfigError for a key that is none.

    No connection is made before the first alert.
    """
    channels: dict[str, Deliver] = {}
    if settings.email is not None:
        password = read_key(PASSWORD) if os.environ.get(PASSWORD) else ""
        if password and settings.email.security == "none":
            mend = "say `security: starttls` or ssl, or `unset` it"
            raise ConfigError(f"alerts.email would send {PASSWORD} in the clear", mend=mend)
        channels["e-mail"] = partial(_mail, settings.email, password)
    url = read_key(WEBHOOK) if os.environ.get(WEBHOOK) else settings.webhook
    if url and not url.startswith(("http://", "https://")):
        raise ConfigError(f"{WEBHOOK} is no address of a webhook", mend="it begins with https://")
    if url:
        channels["webhook"] = partial(_post, url)
    return channels


def _mail(settings: Email, password: str, run: str, alert: Alert) -> None:
    import smtplib
    import ssl

    line = alert.line()
    message = EmailMessage()
    message["From"], message["To"] = settings.sender, ", ".join(settings.to)
    message["Subject"] = f"sim forward {run[:8]}: {line[:120]}"
    message["Date"], message["Message-ID"] = format_datetime(alert.at), make_msgid(domain="simulator.invalid")
    message.set_content(f"{line}\n\nrun {run}, {alert.at.isoformat()}\n`sim forward status` says how it stands.\n")
    trusted = ssl.create_default_context()
    if settings.security == "ssl":
        server: smtplib.SMTP = smtplib.SMTP_SSL(settings.host, settings.port, timeout=TIMEOUT_S, context=trusted)
    else:
        server = smtplib.SMTP(settings.host, settings.port, timeout=TIMEOUT_S)
    with server:
        if settings.security == "starttls":
            server.starttls(context=trusted)
        if password:
            server.login(settings.user or settings.sender, password)
        server.send_message(message)


def _post(url: str, run: str, alert: Alert) -> None:
    import json
    from urllib.error import HTTPError
    from urllib.request import HTTPRedirectHandler, Request, build_opener

    line = f"sim forward {run[:8]}: {alert.line()}"
    # `text` is what Slack and Mattermost show, `content` what Discord does.
    body: dict[str, Any] = {"text": line, "content": line, "kind": alert.kind, "account": alert.account, "run": run}
    request = Request(url, json.dumps({**body, "at": alert.at.isoformat()}).encode(), method="POST")
    request.add_header("Content-Type", "application/json")

    class Straight(HTTPRedirectHandler):
        def redirect_request(self, *_given: Any) -> None:
            """Follow nothing: another address would be asked without the alert, and an answer of 300 is a fault."""

    try:
        build_opener(Straight).open(request, timeout=TIMEOUT_S).close()
    except HTTPError as error:
        error.close()
        raise


__all__ = ["KINDS", "Alert", "Alerts", "Kind", "open_channels"]
