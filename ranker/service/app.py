"""The doors: /search, /rerank, /embed, /health, and the page on /.

The event loop reads, checks and answers; models run in threads, as many at a time as the machine has cores. A request
beyond WAITING is refused at once, because it would only wait.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import anyio
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route

from ranker.common.errors import LONGEST, InputError, one_line
from ranker.service.answers import Served, embed, find, rerank
from ranker.service.requests import Body, Embed, Find, Rerank, checked, once, read

LARGEST = 2**22  # bytes of a body
SECONDS = 10  # for a body to arrive
WAITING = 64  # requests that wait for a thread
DOORS = "/, /search, /rerank, /embed and /health"
PAGE = Path(__file__).with_name("page.html")
OWN = {  # the page loads nothing, asks this server alone, and stands in no frame
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; "
    "connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}

Answer = Callable[[Served, Any], Any]


def application(served: Served, at_a_time: int, hosts: list[str], is_late: Callable[[], bool]) -> Starlette:
    """The doors over `served`. `at_a_time` requests run; once `is_late`, those that wait are refused.

    Only requests to `hosts` are answered, names of this machine, because a page from elsewhere whose name leads to this
    machine (DNS rebinding) could read the documents otherwise; `*` is any.
    """
    threads = Threads(at_a_time, is_late)

    def door(kind: type[Body], answer: Answer) -> Callable[[Request], Any]:
        async def endpoint(request: Request) -> Response:
            options = options_of(request)
            if request.method == "POST" and options:
                raise InputError(f"address: expected options in the body alone, found {next(iter(options))}")
            if request.method == "POST":
                asked = read(kind, await body_of(request))
            else:
                asked = checked(kind, options, strings=True)
            return await threads.run(request, lambda: JSONResponse(answer(served, asked)))

        return endpoint

    async def health(_: Request) -> Response:
        return JSONResponse({"status": "ok", **served.about})

    async def page(_: Request) -> Response:
        return HTMLResponse(await anyio.to_thread.run_sync(PAGE.read_text, "utf-8"), headers=OWN)

    rerank_door = door(Rerank, rerank)
    routes = [
        Route("/", page),
        Route("/health", health),
        Route("/search", door(Find, find), methods=["GET", "POST"]),
        *(Route(path, rerank_door, methods=["POST"]) for path in ("/rerank", "/v1/rerank", "/v2/rerank")),
        Route("/embed", door(Embed, embed), methods=["POST"]),
    ]
    handlers: dict[Any, Any] = {InputError: _refused, HTTPException: _failed, Exception: _broken}
    middleware = [Middleware(TrustedHostMiddleware, allowed_hosts=hosts, www_redirect=False)]
    app = Starlette(routes=routes, exception_handlers=handlers, middleware=middleware)
    app.router.redirect_slashes = False  # few clients send a body twice
    return app


class Threads:
    """A number of requests at a time, in the order in which they came.

    HTTPException 429 if too many wait; when a request's turn comes, 503 if `is_late`, and 400 if its client has gone.
    """

    def __init__(self, at_a_time: int, is_late: Callable[[], bool]) -> None:
        self.at_a_time, self.is_late = at_a_time, is_late
        self.limiter: anyio.CapacityLimiter | None = None

    async def run(self, request: Request, answer: Callable[[], Response]) -> Response:
        limiter = self.limiter = self.limiter or anyio.CapacityLimiter(self.at_a_time)  # needs a running loop
        if limiter.statistics().tasks_waiting >= WAITING:
            raise HTTPException(429, f"expected at most {WAITING} requests that wait", {"Retry-After": "1"})
        async with limiter:
            if self.is_late():
                raise HTTPException(503, "this server stops")
            if await request.is_disconnected():
                raise HTTPException(400, "this client has gone")
            return await anyio.to_thread.run_sync(answer, limiter=anyio.CapacityLimiter(1))


def options_of(request: Request) -> dict[str, str]:
    """The options in a request's address; InputError if one stands twice or is no UTF-8."""
    try:
        text = request.scope["query_string"].decode("ascii")
        found = parse_qsl(text, keep_blank_values=True, errors="strict", separator="&")
    except UnicodeDecodeError as error:
        raise InputError(f"address: expected UTF-8, found {error.object[error.start : error.end]!r}") from error
    return once(found)


async def body_of(request: Request) -> bytes:
    """A request's body; HTTPException if it is too large or too slow."""
    parts, size = list[bytes](), 0
    try:
        with anyio.fail_after(SECONDS):
            async for part in request.stream():
                parts.append(part)
                if (size := size + len(part)) > LARGEST:
                    raise HTTPException(413, f"body: expected at most {LARGEST} bytes, found more")
    except TimeoutError as error:
        raise HTTPException(408, f"body: expected within {SECONDS} seconds, found {size} bytes") from error
    except ClientDisconnect as error:
        raise HTTPException(400, "body: expected whole, found its beginning") from error
    return b"".join(parts)


async def _refused(_: Request, error: Exception) -> Response:
    return JSONResponse({"error": one_line(str(error))[:LONGEST]}, 422)


async def _failed(request: Request, error: HTTPException) -> Response:
    found = f"{request.method} {one_line(request.url.path)[:100]}"
    told = {404: f"expected one of {DOORS}, found {found}", 405: f"expected another method, found {found}"}
    return JSONResponse({"error": told.get(error.status_code, error.detail)}, error.status_code, error.headers)


async def _broken(_: Request, error: Exception) -> Response:
    return JSONResponse({"error": "this server failed; its own output says why"}, 500)
