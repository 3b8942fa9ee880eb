"""Paper by construction: no setting alone, and no three of the four together, reach real money."""

from __future__ import annotations

import ast
import itertools
import re
from pathlib import Path

import pytest

import simulator
from simulator.errors import BrokerError, ConfigError, UsageError
from simulator.forward.alpaca import AlpacaAccount
from simulator.forward.mode import Keys, check_address, make_rehearsal_keys, name_keys, open_keys, pin_account, sentence
from simulator.forward.settings import Forward

NEEDS = ("mode", "key", "secret", "loss", "typed")
PAPER, LIVE = ("PKPAPERPAPER1", "paper-secret-1"), ("AKLIVELIVE1", "live-secret-1")


def open_account(
    given: set[str], monkeypatch: pytest.MonkeyPatch, paper: bool = True, typed: str | None = None
) -> Keys:
    for mode, values in (("paper", PAPER), ("live", LIVE)):
        for name, need, value in zip(name_keys("TREND", mode), ("key", "secret"), values, strict=True):
            if need in given if mode == "live" else paper:
                monkeypatch.setenv(name, value)
            else:
                monkeypatch.delenv(name, raising=False)
    settings = Forward.model_validate(
        {
            "mode": "live" if "mode" in given else "paper",
            "daily_loss": {"TREND": "2%"} if "loss" in given else {},
        }
    )
    said = typed if typed is not None else sentence(["TREND"]) if "typed" in given else ""
    return open_keys("TREND", settings, typed=said)


COMBINATIONS = [set(chosen) for size in range(len(NEEDS) + 1) for chosen in itertools.combinations(NEEDS, size)]


@pytest.mark.parametrize("given", COMBINATIONS, ids=lambda given: "+".join(sorted(given)) or "nothing")
def test_live_needs_all_of_it(given: set[str], monkeypatch: pytest.MonkeyPatch) -> None:
    if given == set(NEEDS):
        keys = open_account(given, monkeypatch)
        assert (keys.paper, keys.key, keys.secret) == (False, *LIVE)
    elif "mode" in given:
        with pytest.raises(ConfigError) as caught:
            open_account(given, monkeypatch)
        words = {
            "key": "ALPACA_LIVE_KEY_TREND is not set",
            "secret": "ALPACA_LIVE_SECRET_TREND is not set",
            "loss": "no daily_loss for TREND",
            "typed": "was not typed",
        }
        assert [need for need, word in words.items() if word in str(caught.value)] == [
            need for need in words if need not in given
        ]
        assert not [value for value in (*PAPER, *LIVE) if value in str(caught.value)]
    else:
        keys = open_account(given, monkeypatch)
        assert (keys.paper, keys.key, keys.secret) == (True, *PAPER)


def test_keys_of_one_kind_never_stand_in_for_the_other(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match="ALPACA_PAPER_KEY_TREND is not set"):
        open_account(set(NEEDS) - {"mode"}, monkeypatch, paper=False)
    monkeypatch.setattr("tests.forward.test_mode.LIVE", PAPER)
    with pytest.raises(ConfigError, match="is the paper key again"):
        open_account(set(NEEDS), monkeypatch)


@pytest.mark.parametrize(
    "typed", ["yes", "y", "TREND", "trade real money", "trade real money in VALUE", "Trade real money in TREND"]
)
def test_the_sentence_is_typed_word_for_word(typed: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match="was not typed"):
        open_account(set(NEEDS), monkeypatch, typed=typed)


def test_the_sentence_names_every_account(monkeypatch: pytest.MonkeyPatch) -> None:
    open_account(set(NEEDS), monkeypatch)
    settings = Forward.model_validate({"mode": "live", "daily_loss": {"*": "2%"}})
    both = ("TREND", "VALUE")
    with pytest.raises(ConfigError, match="trade real money in TREND and VALUE"):
        open_keys("TREND", settings, both, sentence(["TREND"]))
    assert not open_keys("TREND", settings, both, sentence(both)).paper


def test_a_rehearsal_is_on_this_machine_and_gets_no_real_key(monkeypatch: pytest.MonkeyPatch) -> None:
    live = open_account(set(NEEDS), monkeypatch)
    keys = make_rehearsal_keys("TREND")
    assert keys.paper
    assert not {keys.key, keys.secret} & {*PAPER, *LIVE}
    check_address(None, paper=False)
    for url in ("http://127.0.0.1:8901", "http://localhost:8901", "http://[::1]:8901"):
        check_address(url)
        with pytest.raises(UsageError, match="live keys are for Alpaca alone"):
            AlpacaAccount(live, url=url)
    for url in ("https://api.alpaca.markets", "http://10.0.0.5:8901", "http://127.0.0.1@api.alpaca.markets", "x", ""):
        with pytest.raises(UsageError, match=r"is not on this machine|is no address of an exchange"):
            AlpacaAccount(keys, url=url)


@pytest.mark.parametrize(("paper", "host"), [(True, "paper-api.alpaca.markets"), (False, "api.alpaca.markets")])
def test_a_client_asks_the_address_of_its_keys(paper: bool, host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    keys = open_account(set() if paper else set(NEEDS), monkeypatch)
    account = AlpacaAccount(keys)
    account.close()
    assert str(account._client._base_url.value) == f"https://{host}"


def test_keys_show_nothing_of_themselves(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = repr(open_account(set(NEEDS), monkeypatch))
    assert not [value for value in LIVE if value in shown]


def test_the_account_number_of_the_registration_counts() -> None:
    assert pin_account("TREND", None, "PA3X1") == "PA3X1"
    assert pin_account("TREND", "PA3X1", "PA3X1") == "PA3X1"
    with pytest.raises(BrokerError, match="opens account PA3X2; PA3X1 is registered") as caught:
        pin_account("TREND", "PA3X1", "PA3X2")
    assert caught.value.exit_code == 5
    with pytest.raises(BrokerError, match="no account number"):
        pin_account("TREND", None, "")


@pytest.mark.medium
def test_nothing_else_in_the_package_can_name_the_live_endpoint() -> None:
    """Nor make an Keys, or a client, that is not on paper."""
    live = re.compile(r"(?<!paper-)\bapi\.alpaca\.markets|TRADING_(STREAM_)?LIVE|ALPACA_LIVE|APCA_API_BASE_URL")
    package = Path(simulator.__file__).parent
    found = []
    for path in sorted(package.rglob("*.py")):
        if path.relative_to(package).as_posix() == "forward/mode.py":
            continue
        text = path.read_text(encoding="utf-8")
        found += [f"{path.name}: {match[0]}" for match in live.finditer(text)]
        calls = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Call)]
        found += [f"{path.name}: {ast.unparse(call)}" for call in calls if not on_paper(call)]
    assert found == []


def on_paper(call: ast.Call) -> bool:
    """Return False for a call that makes an Keys, or gives `paper` anything but True or that of an Keys."""
    allowed = ("True", "keys.paper", "self.keys.paper", "self._keys.paper")
    given = [ast.unparse(word.value) for word in call.keywords if word.arg == "paper"]
    return ast.unparse(call.func).rpartition(".")[2] != "Keys" and all(one in allowed for one in given)
