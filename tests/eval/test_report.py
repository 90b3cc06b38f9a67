import json
import shutil

import pytest

from fakes.tiny_run import write_recipe
from textmill.base.errors import DataError
from textmill.cli import main
from textmill.eval.measure import measure_source, measure_task
from textmill.eval.report.lineage import run_of
from textmill.eval.report.page import write_model_report
from textmill.eval.sources import text_sources
from textmill.eval.tasks.task_file import read_task


@pytest.fixture
def results(tiny, write_task, tmp_path):
    folder = tmp_path / "evals"
    (tmp_path / "notes.txt").write_text("the quick brown fox " * 40)
    (source,) = text_sources([str(tmp_path / "notes.txt")])
    measure_source(tiny, source, folder)
    choice = write_task({"prompt": "the", "choices": ["fox", "dog"], "answer": 0}, name="pick.jsonl")
    written = write_task(
        {"task": {"kind": "generate", "max_tokens": 3}}, {"prompt": "<b>the</b>", "answer": "x"}, name="write.jsonl"
    )
    for path in (choice, written):
        measure_task(tiny, read_task(path), path, folder)
    return folder


def test_a_page_holds_what_was_measured(tiny_folder, results):
    page = write_model_report(tiny_folder, results).read_text()
    for text in ("Bits per byte", "notes", "By the place in a document", "pick", "acc_norm", "write", "exact_match",
                 "What it answered", "&lt;b&gt;the&lt;/b&gt;", "is not part of a run"):  # fmt: skip
        assert text in page
    assert "<script" not in page
    assert "http" not in page
    again = write_model_report(tiny_folder, results, results.parent / "again.html").read_text()
    assert again == page


def test_results_of_another_model_are_refused(tiny_folder, results):
    path = results / "pick.jsonl"
    header, rest = path.read_text().split("\n", 1)
    path.write_text(json.dumps(json.loads(header) | {"model_sha256": "0" * 64}) + "\n" + rest)
    with pytest.raises(DataError, match=r"pick.jsonl holds results of another model.*--results"):
        write_model_report(tiny_folder, results)


def test_a_score_of_some_items_says_of_how_many(tiny_folder, results):
    path = results / "pick.jsonl"
    header, rest = path.read_text().split("\n", 1)
    path.write_text(json.dumps(json.loads(header) | {"items": 1000}) + "\n" + rest)
    page = write_model_report(tiny_folder, results).read_text()
    assert page.count("1 of 1,000") == 3  # acc, acc_norm, acc_bytes


def test_nothing_measured_yet_is_said(tiny_folder, tmp_path):
    assert "Nothing has been measured yet" in write_model_report(tiny_folder, tmp_path / "none").read_text()


def test_a_checkpoint_and_a_finished_model_belong_to_their_run(tmp_path):
    run = tmp_path / "run"
    for folder in (run / "model", run / "checkpoints/step-5", tmp_path / "other"):
        folder.mkdir(parents=True)
    (run / "events.jsonl").write_text("")
    assert run_of(run / "model") == run_of(run / "checkpoints/step-5") == run
    assert run_of(tmp_path / "other") is None


@pytest.mark.slow
def test_a_run_has_its_curves_its_data_and_the_items_that_were_in_it(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["train", str(write_recipe(tmp_path, steps=4))]) == 0
    texts = [path.read_text().splitlines() for path in sorted((tmp_path / "words").iterdir())]
    items = [{"question": " ".join(lines[:3]), "choices": ["a", "b"], "answer": 0} for lines in texts[:10]]
    items += [
        {"question": "nothing of this kind was ever written by anybody in any of those files, was it?", "answer": 1}
    ]
    (tmp_path / "quiz.jsonl").write_text("".join(json.dumps(item) + "\n" for item in ({"task": {}}, *items)))
    assert main(["eval", "report", "run"]) == 0
    page = (tmp_path / capsys.readouterr().out.split()[-1]).read_text()
    for text in ("Bits per byte", "Learning rate", "Where it comes from", "words", "how sums was made", "Stages"):
        assert text in page
    assert "Nobody has looked for evaluation items" in page
    assert main(["eval", "report", "run", "--against", "quiz.jsonl"]) == 0
    page = (tmp_path / capsys.readouterr().out.split()[-1]).read_text()
    found = page.partition("documents with one")[2].partition("</table>")[0]
    assert "quiz.jsonl" in found
    assert "<td>11</td>" in found
    assert "quiz.jsonl:2 in words" in page
    assert "quiz.jsonl:12 in" not in page


def test_without_a_run_there_is_no_text_to_look_into(tiny_folder, tmp_path):
    with pytest.raises(DataError, match="is not part of a run.*leave --against out"):
        write_model_report(tiny_folder, tmp_path, against=["quiz.jsonl"])


@pytest.fixture
def tuned(tiny_folder, tmp_path):
    run = tmp_path / "tuned"
    shutil.copytree(tiny_folder, run / "model")
    (run / "events.jsonl").write_text("")
    said = "the mill by the river turns slowly in the dry months of the year and stops in the frost"
    chats = [
        {"messages": [{"role": "user", "content": "Hello?"}, {"role": "assistant", "content": "Hello."}]},
        {"messages": [{"role": "user", "content": f"{said}, is that so?"}, {"role": "assistant", "content": "Yes."}]},
    ]
    (tmp_path / "chats.jsonl").write_text("".join(json.dumps(chat) + "\n" for chat in chats))
    (tmp_path / "quiz.jsonl").write_text(json.dumps({"question": said, "choices": ["a", "b"], "answer": 0}) + "\n")
    tune = {"kind": "sft", "model": "the-base", "data": str(tmp_path / "chats.jsonl")}
    (run / "config.json").write_text(json.dumps({"recipe": {"model": {}, "data": {"sources": {}}, "tune": tune}}))
    (run / "inputs.json").write_text(json.dumps({"model": "0123456789abcdef", "data": "fedcba9876543210"}))
    return run


def test_a_tuned_model_says_what_it_was_tuned_from_and_on(tuned, tmp_path):
    page = write_model_report(tuned / "model", tmp_path / "none").read_text()
    assert "It was tuned (sft) from the weights of the-base (hash of its values 0123456789ab; " in page
    assert "random weights" not in page
    assert f"{tmp_path / 'chats.jsonl'}</" in page.partition("learned from")[2].partition("</table>")[0]
    assert "Nobody has looked for evaluation items" in page
    assert "before it was tuned is not looked into" in page


def test_items_are_found_in_what_a_model_was_tuned_on(tuned, tmp_path):
    page = write_model_report(tuned / "model", tmp_path / "none", against=[str(tmp_path / "quiz.jsonl")]).read_text()
    assert "quiz.jsonl:1 in chats.jsonl, line 2, characters" in page
    assert "Nobody has looked for evaluation items" not in page
    (tmp_path / "chats.jsonl").write_text('{"messages": [')
    with pytest.raises(DataError, match=r"chats.jsonl:1: not valid JSON"):
        write_model_report(tuned / "model", tmp_path / "none", against=[str(tmp_path / "quiz.jsonl")])
    (tmp_path / "chats.jsonl").unlink()
    with pytest.raises(DataError, match=r"tuned was tuned on cannot be looked into.*chats.jsonl is not on this disk"):
        write_model_report(tuned / "model", tmp_path / "none", against=[str(tmp_path / "quiz.jsonl")])
