"""What a pipeline does to documents, step by step: each drop is counted by its rule, with samples that say why."""

import json

import numpy as np
import pytest

from textmill.base.config import from_table
from textmill.base.errors import DataError
from textmill.cli import main
from textmill.data.engines.local import LocalEngine
from textmill.data.pipeline import Pipeline
from textmill.data.prepare import prepare
from textmill.data.prepare_listener import Silence
from textmill.data.shards import ShardSet
from textmill.text.quality import train_quality_model
from textmill.text.text_batch import TextBatch

ENGLISH = [
    f"The {animal} that lives near the old mill will have to be fed by those of us with some bread and water."
    for animal in ("goose", "horse", "donkey", "rabbit", "hedgehog", "squirrel", "badger", "heron")
]
GERMAN = "Der schnelle braune Fuchs springt über den faulen Hund, und niemand im Dorf wunderte sich darüber."


# For texts of one sentence: these rules look at how much of a text one n-gram is.
LOOSE = {"min_words": 10, **{f"max_top_{n}_gram_chars": 1 for n in (2, 3, 4)}}


def write(folder, records):
    path = folder / "raw" / "a.jsonl"
    path.parent.mkdir(exist_ok=True)
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return path


def run(folder, records, listener=None, **tables):
    """Prepare records; returns the report and the ids of the documents that stay."""
    source = {"path": str(write(folder, records)), **tables.pop("source", {})}
    table = {
        "output": {"dir": str(folder / "out")},
        "sources": {"web": source},
        "tokenizer": {"vocab_size": 300},
        "dedup": {"exact": False},
    }
    report = prepare(from_table(Pipeline, table | tables), LocalEngine(1), listener)
    sets = ShardSet(folder / "out" / "web")
    return report, [sets.names[number] for number in range(sets.manifest.num_documents)]


def texts(*more):
    return [{"text": text} for text in (*ENGLISH, *more)]


def test_other_languages_are_dropped(tmp_path):
    pytest.importorskip("py3langid")
    report, names = run(tmp_path, texts(GERMAN), language={"keep": ["en"]})
    drops = report.sources["web"].drops
    assert drops.counts == {"language": 1}
    (sample,) = drops.samples["language"]
    assert (sample["id"], sample["text"]) == ("a.jsonl:9", GERMAN)
    assert sample["why"].startswith("de, ")
    assert names == [f"a.jsonl:{line}" for line in range(1, 9)]


def test_rules_say_which_and_why_and_show_three(tmp_path):
    short = ["a b", "c d", "e f", "g h"]
    report, names = run(tmp_path, texts(*short), filter={"presets": ["gopher"], "bounds": LOOSE})
    drops = report.sources["web"].drops
    assert drops.counts == {"gopher: min_words": 4}
    assert [sample["id"] for sample in drops.samples["gopher: min_words"]] == [
        f"a.jsonl:{line}" for line in (9, 10, 11)
    ]
    assert drops.samples["gopher: min_words"][0]["why"] == "num_words 2, and 10 is the least"
    assert len(names) == 8


def test_a_classifier_drops_what_it_scores_low(tmp_path):
    good = [" ".join(text.split()[at:] + text.split()[:at]) for text in ENGLISH for at in range(19)]
    bad = [" ".join(["buy", "now", "click", "here", "{x}"] * (3 + at % 4)) + f" {at}" for at in range(152)]
    model, _ = train_quality_model(TextBatch.of(good), TextBatch.of(bad))
    model.save(tmp_path / "q.safetensors")
    report, names = run(tmp_path, texts(*bad[:3]), quality={"model": str(tmp_path / "q.safetensors"), "min_score": 0.5})
    drops = report.sources["web"].drops
    assert drops.counts == {"quality": 3}
    assert drops.samples["quality"][0]["why"].endswith(", and 0.5 is the least")
    assert len(names) == 8


def test_addresses_are_read_where_they_are_judged(tmp_path):
    """Nobody has to say that the field of addresses is called ``url``."""
    (tmp_path / "urls.txt").write_text("bad.example\n")
    records = [
        {"text": text, "url": f"http://{'bad' if n == 2 else 'good'}.example/{n}"} for n, text in enumerate(ENGLISH)
    ]
    records[5]["url"] = None
    tables = {"filter": {"presets": ["fineweb-paper"], "blocked_urls": str(tmp_path / "urls.txt")}}
    tables["filter"]["bounds"] = LOOSE | {"min_sentences": 0}
    report, names = run(tmp_path, records, **tables)
    assert report.sources["web"].drops.counts == {"fineweb-paper: blocked_urls": 1}
    assert report.sources["web"].counts["without_url"] == 1
    assert "a.jsonl:3" not in names
    for record in records:
        record["link"] = record.pop("url")
    report, _ = run(tmp_path, records, source={"fields": {"url": "link"}}, **tables)
    assert report.sources["web"].drops.counts == {"fineweb-paper: blocked_urls": 1}


def test_a_list_that_has_nothing_to_judge_by_is_told(tmp_path, capsys):
    (tmp_path / "urls.txt").write_text("bad.example\n")
    write(tmp_path, texts())
    (tmp_path / "p.toml").write_text(
        f"""
        output.dir = "{tmp_path}/out"
        tokenizer.vocab_size = 300
        sources.web.path = "raw"
        filter.presets = ["fineweb-paper"]
        filter.blocked_urls = "urls.txt"
        filter.bounds.min_sentences = 0
        """
        + "".join(f"filter.bounds.{name} = {bound}\n" for name, bound in LOOSE.items())
    )
    assert main(["data", "prepare", str(tmp_path / "p.toml")]) == 0
    assert "8 documents without an address, which blocked_urls lets pass" in capsys.readouterr().err


def test_presets_without_their_lists_say_so_before_anything_is_read_and_in_the_report(tmp_path):
    class Listener(Silence):
        def __init__(self):
            self.told, self.stages = [], []

        def say(self, message):
            self.told.append((message, list(self.stages)))

        def stage(self, name, total_bytes):
            self.stages.append(name)

    listener = Listener()
    bounds = LOOSE | {"min_sentences": 0}
    report, _ = run(tmp_path, texts(), listener, filter={"presets": ["fineweb-paper", "c4-paper"], "bounds": bounds})
    off = [message for message, _ in listener.told if " is off" in message]
    assert tuple(off) == report.rules_off
    assert [message.partition(" is off")[0] for message in off] == [
        "web: the rule blocked_urls of fineweb-paper",
        "web: the rule bad_words of c4-paper",
    ]
    assert all("reading" not in stages for message, stages in listener.told if " is off" in message)
    assert json.loads((tmp_path / "out" / "report.json").read_text())["rules_off"] == off


@pytest.mark.parametrize(("action", "num_kept"), [("drop", 9), ("cut", 10), ("report", 10)])
def test_what_was_found_of_evaluation_sets_and_what_cannot_be_is_told(tmp_path, capsys, action, num_kept):
    """Whatever becomes of the documents."""
    question = "Natalia sold clips to 48 of her friends in April, and then she sold half as many clips in May."
    (tmp_path / "gsm8k.jsonl").write_text("".join(json.dumps({"question": q}) + "\n" for q in (question, "Who?")))
    around = " ".join(f"word{n}" for n in range(60))
    write(tmp_path, texts(f"{around} {question} {around}", "Write to jane.doe@mail.example.edu or ping 8.8.8.8 now."))
    (tmp_path / "p.toml").write_text(
        f"""
        output.dir = "{tmp_path}/out"
        tokenizer.vocab_size = 300
        sources.web.path = "raw"
        clean.mask = ["email", "ip"]
        decontaminate.against = ["gsm8k.jsonl"]
        decontaminate.action = "{action}"
        """
    )
    assert main(["data", "prepare", str(tmp_path / "p.toml"), "--workers", "1"]) == 0
    told = capsys.readouterr().err
    assert "web: 1 of 2 items have fewer than 8 words and cannot be found: gsm8k.jsonl:2; decontaminate.profile" in told
    assert "1 document that holds an item of gsm8k.jsonl (contamination.jsonl)" in told
    assert ("1 of these cut" in told) == (action == "cut")
    assert "1 e-mail address masked" in told
    assert "1 IP address masked" in told
    assert f"{num_kept} documents to train on" in told
    (hit,) = map(json.loads, (tmp_path / "out" / "contamination.jsonl").read_text().splitlines())
    assert (hit["item"], hit["document"], hit["action"]) == ("gsm8k.jsonl:1", "a.jsonl:9", action)


def test_scores_of_records_choose_among_duplicates_and_those_that_are_none_are_counted(tmp_path):
    records = [{"text": ENGLISH[0], "s": 1.0}, {"text": ENGLISH[0], "s": 2.5}, {"text": ENGLISH[1], "s": "much"}]
    report, names = run(tmp_path, records, source={"fields": {"score": "s"}}, dedup={})
    assert names == ["a.jsonl:2", "a.jsonl:3"]
    assert report.sources["web"].counts["without_score"] == 1


def test_duplicates_are_shown_with_the_one_that_stays(tmp_path, capsys):
    unlike = [" ".join(f"w{n}x{word}" for word in range(40)) for n in range(6)]
    records = [{"text": text} for text in (*unlike, unlike[1], f"{unlike[4]} and more")]
    report, names = run(tmp_path, records, dedup={"minhash": True, "min_jaccard": 0.7, "recall_sample": 0})
    sizes = ShardSet(tmp_path / "out" / "web").cluster_sizes
    assert sizes.sum() == len(records)
    assert len(sizes) == len(names) == len(records) - 2
    assert (report.duplicates["exact_dropped"], report.duplicates["near_dropped"]) == (1, 1)
    biggest = report.duplicates["biggest"]
    assert [cluster["size"] for cluster in biggest] == [2, 2]
    assert [cluster["text"] for cluster in biggest] == [unlike[1][:200], unlike[4][:200]]
    assert main(["data", "show", str(tmp_path / "out"), "--samples"]) == 0
    out = capsys.readouterr().out
    assert "2 duplicates: a.jsonl:2 stays, and not a.jsonl:7\n    w1x0 w1x1" in out
    assert "2 duplicates: a.jsonl:8 stays, and not a.jsonl:5\n    w4x0 w4x1" in out
    assert "duplicates: 1 copy and 1 near one dropped" in out


def test_recall_of_planted_copies_stands_beside_theory(tmp_path):
    generator = np.random.default_rng(1)
    records = [{"text": " ".join(f"w{word}" for word in generator.integers(0, 20_000, 300))} for _ in range(60)]
    report, _ = run(tmp_path, records, dedup={"minhash": True, "recall_sample": 50})
    points = report.duplicates["recall"]
    assert [point["jaccard"] for point in points] == pytest.approx([0.75, 0.8, 0.85, 0.9, 0.95], abs=0.02)
    for point in points:
        assert point["planted"] == 50
        assert point["low"] - 2 <= point["found"] <= point["high"] + 2, point  # one in twenty lies outside by chance


def test_a_source_of_which_nothing_is_left_is_told_with_how_much_there_was(tmp_path):
    with pytest.raises(
        DataError, match=r'the only document of the source "web" at .* is dropped \(gopher: min_words 1\)'
    ):
        run(tmp_path, [{"text": "one"}], filter={"presets": ["gopher"]})
    with pytest.raises(DataError, match=r"all 2 documents of .* are dropped"):
        run(tmp_path, [{"text": "one"}, {"text": "two"}], filter={"presets": ["gopher"]})
    with pytest.raises(DataError, match=r"holds no text \(1 record is bad, the first: "):
        run(tmp_path, [{"no": "text"}])
