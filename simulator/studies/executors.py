"""Executors of a sweep: threads, processes or a cluster play its chunks. The bytes do not depend on who did.

    spans ──► waiting ──► in flight, two chunks a worker ──► Chunk ──► the parent, which alone writes
                 ▲                │ a worker was killed
                 └────────────────┘ at most MOST_DEATHS times for one chunk

    threads   of this process (default)     loky   processes of this machine
    dask      a cluster, or one made here   ray    a cluster, or one made here

Bars and rules are shipped once to each process, then only numbers of members. No worker asks a model, writes a file or
reads one.
"""

from __future__ import annotations

import hashlib
import os
import sys
import threading
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, CancelledError, Future, ThreadPoolExecutor, wait
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal, get_args

from simulator.errors import SimError, UsageError, did_you_mean
from simulator.runs.identity import code_digest
from simulator.studies.chunks import Chunk, play_chunk
from simulator.studies.inputs import SweepInputs

Kind = Literal["threads", "loky", "dask", "ray"]
Span = tuple[int, int]
"""First member, and the one after the last."""

MOST_DEATHS = 3
"""Workers that may die while they play one chunk: more, and it is the chunk that kills them."""

CONNECT = 30
"""Seconds in which a cluster must answer."""

AHEAD = 2
"""Chunks in flight for each worker: one is played while the next is on its way."""


@dataclass(frozen=True)
class Executor:
    """Choice of who plays. `workers` 0 = as many as there are processors here; `address` of a running cluster."""

    kind: Kind = "threads"
    workers: int = 0
    address: str | None = None

    @property
    def count(self) -> int:
        return self.workers or len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1


def choose_executor(text: str | None, workers: int | None = None) -> Executor | None:
    """Return the executor that ``loky``, ``dask`` or ``dask=tcp://10.0.0.1:8786`` names; None where nothing was chosen.

    Raises UsageError.
    """
    if workers is not None and workers < 1:
        raise UsageError(f"threads was {workers}", mend="give a whole number from 1 on")
    if text is None:
        return None if workers is None else Executor(workers=int(workers))
    name, _, address = text.partition("=")
    kinds: dict[str, Kind] = {kind: kind for kind in get_args(Kind)}
    if name not in kinds:
        raise UsageError(f'no executor "{name}"{did_you_mean(name, kinds)}', mend=f"one of {', '.join(kinds)}")
    if address and name not in ("dask", "ray"):
        raise UsageError(f"{name} has no address", mend=f"--executor {name}")
    return Executor(kinds[name], workers or 0, address or None)


def play_chunks(inputs: SweepInputs, spans: Sequence[Span], executor: Executor | None = None) -> Iterator[Chunk]:
    """Yield the chunk of each of `spans` as it is done, in any order.

    Chunks of a worker that was killed are played again. Raises what a member raises, and SimError where a cluster is
    out of reach or one chunk has lost its worker more than MOST_DEATHS times.
    """
    executor = executor or Executor()
    waiting, deaths = deque(spans), Counter[Span]()
    while waiting:
        with _POOLS[executor.kind](inputs, executor) as pool:
            yield from _play(pool, waiting, deaths)


@dataclass(frozen=True)
class Pool:
    """Workers at work. Futures that fail with one of `lost` say nothing about their chunk: its worker is gone."""

    submit: Callable[[int, int], Future[Any]]
    workers: int
    lost: tuple[type[BaseException], ...] = ()


def _play(pool: Pool, waiting: deque[Span], deaths: Counter[Span]) -> Iterator[Chunk]:
    """Yield chunks until none is `waiting`, or a worker was lost: those in flight then wait again."""
    flight: dict[Future[Any], Span] = {}
    whole = True
    try:
        while whole and (waiting or flight):
            try:
                while waiting and len(flight) < AHEAD * pool.workers:
                    flight[pool.submit(*waiting[0])] = waiting[0]
                    waiting.popleft()
            except pool.lost:
                break
            for future in wait(flight, return_when=FIRST_COMPLETED).done:
                span = flight[future]
                try:
                    found = future.result()
                except pool.lost as error:
                    whole = False
                    deaths[span] += 1
                    if deaths[span] > MOST_DEATHS:
                        died = f"{MOST_DEATHS + 1} workers died ({type(error).__name__})"
                        found = f"{died} while they played members {span[0]} to {span[1] - 1}"
                        mend = "is memory short? try fewer --threads; the same command goes on from here"
                        raise SimError(found, mend=mend) from None
                    continue
                del flight[future]
                if isinstance(found, BaseException):
                    raise found
                yield found
    finally:
        waiting.extendleft(sorted(flight.values(), reverse=True))
        for future in flight:
            future.cancel()


# ── shipping ────────────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class Shipped:
    """A sweep's inputs as bytes, by value: a worker needs the same package, and none of the workspace's files."""

    digest: str
    code: str
    content: bytes

    @classmethod
    def of(cls, inputs: SweepInputs) -> Shipped:
        import cloudpickle

        module = sys.modules.get(type(inputs.rule).__module__) if inputs.kind == "rule" else None
        by_value = module is not None and module.__name__.partition(".")[0] not in ("simulator", "__main__")
        if by_value:
            cloudpickle.register_pickle_by_value(module)
        try:
            content = cloudpickle.dumps(inputs.prepare())
        finally:
            if by_value:
                cloudpickle.unregister_pickle_by_value(module)
        return cls(hashlib.sha256(content).hexdigest(), code_digest(), content)


_held: dict[str, SweepInputs] = {}
_opening = threading.Lock()


def hold(shipped: Shipped) -> None:
    """Unpack `shipped` in this process, once, in the place of any before. Raises SimError where other code is here."""
    import pickle

    with _opening:
        if shipped.digest in _held:
            return
        if shipped.code != code_digest():
            found = f"a worker on {os.uname().nodename} runs another version of council-simulator"
            raise SimError(found, mend="install the same there")
        _held.clear()
        _held[shipped.digest] = pickle.loads(shipped.content)


def play_held(digest: str, first: int, end: int) -> Chunk | SimError:
    """Play a chunk of what this process holds; errors come back as values, as no cluster wraps those."""
    try:
        return play_chunk(_held[digest], first, end)
    except SimError as error:
        return error


def play_shipped(shipped: Shipped, first: int, end: int) -> Chunk | SimError:
    """Play a chunk of `shipped`."""
    try:
        hold(shipped)
    except SimError as error:
        return error
    return play_held(shipped.digest, first, end)


# ── pools ───────────────────────────────────────────────────────────────────────────────────────────────────────────


@contextmanager
def _threads(inputs: SweepInputs, executor: Executor) -> Iterator[Pool]:
    with ThreadPoolExecutor(executor.count) as threads:
        try:
            yield Pool(lambda first, end: threads.submit(play_chunk, inputs, first, end), executor.count)
        finally:
            threads.shutdown(cancel_futures=True)


@contextmanager
def _loky(inputs: SweepInputs, executor: Executor) -> Iterator[Pool]:
    from concurrent.futures.process import BrokenProcessPool

    from loky import ProcessPoolExecutor

    shipped = Shipped.of(inputs)
    pool = ProcessPoolExecutor(executor.count, initializer=hold, initargs=(shipped,))
    try:
        yield Pool(partial(pool.submit, play_held, shipped.digest), executor.count, (BrokenProcessPool,))
    finally:
        pool.shutdown(kill_workers=True)


@contextmanager
def _dask(inputs: SweepInputs, executor: Executor) -> Iterator[Pool]:
    with _needing("dask"):
        from distributed import Client, KilledWorker, LocalCluster
    address: Any = executor.address
    with ExitStack() as stack:
        if address is None:
            # Sub-processes with a nanny each, which starts another one where one is killed.
            local = {"n_workers": executor.count, "threads_per_worker": 1, "host": "127.0.0.1", "silence_logs": 50}
            address = stack.enter_context(LocalCluster(**local, dashboard_address=None))
        try:
            client = stack.enter_context(Client(address, timeout=CONNECT, set_as_default=False))
            client.wait_for_workers(1, timeout=CONNECT)
        except (OSError, TimeoutError, ValueError) as error:
            raise _out_of_reach(
                "dask", executor.address, "`dask scheduler`, and `dask worker ADDRESS`", error
            ) from None
        shipped = client.scatter(Shipped.of(inputs), broadcast=True, hash=False)
        tasks = client.get_executor(pure=False)
        workers = sum(client.nthreads().values())
        yield Pool(partial(tasks.submit, play_shipped, shipped), workers, (KilledWorker, CancelledError))


@contextmanager
def _ray(inputs: SweepInputs, executor: Executor) -> Iterator[Pool]:
    with _needing("ray"):
        import ray
    local = {
        "address": "local",
        "num_cpus": executor.count,
        "include_dashboard": False,
        "_node_ip_address": "127.0.0.1",
    }
    chosen = local if executor.address is None else {"address": executor.address}
    try:
        ray.init(**chosen, log_to_driver=False, logging_level="error")
    except (ConnectionError, TimeoutError, ValueError, RuntimeError) as error:
        raise _out_of_reach("ray", executor.address, "`ray start --head --port=6379`", error) from None
    try:
        shipped = Shipped.of(inputs)
        kept = [ray.put(shipped)]  # in a list: Ray would unpack it for each task
        task = ray.remote(max_retries=MOST_DEATHS)(_play_on_ray)
        workers = int(ray.cluster_resources().get("CPU", 1))

        def submit(first: int, end: int) -> Future[Any]:
            future: Future[Any] = task.remote(kept, shipped.digest, first, end).future()
            return future

        yield Pool(submit, workers, (ray.exceptions.WorkerCrashedError, ray.exceptions.ObjectLostError))
    finally:
        ray.shutdown()


def _play_on_ray(kept: list[Any], digest: str, first: int, end: int) -> Chunk | SimError:
    if digest in _held:
        return play_held(digest, first, end)
    import ray

    return play_shipped(ray.get(kept[0]), first, end)


@contextmanager
def _needing(extra: str) -> Iterator[None]:
    try:
        yield
    except ImportError as error:
        mend = f'pip install "council-simulator[{extra}]"'
        raise UsageError(f"--executor {extra} needs a package that is not here ({error.name})", mend=mend) from None


def _out_of_reach(kind: str, address: str | None, start: str, error: BaseException) -> SimError:
    if address is None:
        return SimError(f"no {kind} cluster could be made here ({error})", mend="try --executor loky")
    return SimError(f"no {kind} cluster with a worker at {address}", mend=f"start one: {start}")


_POOLS: Mapping[Kind, Callable[[SweepInputs, Executor], AbstractContextManager[Pool]]] = {
    "threads": _threads,
    "loky": _loky,
    "dask": _dask,
    "ray": _ray,
}
