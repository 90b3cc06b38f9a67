import hashlib
import json
import random
import re
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from textmill import Tokenizer, _core
from textmill.base.errors import ConfigError, DataError, StorageError, TextmillError
from textmill.tokenizer import reference
from textmill.tokenizer.alphabet import BYTE_ORDER
from textmill.tokenizer.patterns import GPT2, PATTERNS, to_pre_tokenizer
from textmill.tokenizer.vocabulary import Vocabulary
from tokenizer.corpora import learn_on_bytes, standard_library
from tokenizer.hard_text import examples, hard_text, repetitive_text


def learn(texts, pattern, num_merges, first_id=0, threads=1):
    trainer = _core.Trainer(PATTERNS[pattern].splitter(), threads)
    trainer.add(texts)
    merges, counts = learn_on_bytes(trainer, num_merges, first_id)
    return merges.tolist(), counts.tolist()


def hugging_face(texts, pattern, vocab_size, special_tokens=(), **options):
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers

    content = json.loads(Tokenizer(models.BPE()).to_str())
    content["pre_tokenizer"] = to_pre_tokenizer(PATTERNS[pattern])
    tokenizer = Tokenizer.from_str(json.dumps(content))
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=list(special_tokens),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
        **options,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer


def merges_of(hugging_face_tokenizer):
    model = json.loads(hugging_face_tokenizer.to_str())["model"]
    vocab = model["vocab"]
    return [[vocab[left], vocab[right], vocab[left + right]] for left, right in model["merges"]]


patterns = st.sampled_from(sorted(PATTERNS))


@examples
@given(texts=repetitive_text, pattern=patterns, num_merges=st.integers(0, 60))
@example(texts=["aaaa"], pattern="gpt2", num_merges=60)
@example(texts=["ababababa" * 7], pattern="cl100k", num_merges=60)
@example(texts=["abcab" * 9 + "cc"], pattern="gpt2", num_merges=60)
def test_merges_and_counts_are_those_of_the_twin(texts, pattern, num_merges):
    data = [text.encode() for text in texts]
    merges, counts = reference.train(PATTERNS[pattern], data, num_merges, first_id=3)
    expected = [[left, right, product] for (left, right), product in merges.items()]
    assert learn(data, pattern, num_merges, first_id=3) == (expected, counts)


@examples
@given(
    texts=repetitive_text,
    num_tokens=st.integers(0, 20),
    base_texts=st.one_of(st.just([]), repetitive_text),
    seeds=st.lists(st.text("ab c", min_size=1, max_size=6).map(str.encode), max_size=3),
    min_frequency=st.integers(0, 5),
    max_token_length=st.one_of(st.none(), st.integers(2, 5)),
)
@example(
    texts=["abababab"], num_tokens=9, base_texts=[], seeds=[b"abab", b"ababab"], min_frequency=0, max_token_length=None
)
def test_seeds_limits_and_extension_are_those_of_the_twin(texts, num_tokens, base_texts, seeds, **options):
    data = [text.encode() for text in texts]
    base, _ = reference.train(GPT2, [text.encode() for text in base_texts], 12)
    merges, counts = reference.train(GPT2, data, 0, seeds=seeds, base=base)
    merges, counts = reference.train(GPT2, data, len(counts) + num_tokens, seeds=seeds, base=base, **options)
    vocabulary = vocabulary_of(base)
    trained = Tokenizer.train(
        iter([*data, b"."]),  # "." stands alone, so that there is some text
        len(vocabulary.tokens) + len(counts),
        "gpt2",
        seed_tokens=seeds,
        extend=Tokenizer(vocabulary),
        **options,
    )
    expected = [[left, right, product] for (left, right), product in (base | merges).items()]
    assert trained.vocabulary.merges.tolist() == expected
    assert trained.training_report.merge_counts.tolist() == counts


def vocabulary_of(merges):
    tokens = [bytes([byte]) for byte in BYTE_ORDER]
    for left, right in merges:
        tokens.append(tokens[left] + tokens[right])
    rows = [[left, right, product] for (left, right), product in merges.items()]
    return Vocabulary(GPT2, tuple(tokens), np.array(rows, dtype=np.uint32).reshape(-1, 3))


@pytest.mark.peer
@examples
@given(texts=st.one_of(repetitive_text, st.lists(hard_text, min_size=1, max_size=5)), pattern=patterns)
def test_merges_are_those_of_hugging_face(texts, pattern):
    theirs = hugging_face(texts, pattern, 400, ["<s>", "</s>"])
    assert learn(texts, pattern, 400 - 258, first_id=2)[0] == merges_of(theirs)


@pytest.mark.peer
@pytest.mark.parametrize("pattern", sorted({pattern.regexes: name for name, pattern in PATTERNS.items()}.values()))
def test_merges_on_the_standard_library_are_those_of_hugging_face(pattern, corpus):
    texts = [*standard_library(1_000_000), corpus[-1]]
    theirs = hugging_face(texts, pattern, 4000, ["<|endoftext|>"])
    assert learn(texts, pattern, 4000 - 257, first_id=1, threads=2)[0] == merges_of(theirs)


@pytest.mark.peer
@pytest.mark.parametrize(
    "text", ["a" * 1000, "ab" * 777, "é" * 99, " " * 500 + "x", "\n" * 77, "aaaa aaaaa aaabaaab" * 3]
)
def test_merges_of_runs_are_those_of_hugging_face(text):
    assert learn([text], "gpt2", 200)[0] == merges_of(hugging_face([text], "gpt2", 456))


def test_result_does_not_depend_on_threads_or_on_how_texts_are_cut_into_calls():
    texts = standard_library(6_000_000)
    whole = "\n".join(texts)  # one text that is cut for several threads
    expected = learn([whole], "gpt2", 700)
    assert learn([whole], "gpt2", 700, threads=5) == expected
    one_by_one = _core.Trainer(PATTERNS["cl100k"].splitter(), 3)
    for text in texts:
        one_by_one.add([text])
    merges, counts = learn_on_bytes(one_by_one, 700)
    assert (merges.tolist(), counts.tolist()) == learn(texts, "cl100k", 700, threads=2)


def test_ids_are_special_tokens_then_bytes_then_merges():
    tokenizer = Tokenizer.train(iter(["abab"]), 260, special_tokens=["<s>", "</s>"])
    assert tokenizer.special_tokens == {"<s>": 0, "</s>": 1}
    assert tokenizer.token_bytes(2) == b"!"
    assert tokenizer.encode("abab") == [259]
    assert tokenizer.vocab_size == 260


def test_training_stops_when_no_pair_is_left():
    tokenizer = Tokenizer.train(iter(["abc abc"]), 1000, "gpt2")
    facts = tokenizer.training_report
    assert tokenizer.vocab_size == 256 + 3
    assert facts.merge_counts.tolist() == [2, 2, 1]
    assert (facts.num_bytes, facts.num_pieces, facts.num_words) == (7, 2, 2)


def test_paths_are_read_and_other_iterables_are_texts(tmp_path):
    (tmp_path / "a.txt").write_text("one text, whole\n")
    (tmp_path / "b.jsonl").write_text('{"text": "a record"}\n{"text": "another"}\n')
    texts = ["one text, whole\n", "a record", "another"]
    expected = Tokenizer.train(iter(texts), 300)
    assert Tokenizer.train(tmp_path, 300) == expected
    assert Tokenizer.train([tmp_path / "a.txt", str(tmp_path / "b.jsonl")], 300) == expected
    assert Tokenizer.train((text.encode() for text in texts), 300) == expected


def test_merging_is_told_once_after_all_reading():
    seen = []
    Tokenizer.train(iter(["a b c"]), 258, progress=seen.append, on_merging=lambda: seen.append("merging"))
    assert seen == [5, "merging"]
    with pytest.raises(ConfigError, match="on_merging is 1, and must be a function"):
        Tokenizer.train(iter(["a b c"]), 258, on_merging=1)


def test_progress_is_told_the_bytes_so_far():
    seen = []
    Tokenizer.train(iter(["a b " * 5_000_000, "c"]), 257, progress=seen.append)
    assert seen == [20_000_000, 20_000_001]


def test_counts_above_32_bits_do_not_wrap():
    trainer = _core.Trainer(PATTERNS["char"].splitter(), 1)
    trainer.add(["é"] * 1000)
    merges, counts = learn_on_bytes(trainer, 1)
    assert counts.dtype == np.uint64
    assert len(merges) == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"pattern": "cl1ook"}, 'unknown pattern "cl1ook"; did you mean "cl100k"'),
        ({"vocab_size": 255}, "vocab_size is 255, and must be from 256"),
        ({"vocab_size": 257, "special_tokens": ["<a>", "<b>"]}, "must be from 258"),
        ({"vocab_size": 1 << 40}, "vocab_size is 1099511627776"),
        ({"vocab_size": 300.0}, "must be a whole number"),
        ({"special_tokens": [""]}, "must be a text"),
        ({"special_tokens": ["<a>", "<a>"]}, "is given 2 times"),
        ({"special_tokens": ["\ud800"]}, "lone surrogate"),
        ({"special_tokens": ["a"]}, "is an ordinary token"),
        ({"special_tokens": ["ab"], "seed_tokens": ["abc"]}, "is an ordinary token"),
        ({"special_tokens": None}, "special_tokens is None, and must be a list"),
        ({"special_tokens": "abc"}, "special_tokens is the one text 'abc'; give a list"),
        ({"special_tokens": 7}, "special_tokens is 7, and must be a list"),
        ({"vocab_size": np.float64(300)}, "must be a whole number"),
        ({"vocab_size": True}, "must be a whole number"),
        ({"vocab_size": None}, "must be a whole number"),
        ({"vocab_size": 2**70}, "vocab_size is 1180591620717411303424"),
        ({"memory_limit": 2**70}, "memory_limit is 1180591620717411303424"),
        ({"memory_limit": "1.5GB"}, "memory_limit is '1.5GB', and must be a number of bytes"),
        ({"memory_limit": 1.5e9}, "memory_limit is 1500000000.0"),
        ({"min_frequency": 2**70}, "min_frequency is 1180591620717411303424"),
        ({"max_token_length": 2**70}, "max_token_length is 1180591620717411303424"),
        ({"seed_tokens": None}, "seed_tokens is None, and must be a list"),
        ({"extend": "tokenizer.json"}, "extend is 'tokenizer.json', and must be a tokenizer"),
        ({"pattern": None}, "pattern is None"),
        ({"tie": None}, "unknown tie rule"),
        ({"tie": "random"}, "unknown tie rule"),
        ({"threads": 0}, "threads is 0"),
        ({"memory_limit": -1}, "memory_limit is -1"),
        ({"memory_limit": "1 GB"}, "memory_limit is '1 GB'"),
        ({"threads": "two"}, "threads is 'two'"),
        ({"min_frequency": -1}, "min_frequency is -1, and must be a number of occurrences"),
        ({"min_frequency": None}, "min_frequency is None"),
        ({"max_token_length": 1}, "max_token_length is 1, and must be a number of bytes from 2 on"),
        ({"seed_tokens": "ab"}, "give a list of them"),
        ({"seed_tokens": [""]}, "must be a text of 1 to 1024 bytes"),
        ({"seed_tokens": [7]}, "the seed token '7' must be a text"),
    ],
)
def test_wrong_arguments_are_refused_with_what_was_given(arguments, message):
    with pytest.raises(ConfigError) as error:
        Tokenizer.train(iter(["abab"]), **{"vocab_size": 300, **arguments})
    assert message in str(error.value)


@pytest.mark.parametrize("texts", [[], iter([]), iter(["", b""])])
def test_no_text_is_an_error_in_the_data(texts):
    with pytest.raises(DataError, match="no text"):
        Tokenizer.train(texts, 300)


def test_a_list_of_texts_is_told_that_it_is_a_list_of_paths():
    with pytest.raises(DataError):
        Tokenizer.train(["no such file", "x" * 5000], 300)
    with pytest.raises(DataError, match="give texts as an iterator"):
        Tokenizer.train(["x" * 5000], 300)


def test_something_that_is_no_text_is_refused():
    with pytest.raises(ConfigError, match="of type int"):
        Tokenizer.train(iter([1]), 300)


def test_not_even_the_different_pieces_fit_and_both_numbers_are_named():
    with pytest.raises(
        TextmillError, match=r"needs at least \d+ bytes of memory, and the limit is 65536.*Raise the limit"
    ):
        Tokenizer.train(iter(standard_library(1_000_000)), 300, memory_limit=65_536)
    with pytest.raises(TextmillError, match="counting one piece of 1000000 bytes"):
        Tokenizer.train(iter(["x" * 1_000_000]), 300, memory_limit=1_000_000)
    assert Tokenizer.train(iter(["abab"]), 300, memory_limit=10_000_000).vocab_size == 258


@pytest.mark.parametrize(("memory_limit", "threads"), [(2_000_000, 1), (2_500_000, 2), (8_000_000, 2), (40_000_000, 3)])
def test_a_memory_limit_changes_nothing(memory_limit, threads):
    texts = standard_library(4_000_000)
    free = Tokenizer.train(iter(texts), 2000, "gpt2", threads=1)
    limited = Tokenizer.train(iter(texts), 2000, "gpt2", threads=threads, memory_limit=memory_limit)
    assert limited == free
    report = limited.training_report
    assert (report.spilled_runs > 0) == (memory_limit < 8_000_000)
    facts = {"spilled_runs": 0, "spilled_bytes": 0}
    assert report.to_dict() | facts == free.training_report.to_dict()


def needed_bytes(error):
    return int(re.search(r"needs at least (\d+) bytes", str(error)).group(1))


@pytest.mark.parametrize("memory_limit", [600_000, 700_000, 1_000_000])
def test_pairs_that_stand_equally_often_need_not_fit_together(memory_limit):
    draw = random.Random(7)
    words = [" " + "".join(draw.choices("abcdefghijklmnopqrstuvwxyz", k=9)) for _ in range(4000)]
    text = "".join(dict.fromkeys(words))
    free = Tokenizer.train(iter([text]), 4000, "gpt2", threads=1)
    limited = Tokenizer.train(iter([text]), 4000, "gpt2", threads=1, memory_limit=memory_limit)
    assert limited == free
    report = limited.training_report
    assert report.num_ties == free.training_report.num_ties
    assert report.merge_counts.tolist() == free.training_report.merge_counts.tolist()
    assert 1 in report.merge_counts


def test_the_limit_that_an_error_names_is_one_that_does():
    text = "".join(standard_library(500_000))
    with pytest.raises(TextmillError) as first:
        Tokenizer.train(iter([text]), 600, "gpt2", threads=1, memory_limit=100_000)
    with_that = Tokenizer.train(iter([text]), 600, "gpt2", threads=1, memory_limit=needed_bytes(first.value))
    assert with_that == Tokenizer.train(iter([text]), 600, "gpt2")


@examples
@given(texts=st.lists(hard_text, min_size=1, max_size=40), threads=st.integers(1, 3))
def test_a_memory_limit_changes_nothing_on_hard_text(texts, threads):
    free, limited = _core.Trainer(GPT2.splitter(), 1), _core.Trainer(GPT2.splitter(), threads, 3_000_000)
    free.add(texts)
    for text in texts:
        limited.add([text])
    merges, counts = learn_on_bytes(free, 400)
    limited_merges, limited_counts = learn_on_bytes(limited, 400)
    assert np.array_equal(merges, limited_merges)
    assert np.array_equal(counts, limited_counts)
    assert np.array_equal(free.token_counts, limited.token_counts)
    assert free.num_words == limited.num_words


def test_nothing_is_left_in_the_temporary_folder(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    seen = []

    def look(_):
        seen.extend(tmp_path.iterdir())

    def interrupt(_):
        raise KeyboardInterrupt

    texts = standard_library(1_500_000)
    trained = Tokenizer.train(iter(texts), 300, memory_limit=800_000, threads=1, progress=look)
    assert trained.training_report.spilled_runs > 0
    with pytest.raises(KeyboardInterrupt):
        Tokenizer.train(iter(texts), 300, memory_limit=800_000, threads=1, progress=interrupt)
    assert seen == list(tmp_path.iterdir()) == []


def test_a_temporary_folder_that_cannot_be_written_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "missing"))
    with pytest.raises(StorageError, match="missing: No such file or directory.*TMPDIR"):
        Tokenizer.train(iter(standard_library(1_500_000)), 300, memory_limit=800_000, threads=1)


@pytest.mark.peer
@pytest.mark.parametrize("options", [{"min_frequency": 40}, *({"max_token_length": length} for length in (2, 4, 9))])
def test_limits_are_those_of_hugging_face(options):
    texts = standard_library(400_000)
    theirs = hugging_face(texts, "gpt2", 3000, ["<s>"], **options)
    ours = Tokenizer.train(iter(texts), 3000, "gpt2", ["<s>"], **options)
    assert ours.vocabulary.merges.tolist() == merges_of(theirs)
    assert ours.vocab_size == theirs.get_vocab_size()


def test_extending_with_the_same_text_is_training_longer():
    texts = standard_library(300_000)
    whole = Tokenizer.train(iter(texts), 900, "gpt2", ["<s>"])
    base = Tokenizer.train(iter(texts), 500, "gpt2", ["<s>"])
    assert Tokenizer.train(iter(texts), 900, extend=base) == whole
    report = Tokenizer.train(iter(texts), 900, extend=base).training_report
    assert report.extended_sha256 == base.sha256
    assert len(report.merge_counts) == 400
    assert report.num_tokens == whole.training_report.num_tokens


def test_extending_keeps_every_id_and_appends_special_tokens():
    base = Tokenizer.train(iter(["low lower lowest"] * 3), 262, "gpt2", ["<s>"])
    more = Tokenizer.train(iter(["newer newest"] * 3), 272, extend=base, special_tokens=["<s>", "</s>"])
    assert more.special_tokens == {"<s>": 0, "</s>": base.vocab_size}
    assert [more.token_bytes(i) for i in range(base.vocab_size)] == [base.token_bytes(i) for i in range(262)]
    assert more.vocabulary.merges[: len(base.vocabulary.merges)].tolist() == base.vocabulary.merges.tolist()
    assert len(more.encode("newest")) < len(base.encode("newest"))
    assert more.pattern == "gpt2"
    with pytest.raises(ConfigError, match='pattern is "o200k", and the tokenizer to extend has "gpt2"'):
        Tokenizer.train(iter(["x"]), 300, "o200k", extend=base)
    with pytest.raises(ConfigError, match="must be from 263 .263 ids of the extended vocabulary"):
        Tokenizer.train(iter(["x"]), 262, extend=base, special_tokens=["</s>"])


def test_extending_a_vocabulary_of_whole_pieces_uses_the_tokens_that_no_merge_reaches():
    tokens = (*(bytes([byte]) for byte in BYTE_ORDER), b"ab", b"xyz")
    a, b, x, y = (BYTE_ORDER.index(byte) for byte in b"abxy")
    vocabulary = Vocabulary(GPT2, tokens, np.array([[a, b, 256]], dtype=np.uint32), whole_pieces=True)
    more = Tokenizer.train(iter(["xyz xyz" * 3 + " ab"]), 260, extend=Tokenizer(vocabulary))
    assert more.encode("xyz") == [257]
    assert [x, y, 258] in more.vocabulary.merges.tolist()
    assert [258, BYTE_ORDER.index(ord("z")), 257] in more.vocabulary.merges.tolist()


def test_seeds_are_tokens_whatever_the_text_holds():
    seeds = [" quark", "gluon", b"\xf0\x9f", "quarks"]
    tokenizer = Tokenizer.train(iter(["nothing of this"] * 5), 290, "gpt2", seed_tokens=seeds)
    assert [len(tokenizer.encode(seed)) for seed in seeds] == [1, 1, 1, 1]
    report = tokenizer.training_report
    assert report.seed_tokens == ("Ġquark", "gluon", "ðŁ", "quarks")
    assert set(tokenizer.encode(" quark")) <= set(report.unused_tokens)
    with pytest.raises(ConfigError, match=r"must be from 263 .256 bytes and 0 special tokens and 7 for seeds"):
        Tokenizer.train(iter(["x"]), 262, "gpt2", seed_tokens=["gluons", "ons"])


def test_the_report_says_how_it_was_learned(tmp_path):
    (tmp_path / "a.txt").write_text("tick tack tock " * 99)
    (tmp_path / "b.md").write_text("tock tack")
    texts = ["tick tack tock " * 99, "tock tack"]
    trained = Tokenizer.train(tmp_path, 270, "gpt2")
    report = trained.training_report
    digest = hashlib.sha256()
    for text in texts:
        digest.update(text.encode() + len(text).to_bytes(8, "little"))
    assert report.corpus_sha256 == digest.hexdigest()
    assert (report.num_texts, report.num_bytes) == (2, sum(map(len, texts)))
    assert report.num_tokens == sum(map(trained.count, texts))
    assert report.bytes_per_token == {
        f"{tmp_path} (.txt)": len(texts[0]) / trained.count(texts[0]),
        f"{tmp_path} (.md)": len(texts[1]) / trained.count(texts[1]),
    }
    assert report.num_words == 6  # with and without the space, and one space at the end
    assert 0 < report.num_ties < len(report.merge_counts)
    used = set(trained.encode(texts[0]) + trained.encode(texts[1]))
    assert report.unused_tokens == tuple(i for i in range(256, trained.vocab_size) if i not in used)
    other = Tokenizer.train(iter(texts), 270, "gpt2", threads=2).training_report
    assert other.to_dict() | {"bytes_per_token": {}} == report.to_dict() | {"bytes_per_token": {}}


def test_the_report_is_kept_beside_the_tokenizer(tmp_path):
    trained = Tokenizer.train(iter(["tick tack tock"] * 9), 262, "gpt2")
    trained.save(tmp_path)
    loaded = Tokenizer.load(tmp_path / "tokenizer.json")
    assert loaded.training_report.to_dict() == trained.training_report.to_dict()
    assert loaded.sha256 == trained.sha256
    other = Tokenizer.train(iter(["something else"]), 262, "gpt2")
    Tokenizer(other.vocabulary).save(tmp_path)
    assert Tokenizer.load(tmp_path).training_report is None


@pytest.mark.parametrize("wrong", ["{", "[]", '{"num_texts": -1}', "[" * 100_000])
def test_a_damaged_report_is_refused_with_what_to_do(tmp_path, wrong):
    trained = Tokenizer.train(iter(["tick tack tock"] * 9), 262, "gpt2")
    trained.save(tmp_path)
    path = tmp_path / "tokenizer.report.json"
    if wrong.startswith('{"'):
        wrong = json.dumps(json.loads(path.read_text()) | json.loads(wrong))
    path.write_text(wrong)
    with pytest.raises(DataError, match=r"tokenizer.report.json cannot be used.*Remove it"):
        Tokenizer.load(tmp_path)


MANY_LANGUAGES = [
    "Слово за слово, и так далее.\n",
    "これは日本語です。漢字もある。",
    "他说：“你好”。\n",
    "हिन्दी में लिखा हुआ। ",
    "a b\r\n\n  c1 ",
]


@examples
@given(
    texts=st.lists(st.one_of(hard_text, st.sampled_from(MANY_LANGUAGES).map(lambda text: text * 9)), min_size=1),
    pattern=patterns,
    block_bytes=st.integers(1, 300),
)
def test_a_stream_of_blocks_and_whole_texts_give_the_same(tmp_path_factory, texts, pattern, block_bytes):
    text = ("".join(texts) + "naïve 中文 🤖\r\n  \n").removeprefix("\ufeff")
    path = tmp_path_factory.mktemp("stream") / "a.txt"
    path.write_bytes(text.encode())
    whole = Tokenizer.train(iter([text]), 300, pattern)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("textmill.text.stream._BLOCK_BYTES", block_bytes)
        streamed = Tokenizer.train([path], 300, pattern)
    assert streamed == whole
    assert streamed.training_report.merge_counts.tolist() == whole.training_report.merge_counts.tolist()
    assert streamed.training_report.corpus_sha256 == whole.training_report.corpus_sha256
    assert streamed.training_report.num_texts == 1


@pytest.mark.parametrize("unit", MANY_LANGUAGES)
def test_text_of_any_language_comes_in_parts(tmp_path, monkeypatch, unit):
    monkeypatch.setattr("textmill.text.stream._BLOCK_BYTES", 1000)
    monkeypatch.setattr("textmill.tokenizer.corpus._BATCH_BYTES", 1)
    (tmp_path / "a.txt").write_text(unit * 1000)
    seen = []
    Tokenizer.train(tmp_path, 257, progress=seen.append)
    assert len(seen) >= len(unit.encode())


@examples
@given(texts=repetitive_text, never=st.lists(st.text("ab c", min_size=2, max_size=4), max_size=4, unique=True))
@example(texts=["abab ab"], never=["ab"])
def test_a_special_token_is_never_learned_as_an_ordinary_token(texts, never):
    data = [*(text.encode() for text in texts), b"."]
    merges, counts = reference.train(GPT2, data, 30, len(never), never=[text.encode() for text in never])
    trained = Tokenizer.train(iter(data), 256 + len(never) + len(counts), "gpt2", never)
    expected = [[left, right, product] for (left, right), product in merges.items()]
    assert trained.vocabulary.merges.tolist() == expected
    assert trained.training_report.merge_counts.tolist() == counts
    assert not set(trained.encode("".join(never))) & set(trained.special_tokens.values())


@pytest.mark.peer
def test_hugging_face_gives_text_the_id_of_a_control_token_that_it_learns():
    theirs = hugging_face(["abab ab"], "gpt2", 300, ["ab"])
    assert [0, "ab"] in [[token_id, token] for token, token_id in theirs.get_vocab().items()]
    assert any(product == 0 for *_, product in merges_of(theirs))


def test_what_a_folder_holds_besides_text_is_named_and_counted(tmp_path):
    (tmp_path / "a.txt").write_text("some text")
    (tmp_path / "b.png").write_bytes(b"\x89PNG")
    (tmp_path / "c.log").write_text("text that does not end as text")
    with pytest.warns(UserWarning, match=r"2 files were left out of the folders.*: .png \(1\), .log \(1\)"):
        trained = Tokenizer.train(tmp_path, 258)
    assert trained.training_report.files_left_out == {".log": 1, ".png": 1}
    trained.save(tmp_path / "tokenizer.json")
    assert Tokenizer.load(tmp_path / "tokenizer.json").training_report.files_left_out == {".log": 1, ".png": 1}


def test_nulls_in_place_of_text_are_counted(tmp_path):
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    parquet.write_table(pyarrow.table({"text": ["one", None, "three"]}), tmp_path / "a.parquet")
    with pytest.warns(UserWarning, match="1 record holds no text"):
        trained = Tokenizer.train(tmp_path / "a.parquet", 258)
    assert (trained.training_report.num_texts, trained.training_report.num_empty_records) == (2, 1)


def test_what_is_no_source_is_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.txt").write_text("some text")
    with pytest.raises(DataError, match="a path of text is empty"):
        Tokenizer.train("", 300)
    with pytest.raises(DataError, match=r"no file matches \*.md"):
        Tokenizer.train("*.md", 300)
    for wrong in (b"one text", 7, None):
        with pytest.raises(ConfigError, match="must be a path, a list of paths, or an iterator of texts"):
            Tokenizer.train(wrong, 300)
    assert Tokenizer.train(("a.txt",), 300) == Tokenizer.train("a.txt", 300)
    with pytest.raises(DataError, match="no such file does not exist"):
        Tokenizer.train(("a.txt", "no such file"), 300)


def test_whole_numbers_of_numpy_are_whole_numbers():
    assert Tokenizer.train(iter(["abab"]), np.int64(258), min_frequency=np.int32(1)).vocab_size == 258


def test_extending_normalises_text_as_encoding_does():
    base = Tokenizer.train(iter(["abc abd"]), 258, "gpt2")
    composing = Tokenizer(replace(base.vocabulary, normalizer="nfc"))
    decomposed = ["e\N{COMBINING ACUTE ACCENT}t\N{LATIN SMALL LETTER E WITH ACUTE} "] * 9
    more = Tokenizer.train(iter(decomposed), 262, extend=composing)
    assert "\N{LATIN SMALL LETTER E WITH ACUTE}t\N{LATIN SMALL LETTER E WITH ACUTE}".encode() in more.vocabulary.tokens
    report = more.training_report
    num_bytes, num_tokens = sum(len(text.encode()) for text in decomposed), sum(map(more.count, decomposed))
    assert (report.num_bytes, report.num_tokens) == (num_bytes, num_tokens)
    assert report.bytes_per_token == {"texts": num_bytes / num_tokens}
    spaced = Tokenizer(replace(base.vocabulary, adds_prefix_space=True))
    with pytest.raises(ConfigError, match="the tokenizer to extend adds a space"):
        Tokenizer.train(iter(["abc"]), 262, extend=spaced)
