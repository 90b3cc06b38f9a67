"""Run in lm-evaluation-harness's environment: the same tasks on its own ``hf`` model and on textmill's, as JSON."""

import json
import sys
from pathlib import Path

import lm_eval
from lm_eval.api.registry import get_model
from lm_eval.tasks import TaskManager

import textmill.eval.harness  # noqa: F401  registers the model

TEXTS = (
    "the quick fox", "<|im_start|>the fox", "<|im_end|>a", "<|endoftext|>the", " the fox", " ", "\n", "née 東京",
)  # fmt: skip
MODELS = {"hf": "dtype=float32,device=cpu", "textmill": "weights=f32,kv=f32,threads=1"}


def results(lm, tasks, manager, options):
    if not tasks:
        return None
    found = lm_eval.simple_evaluate(lm, tasks=tasks, task_manager=manager, bootstrap_iters=0, **options)
    samples = {
        name: [
            {"prompt": sample["arguments"], "resps": sample["filtered_resps"], "target": sample["target"]}
            for sample in of_task
        ]
        for name, of_task in found["samples"].items()
    }
    return {"results": found["results"], "samples": samples}


def encoded(lm):
    ids = [lm.tok_encode(text, **options) for text in TEXTS for options in ({}, {"add_special_tokens": False})]
    return [*ids, [lm.prefix_token_id, lm.eot_token_id]]


def main(tasks_folder, runs):
    """Evaluate what the file ``runs`` lists, on all of ``MODELS`` unless a run names others.

    A run has a name, a model, its ``arguments``, ``tasks``, and ``options`` of ``simple_evaluate``.
    """
    manager = TaskManager(include_path=tasks_folder, include_defaults=False)
    found = {}
    for run in json.loads(Path(runs).read_text()):
        found[run["name"]] = {}
        for name, arguments in run.get("models", MODELS).items():
            given = ",".join([f"pretrained={run['model']}", arguments, *run["arguments"]])
            lm = get_model(name).create_from_arg_string(given, {"batch_size": 8})
            found[run["name"]][name] = {
                "ids": encoded(lm) if name in MODELS else None,
                "run": results(lm, run["tasks"], manager, run["options"]),
            }
    print(json.dumps(found, default=str))


if __name__ == "__main__":
    main(*sys.argv[1:])
