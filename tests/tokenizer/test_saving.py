import json
from dataclasses import replace

import pytest

from textmill import Tokenizer
from textmill.base.errors import ConfigError, DataError, StorageError
from textmill.tokenizer.chat import ChatTemplate
from tokenizer.corpora import TEMPLATE

TRAINED = Tokenizer.train(iter(["tick tack tock"] * 9), 265, "gpt2", ["<|im_start|>", "<|im_end|>"])
VOCABULARY = TRAINED.vocabulary
CHAT = ChatTemplate(TEMPLATE, (("bos_token", "<|im_start|>"), ("eos_token", "<|im_end|>")))
FIELDS = {
    "whole pieces": replace(VOCABULARY, whole_pieces=True),
    "prefix and suffix": replace(VOCABULARY, prefix_ids=(0,), suffix_ids=(1,)),
    "normalizer": replace(VOCABULARY, normalizer="nfc"),
    "prefix space": replace(VOCABULARY, adds_prefix_space=True),
    "one stop id": replace(VOCABULARY, stop_ids=(1,)),
    "stop ids": replace(VOCABULARY, stop_ids=(1, 260)),
    "flags": replace(
        VOCABULARY,
        added=(replace(VOCABULARY.added[0], strips_left=True), replace(VOCABULARY.added[1], is_special=False)),
    ),
}


@pytest.mark.parametrize("vocabulary", FIELDS.values(), ids=FIELDS)
@pytest.mark.parametrize("template", [CHAT, None])
def test_a_folder_keeps_every_field(tmp_path, vocabulary, template):
    saved = Tokenizer(vocabulary, chat_template=template, training_report=None)
    for _ in range(2):
        saved.save(tmp_path)
        loaded = Tokenizer.load(tmp_path)
        assert loaded == saved
        assert loaded.stop_ids == saved.stop_ids
        assert loaded.chat_template == saved.chat_template
        assert loaded._chat_template == template


@pytest.mark.parametrize("vocabulary", FIELDS.values(), ids=FIELDS)
def test_a_json_file_keeps_every_field_of_the_vocabulary(tmp_path, vocabulary):
    Tokenizer(vocabulary).save(tmp_path / "a.json")
    assert Tokenizer.load(tmp_path / "a.json") == Tokenizer(replace(vocabulary, stop_ids=()))


def test_a_single_file_says_that_it_drops_the_chat_template(tmp_path):
    ranks = Tokenizer(Tokenizer.train(iter(["abab"]), 258).vocabulary, chat_template=CHAT)
    for name in ("a.json", "a.tiktoken"):
        with pytest.warns(UserWarning, match=f"{name} does not hold the chat template; save into a folder"):
            ranks.save(tmp_path / name)


def test_what_others_wrote_into_the_config_stays(tmp_path):
    config = {"model_max_length": 512, "padding_side": "left", "eos_token": "</s>", "chat_template": "old"}
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(config))
    Tokenizer(VOCABULARY, chat_template=CHAT).save(tmp_path)
    written = json.loads((tmp_path / "tokenizer_config.json").read_text())
    variables = {"bos_token": "<|im_start|>", "eos_token": "<|im_end|>"}
    kept = {"tokenizer_class": "PreTrainedTokenizerFast", "model_max_length": 512, "padding_side": "left"}
    assert written == kept | variables
    TRAINED.save(tmp_path)
    assert Tokenizer.load(tmp_path).chat_template is None
    assert json.loads((tmp_path / "tokenizer_config.json").read_text()) == written


def test_tokens_of_another_tokenizer_go(tmp_path):
    config = {
        "add_bos_token": True,
        "bos_token": {"content": "<s>", "lstrip": False},
        "eos_token": "<|im_end|>",
        "pad_token": None,
        "mask_token": "<mask>",
        "additional_special_tokens": ["<|im_start|>", "<gone>"],
        "extra_special_tokens": {"start": "<|im_start|>"},
        "added_tokens_decoder": {"9": {"content": "<s>"}},
    }
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(config))
    TRAINED.save(tmp_path)
    written = json.loads((tmp_path / "tokenizer_config.json").read_text())
    assert list(written) == ["add_bos_token", "eos_token", "pad_token", "extra_special_tokens"]


@pytest.mark.parametrize("name", ["GPT2Tokenizer", "Qwen2Tokenizer", "BertTokenizer"])
@pytest.mark.peer
def test_transformers_reads_what_was_saved_over_another_tokenizer(tmp_path, name):
    transformers = pytest.importorskip("transformers")
    config = {"tokenizer_class": name, "bos_token": "<s>", "unk_token": "<unk>", "eos_token": "<|im_end|>"}
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(config))
    TRAINED.save(tmp_path)
    peer = transformers.AutoTokenizer.from_pretrained(tmp_path)
    assert len(peer) == TRAINED.vocab_size
    assert peer.special_tokens_map == {"eos_token": "<|im_end|>"}
    text = "tick tock<|im_end|> it's 12345\n\n naïve"
    assert peer.encode(text) == TRAINED.encode(text, special="parse")


def test_the_class_of_the_same_tokenizer_stays(tmp_path):
    TRAINED.save(tmp_path)
    (tmp_path / "tokenizer_config.json").write_text('{"tokenizer_class": "GPT2Tokenizer"}')
    TRAINED.save(tmp_path)
    assert json.loads((tmp_path / "tokenizer_config.json").read_text()) == {"tokenizer_class": "GPT2Tokenizer"}


def test_files_of_another_tokenizer_are_refused(tmp_path):
    TRAINED.save(tmp_path)
    (tmp_path / "vocab.json").write_text("{}")
    (tmp_path / "merges.txt").write_text("")
    TRAINED.save(tmp_path)  # they may well be its own
    other = Tokenizer.train(iter(["other text"]), 258)
    before = (tmp_path / "tokenizer.json").read_bytes()
    with pytest.raises(ConfigError, match=r"holds merges.txt and vocab.json of another tokenizer.*delete them"):
        other.save(tmp_path)
    assert (tmp_path / "tokenizer.json").read_bytes() == before
    (tmp_path / "tokenizer.json").unlink()
    (tmp_path / "merges.txt").unlink()
    with pytest.raises(ConfigError, match=r"holds vocab.json of another tokenizer.*delete it, or"):
        TRAINED.save(tmp_path)


def test_an_ending_that_is_no_format_is_refused(tmp_path):
    for name in ("a.model", "a.JSON", "model-1.5"):
        with pytest.raises(ConfigError, match="cannot tell the format"):
            TRAINED.save(tmp_path / name)
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "model-1.5").mkdir()
    for name in ("model-1.5", "model"):
        TRAINED.save(tmp_path / name)
        assert Tokenizer.load(tmp_path / name) == TRAINED


def content_of(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


def test_a_save_that_fails_leaves_everything_as_it_was(tmp_path, monkeypatch):
    TRAINED.save(tmp_path)
    before = content_of(tmp_path)
    other = Tokenizer.train(iter(["other text"] * 3), 262, "gpt2", ["<|im_start|>", "<|im_end|>"])

    def refuse(_):
        raise DataError("this format cannot hold it")

    with monkeypatch.context() as patch:
        patch.setattr("textmill.tokenizer.formats.hugging_face_writer.to_json", refuse)
        with pytest.raises(DataError, match="cannot hold it"):
            other.save(tmp_path)
    assert content_of(tmp_path) == before
    (tmp_path / "chat_template.jinja").mkdir()
    with pytest.raises(StorageError, match="it is a folder"):
        Tokenizer(other.vocabulary, chat_template=CHAT).save(tmp_path)
    assert content_of(tmp_path) == before


@pytest.mark.parametrize("num_written", [0, 1, 2])
def test_a_disk_that_is_full_leaves_everything_as_it_was(tmp_path, monkeypatch, num_written):
    TRAINED.save(tmp_path)
    before = content_of(tmp_path)
    calls = iter(range(100))

    def fsync(_):
        if next(calls) == num_written:
            raise OSError(28, "No space left on device")

    monkeypatch.setattr("textmill.base.files.os.fsync", fsync)
    report = Tokenizer.train(iter(["other text"] * 3), 262).training_report
    with pytest.raises(StorageError, match="no space left"):
        Tokenizer(VOCABULARY, chat_template=CHAT, training_report=report).save(tmp_path)
    assert content_of(tmp_path) == before


@pytest.mark.parametrize("wrong", ["7", "[-1]", "[265]", '["a"]', "[true]"])
def test_stop_ids_that_are_none_are_refused(tmp_path, wrong):
    TRAINED.save(tmp_path)
    (tmp_path / "tokenizer_config.json").write_text(f'{{"stop_ids": {wrong}}}')
    with pytest.raises(DataError, match="stop_ids"):
        Tokenizer.load(tmp_path)
