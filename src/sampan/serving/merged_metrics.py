"""The metrics of several processes, or of several services, as one page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sampan.serving.exposition import Labels, Samples

_NOT_ADDED = ("_info", "_share")  # what is true once, however many processes say it


def added_up(found: Sequence[Samples]) -> dict[tuple[str, Labels], float]:
    """Add up samples of processes that do the same work."""
    total: dict[tuple[str, Labels], float] = {}
    for samples in found:
        for key, value in samples.items():
            if key[0].endswith(_NOT_ADDED):
                total[key] = max(total.get(key, value), value)
            else:
                total[key] = total.get(key, 0.0) + value
    return total


def merged(pages: Mapping[str, str] | Sequence[str]) -> str:
    """Merge pages of one text format: samples of the same name and labels are added up; with a mapping, each gets its key as `service`."""
    named = pages.items() if isinstance(pages, Mapping) else [("", page) for page in pages]
    heads: dict[str, list[str]] = {}
    values: dict[str, dict[str, float]] = {}
    name = ""
    for service, page in named:
        for line in page.splitlines():
            if line.startswith("# "):
                name = line.split(" ", 3)[2]
                if name not in heads:
                    heads[name] = []
                if line not in heads[name]:
                    heads[name].append(line)
            elif line:
                sample, _, number = line.rpartition(" ")
                _put(values.setdefault(name, {}), _labelled(sample, service), float(number))
    lines = []
    for metric, head in heads.items():
        lines += head
        lines += [f"{sample} {_number(value)}" for sample, value in values.get(metric, {}).items()]
    return "\n".join(lines) + "\n"


def _put(values: dict[str, float], sample: str, value: float) -> None:
    if sample.partition("{")[0].endswith(_NOT_ADDED):
        values[sample] = max(values.get(sample, value), value)
    else:
        values[sample] = values.get(sample, 0.0) + value


def _labelled(sample: str, service: str) -> str:
    if not service:
        return sample
    label = 'service="' + service.replace("\\", "\\\\").replace('"', '\\"') + '"'
    if sample.endswith("}"):
        head, _, rest = sample.partition("{")
        return f"{head}{{{label},{rest}"
    return f"{sample}{{{label}}}"


def _number(value: float) -> str:
    return str(int(value)) if value.is_integer() else repr(value)


def counters_only(page: str) -> str:
    """Leave out what is only true now: of a process that is no more, its counts go on to count."""
    kinds = {parts[2]: parts[3] for line in page.splitlines() if line.startswith("# TYPE ") and len(parts := line.split(" ", 3)) == 4}
    name, lines = "", []
    for line in page.splitlines():
        if line.startswith("# "):
            name = line.split(" ", 3)[2]
        if kinds.get(name) != "gauge":
            lines.append(line)
    return "\n".join(lines) + "\n"
