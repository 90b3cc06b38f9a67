"""Debian packages as folders of text: fetched with apt-get and unpacked without root."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

from tokenizer_speed.places import CORPORA

ENGLISH = (
    "python3.11-doc",
    "linux-doc-6.1",
    "dict-gcide",
    "manpages",
    "manpages-dev",
    "libreoffice-help-en-us",
    "postgresql-doc-15",
    "perl-doc",
)
MULTILINGUAL = (
    "manpages-de",
    "manpages-fr",
    "manpages-ja",
    "manpages-pl",
    "manpages-ru",
    "manpages-zh",
    "libreoffice-help-ru",
    "libreoffice-help-zh-cn",
    "libreoffice-help-ja",
)
LINUX = "linux-source-6.1"
SOURCE_SUFFIXES = (".c", ".h", ".S", ".rst", ".txt", ".py", ".sh", ".dts", ".dtsi", ".yaml")


def unpack(name: str) -> Path:
    """Fetch a package, where that has not been done, and return the folder of its files."""
    folder = CORPORA / "unpacked" / name
    if not folder.is_dir():
        part = _empty(folder)
        subprocess.run(["dpkg-deb", "-x", _download(name), part], check=True)
        part.rename(folder)
    return folder


def unpack_linux() -> Path:
    """Fetch Linux and return the folder of its sources; the package holds them as an archive."""
    folder = CORPORA / "unpacked" / LINUX
    if not folder.is_dir():
        part = _empty(folder)
        patterns = " ".join(f"'*{suffix}'" for suffix in SOURCE_SUFFIXES)
        command = (
            f"dpkg-deb --fsys-tarfile '{_download(LINUX)}' | tar -xO ./usr/src/{LINUX}.tar.xz | "
            f"tar -xJ --strip-components=1 -C '{part}' --wildcards {patterns}"
        )
        subprocess.run(["bash", "-o", "pipefail", "-c", command], check=True)
        part.rename(folder)
    return folder


def versions() -> dict[str, str]:
    """Name the version of each package that was fetched."""
    packages = sorted((CORPORA / "debs").glob("*.deb"))
    parts = [package.name.split("_") for package in packages]
    return {name: version.replace("%3a", ":") for name, version, _ in parts}


def _empty(folder: Path) -> Path:
    """Return an empty folder beside another, so that an unpacking that was broken off leaves nothing half there."""
    part = folder.with_name(f"{folder.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    return part


def _download(name: str) -> Path:
    debs = CORPORA / "debs"
    debs.mkdir(parents=True, exist_ok=True)
    if not list(debs.glob(f"{name}_*.deb")):
        print(f"fetching {name}")
        result = subprocess.run(["apt-get", "download", name], cwd=debs, capture_output=True, text=True)
        if result.returncode:
            sys.exit(f"apt-get cannot download {name} (the corpora need Debian 12): {result.stderr.strip()}")
    return next(debs.glob(f"{name}_*.deb"))
