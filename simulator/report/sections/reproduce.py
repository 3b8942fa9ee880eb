"""Reproduce: the command, what identifies the run, and what it was made of."""

from __future__ import annotations

import json
from dataclasses import dataclass

from simulator.evidence.records import RunRecord, Runtime
from simulator.number_format import cents, ratio, whole


@dataclass(frozen=True)
class Reproduce:
    """`identity` and `listings` are (name, text); listings are long and folded away."""

    command: str
    identity: tuple[tuple[str, str], ...]
    listings: tuple[tuple[str, str], ...]


def compose(run: RunRecord) -> Reproduce:
    """Return the section."""
    code = run["code"]
    commit = (code and code["commit"]) or "not under version control"
    pairs = (
        ("Run", run["run_id"]),
        ("Result digest", run["digest"]),
        ("Bars digest", run["data_digest"]),
        ("Code digest", code and code["digest"]),
        ("Code", f"{commit}, with uncommitted changes" if code and code["dirty"] else commit),
        ("LLM answers digest", run["llm"]["cache_entries"]),
    )
    listings = (
        ("Configuration", run["config"]),
        ("Strategy files, sha256", run["strategy_files"]),
        ("Packages", run["packages"]),
    )
    return Reproduce(
        run["command"],
        tuple((name, value) for name, value in pairs if value),
        tuple((name, json.dumps(value, indent=1, ensure_ascii=False)) for name, value in listings if value),
    )


def describe_runtime(runtime: Runtime | None) -> str:
    """Return the one line that may differ between reruns."""
    if runtime is None:
        return "Run time and spending unknown: runtime.json is missing or damaged"
    lost = runtime["lost_usd"]
    return "; ".join(
        filter(
            None,
            (
                f"Run time {ratio(runtime['seconds'], 1)}\u00a0s",
                f"{whole(runtime['asked'])} questions asked",
                f"{whole(runtime['cached'])} answered from the cache",
                f"{cents(runtime['cost_usd'])} spent",
                f"{cents(lost)} perhaps charged for answers that never came" if lost else "",
                f"python {runtime['python']}" if runtime["python"] else "",
                f"machine {runtime['machine']}" if runtime["machine"] else "",
            ),
        )
    )
