"""What the torch test of classes and numbers runs where torch is: train, pack and ask; tell it as one JSON line."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import torch
from small_tasks import CUT, ENDS_FILE, add_visits, write_task

from sampan.flavors.finding import find_flavor
from sampan.flavors.parity import export
from sampan.workspace.workspace import Workspace

FIT = """
def fit(features, labels, *, width=6, epochs=60, seed=0):
    import torch
    class Fill(torch.nn.Module):
        def forward(self, given):
            return torch.nan_to_num(given)
    torch.manual_seed(seed)
    torch.set_num_threads(1)
    rows, wanted = torch.from_numpy(features), torch.from_numpy(labels).long()
    n_classes = int(labels.max()) + 1
    module = torch.nn.Sequential(
        Fill(), torch.nn.Linear(features.shape[1], width), torch.nn.ReLU(), torch.nn.Linear(width, n_classes), torch.nn.Softmax(dim=1)
    )
    optimizer = torch.optim.Adam(module.parameters(), lr=0.1)
    for _ in range(epochs):
        optimizer.zero_grad()
        torch.nn.functional.nll_loss(torch.log(module(rows)), wanted).backward()
        optimizer.step()
    return module
"""


def classes(folder: Path) -> dict[str, object]:
    """Train a module of three classes, pack it and ask its package."""
    with Workspace.open(folder) as ws:
        add_visits(ws)
        file = write_task(folder, ENDS_FILE[: ENDS_FILE.index("def fit(")] + FIT.strip())
        file.write_text(file.read_text().replace("import lightgbm\n", ""))
        ref = ws.model.train(file, trials=1, until=CUT).model.ref
        facts = ws.catalog.resolve(ref, kind="model").facts
        ws.model.pack(ref)
        return {
            "flavor": facts["flavor"],
            "parity": facts["parity"]["passed"],
            "probe": ws.model.verify(ref).passed,
            "macro_auc": facts["metrics"]["macro_auc"]["value"],
        }


def numbers() -> dict[str, object]:
    """Export a module that answers with large numbers, in one column."""
    torch.manual_seed(0)
    module = torch.nn.Sequential(torch.nn.Linear(3, 1), torch.nn.Flatten(1))
    with torch.no_grad():
        module[0].bias += 200_000
    features = np.random.default_rng(0).normal(0, 9000, (500, 3)).astype(np.float32)
    graph, parity = export(find_flavor(module), module, features, are_numbers=True)
    return {"exported": graph is not None, "shape": find_flavor(module).predict(module, features).shape, "scale": parity.scale}


if __name__ == "__main__":
    np.seterr(all="raise", under="ignore")
    sys.stdout.write(json.dumps({"classes": classes(Path(sys.argv[1])), "numbers": numbers()}) + "\n")
