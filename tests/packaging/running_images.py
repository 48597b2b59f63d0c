"""Images unpacked by umoci and run in a chroot, as their user, with their variables."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def tool(*words: str | Path) -> str:
    """Run a program that has to be there and to succeed; return what it says."""
    assert shutil.which(str(words[0])), f"there is no {words[0]}: run tools/containers.sh"
    ran = subprocess.run(list(map(str, words)), capture_output=True, text=True)
    assert 0 == ran.returncode, ran.stderr
    return ran.stdout


def unpacked(layout: Path, bundle: Path) -> Path:
    """Unpack an image's root filesystem and configuration."""
    tool("umoci", "unpack", "--rootless", "--image", f"{layout}:v1", bundle)
    return bundle


@contextmanager
def running(bundle: Path) -> Iterator[str]:
    """Run a bundle's process in its root filesystem, as its user, with its variables; on a free port instead of the container's own."""
    process = json.loads((bundle / "config.json").read_bytes())["process"]
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    words = process["args"][: process["args"].index("--host")]
    user = ["--userspec", f"{process['user']['uid']}:{process['user']['gid']}"]
    command = ["chroot", *user, str(bundle / "rootfs"), *words, "--port", str(port)]
    variables = {**dict(line.split("=", 1) for line in process["env"]), "PATH": os.environ["PATH"]}
    server = subprocess.Popen(command, env=variables, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        assert server.stdout is not None
        said = server.stdout.readline()
        assert f"answers at http://127.0.0.1:{port}" in said, said
        yield f"http://127.0.0.1:{port}"
    finally:
        server.terminate()
        assert 0 == server.wait(30)
        server.stdout.close()
