"""Keys and passwords: read and checked before anything is asked, struck out however they are written."""

from __future__ import annotations

import json
import time
from base64 import b32encode, b64encode, encodebytes, urlsafe_b64encode
from collections.abc import Callable
from html import escape
from pathlib import Path
from urllib.parse import quote, quote_plus

import pytest

from simulator.config import Models, Seat, read_yaml
from simulator.errors import ConfigError
from simulator.keys import read_key, scrub, scrub_bytes
from simulator.llm.providers.complaints import complaint_of, parse_object
from simulator.llm.registry import check_seats, request_for

KEY = "sk-or+v1/Ab&c=9\"x<z>'q\\w"
"""A key that looks different in every form."""


@pytest.mark.fault("money", "spaces, quotes, a line end or a BOM around a key", "stripped; what is left is sent")
@pytest.mark.parametrize("around", ["{}\n", " {} ", "\ufeff{}", "'{}'", '"{}"\r\n', "\u200b{}\u00a0", "\t`{}`"])
def test_what_stands_around_a_key_is_stripped(around: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_VLLM", around.format("sk-mine-0123456789"))
    assert read_key("MY_VLLM") == "sk-mine-0123456789"
    assert scrub(repr("Bearer " + around.format("sk-mine-0123456789"))).count("sk-mine") == 0


@pytest.mark.fault(
    "money", "a key that is empty, not ASCII, or several words", "one line that names its variable, before any question"
)
@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("", "MY_VLLM is empty"),
        (" \n\ufeff", "MY_VLLM is empty"),
        ("''", "MY_VLLM is empty"),
        ("sk-one\nsk-two-0123", "character 7 of 18 is a space or line end"),
        ("Bearer sk-one-012345", "character 7 of 20 is a space or line end"),
        ("sk-öne-0123456", "character 4 of 14 is a character that is not ASCII"),
        ("sk-\u201cone-0123456", "character 4 of 15 is a character that is not ASCII"),
        ("sk-one\x1b[31m-01234", "character 7 of 17 is a character that is not ASCII"),
        ("sk-one\u200b-0123456", "character 7 of 15 is a character that is not ASCII"),
    ],
)
def test_what_can_be_no_key_is_one_line_that_does_not_repeat_it(
    value: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MY_VLLM", value)
    other = Seat(provider="openai_compatible", model="m", endpoint="http://127.0.0.1:1/v1")
    with pytest.raises(ConfigError) as caught:
        check_seats([other, other.model_copy(update={"api_key_env": "MY_VLLM", "endpoint": "http://127.0.0.1:2/v1"})])
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not value.strip() or value not in str(caught.value)
    assert "one-0" not in str(caught.value)


FORMS: dict[str, Callable[[str], str]] = {
    "as it is": str,
    "repr": repr,
    "ASCII repr": ascii,
    "repr of bytes": lambda key: repr(key.encode()),
    "repr of repr": lambda key: repr(repr(key)),
    "JSON": json.dumps,
    "JSON in JSON": lambda key: json.dumps(json.dumps(key)),
    "JSON as PHP writes it": lambda key: json.dumps(key).replace("/", "\\/"),
    "JSON, all escaped": lambda key: "".join(f"\\u{ord(one):04X}" for one in key),
    "URL": lambda key: quote(key, safe=""),
    "URL, plus for a space": quote_plus,
    "URL of URL": lambda key: quote(quote(key, safe=""), safe=""),
    "URL, all escaped": lambda key: "".join(f"%{byte:02x}" for byte in key.encode()),
    "URL of JSON": lambda key: quote(json.dumps(key)),
    "base64": lambda key: b64encode(key.encode()).decode(),
    "base64 in JSON": lambda key: b64encode(key.encode()).decode().replace("/", "\\/"),
    "base64 in a URL": lambda key: quote(b64encode(key.encode()).decode(), safe=""),
    "Basic": lambda key: "Basic " + b64encode(f"user:{key}".encode()).decode(),
    "Basic, key first": lambda key: "Basic " + b64encode(f"{key}:".encode()).decode(),
    "Bearer in base64": lambda key: b64encode(f"Bearer {key}\n".encode()).decode(),
    "base64 at an odd offset": lambda key: urlsafe_b64encode(f"ab{key}cd".encode()).decode(),
    "hex": lambda key: key.encode().hex(),
    "HEX": lambda key: key.encode().hex().upper(),
    "HTML": escape,
    "HTML of HTML": lambda key: escape(escape(key)),
    "HTML by numbers": lambda key: "".join(f"&#{ord(one)};" for one in key),
    "HTML by hex numbers": lambda key: "".join(f"&#x{ord(one):x};" for one in key),
}


@pytest.mark.fault(
    "money", "a key escaped or encoded: repr, URL, JSON, HTML, hex, base64 at any offset", "struck out all the same"
)
@pytest.mark.parametrize("secret", [KEY, "pä ss€wörd😀", "plain0123456789"])
@pytest.mark.parametrize("form", FORMS)
def test_a_key_is_struck_out_in_every_form(form: str, secret: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_API_KEY", secret)
    written = FORMS[form](secret) if max(secret) < "\uffff" or "all escaped" not in form else json.dumps(secret)
    clean = scrub(f"before {written} after")
    assert "SOME_API_KEY" in clean
    assert len(clean) <= len("before Basic [SOME_API_KEY] after")
    assert scrub_bytes(f"before {written} after".encode()) == clean.encode()


@pytest.mark.fault(
    "money", "a password in DATABASE_URL or a proxy's address, a secret of another program", "struck out like a key"
)
@pytest.mark.parametrize(
    ("name", "value", "secret"),
    [
        ("DATABASE_URL", "postgresql://trader:hunter2%40hunter@db/sim", "hunter2@hunter"),
        ("DATABASE_URL", "postgresql://trader:hunter2%40hunter@db/sim", "hunter2%40hunter"),
        ("DATABASE_URL", "postgresql://db/sim?user=trader&password=hunter2hunter", "hunter2hunter"),
        ("HTTPS_PROXY", "http://me:hunter2hunter@proxy:8080", "hunter2hunter"),
        ("ALPACA_PAPER_KEY_TREND", "PK0123456789", "PK0123456789"),
        ("ALPACA_PAPER_SECRET_TREND", "abcd0123456789", "abcd0123456789"),
        ("GH_TOKEN", "ghp_0123456789", "ghp_0123456789"),
        ("aws_secret_access_key", "wJalrXUtnFEMI/K7MDENG", "wJalrXUtnFEMI/K7MDENG"),
        ("PGPASSWORD", "hunter2hunter", "hunter2hunter"),
    ],
)
def test_secrets_of_other_programs_are_struck_out(
    name: str, value: str, secret: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, value)
    assert scrub(f"could not reach {value}: no {secret}!").count(secret) == 0
    assert scrub(f"no {secret}!") == f"no [{name}]!"


def test_a_password_that_is_a_word_of_its_own_address_and_short_values_are_no_secrets(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://postgres:postgres@localhost/db")
    monkeypatch.setenv("MY_API_KEY", "none")
    monkeypatch.setenv("MAX_TOKENS_SHOWN_IN", "everything")
    assert scrub("PostgreSQL postgres none") == "PostgreSQL postgres none"


@pytest.mark.fault("money", "a key in config/models.yaml, where the name of its variable belongs", "refused, not shown")
@pytest.mark.parametrize("key", ["sk-proj-0123456789", "0123456789abcdef"])
def test_a_key_in_the_config_is_refused_and_not_repeated(key: str, tmp_path: Path) -> None:
    path = tmp_path / "models.yaml"
    path.write_text(f"profiles: {{a: {{'*': {{provider: openai_compatible, model: m, api_key_env: '{key}'}}}}}}\n")
    with pytest.raises(ConfigError, match=r"models\.yaml:1: .*api_key_env is no name of a variable; `export") as caught:
        read_yaml(path, Models)
    assert key not in str(caught.value)


@pytest.mark.fault("money", "a key in the address of a service or in `extra`", "refused, not shown and not stored")
@pytest.mark.parametrize(
    "fields",
    [{"endpoint": "https://h/v1?api_key=hunter2hunter"}, {"endpoint": "https://h/v1", "extra": {"api_key": "hunter2"}}],
)
def test_a_key_beside_the_question_is_refused_and_not_repeated(fields: dict[str, object]) -> None:
    seat = Seat.model_validate({"provider": "openai_compatible", "model": "m", **fields})
    with pytest.raises(ConfigError, match='"api_key" is a key or password; keys belong in the environment') as caught:
        request_for(seat, [])
    assert "hunter2" not in str(caught.value)


@pytest.mark.fault("money", "a key broken across lines, or under layers of escapes", "struck out, or the text given up")
@pytest.mark.parametrize(
    "text",
    [
        f"wrapped: {KEY[:9]}\n    {KEY[9:]} end",
        f"MIME: {encodebytes((KEY * 3).encode()).decode()}",
        f"layers: {quote(escape(json.dumps(KEY)))} end",
    ],
)
def test_a_key_broken_across_lines_is_struck_out(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_API_KEY", KEY)
    clean = scrub(text)
    assert "SOME_API_KEY" in clean
    assert len(clean) < 60


HIDDEN: dict[str, Callable[[str], str]] = {
    "base32": lambda key: b32encode(key.encode()).decode(),
    "base64 of base64": lambda key: b64encode(b64encode(f"Bearer {key}".encode())).decode(),
    "base64 of UTF-16": lambda key: b64encode(key.encode("utf-16-le")).decode(),
    "octal": lambda key: "".join(f"\\{byte:03o}" for byte in key.encode()),
    "quoted-printable": lambda key: "".join(f"={byte:02X}" for byte in key.encode()),
    "hex with colons": lambda key: key.encode().hex(":"),
    "full width": lambda key: "".join(chr(ord(one) + 0xFEE0) for one in key),
    "upper case": str.upper,
    "lower case": str.lower,
    "zero width between": "\u200b".join,
    "NUL between": "\0".join,
    "hyphens between": "-".join,
}


@pytest.mark.fault(
    "money", "a key in other letters, with signs between, octal, quoted-printable, base32, base64 twice or of UTF-16",
    "the text is given up",
)  # fmt: skip
@pytest.mark.parametrize("form", HIDDEN)
def test_a_text_that_hides_a_key_is_given_up(form: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_API_KEY", "sk-evil+Qz/93aBcDeFgHiJkLm")
    written = f"bad key {HIDDEN[form]('sk-evil+Qz/93aBcDeFgHiJkLm')} of yours"
    for text in (written, json.dumps({"error": written})):
        assert scrub(text) == "[a text that held SOME_API_KEY]"
        assert scrub_bytes(text.encode()).startswith(
            b"[a text that held SOME_API_KEY" if form != "NUL between" else b""
        )
        assert b"HiJkLm" not in scrub_bytes(text.encode())


@pytest.mark.fault("money", "a key in a body in UTF-16 or UTF-32, cut off in its middle", "struck out before it is cut")
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-be"])
def test_a_key_is_struck_out_in_every_encoding_and_before_it_is_cut(
    encoding: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOME_API_KEY", KEY)
    message = f"{'系' * 280} bad key: {KEY}"
    for escaped in (False, True):
        body = json.dumps({"error": {"message": message}}, ensure_ascii=escaped).encode(encoding)
        for content in (body, scrub_bytes(body)):
            assert KEY[:4] not in complaint_of(content)
        assert parse_object(scrub_bytes(body), {})["error"]["message"] == message.replace(KEY, "[SOME_API_KEY]")
    assert b"sk-or" not in scrub_bytes(f"bad key {KEY}".encode(encoding)).replace(b"\0", b"")
    assert scrub_bytes(b'\0{"type": "result"}') == b'{"type": "result"}'


def test_words_that_meet_by_accident_are_no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_PASSWORD", "trendfollowing")
    assert scrub("trend following, trend\nfollowing") == "trend following, trend\nfollowing"
    assert scrub("trendfollowing, trend following") == "[MY_PASSWORD], trend following"
    monkeypatch.setenv("SIGNING_KEY", "-----BEGIN KEY-----\nMIIB0123456789\n-----END KEY-----")
    assert scrub("on one line: -----BEGIN KEY----- MIIB0123456789 -----END KEY-----!") == "on one line: [SIGNING_KEY]!"


@pytest.mark.parametrize("endpoint", ["https://user:hunter2@h/v1", "https://hunter2@h/v1"])
def test_a_password_in_an_address_is_not_shown_however_short(endpoint: str) -> None:
    with pytest.raises(ConfigError, match="endpoint holds a password") as caught:
        request_for(Seat(provider="openai_compatible", model="m", endpoint=endpoint), [])
    assert "hunter2" not in str(caught.value)
    assert scrub("no answer of http://me:pw@proxy:8080/x") == "no answer of http://me:***@proxy:8080/x"
    assert scrub("see https://example.org:8080/a@b") == "see https://example.org:8080/a@b"


@pytest.mark.parametrize("endpoint", ["me:hunter2@h/v1", "ftp://me:hunter2@h/v1", "https://me:hunter2@[h/v1"])
def test_a_password_in_what_is_no_address_is_not_shown_either(endpoint: str, tmp_path: Path) -> None:
    path = tmp_path / "models.yaml"
    path.write_text(f"profiles: {{a: {{'*': {{provider: openai_compatible, model: m, endpoint: '{endpoint}'}}}}}}\n")
    with pytest.raises(ConfigError, match="is no URL") as caught:
        read_yaml(path, Models)
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("filler", ["\\", "&amp;", "%25", "A", "0", "&#", " ", "\\\\u00"])
def test_no_text_takes_long(filler: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_API_KEY", KEY)
    began = time.process_time()
    clean = scrub(filler * (20_000 // len(filler)) + KEY + filler * 1000 + b64encode(KEY.encode()).decode())
    assert time.process_time() - began < 3.0
    assert "SOME_API_KEY" in clean


def test_a_secret_that_is_no_text_is_struck_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_API_KEY", b"caf\xe9-\xff0123456789".decode("utf-8", "surrogateescape"))
    assert scrub_bytes(b"key caf\xe9-\xff0123456789!") == b"key [SOME_API_KEY]!"
    with pytest.raises(ConfigError, match="not ASCII"):
        read_key("SOME_API_KEY")
