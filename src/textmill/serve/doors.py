"""Who may come in: names of the server, keys, and pages of other origins."""

from __future__ import annotations

import hashlib
import hmac
import ipaddress

from textmill.serve.api_error import ApiError, Header
from textmill.serve.exchange import Exchange
from textmill.serve.settings import Settings

_LOCAL_NAMES = {"localhost", "127.0.0.1", "::1", "0:0:0:0:0:0:0:1"}


def check_host(exchange: Exchange, settings: Settings) -> None:
    """Refuse a call by a foreign name, where the server listens on the loopback only.

    A page in a browser can have its own name lead to 127.0.0.1 (DNS rebinding), but cannot change the Host header.
    """
    if not is_loopback(settings.host):
        return
    hosts = exchange.headers(b"host")
    name = _host_name(hosts[0].decode("latin-1")) if len(hosts) == 1 else ""
    known = _LOCAL_NAMES | {settings.host.lower(), *(host.lower() for host in settings.allowed_hosts)}
    if name not in known:
        raise ApiError(
            403,
            f'the server was called "{name[:100]}", and listens on {settings.host} for this machine only. Start it '
            "with --allow-host NAME where a proxy calls it so",
            code="host_not_allowed",
        )


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches an address."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def _host_name(host: str) -> str:
    """The name of a Host header: without its port, an IPv6 address without its brackets."""
    if host.startswith("["):
        return host[1:].partition("]")[0].lower()
    return host.partition(":")[0].lower()


def check_origin(exchange: Exchange, settings: Settings) -> None:
    """Refuse what a page of another origin has a browser send, unless its origin is allowed.

    Browsers send a POST of plain text without asking first; the page could not read the answer, but it would be made.
    They tell of it themselves (Fetch Metadata), and programs that are no browsers do not.
    """
    if exchange.method in ("GET", "HEAD", "OPTIONS") or cors_headers(exchange, settings):
        return
    if exchange.header(b"sec-fetch-site") in ("cross-site", "same-site"):
        raise ApiError(
            403,
            f'a page of "{exchange.header(b"origin")[:100]}" had a browser send this. Start the server with '
            "--cors-origin ORIGIN where it may",
            code="origin_not_allowed",
        )


def check_key(exchange: Exchange, settings: Settings) -> None:
    """Refuse who has no key, where keys are set; say whose the request is."""
    scheme, _, key = exchange.header(b"authorization").partition(" ")
    key = key.strip() if scheme.lower() == "bearer" else ""
    given = key.encode("latin-1", "replace")
    # All of them are compared, so that the time says nothing of which one is near.
    is_known = [hmac.compare_digest(given, known.encode()) for known in settings.keys]
    if settings.keys and not any(is_known):
        raise ApiError(
            401,
            "this server wants a key: send it as Authorization: Bearer KEY" if not key else "the key is not known here",
            code="invalid_api_key",
            headers=[(b"www-authenticate", b"Bearer")],
        )
    whose = key if settings.keys else f"{exchange.peer} {key}"
    exchange.client = hashlib.blake2b(whose.encode("utf-8", "replace"), digest_size=8).hexdigest()


def cors_headers(exchange: Exchange, settings: Settings) -> list[Header]:
    """What a browser is told about a page of another origin; nothing, unless that is allowed."""
    origin = exchange.header(b"origin")
    if not origin or not settings.cors_origins:
        return []
    if "*" in settings.cors_origins:
        allowed = "*"
    elif origin in settings.cors_origins:
        allowed = origin
    else:
        return []
    return [
        (b"access-control-allow-origin", allowed.encode("latin-1")),
        (b"access-control-expose-headers", b"x-request-id, retry-after"),
        (b"vary", b"origin"),
    ]


async def answer_preflight(exchange: Exchange) -> None:
    """Allow what the API needs."""
    asked = exchange.headers(b"access-control-request-headers")
    await exchange.respond(
        204,
        b"",
        [
            (b"access-control-allow-methods", b"GET, POST, OPTIONS"),
            (b"access-control-allow-headers", asked[0] if len(asked) == 1 else b"authorization, content-type"),
            (b"access-control-max-age", b"600"),
        ],
    )
