"""A study of version 0.1, whose journal has other words, is read and goes on."""

from __future__ import annotations

import pytest

import hbsim
from hbsim.errors import HbsimWarning

JOURNAL = """\
{"n":0,"e":"study","version":1,"spec":{"study":"a07df353f47c298a","train":"train.py:train","sha256":\
"f7587a8703bba827ea0abe3c6abe9fa20db1fa25ca94f5ab2deb65a2e09547fd","space":{"parameters":[{"name":"l\
r","type":"real","low":0.001,"high":0.1,"log":true,"default":0.01},{"name":"depth","type":"int","low\
":1,"high":4,"log":false,"default":3}]},"scheduler":{"type":"fifo","max_t":3,"mode":"max","num_trial\
s":2,"retries":0,"seed":1,"resource_type":"int"},"seed":0,"searcher":"random","search_options":{},"l\
imit":null,"time_attr":"epoch","reward_attr":"score","until_return":false,"constants":{}},"crc":"447\
575ef"}
{"n":1,"e":"start","t":0.000392,"worker":0,"job":0,"trial":0,"bracket":0,"start":0,"stop":3,"attempt\
":0,"point":[0.8358885923155723,0.5005482375339771],"crc":"91afa244"}
{"n":2,"e":"rows","t":0.017858,"job":0,"rows":[[0.017629,0.000241,1.0,{"score":0.14089592718975574}]\
],"crc":"b21362f5"}
{"n":3,"e":"gone","t":0.019965,"job":0,"begun":0.017388,"seconds":{"load":0.0,"save":0.0,"wait":6.3e\
-05,"start":0.016734,"exit":0.001677},"crc":"603d94cd"}
{"n":4,"e":"close","t":0.023418,"why":"time_out","crc":"42a7a55e"}
"""
TRAIN = """
import hbsim


@hbsim.args(lr=hbsim.Real(1e-3, 1e-1, log=True), depth=hbsim.Int(1, 4), noise=0.0)
def train(args, reporter):
    for epoch in range(1, 4):
        reporter(epoch=epoch, score=args.lr * args.depth * epoch)
"""


@pytest.fixture
def study(tmp_path):
    folder = tmp_path / "exp"
    (folder / "trials").mkdir(parents=True)
    (folder / "journal.jsonl").write_text(JOURNAL, "utf-8")
    (tmp_path / "train.py").write_text(TRAIN, "utf-8")
    return folder


def test_it_is_read_in_the_words_of_today(study):
    result = hbsim.load(study)
    assert (result.spec.metric, result.why) == ("score", "max_time")
    assert result.reports["value"].to_list() == [0.14089592718975574]
    assert repr(result) == f"<RunResult in {study}: 1 trials, best score 0.140896, max_time>"


def test_it_goes_on(study):
    scheduler = hbsim.make_scheduler("fifo", max_t=3, num_trials=2, seed=1)
    train = f"{study.parent / 'train.py'}:train"
    with pytest.warns(HbsimWarning, match="has changed since the study began"):
        result = hbsim.run(
            train, scheduler, workers=1, folder=study, metric="score", resume=True, progress="none"
        )
    assert (result.summary()["completed"], result.why) == (2, "done")
