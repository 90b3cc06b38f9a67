"""Addresses are masked, and what only looks like one is not."""

from __future__ import annotations

import time

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from textmill.base.errors import ConfigError
from textmill.text.cleaning import Cleaner
from textmill.text.personal_addresses import EMAIL, IPV4, IPV6, mask_emails, mask_ips
from textmill.text.text_batch import TextBatch


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("write to jane.doe@mail.example.edu.", f"write to {EMAIL}."),
        ("<a+b_c@x-y.org>, 'd@e.fr'", f"<{EMAIL}>, '{EMAIL}'"),
        ("a@b.com@c.org", f"{EMAIL}@c.org"),
        ("a@b.com.c@d.org_e@f.com, g@h.com", f"{EMAIL}, {EMAIL}"),
        (f"{EMAIL} stays", None),
        ("npm i pkg@1.2.3", None),
        ("5@3.50 each", None),
        ("@property\ndef f(self): a @ b.c", None),
        ("user@localhost", None),
        ("@.@", None),
    ],
)
def test_emails_are_masked(text, masked):
    assert mask_emails(text)[0] == (text if masked is None else masked)


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("ping 8.8.8.8.", f"ping {IPV4}."),
        ("http://93.184.216.34:80/", f"http://{IPV4}:80/"),
        ("at 2606:4700:4700::1111, and", f"at {IPV6}, and"),
        ("[2a00:1450:4001:81b::200e]:443", f"[{IPV6}]:443"),
        ("from 2606:4700:4700::1111: a reply", f"from {IPV6}: a reply"),
        ("10.0.0.1 127.0.0.1 192.168.1.1 192.0.2.7", None),
        ("version 1.2.3.4.5", None),
        ("v8.8.8.8 and 8.8.8.8b", None),
        ("999.1.1.1 and 8.8.8.256", None),
        ("§1.2.3 and 3.14", None),
        ("std::vector a::b dead::beef ::1 fe80::1", None),
        ("2023:10:12 2024:01:02:03:04:05", None),
        ("12:30:45", None),
    ],
)
def test_public_ips_are_masked(text, masked):
    assert mask_ips(text)[0] == (text if masked is None else masked)


PARTS = st.sampled_from([*"a1.@:- é\n", "8.8.8.8", "x@y.com", EMAIL, "2606:4700::1", "2001:", "::", "sch\u00c3\u00b6n"])
TEXTS = st.lists(st.lists(PARTS, max_size=12).map("".join), max_size=5)


@given(TEXTS)
def test_a_batch_is_masked_as_its_texts_are(texts):
    masked, counts = Cleaner().apply(TextBatch.of(texts))
    by_text = [mask_emails(text) for text in texts]
    both = [(*mask_ips(text), count) for text, count in by_text]
    assert masked.texts() == [text for text, _, _ in both]
    assert counts == {
        "masked_emails": sum(count for *_, count in both),
        "masked_ips": sum(count for _, count, _ in both),
    }


@given(TEXTS)
@example(["x@y.com.x@y.com", "x@y.com-x@y.com", "x@y.com_x@y.com", "x@y.comx@y.com"])
def test_masking_what_is_masked_changes_nothing(texts):
    masked, _ = Cleaner().apply(TextBatch.of(texts))
    again, _ = Cleaner().apply(masked)
    assert again.texts() == masked.texts()


@pytest.mark.parametrize(
    "text", ["a-" * 200_000 + "@", "a." * 200_000 + "@b." * 9, "@" * 200_000, "1." * 200_000, "2001:" * 200_000]
)
def test_hostile_texts_take_no_more_time(text):
    begin = time.process_time()
    Cleaner().apply(TextBatch.of([text]))
    assert time.process_time() - begin < 5


def test_text_that_was_decoded_wrongly_is_repaired():
    pytest.importorskip("ftfy")
    cleaned, counts = Cleaner(unicode=True, mask=()).apply(TextBatch.of(["fine", "sch\u00c3\u00b6n", ""]))
    assert cleaned.texts() == ["fine", "schön", ""]
    assert counts == {"repaired": 1}


def test_an_unknown_mask_is_refused():
    with pytest.raises(ConfigError, match='no mask "phone"'):
        Cleaner(mask=("phone",))
