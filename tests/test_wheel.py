"""What an installation has without the repository: every file of the package, and the demo's example."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import sampan

ROOT = Path(sampan.__file__).parents[2]
BEGIN_DEMO = """
from pathlib import Path
from sampan.cli import demo
found = demo.find_example("flights")
demo.copy_example(found, Path("mine").resolve())
print(found)
print(demo.load_story(Path("mine").resolve()).N_STAGES)
"""


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("installed")
    flags = ["--no-build-isolation", "--no-deps", "--offline", "--no-cache"]
    uv = Path(sys.executable).with_name("uv")
    subprocess.run([uv, "pip", "install", "-q", "--python", sys.executable, *flags, "--target", target, ROOT], check=True)
    return target


@pytest.mark.slow
def test_the_wheel_holds_every_file_of_the_package_and_of_the_demo_and_nothing_else(installed: Path) -> None:
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "src", "examples/flights"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines()
    ours = {"sampan/" + name.removeprefix("src/sampan/") for name in listed if (ROOT / name).exists()}
    record = next(installed.glob("*.dist-info/RECORD")).read_text()
    files = {line.rpartition(",")[0].rpartition(",")[0] for line in record.splitlines()}

    assert ours == {file for file in files if file.startswith("sampan/") and not file.endswith(".pyc")}
    assert {"bin", "sampan", next(installed.glob("*.dist-info")).name} == {
        file.split("/")[0] for file in files if not file.startswith("..")
    }


@pytest.mark.slow
def test_the_demo_finds_its_files_in_the_installation(installed: Path, tmp_path: Path) -> None:
    env = {**os.environ, "PYTHONPATH": str(installed)}
    done = subprocess.run([sys.executable, "-c", BEGIN_DEMO], cwd=tmp_path, env=env, capture_output=True, text=True)

    assert "" == done.stderr
    found, n_stages = done.stdout.splitlines()
    assert installed / "sampan" / "examples" / "flights" == Path(found)
    assert int(n_stages) > 0
