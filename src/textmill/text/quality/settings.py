"""How a quality classifier is made."""

from __future__ import annotations

from dataclasses import dataclass

from textmill.base.errors import ConfigError

_MAX_BUCKETS = 1 << 26
_MAX_NGRAM = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class QualitySettings:
    """Settings of a quality classifier.

    Attributes:
        num_buckets: that n-grams are hashed into, a power of two; the model has a weight of 4 bytes for each.
        max_ngram: n-grams of 1 to so many words are features.
        epochs: times that training goes through the documents.
        learning_rate: of AdaGrad.
        l2: how much weights are pulled to zero.
        held_out: share of the documents that is not trained on; a half of it calibrates, a half is reported on.
        seed: of the orders and of what is held out.
    """

    num_buckets: int = 1 << 20
    max_ngram: int = 2
    epochs: int = 5
    learning_rate: float = 0.2
    l2: float = 1e-6
    held_out: float = 0.2
    seed: int = 1

    def __post_init__(self) -> None:
        if not 2 <= self.num_buckets <= _MAX_BUCKETS or self.num_buckets & (self.num_buckets - 1):
            raise ConfigError(f"num_buckets is {self.num_buckets:,}, and must be a power of two up to {_MAX_BUCKETS:,}")
        if not 1 <= self.max_ngram <= _MAX_NGRAM:
            raise ConfigError(f"max_ngram is {self.max_ngram}, and must be from 1 to {_MAX_NGRAM}")
        if self.epochs < 1:
            raise ConfigError(f"epochs is {self.epochs}, and must be 1 or more")
        if not self.learning_rate > 0 or not self.l2 >= 0:
            raise ConfigError(
                f"learning_rate is {self.learning_rate:g} and l2 is {self.l2:g}: "
                "the first must be above 0, the second not below"
            )
        if not 0 < self.held_out < 1:
            raise ConfigError(f"held_out is {self.held_out:g}, and must be between 0 and 1, as in 0.2")
