"""Directs victims on one sandbox: starts them, carries deliveries, lets time pass, starts them again when dead."""

import asyncio
import hashlib
import json
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx

from config.files import read_yaml
from flows.operations.launch import free_port
from flows.rules.process.sales_process import SalesProcess, parse_process
from flows.trials.rehearsal.calendar import STARTS
from flows.trials.rehearsal.world import Mail, World, furnish, open_world
from tests.places import ROOT
from tests.proof.process import strict
from tests.proof.story import LEADS_TOKEN
from tests.proof.victim import Cell, Life, spawn_order

PROCESS = ROOT / "config" / "sales_process.yaml"
_LEASE_AND_MORE = timedelta(seconds=150)
_MINUTE = timedelta(minutes=1)
_ROUNDS = 60
_HANGS_S = 60.0
_SEED = 7
_STORIES_A_SANDBOX = 16
"""Several, so that one may disturb another; few, for each is judged by reading all records."""


class Nursery:
    """The process that forks victims."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.proof.victim"],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            bufsize=1,
        )
        self._answer()

    def spawn(self, life: Life) -> int:
        """A new child; its process id."""
        assert self._process.stdin is not None
        self._process.stdin.write(spawn_order(life))
        pid: int = self._answer()["pid"]
        return pid

    def exit_of(self, pid: int, *, wait: bool = False) -> int | None:
        """The exit code, negative for a signal; None while it lives."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"look": pid, "wait": wait}) + "\n")
        found: int | None = self._answer()["exit"]
        return found

    def close(self) -> None:
        """No more children."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(20)

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError("the nursery has died: see its error output")
        found: dict[str, Any] = json.loads(line)
        return found


@dataclass
class House:
    """One sandbox whose HubSpot is provisioned, for one story after another."""

    world: World
    process: SalesProcess
    stage_ids: dict[str, str]
    folder: Path
    stories: int = 0

    async def next_story(self) -> int:
        """The number of the story that comes now; every so many the stand-ins begin anew, and only time goes on."""
        if self.stories and self.stories % _STORIES_A_SANDBOX == 0:
            for vendor in (self.world.hub, self.world.sign):
                (await vendor.post("/_sandbox/reset", json={"seed": _SEED})).raise_for_status()
            await furnish(self.world, self.process)
            self.stage_ids = await stage_ids(self.world, self.process)
        self.stories += 1
        return self.stories


@dataclass
class Theatre(House):
    """A house with a nursery of victims."""

    nursery: Nursery = field(kw_only=True)


@asynccontextmanager
async def open_theatre(folder: Path) -> AsyncIterator[Theatre]:
    """A sandbox whose HubSpot is provisioned, and a nursery; both gone afterwards."""
    process = strict(parse_process(read_yaml(PROCESS)))
    nurseries: list[Nursery] = []
    try:
        async with open_world(
            process, seed=_SEED, starts=STARTS, meanwhile=lambda: nurseries.append(Nursery())
        ) as world:
            yield Theatre(world, process, await stage_ids(world, process), folder, nursery=nurseries[0])
    finally:
        for nursery in nurseries:
            nursery.close()


async def stage_ids(world: World, process: SalesProcess) -> dict[str, str]:
    """Our key -> HubSpot's id, of the provisioned pipeline."""
    answer = await world.hub.get("/crm/pipelines/2026-03/deals", headers={"Authorization": "Bearer observer"})
    pipeline = next(p for p in answer.json()["results"] if p["label"] == process.pipeline)
    by_label = {s["label"]: s["id"] for s in pipeline["stages"]}
    return {stage.key: by_label[stage.hubspot_name] for stage in process.stages}


@dataclass
class Scene:
    """One story's stage: a ledger, and the victim that works on it. See `story.Stage`."""

    theatre: Theatre
    home: Path
    database_url: str
    die_at: int = 0
    mutant: str = ""
    deaf: bool = False  # no callback of Dropbox Sign ever arrives
    follow_ups: bool = False  # the scheduled look for them, too
    deaths: int = 0
    taken: set[tuple[str, str]] = field(default_factory=set)
    _life: Life | None = None
    _pid: int = 0

    @property
    def world(self) -> World:
        """The stand-ins."""
        return self.theatre.world

    @property
    def stage_ids(self) -> dict[str, str]:
        """Our key -> HubSpot's id."""
        return self.theatre.stage_ids

    @property
    def counter_signer(self) -> str:
        """Our own signer's address."""
        person = self.theatre.process.seller.counter_signer
        return person.email if person else ""

    @property
    def points(self) -> list[str]:
        """The points that this scene's victims came by, in order."""
        log = self.home / "points.log"
        return log.read_text().splitlines() if log.exists() else []

    async def __aenter__(self) -> "Scene":
        self.home.mkdir(parents=True, exist_ok=True)
        self._cell = Cell(self.home / "cell")
        self._cell.clock = self.world.now
        self._life = Life(
            home=str(self.home),
            database_url=self.database_url,
            hubspot_url=self.world.hubspot_url,
            sign_url=self.world.sign_url,
            port=free_port(),
            cell=str(self.home / "cell"),
            points_log=str(self.home / "points.log"),
            die_at=self.die_at,
            mutant=self.mutant,
            follow_ups=self.follow_ups,
        )
        self._http = httpx.AsyncClient(
            base_url=f"http://127.0.0.1:{self._life.port}", timeout=30, trust_env=False
        )
        self._pid = self.theatre.nursery.spawn(self._life)
        await self._until_idle()
        await self.world.mail()  # what earlier stories left in the log is not this one's
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._http.aclose()
        if self.theatre.nursery.exit_of(self._pid) is None:
            import os
            import signal

            os.kill(self._pid, signal.SIGKILL)
            self.theatre.nursery.exit_of(self._pid, wait=True)

    async def lead(self, fields: dict[str, str]) -> str:
        """Send the form; whoever gets no answer sends it again."""
        headers = {"Authorization": f"Bearer {LEADS_TOKEN}"}
        request = self._http.build_request("POST", "/leads", json=fields, headers=headers)
        answer = await self._until_taken(request, "lead")
        key: str = answer.json()["lead"]
        return key

    async def settle(self) -> None:
        """Until nothing is delivered and nothing handled any more."""
        for _ in range(_ROUNDS):
            await self._pass(_MINUTE)
            before = self.deaths, self._doings()
            mails = [m for m in await self.world.mail() if not (self.deaf and m.vendor == "dropbox_sign")]
            for mail in mails:
                await self.deliver(mail)
            await self._until_idle()
            if not mails and before == (self.deaths, self._doings()):
                return
        raise AssertionError("the worker does not come to rest")

    def _doings(self) -> int:
        """Grows with whatever the victims do."""
        log = self.home / "points.log"
        return log.stat().st_size if log.exists() else 0

    async def deliver(self, mail: Mail) -> None:
        """As the vendor would: again, byte for byte, until it is acknowledged."""
        request = self._http.build_request("POST", mail.path, content=mail.body, headers=dict(mail.headers))
        await self._until_taken(request, mail.vendor)

    async def sweep(self) -> None:
        """The scheduled flows run once to their end, however often they are killed meanwhile."""
        self._cell.ask_for_sweep()
        for _ in range(_ROUNDS):
            await self._until_idle()
            if self._cell.sweeps_done == self._cell.sweeps_asked:
                break
        await self.settle()

    async def _until_taken(self, request: httpx.Request, source: str) -> httpx.Response:
        for _ in range(3):
            try:
                answer = await self._http.send(request)
            except httpx.TransportError:
                await self._revive()
                continue
            if answer.status_code not in (200, 202):
                raise AssertionError(f"the gateway answered {answer.status_code} to {source}: {answer.text}")
            body = request.content
            self.taken.add((source, hashlib.sha256(body).hexdigest()))
            return answer
        raise AssertionError("the gateway never answered")

    async def _until_idle(self) -> None:
        """Until the worker has looked and found nothing, however often it has to be started again."""
        self._cell.ask_for_look()
        limit, looked = asyncio.get_running_loop().time() + _HANGS_S, 0
        while self._cell.looks_done < self._cell.looks_asked:
            await asyncio.sleep(0.002)
            looked += 1
            if looked % 10 == 0 and self.theatre.nursery.exit_of(self._pid) is not None:
                await self._revive()
                limit = asyncio.get_running_loop().time() + _HANGS_S
            if asyncio.get_running_loop().time() > limit:
                raise AssertionError(f"the victim hangs: see {self.home}/victim.log")

    async def _revive(self) -> None:
        """It is dead: time passes until its leases have run out, and a new one starts, which nobody kills."""
        code = self.theatre.nursery.exit_of(self._pid, wait=True)
        if code != -9:
            raise AssertionError(f"the victim ended by itself with {code}: see {self.home}/victim.log")
        self.deaths += 1
        if self.deaths > 3:
            raise AssertionError("the victim dies again and again")
        await self._pass(_LEASE_AND_MORE)
        assert self._life is not None
        self._pid = self.theatre.nursery.spawn(replace(self._life, die_at=0))
        await self._until_idle()

    async def _pass(self, time: timedelta) -> None:
        await self.world.advance(self.world.now + time)
        self._cell.clock = self.world.now
