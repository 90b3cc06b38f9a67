"""What a server is told when it is started."""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Settings:
    """Limits and doors of a server; times in seconds.

    Attributes:
        host: the address or name that it listens on.
        port: 0 lets the system choose one.
        keys: any of them opens the door; none set: any key does, and none.
        allowed_hosts: names by which clients may call it besides its own, where it listens on the loopback only.
        cors_origins: pages that browsers may call it from; ``*`` is any.
        max_queue: answers that may wait, beside those that are being made.
        max_body_bytes: of a request.
        timeout_s: a request may take in all; clients may ask for less.
        drain_s: what runs may go on for so long when the server is told to stop.
        log_prompts: write what was asked and answered into the log.
        metrics_prefix: of the names of metrics; vLLM's, for which dashboards exist.
    """

    host: str = "127.0.0.1"
    port: int = 8000
    keys: tuple[str, ...] = ()
    allowed_hosts: tuple[str, ...] = ()
    cors_origins: tuple[str, ...] = ()
    max_queue: int = 256
    max_body_bytes: int = 4 << 20
    timeout_s: float = 600.0
    drain_s: float = 30.0
    log_prompts: bool = False
    metrics_prefix: str = "vllm:"
