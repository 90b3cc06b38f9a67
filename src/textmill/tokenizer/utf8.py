"""Text as its UTF-8."""


def to_bytes(text: str | bytes) -> bytes:
    """Return the UTF-8 of a text; lone surrogates become U+FFFD, as in tiktoken and in the native core."""
    if isinstance(text, bytes):
        return text
    if not isinstance(text, str):
        raise TypeError(f"a text must be str or bytes, and this is {type(text).__name__}")
    try:
        return text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace").encode()
