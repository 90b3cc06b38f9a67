"""What parts of a benchmark measured, kept as JSON with when and where: each can be measured again by itself."""

from __future__ import annotations

import dataclasses
import datetime
import json
import os
from collections.abc import Iterable, Iterator
from itertools import groupby
from pathlib import Path
from typing import Any

from machine import machine

_FLAGS = ("avx2", "avx512f", "avx512bw")
Records = dict[str, dict[str, Any]]


def record(figures: Any, *, load: float, rounds: int, time_s: float) -> dict[str, Any]:
    """Say beside figures when and where they were measured, and how busy the machine was before."""
    date = f"{datetime.datetime.now(datetime.UTC):%Y-%m-%d}"
    return {
        "date": date,
        "machine": _machine(),
        "load": load,
        "rounds": rounds,
        "time_s": time_s,
        "figures": figures,
    }


def keep(folder: Path, part: str, measured: dict[str, Any]) -> None:
    """Write a part's record."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{part}.json").write_text(json.dumps(measured, indent=1) + "\n")


def keep_whole(path: Path, figures: Any) -> None:
    """Write all figures of all rounds down, for whoever wants more than medians."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(figures, indent=1, default=dataclasses.asdict) + "\n")


def kept(folder: Path, parts: Iterable[str]) -> Records:
    """Read the records of all parts that are there."""
    paths = {part: folder / f"{part}.json" for part in parts}
    return {part: json.loads(path.read_text()) for part, path in paths.items() if path.is_file()}


def origin(records: Records, parts: Iterable[str]) -> str:
    """Say when and where each part ran, and which did not."""
    lines = []
    for name in dict.fromkeys(each["machine"] for each in records.values()):
        own = {part: each for part, each in records.items() if each["machine"] == name}
        lines.append(f"{name} {'; '.join(_runs(own))}.\n")
    missing = [part for part in parts if part not in records]
    return "".join([*lines, f"Not measured: {', '.join(missing)}.\n" if missing else ""])


def _runs(records: Records) -> Iterator[str]:
    """Name the parts that ran alike: the day, the rounds, and how busy the machine was before."""
    for alike, of in groupby(records, lambda part: [records[part][key] for key in ("date", "load", "rounds")]):
        date, load, rounds = alike
        yield f"{date}, load {load:.1f} before, {rounds} round{'s' if rounds != 1 else ''}: {', '.join(of)}"


def _machine() -> str:
    memory_bytes = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return f"{machine(_FLAGS).removesuffix('.')}, {memory_bytes / 2**30:.0f} GiB of memory."
