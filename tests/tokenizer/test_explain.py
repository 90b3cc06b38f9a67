import json
import random
import sys
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from textmill import Tokenizer
from textmill.base.errors import DataError
from textmill.tokenizer.merge_table import MergeTable
from tokenizer import sentencepiece_models as models
from tokenizer.hard_text import examples, fewer_examples, hard_bytes, hard_text, repetitive_text

TEXT = "naïve 🤖 don't"


@fewer_examples
@given(text=hard_bytes)
def test_an_explanation_ends_in_the_ids_and_its_parts_tile_the_text(tokenizer, text):
    explanation = tokenizer.explain(text)
    assert explanation.ids == tokenizer.encode(text)
    assert explanation.prepared == text
    assert explanation.changes == ()
    assert b"".join(character.utf8 for character in explanation.characters) == text
    assert b"".join(piece.text for piece in explanation.pieces) == text
    assert b"".join(token.text for token in explanation.tokens) == text
    for part in (*explanation.tokens, *explanation.pieces):
        assert text[part.begin : part.end] == part.text


@fewer_examples
@given(text=hard_bytes)
def test_the_merges_of_a_piece_lead_from_its_bytes_to_its_tokens(tokenizer, text):
    for piece in tokenizer.explain(text).pieces:
        parts = {i: tokenizer.encode(bytes([byte]))[0] for i, byte in enumerate(piece.text)}
        for step in piece.merges:
            assert tokenizer.vocabulary.merges[step.rank].tolist() == [step.left, step.right, step.product]
            assert parts[step.begin] == step.left
            assert parts.pop(step.middle) == step.right
            assert piece.text[step.begin : step.end] == tokenizer.token_bytes(step.product)
            assert step.count == tokenizer.training_report.merge_counts[step.rank]
            parts[step.begin] = step.product
        assert [parts[place] for place in sorted(parts)] == [token.id for token in piece.tokens]
        trees = piece.trees()
        assert [tree.id for tree in trees] == [token.id for token in piece.tokens]
        assert [(tree.begin, tree.end) for tree in trees] == [
            (token.begin - piece.begin, token.end - piece.begin) for token in piece.tokens
        ]


@examples
@given(texts=repetitive_text, text=hard_text)
def test_the_table_merges_as_the_native_core_does(texts, text):
    tokenizer = Tokenizer.train(iter(texts), 300, r"[\s\S]+")
    for piece in (text, *texts):
        steps, _ = tokenizer._encoder.trace(piece)
        joins = MergeTable(tokenizer.vocabulary).joins(piece.encode())
        assert [
            [join.left.begin, join.merge.left, join.merge.right, join.merge.product, join.merge.rank] for join in joins
        ] == steps.tolist()


@examples
@given(texts=repetitive_text)
def test_the_runner_up_is_the_second_best_pair_of_the_moment(texts):
    """Against a search of all pairs."""
    tokenizer = Tokenizer.train(iter(texts), 290, r"[\s\S]+")
    ranks = {(left, right): rank for rank, (left, right, _) in enumerate(tokenizer.vocabulary.merges.tolist())}
    for piece in (piece for text in texts for piece in tokenizer.explain(text).pieces):
        parts = {i: tokenizer.encode(bytes([byte]))[0] for i, byte in enumerate(piece.text)}
        for step in piece.merges:
            places = sorted(parts)
            pairs = sorted(
                (ranks[parts[a], parts[b]], a, b) for a, b in pairwise(places) if (parts[a], parts[b]) in ranks
            )
            assert pairs[0] == (step.rank, step.begin, step.middle)
            found = step.runner_up and (step.runner_up.rank, step.runner_up.begin, step.runner_up.middle)
            assert found == (pairs[1] if len(pairs) > 1 else None)
            if len(pairs) > 1:
                shares = pairs[1][1] == step.middle or pairs[1][2] == step.begin
                assert step.runner_up.is_lost == shares
            del parts[step.middle]
            parts[step.begin] = step.product


@fewer_examples
@given(text=hard_bytes)
def test_json_holds_the_merge_trees(tokenizer, text):
    explanation = tokenizer.explain(text)
    for piece, row in zip(explanation.pieces, explanation.to_dict()["pieces"], strict=True):
        nodes = row["tree"]["nodes"]
        waiting = list(zip(row["tree"]["roots"], () if piece.is_whole else piece.trees(), strict=True))
        num_nodes = 0
        while waiting:
            number, node = waiting.pop()
            num_nodes += 1
            assert [nodes[number][key] for key in ("id", "begin", "end")] == [node.id, node.begin, node.end]
            assert nodes[number]["text_hex"] == piece.text[node.begin : node.end].hex(" ")
            assert nodes[number]["rank"] == (node.step.rank if node.step else None)
            waiting += zip(nodes[number]["parts"], node.parts, strict=True)
        assert num_nodes == len(nodes)


def test_json_holds_a_tree_that_is_deeper_than_json_can_nest():
    token = "".join(random.Random(1).choices("abcdefghijklmnopqrstuvwxyz", k=1024))
    tokenizer = Tokenizer.train(iter(["x"]), 2000, r"[\s\S]+", seed_tokens=[token])
    assert tokenizer.count(token) == 1
    (piece,) = json.loads(json.dumps(tokenizer.explain(token).to_dict()))["pieces"]
    nodes, (root,) = piece["tree"]["nodes"], piece["tree"]["roots"]
    depth = 0
    while nodes[root]["parts"]:
        root, depth = nodes[root]["parts"][0], depth + 1
    assert depth > sys.getrecursionlimit() // 2


def test_pieces_name_the_alternative_that_made_them(cl100k):
    pieces = cl100k.explain("don't 12345\n x").pieces
    assert [(piece.text, piece.alternative) for piece in pieces] == [
        (b"don", "letters"),
        (b"'t", "contraction"),
        (b" ", "whitespace"),
        (b"123", "one to three numbers"),
        (b"45", "one to three numbers"),
        (b"\n", "whitespace up to a newline"),
        (b" x", "letters"),
    ]
    assert pieces[0].regex == r"[^\r\n\p{L}\p{N}]?\p{L}+"
    assert {piece.stage for piece in pieces} == {1}


def test_of_several_stages_each_piece_names_its_own():
    explanation = Tokenizer.train(iter(["a 12 b"]), 256, "smollm").explain("ab 12")
    assert explanation.num_stages == 2
    assert [(p.text, p.alternative, p.stage, [m.alternative for m in p.earlier]) for p in explanation.pieces] == [
        (b"ab", "letters", 2, []),
        (b" ", "whitespace but its last character", 2, []),
        (b"1", "numbers", 2, ["one number"]),
        (b"2", "numbers", 2, ["one number"]),
    ]


def test_what_nothing_matches_is_said_to_be_a_gap():
    explanation = Tokenizer.train(iter(["ab"]), 256, "[a-z]+").explain("ab12")
    assert [(p.text, p.alternative, p.regex, p.stage) for p in explanation.pieces] == [
        (b"ab", "[a-z]+", "[a-z]+", 1),
        (b"12", "text that nothing matches", "", 0),
    ]


def test_characters_have_names_and_bytes_that_are_not_utf8_have_none(cl100k):
    robot, byte = cl100k.explain("🤖".encode() + b"\xff").characters
    assert (robot.code_point, robot.name, robot.category, robot.utf8) == (
        0x1F916,
        "ROBOT FACE",
        "So",
        b"\xf0\x9f\xa4\x96",
    )
    assert robot.bits == "11110000 10011111 10100100 10010110"
    assert (byte.begin, byte.code_point, byte.name) == (4, None, "")


def test_added_tokens_are_tokens_when_they_are_parsed(cl100k):
    special = next(iter(cl100k.special_tokens))
    text = f"a{special} b"
    explanation = cl100k.explain(text, special="parse")
    assert explanation.ids == cl100k.encode(text, special="parse")
    assert [(piece.text, piece.is_added) for piece in explanation.pieces] == [
        (b"a", False),
        (special.encode(), True),
        (b" b", False),
    ]
    assert [(token.begin, token.end) for token in explanation.tokens] == cl100k.encode_with_spans(text, "parse")[1]
    assert not any(piece.is_added for piece in cl100k.explain(text).pieces)
    with pytest.raises(DataError, match="special token"):
        cl100k.explain(text, special="forbid")


def test_what_a_normalizer_changes_is_told(cl100k, tmp_path):
    cl100k.save(tmp_path)
    file = tmp_path / "tokenizer.json"
    content = json.loads(file.read_text())
    content["normalizer"] = {"type": "NFC"}
    content["pre_tokenizer"] = {
        "type": "ByteLevel",
        "add_prefix_space": True,
        "trim_offsets": True,
        "use_regex": True,
    }
    file.write_text(json.dumps(content))
    explanation = Tokenizer.load(file).explain("xe\u0301y")
    assert explanation.prepared.decode() == " xéy"
    assert [(change.begin, change.end, change.prepared.decode(), change.reason) for change in explanation.changes] == [
        (0, 0, " ", "the tokenizer puts a space before a text"),
        (1, 4, "é", "normalisation form C"),
    ]
    assert [character.utf8.decode() for character in explanation.characters] == ["x", "e", "\u0301", "y"]
    (piece,) = explanation.pieces
    assert (piece.begin, piece.end, piece.text.decode()) == (0, 5, " xéy")


PIECES = [
    ("\u2581", -1.0, 1),
    ("a", -2.0, 1),
    ("b", -3.0, 1),
    ("ab", -4.0, 1),
    ("\u2581ab", -5.0, 1),
    ("abab", -6.0, 1),
]


@pytest.fixture
def over_characters(tmp_path):
    path = tmp_path / "tokenizer.model"
    path.write_bytes(models.model([*models.CONTROLS, *models.BYTES, *PIECES], byte_fallback=True))
    return Tokenizer.load(path)


def test_over_characters_the_pieces_show_the_normalised_text(over_characters):
    explanation = over_characters.explain("ab é")
    assert explanation.prepared.decode() == "\u2581ab\u2581é"
    assert explanation.changes[0].prepared == explanation.prepared
    assert explanation.ids == over_characters.encode("ab é")
    assert b"".join(piece.text for piece in explanation.pieces) == explanation.prepared
    assert {(piece.alternative, piece.stage) for piece in explanation.pieces} == {("", 0)}
    steps = [step for piece in explanation.pieces for step in piece.merges]
    assert [over_characters.token_bytes(step.product) for step in steps] == [b"ab", b" ab"]


@examples
@given(text=st.text("ab \u2581é", max_size=30))
def test_over_characters_the_table_merges_as_the_native_core_does(over_characters, text):
    _, _, words, steps, _, _ = over_characters._encoder.trace(text)
    pieces = over_characters.explain(text).pieces
    assert [len(piece.merges) for piece in pieces] == words[:, 1].tolist()
    ours = [(step.left, step.right, step.product, step.rank) for piece in pieces for step in piece.merges]
    assert ours == [tuple(row[1:]) for row in steps.tolist()]


def test_it_can_be_written_as_json(cl100k):
    content = json.loads(json.dumps(cl100k.explain(TEXT).to_dict()))
    assert content["text"] == TEXT
    assert content["pieces"][0]["text_hex"] == "6e 61 c3 af 76 65"
    assert content["unicode_version"] == "16.0.0"
    assert content["characters"][2]["utf8_bits"] == "11000011 10101111"
    assert content["ids"] == cl100k.encode(TEXT)
    assert [token["id"] for piece in content["pieces"] for token in piece["tokens"]] == cl100k.encode(TEXT)


def test_the_keys_of_its_json_stay(cl100k):
    """Programs read them."""
    content = cl100k.explain("e\u0301 don't").to_dict()
    assert list(content) == [
        *("text_hex", "text", "prepared_hex", "prepared", "changes", "dropped_hex", "dropped", "pattern"),
        *("num_stages", "unicode_version", "characters", "pieces", "ids"),
    ]
    assert list(content["characters"][0]) == [
        *("begin", "utf8_hex", "utf8", "code_point", "name", "category", "utf8_bits")
    ]
    piece = max(content["pieces"], key=lambda piece: len(piece["merges"]))
    assert list(piece) == [
        *("begin", "end", "text_hex", "text", "alternative", "regex", "stage", "earlier"),
        *("symbols", "merges", "tokens", "is_whole", "is_added", "tree"),
    ]
    assert list(piece["tree"]) == ["nodes", "roots"]
    assert list(piece["tree"]["nodes"][0]) == ["id", "begin", "end", "text_hex", "text", "rank", "parts"]
    assert list(piece["merges"][0]) == [
        *("begin", "middle", "end", "left", "right", "product", "rank", "count", "runner_up")
    ]
    assert list(piece["tokens"][0]) == ["id", "begin", "end", "text_hex", "text"]
    page = (Path(__file__).parents[2] / "docs" / "reference" / "tokenizers.md").read_text(encoding="utf-8")
    rows = (content, content["characters"][0], piece, piece["merges"][0], piece["tree"], piece["tree"]["nodes"][0])
    described = {key for row in rows for key in row if not key.endswith("_hex")}
    assert not {key for key in described if f"`{key}`" not in page}


@fewer_examples
@given(text=hard_bytes)
def test_what_encode_gives_is_canonical(tokenizer, text):
    ids = tokenizer.encode(text)
    assert tokenizer.is_canonical(ids)
    singles = [tokenizer.encode(bytes([byte]))[0] for byte in text]
    assert tokenizer.is_canonical(singles) == (singles == ids)


def test_control_tokens_are_canonical_only_when_they_are_parsed(cl100k):
    ids = [*cl100k.encode("a"), *cl100k.special_tokens.values()]
    assert cl100k.is_canonical(ids, special="parse")
    assert not cl100k.is_canonical(ids)
    assert cl100k.is_canonical([])
    with pytest.raises(DataError, match="no token"):
        cl100k.is_canonical([10**6])
