"""Where no engine is asked for: one process for what is native, a process for each core otherwise; the same output."""

import gzip

import pytest

from data.pipelines import hashes, pipeline_of, write_corpus
from textmill.data import prepare as prepare_module
from textmill.data.default_engine import default_engine
from textmill.data.engines.local import LocalEngine
from textmill.data.job import make_job
from textmill.data.prepare import prepare


@pytest.fixture
def native(tmp_path):
    """A corpus of plain lines and text files."""
    folder = write_corpus(tmp_path / "native")
    (folder / "raw" / "b.jsonl.gz").unlink()
    return folder


def workers_of(folder, **tables):
    return default_engine(make_job(pipeline_of(folder, folder / "out", **tables))).workers


NATIVE = {"filter": {"presets": ["gopher", "c4-paper"]}, "dedup": {"minhash": True}, "holdout": {"fraction": 0.1}}
PYTHON = [
    {"clean": {"unicode": True}},
    {"clean": {"mask": ["email"]}},
    {"language": {"keep": ["en"]}},
    {"filter": {"presets": ["c4-paper"], "bad_words": "words.txt"}},
    {"filter": {"presets": ["c4-paper"], "blocked_urls": "words.txt"}},
]


@pytest.fixture(autouse=True)
def four_cores(monkeypatch):
    monkeypatch.setattr("os.sched_getaffinity", lambda _: {0, 1, 2, 3}, raising=False)


@pytest.mark.parametrize("tables", [{}, NATIVE])
def test_native_steps_take_one_process(native, tables):
    assert workers_of(native, **tables) == 1


@pytest.mark.parametrize("tables", PYTHON)
def test_python_takes_a_process_for_each_core(native, tables, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "words.txt").write_text("badword\n")
    assert workers_of(native, **tables) == 4
    sources = {
        "web": {"path": str(native / "raw")},
        "notes": {"path": str(native / "notes")} | tables,
    }
    assert workers_of(native, sources=sources) == 4


@pytest.mark.parametrize("name", ["b.jsonl.gz", "b.csv", "b.html"])
def test_files_that_python_reads_take_a_process_for_each_core(native, name):
    content = {"b.jsonl.gz": gzip.compress(b'{"text": "a"}\n'), "b.csv": b"text\na\n", "b.html": b"<p>a</p>"}[name]
    (native / "raw" / name).write_bytes(content)
    assert workers_of(native) == 4


@pytest.mark.parametrize("is_native", [True, False])
def test_the_output_is_the_same_either_way(tmp_path, is_native, monkeypatch):
    monkeypatch.setattr("os.sched_getaffinity", lambda _: {0, 1}, raising=False)
    folder = write_corpus(tmp_path / "corpus")
    if is_native:
        (folder / "raw" / "b.jsonl.gz").unlink()
    chosen = []

    def default_and_remember(job):
        chosen.append(default_engine(job))
        return chosen[-1]

    monkeypatch.setattr(prepare_module, "default_engine", default_and_remember)
    outputs = []
    for name, engine in (("default", None), ("one", LocalEngine(1)), ("two", LocalEngine(2))):
        out = tmp_path / name / "out"
        prepare(pipeline_of(folder, out, dedup={"minhash": True}, holdout={"fraction": 0.1}), engine)
        outputs.append(hashes(out, tmp_path / name / "out-heldout"))
        if engine is not None:
            engine.close()
    assert outputs[0] == outputs[1] == outputs[2]
    assert [engine.workers for engine in chosen] == [1 if is_native else 2]
