"""Planted leaks are found, all of them, wherever they stand; texts that only look alike are left alone."""

import pickle
import random
import string

import numpy as np
import pytest

from fakes import planted
from textmill.text.decontamination import PROFILES, Decontaminator, EvalItem, Profile
from textmill.text.text_batch import TextBatch

NUM_ITEMS = 60


def items_found(decontaminator, documents):
    """Item numbers by document."""
    found = [set() for _ in documents]
    for hit in decontaminator.apply(TextBatch.of(documents)).hits:
        found[hit.document].add(hit.item)
    return found


@pytest.fixture(scope="module", params=PROFILES)
def decontaminator(request):
    return Decontaminator(planted.items(NUM_ITEMS), Profile.named(request.param))


@pytest.fixture(scope="module")
def hosts():
    return planted.documents(NUM_ITEMS)


def test_clean_documents_stay(decontaminator, hosts):
    found = decontaminator.apply(TextBatch.of(hosts))
    assert found.hits == []
    assert found.kept.all()


@pytest.mark.parametrize("change", planted.VERBATIM)
@pytest.mark.parametrize("where", ["first", "middle", "last", "alone"])
def test_every_leak_is_found(decontaminator, hosts, change, where):
    leaks = [change(item.question, None) for item in decontaminator.items]
    documents = []
    for host, leak in zip(hosts, leaks, strict=True):
        middle = host.index(" ", len(host) // 2)
        documents.append(
            {"first": f"{leak} {host}", "middle": f"{host[:middle]}\n{leak}\n{host[middle:]}",
             "last": f"{host} {leak}", "alone": leak}[where]
        )  # fmt: skip
    found = items_found(decontaminator, documents)
    assert [number in of_document for number, of_document in enumerate(found)] == [True] * NUM_ITEMS


@pytest.mark.parametrize("name", ["finemath", "cosmopedia"])
def test_leaks_with_a_word_changed_here_and_there_are_found(name, hosts):
    items = [item for item in planted.items(NUM_ITEMS) if len(item.question.split()) >= 16]
    decontaminator = Decontaminator(items, Profile.named(name))
    generator = random.Random(3)
    documents = [f"{host} {planted.one_word_of_15(item.question, generator)} {host}"
                 for host, item in zip(hosts, items, strict=False)]  # fmt: skip
    found = items_found(decontaminator, documents)
    assert all(number in of_document for number, of_document in enumerate(found))


# The share of paraphrases that is taken for a leak, and of texts that share 16 words with an item and no more.
FALSE_POSITIVES = {
    "finemath": (0.0, 0.1),
    "cosmopedia": (0.01, 0.32),
    "datatrove": (0.01, 1.0),  # a shared n-gram is all it asks for
    "dolma": (0.0, 0.0),
    "bigram": (0.0, 0.1),
}


@pytest.mark.parametrize(("change", "column"), [(planted.paraphrase, 0), (planted.quoted_run, 1)])
def test_false_positives(decontaminator, change, column):
    generator = random.Random(4)
    longer = [item for item in planted.items(200) if len(item.question.split()) >= 30]
    decontaminator = Decontaminator(longer, decontaminator.profile)
    documents = [change(item.question, generator) for item in longer]
    share = np.mean([bool(of_document) for of_document in items_found(decontaminator, documents)])
    print(decontaminator.profile.name, change.__name__, len(longer), share)
    assert share <= FALSE_POSITIVES[decontaminator.profile.name][column]


def test_all_items_of_an_ngram_are_looked_at():
    """The first item that shares the n-gram is another one: a look at it alone would miss the leak."""
    run = " ".join(f"shared{number}" for number in range(13))
    items = [
        EvalItem("a:1", "a", f"{run} " + " ".join(f"first{n}" for n in range(40)), ""),
        EvalItem("a:2", "a", f"{run} second one", ""),
    ]
    found = Decontaminator(items, Profile.named("cosmopedia")).apply(TextBatch.of([f"before {run} second one after"]))
    assert [hit.item for hit in found.hits] == [1]
    assert found.num_rejected.tolist() == [1, 0]


def test_a_hit_says_where_and_what(hosts):
    items = planted.items(3)
    text = f"Zuerst ein Sätzchen über Öl. {items[1].question} {hosts[0]}"
    (hit,) = Decontaminator(items, Profile.named("finemath")).apply(TextBatch.of(["", text])).hits
    assert (hit.document, hit.item, hit.ratio, hit.action) == (1, 1, 1.0, "drop")
    assert text[hit.begin : hit.end] == items[1].question.strip(string.punctuation)
    assert items[1].question.startswith(hit.ngram)


def test_short_items_are_found_whole_or_named():
    items = [
        EvalItem("a:1", "a", "How many legs do nine old horses have together?", ""),
        EvalItem("a:2", "a", "Who was Ada?", ""),
        EvalItem("a:3", "a", "", ""),
    ]
    decontaminator = Decontaminator(items, Profile.named("finemath"))
    assert decontaminator.num_words.tolist() == [9, 3, 0]
    assert decontaminator.cannot_be_found.tolist() == [False, True, True]
    documents = [
        "well, how many legs do nine old horses have, together!",
        "How many legs do nine old horses have now? Who was Ada?",
    ]
    assert items_found(decontaminator, documents) == [{0}, set()]


def test_the_answer_with_what_leads_into_it():
    asked, answered = (" ".join(f"{letter}{number}" for number in range(20)) for letter in "qa")
    decontaminator = Decontaminator([EvalItem("a:1", "a", asked, answered)], Profile.named("datatrove"))
    both = f"{asked} {answered}".split()
    found = items_found(decontaminator, [" ".join(both[at : at + 12]) for at in range(len(both) - 11)])
    # Twelve words of the question alone are not looked for, those with one of the answer are.
    assert [bool(of_document) for of_document in found] == [False] * 9 + [True] * 20


def test_it_is_the_same_after_pickling(hosts):
    items = planted.items(5)
    one = Decontaminator(items, Profile.named("bigram", min_ratio=0.9), "report")
    other = pickle.loads(pickle.dumps(one))
    texts = TextBatch.of([f"{host} {item.question}" for host, item in zip(hosts, items, strict=False)])
    assert other.apply(texts).hits == one.apply(texts).hits
    assert one.apply(texts).kept.all()
    assert len(one.apply(texts).hits) == 5


def test_what_was_found_is_cut_out(hosts):
    items = planted.items(2)
    before, after = hosts[0], hosts[1]
    texts = TextBatch.of([f"{before}\n{items[0].question}\n{after}", items[1].question, "ü" * 300])
    found = Decontaminator(items, Profile.named("finemath"), "cut").apply(texts)
    assert found.kept.tolist() == [True, False, True]
    assert [hit.action for hit in found.hits] == ["cut", "drop"]
    first, second = found.texts.texts()[0].split("\n\n")
    assert before.startswith(first)
    assert len(before) - 210 < len(first) <= len(before) - 199
    assert after.endswith(second)
    assert found.texts.texts()[1:] == texts.texts()[1:]
