"""What a server process answers: dispatches to services, asks callers for their key, loads services when they are first asked for.

    one service      /predict, /v2/models/NAME/infer, … as `inference` lists them
    many services    /services/NAME/predict, /services/NAME/outcomes …, and /v2/models/NAME/infer

Services beyond the memory budget are unloaded, the least recently used first; a request under way is finished by what it began with.
Not here: one service's requests (`inference`), following the graph (`inference_models`), the process (`inference_server`).
"""

from __future__ import annotations

import asyncio
import ctypes
import hmac
import logging
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import unquote

import msgspec

from sampan import __version__
from sampan.core.refs import nearest
from sampan.core.times import Clock, system_clock
from sampan.errors import NotFound, SampanError, Unavailable
from sampan.serving import inference_protocol as v2
from sampan.serving.callers import ANYONE, KeyRing, RateLimiter
from sampan.serving.merged_metrics import merged
from sampan.web.inference.app import PROMETHEUS, InferenceApp, Tracer, told
from sampan.web.inference.reply import Answered, Reply, Request
from sampan.web.inference.scoring import Limits

if TYPE_CHECKING:
    from sampan.web.inference.models import Follower

logger = logging.getLogger(__name__)

SERVICES = "/services/"
MODELS = "/v2/models/"
OPEN_TO_ALL = ("/health", "/v2/health/live", "/v2/health/ready")  # what a load balancer asks, without a key
_MEGABYTE = 1 << 20
_OF_HOST = """\
# HELP sampan_loaded_services Services in memory now.
# TYPE sampan_loaded_services gauge
sampan_loaded_services {loaded}
# HELP sampan_unloaded_services_total Times a service was unloaded to make room.
# TYPE sampan_unloaded_services_total counter
sampan_unloaded_services_total {unloaded}
"""


class Gate:
    """Says who calls, and turns away who may not or calls too often. The server's own token opens everything: `sampan service` holds it."""

    def __init__(self, *, token: str, rates: RateLimiter, clock: Clock = system_clock) -> None:
        self.keys = KeyRing()
        self._token = token.encode()
        self._rates = rates
        self._clock = clock

    @property
    def is_open(self) -> bool:
        """Say whether anyone may call, as often as they like."""
        return not self.keys.asked_for and self._rates.rate <= 0

    def admit(self, service: str, request: Request) -> str:
        """Return the caller's name, "" for anyone. Raises NotSignedIn, AccessDenied, TooManyRequests."""
        if self.is_open or request.path in OPEN_TO_ALL:
            return ANYONE
        if self.is_operator(request):
            return ANYONE
        caller = self.keys.caller(_offered(request), service=service, now=self._clock())
        who = caller if caller.name else msgspec.structs.replace(caller, name=request.client)
        self._rates.admit(who, now_s=time.monotonic())
        return caller.name

    def is_operator(self, request: Request) -> bool:
        """Say whether a request comes with the server's own token."""
        return bool(self._token) and hmac.compare_digest(_offered(request).encode(), self._token)


@dataclass(slots=True)
class Loaded:
    """A service in memory."""

    app: InferenceApp
    follower: Follower
    size_bytes: int = 0


Open = Callable[[str], Awaitable[Loaded]]  # raises NotFound for a name that is none


class Host:
    """The application of a server process."""

    def __init__(
        self,
        *,
        gate: Gate,
        open_service: Open,
        known: Callable[[], Iterable[str]],
        only: str = "",
        limits: Limits | None = None,
        memory_bytes: int = 2048 * _MEGABYTE,
    ) -> None:
        self.gate = gate
        self.limits = limits or Limits()
        self.tracer: Tracer | None = None  # set where spans are wanted
        self.unloaded = 0
        self.siblings: Callable[[], Awaitable[list[str]]] | None = None  # the metrics of other processes of this server
        self._open_service = open_service
        self._known = known
        self._only = only
        self._memory = memory_bytes
        self._loaded: OrderedDict[str, Loaded] = OrderedDict()  # the least recently used first
        self._opening: dict[str, asyncio.Task[Loaded]] = {}
        self._closing: set[asyncio.Task[None]] = set()

    def answer(self, request: Request) -> Answered:
        """Answer a whole request: a reply, or what becomes one. Never raises."""
        path = request.path
        if self._only:
            found = self._loaded.get(self._only)
            if found is not None and not path.startswith(SERVICES) and not (path == "/metrics" and self.siblings is not None):
                return found.app.answer(request)
        try:
            return self._dispatch(request)
        except SampanError as refusal:
            return self.refuse(refusal)

    def refuse(self, refusal: SampanError) -> Reply:
        """Return what a client is told of a request that failed before it reached a service."""
        known = self._loaded.get(self._only)
        return known.app.refuse(refusal) if known is not None else told(refusal)

    def followers(self) -> list[Follower]:
        """Return who follows the graph for each loaded service."""
        return [loaded.follower for loaded in self._loaded.values()]

    def names(self) -> list[str]:
        """Name what it answers for: the one service, or all that there are."""
        return [self._only] if self._only else list(self._known())

    async def load(self, name: str) -> Loaded:
        """Return a service, loading it if it is not in memory. Several who ask at once wait for one load."""
        if (loaded := self._loaded.get(name)) is not None:
            self._loaded.move_to_end(name)
            return loaded
        if name not in self._opening:
            self._opening[name] = asyncio.create_task(self._load(name))
        return await asyncio.shield(self._opening[name])

    async def close(self) -> None:
        """Let every service finish what it began."""
        if self._closing:
            await asyncio.gather(*self._closing)
        for loaded in self._loaded.values():
            await loaded.app.retire()

    def _dispatch(self, request: Request) -> Answered:
        path = request.path
        if path.startswith(SERVICES):
            quoted, _, rest = path[len(SERVICES) :].partition("/")
            return self._to(unquote(quoted), msgspec.structs.replace(request, path=f"/{rest}"))
        if path.startswith(MODELS):
            return self._to(unquote(path[len(MODELS) :].partition("/")[0]), request)
        if path == "/metrics":
            self.gate.admit("", request)
            return self._metrics(request)
        if self._only:
            return self._to(self._only, request)
        return self._of_all(path, request)

    def _of_all(self, path: str, request: Request) -> Reply:
        """Answer what is asked of the server and not of a service."""
        self.gate.admit("", request)
        if path == "/v2/health/live":
            return Reply(b'{"live":true}')
        if path == "/v2/health/ready":
            return Reply(b'{"ready":true}')
        if path == "/v2":
            return Reply(v2.server_metadata(__version__))
        if path == "/health":
            size = sum(loaded.size_bytes for loaded in self._loaded.values())
            return Reply(msgspec.json.encode({"ready": True, "loaded": len(self._loaded), "loaded_bytes": size, "fault": ""}))
        raise NotFound(f"no page {path} on a server of many services", hint="POST /services/NAME/predict, or /v2/models/NAME/infer")

    def _to(self, name: str, request: Request) -> Answered:
        loaded = self._loaded.get(name)
        if loaded is None:
            if not self.gate.is_open:
                self.gate.admit(name, request)  # before anything is loaded for a stranger
            return self._load_and_answer(name, request)
        if not self._only:
            self._loaded.move_to_end(name)
        return loaded.app.answer(request)

    async def _load_and_answer(self, name: str, request: Request) -> Reply:
        try:
            loaded = await self.load(name)
        except SampanError as refusal:
            return self.refuse(refusal)
        except Exception:  # a package that cannot be read is no fault of its neighbors
            logger.exception("%s cannot be loaded", name)
            return self.refuse(Unavailable(f"{name} cannot be loaded; the server's log says why", hint=f"sampan service show {name}"))
        answered = loaded.app.answer(request)
        return answered if isinstance(answered, Reply) else await answered

    async def _load(self, name: str) -> Loaded:
        try:
            if self._only and name != self._only:
                raise _unknown(name, [self._only])
            loaded = await self._open_service(name)
            loaded.app.admit = lambda request: self.gate.admit(name, request)
            loaded.app.tracer = self.tracer
            self._loaded[name] = loaded
            self._make_room(name)
            return loaded
        except NotFound as missing:
            if self._only:
                raise
            close = nearest(name, await asyncio.to_thread(lambda: list(self._known())))
            raise NotFound(missing.message, did_you_mean=close, hint=missing.hint) from missing
        finally:
            del self._opening[name]

    def _make_room(self, kept: str) -> None:
        """Unload the least recently used services until the rest fits, but never the one just loaded."""
        size = sum(loaded.size_bytes for loaded in self._loaded.values())
        while size > self._memory and len(self._loaded) > 1:
            name = next(iter(self._loaded))
            if name == kept:
                break
            gone = self._loaded.pop(name)
            size -= gone.size_bytes
            logger.info("%s was unloaded: the loaded services are over %d MB", name, self._memory // _MEGABYTE)
            self.unloaded += 1
            task = asyncio.create_task(_unload(gone))
            self._closing.add(task)
            task.add_done_callback(self._closing.discard)

    async def _metrics(self, request: Request) -> Reply:
        if self._only:
            pages = [(await self.load(self._only)).app.metrics_text()]
        else:
            named = {name: loaded.app.metrics_text() for name, loaded in self._loaded.items()}
            pages = [merged(named), _OF_HOST.format(loaded=len(self._loaded), unloaded=self.unloaded)]
        if self.siblings is not None and not self.gate.is_operator(request):
            pages += await self.siblings()
        return Reply((merged(pages) if len(pages) > 1 else pages[0]).encode(), content_type=PROMETHEUS)


def _offered(request: Request) -> str:
    key = request.header(b"x-api-key") or request.header(b"authorization").removeprefix(b"Bearer ")
    return key.decode("latin-1").strip()


def _unknown(name: str, known: Iterable[str]) -> NotFound:
    return NotFound(f"no service called {name!r} here", did_you_mean=nearest(name, known), hint=f"this server has {', '.join(known)}")


async def _unload(gone: Loaded) -> None:
    await gone.app.retire()
    del gone
    # glibc keeps freed memory of unloaded graphs for itself otherwise.
    await asyncio.to_thread(_trim)


def _trim() -> None:
    try:
        ctypes.CDLL(None).malloc_trim(0)
    except (OSError, AttributeError):  # another C library
        logger.debug("this C library cannot hand memory back")
