"""A study in steps: by numbers of trials, one by one, with configurations of one's own, and from a state."""

import hbsim as at


@at.args(lr=at.Real(1e-3, 1e-1, log=True), wd=at.Real(1e-4, 1e-2), epochs=4)
def train_fn(args, reporter):
    accuracy = 0.0
    for epoch in range(1, args.epochs + 1):
        accuracy = (1 - args.wd) * epoch / 5 - abs(args.lr - 0.01)
        reporter(epoch=epoch, accuracy=accuracy, lr=args.lr, wd=args.wd)
        if epoch == 3 and args.wd > 0.0099:
            reporter.terminate()
    return accuracy


scheduler = at.scheduler.FIFOScheduler(
    train_fn,
    resource={"num_cpus": 1, "num_gpus": 0},
    time_attr="epoch",
    reward_attr="accuracy",
)
assert scheduler.metadata["stop_criterion"] == {"time_limits": None, "max_reward": 1.0}
assert scheduler.metadata["resources_per_trial"] == {"num_cpus": 1, "num_gpus": 0}
assert list(scheduler.metadata["search_space"]) == ["lr", "wd"]
assert scheduler.num_finished_tasks == 0
assert scheduler.training_history == scheduler.config_history == {}

# As many trials as are scheduled, and no more.
scheduler.schedule_next()
scheduler.schedule_next()
scheduler.join_jobs()
assert scheduler.num_finished_tasks == 2

# A configuration of one's own, as a task.
resources = at.scheduler.resource.DistributedResource(num_cpus=1, num_gpus=0)
config = {"lr": 0.01, "wd": 1e-4}
task = at.Task(train_fn, {"args": {"epochs": 4}, "config": config}, resources)
assert task.args["args"]["task_id"] == task.task_id
scheduler.add_job(task)
scheduler.add_task({"lr": 0.1, "wd": 1e-2})
scheduler.join_tasks()
assert scheduler.num_finished_tasks == 4
assert abs(scheduler.config_history[2]["lr"] - 0.01) < 1e-9
assert abs(scheduler.config_history[3]["wd"] - 1e-2) < 1e-9

# Up to a number of trials, and for a time.
scheduler.run(num_trials=6)
scheduler.join_jobs()
assert scheduler.num_finished_tasks == 6
scheduler.run(num_trials=6, time_out=60)
assert scheduler.num_finished_tasks == 6

# What was reported.
history = scheduler.training_history
assert list(history) == list(scheduler.config_history) == [0, 1, 2, 3, 4, 5]
assert [report["epoch"] for report in history[0]][:4] == [1, 2, 3, 4]
assert all(report["lr"] == scheduler.config_history[0]["lr"] for report in history[0])
assert history[5][-1]["done"] is True
assert len(history[3]) != 4  # it left at epoch 3
assert scheduler.result.failures.is_empty()
best = max(report["accuracy"] for reports in history.values() for report in reports)
assert scheduler.get_best_reward() == best
assert scheduler.get_best_config() == scheduler.config_history[scheduler.get_best_task_id()]
scheduler.get_training_curves(filename="curves.png")

# One more training with the best configuration, here; and of a task.
accuracy = scheduler.run_with_config(scheduler.get_best_config())
assert 0 < accuracy < 1
assert abs(scheduler.run_job(task) - 0.8 * (1 - 1e-4)) < 1e-9

# The state in a file.
at.save(scheduler.state_dict(), "checkpoint.ag")
assert at.load("checkpoint.ag") == scheduler.state_dict()
assert at.load(scheduler.save("state.json")) == scheduler.state_dict()
scheduler.shutdown()
at.done()
print("trials:", scheduler.num_finished_tasks)
