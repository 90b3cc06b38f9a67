import math

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import textmill
from fakes.tiny_adapter import write_random_adapter
from fakes.tiny_model import tokenizer, write_model
from textmill.base.errors import ConfigError, DataError
from textmill.eval.prefix_tree import ScoredText, prefix_tree
from textmill.eval.scorer import open_scorer


@pytest.fixture(scope="module")
def lm(tmp_path_factory):
    folder = tmp_path_factory.mktemp("model") / "tiny"
    write_model(folder)
    return textmill.load(folder, weights="f32", kv="f32", threads=1)


def text(ids, num_context):
    return ScoredText(np.array(ids, np.int32), num_context)


def by_hand(lm, one):
    """Each token's log-probability from the logits of the whole text, in float64."""
    logits = lm.logits(one.inputs).astype(np.float64)
    logits -= logits.max(axis=1, keepdims=True)
    logprobs = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    rows = np.arange(one.num_context - 1, len(one.ids) - 1)
    targets = one.ids[one.num_context :]
    return logprobs[rows, targets], bool((logprobs[rows].argmax(axis=1) == targets).all())


# Few tokens, so that texts share beginnings of every length.
texts = st.lists(
    st.lists(st.integers(0, 2), min_size=2, max_size=70).flatmap(
        lambda ids: st.builds(text, st.just(ids), st.integers(1, len(ids) - 1))
    ),
    min_size=1,
    max_size=12,
)


@given(texts, st.integers(1, 40), st.integers(1, 9), st.integers(1, 5))
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
def test_scores_are_those_of_each_text_alone(lm, some, tokens_per_pass, rows_per_pass, at_once):
    with open_scorer(lm, tokens_per_pass=tokens_per_pass, rows_per_pass=rows_per_pass) as scorer:
        together = list(scorer.score(some, at_once=at_once))
    with open_scorer(lm) as scorer:
        alone = [next(scorer.score([one])) for one in some]
    for one, score, same in zip(some, together, alone, strict=True):
        expected, is_greedy = by_hand(lm, one)
        assert score.logprobs.tolist() == same.logprobs.tolist()  # the same bits
        np.testing.assert_allclose(score.logprobs, expected, atol=1e-5)  # sums of float32 exponentials
        assert score.is_greedy == same.is_greedy == is_greedy
        assert math.isclose(score.total, score.logprobs.sum())


@given(texts)
@settings(max_examples=100, deadline=None)
def test_a_tree_holds_every_beginning_once(some):
    nodes = []

    def walk(node, path):
        assert node.path[: node.start].tolist() == path
        assert node.end > node.start
        nodes.extend(tuple(node.path[: end + 1].tolist()) for end in range(node.start, node.end))
        firsts = [child.path[child.start] for child in node.children]
        assert firsts == sorted(set(firsts))
        for child in node.children:
            assert child.start == node.end
            walk(child, node.path.tolist())

    for root in prefix_tree(some):
        walk(root, [])
    beginnings = {tuple(one.inputs[:end].tolist()) for one in some for end in range(1, len(one.inputs) + 1)}
    assert sorted(nodes) == sorted(beginnings)


def test_what_texts_share_is_computed_once(lm):
    class Counting:
        def __init__(self, runner):
            self.runner, self.num_tokens, self.num_rows = runner, 0, 0
            self.num_blocks, self.block_size, self.copy_block = runner.num_blocks, runner.block_size, runner.copy_block

        def forward(self, chunks):
            self.num_tokens += sum(len(chunk.ids) for chunk in chunks)
            self.num_rows += sum(chunk.num_logits for chunk in chunks)
            return self.runner.forward(chunks)

    shots = list(range(3, 103))
    items = [[*shots, *range(200 + 5 * item, 205 + 5 * item)] for item in range(8)]
    queries = [text([*item, 10 + choice, 20, 21], len(item)) for item in items for choice in range(4)]
    with open_scorer(lm) as scorer:
        scorer._runner = runner = Counting(scorer._runner)
        list(scorer.score(queries, at_once=8))  # in windows of two items: the shots outlive them
    assert runner.num_tokens == len(shots) + 8 * (5 + 4 * 2)
    assert runner.num_rows == 8 * (1 + 4 * 2)


def test_a_cache_that_holds_one_text_is_enough(tmp_path):
    write_model(tmp_path / "tiny", max_position_embeddings=256)
    tight = textmill.load(tmp_path / "tiny", weights="f32", kv="f32", threads=1, kv_memory=32_768)
    rng = np.random.default_rng(3)
    shared = rng.integers(0, 300, 60)
    some = [text([*shared[: rng.integers(1, 60)], *rng.integers(0, 300, 40)], 30) for _ in range(30)]
    assert tight.context < 140
    with open_scorer(tight) as scorer:
        together = list(scorer.score(some))
    for one, score in zip(some, together, strict=True):
        np.testing.assert_allclose(score.logprobs, by_hand(tight, one)[0], atol=1e-5)


def test_small_passes_in_a_tight_cache(tmp_path):
    """A stretch that is not finished holds blocks while those that go on from another one find none."""
    write_model(tmp_path / "tiny", max_position_embeddings=256)
    tight = textmill.load(tmp_path / "tiny", weights="f32", kv="f32", threads=1, kv_memory=32_768)
    rng = np.random.default_rng(5)
    for _ in range(25):
        shared = rng.integers(0, 300, tight.context)
        some = []
        for _ in range(12):
            ids = [*shared[: rng.integers(1, 100)], *rng.integers(0, 300, rng.integers(2, tight.context - 99))]
            some.append(text(ids, int(rng.integers(1, len(ids)))))
        with open_scorer(tight, tokens_per_pass=16, rows_per_pass=4) as scorer:
            together = list(scorer.score(some))
            assert len(scorer._blocks._free) + len(scorer._kept.blocks if scorer._kept else ()) == len(
                scorer._blocks._num_holders
            )
        for one, score in zip(some, together, strict=True):
            np.testing.assert_allclose(score.logprobs, by_hand(tight, one)[0], atol=1e-5)


def test_torch_scores_the_same_within_its_tolerance(lm, tmp_path):
    write_model(tmp_path / "tiny")
    on_torch = textmill.load(tmp_path / "tiny", device="cpu:0", weights="f32", kv="f32")
    some = [text([*range(40), *range(100 + n, 110 + n)], 30 + n) for n in range(6)]
    with open_scorer(lm) as scorer, open_scorer(on_torch) as torch_scorer:
        for native, other in zip(scorer.score(some), torch_scorer.score(some), strict=True):
            np.testing.assert_allclose(other.logprobs, native.logprobs, atol=1e-4)


def test_a_model_with_an_adapter_is_scored_with_it(tmp_path):
    write_model(tmp_path / "tiny")
    poet = write_random_adapter(tmp_path / "poet", tmp_path / "tiny")
    shared = textmill.load(tmp_path / "tiny", weights="f32", kv="f32", adapters={"poet": poet})
    one, totals = text([3, 1, 2, 0, 1, 2] * 5, 1), []
    for lm in (shared, shared.with_adapter("poet"), shared):
        with open_scorer(lm) as scorer:
            (score,) = scorer.score([one])
        np.testing.assert_allclose(score.logprobs, by_hand(lm, one)[0], atol=1e-5)
        totals.append(score.total)
    assert totals[0] == totals[2] != totals[1]


def test_answers_go_on_after_scoring(lm):
    prompt = tokenizer().encode("the quick brown fox jumps over the lazy dog")
    before = lm.generate(prompt, max_tokens=5).ids
    with open_scorer(lm) as scorer:
        list(scorer.score([text([*range(2, 90)], 3)]))
        with pytest.raises(AssertionError, match="borrowed"):
            lm.generate(prompt, max_tokens=5)
    assert lm.generate(prompt, max_tokens=5).ids == before
    lm.batcher.check()


def test_a_text_that_is_too_long_is_named(lm):
    with open_scorer(lm) as scorer, pytest.raises(ConfigError, match="299 tokens .* context is 256"):
        list(scorer.score([text(range(300), 1)]))


def test_logits_that_are_not_finite_are_told(lm):
    class Broken:
        def __init__(self, runner):
            self.runner, self.num_blocks, self.block_size = runner, runner.num_blocks, runner.block_size

        def forward(self, chunks):
            logits = self.runner.forward(chunks).copy()
            logits[3, 5] = np.nan
            return logits

    with open_scorer(lm) as scorer, pytest.raises(DataError, match="not finite after 4 tokens"):
        scorer._runner = Broken(scorer._runner)
        list(scorer.score([text(range(3, 30), 1)]))
