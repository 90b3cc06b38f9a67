"""The recipes that train on characters, by how long they take: found on tiny-shakespeare's own validation text, as
nanoGPT's were.
"""

from __future__ import annotations

_RECIPE = """
[run]
dir = "{{run}}"
seed = {{seed}}
[tokenizer]
pattern = "char"
[data.sources.text]
path = "{{text}}"
[model]
{model}
[[stages]]
context = {context}
mixture = {{{{ text = 1.0 }}}}
[batch]
rows = {rows}
[schedule]
peak_lr = {peak_lr}
warmup_steps = {warmup_steps}
decay_fraction = {decay_fraction}
[optimizer]
kind = "muon"
muon_lr = {muon_lr}
weight_decay = {weight_decay}
[budget]
steps = {steps}
[checkpoint]
every_steps = 1000000
[eval]
every_steps = 1000000
holdout = 0.1
holdout_kind = "tail"
sample_tokens = 0
"""


def _recipe(model: dict[str, int | bool], **values: float) -> str:
    """A recipe in which the run's folder, the text and the seed are left open."""
    return _RECIPE.format(model="\n".join(f"{name} = {str(value).lower()}" for name, value in model.items()), **values)


def _sizes(layers: int, width: int, heads: int) -> dict[str, int | bool]:
    return {
        "hidden_size": width,
        "intermediate_size": -(-width * 8 // 3 // 32) * 32,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "num_key_value_heads": heads,
        "qk_norm": True,
    }


_SHARED = {"peak_lr": 3e-3, "warmup_steps": 10, "muon_lr": 0.02}
RECIPES = {
    "short": _recipe(_sizes(3, 64, 2), context=64, rows=24, steps=220, decay_fraction=0.5, weight_decay=0.0, **_SHARED),
    "middle": _recipe(
        _sizes(4, 192, 3), context=256, rows=16, steps=1000, decay_fraction=0.6, weight_decay=0.1, **_SHARED
    ),
    "long": _recipe(
        _sizes(5, 224, 4), context=256, rows=16, steps=3000, decay_fraction=0.6, weight_decay=0.5, **_SHARED
    ),
}
"""With ``{run}``, ``{text}`` and ``{seed}`` to fill in."""
