"""Unicode's scripts (UAX #24): in which of them a text is written."""

from __future__ import annotations

from collections.abc import Iterable

import regex

# What many scripts share (digits, punctuation, signs, emoji), and marks that take the script of what they stand on.
SHARED = ("Common", "Inherited")
# By the names of Unicode 16, what most texts are written in first.
SCRIPTS = tuple(
    """
    Latin Han Cyrillic Arabic Greek Hebrew Hangul Hiragana Katakana Devanagari Thai Armenian Georgian Bengali Tamil
    Telugu Gujarati Gurmukhi Kannada Malayalam Oriya Sinhala Lao Tibetan Myanmar Ethiopic Khmer Mongolian Bopomofo
    Braille
    Adlam Ahom Anatolian_Hieroglyphs Avestan Balinese Bamum Bassa_Vah Batak Bhaiksuki Brahmi Buginese Buhid
    Canadian_Aboriginal Carian Caucasian_Albanian Chakma Cham Cherokee Chorasmian Coptic Cuneiform Cypriot Cypro_Minoan
    Deseret Dives_Akuru Dogra Duployan Egyptian_Hieroglyphs Elbasan Elymaic Garay Glagolitic Gothic Grantha
    Gunjala_Gondi Gurung_Khema Hanifi_Rohingya Hanunoo Hatran Imperial_Aramaic Inscriptional_Pahlavi
    Inscriptional_Parthian Javanese Kaithi Kawi Kayah_Li Kharoshthi Khitan_Small_Script Khojki Khudawadi Kirat_Rai
    Lepcha Limbu Linear_A Linear_B Lisu Lycian Lydian Mahajani Makasar Mandaic Manichaean Marchen Masaram_Gondi
    Medefaidrin Meetei_Mayek Mende_Kikakui Meroitic_Cursive Meroitic_Hieroglyphs Miao Modi Mro Multani Nabataean
    Nag_Mundari Nandinagari New_Tai_Lue Newa Nko Nushu Nyiakeng_Puachue_Hmong Ogham Ol_Chiki Ol_Onal Old_Hungarian
    Old_Italic Old_North_Arabian Old_Permic Old_Persian Old_Sogdian Old_South_Arabian Old_Turkic Old_Uyghur Osage
    Osmanya Pahawh_Hmong Palmyrene Pau_Cin_Hau Phags_Pa Phoenician Psalter_Pahlavi Rejang Runic Samaritan Saurashtra
    Sharada Shavian Siddham SignWriting Sogdian Sora_Sompeng Soyombo Sundanese Sunuwar Syloti_Nagri Syriac Tagalog
    Tagbanwa Tai_Le Tai_Tham Tai_Viet Takri Tangsa Tangut Thaana Tifinagh Tirhuta Todhri Toto Tulu_Tigalari Ugaritic Vai
    Vithkuqi Wancho Warang_Citi Yezidi Yi Zanabazar_Square
    """.split()
)


def scripts_of_characters(texts: Iterable[str]) -> dict[str, str]:
    """Give each character of some texts its script, for those that belong to one alone."""
    left = "".join(sorted(set().union(*texts)))
    found: dict[str, str] = {}
    for script in (*SHARED, *SCRIPTS):
        if not left:
            break
        members = regex.compile(rf"\p{{Script={script}}}+")
        if script not in SHARED:
            found.update(dict.fromkeys("".join(members.findall(left)), script))
        left = members.sub("", left)
    return found
