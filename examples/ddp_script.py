r"""An MLP on scikit-learn's digits, trained by the processes that torchrun starts: a script to be tuned.

    hbsim run --command "torchrun --nproc-per-node 2 examples/ddp_script.py --lr {lr} --epochs {max_t}" \
      --param lr=real:1e-4:1e-1:log --scheduler promotion --max-t 9 --num-trials 9 --num-gpus 2

Needs ``pip install -e '.[examples]'``. Without GPUs leave out ``--num-gpus``: it trains on CPUs by gloo. It
also runs without a study: ``torchrun --nproc-per-node 2 examples/ddp_script.py``.
"""

from __future__ import annotations

import argparse
import os

import torch
import torch.distributed as dist
from sklearn.datasets import load_digits
from torch import nn
from torch.nn.parallel import DistributedDataParallel

import hbsim

HELD_OUT = 500  # images for validation

parser = argparse.ArgumentParser()
parser.add_argument("--lr", type=float, default=0.01)
parser.add_argument("--epochs", type=int, default=9)
options = parser.parse_args()

cuda = torch.cuda.is_available()
device = torch.device("cuda", int(os.environ["LOCAL_RANK"])) if cuda else torch.device("cpu")
dist.init_process_group("nccl" if cuda else "gloo")
rank, ranks = dist.get_rank(), dist.get_world_size()
torch.manual_seed(0)
model = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10)).to(device)
optimizer = torch.optim.Adam(model.parameters(), lr=options.lr)
first, file = 0, hbsim.checkpoint_dir() / "state.pt"
if file.exists():  # in every rank
    state = torch.load(file, map_location=device, weights_only=True)
    first = state["epoch"]
    model.load_state_dict(state["model"])
    optimizer.load_state_dict(state["optimizer"])

images, labels = (torch.tensor(part, device=device) for part in load_digits(return_X_y=True))
images = images.float() / 16
parallel = DistributedDataParallel(model)
for epoch in range(first, options.epochs):
    shuffled = torch.randperm(len(images) - HELD_OUT, generator=torch.Generator().manual_seed(epoch))
    for batch in (shuffled + HELD_OUT)[rank::ranks].split(32):
        optimizer.zero_grad()
        nn.functional.cross_entropy(parallel(images[batch]), labels[batch]).backward()
        optimizer.step()
    with torch.no_grad():
        accuracy = (model(images[:HELD_OUT]).argmax(dim=1) == labels[:HELD_OUT]).float().mean()
    if rank == 0:
        state = {"epoch": epoch + 1, "model": model.state_dict(), "optimizer": optimizer.state_dict()}
        torch.save(state, file)
    hbsim.report(epoch=epoch + 1, accuracy=accuracy)  # in every rank: rank 0 reports, all leave together
dist.destroy_process_group()
