"""What deduplication holds: its limit, and a few bytes for each document beside it."""

import tracemalloc

import numpy as np

from textmill.text.dedup import DedupSettings, MinHashSettings, StoredKeys, UnitKeys, find_duplicates
from textmill.text.text_batch import TextBatch

UNIT = 5_000
TEXT = "one text that all of them have"


def stored_units(folder, num_units, num_bands):
    """Keys of documents, every two of which are near duplicates by one band."""
    folder.mkdir()
    rng = np.random.default_rng(1)
    units = []
    for number in range(num_units):
        bands = rng.integers(1, 1 << 63, (num_bands, UNIT), np.uint64)
        bands[0] = np.repeat(bands[0, ::2], 2)
        hashes = rng.integers(0, 1 << 63, (UNIT, 2), np.uint64)
        keys = UnitKeys(hashes, bands, np.full(UNIT, len(TEXT)), np.zeros(UNIT, np.float32), "web")
        keys.write(folder / f"{number}.bin")
        units.append(StoredKeys.open(folder / f"{number}.bin", "web"))
    return units


def peak_of(folder, num_units, memory_limit):
    """The most bytes that are held, those of native arrays apart, which are 8 a document."""
    minhash = MinHashSettings(bands=4)
    units = stored_units(folder, num_units, minhash.bands)
    tracemalloc.start()
    try:
        report = find_duplicates(
            units,
            DedupSettings(minhash=minhash),
            lambda unit, documents: TextBatch.of([TEXT] * len(documents)),
            folder=folder,
            memory_limit=memory_limit,
        )
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert report.near_dropped == num_units * UNIT // 2
    return peak


def test_it_is_the_limit_and_a_few_bytes_a_document(tmp_path):
    limit, few, many = 2 << 20, 4, 16
    peaks = [peak_of(tmp_path / str(num_units), num_units, limit) for num_units in (few, many)]
    assert peaks[0] < limit
    # While a cluster's document is chosen, of each: its number and group, twice, and what it is chosen by, twice.
    assert peaks[1] - peaks[0] < 60 * UNIT * (many - few)
