"""``textmill data``: what a user asks of shard sets, and of a step of a run."""

import json
import time

import pytest

from fakes.tiny_run import write_recipe
from fakes.token_set import token_set
from textmill.base.config import to_table
from textmill.cli import main
from textmill.data.packing import open_packing_table
from textmill.data.prepare_listener import Silence
from textmill.data.prepare_report import PrepareReport
from textmill.data.shards import ShardSet
from textmill.data.unit_report import UnitReport
from textmill.model.config import ModelConfig
from textmill.tokenizer.tokenizer import Tokenizer
from textmill.train.corpus import make_corpus, open_shards
from textmill.train.interventions import load_interventions
from textmill.train.plan import Plan, TrainStage
from textmill.train.recipe import load_recipe
from textmill.train.run import FORMAT_VERSION, load_run
from textmill.train.run_loader import make_loader


def run(capsys, *arguments):
    code = main([str(argument) for argument in arguments])
    return code, *capsys.readouterr()


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory):
    """A run as far as it is before its first step."""
    folder = tmp_path_factory.mktemp("data")
    recipe = load_recipe(write_recipe(folder))
    make_corpus(folder / "run", recipe, None, Silence())
    stage = TrainStage(
        name="stable",
        first_step=0,
        num_steps=1 << 40,
        context=32,
        rows=4,
        micro_rows=2,
        rope_theta=1e4,
        mixture={"words": 0.75, "sums": 0.25},
    )
    model = ModelConfig(
        vocab_size=300,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=8,
    )
    plan = Plan(model=model, stages=(stage,), precision="f32", threads=1)
    table = {"format_version": FORMAT_VERSION, "recipe": recipe.to_table(), "plan": to_table(plan)}
    (folder / "run" / "config.json").write_text(json.dumps(table))
    return folder / "run"


@pytest.fixture
def sets(tmp_path):
    for name, lengths in (("web", [1, 2, 3, 500, 500]), ("code", [40])):
        shards = token_set(tmp_path / name, lengths, source=name, with_names=name == "web")
        open_packing_table(shards, 64)
    return tmp_path


def test_show_says_what_a_set_holds(sets, capsys):
    code, out, err = run(capsys, "data", "show", sets / "web")
    assert code == 0, err
    for line in (
        f"web  ({sets / 'web'})",
        "documents     5",
        "tokens        1,006 (1.01k), uint32",
        "text          1.01 kB, 1.00 bytes a token",
        "tokenizer     1,048,576 ids, hash 000000000000, 0 ends a document",
        "document ids  kept",
        "packed for    64 tokens: 16 rows, 1.758% padding, 2 documents cut",
    ):
        assert line in out, out
    histogram = [line.split() for line in out.splitlines() if "of documents" in line]
    assert histogram[0][:1] + histogram[0][-6:] == ["1", "20.0%", "of", "documents,", "0.1%", "of", "tokens"]
    assert histogram[1][:3] == ["2", "to", "3"]
    assert histogram[-1][:3] == ["256", "to", "511"]


def test_show_lists_all_sets_below_a_folder_and_a_report(sets, capsys):
    source = UnitReport()
    source.counts.update(read=1200, read_bytes=5000, bad=2)
    source.drops.counts["gopher: min_words"] = 7
    source.drops.samples["gopher: min_words"] = [{"id": "a.jsonl:3", "text": "too\nshort \x1b[31m", "why": "3 words"}]
    source.bad.append("a.jsonl, line 9 is not JSON")
    totals = {f"{part}_num_{what}": 10 for part in ("train", "heldout") for what in ("documents", "tokens", "bytes")}
    report = PrepareReport(folder=sets, job="0" * 64, sources={"web": source}, totals={"web": totals}, duplicates={})
    (sets / "report.json").write_text(json.dumps(report.to_table()))
    code, out, _ = run(capsys, "data", "show", sets, "--samples")
    assert code == 0
    assert out.index("code  (") < out.index("web  (")
    assert "2 sets: 6 documents, 1,046 tokens" in out
    assert "1,200 documents read, 5 kB" in out
    assert "7 dropped, gopher: min_words (0.6 %)" in out
    assert "2 bad records passed over; the first: a.jsonl, line 9 is not JSON" in out
    assert "a.jsonl:3 (3 words)\n    too short \ufffd[31m" in out
    source.counts["bad"] = 1
    (sets / "report.json").write_text(json.dumps(report.to_table()))
    assert "1 bad record passed over; the first" in run(capsys, "data", "show", sets)[1]
    code, out, _ = run(capsys, "data", "show", sets, "--json")
    table = json.loads(out)
    assert [each["manifest"]["source"] for each in table["sets"]] == ["code", "web"]
    assert table["sets"][1]["lengths"][-1] == {"low": 256, "high": 511, "num_documents": 2, "num_tokens": 1000}
    assert table["sets"][1]["packing"][0]["num_rows"] == 16
    assert table["report"]["sources"]["web"]["drops"]["gopher: min_words"]["count"] == 7
    (sets / "report.json").write_text("{}")
    code, _, err = run(capsys, "data", "show", sets)
    assert code == 3
    assert "report.json is damaged" in err


def test_show_checks_what_it_is_asked_to(sets, capsys):
    code, _, err = run(capsys, "data", "show", sets, "--verify")
    assert code == 0
    assert "all files are what their manifests say" in err
    path = sets / "web" / "00000.bin"
    data = bytearray(path.read_bytes())
    data[100] ^= 1
    path.write_bytes(data)
    assert run(capsys, "data", "show", sets)[0] == 0
    code, _, err = run(capsys, "data", "show", sets, "--verify")
    assert code == 3
    assert "00000.bin is damaged: its sha256 is not the manifest's (first wrong block: 0" in err


def test_a_damaged_packing_table_is_told(sets, capsys):
    path = sets / "web" / "packing-64.bin"
    whole = path.read_bytes()
    path.write_bytes(whole[:200] + bytes([whole[200] ^ 1]) + whole[201:])
    code, _, err = run(capsys, "data", "show", sets, "--verify")
    assert code == 3
    assert "packing-64.bin is damaged: its block 0 (bytes 0 to" in err
    assert "remove it, and it is made again" in err
    path.write_bytes(whole[:-1])
    code, _, err = run(capsys, "data", "show", sets)
    assert code == 0
    assert "packing-64.bin is missing, cut short or not what it should be" in err


def test_show_of_no_set(tmp_path, capsys):
    code, _, err = run(capsys, "data", "show", tmp_path)
    assert code == 3
    assert "holds no shard set" in err
    (tmp_path / ".work").mkdir()  # as data prepare leaves it that was killed
    code, _, err = run(capsys, "data", "show", tmp_path)
    assert code == 3
    assert "holds no shard set yet: data prepare is at work on it, or was interrupted; the same command goes on" in err
    code, _, err = run(capsys, "data", "show", tmp_path / "nowhere")
    assert code == 3
    assert "there is no folder" in err


def loader_of(folder):
    run = load_run(folder)
    tokenizer = Tokenizer.load(folder / "tokenizer.json")
    shards, _ = open_shards(folder, run.recipe, tokenizer)
    return make_loader(run, load_interventions(folder), shards, tokenizer)


def test_inspect_names_what_the_batch_holds(run_folder, capsys):
    code, out, err = run(capsys, "data", "inspect", run_folder, "--step", "7", "--json")
    assert code == 0, err
    table = json.loads(out)
    tokenizer = Tokenizer.load(run_folder / "tokenizer.json")
    batch = loader_of(run_folder).batch(6)
    assert [row["source"] for row in table["rows"]] == list(batch.sources)
    for number, row in enumerate(table["rows"]):
        told = []
        for document in row["documents"]:
            source = ShardSet(run_folder / "shards" / row["source"])
            start = source.index.span(document["number"])[0] + document["start"]
            ids = source.tokens(start, start + document["length"]).tolist()
            told += ids
            text = tokenizer.decode([i for i in ids[:24] if i != source.manifest.document_end])
            assert document["text"] == text
        assert told == batch.targets[number].tolist()
    code, out, _ = run(capsys, "data", "inspect", run_folder, "--step", "7")
    assert code == 0
    assert out.startswith(f"step 7 of {run_folder}: batch 6, 4 rows of 32 tokens")
    assert f"row 0  {batch.sources[0]}, epoch 1" in out


def test_any_step_is_found_in_milliseconds(run_folder):
    """A thousand times the time that it takes is allowed: it must not go through what came before."""
    begin = time.process_time()
    loader_of(run_folder).batch(10**9)
    assert time.process_time() - begin < 1


@pytest.mark.parametrize(
    ("step", "message"),
    [
        ("0", "step is 0, and must be 1 or more"),
        ("-3", "step is -3"),
        ("2000000000000", "step is 2,000,000,000,000, and the run has 1,099,511,627,776"),
    ],
)
def test_inspect_of_no_step(run_folder, capsys, step, message):
    code, _, err = run(capsys, "data", "inspect", run_folder, f"--step={step}")
    assert code == 2
    assert message in err.replace("--step", "step")


def test_inspect_of_no_run(tmp_path, capsys):
    code, _, err = run(capsys, "data", "inspect", tmp_path, "--step", "1")
    assert code == 2
    assert "holds no run" in err
