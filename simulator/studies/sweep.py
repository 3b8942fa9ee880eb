"""A sweep from its study to its folder: the one way for the command line and Python.

Study, Workspace ──► SweepInputs ──► spans of members ──► those of this shard that are not there yet
                                                               │ executors.py
study.json ◄── inference.py ◄── all chunks are there ◄── chunks/*.parquet, *.npy
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import cached_property, partial

from simulator.desk.strategy import PRE_MARKET
from simulator.errors import SimError, UsageError
from simulator.evidence.sweep_records import SweepRecord
from simulator.evidence.sweep_trials import BEGUN, STUDY, read_begun
from simulator.files import check_writable, write_file
from simulator.runs.execute import FinishedRun
from simulator.runs.spec import RunSpec
from simulator.store.connection import store_place
from simulator.store.evidence import record_run
from simulator.store.folders import json_bytes
from simulator.studies.ask_councils import Asked, ask_councils
from simulator.studies.ask_councils import Progress as Asking
from simulator.studies.chunks import Chunk, play_chunk
from simulator.studies.conclude import conclude, describe_origin
from simulator.studies.executors import Executor, Span, play_chunks
from simulator.studies.inputs import SweepInputs
from simulator.studies.results import SweepFolder, name_folder
from simulator.studies.runtime import Stopwatch
from simulator.studies.study import Study
from simulator.studies.tpe import BATCH, ask
from simulator.studies.walk_forward import Play
from simulator.workspace import Workspace

CHUNK = 250
"""Members of a chunk, at most: what is lost when a process is killed, and what a task of a cluster is."""

CHUNK_OF_STEPS = 10
"""The same for rules that are asked date by date, a thousand times as slow."""

FEW = 100
"""Members asked date by date that are done sooner than processes have started."""

LEAST_CHUNKS = 16
"""Chunks that a small sweep is cut into, so that all processors have work."""

MANY = 1_000
"""Members from which on chunks are as large as they may be: one takes as long as thirty quick members besides."""

Progress = Callable[[int, int], None]
"""Called with the number of members that are done, and of all."""


@dataclass(frozen=True, eq=False)
class FinishedSweep:
    """A sweep with its folder and study.json."""

    study: Study
    folder: SweepFolder
    record: SweepRecord


@dataclass(frozen=True)
class Shard:
    """Part `number` of `count`, from 1: every `count`-th chunk."""

    number: int = 1
    count: int = 1

    @classmethod
    def parse(cls, text: str) -> Shard:
        """Return the shard that ``2/5`` names. Raises UsageError."""
        number, slash, count = text.partition("/")
        if not (slash and number.isascii() and number.isdigit() and count.isascii() and count.isdigit()):
            raise UsageError(f'--shard was "{text}"', mend="write which of how many, 1/4 to 4/4")
        if not 1 <= int(number) <= int(count):
            raise UsageError(f"--shard was {text}", mend=f"the first of {count} is 1/{count}, the last {count}/{count}")
        return cls(int(number), int(count))


WHOLE = Shard()


@dataclass(frozen=True, eq=False)
class Sweep:
    """A study on a workspace, cut into chunks. `asking` is called while models are asked."""

    study: Study
    workspace: Workspace
    asking: Asking | None = None
    watch: Stopwatch = field(default_factory=Stopwatch)

    @cached_property
    def inputs(self) -> SweepInputs:
        return SweepInputs(self.study, self.workspace)

    @cached_property
    def asked(self) -> Asked:
        """Questions of councils, put once; of rules there are none. Raises LLMError where one stays open."""
        return self.ask(self.asking)

    def ask(self, progress: Asking | None = None) -> Asked:
        """Put what the members ask before the first one is played."""
        with self.watch.part("asking" if self.inputs.of_council else "reading"):
            return ask_councils(self.inputs, self.inputs.budget_name, progress)

    @cached_property
    def folder(self) -> SweepFolder:
        """The folder, which need not be there."""
        _ = self.asked
        return name_folder(self.inputs)

    @cached_property
    def spans(self) -> list[Span]:
        """First and end of each chunk. They depend on the study alone, and so do the files."""
        if self.inputs.kind == "desk":
            return [(number, number + 1) for number in range(len(self.study))]
        if self.study.space.search == "tpe":
            return [(first, min(first + BATCH, len(self.study))) for first in range(0, len(self.study), BATCH)]
        most, count = CHUNK_OF_STEPS if self.inputs.by_step else CHUNK, len(self.study)
        size = most if count >= MANY else min(most, -(-count // LEAST_CHUNKS))
        return [(first, min(first + size, count)) for first in range(0, count, size)]

    def missing(self) -> list[Span]:
        """Return the chunks that are not there, or not whole, or of another study."""
        return self.folder.missing(self.spans)

    def play(self, executor: Executor | None = None, shard: Shard = WHOLE, progress: Progress | None = None) -> None:
        """Play the chunks of `shard` that are missing; each is on disk as soon as it is done.

        Without an `executor` they are played in threads, those of very many members that are asked date by date, which
        holds Python's lock, in processes. Desks with agents are played here, one after the other: workers ask nobody.

        Raises SimError where that cannot be, or another study lies in the folder; what was done is kept, and the same
        call goes on from there.
        """
        with self.watch.part("imports"):
            import pyarrow.parquet  # noqa: F401
        with self.watch.part("reading"):
            check_writable(self.folder.path)
            self.folder.refuse_others()
        known = self.study.space.known
        own = [span for span in self.spans[shard.number - 1 :: shard.count] if span[1] <= known]
        missing = self.folder.missing(own)
        total, left = (sum(end - first for first, end in spans) for spans in (own, missing))
        if self.inputs.asks_in_turn:
            executor = self._alone(executor)
        elif executor is None and self.inputs.by_step and left > (1 if self.inputs.kind == "desk" else FEW):
            executor = Executor("loky")
        self.watch.executor = executor or self.watch.executor
        if missing and not any((self.folder.path / name).is_file() for name in (STUDY, BEGUN)):
            # What is to come counts as trials, also where nobody ever concludes.
            write_file(self.folder.path / BEGUN, json_bytes(describe_origin(self.inputs, self.folder)))
        try:
            with self.watch.part("play"):
                in_turn = self._play_in_turn(missing) if self.inputs.asks_in_turn else None
                for chunk in in_turn or play_chunks(self.inputs, missing, executor):
                    self.folder.keep(chunk)
                    left -= len(chunk.beyond)
                    self.watch.played += len(chunk.beyond)
                    if progress is not None:
                        progress(total - left, total if known == len(self.study) else len(self.study))
        finally:
            if (left or shard != WHOLE) and (row := read_begun(self.folder.path)) is not None:
                facts = {**row, "from": row["first"], "to": row["last"]}
                with suppress(SimError):  # the folder tells as well, and what stopped it is what is to be said
                    record_run(store_place(self.workspace.registry), facts, self.folder.path.name)

    def _alone(self, executor: Executor | None) -> Executor:
        """Return who plays desks with agents: this process. Raises UsageError for another `executor`."""
        if executor is not None and (executor.kind != "threads" or executor.workers > 1):
            found = f"the agents of {self.inputs.name} are asked by this process, one member after the other"
            raise UsageError(found, mend="leave --executor and --threads out, or say --set agents=false")
        return Executor(workers=1)

    def _play_in_turn(self, spans: Sequence[Span]) -> Iterator[Chunk]:
        inputs = self.inputs
        for place, (first, end) in enumerate(spans):
            points = inputs.staged(inputs.member(first)).inputs.points
            inputs.heard[:] = [partial(self._tell, points, place, len(spans))]
            yield play_chunk(inputs, first, end)
        inputs.heard.clear()

    def _tell(
        self, points: Sequence[str], place: int, members: int, stage: str, done: int, _total: int, session: str
    ) -> None:
        """Tell of member `place`: what is asked of the mornings ahead of it, then its points one by one."""
        ahead = points.count(PRE_MARKET)
        of_each = ahead + len(points)
        if self.asking is not None:
            at = place * of_each + done + (ahead if stage == "replay" else 0)
            self.asking(at, members * of_each, session)

    def search(self, executor: Executor | None = None, progress: Progress | None = None) -> Sweep:
        """Play a search whose members rest on the results before them, batch by batch; return it with all members."""
        sweep = self
        while True:
            sweep.play(executor, progress=progress)
            if sweep.study.space.known == len(sweep.study):
                return sweep
            scores = sweep.folder.table()[sweep.study.objective].to_numpy()[: sweep.study.space.known]
            space = ask(sweep.study.space, scores.tolist())
            before, sweep = sweep.inputs.decided, replace(sweep, study=replace(sweep.study, space=space))
            sweep.inputs.decided.update(before)

    def conclude(self, play: Play | None = None) -> FinishedSweep:
        """Conclude from all members, and write study.json; `play` makes the run of a walk-forward.

        Raises SimError where members are missing.
        """
        if missing := self.missing():
            found = f"{len(missing)} of {len(self.spans)} chunks are not there"
            raise SimError(found, where=str(self.folder.path), mend="the same command without --shard plays them")
        failures = self.folder.failures()
        if len(failures) == len(self.study):
            raise UsageError(f"every member failed, the first so: {failures[0]}")

        def play_run(spec: RunSpec) -> FinishedRun:
            if play is None:
                raise UsageError("nobody plays the path", where="--walk-forward", mend="add path=no")
            with self.watch.part("runs"):
                return play(spec)

        with self.watch.part("inference"):
            record = conclude(self.inputs, self.folder, play_run)
        path = self.folder.path / "runtime.json"
        if self.watch.played or not path.is_file():
            write_file(path, json_bytes(self.watch.record()))
        return FinishedSweep(self.study, self.folder, record)


def run_sweep(
    study: Study,
    workspace: Workspace,
    progress: Progress | None = None,
    play: Play | None = None,
    executor: Executor | None = None,
    asking: Asking | None = None,
) -> FinishedSweep:
    """Play what is not there yet of the members of `study`, then conclude; `play` makes the run of a walk-forward.
    `progress` is called while members are played, `asking` while models are asked.

    Raises the errors of `simulator.errors`.
    """
    sweep = Sweep(study, workspace, asking)
    if study.space.search == "tpe":
        return sweep.search(executor, progress).conclude(play)
    sweep.play(executor, progress=progress)
    return sweep.conclude(play)


def run_shard(
    study: Study,
    workspace: Workspace,
    shard: Shard,
    progress: Progress | None = None,
    play: Play | None = None,
    executor: Executor | None = None,
    asking: Asking | None = None,
) -> FinishedSweep | int:
    """Play what is not there yet of one shard; the last one concludes, others return how many chunks are missing.

    Raises as `run_sweep`, and UsageError for a search whose members rest on the results of others.
    """
    if study.space.search == "tpe" and shard != WHOLE:
        raise UsageError("a tpe search asks for members by the results of others", mend="leave --shard out")
    if shard == WHOLE:
        return run_sweep(study, workspace, progress, play, executor, asking)
    sweep = Sweep(study, workspace, asking)
    sweep.play(executor, shard, progress)
    missing = sweep.missing()
    return len(missing) if missing else sweep.conclude(play)
