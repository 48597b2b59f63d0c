"""What firmware engineers ask of generated code: no warning, no undefined behavior, and a self-test that says PASS only where it should."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import lightgbm
import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))  # the modules beside this one, under importlib's import mode

from small_graphs import network

from sampan.edge.firmware import SelfTest, project_files, selftest_files
from sampan.edge.hosted import compile_hosted, run_hosted, write_sources
from sampan.edge.program import Program
from sampan.edge.quantizing import in_int8
from sampan.edge.reading import read_program
from sampan.edge.simplifying import simplify
from sampan.edge.source import Generated, Options, Schema, generate
from sampan.flavors.lightgbm import LightGBM

WARNINGS = ("conversion", "sign-conversion", "shadow", "cast-qual", "undef", "strict-prototypes", "missing-prototypes", "double-promotion")
STRICT = ("-std=c99", "-pedantic", "-Wall", "-Wextra", "-Werror", *(f"-W{each}" for each in WARNINGS), "-O1", "-ffp-contract=off")
CHECKED = "-fsanitize=undefined,address,float-cast-overflow"
SANITIZED = ("-std=c99", "-O1", "-g", CHECKED, "-fno-sanitize-recover=all", "-ffp-contract=off")
KINDS = ("trees", "trees, i16", "trees, fastest", "network", "network, int8")


def rows_of(rng: np.random.Generator) -> np.ndarray:
    """Draw rows of all magnitudes, and rows of nothing but hard values."""
    usual = rng.normal(size=(100, 18)) * 10.0 ** rng.integers(-5, 6, (100, 1))
    return np.concatenate([usual, rng.choice([0.0, -0.0, np.nan, np.inf, -np.inf, 3e38, 1e-45, -1], (100, 18))]).astype(np.float32)


@pytest.fixture(scope="module")
def programs() -> dict[str, tuple[Program, Options]]:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(500, 18)).astype(np.float32)
    x[rng.random(x.shape) < 0.1] = np.nan
    params = {"objective": "binary", "num_leaves": 8, "verbose": -1, "num_threads": 1}
    booster = lightgbm.train(params, lightgbm.Dataset(x, np.nansum(x, axis=1) > 0), 10)
    trees = simplify(read_program(LightGBM().to_onnx(booster, 18)))
    whole = simplify(read_program(network(rng)))
    return {
        "trees": (trees, Options()),
        "trees, i16": (trees, Options(leaves="i16")),
        "trees, fastest": (trees, Options(fastest=True)),
        "network": (whole, Options()),
        "network, int8": (in_int8(whole, np.nan_to_num(x)), Options()),
    }


def made(program: Program, options: Options) -> Generated:
    return generate(program, Schema("m", "v7", digest="b3:00"), options)


@pytest.mark.parametrize("kind", KINDS)
def test_generated_code_has_no_warning_and_no_undefined_behavior(
    programs: dict[str, tuple[Program, Options]], kind: str, tmp_path: Path
) -> None:
    generated = made(*programs[kind])
    write_sources(generated, tmp_path)
    for compiler in (["cc"], [sys.executable, "-m", "ziglang", "cc"]):
        subprocess.run([*compiler, *STRICT, "-c", "m.c", "-o", "m.o"], cwd=tmp_path, check=True)
    subprocess.run(["cc", "-x", "c++", "-std=c++11", "-Wall", "-Wextra", "-Werror", "-fsyntax-only", "m.h"], cwd=tmp_path, check=True)

    answers = run_hosted(compile_hosted(generated, tmp_path, flags=SANITIZED), rows_of(np.random.default_rng(1)), 1)

    assert (200, 1) == answers.shape
    assert '#define M_VERSION "v7"' in generated.header
    assert '#define M_DIGEST "b3:00"' in generated.header


@pytest.mark.parametrize("kind", ["trees", "network, int8"])
def test_a_self_test_passes_where_the_code_answers_as_it_did_and_fails_where_one_answer_differs(
    programs: dict[str, tuple[Program, Options]], kind: str, tmp_path: Path
) -> None:
    generated = made(*programs[kind])
    rows = rows_of(np.random.default_rng(2))[80:120]
    answers = run_hosted(compile_hosted(generated, tmp_path), rows, 1)

    def told(expected: np.ndarray) -> tuple[int, str]:
        for name, text in selftest_files(generated, SelfTest(expected, rows)).items():
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_text(text)
        sources = ["m.c", "m_selftest.c", "examples/selftest/main.c"]
        subprocess.run(["cc", *STRICT, "-I.", *sources, "-o", "check", "-lm"], cwd=tmp_path, check=True)
        done = subprocess.run([tmp_path / "check"], capture_output=True, text=True, check=False)
        return done.returncode, done.stdout

    wrong = answers.copy()
    wrong[7] += 0.01

    assert (0, "PASS: 0 of 40 rows are wrong, the worst answer is off by 0\n") == told(answers)
    status, words = told(wrong)
    assert (1, "FAIL: 1 of 40 rows are wrong, ") == (status, words.partition("the")[0])


def test_build_systems_find_their_files_with_and_without_a_self_test(programs: dict[str, tuple[Program, Options]]) -> None:
    generated = made(*programs["trees"])

    with_test = project_files(generated, about="Model m@v7", version="v7", has_selftest=True)
    without = project_files(generated, about="Model m@v7", version="v7", has_selftest=False)

    assert {"CMakeLists.txt", "library.json", "library.properties", "zephyr/module.yml"} == set(with_test)
    assert "version=7.0.0" in with_test["library.properties"]
    assert "m_selftest.c" in with_test["CMakeLists.txt"]
    assert "selftest" not in without["CMakeLists.txt"] + without["library.json"]
    for text in (with_test["CMakeLists.txt"], without["CMakeLists.txt"]):
        assert text.count("if(") - text.count("elseif(") == 2 * text.count("endif()")
