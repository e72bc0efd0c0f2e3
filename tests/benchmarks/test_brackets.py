"""The page of brackets: what is committed is what the command writes, and what the rules say."""

import json
import math

from benchmarks.brackets import FOLDER, LARGEST, collect, quotient, write


def test_the_committed_results_are_what_the_command_writes(tmp_path):
    write(collect(), tmp_path)
    for path in tmp_path.iterdir():
        assert path.read_bytes() == (FOLDER / path.name).read_bytes(), path.name
    assert {path.name for path in FOLDER.iterdir()} == {path.name for path in tmp_path.iterdir()}


def test_the_quotient_is_what_floats_make_of_it():
    for eta in range(2, 11):
        power = 1
        while eta**power <= LARGEST:
            most = eta**power
            assert quotient(most, eta, "log") == math.log(most) / math.log(eta) == math.log(most, eta)
            power += 1


def test_only_powers_can_lose_a_bracket():
    """Next to a power the quotient is far from a whole number, in units of a float's last place."""
    for eta in range(2, 11):
        power = 2
        while eta**power <= LARGEST:
            for most, k in ((eta**power - 1, power - 1), (eta**power + 1, power)):
                found = quotient(most, eta, "log")
                assert int(found) == k
                assert abs(found - power) > 1e-8
            power += 1


def test_published_tables():
    """Li et al. (JMLR 2018), table 1, for the floor form; the first rungs of the ceil form at R=243."""
    tables = json.loads((FOLDER / "brackets.json").read_text(encoding="utf-8"))
    assert tables["tables"]["81"]["floor"] == [
        [[81, 1], [27, 3], [9, 9], [3, 27], [1, 81]],
        [[27, 3], [9, 9], [3, 27], [1, 81]],
        [[9, 9], [3, 27], [1, 81]],
        [[6, 27], [2, 81]],
        [[5, 81]],
    ]
    assert [rungs[0][0] for rungs in tables["tables"]["243"]["ceil"]] == [243, 98, 41, 18, 9, 6]
    assert [n for n, _ in tables["float"]["brackets"]] == [81, 34, 15, 8, 5]
    first = {(row["eta"], row["straight_on"], row["resume"]): row for row in tables["first"]}
    for eta, time, start in ((3, 13, 9), (4, 341, 256)):
        assert first[eta, False, False]["least"] == first[eta, False, False]["most"] == time
        assert first[eta, False, True]["least"] == first[eta, False, True]["most"] == start
        assert first[eta, True, False]["most"] <= time
