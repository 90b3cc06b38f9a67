"""What a run tells, shown on a terminal: bars while it works, a line for each decision, a live view of its steps."""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from types import TracebackType

from textmill.base import units
from textmill.base.events import Event, recent_events
from textmill.cli.output import Bar, Output, for_terminal
from textmill.cli.train_screen import TrainScreen, can_show
from textmill.data.prepare_listener import KeptSource
from textmill.data.shards import ShardSet
from textmill.tokenizer.tokenizer import Tokenizer
from textmill.train.run import Run
from textmill.train.run_facts import documents_of, told
from textmill.train.run_history import TUNED
from textmill.train.run_record import CONFIG, EVENTS

_SPEED_STEPS = 20
# About 10,000 steps of the log, read in a tenth of a second.
_RECALLED_BYTES = 4 << 20


class TrainListener:
    """Shows a run in a few lines, and its steps in a live view; in a bar or lines where there is no room for it."""

    def __init__(self, output: Output) -> None:
        self.output = output
        self._stack = ExitStack()
        self._bar: Bar | None = None
        self._screen: TrainScreen | None = None
        self._num_steps, self._events, self._is_compiled = 0, Path(), False
        self._held_out = self._scores = ""
        self._tokens_per_s: list[float] = []

    def __enter__(self) -> TrainListener:
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._done()

    def doing(self, what: str, total: int | None = None) -> None:
        """Show a bar for what begins."""
        self._show(self.output.bar(what, total))

    def progress(self, done: int) -> None:
        """Move the bar."""
        if self._bar:
            self._bar.update(done)

    def say(self, message: str) -> None:
        """Show a message, above what is drawn: the work that it is said of goes on."""
        self.output.paragraph(message)

    def corpus(self, sources: Mapping[str, KeptSource], sample: str) -> None:
        """Show the sizes of the sources."""
        self._done()
        for name, source in sources.items():
            self.output.say(f"{name}: {size(source)}")
        if num_duplicates := sum(source.num_duplicates for source in sources.values()):
            self.output.say(f"{num_duplicates:,} exact {units.plural(num_duplicates, 'duplicate')} dropped")

    def tokenizer(self, tokenizer: Tokenizer) -> None:
        """Show the tokenizer's size."""
        self._done()
        self.output.say(f"tokenizer: {tokenizer.vocab_size:,} tokens, pattern {tokenizer.pattern}")

    def shards(self, train: dict[str, ShardSet], held_out: dict[str, ShardSet]) -> None:
        """Show how many tokens there are."""
        self._done()
        for name, shards in train.items():
            self.output.say(f"{name}: {tokens_of(shards)} to train on{held_out_beside(name, held_out)}")

    def plan(self, run: Run) -> None:
        """Show what is going to be trained, and begin the bar of its steps."""
        self._done()
        plan = run.plan
        self._is_compiled = plan.compiled
        model = plan.model
        self.output.say(
            f"model: {units.count(model.num_parameters)} parameters, {model.num_hidden_layers} layers, "
            f"{model.hidden_size} wide, {model.num_attention_heads} query and {model.num_key_value_heads} key-value "
            f"{units.plural(model.num_key_value_heads, 'head')} of {model.head_dim}"
        )
        self.output.say(
            f"{plan.num_steps:,} steps of {plan.tokens_per_step:,} tokens in {plan.precision}, {plan.threads} "
            f"{units.plural(plan.threads, 'thread')}; "
            f"the run is in {run.folder}"
        )
        self._begin_steps(run)

    def _begin_steps(self, run: Run) -> None:
        self._num_steps, self._events = run.plan.num_steps, run.folder / EVENTS
        if can_show(self.output):
            self._done()
            stages = [stage.name for stage in run.plan.stages]
            screen = TrainScreen(self.output, run.folder.resolve().name, self._num_steps, stages)
            self._screen = self._stack.enter_context(screen)
        else:
            self._show(self.output.bar("training", self._num_steps))

    def event(self, event: Event) -> None:
        """Hand the run's figures on to what shows them; say what happens beside the steps."""
        if self._screen:
            if event.kind == "resume":
                self._screen.recall(recent_events(self._events, _RECALLED_BYTES), event.step)
            self._screen.event(event)
        if event.kind == "step":
            self._move_bar(event)
        elif event.kind == "eval":
            bits, scores = event.fields.get("bits_per_byte", {}), event.fields.get("held_out", {})
            self._held_out = f" (held out {bits['all']:.2f})" if "all" in bits else ""
            self._scores = "".join(f"  held-out {name.replace('_', ' ')} {scores[name]:.3g}" for name in scores)
        elif event.kind == "resume":
            self._tell_resume(event)
        elif event.kind == "first_step" and self._is_compiled:
            self.output.say(f"the first step was done after {units.seconds(event.fields['time_s'])}")
        elif event.kind == "not_compiled":
            self._tell_not_compiled(event)
        elif event.kind in ("spike", "discard", "norms_rose", "micro_rows", "save_failed"):
            self._tell_incident(event)
        elif event.kind in ("end", "stop"):
            self._done()

    def _move_bar(self, event: Event) -> None:
        if not self._bar:
            return
        fields = event.fields
        self._tokens_per_s = [*self._tokens_per_s[1 - _SPEED_STEPS :], fields["tokens_per_s"]]
        speed = units.count(statistics.median(self._tokens_per_s))
        bits = f"  {fields['bits_per_byte']:.2f}{self._held_out} bits/byte" if "bits_per_byte" in fields else ""
        tuned = "".join(f"  {name.replace('_', ' ')} {fields[name]:.3g}" for name in TUNED if name in fields)
        self._bar.update(event.step, f"{speed} tok/s  loss {fields['loss']:.2f}{bits}{tuned}{self._scores}")

    def _tell_resume(self, event: Event) -> None:
        for message in event.fields.get("passed_over", []):
            self.output.warning(f"{message}; going on from the checkpoint before it")
        finished = ", which is its last: the run is done already" if event.step == self._num_steps else ""
        self.output.say(f"going on from step {event.step:,}{finished}")

    def _tell_not_compiled(self, event: Event) -> None:
        reason = event.fields["reason"]
        if event.fields.get("from_the_start"):
            message = f"blocks are not compiled: {reason}; steps are slower. {CONFIG} says so, for a resume, too"
        else:
            message = (
                f"blocks are not compiled as they were: {reason}; steps are slower, and from here on the run's bytes "
                "may differ from those that it would have had"
            )
        self.output.warning(for_terminal(message))

    def _tell_incident(self, event: Event) -> None:
        documents = documents_of(event)
        more = f" and {len(documents) - 3} more" if len(documents) > 3 else ""
        named = f"; documents: {', '.join(documents[:3])}{more}" if documents else ""
        self.output.warning(for_terminal(told(event) + named))

    def _show(self, bar: AbstractContextManager[Bar]) -> None:
        self._done()
        self._bar = self._stack.enter_context(bar)

    def _done(self) -> None:
        self._bar = self._screen = None
        self._stack.close()


def size(source: KeptSource) -> str:
    """Write how many documents there are and how much text they hold."""
    documents = f"{source.num_documents:,} {units.plural(source.num_documents, 'document')}"
    return f"{documents}, {units.num_bytes(source.num_bytes)}"


def tokens_of(shards: ShardSet) -> str:
    """Write how many tokens a set has, and how much text each stands for."""
    manifest = shards.manifest
    bytes_per_token = manifest.num_bytes / manifest.num_tokens
    return f"{units.count(manifest.num_tokens)} tokens ({bytes_per_token:.2f} bytes of text each)"


def held_out_beside(name: str, held_out: dict[str, ShardSet]) -> str:
    """Write what is held out of a source, behind what is not."""
    return f", {units.count(held_out[name].manifest.num_tokens)} held out" if name in held_out else ""
