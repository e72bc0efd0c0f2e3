"""One trial, as Syne Tune's local backend starts it: a script of its own."""

from __future__ import annotations

import argparse

from syne_tune import Reporter

from benchmarks.peers.local_training import rows

if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--lr", type=float, required=True)
    parser.add_argument("--reports", type=int, required=True)
    chosen, _ = parser.parse_known_args()  # and the folder for checkpoints
    report = Reporter()
    for row in rows(chosen.lr, chosen.reports):
        report(**row)
