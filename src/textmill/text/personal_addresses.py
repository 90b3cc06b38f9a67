"""E-mail and public IP addresses, found and masked; time grows with the text, whatever is in it."""

from __future__ import annotations

import ipaddress
import re

# Reserved for examples: RFC 2606, RFC 5737 and RFC 3849.
EMAIL = "email@example.com"
IPV4 = "192.0.2.1"
IPV6 = "2001:db8::1"

# RFC 5321 §4.5.3.1: an address has at most 64 bytes before the @, and 255 behind it.
_MAX_LOCAL, _MAX_DOMAIN = 64, 255
_ATOM = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+"
_LOCAL = re.compile(rf"(?:{_ATOM}\.)*{_ATOM}")
_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_DOMAIN = re.compile(rf"(?:{_LABEL}\.)+[A-Za-z](?:[A-Za-z0-9-]{{0,61}}[A-Za-z0-9])")
_JOINED = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~.-]*")

_BYTE = r"(?:25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])"
# No part of a longer row of numbers, as in versions.
_IPV4 = re.compile(rf"(?<![0-9A-Za-z_])(?<![0-9]\.)(?:{_BYTE}\.){{3}}{_BYTE}(?![0-9A-Za-z_]|\.[0-9])")
# Public ones are all in 2000::/3. What is no address, as a row of times, does not parse.
_IPV6 = re.compile(r"(?<![0-9A-Za-z_:.])[23][0-9A-Fa-f]{3}:[0-9A-Fa-f:]{1,34}(?![0-9A-Za-z_]|\.[0-9])")


def mask_emails(text: str) -> tuple[str, int]:
    """Replace e-mail addresses by ``EMAIL``; returns the text and how many there were.

    Addresses with nothing between them that ends a name are one: where the next begins, nobody can tell.
    """
    parts: list[str] = []
    count = end = 0
    at = text.find("@")
    while at >= 0:
        span = _email_around(text, at, end)
        if span is not None:
            if not (parts and _JOINED.fullmatch(text, end, span[0])):
                parts += [text[end : span[0]], EMAIL]
                count += text[span[0] : span[1]] != EMAIL
            end = span[1]
        at = text.find("@", at + 1)
    return "".join([*parts, text[end:]]), count


def mask_ips(text: str) -> tuple[str, int]:
    """Replace public IPv4 and IPv6 addresses by ``IPV4`` and ``IPV6``; returns the text and how many there were."""
    text, num_ipv4 = _mask_matches(_IPV4, IPV4, text)
    text, num_ipv6 = _mask_matches(_IPV6, IPV6, text)
    return text, num_ipv4 + num_ipv6


def _email_around(text: str, at: int, least: int) -> tuple[int, int] | None:
    """Find the address whose @ is at a place and that begins at ``least`` or later; returns its begin and end."""
    local = _LOCAL.match(text[max(least, at - _MAX_LOCAL) : at][::-1])
    domain = _DOMAIN.match(text, at + 1, at + 1 + _MAX_DOMAIN)
    if local is None or domain is None:
        return None
    num_symbols = len(local[0]) - len(local[0].rstrip("!#$%&'*+/=?^`{|}~-."))  # reversed: those it begins with
    begin = at - local.end() + num_symbols
    return None if begin == at else (begin, domain.end())


def _mask_matches(pattern: re.Pattern[str], mask: str, text: str) -> tuple[str, int]:
    count = 0

    def replaced(match: re.Match[str]) -> str:
        nonlocal count
        if not _is_public(match[0].rstrip(":")):
            return match[0]
        count += 1
        return mask + match[0][len(match[0].rstrip(":")) :]

    return pattern.sub(replaced, text), count


def _is_public(address: str) -> bool:
    try:
        return ipaddress.ip_address(address).is_global
    except ValueError:
        return False
