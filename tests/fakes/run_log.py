"""Logs of runs that never were: stages, evaluations, a spike with its rewind, samples, checkpoints."""

import json
import math

from textmill.base.events import EventLog

TOKENS_PER_STEP = 64


def write_log(folder, *, steps=60, planned=60, eval_every=10, spike_at=None, end=True, lr=1e-3, name_of_source="code"):
    """Write a run's folder: its configuration and its log."""
    folder.mkdir(parents=True, exist_ok=True)
    recipe = {"run": {"dir": str(folder)}, "schedule": {"peak_lr": lr}, "batch": {"rows": 4}}
    plan = {"precision": "f32", "context": 16, "num_steps": planned}
    (folder / "config.json").write_text(json.dumps({"recipe": recipe, "plan": plan, "environment": {}}))
    log = EventLog(folder / "events.jsonl")
    half = planned // 2
    stages = [
        {"name": "stable", "first_step": 0, "num_steps": half, "context": 16, "mixture": {name_of_source: 1.0}},
        {"name": "decay", "first_step": half, "num_steps": planned - half, "context": 32, "mixture": {"b": 3, "c": 1}},
    ]
    log.write(
        "start",
        0,
        num_steps=planned,
        num_parameters=1_234_567,
        tokens_per_step=TOKENS_PER_STEP,
        precision="f32",
        stages=stages,
    )
    step = 0
    while step < steps:
        step += 1
        write_step(log, step, lr=lr)
        if step == spike_at:
            spike_at = None
            step -= 5
            log.write("spike", step + 5, loss=9.0, loss_limit=4.0, grad_norm=7.0, grad_norm_limit=2.0, rewind_to=step)
            continue
        if step % eval_every == 0:
            scores = {name_of_source: 2.0 + 1 / step, "all": 2.1 + 1 / step}
            intervals = {name: (score - 0.25, score + 0.25) for name, score in scores.items()}
            log.write("eval", step, bits_per_byte=scores, intervals=intervals)
            log.write("checkpoint", step, pause_s=0.1, time_s=0.5, num_bytes=1_000_000)
            log.write("sample", step, prompt="def ", text=f"f{step}():\n    return <b>&</b>")
    if end:
        log.write("end", step)
    log.close()
    return folder


def write_step(log, step, *, lr=1e-3, loss=None):
    """Write one step."""
    loss = 2 + 4 / math.sqrt(step) if loss is None else loss
    return log.write(
        "step",
        step,
        loss=loss,
        bits_per_byte=loss / 2,
        grad_norm=1.0 + 1 / step,
        lr=lr,
        tokens=step * TOKENS_PER_STEP,
        tokens_per_s=640.0,
        flops_per_s=6400.0,
        mfu=0.4,
        memory_bytes=1e9,
        stage="stable",
    )
