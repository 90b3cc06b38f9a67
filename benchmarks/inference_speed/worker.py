"""One model in one engine, in a process of its own: commands as JSON lines on stdin, what came of them on stdout.

    python -m inference_speed.worker '{"engine": "textmill", "model": "MODEL.gguf", "threads": 2}'

Engines wait in a read between commands, so that only one of them works at a time.
"""

from __future__ import annotations

import json
import os
import sys
import traceback
from collections.abc import Callable
from typing import Any

from inference_speed.work import Engine, Work


def load(engine: str, **arguments: Any) -> Engine:
    """Import an engine and load its model; each has a Python environment that lacks the others."""
    if engine == "textmill":
        from inference_speed.textmill_engine import TextmillEngine

        return TextmillEngine(**arguments)
    if engine == "llama.cpp":
        from inference_speed.llama_cpp_engine import LlamaCppEngine

        return LlamaCppEngine(**arguments)
    from inference_speed.transformers_engine import TransformersEngine

    return TransformersEngine(**arguments)


def main() -> None:
    """Load, say so, and serve until stdin ends."""
    # Libraries print to stdout; replies go where nothing else does.
    replies = os.fdopen(os.dup(sys.stdout.fileno()), "w", buffering=1)
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    engine = load(**json.loads(sys.argv[1]))
    work = Work(engine)
    print(json.dumps(work.info()), file=replies)
    for line in sys.stdin:
        arguments = json.loads(line)
        name = arguments.pop("do")
        command: Callable[..., dict[str, Any]] = getattr(engine if name == "generate" else work, name)
        try:
            print(json.dumps(command(**arguments)), file=replies)
        except Exception:  # noqa: BLE001  the other side raises it
            print(json.dumps({"error": traceback.format_exc()}), file=replies)


if __name__ == "__main__":
    main()
