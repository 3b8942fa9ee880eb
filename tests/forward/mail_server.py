"""A real SMTP server on a port of this machine, by the standard library: STARTTLS or TLS, a password, or neither."""

from __future__ import annotations

import base64
import socket
import socketserver
import ssl
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path


@dataclass
class Mailbox:
    port: int = 0
    messages: list[str] = field(default_factory=list)
    logins: list[str] = field(default_factory=list)
    encrypted: list[bool] = field(default_factory=list)


def make_certificate(folder: Path) -> tuple[Path, Path]:
    """Make a certificate for this machine and its key."""
    certificate, key = folder / "certificate.pem", folder / "key.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days",
         "30", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1",
         "-keyout", str(key), "-out", str(certificate)],
        check=True, capture_output=True,
    )  # fmt: skip
    return certificate, key


def talk(sock: socket.socket, box: Mailbox, context: ssl.SSLContext | None, safe: bool) -> None:
    lines = sock.makefile("rb")
    sock.sendall(b"220 mail\r\n" if context is None or not safe else b"")
    for raw in lines:
        word = raw.split(b" ")[0].strip().upper()
        if word == b"EHLO":
            offer = b"250-STARTTLS\r\n" if context and not safe else b"250-AUTH PLAIN\r\n" if safe else b""
            sock.sendall(b"250-mail\r\n" + offer + b"250 8BITMIME\r\n")
        elif word == b"STARTTLS" and context is not None:
            sock.sendall(b"220 go\r\n")
            with context.wrap_socket(sock, server_side=True) as wrapped:
                return talk(wrapped, box, context, True)
        elif word == b"AUTH":
            box.logins.append(base64.b64decode(raw.split()[2]).decode())
            sock.sendall(b"235 welcome\r\n")
        elif word == b"DATA":
            sock.sendall(b"354 go\r\n")
            body = b"".join(iter(lines.readline, b".\r\n"))
            box.messages.append(body.decode())
            box.encrypted.append(safe)
            sock.sendall(b"250 taken\r\n")
        elif word == b"QUIT":
            return sock.sendall(b"221 bye\r\n")
        else:
            sock.sendall(b"250 ok\r\n")
    return None


@contextmanager
def serve_mail(certificate: tuple[Path, Path] | None = None, at_once: bool = False) -> Iterator[Mailbox]:
    """Serve until the block ends; `at_once` speaks TLS from the first byte, else STARTTLS is offered."""
    box, context = Mailbox(), None
    if certificate is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*certificate)

    class Session(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            with suppress(OSError):
                if not at_once or context is None:
                    return talk(self.request, box, context, False)
                with context.wrap_socket(self.request, server_side=True) as wrapped:
                    wrapped.sendall(b"220 mail\r\n")
                    return talk(wrapped, box, context, True)
            return None

    class Server(socketserver.ThreadingTCPServer):
        daemon_threads, block_on_close = True, False

    with Server(("127.0.0.1", 0), Session) as server:
        box.port = server.server_address[1]
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        yield box
        server.shutdown()
