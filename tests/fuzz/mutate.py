"""Mutations of bytes, of text and of trees of plain values; and values that few expect."""

from __future__ import annotations

import copy
import math
import re
from collections.abc import Callable, Sequence
from random import Random
from typing import Any, Final

ODD_NUMBERS: Final = (
    *(0, 1, -1, 2, 3, 7, 255, 256, 65535, 65536, 2**31 - 1, 2**31, -(2**31) - 1, 2**44, 2**53 + 1, 10**400),
    *(
        2**63 - 1,
        2**63,
        -(2**63) - 1,
        2**64,
        0.0,
        -0.0,
        0.5,
        1.5,
        -1.5,
        1e-9,
        1e9,
        1e300,
        1.7e308,
        -1.7e308,
        5e-324,
    ),
    *(math.nan, math.inf, -math.inf),
)
ODD_TEXTS: Final = (
    *(
        "",
        " ",
        "x",
        "0",
        "1",
        "-1",
        "1e999",
        "nan",
        "NaN",
        "inf",
        "-inf",
        "None",
        "null",
        "true",
        "1_000",
        "1,5",
        "٣",
    ),
    *(
        "\x00",
        "\n",
        "\r\n",
        "\x1b[31m",
        "\ufeff",
        "\u2028",
        "é",
        "𝄞",
        "'",
        '"',
        "%s",
        "{}",
        "../..",
        "/",
        "~",
        "lr",
    ),
    *("max", "min", "2026-01-01", "x" * 10_000, "9" * 5_000, "a=b", "a:b", "config.lr", "__class__", "\\"),
)
ODD_BYTES: Final = (
    b"\x00",
    b"\xff",
    b"\x80",
    b"\x7f",
    b"\xff" * 4,
    b"\xff" * 8,
    b"\x00" * 8,
    b"\x7f" + b"\xff" * 7,
)
TOKEN: Final = re.compile(r"\w+|[^\w\s]|\s+")


def few(rng: Random, most: int = 4) -> int:
    """Return 1 more often than 2, 2 more often than 3."""
    count = 1
    while count < most and rng.random() < 0.4:
        count += 1
    return count


def odd(rng: Random, depth: int = 2) -> Any:
    """Return a value that JSON has, or nearly."""
    kind = rng.randrange(10)
    if kind < 4:
        return rng.choice(ODD_NUMBERS)
    if kind < 7:
        return rng.choice(ODD_TEXTS)
    if kind == 7 or depth == 0:
        return rng.choice((None, True, False))
    if kind == 8:
        return [odd(rng, depth - 1) for _ in range(rng.randrange(4))]
    return {rng.choice(ODD_TEXTS[:20]): odd(rng, depth - 1) for _ in range(rng.randrange(4))}


# Bytes


def mutated(content: bytes, rng: Random, last: int | None = None) -> bytes:
    """Return bytes that differ; the changes are among the `last` ones, if that is given."""
    data = bytearray(content)
    for _ in range(few(rng, 6)):
        begin = 0 if last is None else max(0, len(data) - last)
        _BYTES[rng.randrange(len(_BYTES))](data, rng, begin)
    return bytes(data)


def _at(data: bytearray, rng: Random, begin: int) -> int:
    return rng.randrange(begin, max(begin + 1, len(data)))


def _flip(data: bytearray, rng: Random, begin: int) -> None:
    if data:
        data[min(_at(data, rng, begin), len(data) - 1)] ^= 1 << rng.randrange(8)


def _set(data: bytearray, rng: Random, begin: int) -> None:
    place, new = _at(data, rng, begin), rng.choice(ODD_BYTES)
    data[place : place + len(new)] = new


def _insert(data: bytearray, rng: Random, begin: int) -> None:
    place = _at(data, rng, begin)
    data[place:place] = rng.randbytes(rng.randint(1, 16))


def _delete(data: bytearray, rng: Random, begin: int) -> None:
    place = _at(data, rng, begin)
    del data[place : place + rng.choice((1, 1, 2, 4, 16, 200))]


def _cut(data: bytearray, rng: Random, begin: int) -> None:
    del data[_at(data, rng, begin) :]


def _repeat(data: bytearray, rng: Random, begin: int) -> None:
    place, other = _at(data, rng, begin), _at(data, rng, begin)
    data[other:other] = data[place : place + rng.randint(1, 64)]


def _move(data: bytearray, rng: Random, begin: int) -> None:
    place, other, size = _at(data, rng, begin), _at(data, rng, begin), rng.randint(1, 64)
    one, two = data[place : place + size], data[other : other + size]
    data[place : place + size] = two
    data[other : other + size] = one


_BYTES: Final[Sequence[Callable[[bytearray, Random, int], None]]] = (
    *(_flip, _flip, _flip, _set, _set, _insert, _delete, _cut, _repeat, _move),
)


# Text


def rewritten(text: str, rng: Random) -> str:
    """Return text with words, cells or lines changed."""
    for _ in range(few(rng)):
        kind = rng.randrange(7)
        if kind < 3:
            text = _word(text, rng)
        elif kind < 5:
            text = _line(text, rng)
        elif kind == 5:
            text = _column(text, rng)
        else:
            text = mutated(text.encode(), rng).decode("utf-8", "replace")
    return text


def _word(text: str, rng: Random) -> str:
    found = list(TOKEN.finditer(text))
    if not found:
        return str(odd(rng))
    one, two = rng.choice(found), rng.choice(found)
    new = two[0] if rng.random() < 0.3 else str(odd(rng, 1))
    return text[: one.start()] + new + text[one.end() :]


def _line(text: str, rng: Random) -> str:
    lines = text.splitlines(keepends=True) or [""]
    place, other = rng.randrange(len(lines)), rng.randrange(len(lines))
    kind = rng.randrange(4)
    if kind == 0:
        del lines[place]
    elif kind == 1:
        lines.insert(other, lines[place])
    elif kind == 2:
        lines[place], lines[other] = lines[other], lines[place]
    else:
        cells = lines[place].split(",")
        cells[rng.randrange(len(cells))] = str(odd(rng, 0))
        lines[place] = ",".join(cells)
    return "".join(lines)


def _column(text: str, rng: Random) -> str:
    """Replace, remove or repeat a column of a CSV."""
    rows = [line.split(",") for line in text.splitlines()]
    width = len(rows[0]) if rows else 0
    if not width:
        return text
    place, other, kind = rng.randrange(width), rng.randrange(width), rng.randrange(4)
    new = str(odd(rng, 0))
    for number, row in enumerate(rows):
        if len(row) != width:
            continue
        if kind == 0:
            del row[place]
        elif kind == 1:
            row.append(row[place])
        elif kind == 2:
            row[place], row[other] = row[other], row[place]
        elif number:
            row[place] = new
    return "\n".join(map(",".join, rows)) + "\n"


# Trees of dicts, lists and scalars


def altered(tree: Any, rng: Random, most: int = 4) -> Any:
    """Return a copy of a tree with nodes replaced, removed, moved or added."""
    root = [copy.deepcopy(tree)]
    for _ in range(few(rng, most)):
        places = [place for place in _places(root) if place != ((), 0)] or [((), 0)]
        kind = rng.randrange(8)
        box, key = _box(root, rng.choice(places))
        old = box[key]
        if kind < 3:
            box[key] = odd(rng)
        elif kind == 3:
            box[key] = _near(old, rng)
        elif kind == 4:
            other, place = _box(root, rng.choice(places))
            box[key] = copy.deepcopy(other[place])
        elif kind == 5 and box is not root:
            del box[key]
        elif kind == 6 and isinstance(box, list):
            box.insert(key, copy.deepcopy(old))
        elif kind == 6:
            box[str(odd(rng, 0))] = copy.deepcopy(old)
        else:
            box[key] = rng.choice(([old], {"x": old}, str(old), [old, old]))
    return root[0]


def _near(old: Any, rng: Random) -> Any:
    """Return a value of the same kind."""
    if isinstance(old, bool):
        return not old
    if isinstance(old, int | float):
        return rng.choice(
            (old + 1, old - 1, -old, old * 2, float(old) if abs(old) < 1e300 else 0.5, str(old))
        )
    if isinstance(old, str):
        return rewritten(old, rng)
    if isinstance(old, list):
        return rng.choice((old[:-1], old[::-1], old + old, sorted(old, key=str)))
    return odd(rng)


def _places(root: list[Any]) -> list[tuple[tuple[Any, ...], Any]]:
    found: list[tuple[tuple[Any, ...], Any]] = []
    stack: list[tuple[tuple[Any, ...], Any]] = [((), root)]
    while stack:
        path, node = stack.pop()
        keys = node if isinstance(node, dict) else range(len(node))
        for key in keys:
            found.append((path, key))
            if isinstance(node[key], dict | list):
                stack.append(((*path, key), node[key]))
    return found


def _box(root: list[Any], place: tuple[tuple[Any, ...], Any]) -> tuple[Any, Any]:
    path, key = place
    node: Any = root
    for part in path:
        node = node[part]
    return node, key
