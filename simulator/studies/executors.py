"""Executors of a sweep: threads of this process, or other processes, play its chunks. The bytes are the same."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

from simulator.studies.chunks import Chunk, play_chunk
from simulator.studies.inputs import SweepInputs


def play_chunks(inputs: SweepInputs, spans: Sequence[tuple[int, int]], threads: int = 2) -> Iterator[Chunk]:
    """Yield the chunk of each of `spans`, (first, end), in their order."""
    with ThreadPoolExecutor(threads) as pool:
        yield from pool.map(lambda span: play_chunk(inputs, *span), spans)
