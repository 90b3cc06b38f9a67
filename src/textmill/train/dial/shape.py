"""The shape of a LLaMA of so many parameters: width, depth, heads and feed-forward. The same on every machine.

Every width that is a multiple of 64, and coarser where it is large, gets heads, a feed-forward and the depth that comes
nearest to the parameters asked for. Of the widths that come near, the one wins that is about 64 times the depth. Where
the depth is given, the feed-forward makes up for it.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from textmill.base import units
from textmill.base.errors import ConfigError
from textmill.model.ranges import SIZES, check_size

WIDTH_STEP = 64
"""Products of whole tiles are the fast ones, on CPUs and GPUs."""

WIDTH_PER_LAYER = 64
"""As in nanochat. Loss depends little on it: arXiv:2001.08361 §3.1 finds a few per cent from 1 to 40 times as much."""

QUERIES_PER_KEY_VALUE_HEAD = 4
"""At most, as in TinyLlama and Llama 3: grouped-query attention (arXiv:2305.13245)."""

MAX_TABLES = 0.2
"""The share of the parameters from which on input table and head are one, as in SmolLM2 and the small Llamas 3.2."""

TOLERANCE = 0.1
# With sizes that were given there is less to choose, and the nearest will do.
_TOLERANCE_WITH_GIVEN = 0.5
# Within the tolerance, a tenth of the number weighs as much as half of the shape (e^-0.5 of 64 times the depth).
_WEIGHT_OF_NUMBER = 5
# SmolLM2, TinyLlama and Llama 3.2 1B have heads of 64 up to this width; LLaMA and Llama 3 have heads of 128 beyond.
_WIDE = 2048
_HEAD_DIM, _WIDE_HEAD_DIM = 64, 128
_MAX_WIDTH, _MAX_DEPTH = 1 << 15, 1 << 12
# Up to each width, the step from one to the next: an eighth or so, for the depth makes up the rest.
_STEPS = ((512, WIDTH_STEP), (2048, 128), (4096, 256), (_MAX_WIDTH, 512))


@dataclass(frozen=True, kw_only=True, slots=True)
class Shape:
    """The sizes of a model by Hugging Face's names, for a vocabulary of ``vocab_size``."""

    vocab_size: int
    hidden_size: int
    num_hidden_layers: int
    num_attention_heads: int
    num_key_value_heads: int
    head_dim: int
    intermediate_size: int
    tie_word_embeddings: bool
    qk_norm: bool = False
    value_embeddings: bool = False

    @property
    def num_table_parameters(self) -> int:
        """Parameters of the input table and the head, which are one where they are tied."""
        return self.vocab_size * self.hidden_size * (1 if self.tie_word_embeddings else 2)

    @property
    def num_value_table_parameters(self) -> int:
        """Parameters of one table of value embeddings, which every second layer has, the last among them."""
        return self.vocab_size * self.num_key_value_heads * self.head_dim if self.value_embeddings else 0

    @property
    def num_layer_parameters(self) -> int:
        """Parameters of one layer, without value embeddings."""
        heads = 2 * self.num_attention_heads + 2 * self.num_key_value_heads
        norms = 2 * self.hidden_size + (2 * self.head_dim if self.qk_norm else 0)
        return norms + self.hidden_size * (heads * self.head_dim + 3 * self.intermediate_size)

    @property
    def num_parameters(self) -> int:
        """Parameters in all."""
        blocks = self.num_hidden_layers * self.num_layer_parameters
        blocks += (self.num_hidden_layers + 1) // 2 * self.num_value_table_parameters
        return self.num_table_parameters + self.hidden_size + blocks

    def sizes(self) -> dict[str, int]:
        """The sizes of ``[model]``, without the vocabulary's, nor the parts that it asks for."""
        others = ("vocab_size", "qk_norm", "value_embeddings")
        return {name: value for name, value in dataclasses.asdict(self).items() if name not in others}


def find_shape(
    num_parameters: float,
    vocab_size: int,
    given: Mapping[str, int] | None = None,
    *,
    qk_norm: bool = False,
    value_embeddings: bool = False,
) -> Shape:
    """Find the shape of a model of about ``num_parameters``.

    Args:
        num_parameters: how many there are to be, within a tenth; where sizes are given, as near as they allow.
        vocab_size: of the tokenizer.
        given: sizes that are to be kept, by their names in ``Shape``; the others follow.
        qk_norm: whether heads of queries and keys are normed; this and
        value_embeddings: are parts that the model has beside, as in ``ModelConfig``.

    Raises:
        ConfigError: nothing comes near enough, no width suits the sizes that are given, or one is out of its range.
    """
    given = given or {}
    _check_given(given)
    parts = {"qk_norm": qk_norm, "value_embeddings": value_embeddings}
    nearest = min(_shapes(num_parameters, vocab_size, given, parts), key=lambda shape: _rank(shape, num_parameters))
    tolerance = _TOLERANCE_WITH_GIVEN if given.keys() - {"tie_word_embeddings"} else TOLERANCE
    if _off(nearest, num_parameters) > tolerance:
        raise ConfigError(_nothing_near(nearest, num_parameters, given))
    return nearest


def smallest_shape(
    vocab_size: int, given: Mapping[str, int], *, qk_norm: bool = False, value_embeddings: bool = False
) -> Shape:
    """The smallest shape there is for a vocabulary, with the sizes that are given.

    Raises:
        ConfigError: no width suits these, or one of them is out of its range.
    """
    _check_given(given)
    parts = {"qk_norm": qk_norm, "value_embeddings": value_embeddings}
    return min(_shapes(0, vocab_size, given, parts), key=lambda shape: shape.num_parameters)


def _check_given(given: Mapping[str, int]) -> None:
    for name in given.keys() & SIZES.keys():
        check_size(name, given[name])
    if not any(True for _ in _widths(given)):
        raise ConfigError(f"no width in steps of {WIDTH_STEP} suits {_named(given)}; give model.hidden_size as well")


def _shapes(
    num_parameters: float, vocab_size: int, given: Mapping[str, int], parts: Mapping[str, bool]
) -> Iterator[Shape]:
    """The best depth for every width."""
    for width in _widths(given):
        heads, head_dim = _heads(width, given)
        tied = 2 * vocab_size * width > MAX_TABLES * num_parameters
        shape = Shape(
            vocab_size=vocab_size,
            hidden_size=width,
            num_hidden_layers=given.get("num_hidden_layers", 1),
            num_attention_heads=heads,
            num_key_value_heads=given.get("num_key_value_heads", _key_value_heads(heads)),
            head_dim=head_dim,
            intermediate_size=given.get("intermediate_size", usual_feed_forward(width)),
            tie_word_embeddings=bool(given.get("tie_word_embeddings", tied)),
            qk_norm=parts["qk_norm"],
            value_embeddings=parts["value_embeddings"],
        )
        if "num_hidden_layers" not in given:
            rest = num_parameters - shape.num_table_parameters - width
            per_layer = shape.num_layer_parameters + shape.num_value_table_parameters / 2
            depth = min(_MAX_DEPTH, max(1, round(rest / per_layer)))
            shape = dataclasses.replace(shape, num_hidden_layers=depth)
        elif "intermediate_size" not in given:
            shape = _with_feed_forward(shape, num_parameters)
        yield shape


def usual_feed_forward(width: int) -> int:
    """The size of a feed-forward with SwiGLU: 8/3 of the width (arXiv:2002.05202), up to a multiple of 64."""
    return math.ceil(width * 8 / 3 / WIDTH_STEP) * WIDTH_STEP


def _with_feed_forward(shape: Shape, num_parameters: float) -> Shape:
    """Let the feed-forward of a given depth come as near to the parameters as 1.5 to 4 times the width allow."""
    lacking = (num_parameters - shape.num_parameters) / (3 * shape.hidden_size * shape.num_hidden_layers)
    wanted = WIDTH_STEP * round((shape.intermediate_size + lacking) / WIDTH_STEP)
    low, high = (WIDTH_STEP * math.ceil(share * shape.hidden_size / WIDTH_STEP) for share in (1.5, 4))
    return dataclasses.replace(shape, intermediate_size=min(high, max(low, wanted)))


def _widths(given: Mapping[str, int]) -> Iterable[int]:
    if "hidden_size" in given:
        return (given["hidden_size"],)
    return (width for width in range(WIDTH_STEP, _MAX_WIDTH + 1, WIDTH_STEP) if _suits(width, given))


def _suits(width: int, given: Mapping[str, int]) -> bool:
    """Whether whole heads of an even size fill a width, and some of them share keys and values."""
    heads, head_dim, groups = (given.get(name) for name in ("num_attention_heads", "head_dim", "num_key_value_heads"))
    if heads is not None:
        return width % heads == 0 and (head_dim is not None or width // heads % 2 == 0)
    if head_dim is not None:
        return width % head_dim == 0 and (groups is None or width // head_dim % groups == 0)
    heads = width // (_HEAD_DIM if width <= _WIDE else _WIDE_HEAD_DIM)
    if groups is not None and heads % groups:
        return False
    step = next(step for most, step in _STEPS if width <= most)
    return width % step == 0 and (heads == 1 or _key_value_heads(heads) < heads)


def _heads(width: int, given: Mapping[str, int]) -> tuple[int, int]:
    """How many query heads, and how large they are: what is given, or else as even a size as divides the width."""
    heads, head_dim = given.get("num_attention_heads"), given.get("head_dim")
    if heads is not None:
        return heads, width // heads if head_dim is None else head_dim
    if head_dim is None:
        wanted = _HEAD_DIM if width <= _WIDE else _WIDE_HEAD_DIM
        head_dim = max((size for size in range(2, wanted + 1, 2) if width % size == 0), default=width)
    return max(1, width // head_dim), head_dim


def _key_value_heads(heads: int) -> int:
    """As few as divide the query heads and serve at most four each."""
    fewest = math.ceil(heads / QUERIES_PER_KEY_VALUE_HEAD)
    return next(number for number in range(fewest, heads + 1) if heads % number == 0)


def _rank(shape: Shape, num_parameters: float) -> tuple[float, float]:
    """Less is better: the number of parameters, and where that is within the tolerance, the shape as well."""
    off = _off(shape, num_parameters)
    misfit = abs(math.log(shape.hidden_size / shape.num_hidden_layers / WIDTH_PER_LAYER))
    misfit += abs(math.log(shape.intermediate_size / usual_feed_forward(shape.hidden_size)))
    return (0.0 if off <= TOLERANCE else off), misfit + _WEIGHT_OF_NUMBER * off


def _off(shape: Shape, num_parameters: float) -> float:
    """How far the parameters are from those asked for, as a share of these."""
    return abs(shape.num_parameters / num_parameters - 1)


def _nothing_near(nearest: Shape, num_parameters: float, given: Mapping[str, int]) -> str:
    sizes = f" and {_named(given)}" if given else ""
    change = "these sizes" if given else "the vocabulary (tokenizer.vocab_size)"
    asked, there_are, for_tokens = (
        units.count(number) for number in (num_parameters, nearest.num_parameters, nearest.num_table_parameters)
    )
    return (
        f"model.params is {asked}, and with {nearest.vocab_size:,} tokens of vocabulary{sizes} the nearest model has "
        f"{there_are} parameters, {for_tokens} of them for the tokens; ask for that many, or change {change}"
    )


def _named(given: Mapping[str, int]) -> str:
    return ", ".join(f"{name} = {value}" for name, value in given.items())
