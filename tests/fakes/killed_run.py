"""A run in a process of its own, which dies at a failpoint, and what is compared of runs afterwards."""

import hashlib
import io
import json
import os
import resource
import signal
import sys

from fakes.listener import Silent
from textmill.base import failpoints
from textmill.base.events import read_events
from textmill.checkpoint.store import list_checkpoints


def train(path, settings, failpoint=None, poisoned_step=None):
    """Train, or go on.

    Args:
        path: the recipe.
        settings: over the recipe.
        failpoint: ``NAME@N`` kills the process there, ``NAME@spike`` where it comes by after a spike.
        poisoned_step: a data step that the run will go back from.
    """
    from fakes.poison import foreign_targets, poisoned
    from textmill.cli.run_sampler import write_sample
    from textmill.train import decide, loop
    from textmill.train.pipeline import run_recipe
    from textmill.train.recipe import load_recipe

    os.fsync = lambda file: None  # what is written outlives its process without it, and tests take half the time
    decide.peak_flops_per_s = lambda precision, device: 1e12
    name, _, when = (failpoint or "").partition("@")
    if when.isdigit():
        failpoints._left = {name: int(when)}

    def arm(event):
        if event.kind == when:
            failpoints._left = {name: 1}

    if poisoned_step is not None:
        loop._Loop._gradient = poisoned(loop._Loop._gradient, {poisoned_step}, foreign_targets)
    run_recipe(load_recipe(path, settings), Silent(arm), resume=True, sampler=write_sample)


def record(path, settings, place):
    """Train, and write the names of the failpoints it came by to ``place``, in their order."""
    passed = []

    class Recorder(dict):
        def __contains__(self, name):
            passed.append(name)
            return False

    failpoints._left = Recorder()
    train(path, settings)
    place.write_text(json.dumps(passed))


def resume_on_a_full_disk(path, settings, place):
    """Go on where no file may grow beyond 60 kB; what the command says goes into ``place``."""
    from textmill.cli import main

    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, 60_000))
    sys.stderr = io.StringIO()
    code = main(["train", str(path), "--resume", *(word for setting in settings for word in ("--set", setting))])
    place.write_text(sys.stderr.getvalue())
    raise SystemExit(code)


def result(run):
    """All that two runs which are the same have in common: tensors, losses, scores, samples, the model's files."""
    folder = list_checkpoints(run)[-1]
    files = [folder / "model.safetensors", folder / "optimizer.safetensors", *(run / "model").iterdir()]
    told = {
        (event.kind, event.step): {key: event.fields.get(key) for key in ("loss", "grad_norm", "bits_per_byte", "text")}
        for event in read_events(run / "events.jsonl")
        if event.kind in ("step", "eval", "sample")
    }
    return {
        "files": {f"{path.parent.name}/{path.name}": hashlib.sha256(path.read_bytes()).hexdigest() for path in files},
        "told": told,
    }


def hidden(run):
    """What was left lying about: unfinished files and folders."""
    return sorted(str(path.relative_to(run)) for path in run.rglob(".*"))
