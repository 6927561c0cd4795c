"""Parquet without some calls: the same file as before, but for their rows."""

import contextlib
from collections.abc import Collection, Iterator
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from vocal.store.files import Files


class Changed(msgspec.Struct, frozen=True):
    """A file, how many rows it lost, and its SHA-256 before and after; None: nothing was left, and it is gone."""

    name: str
    rows: int
    before: str
    after: str | None


def without_calls(files: Files, name: str, calls: Collection[str]) -> Changed | None:
    """Takes the rows of some calls out of a Parquet file; None: it has none. Raises ValueError for half a file."""
    given = pa.array(sorted(calls), pa.string())
    with reading(files, name) as parquet:
        hit = [
            pc.is_in(parquet.read_row_group(group, ["call"])["call"], given) for group in range(parquet.num_row_groups)
        ]
        counts = [int(pc.sum(one).as_py() or 0) for one in hit]
        rows = sum(counts)
        if not rows:
            return None
        before = files.digest(name)
        if rows == parquet.metadata.num_rows:
            files.delete(name)
            return Changed(name, rows, before, None)
        with (
            files.writing(name) as stream,
            pq.ParquetWriter(stream, parquet.schema_arrow, compression="zstd", write_page_checksum=True) as writer,
        ):
            for group, one in enumerate(hit):
                if counts[group] < len(one):
                    table = parquet.read_row_group(group)
                    writer.write_table(table.filter(pc.invert(one)) if counts[group] else table)
    return Changed(name, rows, before, files.digest(name))


@contextlib.contextmanager
def reading(files: Files, name: str) -> Iterator[Any]:
    """A Parquet file, opened. Raises ValueError where it is none, or half of one; GoneError."""
    with files.open(name) as file:
        try:
            yield pq.ParquetFile(file, page_checksum_verification=True)
        except (pa.ArrowException, OSError, EOFError) as error:
            raise ValueError(f"no whole Parquet file: {str(error).partition(chr(10))[0]}") from None
