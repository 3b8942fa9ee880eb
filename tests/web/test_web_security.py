"""Whoever comes by another name, from another page, without a token or with a forbidden wish is refused."""

from __future__ import annotations

import http.client
import json
import re
from pathlib import Path
from typing import Any

import pytest

from simulator.errors import SimError, UsageError
from simulator.forward.approvals import read_approvals
from simulator.store.events import Event
from simulator.web import actions, audit, sessions
from simulator.web.serve import serve
from simulator.web.sessions import MOST_OF_TOKEN, Sessions
from simulator.web.tokens import FILE, add_token, find_token, revoke_token
from simulator.workspace import Workspace
from tests.web.conftest import HOSTILE, Site

Answer = tuple[int, dict[str, str], str]


def ask(site: Site, method: str, path: str, body: Any = None, **headers: str) -> Answer:
    """Send a request as it stands; headers with _ for -."""
    connection = http.client.HTTPConnection("127.0.0.1", site.port, timeout=20)
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    data = body if isinstance(body, str | bytes | None) else json.dumps(body)
    if method == "POST":
        given.setdefault("origin", site.url)
    try:
        connection.request(method, path, data, {name: value for name, value in given.items() if value != "-"})
        answer = connection.getresponse()
        return answer.status, dict(answer.getheaders()), answer.read().decode()
    finally:
        connection.close()


def enter(site: Site, token: str) -> dict[str, str]:
    """Return the headers of who has logged in."""
    status, headers, _ = ask(site, "POST", "/login", f"token={token}")
    assert status == 303
    assert "HttpOnly" in headers["set-cookie"]
    assert "SameSite=strict" in headers["set-cookie"]
    cookie = headers["set-cookie"].split(";")[0]
    page = ask(site, "GET", "/approvals", cookie=cookie)[2]
    found = re.search('name="csrf" content="([^"]+)"', page)
    assert found
    return {"cookie": cookie, "x_csrf_token": found[1]}


def approve(version: int = 1) -> dict[str, Any]:
    return {"answers": [{"id": "a" * 9 + "spy", "version": version, "action": "approve"}]}


def test_only_who_logged_in_with_the_role_and_from_the_page_approves(site: Site) -> None:
    site.ask("SPY")
    reader, ann = enter(site, site.token("bob", "read")), enter(site, site.token("ann", "approve"))
    assert ask(site, "POST", "/approvals", approve())[0] == 401
    assert ask(site, "POST", "/approvals", approve(), cookie="sim_session=guess")[0] == 401
    assert ask(site, "POST", "/approvals", approve(), cookie=ann["cookie"])[0] == 403
    assert ask(site, "POST", "/approvals", approve(), **{**ann, "x_csrf_token": "wrong"})[0] == 403
    assert ask(site, "POST", "/approvals", approve(), **{**ann, "x_csrf_token": reader["x_csrf_token"]})[0] == 403
    for origin in ("https://evil.example", "null", "-", f"{site.url}.evil.example"):
        assert ask(site, "POST", "/approvals", approve(), **ann, origin=origin)[0] == 403
    for action in ("/approvals", "/act"):
        assert ask(site, "POST", action, approve(), **reader)[0] == 403
    assert read_approvals(site.store)[0].state == "waiting"
    assert ask(site, "POST", "/approvals", approve(), **ann)[0] == 200
    done = read_approvals(site.store)[0]
    assert (done.state, done.by) == ("approved", "ann")
    trail = ask(site, "GET", "/audit", cookie=ann["cookie"])[2]
    assert "refused: may only read" in trail
    assert f"version 1, {done.seen}" in trail


def test_another_host_is_refused_whatever_it_brings(site: Site) -> None:
    ann = enter(site, site.token("ann", "approve"))
    for host in ("evil.example", f"evil.example:{site.port}", "127.0.0.1", ""):
        assert ask(site, "GET", "/", cookie=ann["cookie"], host=host)[0] in (400, 421)


def test_a_revoked_token_ends_its_sessions(site: Site) -> None:
    token = site.token("ann", "approve")
    ann = enter(site, token)
    assert token not in (site.workspace.out / FILE).read_text()
    assert (site.workspace.out / FILE).stat().st_mode & 0o777 == 0o600
    revoke_token(site.workspace, "ann")
    assert ask(site, "POST", "/approvals", approve(), **ann)[0] == 401
    assert ask(site, "POST", "/login", f"token={token}")[0] == 403


def test_guessing_is_limited_and_on_record(site: Site) -> None:
    token = site.token("ann", "approve")
    found = [ask(site, "POST", "/login", f"token=guess{n}")[0] for n in range(sessions.TRIES)]
    assert found == [403] * sessions.TRIES
    status, headers, _ = ask(site, "POST", "/login", f"token={token}")
    assert status == 429
    assert int(headers["retry-after"]) <= sessions.WITHIN_S + 1
    refused = [one for one in site.store.of_forward("web") if one.event.payload["action"] == "login refused"]
    assert len(refused) == sessions.TRIES


def test_tries_whose_bodies_come_late_are_limited_as_any(site: Site) -> None:
    """Headers of all before the body of one: each was let in when nobody had failed yet."""
    tries = [http.client.HTTPConnection("127.0.0.1", site.port, timeout=20) for _ in range(3 * sessions.TRIES)]
    for one in tries:
        one.putrequest("POST", "/login")
        one.putheader("origin", site.url)
        one.putheader("content-length", "11")
        one.endheaders()
    ask(site, "GET", "/healthz")  # by now the server has read what came before
    found = []
    for one in tries:
        one.send(b"token=guess")
        with one.getresponse() as answer:
            found.append(answer.status)
        one.close()
    assert found == [403] * sessions.TRIES + [429] * (2 * sessions.TRIES)


def test_strangers_of_many_addresses_are_limited_together_and_lock_nobody_out_who_was_there_before(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sessions, "STRANGERS", 15)
    token = site.token("ann", "approve")
    connection = http.client.HTTPConnection("127.0.0.1", site.port, timeout=20)
    connection.request("POST", "/login", f"token={token}", {"origin": site.url})
    given = connection.getresponse().headers.get_all("set-cookie") or []
    connection.close()
    device = next(one.split(";")[0] for one in given if one.startswith("sim_device="))
    assert all(f"{what};" in f"{one};" for one in given for what in ("HttpOnly", "SameSite=strict"))
    forged = device[:-1] + ("0" if device[-1] != "0" else "1")
    found = [
        ask(site, "POST", "/login", f"token=guess{n}", x_forwarded_for=f"203.0.113.{n}", cookie=forged)[0]
        for n in range(16)
    ]
    assert found == [403] * 15 + [429], "however many addresses they name"
    assert ask(site, "POST", "/login", f"token={token}", x_forwarded_for="203.0.113.99")[0] == 429
    assert ask(site, "POST", "/login", f"token={token}", cookie=device)[0] == 303, "a browser that is known gets in"
    found = [ask(site, "POST", "/login", "token=guess", cookie=device)[0] for _ in range(sessions.TRIES + 1)]
    assert found == [403] * sessions.TRIES + [429], "and is limited by itself"
    revoke_token(site.workspace, "ann")
    assert ask(site, "POST", "/login", "token=guess", cookie=device, x_forwarded_for="203.0.113.98")[0] == 429


@pytest.mark.parametrize("chunked", [False, True])
def test_an_oversized_body_is_refused(site: Site, chunked: bool) -> None:
    ann = enter(site, site.token("ann", "approve"))
    body: Any = iter([b"x" * 50_000] * 4) if chunked else b"x" * 200_000
    connection = http.client.HTTPConnection("127.0.0.1", site.port, timeout=20)
    headers = {"origin": site.url, "cookie": ann["cookie"], "x-csrf-token": ann["x_csrf_token"]}
    connection.request("POST", "/approvals", body, headers, encode_chunked=chunked)
    assert connection.getresponse().status == 413
    connection.close()


@pytest.mark.parametrize(
    "body",
    [
        '{"answers": [{"id": "\\ud800"}]}',
        "",
        "[]",
        "{}",
        f'{{"answers": [{{"id": "a", "version": 1, "action": "approve", "price": 1{"0" * 400}}}]}}',
        '{"answers": [1]}',
        "[" * 60_000,
        '{"answers": [{"id": "a"}]}',
    ],
)
def test_a_body_that_is_no_answer_is_refused_in_one_line(site: Site, body: str) -> None:
    status, _, text = ask(site, "POST", "/approvals", body, **enter(site, site.token("ann", "approve")))
    assert status in (400, 409)
    assert text.count("\n") == 1


def test_what_models_wrote_is_text(site: Site) -> None:
    site.ask("SPY")
    status, headers, page = ask(site, "GET", "/approvals", cookie=enter(site, site.token("bob", "read"))["cookie"])
    assert status == 200
    assert HOSTILE not in page
    assert "\x1b" not in page
    assert "&lt;script&gt;" in page
    assert "unsafe" not in headers["content-security-policy"]
    assert "default-src 'none'" in headers["content-security-policy"]


def test_reports_are_served_in_a_sandbox_and_nothing_beside_them(site: Site) -> None:
    folder = site.workspace.reports / "run-1"
    folder.mkdir(parents=True)
    (folder / "report.html").write_text("<script>let a = 1</script><p>report")
    (site.workspace.reports.parent / "secret.txt").write_text("secret")
    (folder / "link.txt").symlink_to(site.workspace.reports.parent / "secret.txt")
    bob = enter(site, site.token("bob", "read"))
    status, headers, page = ask(site, "GET", "/reports/run-1/report.html", cookie=bob["cookie"])
    assert status == 200
    assert page.endswith("report")
    policy = headers["content-security-policy"]
    assert policy.startswith("sandbox allow-scripts")
    assert "default-src 'none'" in policy
    assert "'sha256-" in policy
    assert "allow-same-origin" not in policy
    assert "top-navigation" not in policy
    for name in ("../secret.txt", "run-1/../../secret.txt", "%2e%2e/secret.txt", "..%2fsecret.txt", "run-1/link.txt",
                 "run-1/%00", "/etc/passwd", "..%5csecret.txt", ".hidden/x.txt"):  # fmt: skip
        assert ask(site, "GET", f"/reports/{name}", cookie=bob["cookie"])[0] == 404, name


def test_a_link_from_elsewhere_lands_on_a_page_that_asks_again(site: Site) -> None:
    status, _, page = ask(site, "GET", "/approvals")
    assert status == 200
    assert 'href="/approvals?again=1"' in page
    assert "again.js" in page
    status, headers, _ = ask(site, "GET", "/approvals?again=1")
    assert (status, headers["location"]) == (303, "/login?to=/approvals")
    token = site.token("ann", "approve")
    for to in ("//evil.example", "https://evil.example", "/\\evil.example"):
        assert ask(site, "POST", f"/login?to={to}", f"token={token}")[1]["location"] == "/"


def test_the_overview_says_what_waits_and_until_when_and_errors_name_places_on_the_pages(site: Site) -> None:
    ann = enter(site, site.token("ann", "approve"))
    assert "for approval" not in ask(site, "GET", "/", cookie=ann["cookie"])[2]
    site.ask("SPY")
    page = ask(site, "GET", "/", cookie=ann["cookie"])[2]
    assert '<a href="/approvals">1 trade of run waits for approval</a>, until <time' in page
    assert "2024-06-04 09:27</time>, New York time" in page
    site.ask("QQQ")
    page = ask(site, "GET", "/", cookie=ann["cookie"])[2]
    assert '<a href="/approvals">2 trades of run wait for approval</a>, the first until <time' in page
    refusals = {"action": "reject"}, {"action": "approve", "id": "nothing"}
    for wrong, said in zip(refusals, ("type a reason", "the page of approvals lists them"), strict=True):
        given = {"answers": [{**approve()["answers"][0], **wrong}]}
        (told,) = json.loads(ask(site, "POST", "/approvals", given, **ann)[2])["results"]
        assert said in told["text"]
    stopped = ask(site, "POST", "/act", {"action": "stop", "run": "run", "typed": "run"}, **ann)
    assert "sim forward" not in stopped[2]


def test_switches_are_thrown_by_who_types_their_name(site: Site) -> None:
    ann = enter(site, site.token("ann", "approve"))
    assert ask(site, "POST", "/act", {"action": "pause", "typed": "yes"}, **ann)[0] == 409
    assert not (site.workspace.out / "forward.pause").exists()
    assert ask(site, "POST", "/act", {"action": "pause", "typed": "pause", "reason": "lunch"}, **ann)[0] == 200
    assert (site.workspace.out / "forward.pause").read_text() == "ann, on the page: lunch\n"
    assert ask(site, "POST", "/act", {"action": "resume", "typed": "resume"}, **ann)[0] == 200
    assert not (site.workspace.out / "forward.pause").exists()
    acted = [one.event.payload["action"] for one in site.store.of_forward("web")]
    assert acted == ["logged in", "pause", "resume"]


@pytest.mark.parametrize(
    "address", ["http://desk.example.org", "ftp://desk.example.org", "https://ann@desk.example.org"]
)
def test_a_proxy_that_would_carry_tokens_in_the_clear_is_refused(tmp_path: Path, address: str) -> None:
    with pytest.raises(UsageError, match=r"in the clear|no address"):
        serve(Workspace(tmp_path, tmp_path), "0.0.0.0", 0, [address])


def test_what_is_asked_as_a_head_is_no_try_and_two_origins_are_none(site: Site) -> None:
    token = site.token("ann", "approve")
    for _ in range(12):
        assert ask(site, "HEAD", "/login", origin="https://evil.example")[0] == 200
    ann = enter(site, token)
    assert [one.event.payload["action"] for one in site.store.of_forward("web")] == ["logged in"]
    connection = http.client.HTTPConnection("127.0.0.1", site.port, timeout=20)
    connection.putrequest("POST", "/act")
    for origin in (site.url, "https://evil.example"):
        connection.putheader("origin", origin)
    for name, value in (*ann.items(), ("content_length", "0")):
        connection.putheader(name.replace("_", "-"), value)
    connection.endheaders()
    assert connection.getresponse().status == 403
    connection.close()


@pytest.mark.fault("disk", "the store takes nothing while somebody throws the kill switch", "it is thrown, and said")
def test_switches_do_not_wait_for_a_store_that_takes_nothing(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    token = site.token("ann", "approve")

    def full(*_: object) -> None:
        raise SimError("database or disk is full")

    monkeypatch.setattr(site.store, "append", full)
    ann = enter(site, token)
    status, _, text = ask(site, "POST", "/act", {"action": "kill switch", "typed": "kill switch"}, **ann)
    assert (status, "not on record: database or disk is full" in text) == (200, True), text
    assert (site.workspace.out / "forward.stop").exists()
    assert ask(site, "POST", "/act", {"action": "start", "strategy": "x", "typed": "x"}, **ann)[0] == 409


def test_odd_names_of_reports_are_not_found(site: Site) -> None:
    ann = enter(site, site.token("ann", "read"))
    (folder := site.workspace.reports / "odd").mkdir(parents=True)
    (folder / "gone.html").symlink_to(folder / "nowhere")
    assert ask(site, "GET", "/runs", **ann)[0] == 200
    for path in (f"/reports/a/{'b' * 300}.html", f"/forward/{'a' * 300}/report.html", f"/reports/{'b/' * 3000}x.html"):
        assert ask(site, "GET", path, **ann)[0] == 404, path


def test_a_trade_that_no_loop_here_would_order_is_not_shown_as_one_to_answer_alone(site: Site) -> None:
    site.ask("SPY")
    ann = enter(site, site.token("ann", "approve"))
    told = "no loop is at work here that would order it"
    assert told in ask(site, "GET", "/approvals", cookie=ann["cookie"])[2]
    site.beat(100.0)
    assert told not in ask(site, "GET", "/approvals", cookie=ann["cookie"])[2]


def test_a_refused_answer_stands_in_the_audit_trail(site: Site) -> None:
    site.ask("SPY")
    ann = enter(site, site.token("ann", "approve"))
    status, _, told = ask(site, "POST", "/approvals", approve(version=7), **ann)
    assert (status, "changed meanwhile" in told) == (200, True)
    page = ask(site, "GET", "/audit", cookie=ann["cookie"])[2]
    assert "approve: refused" in page
    assert "version 1 is asked now, 7 was answered" in page


def test_all_runs_of_a_forward_report_are_the_runs(site: Site) -> None:
    ann = enter(site, site.token("ann", "read"))
    status, headers, _ = ask(site, "GET", "/forward/index.html", cookie=ann["cookie"])
    assert (status, headers["location"]) == (307, "/runs")


def test_many_logins_of_one_token_end_its_own_oldest_session_alone(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path, tmp_path)
    ann = find_token(workspace, add_token(workspace, "ann", "read"))
    bob = find_token(workspace, add_token(workspace, "bob", "read"))
    assert ann is not None
    assert bob is not None
    known = Sessions(workspace)
    first = known.begin(ann)
    cookies = [known.begin(bob) for _ in range(MOST_OF_TOKEN + 5)]
    assert known.find(first) is not None
    assert [known.find(one) is not None for one in cookies] == [False] * 5 + [True] * MOST_OF_TOKEN


@pytest.mark.medium
def test_refused_logins_push_nothing_off_the_audit_page(site: Site) -> None:
    ann = enter(site, site.token("ann", "approve"))
    site.ask("SPY")
    ask(site, "POST", "/approvals", approve(version=7), **ann)
    for n in range(250):
        given = {"by": "?", "from": f"203.0.113.{n % 7}", "action": actions.LOGIN_REFUSED}
        site.store.append("web", [Event("web.acted", None, None, given)])
    page = ask(site, "GET", "/audit", cookie=ann["cookie"])[2]
    assert "approve: refused" in page
    hours = [int(one) for one in re.findall(r"(\d+) times since .{8}, from 7 addresses: 203.0.113.0, ", page)]
    assert sum(hours) == 250, "an hour may have ended in between"


def test_the_audit_trail_goes_back_to_its_beginning_and_logins_of_a_token_in_an_hour_are_one_line(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audit, "PAGE", 4)
    site.store.append("web", [acted(action="pause", run=f"number {n}") for n in range(6)])
    token = site.token("ann", "approve")
    for _ in range(3):
        ann = enter(site, token)
    site.store.append("web", [acted(action="resume"), acted(by="", action="nobody did it")])
    pages, path = [], "/audit"
    while path:
        page = ask(site, "GET", path, cookie=ann["cookie"])[2]
        pages.append(re.findall(r"<tr><td>.*?</tr>", page))
        path = next(iter(re.findall(r'href="(/audit\?before=\d+)"', page)), "")
    lines = [line for page in pages for line in page]
    assert [len(page) for page in pages[:-1]] == [4] * (len(pages) - 1)
    assert "resume" in lines[0]
    logins = [line for line in lines if "logged in" in line]
    assert len(logins) in (1, 2), "an hour may have ended in between"
    assert "times since" in "".join(logins)
    done = [n for line in lines for n in re.findall(r"number (\d)", line)]
    assert done == ["5", "4", "3", "2", "1", "0"]
    assert ask(site, "GET", "/audit?before=x", cookie=ann["cookie"])[0] == 200
    assert "nothing yet" in ask(site, "GET", "/audit?before=0", cookie=ann["cookie"])[2]


def acted(by: str = "bob", **facts: str) -> Event:
    return Event("web.acted", None, None, {"by": by, "from": "here", **facts})
