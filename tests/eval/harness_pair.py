"""Run in lm-evaluation-harness's environment: the same tasks on its own ``hf`` model and on textmill's, as JSON."""

import json
import sys

import lm_eval
from lm_eval.tasks import TaskManager

import textmill.eval.harness  # noqa: F401  registers the model


def results(model, arguments, tasks, manager, **options):
    found = lm_eval.simple_evaluate(
        model, arguments, tasks=tasks, task_manager=manager, bootstrap_iters=0, batch_size=8, device="cpu", **options
    )
    samples = {
        name: [{"resps": sample["filtered_resps"], "target": sample["target"]} for sample in of_task]
        for name, of_task in found["samples"].items()
    }
    return {"results": found["results"], "samples": samples}


def main(model, tasks_folder, names, max_length):
    manager = TaskManager(include_path=tasks_folder, include_defaults=False)
    tasks = names.split(",")
    limits = f",max_length={max_length}"
    found = {
        "hf": results("hf", f"pretrained={model},dtype=float32{limits}", tasks, manager),
        "textmill": results("textmill", f"pretrained={model},weights=f32,kv=f32{limits}", tasks, manager),
    }
    print(json.dumps(found, default=str))


if __name__ == "__main__":
    main(*sys.argv[1:])
