"""Drive the scheduler core from a loop of your own: no simulator, no executor.

python examples/own_loop.py
"""

from hbsim.core import Report, Verdict, make_scheduler


def train(trial, start, stop):
    """Stand in for training `trial` from `start` to `stop` epochs; return its accuracy there."""
    quality = (trial * 37 % 100) / 100
    return quality * (1 - 0.5 / stop)


scheduler = make_scheduler("promotion", max_t=27, grace_period=1, reduction_factor=3, num_trials=27, seed=0)
while (job := scheduler.ask()) is not None:
    start, stop = job.start, job.stop
    while stop is not None:
        accuracy = train(job.trial, start, stop)
        decision = scheduler.tell(Report(job.trial, stop, accuracy))
        if decision.verdict is Verdict.COMPLETE:
            print(f"trial {job.trial} completed with accuracy {accuracy:.3f}")
        start, stop = stop, decision.stop
    for trial in scheduler.dropped():
        print(f"trial {trial} can never go on: its checkpoint can go")
print(scheduler.explain(0).text)
