"""Models from the Hugging Face hub: only what is data, never a pickle.

Of a repository's top folder are taken: safetensors, JSON, Jinja, the tokenizer's files and the licence; or one GGUF
that is named. HF_TOKEN, HF_HOME, HF_ENDPOINT and HF_HUB_OFFLINE mean what they mean to huggingface_hub.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from textmill.base import units
from textmill.base.errors import ConfigError, StorageError, did_you_mean, require_extra
from textmill.base.files import new_folder, sha256_file, storage_errors
from textmill.checkpoint.cache import (
    Bar,
    FileRecord,
    OpenBar,
    Record,
    fetching,
    find_cached,
    folder_of,
    is_file_name,
    is_sound,
    read_record,
    write_record,
)
from textmill.checkpoint.fetch_error import FetchError

_WEIGHTS = re.compile(r"model(-\d+-of-\d+)?\.safetensors")
_SMALL_FILE = re.compile(r"[\w.-]+\.(json|jinja)|tokenizer\.model|[\w.-]+\.tiktoken|LICENSE(\.\w+)?", re.ASCII)
_PICKLE = re.compile(r".*\.(bin|pt|pth|ckpt|pkl)")
_GGUF = re.compile(r"[\w.-]+\.gguf", re.ASCII)
_SPARE_BYTES = 1 << 26  # so that a download does not fill the disk to its last byte


class _Remote(NamedTuple):
    name: str
    num_bytes: int
    sha256: str | None


def fetch_from_hub(name: str, file: str | None, open_bar: OpenBar, on_wait: Callable[[], None]) -> tuple[Path, bool]:
    """See to it that a repository's model is in the cache; returns where it is, and whether it had to be fetched.

    What is there and sound is left alone, without asking the hub. A download that was cut off goes on where it stopped.

    Args:
        name: ``ORG/NAME``.
        file: the one ``*.gguf`` to take; models in safetensors need none.
        open_bar, on_wait: as in ``fetch_model``.

    Raises:
        ConfigError, MissingExtraError, FetchError, StorageError: as ``fetch_model`` does.
    """
    if file is not None and not (is_file_name(file) and _GGUF.fullmatch(file)):
        raise ConfigError(f'--file is "{file}", and must be the name of a GGUF of the repository: NAME.gguf')
    folder = folder_of(name)
    with fetching(name, on_wait):
        is_new = not (is_sound(folder, open_bar) and (file is None or file in read_record(folder).files))
        if is_new:
            _fetch(name, file, folder, open_bar)
    path = find_cached(f"{name}/{file}" if file else name)
    assert path is not None, "it was fetched a moment ago"
    return path, is_new


def _fetch(name: str, file: str | None, folder: Path, open_bar: OpenBar) -> None:
    hub: Any = require_extra("huggingface_hub", "hub", "fetching a model from the Hugging Face hub")
    with _hub_errors(name):
        api = hub.HfApi(endpoint=os.environ.get("HF_ENDPOINT"), library_name="textmill")
        info = api.model_info(name, files_metadata=True)
    wanted = _choose(name, [_remote(each) for each in info.siblings if is_file_name(each.rfilename)], file)
    partial = folder.with_name(f".{folder.name}.partial")
    with storage_errors(partial):
        partial.mkdir(parents=True, exist_ok=True)
    _check_room(partial, sum(remote.num_bytes for remote in wanted))
    with open_bar(f"downloading {name}", sum(remote.num_bytes for remote in wanted)) as bar:
        done, files = 0, {}
        for remote in wanted:
            with _hub_errors(name), _told_to(bar, done) as told:
                api.hf_hub_download(name, remote.name, revision=info.sha, local_dir=partial, tqdm_class=told)
            files[remote.name] = _checked(partial / remote.name, remote, name)
            done += remote.num_bytes
            bar.update(done)
    record = Record(name=name, source=f"Hugging Face hub, {name} at {info.sha}", files=files)
    _put_in_place(record, partial, folder)


def _remote(sibling: Any) -> _Remote:
    lfs = sibling.lfs
    return _Remote(sibling.rfilename, sibling.size or 0, None if lfs is None else lfs.sha256)


def _choose(name: str, files: list[_Remote], file: str | None) -> list[_Remote]:
    """What to take of a repository: the named GGUF, or the files of a model in safetensors."""
    ggufs = [remote.name for remote in files if _GGUF.fullmatch(remote.name)]
    if file is not None:
        if file not in ggufs:
            known = ", ".join(ggufs) or "none"
            raise ConfigError(f'{name} has no file "{file}"{did_you_mean(file, ggufs)} Its GGUF files: {known}')
        return [remote for remote in files if remote.name == file or remote.name.startswith("LICENSE")]
    weights = [remote for remote in files if _WEIGHTS.fullmatch(remote.name)]
    if weights and any(remote.name == "config.json" for remote in files):
        return [remote for remote in files if _SMALL_FILE.fullmatch(remote.name)] + weights
    if ggufs:
        raise ConfigError(f"{name} holds GGUF files; choose one with --file: {', '.join(ggufs)}")
    pickles = [remote.name for remote in files if _PICKLE.fullmatch(remote.name)]
    if pickles:
        raise FetchError(
            f"{name} holds its weights only as pickles ({pickles[0]}), which may run code when they are read. "
            "Take a repository with model.safetensors"
        )
    raise FetchError(f"{name} holds no model: neither config.json and model.safetensors nor a GGUF file")


def _check_room(folder: Path, num_bytes: int) -> None:
    there = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    free = shutil.disk_usage(folder).free
    if num_bytes - there + _SPARE_BYTES > free:
        raise StorageError(
            f"the model takes {units.num_bytes(num_bytes)}, and {folder.parent} has {units.num_bytes(free)} free. "
            "Free some space, or name another cache folder by the environment variable TEXTMILL_CACHE"
        )


@contextlib.contextmanager
def _told_to(bar: Bar, done_before: int) -> Iterator[type]:
    """A progress bar for huggingface_hub that shows nothing itself and tells ours how many bytes have come."""
    from tqdm import tqdm

    done = done_before

    class Told(tqdm):  # type: ignore[type-arg]
        def __init__(self, *arguments: Any, **options: Any) -> None:
            nonlocal done
            done += options.get("initial", 0) or 0
            super().__init__(*arguments, **(options | {"disable": True}))

        def update(self, n: float | None = 1) -> bool | None:
            nonlocal done
            done += int(n or 0)
            bar.update(done)
            return super().update(n)

    yield Told


def _checked(path: Path, remote: _Remote, name: str) -> FileRecord:
    found = FileRecord(num_bytes=path.stat().st_size, sha256=sha256_file(path))
    if found.num_bytes == remote.num_bytes and remote.sha256 in (None, found.sha256):
        return found
    path.unlink()
    is_size = found.num_bytes != remote.num_bytes
    what = f"{found.num_bytes:,} bytes, not {remote.num_bytes:,}" if is_size else "another SHA-256"
    raise FetchError(f"{remote.name} of {name} came with {what}: it is not what the hub names. Fetch it again")


def _put_in_place(record: Record, partial: Path, folder: Path) -> None:
    """Make the downloaded files the model's folder at once; another GGUF that was fetched before stays beside it."""
    is_whole_model = "config.json" in record.files
    before = {} if is_whole_model or not is_sound(folder) else read_record(folder).files
    with new_folder(folder) as unfinished:
        for file in before:
            (unfinished / file).hardlink_to(folder / file)
        for file in record.files:
            (unfinished / file).unlink(missing_ok=True)
            (partial / file).rename(unfinished / file)
        write_record(unfinished, dataclasses.replace(record, files={**before, **record.files}))
    shutil.rmtree(partial, ignore_errors=True)


@contextlib.contextmanager
def _hub_errors(name: str) -> Iterator[None]:
    """Turn what huggingface_hub raises into errors that say what to do."""
    from huggingface_hub import errors

    try:
        yield
    except errors.GatedRepoError as error:
        raise FetchError(
            f"{name} is gated: its owners ask you to accept their terms. Do so at https://huggingface.co/{name}, make "
            "an access token there, and give it in the environment variable HF_TOKEN"
        ) from error
    except errors.RepositoryNotFoundError as error:
        raise FetchError(
            f"the Hugging Face hub has no model {name}, or it is private. Check the name; for a private one give an "
            "access token in the environment variable HF_TOKEN"
        ) from error
    except errors.OfflineModeIsEnabled as error:
        raise FetchError(
            f"cannot fetch {name}: the environment variable HF_HUB_OFFLINE forbids the network. Unset it"
        ) from error
    except errors.HfHubHTTPError as error:
        reason = str(error).splitlines()[0]
        raise FetchError(f"cannot fetch {name}: {reason}. Try again later") from error
    except OSError as error:
        if _is_network(error):
            raise _no_network(name, error) from error
        raise
    except Exception as error:
        if _is_network(error):
            raise _no_network(name, error) from error
        raise


def _is_network(error: BaseException | None) -> bool:
    """Whether an error is of the network, or was caused by one that is; by module, as the client's library changed."""
    while error is not None:
        if type(error).__module__.partition(".")[0] in ("httpx", "httpx2", "httpcore", "httpcore2", "requests"):
            return True
        if isinstance(error, ConnectionError | TimeoutError):
            return True
        error = error.__cause__ or error.__context__
    return False


def _no_network(name: str, error: BaseException) -> FetchError:
    return FetchError(
        f"cannot fetch {name}: the Hugging Face hub cannot be reached ({type(error).__name__}). Check the network; "
        "what has come already is kept, and the same command goes on from there"
    )
