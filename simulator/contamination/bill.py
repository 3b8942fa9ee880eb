"""Bill of a check before anything is asked: its own code against stand-in answers.

As `simulator.runs.plan` does it for a run: what rests on a stand-in is on no disk and is to be asked too.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from simulator.config import Config
from simulator.contamination import recall, reidentify
from simulator.evidence.plan import Range
from simulator.evidence.records import CheckBill, RangeRecord
from simulator.llm.messages import ChatRequest, ChatResponse
from simulator.llm.spending.prices import Prices
from simulator.runs.cost_history import outlay
from simulator.runs.gateway_setup import Asking
from simulator.runs.plan_provider import PlanProvider, plan_gateway
from simulator.runs.spec import RunSpec
from simulator.workspace import Workspace

OWN: dict[str, dict[str, object]] = {
    reidentify.TITLE: {"assets": {}, "quarter": ""},
    recall.TITLE: {"closes": {}},
}
"""Answers to what no analyst is ever asked; nothing further is asked on the strength of them."""


@dataclass(frozen=True)
class Bill:
    """Questions to models, those of them answered on disk, and dollars for the rest. Analysts by rule cost nothing and
    do not count."""

    calls: int = 0
    hits: int = 0
    usd: Range = field(default_factory=Range)

    @property
    def misses(self) -> int:
        return self.calls - self.hits

    def to_json(self) -> CheckBill:
        usd: RangeRecord = {"low": self.usd.low, "likely": self.usd.likely, "high": self.usd.high}
        return {"calls": self.calls, "hits": self.hits, "misses": self.misses, "usd": usd}

    def __str__(self) -> str:
        if not self.calls:
            return "asks no model"
        sentence = f"{self.calls:,} questions: {self.hits:,} on disk, {self.misses:,} to ask"
        if not self.misses:
            return sentence
        money = f"about ${self.usd.likely:.2f} (${self.usd.low:.2f} to ${self.usd.high:.2f})"
        return f"{sentence}, {money if self.usd.high else 'no money'}"


class CheckStandIns(PlanProvider):
    """Stand-ins for the questions of a run, and for those only checks put."""

    async def ask(self, request: ChatRequest) -> ChatResponse:
        answer = OWN.get(str((request.schema or {}).get("title", "")))
        if answer is None:
            return await super().ask(request)
        self.asked[request.key] = request
        return ChatResponse(json.dumps(answer))


@dataclass(frozen=True)
class Planning:
    """A way to ask that asks nobody, and what has been put to it."""

    asking: Asking
    plan_provider: CheckStandIns
    prices: Prices

    def bill(self) -> Bill:
        """Return the bill of what was put so far. Raises ConfigError for a model whose price nobody knows."""
        calls = [call for call in self.asking.gateway.calls if call.provider != "offline"]
        missing = [one for one in self.plan_provider.asked.values() if one.provider != "offline"]
        alike: dict[tuple[str, str, str, str], list[ChatRequest]] = defaultdict(list)
        for request in missing:
            title = str((request.schema or {}).get("title", ""))
            alike[request.provider, request.endpoint, request.model, title].append(request)
        cache = self.asking.gateway.cache
        usd = sum((outlay(requests, cache, self.prices).usd for requests in alike.values()), Range())
        return Bill(len(calls), len(calls) - len(missing), usd)


@contextmanager
def plan_check(spec: RunSpec, workspace: Workspace, config: Config) -> Iterator[Planning]:
    """A gateway over the workspace's cache that asks nobody and writes nothing."""
    plan_provider = CheckStandIns()
    with plan_gateway(workspace, config, spec.models, spec.mode, plan_provider) as asking:
        yield Planning(asking, plan_provider, Prices(config.models.prices))
