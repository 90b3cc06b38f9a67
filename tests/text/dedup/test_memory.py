"""What deduplication holds: its limit, and a few bytes for each document beside it."""

import tracemalloc

import numpy as np

from textmill.text.dedup import DedupSettings, MinHashSettings, StoredKeys, UnitKeys, find_duplicates
from textmill.text.text_batch import TextBatch

UNIT = 5_000
TEXT = "one text that all of them have"


def stored_units(folder, num_units, num_bands, num_shared):
    """Keys of documents, every two of which share those of some bands."""
    folder.mkdir()
    rng = np.random.default_rng(1)
    units = []
    for number in range(num_units):
        bands = rng.integers(1, 1 << 63, (num_bands, UNIT), np.uint64)
        bands[:num_shared] = np.repeat(bands[:num_shared, ::2], 2, axis=1)
        hashes = rng.integers(0, 1 << 63, (UNIT, 2), np.uint64)
        keys = UnitKeys(hashes, bands, np.full(UNIT, len(TEXT)), np.zeros(UNIT, np.float32), "web")
        keys.write(folder / f"{number}.bin")
        units.append(StoredKeys.open(folder / f"{number}.bin", "web"))
    return units


def peak_of(folder, num_units, memory_limit, text_of=lambda unit, document: TEXT, num_shared=1):
    """The most bytes that are held, those of native arrays apart, which are 8 a document; and how many are dropped."""
    minhash = MinHashSettings(bands=4)
    units = stored_units(folder, num_units, minhash.bands, num_shared)
    tracemalloc.start()
    try:
        report = find_duplicates(
            units,
            DedupSettings(minhash=minhash),
            lambda unit, documents: TextBatch.of([text_of(unit, document) for document in documents.tolist()]),
            folder=folder,
            memory_limit=memory_limit,
        )
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    return peak, report.near_dropped


def test_it_is_the_limit_and_a_few_bytes_a_document(tmp_path):
    limit, few, many = 2 << 20, 4, 16
    peaks, dropped = zip(
        *(peak_of(tmp_path / str(num_units), num_units, limit) for num_units in (few, many)), strict=True
    )
    assert dropped == (few * UNIT // 2, many * UNIT // 2)
    assert peaks[0] < limit
    # While a cluster's document is chosen, of each: its number and group, twice, and what it is chosen by, twice.
    assert peaks[1] - peaks[0] < 60 * UNIT * (many - few)


def test_groups_whose_documents_are_unlike_take_no_more(tmp_path):
    """Two groups a document are refused, whose next leaders took 32 bytes of it, and 64 more while some were added."""
    few, many = 4, 16

    def unlike(unit, document):
        return f"number {document} of {unit}"

    peaks, dropped = zip(
        *(peak_of(tmp_path / str(num), num, 2 << 20, unlike, num_shared=4) for num in (few, many)), strict=True
    )
    assert dropped == (0, 0)
    assert peaks[1] - peaks[0] < 16 * UNIT * (many - few)
