import json
from pathlib import Path

import numpy as np
import pytest

from data.pipelines import document, hashes, pipeline_of, write_corpus
from textmill import Tokenizer
from textmill.base.errors import ConfigError, DataError
from textmill.data import job as job_module
from textmill.data.engines.local import LocalEngine
from textmill.data.prepare import prepare
from textmill.data.prepare_listener import Silence
from textmill.data.shards import ShardSet
from textmill.text.readers import read_documents

SETTINGS = {"dedup": {"minhash": True, "recall_sample": 0}, "holdout": {"fraction": 0.1}}


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    return write_corpus(tmp_path_factory.mktemp("corpus"))


@pytest.fixture(autouse=True)
def small_units(monkeypatch):
    """Units so small that a corpus of a few hundred kilobytes has many."""
    monkeypatch.setattr(job_module, "UNIT_BYTES_OF_MB", 1 << 14)


def texts_of(folder):
    tokenizer = Tokenizer.load(folder.parent / "tokenizer.json")
    return [tokenizer.decode(document.tolist()) for document in ShardSet(folder).documents()]


def test_what_goes_in_comes_out(corpus, tmp_path):
    report = prepare(pipeline_of(corpus, tmp_path / "out", dedup={"exact": False}), LocalEngine(1))
    for name, place in (("web", "raw"), ("notes", "notes")):
        expected = [document.text for document in read_documents(corpus / place, name)]
        assert texts_of(tmp_path / "out" / name) == expected
        assert report.totals[name]["train_num_bytes"] == sum(map(len, expected))
    ShardSet(tmp_path / "out" / "web").verify()
    assert not (tmp_path / "out" / ".work").exists()
    assert len(ShardSet(tmp_path / "out" / "web").manifest.files) > 5


def test_copies_go_across_sources_and_the_first_stays(corpus, tmp_path):
    report = prepare(pipeline_of(corpus, tmp_path / "out"), LocalEngine(1))
    web, notes = texts_of(tmp_path / "out" / "web"), texts_of(tmp_path / "out" / "notes")
    everything = [d.text for name in ("raw", "notes") for d in read_documents(corpus / name, name)]
    assert web + notes == list(dict.fromkeys(everything))
    assert report.duplicates["exact_dropped"] == len(everything) - len(web + notes)


@pytest.mark.parametrize("workers", [2, 4])
def test_any_number_of_processes_gives_the_same_bytes(corpus, tmp_path, workers):
    tables = SETTINGS | {
        "filter": {"presets": ["smol"], "bounds": {"max_words": 150}},
        "dedup": {"minhash": True, "recall_sample": 40},
    }
    reports = []
    for name, engine in (("one", LocalEngine(1)), ("many", LocalEngine(workers))):
        reports.append(prepare(pipeline_of(corpus, tmp_path / name / "out", **tables), engine).to_table())
        engine.close()
    assert reports[0].pop("job") != reports[1].pop("job")  # which is of the place, too
    assert reports[0] == reports[1]
    assert reports[0]["sources"]["web"]["drops"]
    one, many = ((tmp_path / name / "out", tmp_path / name / "out-heldout") for name in ("one", "many"))
    assert hashes(*one) == hashes(*many)
    assert len(hashes(*one)) > 20


def test_held_out_documents_are_those_of_the_hash(corpus, tmp_path):
    prepare(pipeline_of(corpus, tmp_path / "out", holdout={"fraction": 0.2, "kind": "documents"}), LocalEngine(1))
    train, held_out = ShardSet(tmp_path / "out" / "web"), ShardSet(tmp_path / "out-heldout" / "web")
    share = held_out.manifest.num_documents / (train.manifest.num_documents + held_out.manifest.num_documents)
    assert 0.1 < share < 0.3


def test_of_a_few_texts_the_ends_are_held_out(corpus, tmp_path):
    prepare(pipeline_of(corpus, tmp_path / "out", holdout={"fraction": 0.2, "kind": "auto"}), LocalEngine(1))
    train, held_out = ShardSet(tmp_path / "out" / "notes"), ShardSet(tmp_path / "out-heldout" / "notes")
    assert train.manifest.num_documents == held_out.manifest.num_documents == 16
    both = [
        a + b for a, b in zip(texts_of(tmp_path / "out" / "notes"), _held_out_texts(tmp_path, "notes"), strict=True)
    ]
    assert set(both) <= {d.text for d in read_documents(corpus / "notes", "notes")}


def _held_out_texts(folder, name):
    tokenizer = Tokenizer.load(folder / "out" / "tokenizer.json")
    return [tokenizer.decode(d.tolist()) for d in ShardSet(folder / "out-heldout" / name).documents()]


class Listener(Silence):
    def __init__(self, told):
        self.told = told

    def say(self, message):
        self.told.append(message)


def test_a_tokenizer_with_fewer_tokens_than_were_asked_for_is_told(tmp_path):
    for name in ("raw", "notes"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "a.txt").write_text(f"some text of {name}")
    told = []
    prepare(pipeline_of(tmp_path, tmp_path / "out"), LocalEngine(1), Listener(told))
    num_tokens = Tokenizer.load(tmp_path / "out" / "tokenizer.json").vocab_size
    assert told == [
        f"the text holds no more pairs to merge: the tokenizer has {num_tokens} tokens, and not the 400 of "
        "tokenizer.vocab_size; give more text, or a smaller number"
    ]


def test_a_second_start_finds_all_done_and_other_settings_start_afresh(corpus, tmp_path):
    told = []
    first = prepare(pipeline_of(corpus, tmp_path / "out"), LocalEngine(1), Listener(told))
    again = prepare(pipeline_of(corpus, tmp_path / "out"), LocalEngine(1), Listener(told))
    assert again.to_table() == first.to_table()
    assert "up to date" in told[-1]
    prepare(pipeline_of(corpus, tmp_path / "out", dedup={"exact": False}), LocalEngine(1), Listener(told))
    assert sum("up to date" in message for message in told) == 1
    assert ShardSet(tmp_path / "out" / "web").manifest.num_documents == 440


def test_bad_records_are_counted_or_stop(tmp_path):
    (tmp_path / "raw").mkdir()
    (tmp_path / "raw" / "a.jsonl").write_bytes(b'{"text": "good one"}\n{"text": broken\n{"no": 1}\n{"text": "\xff"}\n')
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "a.txt").write_text("some text")
    report = prepare(pipeline_of(tmp_path, tmp_path / "out"), LocalEngine(1))
    assert report.sources["web"].counts["bad"] == 3
    assert "line 2" in report.sources["web"].bad[0]
    with pytest.raises(DataError, match="a.jsonl, line 2"):
        prepare(pipeline_of(tmp_path, tmp_path / "out2", run={"on_bad": "stop"}), LocalEngine(1))


def test_a_source_without_text_is_told(tmp_path):
    (tmp_path / "raw").mkdir()
    (tmp_path / "raw" / "a.jsonl").write_text("")
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "a.txt").write_text("some text")
    with pytest.raises(DataError, match='the source "web" at .* holds no text'):
        prepare(pipeline_of(tmp_path, tmp_path / "out"), LocalEngine(1))


def test_two_at_once_are_refused(corpus, tmp_path):
    from textmill.data.work_folder import claimed

    with claimed(tmp_path / "out", "other"), pytest.raises(ConfigError, match="another textmill is at work"):
        prepare(pipeline_of(corpus, tmp_path / "out"), LocalEngine(1))


def test_ids_lead_back_to_the_input(corpus, tmp_path):
    prepare(pipeline_of(corpus, tmp_path / "out", dedup={"exact": False}), LocalEngine(1))
    shards = ShardSet(tmp_path / "out" / "web")
    lines = (corpus / "raw" / "a.jsonl").read_text().splitlines()
    for number in (0, 7, 150):
        name = shards.names[number]
        assert name == f"a.jsonl:{number + 1}"
        assert texts_of(tmp_path / "out" / "web")[number] == json.loads(lines[number])["text"]


def test_a_torn_unit_is_done_again(corpus, tmp_path, monkeypatch):
    """What a power cut leaves: the second start finds it by its checksum."""
    from textmill.data import prepare as prepare_module

    whole = pipeline_of(corpus, tmp_path / "whole")
    prepare(whole, LocalEngine(1))
    torn = pipeline_of(corpus, tmp_path / "torn")
    with monkeypatch.context() as patch:
        patch.setattr(prepare_module, "place_sets", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            prepare(torn, LocalEngine(1))
    units = sorted((tmp_path / "torn" / ".work" / "tokens" / "web").iterdir())
    (units[0] / "train.bin").write_bytes(b"")
    reads = sorted(path for path in (tmp_path / "torn" / ".work" / "read" / "web").iterdir() if path.is_dir())
    data = np.fromfile(reads[1] / "texts.bin", np.uint8)
    data[len(data) // 2] ^= 1
    data.tofile(reads[1] / "texts.bin")
    prepare(torn, LocalEngine(1))
    assert hashes(tmp_path / "torn") == {
        key.replace("whole/", "torn/"): h for key, h in hashes(tmp_path / "whole").items()
    }


def test_a_second_start_goes_on_inside_a_file_and_does_nothing_twice(corpus, tmp_path, monkeypatch):
    """In the middle of lines that are cut by bytes, and of a packed file that is read from its start."""
    from textmill.data import read_units

    write, done, stops_at = read_units._write_unit, [], None

    def count(folder, task, steps, reading, report):
        if len(done) == stops_at:
            raise KeyboardInterrupt
        write(folder, task, steps, reading, report)
        done.append((reading.unit.files[0].name, reading.unit.key))

    monkeypatch.setattr(read_units, "_write_unit", count)
    prepare(pipeline_of(corpus, tmp_path / "whole" / "out"), LocalEngine(1))
    whole = list(done)
    middles = [
        number
        for number in range(1, len(whole))
        if whole[number - 1][0] == whole[number][0] and whole[number][0] in ("a.jsonl", "b.jsonl.gz")
    ]
    assert {whole[number][0] for number in middles} == {"a.jsonl", "b.jsonl.gz"}
    for stops_at in (middles[1], middles[-2]):
        done.clear()
        pipeline = pipeline_of(corpus, tmp_path / str(stops_at) / "out")
        with pytest.raises(KeyboardInterrupt):
            prepare(pipeline, LocalEngine(1))
        first, stops_at = list(done), None
        done.clear()
        prepare(pipeline, LocalEngine(1))
        assert first + done == whole
        assert hashes(pipeline_dir(pipeline)) == hashes(tmp_path / "whole" / "out")


def pipeline_dir(pipeline):
    return Path(pipeline.output.dir)


@pytest.mark.parametrize(("version", "messages"), [(None, ["going on"]), (1, [])])
def test_work_of_an_older_version_is_begun_again(corpus, tmp_path, monkeypatch, version, messages):
    """Its documents were compared by other words, and may not be mixed with those of this release."""
    from textmill.data import prepare as prepare_module

    told = []
    begun, whole = (pipeline_of(corpus, tmp_path / name / "out", **SETTINGS) for name in ("begun", "whole"))
    with monkeypatch.context() as patch:
        if version is not None:
            patch.setattr(job_module, "_WORK_VERSION", version)
        patch.setattr(prepare_module, "place_sets", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            prepare(begun, LocalEngine(1))
    prepare(begun, LocalEngine(1), Listener(told))
    assert [message[:8] for message in told if "tokenizer" not in message] == messages
    prepare(whole, LocalEngine(1))
    assert hashes(tmp_path / "begun" / "out") == hashes(tmp_path / "whole" / "out")


def test_documents_far_longer_than_a_unit(tmp_path):
    import random

    text = document(random.Random(1), 20_000)
    (tmp_path / "raw").mkdir()
    (tmp_path / "raw" / "a.jsonl").write_text("".join(json.dumps({"text": t}) + "\n" for t in ("short", text, "end")))
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "a.txt").write_text(text + "more")
    prepare(pipeline_of(tmp_path, tmp_path / "out"), LocalEngine(1))
    assert texts_of(tmp_path / "out" / "web") == ["short", text, "end"]


def test_every_step_at_once(corpus, tmp_path):
    evaluation = tmp_path / "eval.jsonl"
    leak = json.loads((corpus / "raw" / "a.jsonl").read_text().splitlines()[3])["text"]
    evaluation.write_text(json.dumps({"question": leak}) + "\n")
    tables = {
        "clean": {"unicode": True, "mask": ["email", "ip"]},
        "filter": {"presets": ["smol"]},
        "decontaminate": {"against": [str(evaluation)]},
        "dedup": {"minhash": True, "recall_sample": 50},
    }
    report = prepare(pipeline_of(corpus, tmp_path / "out", **tables), LocalEngine(1))
    web = report.sources["web"]
    assert web.drops.counts["contaminated"] >= 1
    assert leak not in texts_of(tmp_path / "out" / "web")
    assert web.counts["read"] == web.counts["kept"] + sum(web.drops.counts.values())
    assert report.totals["web"]["train_num_documents"] <= web.counts["kept"]
    found = (tmp_path / "out" / "contamination.jsonl").read_text().splitlines()
    hits = [json.loads(line) for line in found]
    assert {hit["source"] for hit in hits} <= {"web", "notes"}
    assert [set(hit) for hit in hits] == [{"source", "item", "document", "span", "ngram", "ratio", "action"}] * len(
        hits
    )
    assert len(hits) >= 1
