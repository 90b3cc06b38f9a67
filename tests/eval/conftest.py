import json

import pytest

from fakes.tiny_model import write_model
from textmill.eval.evaluated_model import open_evaluated


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models") / "tiny"
    write_model(folder)
    return folder


@pytest.fixture(scope="session")
def tiny(tiny_folder):
    return open_evaluated(tiny_folder, weights="f32", threads=1)


@pytest.fixture
def write_task(tmp_path):
    """Write a task file; a dict alone under "task" is its first line."""

    def write(*lines, name="task.jsonl"):
        path = tmp_path / name
        path.write_text("".join((line if isinstance(line, str) else json.dumps(line)) + "\n" for line in lines))
        return path

    return write
