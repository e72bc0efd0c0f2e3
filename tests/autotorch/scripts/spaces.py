"""Spaces of all kinds, nested in each other, and a training function that is made of them."""

import hbsim as at

# Spaces by themselves.
depth = at.Int(lower=1, upper=6, default=2)
rate = at.Real(lower=1e-4, upper=1e-1, log=True)
print(depth, rate, at.space.Bool(), at.space.Categorical("relu", "tanh"))
assert depth.default == 2
assert depth.lower <= depth.rand <= depth.upper
layers = at.List(at.Int(8, 64), at.Choice("relu", "tanh"), "last")
assert len(layers.rand) == 3
assert layers.rand[1] in ("relu", "tanh")
head = at.Dict(width=at.Int(2, 4), bias=at.Bool(), kind="linear")
assert head.rand["kind"] == "linear"
assert head.default["width"] == 3


# Objects and functions.
@at.obj(lr=rate, momentum=at.Real(0.0, 0.99), nesterov=False)
class SGD:
    def __init__(self, lr, momentum, nesterov):
        self.lr, self.momentum, self.nesterov = lr, momentum, nesterov


@at.obj(lr=rate)
class Adam:
    def __init__(self, lr):
        self.lr = lr


@at.func(flip=at.Bool(), size=at.Choice(24, 32))
def transform(flip, size):
    return ("flip" if flip else "keep", size)


assert isinstance(SGD().rand.lr, float)
assert SGD(nesterov=True).init().nesterov is True
assert transform(size=48).default == ("keep", 48)


@at.args(
    depth=depth,
    layers=layers,
    head=head,
    optimizer=at.Choice(SGD(), Adam(), "none"),
    transform=transform(),
    epochs=3,
)
def train_fn(args, reporter):
    assert 1 <= args.depth <= 6
    assert args.layers[2] == "last"
    assert args.head["kind"] == "linear"
    assert args.transform[1] in (24, 32)
    lr = getattr(args.optimizer, "lr", 0.0)
    for epoch in range(1, args.epochs + 1):
        reporter(epoch=epoch, accuracy=min(0.9, lr * args.layers[0] * epoch))
    return args


# By hand, with a configuration.
config = at.searcher.RandomSearcher(train_fn.cs).get_config()
print(config)
args = train_fn(train_fn.args, config)
assert isinstance(args.optimizer, SGD.__wrapped__)
assert args.optimizer.lr == config["optimizer.0.lr"]
args = train_fn(train_fn.args, {**config, "optimizer.choice": 2, "layers.0": 9})
assert args.optimizer == "none"
assert args.layers[0] == 9

# What is set before the study.
train_fn.update(epochs=4, depth=3)
assert "depth" not in train_fn.kwspaces
assert train_fn.kwvars["epochs"] == train_fn.args.epochs == 4

scheduler = at.scheduler.HyperbandScheduler(
    train_fn,
    resource={"num_cpus": 1, "num_gpus": 0},
    num_trials=15,
    time_attr="epoch",
    reward_attr="accuracy",
    max_t=4,
    grace_period=1,
    reduction_factor=2,
)
scheduler.run()
scheduler.join_jobs()
every = {
    "layers.0",
    "layers.1",
    "head.width",
    "head.bias",
    "optimizer.choice",
    "transform.flip",
    "transform.size",
}
some = {0: {"optimizer.0.lr", "optimizer.0.momentum"}, 1: {"optimizer.1.lr"}, 2: set()}
for config in scheduler.config_history.values():
    assert set(config) == every | some[config["optimizer.choice"]]
best = scheduler.run_with_config(scheduler.get_best_config())
assert best.epochs == 4
print("best:", scheduler.get_best_config(), scheduler.get_best_reward())
