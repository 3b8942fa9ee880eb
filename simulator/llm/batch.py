"""Asks through batches, at half price: each round's questions in files, one model a file, and days may pass.

    round ─► enter in ledger ─► record on disk ─► upload ─► create ─► look, ever more rarely ─► lines ─► cache ─► settle
               money, keys       llm_cache/batches/NAME.jsonl                                    │
                                            next round ◄── expired, failed in passing ───────────┘

A kill at any arrow loses nothing and submits nothing twice: what the ledger has is gone on with by the same command, or
by any other that needs one of its answers. Answers are stored first and the money is booked then, once.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from simulator.errors import BudgetError, ConfigError, LLMError, SimError, UnansweredError
from simulator.files import write_file
from simulator.llm.batch_service import Batch, BatchLine, BatchService, NotCreatedError, file_of
from simulator.llm.gateway import clean_text
from simulator.llm.messages import ChatRequest, ChatResponse, Message
from simulator.llm.providers import TransientError
from simulator.llm.rounds import Rounds
from simulator.llm.spending.batch_ledger import CREATING, NEW, OUT, BatchLedger, BatchRow
from simulator.llm.spending.budget import Budget
from simulator.llm.spending.shared_ledger import ignore

SHARE = 0.5
"""Part of a question's price that it costs in a batch."""
MOST_QUESTIONS, MOST_BYTES = 50_000, 200_000_000
WINDOW_SECONDS = 24 * 3600.0
LATE_SECONDS = 2 * 3600.0
"""Seconds beyond its window after which a batch that does not end is waited for no longer."""
FIRST_LOOK, LAST_LOOK, RARER, LONGEST_PAUSE = 0.25, 60.0, 1.4, 3600.0
"""Seconds before the first look at a batch, at most between two, times how much longer each wait is, and seconds that a
service may ask to be left alone."""
QUEUE_FULL = "token_limit_exceeded"
MOST_TRIES = 3
"""Batches a question is put in before the run stops."""
BUSY_SECONDS = 0.5


@dataclass(frozen=True)
class Limits:
    questions: int = MOST_QUESTIONS
    size: int = MOST_BYTES


@dataclass
class Earnings:
    """Dollars of a batch's answers, `lost` those whose answer never came, and what becomes of each question."""

    usd: float = 0.0
    lost: float = 0.0
    answers: dict[str, ChatResponse | Exception] = field(default_factory=dict)


@dataclass(eq=False)
class BatchAsker(Rounds):
    """Rounds that are put as batches.

    Parameters
    ----------
    service : the batch interface, whose prices are those of a batch
    ledger : rows of what is out; `folder` holds the record of each batch's questions
    budget, estimate_usd : of the run; (likely, at most) dollars of a question asked singly
    services : a question or seat of every service that is to be asked: looked at before anything is sent
    sleep : waits seconds between two looks at a batch
    say : gets a line per round
    """

    service: BatchService = field(kw_only=True)
    ledger: BatchLedger = field(kw_only=True)
    folder: Path = field(kw_only=True)
    budget: Budget = field(kw_only=True)
    estimate_usd: Callable[[ChatRequest], tuple[float, float]] = field(kw_only=True)
    services: Sequence[Any] = field(kw_only=True, default=())
    limits: Limits = field(kw_only=True, default_factory=Limits)
    sleep: Callable[[float], Awaitable[None]] = field(kw_only=True, default=asyncio.sleep)
    say: Callable[[str], None] = field(kw_only=True, default=ignore)
    narrow: bool = field(default=False, init=False)
    out: dict[str, Batch | None] = field(default_factory=dict, init=False)
    _checked: asyncio.Future[list[None]] | None = field(default=None, init=False)

    async def begin(self) -> None:
        """Raises ConfigError before the first question where one of the services has no batches."""
        if self.is_open and self._checked is None:
            self._checked = asyncio.gather(*(self.service.check(one) for one in self.services))
        if self._checked is not None:
            await asyncio.shield(self._checked)

    async def close(self) -> None:
        await self.service.provider.close()

    async def put(self) -> None:
        """Put what is parked. Raises LLMError for what ends the run: the money is spent, a batch failed validation or
        was cancelled, a service stays away."""
        await self.begin()
        self._sweep()
        known = self.ledger.names(self.parked)
        going = [row for row in self.ledger.rows() if row.run == self.budget.run or row.name in known.values()]
        try:
            going += self._enter([one.request for key, one in self.parked.items() if key not in known])
        except BudgetError:
            if not going:
                raise  # or what is out is settled first, and may leave enough
        if not going:
            # Asked by other processes, one by one: their answers are looked for.
            await self.sleep(BUSY_SECONDS)
            self._find_stored()
            return
        self.rounds += 1
        self.out = {row.name: None for row in going}
        questions, usd = sum(row.questions for row in going), sum(row.usd for row in going)
        batches = f"{len(going)} batch{'es' * (len(going) > 1)}"
        self.say(f"round {self.rounds}: {questions:,} questions in {batches}, ${usd:.2f} set aside")
        work = [asyncio.create_task(self._carry_out(row)) for row in going]
        try:
            await asyncio.gather(*work)
        finally:
            # The first that fails ends the round: the others stay out, and are gone on with another time.
            for task in work:
                task.cancel()
            await asyncio.gather(*work, return_exceptions=True)
        self._find_stored()

    async def finish(self) -> None:
        """Settle batches of this run whose answers were all stored before the process that waited for them died."""
        for row in self.ledger.rows():
            requests = self.read_record(row.name) if row.run == self.budget.run and row.batch else []
            with suppress(SimError):  # or it stays out, and counts
                if requests and (now := await self.service.look(requests[0], row.batch)).ended:
                    self.settle(row, requests, now, await self.service.lines(requests[0], now))

    def _sweep(self) -> None:
        """Remove records of batches that are settled: a row is entered before its record and taken out before it."""
        records = list(self.folder.glob("*.jsonl"))
        rows = {row.name for row in self.ledger.rows()}
        for path in records:
            if path.stem not in rows:
                path.unlink(missing_ok=True)

    def describe(self) -> str:
        """Return ``batch round 2: 31 of 56 answers``; empty before the first."""
        seen = [one for one in self.out.values() if one is not None]
        if not self.rounds:
            return ""
        done, total = sum(one.done for one in seen), sum(one.total for one in seen)
        state = ", ".join(sorted({one.status for one in seen})) or "being put"
        return f"round {self.rounds} of batches, {state}: {done:,} of {total:,} answers"

    def _find_stored(self) -> None:
        """Deliver what others have stored meanwhile."""
        for key in list(self.parked):
            if (stored := self.gateway.stored_meanwhile(self.parked[key].request)) is not None:
                self.deliver(key, stored)

    def _enter(self, requests: Sequence[ChatRequest]) -> list[BatchRow]:
        """Enter what the money is there for, oldest dates first, in batches of one model each."""
        estimates = {one.key: self.estimate_usd(one) for one in requests}
        dollars = {key: (SHARE * most, SHARE * likely) for key, (likely, most) in estimates.items()}
        made: list[BatchRow] = []
        for chunk in self._split(self._affordable(requests, dollars)):
            try:
                reserved = self.budget.reserve(sum(dollars[one.key][0] for one in chunk))
            except LLMError:
                if made:
                    break  # the rest waits until these are settled
                raise
            if reserved is None:
                break
            first = {one.key: one for one in chunk}
            row, keys = self.ledger.enter(
                self.budget, reserved, (chunk[0].endpoint, chunk[0].model), {key: dollars[key] for key in first}
            )
            # Another process may have answered after we looked and before the question was taken.
            stored = {key: found for key in keys if (found := self.gateway.stored_meanwhile(first[key])) is not None}
            self.ledger.let_go(row.name, {key: dollars[key] for key in stored})
            for key, answer in stored.items():
                self.deliver(key, answer)
            asked = [first[key] for key in keys if key not in stored]
            if asked:
                self._write_record(row.name, asked)
                made.append(row)
            elif keys:
                self.ledger.settle(row, 0.0)
        return made

    def _affordable(
        self, requests: Sequence[ChatRequest], dollars: Mapping[str, tuple[float, float]]
    ) -> list[ChatRequest]:
        """The oldest dates' questions that the money is there for; the first whatever it costs, so that the budget says
        so."""
        left = self.budget.dollars_left()
        taken: list[ChatRequest] = []
        for one in sorted(requests, key=lambda asked: asked.purpose.get("session", "")):
            left -= dollars[one.key][0]
            if taken and left < 0:
                break
            taken.append(one)
        return taken

    def _split(self, requests: Sequence[ChatRequest]) -> list[list[ChatRequest]]:
        """By service and model, and within the limits of a file. Raises ConfigError for a question beyond them."""
        chunks: dict[tuple[str, str], list[list[ChatRequest]]] = {}
        size: dict[tuple[str, str], int] = {}
        for one in requests:
            to, (line,) = (one.endpoint, one.model), file_of([one])
            if len(line) > self.limits.size:
                where = f"model {one.model}"
                raise ConfigError(f"a question of {len(line):,} bytes is too large for a batch", where=where)
            here = chunks.setdefault(to, [[]])
            size[to] = size.get(to, 0) + len(line)
            if len(here[-1]) >= self.limits.questions or size[to] > self.limits.size:
                here.append([])
                size[to] = len(line)
            here[-1].append(one)
        return [chunk for here in chunks.values() for chunk in here[: 1 if self.narrow else None]]

    async def _carry_out(self, row: BatchRow) -> None:
        """Put a batch, or go on with one that was put before, until its answers are stored and its money is booked."""
        requests = self.read_record(row.name)
        if not requests:
            if self.ledger.row(row.name) is None:
                return  # settled by another process meanwhile
            # Killed before its record was written: nothing was sent.
            if row.state == NEW and self.ledger.adopt(row.name):
                self.ledger.settle(row, 0.0)
                return
            if row.state != NEW:
                mend = f"`sim batch forget {row.name[:8]}` books its likely price and has its questions asked again"
                raise LLMError("record of a batch is missing", where=str(self._record(row.name)), mend=mend)
        if not row.batch and (now := await self._put_one(row, requests)) is not None:
            row = now
        if row.batch:
            self.settle(row, requests, *await self._wait(row, requests[0]))
        else:
            # Whoever puts it is at it.
            while (again := self.ledger.row(row.name)) is not None and not again.batch:
                await self.sleep(BUSY_SECONDS)
                if self.ledger.adopt(row.name):
                    break
            if again is not None:
                await self._carry_out(again)

    async def _put_one(self, row: BatchRow, requests: Sequence[ChatRequest]) -> BatchRow | None:
        """Upload and create a batch. None where a living process is doing so."""
        if not self.ledger.adopt(row.name):
            return None
        asked, content = requests[0], b"".join(file_of(requests))
        digest, fresh = hashlib.sha256(content).hexdigest(), row.state == NEW
        file = row.file
        try:
            if not file:
                file = await self.service.upload(asked, f"simulator-{row.name}", content)
                self.ledger.note(row.name, file=file, digest=digest)
            self.ledger.note(row.name, state=CREATING)
            made = await self.service.create(asked, file, row.name, digest, fresh=fresh)
        except NotCreatedError:
            self.forget(row, 0.0)
            raise
        self.ledger.note(row.name, state=OUT, batch=made.id)
        return self.ledger.row(row.name)

    async def _wait(self, row: BatchRow, asked: ChatRequest) -> tuple[Batch, dict[str, BatchLine]]:
        """Look at a batch until it has ended. Returns it with its lines."""
        wait, until = FIRST_LOOK, row.at + WINDOW_SECONDS + LATE_SECONDS
        trouble = ""
        while True:
            try:
                now = await self.service.look(asked, row.batch)
            except TransientError as failure:
                wait = max(wait, min(failure.retry_after or 0.0, LONGEST_PAUSE))
                if not trouble:
                    self.say(f"{row.batch} cannot be looked at now ({clean_text(failure.found)}), and is waited for")
                trouble = failure.found
            except ConfigError:
                mend = f"`sim batch forget {row.batch}` books its likely price and has its questions asked again"
                raise LLMError(f"does not know batch {row.batch}", where=row.endpoint, mend=mend) from None
            else:
                trouble, self.out[row.name] = "", now
                if now.ended:
                    return now, await self.service.lines(asked, now)
            if self.ledger.ledger.clock() > until:
                found = f"batch {row.batch} of {row.model} has not ended in {(until - row.at) / 3600:.0f} hours"
                raise UnansweredError(
                    f"{found} ({trouble})" if trouble else found, mend="the same command goes on waiting"
                )
            await self.sleep(wait)
            wait = min(LAST_LOOK, RARER * wait)

    def settle(
        self, row: BatchRow, requests: Sequence[ChatRequest], batch: Batch, lines: Mapping[str, BatchLine]
    ) -> None:
        """Store the answers of a batch that has ended, book what they cost, hand them to whoever waits.

        Raises LLMError where it failed validation or was cancelled.
        """
        if batch.status == "failed":
            self.forget(row, 0.0)
            if QUEUE_FULL in batch.errors and len(requests) > 1:
                # The service takes only so many tokens of a model at once: half as many next time, one batch at a time.
                self.narrow, self.limits = True, replace(self.limits, questions=len(requests) // 2)
                return
            found = (
                f"batch {row.batch} of {row.model} failed validation ({clean_text(batch.errors) or 'no reason told'})"
            )
            raise LLMError(found, where=row.endpoint, mend="nothing was charged")
        earned = Earnings()
        for request in requests:
            self._read_line(row, request, lines.get(request.key), earned)
        self.forget(row, earned.usd + earned.lost, earned.lost)
        for key, answer in earned.answers.items():
            self._hand_out(key, answer)
        if batch.status == "cancelled":
            done = sum(isinstance(one, ChatResponse) for one in earned.answers.values())
            found = (
                f"batch {row.batch} of {row.model} was cancelled: {done} of {len(requests)} answers came and are kept"
            )
            raise LLMError(found, where=row.endpoint)

    def forget(self, row: BatchRow, usd: float, lost: float = 0.0) -> None:
        """Book `usd` for a batch and leave its questions to whoever asks next."""
        if self.ledger.settle(row, usd, lost) and row.run == self.budget.run:
            self.budget.add(usd, lost)
        self._record(row.name).unlink(missing_ok=True)

    def _read_line(self, row: BatchRow, request: ChatRequest, line: BatchLine | None, earned: Earnings) -> None:
        try:
            if line is None:
                raise TransientError("was not answered in its batch, which says nothing of it", perhaps_paid=True)
            # Hours in a queue say nothing of how long an answer takes.
            asked_at = f"{datetime.fromtimestamp(row.at, UTC):%Y-%m-%dT%H:%M:%SZ}"
            response = replace(self.service.read(request, line), asked_at=asked_at)
        except LLMError as error:
            parts = (error.found, error.where, error.mend)
            error.found, error.where, error.mend = (
                clean_text(parts[0]),
                *(one and clean_text(one) for one in parts[1:]),
            )
            earned.answers[request.key] = error
            if error.paid_usd is not None:
                earned.lost += error.paid_usd
            elif isinstance(error, TransientError) and error.perhaps_paid:
                earned.lost += row.likely / max(1, row.questions)
            self.gateway.keep_failure(request, error)
        else:
            earned.usd += response.usage.cost_usd
            earned.answers[request.key] = self.gateway.keep(request, response, ours=row.run == self.budget.run)

    def _hand_out(self, key: str, answer: ChatResponse | Exception) -> None:
        one = self.parked.get(key)
        if one is None:
            return
        if isinstance(answer, TransientError):
            one.tries += 1
            if one.tries < MOST_TRIES:
                return
            found = f"no answer in {one.tries} batches ({answer.found})"
            answer = UnansweredError(found, where=f"{one.request.model} at {one.request.endpoint}")
        self.deliver(key, answer)

    def _record(self, name: str) -> Path:
        return self.folder / f"{name}.jsonl"

    def _write_record(self, name: str, requests: Sequence[ChatRequest]) -> None:
        lines = [json.dumps({"request": one.canonical(), "purpose": dict(one.purpose)}) for one in requests]
        write_file(self._record(name), "".join(f"{line}\n" for line in lines).encode(), 0o600)

    def read_record(self, name: str) -> list[ChatRequest]:
        """The questions of a batch, with the keys they were put under; none where there is no such record."""
        try:
            text = self._record(name).read_text(encoding="utf-8", errors="replace")
        except FileNotFoundError:
            return []
        except OSError as error:
            raise LLMError(f"cannot be read ({error.strerror})", where=str(self._record(name))) from None
        try:
            return [request_of(**json.loads(line)) for line in text.splitlines()]
        except (ValueError, KeyError, TypeError) as error:
            mend = f"`sim batch forget {name[:8]}` books its likely price and has its questions asked again"
            where = str(self._record(name))
            raise LLMError(f"record of a batch is no record ({error})", where=where, mend=mend) from None


def request_of(request: Mapping[str, Any], purpose: Mapping[str, str]) -> ChatRequest:
    """Return the question of that `ChatRequest.canonical`, with the same key."""
    fields = {name: value for name, value in request.items() if name != "format"}
    messages = tuple(Message(one["role"], one["content"]) for one in request["messages"])
    lists = {name: tuple(request[name]) for name in ("tools", "stop")}
    return ChatRequest(**{**fields, **lists, "messages": messages, "purpose": dict(purpose)})
