"""``textmill chat``."""


def chat(model: str, /) -> int:
    """Chat."""
    return 0
