"""What lies on the disk while a checkpoint is saved, and what a run that is killed there goes on from."""

from __future__ import annotations

import contextlib
import re
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

import numpy as np

from drawing import INK, SOFT, Figure
from textmill.base import files
from textmill.checkpoint import image_file, store
from textmill.train.chart import COLOURS

_WHEN = {
    "mid-tensor": "tensors are being written",
    "before-fsync": "written, and not flushed",
    "before-rename": "all is on the disk",
    "after-rename": "it has its name",
    "during-prune": "the old one is hidden",
}
_STEPS = (1000, 2000)
_ROW = 40


@dataclass(frozen=True, slots=True)
class _Look:
    """Of each step's folder whether it has its name (None: it is not there); and the step that a resume takes."""

    is_named: dict[int, bool]
    resumed: int


def moments() -> Figure:
    """Step 2,000 is saved and step 1,000 removed: the folder at each failpoint."""
    looks = _looks()
    figure = Figure("Folders of two checkpoints at each moment of a save", 66 + _ROW * len(looks))
    for x, title in ((250, "step-00001000"), (410, "step-00002000"), (570, "a resume takes")):
        figure.text(x + 65, 28, title, anchor="middle", fill=SOFT)
    for row, (name, look) in enumerate(looks.items()):
        y = 42 + row * _ROW
        figure.text(236, y + 20, _WHEN[name], anchor="end")
        for column, step in enumerate(_STEPS):
            if step in look.is_named:
                _folder(figure, 250 + column * 160, y, is_named=look.is_named[step])
        figure.text(635, y + 20, f"step {look.resumed:,}", anchor="middle")
    return figure


def _folder(figure: Figure, x: float, y: float, *, is_named: bool) -> None:
    if is_named:
        figure.box(x, y, 130, 28, fill="#c4e8dc", stroke=COLOURS[2])
    else:
        corners = [(x, y), (x + 130, y), (x + 130, y + 28), (x, y + 28), (x, y)]
        figure.line(corners, stroke=SOFT, width=1, dash="4 3")
    figure.text(x + 65, y + 19, "whole" if is_named else "hidden", size=12, anchor="middle", fill=INK)


def _looks() -> dict[str, _Look]:
    """The last look at each failpoint, in the order of the first."""
    looks: dict[str, _Look] = {}
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as patches:
        run = Path(folder)
        _save(run, _STEPS[0])

        def look(name: str) -> None:
            looks[name.removeprefix("checkpoint:")] = _look(run)

        for module in (files, image_file, store):
            patches.enter_context(_heard(module, look))
        _save(run, _STEPS[1])
        store.prune(run, keep=1)
    return looks


def _save(run: Path, step: int) -> None:
    tensors = {"weight": np.zeros((4, 4), np.float32)}
    store.save_checkpoint(run, step, model=tensors, optimizer=tensors, state={})


def _heard(module: object, hear: Callable[[str], None]) -> contextlib.AbstractContextManager[object]:
    return mock.patch.object(module, "failpoint", hear)


def _look(run: Path) -> _Look:
    names = [path.name for path in (run / "checkpoints").iterdir()]
    found = {int(re.findall(r"step-(\d+)", name)[0]): not name.startswith(".") for name in names}
    latest = store.latest_checkpoint(run)
    assert latest is not None
    return _Look(found, store.step_of(latest))
