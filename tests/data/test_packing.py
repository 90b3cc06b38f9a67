"""Packing tables: every token of a set once, in rows that a look-up finds, made once and never for another set."""

import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fakes.token_set import token_set
from textmill.base.errors import ConfigError, DataError
from textmill.data import array_file, packing
from textmill.data.fill_in_the_middle import FillInTheMiddle
from textmill.data.packing import open_packing_table
from textmill.data.packing_table import PackingTable, find_packing_tables

FIM = FillInTheMiddle(rate=0.5, prefix_id=70_001, suffix_id=70_002, middle_id=70_003)


def all_pieces(table):
    pieces = table.pieces(np.arange(table.num_rows))
    return pieces, np.diff(pieces.row_pieces)


@settings(deadline=None, max_examples=25)
@given(
    lengths=st.lists(st.integers(1, 90), min_size=1, max_size=60),
    context=st.integers(4, 70),
    window_documents=st.sampled_from([1, 3, 16, 1 << 16]),
    window_tokens=st.sampled_from([1, 50, 1 << 27]),
    fill=st.sampled_from([None, FIM]),
)
def test_every_token_is_in_one_row(tmp_path_factory, *, lengths, context, window_documents, window_tokens, fill):
    """For windows of any size, and no row is too long."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(packing, "WINDOW_DOCUMENTS", window_documents)
        patch.setattr(packing, "WINDOW_TOKENS", window_tokens)
        shards = token_set(tmp_path_factory.mktemp("set"), lengths, file_documents=7)
        table = open_packing_table(shards, context, seed=3, fill_in_the_middle=fill)
    pieces, counts = all_pieces(table)
    held = np.concatenate([np.arange(p, p + n) for p, n in zip(pieces.places, pieces.lengths, strict=True)])
    assert sorted(held.tolist()) == list(range(sum(lengths)))
    sizes = np.add.reduceat(pieces.lengths + 3 * pieces.is_reordered, pieces.row_pieces[:-1])
    assert sizes.max() <= context
    figures = table.figures
    assert (figures.num_rows, figures.num_pieces) == (len(counts), counts.sum())
    assert figures.num_tokens == sizes.sum()
    assert figures.num_padding == len(counts) * context - sizes.sum()
    room = np.array([context - 3 * reordered for reordered in table_choice(shards, fill)])
    assert figures.num_cut == (np.array(lengths) > room).sum()


def table_choice(shards, fill):
    documents = np.arange(shards.manifest.num_documents)
    return np.zeros(len(documents), bool) if fill is None else fill.chosen(documents, 3, shards.manifest.source)


def test_rows_are_found_one_by_one_as_together(tmp_path):
    shards = token_set(tmp_path, [30, 5, 17, 40, 8, 2, 2, 61] * 20)
    table = open_packing_table(shards, 32)
    whole, _ = all_pieces(table)
    for row in (0, 7, table.num_rows - 1):
        alone = table.pieces(np.array([row]))
        chosen = slice(whole.row_pieces[row], whole.row_pieces[row + 1])
        assert alone.places.tolist() == whole.places[chosen].tolist()
        assert alone.lengths.tolist() == whole.lengths[chosen].tolist()


def test_a_table_is_made_once_and_again_for_another_set(tmp_path):
    shards = token_set(tmp_path, [30, 5, 17])
    open_packing_table(shards, 16)
    path = tmp_path / "packing-16.bin"
    before = path.stat().st_mtime_ns, path.read_bytes()
    open_packing_table(shards, 16)
    assert path.stat().st_mtime_ns == before[0]
    longer = token_set(tmp_path, [30, 5, 17, 9])
    assert open_packing_table(longer, 16).figures.num_tokens == 61
    path.unlink()
    again = token_set(tmp_path, [30, 5, 17])
    open_packing_table(again, 16)
    assert path.read_bytes() == before[1]
    assert [table.figures.context for table in find_packing_tables(tmp_path)[0]] == [16]


def test_a_table_is_made_in_the_memory_of_a_window(tmp_path, monkeypatch):
    """Four times as many documents take no more, but for a checksum of 8 bytes for each 4 KiB of the table."""
    monkeypatch.setattr(packing, "WINDOW_DOCUMENTS", 2_000)
    monkeypatch.setattr(array_file, "_IN_MEMORY_BYTES", 1 << 14)
    monkeypatch.setattr(array_file, "_COPY_BYTES", 1 << 14)
    peaks = []
    for num_documents in (20_000, 80_000):
        shards = token_set(tmp_path / str(num_documents), [3, 17, 8, 30] * (num_documents // 4))
        tracemalloc.start()
        open_packing_table(shards, 32)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < peaks[0] + (1 << 14)


def test_a_folder_that_cannot_be_written(tmp_path, monkeypatch):
    shards = token_set(tmp_path / "set", [30, 5, 17])
    write = packing.write_packing_table

    def refuse(path, *arguments, **options):
        if path.parent == tmp_path / "set":
            raise PermissionError(13, "Permission denied")
        write(path, *arguments, **options)

    monkeypatch.setattr(packing, "write_packing_table", refuse)
    table = open_packing_table(shards, 16, cache=tmp_path / "cache")
    assert table.figures.num_tokens == 52
    assert [path.name for path in (tmp_path / "cache").iterdir()] == [f"{shards.manifest_sha256[:16]}-packing-16.bin"]
    with pytest.raises(PermissionError):
        open_packing_table(shards, 17)


def test_a_damaged_table_is_refused_before_it_is_used(tmp_path):
    shards = token_set(tmp_path, [30, 5, 17] * 300)
    rows = np.arange(open_packing_table(shards, 16).num_rows)
    path = tmp_path / "packing-16.bin"
    data = path.read_bytes()
    for byte in range(0, len(data), 97):
        damaged = bytearray(data)
        damaged[byte] ^= 8
        path.write_bytes(damaged)
        with pytest.raises(DataError, match=r"packing-16.bin is .*remove it"):
            PackingTable(path).pieces(rows)
            PackingTable(path)._file.check_all()


@pytest.mark.parametrize("context", [3, 1 << 21])
def test_contexts_out_of_bounds(tmp_path, context):
    with pytest.raises(ConfigError, match="packing takes 4 to 2,097,151"):
        open_packing_table(token_set(tmp_path, [5]), context)
