"""The report of a forward test: the seed's validation, the sequence, the digest; on every screen, in light and dark."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from simulator.analysis.forward_facts import gather_facts
from simulator.forward.records import Recommendation
from simulator.report.forward_page import (
    as_json,
    as_markdown,
    compose,
    print_forward,
    render,
    write_report,
)
from simulator.report.renderers.console import capture
from simulator.report.sections.forward import draw_sequence

from ..forward.made import make_record, make_registration
from .test_report_accessible import SCREENS, examine

SIX = make_registration(accounts={name: f"PA3{name}" for name in ("COUNCIL", "GPT", "CLAUDE", "GROK", "QWEN", "R1")})
LISTED = ("Profit and loss", "Recommendations that came true", "Cost of models", "Points held", "Error rate", "Uptime")
"""What the validation of fifteen sessions asks for."""


def facts_of(n: int, **more: Any) -> Any:
    return gather_facts(make_record(SIX, n, **more), SIX)


def test_the_validation_of_fifteen_sessions_is_counted_from_the_record() -> None:
    facts = facts_of(15)
    first = [day for day in facts.record.days if day.account == "COUNCIL"]
    assert facts.primary.pnl == pytest.approx(sum(day.pnl for day in first))
    assert facts.points == {"done": 2, "late": 0, "missed": 1, "failed": 0}
    assert facts.executed == pytest.approx(2 / 3)
    assert facts.cost_usd == pytest.approx(0.12)
    assert facts.expected == pytest.approx((0.06, 0.15, 0.3))
    assert facts.uptime == pytest.approx(1 - 13 / (15 * 390))
    assert facts.error_rate == pytest.approx(7 / (15 * 120 + 27))
    assert facts.primary.slippage == pytest.approx(sum(one.slippage for one in facts.primary.fills))
    assert [row.label for row in compose(facts).validation.rows] == list(LISTED)


def test_what_a_person_rejected_is_no_order_that_was_refused() -> None:
    record = make_record(SIX, 10)
    states = dict(
        zip((one.client_order_id for one in record.orders), ("declined", "declined", "given up"), strict=False)
    )
    orders: Any = [replace(one, state=states.get(one.client_order_id, one.state)) for one in record.orders]
    facts = gather_facts(replace(record, orders=tuple(orders)), SIX)
    assert facts.primary.not_sent == {"refused": 1, "declined": 1, "given_up": 0}
    page, numbers = compose(facts), as_json(facts)
    assert page.accounts.rows[0].cells[8].note == "1 refused, 1 declined"
    assert page.refused is not None
    assert {row.cells[2].text for row in page.refused.rows} == {"rejected"}
    assert page.taken_back is not None
    assert [row.cells[2].text for row in page.taken_back.rows] == ["declined", "declined", "given up"]
    (first, *_), markdown = numbers["accounts"], as_markdown(facts)  # type: ignore[misc]
    assert [first[name] for name in ("refused", "declined", "given_up")] == [1, 1, 0]
    assert "## Orders that were taken back before they were sent" in markdown


def test_a_recommendation_came_true_where_its_symbol_moved_that_way_until_the_next_one() -> None:
    record = make_record(SIX, 10)
    days = [day for day in record.days if day.account == "COUNCIL"]
    moves = np.array([[day.held[0].moves[name] for name in SIX.symbols] for day in days])
    spy = lambda first, last: float(np.prod(1 + moves[first:last, 0]) - 1)  # noqa: E731
    told = (
        Recommendation(f"{days[0].session}T09:00:00-04:00", days[0].session, "SPY", 0.5),
        Recommendation(f"{days[4].session}T10:00:00-04:00", days[4].session, "SPY", 0.5, 0.5, -1),  # after that open
        Recommendation(f"{days[2].session}T09:00:00-04:00", days[2].session, "QQQ", 0.0, 0.0),  # no direction
        Recommendation(f"{days[9].session}T16:30:00-04:00", days[9].session, "QQQ", 0.5),  # no bar since
    )
    found = gather_facts(replace(record, recommendations=told), SIX)
    assert (found.hits.right, found.hits.of) == (int(spy(0, 5) > 0) + int(spy(5, 10) < 0), 2)
    assert found.hits.rising == int(spy(0, 5) > 0) + int(spy(5, 10) > 0)
    assert set(found.hits_by_symbol) == {"SPY"}


@pytest.mark.medium
@pytest.mark.parametrize("n", [0, 1, 2, 15, 90])
def test_page_markdown_and_numbers_say_the_same(n: int, tmp_path: Path) -> None:
    facts = facts_of(n)
    page, results = write_report(facts, tmp_path / "run", tmp_path / "docs")
    html, text = page.read_text(encoding="utf-8"), results.read_text(encoding="utf-8")
    assert results == tmp_path / "docs" / "forward_test_results.md"
    assert render(facts) == render(facts_of(n))
    numbers = json.loads(json.dumps(as_json(facts), allow_nan=False))
    for whole in (html, text, json.dumps(numbers)):
        assert facts.registration.digest in whole
    for words in (*LISTED, "PA3COUNCIL", "No verdict before session 60" if n < 60 and n else "session"):
        assert words in html
        assert words in text
    assert len(numbers["accounts"]) == 6
    assert len(numbers["accounts"][0]["verdict"]["course"]["low"]) == n
    assert [row["label"] for row in numbers["tables"][0]["rows"]] == list(LISTED)
    short = (Path("report.html"), Path("results.md"))
    shown = capture(lambda console: print_forward(facts, console, short), 80)
    assert max(map(len, shown.splitlines())) <= 80
    assert all(words in shown for words in LISTED)


@pytest.mark.medium
def test_the_plot_has_one_look_before_session_sixty_and_the_sequence_from_there() -> None:
    early, late = (facts_of(n).primary.verdict.course for n in (59, 200))
    assert draw_sequence(facts_of(1).primary.verdict.course) is None
    before, after = draw_sequence(early), draw_sequence(late)
    assert before is not None
    assert after is not None
    assert [key.css for key in before.chart.keys] == ["strategy", "equal"]
    assert [key.css for key in after.chart.keys] == ["strategy", "equal", "hold"]
    width = late.high - late.low
    assert width[-1] < width[100] < width[60]
    assert after.chart.panel.paths.count('class="hold"') == 2


def test_long_lists_show_the_newest_and_fold_the_rest() -> None:
    html = render(facts_of(90)).decode()
    assert "All 90 rows" in html
    sessions = re.findall(r'<th scope="row">(\d{4}-\d\d-\d\d)</th>', html)
    assert len(sessions) == 20 + 90
    assert sessions[0] == max(sessions)


def test_a_record_under_another_registration_is_said() -> None:
    record = replace(make_record(SIX, 3), digest="ff" * 32)
    assert "another registration" in render(gather_facts(record, SIX)).decode()


def test_texts_from_elsewhere_are_shown_as_text() -> None:
    from simulator.forward.records import AlertRow

    record = replace(make_record(SIX, 3), alerts=(AlertRow("2024-06-03T09:00:00-04:00", "x", "<b>|`\x1b[31m"),))
    facts = gather_facts(record, SIX)
    html = render(facts).decode()
    assert "<b>|" not in html
    assert "\x1b" not in html
    assert "&lt;b>\\|\\`" in as_markdown(facts)


@pytest.mark.medium
def test_the_page_has_no_violation_on_any_screen(browser: Any, tmp_path: Path) -> None:
    for n, screens in ((90, SCREENS), (0, [(390, "dark")])):
        page, _ = write_report(facts_of(n), tmp_path / str(n), tmp_path)
        assert examine(browser, page, screens) == []
