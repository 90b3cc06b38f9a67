"""The Python standard library of this interpreter as a corpus: text that every machine with Python has.

Two sources come out of it: ``code``, a document for each module, and ``prose``, a document for each docstring and for
each topic of ``help()``. A module's docstrings carry its path in their ids, so what holds out a module holds out its
docstrings with it. The topics' own module is left out of ``code``: it holds the text of every topic.
"""

from __future__ import annotations

import ast
import importlib
import io
import sysconfig
import tokenize
import warnings
from collections.abc import Iterator
from pathlib import Path

from textmill.base.errors import DataError
from textmill.text.documents import PART_SEPARATOR, Document

NAME = "stdlib"
KINDS = ("code", "prose")
_LEFT_OUT = frozenset({"site-packages", "dist-packages", "test", "tests", "idle_test", "__pycache__"})
_TOPICS = "pydoc_data/topics.py"


def is_stdlib(path: str) -> bool:
    """Say whether a source's path means the standard library: ``stdlib``, ``stdlib:code`` or ``stdlib:prose``."""
    return path == NAME or path in {f"{NAME}:{kind}" for kind in KINDS}


def read_stdlib(path: str, name: str) -> Iterator[Document]:
    """Read the standard library's documents.

    Args:
        path: ``stdlib`` for both kinds, ``stdlib:code`` or ``stdlib:prose`` for one.
        name: what the documents' ``source`` is to be.

    Raises:
        DataError: this interpreter has no readable standard library (a zipped or stripped build).
    """
    kind = path.partition(":")[2]
    root = Path(sysconfig.get_path("stdlib"))
    modules = module_files(root)
    if not modules:
        raise DataError(f"the standard library at {root} holds no .py files; give a folder of text instead")
    if kind in ("", "code"):
        yield from _code(root, modules, name)
    if kind in ("", "prose"):
        yield from _docstrings(root, modules, name)
        yield from _topics(name)


def module_files(root: Path) -> list[Path]:
    """List the standard library's modules without its tests and without installed packages, in the order of paths."""
    return [
        path
        for path in sorted(root.rglob("*.py"))
        if not _LEFT_OUT.intersection(path.relative_to(root).parts) and path.relative_to(root).as_posix() != _TOPICS
    ]


def _code(root: Path, modules: list[Path], name: str) -> Iterator[Document]:
    for path in modules:
        text = _source_text(path)
        if text.strip():
            yield Document(text, name, path.relative_to(root).as_posix())


def _source_text(path: Path) -> str:
    """Decode a module as Python does: by its coding line, UTF-8 where it has none; line ends stay as they are."""
    try:
        data = path.read_bytes()
        encoding, _ = tokenize.detect_encoding(io.BytesIO(data).readline)
        return data.decode(encoding)
    except (OSError, SyntaxError, UnicodeDecodeError) as error:
        raise DataError(f"{path} cannot be read as Python: {error}; the standard library is damaged") from error


def _docstrings(root: Path, modules: list[Path], name: str) -> Iterator[Document]:
    for path in modules:
        module_id = path.relative_to(root).as_posix()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(path.read_bytes(), filename=str(path))
        for qualified_name, docstring in _walk(tree, "module"):
            yield Document(docstring, name, f"{module_id}{PART_SEPARATOR}{qualified_name}")


def _walk(node: ast.AST, qualified_name: str) -> Iterator[tuple[str, str]]:
    if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
        docstring = ast.get_docstring(node)
        if docstring and docstring.strip():
            yield qualified_name, docstring + "\n"
    for child in ast.iter_child_nodes(node):
        child_name = getattr(child, "name", None)
        named = isinstance(child, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        yield from _walk(child, f"{qualified_name}.{child_name}" if named else qualified_name)


def _topics(name: str) -> Iterator[Document]:
    try:
        topics = importlib.import_module("pydoc_data.topics").topics
    except ModuleNotFoundError:  # some distributions package the topics apart
        return
    for topic in sorted(topics):
        if topics[topic].strip():
            yield Document(topics[topic], name, f"topic:{topic}")
