"""The model card: what a stranger needs to know of a model folder."""

from __future__ import annotations

from textmill.base.units import count
from textmill.model.config import ModelConfig


def model_card(config: ModelConfig) -> str:
    """Write a card (Markdown, with the front matter that model hubs read) from a model's sizes."""
    kinds = {1: "multi-head attention", config.num_attention_heads: "multi-query attention"}
    attention = kinds.get(config.queries_per_key_value_head, "grouped-query attention")
    heads = f"{config.num_attention_heads}, {config.num_key_value_heads}, {config.head_dim}"
    return f"""---
library_name: transformers
pipeline_tag: text-generation
tags: [llama, textmill]
---
# A LLaMA-style model of {count(config.num_parameters)} parameters

| | |
|---|---|
| parameters | {config.num_parameters:,} |
| layers | {config.num_hidden_layers} |
| width, feed-forward | {config.hidden_size}, {config.intermediate_size} |
| heads, key-value heads, head size | {heads} ({attention}) |
| vocabulary | {config.vocab_size:,}{" (input and output tables tied)" if config.tie_word_embeddings else ""} |
| context | {config.max_position_embeddings:,} tokens |

```python
import textmill

lm = textmill.load("this folder")
print(lm.generate("Once upon a time", max_tokens=64).text)
```

It loads in transformers as `LlamaForCausalLM`.
"""
