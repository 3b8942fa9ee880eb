"""Payloads of events, packed: what happened in a run says much the same thing a thousand times.

    first payload of a kind ──deflate──► packed      every later one ──deflate, in terms of the one before──► packed

Unpacked they are read in the order they were written in. Facts a council was shown are left out, and of the keys of
stored answers all but their beginnings: the run folder has both.
"""

from __future__ import annotations

import json
import re
import zlib
from collections.abc import Mapping
from typing import Any

from simulator.store.events import Kind

PACKED: tuple[Kind, ...] = ("meeting.held", "checkpoint.held", "order.filled", "calls.made")
"""Kinds whose payloads have rows of their own. All others stand as JSON in ``payload``."""

KEY_DIGITS = 16
"""Of the key of a stored answer that are kept; `sim cache show` takes them."""

LONG_KEY = re.compile(rf'"([0-9a-f]{{{KEY_DIGITS}}})[0-9a-f]{{{64 - KEY_DIGITS}}}"')


class Packer:
    """Packs and unpacks the payloads of one result after the other."""

    def __init__(self) -> None:
        self._before: dict[tuple[str, str, str], bytes] = {}

    def pack(self, place: tuple[str, str, str], text: str) -> bytes:
        """Return JSON `text` packed; `place` is run id, digest and kind of its event."""
        content = LONG_KEY.sub(r'"\1"', text).encode()
        deflate = zlib.compressobj(9, zdict=self._before.get(place, b""))
        self._before[place] = content
        return deflate.compress(content) + deflate.flush()

    def unpack(self, place: tuple[str, str, str], packed: bytes) -> Any:
        """Return the payload. Raises ValueError where its bytes were changed, or those of the one before."""
        inflate = zlib.decompressobj(zdict=self._before.get(place, b""))
        try:
            content = inflate.decompress(packed) + inflate.flush()
        except zlib.error as error:
            raise ValueError(str(error)) from None
        self._before[place] = content
        return json.loads(content)


def without_facts(payload: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return `payload` without the facts of its record."""
    record = payload.get("record")
    if not isinstance(record, Mapping) or "facts" not in record:
        return payload
    return {**payload, "record": {name: value for name, value in record.items() if name != "facts"}}
