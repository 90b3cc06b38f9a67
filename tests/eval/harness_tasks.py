"""Small tasks of lm-evaluation-harness on files of our own, and the environment that runs them."""

import json
import os
import subprocess
from pathlib import Path

import pytest

from eval.test_run_task import WORDS, choice_items
from fakes.peer_environment import peer_python

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
    "tiny_prefilled": """
output_type: generate_until
num_fewshot: {shots}
fewshot_config: {{sampler: first_n}}
doc_to_text: "{{{{prompt}}}}"
doc_to_target: "{{{{choices[answer]}}}}"
gen_prefix: "The answer is"
generation_kwargs: {{until: ["z"], max_gen_toks: 12, do_sample: false}}
metric_list: [{{metric: exact_match}}]
""",
}


def harness_python():
    return peer_python("lm-eval-0.4.13", "lm-eval[api]==0.4.13", "accelerate==1.15.0")


def harness_environment(folder):
    paths = [os.environ.get("PYTHONPATH", ""), str(ROOT / "src")]
    return os.environ | {
        "HF_HUB_OFFLINE": "1",
        "HF_DATASETS_CACHE": str(folder / "cache"),
        "HF_HOME": str(folder / "home"),
        "PYTHONPATH": os.pathsep.join(filter(None, paths)),
    }


def write_tasks(folder):
    """Write the tasks and their items into a folder; returns the items."""
    items = choice_items(12)
    for number, item in enumerate(items):
        item["text"] = f"the {WORDS[number % 8]} jumps " * (2 + 12 * (number == 5))
    (folder / "items.jsonl").write_text("".join(json.dumps(item) + "\n" for item in items))
    for name, body in TASKS.items():
        data = f"task: {name}\ndataset_path: json\ndataset_kwargs: {{data_files: {{test: {folder / 'items.jsonl'}}}}}\n"
        shots = "fewshot_split: test\n" if "shots" in body else ""
        (folder / f"{name}.yaml").write_text(data + "test_split: test\n" + shots + body.format(shots=2))
    return items


def run_pair(folder, runs):
    """What ``harness_pair.py`` finds for some runs, on the tasks that lie in the folder."""
    (folder / "runs.json").write_text(json.dumps(runs, default=str))
    script = [harness_python(), Path(__file__).with_name("harness_pair.py"), folder, folder / "runs.json"]
    result = subprocess.run(
        script, env=harness_environment(folder), capture_output=True, text=True, check=False, timeout=560
    )
    assert result.returncode == 0, result.stderr[-4000:]
    return json.loads(result.stdout.splitlines()[-1])


def flat(value):
    """What samples hold, numbers as numbers: JSON writes some of them as texts."""
    if isinstance(value, list):
        return [inner for one in value for inner in flat(one)]
    try:
        return [float(value)]
    except (TypeError, ValueError):
        return [value]


def check_equal(theirs, ours):
    """Two models' results and samples are the same, log-probabilities as far as float32 rounds alike."""
    for task in theirs["results"]:
        for metric, value in theirs["results"][task].items():
            if isinstance(value, float):
                assert ours["results"][task][metric] == pytest.approx(value, rel=1e-5), (task, metric)
        for their, our in zip(theirs["samples"][task], ours["samples"][task], strict=True):
            assert their["prompt"] == our["prompt"]
            assert their["target"] == our["target"]
            for a, b in zip(flat(their["resps"]), flat(our["resps"]), strict=True):
                assert b == (pytest.approx(a, rel=1e-5, abs=1e-5) if isinstance(a, float) else a), task
