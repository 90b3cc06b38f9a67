"""The demo's way of showing a run: each step under its heading, with a picture where there is one."""

from __future__ import annotations

from collections.abc import Mapping

from textmill.base import units
from textmill.cli.listener import TrainListener, held_out_beside, size, tokens_of
from textmill.cli.token_picture import draw_line
from textmill.data.prepare_listener import KeptSource
from textmill.data.shards import ShardSet
from textmill.tokenizer.tokenizer import Tokenizer
from textmill.train.run import Run

_LINE_CHARS = (20, 44)


class DemoListener(TrainListener):
    """Tells the story of a run from the start."""

    def doing(self, what: str, total: int | None = None) -> None:
        """Show the step's heading, where it begins one, and its bar."""
        headings = {
            "reading the text": "1. Text",
            "training the tokenizer": "\n2. Tokenizer",
            "writing the shards": "\n3. Shards",
            "timing a few steps": "\n4. Model",
        }
        self._done()
        if what in headings:
            self.output.heading(headings[what])
        super().doing(what, total)

    def say(self, message: str) -> None:
        """Show a message, set in as the rest."""
        super().say(f"  {message}")

    def corpus(self, sources: Mapping[str, KeptSource], sample: str) -> None:
        """Show the sources, and remember a line to take apart."""
        self._done()
        for name, source in sources.items():
            self.output.say(f"  {name:<8}{size(source):>28}")
        self.output.say(f"  {sum(source.num_duplicates for source in sources.values()):,} exact duplicates dropped")
        self._line = _a_line(sample)

    def tokenizer(self, tokenizer: Tokenizer) -> None:
        """Show the tokenizer at work on a line of the corpus."""
        self._done()
        self.output.say(
            f"  {tokenizer.vocab_size:,} tokens: {len(tokenizer.special_tokens)} special, 256 bytes, the rest merges; "
            "a line taken apart:\n"
        )
        for line in draw_line(tokenizer, self._line):
            self.output.say(f"  {line}")

    def shards(self, train: dict[str, ShardSet], held_out: dict[str, ShardSet]) -> None:
        """Show tokens, bytes a token and the files."""
        self._done()
        for name, shards in train.items():
            self.output.say(f"  {name:<8}{tokens_of(shards)} to train on{held_out_beside(name, held_out)}")

    def plan(self, run: Run) -> None:
        """Show the model, the mixture and the plan."""
        self._done()
        total = sum(run.recipe.mixture.values())
        mixture = ", ".join(f"{100 * weight / total:.0f} % {name}" for name, weight in run.recipe.mixture.items())
        self.output.say(f"  mixture: {mixture}")
        plan, model = run.plan, run.plan.model
        self.output.say(
            f"  LLaMA of {units.count(model.num_parameters)} parameters: {model.num_hidden_layers} layers, "
            f"{model.hidden_size} wide, {model.num_attention_heads} query and {model.num_key_value_heads} "
            "key-value heads"
        )
        self.output.say(
            f"  {plan.num_steps:,} steps of {plan.tokens_per_step:,} tokens, measured at "
            f"{units.count(plan.tokens_per_step / (plan.step_time_s or 1))} tokens/s in {plan.precision}"
        )
        self._begin_steps(run)


def _a_line(sample: str) -> str:
    """Find a line that fits a terminal: the first of good length with several kinds of characters."""
    short, long = _LINE_CHARS
    lines = (line.strip() for line in sample.split("\n"))
    fitting = (line for line in lines if short <= len(line) <= long and " " in line)
    return next(
        (line for line in fitting if any(not c.isalnum() and c != " " for c in line)), "Text is bytes, then tokens."
    )
