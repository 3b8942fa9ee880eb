"""Messages to the service manager that started this process (sd_notify): ready, alive, ending."""

from __future__ import annotations

import os
import socket
from contextlib import suppress


def notify(state: str) -> None:
    """Send `state` (``READY=1``, ``WATCHDOG=1`` …) to systemd; does nothing elsewhere, raises nothing."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if address[:1] in ("/", "@"):
        with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender:
            sender.setblocking(False)  # a manager that does not read must not hold the loop up
            sender.sendto(state.encode(), address.replace("@", "\0", 1) if address[0] == "@" else address)
