"""What the torch test of numbers and classes runs where torch is: train, replay, pack and ask, and tell it as one JSON line."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
from small_tasks import CUT, ENDS_FILE, HOURS, add_visits, write_task

from sampan.workspace.workspace import Workspace

NET = """
def fit(features, labels, *, width=6, epochs=60, seed=0):
    import torch
    torch.manual_seed(seed)
    torch.set_num_threads(1)
    class Fill(torch.nn.Module):
        def forward(self, given):
            return torch.nan_to_num(given)
    rows, (last, ends, wanted, loss) = torch.from_numpy(features), HEADS(torch, labels)
    module = torch.nn.Sequential(Fill(), torch.nn.Linear(features.shape[1], width), torch.nn.ReLU(), torch.nn.Linear(width, last), *ends)
    optimizer = torch.optim.Adam(module.parameters(), lr=0.1)
    for _ in range(epochs):
        optimizer.zero_grad()
        loss(module(rows), wanted).backward()
        optimizer.step()
    return module
"""
NUMBER = """
def HEADS(torch, labels):
    return 1, (), torch.from_numpy(labels.astype(np.float32))[:, None], torch.nn.MSELoss()
"""
CLASSES = """
def HEADS(torch, labels):
    def loss(said, was):
        return torch.nn.functional.nll_loss(torch.log(said), was)
    return int(labels.max()) + 1, (torch.nn.Softmax(dim=1),), torch.from_numpy(labels).long(), loss
"""


def main(folder: Path) -> None:
    """Do it all, for numbers and for classes."""
    told: dict[str, Any] = {}
    with Workspace.open(folder) as ws:
        add_visits(ws)
        for name, text, head in (("hours", HOURS, NUMBER), ("ends", ENDS_FILE, CLASSES)):
            declared = text[: text.index("def fit(")]
            file = write_task(folder, head + declared + NET.strip(), name=f"train_{name}.py")
            file.write_text(file.read_text().replace("import lightgbm\n", ""))
            ref = ws.model.train(file, trials=1, until=CUT).model.ref
            node = ws.catalog.resolve(ref, kind="model")
            ws.model.pack(ref)
            told[name] = {
                "flavor": node.facts["flavor"],
                "parity": node.facts["parity"]["passed"],
                "probe": ws.model.verify(ref).passed,
                "metrics": {key: found["value"] for key, found in node.facts["metrics"].items()},
            }
        told["replayed"] = ws.home.reproduce("ends").verdict  # the one of outcomes is replayed in a test of its own
    sys.stdout.write(json.dumps(told) + "\n")


if __name__ == "__main__":
    np.seterr(all="raise", under="ignore")
    main(Path(sys.argv[1]))
