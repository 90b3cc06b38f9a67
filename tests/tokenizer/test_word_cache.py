"""The cache of pieces: what it forgets changes no ids."""

import random
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from textmill import Tokenizer

LETTERS = "abcdefghijklmnopqrstuvwxyz"


def trained() -> Tokenizer:
    """A tokenizer of few merges, so that a word has many tokens."""
    return Tokenizer.train(iter(["the quick brown fox " * 3]), vocab_size=280, pattern="gpt2")


def words(count: int, seed: int, length: int) -> list[str]:
    chooser = random.Random(seed)
    return [" " + "".join(chooser.choices(LETTERS, k=length)) for _ in range(count)]


def test_more_words_than_the_buckets_hold() -> None:
    tokenizer = trained()
    text = "".join(words(1_300_000, seed=1, length=6))
    ids = tokenizer.encode_batch([text], threads=1).ids
    assert tokenizer.decode(ids) == text
    assert (tokenizer.encode_batch([text], threads=1).ids == ids).all()


def test_more_tokens_than_fit_beside_the_buckets() -> None:
    tokenizer = trained()
    many = words(550_000, seed=2, length=24)  # each 25 ids of 4 bytes, and its own 25: 69 MB of 64
    ids = tokenizer.encode_batch(many, threads=1)
    again = tokenizer.encode_batch(many, threads=2)
    assert ids == again
    fresh = trained()
    for place in range(0, len(many), 50_021):
        assert ids[place].tolist() == fresh.encode(many[place])


def test_one_word_many_times_in_a_batch_of_unknown_words() -> None:
    tokenizer = trained()
    word = " zyxwvutsrq"
    once = tokenizer.encode(word)
    assert trained().encode(word * 300) == once * 300


_OUT_OF_MEMORY = """
import resource
from pathlib import Path
from textmill import Tokenizer
tokenizer = Tokenizer.train(iter(["the quick brown fox " * 3]), vocab_size=280, pattern="gpt2")
tokenizer.encode_batch(["the quick brown fox " * 60_000], threads=1)
long = "the quick brown fox " * 600_000
held = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (held + {more}, -1))
try:
    tokenizer.encode_batch([long], threads=1)
except MemoryError:
    print("no memory")
resource.setrlimit(resource.RLIMIT_AS, (-1, -1))
print(tokenizer.decode(tokenizer.encode("the quick brown fox")))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize("more", [1 << 20, 30 << 20, 60 << 20])
def test_where_memory_is_out_the_tokenizer_goes_on(more: int) -> None:
    program = _OUT_OF_MEMORY.replace("{more}", str(more))
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.endswith("the quick brown fox\n")


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_what_a_long_piece_takes_is_given_back() -> None:
    tokenizer = trained()
    tokenizer.encode("the quick brown fox" * 100)
    text = "a" * 8_000_000
    before = resident_bytes()
    assert tokenizer.count(text) == len(text)
    assert resident_bytes() - before < 64 << 20  # of 200 MB and more


def resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()
