"""``textmill demo``: the whole way once, from text to a model that goes on from it, each step shown."""

from __future__ import annotations

import itertools
import shlex
import textwrap
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from textmill.base import units
from textmill.base.errors import ConfigError, require_extra
from textmill.cli.arguments import program
from textmill.cli.output import Output, for_terminal

if TYPE_CHECKING:
    from textmill.eval.bits_per_byte import SourceScore
    from textmill.train.recipe import Recipe

RECIPE = "tiny"
_SAMPLE_TOKENS = 120


def demo(
    *,
    minutes: float = 2,
    text: Path | None = None,
    dir_: Annotated[Path | None, Parameter(name="--dir")] = None,
    seed: int = 1,
) -> int:
    """Go the whole way once: text, tokenizer, shards, a trained model, text from it. Nothing is downloaded.

    For example:
        textmill demo                       from the Python standard library
        textmill demo --minutes 10          a better model
        textmill demo --text FOLDER         from your own text files

    Parameters
    ----------
    minutes
        Minutes of training.
    text
        A folder of text files (or one file) in the place of the standard library.
    dir_
        The run's folder; runs/demo unless given, or runs/demo-2 and so on where there is one already.
    seed
        The first weights and the order of the data come from it.
    """
    require_extra("torch", "train", "training")
    from textmill.cli.demo_listener import DemoListener
    from textmill.eval.held_out import num_held_out_tokens, score_run
    from textmill.train.loop import MODEL
    from textmill.train.pipeline import run_recipe

    if not 0 < minutes <= 24 * 60:
        raise ConfigError(f"--minutes is {minutes:g}, and must be above 0 and at most 1440")
    output = Output()
    begin = time.monotonic()
    recipe = demo_recipe(minutes, text, dir_ or _free_folder(Path("runs")), seed)
    with DemoListener(output) as listener:
        run = run_recipe(recipe, listener)
    output.heading("\n5. How good it is")
    with output.bar("scoring the held-out text", num_held_out_tokens(run)) as bar:
        scores = score_run(run, bar.update)
    _show_scores(output, scores)
    _show_sample(output, run.folder, "import" if text is None else "")
    output.say(f"\n  model   {run.folder / MODEL}  (a Hugging Face folder)")
    output.say(f"  report  {run.folder / 'report.html'}  (the loss curve; open it in a browser)")
    output.say(f"  all of it took {units.seconds(time.monotonic() - begin)}")
    output.heading("\n6. What next")
    folder = shlex.quote(str(run.folder))
    prompt = "def __init__(self" if text is None else "The"
    output.hint(f'  {program()} generate {folder} "{prompt}" --temperature 0.8 --seed 1')
    output.hint(f"  {program()} train {folder} --minutes 10 --set run.dir={shlex.quote(str(run.folder) + '-10')}")
    output.hint(f"  {program()} demo --text FOLDER")
    output.hint(f"  {program()} model get smollm2-135m-instruct")
    output.hint(f"  {program()} chat smollm2-135m-instruct")
    output.say("  This model goes on from text and was not taught to answer; that one was.")
    output.data(str(run.folder))
    return 0


def demo_recipe(minutes: float, text: Path | None, folder: Path, seed: int = 1) -> Recipe:
    """The shipped ``tiny`` recipe in the demo's folder, on the user's text where there is one."""
    from textmill.train.presets import size_for
    from textmill.train.recipe import load_recipe

    settings = [f"budget.minutes={minutes}", f"run.dir={_toml(str(folder))}", f"run.seed={seed}", *size_for(minutes)]
    if text is not None:
        sources = f"data.sources={{ text = {{ path = {_toml(str(text.resolve()))} }} }}"
        settings += [sources, "stages=[{ context = 256 }]", "eval.holdout_kind=auto"]
    return load_recipe(RECIPE, settings)


def _free_folder(runs: Path) -> Path:
    """Choose ``runs/demo``, or the first ``runs/demo-N`` where that holds a trained run already."""
    from textmill.checkpoint.store import list_checkpoints

    names = itertools.chain(["demo"], (f"demo-{number}" for number in itertools.count(2)))
    return next(runs / name for name in names if not list_checkpoints(runs / name))


def _toml(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _show_scores(output: Output, scores: dict[str, SourceScore]) -> None:
    output.say("  bits per byte of text it never saw (less is better; each document by itself)\n")
    output.say(f"  {'source':<10}{'documents':>10}{'text':>10}{'model':>10}{'gzip -9':>10}{'xz -9':>10}")
    for name, score in scores.items():
        bits = score.bits_per_byte()
        output.say(
            f"  {name:<10}{score.num_documents:>10,}{units.num_bytes(score.num_bytes):>10}"
            f"{bits['model']:>10.3f}{bits['gzip']:>10.3f}{bits['xz']:>10.3f}"
        )


def _show_sample(output: Output, folder: Path, prompt: str) -> None:
    """Generate with the KV cache from the saved folder, and keep the sample in the report."""
    import textmill
    from textmill.base.events import EventLog
    from textmill.train.loop import MODEL
    from textmill.train.report import write_report
    from textmill.train.run import load_run

    run = load_run(folder)
    lm = textmill.load(folder / MODEL)
    begin = time.monotonic()
    completion = lm.generate(prompt, max_tokens=_SAMPLE_TOKENS, temperature=0.7, top_p=0.95, seed=1)
    speed = len(completion.ids) / (time.monotonic() - begin)
    output.say(f"\n  generated with a KV cache at {speed:.0f} tokens/s:\n")
    for line in (prompt + completion.text).splitlines():
        for part in textwrap.wrap(for_terminal(line), output.width - 6, drop_whitespace=False) or [""]:
            output.say(f"  │ {part}")
    log = EventLog(run.events)
    log.write("sample", run.plan.num_steps, prompt=prompt, text=completion.text)
    log.close()
    write_report(folder)
