"""``textmill studio``: a page on this machine that shows what is inside."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from textmill.base.errors import ConfigError, require_extra
from textmill.cli.arguments import WholeNumber
from textmill.cli.output import Output

_NEEDED = ("uvicorn", "httptools", "msgspec", "prometheus_client")


def studio(
    subject: list[str] | None = None,
    /,
    *,
    port: WholeNumber = 8642,
    open_browser: Annotated[bool, Parameter(name="--open", negative="--no-open")] = True,
    runs: Path = Path("runs"),
) -> int:
    """See inside tokenizers, models and runs, in a browser.

    For example:
        textmill studio                         an example, and the runs in ./runs
        textmill studio runs/mine               how a run goes, and its model
        textmill studio smollm2-135m-instruct   chat, attention, positions, tokens
        textmill studio tokenizer.json qwen3/   two tokenizers, side by side

    Only this machine reaches the page, and nothing leaves it. The page's address
    goes to standard output; Ctrl-C ends it.

    Parameters
    ----------
    subject
        Runs, models and tokenizers, in any order: a run's folder or name, a model folder, a .gguf file, a name from
        `textmill model get`, a tokenizer's file. The page opens on the first. Fetched models and the runs of --runs
        are there anyway.
    port
        The port to listen on; 0 takes a free one.
    open_browser
        Open the page in a browser.
    runs
        The folder whose runs are shown.
    """
    for module in _NEEDED:
        require_extra(module, "serve", "textmill studio")
    from textmill.serve.server import address_of, listen
    from textmill.studio import pages, server
    from textmill.studio.subjects import Subjects

    out = Output()
    if not 0 <= port < 1 << 16:
        raise ConfigError(f"--port is {port}, and must be 0 to 65535")
    subjects = Subjects(subject or (), runs)
    sock = listen(server.HOST, port)
    address = address_of(sock, server.HOST)

    def ready() -> None:
        out.data(address)
        if not pages.is_built():
            out.warning(pages.MISSING)
        elif open_browser:
            _open(address, out)

    return server.run(sock, subjects, ready)


def _open(address: str, out: Output) -> None:
    """Open the page, where there is a screen to open it on: elsewhere a browser would take over the terminal."""
    import webbrowser

    has_screen = sys.platform in ("darwin", "win32") or os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    if not (has_screen and webbrowser.open(address)):
        out.hint(f"open {address} in a browser")
