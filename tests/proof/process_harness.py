"""Runs worker processes on one sandbox: starts them, delivers, lets time pass, restarts dead ones."""

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
from flows.trials.rehearsal.world import Delivery, World, furnish, open_world
from tests.places import ROOT
from tests.proof.story import LEADS_TOKEN
from tests.proof.strict_process import strict
from tests.proof.worker_process import Life, SharedState, spawn_order

PROCESS = ROOT / "config" / "sales_process.yaml"
_LEASE_AND_MORE = timedelta(seconds=150)
_MINUTE = timedelta(minutes=1)
_ROUNDS = 60
_HANGS_S = 60.0
_SEED = 7
_STORIES_A_SANDBOX = 16
"""Several, so that one may disturb another; few, because each is judged by reading all records."""


class Spawner:
    """The process that forks worker processes."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.proof.worker_process"],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            bufsize=1,
        )
        self._answer()

    def spawn(self, life: Life) -> int:
        """Start a new child; returns its process id."""
        assert self._process.stdin is not None
        self._process.stdin.write(spawn_order(life))
        pid: int = self._answer()["pid"]
        return pid

    def exit_of(self, pid: int, *, wait: bool = False) -> int | None:
        """The exit code, negative for a signal; None while it lives."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"exit_of": pid, "wait": wait}) + "\n")
        found: int | None = self._answer()["exit"]
        return found

    def close(self) -> None:
        """Stop the spawner."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(20)

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError("the spawner has died: see its error output")
        found: dict[str, Any] = json.loads(line)
        return found


@dataclass
class Environment:
    """One sandbox whose HubSpot is provisioned, for successive stories."""

    world: World
    process: SalesProcess
    stage_ids: dict[str, str]
    folder: Path
    stories: int = 0

    async def next_story(self) -> int:
        """The number of the next story; after several stories the stand-ins are reset, but time continues."""
        if self.stories and self.stories % _STORIES_A_SANDBOX == 0:
            for vendor in (self.world.hub, self.world.sign):
                (await vendor.post("/_sandbox/reset", json={"seed": _SEED})).raise_for_status()
            await furnish(self.world, self.process)
            self.stage_ids = await stage_ids(self.world, self.process)
        self.stories += 1
        return self.stories


@dataclass
class CrashEnvironment(Environment):
    """An environment with a spawner of worker processes."""

    spawner: Spawner = field(kw_only=True)


@asynccontextmanager
async def open_crash_environment(folder: Path) -> AsyncIterator[CrashEnvironment]:
    """A sandbox whose HubSpot is provisioned, and a spawner; both are closed afterwards."""
    process = strict(parse_process(read_yaml(PROCESS)))
    spawners: list[Spawner] = []
    try:
        async with open_world(
            process, seed=_SEED, starts=STARTS, meanwhile=lambda: spawners.append(Spawner())
        ) as world:
            yield CrashEnvironment(
                world, process, await stage_ids(world, process), folder, spawner=spawners[0]
            )
    finally:
        for spawner in spawners:
            spawner.close()


async def stage_ids(world: World, process: SalesProcess) -> dict[str, str]:
    """Stage key -> HubSpot's id, of the provisioned pipeline."""
    answer = await world.hub.get("/crm/pipelines/2026-03/deals", headers={"Authorization": "Bearer observer"})
    pipeline = next(p for p in answer.json()["results"] if p["label"] == process.pipeline)
    by_label = {s["label"]: s["id"] for s in pipeline["stages"]}
    return {stage.key: by_label[stage.hubspot_name] for stage in process.stages}


@dataclass
class ProcessHarness:
    """The harness of one story: a ledger and a worker process on it. See `story.Harness`."""

    environment: CrashEnvironment
    home: Path
    database_url: str
    die_at: int = 0
    mutant: str = ""
    no_callbacks: bool = False  # no callback of Dropbox Sign ever arrives
    follow_ups: bool = False  # the scheduled flows include follow-ups
    deaths: int = 0
    taken: set[tuple[str, str]] = field(default_factory=set)
    _life: Life | None = None
    _pid: int = 0

    @property
    def world(self) -> World:
        """The stand-ins."""
        return self.environment.world

    @property
    def stage_ids(self) -> dict[str, str]:
        """Stage key -> HubSpot's id."""
        return self.environment.stage_ids

    @property
    def counter_signer(self) -> str:
        """Our own signer's address."""
        person = self.environment.process.seller.counter_signer
        return person.email if person else ""

    @property
    def points(self) -> list[str]:
        """The points that the worker processes passed, in order."""
        log = self.home / "points.log"
        return log.read_text().splitlines() if log.exists() else []

    async def __aenter__(self) -> "ProcessHarness":
        self.home.mkdir(parents=True, exist_ok=True)
        self._shared = SharedState(self.home / "cell")
        self._shared.clock = self.world.now
        self._life = Life(
            home=str(self.home),
            database_url=self.database_url,
            hubspot_url=self.world.hubspot_url,
            sign_url=self.world.sign_url,
            port=free_port(),
            shared=str(self.home / "cell"),
            points_log=str(self.home / "points.log"),
            die_at=self.die_at,
            mutant=self.mutant,
            follow_ups=self.follow_ups,
        )
        self._http = httpx.AsyncClient(
            base_url=f"http://127.0.0.1:{self._life.port}", timeout=30, trust_env=False
        )
        self._pid = self.environment.spawner.spawn(self._life)
        await self._until_idle()
        await self.world.deliveries()  # skip the log of earlier stories
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._http.aclose()
        if self.environment.spawner.exit_of(self._pid) is None:
            import os
            import signal

            os.kill(self._pid, signal.SIGKILL)
            self.environment.spawner.exit_of(self._pid, wait=True)

    async def lead(self, fields: dict[str, str]) -> str:
        """Send the form, again if there is no answer."""
        headers = {"Authorization": f"Bearer {LEADS_TOKEN}"}
        request = self._http.build_request("POST", "/leads", json=fields, headers=headers)
        answer = await self._until_taken(request, "lead")
        key: str = answer.json()["lead"]
        return key

    async def settle(self) -> None:
        """Work until there is nothing to deliver and nothing to handle."""
        for _ in range(_ROUNDS):
            await self._pass(_MINUTE)
            before = self.deaths, self._doings()
            deliveries = [
                m
                for m in await self.world.deliveries()
                if not (self.no_callbacks and m.vendor == "dropbox_sign")
            ]
            for delivery in deliveries:
                await self.deliver(delivery)
            await self._until_idle()
            if not deliveries and before == (self.deaths, self._doings()):
                return
        raise AssertionError("the worker does not become idle")

    def _doings(self) -> int:
        """A number that grows with the work of the processes."""
        log = self.home / "points.log"
        return log.stat().st_size if log.exists() else 0

    async def deliver(self, delivery: Delivery) -> None:
        """Deliver as the vendor does: again, byte for byte, until it is acknowledged."""
        request = self._http.build_request(
            "POST", delivery.path, content=delivery.body, headers=dict(delivery.headers)
        )
        await self._until_taken(request, delivery.vendor)

    async def sweep(self) -> None:
        """Run the scheduled flows once to their end, even if they are killed meanwhile."""
        self._shared.ask_for_sweep()
        for _ in range(_ROUNDS):
            await self._until_idle()
            if self._shared.sweeps_done == self._shared.sweeps_asked:
                break
        await self.settle()

    async def _until_taken(self, request: httpx.Request, source: str) -> httpx.Response:
        for _ in range(3):
            try:
                answer = await self._http.send(request)
            except httpx.TransportError:
                await self._restart()
                continue
            if answer.status_code not in (200, 202):
                raise AssertionError(f"the gateway answered {answer.status_code} to {source}: {answer.text}")
            body = request.content
            self.taken.add((source, hashlib.sha256(body).hexdigest()))
            return answer
        raise AssertionError("the gateway never answered")

    async def _until_idle(self) -> None:
        """Wait until the worker has checked and found nothing, with restarts if needed."""
        self._shared.ask_for_check()
        limit, polls = asyncio.get_running_loop().time() + _HANGS_S, 0
        while self._shared.checks_done < self._shared.checks_asked:
            await asyncio.sleep(0.002)
            polls += 1
            if polls % 10 == 0 and self.environment.spawner.exit_of(self._pid) is not None:
                await self._restart()
                limit = asyncio.get_running_loop().time() + _HANGS_S
            if asyncio.get_running_loop().time() > limit:
                raise AssertionError(f"the worker process hangs: see {self.home}/process.log")

    async def _restart(self) -> None:
        """Replace the dead process: let its leases expire and start a new one, which is not killed."""
        code = self.environment.spawner.exit_of(self._pid, wait=True)
        if code != -9:
            raise AssertionError(
                f"the worker process ended by itself with {code}: see {self.home}/process.log"
            )
        self.deaths += 1
        if self.deaths > 3:
            raise AssertionError("the worker process dies again and again")
        await self._pass(_LEASE_AND_MORE)
        assert self._life is not None
        self._pid = self.environment.spawner.spawn(replace(self._life, die_at=0))
        await self._until_idle()

    async def _pass(self, time: timedelta) -> None:
        await self.world.advance(self.world.now + time)
        self._shared.clock = self.world.now
