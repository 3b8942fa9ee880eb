"""Places at an endpoint: a question is asked while it holds one."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager, nullcontext
from typing import Protocol

from simulator.llm.messages import ChatRequest, Usage


class Slot(Protocol):
    """A place at an endpoint."""

    async def count(self) -> None:
        """Count a call, once there is room for it in the hour and the minute."""

    def correct(self, usage: Usage) -> None:
        """Replace the estimated tokens of the call by those it used."""


class Limiter(Protocol):
    """Calls at once, by the hour, tokens by the minute: a question is asked while its slot is held."""

    def slot(self, request: ChatRequest) -> AbstractAsyncContextManager[Slot]: ...


class Unlimited:
    def slot(self, request: ChatRequest) -> AbstractAsyncContextManager[Slot]:  # noqa: ARG002
        return nullcontext(self)

    async def count(self) -> None:
        return

    def correct(self, usage: Usage) -> None:  # noqa: ARG002
        return
