"""`sampan reproduce MODEL`: replay a training from what was kept, and say whether it answers the same; if not, where it first diverges."""

from __future__ import annotations

from shlex import quote
from typing import TYPE_CHECKING, Any, ClassVar

import msgspec

from sampan.core.digests import digest_bytes
from sampan.core.events import Input, VersionCommitted, new_id
from sampan.core.graph import Node
from sampan.errors import ParameterError, Unavailable, Unsupported
from sampan.workspace.explaining.reproduction_answers import Moved, Reproduced
from sampan.workspace.operation import Room, operation

if TYPE_CHECKING:
    from sampan.engine.environment import Environment
    from sampan.workspace.explaining.rebuilding import Rebuilt

KIND = "reproduction"


class Reproducing(Room):
    """The top-level verbs that replay a training."""

    noun: ClassVar[str] = ""

    @operation(local=True)
    def reproduce(
        self, model: str, *, verify: bool = False, rebuild: bool = False, tolerance: float = 1e-6, threads: int = 0
    ) -> Reproduced:
        """Train a model again from what was kept, in a clean process, and compare its predictions on the pinned rows.

        Exit code 3 if they differ by more than the tolerance. The first node that differs is named, with the likely cause.

        Parameters
        ----------
        model : such as flights-late@champion
        verify : rebuild the recorded environment where it can be had, and say what cannot; else the present one is used
        rebuild : the same, but refuse where it cannot be had; uv asks the package index
        tolerance : the largest difference that counts as the same, of a probability, or of a number in units of the answers' spread
        threads : of each numeric library; by default as many as the training had
        """
        from sampan.workspace.environments import environment_of
        from sampan.workspace.explaining.rebuilding import needed
        from sampan.workspace.explaining.replaying import Recipe, model_node
        from sampan.workspace.explaining.reproduction import Cone, Surroundings, differences, thread_limits

        if not tolerance >= 0:
            raise ParameterError(f"tolerance is {tolerance:g}", hint="0 or more")
        if threads < 0:
            raise ParameterError(f"{threads} threads", hint="1 or more; 0 for as many as the training had")
        node = model_node(self.ws, model)
        recipe = Recipe.of(self.ws, node)
        recorded = environment_of(self.ws, node)
        where, missing = self._environment(needed(self.ws, recipe, recorded), recorded, verify=verify, rebuild=rebuild)
        told = (*missing, *differences(recorded, where, threads=threads))
        around = Surroundings(fits=where, reads=where, threads=thread_limits(recorded, threads), differences=told)
        return self._keep_reproduction(Cone(self.ws, recipe, around).replay(tolerance), node)

    @operation(local=True, verb="upgrade-check")
    def upgrade_check(self, model: str, libraries: list[str]) -> Moved:
        """Train a model again with other library versions, and say which predictions move and by how much.

        The environment is the recorded one but for these libraries; uv installs it, which asks the package index.

        Parameters
        ----------
        model : such as flights-late@champion
        libraries : the versions to try, such as lightgbm==4.5.0
        """
        from sampan.workspace.environments import environment_of
        from sampan.workspace.explaining import rebuilding
        from sampan.workspace.explaining.replaying import Recipe, model_node
        from sampan.workspace.explaining.reproduction import Cone, Surroundings, differences, thread_limits

        wanted = dict(_pinned(each) for each in libraries)
        if not wanted:
            raise ParameterError("no library was named", hint="sampan upgrade-check MODEL lightgbm==4.5.0")
        node = model_node(self.ws, model)
        recipe = Recipe.of(self.ws, node)
        recorded = environment_of(self.ws, node)
        needed = rebuilding.needed(self.ws, recipe, recorded)
        if unknown := sorted(set(wanted) - set(needed)):
            raise ParameterError(
                f"the training of {node.ref} does not use {', '.join(unknown)}", hint="it uses " + ", ".join(sorted(needed))
            )
        with self.ws.progress.stage("Rebuild the environment with other versions"):
            where = rebuilding.rebuild(self.ws, {**needed, **wanted}, recorded.python)
            # The kept model is asked by the libraries it was kept with: others may not read it, or answer otherwise themselves.
            kept = rebuilding.present(needed)
            if differences(recorded, kept):
                kept = rebuilding.rebuild(self.ws, needed, recorded.python)
        around = Surroundings(fits=where, reads=kept, threads=thread_limits(recorded, 0))
        found = Cone(self.ws, recipe, around).replay(0.0)
        return Moved(
            model=node.ref,
            changed=tuple(f"{name} {needed[name]} → {version}" for name, version in sorted(wanted.items())),
            n_probe=found.n_probe,
            n_moved=found.n_moved,
            max_difference=found.max_difference,
            mean_difference=found.mean_difference,
            quantiles=found.quantiles,
            seconds=found.seconds,
            next=(f"sampan reproduce {quote(node.ref)}",),
        )

    def _environment(
        self, libraries: dict[str, str], recorded: Environment, *, verify: bool, rebuild: bool
    ) -> tuple[Rebuilt, tuple[str, ...]]:
        """Return where to replay, and what of the recorded environment cannot be had."""
        from sampan.workspace.explaining import rebuilding

        if not (verify or rebuild):
            return rebuilding.present(libraries), ()
        try:
            with self.ws.progress.stage(f"Rebuild the environment: {len(libraries)} libraries"):
                return rebuilding.rebuild(self.ws, libraries, recorded.python), ()
        except (Unavailable, Unsupported) as fault:
            if rebuild:
                raise
            return rebuilding.present(libraries), (f"not rebuilt: {fault.message}",)

    def _keep_reproduction(self, found: Reproduced, node: Node) -> Reproduced:
        facts: dict[str, Any] = msgspec.to_builtins(found)
        event = VersionCommitted(
            node=new_id(),
            kind=KIND,
            name=node.name,
            digest=digest_bytes(msgspec.json.encode(facts)),
            facts=facts,
            inputs=(Input(node.id, "input"),),
        )
        self.ws.ledger.append(event)
        ref = f"{KIND}:{self.ws.catalog.node(event.node).ref}"
        return msgspec.structs.replace(found, reproduction=ref, next=(f"sampan model show {quote(node.ref)}",))


def _pinned(text: str) -> tuple[str, str]:
    name, equals, version = text.partition("==")
    if not equals or not name or not version:
        raise ParameterError(f"{text!r} names no version", hint="write it as lightgbm==4.5.0")
    return name.lower().replace("_", "-"), version
