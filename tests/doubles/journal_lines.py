"""The records of a journal, made from dictionaries with the fields of its lines."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from hbsim.runner.journal import JournalLines, encode, opened
from hbsim.runner.journal_reader import parse_record, parse_records
from hbsim.runner.records import Record


def read_journal(path: str | os.PathLike[str]) -> Iterator[dict[str, Any]]:
    """Yield the fields of each line of a journal, as they were appended, with the line's number ``n``."""
    with opened(path) as file:
        lines = JournalLines(file, os.fspath(path))
        for body in lines:
            yield lines.fields(body)
    lines.warn()


def typed(fields: Mapping[str, Any]) -> Record:
    """Return the record of a line's fields."""
    body, _, _ = encode(1, fields).rpartition(b',"crc"')
    return parse_record(JournalLines((), "journal"), body)


def typed_records(lines: Iterable[Mapping[str, Any]], path: str = "journal") -> Iterable[Record]:
    """Return the records of a journal's lines, without the first; errors name a line of `path`."""
    texts = (encode(n, {k: v for k, v in line.items() if k != "n"}) for n, line in enumerate(lines))
    records = iter(parse_records(JournalLines(texts, path)))
    next(records)
    return records
