"""What `sampan doctor MODEL` looks at: whether this machine is what the model was built on, and what each difference may do."""

from __future__ import annotations

from collections.abc import Iterator
from shlex import quote
from typing import TYPE_CHECKING, Final

from sampan.core.graph import Node
from sampan.engine.environment import Environment, capture
from sampan.workspace.diagnosis import Finding
from sampan.workspace.environments import environment_of
from sampan.workspace.explaining.rebuilding import needed
from sampan.workspace.explaining.replaying import Recipe
from sampan.workspace.models.predictors import GRAPH

if TYPE_CHECKING:
    from sampan.workspace.workspace import Workspace

# What numeric libraries choose their kernels by: with others, sums are taken in another order.
_KERNELS: Final = ("avx", "avx2", "fma", "avx512f", "avx512dq", "avx512bw", "avx512vl", "avx512_bf16", "amx_tile", "asimd", "sve", "sve2")


def examine_model(ws: Workspace, model: Node) -> Iterator[Finding]:
    """Yield what was compared, with what to do where this machine differs."""
    then, now = environment_of(ws, model), capture()
    again = f"sampan reproduce {quote(model.ref)}"
    yield Finding(about="model", value=f"{model.ref}, a {model.facts['flavor']} model, answers by {_served(ws, model)}")
    yield _python(then, now)
    yield from _libraries(needed(ws, Recipe.of(ws, model), then), now, again)
    yield _system(then, now)
    yield _processor(then, now, again)
    yield _threads(then, now, again)
    yield _gpu(then, now, again)


def _served(ws: Workspace, model: Node) -> str:
    return "its ONNX graph" if GRAPH in {each.path for each in ws.catalog.artifacts(model.id)} else "its own library"


def _python(then: Environment, now: Environment) -> Finding:
    is_close = then.python.rpartition(".")[0] == now.python.rpartition(".")[0] and then.implementation == now.implementation
    trouble = "" if is_close else f"trained with {then.implementation} {then.python}: other library builds belong to it"
    return Finding(about="Python", value=_both(then.python, now.python), trouble=trouble)


def _libraries(recorded: dict[str, str], now: Environment, again: str) -> Iterator[Finding]:
    same = [name for name, version in recorded.items() if now.libraries.get(name) == version]
    yield Finding(about="libraries", value=f"{len(same)} of the {len(recorded)} libraries behind it are the same")
    for name, version in recorded.items():
        here = now.libraries.get(name)
        if here is None:
            yield Finding(about=name, value=f"{version} then, not installed here", trouble=f"pip install {name}=={version}")
        elif here != version:
            check = f"{again.replace('reproduce', 'upgrade-check')} {name}=={here}"
            yield Finding(about=name, value=_both(version, here), trouble=f"{check} says which predictions move")


def _system(then: Environment, now: Environment) -> Finding:
    trouble = "" if then.machine == now.machine else "another kind of processor: expect other roundings, and other library builds"
    return Finding(about="system", value=_both(f"{then.os} {then.machine}", f"{now.os} {now.machine}"), trouble=trouble)


def _processor(then: Environment, now: Environment, again: str) -> Finding:
    had, has = ({each for each in _KERNELS if each in one.cpu_features} for one in (then, now))
    lost = ", ".join(sorted(had - has))
    new = ", ".join(sorted(has - had))
    words = [f"lacks {lost}" if lost else "", f"has {new} besides" if new else ""]
    told = " and ".join(filter(None, words))
    trouble = f"this one {told}: sums may round otherwise in a fit; {again}" if told else ""
    return Finding(about="processor", value=_both(then.cpu_model, now.cpu_model), trouble=trouble)


def _threads(then: Environment, now: Environment, again: str) -> Finding:
    trouble = ""
    if _limit(then) != _limit(now):
        trouble = f"fits that share out sums may differ in the last digits; {again} uses as many as then"
    return Finding(about="threads", value=_both(_limit(then), _limit(now)), trouble=trouble)


def _gpu(then: Environment, now: Environment, again: str) -> Finding:
    before, here = ", ".join(then.gpus) or "none", ", ".join(now.gpus) or "none"
    trouble = "" if then.gpus == now.gpus else f"a fit on it cannot be repeated bit for bit here; {again} says how far off"
    return Finding(about="GPU", value=_both(before, here), trouble=trouble)


def _limit(one: Environment) -> str:
    return one.threads.get("OMP_NUM_THREADS") or one.threads.get("usable", "unknown")


def _both(then: str, now: str) -> str:
    return now if then == now else f"{then} then, {now} here"
