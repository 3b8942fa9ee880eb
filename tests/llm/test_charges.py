"""What is booked for an answer: tokens and costs as services report them, over real HTTP; a budget holds whatever they
say, and no ledger can become infinite."""

from __future__ import annotations

import asyncio
import json
import math
import sqlite3
import sys
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from simulator.config import EndpointLimits, Price, Seat
from simulator.errors import BudgetError, LLMError, UsageError
from simulator.llm.cache import AnswerCache
from simulator.llm.gateway import Gateway
from simulator.llm.messages import ChatRequest, Message
from simulator.llm.providers.offline import Offline
from simulator.llm.registry import providers_for, request_for
from simulator.llm.retries import Retry
from simulator.llm.spending.budget import Budget
from simulator.llm.spending.charges import Charges, StoppedModelError
from simulator.llm.spending.fair_queue import FairQueue
from simulator.llm.spending.limits import Limits
from simulator.llm.spending.prices import Prices
from simulator.llm.spending.shared_ledger import FILE, SharedLedger
from simulator.llm.spending.usage import read_usage

Serve = Callable[..., Any]

PRICE = Price(input=1000.0, output=2000.0)
"""Dollars per million tokens: high, so that a few tokens are a sum to look at."""
FREE = Price(input=0.0, output=0.0)


class Till:
    """A gateway with all that holds money, in a folder of its own; `said` is what it reports."""

    def __init__(self, folder: Path, seat: Seat, price: Price, limit: float = 100.0, **charges: Any) -> None:
        self.said: list[str] = []
        self.seat = seat
        self.ledger = SharedLedger(folder, say=self.said.append)
        prices = Prices({seat.endpoint: price} if seat.endpoint else {seat.model: price})
        self.charges = Charges(prices, ledger=self.ledger, say=self.said.append, **charges)
        self.budget = Budget(limit, ledger=self.ledger, run="r")
        limits = Limits({seat.endpoint: EndpointLimits(concurrency=16)}, self.ledger)
        self.gateway = Gateway(
            AnswerCache(folder),
            providers_for({"*": seat}, Offline({}, ""), self.charges.charge),
            budget=self.budget,
            estimate_usd=self.charges.estimate,
            retry=Retry(()),
            limiter=FairQueue(
                limits, self.budget, self.charges.estimate, self.charges.find_untried, self.charges.at_worst
            ),
        )

    def question(self, number: int = 0) -> ChatRequest:
        return request_for(self.seat, [Message("user", f"buy {number}? " + "x" * 393)])

    def ask(self, count: int = 1) -> list[Any]:
        """Answers and errors of `count` questions put at once."""

        async def run() -> list[Any]:
            asked = (self.gateway.ask(self.question(number)) for number in range(count))
            found = await asyncio.gather(*asked, return_exceptions=True)
            await self.gateway.drain()
            return found

        return asyncio.run(run())

    def spent(self) -> float:
        """Dollars of the day, as another process would read them."""
        self.ledger.close()
        with closing(sqlite3.connect(self.ledger.folder / FILE)) as db:
            (total,) = db.execute("SELECT coalesce(sum(usd), 0.0) FROM spent").fetchone()
        return float(total)


def seat_at(url: str, **fields: Any) -> Seat:
    return Seat(provider="openai_compatible", model="m", endpoint=url, max_tokens=50, timeout_s=5, **fields)


def dollars(prompt: int, completion: int) -> float:
    return (prompt * PRICE.input + completion * PRICE.output) / 1e6


TEXT = 1
"""Tokens of the service's answer, one short word, at four bytes each; it counts one more."""
PROMPT = 100
"""Tokens of the question, at four bytes each; the service counts one more."""
ASIDE = dollars(400 + 16, 50)
"""Set aside for a question: a token for each byte, and max_tokens of answer."""


@pytest.mark.parametrize(
    ("fault", "tokens"),
    [
        pytest.param(
            "usage-reasoning-outside", (PROMPT + 1, 5000 + TEXT + 1),
            marks=pytest.mark.fault("money", "reasoning tokens in the total only (xAI)", "counted as completion"),
        ),
        pytest.param(
            "usage-zeros", (PROMPT, TEXT),
            marks=pytest.mark.fault("money", "usage all zeros, or none", "four bytes are taken for a token"),
        ),
        ("no-usage", (PROMPT, TEXT)),
        pytest.param(
            "usage-floats", (PROMPT + 1, TEXT + 1),
            marks=pytest.mark.fault(
                "money", "tokens as floats, as text, or as input_tokens and output_tokens", "read as they are meant"
            ),
        ),
        ("usage-text", (PROMPT + 1, TEXT + 1)),
        ("usage-input-output", (PROMPT + 1, TEXT + 1)),
    ],
)  # fmt: skip
def test_tokens_are_read_however_they_are_reported_and_booked_by_the_table(
    fault: str, tokens: tuple[int, int], serve: Serve, tmp_path: Path
) -> None:
    till = Till(tmp_path, seat_at(serve("--latency", 0, "--faults", 1, "--fault", fault).url), PRICE)
    (answer,) = till.ask()
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens) == tokens
    assert answer.usage.cost_usd == pytest.approx(dollars(*tokens))
    assert till.spent() == pytest.approx(dollars(*tokens))
    assert till.said == []


@pytest.mark.fault(
    "money", "cost 0 with the bill in cost_details (BYOK)", "the bill counts; without one, tokens × price"
)
def test_the_bill_of_ones_own_key_counts(serve: Serve, tmp_path: Path) -> None:
    service = serve("--latency", 0, "--price", 900, 900, "--faults", 1, "--fault", "byok")
    till = Till(tmp_path, seat_at(service.url), PRICE)
    (answer,) = till.ask()
    assert answer.usage.cost_usd == till.spent() == pytest.approx((PROMPT + 1 + TEXT + 1) * 900 / 1e6)


@pytest.mark.fault(
    "money", "a told cost that is infinite, NaN, negative, or above 20 × what was set aside",
    "the larger of tokens × price and what was set aside is booked, and it is said",
)  # fmt: skip
@pytest.mark.parametrize("fault", ["cost-infinite", "cost-nan", "cost-negative", "cost-huge"])
def test_a_cost_nobody_can_have_taken_is_not_believed(fault: str, serve: Serve, tmp_path: Path) -> None:
    service = serve("--latency", 0, "--faults", 1, "--fault", fault)
    till = Till(tmp_path, seat_at(service.url), PRICE)
    (answer,) = till.ask()
    assert answer.usage.cost_usd == till.spent() == pytest.approx(ASIDE)
    (line,) = till.said
    assert "told a cost of $" in line
    assert f"booked are ${ASIDE:,.4f}" in line
    assert service.url in line
    till.ask(3)
    assert len(till.said) == 1, "said once and not for every answer"


@pytest.mark.fault(
    "money", "a told cost above the table's, up to 20 ×", "believed; the next questions set as much aside"
)
def test_a_cost_above_the_table_is_believed_and_raises_the_estimate_at_once(serve: Serve, tmp_path: Path) -> None:
    service = serve("--latency", 0, "--price", 8000, 8000)
    till = Till(tmp_path, seat_at(service.url), PRICE)
    told = (PROMPT + 1 + TEXT + 1) * 8000 / 1e6
    assert till.charges.estimate(till.question())[1] == pytest.approx(ASIDE)
    (answer,) = till.ask()
    assert answer.usage.cost_usd == till.spent() == pytest.approx(told)
    assert till.charges.estimate(till.question())[1] == pytest.approx(told)
    later = Till(tmp_path, seat_at(service.url), PRICE)
    assert later.charges.estimate(till.question())[1] == pytest.approx(told), "known to the runs that come after"
    other = Till(tmp_path, seat_at(service.url), Price(input=1.0, output=1.0))
    assert other.charges.estimate(till.question())[1] < 0.001, "another price in the table begins anew"
    for one in (later, other):
        one.ledger.close()


@pytest.mark.fault(
    "money",
    "the table says 0 and the service tells a cost",
    "counted, and --max-cost holds",
)
@pytest.mark.medium
@pytest.mark.parametrize("price", [FREE, Price(input=10.0, output=20.0)], ids=["free", "too cheap"])
def test_a_budget_holds_whatever_the_table_says(price: Price, serve: Serve, tmp_path: Path) -> None:
    service = serve("--latency", 0.02, "--faults", 1, "--fault", "cost-tenth")
    if price != FREE:
        service = serve("--latency", 0.02, "--price", 150, 150)
    each = 0.1 if price == FREE else (PROMPT + 1 + TEXT + 1) * 150 / 1e6
    till = Till(tmp_path, seat_at(service.url), price, limit=5.2 * each)
    found = till.ask(60)
    refused = [one for one in found if isinstance(one, BudgetError)]
    assert till.spent() == pytest.approx(5 * each)
    assert service.stats()["requests"] == 5
    assert len(refused) >= 55
    assert "budget of $" in str(refused[0])
    again = Till(tmp_path, seat_at(service.url), price, limit=5.2 * each)
    assert all(isinstance(one, BudgetError) for one in again.ask(60) if not hasattr(one, "text"))
    again.ledger.close()
    assert service.stats()["requests"] == 5, "the same command again asks nothing either"


@pytest.mark.medium
def test_a_free_model_that_tells_no_cost_stays_free_and_is_asked_side_by_side(serve: Serve, tmp_path: Path) -> None:
    service = serve("--latency", 0.05)
    till = Till(tmp_path, seat_at(service.url), FREE, limit=0.0)
    assert all(hasattr(one, "text") for one in till.ask(12))
    assert till.spent() == 0.0
    assert service.stats()["most_at_once"] >= 6, "after the first, which is asked alone"


@pytest.mark.fault(
    "money", "the table says 0 and the service tells more than max_usd_per_call",
    "that most is booked and the model is asked no more in this run",
)  # fmt: skip
def test_a_price_nobody_agreed_to_stops_the_model(serve: Serve, tmp_path: Path) -> None:
    service = serve("--latency", 0, "--faults", 1, "--fault", "cost-huge")
    till = Till(tmp_path, seat_at(service.url), FREE, max_usd=2.5)
    found = till.ask(5)
    (answer,) = (one for one in found if hasattr(one, "text"))
    assert answer.usage.cost_usd == till.spent() == 2.5
    assert service.stats()["requests"] == 1
    assert "asked no more in this run" in till.said[0]
    stopped = [one for one in found if isinstance(one, StoppedModelError)]
    assert len(stopped) == 4
    assert "told a cost of $1,000,000.00 for one answer" in str(stopped[0])
    assert "max_usd_per_call (2.5)" in str(stopped[0])


@pytest.mark.fault(
    "money", "an infinite or negative cost where the table says 0", "not believed: nothing is booked, and it is said"
)
@pytest.mark.parametrize("fault", ["cost-infinite", "cost-nan", "cost-negative"])
def test_no_impossible_cost_is_booked_for_a_free_model(fault: str, serve: Serve, tmp_path: Path) -> None:
    till = Till(tmp_path, seat_at(serve("--latency", 0, "--faults", 1, "--fault", fault).url), FREE)
    assert till.ask()[0].usage.cost_usd == till.spent() == 0.0
    assert "booked are $0.0000" in till.said[0]


@pytest.mark.fault(
    "money", "an answer without choices, or a failure, that reports usage", "booked although there is no answer"
)
@pytest.mark.parametrize("fault", ["no-choices", "finish-error", "null-choices"])
def test_what_was_charged_for_a_failure_is_booked(fault: str, serve: Serve, tmp_path: Path) -> None:
    till = Till(tmp_path, seat_at(serve("--latency", 0, "--faults", 1, "--fault", fault).url), PRICE)
    (error,) = till.ask()
    assert isinstance(error, LLMError)
    assert till.spent() >= dollars(PROMPT + 1, 0)
    assert till.spent() <= dollars(PROMPT + 1, TEXT + 1) + 1e-9
    assert till.gateway.cost_usd == pytest.approx(till.spent())
    assert till.gateway.cache.keys() == []


@pytest.mark.fault("money", "a refusal of the question that tells a cost", "booked; --max-cost holds")
@pytest.mark.parametrize("fault", ["moderation-paid", "moderation-paid-200"])
def test_what_was_charged_for_a_refusal_is_booked(fault: str, serve: Serve, tmp_path: Path) -> None:
    service = serve("--latency", 0, "--faults", 1, "--fault", fault)
    till = Till(tmp_path, seat_at(service.url), PRICE, limit=0.7)
    found = till.ask(5)
    refused = [one for one in found if getattr(one, "outcome", "") == "refusal"]
    assert [one.usage.cost_usd for one in refused] == pytest.approx([0.1] * service.stats()["requests"])
    assert till.spent() == pytest.approx(0.1 * len(refused))
    assert len(refused) == 2, "$0.516 is set aside for the next one"
    assert sum(isinstance(one, BudgetError) for one in found) == 3


@pytest.mark.skipif(sys.platform == "win32", reason="the fake is a script with a #! line")
@pytest.mark.parametrize(
    ("envelope", "expected"),
    [
        pytest.param(
            {"result": "yes", "usage": {"input_tokens": 3, "cache_read_input_tokens": 997, "output_tokens": 10}},
            dollars(1000, 10),
            marks=pytest.mark.fault("money", "claude reports no cost, or no usage", "tokens × price"),
        ),
        ({"result": "yes", "modelUsage": {"a": {"inputTokens": 600, "outputTokens": 10}, "b": {"inputTokens": 400}}},
         dollars(1000, 10)),
        ({"result": "yes", "modelUsage": {"a": {"inputTokens": 9, "outputTokens": 1, "costUSD": 0.25}}}, 0.25),
        ({"result": "yes" * 40}, dollars(PROMPT, 30)),
        pytest.param(
            {"is_error": True, "subtype": "error_during_execution", "total_cost_usd": 0.5},
            0.5,
            marks=pytest.mark.fault("money", "claude ends with an error and a cost", "the cost is booked"),
        ),
        ({"is_error": True, "subtype": "error_during_execution", "usage": {"input_tokens": 100, "output_tokens": 5}},
         dollars(100, 5)),
        ({"is_error": True, "result": "API Error: 529 overloaded", "total_cost_usd": 0.5}, 0.5),
        ({"result": "yes", "total_cost_usd": 1e308, "usage": {"input_tokens": 3, "output_tokens": 1}}, None),
        ({"result": "yes", "total_cost_usd": -3, "usage": {"input_tokens": 3, "output_tokens": 1}}, None),
    ],
)  # fmt: skip
def test_claude_is_charged_like_the_others(
    envelope: dict[str, Any], expected: float | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = tmp_path / "claude"
    printed = json.dumps({"type": "result", **envelope})
    command.write_text(f"#!{sys.executable}\nimport sys\nsys.stdin.read()\nprint({printed!r})\n")
    command.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    till = Till(tmp_path, Seat(provider="claude_code", model="haiku", max_tokens=50), PRICE)
    aside = till.charges.estimate(till.question())[1]
    till.ask()
    assert till.spent() == pytest.approx(aside if expected is None else expected)
    assert bool(till.said) is (expected is None)


POISONS = ["9e999", "-9e999", "NULL", "'much'", "-5.0", "1e300", "x'00'"]


@pytest.mark.fault(
    "money",
    "a ledger with an infinite, NaN or negative sum, as earlier versions wrote",
    "healed and said; asking goes on",
)
@pytest.mark.parametrize("poison", POISONS)
def test_a_poisoned_ledger_heals(poison: str, serve: Serve, tmp_path: Path) -> None:
    url = serve("--latency", 0).url
    first = Till(tmp_path, seat_at(url), PRICE)
    first.ask()
    good = first.spent()
    with closing(sqlite3.connect(tmp_path / FILE)) as db:
        hour = first.ledger.hour
        db.execute(f"INSERT INTO spent VALUES ('old', {hour}, {poison}, 0.0)")
        db.execute(f"INSERT INTO held (holder, run, usd, likely) VALUES (99, 'old', {poison}, {poison})")
        db.execute(f"INSERT INTO breaker VALUES (1, 'open', {hour // 24}, {poison if poison != '1e300' else 'NULL'})")
        db.commit()
    later = Till(tmp_path, seat_at(url), PRICE)
    assert hasattr(later.ask(2)[1], "text")
    assert "2 impossible amounts taken out" in later.said[0]
    assert good < later.spent() < 3 * good


@pytest.mark.fault("money", "a clock set back or ahead by days, and set right again", "what was paid stays paid")
@pytest.mark.parametrize("days", [-30, -3, 3, 400])
def test_no_clock_makes_paid_money_unpaid(days: float, folder: Path, clock: Any) -> None:
    def grants() -> str:
        ledger = SharedLedger(folder, clock)
        budget = Budget(0.5, max_usd_per_day=0.8, ledger=ledger, run="r")
        try:
            held = budget.reserve(0.5)
            assert held is not None
            budget.settle(held, 0.5)
            return "asked"
        except BudgetError as error:
            with ledger.transaction() as db:
                return f"{type(error).__name__} {ledger.spending(db, 'r').day:g}"
        finally:
            ledger.close()

    assert grants() == "asked"
    clock.now += days * 86_400
    assert grants() == ("asked" if days > 0 else "RunBudgetError 0.5"), "days later a run may go on"
    clock.now -= days * 86_400
    assert grants() == f"RunBudgetError {1.0 if days == 3 else 0.5:g}"


@pytest.mark.parametrize("usd", [math.nan, math.inf, -1.0, -math.inf])
def test_no_amount_that_cannot_be_reaches_the_ledger(usd: float, ledger: SharedLedger) -> None:
    budget = Budget(5.0, ledger=ledger, run="r")
    held = budget.reserve(0.5)
    assert held is not None
    budget.settle(held, usd)
    with ledger.transaction() as db:
        assert ledger.spending(db, "r").run == 0.5


@pytest.mark.fault("money", "a limit that is NaN, infinite or negative", "refused: it would limit nothing")
@pytest.mark.parametrize("limit", [math.nan, math.inf, -1.0])
def test_a_limit_that_limits_nothing_is_refused(limit: float) -> None:
    with pytest.raises(UsageError, match="a budget was"):
        Budget(limit)
    with pytest.raises(UsageError):
        Budget(1.0, max_usd_per_day=math.nan if math.isinf(limit) else limit)


def test_once_the_limit_is_spent_not_even_a_hair_is_granted(ledger: SharedLedger) -> None:
    for budget in (Budget(1.0), Budget(1.0, ledger=ledger, run="r"), Budget(9.0, max_usd_per_day=1.0, ledger=ledger)):
        held = budget.reserve(1.0) if budget.max_usd_per_run == 1.0 else None
        if held is not None:
            budget.settle(held, 1.0)
        with pytest.raises(BudgetError):
            budget.reserve(1e-12)


@pytest.mark.parametrize(
    ("reported", "prompt", "completion", "told"),
    [
        ({"prompt_tokens": 10, "completion_tokens": 5, "cost": 0.0}, 10, 5, 0.0),
        ({"prompt_tokens": 0, "completion_tokens": 0, "cost": 0}, PROMPT, 0, None),
        ({"prompt_tokens": 10, "completion_tokens": 5, "cost": "0.25"}, 10, 5, 0.25),
        ({"prompt_tokens": 10, "completion_tokens": 5, "cost": True}, 10, 5, None),
        ({"prompt_tokens": 10, "completion_tokens": 5, "cost": {"usd": 1}}, 10, 5, None),
        ({"prompt_tokens": 10, "completion_tokens": 5, "cost": {"total_cost": 0.3}}, 10, 5, 0.3),
        ({"prompt_tokens": 10, "completion_tokens": 5, "cost": "free"}, 10, 5, None),
        ({"prompt_tokens": 10, "completion_tokens": 5, "cost": 10**400}, 10, 5, math.inf),
        ({"prompt_tokens": 10, "completion_tokens": 5, "cost": 0, "is_byok": True}, 10, 5, None),
        ({"prompt_tokens": 10, "completion_tokens": 5, "cost": 0.01, "is_byok": True,
          "cost_details": {"upstream_inference_cost": 0.2}}, 10, 5, 0.21),
        ({"prompt_tokens": 10, "completion_tokens": 5, "cost": 0,
          "cost_details": {"upstream_inference_cost": 0.2}}, 10, 5, 0.2),
        ({"prompt_tokens": 10, "completion_tokens": 5, "cost": 0.2,
          "cost_details": {"upstream_inference_cost": 0.2}}, 10, 5, 0.2),
        ({"prompt_tokens": 10, "completion_tokens": 5, "cost": 0.1,
          "cost_details": {"upstream_inference_cost": -1}}, 10, 5, -1.0),
        *(
            pytest.param(
                {"prompt_tokens": 10, "completion_tokens": 5, **told}, 10, 5, 0.5,
                marks=pytest.mark.fault("money", "a cost under another name, as text, in parts or in ticks", "read"),
            )
            for told in (
                {"total_cost": 0.5}, {"estimated_cost": 0.5}, {"cost_in_usd_ticks": 5_000_000_000}, {"cost": "$0.5"},
                {"cost": {"total": 0.5}}, {"cost": 0, "total_cost": "0.5"}, {"total_cost": {"total_cost": "$0.50"}},
            )
        ),
        ({"prompt_tokens": 10, "completion_tokens": 5, "cost": 0.1, "total_cost": "NaN"}, 10, 5, math.nan),
        ({"prompt_tokens": "12,000", "completion_tokens": " 1,005 ", "cost": "1_000"}, 12_000, 1005, None),
        ({"prompt_tokens": "1,2", "completion_tokens": 5, "cost": "1,5"}, PROMPT, 5, None),
        ({"prompt_tokens": 10, "completion_tokens": 5, "reasoning_tokens": 90}, 10, 95, None),
        ({"input_tokens": 10, "output_tokens": 5, "output_tokens_details": {"reasoning_tokens": 90}}, 10, 95, None),
        ({"prompt_tokens": -10, "completion_tokens": 5}, PROMPT, 5, None),
        ({"prompt_tokens": 1e30, "completion_tokens": math.inf}, PROMPT, 0, None),
        ({"prompt_tokens": "ten", "completion_tokens": [5]}, PROMPT, 0, None),
        ({"total_tokens": 300}, PROMPT, 200, None),
        ({"prompt_tokens": 10, "completion_tokens": 5, "completion_tokens_details": {"reasoning_tokens": 90}},
         10, 95, None),
        ({"prompt_tokens": 10, "completion_tokens": 95, "completion_tokens_details": {"reasoning_tokens": 90}},
         10, 95, None),
        ({"input_tokens": 10, "cache_creation_input_tokens": 7, "output_tokens": 5}, 17, 5, None),
        ({"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 12}, 10, 5, None),
        ([1, 2], PROMPT, 0, None),
        (None, PROMPT, 0, None),
    ],
)  # fmt: skip
def test_a_report_is_read_as_it_is_meant(reported: Any, prompt: int, completion: int, told: float | None) -> None:
    seen: list[float | None] = []

    def price(_: ChatRequest, __: int, ___: int, usd: float | None, cached: int = 0, written: int = 0) -> float:  # noqa: ARG001
        seen.append(usd)
        return 0.0

    request = ChatRequest("p", "m", (Message("user", "x" * 4 * PROMPT),))
    usage = read_usage(request, "", reported, price)
    assert (usage.prompt_tokens, usage.completion_tokens) == (prompt, completion)
    assert seen == [pytest.approx(told, nan_ok=True) if told is not None else None]


@pytest.mark.fault(
    "money", "models not tried yet, or several processes, at a service that tells 20 × the table",
    "one trial at a time for the whole endpoint, and what it cost counts for all its models",
)  # fmt: skip
@pytest.mark.medium
def test_one_trial_at_a_time_for_an_endpoint_whatever_the_process(serve: Serve, tmp_path: Path) -> None:
    service = serve("--latency", 0.1, "--faults", 1, "--fault", "cost-tenth")
    tills = [Till(tmp_path, seat_at(service.url), Price(input=10, output=20), limit=0.15) for _ in range(3)]

    async def run() -> list[Any]:
        asked = [
            till.gateway.ask(replace(till.question(9 * place + number), model=f"m{number % 3}"))
            for place, till in enumerate(tills)
            for number in range(9)
        ]
        found = await asyncio.gather(*asked, return_exceptions=True)
        for till in tills:
            await till.gateway.drain()
        return found

    for till in tills:
        till.budget.run = "one run in three processes"
    found = asyncio.run(run())
    assert service.stats()["requests"] == 1
    assert sum(isinstance(one, BudgetError) for one in found) == 26
    assert tills[0].spent() == pytest.approx(0.1)
    for till in tills:
        till.ledger.close()


def test_what_one_process_was_charged_the_others_set_aside(serve: Serve, tmp_path: Path) -> None:
    service = serve("--latency", 0, "--faults", 1, "--fault", "cost-tenth")
    first, second = (Till(tmp_path, seat_at(service.url), FREE, limit=0.15) for _ in range(2))
    assert second.charges.find_untried(second.question())
    first.ask()
    assert not second.charges.find_untried(second.question())
    assert second.charges.estimate(second.question()) == (0.1, 0.1)
    assert isinstance(second.ask(2)[1], BudgetError)
    assert service.stats()["requests"] == 1
    for one in (first, second):
        one.ledger.close()
