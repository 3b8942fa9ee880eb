"""`python -m simulator.llm.fake_service --port 8900 --latency 0.2 --faults 0.2 --seed 1`; `--fault list` names them."""

from __future__ import annotations

import argparse
import asyncio
import importlib
import json
import signal
import sys
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from simulator.errors import SimError, UsageError, did_you_mean
from simulator.llm.fake_service.batches import BATCH_FAULTS, BatchBehaviour
from simulator.llm.fake_service.faults import FAULTS, USUAL, Faults
from simulator.llm.fake_service.invent import Invented
from simulator.llm.fake_service.server import Behaviour, FakeService
from simulator.llm.providers import Provider
from simulator.printing import guard_streams, say


def parse_options(words: Sequence[str] | None) -> argparse.Namespace:
    options = argparse.ArgumentParser(prog="python -m simulator.llm.fake_service", description=__doc__)
    options.add_argument("--host", default="127.0.0.1")
    options.add_argument("--port", type=int, default=8900, help="0 takes any that is free (default 8900)")
    options.add_argument("--latency", type=float, default=0.2, help="seconds before an answer (default 0.2)")
    options.add_argument("--faults", type=float, help="share of attempts that fail, 0 to 1 (with --fault 1, else 0)")
    options.add_argument(
        "--fault", metavar="NAME[,…]", help=f"which faults (usual: {','.join(USUAL)}); `list` lists all"
    )
    options.add_argument("--first", type=int, metavar="N", help="only the first N attempts at a question fail")
    options.add_argument("--kinds", help=argparse.SUPPRESS)
    options.add_argument("--seed", type=int, default=0, help="of the faults")
    options.add_argument("--retry-after", type=float, default=1.0, help="seconds a 429 asks for")
    options.add_argument("--price", type=float, nargs=2, metavar=("IN", "OUT"), help="dollars per million tokens")
    options.add_argument(
        "--cached",
        type=float,
        metavar="USD",
        help="keep beginnings of prompts, read again at this price per million tokens",
    )
    options.add_argument("--no-schema", action="store_true", help="refuse response_format, as small servers do")
    options.add_argument("--batch-delay", type=float, default=0.2, help="seconds a batch takes (default 0.2)")
    options.add_argument(
        "--batch-limits", type=int, nargs=2, metavar=("N", "BYTES"), default=(50_000, 200_000_000), help="of a file"
    )
    options.add_argument("--rules", help="MODULE:NAME of rules to answer by, e.g. simulator.council.analysts:RULES")
    return options.parse_args(words)


def make_provider(rules: str | None) -> Provider:
    """Provider by the rules of that name; without one, by the schema alone. Raises UsageError for an unknown name."""
    if rules is None:
        return Invented()
    from simulator.llm.providers.offline import Offline

    module, _, name = rules.partition(":")
    try:
        found: Any = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise UsageError(f"no rules ({error})", where=f"--rules {rules}", mend="say MODULE:NAME") from None
    return Offline(found, "rehearsal")


def read_behaviour(given: argparse.Namespace) -> Behaviour:
    if given.kinds is not None:
        raise UsageError("--kinds is named --fault now", mend=f"say `--fault {given.kinds}`")
    kinds = tuple(filter(None, (given.fault or "").split(",")))
    if unknown := [kind for kind in kinds if kind not in {**FAULTS, **BATCH_FAULTS}]:
        near = did_you_mean(unknown[0], {**FAULTS, **BATCH_FAULTS})
        raise UsageError(f'no fault "{unknown[0]}"{near}', where="--fault", mend="`--fault list` lists them")
    share = given.faults if given.faults is not None else float(bool(kinds))
    single, batched = (tuple(kind for kind in kinds if (kind in FAULTS) is one) for one in (True, False))
    # Where only faults of batches are named questions have none, and the other way round.
    faults = Faults(share if single or not kinds else 0.0, given.seed, single, given.first)
    batch_faults = Faults(share if batched else 0.0, given.seed, batched, given.first)
    return Behaviour(
        latency_s=given.latency,
        faults=faults,
        retry_after_s=given.retry_after,
        usd_per_million=tuple(given.price) if given.price else None,
        native_schema=not given.no_schema,
        cached_usd_per_million=given.cached,
        batch=BatchBehaviour(given.batch_delay, given.batch_limits[0], given.batch_limits[1], batch_faults),
    )


async def serve(service: FakeService, host: str, port: int) -> None:
    """Serve until SIGINT or SIGTERM."""
    done = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, done.set)
    try:
        url = await service.start(host, port)
    except OSError as error:
        mend = "--port 0 takes any that is free"
        raise UsageError(f"cannot listen ({error.strerror})", where=f"{host}:{port}", mend=mend) from None
    say(f"listening on {url}")
    await done.wait()
    await service.stop()
    # The reader of the address may be gone.
    with suppress(BrokenPipeError):
        say(json.dumps(service.stats()))


def main(words: Sequence[str] | None = None) -> int:
    given = parse_options(words)
    if given.fault == "list":
        with suppress(BrokenPipeError):
            told = {**{name: fault.about for name, fault in FAULTS.items()}, **BATCH_FAULTS}
            say("\n".join(f"{name:<26}{about}" for name, about in told.items()))
        return 0
    try:
        asyncio.run(serve(FakeService(make_provider(given.rules), read_behaviour(given)), given.host, given.port))
    except SimError as error:
        say(error, err=True)
        return error.exit_code
    return 0


if __name__ == "__main__":
    with guard_streams():
        sys.exit(main())
