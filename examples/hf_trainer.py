r"""A tiny BERT with Hugging Face Trainer; trials that are promoted go on from their checkpoint.

    hbsim run examples/hf_trainer.py:train_fn --scheduler promotion --max-t 9 --trials 9

Needs ``pip install -e '.[examples,transformers]'``. Nothing is downloaded: the model is made from a
configuration, and the task is made up. Of two kinds of symbols, which one is more often in the sequence?
"""

from __future__ import annotations

import torch
from torch.utils.data import Dataset
from transformers import BertConfig, BertForSequenceClassification, Trainer, TrainingArguments, set_seed

import hbsim
from hbsim.integrations.transformers import ReporterCallback, resume_from_checkpoint

EPOCHS = 9
SYMBOLS, LENGTH = 4, 12


class Sequences(Dataset):
    """Random sequences; the label says whether symbol 1 is there more often than symbol 0."""

    def __init__(self, count: int, seed: int) -> None:
        generator = torch.Generator().manual_seed(seed)
        self.symbols = torch.randint(SYMBOLS, (count, LENGTH), generator=generator)
        counts = [(self.symbols == symbol).sum(dim=1) for symbol in (0, 1)]
        self.labels = (counts[1] > counts[0]).long()

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index):
        return {"input_ids": self.symbols[index], "labels": self.labels[index]}


def accuracy(prediction):
    return {"accuracy": (prediction.predictions.argmax(axis=-1) == prediction.label_ids).mean()}


@hbsim.args(
    lr=hbsim.Real(1e-4, 1e-1, log=True),
    warmup=hbsim.Int(0, 20),
    dropout=hbsim.Real(0.0, 0.3),
    batch_size=hbsim.Choice(16, 32),
)
def train_fn(args, reporter):
    set_seed(args.seed)  # before the model is built: its first weights are drawn there
    config = BertConfig(
        vocab_size=SYMBOLS,
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=LENGTH,
        hidden_dropout_prob=args.dropout,
        num_labels=2,
    )
    options = TrainingArguments(
        reporter.folder,
        num_train_epochs=EPOCHS,
        learning_rate=args.lr,
        warmup_steps=args.warmup,
        per_device_train_batch_size=args.batch_size,
        per_device_eval_batch_size=256,
        eval_strategy="epoch",
        save_strategy="no",  # hbsim keeps the checkpoint of a trial that pauses
        logging_strategy="no",
        report_to=[],
        dataloader_pin_memory=False,
        disable_tqdm=True,
        seed=args.seed % 2**32,
    )
    trainer = Trainer(
        BertForSequenceClassification(config),
        options,
        train_dataset=TRAIN,
        eval_dataset=VALIDATE,
        compute_metrics=accuracy,
    )
    trainer.add_callback(ReporterCallback(trainer, reporter, metric="eval_accuracy", reward_attr="accuracy"))
    trainer.train(resume_from_checkpoint=resume_from_checkpoint(reporter))


TRAIN, VALIDATE = Sequences(512, seed=0), Sequences(256, seed=1)
torch.optim.AdamW(torch.nn.Linear(1, 1).parameters())  # the first one of a process loads much of torch
