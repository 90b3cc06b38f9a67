"""Documents that lie as tokens, scored as the texts they were made of."""

import json
import shutil

import pytest

from eval.test_text_bits import TEXT
from fakes.tiny_model import tokenizer
from fakes.tiny_run import write_recipe
from textmill import Tokenizer
from textmill.base.errors import ConfigError, DataError
from textmill.base.events import iter_events
from textmill.cli import main
from textmill.data.shards import write_shards
from textmill.eval.measure import measure_source
from textmill.eval.shard_texts import read_shard_texts
from textmill.eval.sources import text_sources
from textmill.text.documents import Document

TEXTS = (TEXT, "née 東京 🦊", TEXT[5:] * 3, "x")


def write_set(folder, texts=TEXTS, made_by=None):
    made_by = made_by or tokenizer()
    documents = [Document(text, folder.name, f"{number}.txt") for number, text in enumerate(texts)]
    end = made_by.special_tokens["<|endoftext|>"]
    write_shards(folder, documents, made_by, source=folder.name, document_end=end)
    return folder


def test_their_texts_come_back(tmp_path):
    folder = write_set(tmp_path / "web")
    found = list(read_shard_texts(folder, "mine", tokenizer()))
    assert [one.text for one in found] == list(TEXTS)
    assert {one.source for one in found} == {"mine"}
    (source,) = text_sources([str(folder)])
    assert source.num_bytes == sum(len(text.encode()) for text in TEXTS)


def test_bits_are_those_of_the_text(tiny, tmp_path):
    """Whether the model's tokenizer made the set, or another one, which lies where runs keep it."""
    (tmp_path / "texts").mkdir()
    for number, text in enumerate(TEXTS):
        (tmp_path / f"texts/{number}.txt").write_text(text)
    other = Tokenizer.train(iter([TEXT * 20]), vocab_size=280, special_tokens=("<|endoftext|>",))
    other.save(tmp_path / "run/tokenizer.json")
    own = write_set(tmp_path / "own")
    others = write_set(tmp_path / "run/heldout/web", made_by=other)
    bits = []
    for number, place in enumerate((tmp_path / "texts", own, others)):
        (source,) = text_sources([f"x={place}"])
        records = measure_source(tiny, source, tmp_path / f"out-{number}")
        bits.append([(record["hash"], record["bits"], record["bytes"]) for record in records])
    assert bits[0] == bits[1] == bits[2]


def test_a_set_without_its_tokenizer_is_named(tiny, tmp_path):
    other = Tokenizer.train(iter([TEXT * 20]), vocab_size=280, special_tokens=("<|endoftext|>",))
    folder = write_set(tmp_path / "a/b/web", made_by=other)
    (source,) = text_sources([str(folder)])
    with pytest.raises(DataError, match="web was written with a tokenizer whose hash .* copy its tokenizer.json into"):
        measure_source(tiny, source, tmp_path / "out")
    other.save(folder / "tokenizer.json")
    assert len(measure_source(tiny, source, tmp_path / "out")) == len(TEXTS)


def test_a_folder_of_sets_is_a_source_for_each(tmp_path):
    for name in ("web", "books"):
        write_set(tmp_path / "heldout" / name)
    (tmp_path / "notes.txt").write_text("a fox")
    found = text_sources([str(tmp_path / "heldout"), str(tmp_path / "notes.txt")])
    assert [one.name for one in found] == ["books", "web", "notes"]
    (joined,) = text_sources([f"all-of-it={tmp_path / 'heldout'}"])
    assert [folder.name for folder in joined.sets] == ["books", "web"]
    with pytest.raises(ConfigError, match="the name of no file"):
        text_sources(["x" * 5000])  # not even a path


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("trained")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        assert main(["train", str(write_recipe(folder, steps=6))]) == 0
    return folder / "run"


@pytest.mark.slow
def test_a_run_is_measured_on_what_it_holds_out(run, tmp_path, monkeypatch, capsys):
    """The figures are those that the trainer ends with, on the same weights."""
    monkeypatch.chdir(tmp_path)
    assert main(["eval", str(run), "--weights", "f32", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    (validation,) = (event for event in iter_events(run / "events.jsonl") if event.kind == "validation")
    assert [one["source"] for one in told["bits"]] == ["sums", "words", "all"]
    for one in told["bits"]:
        theirs = validation.fields["scores"][one["source"]]
        assert (one["documents"], one["bytes"]) == (theirs["num_documents"], theirs["num_bytes"])
        assert one["bits_per_byte"] == pytest.approx(theirs["model_bits"] / theirs["num_bytes"], rel=1e-5)
    assert main(["eval", str(run / "model"), "--json", "-o", "other"]) == 0
    assert len(json.loads(capsys.readouterr().out)["bits"]) == 3


@pytest.mark.slow
def test_a_run_that_holds_nothing_out_says_so(run, tmp_path, capsys):
    shutil.copytree(run, tmp_path / "run", ignore=shutil.ignore_patterns("heldout"))
    assert main(["eval", str(tmp_path / "run")]) == 2
    assert "there is nothing to measure, for" in capsys.readouterr().err
