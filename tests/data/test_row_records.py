"""What a batch was made of can be told of any step, and is what the batch holds."""

import numpy as np
import pytest

from fakes.token_set import token_set
from textmill.data.fill_in_the_middle import FillInTheMiddle
from textmill.data.loader import BatchLoader
from textmill.data.row_records import describe

FIM = FillInTheMiddle(rate=0.5, prefix_id=70_001, suffix_id=70_002, middle_id=70_003)


@pytest.mark.parametrize("way", ["concat", "masks", "best-fit", "fim"])
def test_records_are_what_the_rows_hold(tmp_path, way):
    sets = {
        "a": token_set(tmp_path / "a", [30, 5, 17, 40, 1] * 9, file_documents=4, source="a", with_names=True),
        "b": token_set(tmp_path / "b", [64] * 9, source="b"),
    }
    options = {
        "concat": {},
        "masks": {"document_masks": True},
        "best-fit": {"packing": "best-fit", "document_masks": True},
        "fim": {"packing": "best-fit", "fill_in_the_middle": FIM},
    }[way]
    loader = BatchLoader(sets, {"a": 0.7, "b": 0.3}, rows=8, context=20, seed=1, **options)
    for step in (0, 3, 900):
        batch = loader.batch(step)
        records = describe(loader, step)
        assert [record.row for record in records] == list(range(8))
        assert tuple(record.source for record in records) == batch.sources
        for record in records:
            shards = sets[record.source]
            told = []
            for document in record.documents:
                start = shards.index.span(document.number)[0] + document.start
                told += shards.tokens(start, start + document.length).tolist()
                data = (shards.folder / document.file).read_bytes()
                assert np.frombuffer(data, "<u4", 1, document.byte)[0] == shards.tokens(start, start + 1)[0]
                assert document.name == (f"doc{document.number}" if record.source == "a" else None)
            held = batch.targets[record.row]
            held = held[(held != -100) & (held < 70_000)]
            assert sorted(told) == sorted(held.tolist())
            if way != "fim":
                assert told == held.tolist()


def test_epochs_are_counted(tmp_path):
    loader = BatchLoader({"a": token_set(tmp_path, [30] * 5)}, {"a": 1}, rows=1, context=30, seed=1, packing="best-fit")
    assert [describe(loader, step)[0].epoch for step in (0, 4, 5, 99)] == [0, 0, 1, 19]
