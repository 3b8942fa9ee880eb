"""Asking of a run ahead of its replay, through batches: all dates and replicates side by side, in rounds.

What reads only the market or minutes is asked here and stored; the replay then finds it on disk. What is asked amid the
replay, by the book or the journal, and models without batches are asked singly.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from simulator.config import Seat, load_config
from simulator.errors import SimError, UsageError
from simulator.llm.batch import SHARE, BatchAsker
from simulator.llm.batch_service import Batch, BatchService
from simulator.llm.cache import AnswerCache
from simulator.llm.gateway import Gateway
from simulator.llm.journal import Journal
from simulator.llm.messages import ChatRequest
from simulator.llm.providers import Price
from simulator.llm.providers.openai_compatible import OpenAICompatible, endpoints_of
from simulator.llm.registry import OPENAI_COMPATIBLE
from simulator.llm.spending.batch_ledger import NEW, BatchLedger, BatchRow
from simulator.llm.spending.budget import Budget
from simulator.llm.spending.charges import Charges
from simulator.llm.spending.prices import Prices
from simulator.llm.spending.shared_ledger import FILE, SharedLedger
from simulator.replay.inputs import ReplayInputs
from simulator.replay.prefetch import Progress, prefetch, silent
from simulator.runs.gateway_setup import Asking, Estimate, say_line
from simulator.runs.replicates import check_replicates, replicate_of
from simulator.runs.spec import RunSpec
from simulator.trading.strategy import Strategy, seats_of
from simulator.workspace import Workspace

FOLDER = "batches"
LEFT_OUT: Mapping[str | None, tuple[str, ...]] = {None: (), "all": (), "meetings": ("checkpoint",)}
"""Stages that are asked singly, by what ``--batch`` says."""


def check_batch(spec: RunSpec, strategy: Strategy[Any]) -> None:
    """Raise UsageError where there is nothing to put into batches."""
    if not spec.batch:
        return
    if not any(seat.provider == OPENAI_COMPATIBLE for seat in seats_of(strategy).values()):
        found = f"--batch: nobody in {strategy.name} is asked through a service that can have batches"
        raise UsageError(found, mend="leave --batch out, or name a profile with provider openai_compatible")
    if spec.cache == "off":
        raise UsageError("--batch with --cache off: answers that come a day later must be kept", mend="leave one out")


def ask_in_batches(
    spec: RunSpec,
    workspace: Workspace,
    asking: Asking,
    strategy: Strategy[Any],
    inputs: ReplayInputs,
    report: Progress | None,
    command: str,
) -> None:
    """Ask all that can be asked ahead, in batches. What stops it stops the questions of the replay too.

    After Ctrl-C batches stay out, and a line says that `command` continues. Raises as `prefetch`.
    """
    ledger, gateway = asking.gateway.budget.ledger, asking.gateway
    if spec.cache == "replay" or ledger is None or asking.estimate is None:
        return
    seats = seats_of(strategy).values()
    asker = _make_asker(gateway, ledger, asking.estimate, workspace, seats, LEFT_OUT[spec.batch])
    gateway.rounds = asker
    try:
        asking.loop.run(ask_ahead(asker, strategy, spec.replicates, inputs, report))
    except KeyboardInterrupt:
        if out := [row for row in asker.ledger.rows() if row.run == gateway.budget.run]:
            questions, names = sum(row.questions for row in out), ", ".join(row.batch or row.name[:8] for row in out)
            say_line(f"{questions:,} questions stay out in {names}: `{command}` continues")
        raise


def _make_asker(
    gateway: Gateway,
    ledger: SharedLedger,
    estimate: Estimate,
    workspace: Workspace,
    seats: Iterable[Seat],
    left_out: Sequence[str] = (),
) -> BatchAsker:
    seats = [seat for seat in seats if seat.provider == OPENAI_COMPATIBLE]
    services = {seat.endpoint: seat for seat in seats}
    return BatchAsker(
        gateway,
        left_out,
        service=BatchService(OpenAICompatible(endpoints_of(seats), at_half(estimate.charges.charge))),
        ledger=BatchLedger(ledger),
        folder=workspace.cache / FOLDER,
        budget=gateway.budget,
        estimate_usd=estimate,
        services=tuple(services.values()),
        say=say_line,
    )


def at_half(charge: Price) -> Price:
    """Price of answers in batches: half of what the tokens cost, or what the service charged."""

    def price(
        request: ChatRequest,
        prompt_tokens: int,
        completion_tokens: int,
        told: float | None,
        cached: int = 0,
        written: int = 0,
    ) -> float:
        usd = charge(request, prompt_tokens, completion_tokens, told, cached, written)
        return usd if told is not None else SHARE * usd

    return price


async def ask_ahead(
    asker: BatchAsker, strategy: Strategy[Any], replicates: int, inputs: ReplayInputs, report: Progress | None
) -> None:
    """Ask ahead for all replicates side by side in rounds of `asker`."""
    check_replicates(strategy, replicates)
    async with asker.going():
        work = [
            asyncio.create_task(
                prefetch(replicate_of(strategy, number), inputs, silent if number else report or silent)
            )
            for number in range(replicates)
        ]
        try:
            for ahead in await asyncio.gather(*work):
                if ahead.stopped is not None:
                    asker.stop(ahead.stopped)
            await asker.finish()
        finally:
            for task in work:
                task.cancel()
            await asyncio.gather(*work, return_exceptions=True)


@dataclass(frozen=True)
class BatchOut:
    """A batch that is out, as ``sim batch`` lists it: `status` as its service calls it, or why that is not known."""

    id: str
    status: str
    run: str
    model: str
    endpoint: str
    questions: int
    done: int
    set_aside_usd: float
    hours: float


def look_at_batches(workspace: Workspace) -> list[BatchOut]:
    """Look at every batch that is out; the answers of one that has ended are stored and booked."""
    with _open_asker(workspace) as (asker, loop):
        return [] if asker is None else [loop.run(_look(asker, row)) for row in asker.ledger.rows()]


def cancel_batch(workspace: Workspace, name: str) -> str:
    """Have the batch of that id cancelled. Returns a line that says so; raises UsageError where none is out."""
    with _open_asker(workspace) as (asker, loop):
        row = _find(asker, name)
        assert asker is not None
        requests = asker.read_record(row.name)
        if not row.batch or not requests:
            raise UsageError(f"{name} was not created yet", mend=f"`sim batch forget {name}` gives it up")
        loop.run(_close_after(asker, asker.service.cancel(requests[0], row.batch)))
    return f"{row.batch} is being cancelled: `sim batch` fetches what it has answered"


def forget_batch(workspace: Workspace, name: str) -> str:
    """Give the batch of that id up. Returns a line that says so; raises UsageError where none is out."""
    with _open_asker(workspace) as (asker, _):
        row = _find(asker, name)
        assert asker is not None
        likely = 0.0 if row.state == NEW else row.likely
        asker.forget(row, likely, likely)
    return f"{row.batch or row.name[:8]} is forgotten: ${likely:.4f} booked, {row.questions:,} questions are free"


@contextmanager
def _open_asker(workspace: Workspace) -> Iterator[tuple[BatchAsker | None, asyncio.Runner]]:
    """An asker for all services of config/models.yaml; None where nothing was ever asked in this workspace."""
    with asyncio.Runner() as loop, AnswerCache(workspace.cache) as cache:
        if not (workspace.cache / FILE).exists():
            yield None, loop
            return
        models, ledger = load_config(workspace.config).models, SharedLedger(workspace.cache, say=say_line)
        seats = [seat for profile in models.profiles.values() for seat in profile.values()]
        charges = Charges(Prices(models.prices), models.max_usd_per_call, ledger, say_line)
        gateway = Gateway(
            cache,
            {OPENAI_COMPATIBLE: OpenAICompatible()},
            budget=Budget(0.0, ledger=ledger),
            journal=Journal(workspace.out / "logs" / "llm"),
        )
        try:
            yield _make_asker(gateway, ledger, Estimate(charges, {}), workspace, seats), loop
        finally:
            ledger.close()


def _find(asker: BatchAsker | None, name: str) -> BatchRow:
    rows = [] if asker is None else asker.ledger.rows()
    found = [row for row in rows if name and (row.batch == name or row.name.startswith(name))]
    if len(found) != 1:
        raise UsageError(f'no batch "{name}" is out', mend="`sim batch` lists those that are")
    return found[0]


async def _look(asker: BatchAsker, row: BatchRow) -> BatchOut:
    batch, status = Batch(row.batch, row.state), "not created yet"
    requests = asker.read_record(row.name)
    try:
        if row.batch and requests:
            batch = await asker.service.look(requests[0], row.batch)
            status = batch.status
            if batch.ended:
                asker.settle(row, requests, batch, await asker.service.lines(requests[0], batch))
    except SimError as error:
        status = f"{status}: {error}" if batch.ended else str(error)
    finally:
        await asker.close()
    hours = max(0.0, asker.ledger.ledger.clock() - row.at) / 3600
    shown = (row.batch or row.name[:8], status, row.run, row.model, row.endpoint, row.questions)
    return BatchOut(*shown, done=batch.done, set_aside_usd=row.usd, hours=hours)


async def _close_after(asker: BatchAsker, work: Awaitable[None]) -> None:
    try:
        await work
    finally:
        await asker.close()
