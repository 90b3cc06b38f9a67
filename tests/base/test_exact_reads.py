"""What is read is whole, or the error says how many bytes there are and what to do."""

import numpy as np
import pytest

from textmill.base.errors import DataError
from textmill.base.exact_reads import fill, read_errors


def test_an_array_of_any_shape_is_filled_from_any_place(tmp_path):
    numbers = np.arange(24, dtype=np.int64)
    (tmp_path / "numbers").write_bytes(numbers.tobytes())
    with (tmp_path / "numbers").open("rb") as file:
        for shape, begin in (((2, 3), 8), ((1,), 184), ((0,), 192), ((0, 3), 0), ((24,), 0)):
            array = np.empty(shape, np.int64)
            fill(array, file, begin)
            assert array.ravel().tolist() == numbers[begin // 8 : begin // 8 + array.size].tolist()


@pytest.mark.parametrize("begin", [0, 3, 4, 100])
def test_a_file_that_ends_before_is_told_with_both_numbers(tmp_path, begin):
    path = tmp_path / "short"
    path.write_bytes(b"1234")
    message = rf"short is damaged \(4 bytes, and {begin + 5} are needed\); start again"
    with pytest.raises(DataError, match=message), read_errors(path, "start again"), path.open("rb") as file:
        fill(np.empty(5, np.uint8), file, begin)


def test_a_file_that_is_gone_is_told(tmp_path):
    path = tmp_path / "gone"
    message = "cannot read .*gone: no such file or directory; start again"
    with pytest.raises(DataError, match=message), read_errors(path, "start again"):
        path.open("rb")
