"""DPO on a model: its loss and gradient are those of a loop over pairs, each answer alone, whatever the packing."""

from contextlib import nullcontext

import numpy as np
import pytest

pytest.importorskip("torch")

import torch

from textmill.base.errors import DataError
from textmill.tune import reference_log_p as reference
from textmill.tune.answer_log_p import answer_tokens
from textmill.tune.dpo import DpoSettings, pairs_loss
from textmill.tune.pair_source import PairSource
from textmill.tune.preference_tokens import Pair
from tune.tiny_llama import tiny_llama

SETTINGS = DpoSettings(beta=0.3, label_smoothing=0.1, length_normalized=False)


def random_pairs(num=11, seed=0):
    rng = np.random.default_rng(seed)

    def ids(least, most):
        return tuple(rng.integers(0, 40, rng.integers(least, most + 1)).tolist())

    pairs = []
    for number in range(num):
        prompt = ids(1, 6)
        pairs.append(Pair(prompt, ids(1, 5), ids(6, 9), f"pairs:{number}"))
    return pairs


def log_p(model, text):
    ids = torch.tensor([[*text.prompt, *text.answer]])
    logits = model(ids[:, :-1])[0, len(text.prompt) - 1 :].double()
    return logits.log_softmax(-1).gather(1, torch.tensor(text.answer)[:, None]).sum()


def reference_of(folder, base, pairs, weights=""):
    return reference.reference_log_p(
        folder, lambda: nullcontext(base), pairs, weights=weights, dtype=torch.float32, rows_at_once=3
    )


def by_hand(model, base, pairs, settings):
    """Losses and margins of pairs, from the definition."""
    losses, margins = [], []
    for pair in pairs:
        differences = []
        for text in (pair.chosen, pair.rejected):
            length = len(text.answer) if settings.length_normalized else 1
            with torch.no_grad():
                before = log_p(base, text)
            differences.append((log_p(model, text) - before) / length)
        margin = settings.beta * (differences[0] - differences[1])
        right, wrong = -torch.log(torch.sigmoid(margin)), -torch.log(torch.sigmoid(-margin))
        losses.append((1 - settings.label_smoothing) * right + settings.label_smoothing * wrong)
        margins.append(margin.item())
    return torch.stack(losses), margins


@pytest.mark.parametrize("micro_rows", [1, 3, 100])
@pytest.mark.parametrize("length_normalized", [False, True])
def test_loss_gradient_and_what_is_told_are_those_of_pairs_alone(tmp_path, micro_rows, length_normalized):
    settings = DpoSettings(beta=0.3, label_smoothing=0.1, length_normalized=length_normalized)
    base, model, pairs = tiny_llama(seed=1), tiny_llama(seed=2), random_pairs()
    sums = reference_of(tmp_path, base, pairs)
    source = PairSource(pairs, sums, pairs_per_step=len(pairs), seed=1)
    batch = source.batch(0)
    total, told = 0.0, {}
    for start in range(0, len(batch.inputs), micro_rows):
        tokens = answer_tokens(model, batch, slice(start, start + micro_rows), dtype=torch.float32)
        loss, sums = pairs_loss(tokens, batch, settings)
        loss.backward()
        total += loss.item()
        told = {name: told.get(name, 0.0) + value.item() for name, value in sums.items()}
    found = [parameter.grad.clone() for parameter in model.parameters()]
    model.zero_grad()
    losses, margins = by_hand(model, base, pairs, settings)
    losses.sum().backward()
    assert total == pytest.approx(losses.sum().item(), rel=1e-5)
    assert told["reward_margin"] == pytest.approx(sum(margins), abs=1e-4)
    assert told["accuracy"] == sum(margin > 0 for margin in margins)
    assert told["chosen_reward"] - told["rejected_reward"] == pytest.approx(told["reward_margin"], abs=1e-9)
    with torch.no_grad():
        assert told["chosen_log_p"] == pytest.approx(sum(log_p(model, pair.chosen).item() for pair in pairs), rel=1e-5)
    for one, parameter in zip(found, model.parameters(), strict=True):
        torch.testing.assert_close(one, parameter.grad, rtol=1e-3, atol=2e-5)  # f32 sums in another order


def test_before_the_first_step_all_margins_are_nothing(tmp_path):
    base, pairs = tiny_llama(), random_pairs()
    sums = reference_of(tmp_path, base, pairs)
    batch = PairSource(pairs, sums, pairs_per_step=4, seed=1).batch(0)
    loss, told = pairs_loss(answer_tokens(base, batch, slice(None), dtype=torch.float32), batch, SETTINGS)
    assert loss.item() / 4 == pytest.approx(np.log(2), abs=1e-5)
    assert abs(told["reward_margin"].item()) < 1e-4


def test_every_pair_comes_once_an_epoch_and_each_epoch_in_another_order():
    pairs = random_pairs(num=12)
    source = PairSource(pairs, np.zeros((12, 2)), pairs_per_step=4, seed=5)
    epochs = [[n for step in range(3 * e, 3 * e + 3) for n in source.numbers(step).tolist()] for e in range(3)]
    assert all(sorted(epoch) == list(range(12)) for epoch in epochs)
    assert epochs[0] != epochs[1] != epochs[2]
    assert PairSource(pairs, np.zeros((12, 2)), pairs_per_step=4, seed=6).numbers(0).tolist() != epochs[0][:4]


def test_ranks_share_the_pairs_of_a_step():
    pairs = random_pairs(num=9)
    sums = np.arange(18.0).reshape(9, 2)
    source = PairSource(pairs, sums, pairs_per_step=8, seed=1)
    parts = [source.batch(3, rank, 2).reference for rank in range(2)]
    assert sorted(map(tuple, np.concatenate(parts))) == sorted(map(tuple, source.batch(3).reference))


class Counting:
    """Counts how often pairs are computed."""

    def __init__(self, monkeypatch):
        self.calls = []
        compute = reference._compute

        def counted(model, pairs, **options):
            self.calls.append(len(pairs))
            return compute(model, pairs, **options)

        monkeypatch.setattr(reference, "_compute", counted)


def test_reference_log_p_are_computed_once_and_again_for_what_is_missing_or_damaged(tmp_path, monkeypatch):
    monkeypatch.setattr(reference, "_PAIRS_A_FILE", 4)
    counting = Counting(monkeypatch)

    def get(model, pairs, weights="1"):
        return reference_of(tmp_path, model, pairs, weights)

    base, pairs = tiny_llama(), random_pairs()
    first = get(base, pairs)
    assert counting.calls == [4, 4, 3]
    np.testing.assert_allclose(first[:, 1], [log_p(base, pair.rejected).item() for pair in pairs], rtol=1e-5)
    assert np.array_equal(get(base, pairs), first)
    assert np.array_equal(get(None, pairs), first)
    assert counting.calls == [4, 4, 3], "all of it was kept, and no model asked"

    files = sorted(tmp_path.rglob("*.npy"))
    files[0].unlink()
    files[2].write_bytes(files[2].read_bytes()[:50])
    assert np.array_equal(get(base, pairs), first)
    assert counting.calls[3:] == [4, 3]

    get(tiny_llama(seed=2), pairs, "2")
    get(base, random_pairs(seed=1))
    assert counting.calls[5:] == [4, 4, 3] * 2, "another model, other pairs"


def test_a_reference_that_is_not_finite_is_named_with_its_pair(tmp_path):
    base, pairs = tiny_llama(), random_pairs()
    with torch.no_grad():
        base.model.embed_tokens.weight[pairs[3].chosen.prompt[0]] = float("nan")
    with pytest.raises(DataError, match=r"pairs:\d+: .*not finite"):
        reference_of(tmp_path, base, pairs)
