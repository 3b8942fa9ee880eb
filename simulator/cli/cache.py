"""`sim cache`: what the LLM cache holds, whether it is sound, and how to share it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from simulator.cli.completers import complete_cassette
from simulator.cli.options import AS_JSON
from simulator.printing import say

if TYPE_CHECKING:
    from simulator.llm.cache import AnswerCache, Entry
    from simulator.workspace import Workspace

RULE = "─" * 60


@click.group()
def cache() -> None:
    """Look into the LLM cache, verify and share it."""


@cache.command()
@AS_JSON
@click.pass_obj
def stats(workspace: Workspace, as_json: bool) -> None:
    """Count entries, tokens and dollars by model and outcome."""
    with _open(workspace) as answers:
        totals = answers.stats()
        folder = str(answers.folder)
    if as_json:
        say(json.dumps({"folder": folder, **asdict(totals)}))
        return
    say(f"{folder}: {totals.entries:,} answers, {totals.bytes / 1e6:,.1f} MB")
    if totals.entries:
        tokens = f"{totals.prompt_tokens:,} prompt and {totals.completion_tokens:,} completion tokens"
        say(f"{tokens}, ${totals.cost_usd:,.2f} in all")
    if totals.first_asked:
        say(f"asked {totals.first_asked} to {totals.last_asked}")
    for name, count in [*totals.models.items(), *totals.outcomes.items()]:
        say(f"{count:>9,}  {name}")
    if totals.corrupt:
        say(f"{totals.corrupt:>9,}  corrupt: `sim cache verify` names them")


@cache.command()
@click.option("--repair", is_flag=True, help="Move what is broken aside, into a file beside the cache.")
@AS_JSON
@click.pass_obj
def verify(workspace: Workspace, repair: bool, as_json: bool) -> None:
    """Check every entry against its digest and its key."""
    from simulator.errors import CacheCorruptError
    from simulator.llm.storage import REPAIR

    with _open(workspace) as answers:
        checked = answers.verify(repair=repair)
        folder = str(answers.folder)
    moved = str(checked.quarantine) if checked.quarantine else None
    if as_json:
        bad = [asdict(entry) for entry in checked.bad]
        say(json.dumps({"folder": folder, "entries": checked.entries, "bad": bad, "quarantine": moved}))
    else:
        for entry in checked.bad:
            say(f"{entry.key}: {entry.reason}")
        say(f"{folder}: {checked.entries:,} sound, {len(checked.bad):,} bad" + (f", moved to {moved}" if moved else ""))
    if checked.bad and not repair:
        raise CacheCorruptError(f"LLM cache has {len(checked.bad):,} bad entries", where=folder, mend=REPAIR)


@cache.command()
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--run", metavar="RUN", help="Only the answers this run used.")
@AS_JSON
@click.pass_obj
def export(workspace: Workspace, file: Path, run: str | None, as_json: bool) -> None:
    """Write answers to FILE as readable JSONL, sorted by key."""
    from simulator.llm.cassette import write_cassette
    from simulator.store.folders import find_run, read_lines

    keys = None
    if run:
        lines = read_lines(find_run(workspace.reports, run) / "llm_calls.jsonl")
        keys = [str(line["key"]) for line in lines]
    with _open(workspace) as answers:
        count = write_cassette(answers, file, keys)
    say(json.dumps({"file": str(file), "exported": count}) if as_json else f"{file}: {count:,} answers")


@cache.command("import")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False), shell_complete=complete_cassette)
@AS_JSON
@click.pass_obj
def import_(workspace: Workspace, file: Path, as_json: bool) -> None:
    """Take over the answers of FILE; those already here stay as they are.

    FILE may be the name of a cassette in llm_cache/cassettes/, e.g. small_council.
    """
    from simulator.llm.cassette import read_cassette

    cassette = workspace.cassettes / f"{file.name}.jsonl"
    if not file.exists() and file.name == str(file) and cassette.is_file():
        file = cassette
    with _open(workspace) as answers:
        done = read_cassette(answers, file)
    if as_json:
        say(json.dumps({"file": str(file), **asdict(done)}))
    else:
        say(f"{file}: {done.read:,} answers, {done.added:,} of them new")


@cache.command()
@click.option("--failures", is_flag=True, help="Refusals, answers nobody could use, and messages of failures.")
@AS_JSON
@click.pass_obj
def forget(workspace: Workspace, failures: bool, as_json: bool) -> None:
    """Remove stored failures for good; the next run asks those questions again."""
    from simulator.errors import UsageError
    from simulator.llm.providers.complaints import is_failure

    if not failures:
        raise UsageError("forget what?", mend="`sim cache forget --failures` forgets failures; answers are kept")
    with _open(workspace) as answers:
        failed = (one.key for one in answers.entries() if is_failure(one.response, one.request.get("schema")))
        count = answers.forget(list(failed))
        folder = str(answers.folder)
    say(json.dumps({"folder": folder, "forgotten": count}) if as_json else f"{folder}: {count:,} failures forgotten")


@cache.command()
@click.argument("key")
@AS_JSON
@click.pass_obj
def show(workspace: Workspace, key: str, as_json: bool) -> None:
    """Show one question and its answer. KEY may be the beginning of a key."""
    with _open(workspace) as answers:
        entry = answers.find(key)
    if as_json:
        say(json.dumps(entry.to_json()))
    else:
        say("\n".join(_render_entry(entry)))


@cache.command()
@click.argument("first")
@click.argument("second")
@AS_JSON
@click.pass_obj
def diff(workspace: Workspace, first: str, second: str, as_json: bool) -> None:
    """Show where two questions and their answers differ. FIRST and SECOND may be beginnings of keys."""
    from simulator.llm.miss_explanation import differences

    with _open(workspace) as answers:
        one, other = answers.find(first), answers.find(second)
    found = list(differences(one.request, other.request))
    if as_json:
        same = one.response.text == other.response.text
        listed = [asdict(difference) for difference in found]
        say(json.dumps({"first": one.key, "second": other.key, "differences": listed, "same_answer": same}))
        return
    lines = [str(difference) for difference in found] or ["the questions are the same"]
    say("\n".join([*lines, *_render_diff(_list_texts(one), _list_texts(other))]))


def _open(workspace: Workspace) -> AnswerCache:
    from simulator.llm.cache import AnswerCache

    return AnswerCache(workspace.cache)


def _render_entry(entry: Entry) -> Iterator[str]:
    request, response = entry.request, entry.response
    yield f"key       {entry.key}"
    yield f"model     {request['provider']}/{request['model']} {request.get('endpoint') or ''}".rstrip()
    yield f"purpose   {_render_pairs(entry.purpose)}"
    settings = {
        name: value
        for name, value in request.items()
        if name not in ("format", "provider", "model", "endpoint", "messages", "schema") and value not in (None, [], 0)
    }
    yield f"settings  {_render_pairs(settings)}"
    yield f"schema    {(request.get('schema') or {}).get('title', '-')}"
    for message in request["messages"]:
        yield f"{RULE} {message['role']}"
        yield message["content"]
    yield f"{RULE} {response.outcome}"
    yield response.text
    usage = response.usage
    yield RULE
    yield (
        f"served {response.model or '(not recorded)'}, {response.asked_at or 'no time'}, {response.latency_s:.1f} s, "
        f"{usage.prompt_tokens:,} + {usage.completion_tokens:,} tokens, ${usage.cost_usd:.4f}"
    )


def _render_pairs(values: Mapping[str, Any]) -> str:
    return " ".join(f"{name}={values[name]}" for name in sorted(values)) or "-"


def _list_texts(entry: Entry) -> dict[str, str]:
    asked = {f"messages[{i}] {m['role']}": m["content"] for i, m in enumerate(entry.request["messages"])}
    return {**asked, "answer": entry.response.text}


def _render_diff(first: Mapping[str, str], second: Mapping[str, str]) -> Iterator[str]:
    from difflib import unified_diff

    for name in dict.fromkeys([*first, *second]):
        one, other = first.get(name, "").splitlines(), second.get(name, "").splitlines()
        yield from unified_diff(one, other, f"first {name}", f"second {name}", n=1, lineterm="")
