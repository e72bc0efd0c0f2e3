"""Searchers by hand, of the script's own, and in schedulers."""

import hbsim as at


@at.args(x=at.Int(0, 99), y=at.Choice("low", "high"))
def train_fn(args, reporter):
    reporter(accuracy=1 - abs(args.x - 70) / 100 - (args.y == "low") / 10)


# In a loop.
searcher = at.searcher.RandomSearcher(train_fn.cs)
assert searcher.get_config() == {"x": 50, "y": "low"}  # the default
for _ in range(10):
    config = searcher.get_config()
    searcher.register_pending(config)
    searcher.update(config, reward=config["x"] / 100, accuracy=config["x"] / 100, done=True)
best = searcher.get_best_config()
assert searcher.get_best_reward() == searcher.get_reward(best) == best["x"] / 100
assert searcher.is_best(best)
assert searcher.get_best_config_reward() == (best, best["x"] / 100)
print(searcher)


@at.args(a=at.Choice(0, 1, 2), b=at.Choice("x", "y", "z"))
def small(args, reporter):
    reporter(accuracy=args.a / 10)


grid = at.searcher.GridSearcher(small.cs)
assert len(grid) == 9
configs = [grid.get_config() for _ in range(9)]
assert len({(config["a"], config["b"]) for config in configs}) == 9

# The model-based one chooses among configurations that are valid.
pool = [config for config in (searcher.get_config() for _ in range(60)) if config["x"] % 2 == 0]
bayesopt = at.searcher.BayesOptSearcher(train_fn.cs, lazy_configs=pool, kappa=1.0)

scheduler = at.scheduler.FIFOScheduler(
    train_fn,
    searcher=bayesopt,
    resource={"num_cpus": 1, "num_gpus": 0},
    num_trials=12,
    reward_attr="accuracy",
)
scheduler.run()
scheduler.join_jobs()
assert scheduler.searcher is bayesopt
assert all(config in pool for config in scheduler.config_history.values())
assert abs(bayesopt.get_best_reward() - scheduler.get_best_reward()) < 1e-9
assert bayesopt.get_best_config() in pool


# One of the script's own.
class Up(at.searcher.BaseSearcher):
    def __init__(self, configspace):
        super().__init__(configspace)
        self.x = 0
        self.updates = []

    def get_config(self, **kwargs):
        self.x += 10
        return {"x": self.x, "y": "high"}

    def update(self, config, reward, **kwargs):
        super().update(config, reward, **kwargs)
        self.updates.append((config["x"], kwargs["accuracy"]))


own = Up(train_fn.cs)
scheduler = at.scheduler.FIFOScheduler(
    train_fn, searcher=own, num_trials=5, reward_attr="accuracy", checkpoint="own"
)
scheduler.run()
scheduler.join_jobs()
assert sorted(config["x"] for config in scheduler.config_history.values()) == [10, 20, 30, 40, 50]
assert {x for x, _ in own.updates} == {10, 20, 30, 40, 50}

# By name.
for name, trials in (("grid", 9), ("random", 4)):
    scheduler = at.scheduler.FIFOScheduler(
        small, searcher=name, num_trials=trials, reward_attr="accuracy", checkpoint=name
    )
    scheduler.run()
    scheduler.join_jobs()
    assert len(scheduler.config_history) == trials
    assert scheduler.searcher.get_best_config() in scheduler.config_history.values()
    assert abs(scheduler.searcher.get_best_reward() - scheduler.get_best_reward()) < 1e-9
