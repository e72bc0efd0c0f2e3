"""A script with argparse, tuned by its command line: gradient descent on a bowl, with a checkpoint.

hbsim run --command "python examples/argparse_script.py --lr {lr} --momentum {momentum} --epochs {max_t}" \
    --param lr=real:1e-3:1:log --param momentum=real:0:0.95 --metric loss --mode min \
    --scheduler promotion --max-t 27 --num-trials 20

It also runs alone: python examples/argparse_script.py --lr 0.1
"""

import argparse
import json

import hbsim


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--lr", type=float, required=True)
    parser.add_argument("--momentum", type=float, default=0.9)
    parser.add_argument("--epochs", type=int, default=9)
    args = parser.parse_args()

    checkpoint = hbsim.checkpoint_dir() / "state.json"
    epoch, place, speed = json.loads(checkpoint.read_text()) if checkpoint.exists() else (0, 3.0, 0.0)
    print(f"from epoch {epoch} with {args}")
    while epoch < args.epochs:
        speed = args.momentum * speed - args.lr * place
        place += speed
        epoch += 1
        # Before the report: if the trial is paused there, the script does not go on after it.
        checkpoint.write_text(json.dumps([epoch, place, speed]))
        hbsim.report(epoch=epoch, loss=place**2)


if __name__ == "__main__":
    main()
