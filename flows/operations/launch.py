"""Starts the parts of dealflow as processes of this machine, waits until they answer, and stops them again."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, TYPE_CHECKING

import httpx

from flows.errors import FlowError
from flows.operations.prefect_environment import PREFECT_QUIET

if TYPE_CHECKING:
    from config.settings import Settings

HOST = "127.0.0.1"

PREFECT_BATCHED = {
    # Without these, a SQLite-backed server writes task events one by one and runs wait seconds for them.
    "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_BATCH_SIZE": "200",
    "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_READ_BATCH_SIZE": "200",
    "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_FLUSH_INTERVAL": "1",
    "PREFECT_SERVER_SERVICES_EVENT_PERSISTER_BATCH_SIZE": "500",
    "PREFECT_SERVER_SERVICES_EVENT_PERSISTER_READ_BATCH_SIZE": "200",
    # Marking runs late fights the API for SQLite's write lock when a burst waits.
    "PREFECT_SERVER_SERVICES_LATE_RUNS_AFTER_SECONDS": "60",
}


class LaunchError(FlowError):
    """A part did not start. The text names it and shows the end of its log."""


def prefect_environment(home: Path, port: int) -> dict[str, str]:
    """What Prefect's server and clients need in their environment. `home` holds its database."""
    return {
        **PREFECT_QUIET,
        **PREFECT_BATCHED,
        "PREFECT_HOME": str(home.resolve()),
        "PREFECT_API_URL": f"http://{HOST}:{port}/api",
        "PREFECT_SERVER_API_HOST": HOST,
        # --port alone leaves the UI calling port 4200.
        "PREFECT_SERVER_API_PORT": str(port),
    }


def _assert_free(host: str, port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as problem:
            raise LaunchError(
                f"port {port} on {host} cannot be used ({problem.strerror}): set --prefect-port or "
                "DEALFLOW_GATEWAY_PORT to another"
            ) from None


def free_port() -> int:
    """A port that nobody listens on at this moment."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


@dataclass
class Part:
    """A started process with its log file."""

    name: str
    process: subprocess.Popen[bytes]
    log: Path


@dataclass
class Parts:
    """The processes we started. Only these are ever stopped."""

    logs: Path
    environment: Mapping[str, str]
    started: list[Part] = field(default_factory=list)

    def start(self, name: str, command: Sequence[str], *, stdout: IO[bytes] | int | None = None) -> Part:
        """Start one; its output goes to a log file (stdout elsewhere if asked)."""
        self.logs.mkdir(parents=True, exist_ok=True)
        log = self.logs / f"{name}.log"
        with log.open("ab") as out:
            process = subprocess.Popen(  # noqa: S603 - our own commands
                list(command),
                stdin=subprocess.DEVNULL,
                stdout=out if stdout is None else stdout,
                stderr=out,
                env=dict(self.environment),
                start_new_session=True,  # Ctrl-C reaches us alone; we stop them in order
            )
        part = Part(name, process, log)
        self.started.append(part)
        return part

    def dealflow(self, name: str, *arguments: str, stdout: IO[bytes] | int | None = None) -> Part:
        """Start a dealflow command."""
        return self.start(name, [sys.executable, "-m", "flows", *arguments], stdout=stdout)

    def sandbox(self, *options: str) -> dict[str, str]:
        """Start the stand-ins; their addresses by vendor. Raises LaunchError when they do not start."""
        part = self.dealflow("sandbox", "sandbox", *options, stdout=subprocess.PIPE)
        assert part.process.stdout is not None
        line = part.process.stdout.readline()
        part.process.stdout.close()
        if not line:
            raise LaunchError(f"the sandbox did not start:\n{tail(part.log)}")
        urls: dict[str, str] = json.loads(line)
        return urls

    def run(self, name: str, *arguments: str, timeout_s: float = 180) -> None:
        """Run a dealflow command to its end. Raises LaunchError when it fails."""
        self.finish(self.dealflow(name, *arguments), timeout_s=timeout_s)

    def finish(self, part: Part, *, timeout_s: float = 180) -> None:
        """Wait for the end of a command that was started. Raises LaunchError when it fails or takes too long."""
        try:
            code = part.process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            raise LaunchError(f"{part.name} took longer than {timeout_s:.0f} s:\n{tail(part.log)}") from None
        self.started.remove(part)
        if code != 0:
            raise LaunchError(f"{part.name} failed:\n{tail(part.log)}")

    def wait_for(self, part: Part, url: str, *, timeout_s: float = 120) -> None:
        """Until the part answers with a success. Raises LaunchError when it ends or takes too long."""
        until = time.monotonic() + timeout_s
        with httpx.Client(timeout=2, trust_env=False) as client:
            while time.monotonic() < until:
                if part.process.poll() is not None:
                    raise LaunchError(f"{part.name} stopped at once:\n{tail(part.log)}")
                with contextlib.suppress(httpx.HTTPError):
                    if client.get(url).is_success:
                        return
                time.sleep(0.1)
        raise LaunchError(f"{part.name} did not answer within {timeout_s:.0f} s:\n{tail(part.log)}")

    def stop(self) -> None:
        """Ask all to stop, the last started first; what does not stop within ten seconds is killed.

        The first (Prefect's server) is asked last, so that the others can still report to it.
        """
        self._end(self.started[1:])
        self._end(self.started[:1])
        self.started.clear()

    def _end(self, parts: list[Part]) -> None:
        for part in reversed(parts):
            if part.process.poll() is None:
                part.process.send_signal(signal.SIGTERM)
        until = time.monotonic() + 10
        for part in reversed(parts):
            with contextlib.suppress(subprocess.TimeoutExpired):
                part.process.wait(max(0.1, until - time.monotonic()))
            if part.process.poll() is None:
                part.process.kill()
                part.process.wait(10)


@contextlib.contextmanager
def stoppable() -> Iterator[None]:
    """SIGTERM and SIGINT raise KeyboardInterrupt inside the block, also where a shell had them ignored."""

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    before = {name: signal.signal(name, stop) for name in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for name, handler in before.items():
            signal.signal(name, handler)


def tail(log: Path, lines: int = 15) -> str:
    """The end of a log."""
    return "\n".join(log.read_text(errors="replace").splitlines()[-lines:])


def run_all(settings: "Settings", *, prefect_port: int) -> None:
    """Prefect server, gateway and worker with the settings in force, until a signal. Raises LaunchError."""
    from flows.gateway.app import (
        check,  # here, because the demo does without it and it takes seconds to import
    )

    settings.require("hubspot_token", "dropbox_sign_api_key")
    check(settings)
    home = settings.home.resolve()
    environment = {**os.environ, **prefect_environment(home / "prefect", prefect_port)}
    parts = Parts(home / "logs", environment)
    with stoppable(), contextlib.suppress(KeyboardInterrupt):
        _run_until_stopped(parts, settings, prefect_port)


PREFECT_SERVER = (sys.executable, "-m", "prefect", "server", "start")
WAIT = "--wait=180"
"""Parts start side by side, because importing takes each of them seconds; each waits for what it needs."""
_Start = Callable[[], Part]


def _keep_alive(parts: Parts, running: dict[str, tuple[Part, _Start]]) -> None:
    """Start again whatever dies, later each time; the others (the gateway above all) go on meanwhile."""
    wait_s = dict.fromkeys(running, 1.0)
    due = dict.fromkeys(running, 0.0)
    while True:
        time.sleep(0.5)
        now = time.monotonic()
        for name, (part, start) in running.items():
            if part.process.poll() is None:
                continue
            if not due[name]:
                due[name] = now + wait_s[name]
                sys.stderr.write(
                    f"{name} stopped, starting again in {wait_s[name]:.0f} s:\n{tail(part.log, 3)}\n"
                )
                wait_s[name] = min(60.0, wait_s[name] * 2)
            elif now >= due[name]:
                due[name] = 0.0
                parts.started.remove(part)
                running[name] = (start(), start)


def _run_until_stopped(parts: Parts, settings: "Settings", prefect_port: int) -> None:
    for host, port in ((HOST, prefect_port), (settings.gateway_host, settings.gateway_port)):
        _assert_free(host, port)
    try:
        starts: dict[str, _Start] = {
            "prefect-server": lambda: parts.start("prefect-server", PREFECT_SERVER),
            "gateway": lambda: parts.dealflow("gateway", "gateway"),
            "worker": lambda: parts.dealflow("worker", "worker", WAIT),
        }
        server = starts["prefect-server"]()
        setup = parts.dealflow("setup", "setup", WAIT)
        gateway = starts["gateway"]()
        address = f"http://{settings.gateway_host}:{settings.gateway_port}"
        # One after the other: where there are two cores, Prefect's server needs one of them.
        parts.wait_for(gateway, f"{address}/metrics")
        worker = starts["worker"]()
        parts.wait_for(server, f"http://{HOST}:{prefect_port}/api/health")
        parts.finish(setup)
        parts.wait_for(gateway, f"{address}/healthz")
        started = {"prefect-server": server, "gateway": gateway, "worker": worker}
        running = {name: (part, starts[name]) for name, part in started.items()}
        sys.stdout.write(
            f"Prefect UI  http://{HOST}:{prefect_port}\nGateway     {address}\n"
            f"Ops page    {address}/  (user {settings.ops_user})\nLogs        {parts.logs}\nCtrl-C stops all.\n"
        )
        sys.stdout.flush()
        _keep_alive(parts, running)
    finally:
        parts.stop()
