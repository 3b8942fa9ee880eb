"""`python -m simulator.exchange --bars data --symbols SPY,QQQ --from 2024-06-03`; `--fault list` names its faults."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from simulator.errors import DataError, SimError, UsageError
from simulator.exchange import forms
from simulator.exchange.exchange import SLIPPAGE_BPS, Exchange
from simulator.exchange.faults import FAULTS, Faults
from simulator.exchange.journal import Journal
from simulator.exchange.rest import PER_MINUTE, Wire
from simulator.exchange.script import DEEDS, play, read_lines
from simulator.exchange.server import listen, make_app, make_server
from simulator.market.calendar import parse_date
from simulator.market.load import load_bars
from simulator.market.news import load_news
from simulator.printing import guard_streams, say

HISTORY = 260
"""Sessions before the first that clients may ask bars of."""

BEFORE_OPEN = 90 * 60 * 1_000_000_000
"""The clock begins at 08:00 of the first session."""


def parse_options(words: Sequence[str] | None) -> argparse.Namespace:
    options = argparse.ArgumentParser(prog="python -m simulator.exchange", description=__doc__)
    options.add_argument("--bars", type=Path, default=Path("data"), metavar="DIR", help="folder of bars (default data)")
    options.add_argument("--news", type=Path, metavar="DIR", help="folder of headlines (default: news in that of bars)")
    options.add_argument("--symbols", default="SPY,QQQ", help="what is listed (default SPY,QQQ)")
    options.add_argument("--from", dest="first", default="2024-01-02", metavar="DATE", help="first session")
    options.add_argument("--to", dest="last", metavar="DATE", help="last session (default: the last of the bars)")
    options.add_argument("--host", default="127.0.0.1")
    options.add_argument("--port", type=int, default=8901, help="0 takes any that is free (default 8901)")
    options.add_argument("--speed", type=float, default=0.0, help="simulated seconds a second; 0 waits to be advanced")
    options.add_argument("--cash", type=float, default=100_000.0, help="dollars of a new account")
    options.add_argument("--slippage", type=float, default=SLIPPAGE_BPS, metavar="BPS", help="of market orders")
    options.add_argument("--rate-limit", type=int, default=PER_MINUTE, help="requests a minute an account")
    options.add_argument("--fault", action="append", default=[], metavar="LINE", help="reply-lost=0.2, 'halt SPY', …")
    options.add_argument("--script", type=Path, metavar="FILE", help="such lines, and 'at INSTANT LINE'")
    options.add_argument("--seed", type=int, default=0, help="of what strikes")
    options.add_argument("--journal", type=Path, metavar="FILE", help="what changes it, to come back after a kill")
    return options.parse_args(words)


def open_exchange(given: argparse.Namespace) -> Wire:
    """Return the exchange that the options ask for. Raises UsageError and DataError."""
    symbols = tuple(dict.fromkeys(one.strip().upper() for one in given.symbols.split(",") if one.strip()))
    if not symbols:
        raise UsageError("no symbols", mend="name some: --symbols SPY,QQQ")
    if not given.bars.is_dir():
        raise DataError("no such folder", where=str(given.bars), mend="--bars names the folder of bar files")
    last = None if given.last is None else parse_date(given.last, "--to")
    loaded = load_bars(symbols, [given.bars], first=parse_date(given.first, "--from"), last=last, history=HISTORY)
    begins = int(loaded.bars.opens_at[loaded.start]) - BEFORE_OPEN
    exchange = Exchange(loaded.bars, begins, given.cash, given.slippage, Faults(seed=given.seed))
    script = [*given.fault, *(read_lines(given.script) if given.script else [])]
    exchange.news = load_news(given.news or given.bars / "news")
    play(exchange, script)
    about = f"{loaded.bars.digest} {begins} {given.cash} {given.slippage} {given.seed} {script}"
    journal = None if given.journal is None else Journal(given.journal, about)
    wire = Wire(exchange, per_minute=given.rate_limit, journal=journal)
    if given.speed > 0.0:  # else its clock stands between two advances, and a minute would never end
        wire.seconds = lambda: exchange.now / 1e9
    return wire


def main(words: Sequence[str] | None = None) -> int:
    """Serve until interrupted; prints the address once it answers."""
    guard_streams()
    given = parse_options(words)
    if "list" in given.fault:
        for name, what in {**FAULTS, **{name: deed.says for name, deed in DEEDS.items()}}.items():
            say(f"{name:15} {what}")
        return 0
    try:
        wire = open_exchange(given)
        try:
            listening = listen(given.host, given.port)  # who reads the address may come at once
        except OSError as error:
            raise UsageError(f"--port {given.port}: {error.strerror}", mend="choose another, or 0") from None
        with listening:
            place = "http://{}:{}".format(*listening.getsockname()[:2])
            say(f"rehearsal exchange at {place}, {forms.new_york(wire.exchange.now)}")
            sys.stdout.flush()
            make_server(make_app(wire, given.speed)).run(sockets=[listening])
    except SimError as error:
        say(f"rehearsal exchange: {error}", err=True)
        return error.exit_code
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
