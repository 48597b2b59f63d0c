"""The thread that tells webhooks' receivers: woken by changes to the registry, it tries again later what could not be delivered."""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING, Final

from sampan.errors import SampanError
from sampan.web.mlflow.sending import Undelivered

if TYPE_CHECKING:
    from sampan.web.mlflow.webhooks import Webhooks

logger = logging.getLogger(__name__)
_FIRST_WAIT_S, _LONGEST_WAIT_S = 1.0, 60.0
_LOOK_S: Final = 30.0  # for what other processes did


class Deliveries:
    """Runs while the application does."""

    def __init__(self, webhooks: Webhooks) -> None:
        self._webhooks = webhooks
        self._changed = threading.Event()
        self._stopping = False
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin, with what was left undelivered."""
        self._thread = threading.Thread(target=self._run, name="webhooks", daemon=True)
        self._thread.start()

    def wake(self) -> None:
        """Say that something changed."""
        self._changed.set()

    def stop(self) -> None:
        """End after the delivery that is being made."""
        self._stopping = True
        self._changed.set()
        if self._thread is not None:
            self._thread.join(timeout=5)

    def _run(self) -> None:
        wait = _FIRST_WAIT_S
        while not self._stopping:
            try:
                while self._webhooks.deliver() and not self._stopping:
                    pass
                wait = _FIRST_WAIT_S
                self._changed.wait(_LOOK_S)
            except Undelivered as cause:
                logger.warning("a webhook is not delivered yet: %s; again in %.0f s", cause, wait)
                self._changed.wait(wait)
                wait = min(2 * wait, _LONGEST_WAIT_S)
            except SampanError as cause:
                logger.warning("webhooks are not delivered: %s", cause)
                self._changed.wait(_LOOK_S)
            self._changed.clear()
