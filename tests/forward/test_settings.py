"""config/forward.yaml: the shipped file says the defaults, and every mistake is one line with its place."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from simulator.errors import ConfigError
from simulator.forward.settings import Forward, load_settings

ROOT = Path(__file__).parents[2]


def read(folder: Path, text: str) -> Forward:
    (folder / "forward.yaml").write_text(text)
    return load_settings(folder, ["TREND", "VALUE"])


def test_the_shipped_file_has_the_defaults_and_names_every_key(tmp_path: Path) -> None:
    assert load_settings(ROOT / "config") == load_settings(tmp_path) == Forward()
    text = (ROOT / "config" / "forward.yaml").read_text()
    for name in (*Forward.model_fields, "email", "webhook", "repeat_minutes"):
        assert f"{name}:" in text


def test_the_examples_in_it_can_be_used(tmp_path: Path) -> None:
    text = (ROOT / "config" / "forward.yaml").read_text()
    found = read(tmp_path, text.replace("# email:", "email:").replace("# webhook:", "webhook:"))
    assert found.alerts.email is not None
    assert found.alerts.email.sender == "sim@example.org"
    assert found.alerts.webhook


def test_a_loss_limit_is_dollars_or_a_share_of_the_morning(tmp_path: Path) -> None:
    found = read(tmp_path, 'daily_loss: {TREND: 2%, "*": $500}')
    assert found.loss_limit("TREND", 80_000.0) == 1600.0
    assert found.loss_limit("VALUE", 80_000.0) == 500.0
    assert Forward().loss_limit("TREND", 80_000.0) == math.inf


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("mod: live", ':1: unknown key "mod", did you mean "mode"?'),
        ("mode: Live", "mode was 'Live', did you mean \"live\"?"),
        ("mode: true", "true and false are no value here"),
        ("poll_s: 0", "poll_s was 0"),
        ("poll_s: .inf", "poll_s was inf"),
        ("poll_s: 20", "heartbeat_s is below poll_s"),
        ("late: sometimes", "late was 'sometimes'"),
        ("\ndaily_loss: {TREND: lots}", ":2: daily_loss.TREND was 'lots': give percent of equity"),
        ("daily_loss: {TERND: 2%}", 'no account "TERND", did you mean "TREND"?'),
        ("alerts: {emial: {}}", 'unknown key "alerts.emial", did you mean "email"?'),
        ("alerts: {email: {host: a, fron: a@b, to: [a@b]}}", 'unknown key "alerts.email.fron", did you mean "from"?'),
        ("alerts: {email: {host: a, from: a@b, to: []}}", "alerts.email.to was []"),
        ('alerts: {email: {host: a, from: "a@b\\nBcc: c@d", to: [a@b]}}', "alerts.email.from was"),
        ("alerts: {webhook: 'https://host/x?token=1'}", "SIM_WEBHOOK_URL"),
    ],
)
def test_a_mistake_is_one_line(text: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        read(tmp_path, text)
    assert said in str(caught.value)
    assert "forward.yaml" in str(caught.value)
    assert "\n" not in str(caught.value)
