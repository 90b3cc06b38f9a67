"""A recipe that trains in a second, for tests of runs."""

from pathlib import Path

RECIPE = """
[run]
dir = "{run}"
precision = "{precision}"
threads = 1

[tokenizer]
vocab_size = 300
pattern = "gpt2"

[model]
hidden_size = 32
intermediate_size = 48
num_hidden_layers = 2
num_attention_heads = 4
num_key_value_heads = 2

[data.sources.words]
path = "words"

[data.sources.sums]
path = "sums"

[[stages]]
context = 32
mixture = {{ words = 0.75, sums = 0.25 }}

[batch]
rows = 4
micro_rows = 2

[schedule]
peak_lr = 1e-2
warmup_steps = 2

[optimizer]
kind = "{optimizer}"

[budget]
steps = {steps}

[checkpoint]
every_steps = 5
keep = 2

[eval]
every_steps = 4
holdout = 0.2
"""

WORDS = "the quick brown fox jumps over a lazy dog while seven wizards box".split()


def write_recipe(
    folder: Path, *, steps: int = 12, precision: str = "f32", optimizer: str = "muon", run: str | None = None
) -> Path:
    """Write texts and a recipe for them into a folder; returns the recipe's path."""
    for source, line in (("words", _words), ("sums", _sums)):
        (folder / source).mkdir(parents=True, exist_ok=True)
        for number in range(30):
            text = "\n".join(line(number * 31 + i) for i in range(20)) + "\n"
            (folder / source / f"{number}.txt").write_text(text)
    path = folder / "recipe.toml"
    path.write_text(RECIPE.format(run=run or folder / "run", steps=steps, precision=precision, optimizer=optimizer))
    return path


def _words(number: int) -> str:
    return " ".join(WORDS[(number * 7 + i * i) % len(WORDS)] for i in range(8))


def _sums(number: int) -> str:
    return f"{number} + {number % 17} = {number + number % 17}"
