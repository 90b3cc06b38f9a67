"""The model card: what a stranger needs to know of a model folder."""

from __future__ import annotations

from textmill.base.units import count
from textmill.model.config import ModelConfig
from textmill.model.family import NOT_EXPORTED, OWN


def model_card(config: ModelConfig) -> str:
    """Write a card (Markdown, with the front matter that model hubs read) from a model's sizes."""
    kinds = {1: "multi-head attention", config.num_attention_heads: "multi-query attention"}
    attention = kinds.get(config.queries_per_key_value_head, "grouped-query attention")
    architecture = config.to_hf()["architectures"][0]
    loads = f"It loads in transformers as `{architecture}`."
    if config.model_type == OWN:
        loads = f"{NOT_EXPORTED[0].upper()}{NOT_EXPORTED[1:]}."
    heads = f"{config.num_attention_heads}, {config.num_key_value_heads}, {config.head_dim}"
    return f"""---
library_name: {"textmill" if config.model_type == OWN else "transformers"}
pipeline_tag: text-generation
tags: [{", ".join(dict.fromkeys((config.model_type, "textmill")))}]
---
# A LLaMA-style model of {count(config.num_parameters)} parameters

| | |
|---|---|
| parameters | {config.num_parameters:,} |
| layers | {config.num_hidden_layers} |
| width, feed-forward | {config.hidden_size}, {config.intermediate_size} |
| heads, key-value heads, head size | {heads} ({attention}) |
| vocabulary | {config.vocab_size:,}{" (input and output tables tied)" if config.tie_word_embeddings else ""} |
| context | {config.max_position_embeddings:,} tokens |{_rows(config)}

```python
import textmill

lm = textmill.load("this folder")
print(lm.generate("Once upon a time", max_tokens=64).text)
```

{loads}
"""


def _rows(config: ModelConfig) -> str:
    """The parts that only some models have."""
    rows: dict[str, str] = {}
    if config.value_embeddings:
        num_tables = sum(config.embeds_values(layer) for layer in range(config.num_hidden_layers))
        rows["value embeddings"] = f"in {num_tables} of {config.num_hidden_layers} layers"
    if config.sliding_layers:
        num_sliding = len(config.sliding_layers)
        rows["sliding window"] = (
            f"{config.sliding_window:,} tokens, in {num_sliding} of {config.num_hidden_layers} layers"
        )
    if config.nope_layers:
        rows["layers without RoPE"] = f"{len(config.nope_layers)}"
    if config.rope_scaling is not None:
        kind = config.to_hf()["rope_scaling"]["rope_type"]
        rows["RoPE scaling"] = f"{kind}, by a factor of {config.rope_scaling.factor:g}"
    return "".join(f"\n| {name} | {value} |" for name, value in rows.items())
