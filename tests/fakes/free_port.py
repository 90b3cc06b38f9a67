"""Ports for servers that are told theirs before they start."""

import itertools
import os
import socket

# Linux gives no port below 32768 to who asks for any, so one that is free stays so until its server takes it. Processes
# that test side by side begin at different places.
_PORTS = itertools.count(20_000 + os.getpid() * 61 % 12_000)


def free_port():
    """A port of this machine on which nobody listens."""
    return next(port for port in _PORTS if _is_free(port))


def _is_free(port):
    with socket.socket() as one:
        try:
            one.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True
