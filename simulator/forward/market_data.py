"""Latest quotes from Alpaca's data interface."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar

from simulator.errors import BrokerError
from simulator.forward.messages import instant
from simulator.forward.mode import Keys, check_address
from simulator.forward.requests import OneAttempt, Patience, RateLimit, Requester

T = TypeVar("T")


@dataclass(frozen=True)
class Quote:
    """Best bid and ask, dollars; `at` is when it was quoted."""

    at: datetime
    bid: float
    ask: float

    @property
    def price(self) -> float:
        """Middle of the two; the other one where a side is empty."""
        return (self.bid + self.ask) / 2.0 if self.bid > 0.0 and self.ask > 0.0 else max(self.bid, self.ask)


class MarketData:
    """Prices of the exchange, asked with the keys of one account."""

    def __init__(
        self,
        keys: Keys,
        *,
        url: str | None = None,
        patience: Patience = Patience(),  # noqa: B008 - frozen
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        from alpaca.data.historical import StockHistoricalDataClient

        check_address(url, keys.paper)
        self._client = StockHistoricalDataClient(keys.key, keys.secret, raw_data=True, url_override=url)
        limit = RateLimit()
        self._client._session = OneAttempt(limit, patience, local=url is not None)
        self._line = Requester(limit, patience, sleep)

    def close(self) -> None:
        """End its connections."""
        self._client._session.close()

    async def quotes(self, symbols: Sequence[str]) -> dict[str, Quote]:
        """Return the latest quote of each symbol that has one. Raises BrokerError."""
        from alpaca.data.requests import StockLatestQuoteRequest

        asked = StockLatestQuoteRequest(symbol_or_symbols=list(symbols))
        found: Any = await self._line.ask(self._client.get_stock_latest_quote, asked)
        return _each(found, lambda one: Quote(instant(one["t"]), float(one["bp"]), float(one["ap"])))


def _each(found: Any, read: Callable[[Any], T]) -> dict[str, T]:
    try:
        return {str(symbol): read(one) for symbol, one in found.items() if one}
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise BrokerError(f"the broker's prices are not understood: {type(error).__name__}: {error}") from None
