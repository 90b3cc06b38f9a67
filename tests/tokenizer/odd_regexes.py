r"""Regexes with odd parts, of which engines disagree, and text in which they match; for hypothesis."""

from hypothesis import strategies as st

_CHARACTERS = r"""
a a a b b B c s S s s t f i k é É ß ſ ﬁ K ı İ ι ʼ 中 - ] } { 1 , \n \t \v \x41 \x{e9} \u00df \' \- \{ \\ \/ \< \` \xe9
"""
_SETS = r"""
. \s \S \w \W \d \D \h \H \p{L} \P{L} \p{Lu} \P{Lu} \p{^Lu} \P{^Lu} \pL \p{lu} \p{Han} [ab] [^a] [s] [^s] [a-z] [^a-z]
[ß] [^ß] [\p{Lu}1] [^\p{Lu}] [\P{Lu}] [\P{L}] [^\P{Lu}] [\W] [^\S\n] [\d-z] [a\-z] [[:alpha:]] [a-z&&b] [^a-z&&b] [a[b]]
[]a] [^]a] [a-] [-a] [+--] [a||b] [\h] [a--b] [\pL] [\x41-\x{5A}] [à-ÿ] [st] [\b] [\]a] [\Q] [一-龥] [(?i)]
"""
_ANCHORS = r"$ ^ \A \z \Z \b \B \G (?=a) (?!b) (?=\s|$) (?<=a) (?<!\s) (?<=^) (?<=ab|c) (?=ab) (?i:(?<=ss)) (?=a$)"
_USUAL_QUANTIFIERS = "* + ? *? +? ?? *+ ++ ?+ {2} {2}? {2}+ {1,2} {1,2}? {1,2}+"
_ODD_QUANTIFIERS = "{2,} {2,}? {2,}+ {,2} {2,1} {2,2}? {,} { {0} {0}? {x} ** +* ??+ {2}{2}"
_USUAL_OPENINGS = "(?: (?: (?: ( (?i: (?i: (?m: (?> (?= (?!"
_ODD_OPENINGS = "(?-i: (?mi: (?i-m: (?s: (?x: (?<n> (?<= (? (?<! (?P<n> (?#"
_OTHERS = r"\1 \2 \g<1> \k<n> (?i) (?m) (?-i) (?s) \X \R \K |"
_PLAIN = r"a b s t \s \w [ab] [^a] . \n 1"
# What appears in text more than once, so that it matches.
_TEXT = "a a a b b B c C s S s S t f i k 1 - ss ß ẞ ſ ﬁ ﬆ \u212a é É İ ı i\u0307 中 A"


def _one_of(parts, *more):
    return st.sampled_from([*parts.split(), *more])


_plain = _one_of(_PLAIN)
_quantifiers = st.sampled_from([*[""] * 40, *_USUAL_QUANTIFIERS.split() * 2, *_ODD_QUANTIFIERS.split()])
_openings = st.sampled_from([*_USUAL_OPENINGS.split() * 4, *_ODD_OPENINGS.split()])
_atoms = st.one_of(
    *[_plain] * 4,
    _one_of(_CHARACTERS, " ", "\n"),
    _one_of(_SETS, "[^\n]"),
    _one_of(_ANCHORS),
    _plain | _one_of(_OTHERS),
)
_quantified = st.tuples(_atoms, _quantifiers).map("".join)


def _groups_of(parts):
    inside = st.lists(st.lists(parts, max_size=3).map("".join), min_size=1, max_size=3).map("|".join)
    return st.tuples(_openings, inside, st.just(")"), _quantifiers).map("".join)


_parts = st.recursive(_quantified, lambda parts: _groups_of(parts) | _groups_of(parts), max_leaves=6)
odd_regexes = st.lists(st.lists(_parts, min_size=1, max_size=4).map("".join), min_size=1, max_size=3).map("|".join)
text_of_two_cases = st.lists(_one_of(_TEXT, " ", "\n", "\n"), max_size=16).map("".join)
