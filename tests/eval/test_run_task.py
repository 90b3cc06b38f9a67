import json
import math

import numpy as np
import pytest

from textmill.base.errors import ConfigError, DataError
from textmill.eval.compare import compare_results
from textmill.eval.measure import measure_task
from textmill.eval.results import read_results
from textmill.eval.tasks.prompts import Prompts
from textmill.eval.tasks.task_file import read_task

WORDS = ["fox", "dog", "wizards", "box", "quick", "lazy", "brown", "seven"]


def logprobs_by_hand(lm, context, continuation):
    """The sum for a continuation, and whether it is greedy, from the logits of the whole text, in float64."""
    before, whole = lm.tokenizer.encode(context), lm.tokenizer.encode(context + continuation)
    logits = lm.logits(whole[:-1]).astype(np.float64)
    logprobs = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    rows = range(len(before) - 1, len(whole) - 1)
    total = sum(logprobs[row, whole[row + 1]] for row in rows)
    return total, all(logprobs[row].argmax() == whole[row + 1] for row in rows)


def choice_items(count):
    rng = np.random.default_rng(4)
    return [
        {"id": f"q{n}", "prompt": f"the {rng.choice(WORDS)} jumps over the {n}",
         "choices": rng.permutation(WORDS)[:4].tolist(), "answer": int(rng.integers(4))}
        for n in range(count)
    ]  # fmt: skip


def run(model, path, folder, **settings):
    options = {key: settings.pop(key) for key in ("restart", "run_unprotected", "progress") if key in settings}
    return measure_task(model, read_task(path, **settings), path, folder, **options)[0]


@pytest.mark.parametrize("shots", [0, 2])
def test_choices_are_those_counted_by_hand(tiny, write_task, tmp_path, shots):
    items = choice_items(9)
    path = write_task({"task": {"shots": shots, "separator": "\n"}}, *items)
    score = run(tiny, path, tmp_path / "out")
    before = "".join(f"{item['prompt']} {item['choices'][item['answer']]}\n" for item in items[:shots])
    right = {"acc": 0, "acc_norm": 0, "acc_bytes": 0}
    records = read_results(tmp_path / "out/task.jsonl").records
    for item, record in zip(items[shots:], records, strict=True):
        sums = [logprobs_by_hand(tiny.lm, before + item["prompt"], f" {choice}")[0] for choice in item["choices"]]
        np.testing.assert_allclose(record["logprobs"], sums, atol=1e-4)
        norm = [value / len(choice) for value, choice in zip(sums, item["choices"], strict=True)]
        right["acc"] += int(np.argmax(sums)) == item["answer"]
        right["acc_norm"] += int(np.argmax(norm)) == item["answer"]
        right["acc_bytes"] += int(np.argmax(norm)) == item["answer"]
    assert {metric.name: metric.value for metric in score.metrics} == {
        name: count / (9 - shots) for name, count in right.items()
    }
    assert (score.num_items, score.shots) == (9 - shots, shots)


def test_lengths_are_of_characters_and_of_bytes(tiny, write_task, tmp_path):
    item = {"prompt": "the", "choices": ["fox box", "éééé"], "answer": 0}
    run(tiny, write_task(item), tmp_path / "out")
    (record,) = read_results(tmp_path / "out/task.jsonl").records
    by_characters = [value / length for value, length in zip(record["logprobs"], (7, 4), strict=True)]
    by_bytes = [value / length for value, length in zip(record["logprobs"], (7, 8), strict=True)]
    assert record["picked"]["acc_norm"] == np.argmax(by_characters)
    assert record["picked"]["acc_bytes"] == np.argmax(by_bytes)


def test_a_cloze_is_right_where_greedy_decoding_writes_it(tiny, write_task, tmp_path):
    lm = tiny.lm
    context = "the quick brown"
    written = lm.generate(context, max_tokens=3, temperature=0).text
    items = [{"prompt": context, "answer": written}, {"prompt": context, "answer": " zebra"}]
    score = run(tiny, write_task({"task": {"kind": "cloze", "delimiter": ""}}, *items), tmp_path / "out")
    hand = [logprobs_by_hand(lm, context, item["answer"]) for item in items]
    values = {metric.name: metric.value for metric in score.metrics}
    assert values["acc"] == sum(greedy for _, greedy in hand) / 2
    assert values["perplexity"] == pytest.approx(math.exp(-sum(total for total, _ in hand) / 2), rel=1e-4)


def test_what_is_written_is_compared(tiny, write_task, tmp_path):
    prompt = "the quick brown"
    text = tiny.lm.generate(prompt, max_tokens=8).text
    items = [{"prompt": prompt, "answer": text, "id": "same"}, {"prompt": prompt, "answer": "x" + text, "id": "other"}]
    score = run(tiny, write_task({"task": {"kind": "generate", "max_tokens": 8}}, *items), tmp_path / "out")
    assert [(metric.name, metric.value) for metric in score.metrics] == [("exact_match", 0.5)]
    assert score.num_cut == 2
    records = read_results(tmp_path / "out/task.jsonl").records
    assert [record["outputs"][0]["correct"] for record in records] == [True, False]
    assert records[0]["outputs"][0]["text"] == text


def test_a_chat_is_laid_out_by_the_template(tiny, write_task, tmp_path):
    item = {"prompt": "fox?", "choices": ["yes", "no"], "answer": 0}
    shot = {"prompt": "dog?", "choices": ["yes", "no"], "answer": 1, "id": "shot"}
    path = write_task({"task": {"chat": True, "shots": 1, "description": "Say"}}, shot, item)
    run(tiny, path, tmp_path / "out")
    (record,) = read_results(tmp_path / "out/task.jsonl").records
    messages = [
        {"role": "system", "content": "Say"},
        {"role": "user", "content": "dog?"},
        {"role": "assistant", "content": "no"},
        {"role": "user", "content": "fox?"},
    ]
    lm = tiny.lm
    before, answer = lm.chat_ids(messages), lm.tokenizer.encode("yes")
    logits = lm.logits([*before, *answer][:-1]).astype(np.float64)[len(before) - 1 :]
    logprobs = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    assert record["logprobs"][0] == pytest.approx(logprobs[np.arange(len(answer)), answer].sum(), abs=1e-4)


def test_an_interrupted_task_goes_on_to_the_same_bytes(tiny, write_task, tmp_path):
    tasks = {
        "choice": write_task(*choice_items(6), name="choice.jsonl"),
        "generate": write_task(
            {"task": {"kind": "generate", "max_tokens": 4, "temperature": 1.0, "samples": 2, "seed": 3}},
            *({"prompt": f"the {word}", "answer": "x", "id": word} for word in WORDS),
            name="generate.jsonl",
        ),
    }
    for name, path in tasks.items():
        run(tiny, path, tmp_path / "whole")
        whole = (tmp_path / f"whole/{name}.jsonl").read_bytes()
        for cut in (0, 10, whole.index(b"\n") + 1, 2 * len(whole) // 3, len(whole)):
            (tmp_path / "torn").mkdir(exist_ok=True)
            (tmp_path / f"torn/{name}.jsonl").write_bytes(whole[:cut])
            run(tiny, path, tmp_path / "torn")
            assert (tmp_path / f"torn/{name}.jsonl").read_bytes() == whole


def test_results_of_another_task_are_not_mixed_in(tiny, write_task, tmp_path):
    run(tiny, write_task(*choice_items(3)), tmp_path / "out")
    with pytest.raises(ConfigError, match=r"another items: 3 there, 4 now.*--restart"):
        run(tiny, write_task(*choice_items(4)), tmp_path / "out")
    assert run(tiny, write_task(*choice_items(4)), tmp_path / "out", restart=True).num_items == 4


def test_an_item_that_does_not_fit_is_named(tiny, write_task, tmp_path):
    path = write_task(*choice_items(2), {"prompt": "fox " * 400, "choices": ["a", "b"], "answer": 0})
    with pytest.raises(DataError, match=r"task.jsonl, line 3: the item takes [\d,]+ tokens, and the context is 256"):
        run(tiny, path, tmp_path / "out")
    long = write_task({"task": {"kind": "generate"}}, {"prompt": "fox " * 400, "answer": "a"})
    with pytest.raises(DataError, match="line 2: the item takes"):
        run(tiny, long, tmp_path / "other")


def test_programs_are_run_with_their_tests(tiny, write_task, tmp_path):
    """The tiny model writes no programs: what it writes is a comment, and prompts do the work."""
    settings = {"kind": "code", "max_tokens": 2, "stop": ["\n"], "timeout_s": 60}
    body = "def f(x):\n    return x + 1\n# "
    items = [
        {"id": "right", "prompt": body, "tests": "assert f(1) == 2"},
        {"id": "wrong", "prompt": body, "tests": "assert f(1) == 3, 'it is 2'"},
    ]
    try:
        score = run(tiny, write_task({"task": settings}, *items), tmp_path / "out")
    except ConfigError as error:
        pytest.skip(str(error))
    assert [(metric.name, metric.value) for metric in score.metrics] == [("pass@1", 0.5)]
    records = read_results(tmp_path / "out/task.jsonl").records
    assert [record["outputs"][0].get("error") for record in records] == [None, "AssertionError: it is 2"]


def test_an_example_of_a_program_goes_on_where_its_prompt_ends(tiny, write_task):
    items = [{"prompt": f"def f{n}():\n", "answer": f"    return {n}", "tests": f"f{n}()"} for n in range(2)]

    def prompt(**settings):
        path = write_task({"task": {"shots": 1} | settings}, *items)
        task = read_task(path)
        return Prompts(tiny.lm, task, path).text(task.items[0])

    assert prompt() == prompt(kind="code") == "def f0():\n    return 0\n\ndef f1():\n"
    assert prompt(delimiter="# ") == "def f0():\n#     return 0\n\ndef f1():\n"


def write_results(folder, scores, name="task", **header):
    folder.mkdir(exist_ok=True)
    lines = [{"v": 1, "kind": "task", "task": name, "task_sha256": "t", **header}]
    lines += [{"id": str(number), "scores": {"acc": float(score)}} for number, score in enumerate(scores)]
    (folder / f"{name}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return folder


def test_two_models_are_compared_item_by_item(tmp_path):
    a = write_results(tmp_path / "a", [1] * 10 + [0] * 8 + [1, 0])
    b = write_results(tmp_path / "b", [1] * 10 + [1] * 8 + [0, 0])
    (found,) = compare_results(a, b)
    assert (found.count, found.a, found.b, found.only_a, found.only_b) == (20, 11 / 20, 18 / 20, 1, 8)
    assert found.p_value == pytest.approx(2 * (1 + 9) / 2**9)
    assert found.differ
    low, high = found.interval
    assert 0 < low < 7 / 20 < high
    (same,) = compare_results(a, a)
    assert (same.p_value, same.differ, same.interval) == (1.0, False, (0.0, 0.0))


def write_bits(path, bits, *, is_whole=True):
    lines = [{"v": 1, "kind": "bits", "source": "web"}]
    lines += [{"id": str(i), "hash": "h", "bytes": 10, "bits": [value, 0.0]} for i, value in enumerate(bits)]
    lines += [{"end": len(bits)}] if is_whole else []
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def test_bits_are_compared_document_by_document(tmp_path):
    def write(name, bits):
        write_bits(tmp_path / f"{name}.jsonl", bits)

    write("a", [10.0, 20.0, 30.0])
    write("b", [11.0, 22.0, 33.0])
    (found,) = compare_results(tmp_path / "a.jsonl", tmp_path / "b.jsonl")
    assert (found.metric, found.a, found.b) == ("bits_per_byte", 2.0, pytest.approx(2.2))
    assert found.interval[0] > 0
    assert (found.p_value, found.differ) == (0.25, False)  # three documents are too few to be sure
    write("a", [10.0, 20.0, 30.0] * 3)
    write("b", [11.0, 22.0, 33.0] * 3)
    (found,) = compare_results(tmp_path / "a.jsonl", tmp_path / "b.jsonl")
    assert (found.p_value, found.differ) == (2 / 2**9, True)


def test_what_cannot_be_compared_is_named(tmp_path):
    a = write_results(tmp_path / "a", [1, 0])
    for name, scores, header, said in (
        ("b", [1, 0], {"task_sha256": "other"}, "their task_sha256 differ"),
        ("e", [1, 0], {"items": 1000}, "e/task.jsonl has 2 of 1,000 items: it was interrupted"),
        ("f", [1, 0], {"stride": 8}, "a stride of half the context and .* of 8"),
        ("c", [1], {}, "has 2 results and .* 1. Evaluate both with the same --limit"),
    ):
        with pytest.raises(DataError, match=said):
            compare_results(a, write_results(tmp_path / name, scores, **header))
    with pytest.raises(DataError, match="no results of the same name: task.jsonl and x.jsonl"):
        compare_results(a, write_results(tmp_path / "d", [1], name="x"))
    (tmp_path / "bad.jsonl").write_text('{"no": 1}\n')
    with pytest.raises(DataError, match="holds no results of textmill eval"):
        compare_results(a / "task.jsonl", tmp_path / "bad.jsonl")
    with pytest.raises(DataError, match="is a folder and the other is not"):
        compare_results(a, tmp_path / "bad.jsonl")


def test_bits_that_were_interrupted_are_not_compared(tmp_path):
    """Not even where both stopped after the same document: the figures would be of a part that nobody chose."""
    a = write_bits(tmp_path / "a.jsonl", [1.0, 2.0], is_whole=False)
    b = write_bits(tmp_path / "b.jsonl", [2.0, 3.0], is_whole=False)
    whole = write_bits(tmp_path / "whole.jsonl", [1.0, 2.0])
    for one, other, named in ((a, b, "a"), (whole, b, "b"), (a, whole, "a")):
        with pytest.raises(DataError, match=rf"{named}.jsonl has the first 2 documents .* it was interrupted"):
            compare_results(one, other)
    (tmp_path / "lost.jsonl").write_text(whole.read_text().replace('{"end": 2}', '{"end": 3}'))
    with pytest.raises(DataError, match="lost.jsonl has lost lines"):
        compare_results(whole, tmp_path / "lost.jsonl")
