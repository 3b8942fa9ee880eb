"""Registrations: said before the first order, found again, never changed unseen."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import fields, replace
from pathlib import Path

import pytest

from simulator.errors import DataError
from simulator.forward.registration import (
    FILE,
    NOT_IN_ID,
    PriorEvidence,
    Registration,
    Usual,
    as_begun,
    count_trials,
    read_registration,
    recorded_digest,
    register,
    registrations,
)
from simulator.forward.settings import Forward
from simulator.store.database import Store
from simulator.store.events import Event

from .made import make_registration

PRIOR = PriorEvidence("2024-01-02", "2024-05-31", (0.001, -0.002), 0.0001, 7, 12)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store(tmp_path / "sim.db") as store:
        yield store


def test_a_registration_is_on_disk_and_on_record_and_found_again_after_a_restart(tmp_path: Path, store: Store) -> None:
    said = make_registration(prior=PRIOR)
    found, fresh = register(said, tmp_path, store)
    assert fresh
    assert found == said
    assert found.digest == said.digest
    assert read_registration(tmp_path / f"forward-macro_council-{said.id}" / FILE) == said
    assert recorded_digest(said.id, store) == said.digest
    again, fresh = register(replace(said, registered_at="2024-07-01T08:00:00-04:00"), tmp_path, store)
    assert not fresh
    assert again == said
    assert len(store.of_forward(said.id)) == 1


def test_a_store_that_lost_a_test_which_traded_does_not_begin_it_anew(tmp_path: Path, store: Store) -> None:
    said, _ = register(make_registration(), tmp_path, store)
    data = tmp_path / said.folder / "data"
    data.mkdir()
    (data / "SPY.csv").write_text("date,open\n")
    with Store(tmp_path / "another.db") as lost, pytest.raises(DataError, match="the store has lost this test"):
        register(said, tmp_path, lost)


def test_one_killed_between_file_and_event_is_completed(tmp_path: Path, store: Store) -> None:
    class Dies:
        of_forward = store.of_forward

        def append(self, *_: object) -> None:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        register(make_registration(), tmp_path, Dies())
    assert store.of_forward(make_registration().id) == []
    found, fresh = register(make_registration(registered_at="2024-06-04T08:00:00-04:00"), tmp_path, store)
    assert not fresh
    assert found.registered_at.startswith("2024-06-03")
    assert recorded_digest(found.id, store) == found.digest


CHANGED = {
    "strategy": "other", "files": {"strategy.yaml": "ab"}, "prompts": {"prompts/pitch.md": "ba"},
    "models": {}, "parameters": {},
    "config": "c", "code": "d", "symbols": ("SPY",), "benchmark": "SPY", "question": "?", "primary": "SECOND",
    "smallest_edge": 2.0, "sessions_needed": 992, "accounts": {"COUNCIL": "PA4OTHER", "SECOND": "PA3SECOND"},
    "cash_instrument": "SHV", "backtest": "0123456789", "usual": Usual({"SPY": 0.25, "QQQ": 0.25}, 250), "prior": PRIOR,
    "terms": Forward(approval="required").terms,
}  # fmt: skip


def test_a_rehearsal_registers_beside_the_tests_and_is_none(tmp_path: Path, store: Store) -> None:
    test, _ = register(make_registration(), tmp_path, store)
    rehearsal, fresh = register(make_registration(rehearsal={"first": "2024-06-03"}), tmp_path, store)
    assert fresh
    assert rehearsal.id != test.id
    assert "rehearsal" not in test._content  # ids of tests registered before are what they were
    assert registrations(tmp_path) == [test]


@pytest.mark.parametrize("name", sorted({one.name for one in fields(Registration)} - {*NOT_IN_ID, "rehearsal"}))
def test_a_change_of_anything_is_another_test_and_the_old_one_stays(name: str, tmp_path: Path, store: Store) -> None:
    old, _ = register(make_registration(), tmp_path, store)
    new, fresh = register(make_registration(**{name: CHANGED[name]}), tmp_path, store)
    assert fresh
    assert new.id != old.id
    assert len(registrations(tmp_path)) == 2
    assert new.earlier == (old.id,)
    assert recorded_digest(old.id, store) == old.digest


def test_another_program_and_another_mail_address_go_on_with_the_test(tmp_path: Path, store: Store) -> None:
    old, _ = register(make_registration(), tmp_path, store)
    mail = {"host": "smtp.example.org", "from": "a@example.org", "to": ["b@example.org"]}
    looked_after = Forward.model_validate({"poll_s": 1, "web_url": "http://127.0.0.1", "alerts": {"email": mail}})
    made = make_registration(code="another", terms=looked_after.terms)
    assert register(as_begun(made, tmp_path), tmp_path, store) == (old, False)


def test_a_test_registered_before_there_were_terms_goes_on(tmp_path: Path, store: Store) -> None:
    before, _ = register(make_registration(terms={}), tmp_path, store)
    assert before.id == "645b60f603", "as it was then"
    assert register(as_begun(make_registration(code="another"), tmp_path), tmp_path, store) == (before, False)


@pytest.mark.parametrize(
    "change", [{"approval": "above 5%"}, {"daily_loss": {"*": "2%"}}, {"late": "same session"}, {"approval_minutes": 5}]
)
def test_terms_that_change_decisions_or_orders_are_another_test(change: dict[str, object]) -> None:
    assert make_registration(terms=Forward.model_validate(change).terms).id != make_registration().id


@pytest.mark.fault(
    "disk", "registration.json was changed after it was written", "refused: it says where and what to do"
)
@pytest.mark.parametrize(
    "change",
    [
        lambda content: {**content, "smallest_edge": 0.1},
        lambda content: {**content, "registered_at": "2023-01-01T08:00:00-05:00"},
        lambda content: {**content, "accounts": {**content["accounts"], "COUNCIL": "PA9"}},
        lambda content: {name: value for name, value in content.items() if name != "question"},
        lambda content: [content],
    ],
)
def test_tampering_is_noticed(change, tmp_path: Path, store: Store) -> None:
    said, _ = register(make_registration(), tmp_path, store)
    path = tmp_path / said.folder / FILE
    path.write_text(json.dumps(change(json.loads(path.read_text()))))
    with pytest.raises(DataError) as refused:
        register(make_registration(), tmp_path, store)
    assert str(path) in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_file_that_was_made_anew_with_its_digest_differs_from_the_record(tmp_path: Path, store: Store) -> None:
    said, _ = register(make_registration(), tmp_path, store)
    path = tmp_path / said.folder / FILE
    forged = replace(said, registered_at="2023-01-01T08:00:00-05:00")
    path.write_text(json.dumps({**json.loads(path.read_text()), "registered_at": forged.registered_at,
                                "digest": forged.digest}))  # fmt: skip
    assert read_registration(path) == forged
    with pytest.raises(DataError, match="not the one on record"):
        register(make_registration(), tmp_path, store)
    path.unlink()
    with pytest.raises(DataError, match="its file is gone"):
        register(make_registration(), tmp_path, store)


def test_trials_are_all_tests_of_the_strategy_of_which_a_session_was_seen(tmp_path: Path, store: Store) -> None:
    one, _ = register(make_registration(), tmp_path, store)
    two, _ = register(make_registration(config="e"), tmp_path, store)
    register(make_registration(strategy="other", files={"other.py": "ee"}), tmp_path, store)
    assert count_trials(two, tmp_path, store) == 1  # nothing was seen of the first
    store.append(one.id, [Event("forward.session", "2024-06-03T16:20:00-04:00", "COUNCIL", {})])
    assert count_trials(two, tmp_path, store) == 2
    assert count_trials(one, tmp_path, store) == 1
    renamed, _ = register(make_registration(strategy="renamed", files={"x.md": "bb" * 32}), tmp_path, store)
    assert count_trials(renamed, tmp_path, store) == 2
    carried, _ = register(make_registration(config="f", prior=PRIOR), tmp_path, store)
    assert count_trials(carried, tmp_path, store) == 2 + 11
