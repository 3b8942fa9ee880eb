"""Trade updates of one account as the broker's stream tells them: a hint that something changed, and no more.

    connect ─► authenticate ─► listen ─► `listening` ─► frames ─► changed
       ▲                                                  │
       └── waits, longer each time ◄── cut, or mute ◄─────┘   after each connection everything may have changed

Frames get lost and come twice, and none is told later, so what they say is never booked: who hears of a change asks.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any, Literal

from simulator.forward.mode import Keys
from simulator.forward.requests import AccessError, Patience

if TYPE_CHECKING:
    from websockets.asyncio.client import ClientConnection

LONGEST_WAIT_S = 30.0
"""Between two attempts to connect."""
SILENT = logging.Logger("trade stream", logging.CRITICAL + 1)
"""websockets would log each frame, the one with the keys among them. No setting of the program reaches this logger."""


class TradeStream:
    """Trading stream at `address`; `listening` is set while the broker confirms that it tells changes."""

    def __init__(
        self,
        keys: Keys,
        address: str,
        patience: Patience,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self.keys, self.address, self.patience, self._sleep = keys, address, patience, sleep
        self.listening, self._changed = asyncio.Event(), asyncio.Event()
        self.refused: AccessError | None = None
        self.connections = 0
        self._socket: ClientConnection | None = None
        self._told: set[str] = set()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Keep it connected within the context."""
        task = asyncio.create_task(self._run())
        try:
            yield
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    async def wait_for_change(self, within_s: float) -> bool:
        """Return True as soon as something may have changed, False where nothing came in that time."""
        try:
            async with asyncio.timeout(
                within_s
            ):  # wait_for of Python 3.11 may lose a cancellation that comes meanwhile
                await self._changed.wait()
        except TimeoutError:
            return False
        self._changed.clear()
        return True

    async def reconnect(self) -> None:
        """End the connection: it is open and tells nothing. Another is made."""
        if self._socket is not None:
            self.listening.clear()
            await self._socket.close()

    async def _run(self) -> None:
        from websockets.asyncio.client import connect
        from websockets.exceptions import WebSocketException

        failures = 0
        while True:
            # A proxy of the environment does not lead to this machine.
            proxy: Literal[True] | None = True if self.address.startswith("wss") else None
            try:
                async with connect(
                    self.address, open_timeout=self.patience.connect_s, close_timeout=1.0, ping_interval=10.0,
                    ping_timeout=self.patience.read_s, logger=SILENT, proxy=proxy,
                ) as self._socket:  # fmt: skip
                    async with asyncio.timeout(self.patience.whole_s):
                        await self._introduce(self._socket)
                    failures = 0
                    async for frame in self._socket:
                        self._hear(_read(frame))
            except AccessError as error:
                self.refused = error  # no storm of attempts with keys that are not taken
                return
            except (OSError, TimeoutError, WebSocketException):
                pass
            finally:
                self.listening.clear()
                self._socket = None
                self._changed.set()
            await self._sleep(min(self.patience.backoff_s * 2.0**failures, LONGEST_WAIT_S))
            failures = min(failures + 1, 10)

    async def _introduce(self, socket: ClientConnection) -> None:
        """Authenticate and ask for trade updates; return when the broker confirms both."""
        keys = {"key_id": self.keys.key, "secret_key": self.keys.secret}
        await socket.send(json.dumps({"action": "authenticate", "data": keys}))
        status = (await _next(socket, "authorization")).get("status")
        if status != "authorized":
            raise AccessError(f"the stream of {self.keys.account} is {status}", mend="check the keys of the account")
        await socket.send(json.dumps({"action": "listen", "data": {"streams": ["trade_updates"]}}))
        while "trade_updates" not in (await _next(socket, "listening")).get("streams", ()):
            pass
        self.connections += 1
        self.listening.set()
        self._changed.set()  # nobody tells what happened before

    def _hear(self, message: dict[str, Any]) -> None:
        data = message.get("data")
        if message.get("stream") != "trade_updates" or not isinstance(data, dict):
            return
        told = str(data.get("execution_id") or "")
        if not told or told not in self._told:
            self._told.add(told)
            self._changed.set()


async def _next(socket: ClientConnection, stream: str) -> dict[str, Any]:
    while True:
        message = _read(await socket.recv())
        if message.get("stream") == stream and isinstance(message.get("data"), dict):
            return dict(message["data"])


def _read(frame: str | bytes) -> dict[str, Any]:
    """Return the message of a frame; an empty one where it is none."""
    with suppress(ValueError):
        found = json.loads(frame)
        if isinstance(found, dict):
            return found
    return {}
