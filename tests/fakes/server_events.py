"""What is in a stream of server-sent events."""

import json


def events_of(text):
    """The values of all events; ``[DONE]`` as it is."""
    lines = [line for line in text.split("\n\n") if line and not line.startswith(":")]
    assert all(line.startswith("data: ") for line in lines)
    return [json.loads(line[6:]) if line != "data: [DONE]" else "[DONE]" for line in lines]
