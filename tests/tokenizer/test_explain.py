import json

from hypothesis import given

from tokenizer.hard_text import examples, hard_bytes

TEXT = "naïve 🤖 don't"


@examples
@given(text=hard_bytes)
def test_an_explanation_ends_in_the_ids_and_its_parts_tile_the_text(tokenizer, text):
    explanation = tokenizer.explain(text)
    assert explanation.ids == tokenizer.encode(text)
    assert b"".join(character.utf8 for character in explanation.characters) == text
    assert b"".join(piece.text for piece in explanation.pieces) == text
    assert b"".join(token.text for token in explanation.tokens) == text
    for token in explanation.tokens:
        assert text[token.begin : token.end] == token.text


@examples
@given(text=hard_bytes)
def test_the_merges_of_a_piece_lead_from_its_bytes_to_its_tokens(tokenizer, text):
    for piece in tokenizer.explain(text).pieces:
        parts = {piece.begin + i: tokenizer.encode(bytes([byte]))[0] for i, byte in enumerate(piece.text)}
        for step in piece.merges:
            assert tokenizer.vocabulary.merges[step.rank].tolist() == [step.left, step.right, step.product]
            assert parts[step.begin] == step.left
            assert parts.pop(step.begin + len(tokenizer.token_bytes(step.left))) == step.right
            parts[step.begin] = step.product
        assert [parts[place] for place in sorted(parts)] == [token.id for token in piece.tokens]


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


def test_characters_have_names_and_bytes_that_are_not_utf8_have_none(cl100k):
    robot, byte = cl100k.explain("🤖".encode() + b"\xff").characters
    assert (robot.code_point, robot.name, robot.category, robot.utf8) == (
        0x1F916,
        "ROBOT FACE",
        "So",
        b"\xf0\x9f\xa4\x96",
    )
    assert (byte.begin, byte.code_point, byte.name) == (4, None, "")


def test_it_can_be_written_as_json(cl100k):
    content = json.loads(json.dumps(cl100k.explain(TEXT).to_dict()))
    assert content["text"] == TEXT
    assert content["pieces"][0]["text_hex"] == "6e 61 c3 af 76 65"
    assert content["unicode_version"] == "16.0.0"
    assert [token["id"] for piece in content["pieces"] for token in piece["tokens"]] == cl100k.encode(TEXT)
