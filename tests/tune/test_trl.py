"""Losses and gradients of SFT, DPO and GRPO are TRL's on the same batch, weight by weight."""

from contextlib import nullcontext

import numpy as np
import pytest

pytest.importorskip("torch")

import torch

from fakes.tiny_model import tokenizer
from textmill.checkpoint.huggingface import save_model
from textmill.tune.answer_log_p import answer_tokens
from textmill.tune.answer_rows import AnsweredPrompt, pack
from textmill.tune.chat_rows import lay_out, packed
from textmill.tune.chat_tokens import ChatTokens
from textmill.tune.dpo import DpoSettings, pairs_loss
from textmill.tune.grpo import GradedBatch, GrpoSettings, answers_loss
from textmill.tune.pair_source import PairSource
from textmill.tune.preference_tokens import Pair
from textmill.tune.reference_log_p import reference_log_p
from textmill.tune.sft_objective import answer_nats
from tune.tiny_llama import tiny_llama
from tune.trl_peer import trl_says

pytestmark = [pytest.mark.peer, pytest.mark.slow, pytest.mark.timeout(1200)]

# f32 in other orders: padded and packed attention, softmaxes in chunks.
CLOSE = {"rtol": 2e-3, "atol": 2e-5}


def models(folder):
    """The model that learns and the one that it began from, in memory and in folders."""
    made = {}
    for name, seed in (("model", 2), ("reference", 3)):
        made[name] = tiny_llama(vocab_size=304, seed=seed, eos_token_id=tokenizer().special_tokens["<|im_end|>"])
        save_model(folder / name, made[name].config, made[name].state_dict(), tokenizer())
    return made["model"], made["reference"]


def random_ids(rng, least, most):
    return tuple(rng.integers(1, 300, rng.integers(least, most + 1)).tolist())


def check(found, wanted):
    """Compare losses and gradients by name."""
    (loss, gradients), (wanted_loss, wanted_gradients) = found, wanted
    assert loss == pytest.approx(wanted_loss, rel=1e-4, abs=1e-5)
    assert set(gradients) == set(wanted_gradients)
    for name, gradient in wanted_gradients.items():
        torch.testing.assert_close(gradients[name], gradient, **CLOSE, msg=lambda m, name=name: f"{name}: {m}")


def learned(model, loss):
    """A loss and its gradients by name; the model is left without."""
    loss.backward()
    gradients = {name: parameter.grad.clone() for name, parameter in model.named_parameters()}
    model.zero_grad()
    return loss.item(), gradients


def test_sft(tmp_path):
    model, _ = models(tmp_path)
    rng = np.random.default_rng(4)
    chats = []
    for number in range(5):
        ids = np.array(random_ids(rng, 4, 15), np.int32)
        is_answer = rng.random(len(ids)) < 0.5
        is_answer[0], is_answer[-1] = False, True
        chats.append(ChatTokens(ids, is_answer, f"chats:{number}"))
    batch = lay_out(chats, packed(chats, range(5), 30))
    loss = answer_nats(model, batch, slice(None), dtype=torch.float32) / int(batch.loss_mask.sum())
    texts = [[chat.ids.tolist(), [-100, *chat.targets.tolist()]] for chat in chats]
    found = learned(model, loss)
    check(found, *trl_says(tmp_path, [{"kind": "sft", "model": str(tmp_path / "model"), "texts": texts}]))


def test_dpo(tmp_path):
    model, base = models(tmp_path)
    rng = np.random.default_rng(1)
    pairs = []
    for number in range(5):
        prompt = random_ids(rng, 1, 9)
        answers = [random_ids(rng, 2, 9) for _ in range(2)]
        pairs.append(Pair(prompt, *answers, f"pairs:{number}"))
    sums = reference_log_p(tmp_path, lambda: nullcontext(base), pairs, weights="", dtype=torch.float32, rows_at_once=4)
    batch = PairSource(pairs, sums, pairs_per_step=5, seed=1).batch(0)
    found, cases = [], []
    for loss_type, length_normalized in (("sigmoid", False), ("sigmoid_norm", True)):
        settings = DpoSettings(beta=0.4, label_smoothing=0.0, length_normalized=length_normalized)
        loss, _ = pairs_loss(answer_tokens(model, batch, slice(None), dtype=torch.float32), batch, settings)
        found.append(learned(model, loss / 5))
        cases.append(
            {
                "kind": "dpo",
                "model": str(tmp_path / "model"),
                "reference": str(tmp_path / "reference"),
                "beta": 0.4,
                "loss_type": loss_type,
                "pairs": [[[side.prompt, side.answer] for side in (pair.chosen, pair.rejected)] for pair in pairs],
            }
        )
    for one, wanted in zip(found, trl_says(tmp_path, cases), strict=True):
        check(one, wanted)


def test_grpo(tmp_path):
    model, _ = models(tmp_path)
    rng = np.random.default_rng(2)
    texts = [AnsweredPrompt(random_ids(rng, 1, 9), random_ids(rng, 1, 9)) for _ in range(6)]
    rows = pack([[text] for text in texts], context=40)
    advantages = rng.normal(size=6)
    with torch.no_grad():
        now = answer_tokens(model, rows, slice(None), dtype=torch.float32, temperature=0.7).log_p.numpy()
    others = {}
    for name, spread in (("old_log_p", 0.2), ("reference_log_p", 0.5)):
        others[name] = np.zeros(rows.inputs.shape, np.float32)
        others[name][rows.loss_mask] = now + rng.normal(0, spread, len(now))
    batch = GradedBatch(
        **rows.parts(),
        advantages=advantages,
        num_answers=6,
        num_tokens=int(rows.loss_mask.sum()),
        **others,
    )
    common = {"beta": 0.1, "clip_low": 0.1, "clip_high": 0.15, "max_tokens": 12}
    found, cases = [], []
    for loss_type, weighing, unbiased_kl in (
        ("dapo", "token", True),
        ("grpo", "answer", False),
        ("dr_grpo", "constant", True),
    ):
        tokens = answer_tokens(model, batch, slice(None), dtype=torch.float32, temperature=0.7)
        settings = GrpoSettings(**common, unbiased_kl=unbiased_kl, weighing=weighing)
        loss, told = answers_loss(tokens, batch, slice(None), settings)
        assert told["clipped"] > 0, "the clip is part of what is compared"
        found.append(learned(model, loss))
        cases.append(
            {
                **common,
                "kind": "grpo",
                "model": str(tmp_path / "model"),
                "unbiased_kl": unbiased_kl,
                "loss_type": loss_type,
                "temperature": 0.7,
                "texts": [[text.prompt, text.answer] for text in texts],
                "advantages": advantages.tolist(),
                **{name: [values[rows.owners == n].tolist() for n in range(6)] for name, values in others.items()},
            }
        )
    for one, wanted in zip(found, trl_says(tmp_path, cases), strict=True):
        check(one, wanted)
