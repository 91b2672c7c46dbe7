"""The process that is killed: gateway and worker on one ledger, forked from a nursery that has imported everything.

`python -m tests.proof.victim` is the nursery: it reads one JSON object a line and answers each with one. A child
is a real process with nothing of another's memory but the imported code; it is killed with SIGKILL, and what it has
not written to the ledger is gone. Events are handled by the flows' own logic (`flows.worker.settle`) without
Prefect; the Prefect worker's own points are tried by tests/proof/workers.py.
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
from flows.deals.sync_deals import sweep, watch_from_now
from flows.follow_up import sweep as follow_up_sweep
from flows.gateway.app import build_app
from flows.ledger import inbox
from flows.ledger.database import open_ledger
from flows.reconcile.compare import reconcile_all
from flows.services import Services, open_services, override
from flows.trials.rehearsal.desk import Desk, Tally, load
from flows.trials.rehearsal.world import API_KEY, CLIENT_SECRET, GATEWAY
from tests.proof.mutants import MUTANTS
from tests.proof.points import Points
from tests.proof.process import strict
from tests.proof.story import LEADS_TOKEN

_PLENTY = 1_000_000
_POLL_S = 0.003
_CLOCK, _LOOK, _LOOKED, _ASKED, _DONE = 0, 8, 16, 24, 32
_SIZE = 40


class Cell:
    """A few numbers that nursery's children and the director share: virtual time, idleness, the scheduled flows."""

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
    def looks_asked(self) -> int:
        """How often the worker was told to look."""
        return self._get(_LOOK)

    @property
    def looks_done(self) -> int:
        """The last look after which nothing was left to do."""
        return self._get(_LOOKED)

    def ask_for_look(self) -> None:
        """Something may be due."""
        self._set(_LOOK, self.looks_asked + 1)

    def look_done(self, look: int) -> None:
        """The worker has looked and done what was due."""
        self._set(_LOOKED, look)

    @property
    def sweeps_asked(self) -> int:
        """How often the scheduled flows were asked for."""
        return self._get(_ASKED)

    @property
    def sweeps_done(self) -> int:
        """How often they have run to their end."""
        return self._get(_DONE)

    def ask_for_sweep(self) -> None:
        """The schedule strikes."""
        self._set(_ASKED, self.sweeps_asked + 1)

    def sweep_done(self) -> None:
        """They have run."""
        self._set(_DONE, self.sweeps_asked)

    def _get(self, at: int) -> int:
        found: int = struct.unpack_from("Q", self._memory, at)[0]
        return found

    def _set(self, at: int, value: int) -> None:
        struct.pack_into("Q", self._memory, at, value)


@dataclass(frozen=True)
class Life:
    """What one child is given. `die_at`: at which point it kills itself, 0 for never."""

    home: str
    database_url: str
    hubspot_url: str
    sign_url: str
    port: int
    cell: str
    points_log: str
    die_at: int = 0
    mutant: str = ""
    follow_ups: bool = False


def settings_of(life: Life) -> Settings:
    """Real settings, with limits out of the way and short waits."""
    given: dict[str, Any] = {
        "home": life.home,
        "database_url": life.database_url,
        "hubspot_token": "proof",
        "hubspot_base_url": life.hubspot_url,
        "hubspot_client_secret": CLIENT_SECRET,
        "hubspot_burst_per_10s": _PLENTY,
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
    """Be gateway and worker until killed."""
    cell, settings = Cell(Path(life.cell)), settings_of(life)
    Points(life.points_log, life.die_at).install()
    if life.mutant:
        MUTANTS[life.mutant]()
    s = await open_services(settings)
    s.clock = lambda: cell.clock
    app = build_app(settings, s.ledger, s.clock)
    server = uvicorn.Server(
        uvicorn.Config(app, host="127.0.0.1", port=life.port, log_level="error", access_log=False)
    )
    desk = Desk(s, s.http[0], Tally())  # its own gateway client is not used here
    with override(s):
        await watch_from_now(s)
        serving = asyncio.create_task(server.serve())
        while not serving.done():
            look = cell.looks_asked
            if look == cell.looks_done:
                await asyncio.sleep(_POLL_S)
                continue
            if cell.sweeps_done < cell.sweeps_asked:
                await sweep(s)
                await reconcile_all(s)
                if life.follow_ups:
                    await follow_up_sweep.sweep(s)
                cell.sweep_done()
            while await _something_is_due(s):
                await desk.work()
            cell.look_done(look)


async def _something_is_due(s: Services) -> bool:
    async with s.ledger.read() as tx:  # a claim that takes nothing would be a commit, too
        due = await inbox.next_due(tx)
    return due is not None and due <= s.clock()


def main() -> None:
    """The nursery: fork a child for each `spawn`, say how children fare for each `look`."""
    load()
    for name in ("en_US", "de_DE"):  # their data is large, and each child would read it again
        Locale.parse(name).date_formats["medium"]
    # So would it the templates and the process file; and each ledger is a copy of a migrated one.
    templates, process = services.load_templates(Settings()), strict(services.load_process(Settings()))
    services.load_templates = lambda _settings: templates
    services.load_process = lambda _settings: process
    services.open_ledger = partial(open_ledger, migrate=False)
    gc.collect()
    gc.freeze()  # a child's collector would touch, and so copy, all of this
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
            pid = asked["look"]
            if pid not in dead:
                found, status = os.waitpid(pid, 0 if asked.get("wait") else os.WNOHANG)
                if found:
                    dead[pid] = os.waitstatus_to_exitcode(status)
                    alive.discard(pid)
            answer = {"exit": dead.get(pid)}
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()
    for pid in alive:  # nobody directs any more
        os.kill(pid, signal.SIGKILL)


def _fork(life: Life) -> int:
    pid = os.fork()
    if pid:
        return pid
    try:
        nothing = os.open(os.devnull, os.O_RDWR)
        log = os.open(Path(life.home) / "victim.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        for fd, target in ((0, nothing), (1, log), (2, log)):
            os.dup2(target, fd)
        asyncio.run(live(life))
        os._exit(0)
    except BaseException:
        import traceback

        traceback.print_exc()
        os._exit(70)


def spawn_order(life: Life) -> str:
    """The line that makes the nursery fork this child."""
    return json.dumps({"spawn": asdict(life)}) + "\n"


if __name__ == "__main__":
    main()
