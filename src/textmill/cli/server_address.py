"""The address of a server that speaks OpenAI's API, as it is typed: ``http://localhost:8000/v1#model``."""

from __future__ import annotations

import dataclasses
import ipaddress
import os
from urllib.parse import unquote, urlsplit

from textmill.base.errors import ConfigError

SCHEMES = ("http://", "https://")
KEY_VARIABLES = ("TEXTMILL_API_KEY", "OPENAI_API_KEY")
# Where clients of other programs were told the address of a call and not that of the server.
_CALLS = ("/chat/completions", "/completions", "/models")


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class ServerAddress:
    """Where a server is, which of its models is meant, and the key that opens it.

    Attributes:
        is_tls: whether it is spoken to over TLS.
        host: a name or an address, without brackets.
        port: of TCP.
        path: what its calls begin with, as ``/v1``.
        model: the name of a model, or None for the only one.
        key: goes as a bearer token; None sends none. It is shown nowhere.
    """

    is_tls: bool
    host: str
    port: int
    path: str
    model: str | None
    key: str | None = dataclasses.field(repr=False)

    @classmethod
    def parse(cls, text: str) -> ServerAddress:
        """Read an address; ``/v1`` is its path where it has none, and the key comes from the environment.

        Raises:
            ConfigError: it is no such address, or the key cannot stand in a header.
        """
        try:
            url = urlsplit(text)
            host, port = url.hostname, url.port
        except ValueError as error:
            raise ConfigError(f'"{text}" is no address of a server: {error}') from error
        if f"{url.scheme}://" not in SCHEMES or not host:
            raise ConfigError(f'"{text}" is no address of a server, such as http://localhost:8000')
        if "@" in url.netloc:
            raise ConfigError(f"a key does not stand in the address of {host}: set {KEY_VARIABLES[0]} to it")
        path = url.path.rstrip("/")
        for call in _CALLS:
            path = path.removesuffix(call)
        if url.query or not _is_printable(path) or not _is_printable(host):
            raise ConfigError(f'"{text}" is no address of a server: give host, port and path only')
        is_tls = url.scheme == "https"
        return cls(
            is_tls=is_tls,
            host=host,
            port=port or (443 if is_tls else 80),
            path=path or "/v1",
            model=unquote(url.fragment) or None,
            key=_key(),
        )

    @property
    def root(self) -> str:
        """The address as it is shown, without model and key."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        port = "" if self.port == (443 if self.is_tls else 80) else f":{self.port}"
        return f"{SCHEMES[self.is_tls]}{host}{port}{self.path}"

    @property
    def is_this_machine(self) -> bool:
        """Whether what is sent there stays on this machine."""
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost" or self.host.endswith(".localhost")


def _key() -> str | None:
    for name in KEY_VARIABLES:
        key = os.environ.get(name, "").strip()
        if key:
            if not _is_printable(key):
                raise ConfigError(f"{name} is no key: it holds spaces, control characters or letters beyond ASCII")
            return key
    return None


def _is_printable(text: str) -> bool:
    return text.isascii() and text.isprintable() and " " not in text
