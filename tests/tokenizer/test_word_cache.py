"""The cache of pieces: what it forgets changes no ids."""

import random

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
