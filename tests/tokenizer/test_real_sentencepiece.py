"""Real vocabularies over characters: the ids of sentencepiece and of Hugging Face's tokenizers."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from textmill import Tokenizer
from textmill.base.errors import DataError
from tokenizer.corpora import standard_library
from tokenizer.hard_text import examples, hard_text
from tokenizer.vocabularies import vocabulary

pytestmark = pytest.mark.peer

FRAGMENTS = [
    "<s>",
    "</s>",
    "<unk>",
    "[INST]",
    "[REF]",
    "<bos>",
    "<start_of_turn>",
    "\n\n\n",
    "\t\t",
    "\u2581\u2581",
    " " * 17,
]
text_and_tokens = st.lists(st.one_of(hard_text, st.sampled_from(FRAGMENTS), st.text("ab \u2581", max_size=9))).map(
    "".join
)


@pytest.fixture(scope="module", params=["mistral-v1.model", "mistral-v3.model", "mistral-v7.model"])
def model(request):
    sentencepiece = pytest.importorskip("sentencepiece", reason="sentencepiece is not installed")
    path = vocabulary(request.param)
    return sentencepiece.SentencePieceProcessor(model_file=str(path)), Tokenizer.load(path)


def test_ids_and_text_are_those_of_sentencepiece(model):
    processor, tokenizer = model

    @examples
    @given(text=text_and_tokens)
    def check(text):
        ids = processor.encode(text)
        assert tokenizer.encode(text) == ids
        assert tokenizer.decode(ids) == processor.decode(ids)

    check()


def test_real_text_and_long_runs_too(model):
    processor, tokenizer = model
    runs = [unit * size for unit in (" ", "\n", "=", "a", "ab", "\u0301", "🤖") for size in (15, 16, 17, 63, 1000)]
    for text in [*standard_library(300_000), *runs]:
        ids = processor.encode(text)
        assert tokenizer.encode(text) == ids
        assert tokenizer.decode(ids) == processor.decode(ids)


@pytest.fixture(scope="module", params=["llama2.json", "gemma3.json"])
def json_file(request):
    tokenizers = pytest.importorskip("tokenizers", reason="tokenizers is not installed")
    path = vocabulary(request.param)
    return tokenizers.Tokenizer.from_file(str(path)), Tokenizer.load(path)


def test_ids_and_text_are_those_of_hugging_face(json_file):
    peer, tokenizer = json_file

    @examples
    @given(text=text_and_tokens)
    def check(text):
        ids = peer.encode(text, add_special_tokens=False).ids
        assert tokenizer.encode(text, special="parse") == ids
        assert tokenizer.decode(ids) == peer.decode(ids, skip_special_tokens=False)

    check()
    for text in standard_library(100_000):
        assert tokenizer.encode(text, special="parse") == peer.encode(text, add_special_tokens=False).ids


def test_a_real_model_saved_as_json_gives_its_ids_in_hugging_face(tmp_path):
    tokenizers = pytest.importorskip("tokenizers", reason="tokenizers is not installed")
    tokenizer = Tokenizer.load(vocabulary("mistral-v1.model"))
    tokenizer.save(tmp_path)
    peer = tokenizers.Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    assert Tokenizer.load(tmp_path).encode("the same") == tokenizer.encode("the same")
    for text in [*standard_library(100_000), *(" " * size + "x" for size in range(100))]:
        assert peer.encode(text, add_special_tokens=False).ids == tokenizer.encode(text, special="parse")
    with pytest.raises(DataError, match="user-defined pieces"):
        Tokenizer.load(vocabulary("mistral-v3.model")).save(tmp_path)
