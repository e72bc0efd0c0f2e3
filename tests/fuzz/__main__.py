"""``python -m tests.fuzz``: bad input for all readers, as much as wanted."""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.fuzz.readers import READERS
from tests.fuzz.run import BAD, REFUSED, TAKEN, Tally, outcome, run, seeded

COLUMNS = (TAKEN, REFUSED, *BAD)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--count", type=int, default=2000, help="cases of all readers together")
    parser.add_argument(
        "--reader", action="append", choices=sorted(READERS), help="only this one; repeatable"
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--limit", type=float, default=20.0, help="seconds that a case may take")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes at once")
    parser.add_argument("--case", type=int, help="run this case of one reader here, and show what it raises")
    parser.add_argument(
        "--show", type=int, default=3, help="how many different findings of a reader are shown"
    )
    wanted = parser.parse_args()
    readers = wanted.reader or list(READERS)
    if wanted.case is not None:
        return one(readers[0], wanted.seed, wanted.case)
    each = -(-wanted.count // len(readers))
    batch = max(1, min(500, -(-each // wanted.jobs)))
    tallies = {name: Tally(name) for name in readers}
    with ThreadPoolExecutor(wanted.jobs) as pool:
        parts = [
            pool.submit(run, name, first, min(batch, each - first), wanted.seed, wanted.limit)
            for first in range(0, each, batch)
            for name in readers
        ]
        for part in parts:
            found = part.result()
            tallies[found.reader].counts.update(found.counts)
            tallies[found.reader].bad += found.bad
    return show(list(tallies.values()), wanted.show)


def one(name: str, seed: int, number: int) -> int:
    folder = Path(tempfile.mkdtemp(prefix="hbsim-fuzz-"))
    reader = READERS[name](folder)
    given = reader.case(seeded(name, seed, number))
    print(f"{folder}\n{str(given)[:5000]}", flush=True)
    os.chdir(folder)
    print(*outcome(reader, given), sep="\n")
    return 0


def show(tallies: list[Tally], most: int) -> int:
    rows = [("reader", "cases", *COLUMNS)]
    total: Counter[str] = Counter()
    for tally in tallies:
        total.update(tally.counts)
        rows.append((tally.reader, tally.counts.total(), *(tally.counts[kind] for kind in COLUMNS)))
        different: dict[str, int] = {}
        for number, kind, text in tally.bad:
            last = text.strip().splitlines()[-1] if text.strip() else ""
            place = [line for line in text.splitlines() if line.startswith("  File")][-1:]
            different.setdefault(f"{kind}: {last[:100]} {place}", number)
        for text, number in sorted(different.items(), key=lambda pair: pair[1])[:most]:
            first = next(text for at, _, text in tally.bad if at == number)
            print(f"--- {tally.reader}, case {number} ({len(tally.bad)} in all): {text[:200]}\n{first}\n")
    rows.append(("all", total.total(), *(total[kind] for kind in COLUMNS)))
    for name, *numbers in rows:
        print(f"{name:<18}" + "".join(f"{number:>11}" for number in numbers))
    return int(any(total[kind] for kind in BAD))


if __name__ == "__main__":
    sys.exit(main())
