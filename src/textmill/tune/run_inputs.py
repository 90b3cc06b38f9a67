"""What a run of tuning was begun with, so that a resume goes on with the same: hashes and the time, in ``inputs.json``.

The time is for chat templates that write the date: what they write has to be the same on another day.
"""

from __future__ import annotations

import datetime
import hashlib
import json
from collections.abc import Callable
from pathlib import Path

from textmill.base.errors import DataError
from textmill.base.files import write_file
from textmill.tune.base_model import BaseModel
from textmill.tune.chat_tokens import ChatTokens
from textmill.tune.preference_tokens import Pair
from textmill.tune.questions import Question
from textmill.tune.tuning_data import TuningData

INPUTS = "inputs.json"

Data = TuningData[ChatTokens] | TuningData[Pair] | TuningData[Question]


def keep_inputs(run: Path, base: BaseModel, data: Data, reward_sha256: str | None, began: datetime.datetime) -> None:
    """Write down what a run begins with, and when."""
    table = {
        "model": base.fingerprint["values_sha256"],
        "data": _hash(data),
        "reward": reward_sha256,
        "began": began.isoformat(),
    }
    write_file(run / INPUTS, json.dumps(table, indent=2) + "\n")


def began_at(run: Path) -> datetime.datetime:
    """When a run began.

    Raises:
        DataError: the record is damaged.
    """
    return _kept(run)[3]


def check_inputs(run: Path, base: BaseModel, data: Data, reward_sha256: str | None, say: Callable[[str], None]) -> None:
    """Compare what a run goes on with to what it began with; a reward may have been mended, which is told.

    Raises:
        DataError: model or data are others, or the record is damaged.
    """
    model, began_with, reward, _ = _kept(run)
    if model != base.fingerprint["values_sha256"]:
        raise DataError(
            f"{base.stored.path} is not the model that {run} began with: its weights are others; bring it back, or "
            "start another run with --set run.dir=FOLDER"
        )
    if began_with != _hash(data):
        raise DataError(
            f"the data are not those that {run} began with (hash {_hash(data)[:12]}, and it was {began_with[:12]}); "
            "bring them back, or start another run with --set run.dir=FOLDER"
        )
    if reward != reward_sha256:
        say("the reward's file has changed since the run began; from here on answers are graded by what it is now")


def _kept(run: Path) -> tuple[str, str, str | None, datetime.datetime]:
    try:
        kept = json.loads((run / INPUTS).read_text(encoding="utf-8"))
        return kept["model"], kept["data"], kept["reward"], datetime.datetime.fromisoformat(kept["began"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(
            f"{run / INPUTS} is missing or damaged ({error}); start the run again in another folder"
        ) from error


def _hash(data: Data) -> str:
    digest = hashlib.sha256()
    for items in (data.learned, data.held_out):
        digest.update(len(items).to_bytes(8, "little"))
        for item in items:
            digest.update(_bytes_of(item))
    return digest.hexdigest()


def _bytes_of(item: ChatTokens | Pair | Question) -> bytes:
    if isinstance(item, Question):
        return json.dumps([item.ids, item.prompt, item.record], sort_keys=True).encode() + b"\n"
    arrays = item.to_arrays()
    return b"".join(len(array).to_bytes(8, "little") + array.astype("<i4").tobytes() for array in arrays)
