"""What a request took, in tokens."""

from __future__ import annotations

from collections.abc import Sequence

from textmill.infer.answer import Answer
from textmill.serve.wire_responses import CachedTokens, Usage


def usage_of(answers: Sequence[Answer]) -> Usage:
    """Count them; the prompt of several answers counts once."""
    prompts = [answer for answer in answers if answer.elder is None]
    num_prompt = sum(answer.num_prompt for answer in prompts)
    num_made = sum(answer.num_drawn for answer in answers)
    num_cached = sum(answer.num_cached or 0 for answer in prompts)
    return Usage(
        prompt_tokens=num_prompt,
        completion_tokens=num_made,
        total_tokens=num_prompt + num_made,
        prompt_tokens_details=CachedTokens(cached_tokens=num_cached),
    )
