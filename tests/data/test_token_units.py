"""Units of tokens: what a disk without room leaves of them."""

import contextlib
from pathlib import Path

import numpy as np
import pytest

from fakes.small_files import small_files
from textmill import Tokenizer
from textmill.base.errors import StorageError
from textmill.data.kept_batch import KeptBatch
from textmill.data.token_units import TokenSettings, TokenWriter, read_part
from textmill.text.text_batch import TextBatch


@pytest.fixture
def settings(tmp_path):
    tokenizer = Tokenizer.train(
        iter(["some words and some more words"]), vocab_size=270, special_tokens=["<|endoftext|>"]
    )
    tokenizer.save(tmp_path / "tokenizer.json")
    return TokenSettings(
        tokenizer=str(tmp_path / "tokenizer.json"),
        tokenizer_sha256=tokenizer.sha256,
        document_end=tokenizer.special_tokens["<|endoftext|>"],
        holdout="documents",
        fraction=0.5,
    )


def write(folder, settings):
    folder.mkdir()
    texts = TextBatch.of([f"some words and {number}" for number in range(200)])
    names = TextBatch.of([f"{number}.txt" for number in range(200)])
    with TokenWriter(folder, settings, 1) as writer:
        writer.add(KeptBatch(texts, names, np.zeros(200, np.float32)))


def open_below(folder):
    """The files below a folder that this process has open."""
    places = []
    for path in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(OSError):  # the listing's own
            places.append(path.readlink())
    return [place for place in places if place.is_relative_to(folder)]


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="this system does not list open files")
def test_after_a_full_disk_no_file_is_open(tmp_path, settings):
    """Whichever write fails, the last ones too, which are made as the unit ends."""
    write(tmp_path / "whole", settings)
    largest = max(path.stat().st_size for path in (tmp_path / "whole").iterdir())
    assert read_part(tmp_path / "whole", "train").file.num_documents > 50
    for num_bytes in range(0, largest, max(1, largest // 12)):
        folder = tmp_path / str(num_bytes)
        with pytest.raises(StorageError, match="Free some space") as raised, small_files(num_bytes):
            write(folder, settings)
        assert open_below(folder) == [], num_bytes
        assert raised.value.__traceback__ is not None
