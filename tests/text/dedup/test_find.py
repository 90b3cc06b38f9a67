"""Duplicates are the twin's, whatever the units, the memory and the threads; what is reported is so."""

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fakes.small_files import small_files
from textmill.base.errors import ConfigError, StorageError
from textmill.text.dedup import DedupSettings, MinHashSettings, UnitKeys, find_duplicates, read_verdict
from textmill.text.dedup.reference import KnownText, cluster_sizes
from textmill.text.dedup.spill import Spill
from textmill.text.text_batch import TextBatch

# Few words, short shingles and weak bands: documents are near duplicates, and unlike ones share keys, all the time.
LOOSE = MinHashSettings(bands=4, rows=1, ngram=1, min_jaccard=0.6, max_leaders=2)
WORDS = st.lists(st.sampled_from("abcdefgh"), max_size=8).map(" ".join)
DOCUMENTS = st.lists(
    st.builds(KnownText, WORDS, st.sampled_from([0.0, 0.5, 1.0]), st.sampled_from(["one", "two"])), max_size=40
)
SETTINGS = st.builds(
    DedupSettings,
    exact=st.booleans(),
    minhash=st.builds(lambda most: replace(LOOSE, max_leaders=most), st.integers(1, 4)),
    scope=st.sampled_from(["all", "source"]),
    keep=st.sampled_from([("score", "longest", "first"), ("longest",), ("first",), ("longest", "score"), ()]),
)


def find(documents, dedup, folder, *, unit_size=7, memory_limit=1 << 20, threads=1):
    """The cluster sizes of documents, and the report."""
    units, texts = [], []
    for source in dict.fromkeys(each.source for each in documents):
        own = [each for each in documents if each.source == source]
        for begin in range(0, len(own), unit_size):
            chosen = own[begin : begin + unit_size]
            texts.append([each.text for each in chosen])
            scores = np.array([each.score for each in chosen], np.float32)
            units.append(replace(UnitKeys.of(TextBatch.of(texts[-1]), scores, dedup.minhash), source=source))
    report = find_duplicates(
        units,
        dedup,
        lambda unit, numbers: TextBatch.of([texts[unit][number] for number in numbers.tolist()]),
        folder=folder,
        memory_limit=memory_limit,
        threads=threads,
    )
    sizes: list[int] = []
    for number in range(len(units)):
        verdict = read_verdict(folder, number)
        assert verdict.kept.tolist() == [size > 0 for size in verdict.cluster_sizes]
        sizes += verdict.cluster_sizes.tolist()
    assert sorted(path.suffix for path in folder.iterdir()) == [".npy"] * len(units)
    return sizes, report


def by_source(documents):
    return sorted(documents, key=lambda each: [one.source for one in documents].index(each.source))


WAYS = st.fixed_dictionaries(
    {"unit_size": st.integers(5, 50), "memory_limit": st.sampled_from([1, 1000, 10_000, 1 << 30])}
)


@settings(deadline=None, max_examples=40)
@given(documents=DOCUMENTS, dedup=SETTINGS, way=WAYS)
def test_clusters_are_the_twins(tmp_path_factory, documents, dedup, way):
    documents = by_source(documents)
    sizes, report = find(documents, dedup, tmp_path_factory.mktemp("dedup"), **way)
    assert sizes == cluster_sizes(documents, dedup)
    assert sum(sizes) == report.documents == len(documents)
    assert report.kept == sum(size > 0 for size in sizes)
    assert report.clusters == sum(size > 1 for size in sizes) == sum(report.cluster_sizes.values())


def edited(rng, words, share):
    words = list(words)
    for place in rng.choice(len(words), int(len(words) * share), replace=False):
        words[place] = f"new{rng.integers(1 << 30)}"
    return words


@pytest.fixture(scope="module")
def corpus():
    """600 documents; half of them edited from an earlier one, some of them copies."""
    rng = np.random.default_rng(1)
    texts = [[f"w{n}" for n in rng.integers(0, 5000, rng.integers(20, 200))] for _ in range(300)]
    texts += [edited(rng, texts[rng.integers(len(texts))], rng.choice([0, 0.005, 0.02, 0.08])) for _ in range(300)]
    return [KnownText(" ".join(texts[i]), float(rng.integers(3))) for i in rng.permutation(len(texts))]


def test_units_memory_and_threads_do_not_matter(corpus, tmp_path):
    dedup = DedupSettings(minhash=MinHashSettings())
    expected, report = find(corpus, dedup, tmp_path / "0", unit_size=1000)
    assert report.exact_dropped > 20
    assert report.near_dropped > 40
    assert report.pairs_verified >= report.near_dropped
    for number, (unit_size, memory_limit, threads) in enumerate([(600, 1, 2), (37, 20_000, 1), (25, 100_000, 2)], 1):
        sizes, same = find(
            corpus, dedup, tmp_path / str(number), unit_size=unit_size, memory_limit=memory_limit, threads=threads
        )
        assert sizes == expected
        assert replace(same, biggest=()) == replace(report, biggest=())


def test_unlike_documents_of_one_key_are_compared_with_few(tmp_path):
    boilerplate = " ".join(f"menu{i}" for i in range(30))
    pages = [KnownText(boilerplate + " " + " ".join(f"page{n}x{i}" for i in range(60))) for n in range(50)]
    dedup = DedupSettings(minhash=MinHashSettings(bands=20, rows=1, max_leaders=3))
    sizes, report = find(pages, dedup, tmp_path)
    assert sizes == [1] * 50
    # Of each group three leaders; many groups share most of their pairs.
    assert 50 < report.pairs_verified < 50 * 49 // 2
    assert report.pairs_rejected == report.pairs_verified
    assert report.not_compared > 0


def test_the_best_stays_then_the_longest_then_the_first(tmp_path):
    base = " ".join(f"w{i}" for i in range(100))
    longer, other = base + " more", base + " else"
    found = [
        [KnownText(base), KnownText(longer, 0.1), KnownText(base, 0.9)],
        [KnownText(base), KnownText(longer), KnownText(other), KnownText(base)],
        [KnownText(base, float("nan")), KnownText(base, -5.0)],
    ]
    dedup = DedupSettings(minhash=MinHashSettings(bands=60, rows=2))
    kept = [np.flatnonzero(find(each, dedup, tmp_path / str(n))[0]).tolist() for n, each in enumerate(found)]
    assert kept == [[2], [1], [1]]


def test_short_and_empty_documents(tmp_path):
    texts = ["", "", "!!!", "???", "two words", "Two, words!", "two", "word " * 4]
    sizes, _ = find([KnownText(text) for text in texts], DedupSettings(minhash=MinHashSettings()), tmp_path)
    assert sizes == [2, 0, 1, 1, 0, 2, 1, 1]


def test_report_shows_the_biggest(tmp_path):
    texts = ["a b c", "x y z", "a b c", "A b c", "x y z", "a b c", "q"]
    dedup = DedupSettings(minhash=MinHashSettings())
    _, report = find([KnownText(text) for text in texts], dedup, tmp_path, unit_size=4)
    assert (report.exact_dropped, report.near_dropped, report.clusters) == (3, 1, 2)
    assert report.cluster_sizes == {"2": 1, "3-4": 1}
    first, second = report.biggest
    assert (first.size, first.kept, first.dropped) == (4, (0, 0), ((0, 2), (0, 3), (1, 1)))
    assert (second.size, second.kept, second.dropped) == (2, (0, 1), ((1, 0),))
    assert json.loads(json.dumps(report.to_json()))["biggest"][1]["kept"] == [0, 1]


def test_no_units(tmp_path):
    report = find_duplicates(
        [], DedupSettings(minhash=MinHashSettings()), lambda unit, numbers: TextBatch.of([]), folder=tmp_path
    )
    assert report.documents == 0


def test_progress_reaches_its_end(tmp_path):
    seen = []
    units = [UnitKeys.of(TextBatch.of(["a"]), np.zeros(1, np.float32), LOOSE)]
    find_duplicates(
        units,
        DedupSettings(minhash=LOOSE),
        lambda unit, numbers: TextBatch.of(["a"]),
        folder=tmp_path,
        progress=lambda done, total: seen.append((done, total)),
    )
    assert seen == [(n, 11) for n in range(1, 12)]


def test_after_a_full_disk_no_file_is_open(tmp_path, monkeypatch):
    """Whichever write fails first, of those that one search makes; the error's traceback holds what was at work."""
    texts = [" ".join(f"w{n % 7}" for n in range(i, i + 9)) for i in range(40)]
    documents = [KnownText(text) for text in texts]
    files, writes = [], []
    begin, write = Spill.__init__, Spill._write
    fails_at = 0

    def remember(spill, *arguments):
        begin(spill, *arguments)
        files.append(spill._file)

    def fail(spill):
        if spill._num_waiting:
            writes.append(1)
            if len(writes) == fails_at:
                raise StorageError("the disk is full")
        write(spill)

    monkeypatch.setattr(Spill, "__init__", remember)
    monkeypatch.setattr(Spill, "_write", fail)
    dedup = DedupSettings(minhash=LOOSE)
    find(documents, dedup, tmp_path / "0", memory_limit=5000)
    num_writes = len(writes)
    assert num_writes > 5
    for fails_at in range(1, num_writes + 1):
        files.clear()
        writes.clear()
        with pytest.raises(StorageError) as raised:
            find(documents, dedup, tmp_path / str(fails_at), memory_limit=5000)
        assert [file for file in files if not file.closed] == [], fails_at
        assert raised.value.__traceback__ is not None
    assert all(file.closed for file in files)


@pytest.mark.parametrize("num_bytes", [0, 100, 1000])
def test_a_disk_without_room_is_told(tmp_path, num_bytes):
    """What could not be written is still waiting when files are closed."""
    documents = [KnownText(" ".join(f"w{n % 7}" for n in range(i, i + 9))) for i in range(40)]
    with pytest.raises(StorageError, match=r"cannot write .*/\.sort-.*Free some space"), small_files(num_bytes):
        find(documents, DedupSettings(minhash=LOOSE), tmp_path / "d", memory_limit=5000)
    assert list((tmp_path / "d").iterdir()) == []


def test_keys_of_other_bands_are_refused(tmp_path):
    units = [UnitKeys.of(TextBatch.of(["a"]), np.zeros(1, np.float32))]
    with pytest.raises(ConfigError, match="0 bands, and 4 are asked for"):
        find_duplicates(units, DedupSettings(minhash=LOOSE), lambda unit, numbers: TextBatch.of([]), folder=tmp_path)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"bands": 0}, "0 bands"),
        ({"rows": 1 << 20}, "product 65536"),
        ({"ngram": 0}, "ngram is 0"),
        ({"min_jaccard": 1.5}, r"min_jaccard is 1\.5"),
        ({"seed": -1}, "seed is -1"),
        ({"max_leaders": 0}, "max_leaders is 0"),
    ],
)
def test_wrong_settings_are_refused(wrong, message):
    with pytest.raises(ConfigError, match=message):
        MinHashSettings(**wrong)
