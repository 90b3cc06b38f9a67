"""What loading a tokenizer imports: a command that encodes one line should not wait for what it does not use."""

import subprocess
import sys

# Each of these takes a hundredth of a second or more, or brings what does.
_NOT_NEEDED = (
    "jinja2",
    "regex",
    "pyarrow",
    "torch",
    "concurrent.futures",
    "textmill.tokenizer.train",
    "textmill.tokenizer.explain",
)


def test_loading_and_encoding_import_only_what_they_need(tmp_path):
    from textmill import Tokenizer

    path = tmp_path / "tokenizer.json"
    Tokenizer.train(iter(["some text, some more"]), 270, "gpt2").save(path)
    program = (
        "import sys; from textmill import Tokenizer; Tokenizer.load(sys.argv[1]).encode('some'); "
        f"print([name for name in {_NOT_NEEDED} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program, str(path)], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
