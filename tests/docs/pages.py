"""The pages that a reader meets, and what is written in them: blocks of Python, and command lines."""

import re
import shlex
from pathlib import Path

ROOT = Path(__file__).parents[2]
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
SPAN = re.compile(r"(?<!`)`(textmill [a-z][^`]*)`(?!`)", re.DOTALL)
LINE = re.compile(r"^ {4}(?:\$ |\S+=\S+ )*(?:\S+/)?(?:(?:srun |torchrun ).*-m )?(textmill [a-z].*)$", re.MULTILINE)
TYPED = re.compile(r"""(?:"[^"]*"|'[^']*'|(?! {2}| #).)*""")
VARIABLE = re.compile(r"^ {4}(\w+)=\"(.*)\"$", re.MULTILINE)


def pages(*folders):
    """Pages of these folders of ``docs``, by their path without an ending."""
    found = [page for folder in folders for page in sorted((ROOT / "docs" / folder).rglob("*.md"))]
    return {str(page.relative_to(ROOT / "docs").with_suffix("")): page for page in found}


def fenced(text, language):
    """The blocks of a language, in their order."""
    return [block for named, block in FENCE.findall(text) if named == language]


def command_lines(text):
    """What a page shows to be typed after ``textmill``: words, of lines that are indented."""
    text = re.sub(r" *\\\n *", " ", text)
    for name in [name for name, _ in VARIABLE.findall(text)]:
        text = text.replace(f"${name}", dict(VARIABLE.findall(text))[name])
    return [_words(line) for line in LINE.findall(text)]


def named_commands(text):
    """Commands within sentences, which may leave out what they are given; ``sft|dpo`` is two of them."""
    found = []
    for span in SPAN.findall(text):
        words = _words(" ".join(span.split()))
        choices = next((word.split("|") for word in words if "|" in word), [None])
        found += [[choice if choice and "|" in word else word for word in words] for choice in choices]
    return found


def _words(line):
    """The words behind ``textmill``, without a remark (behind two spaces or a #) and redirections."""
    words = shlex.split(TYPED.match(line)[0])
    ends = [place for place, word in enumerate(words) if word in ("<", ">")]
    return words[1 : min(ends, default=len(words))]
