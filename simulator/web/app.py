"""Pages of the desk: a thin face that parses, calls and renders.

browser ──► Guard (Host, Origin, size) ──► session, role, CSRF ──► page ──► simulator.forward, store, switches
"""

from __future__ import annotations

import contextlib
import json
import secrets
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial, wraps
from pathlib import Path
from typing import Any
from urllib.parse import quote

import anyio.to_thread
from jinja2 import ChoiceLoader, Environment, FileSystemLoader, PrefixLoader, StrictUndefined
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import (
    HTMLResponse,
    JSONResponse,
    PlainTextResponse,
    RedirectResponse,
    Response,
    StreamingResponse,
)
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from simulator.errors import SimError, UsageError
from simulator.forward import review
from simulator.forward.approvals import list_kill_shots, list_reviews, read_approvals
from simulator.number_format import age, percent, price
from simulator.printing import printable
from simulator.report.renderers.html import TEMPLATES, page_filters
from simulator.store.database import Store
from simulator.web import actions, audit, metrics, questions, reports, views
from simulator.web.feed import Feed
from simulator.web.guard import Addresses, Guard
from simulator.web.sessions import Limiter, Session, Sessions, find_device, make_device
from simulator.web.tokens import find_token
from simulator.workspace import Workspace

COOKIE, DEVICE, DEVICE_S = "sim_session", "sim_device", 180 * 24 * 3600
MOST_STREAMS = 4
"""Streams of a session; a browser opens six connections to a host, and some are to be left for its pages."""
HERE = Path(__file__).parent
REPORT = FileSystemLoader(TEMPLATES)
FILES = {
    "style.css": TEMPLATES / "style.css",
    **{name: HERE / "static" / name for name in ("web.css", "web.js", "again.js")},
}
Handler = Callable[[Request], Awaitable[Response]]


class Desk:
    """The pages of a workspace, and what they share."""

    def __init__(self, workspace: Workspace, store: Store, known: Addresses, sessions: Sessions) -> None:
        self.workspace, self.store, self.known = workspace, store, known
        self.sessions, self.limiter, self.feed = sessions, Limiter(), Feed(store, workspace)
        self.following = Counter[str]()
        loader = ChoiceLoader([FileSystemLoader(HERE / "templates"), PrefixLoader({"report": REPORT})])
        self.pages = Environment(loader=loader, autoescape=True, undefined=StrictUndefined)
        self.pages.filters |= page_filters()
        self.pages.filters |= {"kill_shots": list_kill_shots, "reviews": list_reviews}
        self.pages.filters["plain"] = lambda value: printable(str(value))
        self.pages.filters["brief"] = lambda at: printable(str(at)[:16].replace("T", " "))
        self.pages.filters["money"] = lambda value: "–" if value is None else f"${value:,.2f}"
        self.pages.filters["won"] = lambda value: (
            "–" if value is None else f"{'+' if value >= 0.005 else '−' if value <= -0.005 else ''}${abs(value):,.2f}"
        )
        self.pages.filters |= {
            "age": age,
            "price": price,
            "percent": percent,
            "change": partial(percent, digits=2, sign=True),
        }
        self.pages.filters["number"] = lambda value: "–" if value is None else f"{value:,.10g}"

    def render(self, name: str, status: int = 200, **facts: Any) -> HTMLResponse:
        """Return a page."""
        return HTMLResponse(self.pages.get_template(name).render(name=name, **facts), status)

    # ── entering ────────────────────────────────────────────────────────────────────────────────────────────────────

    def session_of(self, request: Request) -> Session | None:
        """Return the session of a request."""
        return self.sessions.find(request.cookies.get(COOKIE, ""))

    def page(self, handler: Callable[[Request, Session], Awaitable[Response]]) -> Handler:
        """Return `handler` for who has logged in.

        A link in an e-mail comes without the cookie, which is SameSite=Strict: the page then asks once more, from here.
        """

        @wraps(handler)
        async def enter(request: Request) -> Response:
            if (session := self.session_of(request)) is not None:
                return await handler(request, session)
            if "again" not in request.query_params:
                query = f"{request.url.query}&again=1" if request.url.query else "again=1"
                return self.render("again.html", to=f"/{request.url.path.lstrip('/')}?{query}")
            return RedirectResponse(f"/login?to={quote(request.url.path)}", 303)

        return enter

    def changing(self, handler: Callable[[Any, actions.Person], Any]) -> Handler:
        """Return `handler` of a JSON body for who may approve and brings the CSRF header; it is called in a thread."""

        async def enter(request: Request) -> Response:
            session = self.session_of(request)
            if session is None:
                return _refuse(401, "log in again")
            if not secrets.compare_digest(request.headers.get("x-csrf-token", "").encode(), session.csrf.encode()):
                return _refuse(403, "the page is out of date: load it again")
            person = actions.Person(session.name, _address(request))
            if session.role != "approve":
                await anyio.to_thread.run_sync(self._note, person, "refused: may only read", request.url.path)
                return _refuse(403, f"{session.name} may read, not answer")
            try:
                given = json.loads(await request.body())
                json.dumps(given, ensure_ascii=False).encode()  # half a surrogate pair is no text
            except (ValueError, RecursionError):
                return _refuse(400, "the body is not JSON")
            try:
                return JSONResponse(await anyio.to_thread.run_sync(handler, given, person))
            except SimError as error:
                return _refuse(409, actions.tell(error))
            except OverflowError:
                return _refuse(400, "a number is too large")

        return enter

    def _note(self, person: actions.Person, action: str, what: str) -> None:
        actions.record(self.store, person, action, what=what)

    async def login(self, request: Request) -> Response:
        """Answer the form for the token, and the token."""
        to = request.query_params.get("to", "/")
        to = to if to.startswith("/") and not to.startswith("//") and to.isprintable() and "\\" not in to else "/"
        if request.method != "POST":
            return self.render("login.html", to=to, error="")
        # First: between the look at the limit and the note of a wrong try nothing is awaited, or slow bodies pass it.
        given = dict(await _read_form(request))
        address, device = _address(request), find_device(self.workspace, request.cookies.get(DEVICE, ""))
        if (wait := self.limiter.wait_s(address, device)) > 0.0:
            page = self.render("login.html", 429, to=to, error=f"too many tries: wait {wait:.0f} seconds")
            page.headers["retry-after"] = str(int(wait) + 1)
            return page
        token = find_token(self.workspace, given.get("token", "").strip())
        if token is None:
            self.limiter.note(address, device)
        person = actions.Person(token.name if token else "?", address)
        action = actions.LOGGED_IN if token else actions.LOGIN_REFUSED
        with contextlib.suppress(SimError):  # a store that takes nothing keeps nobody from the switches
            await anyio.to_thread.run_sync(self._note, person, action, token.role if token else "")
        if token is None:
            return self.render("login.html", 403, to=to, error="no such token")
        answer = RedirectResponse(to, 303)
        secure = self.known.is_secure
        device = make_device(token)
        answer.set_cookie(DEVICE, device, DEVICE_S, path="/login", httponly=True, samesite="strict", secure=secure)
        answer.set_cookie(COOKIE, self.sessions.begin(token), httponly=True, samesite="strict", secure=secure)
        return answer

    async def logout(self, request: Request) -> Response:
        """End the session."""
        self.sessions.end(request.cookies.get(COOKIE, ""))
        answer = RedirectResponse("/login", 303)
        answer.delete_cookie(COOKIE, httponly=True, samesite="strict", secure=self.known.is_secure)
        return answer

    # ── looking ─────────────────────────────────────────────────────────────────────────────────────────────────────

    def shows(self, template: str, look: Callable[[Workspace, Store], dict[str, Any]]) -> Handler:
        """Return the page of `template` with what `look` finds; a store that is away is told, not hidden."""

        async def show(_request: Request, session: Session) -> Response:
            return await self._show(template, session, partial(look, self.workspace, self.store))

        return self.page(show)

    async def _show(self, template: str, session: Session, look: Callable[[], dict[str, Any]]) -> Response:
        try:
            facts = await anyio.to_thread.run_sync(look)
        except SimError as error:
            return self.render("unreadable.html", 503, session=session, error=str(error))
        return self.render(template, session=session, **facts)

    async def audit(self, request: Request, session: Session) -> Response:
        """Answer with a page of the audit trail: the newest, or those before the place ``before``."""
        given = request.query_params.get("before", "")
        before = int(given) if given.isdecimal() and len(given) < 16 else None
        return await self._show("audit.html", session, partial(audit.look_at_audit, self.store, before))

    async def preview(self, request: Request, _session: Session) -> Response:
        """Answer with what the rules say of a trade as somebody would change it; one line where it cannot be."""
        try:
            id, version, changes = actions.read_preview(request.query_params)
            one, looked = await anyio.to_thread.run_sync(
                lambda: review.preview(self.workspace, read_approvals(self.store), id, version, changes)
            )
        except SimError as error:
            return _refuse(409, actions.tell(error))
        return self.render("preview.html", one=one, looked=looked)

    async def forward(self, request: Request, session: Session) -> Response:
        """Answer with the page of a forward test."""
        run = request.path_params["run"]
        try:
            facts = await anyio.to_thread.run_sync(views.look_at_test, self.workspace, self.store, run)
        except UsageError as error:
            return _refuse(404, printable(error.found))
        except SimError as error:
            return self.render("unreadable.html", 503, session=session, error=str(error))
        return self.render("forward.html", session=session, **facts)

    async def holdings(self, request: Request, _session: Session) -> Response:
        """Answer with what the accounts of a forward test hold, at the prices of this moment."""
        run = request.path_params["run"]
        try:
            facts = await anyio.to_thread.run_sync(views.look_at_holdings, self.workspace, self.store, run)
        except SimError as error:
            return _refuse(503, printable(str(error)))
        return self.render("holdings.html", **facts)

    async def forward_report(self, request: Request, _session: Session) -> Response:
        """Answer with the report of a forward test as of now, in the sandbox of reports."""
        run = request.path_params["run"]
        try:
            page = await anyio.to_thread.run_sync(reports.render_forward, self.workspace, run)
        except SimError as error:
            return _refuse(404, printable(str(error)))
        return reports.serve_page(page)

    async def events(self, request: Request) -> Response:
        """Stream what happens, from ``Last-Event-ID`` on."""
        session = self.session_of(request)
        if session is None:
            return _refuse(401, "log in again")
        if self.following[session.csrf] >= MOST_STREAMS:
            return _refuse(429, f"{MOST_STREAMS} pages of this login are live already: close one, or log in once more")
        last = request.headers.get("last-event-id", request.query_params.get("after", ""))
        after = int(last) if last.isdecimal() and len(last) < 16 else None
        stream = self.feed.follow(after, lambda: self.session_of(request) is not None)
        return _Counted(self.following, session.csrf, stream)

    async def report(self, request: Request, _session: Session) -> Response:
        """Serve a file of a report."""
        path = reports.find_report(self.workspace.reports, request.path_params["path"])
        return _refuse(404, "no such report") if path is None else reports.serve_report(path)

    async def static(self, request: Request) -> Response:
        """Serve a style or script of the app."""
        path = FILES.get(request.path_params["name"])
        if path is None:
            return _refuse(404, "no such file")
        kind = "text/css" if path.suffix == ".css" else "text/javascript"
        return Response(path.read_bytes(), media_type=kind)

    # ── acting ──────────────────────────────────────────────────────────────────────────────────────────────────────

    def answer(self, given: Any, person: actions.Person) -> dict[str, Any]:
        """Answer trades that wait."""
        return {"results": actions.answer_all(self.workspace, self.store, person, actions.read_answers(given))}

    def act(self, given: Any, person: actions.Person) -> dict[str, Any]:
        """Throw a switch."""
        return {"text": actions.act(self.workspace, self.store, person, given if isinstance(given, dict) else {})}

    def put_question(self, given: Any, person: actions.Person) -> dict[str, Any]:
        """Price or ask a question."""
        told = questions.put_question(self.workspace, self.store, person, given if isinstance(given, dict) else {})
        return {"text": told}

    def routes(self) -> list[Route]:
        """Return the paths of the app."""
        return [
            Route("/login", self.login, methods=["GET", "POST"]),
            Route("/logout", self.logout, methods=["POST"]),
            Route("/static/{name}", self.static),
            Route("/events", self.events),
            Route("/", self.shows("overview.html", views.look_over)),
            Route("/approvals", self.shows("approvals.html", views.look_at_approvals)),
            Route("/approvals", self.changing(self.answer), methods=["POST"]),
            Route("/approvals/preview", self.page(self.preview)),
            Route("/act", self.changing(self.act), methods=["POST"]),
            Route("/council", self.shows("council.html", questions.look_at_questions)),
            Route("/council", self.changing(self.put_question), methods=["POST"]),
            Route("/runs", self.shows("runs.html", views.look_at_runs)),
            Route(
                "/forward/index.html", self.page(_show_runs)
            ),  # "All runs" of a report that is made as it is asked for
            Route("/forward/{run}", self.page(self.forward)),
            Route("/forward/{run}/holdings", self.page(self.holdings)),
            Route("/forward/{run}/report.html", self.page(self.forward_report)),
            Route("/audit", self.page(self.audit)),
            Route("/reports/{path:path}", self.page(self.report)),
            *metrics.routes(self.workspace, self.store, self.limiter if self.known.here else None),
        ]


class _Counted(StreamingResponse):
    """Stream of events that counts in `following` until it has ended, however it ends."""

    def __init__(self, following: Counter[str], name: str, stream: AsyncIterator[bytes]) -> None:
        super().__init__(stream, media_type="text/event-stream", headers={"x-accel-buffering": "no"})
        self.following, self.name = following, name
        following[name] += 1

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self.following -= Counter([self.name])  # nothing stays of who is gone


def make_app(workspace: Workspace, store: Store, known: Addresses, sessions: Sessions | None = None) -> Guard:
    """Return the ASGI application of a workspace, behind its guard; `sessions` are those it begins with."""
    desk = Desk(workspace, store, known, sessions or Sessions(workspace))

    async def tell(_request: Request, error: Exception) -> Response:
        return _refuse(503, printable(str(error)))

    return Guard(Starlette(routes=desk.routes(), exception_handlers={SimError: tell}), known)


async def _show_runs(_request: Request, _session: Session) -> Response:
    return RedirectResponse("/runs")


def _refuse(status: int, text: str) -> Response:
    return PlainTextResponse(f"{text}\n", status)


def _address(request: Request) -> str:
    return request.client.host if request.client else "?"


async def _read_form(request: Request) -> list[tuple[str, str]]:
    from urllib.parse import parse_qsl

    with contextlib.suppress(ValueError):
        return parse_qsl((await request.body()).decode("utf-8", "replace"), max_num_fields=10)
    return []
