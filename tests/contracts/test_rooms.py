"""What import-linter cannot see: who touches the native core, and that nothing needs torch before it is used."""

import ast
import subprocess
import sys
from pathlib import Path

import textmill

ROOT = Path(textmill.__file__).parent
MAY_TOUCH_CORE = {"text", "tokenizer", "infer", "model"}


def test_only_some_rooms_touch_the_core():
    for path in ROOT.rglob("*.py"):
        room = path.relative_to(ROOT).parts[0]
        for node in ast.walk(ast.parse(path.read_text())):
            names = {alias.name for alias in node.names} if isinstance(node, ast.Import | ast.ImportFrom) else set()
            module = node.module or "" if isinstance(node, ast.ImportFrom) else ""
            touches = module.startswith("textmill._core") or any(
                f"{module}.{name}".lstrip(".").startswith("textmill._core") for name in names
            )
            assert not touches or room in MAY_TOUCH_CORE, f"{path} imports the core"


def test_the_tokenizer_and_the_commands_need_no_torch():
    """In a process where torch cannot be imported."""
    code = """
import sys
class NoTorch:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "torch":
            raise ModuleNotFoundError("No module named 'torch'", name="torch")
sys.meta_path.insert(0, NoTorch())
import textmill
from textmill.cli import main
tokenizer = textmill.Tokenizer.train(iter(["some text, some more text"]), vocab_size=260, pattern="gpt2")
assert tokenizer.decode(tokenizer.encode("text")) == "text"
assert main(["--help"]) == 0
assert main(["tokenizer", "--help"]) == 0
assert main(["demo"]) == 2
assert main(["train", "tiny"]) == 2
"""
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert "pip install 'textmill[train]'" in result.stderr
