"""Faults of a broker on purpose: what can go wrong around a request, with an order, on a stream, in a market.

    Faults({"reply-lost": 0.2, "halt": {"symbol": "SPY"}, "503": {"on": "GET /v2/positions*", "times": 2}})

A fault is a likelihood, or a rule: how likely, how often, and for which account, symbol and request. Those that last
(a halt, a blocked account) hold while their rule stands. What happens once (a split, an order by hand) is a deed of
script.py; `script` takes both, each at its instant.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from fnmatch import fnmatchcase
from typing import NamedTuple

from simulator.errors import UsageError, did_you_mean

_ANSWERS = {
    "504": "answered with 504",
    "503": "answered with 503",
    "429": "answered with 429, nothing left in this minute",
    "502-html": "answered with a page of HTML where JSON was meant",
    "hang": "not answered for a minute",
}
BEFORE = ("request-lost", *_ANSWERS)
AFTER = ("reply-lost", *(f"{name}-after" for name in _ANSWERS))
ORDERS = ("id-taken", "id-stolen")
BLOCKS = ("account-blocked", "trading-blocked", "suspend-trade")

FAULTS: Mapping[str, str] = {
    "reply-lost": "the request is carried out, and the connection breaks before its answer",
    "request-lost": "the connection breaks, without effect",
    **{f"{name}-after": f"the request is carried out, and {text}" for name, text in _ANSWERS.items()},
    **{name: f"{text}, without effect" for name, text in _ANSWERS.items()},
    "id-taken": "the order is taken, and refused as if its client_order_id had been used before",
    "id-stolen": "an order of twice its size is taken under its client_order_id, and it is refused",
    "order-rejected": "the order is accepted, and rejected when time goes on",
    "fill-first": "the trading stream has told the order, and in an open market its fill, before its answer",
    "fill-wins": "an order that is cancelled or replaced fills first: 422",
    "cancel-late": "a cancellation is accepted, 204, and the order fills all the same",
    "replace-pending": "the old order stays pending_replace until time goes on; if it fills, the new one is rejected",
    "partial": "an order fills in two parts, a bar between them",
    "stop-uncut": "a take-profit that fills in part leaves the stop as large as it was",
    "both-legs": "the stop and the take-profit fill",
    "group-left": "one order of a group is cancelled, and the others stay",
    "fill-lost": "a fill that the trading stream does not tell",
    "fill-twice": "a fill that the trading stream tells twice, under one execution id",
    "mute": "a trading stream that is open and tells nothing",
    "unlistened": "a trading stream that is asked to listen and does not answer",
    "stream-cut": "a trading stream breaks where it was to tell an event, which it does not tell later",
    "stream-refused": "a stream that takes no connection",
    "halt": "a symbol is halted: its orders are refused, none fills, its quote stays as it was",
    "stale": "the quote of a symbol stays as it was",
    "sip-delayed": "bars of the consolidated tape are refused while they end in the last 15 minutes, as on a free plan",
    "hard-to-borrow": "no new short: waiting ones are cancelled before the open, others refused",
    "account-blocked": "the account says account_blocked and takes no order",
    "trading-blocked": "the account says trading_blocked and takes no order",
    "suspend-trade": "the account says trade_suspended_by_user and takes no order",
    "key-revoked": "the key is no longer known, from one request to the next",
    "no-pdt-fields": "account and configuration without the old fields on pattern day trading",
    "clock-ahead": "seconds by which /v2/clock and the Date header are ahead of the exchange",
    "clock-behind": "seconds by which they are behind",
}
SECONDS = ("clock-ahead", "clock-behind")


class About(NamedTuple):
    """Target of a fault: an account (its key), a symbol, a request (``POST /v2/orders``) or an order's role (entry,
    take_profit, stop_loss, exit), and what tells it from others of its kind."""

    account: str = ""
    symbol: str = ""
    on: str = ""
    of: str = ""


ANY = About()


@dataclass(frozen=True)
class Rule:
    """Rule of a fault: it strikes with `chance`, at most `times` times, where account, symbol and `on` (``*`` stands
    for anything) are those; empty ones are any. `since` is the instant from which on the rule stands."""

    chance: float = 1.0
    times: int | None = None
    account: str = ""
    symbol: str = ""
    on: str = ""
    seconds: float = 0.0
    since: int = 0

    @property
    def place(self) -> tuple[str, str, str]:
        return self.account, self.symbol, self.on

    def fits(self, about: About) -> bool:
        return (
            self.account in ("", about.account)
            and self.symbol in ("", about.symbol)
            and (not self.on or fnmatchcase(about.on, self.on))
        )


Given = float | Mapping[str, object]
"""A likelihood (or seconds, for a clock), or the fields of a Rule."""


@dataclass
class Faults:
    """Faults and how likely each is, drawn from `seed`; `happened` counts them.

    A draw depends on what is struck and on how often that was asked about before, not on what else goes on: requests
    that come in another order meet the same faults.
    """

    likely: Mapping[str, Given] = field(default_factory=dict)
    seed: int = 0
    script: Sequence[str | Mapping[str, object]] = ()
    happened: dict[str, int] = field(default_factory=dict)
    clock: Callable[[], int] = int

    def __post_init__(self) -> None:
        self._rules: dict[str, list[Rule]] = {}
        self._draws: Counter[str] = Counter()
        self.set(self.likely)

    def set(self, likely: Mapping[str, Given]) -> None:
        """Change faults; a chance of 0 ends one. Raises UsageError for an unknown fault, field or likelihood."""
        for name, rule in [(name, _read_rule(name, given)) for name, given in likely.items()]:
            places = [one for one in self._rules.get(name, []) if one.place != rule.place]
            on = rule.chance > 0.0 and (name not in SECONDS or rule.seconds)
            self._rules[name] = [*places, replace(rule, since=self.clock())] if on else places

    def rule(self, name: str, about: About = ANY) -> Rule | None:
        """Return the rule of a lasting fault that holds for `about`, None where it does not."""
        return next((one for one in self._rules.get(name, ()) if one.fits(about)), None)

    def strikes(self, names: Sequence[str], about: About = ANY) -> str | None:
        """Return the first of `names` that happens now to `about`, None where none does."""
        for name in names:
            rule = self.rule(name, about)
            if rule is None:
                continue
            drawn = f"{self.seed} {name} {about}"
            self._draws[drawn] += 1
            digits = hashlib.sha256(f"{drawn} {self._draws[drawn]}".encode()).hexdigest()[:13]
            if int(digits, 16) / 16.0**13 >= rule.chance:
                continue
            self.happened[name] = self.happened.get(name, 0) + 1
            if rule.times is not None:
                rest = [replace(rule, times=rule.times - 1)] if rule.times > 1 else []
                self._rules[name] = [*rest, *(one for one in self._rules[name] if one is not rule)]
            return name
        return None


def _read_rule(name: str, given: Given) -> Rule:
    if name not in FAULTS:
        raise UsageError(f'no fault "{name}"{did_you_mean(name, FAULTS)}', mend=f"one of {', '.join(FAULTS)}")
    number = "seconds" if name in SECONDS else "chance"
    fields = dict(given) if isinstance(given, Mapping) else {number: given}
    unknown = set(fields) - (set(asdict(Rule())) - {"since"})
    if unknown:
        raise UsageError(f"fault {name} has no {sorted(unknown)[0]}", mend="chance, times, account, symbol, on")
    try:
        rule = Rule(
            float(str(fields.get("chance", 1.0))),
            None if fields.get("times") is None else int(str(fields["times"])),
            str(fields.get("account", "")),
            str(fields.get("symbol", "")).upper(),
            str(fields.get("on", "")),
            float(str(fields.get("seconds", 0.0))),
        )
    except ValueError as error:
        raise UsageError(f"fault {name}: {error}", mend="chance, seconds and times are numbers") from None
    if not 0.0 <= rule.chance <= 1.0:
        raise UsageError(f"fault {name} was {rule.chance}", mend="give a probability from 0 to 1")
    if not abs(rule.seconds) <= 1e6 or (rule.times is not None and rule.times < 1):
        raise UsageError(f"fault {name} was {rule.seconds or rule.times}", mend="give seconds, or times from 1 on")
    return rule
