"""The process that is killed: gateway and worker on one ledger, forked from a spawner that has imported everything.

`python -m tests.proof.worker_process` is the spawner: it reads one JSON object per line and answers each with one. A
child is a real process that shares only the imported code; it is killed with SIGKILL, and what it has not written to
the ledger is lost. Events are handled by the flows' own logic (`flows.worker.settle`) without Prefect; the Prefect
worker's own points are tried by tests/proof/prefect_workers.py.
"""

import asyncio
import gc
import json
import mmap
import os
import signal
import struct
import sys
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import uvicorn
from babel import Locale

from config.settings import Settings
from flows import services
from flows.deals.stage_entries import watch_from_now
from flows.deals.sync_deals import sweep
from flows.follow_up import sweep as follow_up_sweep
from flows.gateway.app import build_app
from flows.ledger import inbox
from flows.ledger.database import open_ledger
from flows.reconcile.compare import reconcile_all
from flows.services import Services, open_services, override
from flows.trials.rehearsal.desk import Desk, Tally, load
from flows.trials.rehearsal.world import API_KEY, CLIENT_SECRET, GATEWAY
from tests.desk import without_pace
from tests.proof.crash_points import Points
from tests.proof.mutants import MUTANTS
from tests.proof.story import LEADS_TOKEN
from tests.proof.strict_process import strict

_PLENTY = 1_000_000
_POLL_S = 0.003
_CLOCK, _CHECK, _CHECKED, _ASKED, _DONE = 0, 8, 16, 24, 32
_SIZE = 40


class SharedState:
    """Numbers that a worker process and its harness share: virtual time, idle checks, scheduled flows."""

    def __init__(self, path: Path) -> None:
        if not path.exists():
            path.write_bytes(bytes(_SIZE))
        with path.open("r+b") as file:
            self._memory = mmap.mmap(file.fileno(), _SIZE)

    @property
    def clock(self) -> datetime:
        """The stand-ins' virtual time."""
        return datetime.fromtimestamp(struct.unpack_from("d", self._memory, _CLOCK)[0], UTC)

    @clock.setter
    def clock(self, now: datetime) -> None:
        struct.pack_into("d", self._memory, _CLOCK, now.timestamp())

    @property
    def checks_asked(self) -> int:
        """How often the worker was asked to check for work."""
        return self._get(_CHECK)

    @property
    def checks_done(self) -> int:
        """The last check after which nothing was left to do."""
        return self._get(_CHECKED)

    def ask_for_check(self) -> None:
        """Ask for a check: something may be due."""
        self._set(_CHECK, self.checks_asked + 1)

    def check_done(self, check: int) -> None:
        """Record that the worker has done everything that was due."""
        self._set(_CHECKED, check)

    @property
    def sweeps_asked(self) -> int:
        """How often the scheduled flows were requested."""
        return self._get(_ASKED)

    @property
    def sweeps_done(self) -> int:
        """How often they were completed."""
        return self._get(_DONE)

    def ask_for_sweep(self) -> None:
        """Request the scheduled flows."""
        self._set(_ASKED, self.sweeps_asked + 1)

    def sweep_done(self) -> None:
        """Record that they were completed."""
        self._set(_DONE, self.sweeps_asked)

    def _get(self, at: int) -> int:
        found: int = struct.unpack_from("Q", self._memory, at)[0]
        return found

    def _set(self, at: int, value: int) -> None:
        struct.pack_into("Q", self._memory, at, value)


@dataclass(frozen=True)
class Life:
    """The parameters of one child. `die_at`: the point at which it kills itself, 0 for never."""

    home: str
    database_url: str
    hubspot_url: str
    sign_url: str
    port: int
    shared: str
    points_log: str
    die_at: int = 0
    mutant: str = ""
    follow_ups: bool = False


def settings_of(life: Life) -> Settings:
    """Real settings, without call limits and with short waits."""
    given: dict[str, Any] = {
        "home": life.home,
        "database_url": life.database_url,
        "hubspot_token": "proof",
        "hubspot_base_url": life.hubspot_url,
        "hubspot_client_secret": CLIENT_SECRET,
        "dropbox_sign_api_key": API_KEY,
        "dropbox_sign_base_url": f"{life.sign_url}/v3",
        "dropbox_sign_calls_per_minute": _PLENTY,
        "leads_token": LEADS_TOKEN,
        "public_url": GATEWAY,
        "gateway_port": life.port,
        "ops_password": "proof",
    }
    return Settings.model_validate(given)


async def live(life: Life) -> None:
    """Run gateway and worker until killed."""
    shared, settings = SharedState(Path(life.shared)), settings_of(life)
    Points(life.points_log, life.die_at).install()
    if life.mutant:
        MUTANTS[life.mutant]()
    s = await open_services(settings)
    s.hubspot = without_pace(s)
    s.clock = lambda: shared.clock
    app = build_app(settings, s.ledger, s.clock)
    server = uvicorn.Server(
        uvicorn.Config(app, host="127.0.0.1", port=life.port, log_level="error", access_log=False)
    )
    desk = Desk(s, s.http[0], Tally())  # its own gateway client is not used here
    with override(s):
        await watch_from_now(s)
        serving = asyncio.create_task(server.serve())
        while not serving.done():
            check = shared.checks_asked
            if check == shared.checks_done:
                await asyncio.sleep(_POLL_S)
                continue
            if shared.sweeps_done < shared.sweeps_asked:
                await sweep(s)
                await reconcile_all(s)
                if life.follow_ups:
                    await follow_up_sweep.sweep(s)
                shared.sweep_done()
            while await _something_is_due(s):
                await desk.work()
            shared.check_done(check)


async def _something_is_due(s: Services) -> bool:
    async with s.ledger.read() as tx:  # an empty claim would be a commit, too
        due = await inbox.next_due(tx)
    return due is not None and due <= s.clock()


def main() -> None:
    """The spawner: fork a child for each `spawn`, answer each `exit_of` with the exit code."""
    load()
    for name in ("en_US", "de_DE"):  # their data is large, and each child would read it again
        Locale.parse(name).date_formats["medium"]
    # The same holds for templates and the process file; and each ledger is a copy of a migrated one.
    templates, process = services.load_templates(Settings()), strict(services.load_process(Settings()))
    services.load_templates = lambda _settings: templates
    services.load_process = lambda _settings: process
    services.open_ledger = partial(open_ledger, migrate=False)
    gc.collect()
    gc.freeze()  # a child's garbage collector would touch, and so copy, all of this
    alive: set[int] = set()
    dead: dict[int, int] = {}
    sys.stdout.write(json.dumps({"ready": os.getpid()}) + "\n")
    sys.stdout.flush()
    for line in sys.stdin:
        asked = json.loads(line)
        if "spawn" in asked:
            answer: dict[str, Any] = {"pid": _fork(Life(**asked["spawn"]))}
            alive.add(answer["pid"])
        else:
            pid = asked["exit_of"]
            if pid not in dead:
                found, status = os.waitpid(pid, 0 if asked.get("wait") else os.WNOHANG)
                if found:
                    dead[pid] = os.waitstatus_to_exitcode(status)
                    alive.discard(pid)
            answer = {"exit": dead.get(pid)}
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()
    for pid in alive:  # no harness is left
        os.kill(pid, signal.SIGKILL)


def _fork(life: Life) -> int:
    pid = os.fork()
    if pid:
        return pid
    try:
        nothing = os.open(os.devnull, os.O_RDWR)
        log = os.open(Path(life.home) / "process.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        for fd, target in ((0, nothing), (1, log), (2, log)):
            os.dup2(target, fd)
        asyncio.run(live(life))
        os._exit(0)
    except BaseException:
        import traceback

        traceback.print_exc()
        os._exit(70)


def spawn_order(life: Life) -> str:
    """The line that asks the spawner to fork this child."""
    return json.dumps({"spawn": asdict(life)}) + "\n"


if __name__ == "__main__":
    main()
