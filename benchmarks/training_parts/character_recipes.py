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
