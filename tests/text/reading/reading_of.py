"""What reading a source gives, as plain lists."""

from textmill.base.errors import DataError
from textmill.text.reading import ReadCounts, cut_units, list_files, read_chain


def read_all(source, unit_bytes=64 << 20, done=(), num_threads=1, each=map):
    """Read a source; returns its documents by unit, what was bad, and the counts of all units together."""
    bad, units, total = [], {}, ReadCounts()
    for unit in cut_units(list_files(source), unit_bytes, each):
        for reading in read_chain(unit, source, on_bad=bad.append, done=done, num_threads=num_threads):
            batches = list(reading.batches)
            assert reading.unit.key not in units
            units[reading.unit.key] = [
                row
                for batch in batches
                for row in zip(
                    batch.ids(),
                    batch.texts.texts(),
                    *(batch.fields[name].texts() for name in sorted(batch.fields)),
                    strict=True,
                )
            ]
            counts = reading.counts
            assert counts.records == len(units[reading.unit.key])
            assert counts.bytes == sum(batch.texts.num_bytes for batch in batches)
            total.records += counts.records
            total.empty += counts.empty
            total.bad += counts.bad
            total.bytes += counts.bytes
    assert total.bad == len(bad)
    assert list(units) == sorted(units)
    return units, [str(record) for record in bad], total


def documents_of(source, unit_bytes=64 << 20, **options):
    """The documents of all units, one after the other."""
    units, _, _ = read_all(source, unit_bytes, **options)
    return [document for documents in units.values() for document in documents]


def stop(bad):
    """The policy that ends at the first bad record."""
    raise DataError(str(bad))
