"""``textmill data prepare``: a pipeline carried out."""

from __future__ import annotations

from pathlib import Path
from shlex import quote
from typing import Annotated, Literal

from cyclopts import Parameter

from textmill.base.errors import ConfigError
from textmill.cli.arguments import program
from textmill.cli.data_report import report_lines
from textmill.cli.output import Output
from textmill.cli.stage_screen import StageScreen
from textmill.data.engines.engine import Engine
from textmill.data.engines.local import LocalEngine
from textmill.data.pipeline import load_pipeline
from textmill.data.prepare import prepare as carry_out


def prepare(
    pipeline: Path,
    /,
    *,
    set_: Annotated[list[str] | None, Parameter(name="--set", negative="")] = None,
    engine: Literal["local", "ray"] = "local",
    workers: int | None = None,
    address: str | None = None,
    json: Annotated[bool, Parameter(negative="")] = False,
) -> int:
    """Read, filter, deduplicate and tokenize text into shard sets, as a pipeline says.

    For example:
        textmill data prepare pipeline.toml
        textmill data prepare pipeline.toml --set filter.presets='["gopher"]'
        textmill data prepare pipeline.toml --workers 16
        textmill data prepare pipeline.toml --engine ray --address auto

    The output is the same, byte for byte, for any number of workers and on any engine. After an interruption of any
    kind the same command goes on where it was. A pipeline has [sources.NAME] with a path, [tokenizer] and [output], and
    what it wants of [clean], [language], [filter], [quality], [dedup], [decontaminate] and [holdout]:
    docs/reference/pipelines.md has every key.

    Parameters
    ----------
    pipeline
        A TOML file.
    set_
        Change a key of the pipeline, as in table.key=value; may be given several times.
    engine
        Where the work is done: on this machine, or on a Ray cluster (pip install 'textmill[ray]'), all of whose
        machines see input and output at the same place.
    workers
        Processes on this machine; 1 is this process alone, with all its threads. Where nothing is said it is 1 if every
        step is native, and else one for each core: cleaning, languages, lists of words or addresses, formats other than
        text and jsonl, and packed files take processes to use several cores.
    address
        Of the Ray cluster: auto, or HOST:PORT. Without it one is started on this machine.
    json
        Print the report as JSON.
    """
    output = Output()
    where = _engine(engine, workers, address, output)
    try:
        with StageScreen(output) as screen:
            report = carry_out(load_pipeline(pipeline, set_ or ()), where, screen)
    finally:
        if where is not None:
            where.close()
    if json:
        output.json(report.to_table())
    else:
        for line in report_lines(report):
            output.say(line)
        output.data(str(report.folder))
    output.hint(f"next: {program()} data show {quote(str(report.folder))}")
    return 0


def _engine(engine: str, workers: int | None, address: str | None, output: Output) -> Engine | None:
    """Make what is asked for; None where nothing is, and the pipeline decides."""
    if engine == "local":
        if address is not None:
            raise ConfigError("--address is of a Ray cluster; add --engine ray, or leave it out")
        return None if workers is None else LocalEngine(workers)
    if workers is not None:
        raise ConfigError("--workers is for --engine local; on Ray the cluster says how many there are")
    from textmill.data.engines.ray import RayEngine

    return RayEngine(address, output.say)
