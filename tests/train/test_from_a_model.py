"""Training that starts from a Hugging Face folder: its first loss is transformers', and what comes out goes back."""

import numpy as np
import pytest

from fakes.listener import Silent
from fakes.tiny_run import write_recipe

torch = pytest.importorskip("torch")

from textmill import Tokenizer  # noqa: E402
from textmill.base.events import read_events  # noqa: E402
from textmill.checkpoint.huggingface import load_llama  # noqa: E402
from textmill.checkpoint.store import list_checkpoints, load_checkpoint  # noqa: E402
from textmill.train.pipeline import run_recipe  # noqa: E402
from textmill.train.recipe import load_recipe  # noqa: E402
from textmill.train.run import load_run  # noqa: E402
from textmill.train.trainer import assemble  # noqa: E402

SIZES = {
    "vocab_size": 300,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "max_position_embeddings": 64,
    "rope_theta": 30_000.0,
    "bos_token_id": 299,
    "eos_token_id": 299,
    "initializer_range": 0.2,
}


def transformers_model(folder, family):
    """A model as transformers writes it, with a tokenizer beside it."""
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(1)
    config = getattr(transformers, f"{family}Config")(**SIZES, tie_word_embeddings=family == "Qwen3")
    model = getattr(transformers, f"{family}ForCausalLM")(config)
    model.save_pretrained(folder)
    text = " ".join(path.read_text() for path in sorted((folder.parent / "words").iterdir())[:9])
    Tokenizer.train(iter([text]), vocab_size=300, pattern="gpt2", special_tokens=("<|endoftext|>",)).save(
        folder / "tokenizer.json"
    )
    return model.eval()


def train(path, base, *, listener=None, resume=False):
    settings = [
        f'model={{ from = "{base}" }}',
        f'tokenizer={{ path = "{base / "tokenizer.json"}" }}',
        "optimizer.kind=adamw",
        "checkpoint.every_steps=2",
        "budget.steps=6",
    ]
    return run_recipe(load_recipe(path, settings), listener or Silent(), resume=resume).folder


def tensors(run):
    checkpoint = load_checkpoint(list_checkpoints(run)[-1])
    return {**checkpoint.model, **checkpoint.optimizer}


@pytest.mark.peer
@pytest.mark.parametrize("family", ["Llama", "Qwen3"])
def test_from_transformers_and_back(tmp_path, family):
    path, base = write_recipe(tmp_path), tmp_path / "base"
    theirs = transformers_model(base, family)
    run = train(path, base)

    batch = assemble(load_run(run)).loader.batch(0)
    with torch.no_grad():
        logits = theirs(torch.from_numpy(batch.inputs)).logits
        loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), torch.from_numpy(batch.targets).flatten())
    first = next(event for event in read_events(run / "events.jsonl") if event.kind == "step")
    assert first.fields["loss"] == pytest.approx(loss.item(), rel=1e-5)

    again = type(theirs).from_pretrained(run / "model").eval()
    ours = load_llama(run / "model")
    for name, tensor in again.state_dict().items():
        if name in ours.state_dict():
            assert torch.equal(tensor, ours.state_dict()[name]), name
    ids = torch.from_numpy(batch.inputs)
    with torch.no_grad():
        torch.testing.assert_close(ours(ids), again(ids).logits, rtol=0, atol=1e-4)


def test_it_is_killed_and_gone_on_with(tmp_path):
    from fakes.tiny_model import write_model

    base = tmp_path / "base"
    write_model(base)
    whole = train(write_recipe(tmp_path / "whole"), base)

    def kill(event):
        if event.kind == "step" and event.step == 5:
            raise RuntimeError("killed")

    path = write_recipe(tmp_path / "killed")
    with pytest.raises(RuntimeError, match="killed"):
        train(path, base, listener=Silent(kill))
    (base / "model.safetensors").unlink()  # a run that has begun needs it no more
    killed = train(path, base, resume=True)
    one, other = tensors(whole), tensors(killed)
    assert one.keys() == other.keys()
    assert all(np.array_equal(one[name], other[name]) for name in one)
