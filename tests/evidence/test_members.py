"""A seat is shown by who really answered there; the name of its account stands second."""

from __future__ import annotations

from typing import Any

import pytest

from simulator.evidence.members import (
    describe_model,
    name_account,
    name_seat,
    served_by_seat,
    served_names,
    warn_of_substitutes,
    who_by_seat,
)


def call(model: str, served: str | None, seat: str = "pm.risk", provider: str = "openai_compatible") -> Any:
    row = {"seat": seat, "provider": provider, "model": model}
    return row if served is None else {**row, "served": served}


@pytest.mark.parametrize(
    ("provider", "model", "served", "shown"),
    [
        ("offline", "risk", ["risk/1a2b"], "rule-based"),
        ("openai_compatible", "openai/gpt-5.2-preview", ["gpt-5.2-2026-01-15"],
         "openai/gpt-5.2-preview (served gpt-5.2-2026-01-15)"),
        ("openai_compatible", "openai/gpt-5.2", ["gpt-5.2"], "openai/gpt-5.2"),
        ("openai_compatible", "openai/gpt-5.2", ["b", "c"], "openai/gpt-5.2 (served b, c)"),
        ("openai_compatible", "x", ["", "y"], "x (served y, partly not recorded)"),
        ("claude_code", "haiku", ["claude-haiku-4-5-20251001"], "haiku (served claude-haiku-4-5-20251001)"),
        pytest.param(
            "openai_compatible", "x", [""], "x (served: not recorded)",
            marks=pytest.mark.fault("answers", "an older answer lacks the model that served", "shown as not recorded"),
        ),
        ("openai_compatible", "x", None, "x (served: not recorded)"),
    ],
)  # fmt: skip
def test_a_seat_is_shown_by_who_answered(provider: str, model: str, served: list[str] | None, shown: str) -> None:
    assert describe_model(provider, model, served) == shown


def run(**changes: Any) -> Any:
    models = {"pm.risk": ("openai_compatible", "a/b"), "r": ("offline", "macro")}
    accounts = (("CLAUDE", "pm.risk", "a/b"), ("COUNCIL", "vote", "vote"))
    return {
        "config": {
            "models": {seat: dict(zip(("provider", "model"), one, strict=True)) for seat, one in models.items()}
        },
        "accounts": [dict(zip(("name", "seat", "model"), one, strict=True)) for one in accounts],
        "analysts": None,
        "llm": {"served": {"pm.risk": ["b-2026-01"]}},
        **changes,
    }


def test_the_account_stands_behind_the_seat() -> None:
    assert name_account(run(), "CLAUDE") == "pm.risk · a/b (served b-2026-01) (CLAUDE)"
    assert name_account(run(), "COUNCIL") == "vote (COUNCIL)"
    assert name_seat(run(), "r") == "r · rule-based"
    assert who_by_seat(run()) == {"pm.risk": "a/b (served b-2026-01)", "vote": "", "r": "rule-based"}


def test_folders_of_earlier_versions_name_the_models_of_their_accounts() -> None:
    assert name_seat(run(config={}, llm={}), "pm.risk") == "pm.risk · a/b (served: not recorded)"
    assert name_seat(run(config={}, llm={}, analysts="rule-based"), "pm.risk") == "pm.risk · rule-based"
    assert name_seat(run(config={}, llm={}), "elsewhere") == "elsewhere"


def test_what_served_is_listed_by_seat() -> None:
    calls = [call("a", "x"), call("a", ""), call("a", None, "r"), call("a", "x")]
    assert served_by_seat(calls) == {"pm.risk": ["", "x"], "r": [""]}
    assert served_names("openai_compatible", ["x", "", "x"]) == "not recorded, x"
    assert served_names("openai_compatible", []) == "not recorded"
    assert served_names("offline", ["trend/1a"]) == "rule-based"


@pytest.mark.fault("answers", "another model answers than was asked", "a warning in terminal, run.json, report")
def test_another_model_than_asked_is_a_warning_and_the_same_with_a_date_is_none() -> None:
    calls = [
        *(call("a/gpt-5", name) for name in ("gpt-5-2025-08-07", "gpt-4o", "gpt-4o", "")),
        call("a/gpt-5", "gpt-4o", "chairman"),
        call("risk@1", "risk/1", provider="offline"),
    ]
    (warning,) = warn_of_substitutes(calls)
    assert warning.startswith("warning: a/gpt-5 was asked and gpt-4o served (3 of 5 answers, in chairman, pm.risk)")
    assert warn_of_substitutes(calls[:1] + calls[3:4]) == []
