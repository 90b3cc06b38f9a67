"""Packed documents attend apart: as a loop over them, whatever kernel takes them, in whatever calls."""

import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.functional import scaled_dot_product_attention
from torch.utils._python_dispatch import TorchDispatchMode

from model.families import configs
from model.plain_llama import plain_backbone
from textmill.model.llama import Llama
from textmill.model.segments import Segments
from textmill.model.segments_cuda import attend_segments, can_use_varlen, visible

CPU = torch.device("cpu")


def make_model(config, seed=1):
    model = Llama(config).init_weights(seed, residual="scaled")
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim == 1:
                parameter += 0.2 * torch.randn(parameter.shape, generator=generator)
    return model


def packed(rows):
    """Numbers and places of the tokens of rows of documents, given by their lengths."""
    numbers = [torch.repeat_interleave(torch.arange(len(row)), torch.tensor(row)) for row in rows]
    positions = [torch.cat([torch.arange(length) for length in row]) for row in rows]
    return torch.stack(numbers).int(), torch.stack(positions).int()


def states_and_gradients(model, run):
    """Hidden states, and gradients of a sum of them that weighs each differently."""
    model.zero_grad()
    x_BTD = run()
    weights = torch.randn(x_BTD.shape, generator=torch.Generator().manual_seed(3))
    (x_BTD * weights / x_BTD.numel() ** 0.5).sum().backward()
    return x_BTD.detach(), {name: parameter.grad.clone() for name, parameter in model.model.named_parameters()}


def one_by_one(model, ids_BT, rows, dtype=torch.float32):
    """Each document in a batch of its own."""
    return torch.stack(
        [
            torch.cat([model.backbone(part[None], dtype=dtype)[0] for part in ids_T.split(list(row))])
            for ids_T, row in zip(ids_BT, rows, strict=True)
        ]
    )


@st.composite
def packings(draw):
    """One to three rows of the same length, of documents that are long and short."""
    num_tokens = draw(st.integers(1, 300))
    rows = []
    for _ in range(draw(st.integers(1, 3))):
        longest = draw(st.sampled_from([1, 7, 60, 300]))
        cuts = {0, num_tokens}
        while sorted(cuts)[-2] + longest < num_tokens:
            cuts.add(min(num_tokens, sorted(cuts)[-2] + draw(st.integers(1, longest))))
        ends = sorted(cuts)
        rows.append([end - start for start, end in itertools.pairwise(ends)])
    return rows


def assert_equals_a_loop(config, rows, seed=1, dtype=torch.float32):
    model = make_model(config, seed).to(dtype)
    numbers_BT, positions_BT = packed(rows)
    ids_BT = torch.randint(config.vocab_size, numbers_BT.shape, generator=torch.Generator().manual_seed(seed))
    x_BTD, gradients = states_and_gradients(
        model, lambda: model.backbone(ids_BT, dtype=dtype, positions_BT=positions_BT, segments_BT=numbers_BT)
    )
    expected_BTD, expected = states_and_gradients(model, lambda: one_by_one(model, ids_BT, rows, dtype))
    scale = max(1.0, float(expected_BTD.abs().max()))
    assert (x_BTD - expected_BTD).abs().max() <= 1e-5 * scale
    for name, gradient in gradients.items():
        # The bar is 1e-5 for gradients of size 1; they are sums over all tokens, and may be larger.
        assert (gradient - expected[name]).abs().max() <= 1e-5 * max(1.0, float(expected[name].abs().max())), name


@pytest.mark.parametrize(
    "rows",
    [[[40]], [[1] * 40], [[39, 1], [1, 39]], [[10, 20, 10], [40]], [[200, 3, 4, 150], [100, 57, 100, 100]]],
    ids=["whole", "single-tokens", "two", "mixed", "long"],
)
def test_documents_equal_a_loop_over_them(config, rows):
    assert_equals_a_loop(config, rows)


@settings(deadline=None, max_examples=40)
@given(configs(own=True), packings(), st.integers(0, 99))
def test_any_documents_equal_a_loop_over_them(config, rows, seed):
    """In f64, since there are models that make much of how f32 rounds."""
    assert_equals_a_loop(config, rows, seed, torch.float64)


def test_documents_equal_a_mask_in_f64(config):
    """Places run through the row in the oracle: attention sees differences alone."""
    model = make_model(config).double()
    numbers_BT, positions_BT = packed([[5, 1, 30], [20, 9, 7]])
    ids_BT = torch.randint(config.vocab_size, numbers_BT.shape, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        x_BTD = model.backbone(ids_BT, positions_BT=positions_BT, segments_BT=numbers_BT)
        expected_BTD = plain_backbone(model, ids_BT, numbers_BT)
    # Angles of up to 35 rad are in f32, off by 2e-6, and scaled by YaRN's factor in one.
    assert (x_BTD - expected_BTD).abs().max() < 1e-4


def test_numbers_may_begin_anywhere_and_skip(small_config):
    model = make_model(small_config())
    ids_BT = torch.randint(101, (1, 30), generator=torch.Generator().manual_seed(1))
    numbers_BT, positions_BT = packed([[10, 5, 15]])
    expected = model.backbone(ids_BT, positions_BT=positions_BT, segments_BT=numbers_BT)
    assert torch.equal(
        model.backbone(ids_BT, positions_BT=positions_BT, segments_BT=numbers_BT.long() * 3 + 7), expected
    )


class TestPieces:
    def pieces(self, rows, window=None):
        numbers_BT, _ = packed(rows)
        return Segments(numbers_BT, tuple(numbers_BT.shape), torch.float32, CPU).pieces_of(window)

    def test_rows_of_one_document_are_one_call(self):
        (piece,) = self.pieces([[500], [500]])
        assert (piece.rows, piece.tokens, piece.mask) == (slice(0, 2), slice(0, 500), None)

    def test_short_neighbours_share_a_call_and_long_ones_have_their_own(self):
        pieces = self.pieces([[300, 3, 20, 6, 5, 27]])
        assert [(piece.tokens.start, piece.tokens.stop) for piece in pieces] == [(0, 300), (300, 329), (329, 361)]
        assert [piece.mask is None for piece in pieces] == [True, False, False]

    def test_a_window_that_reaches_over_a_document_needs_no_mask(self):
        assert [piece.mask is None for piece in self.pieces([[300, 200]], window=300)] == [True, True]
        assert [piece.mask is None for piece in self.pieces([[300, 200]], window=299)] == [False, True]

    @given(packings(), st.none() | st.integers(1, 50))
    def test_they_cover_every_token_once_and_see_what_the_whole_mask_sees(self, rows, window):
        numbers_BT, _ = packed(rows)
        segments = Segments(numbers_BT, tuple(numbers_BT.shape), torch.float32, CPU)
        num_rows, num_tokens = numbers_BT.shape
        seen = torch.zeros(num_rows, num_tokens, num_tokens, dtype=torch.int32)
        for piece in segments.pieces_of(window):
            size = piece.tokens.stop - piece.tokens.start
            causal = torch.ones(size, size, dtype=torch.bool).tril()
            seen[piece.rows, piece.tokens, piece.tokens] += causal if piece.mask is None else piece.mask == 0
        expected = visible(segments, window, CPU)
        assert expected is not None
        assert torch.equal(seen, expected[:, 0].int())


class TestStarts:
    def starts(self, rows, window=None):
        numbers_BT, _ = packed(rows)
        return Segments(numbers_BT * 3 + 7, tuple(numbers_BT.shape), torch.float32, CPU).starts_of(window)

    def test_of_whole_rows(self):
        segments = Segments(None, (2, 5), torch.float32, CPU)
        assert segments.starts_of(None) is None
        assert segments.starts_of(5) is None
        assert segments.starts_of(2).tolist() == [[0, 0, 1, 2, 3]] * 2
        assert segments.starts_of(2) is segments.starts_of(2)

    def test_of_documents(self):
        assert self.starts([[3, 1, 2], [6]]).tolist() == [[0, 0, 0, 3, 4, 4], [0] * 6]
        assert self.starts([[3, 1, 2], [6]], 2).tolist() == [[0, 0, 1, 3, 4, 4], [0, 0, 1, 2, 3, 4]]

    @given(packings(), st.none() | st.integers(1, 50))
    def test_they_see_what_the_whole_mask_sees(self, rows, window):
        numbers_BT, _ = packed(rows)
        starts = self.starts(rows, window)
        positions = torch.arange(numbers_BT.shape[1])
        assert starts.dtype == torch.int32
        assert starts.is_contiguous()
        seen = (positions <= positions[:, None]) & (positions >= starts[:, :, None])
        expected = visible(Segments(numbers_BT, tuple(numbers_BT.shape), torch.float32, CPU), window, CPU)
        assert torch.equal(seen, expected[:, 0])


class _Names(TorchDispatchMode):
    def __init__(self):
        super().__init__()
        self.names = set()

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        self.names.add(str(function))
        return function(*args, **(kwargs or {}))


FLASH = {f"aten._scaled_dot_product_flash_attention_for_cpu{suffix}.default" for suffix in ("", "_backward")}


@pytest.mark.parametrize(
    ("dtype", "kernels"),
    [(torch.float32, set()), (torch.bfloat16, set()), (torch.float64, FLASH)],
    ids=["f32", "bf16", "f64"],
)
@pytest.mark.parametrize("sizes", [{}, {"model_type": "mistral", "sliding_window": 4, "sliding_layers": (0, 1, 2)}])
def test_training_runs_in_our_kernel_or_in_torchs(small_config, dtype, kernels, sizes):
    """Forward and backward; torch's math kernel would hold all scores, and makes a softmax of its own."""
    model = make_model(small_config(**sizes)).to(torch.promote_types(dtype, torch.float32))
    numbers_BT, positions_BT = packed([[150, 5, 45]])
    ids_BT = torch.zeros(1, 200, dtype=torch.int64)
    for options in ({}, {"positions_BT": positions_BT, "segments_BT": numbers_BT}):
        with _Names() as run:
            model.backbone(ids_BT, dtype=dtype, **options).float().sum().backward()
        assert {name for name in run.names if "attention" in name} == kernels
        assert not {name for name in run.names if "softmax" in name or "bmm" in name}


class TestElsewhere:
    """What CUDA takes when it has no kernel for documents, and what that kernel is told; both can be on a CPU."""

    @pytest.mark.parametrize("window", [None, 6])
    @pytest.mark.parametrize("rows", [[[40], [40]], [[10, 1, 29], [39, 1]]])
    def test_the_mask_equals_a_loop(self, rows, window):
        numbers_BT, _ = packed(rows)
        generator = torch.Generator().manual_seed(1)
        q, k, v = (torch.randn(2, 40, heads, 8, generator=generator, requires_grad=True) for heads in (4, 2, 2))
        segments = Segments(numbers_BT, (2, 40), torch.float32, CPU)
        with sdpa_kernel(SDPBackend.FLASH_ATTENTION):
            o = attend_segments(q, k, v, segments, window)
            o.sum().backward()
        for row, lengths in enumerate(rows):
            start = 0
            for length in lengths:
                at = slice(start, start + length)
                part = (x[row : row + 1, at].transpose(1, 2) for x in (q, k, v))
                mask = torch.ones(length, length, dtype=torch.bool).tril()
                mask &= mask.new_ones(mask.shape).triu(1 - (window or length))
                expected = scaled_dot_product_attention(*part, attn_mask=mask, enable_gqa=True).transpose(1, 2)[0]
                assert (o[row, at] - expected).abs().max() < 1e-5
                start += length

    def test_ends_of_documents(self):
        numbers_BT, _ = packed([[3, 2, 5], [10], [9, 1]])
        segments = Segments(numbers_BT, (3, 10), torch.bfloat16, CPU)
        ends, longest = segments.ends_of_documents()
        assert segments.ends_of_documents()[0] is ends
        assert ends.tolist() == [0, 3, 5, 10, 20, 29, 30]
        assert ends.dtype == torch.int32
        assert longest == 10

    def test_a_cpu_has_no_varlen(self):
        assert not can_use_varlen(CPU, torch.bfloat16, 64)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("remat", ["none", "llama", "full"])
def test_documents_on_cuda_equal_a_loop_over_them(small_config, remat):
    model = make_model(small_config(head_dim=16)).cuda()
    rows = [[40, 1, 23], [64]]
    numbers_BT, positions_BT = (x.cuda() for x in packed(rows))
    ids_BT = torch.randint(101, (2, 64), generator=torch.Generator().manual_seed(1)).cuda()
    for dtype, tolerance in ((torch.float32, 1e-4), (torch.bfloat16, 0.1)):
        x_BTD = model.backbone(
            ids_BT, dtype=dtype, positions_BT=positions_BT, segments_BT=numbers_BT, remat=remat
        ).float()
        expected_BTD = one_by_one(model, ids_BT, rows)
        assert (x_BTD - expected_BTD).abs().max() < tolerance * expected_BTD.abs().max()
        x_BTD.square().sum().backward()
        assert all(parameter.grad.isfinite().all() for parameter in model.model.parameters())
