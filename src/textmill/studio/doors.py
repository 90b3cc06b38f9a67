"""Who may call the studio: pages of its own, by a name of this machine. And what its own page may do."""

from __future__ import annotations

from textmill.serve.api_error import ApiError, Header
from textmill.serve.exchange import Exchange

_NAMES = {"127.0.0.1", "localhost", "[::1]"}
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; font-src 'self'; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_ANOTHER = "the studio answers its own page only, and another one called it"
SAFETY: tuple[Header, ...] = (
    (b"content-security-policy", _POLICY.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
)
"""Headers of every response: nothing is loaded from elsewhere or sent there, and no script stands in a page."""


def check(exchange: Exchange) -> None:
    """Refuse a call by a foreign name, and one that another page makes.

    A page in a browser can have its own name lead to 127.0.0.1 (DNS rebinding), but cannot change the Host header; and
    it can call 127.0.0.1, but not change the Origin.

    Raises:
        ApiError: it is refused.
    """
    hosts = exchange.headers(b"host")
    host = hosts[0].decode("latin-1").lower() if len(hosts) == 1 else ""
    name, _, port = host.rpartition(":")
    if (name if name and port.isdigit() else host) not in _NAMES:
        raise ApiError(
            403,
            f'the studio was called "{host[:100]}", and answers by the names of this machine only: open '
            "http://127.0.0.1 with its port",
            code="host_not_allowed",
        )
    origins = exchange.headers(b"origin")
    if origins and [origin.decode("latin-1").lower() for origin in origins] != [f"http://{host}"]:
        raise ApiError(403, _ANOTHER, code="origin_not_allowed")
    if exchange.header(b"sec-fetch-site") in ("cross-site", "same-site") and exchange.path.startswith("/api/"):
        raise ApiError(403, _ANOTHER, code="origin_not_allowed")
    if exchange.method == "POST" and exchange.header(b"content-type").partition(";")[0].strip() != "application/json":
        raise ApiError(400, "a POST must have Content-Type: application/json", code="content_type")
