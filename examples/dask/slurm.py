"""Run a study on nodes of a SLURM cluster: a Dask worker a job, which hbsim fills with trials.

    pip install -e ".[remote]" dask-jobqueue
    python examples/dask/slurm.py --jobs 4

Start it where `sbatch` works and compute nodes can connect to: on a login node, or in a job of its own. The
folder that it is started in, and this Python, have to be there on all nodes. It ends with the study: so do
its jobs. What your cluster needs beside (partition, account, network interface, modules to load) belongs into
~/.config/dask/jobqueue.yaml, or into SLURMCluster below. What to check when it does not start: README.md.
"""

from __future__ import annotations

import argparse
import subprocess
from pathlib import Path

from dask_jobqueue import SLURMCluster
from distributed import Security

import hbsim

TRAIN = f"{Path(__file__).parent / 'train.py'}:train_fn"


def main() -> None:
    """Start the jobs, run the study on them, end the jobs."""
    options = parsed()
    certificate, key = make_certificate(Path("certs"))
    roles = {f"tls_{role}_cert": certificate for role in ("client", "scheduler", "worker")}
    roles |= {f"tls_{role}_key": key for role in ("client", "scheduler", "worker")}
    with SLURMCluster(
        cores=options.cores,
        processes=1,  # hbsim divides a node among trials itself
        memory=options.memory,
        walltime=options.walltime,
        job_extra_directives=[f"--gres=gpu:{options.gpus}"] if options.gpus else [],
        log_directory="slurm-logs",
        security=Security(require_encryption=True, tls_ca_file=certificate, **roles),
        scheduler_options={"dashboard": False, "dashboard_address": "127.0.0.1:0"},
        worker_extra_args=["--no-dashboard"],
    ) as cluster:
        # Neither more nor fewer: Dask does not see trials, and would end their jobs. As long as it adapts, it
        # submits another job for one that came to its time limit.
        cluster.adapt(minimum_jobs=options.jobs, maximum_jobs=options.jobs)
        print(f"the Dask scheduler is at {cluster.scheduler_address}", flush=True)
        scheduler = hbsim.make_scheduler(
            "promotion", mode="min", max_t=27, num_trials=options.trials, loss_retries=3
        )
        result = hbsim.run(
            options.train,
            scheduler,
            metric="mse",
            folder=options.out,
            resume=options.resume,
            executor=hbsim.Dask(
                scheduler_address=cluster.scheduler_address,
                tls_ca=certificate,
                tls_cert=certificate,
                tls_key=key,
            ),
        )
    print("best:", result.summary()["best"], result.best_config)


def parsed() -> argparse.Namespace:
    """Return the options of the command line."""
    parser = argparse.ArgumentParser(description="A study on nodes of a SLURM cluster.")
    parser.add_argument("train", nargs="?", default=TRAIN, help="FILE.py:NAME of the training function")
    parser.add_argument("--jobs", type=int, default=2, help="how many jobs (nodes) train at the same time")
    parser.add_argument("--cores", type=int, default=4, help="cores of a job")
    parser.add_argument("--gpus", type=int, default=0, help="GPUs of a job")
    parser.add_argument("--memory", default="8GB", help="memory of a job")
    parser.add_argument("--walltime", default="04:00:00", help="time limit of a job; a study may take longer")
    parser.add_argument("--trials", type=int, default=30)
    parser.add_argument("--out", default="exp", help="the study's folder")
    parser.add_argument("--resume", action="store_true", help="go on with the study in --out")
    return parser.parse_args()


def make_certificate(folder: Path) -> tuple[str, str]:
    """Return the files of a certificate and its key; by these the study, the scheduler and the workers know
    each other."""
    certificate, key = folder.absolute() / "cert.pem", folder.absolute() / "key.pem"
    if not key.exists():
        folder.mkdir(mode=0o700, exist_ok=True)
        words = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 365 -subj /CN=hbsim"
        subprocess.run(["openssl", *words.split(), "-keyout", key, "-out", certificate], check=True)
    return str(certificate), str(key)


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt as error:  # Ctrl-C, or SIGTERM as SLURM sends it; the jobs have been cancelled
        raise SystemExit(str(error)) from None
