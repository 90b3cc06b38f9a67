"""Texts in other languages are dropped, the same ones every time."""

from __future__ import annotations

import numpy as np
import pytest

from textmill.base.errors import ConfigError
from textmill.text.text_batch import TextBatch

pytest.importorskip("py3langid")

from textmill.text.language import MAX_BYTES, LanguageFilter

ENGLISH = "The quick brown fox jumps over the lazy dog, and nobody in the village was surprised about it."
GERMAN = "Der schnelle braune Fuchs springt über den faulen Hund, und niemand im Dorf wunderte sich darüber."
FRENCH = "Le vif renard brun saute par-dessus le chien paresseux, et personne au village ne s'en étonna."


def test_only_languages_that_are_asked_for_stay():
    kept, languages, scores = LanguageFilter(keep=("en", "fr")).apply(TextBatch.of([ENGLISH, GERMAN, FRENCH]))
    assert kept.tolist() == [True, False, True]
    assert languages == ["en", "de", "fr"]
    assert scores.dtype == np.float32
    assert (scores > 0.65).all()


def test_noise_and_nothing_are_not_kept():
    kept, _, scores = LanguageFilter().apply(TextBatch.of(["", "\x00\x01", "12 34 !!"]))
    assert not kept.any()
    assert (scores < 0.65).all()


def test_a_long_text_is_told_by_its_beginning_even_where_that_ends_inside_a_character():
    for pad in range(4):
        long = ("x" * pad + " " + GERMAN * 3 + "ü" * MAX_BYTES)[: MAX_BYTES * 2]
        _, languages, _ = LanguageFilter().apply(TextBatch.of([long]))
        assert languages == ["de"]


def test_scores_are_the_same_alone_and_among_others():
    texts = [ENGLISH, GERMAN, FRENCH, ""]
    chosen = LanguageFilter()
    _, languages, scores = chosen.apply(TextBatch.of(texts))
    for number, text in enumerate(texts):
        _, alone, score = chosen.apply(TextBatch.of([text]))
        assert (alone[0], score[0]) == (languages[number], scores[number])


def test_settings_that_cannot_be_are_refused():
    with pytest.raises(ConfigError, match='language "english" is not known'):
        LanguageFilter(keep=("english",))
    with pytest.raises(ConfigError, match="between 0 and 1"):
        LanguageFilter(min_score=65)
