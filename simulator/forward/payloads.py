"""Payloads of a forward session in the store, written before anything is sent and read again after a crash."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import TypeAdapter

from simulator.trading.cycle import Intent
from simulator.trading.model import Book, BrokerFill

_intents: TypeAdapter[Intent] = TypeAdapter(Intent)
_fills: TypeAdapter[BrokerFill] = TypeAdapter(BrokerFill)


def write_intent(intent: Intent) -> dict[str, Any]:
    """Return `intent`, JSON-able."""
    written: dict[str, Any] = _intents.dump_python(intent, mode="json")
    return written


def read_intent(payload: Mapping[str, Any]) -> Intent:
    """Return the intent behind `payload`, equal to the one that was written."""
    return _intents.validate_python(payload)


def write_fill(fill: BrokerFill) -> dict[str, Any]:
    """Return `fill`, JSON-able."""
    written: dict[str, Any] = _fills.dump_python(fill, mode="json")
    return written


def read_fill(payload: Mapping[str, Any]) -> BrokerFill:
    """Return the fill behind `payload`."""
    return _fills.validate_python(payload)


def session_row(session: str, book: Book, account: Book) -> dict[str, Any]:
    """Return the row of a session that has ended: own books, and the broker's cash, dollars."""
    return {
        "session": session,
        "equity": book.equity,
        "cash": book.cash,
        "positions": dict(book.positions),
        "broker_cash": account.cash,
        "broker_equity": account.equity,
    }
