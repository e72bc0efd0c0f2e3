r"""A small language model of characters on the text of Python's manual: the training function behind `chars`.

    hbsim record examples/char_model.py:train_fn --trials 200 --num-cpus 1 \
        --metric val_bits --mode min --test-metric test_bits --out curves.parquet

The text is that of `help()`, which ships with Python (`pydoc_data.topics`): its last tenths validate and
test. The unit of the resource is three batches of 16 pieces of 32 characters. `process_seconds` is CPU time,
so it can be recorded on a machine that has other work.
"""

from __future__ import annotations

import math
import time
from pydoc_data.topics import topics

import torch
from torch import nn

import hbsim

UNITS, BATCHES = 81, 3
PIECE, BATCH = 32, 16  # characters, pieces
MEASURED = 32  # pieces that validate, and that test


def split_text() -> list[torch.Tensor]:
    """Return the characters of the training, validation and test text, as numbers below 128."""
    text = "\n".join(topics[name] for name in sorted(topics))
    numbers = torch.tensor(list(text.encode("ascii", "replace")))
    return list(numbers.split([len(numbers) - 2 * (len(numbers) // 10), *2 * [len(numbers) // 10]]))


def pieces(text: torch.Tensor, places: torch.Tensor) -> torch.Tensor:
    """Return the pieces that begin at some places, each with the character that follows it."""
    return text[places[:, None] + torch.arange(PIECE + 1)]


class Recurrent(nn.Module):
    """GRU layers over characters."""

    def __init__(self, width: int, depth: int, dropout: float) -> None:
        super().__init__()
        self.embed = nn.Embedding(128, width)
        self.layers = nn.GRU(width, width, depth, batch_first=True, dropout=dropout if depth > 1 else 0.0)
        self.drop, self.out = nn.Dropout(dropout), nn.Linear(width, 128)

    def forward(self, characters: torch.Tensor) -> torch.Tensor:
        return self.out(self.drop(self.layers(self.embed(characters))[0]))


class Attention(nn.Module):
    """Layers of attention over the characters so far."""

    def __init__(self, width: int, depth: int, dropout: float) -> None:
        super().__init__()
        self.embed, self.place = nn.Embedding(128, width), nn.Embedding(PIECE, width)
        layer = nn.TransformerEncoderLayer(width, 4, 2 * width, dropout, batch_first=True, norm_first=True)
        self.layers = nn.TransformerEncoder(layer, depth, enable_nested_tensor=False)
        self.out = nn.Linear(width, 128)
        self.mask = nn.Transformer.generate_square_subsequent_mask(PIECE)

    def forward(self, characters: torch.Tensor) -> torch.Tensor:
        seen = self.embed(characters) + self.place(torch.arange(PIECE))
        return self.out(self.layers(seen, mask=self.mask, is_causal=True))


def loss_of(model: nn.Module, batch: torch.Tensor) -> torch.Tensor:
    """Return the mean cross-entropy of each next character, in bits."""
    logits = model(batch[:, :-1])
    return nn.functional.cross_entropy(logits.flatten(0, 1), batch[:, 1:].flatten()) / math.log(2)


@torch.no_grad()
def measure(model: nn.Module) -> list[float]:
    """Return the bits a character of the validation and the test text."""
    model.eval()
    measured = [loss_of(model, batch).item() for batch in HELD_OUT]
    model.train()
    return measured


@hbsim.args(
    kind=hbsim.Choice("gru", "attention"),
    lr=hbsim.Real(1e-4, 0.3, log=True),
    optimizer=hbsim.Choice("adam", "sgd"),
    width=hbsim.Choice(16, 32, 64, 96),
    depth=hbsim.Int(1, 2),
    dropout=hbsim.Real(0.0, 0.5),
    clip=hbsim.Real(0.1, 1000.0, log=True),
)
def train_fn(args, reporter):
    """Train for 81 units of three batches; report bits a character of held-out text after each."""
    started = time.process_time()
    torch.manual_seed(args.seed)
    model = {"gru": Recurrent, "attention": Attention}[args.kind](args.width, args.depth, args.dropout)
    if args.optimizer == "adam":
        optimizer: torch.optim.Optimizer = torch.optim.Adam(model.parameters(), lr=args.lr)
    else:
        optimizer = torch.optim.SGD(model.parameters(), lr=10 * args.lr, momentum=0.9)
    for unit in range(1, UNITS + 1):
        for _ in range(BATCHES):
            optimizer.zero_grad()
            loss_of(model, pieces(TEXT[0], torch.randint(len(TEXT[0]) - PIECE, (BATCH,)))).backward()
            nn.utils.clip_grad_norm_(model.parameters(), args.clip)
            optimizer.step()
        val_bits, test_bits = measure(model)
        seconds = time.process_time() - started
        reporter(epoch=unit, val_bits=val_bits, test_bits=test_bits, process_seconds=seconds)


TEXT = split_text()
HELD_OUT = [pieces(text, torch.linspace(0, len(text) - PIECE - 1, MEASURED).long()) for text in TEXT[1:]]
torch.optim.Adam(nn.Linear(1, 1).parameters(), lr=0.1)  # the first one of a process loads much of torch
