"""Scripts of characters, against the names that Unicode gives them."""

import sys
import unicodedata

import regex

from textmill.tokenizer.scripts import SCRIPTS, SHARED, scripts_of_characters

# Names of letters begin with their script's; these have that, and no other script's begin alike.
NAMED = ("LATIN", "CYRILLIC", "GREEK", "ARMENIAN", "HEBREW", "ARABIC", "THAI", "HIRAGANA", "KATAKANA", "DEVANAGARI")


def test_letters_have_the_script_of_their_names():
    letters = [chr(code) for code in range(sys.maxunicode + 1) if unicodedata.category(chr(code)).startswith("L")]
    found = scripts_of_characters(["".join(letters[:1000]), *letters[1000:]])
    for letter in letters:
        name = unicodedata.name(letter, "")
        script = "Han" if name.startswith("CJK UNIFIED IDEOGRAPH") else name.partition(" ")[0].capitalize()
        if script == "Han" or (script.upper() in NAMED and f"{script.upper()} LETTER" in name):
            assert found[letter] == script, name


def test_every_letter_has_a_script_that_is_named():
    codes = (code for code in range(sys.maxunicode + 1) if unicodedata.category(chr(code)) not in ("Cn", "Co", "Cs"))
    characters = "".join(map(chr, codes))
    found = scripts_of_characters([characters])
    shared = set(regex.findall("|".join(rf"\p{{Script={script}}}" for script in SHARED), characters))
    assert not {unicodedata.name(character) for character in set(characters) - set(found) - shared}
    assert len(set(SCRIPTS)) == len(SCRIPTS)
    assert set(found.values()) <= set(SCRIPTS)


def test_what_scripts_share_has_none():
    assert scripts_of_characters(["1 + é", "да! 🙂 \u0301"]) == {"é": "Latin", "д": "Cyrillic", "а": "Cyrillic"}
    assert scripts_of_characters([]) == {}
