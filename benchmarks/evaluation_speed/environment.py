"""lm-evaluation-harness in an environment of its own, over this one: torch and transformers are the same for both."""

from __future__ import annotations

import subprocess
import sys
import sysconfig
from pathlib import Path

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "build" / "peers" / "lm-eval"
PACKAGES = ("lm-eval==0.4.13", "accelerate==1.15.0")


def python() -> Path:
    """Its Python, made where it is not there or holds other versions."""
    interpreter, stamp = FOLDER / "bin" / "python", FOLDER / "installed.txt"
    if not stamp.exists() or stamp.read_text() != " ".join(PACKAGES):
        print(f"installing {' and '.join(PACKAGES)}", file=sys.stderr)
        subprocess.run([sys.executable, "-m", "venv", FOLDER], check=True)
        (site,) = (FOLDER / "lib").glob("python*/site-packages")
        (site / "zz_below.pth").write_text(f"import site; site.addsitedir({sysconfig.get_path('purelib')!r})\n")
        subprocess.run([interpreter, "-m", "pip", "install", "--quiet", *PACKAGES], check=True)
        stamp.write_text(" ".join(PACKAGES))
    return interpreter
