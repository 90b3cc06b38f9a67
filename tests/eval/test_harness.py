"""lm-evaluation-harness beside ours: its own ``hf`` model and textmill on the same weights, in float32."""

import json
import shutil
import subprocess

import pytest

from eval.harness_tasks import TASKS, check_equal, harness_environment, harness_python, run_pair, write_tasks
from fakes.tiny_model import TEMPLATE, tokenizer, write_model
from textmill.eval.evaluated_model import open_evaluated
from textmill.eval.measure import measure_task
from textmill.eval.results import read_results
from textmill.eval.tasks.task_file import read_task

pytestmark = [pytest.mark.peer, pytest.mark.slow]
# Refuses a system message, as some templates do; takes the spaces off what messages say.
STRICT = "{% if messages[0]['role'] == 'system' %}{{ raise_exception('no system') }}{% endif %}" + TEMPLATE.replace(
    "m['content']", "m['content'] | trim"
)


def _changed(base, name, *, begins_with=None, template=None, **changes):
    """A copy of a model with other small files; None takes a key out."""
    folder = base.parent / name
    shutil.copytree(base, folder)
    for file, values in changes.items():
        path = folder / f"{file}.json"
        table = json.loads(path.read_text()) | values
        path.write_text(json.dumps({key: value for key, value in table.items() if value is not None}))
    if begins_with is not None:
        path = folder / "tokenizer.json"
        table = json.loads(path.read_text())
        (token,) = (one for one in table["added_tokens"] if one["content"] == begins_with)
        single = [{"SpecialToken": {"id": begins_with, "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}]
        table["post_processor"] = {
            "type": "TemplateProcessing",
            "single": single,
            "pair": [*single, {"Sequence": {"id": "B", "type_id": 1}}],
            "special_tokens": {begins_with: {"id": begins_with, "ids": [token["id"]], "tokens": [begins_with]}},
        }
        path.write_text(json.dumps(table))
    if template is not None:
        (folder / "chat_template.jinja").write_text(template)
    return folder


def _runs(base):
    """What is asked of both models: every task once, then what the small files of a model can say."""
    chat = {"apply_chat_template": True, "system_instruction": "Be brief."}
    names = list(TASKS)
    begins = _changed(
        base,
        "begins",
        begins_with="<|im_start|>",
        tokenizer_config={"add_bos_token": True},
        generation_config={"repetition_penalty": 1.3},
    )
    return [
        ("plain", base, [], names, {}),
        ("begins", begins, [], names, {}),
        ("chat", base, [], names[3:], {**chat, "fewshot_as_multiturn": True}),
        ("one turn", base, [], names[4:], {**chat, "fewshot_as_multiturn": False}),
        ("strict", _changed(base, "strict", template=STRICT), [], names[3:], {**chat, "fewshot_as_multiturn": True}),
        # Only what texts become: the files say it twice, and not always the same.
        ("says no", begins, ["add_bos_token=False"], [], {}),
        ("says yes", base, ["add_bos_token=True"], [], {}),
        ("prefix", base, ["prefix_token_id=5"], [], {}),
        ("other first", _changed(base, "other", begins_with="<|endoftext|>"), [], [], {}),
        ("asks in vain", _changed(base, "vain", tokenizer_config={"add_bos_token": True}), [], [], {}),
        (
            "refuses in vain",
            _changed(base, "refuses", begins_with="<|im_start|>", tokenizer_config={"add_bos_token": False}),
            [],
            [],
            {},
        ),
        ("no BOS", _changed(base, "nameless", tokenizer_config={"bos_token": None}), [], [], {}),
        ("two ends", _changed(base, "ends", config={"eos_token_id": [0, 2]}), [], [], {}),
    ]


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    folder = tmp_path_factory.mktemp("harness")
    write_model(folder / "model", vocab_size=tokenizer().vocab_size)  # hf would draw rows that have no token
    items = write_tasks(folder)
    keys = ("name", "model", "arguments", "tasks", "options")
    runs = [dict(zip(keys, run, strict=True)) for run in _runs(folder / "model")]
    for run in runs:
        run["arguments"] = ["max_length=200", *run["arguments"]]
    return folder, items, run_pair(folder, runs)


@pytest.mark.parametrize("name", ["plain", "begins", "chat", "one turn", "strict"])
def test_results_are_those_of_its_own_model(pair, name):
    _, _, found = pair
    check_equal(found[name]["hf"]["run"], found[name]["textmill"]["run"])


def test_texts_become_the_tokens_of_its_own_model(pair):
    _, _, found = pair
    for name, both in found.items():
        assert both["textmill"]["ids"] == both["hf"]["ids"], name
    assert found["begins"]["hf"]["ids"] != found["plain"]["hf"]["ids"]
    assert found["asks in vain"]["hf"]["ids"] == found["plain"]["hf"]["ids"]
    assert found["two ends"]["hf"]["ids"] == found["plain"]["hf"]["ids"]


def test_a_message_that_is_gone_on_with_stays_open(pair):
    _, _, found = pair
    asked = json.dumps(found["chat"]["textmill"]["run"]["samples"]["tiny_prefilled"][5]["prompt"])
    assert "Be brief." in asked
    assert asked.count("<|im_start|>") == 7  # system, two examples of two turns, the question, its answer
    assert '<|im_start|>assistant\\nThe answer is"' in asked


def test_our_own_tasks_score_the_same(pair, tmp_path):
    """Its sampler leaves an item out of its own examples: those after the first three have the same two as ours."""
    folder, items, found = pair
    model = open_evaluated(folder / "model", weights="f32", context=200, threads=1)
    path = tmp_path / "choice.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in ({"task": {"shots": 2}}, *items)))
    measure_task(model, read_task(path), path, tmp_path / "out")
    records = read_results(tmp_path / "out/choice.jsonl").records
    theirs = found["plain"]["hf"]["run"]["samples"]["tiny_choice"]
    for record, their in zip(records[1:], theirs[3:], strict=True):
        assert record["logprobs"] == pytest.approx([float(one[0]) for one in their["resps"]], abs=1e-4)


def test_the_command_runs_it(pair, tmp_path):
    folder, _, found = pair
    options = ["-o", tmp_path / "out", "--include", folder, "--weights", "f32", "--context", "200", "--json"]
    result = _eval(folder, "tiny_choice", *options)
    assert result.returncode == 0, result.stderr[-4000:]
    told = json.loads(result.stdout[result.stdout.index("{") :])
    theirs = found["plain"]["hf"]["run"]["results"]["tiny_choice"]
    assert told["harness"]["tiny_choice"]["acc,none"] == pytest.approx(theirs["acc,none"])
    assert told["harness"]["tiny_choice"]["acc_norm,none"] == pytest.approx(theirs["acc_norm,none"])


def test_the_command_keeps_what_the_harness_keeps(pair, tmp_path):
    folder, _, found = pair
    options = ["--include", folder, "--weights", "f32", "--context", "200", "--limit", "4", "-o", tmp_path / "out"]
    options += ["--chat", "--system", "Be brief.", "--log-samples"]
    result = _eval(folder, "tiny_prefilled", *options)
    assert result.returncode == 0, result.stderr[-4000:]
    (kept,) = (tmp_path / "out/harness").iterdir()
    assert kept.name == str(folder / "model").replace("/", "__")
    (figures,) = kept.glob("results_*.json")
    told = json.loads(figures.read_text())
    assert told["system_instruction"] == "Be brief."
    assert told["chat_template"] == TEMPLATE
    assert told["fewshot_as_multiturn"] is True
    assert told["config"]["model_num_parameters"] > 0
    assert told["n-samples"]["tiny_prefilled"]["effective"] == 4
    (samples,) = kept.glob("samples_tiny_prefilled_*.jsonl")
    written = [json.loads(line)["filtered_resps"] for line in samples.read_text().splitlines()]
    assert written == [one["resps"] for one in found["chat"]["textmill"]["run"]["samples"]["tiny_prefilled"][:4]]
    assert str(figures) in result.stderr
    assert "no results of the same name" not in result.stderr


def _eval(folder, tasks, *options):
    command = [harness_python(), "-m", "textmill", "eval", folder / "model", "--harness", tasks, *options]
    return subprocess.run(command, env=harness_environment(folder), capture_output=True, text=True, check=False)
