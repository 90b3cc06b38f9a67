"""``textmill doctor``: what this machine and this installation have, to read and to put into a bug report."""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
import platform
import shutil
import sys
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from textmill import __version__
from textmill.base import units
from textmill.cli.output import Output

_PARTS = {
    "torch": ("train", "training, and running models on other devices than the CPU"),
    "uvicorn": ("serve", "serving"),
    "pyarrow": ("data", "reading .parquet"),
    "huggingface_hub": ("hub", "fetching models"),
}
_CPU_FEATURES = (
    "avx2",
    "fma",
    "f16c",
    "avx_vnni",
    "avx512f",
    "avx512_vnni",
    "avx512_bf16",
    "amx_int8",
    "amx_bf16",
    "asimd",
    "bf16",
)


def doctor(*, json: Annotated[bool, Parameter(negative="")] = False) -> int:
    """Show what this machine and this installation have; exit code 1 where something essential is broken.

    For example:
        textmill doctor
        textmill doctor --json     for a bug report

    Parameters
    ----------
    json
        Print everything as JSON.
    """
    output = Output()
    facts = examine()
    if json:
        output.json(facts)
    else:
        for line in _lines(facts):
            output.data(line)
    return 1 if facts["problems"] else 0


def examine() -> dict[str, Any]:
    """Collect the facts: versions, the processor, memory, disk, optional parts, and what is wrong."""
    from textmill.checkpoint.cache import cached_names, models_folder
    from textmill.model import machine

    problems = []
    try:
        importlib.import_module("textmill.tokenizer.tokenizer")
        core = "ok"
    except ImportError as error:
        core = f"missing: {error}"
        problems.append(
            "the C++ core cannot be imported; install textmill again: pip install --force-reinstall textmill"
        )
    return {
        "textmill": __version__,
        "python": platform.python_version(),
        "executable": sys.executable,
        "platform": platform.platform(),
        "core": core,
        "cpu": {"cores": machine.num_cores(), "model": _cpu_field("model name"), "features": _cpu_features()},
        "memory_bytes": machine.memory().total,
        "memory_available_bytes": machine.memory().available,
        "disk_free_bytes": shutil.disk_usage(Path.cwd()).free,
        "models": {"folder": str(models_folder()), "fetched": cached_names()},
        "packages": {name: _version(name) for name in ("numpy", "cyclopts", "jinja2", "regex", *_PARTS)},
        "torch": _torch(problems) if importlib.util.find_spec("torch") else None,
        "problems": problems,
    }


def _lines(facts: dict[str, Any]) -> list[str]:
    cpu = facts["cpu"]
    lines = [
        f"textmill {facts['textmill']}, core {facts['core']}",
        f"python   {facts['python']} ({facts['executable']})",
        f"machine  {facts['platform']}",
        f"cpu      {cpu['cores']} cores, {cpu['model'] or 'unknown'}; {' '.join(cpu['features'])}",
        f"memory   {units.num_bytes(facts['memory_bytes'])}, {units.num_bytes(facts['memory_available_bytes'])} free",
        f"disk     {units.num_bytes(facts['disk_free_bytes'])} free here",
        f"models   {', '.join(facts['models']['fetched']) or 'none'} in {facts['models']['folder']}",
    ]
    for name, (extra, purpose) in _PARTS.items():
        version = facts["packages"][name]
        found = version or f"not installed; for {purpose}: pip install 'textmill[{extra}]'"
        lines.append(f"{name:<16} {found}")
    if facts["torch"]:
        torch = facts["torch"]
        lines.append(f"torch sees {torch['threads']} threads, CUDA {torch['cuda'] or 'none'}")
    lines.extend(f"problem: {problem}" for problem in facts["problems"])
    if not facts["problems"]:
        lines.append("all is well; next: textmill demo")
    return lines


def _torch(problems: list[str]) -> dict[str, Any] | None:
    try:
        torch: Any = importlib.import_module("torch")
    except (ImportError, OSError) as error:
        problems.append(f"torch is installed and cannot be imported: {error}; install it again")
        return None
    return {
        "version": torch.__version__,
        "threads": torch.get_num_threads(),
        "cuda": [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())],
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
    }


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _cpu_field(name: str) -> str:
    path = Path("/proc/cpuinfo")
    for line in path.read_text().splitlines() if path.is_file() else ():
        key, _, value = line.partition(":")
        if key.strip().lower() == name:
            return value.strip()
    return platform.processor()


def _cpu_features() -> list[str]:
    flags = set((_cpu_field("flags") or _cpu_field("features")).split())
    return [feature for feature in _CPU_FEATURES if feature in flags]
