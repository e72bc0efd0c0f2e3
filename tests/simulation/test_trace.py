"""Recorded clusters: what the file says at any time; files that cannot be used."""

from __future__ import annotations

from math import inf
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hbsim.errors import ParameterError
from hbsim.simulation.trace import Absence, Trace, read_trace

HEADER = "worker,start,end,state\n"


def trace(text: str) -> Trace:
    with TemporaryDirectory() as folder:
        path = Path(folder, "cluster.csv")
        path.write_text(text, encoding="utf-8")
        return read_trace(path)


STATES = ("up", "up", "queued", "preempted", "down", "nothing said")
days = st.lists(st.sampled_from(STATES), min_size=1, max_size=12)  # a worker's state in each second


@given(st.dictionaries(st.sampled_from(["a", "b c", "10"]), days, min_size=1), st.booleans(), st.data())
def test_what_a_file_says(seconds: dict[str, list[str]], for_ever: bool, data: Any) -> None:
    rows = [
        (name, start, start + 1 if start + 1 < len(states) or not for_ever else "", state)
        for name, states in seconds.items()
        for start, state in enumerate(states)
        if state != "nothing said"
    ]
    rows = data.draw(st.permutations(rows))
    text = HEADER + "".join(f"{name},{start},{end},{state}\n" for name, start, end, state in rows)
    if not any(row[3] == "up" for row in rows):
        with pytest.raises(ParameterError, match=r"no worker is ever up|has no row"):
            trace(text)
        return
    read = trace(text)
    assert read.workers == tuple(dict.fromkeys(row[0] for row in rows))
    for name, absences in zip(read.workers, read.absences, strict=True):
        assert list(absences) == expected(seconds[name], for_ever)


def expected(states: list[str], for_ever: bool) -> list[Absence]:
    """Go through the seconds of a worker one by one."""
    absences: list[Absence] = []
    last = states[-1] if for_ever else "nothing said"
    for second, state in enumerate([*states, last]):
        end = second + 1 if second < len(states) else inf
        if state != "up" and absences and absences[-1].end == second:
            absences[-1] = absences[-1]._replace(end=end)
        elif state != "up":
            absences.append(Absence(second, end, state != "down"))
    return absences


def test_the_example() -> None:
    read = trace(HEADER + "0,0,3600,up\n0,3600,4200,preempted\n0,4200,,up\n1,0,900,queued\n1,900,7200,up\n")
    assert read.workers == ("0", "1")
    assert read.absences == (
        (Absence(3600, 4200, True),),
        (Absence(0, 900, True), Absence(7200, inf, True)),
    )


@pytest.mark.parametrize(
    ("rows", "absence"),
    [
        ("w,0,5,up\nw,5,9,down\nw,9,,up\n", Absence(5, 9, False)),
        ("w,0,5,up\nw,5,9,preempted\nw,9,,up\n", Absence(5, 9, True)),
        ("w,0,5,up\nw,9,,up\n", Absence(5, 9, True)),  # a gap
        ("w,0,5,up\nw,6,9,down\nw,9,,up\n", Absence(5, 9, True)),  # down, but not at once
        ("w,0,5,up\nw,5,6,down\nw,6,9,preempted\nw,9,,up\n", Absence(5, 9, False)),
        ("w,0,5,up\nw,5,6,queued\nw,6,9,down\nw,9,,up\n", Absence(5, 9, True)),
        ("w,0,5,up\nw,5,5,down\nw,5,,up\n", Absence(5, 5, False)),  # lost, and there again at once
        ("w,9,,up\nw,5,9,down\nw,0,5,up\n", Absence(5, 9, False)),  # in any order
        ("w,0,2,up\nw,2,5,up\nw,5,,down\n", Absence(5, inf, False)),
        ("w,0,5,up\n", Absence(5, inf, True)),
        ("w,3,,up\n", Absence(0, 3, True)),
        ("\n\nw,3,,up\n\n", Absence(0, 3, True)),
    ],
)
def test_kinds_of_absence(rows: str, absence: Absence) -> None:
    assert trace(HEADER + rows).absences == ((absence,),)


def test_columns_in_any_order_and_spaces() -> None:
    read = trace("\ufeffstate, end ,start,worker\nup,, 2 , w \ndown,2,0,w\nqueued,,0,never\n")
    assert read.workers == ("w", "never")
    assert read.absences == ((Absence(0, 2, False),), (Absence(0, inf, True),))


REFUSED = [
    ("", "line 1: has no worker, start, end, state"),
    ("worker,start,state\n", "line 1: has no end"),
    ("worker,start,end,sate\n", "line 1: 'sate' is no column: .* Did you mean 'state'?"),
    ("worker,start,end,state,price\n", "line 1: 'price' is no column"),
    ("worker,start,end,state,end\n", "line 1: 'end' is there twice"),
    (HEADER, "has no row"),
    (HEADER + "w,0,5\n", "line 2: has 3 cells, must have 4"),
    (HEADER + "w,0,5,up,7\n", "line 2: has 5 cells, must have 4"),
    (HEADER + ",0,5,up\n", "line 2: worker must not be empty"),
    (HEADER + "w,0,5,up\n\nw,5,9,prempted\n", "line 4: state='prempted' must .* Did you mean 'preempted'?"),
    (HEADER + "w,-1,5,up\n", "line 2: start='-1' must be a number of seconds, 0 or more"),
    (HEADER + "w,,5,up\n", "line 2: start='' must"),
    (HEADER + "w,nan,5,up\n", "line 2: start='nan' must"),
    (HEADER + "w,0,inf,up\n", "line 2: end='inf' must"),
    (HEADER + "w,0,noon,up\n", "line 2: end='noon' must"),
    (HEADER + "w,5,4,up\n", "line 2: end=4 must not be before start=5"),
    (HEADER + "w,0,5,up\nv,4,6,up\nw,4,6,down\n", "lines 2 and 4: overlap, both of worker 'w'"),
    (HEADER + "w,7,,up\nw,0,8,up\n", "lines 3 and 2: overlap"),
    (HEADER + "w,0,,up\nw,9,,up\n", "lines 2 and 3: overlap"),
    (HEADER + "w,0,5,down\nv,3,3,up\n", "no worker is ever up"),
    (HEADER + 'w,0,5,"up\n', "cannot be read as CSV"),
]


@pytest.mark.parametrize(("text", "rule"), REFUSED)
def test_files_that_cannot_be_used(text: str, rule: str) -> None:
    with pytest.raises(ParameterError, match=rule) as caught:
        trace(text)
    assert caught.value.field == "trace"
    assert str(caught.value.value).endswith("cluster.csv")
    assert "\n" not in str(caught.value)


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    binary = tmp_path / "binary.csv"
    binary.write_bytes(b"\xff\xfe\x00\x01")
    for path in (tmp_path / "none.csv", tmp_path, binary):
        with pytest.raises(ParameterError, match="cannot be read as CSV") as caught:
            read_trace(path)
        assert caught.value.value == str(path)
