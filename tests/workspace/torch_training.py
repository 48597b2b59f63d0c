"""What the torch tests run in an environment that has torch: train, replay, pack and ask, and tell what came of it as one JSON line."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
from small_training import CUT, add_orders, write_training

from sampan.workspace.workspace import Workspace

FIT = """
@sp.train(name="orders-late", features=orders_view, objective=goal)
def fit(features, labels, *, width=4, epochs=40, seed=0):
    import torch
    torch.manual_seed(seed)
    torch.set_num_threads(1)
    rows, wanted = torch.from_numpy(np.nan_to_num(features)), torch.from_numpy(labels.astype(np.float32))
    module = torch.nn.Sequential(
        torch.nn.Linear(features.shape[1], width), torch.nn.BatchNorm1d(width), torch.nn.ReLU(), torch.nn.Dropout(0.1),
        torch.nn.Linear(width, 1), torch.nn.Sigmoid(), torch.nn.Flatten(0),
    )
    optimizer = torch.optim.Adam(module.parameters(), lr=0.05)
    for _ in range(epochs):
        optimizer.zero_grad()
        torch.nn.functional.binary_cross_entropy(module(rows), wanted).backward()
        optimizer.step()
    return module
"""


def main(folder: Path) -> None:
    """Do it all."""
    with Workspace.open(folder) as ws:
        add_orders(ws)
        model = ws.model.train(write_training(folder, FIT), trials=1, until=CUT).model
        node = ws.catalog.resolve(model.ref, kind="model")
        kept = sorted(each.path for each in ws.catalog.artifacts(node.id) if each.path.startswith("native/"))
        found = ws.home.reproduce(model.ref)
        ws.model.pack(model.ref)
        told = {
            "flavor": node.facts["flavor"],
            "parity": node.facts["parity"],
            "kept": kept,
            "verdict": found.verdict,
            "nodes": {each.node: each.same for each in found.nodes},
            "probe": ws.model.verify(model.ref).passed,
            "auc": node.facts["metrics"]["auc"]["value"],
        }
    told["pickles"] = [str(p) for p in folder.rglob("*") if p.is_file() and p.suffix in (".pt", ".pth", ".pkl", ".pickle", ".joblib")]
    sys.stdout.write(json.dumps(told) + "\n")


if __name__ == "__main__":
    np.seterr(all="raise", under="ignore")
    main(Path(sys.argv[1]))
