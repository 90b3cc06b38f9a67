"""Where models come from: a folder, or a run and its last good checkpoint."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from textmill.base.errors import DataError
from textmill.checkpoint.store import latest_checkpoint, list_checkpoints


def resolve_model(
    name: str | Path, *, runs: Path = Path("runs"), on_damage: Callable[[DataError], None] | None = None
) -> Path:
    """Find the model folder that a MODEL argument means.

    Args:
        name: a model folder, a checkpoint's folder, a run's folder, or the name of a run under ``runs``.
        runs: where runs lie.
        on_damage: hears of each damaged checkpoint of a run that is passed over.

    Raises:
        DataError: where nothing is found, with what was looked at, or a run has no sound checkpoint.
    """
    looked_at: list[str] = []
    for folder in dict.fromkeys((Path(name).expanduser(), runs / name)):
        if folder.suffix == ".gguf":
            raise DataError(
                f"{folder} is a GGUF file, which this release cannot run yet: it comes with the native engine. "
                "Take the model as a Hugging Face folder (config.json, model.safetensors, tokenizer.json)"
            )
        if (folder / "checkpoints").is_dir():
            return _last_checkpoint(folder, on_damage)
        if (folder / "config.json").is_file():
            return folder
        looked_at.append(_what_is_there(folder))
    raise DataError(
        f'no model "{name}": {"; ".join(looked_at)}. A model is a folder with config.json, model.safetensors and '
        "tokenizer.json, or a run that has a checkpoint; names to download from come with `textmill model get`, "
        "which this release does not have yet"
    )


def _last_checkpoint(run_folder: Path, on_damage: Callable[[DataError], None] | None) -> Path:
    damage: list[str] = []

    def note(error: DataError) -> None:
        damage.append(str(error))
        if on_damage is not None:
            on_damage(error)

    folder = latest_checkpoint(run_folder, note)
    if folder is not None:
        return folder
    if damage:
        raise DataError(f"every checkpoint of {run_folder} is damaged: {'; '.join(damage)}")
    assert not list_checkpoints(run_folder)
    raise DataError(f"the run {run_folder} has no checkpoint yet; let it reach one, or resume it")


def _what_is_there(folder: Path) -> str:
    if folder.is_dir():
        return f"{folder} has neither config.json nor checkpoints"
    return f"{folder} is a file, not a folder" if folder.exists() else f"{folder} does not exist"
