import json

import pytest

from textmill.base.errors import DataError
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


def test_nothing_measured_yet_is_said(tiny_folder, tmp_path):
    assert "Nothing has been measured yet" in write_model_report(tiny_folder, tmp_path / "none").read_text()


def test_a_checkpoint_and_a_finished_model_belong_to_their_run(tmp_path):
    run = tmp_path / "run"
    for folder in (run / "model", run / "checkpoints/step-5", tmp_path / "other"):
        folder.mkdir(parents=True)
    (run / "events.jsonl").write_text("")
    assert run_of(run / "model") == run_of(run / "checkpoints/step-5") == run
    assert run_of(tmp_path / "other") is None
