"""The simulator itself: a server in a thread of its own, or in the foreground."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from importlib.metadata import entry_points
from types import TracebackType

from aiohttp import web

from llmkit.errors import ConfigError
from llmkit.simulated import SimulatedVendor
from llmkit.simulator.engine import Engine
from llmkit.simulator.faults import Fault, Rule
from llmkit.simulator.ledger import Ledger
from llmkit.simulator.limits import Limit
from llmkit.simulator.script import Said, Script, echo, from_list
from llmkit.simulator.serving import Service
from llmkit.simulator.traffic import Traffic

GROUP = "llmkit.simulators"
"""The entry-point group of the vendors' simulated halves."""


class Simulator:
    """A local server that speaks the wire of every vendor.

    It runs in a thread of its own from :meth:`start` (or the first :meth:`base_url`, or ``with``) to :meth:`stop`.

    :param seed: ids, and whether faults with a rate happen, depend on it, on the key and on the number of the key's request.
    :param script: a function from a :class:`~llmkit.simulated.Question` to an answer, its text or a fault, or a list of these
        to be given in turn; None echoes, see :mod:`llmkit.simulator.script`.
    :param latency: seconds before every answer.
    :param token_rate: tokens a second; None for as fast as can be.
    :param rate_limits: by key (``"*"`` for any other key), requests per minute, ``(requests, seconds)`` or the fields of
        :class:`~llmkit.simulator.limits.KeyLimits`, such as ``{"rpm": 60, "tpm": 10_000, "concurrency": 5}``; counted per vendor.
    :param faults: rules that hold from the start; a text stands for a rule without conditions.
    :param keys: keys that are accepted; None for any.
    :param models: by vendor, the models it has; a vendor that is not named lists its usual ones and answers for any.
    :param port: 0 for a free one.
    :param vendors: simulated halves; None for all that are installed.
    :raises ConfigError: for a fault or a limit that is none.
    """

    def __init__(
        self,
        seed: int = 0,
        script: Script | Iterable[Said] | None = None,
        *,
        latency: float = 0.0,
        token_rate: float | None = None,
        rate_limits: Mapping[str, Limit] | None = None,
        faults: Iterable[str | Fault | Rule] = (),
        keys: Iterable[str] | None = None,
        models: Mapping[str, Sequence[str]] | None = None,
        host: str = "127.0.0.1",
        port: int = 0,
        vendors: Iterable[SimulatedVendor] | None = None,
    ) -> None:
        self._broken: dict[str, str] = {}
        halves = installed(self._broken) if vendors is None else list(vendors)
        self._engine = Engine(
            {name: half for half in halves for name in half.names},
            seed=seed,
            script=_script(script),
            rate_limits=rate_limits,
            keys=keys,
            models=models,
        )
        for fault in faults:
            self._engine.rules.append(fault if isinstance(fault, Rule) else Rule(_fault(fault)))
        self._service = Service(self._engine, latency, token_rate)
        self._host = host
        self._port = port
        self._starting = threading.Lock()
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stopping: asyncio.Event | None = None

    # ------------------------------------------------------------------------------------------- its life

    def start(self) -> Simulator:
        """Start the server, if it does not run.

        :raises OSError: if the port is taken.
        """
        with self._starting:
            if self._thread is None:
                ready: list[BaseException | None] = []
                told = threading.Event()

                def tell(problem: BaseException | None) -> None:
                    ready.append(problem)
                    told.set()

                def work() -> None:
                    try:
                        self._run(tell)
                    except BaseException as problem:
                        if told.is_set():
                            raise
                        tell(problem)  # else whoever starts it would wait for ever

                thread = threading.Thread(target=work, name="llmkit-simulator", daemon=True)
                thread.start()
                told.wait()
                if ready[0] is not None:
                    thread.join()
                    raise ready[0]
                self._thread = thread
        return self

    def stop(self) -> None:
        """Stop the server and drop its connections. May be called twice."""
        with self._starting:
            thread, self._thread = self._thread, None
            if thread is not None and self._loop is not None and self._stopping is not None:
                self._loop.call_soon_threadsafe(self._stopping.set)
                thread.join()

    def __enter__(self) -> Simulator:
        return self.start()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.stop()

    def serve(self, ready: Callable[[Simulator], None]) -> None:
        """Run in this thread until it is interrupted; ``ready`` is called when the server listens."""

        def tell(problem: BaseException | None) -> None:
            if problem is not None:
                raise problem
            ready(self)

        self._thread = threading.current_thread()
        try:
            self._run(tell)
        finally:
            self._thread = None

    def _run(self, tell: Callable[[BaseException | None], None]) -> None:
        asyncio.run(self._main(tell))

    async def _main(self, tell: Callable[[BaseException | None], None]) -> None:
        self._loop = asyncio.get_running_loop()
        self._stopping = asyncio.Event()
        runner = web.ServerRunner(self._service.server(), shutdown_timeout=0.05)
        await runner.setup()
        assert runner.server is not None
        try:
            try:
                server = await self._loop.create_server(runner.server, self._host, self._port, backlog=4096)
            except OSError as problem:
                tell(problem)
                return
            self._port = server.sockets[0].getsockname()[1]
            tell(None)
            try:
                await self._stopping.wait()
            finally:
                for listening in server.sockets:  # asyncio cannot end a server that is just letting somebody in
                    self._loop.remove_reader(listening.fileno())
                await asyncio.sleep(0.001)
                server.close()
        finally:
            await runner.cleanup()
            await self._service.drop()

    # ------------------------------------------------------------------------------------------- what tests ask and set

    @property
    def url(self) -> str:
        """The server's origin. Starts the server."""
        self.start()
        return f"http://{self._host}:{self._port}"

    @property
    def vendors(self) -> tuple[str, ...]:
        """Names of the vendors it speaks for."""
        return tuple(sorted(self._engine.halves))

    def base_url(self, vendor: str) -> str:
        """The ``base_url`` for an instance of a vendor, shaped as the vendor's own. Starts the server.

        :raises ConfigError: for a vendor it does not know.
        """
        half = self._engine.halves.get(vendor)
        if half is None:
            trouble = "".join([f"; {name} could not be loaded: {why}" for name, why in self._broken.items()])
            raise ConfigError(f"the simulator has no vendor {vendor!r}; it has {', '.join(self.vendors) or 'none'}{trouble}")
        return f"{self.url}/{vendor}{half.base_path(vendor)}"

    @property
    def ledger(self) -> Ledger:
        """What came in and what was served."""
        return self._engine.ledger

    @property
    def traffic(self) -> Traffic:
        """What came in when, with the tokens of each: how much a window of a minute has seen at most, and curves for plots."""
        return self._engine.traffic

    def script(self, script: Script | Iterable[Said] | None) -> None:
        """Answer by another script from now on; None echoes."""
        self._engine.script = _script(script)

    def fail(
        self,
        fault: str | int | Fault,
        *,
        vendor: str | None = None,
        model: str | None = None,
        key: str | None = None,
        times: int | None = None,
        rate: float = 1.0,
    ) -> None:
        """Let calls fail from now on; see :mod:`llmkit.simulator.faults`. Rules are tried in the order they were made.

        :param times: how often at most; None for no limit.
        :param rate: how probable it is, from 0 to 1.
        :raises ConfigError: for a fault that is none.
        """
        self._engine.rules.append(Rule(_fault(fault), vendor, model, key, times, rate))

    def heal(self) -> None:
        """Forget every rule."""
        self._engine.rules.clear()


def installed(broken: dict[str, str]) -> list[SimulatedVendor]:
    """The simulated halves that are installed, llmkit's own last, so that none of their names is taken by another's; those
    that cannot be loaded are put into ``broken``, with the reason."""
    halves = []
    for point in sorted(entry_points(group=GROUP), key=lambda point: point.dist is not None and point.dist.name == "llmkit"):
        try:
            halves.append(point.load()())
        except Exception as problem:  # somebody else's module may raise anything, and must not hurt the others
            broken[point.name] = f"{type(problem).__name__}: {problem}"
    return halves


def _script(given: Script | Iterable[Said] | None) -> Script:
    if given is None:
        return echo
    return given if callable(given) else from_list(given)


def _fault(given: str | int | Fault) -> Fault:
    return given if isinstance(given, Fault) else Fault.parse(str(given))


def run(
    host: str = "127.0.0.1",
    port: int = 8089,
    *,
    seed: int = 0,
    latency: float = 0.0,
    token_rate: float | None = None,
    rate_limits: Mapping[str, Limit] | None = None,
    faults: Iterable[str] = (),
    say: Callable[[str], None] | None = None,
) -> None:
    """Run a simulator in the foreground until it is interrupted.

    :param say: is told one line per vendor, its name and its base URL; None for none.
    :raises ConfigError: for a fault that is none, or if no vendor's simulated half is installed.
    :raises OSError: if the port is taken.
    """
    simulator = Simulator(
        seed, latency=latency, token_rate=token_rate, rate_limits=rate_limits, faults=faults, host=host, port=port
    )

    if not simulator.vendors:
        raise ConfigError(f"no simulated vendors are installed (entry-point group {GROUP}); is llmkit itself?")

    def ready(simulator: Simulator) -> None:
        if say is not None:
            for vendor in simulator.vendors:
                say(f"{vendor:<18} {simulator.base_url(vendor)}")

    try:
        simulator.serve(ready)
    except KeyboardInterrupt:
        return
