"""What our care costs a request to the broker: `python benchmarks/forward.py [--repeat 200]`.

Ours and bare alpaca-py side by side, request by request, against the rehearsal exchange in a process of its own.
Milliseconds of the processor in this process, which other work on the machine changes little, and of the clock, the
median. Aim: a round trip costs at most 5 ms more than bare.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from alpaca.trading.client import TradingClient
from alpaca.trading.enums import OrderSide, TimeInForce
from alpaca.trading.requests import MarketOrderRequest

from simulator.forward.accounts import get_all_accounts
from simulator.forward.alpaca import AlpacaAccount
from simulator.forward.mode import make_rehearsal_keys
from simulator.trading.orders import Ticket

DATA = Path(__file__).parents[1] / "data"
ACCOUNTS = ("CHATGPT", "GEMINI", "CLAUDE", "GROQ", "DEEPSEEK", "COUNCIL")
AIM_MS = 5.0


@contextmanager
def exchange() -> Iterator[str]:
    words = ["--bars", str(DATA), "--port", "0", "--rate-limit", "1000000000"]
    command = [sys.executable, "-m", "simulator.exchange", *words]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().split()[3].rstrip(",")
        finally:
            process.terminate()


async def compare(
    ours: Callable[[int], Awaitable[object]], bare: Callable[[int], object], repeat: int
) -> tuple[tuple[float, float], tuple[float, float]]:
    """Return milliseconds (processor, clock) of ours and of bare, a request of each in turn."""
    taken: dict[str, list[tuple[float, float]]] = {"ours": [], "bare": []}
    for k in range(repeat + 10):
        for name in ("ours", "bare"):
            cpu, clock = time.process_time(), time.perf_counter()
            if name == "ours":
                await ours(k)
            else:
                bare(k)
            taken[name].append((time.process_time() - cpu, time.perf_counter() - clock))
    found = [[statistics.median(column) * 1e3 for column in zip(*rows[10:], strict=True)] for rows in taken.values()]
    return (found[0][0], found[0][1]), (found[1][0], found[1][1])


async def measure(url: str, repeat: int) -> None:
    keys = make_rehearsal_keys("OURS")
    account = AlpacaAccount(keys, url=url)
    client = TradingClient("BARE", "rehearsed", paper=True, url_override=url)
    raw = TradingClient("RAW", "rehearsed", paper=True, url_override=url, raw_data=True)

    def order(k: int) -> MarketOrderRequest:
        words = {"side": OrderSide.BUY, "time_in_force": TimeInForce.DAY, "client_order_id": f"{k:040x}"}
        return MarketOrderRequest(symbol="SPY", qty=1, **words)

    async def send(k: int) -> None:
        await account.submit(Ticket(f"{k:040x}", "SPY", 1.0))

    def read(_: int) -> None:
        raw.get_orders()
        raw.get_account()
        raw.get_all_positions()

    rows = [
        ("an order", send, lambda k: client.submit_order(order(k)), AIM_MS),
        (
            "its look-up",
            lambda k: account.find(f"{k:040x}"),
            lambda k: client.get_order_by_client_id(f"{k:040x}"),
            AIM_MS,
        ),
        ("the clock", lambda _: account.clock(), lambda _: client.get_clock(), AIM_MS),
        ("positions", lambda _: account.positions(), lambda _: client.get_all_positions(), AIM_MS),
    ]
    table(("work", "ours", "other", "more", "aim", "by the clock"))
    for name, ours, bare, aim in rows:
        report(name, *await compare(ours, bare, repeat), f"≤ {aim:g}")
    fleet = {name: AlpacaAccount(make_rehearsal_keys(name), url=url) for name in ACCOUNTS}
    one = AlpacaAccount(make_rehearsal_keys("ONE"), url=url)
    report("a consistent book, 5 readings for 3", *await compare(lambda _: one.account(), read, repeat // 4))
    report("six of them side by side", *await compare(lambda _: get_all_accounts(fleet), read, repeat // 8))
    for each in (account, one, *fleet.values()):
        each.close()


def report(name: str, ours: tuple[float, float], bare: tuple[float, float], aim: str = "") -> None:
    numbers = (f"{ours[0]:.2f}", f"{bare[0]:.2f}", f"{ours[0] - bare[0]:.2f}")
    table((name, *numbers, aim, f"{ours[1]:.1f}, {bare[1]:.1f}"))


def table(words: tuple[str, ...]) -> None:
    print(f"{words[0]:36}" + "".join(f"{word:>8}" for word in words[1:5]) + f"   {words[5]}")


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--repeat", type=int, default=200)
    with exchange() as url:
        asyncio.run(measure(url, options.parse_args().repeat))


if __name__ == "__main__":
    main()
