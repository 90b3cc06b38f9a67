"""Errors as OpenAI's clients read them: a status and ``{"error": {"message", "type", "code", "param"}}``."""

from __future__ import annotations

import re
from collections.abc import Sequence

import msgspec

from textmill.base.errors import ConfigError, TextmillError

Header = tuple[bytes, bytes]

# What OpenAI calls them, and for 503 llama.cpp.
_TYPES = {
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    429: "rate_limit_error",
    500: "server_error",
    503: "unavailable_error",
}
_OPTION = re.compile(r"([a-z_]+)(?:\[\d+\])?(?: of \S+)? (?:is|has|must|are) ")
# What the engine calls otherwise than clients do.
_CLIENTS_NAMES = {"stop_ids": "stop_token_ids"}
_SHOWN_MAX = 1000


class ApiError(Exception):
    """What a client is told instead of an answer."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        code: str | None = None,
        param: str | None = None,
        headers: Sequence[Header] = (),
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message if len(message) <= _SHOWN_MAX else f"{message[:_SHOWN_MAX]} ..."
        self.code = code
        self.param = param
        self.headers = headers

    def to_json(self) -> bytes:
        """The body of the response, which is also an event of a stream that breaks off."""
        error = {
            "message": self.message.encode(errors="replace").decode(),
            "type": _TYPES.get(self.status, "invalid_request_error"),
            "param": self.param,
            "code": self.code,
        }
        return msgspec.json.encode({"error": error})


def of_request(error: TextmillError, param: str | None = None) -> ApiError:
    """What a client is told where the library refuses what was asked: the library's own words, which say the fix."""
    message = str(error)
    code = "context_length_exceeded" if "context" in message and "tokens" in message else None
    named = _OPTION.match(message)
    name = named and _CLIENTS_NAMES.get(named[1], named[1])
    if named and name:
        message = name + message[named.end(1) :]
    if code is not None:  # by these words of OpenAI's, clients know that a model with a longer one may answer
        message = f"This model's maximum context length is exceeded: {message}"
    return ApiError(400, message, code=code, param=param or name)


def of_engine(error: BaseException) -> ApiError:
    """What a client is told where making an answer failed: through what it asked for, as with a grammar, or not."""
    if isinstance(error, ConfigError):
        return of_request(error)
    return ApiError(500, str(error) if isinstance(error, TextmillError) else f"{type(error).__name__}: {error}")
