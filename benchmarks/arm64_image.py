"""An image for 64-bit Arm, built on this machine and run in emulation: onnxruntime's own wheel answers there what it answers here.

    mmdebstrap --variant=extract --architectures=arm64 \
        --include=libc6,libstdc++6,libpython3.11-stdlib,python3.11-minimal,ca-certificates bookworm base.tar
    pip download --only-binary :all: --python-version 3.11 --platform manylinux_2_28_aarch64 --platform manylinux_2_27_aarch64 \
        --platform manylinux_2_17_aarch64 --platform manylinux2014_aarch64 --dest wheels \
        blake3 click httptools msgspec numpy onnxruntime polars pyarrow uvicorn uvloop
    sudo python benchmarks/arm64_image.py --base base.tar --wheels wheels --package FOLDER

Needs umoci, qemu-user-static and root, for chroot. A functional check: emulation says nothing of speed. The image has no /proc, so ONNX
Runtime finds a file there that describes an Arm processor; with this machine's own it would believe in an x86 one.

Exits with 1 if an answer differs by more than 1e-6.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import urllib.request
from pathlib import Path

import msgspec
import numpy as np

from sampan.packaging.images import Image
from sampan.packaging.packages import probe_rows, read_facts
from sampan.ports import TargetOptions
from sampan.workspace.models.predictors import open_predictor
from sampan.workspace.workspace import SilentProgress

EMULATOR = Path("/usr/bin/qemu-aarch64-static")
CPUINFO = "processor\t: 0\nFeatures\t: fp asimd crc32 cpuid\nCPU implementer\t: 0x41\nCPU architecture: 8\nCPU part\t: 0xd08\n"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("base", "wheels", "package"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        (folder / "image").mkdir()
        options = TargetOptions(base=asked.base, settings={"wheels": str(asked.wheels), "compression": "1"})
        built = Image("oci").build(asked.package, folder / "image", options, SilentProgress())
        image = f"{folder / 'image'}:{read_facts(asked.package).version}"
        subprocess.run(["umoci", "unpack", "--rootless", "--image", image, folder / "bundle"], check=True, capture_output=True)
        rows = probe_rows(asked.package)
        found = answers(folder / "bundle", rows)
    expected = open_predictor(asked.package).predict(rows)
    far = float(np.abs(found - expected).max())
    print(f"{built.facts['mb']:.0f} MB, {len(rows)} requests of the probe set answered on emulated arm64; largest difference {far:.1e}")
    return 0 if far <= 1e-6 else 1


def answers(bundle: Path, rows: list[dict[str, object]]) -> np.ndarray:
    """Run the image's process in its root filesystem and ask it."""
    root = bundle / "rootfs"
    (root / EMULATOR.name).write_bytes(EMULATOR.read_bytes())
    (root / EMULATOR.name).chmod(0o755)
    (root / "proc").mkdir(exist_ok=True)
    (root / "proc" / "cpuinfo").write_text(CPUINFO)
    process = json.loads((bundle / "config.json").read_bytes())["process"]
    words = process["args"][: process["args"].index("--host")]
    variables = {**dict(line.split("=", 1) for line in process["env"]), "PATH": os.environ["PATH"]}
    command = ["chroot", str(root), f"/{EMULATOR.name}", *words, "--port", "0"]
    server = subprocess.Popen(command, env=variables, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        assert server.stdout is not None
        address = server.stdout.readline().split()[-1]
        request = urllib.request.Request(f"{address}/predict", data=msgspec.json.encode({"rows": rows}))
        with urllib.request.urlopen(request, timeout=120) as reply:
            return np.array([each["score"] for each in json.load(reply)["predictions"]])
    finally:
        server.terminate()
        server.wait(60)


if __name__ == "__main__":
    sys.exit(main())
