"""The figures that papers and projects published, as they stand there: what a preset or a default is named after."""

import pytest

from textmill.data.pipeline import DedupTable
from textmill.text.decontamination import PROFILES
from textmill.text.dedup import MinHashSettings
from textmill.text.rules import PRESETS, RuleSet

# arXiv:2112.11446 §A.1.1 and table A1.
GOPHER = {
    "min_words": 50, "max_words": 100_000, "min_mean_word_length": 3, "max_mean_word_length": 10,
    "max_hashes_per_word": 0.1, "max_ellipses_per_word": 0.1, "max_bullet_lines": 0.9, "max_ellipsis_lines": 0.3,
    "min_words_with_letter": 0.8, "min_stop_words": 2,
    "max_duplicate_lines": 0.3, "max_duplicate_paragraphs": 0.3, "max_duplicate_line_chars": 0.2,
    "max_duplicate_paragraph_chars": 0.2,
    "max_top_2_gram_chars": 0.2, "max_top_3_gram_chars": 0.18, "max_top_4_gram_chars": 0.16,
    "max_duplicate_5_gram_chars": 0.15, "max_duplicate_6_gram_chars": 0.14, "max_duplicate_7_gram_chars": 0.13,
    "max_duplicate_8_gram_chars": 0.12, "max_duplicate_9_gram_chars": 0.11, "max_duplicate_10_gram_chars": 0.1,
}  # fmt: skip
# arXiv:1910.10683 §2.2: what is done, as 1; its lines and sentences.
C4 = {
    "min_words_per_line": 3, "min_sentences": 5, "max_word_length": 0, "removes_citations": 1, "removes_javascript": 1,
    "removes_policies": 1, "drops_lorem_ipsum": 1, "drops_curly_brackets": 1,
}  # fmt: skip
# tensorflow-datasets' text/c4_utils.py.
C4_TFDS = C4 | {"min_words_per_line": 5, "min_sentences": 3, "max_word_length": 1000}
# FineWeb takes C4's rules as datatrove has them.
C4_IN_FINEWEB = C4 | {"max_word_length": 1000}
# arXiv:2406.17557 §3.6, and the defaults of datatrove 0.10's FineWebQualityFilter.
FINEWEB = {"min_end_mark_lines": 0.12, "max_short_lines": 0.67, "max_repeated_line_chars": 0.1, "min_lines": 1}
FINEWEB_DATATROVE = FINEWEB | {"max_repeated_line_chars": 0.01, "max_newlines_per_word": 0.3}


@pytest.mark.parametrize(
    ("preset", "bounds"),
    [
        ("gopher", GOPHER),
        ("c4-paper", C4),
        ("c4-tfds", C4_TFDS),
        ("fineweb-paper", GOPHER | C4_IN_FINEWEB | FINEWEB),
        ("fineweb-datatrove", GOPHER | C4_IN_FINEWEB | FINEWEB_DATATROVE),
    ],
)
def test_presets_have_the_bounds_that_were_published(preset, bounds):
    found = RuleSet.named(preset).bounds
    found.pop("count_words_last", None)  # before or behind citations: no paper says
    assert found == bounds


def test_lines_end_as_their_papers_want_and_fineweb_lets_any():
    marks = {preset: set(PRESETS[preset][0].end_marks) for preset in ("c4-paper", "c4-tfds")}
    assert marks == {"c4-paper": set('.!?"'), "c4-tfds": set('.!?"')}
    assert {step.end_marks for step in PRESETS["fineweb-paper"] if hasattr(step, "end_marks")} == {""}


def test_small_corpora_keep_what_gopher_drops_for_its_size():
    smol = RuleSet.named("smol").bounds
    assert smol["min_words"] == 5
    assert all(bound >= GOPHER[name] for name, bound in smol.items() if name.startswith("max_"))
    assert all(bound <= GOPHER[name] for name, bound in smol.items() if name.startswith("min_"))


def test_minhash_is_finewebs():
    """arXiv:2406.17557 appendix E.1: 14 bands of 8 over word 5-grams, which find 56, 77, 92 and 98.8 % of pairs."""
    for settings in (MinHashSettings(), DedupTable()):
        assert (settings.bands, settings.rows, settings.ngram) == (14, 8, 5)
        found = [100 * (1 - (1 - jaccard**settings.rows) ** settings.bands) for jaccard in (0.7, 0.75, 0.8, 0.85)]
        assert found == pytest.approx([56, 77, 92, 98.8], abs=0.6)


@pytest.mark.parametrize(
    ("name", "ngram", "measure", "min_ratio"),
    [
        ("finemath", 13, "subsequence", 0.6),  # arXiv:2502.02737 §3.3.1
        ("cosmopedia", 10, "blocks", 0.5),  # huggingface/cosmopedia, decontaminate.py
        ("datatrove", 12, "ngram", None),  # NGramsDecontConfig
        ("dolma", 13, "whole", None),  # paragraphs of 13 words
        ("bigram", 2, "containment", 0.8),
    ],
)
def test_profiles_are_those_of_their_projects(name, ngram, measure, min_ratio):
    profile = PROFILES[name]
    assert (profile.ngram, profile.measure) == (ngram, measure)
    assert (profile.min_ratio if profile.has_ratio else None) == min_ratio
