"""What a program trains with torch: the optimizer's parameters, the loss at each backward call, the module's weights at the end."""

from __future__ import annotations

import functools
import gc
import sys
import time
import weakref
from types import ModuleType
from typing import Any

from .fits import Fits
from .records import Report, is_silent

_SLOW_DEVICE_S = 0.1  # reading a number waits for a GPU: at most so often


class TorchFits:
    """The optimizers of this program and what they train."""

    def __init__(self, report: Report, fits: Fits) -> None:
        self._report = report
        self._fits = fits
        self._optimizers: list[weakref.ref[Any]] = []
        self._told = 0.0

    def watch_optimizer(self, module: ModuleType) -> None:
        """Watch optimizers as they are made."""
        kind = module.Optimizer
        make = kind.__init__

        @functools.wraps(make)
        def watched(optimizer: Any, *args: Any, **kwargs: Any) -> None:
            make(optimizer, *args, **kwargs)
            if is_silent():
                return
            self._optimizers.append(weakref.ref(optimizer))
            params = {key: repr(value) for key, value in optimizer.defaults.items() if value is not None}
            self._report.write("params", name=type(optimizer).__name__, params=params)

        kind.__init__ = watched

    def watch_tensor(self, module: ModuleType) -> None:
        """Watch the losses: tensors of one number whose gradient is asked for."""
        kind = module.Tensor
        backward = kind.backward

        @functools.wraps(backward)
        def watched(tensor: Any, *args: Any, **kwargs: Any) -> Any:
            result = backward(tensor, *args, **kwargs)
            if tensor.numel() == 1 and self._optimizers and not is_silent() and self._may_read(tensor):
                self._fits.metric("loss", tensor.detach())
            return result

        kind.backward = watched

    def _may_read(self, tensor: Any) -> bool:
        now = time.monotonic()
        if tensor.device.type != "cpu" and now - self._told < _SLOW_DEVICE_S:
            return False
        self._told = now
        return True

    def trained(self) -> dict[str, Any]:
        """Return the outermost modules whose parameters an optimizer changed."""
        torch = sys.modules.get("torch")
        if torch is None or not self._optimizers:
            return {}
        changed = {
            id(parameter)
            for reference in self._optimizers
            if (optimizer := reference()) is not None
            for group in optimizer.param_groups
            for parameter in group["params"]
        }
        # By the type itself: `isinstance` asks an object for its class, and some lazy ones of torch warn when they are asked anything.
        modules = [each for each in gc.get_objects() if issubclass(type(each), torch.nn.Module)]
        inner = {id(child) for module in modules for child in module.modules() if child is not module}
        outer = [m for m in modules if id(m) not in inner and any(id(p) in changed for p in m.parameters())]
        return {f"{type(module).__name__}{'' if n == 0 else f'-{n + 1}'}": module for n, module in enumerate(outer)}
