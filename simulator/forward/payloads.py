"""Payloads of a forward session in the store, written before anything is sent and read again after a crash.

Numbers that JSON does not have (a NaN weight leaves a symbol alone) are written as {"number": "nan"}.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from pydantic import TypeAdapter

from simulator.trading.cycle import Intent
from simulator.trading.model import BrokerFill
from simulator.trading.orders import Ticket

_intents: TypeAdapter[Intent] = TypeAdapter(Intent)
_fills: TypeAdapter[BrokerFill] = TypeAdapter(BrokerFill)
_tickets: TypeAdapter[Ticket] = TypeAdapter(Ticket)


def to_json(value: Any) -> Any:
    """Return `value` with NaN and infinities as JSON has them."""
    if isinstance(value, float) and not math.isfinite(value):
        return {"number": repr(value)}
    if isinstance(value, Mapping):
        return {str(name): to_json(one) for name, one in value.items()}
    return [to_json(one) for one in value] if isinstance(value, list | tuple) else value


def from_json(value: Any) -> Any:
    """Return what `to_json` was given; tuples come back as lists."""
    if value is None or isinstance(value, str | int | float):  # most of it: a check for a Mapping costs ten of these
        return value
    if isinstance(value, Mapping):
        if len(value) == 1 and isinstance(value.get("number"), str):
            return float(value["number"])
        return {name: from_json(one) for name, one in value.items()}
    return [from_json(one) for one in value] if isinstance(value, list) else value


def write_intent(intent: Intent) -> dict[str, Any]:
    """Return `intent`, JSON-able."""
    written: dict[str, Any] = to_json(_intents.dump_python(intent, mode="json"))
    return written


def read_intent(payload: Mapping[str, Any], with_record: bool = True) -> Intent:
    """Return the intent behind `payload`, equal to the one that was written; without a record what was said before its
    decision, which is most of it, is left out."""
    if not with_record:
        payload = {**payload, "decision": {**payload["decision"], "record": {}}}
    return _intents.validate_python(from_json(payload))


def write_fill(fill: BrokerFill) -> dict[str, Any]:
    """Return `fill`, JSON-able."""
    written: dict[str, Any] = _fills.dump_python(fill, mode="json")
    return written


def read_fill(payload: Mapping[str, Any]) -> BrokerFill:
    """Return the fill behind `payload`."""
    return _fills.validate_python(payload)


def write_ticket(ticket: Ticket) -> dict[str, Any]:
    """Return `ticket`, JSON-able."""
    return asdict(ticket)


def read_ticket(payload: Mapping[str, Any]) -> Ticket:
    """Return the ticket behind `payload`."""
    return _tickets.validate_python(payload)
