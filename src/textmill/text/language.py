"""Which language a text is in, by py3langid (extra ``data``): naive Bayes on byte n-grams, for 97 languages."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from textmill.base.errors import ConfigError, did_you_mean, require_extra
from textmill.text.text_batch import TextBatch

# A longer text is told by its beginning: the walk over its bytes is in Python, half a microsecond a byte. On 1,500
# texts of 4,096 bytes the scores of whole texts differ from these by 0.001 at most.
MAX_BYTES = 1000


class LanguageFilter:
    """Keeps texts in some languages.

    Args:
        keep: ISO 639-1 codes.
        min_score: the least probability of the language among all that are known.

    Raises:
        ConfigError: a language is not known, or ``min_score`` is no probability.
        MissingExtraError: py3langid is not installed.
    """

    def __init__(self, keep: Sequence[str] = ("en",), min_score: float = 0.65) -> None:
        langid = require_extra("py3langid.langid", "data", "telling languages apart")
        self._identifier = langid.LanguageIdentifier.from_model_file(langid.MODEL_FILE, norm_probs=True)
        for language in keep:
            if language not in self._identifier.labels:
                hint = did_you_mean(language, self._identifier.labels)
                raise ConfigError(
                    f'the language "{language}" is not known{hint} Languages are ISO 639-1 codes, as "en".'
                )
        if not 0 <= min_score <= 1:
            raise ConfigError(f"language.min_score is {min_score:g}; a probability is between 0 and 1")
        self._keep = frozenset(keep)
        self._min_score = min_score

    def apply(self, texts: TextBatch) -> tuple[NDArray[np.bool_], list[str], NDArray[np.float32]]:
        """Tell languages.

        Returns:
            Whether each text is kept, bool[n]; its most probable language; and the probability of that, float32[n],
            rounded to 4 digits, so that it is the same on any machine. Text without any known n-gram is like noise:
            its score is low.
        """
        languages, scores = [], []
        for number in range(len(texts)):
            begin = int(texts.offsets[number])
            end = min(begin + MAX_BYTES, int(texts.offsets[number + 1]))
            language, score = self._identifier.classify(texts.data[begin:end].tobytes())
            languages.append(language)
            scores.append(round(score, 4))
        kept = [
            language in self._keep and score >= self._min_score
            for language, score in zip(languages, scores, strict=True)
        ]
        return np.array(kept, np.bool_), languages, np.array(scores, np.float32)
