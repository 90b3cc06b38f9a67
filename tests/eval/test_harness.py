"""lm-evaluation-harness beside ours: its own ``hf`` model and textmill on the same weights, in float32."""

import json
import os
import subprocess
from pathlib import Path

import pytest

from eval.test_run_task import WORDS, choice_items
from fakes.peer_environment import peer_python
from fakes.tiny_model import write_model
from textmill.eval.evaluated_model import open_evaluated
from textmill.eval.measure import measure_task
from textmill.eval.results import read_results
from textmill.eval.tasks.task_file import read_task

pytestmark = [pytest.mark.peer, pytest.mark.slow]
ROOT = Path(__file__).parents[2]
TASKS = {
    "tiny_choice": """
output_type: multiple_choice
num_fewshot: {shots}
fewshot_config: {{sampler: first_n}}
doc_to_text: "{{{{prompt}}}}"
doc_to_choice: "{{{{choices}}}}"
doc_to_target: answer
metric_list: [{{metric: acc}}, {{metric: acc_norm}}]
""",
    "tiny_cloze": """
output_type: loglikelihood
doc_to_text: "{{{{prompt}}}}"
doc_to_target: " {{{{choices[answer]}}}}"
metric_list: [{{metric: perplexity}}, {{metric: acc}}]
""",
    "tiny_rolling": """
output_type: loglikelihood_rolling
doc_to_text: ""
doc_to_target: "{{{{text}}}}"
metric_list: [{{metric: bits_per_byte}}]
""",
    "tiny_generate": """
output_type: generate_until
doc_to_text: "{{{{prompt}}}}"
doc_to_target: "x"
generation_kwargs: {{until: ["z"], max_gen_toks: 12, do_sample: false}}
metric_list: [{{metric: exact_match}}]
""",
}


def _python():
    return peer_python("lm-eval-0.4.13", "lm-eval==0.4.13", "accelerate==1.15.0")


def _environment(folder):
    paths = [os.environ.get("PYTHONPATH", ""), str(ROOT / "src")]
    return os.environ | {
        "HF_HUB_OFFLINE": "1",
        "HF_DATASETS_CACHE": str(folder / "cache"),
        "HF_HOME": str(folder / "home"),
        "PYTHONPATH": os.pathsep.join(filter(None, paths)),
    }


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    python = _python()
    folder = tmp_path_factory.mktemp("harness")
    write_model(folder / "model")
    items = choice_items(12)
    for number, item in enumerate(items):
        item["text"] = f"the {WORDS[number % 8]} jumps " * (2 + 12 * (number == 5))
    (folder / "items.jsonl").write_text("".join(json.dumps(item) + "\n" for item in items))
    for name, body in TASKS.items():
        data = f"task: {name}\ndataset_path: json\ndataset_kwargs: {{data_files: {{test: {folder / 'items.jsonl'}}}}}\n"
        shots = "fewshot_split: test\n" if "shots" in body else ""
        (folder / f"{name}.yaml").write_text(data + "test_split: test\n" + shots + body.format(shots=2))
    script = [python, Path(__file__).with_name("harness_pair.py"), folder / "model", folder, ",".join(TASKS), "128"]
    result = subprocess.run(script, env=_environment(folder), capture_output=True, text=True, check=False, timeout=280)
    assert result.returncode == 0, result.stderr[-4000:]
    return folder, items, json.loads(result.stdout.splitlines()[-1])


@pytest.mark.parametrize("task", TASKS)
def test_results_are_those_of_its_own_model(pair, task):
    _, _, found = pair
    theirs, ours = found["hf"], found["textmill"]
    for metric, value in theirs["results"][task].items():
        if isinstance(value, float):
            assert ours["results"][task][metric] == pytest.approx(value, rel=1e-5), metric
    for their, our in zip(theirs["samples"][task], ours["samples"][task], strict=True):
        assert their["target"] == our["target"]
        for a, b in zip(_flat(their["resps"]), _flat(our["resps"]), strict=True):
            assert b == (pytest.approx(a, rel=1e-5, abs=1e-5) if isinstance(a, float) else a)


def _flat(value):
    """What samples hold, numbers as numbers: JSON writes some of them as texts."""
    if isinstance(value, list):
        return [inner for one in value for inner in _flat(one)]
    try:
        return [float(value)]
    except (TypeError, ValueError):
        return [value]


def test_our_own_tasks_score_the_same(pair, tmp_path):
    """Its sampler leaves an item out of its own examples: those after the first three have the same two as ours."""
    folder, items, found = pair
    model = open_evaluated(folder / "model", weights="f32", context=128, threads=1)
    path = tmp_path / "choice.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in ({"task": {"shots": 2}}, *items)))
    measure_task(model, read_task(path), path, tmp_path / "out")
    _, records = read_results(tmp_path / "out/choice.jsonl")
    theirs = found["hf"]["samples"]["tiny_choice"]
    for record, their in zip(records[1:], theirs[3:], strict=True):
        assert record["logprobs"] == pytest.approx([float(one[0]) for one in their["resps"]], abs=1e-4)


def test_the_command_runs_it(pair):
    folder, _, found = pair
    options = ["--include", folder, "--weights", "f32", "--context", "128", "--json"]
    result = _eval(folder, "tiny_choice", *options)
    assert result.returncode == 0, result.stderr[-4000:]
    told = json.loads(result.stdout[result.stdout.index("{") :])
    theirs = found["hf"]["results"]["tiny_choice"]
    assert told["harness"]["tiny_choice"]["acc,none"] == pytest.approx(theirs["acc,none"])
    assert told["harness"]["tiny_choice"]["acc_norm,none"] == pytest.approx(theirs["acc_norm,none"])


def _eval(folder, tasks, *options):
    command = [_python(), "-m", "textmill", "eval", folder / "model", "--harness", tasks, *options]
    return subprocess.run(command, env=_environment(folder), capture_output=True, text=True, check=False)
