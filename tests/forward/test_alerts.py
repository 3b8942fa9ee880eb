"""Alerts reach people by real servers, and a channel that is down holds nothing up."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from simulator.errors import ConfigError
from simulator.forward import alerts as alerts_module
from simulator.forward.alerts import Alert, Alerts, open_channels
from simulator.forward.log import Log, read_log
from simulator.forward.settings import AlertSettings
from tests.forward.mail_server import make_certificate, serve_mail

AT = datetime(2024, 6, 3, 14, 0, tzinfo=UTC)
PLANTED = "PKPLANTED7Q2X9W4R"
PASSWORD = "s3cret-of-the-mailbox"


@pytest.fixture(autouse=True)
def _planted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALPACA_PAPER_KEY_TREND", PLANTED)
    monkeypatch.delenv("SIM_WEBHOOK_URL", raising=False)
    monkeypatch.delenv("SIM_SMTP_PASSWORD", raising=False)
    monkeypatch.setattr(alerts_module, "RETRY_S", 0.05)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return make_certificate(tmp_path_factory.mktemp("certificate"))


@pytest.fixture
def log(tmp_path: Path) -> Log:
    return Log(tmp_path / "logs", "2f3a90bc11")


Webhook = tuple[str, list[dict[str, Any]], list[int]]
"""Address, bodies that came, and answers to give before 200."""


@pytest.fixture
def webhook() -> Iterator[Webhook]:
    got: list[dict[str, Any]] = []
    answers: list[int] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            status = answers.pop(0) if answers else 200
            if status < 300:
                got.append(body)
            self.send_response(status)
            if status == 302:
                self.send_header("Location", "/elsewhere")
            self.end_headers()

        def do_GET(self) -> None:
            got.append({"followed": True})
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_given: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/alerts", got, answers
        server.shutdown()


def lines(log: Log) -> list[dict[str, Any]]:
    return list(read_log(log.folder, date(2024, 6, 3)))


def email(port: int, security: str) -> AlertSettings:
    about = {"host": "localhost", "port": port, "security": security, "from": "sim@example.org", "to": ["a@b.org"]}
    return AlertSettings.model_validate({"email": about})


@pytest.mark.parametrize("security", ["starttls", "ssl", "none"])
def test_an_alert_comes_by_mail(
    security: str, log: Log, certificate: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate[0]))
    safe = security != "none"
    if safe:
        monkeypatch.setenv("SIM_SMTP_PASSWORD", PASSWORD)
    with serve_mail(certificate if safe else None, security == "ssl") as box:
        alerts = Alerts(email(box.port, security), log)
        alerts.send(Alert("order refused", f"SPY, key {PLANTED}\r\nBcc: all@x.org, {PASSWORD}", AT, "TREND"))
        alerts.close(10)
    assert len(box.messages) == 1
    assert box.encrypted == [safe]
    assert box.logins == ([f"\0sim@example.org\0{PASSWORD}"] if safe else [])
    head, _, body = box.messages[0].partition("\r\n\r\n")
    assert "Subject: sim forward 2f3a90bc: order refused: TREND SPY" in head
    assert "\r\nBcc:" not in head
    assert PLANTED not in box.messages[0]
    assert not safe or PASSWORD not in box.messages[0]
    assert "2024-06-03T14:00:00" in body
    assert [line["kind"] for line in lines(log)] == ["alert.order refused"]


def test_a_server_whose_certificate_is_not_trusted_gets_no_password(
    log: Log, certificate: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SIM_SMTP_PASSWORD", PASSWORD)
    with serve_mail(certificate) as box:
        alerts = Alerts(email(box.port, "starttls"), log)
        alerts.send(Alert("halt", "SPY", AT))
        alerts.close(10)
    assert (box.messages, box.logins) == ([], [])
    assert [line["kind"] for line in lines(log)] == ["alert.halt", "alert.not delivered"]


def test_a_password_is_never_sent_in_the_clear(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SIM_SMTP_PASSWORD", PASSWORD)
    with pytest.raises(ConfigError, match="in the clear"):
        open_channels(email(25, "none"))


def test_an_alert_comes_by_webhook_after_one_retry(log: Log, webhook: Webhook, monkeypatch: pytest.MonkeyPatch) -> None:
    url, got, answers = webhook
    monkeypatch.setenv("SIM_WEBHOOK_URL", url)
    answers += [503]
    alerts = Alerts(AlertSettings(webhook="http://127.0.0.1:9/not-this-one"), log)
    alerts.send(Alert("books differ", f"by $12.40 {PLANTED}", AT, "TREND"))
    alerts.close(10)
    assert [(one["kind"], one["account"], one["run"]) for one in got] == [("books differ", "TREND", "2f3a90bc11")]
    assert got[0]["text"] == "sim forward 2f3a90bc: books differ: TREND by $12.40 [ALPACA_PAPER_KEY_TREND]"
    assert got[0]["content"] == got[0]["text"]
    assert [line["kind"] for line in lines(log)] == ["alert.books differ"]


def test_a_redirect_is_a_fault_and_not_followed(log: Log, webhook: Webhook) -> None:
    url, got, answers = webhook
    answers += [302, 302]
    alerts = Alerts(AlertSettings(webhook=url), log)
    alerts.send(Alert("halt", "SPY", AT))
    alerts.close(10)
    assert got == []
    assert lines(log)[-1]["why"] == "answer 302"


@pytest.mark.medium
@pytest.mark.fault("services", "a mail server that hangs", "the loop goes on, the log says what was not delivered")
def test_a_channel_that_hangs_or_is_down_holds_up_neither_the_loop_nor_the_others(
    log: Log, webhook: Webhook, monkeypatch: pytest.MonkeyPatch
) -> None:
    url, got, _ = webhook
    monkeypatch.setattr(alerts_module, "TIMEOUT_S", 0.3)
    with socket.socket() as mute:
        mute.bind(("127.0.0.1", 0))
        mute.listen()
        settings = email(mute.getsockname()[1], "none").model_copy(update={"webhook": url})
        alerts = Alerts(settings, log)
        begun = time.monotonic()
        for number in range(3):
            alerts.send(Alert("order refused", "SPY", AT, f"A{number}"))
        assert time.monotonic() - begun < 0.3
        alerts.close(15)
    assert [one["account"] for one in got] == ["A0", "A1", "A2"]
    failed = [line for line in lines(log) if line["kind"] == "alert.not delivered"]
    assert [(line["by"], line["account"]) for line in failed] == [("e-mail", f"A{number}") for number in range(3)]


def test_what_has_not_gone_out_when_the_loop_ends_is_in_the_log(log: Log) -> None:
    hung = threading.Event()
    alerts = Alerts(AlertSettings(), log, {"pager": lambda _run, _alert: hung.wait(30) and None})
    alerts.send(Alert("started", "", AT))
    alerts.send(Alert("stopped", "", AT))
    alerts.close(0.1)
    told = [(line["alert"], line["by"]) for line in lines(log) if line["kind"] == "alert.not delivered"]
    hung.set()
    assert told == [("started", "pager"), ("stopped", "pager")]


def test_more_alerts_than_a_channel_takes_are_in_the_log_alone(log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(alerts_module, "WAITING", 2)
    hung = threading.Event()
    alerts = Alerts(AlertSettings(repeat_minutes=0), log, {"pager": lambda _run, _alert: hung.wait(30) and None})
    for number in range(8):
        alerts.send(Alert("halt", f"S{chr(65 + number)}", AT))
    hung.set()
    alerts.close(5)
    kinds = [line["kind"] for line in lines(log)]
    assert kinds.count("alert.halt") == 8
    assert kinds.count("alert.not delivered") >= 5


@pytest.fixture
def collected(log: Log) -> tuple[Alerts, Callable[[], list[str]]]:
    out: list[str] = []
    alerts = Alerts(AlertSettings(repeat_minutes=30), log, {"list": lambda _run, alert: out.append(alert.text)})

    def close() -> list[str]:
        alerts.close()
        return out

    return alerts, close


def test_the_same_alert_goes_out_once_in_half_an_hour_and_says_how_often_it_came(
    log: Log, collected: tuple[Alerts, Callable[[], list[str]]]
) -> None:
    alerts, close = collected
    for minute in (0, 10, 20, 29, 31, 40):
        alerts.send(Alert("books differ", f"by ${minute}.10", AT + timedelta(minutes=minute), "TREND"))
    alerts.send(Alert("books differ", "by $5.10", AT + timedelta(minutes=41), "VALUE"))
    assert close() == [
        "by $0.10",
        "by $31.10 (3 more since 2024-06-03 10:00 EDT)",
        "by $5.10",
        "by $40.10",  # held back, and told at the end
    ]
    assert len(lines(log)) == 7


@pytest.mark.parametrize(
    "url",
    [
        "https://me:secret@host/x",
        "https://host/x?token=1",
        "https://hooks.slack.com/services/T000/B000/abcdefghijklmnopqrstuvwx",
        "file:///etc/passwd",
        "host/x",
    ],
)
def test_an_address_with_a_secret_belongs_into_the_environment(url: str) -> None:
    with pytest.raises(ValidationError):
        AlertSettings(webhook=url)


def test_a_webhook_of_the_environment_that_is_none_is_refused_without_saying_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SIM_WEBHOOK_URL", "file:///etc/secret-of-mine")
    with pytest.raises(ConfigError, match="SIM_WEBHOOK_URL") as caught:
        open_channels(AlertSettings())
    assert "secret-of-mine" not in str(caught.value)


def test_the_page_names_every_kind_of_alert() -> None:
    page = (Path(__file__).parents[2] / "docs" / "forward.md").read_text()
    named = page.partition("\nKinds: ")[2].partition(".\n")[0].replace("\n", " ").split(", ")
    assert tuple(named) == alerts_module.KINDS
