"""English for tests: items, documents to hide them in, and ways to change them that no eye would miss."""

import itertools
import random
import re
from functools import cache
from pydoc_data.topics import topics

from textmill.text.decontamination import EvalItem


@cache
def sentences():
    """Sentences of Python's help topics, each once, their order shuffled."""
    text = " ".join(topics[name] for name in sorted(topics))
    found = dict.fromkeys(" ".join(part.split()) for part in re.split(r"(?<=[.:])\s+(?=[A-Z])", text))
    good = [part for part in found if 8 <= len(part.split()) <= 60 and part.isascii()]
    random.Random(1).shuffle(good)
    return good


def items(count):
    """Questions of one to three sentences, 20 words or more each, that are in no document of ``documents``."""
    parts, made = iter(sentences()[: len(sentences()) // 2]), []
    while len(made) < count:
        question = next(parts)
        while len(re.findall(r"\w+", question)) < 20:
            question += " " + next(parts)
        made.append(EvalItem(f"eval.jsonl:{len(made) + 1}", "eval.jsonl", question, ""))
    return made


@cache
def _others():
    """Sentences that share no six words in a row with an item: the topics repeat themselves."""

    def runs(text):
        words = re.findall(r"\w+", text.lower())
        return {tuple(words[at : at + 6]) for at in range(len(words) - 5)}

    in_items = set().union(*map(runs, sentences()[: len(sentences()) // 2]))
    return [text for text in sentences()[len(sentences()) // 2 :] if not runs(text) & in_items]


def documents(count, num_sentences=40):
    generator = random.Random(2)
    return [" ".join(generator.sample(_others(), num_sentences)) for _ in range(count)]


def other_case(text, _):
    return text.swapcase()


def other_punctuation(text, _):
    return re.sub(r"[.,:;()\"'`]", " — ", text)


def other_spacing(text, _):
    return re.sub(r" ", "\n \t", text)


def more_punctuation(text, _):
    return re.sub(r" ", ", ", text)


def accents(text, _):
    return text.replace("e", "e\u0301").replace("a", "\u00e0")


def one_word_of_15(text, generator):
    """A word in fifteen becomes another: runs of 14 words stay."""
    numbers = itertools.count(1)
    others = ["blue", "seven", "otherwise"]
    return re.sub(r"[^\W_]+", lambda word: word[0] if next(numbers) % 15 else generator.choice(others), text)


def paraphrase(text, generator):
    """A word in four becomes another, and clauses change their places: what a rewording leaves."""
    words = [generator.choice(["thing", "makes", "rather", "used", "when"]) if i % 4 == 3 else word
             for i, word in enumerate(text.split())]  # fmt: skip
    middle = len(words) // 2
    return " ".join(words[middle:] + words[:middle])


def quoted_run(text, generator):
    """Thirteen words of the item in another text of the same length: a common phrase, not the item."""
    words = text.split()
    begin = generator.randrange(max(1, len(words) - 16))
    filler = [generator.choice(_others()[-1].split()) for _ in words]
    return " ".join(filler + words[begin : begin + 16] + filler)


VERBATIM = (lambda text, _: text, other_case, other_punctuation, other_spacing, more_punctuation, accents)
