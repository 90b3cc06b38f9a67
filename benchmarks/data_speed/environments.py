"""Environments of other projects below build/peers, which are made when they are first needed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from data_speed.places import PEERS

VERSIONS = {"datatrove": "0.10.1", "datasketch": "2.0.0", "rensa": "0.5.0"}
ENVIRONMENTS = {
    "libs": [f"rensa=={VERSIONS['rensa']}", f"datasketch=={VERSIONS['datasketch']}"],
    "datatrove": [f"datatrove[io,processing]=={VERSIONS['datatrove']}", "spacy"],
}
# This Python, with the packages that it sees now.
PYTHON = [sys.executable, *(["-S"] if sys.flags.no_site else [])]


def environment_python(environment: str) -> Path:
    """The Python of an environment, made where it is not there or holds other versions."""
    folder = PEERS / environment
    python, stamp = folder / "bin" / "python", folder / "installed.txt"
    wanted = " ".join(ENVIRONMENTS[environment])
    if not stamp.exists() or stamp.read_text() != wanted:
        print(f"installing {wanted}", file=sys.stderr)
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", *ENVIRONMENTS[environment]], check=True)
        stamp.write_text(wanted)
    return python
