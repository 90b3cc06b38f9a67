"""The ASGI application of the studio: doors, the API, the page; every error as the page reads it."""

from __future__ import annotations

import logging
import secrets

from textmill.base.errors import DataError, TextmillError
from textmill.serve.api_error import ApiError, of_request
from textmill.serve.exchange import Exchange, GoneError, Receive, Scope, Send
from textmill.studio import doors, pages, routes

_log = logging.getLogger(__name__)


class App:
    """Serves one ``Desk``."""

    def __init__(self, desk: routes.Desk) -> None:
        self._desk = desk

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        assert scope["type"] == "http", "the studio speaks HTTP only"
        exchange = Exchange(scope, receive, send, request_id=secrets.token_hex(8))
        exchange.extra_headers += doors.SAFETY
        try:
            await self._answer(exchange, scope)
        except GoneError:
            exchange.break_off()
        except ApiError as error:
            await _refuse(exchange, error)
        except TextmillError as error:
            await _refuse(exchange, _told(error))
        except Exception as error:  # noqa: BLE001  the last net: a bug is one request's, and is told in the log
            _log.exception("%s %s failed", exchange.method, exchange.path)
            await _refuse(exchange, ApiError(500, f"{type(error).__name__}: {error}. This is a bug in textmill"))

    async def _answer(self, exchange: Exchange, scope: Scope) -> None:
        doors.check(exchange)
        if exchange.path.startswith("/api/"):
            exchange.extra_headers.append((b"cache-control", b"no-store"))
            await routes.respond(self._desk, exchange, scope.get("query_string", b"").decode("latin-1"))
        elif exchange.method in ("GET", "HEAD"):
            await pages.respond_page(exchange)
        else:
            raise ApiError(405, f"a page takes GET, and this is {exchange.method[:20]}", code="method_not_allowed")


def _told(error: TextmillError) -> ApiError:
    """What the page is told where the library refuses: a name that is not there is a page's 404."""
    if isinstance(error, DataError) and str(error).startswith("there is no "):
        return ApiError(404, str(error), code="not_found")
    return of_request(error)


async def _refuse(exchange: Exchange, error: ApiError) -> None:
    if exchange.status:  # half of a response is no response
        exchange.break_off()
        return
    await exchange.respond_error(error)
