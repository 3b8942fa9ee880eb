"""What cannot be asked, and what came instead of an answer, is one line that says what to do."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from simulator.config import Seat, check_endpoint
from simulator.errors import ConfigError, LLMError, UnansweredError
from simulator.llm.cache import AnswerCache
from simulator.llm.gateway import Gateway
from simulator.llm.messages import ChatRequest, ChatResponse, Message
from simulator.llm.providers import TransientError
from simulator.llm.providers.complaints import begin_of
from simulator.llm.providers.openai_compatible import OpenAICompatible
from simulator.llm.retries import Retry
from simulator.llm.spending.limits import Limits

VARIABLES = ("ALL_PROXY", "HTTPS_PROXY", "HTTP_PROXY", "NO_PROXY", "SSL_CERT_FILE", "SSL_CERT_DIR")


def put(url: str, cache: AnswerCache, count: int = 1) -> list[ChatResponse | BaseException]:
    provider, limits = (
        OpenAICompatible(),
        Limits.for_seats([Seat(provider="openai_compatible", model="m", endpoint=url)]),
    )
    gateway = Gateway(cache, {provider.name: provider}, retry=Retry((0.0,)), limiter=limits)
    asked = [ChatRequest(provider.name, "m", (Message("user", f"buy {n}?"),), endpoint=url) for n in range(count)]

    async def run() -> list[ChatResponse | BaseException]:
        try:
            return await asyncio.gather(*map(gateway.ask, asked), return_exceptions=True)
        finally:
            await gateway.drain()

    return asyncio.run(run())


@pytest.mark.fault(
    "services", "Retry-After: 86400, or a date a day ahead", "no waiting: the run ends and says until when"
)
@pytest.mark.parametrize("name", ["retry-after-day", "retry-after-date"])
def test_a_service_that_asks_to_be_left_alone_for_a_day_is_left_alone_by_all(
    name: str, serve: Callable[..., Any], cache: AnswerCache
) -> None:
    service = serve("--latency", 0, "--fault", name)
    for answer in put(service.url, cache, count=40):
        assert isinstance(answer, UnansweredError)
        assert "it asks to be left alone until 20" in str(answer)
    assert service.stats()["requests"] <= 4, "those that waited for a place were not sent"


@pytest.mark.fault("services", "a redirect, as to a page to log in", "its target is named, nothing is asked again")
def test_a_redirect_names_its_target(serve: Callable[..., Any], cache: AnswerCache) -> None:
    service = serve("--latency", 0, "--fault", "redirect")
    (error,) = put(service.url, cache)
    assert isinstance(error, LLMError)
    assert "was refused (302, redirects to https://login.example.com/sso); name the service's own URL" in str(error)
    assert service.stats()["requests"] == 1


def test_a_page_is_shown_by_its_first_printable_characters() -> None:
    shown = "<html> [31m<p>red\ufffd</p>" + "x" * 100
    assert begin_of(b"<html>\n\x1b[31m<p>\x00red\xff</p>" + b"x" * 100) == shown[:80] + "…"


@pytest.mark.fault(
    "services",
    "variables of proxies or certificates that no client can be made with (SOCKS, a missing file)",
    "one line that names the variable, exit 2",
)
@pytest.mark.parametrize(
    ("variable", "value", "said"),
    [
        (
            "ALL_PROXY",
            "socks5://127.0.0.1:9",
            "ALL_PROXY: a SOCKS proxy needs the socksio package; `pip install socksio`",
        ),
        ("HTTPS_PROXY", "nonsense://user:secret@host", "HTTPS_PROXY: holds what is no URL of a proxy"),
        ("HTTPS_PROXY", "http://[::1", "HTTPS_PROXY: holds what is no URL of a proxy; `unset HTTPS_PROXY`"),
        ("SSL_CERT_FILE", "/no/such/file.pem", "SSL_CERT_FILE: no certificates there; `unset SSL_CERT_FILE`"),
        ("SSL_CERT_FILE", __file__, "SSL_CERT_FILE: no certificates there; `unset SSL_CERT_FILE`"),
    ],
)
def test_variables_no_client_can_be_made_with_are_one_line(
    variable: str, value: str, said: str, cache: AnswerCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    monkeypatch.setenv("REQUESTY_API_KEY", "sk-0123456789")
    monkeypatch.setenv(variable, value)
    (error,) = put("https://router.requesty.ai/v1", cache)
    assert isinstance(error, ConfigError)
    assert not isinstance(error, TransientError)
    assert said in str(error)
    assert "secret" not in str(error)


@pytest.mark.fault(
    "services", "an endpoint without a scheme, or one that is no URL", "one line that says the whole URL"
)
@pytest.mark.parametrize(
    ("endpoint", "said"),
    [
        ("router.requesty.ai/v1", "say e.g. https://router.requesty.ai/v1"),
        ("localhost:8900/v1", "say e.g. http://localhost:8900/v1"),
        ("//host/v1", "say e.g. https://host/v1"),
        ("ftp://host/v1", "is no URL of a service"),
        ("http:///v1", "is no URL of a service"),
        ("http://host:abc/v1", "is no URL"),
        ("http://[::1/v1", "is no URL"),
        ("https://ho st/v1", "is no URL"),
        ("https://xn--bücher/v1", "is no URL"),
        ("https://xn--\u202e.example/v1", "is no URL"),
        ("https://host/\u202ev1", 'endpoint "https://host/v1" is no URL'),
        ("me:secret@host/v1", 'endpoint "host/v1" is no URL'),
    ],
)
def test_an_endpoint_that_is_no_url_is_one_line(endpoint: str, said: str) -> None:
    with pytest.raises(ValueError, match="is no URL") as caught:
        check_endpoint(endpoint)
    assert said in str(caught.value)
    assert "secret" not in str(caught.value)


def test_a_url_that_the_client_alone_refuses_is_one_line(cache: AnswerCache) -> None:
    (error,) = put("http://127.0.0.1:1/" + "a" * 70_000, cache)
    assert isinstance(error, ConfigError)
    assert "is no URL (URL too long)" in str(error)


def test_such_an_endpoint_is_named_with_its_file_and_line(workspace: Path, sim: Any) -> None:
    models = workspace / "config" / "models.yaml"
    models.write_text(models.read_text().replace("https://router.requesty.ai/v1", "router.requesty.ai/v1", 1))
    done = sim("run", "--from", "2024-01-02", "--to", "2024-01-31", "--models", "requesty", "--workspace", workspace)
    assert done.returncode == 2
    (line,) = done.stderr.strip().splitlines()
    assert "config/models.yaml:" in line
    assert "say e.g. https://router.requesty.ai/v1" in line
