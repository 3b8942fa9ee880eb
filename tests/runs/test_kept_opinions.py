"""Opinions kept by digest: a rerun puts no question again, writes the same bytes, and notices whatever was changed."""

from __future__ import annotations

import hashlib
import json
import os
import sqlite3
import subprocess
import sys
import zlib
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import Any

import pytest

import simulator
from simulator.config import load_config
from simulator.council.stages.base import Setup
from simulator.errors import AuditError, CacheCorruptError, CacheMissError
from simulator.evidence.records import CallRow
from simulator.llm import opinions
from simulator.llm.cache import AnswerCache, Entry
from simulator.replay.prefetch import prefetch, silent
from simulator.runs import gateway_setup
from simulator.runs.gateway_setup import open_gateway, open_opinions
from simulator.runs.load_inputs import load_inputs
from simulator.runs.replicates import replicate_of
from simulator.runs.run_record import list_calls
from simulator.runs.spec import RunSpec
from simulator.runs.strategies import load_strategy
from simulator.trading.strategy import points_of, strategy_at
from simulator.workspace import find_workspace

from ..conftest import Serve, Sim
from .conftest import evidence, seat_models

pytestmark = pytest.mark.medium

SPEC = RunSpec("macro_council", ("SPY", "QQQ"), date(2024, 1, 2), date(2024, 1, 12))
DATES = {"start": "2024-01-02", "end": "2024-01-12"}
POINTS = 9


@dataclass(frozen=True)
class Formed:
    """Minutes of all points, lines of llm_calls.jsonl, and how many questions were put, read and spared."""

    minutes: list[Any]
    calls: list[CallRow]
    asked: int
    cached: int
    taken: int


def form(workspace: Path, **options: Any) -> Formed:
    """Form the opinions of `SPEC` with `options`, as `sim run` does before it replays them."""
    found, spec = find_workspace(workspace), replace(SPEC, **options)
    config = load_config(found.config)
    with open_gateway(spec, found, config) as asking:
        strategy = load_strategy(spec.strategy, found.strategies, asking, spec.parameters).strategy
        strategy = replicate_of(strategy, spec.replicates - 1)
        points = points_of(strategy, config.schedule)
        staged = load_inputs(spec.symbols, spec.first, spec.last, strategy.window, points, found, config)
        kept, gateway = open_opinions(spec, found, asking.gateway), asking.gateway
        ahead = asking.loop.run(prefetch(strategy, staged.inputs, silent, kept))
        minutes = [
            strategy_at(strategy, point).minutes(ahead.opinions[k])  # type: ignore[attr-defined]
            for k, point in enumerate(staged.inputs.points)
        ]
        calls = list_calls(gateway)
        return Formed(minutes, calls, gateway.asked, gateway.cached, 0 if kept is None else kept.taken)


def without_taken(formed: Formed) -> Formed:
    return replace(formed, taken=0)


@pytest.fixture
def formed(workspace: Path) -> Formed:
    """The opinions as they were formed first, and kept."""
    return form(workspace)


def entry_of(workspace: Path, formed: Formed, stage: str) -> Entry:
    """The stored answer to the first question of `stage`."""
    key = next(row["key"] for row in formed.calls if row["stage"] == stage)
    with AnswerCache(workspace / "llm_cache") as cache:
        entry = cache.entry(key)
    assert entry is not None
    return entry


def store(workspace: Path, entry: Entry, **changes: Any) -> None:
    """Put another response in the place of the one stored, as a refresh does."""
    entry = replace(entry, response=replace(entry.response, **changes))
    with AnswerCache(workspace / "llm_cache") as cache:
        cache.forget([entry.key])
        cache.put_entries([entry])


def the_long_way(workspace: Path, **options: Any) -> Formed:
    """The same from the answers alone."""
    place = workspace / "llm_cache" / opinions.FILE
    aside = place.rename(place.with_suffix(".aside")) if place.exists() else None
    try:
        return form(workspace, **options)
    finally:
        place.unlink(missing_ok=True)
        if aside is not None:
            aside.rename(place)


def test_a_rerun_takes_every_opinion_and_puts_no_question(
    workspace: Path, formed: Formed, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a question was put again")

    long = the_long_way(workspace)
    monkeypatch.setattr(Setup, "ask", refuse)
    again = form(workspace)
    assert (formed.taken, long.taken, again.taken) == (0, 0, POINTS)
    assert without_taken(again) == long
    assert (again.asked, again.cached, len(again.calls)) == (0, formed.asked, formed.asked)
    assert (again.minutes, again.calls) == (formed.minutes, formed.calls)
    assert any(record["kind"] == "checkpoint" and record["theses"] for record in again.minutes)


def test_the_run_folder_has_the_same_bytes_with_and_without(workspace: Path) -> None:
    def run() -> dict[str, Any]:
        made = simulator.run("macro_council", ["SPY", "QQQ"], workspace=workspace, **DATES)  # type: ignore[arg-type]
        facts = {name: made.runtime[name] for name in ("asked", "cached", "cost_usd")}  # type: ignore[literal-required]
        return {**evidence(made.folder), "trials": (made.folder / "trials.json").read_bytes(), "runtime": facts}

    run()
    kept = run()
    (workspace / "llm_cache" / opinions.FILE).unlink()
    assert run() == kept


def test_a_service_is_asked_counted_and_journalled_alike(workspace: Path, serve: Serve) -> None:
    service = serve("--latency", 0, "--no-schema")
    seat_models(workspace, service.url)
    options = {"models": "dry", "max_cost": 100.0}

    def journal() -> list[dict[str, Any]]:
        lines = [line for path in (workspace / "logs" / "llm").glob("*") for line in path.read_text().splitlines()]
        for path in (workspace / "logs" / "llm").glob("*"):
            path.unlink()
        return sorted(({**json.loads(line), "at": ""} for line in lines), key=lambda line: json.dumps(line))

    cold = form(workspace, **options)
    journal()
    long = the_long_way(workspace, **options)
    of_the_long_way = journal()
    warm = form(workspace, **options)
    assert len(of_the_long_way) == cold.asked == 28 * 2
    assert journal() == of_the_long_way
    # Schemas are refused here: what was asked first is not what is found first, so the second reading counts.
    again = form(workspace, **options)
    assert (again.taken, without_taken(again), without_taken(warm)) == (2, long, long)
    assert again.calls == cold.calls
    replayed = form(workspace, **options, cache="replay")
    assert replayed == again


def changed_prompt(workspace: Path, _: Formed) -> None:
    path = next((workspace / "strategies" / "macro_council" / "prompts").glob("*.md"))
    path.write_text(path.read_text() + "\nBe brief.\n")


def changed_seat(workspace: Path, _: Formed) -> None:
    path = workspace / "config" / "models.yaml"
    text = path.read_text()
    assert "model: carry" in text
    path.write_text(text.replace("model: carry", "model: trend"))


def forgotten(workspace: Path, formed: Formed) -> None:
    with AnswerCache(workspace / "llm_cache") as cache:
        assert cache.forget([entry_of(workspace, formed, "pitch").key])


def refreshed(workspace: Path, formed: Formed) -> None:
    store(workspace, entry_of(workspace, formed, "review"), asked_at="2030-01-01T00:00:00Z")


def reworded_by_import(workspace: Path, formed: Formed) -> None:
    entry = entry_of(workspace, formed, "research")
    assert "Risk-on" in entry.response.text
    store(workspace, entry, text=entry.response.text.replace("Risk-on", "Calm"))


def failed(workspace: Path, formed: Formed) -> None:
    store(workspace, entry_of(workspace, formed, "chairman"), text="I had rather not.", outcome="refusal")


def new_events(workspace: Path, _: Formed) -> None:
    path = workspace / "data" / "events.csv"
    path.write_text(path.read_text() + "2024-01-10T09:00:00-05:00,Hearing,high,2023-12-31T00:00:00-05:00\n")


def new_headline(workspace: Path, _: Formed) -> None:
    (workspace / "data" / "news").mkdir()
    (workspace / "data" / "news" / "one.csv").write_text("published_at,headline\n2024-01-01T09:00:00-05:00,Calm\n")


CHANGES = {
    "a prompt": (changed_prompt, 0, True),
    "a seat": (changed_seat, 0, True),
    "an answer forgotten": (forgotten, POINTS, False),
    "an answer refreshed": (refreshed, POINTS, False),
    "an answer imported": (reworded_by_import, POINTS, True),
    "an answer that failed": (failed, POINTS, True),
    "the calendar of events": (new_events, POINTS, True),
    "a headline": (new_headline, 0, True),
}


@pytest.mark.parametrize("what", CHANGES)
def test_a_change_is_noticed(what: str, workspace: Path, formed: Formed) -> None:
    change, most, differs = CHANGES[what]
    change(workspace, formed)
    again = form(workspace)
    assert again.taken < (most or 1)
    assert (again.minutes != formed.minutes) is differs
    # The opinion that was formed anew took the place of the other.
    assert without_taken(form(workspace)) == the_long_way(workspace)
    assert form(workspace).taken == POINTS


def test_a_forgotten_answer_alone_is_asked_again(workspace: Path, formed: Formed) -> None:
    forgotten(workspace, formed)
    with pytest.raises(CacheMissError):
        form(workspace, cache="replay")
    again = form(workspace)
    assert (again.asked, again.minutes) == (1, formed.minutes)


def test_a_failure_is_asked_again_where_it_is_asked_for_and_kept_where_not(workspace: Path, formed: Formed) -> None:
    failed(workspace, formed)
    assert form(workspace).minutes[0]["no_decision"]
    again = form(workspace)
    assert (again.taken, sum(row["outcome"] == "refusal" for row in again.calls)) == (POINTS, 1)
    retried = form(workspace, cache="retry")
    assert (retried.taken, retried.asked, retried.minutes) == (0, 1, formed.minutes)
    assert form(workspace).minutes == formed.minutes


def test_neither_refresh_nor_off_reads_what_is_kept(workspace: Path, formed: Formed) -> None:
    for cache in ("refresh", "off"):
        again = form(workspace, cache=cache)
        assert (again.asked, again.cached, again.taken) == (formed.asked, 0, 0)


@pytest.mark.fault("disk", "an answer behind a kept opinion is damaged", "the entry is named as ever, nothing is taken")
def test_a_damaged_answer_is_an_error_as_ever(workspace: Path, formed: Formed) -> None:
    key = entry_of(workspace, formed, "review").key
    with closing(sqlite3.connect(workspace / "llm_cache" / "cache.db")) as db, db:
        (value,) = db.execute("SELECT value FROM Cache WHERE key = ?", (key,)).fetchone()
        at = value.index(b"}") - 3
        spoilt = value[:at] + bytes([value[at] ^ 1]) + value[at + 1 :]
        db.execute("UPDATE Cache SET value = ? WHERE key = ?", (spoilt, key))
    with pytest.raises(CacheCorruptError, match=key):
        form(workspace)


def test_replicates_and_other_code_have_opinions_of_their_own(
    workspace: Path, formed: Formed, monkeypatch: pytest.MonkeyPatch
) -> None:
    second = form(workspace, replicates=2)
    assert (second.taken, second.asked) == (0, formed.asked)
    monkeypatch.setattr(gateway_setup, "code_digest", lambda: "of another version")
    assert form(workspace).taken == 0


@pytest.mark.usefixtures("formed")
def test_a_later_end_takes_what_came_before(workspace: Path) -> None:
    assert form(workspace, last=date(2024, 1, 19)).taken == POINTS


# ── the file ────────────────────────────────────────────────────────────────────────────────────────────────────────


def garbage(place: Path) -> None:
    place.write_bytes(b"no database" * 1000)


def cut(place: Path) -> None:
    os.truncate(place, place.stat().st_size // 2)


def holes(place: Path) -> None:
    content = bytearray(place.read_bytes())
    content[4096 : len(content) : 700] = b"\xff" * len(content[4096 : len(content) : 700])
    place.write_bytes(content)


def folder(place: Path) -> None:
    place.unlink()
    place.mkdir()


def pipe(place: Path) -> None:
    place.unlink()
    os.mkfifo(place)


def another_program(place: Path) -> None:
    place.unlink()
    with closing(sqlite3.connect(place)) as db, db:
        db.execute("CREATE TABLE opinions (id INTEGER)")


def flipped(place: Path) -> None:
    rewrite(place, lambda value: value[:-9] + bytes([value[-9] ^ 1]) + value[-8:])


def swapped(place: Path) -> None:
    with closing(sqlite3.connect(place)) as db, db:
        rows = db.execute("SELECT key, value FROM opinions ORDER BY key").fetchall()
        values = [value for _, value in rows]
        db.executemany(
            "UPDATE opinions SET value = ? WHERE key = ?",
            [(value, key) for (key, _), value in zip(rows, values[1:] + values[:1], strict=True)],
        )


def rewrite(place: Path, change: Callable[[bytes], bytes]) -> None:
    with closing(sqlite3.connect(place)) as db, db:
        rows = db.execute("SELECT key, value FROM opinions").fetchall()
        db.executemany("UPDATE opinions SET value = ? WHERE key = ?", [(change(value), key) for key, value in rows])


@pytest.mark.fault(
    "disk", "kept opinions are lost, damaged or something else altogether", "the questions are put, the bytes equal"
)
@pytest.mark.parametrize("damage", [Path.unlink, garbage, cut, holes, folder, pipe, another_program, flipped, swapped])
def test_a_damaged_file_is_harmless(damage: Callable[[Path], None], workspace: Path, formed: Formed) -> None:
    place = workspace / "llm_cache" / opinions.FILE
    damage(place)
    again = form(workspace)
    assert (again.minutes, again.calls, again.asked) == (formed.minutes, formed.calls, 0)
    once_more = form(workspace)
    assert (once_more.minutes, once_more.calls) == (formed.minutes, formed.calls)
    assert once_more.taken == (0 if damage in (folder, pipe) else POINTS)


def forge(place: Path) -> None:
    """Change what every opinion says, digests and all."""
    with closing(sqlite3.connect(place)) as db, db:
        for key, value in db.execute("SELECT key, value FROM opinions").fetchall():
            packed = zlib.compress(zlib.decompress(value[32:]).replace(b'"meeting": "2', b'"meeting": "3'))
            signed = hashlib.sha256(key.encode() + packed).digest() + packed
            db.execute("UPDATE opinions SET value = ? WHERE key = ?", (signed, key))


def test_verify_opinions_forms_each_again_and_names_one_that_differs(workspace: Path, formed: Formed, sim: Sim) -> None:
    words = ("run", "--from", "2024-01-02", "--to", "2024-01-12", "--cache", "verify-opinions", "--json")
    done = sim(*words, "--workspace", workspace)
    assert (done.returncode, f"{POINTS} kept opinions are those" in done.stderr) == (0, True)
    assert json.loads(done.stdout)["llm"]["cached"] == formed.asked
    forge(workspace / "llm_cache" / opinions.FILE)
    with pytest.raises(AuditError, match="the opinion kept of 2024-01-0"):
        form(workspace, cache="verify-opinions")


def test_the_older_half_goes_when_the_file_is_full(
    workspace: Path, formed: Formed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(opinions, "LARGEST", 8192)
    assert form(workspace, last=date(2024, 1, 19)).taken == POINTS
    with closing(sqlite3.connect(workspace / "llm_cache" / opinions.FILE)) as db:
        (left,) = db.execute("SELECT count(*) FROM opinions").fetchone()
    assert 0 < left < POINTS
    assert form(workspace).minutes == formed.minutes


def test_a_word_that_became_a_secret_is_not_written_down(
    workspace: Path, formed: Formed, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = workspace / "llm_cache" / opinions.FILE
    place.unlink()
    monkeypatch.setenv("REHEARSAL_API_KEY", formed.minutes[0]["pitches"][0]["answer"]["thesis_bullets"][0])
    form(workspace)
    with closing(sqlite3.connect(place)) as db:
        (left,) = db.execute("SELECT count(*) FROM opinions").fetchone()
    assert left < POINTS


def test_the_file_is_its_owners(workspace: Path, formed: Formed) -> None:
    assert formed.asked
    assert (workspace / "llm_cache" / opinions.FILE).stat().st_mode & 0o077 == 0


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_disk_that_cannot_be_written_keeps_nothing_and_stops_nothing(workspace: Path, formed: Formed) -> None:
    (workspace / "llm_cache" / opinions.FILE).unlink()
    (workspace / "llm_cache").chmod(0o500)
    try:
        assert form(workspace).minutes == formed.minutes
    finally:
        (workspace / "llm_cache").chmod(0o700)


SCRIPT = """
import sqlite3, sys
from contextlib import suppress
from pathlib import Path
from simulator.llm import opinions
place = Path(sys.argv[1])
rows = sqlite3.connect(place).execute("SELECT key, value FROM opinions").fetchall()
for n in range(int(sys.argv[2])):
    with suppress(sqlite3.OperationalError):  # others wrote for longer than is waited for
        opinions._write(place, [*rows, *((f"{n}-{k}", bytes(9000)) for k in range(99))])
    print(n, flush=True)
"""


@pytest.mark.fault("disk", "runs keep opinions side by side, and are killed at it", "whole opinions or none")
def test_runs_side_by_side_and_killed_leave_whole_opinions(
    workspace: Path, formed: Formed, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = workspace / "llm_cache" / opinions.FILE

    def start(times: int) -> subprocess.Popen[str]:
        return subprocess.Popen([sys.executable, "-c", SCRIPT, place, str(times)], stdout=subprocess.PIPE, text=True)

    with start(5) as one, start(5) as other, start(10**6) as endless:
        assert endless.stdout is not None
        endless.stdout.readline()
        assert one.wait() == other.wait() == 0
        endless.kill()
    monkeypatch.setattr(Setup, "ask", None)  # nothing is lost, so nothing is asked
    again = form(workspace)
    assert (again.minutes, again.calls, again.taken) == (formed.minutes, formed.calls, POINTS)
