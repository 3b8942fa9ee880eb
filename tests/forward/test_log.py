"""The log of forward trading: whole lines, whatever happens to the process or the disk, and no key in any."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from simulator.forward.log import Log, read_log

AT = datetime(2024, 6, 3, 14, 0, tzinfo=UTC)
KEY, SECRET = "PKTEST9X2Q7RMM41WZ", "hT7/qv9+Zp3LxW8rK2mN5bYc4Df6Gj1As0Qe"


def test_every_line_says_run_and_account_and_stands_under_its_session(tmp_path: Path) -> None:
    log = Log(tmp_path, "2f3a")
    assert log.write("order.sent", AT, "TREND", symbol="SPY", quantity=12.5)
    late = datetime(2024, 6, 4, 1, 30, tzinfo=UTC)  # 21:30 in New York
    log.write("heartbeat", late)
    log.write("books.equal", late, "", date(2024, 6, 4))
    log.write("odd", AT, kind="a fact of its own", value=float("nan"), other={1, 2}, text="two\nlines\u2028\ud800")
    found = list(read_log(tmp_path, date(2024, 6, 3)))
    assert [(line["kind"], line["run"], line["account"]) for line in found] == [
        ("order.sent", "2f3a", "TREND"),
        ("heartbeat", "2f3a", ""),
        ("odd", "2f3a", ""),
    ]
    assert found[0]["quantity"] == 12.5
    assert found[2]["kind_"] == "a fact of its own"
    assert found[2]["at"] == "2024-06-03T10:00:00-04:00"
    assert [line["kind"] for line in read_log(tmp_path, date(2024, 6, 4))] == ["books.equal"]
    assert list(read_log(tmp_path, date(2024, 6, 5))) == []
    path = tmp_path / "20240603.jsonl"
    assert path.read_bytes().count(b"\n") == 3
    assert path.stat().st_mode & 0o077 == 0


def test_planted_keys_stand_in_no_byte_of_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import base64
    from urllib.parse import quote

    planted = {
        "ALPACA_PAPER_KEY_TREND": KEY,
        "ALPACA_LIVE_SECRET_TREND": SECRET,
        "SIM_SMTP_PASSWORD": "correct7horse",
        "SIM_WEBHOOK_URL": "https://hooks.example.org/T9/B4/xYz81mQpL0",
    }
    for name, value in planted.items():
        monkeypatch.setenv(name, value)
    log = Log(tmp_path, "2f3a")
    for value in planted.values():
        ways = [value, quote(value, ""), base64.b64encode(f"user:{value}".encode()).decode(), value.encode().hex()]
        for way in ways:
            assert log.write("failed", AT, "TREND", error=f"401 for {way}!", nested={"headers": [way]})
        log.write("failed", AT, value, **{f"k{value}": value})
        log.write("failed", AT, text=" ".join(value))
    content = (tmp_path / "20240603.jsonl").read_bytes()
    for value in planted.values():
        ways = [value, quote(value, ""), value.encode().hex(), base64.b64encode(value.encode()).decode()[:-4]]
        assert [way for way in ways if way.encode() in content] == []
    assert len(list(read_log(tmp_path, date(2024, 6, 3)))) == 6 * len(planted), "lines stay JSON"


def test_a_torn_line_is_ended_and_passed_over(tmp_path: Path) -> None:
    log = Log(tmp_path, "2f3a")
    log.write("one", AT)
    path = tmp_path / "20240603.jsonl"
    path.write_bytes(path.read_bytes() + b'{"at": "2024-06-03T14:0')
    log.write("two", AT)
    assert [line["kind"] for line in read_log(tmp_path, date(2024, 6, 3))] == ["one", "two"]


WRITE = """
import sys
from datetime import UTC, datetime
from pathlib import Path
from simulator.forward.log import Log
log = Log(Path(sys.argv[1]), sys.argv[2])
number = 0
print("writing", flush=True)
while True:
    log.write("tick", datetime(2024, 6, 3, 14, tzinfo=UTC), number=number, filling="x" * 5000)
    number += 1
"""


@pytest.mark.medium
@pytest.mark.fault("machine", "kill -9 while the log of forward trading is written", "every line before is whole")
def test_two_writers_that_are_killed_leave_whole_lines(tmp_path: Path) -> None:
    writers = [
        subprocess.Popen([sys.executable, "-c", WRITE, str(tmp_path), run], stdout=subprocess.PIPE) for run in "ab"
    ]
    for writer in writers:
        assert writer.stdout is not None
        assert writer.stdout.readline() == b"writing\n"
    time.sleep(0.2)
    for writer in writers:
        os.kill(writer.pid, signal.SIGKILL)
        writer.communicate()
    raw = (tmp_path / "20240603.jsonl").read_bytes().splitlines()
    found = list(read_log(tmp_path, date(2024, 6, 3)))
    assert len(found) >= len([line for line in raw if line]) - 2
    for run in "ab":
        numbers = [line["number"] for line in found if line["run"] == run]
        assert numbers == list(range(len(numbers)))
        assert numbers


@pytest.mark.fault("disk", "full while forward trading writes its log", "trading goes on; lost lines are counted")
def test_a_disk_that_takes_nothing_stops_nothing_and_is_told_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []
    log = Log(tmp_path / "logs", "2f3a", told.append)
    log.write("before", AT)
    with monkeypatch.context() as full:
        import errno

        def refuse(_handle: int, _lines: bytes) -> int:
            raise OSError(errno.ENOSPC, "No space left on device")

        full.setattr(os, "write", refuse)
        assert not log.write("lost", AT)
        assert not log.write("lost", AT)
    assert log.write("after", AT)
    assert told == ["No space left on device"]
    found = list(read_log(tmp_path / "logs", date(2024, 6, 3)))
    assert [line["kind"] for line in found] == ["before", "log.lost", "after"]
    assert found[1]["lines"] == 2


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a device of Linux")
def test_something_else_under_the_name_of_the_log_is_a_line_lost(tmp_path: Path) -> None:
    (tmp_path / "20240603.jsonl").symlink_to("/dev/full")
    os.mkfifo(tmp_path / "20240604.jsonl")
    (tmp_path / "20240605.jsonl").mkdir()
    log = Log(tmp_path, "2f3a")
    for day in (3, 4, 5):
        assert not log.write("lost", AT, "", date(2024, 6, day))
    assert not Log(tmp_path / "20240605.jsonl" / "a\0b", "2f3a").write("lost", AT)


def test_threads_share_a_log(tmp_path: Path) -> None:
    log = Log(tmp_path, "2f3a")
    threads = [threading.Thread(target=lambda: [log.write("tick", AT) for _ in range(50)]) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    raw = (tmp_path / "20240603.jsonl").read_text().splitlines()
    assert len([json.loads(line) for line in raw]) == 200
