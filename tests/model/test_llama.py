import hashlib

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from model.families import configs
from textmill.base.errors import ConfigError
from textmill.infer.reference import logits_of
from textmill.model.attention import KVCache, attend
from textmill.model.llama import Llama

# Sums of f32 products in two orders, through up to six layers, on logits of about 10.
TOLERANCE = 1e-4


def make_model(config, seed=1):
    """Random weights; norms and biases are drawn, too, or it would not matter whether they are there."""
    model = Llama(config).init_weights(seed, residual="scaled").requires_grad_(False)
    generator = torch.Generator().manual_seed(seed)
    for parameter in model.parameters():
        if parameter.ndim == 1:
            parameter += 0.2 * torch.randn(parameter.shape, generator=generator)
    return model


def random_ids(config, *shape, seed=0):
    return torch.randint(config.vocab_size, shape, generator=torch.Generator().manual_seed(seed))


def digest(model):
    return hashlib.sha256(b"".join(p.detach().numpy().tobytes() for p in model.parameters())).hexdigest()


@pytest.mark.peer
def test_logits_equal_transformers(config):
    from transformers import AutoConfig, AutoModelForCausalLM

    if config.model_type == "textmill":
        pytest.skip("transformers has no class of it")
    model = make_model(config)
    peer = AutoModelForCausalLM.from_config(AutoConfig.for_model(**config.to_hf())).eval()
    loaded = peer.load_state_dict(model.state_dict(), strict=False)
    assert loaded.unexpected_keys == []
    assert set(loaded.missing_keys) <= {"lm_head.weight"}
    peer.tie_weights()
    ids_BT = random_ids(config, 2, 70)
    with torch.no_grad():
        assert (model(ids_BT) - peer(ids_BT).logits).abs().max() < TOLERANCE


@pytest.mark.peer
@settings(deadline=None, max_examples=40)
@given(configs(), st.integers(0, 99))
def test_any_model_of_the_family_equals_transformers(config, seed):
    from transformers import AutoConfig, AutoModelForCausalLM

    model = make_model(config, seed)
    peer = AutoModelForCausalLM.from_config(AutoConfig.for_model(**config.to_hf())).eval()
    peer.load_state_dict(model.state_dict(), strict=False)
    peer.tie_weights()
    ids_BT = random_ids(config, 1, 60, seed=seed)
    with torch.no_grad():
        ours, theirs = model(ids_BT), peer(ids_BT).logits
    # Each is off by up to 9e-6 of the largest from f64. Scaled RoPE's frequencies differ by up to 4e-6 of themselves,
    # by 2e-4 rad after 59 tokens.
    tolerance = 2e-5 if config.rope_scaling is None else 2e-4
    assert (ours - theirs).abs().max() <= tolerance * max(1.0, float(theirs.abs().max()))


def test_logits_equal_the_numpy_twin(config):
    model = make_model(config)
    ids_T = random_ids(config, 50)
    tensors = {name: tensor.double().numpy() for name, tensor in model.state_dict().items()}
    expected = logits_of(config, tensors, ids_T.tolist())
    assert np.abs(model(ids_T[None])[0].numpy() - expected).max() < TOLERANCE
    # In f64, too, angles, of up to 49 rad, stay in f32.
    assert np.abs(model.double()(ids_T[None])[0].numpy() - expected).max() < 2e-5


@pytest.mark.parametrize("chunks", [[40], [1] * 40, [7, 1, 1, 20, 11], [39, 1], [1, 39]])
def test_cached_logits_equal_uncached(config, chunks):
    model = make_model(config)
    ids_BT = random_ids(config, 2, 40)
    cache = KVCache(config, batch_size=2, capacity=40)
    cached = torch.cat([model(piece, cache) for piece in ids_BT.split(chunks, dim=1)], dim=1)
    assert cache.length == cache.capacity == 40
    assert (cached - model(ids_BT)).abs().max() < TOLERANCE


@settings(deadline=None, max_examples=40)
@given(configs(own=True), st.lists(st.integers(1, 12), min_size=1, max_size=8))
def test_any_chunks_give_the_same(config, chunks):
    model = make_model(config)
    ids_BT = random_ids(config, 1, sum(chunks))
    cache = KVCache(config, batch_size=1, capacity=sum(chunks))
    with torch.no_grad():
        cached = torch.cat([model(piece, cache) for piece in ids_BT.split(chunks, dim=1)], dim=1)
        expected = model(ids_BT)
    assert (cached - expected).abs().max() < TOLERANCE * max(1.0, float(expected.abs().max()))


def test_a_cache_in_bf16_is_near(config):
    model = make_model(config)
    ids_BT = random_ids(config, 1, 40)
    cache = KVCache(config, batch_size=1, capacity=40, dtype=torch.bfloat16)
    cached = torch.cat([model(piece, cache) for piece in ids_BT.split([30, *[1] * 10], dim=1)], dim=1)
    expected = model(ids_BT)
    # Keys and values are rounded by up to 2^-9 of their size; norms keep that from growing from layer to layer.
    assert (cached - expected).abs().max() < 0.05 * expected.abs().max()


def test_greedy_generation_with_and_without_a_cache_is_equal(config):
    model = make_model(config)
    ids = random_ids(config, 1, 5)
    uncached = ids
    for _ in range(40):
        uncached = torch.cat([uncached, model(uncached)[:, -1:].argmax(-1)], dim=1)
    cache = KVCache(config, batch_size=1, capacity=45)
    cached, new = ids, ids
    for _ in range(40):
        new = model(new, cache)[:, -1:].argmax(-1)
        cached = torch.cat([cached, new], dim=1)
    assert cached.tolist() == uncached.tolist()


def test_a_full_cache_says_so(small_config):
    config = small_config()
    model = make_model(config)
    cache = KVCache(config, batch_size=1, capacity=8)
    model(random_ids(config, 1, 6), cache)
    with pytest.raises(ConfigError, match="6 of 8 tokens, and 3 more"):
        model(random_ids(config, 1, 3), cache)


def test_what_follows_does_not_change_what_stands_before(config):
    model = make_model(config)
    ids_BT = random_ids(config, 1, 30)
    changed = ids_BT.clone()
    changed[0, 20:] = (changed[0, 20:] + 1) % config.vocab_size
    assert torch.equal(model(ids_BT)[0, :20], model(changed)[0, :20])


def test_every_tensor_has_its_hugging_face_name_and_shape(config):
    model = Llama(config)
    assert {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()} == config.tensor_shapes()
    assert list(dict(model.named_parameters())) == list(model.state_dict())


def test_a_new_model_is_that_without_value_embeddings(small_config):
    """By default each block starts as the identity; weights are drawn by their names, so the others are the same."""
    own, plain = small_config(model_type="textmill", value_embeddings=True), small_config()
    ids_BT = random_ids(own, 2, 20)
    models = [Llama(config).init_weights(3) for config in (own, plain)]
    for model in models:
        for name, parameter in model.named_parameters():
            if name.endswith("o_proj.weight"):  # so that values are seen at all
                torch.nn.init.normal_(parameter, generator=torch.Generator().manual_seed(len(name)))
    assert torch.equal(models[0](ids_BT), models[1](ids_BT))


def test_gradients_reach_every_parameter(config):
    model = make_model(config).requires_grad_(True)
    ids_BT = random_ids(config, 2, 16)
    logits = model(ids_BT[:, :-1])
    torch.nn.functional.cross_entropy(logits.flatten(0, 1), ids_BT[:, 1:].flatten()).backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
        assert parameter.grad.abs().sum() > 0, name


def test_gradients_equal_finite_differences(small_config):
    config = small_config(num_hidden_layers=1, hidden_size=8, intermediate_size=8, head_dim=2, vocab_size=7)
    model = make_model(config).double()
    ids_BT = random_ids(config, 1, 5)
    names = list(dict(model.named_parameters()))

    def loss(*parameters):
        return torch.func.functional_call(model, dict(zip(names, parameters, strict=True)), (ids_BT,)).square().sum()

    parameters = tuple(p.detach().requires_grad_(True) for p in model.parameters())
    # Angles and norms are in f32: differences of 1e-3 keep their rounding small.
    assert torch.autograd.gradcheck(loss, parameters, eps=1e-3, atol=2e-2, rtol=2e-2)


def test_bf16_activations_train_f32_weights(small_config):
    model = make_model(small_config()).requires_grad_(True)
    ids_BT = random_ids(model.config, 2, 16)
    logits = model(ids_BT, dtype=torch.bfloat16)
    assert logits.dtype == torch.bfloat16
    expected = model(ids_BT)
    assert (logits.float() - expected).abs().max() < 0.05 * expected.abs().max()  # 8 bits through three layers
    logits.float().square().mean().backward()
    assert all(p.grad is not None and p.grad.dtype == torch.float32 for p in model.parameters())


class TestInitWeights:
    def test_a_seed_gives_the_same_model_whatever_was_drawn_before(self, small_config):
        config = small_config()
        torch.manual_seed(1)
        first = digest(Llama(config).init_weights(7))
        torch.manual_seed(2)
        torch.rand(5)
        assert digest(Llama(config).init_weights(7)) == first
        assert digest(Llama(config).init_weights(8)) != first

    def test_leaves_the_random_state_alone(self, small_config):
        before = torch.get_rng_state()
        Llama(small_config()).init_weights(7)
        assert torch.equal(torch.get_rng_state(), before)

    def test_a_deeper_model_begins_with_the_same_layers(self, small_config):
        shallow = Llama(small_config(num_hidden_layers=1)).init_weights(7).state_dict()
        deep = Llama(small_config(num_hidden_layers=3)).init_weights(7).state_dict()
        assert all(torch.equal(tensor, deep[name]) for name, tensor in shallow.items())

    def test_the_table(self, small_config):
        sizes = {"hidden_size": 256, "intermediate_size": 512, "vocab_size": 512, "initializer_range": 0.02}
        config = small_config(**sizes, qkv_bias=True, o_bias=True, mlp_bias=True)
        zero = Llama(config).init_weights(7).state_dict()
        scaled = Llama(config).init_weights(7, residual="scaled").state_dict()
        for name, tensor in zero.items():
            if name.endswith(".bias"):
                assert not tensor.any(), name
            elif "norm" in name:
                assert torch.equal(tensor, torch.ones_like(tensor)), name
            elif name.endswith(("o_proj.weight", "down_proj.weight")):
                assert not tensor.any(), name
                # The standard deviation of n draws is off by 1 / sqrt(2n): 0.8 % at 8,192 draws. Five of those.
                assert scaled[name].std() == pytest.approx(0.02 / 6**0.5, rel=0.04), name
            else:
                assert tensor.std() == pytest.approx(0.02, rel=0.04), name
                assert abs(tensor.mean()) < 0.0015, name

    def test_a_zero_init_block_is_the_identity(self, small_config):
        model = Llama(small_config()).init_weights(7)
        x_BTD = model.model.embed_tokens(random_ids(model.config, 1, 9))
        assert torch.equal(model.backbone(random_ids(model.config, 1, 9)), model.model.norm(x_BTD))


class TestSetRope:
    def test_a_model_with_another_base_is_the_model_that_has_it(self, small_config):
        changed = small_config(rope_theta=500_000.0, max_position_embeddings=4096)
        model, expected = make_model(small_config()), make_model(changed)
        ids_BT = random_ids(changed, 1, 40)
        assert not torch.equal(model(ids_BT), expected(ids_BT))
        model.set_rope(changed)
        assert model.config == changed
        assert torch.equal(model(ids_BT), expected(ids_BT))

    def test_refuses_any_other_difference(self, small_config):
        model = make_model(small_config())
        with pytest.raises(ConfigError, match=r"cannot change intermediate_size from 72 to 80, mlp_bias from False to"):
            model.set_rope(small_config(rope_theta=5e5, mlp_bias=True, intermediate_size=80))
        assert model.config == small_config()


def test_positions_turn_tokens_where_they_say(small_config):
    """Attention sees differences alone: places that begin elsewhere change rounding, and a gap changes logits."""
    model = make_model(small_config())
    ids_BT, places_T = random_ids(model.config, 2, 20), torch.arange(20)
    expected = model(ids_BT)
    assert torch.equal(model(ids_BT, positions_BT=places_T.expand(2, -1)), expected)
    later = model(ids_BT, positions_BT=torch.stack([places_T, places_T + 30]))
    assert torch.equal(later[0], expected[0])
    assert (later - expected).abs().max() < TOLERANCE
    gap = model(ids_BT, positions_BT=(places_T + 5 * (places_T > 9)).expand(2, -1))
    assert (gap - expected)[:, 10:].abs().max() > TOLERANCE


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=["f32", "bf16"])
@pytest.mark.parametrize(("heads", "kv_heads"), [(4, 4), (6, 2), (5, 1)])
def test_attention_runs_in_the_flash_kernel(dtype, heads, kv_heads):
    """The math kernel would hold all scores, T x T for every head."""
    from torch.nn.attention import SDPBackend, sdpa_kernel

    q, k, v = (torch.randn(2, h, 33, 16, dtype=dtype, requires_grad=True) for h in (heads, kv_heads, kv_heads))
    with sdpa_kernel(SDPBackend.FLASH_ATTENTION):
        attend(q, k, v).sum().backward()
        attend(q[:, :, -5:], k, v).sum().backward()
        attend(q[:, :, -1:], k, v).sum().backward()
