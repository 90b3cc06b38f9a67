"""``textmill train``: a recipe carried out."""

from __future__ import annotations

import shlex
from typing import Annotated, Literal

from cyclopts import Parameter

from textmill.base import units
from textmill.base.errors import require_extra
from textmill.cli.arguments import program
from textmill.cli.output import Output


def train(
    recipe: str,
    /,
    *,
    set_: Annotated[list[str] | None, Parameter(name="--set", negative="")] = None,
    params: str | None = None,
    minutes: float | None = None,
    remat: Literal["auto", "none", "llama", "full"] | None = None,
    branch: str | None = None,
    mesh: str | None = None,
    resume: Annotated[bool, Parameter(negative="")] = False,
    skip_steps: Annotated[list[str] | None, Parameter(negative="")] = None,
) -> int:
    """Train a model by a recipe.

    For example:
        textmill train tiny                       from the Python standard library
        textmill train mine.toml --params 30M     30M parameters; the rest follows
        textmill train mine.toml --minutes 30     another budget
        textmill train tiny --set batch.rows=32   one key changed
        textmill train runs/tiny --resume         go on after Ctrl-C or a crash
        textmill train runs/tiny --resume --skip-steps 120:140
        torchrun --nproc-per-node 2 -m textmill train mine.toml --mesh fsdp
        textmill train decay.toml --branch runs/mine@2000

    Ctrl-C finishes the step in hand, saves a checkpoint and stops; a second one stops at once.

    Parameters
    ----------
    recipe
        A TOML file, a run folder (its recipe again), or the name of a recipe that comes along: tiny, small,
        llama-7b-mini, ... (docs/reference/recipes.md lists them).
    set_
        Change a key of the recipe, as in table.key=value; may be given several times.
    params
        How many parameters the model is to have, as in 30M or 1.5B (--set model.params=N does the same). Width, depth,
        heads, batch, learning rate and, where the recipe has no budget, the length of the run follow from it; each is
        told with its reason, and what the recipe or --set says of them stays.
    minutes
        Train for about so many minutes, as --set budget.minutes=N does. Where the recipe gives no size of the model,
        that follows, too: as much as this machine trains in the time.
    remat
        What the backward pass computes again to save memory: none, llama (norms, RoPE, SwiGLU's product), full, or
        auto, as little as fits.
    branch
        RUN@STEP: start from that checkpoint of a run and let the learning rate fall to 0 from there on.
    mesh
        How processes that torchrun started share the model: ddp (each has all of it), fsdp (each has a part of every
        tensor), hsdp=N (groups of N share a copy), tp=N (groups of N share each matrix product). Left out, it is ddp
        on CPUs and fsdp on GPUs. A run may be resumed with another (docs/guides/many-machines.md).
    resume
        Go on from the run's last whole checkpoint; start afresh where there is none.
    skip_steps
        FIRST:END: batches, counted from 0 and the end not in it, that the run passes over; may be given several times.
        Where a resumed run has learned from them, it goes back to its last checkpoint before.
    """
    require_extra("torch", "train", "training")
    from textmill.cli.listener import TrainListener
    from textmill.cli.run_sampler import write_sample
    from textmill.eval.held_out import num_held_out_tokens, score_run
    from textmill.train.loop import MODEL
    from textmill.train.pipeline import run_recipe
    from textmill.train.ranks import is_first_rank
    from textmill.train.recipe import load_recipe
    from textmill.train.recipe_tables.data import parse_range

    output = Output()
    given = {"model.params": params, "budget.minutes": minutes, "run.remat": remat, "run.branch": branch}
    settings = [*(set_ or []), *(f"{key}={value}" for key, value in given.items() if value is not None)]
    with TrainListener(output) as listener:
        run = run_recipe(
            load_recipe(recipe, settings),
            listener,
            resume=resume,
            skip_steps=[parse_range(text) for text in skip_steps or ()],
            sampler=write_sample,
            mesh=mesh,
        )
    if not is_first_rank():
        return 0
    with output.bar("scoring the held-out text", num_held_out_tokens(run)) as bar:
        scores = score_run(run, bar.update)
    if scores:
        bits = scores["all"].bits_per_byte()
        output.say(
            f"held-out text: {bits['model']:.3f} bits per byte (gzip -9: {bits['gzip']:.3f}, xz -9: {bits['xz']:.3f}, "
            f"{units.num_bytes(scores['all'].num_bytes)})"
        )
    model = run.folder / MODEL
    output.say(f"the model is in {model}, the report in {run.folder / 'report.html'}")
    output.hint(f'next: {program()} generate {shlex.quote(str(model))} "Once upon a time"')
    output.data(str(run.folder))
    return 0
