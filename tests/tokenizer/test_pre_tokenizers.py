"""Every pre_tokenizer that is read splits as in Hugging Face's tokenizers; every other is refused by its name."""

import json

import pytest
from hypothesis import given

from textmill import Tokenizer
from textmill.base.errors import DataError
from textmill.tokenizer.formats.punctuation import PUNCTUATION
from tokenizer.hard_text import examples, hard_text

CL100K = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|"
    r"\s+(?!\S)|\s+"
)


def split(regex, behavior="Isolated", kind="Regex", **more):
    return {"type": "Split", "pattern": {kind: regex}, "behavior": behavior, "invert": False, **more}


def sequence(*steps):
    return {"type": "Sequence", "pretokenizers": list(steps)}


def digits(individual):
    return {"type": "Digits", "individual_digits": individual}


def punctuation(behavior):
    return {"type": "Punctuation", "behavior": behavior}


GPT2 = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
BYTES = {**GPT2, "use_regex": False}
SPACE = {**GPT2, "add_prefix_space": True}

READ = {
    "gpt2": (GPT2, "gpt2"),
    "gpt2 in sequences": (sequence(sequence(sequence(GPT2))), "gpt2"),
    "prefix space": (SPACE, "gpt2"),
    "nothing splits": (BYTES, r"[\s\S]+"),
    "prefix space, nothing splits": ({**SPACE, "use_regex": False}, r"[\s\S]+"),
    "cl100k": (sequence(split(CL100K), BYTES), "cl100k"),
    "cl100k, inverted and removed": (sequence(split(CL100K, "Removed", invert=True), BYTES), "cl100k"),
    "cl100k with line ends as they are": (sequence(split(CL100K.replace(r"\r\n", "\r\n")), BYTES), "cl100k"),
    "smollm": (sequence(digits(True), GPT2), "smollm"),
    "digits together": (sequence(digits(False), GPT2), None),
    "punctuation": (sequence(punctuation("Isolated"), GPT2), None),
    "punctuation together": (sequence(punctuation("Contiguous"), BYTES), None),
    "a string": (sequence(split("don't. (a|b)", kind="String"), split("\n", kind="String"), GPT2), None),
    "falcon": (sequence(punctuation("Contiguous"), GPT2, digits(False), split("[0-9][0-9][0-9]")), None),
    "gaps": (sequence(split("[a-z]+"), BYTES), "[a-z]+"),
}


@pytest.fixture(scope="module", params=READ)
def both(request, cl100k, tmp_path_factory):
    """A tokenizer with nearly no merges, so that a piece cut elsewhere shows."""
    pre_tokenizer, name = READ[request.param]
    folder = tmp_path_factory.mktemp("read")
    cl100k.save(folder)
    content = json.loads((folder / "tokenizer.json").read_text())
    content["pre_tokenizer"] = pre_tokenizer
    if request.param != "falcon":  # whole pieces that are tokens show where pieces end
        content["model"]["ignore_merges"] = True
    (folder / "tokenizer.json").write_text(json.dumps(content))
    theirs = pytest.importorskip("tokenizers").Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer = Tokenizer.load(folder)
    if name is not None:
        assert tokenizer.pattern == name
    return tokenizer, theirs


@pytest.mark.peer
@examples
@given(text=hard_text)
def test_pieces_and_ids_are_those_of_hugging_face(both, text):
    tokenizer, theirs = both
    assert tokenizer.encode(text, special="parse") == theirs.encode(text).ids
    explanation = tokenizer.explain(text)
    ours = [len(piece.text) for piece in explanation.pieces]
    their_pieces = [len(piece) for piece, _ in theirs.pre_tokenizer.pre_tokenize_str(text)]
    if (
        "[0-9]+" not in tokenizer.vocabulary.pattern.regexes
    ):  # falcon's splits inside characters, which no merge crosses
        assert ours == their_pieces


@pytest.mark.peer
def test_what_is_written_splits_alike(both, corpus, tmp_path):
    tokenizer, theirs = both
    if tokenizer.vocabulary.adds_prefix_space and tokenizer.pattern != "gpt2":
        with pytest.raises(DataError, match="only with the pattern gpt2"):
            tokenizer.save(tmp_path)
        return
    tokenizer.save(tmp_path)
    assert Tokenizer.load(tmp_path) == tokenizer
    again = type(theirs).from_file(str(tmp_path / "tokenizer.json"))
    for text in corpus:
        ids = again.encode(text).ids
        assert ids == theirs.encode(text).ids == tokenizer.encode(text, special="parse")
        assert again.decode(ids) == tokenizer.decode(tokenizer.encode(text))


@pytest.mark.peer
def test_punctuation_is_that_of_the_wheel():
    theirs = pytest.importorskip("tokenizers").pre_tokenizers
    codes = [code for code in range(0x110000) if not 0xD800 <= code <= 0xDFFF]
    text = "".join(f"a{chr(code)}" for code in codes)
    written = theirs.Split(pytest.importorskip("tokenizers").Regex(f"[{PUNCTUATION}]"), "isolated")
    assert theirs.Punctuation("isolated").pre_tokenize_str(text) == written.pre_tokenize_str(text)


@pytest.mark.peer
def test_digits_are_numbers_but_for_thirteen_of_a_newer_unicode():
    theirs = pytest.importorskip("tokenizers").pre_tokenizers
    codes = [code for code in range(0x110000) if not 0xD800 <= code <= 0xDFFF]
    text = "".join(f"a{chr(code)}" for code in codes)
    splits = [splitter.pre_tokenize_str(text) for splitter in (theirs.Digits(individual_digits=True), numbers(theirs))]
    found = [{codes[begin // 2] for _, (begin, end) in pieces if begin % 2 and end == begin + 1} for pieces in splits]
    assert sorted(found[0] ^ found[1]) == [*range(0x11DE0, 0x11DEA), *range(0x16FF4, 0x16FF7)]


def numbers(pre_tokenizers):
    return pre_tokenizers.Split(pytest.importorskip("tokenizers").Regex(r"\p{N}"), "isolated")


@pytest.mark.parametrize(
    ("pre_tokenizer", "message"),
    [
        (None, "pre_tokenizer is null"),
        (digits(True), "is Digits, and textmill knows those with one ByteLevel"),
        (sequence(), "with one ByteLevel"),
        (sequence(GPT2, GPT2), "ByteLevel then ByteLevel"),
        (sequence({"type": "Whitespace"}, GPT2), "the step Whitespace"),
        (sequence({"type": "WhitespaceSplit"}, GPT2), "the step WhitespaceSplit"),
        (sequence({"type": "Metaspace"}, GPT2), "the step Metaspace"),
        (sequence({"type": "BertPreTokenizer"}, GPT2), "the step BertPreTokenizer"),
        (sequence({"type": "UnicodeScripts"}, GPT2), "the step UnicodeScripts"),
        (sequence(split("x", "Removed"), GPT2), "behavior 'Removed'"),
        (sequence(split("[a-z]+", "Removed", invert=True), GPT2), "behavior 'Removed'"),
        (sequence(split("x", "MergedWithPrevious"), GPT2), "behavior 'MergedWithPrevious'"),
        (sequence(split("x", "MergedWithNext"), GPT2), "behavior 'MergedWithNext'"),
        (sequence(split("x", "Contiguous"), GPT2), "behavior 'Contiguous'"),
        (sequence(punctuation("Removed"), GPT2), "behavior 'Removed'"),
        (sequence(split("x"), SPACE), "adds a space before each piece"),
        (sequence(split(CL100K, invert=3), GPT2), "invert = '3'"),
        (sequence(split("("), GPT2), r"\("),
        (sequence(split(""), GPT2), "must be a Regex or a String"),
        (sequence(split("x", kind="Glob"), GPT2), "must be a Regex or a String"),
        (sequence(GPT2, digits(True)), "Digits after ByteLevel"),
        (sequence(GPT2, split(r"\p{N}")), "Split after ByteLevel"),
        (sequence(GPT2, punctuation("Isolated")), "Punctuation after ByteLevel"),
        ({"type": "ByteLevel", "add_prefix_space": "yes"}, "add_prefix_space = 'yes'"),
    ],
    ids=str,
)
def test_what_cannot_be_reproduced_is_refused_by_name(cl100k, tmp_path, pre_tokenizer, message):
    cl100k.save(tmp_path)
    content = json.loads((tmp_path / "tokenizer.json").read_text())
    (tmp_path / "tokenizer.json").write_text(json.dumps({**content, "pre_tokenizer": pre_tokenizer}))
    with pytest.raises(DataError, match=message):
        Tokenizer.load(tmp_path)


def test_a_merge_across_a_border_inside_a_character_is_refused(tmp_path):
    Tokenizer.train(iter(["a²" * 9]), 258).save(tmp_path)  # C2 and B2 are merged, and Digits splits between them
    content = json.loads((tmp_path / "tokenizer.json").read_text())
    content["pre_tokenizer"] = READ["falcon"][0]
    (tmp_path / "tokenizer.json").write_text(json.dumps(content))
    with pytest.raises(DataError, match=r"merge \d joins .* across such a place"):
        Tokenizer.load(tmp_path)
