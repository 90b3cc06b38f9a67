import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from textmill.text.reading import SourceInput, cut_units, list_files, read_chain
from textmill.text.reading.numbered_names import numbered_names


@given(st.binary(max_size=5), st.lists(st.integers(0, 10**15), max_size=20))
def test_names_are_prefix_and_number(prefix, numbers):
    names = numbered_names(prefix, np.array(numbers, np.int64))
    assert list(names) == [prefix + str(number).encode() for number in numbers]


def test_all_names_of_a_batch_at_once_are_those_one_by_one(tmp_path):
    (tmp_path / "a.jsonl").write_text('{"text": "x"}\n' * 120)
    (tmp_path / "b.txt").write_text("some text")
    (tmp_path / "c.jsonl").write_text('{"text": "y"}\n\n{"text": "z"}\n')
    source = SourceInput(path=str(tmp_path))
    for unit in cut_units(list_files(source)):
        for reading in read_chain(unit, source, on_bad=print):
            for batch in reading.batches:
                assert batch.names().texts() == batch.ids()
                assert batch.ids()[-2:] == ["c.jsonl:1", "c.jsonl:3"]
