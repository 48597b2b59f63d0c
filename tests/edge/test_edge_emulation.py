"""Generated code on boards in emulation: the same answers, counted instructions, sizes by the linker's map."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from sampan.edge.emulation import Sources, measure, require_tools
from sampan.edge.profiles import FOLDER, names, read_profile
from sampan.errors import NotFound, ParameterError, StepFailed

ROWS = np.array([[1.0, 2.0], [np.nan, np.inf], [-0.0, 1e-45]], np.float32)
HEADER = "void m_scores(const float *x, float *y);\n"


def sources_of(body: str, before: str = "") -> Sources:
    return Sources(
        {"m.c": f'#include "m.h"\n{before}\nvoid m_scores(const float *x, float *y)\n{{\n{body}\n}}\n', "m.h": HEADER}, "m_scores", 2, 2
    )


@pytest.mark.parametrize("board", names())
def test_rows_arrive_at_a_board_bit_for_bit_and_answers_come_back_so(board: str, tmp_path: Path) -> None:
    found, _ = measure(sources_of("    y[0] = x[1];\n    y[1] = x[0];"), ROWS, read_profile(board), tmp_path)

    assert found.astype(np.float32).tobytes() == ROWS[:, ::-1].tobytes()


@pytest.mark.parametrize("board", names())
def test_instructions_stack_and_memory_are_those_of_the_code_alone(board: str, tmp_path: Path) -> None:
    table = "static const unsigned char t[1000] = {1, 2};\nstatic float kept[25];\n"
    work = "    volatile int block[64];\n    int i;\n    for (i = 0; i < 64; ++i) block[i] = i;\n"
    body = f"{work}    kept[(int)t[block[1]]] = x[0];\n    y[0] = kept[2];\n    y[1] = (float)t[(int)x[1] & 511];"

    _, short = measure(sources_of("    y[0] = y[1] = x[0];"), ROWS[:1], read_profile(board), tmp_path / "short")
    _, long = measure(sources_of(body, table), ROWS[:1], read_profile(board), tmp_path / "long")

    assert short.flash_bytes < 40
    assert (short.static_bytes, short.stack_bytes < 32, short.instructions < 45) == (0, True, True)
    assert 1000 <= long.flash_bytes - short.flash_bytes
    assert long.static_bytes == 100
    assert 256 <= long.stack_bytes < 400
    assert 64 * 3 <= long.instructions < 64 * 20


def test_counts_are_the_same_each_time(tmp_path: Path) -> None:
    code = sources_of("    int i;\n    y[0] = y[1] = 0.0f;\n    for (i = 0; i < 100; ++i) y[0] += x[0] * x[1];")

    counts = [measure(code, ROWS, read_profile("cortex-m4f"), tmp_path / str(n))[1] for n in range(2)]

    assert counts[0] == counts[1]


def test_code_that_does_not_compile_is_told_with_the_compilers_words(tmp_path: Path) -> None:
    with pytest.raises(StepFailed, match=r"does not compile.*undeclared"):
        measure(sources_of("    y[0] = nowhere;"), ROWS, read_profile("cortex-m4f"), tmp_path)


def test_code_that_runs_into_a_fault_is_told(tmp_path: Path) -> None:
    with pytest.raises(StepFailed, match=r"failed on cortex-m4f|told no figures"):
        measure(sources_of("    ((void (*)(void))0xF0000000)();\n    y[0] = x[0];"), ROWS, read_profile("cortex-m4f"), tmp_path)


def test_profiles_name_their_source_and_a_bad_one_is_refused_with_all_its_faults(tmp_path: Path) -> None:
    assert all(read_profile(name).source and read_profile(name).limits()["flash"] > 0 for name in names())
    own, text = tmp_path / "own.yaml", (FOLDER / "cortex-m4f.yaml").read_text(encoding="utf-8")
    for good, bad in (
        ("clock_mhz: 80", "clock_mhz: fast\nemulators: 3"),
        ("board: arm", "board: leg"),
        ("cycles_per_instruction: 1.4", "cycles_per_instruction: 0"),
        ("flash: 128k", "flash: much"),
        ("name: cortex-m4f", ""),
    ):
        assert good in text
        text = text.replace(good, bad)
    own.write_text(text, encoding="utf-8")

    with pytest.raises(ParameterError) as refused:
        read_profile(str(own))

    for fault in (
        "name is missing",
        "there is no field emulators, perhaps emulator",
        "clock_mhz is 'fast'",
        "there is no board 'leg', but arm, riscv",
        "cycles_per_instruction is 0.0, and must be above 0",
        "budget: 'flash=much' is no limit",
    ):
        assert fault in refused.value.message, refused.value.message
    own.write_text("- a list")
    with pytest.raises(ParameterError, match="it has no fields"):
        read_profile(str(own))
    with pytest.raises(NotFound, match="cortex-m4"):
        read_profile("cortex-m4")


def test_a_tool_that_is_not_installed_is_named() -> None:
    import msgspec

    from sampan.errors import MissingDependency

    profile = msgspec.structs.replace(read_profile("cortex-m4f"), compiler="no-such-gcc")
    with pytest.raises(MissingDependency, match="no-such-gcc") as refused:
        require_tools(profile)
    assert refused.value.hint == "sudo apt-get install no-such-gcc"
