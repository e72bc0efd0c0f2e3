"""A Hydra script, tuned by its command line: gradient descent on a bowl, with a checkpoint.

cd examples
hbsim run --command "python hydra_script.py lr={lr} model.width={model.width} epochs={max_t}" \
    --param lr=real:1e-3:1:log --param model.width=int:1:64 --metric loss --mode min \
    --scheduler promotion --max-t 9 --num-trials 9

It also runs alone: python hydra_script.py lr=0.2
"""

import json
import logging

import hydra
from omegaconf import DictConfig

import hbsim

log = logging.getLogger(__name__)


@hydra.main(version_base=None, config_path="hydra_config", config_name="config")
def main(config: DictConfig) -> None:
    checkpoint = hbsim.checkpoint_dir() / "state.json"
    epoch, place = json.loads(checkpoint.read_text()) if checkpoint.exists() else (0, 3.0)
    log.info("from epoch %d with %s", epoch, config)
    while epoch < config.epochs:
        place -= config.lr * place
        epoch += 1
        # Before the report: if the trial is paused there, the script does not go on after it.
        checkpoint.write_text(json.dumps([epoch, place]))
        hbsim.report(epoch=epoch, loss=place**2 + 1 / config.model.width)


if __name__ == "__main__":
    main()
