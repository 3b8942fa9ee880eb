"""Seats by who really answered there: "pm.risk · openai/gpt-5.2-preview (served gpt-5.2-2026-01-15)".

Account names (CHATGPT, CLAUDE, …) say whose money a seat trades, not who answers in it: they stand second.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from simulator.evidence.records import CallRow, RunRecord
from simulator.llm.model_names import is_same_model, strip_provider

OFFLINE = "offline"
BY_RULE = "rule-based"
NOT_RECORDED = "not recorded"
WARNING = "warning: "
"""Beginning of a note on something that may be wrong."""

STATED = "the stated rate"
"""In the source of a risk-free return that is not the cash instrument's alone."""


def served_by_seat(calls: Iterable[CallRow]) -> dict[str, list[str]]:
    """{seat: names of the models that served there}; an empty name for answers whose model was not recorded."""
    found: dict[str, set[str]] = {}
    for call in calls:
        found.setdefault(call["seat"], set()).add(call.get("served", ""))
    return {seat: sorted(names) for seat, names in sorted(found.items())}


def served_names(provider: str, served: Iterable[str]) -> str:
    """Return the models that served in one text: their names, "rule-based" or "not recorded"."""
    return (
        BY_RULE if provider == OFFLINE else ", ".join(sorted({one or NOT_RECORDED for one in served})) or NOT_RECORDED
    )


def warn_of_substitutes(calls: Iterable[CallRow]) -> list[str]:
    """Return a note for each model that answered in the place of another; the same name with a date is no other."""
    of_models = [call for call in calls if call["provider"] != OFFLINE]
    asked = Counter(call["model"] for call in of_models)
    served = Counter((call["model"], call.get("served", "")) for call in of_models)
    notes = []
    for (model, name), count in sorted(served.items()):
        if name and not is_same_model(model, name):
            where = {call["seat"] for call in of_models if (call["model"], call.get("served")) == (model, name)}
            share = f"{count:,} of {asked[model]:,} answers, in {', '.join(sorted(where))}"
            notes.append(f"{WARNING}{model} was asked and {name} served ({share}); it is judged by what served")
    return notes


def describe_model(provider: str, model: str, served: Sequence[str] | None = None) -> str:
    """Return who answers: a rule, or a model and, where that is another name, the one that served."""
    if provider == OFFLINE:
        return BY_RULE
    if not served or not any(served):
        return f"{model} (served: {NOT_RECORDED})"
    others = [name for name in served if name and strip_provider(name) != strip_provider(model)]
    others += [] if all(served) else [f"partly {NOT_RECORDED}"]
    return f"{model} (served {', '.join(others)})" if others else model


def who_answers(run: RunRecord, seat: str) -> str:
    """Return who answers in a seat of a run, empty where nobody does: a council that only counts votes."""
    seated = run["config"].get("models", {}).get(seat)
    served = run["llm"].get("served", {}).get(seat)
    if isinstance(seated, Mapping):
        return describe_model(str(seated.get("provider")), str(seated.get("model")), served)
    # Folders of before version 3 name the models of accounts only.
    model = next((one["model"] for one in run["accounts"] if one["seat"] == seat), "")
    if model and run["analysts"]:
        return BY_RULE
    return "" if model in ("", seat, "vote") else describe_model("", model, served)


def who_by_seat(run: RunRecord) -> dict[str, str]:
    """{seat: who answers there} of a run, the seats of accounts first."""
    seats = dict.fromkeys((*(one["seat"] for one in run["accounts"]), *run["config"].get("models", {})))
    return {seat: who_answers(run, seat) for seat in seats}


def name_seat(run: RunRecord, seat: str) -> str:
    """``pm.risk · rule-based``."""
    who = who_answers(run, seat)
    return f"{seat} · {who}" if who else seat


def name_account(run: RunRecord, account: str) -> str:
    """``pm.risk · rule-based (CLAUDE)``; the account alone where it has no seat or is called as its seat is."""
    seat = next((one["seat"] for one in run["accounts"] if one["name"] == account), "")
    return f"{name_seat(run, seat)} ({account})" if seat and seat != account else name_seat(run, account)
