"""The Prefect worker's own points: a real `dealflow worker` with a real Prefect server, killed at its own commits.

`crashes.py` kills at every point inside a run, without Prefect; this file kills in what the worker does
around it: claim, create the run, note it, give back, report. `python -m tests.proof.prefect_workers` is such a worker.
"""

import os
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from config.settings import load_settings
from flows.worker import worker
from tests.proof.crash_points import Points
from tests.proof.verdict import Verdict
from tests.stack import PrefectServer, Stack

_LOG, _NAME, _AT = "DEALFLOW_TEST_POINTS", "DEALFLOW_TEST_DIE_IN", "DEALFLOW_TEST_DIE_AT"


def own(name: str) -> bool:
    """Whether this point is in the worker itself."""
    return " in flows.worker.worker." in name


def main() -> None:
    """A worker that kills itself at the point named in the environment."""
    name = os.environ.get(_NAME, "")
    only = (lambda met: met == name) if name else own
    Points(os.environ[_LOG], int(os.environ.get(_AT, "0")), only).install()
    worker.run(load_settings())


def run_workers(folder: Path, *, say: Callable[[str], None]) -> tuple[int, Verdict]:
    """Kill a worker once in each of its own commits, before and after. Returns how many times, and the verdict."""
    found = Verdict()
    with _server(folder) as prefect:
        calm = Counter(play(folder / "calm", prefect, "", 0, found))
        for name in sorted(calm):
            at = calm[name] // 2 + 1  # not in the idle start
            verdict = Verdict()
            play(folder / name.replace(" ", "-"), prefect, name, at, verdict)
            say(f"worker killed {name} ({at} of {calm[name]}): {'well' if verdict.ok else 'BROKEN'}")
            found.add(verdict)
    return len(calm), found


def play(
    home: Path, prefect: PrefectServer, name: str, at: int, found: Verdict, *, warm: bool = False
) -> list[str]:
    """Run a lead to a signed, won deal, while the worker dies the `at`th time that it passes `name` (empty: it does
    not die). Returns the points that it passed. `warm`: see `Stack`.
    """
    home.mkdir(parents=True, exist_ok=True)
    log = home / "points.log"
    stack = Stack(home, prefect, worker_module="tests.proof.prefect_workers", warm=warm)
    more = {_LOG: str(log), _NAME: name, _AT: str(at), "DEALFLOW_WORKER_LEASE_S": "5"}
    try:
        stack.start(**more)
        with _restarted(stack):
            assert stack.lead().status_code == 202
            stack.bring_to_closing()
            stack.until_won()
            stack.until_quiet()
        stack.assert_done_once()
    except AssertionError as problem:
        found.lost.append(f"worker killed {name}: {str(problem)[:600]}")
    finally:
        stack.stop()
    met = log.read_text().splitlines() if log.exists() else []
    if name and not met:
        found.lost.append(f"worker killed {name}: it never passed this point")
    return met


@contextmanager
def _restarted(stack: Stack) -> Iterator[None]:
    """Restart a dead worker, as a service manager does; the new one is not killed."""

    def restart() -> None:
        part = stack.worker
        if part is not None and part.process.poll() is not None:
            stack.parts.started.remove(part)
            stack.parts.environment = {**stack.parts.environment, _AT: "0"}
            stack.start_worker(wait=False)

    stack.meanwhile = restart
    try:
        yield
    finally:
        stack.meanwhile = lambda: None


@contextmanager
def _server(folder: Path) -> Iterator[PrefectServer]:
    folder.mkdir(parents=True, exist_ok=True)
    server = PrefectServer(Path(tempfile.mkdtemp(prefix="prefect-", dir=folder)))
    try:
        server.start()
        server.parts.run("setup", "setup")
        yield server
    finally:
        server.stop()


if __name__ == "__main__":
    main()
