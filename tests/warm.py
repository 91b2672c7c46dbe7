"""Our commands as processes that start in a tenth of a second: forked from one that has imported everything already.

They are processes like any other, with an id, signals, logs and an exit code. What differs is that they do not import:
of the five seconds of CPU that sandbox, gateway and worker need to start, four go into that. Tests marked `cold` start
them as operators do.
"""

import atexit
import contextlib
import gc
import multiprocessing
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import IO, Any

from flows.operations.launch import Part, Parts
from tests.places import ROOT

COMMAND = [sys.executable, "-m", "flows"]
NEEDED = (
    "connectors.sandbox.serve",
    "flows.cli.app",
    "flows.cli.run",
    "flows.gateway.app",
    "flows.operations.setup_prefect",
    "flows.prefect_flows",
    "flows.worker.worker",
)
_context = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload(["tests.warm_imports"])


class Forked:
    """A running command; what tests and `Parts` use of subprocess.Popen."""

    def __init__(
        self, arguments: Sequence[str], environment: Mapping[str, str], log: Path, piped: bool
    ) -> None:
        reader, writer = _context.Pipe(duplex=False)
        self.args = [*COMMAND, *arguments]
        self._process = _context.Process(
            target=_become,
            args=(list(arguments), dict(environment), str(log), writer if piped else None),
            daemon=True,  # ended with us, whatever happens to us
        )
        self._process.start()
        writer.close()
        self.stdout: IO[bytes] | None = os.fdopen(os.dup(reader.fileno()), "rb") if piped else None
        reader.close()
        assert self._process.pid is not None
        self.pid: int = self._process.pid

    def poll(self) -> int | None:
        """The exit code, negative for a signal; None while it lives."""
        return self._process.exitcode

    def wait(self, timeout: float | None = None) -> int:
        """The same, once it has ended. Raises subprocess.TimeoutExpired."""
        self._process.join(timeout)
        code = self._process.exitcode
        if code is None:
            raise subprocess.TimeoutExpired(self.args, timeout or 0)
        return code

    def send_signal(self, which: int) -> None:
        """To the process, if it lives."""
        if self.poll() is None:
            os.kill(self.pid, which)

    def terminate(self) -> None:
        """Ask it to stop."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """SIGKILL."""
        self.send_signal(signal.SIGKILL)


@dataclass
class WarmParts(Parts):
    """Starts dealflow's commands forked; anything else as usual."""

    def start(self, name: str, command: Sequence[str], *, stdout: IO[bytes] | int | None = None) -> Part:
        """Start one; its output goes to a log file (stdout to a pipe if asked)."""
        if list(command[:3]) != COMMAND or stdout not in (None, subprocess.PIPE):
            return super().start(name, command, stdout=stdout)
        self.logs.mkdir(parents=True, exist_ok=True)
        log = self.logs / f"{name}.log"
        process: Any = Forked(command[3:], self.environment, log, piped=stdout is not None)
        part = Part(name, process, log)
        self.started.append(part)
        return part


def warm_up(environment: Mapping[str, str]) -> None:
    """Start the process that the others are forked from, once; Prefect reads its settings when it is imported."""
    with _environment(environment):
        first = _context.Process(target=int, daemon=True)
        first.start()
        first.join()


def run_warm(arguments: Sequence[str], environment: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    """Run a command to its end."""
    with tempfile.NamedTemporaryFile() as log:
        process = Forked(arguments, environment, Path(log.name), piped=True)
        assert process.stdout is not None
        with process.stdout:
            out = process.stdout.read().decode()
        return subprocess.CompletedProcess(process.args, process.wait(180), out, log.read().decode())


@contextlib.contextmanager
def _environment(wanted: Mapping[str, str]) -> Iterator[None]:
    before = dict(os.environ)
    _replace(wanted)
    try:
        yield
    finally:
        _replace(before)


def _replace(wanted: Mapping[str, str]) -> None:
    os.environ.clear()
    os.environ.update(wanted)


def _become(arguments: list[str], environment: dict[str, str], log: str, out: Any) -> None:
    os.setsid()
    _replace(environment)
    os.chdir(ROOT)
    written = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.dup2(written, 2)
    os.dup2(out.fileno() if out is not None else written, 1)
    if out is not None:
        out.close()
    code = import_module("flows.cli.app").run(arguments)
    atexit._run_exitfuncs()  # multiprocessing leaves them out
    sys.stdout.flush()
    sys.exit(code)


def load() -> None:
    """Import what the commands need; nothing of it is to be copied by a child's garbage collector."""
    for name in NEEDED:
        import_module(name)
    gc.collect()
    gc.freeze()
