"""The order of steps, found from names alone: a step needs the steps and given inputs that its parameters are called after."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from sampan.core.digests import Digest, digest_value
from sampan.core.refs import nearest
from sampan.engine.step import Step
from sampan.errors import NotFound, ParameterError


class KeyParts(msgspec.Struct, frozen=True, kw_only=True):
    """What a step's cache key is made of; kept with the outcome, so that a later plan can say what changed.

    Hashes are bare hex digits: they name no object of the store that the outcome would need.
    """

    step: str
    code: dict[str, str]  # "module:name" -> hash
    params: dict[str, Any]  # as canonical data
    inputs: dict[str, str]
    python: str
    libraries: dict[str, str]

    def key(self) -> str:
        """Return the cache key."""
        return bare(digest_value(self))


def bare(digest: Digest) -> str:
    """Return a digest's hex digits."""
    return digest.removeprefix("b3:")


class Planned(msgspec.Struct, frozen=True):
    """What will become of a step, and why."""

    name: str
    state: str  # cached | runs | may run
    why: tuple[str, ...]


class Plan:
    """Steps and the names given to them, checked as a whole.

    Raises
    ------
    ParameterError : two steps make the same thing, a name is both given and made, a needed input is neither, a given one is needed by none,
        or steps wait for each other in a circle. All faults but circles are told at once.
    """

    def __init__(self, steps: Iterable[Step[..., Any]], *, given: Iterable[str] = ()) -> None:
        self.steps: dict[str, Step[..., Any]] = {}
        self.given = tuple(given)
        faults = self._add(steps) + self._unmet()
        if faults:
            raise ParameterError(
                "the steps do not fit together: " + "; ".join(faults), hint="a parameter without default is called after a step or an input"
            )
        self._order = self._sorted()

    def order(self, targets: Sequence[str] = ()) -> list[Step[..., Any]]:
        """Return what the targets need, each step after those it needs; without targets, all steps.

        Raises
        ------
        NotFound : a target is no step.
        """
        for target in targets:
            if target not in self.steps:
                raise NotFound(f"no step makes {target!r}", did_you_mean=nearest(target, self.steps))
        needed = set(targets or self.steps)
        for name in reversed(self._order):
            if name in needed:
                needed.update(self.made_inputs(name))
        return [self.steps[name] for name in self._order if name in needed]

    def made_inputs(self, name: str) -> list[str]:
        """Return the names of the steps that this step needs."""
        return [key for key in self.steps[name].declared.inputs if key in self.steps]

    def params_of(self, params: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
        """Return each step's parameters: its defaults, replaced by `params`. `x` is for every step that has an x, `train.x` for one.

        Raises
        ------
        ParameterError : no step has such a parameter.
        """
        found = {name: dict(step.declared.defaults) for name, step in self.steps.items()}
        known = [
            *dict.fromkeys(key for own in found.values() for key in own),
            *(f"{name}.{key}" for name, own in found.items() for key in own),
        ]
        for key in sorted(params, key=lambda key: "." in key):  # the one meant for a single step wins
            if key not in known:
                meant = nearest(key, known)
                taken = next((name for name, step in self.steps.items() if key in step.declared.inputs), "")
                hint = (
                    f"{key} is an input of {taken}: give it under inputs"
                    if taken
                    else f"did you mean {' or '.join(meant)}?"
                    if meant
                    else _listed(known)
                )
                raise ParameterError(f"no step has a parameter {key!r}", hint=hint)
            only, _, name = key.rpartition(".")
            for own in [found[only]] if only else found.values():
                if name in own:
                    own[name] = params[key]
        return found

    def _add(self, steps: Iterable[Any]) -> list[str]:
        faults = []
        for step in steps:
            if not isinstance(step, Step):
                faults.append(f"{getattr(step, '__name__', step)!r} is not marked @step")
            elif self.steps.setdefault(step.name, step) is not step:
                faults.append(f"two steps are called {step.name}")
            elif step.name in self.given:
                faults.append(f"{step.name} is both given and made by a step")
        return faults

    def _unmet(self) -> list[str]:
        known, used, faults = {*self.steps, *self.given}, set[str](), []
        for name, step in self.steps.items():
            used.update(step.declared.inputs)
            for key in step.declared.inputs:
                if key not in known:
                    meant = nearest(key, known, n=1)
                    faults.append(
                        f"step {name} needs {key!r}, which is neither given nor made" + (f" (did you mean {meant[0]}?)" if meant else "")
                    )
        for key in self.given:
            if key not in used and key not in self.steps:
                meant = nearest(key, used - {*self.steps, *self.given}, n=1)
                faults.append(f"no step needs the given {key!r}" + (f" (did you mean {meant[0]}?)" if meant else ""))
        return faults

    def _sorted(self) -> list[str]:
        """Sort depth first, steps in the order they were given; the path walked is the circle to name."""
        done: dict[str, None] = {}
        for start in self.steps:
            path: dict[str, list[str]] = {}
            if start not in done:
                path[start] = self.made_inputs(start)
            while path:
                name, waiting = next(reversed(path.items()))
                if not waiting:
                    done[name] = None
                    del path[name]
                    continue
                following = waiting.pop(0)
                if following in path:
                    circle = [*list(path)[list(path).index(following) :], following]
                    raise ParameterError(
                        f"steps need each other in a circle: {' needs '.join(circle)}",
                        hint="rename the input that should come from outside",
                    )
                if following not in done:
                    path[following] = self.made_inputs(following)
        return list(done)


def differences(before: KeyParts, now: KeyParts) -> tuple[str, ...]:
    """Say in words what changed between two keys of a step."""
    found = [f"code of {name} {word}" for name, word in _changes(before.code, now.code)]
    found += [
        f"parameter {name}: {_text(before.params, name)} → {_text(now.params, name)}" for name, _ in _changes(before.params, now.params)
    ]
    found += [f"input {name} {word}" for name, word in _changes(before.inputs, now.inputs)]
    if before.python != now.python:
        found.append(f"Python {before.python} → {now.python}")
    libraries = _changes(before.libraries, now.libraries)
    return (*found, *(f"{name} {_text(before.libraries, name)} → {_text(now.libraries, name)}" for name, _ in libraries))


def _changes(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[tuple[str, str]]:
    found = []
    for name in sorted({*before, *now}):
        if name not in before:
            found.append((name, "is new"))
        elif name not in now:
            found.append((name, "is no longer used"))
        elif before[name] != now[name]:
            found.append((name, "changed"))
    return found


def _text(values: Mapping[str, Any], name: str) -> str:
    if name not in values:
        return "none"
    value = values[name]
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def _listed(known: Sequence[str]) -> str:
    return f"there are {', '.join(known)}" if known else "the steps have no parameters"
