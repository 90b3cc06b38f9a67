"""Tasks in processes of this machine."""

import time

import pytest

from textmill.base.errors import DataError
from textmill.data.engines.local import LocalEngine


def fail_or_write(path):
    if path is None:
        raise DataError("a task failed")
    time.sleep(0.5)
    path.write_text("done")


def test_when_an_error_is_raised_no_task_is_at_work_any_more(tmp_path):
    engine = LocalEngine(2)
    list(engine.run(time.sleep, [0.1, 0.1], lambda: None))  # both processes are there
    paths = [tmp_path / f"{number}" for number in range(20)]
    with pytest.raises(DataError, match="a task failed"):
        list(engine.run(fail_or_write, [paths[0], None, *paths[1:]], lambda: None))
    written = sorted(tmp_path.iterdir())
    assert 0 < len(written) < len(paths)
    time.sleep(0.7)
    assert sorted(tmp_path.iterdir()) == written
    engine.close()
