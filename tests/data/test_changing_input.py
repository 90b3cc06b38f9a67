"""Input that changes while a pipeline is at work: noticed in the same run, and nothing that was made of it counts."""

import functools
import gzip
import json
import os
import random

import pytest

from data.pipelines import hashes, pipeline_of, write_corpus
from textmill.base.errors import DataError
from textmill.cli import main
from textmill.data import job as job_module
from textmill.data.engines.local import LocalEngine
from textmill.data.prepare import prepare
from textmill.data.prepare_listener import Silence
from textmill.text.reading import SourceInput, cut_units, list_files, read_chain


def grow(path):
    with path.open("ab") as file:
        file.write(b"\n")


def truncate(path):
    os.truncate(path, path.stat().st_size - 1)


def write_again(path):
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def replace(path):
    other = path.with_name("other")
    other.write_bytes(path.read_bytes())
    os.utime(other, ns=(0, path.stat().st_mtime_ns + 1))
    other.replace(path)


CHANGES = {
    grow: r"it had [\d,]+ bytes, and has",
    truncate: r"it had [\d,]+ bytes, and has",
    write_again: "as before, and was written since",
    replace: "as before, and was written since",
}


@functools.cache
def content_of(name, num_lines=10_000):
    """Lines of about 1 KB."""
    texts = [random.Random(n).randbytes(500).hex() for n in range(100)] * (num_lines // 100)
    is_csv = name.endswith(".csv")
    lines = (text if is_csv else json.dumps({"text": text}) for text in texts)
    content = "".join(line + "\n" for line in (["text"] if is_csv else []) + list(lines)).encode()
    return gzip.compress(content, 1) if name.endswith(".gz") else content


def readings_of(path, unit_bytes):
    source = SourceInput(path=str(path), max_document_bytes=1 << 20)
    for unit in cut_units(list_files(source), unit_bytes):
        yield from read_chain(unit, source, on_bad=lambda bad: None)


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("unit_bytes", [1 << 20, 1 << 30])
@pytest.mark.parametrize("name", ["a.jsonl", "a.jsonl.gz", "a.csv"])
def test_a_change_in_the_middle_of_a_unit(tmp_path, name, unit_bytes, change):
    path = tmp_path / name
    path.write_bytes(content_of(name))
    with pytest.raises(DataError, match=rf"{name} changed while it was read: .*{CHANGES[change]}.* start again"):
        for number, reading in enumerate(readings_of(path, unit_bytes)):
            next(reading.batches)
            if number == 0:
                change(path)
            for _ in reading.batches:
                pass
            pytest.fail("a unit was read to its end")


@pytest.mark.parametrize("change", [*CHANGES, os.unlink])
def test_a_change_between_units(tmp_path, change):
    """What comes of the units before it counts, and no unit after."""
    path = tmp_path / "a.jsonl"
    path.write_bytes(content_of("a.jsonl"))
    readings = readings_of(path, 1 << 20)
    for _ in next(readings).batches:
        pass
    change(path)
    with pytest.raises(DataError, match=r"a.jsonl changed while|cannot read .*a.jsonl: No such file"):
        for _ in next(readings).batches:
            pass


def test_a_file_that_is_gone_after_it_was_opened(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_bytes(content_of("a.jsonl"))
    batches = next(readings_of(path, 1 << 30)).batches
    next(batches)
    path.unlink()
    with pytest.raises(DataError, match="a.jsonl changed while it was read: it was there, and now it cannot be found"):
        for _ in batches:
            pass


def test_damage_that_is_a_change_is_called_so(tmp_path):
    """A packed file that somebody is writing again ends in the middle: that is no bad input."""
    path = tmp_path / "a.jsonl.gz"
    path.write_bytes(content_of("a.jsonl.gz"))
    source = SourceInput(path=str(path))
    (unit,) = cut_units(list_files(source))

    def stop(bad):
        raise DataError(str(bad))

    with pytest.raises(DataError, match="changed while it was read"):
        for reading in read_chain(unit, source, on_bad=stop):
            next(reading.batches)
            os.truncate(path, 1 << 16)
            for _ in reading.batches:
                pass


class Meddler(Silence):
    """Does something when a stage begins."""

    def __init__(self, stage, act):
        self._stage, self._act = stage, act
        self.told = []

    def stage(self, name, total_bytes):
        if name == self._stage:
            self._act()

    def say(self, message):
        self.told.append(message)


@pytest.fixture
def corpus(tmp_path, monkeypatch):
    monkeypatch.setattr(job_module, "UNIT_BYTES_OF_MB", 1 << 14)
    return write_corpus(tmp_path / "corpus", num_documents=200)


@pytest.mark.parametrize(("name", "workers"), [("raw/a.jsonl", 2), ("raw/b.jsonl.gz", 1), ("notes/07.txt", 2)])
def test_a_change_before_the_reading_stops_a_pipeline(corpus, tmp_path, name, workers):
    engine = LocalEngine(workers)
    listener = Meddler("reading", lambda: grow(corpus / name))
    with pytest.raises(DataError, match=rf"{name} changed while it was read"):
        prepare(pipeline_of(corpus, tmp_path / "out"), engine, listener)
    prepare(pipeline_of(corpus, tmp_path / "out"), engine)
    prepare(pipeline_of(corpus, tmp_path / "whole" / "out"), engine)
    engine.close()
    assert hashes(tmp_path / "out") == hashes(tmp_path / "whole" / "out")


def test_a_change_after_the_reading_is_told(corpus, tmp_path):
    prepare(pipeline_of(corpus, tmp_path / "before" / "out"), LocalEngine(1))
    listener = Meddler("training the tokenizer", lambda: grow(corpus / "raw" / "a.jsonl"))
    prepare(pipeline_of(corpus, tmp_path / "out"), LocalEngine(1), listener)
    (told,) = [message for message in listener.told if "changed" in message]
    assert "a.jsonl changed after it was read: it had " in told
    assert "the next start makes them anew" in told
    assert hashes(tmp_path / "out") == hashes(tmp_path / "before" / "out")
    again = Meddler("", None)
    prepare(pipeline_of(corpus, tmp_path / "out"), LocalEngine(1), again)
    assert not any("up to date" in message for message in again.told)


def test_a_file_that_a_pipeline_names_changes(corpus, tmp_path):
    items = tmp_path / "eval.jsonl"
    items.write_text(json.dumps({"question": "one two three four five six seven eight nine ten"}))
    pipeline = pipeline_of(corpus, tmp_path / "out", decontaminate={"against": [str(items)]})
    listener = Meddler("reading", lambda: items.write_text(json.dumps({"question": "other " * 9})))
    with pytest.raises(DataError, match=r"eval.jsonl, which the pipeline names, changed since .* start it again"):
        prepare(pipeline, LocalEngine(1), listener)
    assert not list((tmp_path / "out" / ".work" / "read").glob("*/*/sums.json"))


def test_the_exit_code_is_that_of_bad_input(corpus, tmp_path, capsys, monkeypatch):
    from textmill.data import read_stage

    begin = read_stage.read_task

    def change_and_begin(task):
        grow(corpus / "raw" / "a.jsonl")
        return begin(task)

    monkeypatch.setattr(read_stage, "read_task", change_and_begin)
    (tmp_path / "p.toml").write_text(
        f'[output]\ndir = "{tmp_path}/out"\n[sources.web]\npath = "{corpus}/raw"\n[tokenizer]\nvocab_size = 400\n'
    )
    assert main(["data", "prepare", str(tmp_path / "p.toml"), "--workers", "1"]) == 3
    assert "a.jsonl changed while it was read" in capsys.readouterr().err
