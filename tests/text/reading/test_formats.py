"""Each format: which of its fields are read, how its records are named, and that units fit together."""

import gzip
import json
import sys
import zipfile

import pytest

from text.reading.reading_of import documents_of, read_all, stop
from textmill.base.errors import ConfigError, DataError, MissingExtraError
from textmill.text.folders import LeftOut
from textmill.text.reading import SourceInput, cut_units, list_files, read_chain

PAGE = "<html><head><title>T</title></head><body><nav>Home News</nav><article>{}</article></body></html>"
PARAGRAPH = "<p>This is the main text of a page, which says <b>naïve</b> things at some length. " * 6


def source_of(path, data, **settings):
    path.write_bytes(data if isinstance(data, bytes) else data.encode())
    return SourceInput(path=str(path), **settings)


def test_a_field_map_reaches_into_objects(tmp_path):
    record = {"body": {"text": "words"}, "meta": {"url": "http://a", "id": 7}, "quality": 0.50}
    fields = {"text": "body.text", "id": "meta.id", "url": "meta.url", "score": "quality"}
    source = source_of(tmp_path / "a.jsonl", json.dumps(record), fields=fields)
    assert documents_of(source) == [("7", "words", "7", "0.5", "http://a")]
    twice = source_of(tmp_path / "b.jsonl", json.dumps(record), fields={"text": "meta.url", "url": "meta.url"})
    assert documents_of(twice) == [("b.jsonl:1", "http://a", "http://a")]


def test_python_takes_what_the_native_parser_hands_back(tmp_path):
    lines = [
        '{"text": "plain"}',
        '{"text": "first", "text": "last", "id": 1.50}',
        '{"te\\u0078t": "escaped", "id": NaN}',
        "\u00a0",
        '{"text": "deep", "x": ' + "[" * 99 + "]" * 99 + "}",
        '{"text": null}',
        '{"text": "plain too", "id": "z"}',
    ]
    source = source_of(tmp_path / "a.jsonl", "\n".join(lines), fields={"id": "id"})
    units, bad, counts = read_all(source)
    assert units == {
        (0, 0): [
            ("a.jsonl:1", "plain", ""),
            ("1.50", "last", "1.50"),
            ("NaN", "escaped", "NaN"),
            ("a.jsonl:5", "deep", ""),
            ("z", "plain too", "z"),
        ]
    }
    assert (bad, counts.empty) == ([], 1)


def test_csv(tmp_path):
    data = 'a,body,n\n1,"x\ny",2\n\n3,"say ""so""",4\r\n5,,6\n'
    source = source_of(tmp_path / "a.csv", data, fields={"text": "body", "id": "n", "url": "none"})
    units, bad, counts = read_all(source)
    assert list(units.values()) == [[("2", "x\ny", "2"), ("4", 'say "so"', "4")]]
    assert (bad, counts.empty) == ([], 1)
    assert documents_of(source_of(tmp_path / "b.tsv", "\ufefftext\tb\nx y\tc\n")) == [("b.tsv:1", "x y")]
    assert documents_of(source_of(tmp_path / "c.txt", "text\nx", format="csv")) == [("c.txt:1", "x")]
    long = "word " * 100_000
    assert documents_of(source_of(tmp_path / "d.csv", f'text\n"{long}"\n')) == [("d.csv:1", long)]


@pytest.fixture(scope="module")
def parquet_files(tmp_path_factory):
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    root = tmp_path_factory.mktemp("parquet")
    texts = [f"text {i} ü\n" * (i % 7) if i % 10 else None for i in range(500)]
    table = pyarrow.table(
        {
            "body": texts,
            "number": list(range(500)),
            "meta": [{"url": f"u{i}", "more": [i]} if i % 4 else None for i in range(500)],
            "kind": pyarrow.array(["a", "b"] * 250).dictionary_encode(),
        }
    )
    parquet.write_table(table, root / "a.parquet", row_group_size=60)
    (root / "b.parquet.gz").write_bytes(gzip.compress((root / "a.parquet").read_bytes()))
    with zipfile.ZipFile(root / "c.zip", "w") as archive:
        archive.write(root / "a.parquet", "a.parquet")
    return root


FIELDS = {"text": "body", "id": "number", "url": "meta.url", "score": "kind"}


@pytest.mark.parametrize("unit_bytes", [1, 3000, 64 << 20])
def test_parquet(parquet_files, unit_bytes):
    source = SourceInput(path=str(parquet_files / "a.parquet"), fields=FIELDS)
    units, bad, counts = read_all(source, unit_bytes)
    numbers = [i for i in range(500) if i % 10 and i % 7]
    assert [row for rows in units.values() for row in rows] == [
        (str(i), f"text {i} ü\n" * (i % 7), str(i), "ab"[i % 2], f"u{i}" if i % 4 else "") for i in numbers
    ]
    assert (bad, counts.empty, counts.records) == ([], 500 - len(numbers), len(numbers))
    assert len(units) == (9 if unit_bytes == 1 else 1 if unit_bytes > 1 << 20 else len(units))
    assert done_and_rest(source, unit_bytes) == units


def done_and_rest(source, unit_bytes):
    units, _, _ = read_all(source, unit_bytes)
    first, _, _ = read_all(source, unit_bytes, done=list(units)[1::2])
    second, _, _ = read_all(source, unit_bytes, done=list(units)[0::2])
    return dict(sorted((first | second).items()))


def test_rows_of_parquet_are_named_by_their_number(parquet_files):
    fields = {"text": "body"}
    whole = documents_of(SourceInput(path=str(parquet_files / "a.parquet"), fields=fields))
    cut = documents_of(SourceInput(path=str(parquet_files / "a.parquet"), fields=fields), 1)
    assert cut == whole
    assert whole[:2] == [("a.parquet:2", "text 1 ü\n"), ("a.parquet:3", "text 2 ü\n" * 2)]
    for name, prefix in {"b.parquet.gz": "b.parquet.gz:", "c.zip": "c.zip/a.parquet:"}.items():
        packed = documents_of(SourceInput(path=str(parquet_files / name), fields=fields), 1)
        assert packed == [(prefix + id_.partition(":")[2], text) for id_, text in whole]


def test_html(tmp_path):
    pytest.importorskip("trafilatura")
    for name, data in {
        "a.html": PAGE.format(PARAGRAPH).encode(),
        "b.htm": b'<meta charset="latin-1">' + PAGE.format(PARAGRAPH).encode("latin-1"),
        "c.html": b"",
        "d.html.gz": gzip.compress(PAGE.format(PARAGRAPH).encode()),
    }.items():
        (tmp_path / name).write_bytes(data)
    documents = documents_of(SourceInput(path=str(tmp_path)))
    assert [document[0] for document in documents] == ["a.html", "b.htm", "d.html.gz"]
    assert len({text for _, text in documents}) == 1
    assert "naïve things" in documents[0][1]
    assert "Home" not in documents[0][1]


def test_the_standard_library():
    documents = documents_of(SourceInput(path="stdlib:code"))
    assert "json/decoder.py" in [document[0] for document in documents]
    (unit,) = cut_units(list_files(SourceInput(path=("stdlib:code", "stdlib:prose"))))
    assert unit.key == (0, 0)
    assert [file.name for file in unit.files] == ["stdlib:code", "stdlib:prose"]


def test_files_of_several_paths_have_names_of_their_own(tmp_path):
    for folder in ("one", "two", "one/sub"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "a.txt").write_text(folder)
    (tmp_path / "one" / "link.txt").symlink_to("a.txt")
    (tmp_path / "one" / ".hidden.txt").write_text("hidden")
    (tmp_path / "two" / "b.bin").write_bytes(b"\0")

    def names(*paths, **settings):
        source = SourceInput(path=tuple(f"{tmp_path}/{path}" for path in paths), **settings)
        return [file.name for file in list_files(source)]

    assert names("one") == ["a.txt", "sub/a.txt"]
    assert names("one/a.txt") == ["a.txt"]
    assert names("two", "one") == ["two/a.txt", "one/a.txt", "one/sub/a.txt"]
    assert names("one", "one/sub/a.txt", "one/link.txt") == ["a.txt", "sub/a.txt"]
    assert names("*/a.txt") == ["one/a.txt", "two/a.txt"]
    assert names("one/**/a.txt", "two/b.bin") == ["one/a.txt", "one/sub/a.txt", "two/b.bin"]
    left_out = LeftOut()
    list_files(SourceInput(path=str(tmp_path)), left_out)
    assert left_out.files == {"(hidden)": 1, ".bin": 1}


def test_a_format_that_is_named_holds_for_all_files(tmp_path):
    (tmp_path / "a.json.gz").write_bytes(gzip.compress(b'{"text": "a"}'))
    (tmp_path / "b.txt").write_text('{"text": "b"}')
    assert [text for _, text in documents_of(SourceInput(path=str(tmp_path), format="jsonl"))] == ["a", "b"]
    assert documents_of(SourceInput(path=str(tmp_path))) == [("b.txt", '{"text": "b"}')]


def test_members_of_an_archive_are_read_like_files_of_a_folder(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for name in ("b/two.txt", "b/.hidden", "__MACOSX/x.txt", "a.txt", "picture.png", "empty/"):
            archive.writestr(name, name)
    left_out = LeftOut()
    files = list_files(SourceInput(path=str(tmp_path)), left_out)
    assert [file.name for file in files] == ["a.zip/a.txt", "a.zip/b/two.txt"]
    assert left_out.files == {"(hidden)": 2, ".png": 1}


def test_an_archive_in_an_archive_is_left_out_and_told(tmp_path):
    with zipfile.ZipFile(tmp_path / "inner.zip", "w") as archive:
        archive.writestr("a.txt", "inner")
    path = tmp_path / "outer.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.write(tmp_path / "inner.zip", "inner.zip")
    with pytest.raises(
        DataError,
        match=r"outer.zip holds 1 file, and none is text: \(archive in an archive\) \(1\); unpack an archive",
    ):
        list_files(SourceInput(path=str(path)))
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("b.txt", "outer")
    left_out = LeftOut()
    assert [file.name for file in list_files(SourceInput(path=str(path)), left_out)] == ["outer.zip/b.txt"]
    with pytest.warns(UserWarning, match=r"1 file was left out .*archive in an archive.*; unpack an archive that lies"):
        left_out.warn(1)


def test_an_archive_of_nothing_is_told(tmp_path):
    zipfile.ZipFile(tmp_path / "a.zip", "w").close()
    with pytest.raises(DataError, match=r"a.zip holds no file"):
        list_files(SourceInput(path=str(tmp_path / "a.zip")))


def test_small_files_share_units(tmp_path):
    for i in range(100):
        (tmp_path / f"{i:03}.txt").write_text("x" * 100)
    files = list_files(SourceInput(path=str(tmp_path)))
    assert len(cut_units(files)) == 1
    units = cut_units(files, 42_000)
    assert [unit.key for unit in units] == [(number, 0) for number in range(0, 100, 11)]
    assert [file for unit in units for file in unit.files] == files


def test_batches_are_of_a_few_megabytes(tmp_path):
    line = json.dumps({"text": "words " * 700}) + "\n"
    source = source_of(tmp_path / "a.jsonl", line * 5000)
    (reading,) = read_chain(cut_units(list_files(source))[0], source, on_bad=stop)
    # A generator's readings are drained when the next one is asked for: nothing is left.
    assert list(reading.batches) == []
    sizes = []
    for reading in read_chain(cut_units(list_files(source))[0], source, on_bad=stop):
        sizes = [batch.texts.num_bytes for batch in reading.batches]
    assert sum(sizes) == 5000 * 4200
    assert all(4 << 20 < size <= 8 << 20 for size in sizes[:-1])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"format": "josnl"}, 'no format of files; did you mean "jsonl"'),
        ({"fields": {"txt": "a"}}, 'no field that reading knows; did you mean "text"'),
        ({"fields": {"text": "a..b"}}, "names no field"),
        ({"fields": {"text": ""}}, "names no field"),
        ({"max_document_bytes": 0}, "must be 1 or more"),
    ],
)
def test_wrong_settings_are_refused(settings, message):
    with pytest.raises(ConfigError, match=message):
        SourceInput(path="a", **settings)


def test_missing_files_and_extras_are_named(tmp_path, monkeypatch):
    with pytest.raises(DataError, match="does not exist"):
        list_files(SourceInput(path=str(tmp_path / "none")))
    source = source_of(tmp_path / "a.txt", "a")
    units = cut_units(list_files(source))
    (tmp_path / "a.txt").unlink()
    with pytest.raises(DataError, match=r"a.txt changed .* cannot be found \(No such file"):
        list(read_chain(units[0], source, on_bad=print))
    for name, module in {"a.html": "trafilatura", "a.txt.zst": "zstandard"}.items():
        monkeypatch.setitem(sys.modules, module, None)
        with pytest.raises(MissingExtraError, match="textmill\\[data\\]"):
            read_all(source_of(tmp_path / name, b"x"))
