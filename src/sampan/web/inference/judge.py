"""Takes the turns of rollouts in a process of its own: `python -m sampan.web.inference.judge PROJECT`, started and asked by `pilot.py`.

Judging reads the prediction log with Polars, which a process that answers requests has no use for. This one is there as long as a rollout
is under way. Each line on its standard input is a turn to take, each on its output says what that took; it ends where its input ends.
"""

from __future__ import annotations

import logging
import signal
import sys
import time

import msgspec

from sampan.core.decoding import decoder_of
from sampan.core.graph import NodeId
from sampan.errors import SampanError

logger = logging.getLogger(__name__)


class Turn(msgspec.Struct, frozen=True):
    """Which services' rollouts to judge, and how many processes of the server ended while they ran a package."""

    names: tuple[str, ...]
    lost: dict[NodeId, int] = {}


class Taken(msgspec.Struct, frozen=True):
    """What a turn took of a processor, without what was loaded for it."""

    cpu_s: float


def main() -> None:
    """Take turns until nobody asks for another."""
    from sampan.serving import guards
    from sampan.web.inference.server_log import tell_with_moments
    from sampan.workspace.services import rollout_figures
    from sampan.workspace.workspace import Workspace

    del guards, rollout_figures  # loaded for the turns

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # from a terminal it reaches everyone: who asks ends this one in order
    tell_with_moments()
    read = decoder_of(Turn).decode
    told_s = time.process_time()
    with Workspace.open(sys.argv[1], create=False) as workspace:
        for line in sys.stdin.buffer:
            turn = read(line)
            for name in turn.names:
                try:
                    state = workspace.service.take_turn(name, turn.lost)
                except SampanError as cause:  # the next turn tries again; the routing stays as it is
                    logger.warning("the rollout of %s cannot go on: %s", name, cause)
                    continue
                except Exception:  # the others are judged all the same
                    logger.exception("a turn of the rollout of %s failed", name)
                    continue
                if state.changed:
                    logger.info("%s: %s", name, state.did)
            now_s = time.process_time()
            sys.stdout.buffer.write(msgspec.json.encode(Taken(now_s - told_s)) + b"\n")
            sys.stdout.buffer.flush()
            told_s = now_s


if __name__ == "__main__":
    main()
