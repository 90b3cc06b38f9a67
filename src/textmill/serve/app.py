"""The ASGI application: from a request to its route, and every error to a body that OpenAI's clients read."""

from __future__ import annotations

import asyncio
import re
import secrets
import traceback
from collections.abc import Awaitable, Callable
from typing import NamedTuple

from textmill.serve import plain_routes
from textmill.serve.access_log import AccessLog
from textmill.serve.api_error import ApiError
from textmill.serve.chat import chat_completions
from textmill.serve.completions import completions
from textmill.serve.doors import answer_preflight, check_host, check_key, check_origin, cors_headers
from textmill.serve.embeddings import embeddings
from textmill.serve.exchange import Exchange, GoneError, Receive, Scope, Send
from textmill.serve.service import Service


class Route(NamedTuple):
    """What answers a path.

    Attributes:
        method: the one that it takes; ``GET`` takes ``HEAD``, too.
        answer: reads the request and writes the response.
        needs_key: whether it stands behind the door, where keys are set.
        needs_model: whether it waits for models.
    """

    method: str
    answer: Callable[[Service, Exchange], Awaitable[None]]
    needs_key: bool = True
    needs_model: bool = True


ROUTES = {
    "/v1/chat/completions": Route("POST", chat_completions),
    "/v1/completions": Route("POST", completions),
    "/v1/embeddings": Route("POST", embeddings),
    "/v1/models": Route("GET", plain_routes.models),
    "/tokenize": Route("POST", plain_routes.tokenize),
    "/detokenize": Route("POST", plain_routes.detokenize),
    "/health": Route("GET", plain_routes.health, needs_key=False, needs_model=False),
    "/metrics": Route("GET", plain_routes.metrics, needs_model=False),
    "/openapi.json": Route("GET", plain_routes.openapi, needs_model=False),
}
_ONE_MODEL = Route("GET", plain_routes.one_model)
# Visible ASCII: what any log and any header can hold.
_REQUEST_ID = re.compile(r"[!-~]{1,128}")
_GONE = 499  # nginx's word for a client that went away


class App:
    """Serves one ``Service``."""

    def __init__(self, service: Service, log: AccessLog) -> None:
        self._service = service
        self._log = log

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        assert scope["type"] == "http", "the server speaks HTTP only"
        exchange = Exchange(
            scope, receive, send, request_id=_request_id(scope), logs_text=self._service.settings.log_prompts
        )
        route = _route(exchange.path)
        try:
            await self._answer(exchange, route)
        except GoneError:
            exchange.status = _GONE
        except ApiError as error:
            await self._refuse(exchange, error)
        except asyncio.CancelledError:  # the server ends, and this request was not done in time
            exchange.facts["error"] = "the server ended"
            exchange.break_off()
        except Exception as error:  # noqa: BLE001  the last net: a bug is one request's, and is told in the log
            self._log.event("bug", request_id=exchange.id, traceback=traceback.format_exc())
            await self._refuse(exchange, ApiError(500, f"{type(error).__name__} in the server; its log says where"))
        path = exchange.path if exchange.path in ROUTES else plain_routes.MODEL_PATH if route else "other"
        self._service.metrics.count_response(exchange.method if route else "other", path, exchange.status)
        self._log.write(exchange)

    async def _answer(self, exchange: Exchange, route: Route | None) -> None:
        settings = self._service.settings
        check_host(exchange, settings)
        check_origin(exchange, settings)
        cors = cors_headers(exchange, settings)
        exchange.extra_headers += cors
        if cors and exchange.method == "OPTIONS":
            await answer_preflight(exchange)
            return
        if route is None or route.needs_key:
            check_key(exchange, settings)
        if route is None:
            raise ApiError(404, f"there is no {exchange.path[:200]} here; /openapi.json says what is", code="not_found")
        if (exchange.method if exchange.method != "HEAD" else "GET") != route.method:
            raise ApiError(
                405,
                f"{exchange.path[:200]} takes {route.method}, and this is {exchange.method}",
                code="method_not_allowed",
                headers=[(b"allow", route.method.encode())],
            )
        if route.needs_model:
            plain_routes.check_ready(self._service)
        await route.answer(self._service, exchange)

    async def _refuse(self, exchange: Exchange, error: ApiError) -> None:
        exchange.note_error(error)
        if exchange.status:  # half of a response is no response
            exchange.break_off()
            return
        await exchange.respond_error(error)


def _route(path: str) -> Route | None:
    if path.startswith(plain_routes.MODEL_PATH) and len(path) > len(plain_routes.MODEL_PATH):
        return _ONE_MODEL
    return ROUTES.get(path)


def _request_id(scope: Scope) -> str:
    """The client's own, where it can stand in a header and in a log; else a new one."""
    for name, value in scope["headers"]:
        if name == b"x-request-id":
            text = value.decode("latin-1")
            if _REQUEST_ID.fullmatch(text):
                return text
    return secrets.token_hex(12)
