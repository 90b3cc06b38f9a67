"""Every place where an evaluation item was found, in one file beside the shard sets."""

from __future__ import annotations

import json
from pathlib import Path

from textmill.base.files import new_file
from textmill.data.read_stage import Units
from textmill.data.unit_report import CONTAMINATION
from textmill.data.work_folder import WorkFolder


def write_contamination(path: Path, work: WorkFolder, units: Units) -> None:
    """Put what units found into one file of JSON lines, each with its source; no file where nothing was found."""
    files = [(name, work.read / name / unit / CONTAMINATION) for name, names in units.items() for unit in names]
    files = [(name, file) for name, file in files if file.is_file()]
    if not files:
        path.unlink(missing_ok=True)
        return
    with new_file(path) as out:
        for name, file in files:
            with file.open(encoding="utf-8") as lines:
                for line in lines:
                    out.write((json.dumps({"source": name} | json.loads(line), ensure_ascii=False) + "\n").encode())
