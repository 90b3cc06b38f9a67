"""The page's files, as they were built into ``dist``; or a page that says how to get them."""

from __future__ import annotations

import hashlib
import mimetypes
from pathlib import Path

from textmill.serve.api_error import ApiError, Header
from textmill.serve.exchange import Exchange

DIST = Path(__file__).parent / "dist"
# The build puts a hash into the names of what lies there.
_HASHED = "/assets/"
_TYPES = {
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".json": "application/json",
    ".svg": "image/svg+xml",
    ".woff2": "font/woff2",
}
MISSING = """the page of the studio has not been built: it comes with the wheel, and in a checkout with `make studio` \
(which needs Node 20.19 or newer). The API is here all the same: /api/session"""
_MISSING_PAGE = f"""<!doctype html>
<html lang="en"><meta charset="utf-8"><title>textmill studio</title>
<h1>textmill studio</h1><p>{MISSING.replace("`make studio`", "<code>make studio</code>")}.</p></html>
"""


def is_built(dist: Path = DIST) -> bool:
    """Whether there is a page."""
    return (dist / "index.html").is_file()


async def respond_page(exchange: Exchange, dist: Path = DIST) -> None:
    """Answer with a file of the page; any path that is no file's is one of its views.

    Raises:
        ApiError: there is no such file.
    """
    path = exchange.path
    file = _file(dist, path)
    if file is None and not path.rpartition("/")[2].count("."):
        file = _file(dist, "/index.html")
        if file is None:
            await exchange.respond(503, _MISSING_PAGE.encode(), [(b"content-type", b"text/html; charset=utf-8")])
            return
    if file is None:
        raise ApiError(404, f"there is no {path[:200]} here", code="not_found")
    data = file.read_bytes()
    tag = f'"{hashlib.blake2b(data, digest_size=12).hexdigest()}"'.encode()
    kept = b"public, max-age=31536000, immutable" if path.startswith(_HASHED) else b"no-cache"
    headers: list[Header] = [(b"etag", tag), (b"cache-control", kept)]
    if exchange.header(b"if-none-match").encode("latin-1") == tag:
        await exchange.respond(304, b"", headers)
        return
    kind = _TYPES.get(file.suffix) or mimetypes.guess_type(file.name)[0] or "application/octet-stream"
    await exchange.respond(200, data, [(b"content-type", kind.encode()), *headers])


def _file(dist: Path, path: str) -> Path | None:
    """The file of a path below ``dist``, and nothing outside of it."""
    parts = path.strip("/").split("/")
    if any(part in ("", "..", ".") or "\\" in part or "\0" in part for part in parts):
        return None
    file = dist.joinpath(*parts)
    return file if file.is_file() and file.resolve().is_relative_to(dist.resolve()) else None
