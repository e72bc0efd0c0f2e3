r"""An MLP on scikit-learn's digits, trained by two processes a trial: a training function that starts them.

    hbsim run examples/ddp_function.py:train_fn --scheduler promotion --max-t 9 --num-trials 9 --num-gpus 2

Needs ``pip install -e '.[examples]'``. Without GPUs leave out ``--num-gpus``: it trains on CPUs by gloo.
"""

from __future__ import annotations

import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from sklearn.datasets import load_digits
from torch import nn
from torch.nn.parallel import DistributedDataParallel

import hbsim

RANKS = 2  # GPUs of a trial
HELD_OUT = 500  # images for validation


def train_rank(rank, args, reporter):
    """Train in one of the processes; `hbsim` has given the trial a free port, in MASTER_PORT."""
    device = torch.device("cuda", rank) if torch.cuda.is_available() else torch.device("cpu")
    dist.init_process_group("nccl" if device.type == "cuda" else "gloo", rank=rank, world_size=RANKS)
    torch.manual_seed(args.seed)
    model = nn.Sequential(nn.Linear(64, args.width), nn.ReLU(), nn.Linear(args.width, 10)).to(device)
    optimizer = torch.optim.Adam(model.parameters(), lr=args.lr)
    epoch = 0

    @reporter.on_pause
    def checkpoint():  # what rank 0 returns is saved
        return {"epoch": epoch, "model": model.state_dict(), "optimizer": optimizer.state_dict()}

    saved = reporter.load()  # in every rank
    if saved is not None:
        epoch = saved["epoch"]
        model.load_state_dict(saved["model"])
        optimizer.load_state_dict(saved["optimizer"])

    images, labels = (torch.tensor(part, device=device) for part in load_digits(return_X_y=True))
    images = images.float() / 16
    parallel = DistributedDataParallel(model)
    while epoch < 9:
        shuffled = torch.randperm(len(images) - HELD_OUT, generator=torch.Generator().manual_seed(epoch))
        for batch in (shuffled + HELD_OUT)[rank::RANKS].split(32):
            optimizer.zero_grad()
            nn.functional.cross_entropy(parallel(images[batch]), labels[batch]).backward()
            optimizer.step()
        epoch += 1
        with torch.no_grad():
            right = model(images[:HELD_OUT]).argmax(dim=1) == labels[:HELD_OUT]
        reporter(epoch=epoch, accuracy=right.float().mean())  # in every rank: all leave together
    dist.destroy_process_group()


@hbsim.args(lr=hbsim.Real(1e-4, 1e-1, log=True), width=hbsim.Int(16, 128, log=True))
def train_fn(args, reporter):
    mp.spawn(train_rank, args=(args, reporter), nprocs=RANKS)


if __name__ == "__main__":
    scheduler = hbsim.make_scheduler("promotion", max_t=9, num_trials=9)
    resource = {"num_gpus": RANKS if torch.cuda.is_available() else 0}
    print(hbsim.run(train_fn, scheduler, resource=resource).best)
