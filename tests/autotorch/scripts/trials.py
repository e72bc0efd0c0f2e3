"""What a trial knows and keeps, in a study of type promotion; and the managers of rungs."""

import hbsim as at


@at.args(lr=at.Real(0.0, 1.0), epochs=9)
def train_fn(args, reporter):
    assert args.task_id == args.trial
    assert args.gpu_ids == []
    if args.lr > 0.9:
        reporter(epoch=1, accuracy=0.0)
        reporter(done=True)
        return
    state = reporter.get_dict() if reporter.has_dict() else {"epoch": 0}
    assert state["epoch"] == getattr(args, "resume_from", 0)
    for epoch in range(state["epoch"] + 1, args.epochs + 1):
        reporter.save_dict(epoch=epoch, weights=[args.lr] * 3)
        reporter(epoch=epoch, accuracy=args.lr * epoch / 10)


scheduler = at.scheduler.HyperbandScheduler(
    train_fn,
    resource={"num_cpus": 1, "num_gpus": 0},
    num_trials=12,
    time_attr="epoch",
    reward_attr="accuracy",
    max_t=9,
    grace_period=1,
    reduction_factor=3,
    type="promotion",
)
scheduler.run()
scheduler.join_jobs()
assert scheduler.num_finished_tasks == 12
history = scheduler.training_history
assert all(report["bracket"] == 0 for reports in history.values() for report in reports)
assert all(reports[-1]["done"] for reports in history.values())
assert any(reports[-1].get("terminated") for reports in history.values())
assert max(report["epoch"] for reports in history.values() for report in reports) == 9

state = scheduler.get_best_state()
if state is not None:  # a simulation trains nothing
    assert state["epoch"] == 9
    assert state["weights"][0] == scheduler.get_best_config()["lr"]

# The rungs as they stand now.
terminator = scheduler.terminator
assert isinstance(terminator, at.scheduler.HyperbandPromotion_Manager)
print(terminator)
print("best:", scheduler.get_best_reward())
