"""`dealflow worker`: a long-lived process that claims due events, runs their flows warm, and runs what the
Prefect schedule or an operator has asked for.

Woken at once by the gateway (UDP on loopback) or by PostgreSQL (LISTEN), with a slow poll as the safety net.
While the Prefect server is unavailable it waits with back-off and reports it; nothing is lost.
"""

import asyncio
import contextlib
import hashlib
import logging
import os
import signal
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import httpx
from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.objects import FlowRun
from prefect.client.schemas.responses import DeploymentResponse, WorkerFlowRunResponse
from prefect.context import SyncClientContext
from prefect.exceptions import ObjectNotFound, PrefectHTTPStatusError
from prefect.settings import (
    PREFECT_API_URL,
    PREFECT_CLIENT_SERVER_VERSION_CHECK_ENABLED,
    temporary_settings,
)

from config.settings import Settings
from connectors.http.errors import ConnectorError
from flows import services
from flows.deals.stage_entries import watch_from_now
from flows.errors import FlowError
from flows.ledger import inbox, presence
from flows.ledger.inbox import Event
from flows.ledger.wake import WakeListener
from flows.processes import EVENTS, FLOWS, flow_for
from flows.services import Services, SetupError, open_services, process_place
from flows.worker.dispatch import (
    claim_run,
    execute,
    load_flow,
    mark_crashed,
    start_run,
)
from flows.worker.prefect_client import client_context, is_listening
from flows.worker.settle import UnsettledError, fail

log = logging.getLogger(__name__)

_DEPLOYMENTS_FRESH_S = 5.0
_SCHEDULE_EVERY_S = 5.0
_HEARTBEAT_EVERY_S = 5.0
_AWAY_FIRST_S, _AWAY_MAX_S = 1.0, 30.0
_ANSWER_S = 15.0
"""Seconds after which Prefect counts as unavailable. Its client alone would wait five times a minute for a server
that accepts connections and does not answer (PREFECT_API_REQUEST_TIMEOUT 60, PREFECT_CLIENT_MAX_RETRIES 5)."""
_AWAY = (httpx.HTTPError, PrefectHTTPStatusError, RuntimeError, OSError)


class PrefectAwayError(FlowError):
    """A call to the Prefect server failed; the cause has details. Any other error of a claim is the ledger's."""


@contextlib.asynccontextmanager
async def _asking_prefect() -> AsyncIterator[None]:
    """Turn errors into PrefectAwayError. The type alone does not help: an unavailable database raises OSError too."""
    try:
        async with asyncio.timeout(_ANSWER_S):
            yield
    except ObjectNotFound:
        raise
    except Exception as problem:
        raise PrefectAwayError from problem


class Worker:
    """One worker process. `run()` returns after `stop()`, once running work has ended."""

    def __init__(self, s: Services, client: PrefectClient, *, wait_s: float = 0) -> None:
        self._s = s
        self._client = client
        self._stop = asyncio.Event()
        self._wake_listener = WakeListener(s.ledger)
        self._deployments: dict[str, DeploymentResponse] = {}
        self._deployments_at = float("-inf")
        self._wait_s = wait_s
        self._held: set[int] = set()
        self._prefect_ok = True
        self._note: str | None = None
        self._started_at = s.clock()
        self._ledger_id = ""
        self._paused: list[str] = []
        self._running: set[asyncio.Task[None]] = set()
        self._trouble: Exception | None = None
        self._away_s = _AWAY_FIRST_S
        self._schedule_note: str | None = None
        self._lanes = asyncio.Semaphore(s.settings.worker_lanes)
        self._sweeps = asyncio.Semaphore(1)  # a long sweep must not delay leads and contracts

    def stop(self) -> None:
        """Finish running work, then return from `run`."""
        self._stop.set()
        self._wake_listener.wake()

    async def run(self) -> None:
        """Claim and run until stopped."""
        await self._wake_listener.open()
        await self._report()
        for module in FLOWS:
            load_flow(module)  # importing takes seconds: do it before the first event
        async with self._s.ledger.write() as tx:
            self._ledger_id = await presence.ledger_id(tx, now=self._s.clock())
        await self._take_over_from_the_dead()
        await watch_from_now(self._s)
        await self._warm_up()
        helpers = [
            asyncio.create_task(job)
            for job in (self._heartbeat(), self._renew_leases(), self._follow_schedule())
        ]
        try:
            await self._await_deployments()
            log.info("worker ready name=%s ledger=%s", self._s.owner, self._s.ledger.dialect)
            await self._loop()
        finally:
            for helper in helpers:
                helper.cancel()
            await asyncio.gather(*helpers, return_exceptions=True)
            await self._wake_listener.close()
            with contextlib.suppress(Exception):
                async with self._s.ledger.write() as tx:
                    await presence.leave(tx, self._s.owner)

    async def _loop(self) -> None:
        """Whenever a lane is free, claim the due events of one flow and run them there.

        An error of the database or of Prefect never ends the loop: it backs off and continues.
        """
        while not self._stop.is_set():
            if self._trouble is not None:
                await self._back_off()
                continue
            await self._lanes.acquire()
            claimed = None
            try:
                claimed = None if self._stop.is_set() else await self._claim()
            except SetupError:
                raise
            except Exception as problem:
                self._trouble = problem
            if claimed is None:
                self._lanes.release()
                await self._idle()
                continue
            self._start(self._run_group(*claimed))
        await asyncio.gather(*self._running, return_exceptions=True)

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    async def _back_off(self) -> None:
        """Report the problem and wait, longer each time until it works again."""
        problem, self._trouble = self._trouble, None
        self._prefect_ok = not isinstance(problem, PrefectAwayError)
        who = "ledger" if self._prefect_ok else "Prefect server"
        what = type((problem and problem.__cause__) or problem).__name__
        self._note = f"{who} unavailable: {what}"
        log.warning("%s unavailable, next try in %.0f s: %s", who, self._away_s, what)
        await self._pause(self._away_s)
        self._away_s = min(_AWAY_MAX_S, self._away_s * 2)

    def _all_well(self) -> None:
        self._away_s, self._prefect_ok, self._note = _AWAY_FIRST_S, True, self._schedule_note

    async def _idle(self) -> None:
        """Wait until woken or until the next row is due."""
        if self._trouble is not None or self._stop.is_set():
            return
        try:
            seconds = await self._idle_s()
        except Exception as problem:
            self._trouble = problem
            return
        self._all_well()
        await self._wake_listener.wait(seconds)

    async def _claim(self) -> tuple[str, list[Event]] | None:
        """Claim the oldest due event and all others of the same flow."""
        await self._refresh_deployments()
        self._paused = [kind for kind, event in EVENTS.items() if self._deployments[event.flow].paused]
        now, settings = self._s.clock(), self._s.settings
        async with self._s.ledger.write() as tx:
            kind = await inbox.oldest_due_kind(tx, now=now, not_kinds=self._paused)
            if kind is None:
                return None
            flow = flow_for(kind)
            events = await inbox.claim(
                tx,
                owner=self._s.owner,
                now=now,
                lease_s=settings.worker_lease_s,
                limit=settings.worker_batch_max,
                kinds=flow.kinds,
            )
        self._held |= {e.id for e in events}
        return (flow.name, events) if events else None

    async def _run_group(self, module: str, events: list[Event]) -> None:
        """Run few events in a run each, so that each deal has its own in the UI; many in one run with a task each."""
        few = len(events) < self._s.settings.worker_batch_from and not FLOWS[module].shared_run
        parts = [[event] for event in events] if few else [events]
        try:
            for part in parts:
                await self._run_part(module, part)
            self._all_well()
        except Exception as problem:
            log.warning("events stay in the inbox: %s", type(problem.__cause__ or problem).__name__)
            self._trouble, self._deployments_at = problem, float("-inf")
        finally:
            ids = [e.id for e in events]
            self._held -= set(ids)
            try:
                await self._give_back(ids)
            except Exception as problem:  # their lease will expire
                self._trouble = problem
            finally:
                self._lanes.release()
                self._wake_listener.wake()

    async def _run_part(self, module: str, events: list[Event]) -> None:
        """Raises errors of creating the run; errors inside it go to the ledger."""
        run = await self._create_run(module, events)
        try:
            await execute(load_flow(module), run)
        except Exception:
            log.exception("a run broke outside its events' handling flow=%s", module)
        for event in events:  # settled ones are no longer ours and are left alone
            await fail(event, UnsettledError(), self._s)

    async def _create_run(self, module: str, events: list[Event]) -> FlowRun:
        kebab = FLOWS[module].title
        ids = [e.id for e in events]
        deals = {e.deal_id for e in events}
        if len(deals) == 1 and None not in deals:
            about, tag = f"deal-{events[0].deal_id}", f"deal:{events[0].deal_id}"
        elif len(events) == 1:
            about, tag = f"event-{ids[0]}", "single"
        else:
            about, tag = f"{len(events)} events from {ids[0]}", "batch"
        name, tags = f"{kebab} {about}", ["dealflow", kebab, tag]
        async with _asking_prefect():
            run = await start_run(
                self._client,
                self._deployments[module].id,
                name=name,
                tags=tags,
                parameters={"event_ids": ids},
                idempotency_key=self._run_key(events),
            )
        async with self._s.ledger.write() as tx:
            await inbox.note_run(tx, ids, str(run.id))
        return run

    def _run_key(self, events: Sequence[Event]) -> str:
        """Identifies these events at this attempt: creating the run again (after a lost answer) gives the same run."""
        tries = ",".join(f"{e.id}.{e.attempts}" for e in events)
        return hashlib.sha256(f"{self._ledger_id}:{tries}".encode()).hexdigest()

    async def _give_back(self, ids: Sequence[int]) -> None:
        """Make rows due again that no run started (the server became unavailable); the attempt does not count."""
        async with self._s.ledger.write() as tx:
            await inbox.give_back(tx, ids, owner=self._s.owner, now=self._s.clock())

    async def _refresh_deployments(self) -> None:
        loop = asyncio.get_running_loop()
        if loop.time() - self._deployments_at < _DEPLOYMENTS_FRESH_S:
            return
        found: dict[str, DeploymentResponse] = {}
        for module in FLOWS:
            name = FLOWS[module].deployment
            try:
                async with _asking_prefect():
                    found[module] = await self._client.read_deployment_by_name(name)
            except ObjectNotFound:
                raise SetupError(f"Prefect has no deployment {name}: run `dealflow setup`") from None
        self._deployments, self._deployments_at = found, loop.time()

    async def _await_deployments(self) -> None:
        """Give Prefect's server and `dealflow setup` the time that was asked for; then the loop starts all the same."""
        loop = asyncio.get_running_loop()
        until = loop.time() + self._wait_s
        while loop.time() < until and not self._stop.is_set():
            with contextlib.suppress(SetupError, PrefectAwayError):
                if await is_listening():
                    return await self._refresh_deployments()
            await self._pause(0.2)
        return None

    async def _idle_s(self) -> float:
        """Seconds until the next row is due, at most the poll interval."""
        poll_s = self._s.settings.worker_poll_s
        async with self._s.ledger.read() as tx:
            due = await inbox.next_due(tx, not_kinds=self._paused)
        if due is None:
            return poll_s
        return max(0.05, min(poll_s, (due - self._s.clock()).total_seconds()))

    async def _pause(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._stop.wait(), seconds)

    async def _report(self) -> None:
        worker = presence.Worker(
            name=self._s.owner,
            started_at=self._started_at,
            seen_at=self._s.clock(),
            wake_port=self._wake_listener.port,
            prefect_ok=self._prefect_ok,
            note=self._note,
        )
        async with self._s.ledger.write() as tx:
            await presence.report(tx, worker)

    async def _warm_up(self) -> None:
        """Do what the first event would otherwise wait for. An error here stops nothing: the event will meet it."""
        try:
            await self._s.portal()
        except (ConnectorError, SetupError) as problem:
            log.warning("hubspot not ready: %s", problem)

    async def _heartbeat(self) -> None:
        while True:
            await asyncio.sleep(_HEARTBEAT_EVERY_S)
            with contextlib.suppress(Exception):
                await self._report()

    async def _renew_leases(self) -> None:
        lease_s = self._s.settings.worker_lease_s
        while True:
            await asyncio.sleep(lease_s / 3)
            if self._held:
                until = self._s.clock() + timedelta(seconds=lease_s)
                with contextlib.suppress(Exception):
                    async with self._s.ledger.write() as tx:
                        await inbox.renew(tx, sorted(self._held), owner=self._s.owner, until=until)

    async def _take_over_from_the_dead(self) -> None:
        """End the leases of dead workers of this machine now, and mark their runs as crashed."""
        async with self._s.ledger.write() as tx:
            dead = [owner for owner in await inbox.lease_owners(tx) if _is_dead_neighbour(owner)]
            freed = await inbox.free_leases(tx, dead, now=self._s.clock())
        for run_id in sorted({e.flow_run_id for e in freed if e.flow_run_id}):
            await mark_crashed(self._client, run_id, "The worker process died; its events were taken over.")
        if freed:
            log.warning("took over from dead workers workers=%s events=%s", len(dead), len(freed))

    async def _follow_schedule(self) -> None:
        """Run scheduled runs (cron, or "Run" in the UI) of our deployments, as a work pool's worker does."""
        while True:
            try:
                async with asyncio.timeout(_ANSWER_S):
                    due = await self._client.get_scheduled_flow_runs_for_work_pool(
                        self._s.settings.work_pool, scheduled_before=datetime.now(UTC) + timedelta(seconds=1)
                    )
                    self._schedule_note = None
                    await self._client.send_worker_heartbeat(
                        self._s.settings.work_pool,
                        self._s.owner,
                        heartbeat_interval_seconds=_SCHEDULE_EVERY_S * 3,
                    )
                for one in due:
                    await self._take_up(one)
            except ObjectNotFound:
                pool = self._s.settings.work_pool
                self._schedule_note = f"Prefect has no work pool {pool}: run `dealflow setup`"
            except _AWAY:
                await asyncio.sleep(_SCHEDULE_EVERY_S)
            except Exception:
                log.exception("a scheduled run failed")
            await asyncio.sleep(_SCHEDULE_EVERY_S)

    async def _take_up(self, one: WorkerFlowRunResponse) -> None:
        run = one.flow_run
        module = await self._module_of(run.deployment_id)
        if module is not None and await claim_run(self._client, run.id):
            self._start(self._run_scheduled(module, run))

    async def _run_scheduled(self, module: str, run: FlowRun) -> None:
        async with self._sweeps:
            try:
                what = (
                    "full sweep"
                    if run.parameters.get("full")
                    else "sweep"
                    if FLOWS[module].sweeps and not run.parameters.get("deal_ids")
                    else "by hand"
                )
                await self._client.update_flow_run(run.id, name=f"{FLOWS[module].title} {what}")
                await execute(load_flow(module), run)
            except Exception:
                log.exception("a scheduled run broke flow=%s", module)

    async def _module_of(self, deployment_id: UUID | None) -> str | None:
        for module, deployment in self._deployments.items():
            if deployment.id == deployment_id:
                return module
        return None


def _is_dead_neighbour(owner: str) -> bool:
    place, _, rest = owner.partition(":")
    pid = rest.partition(":")[0]
    if place != process_place() or not pid.isdigit() or int(pid) == os.getpid():
        return False
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    return False


async def serve(s: Services, ready: Callable[[Worker], None], *, wait_s: float = 0) -> None:
    """Run a worker until it is told to stop; `ready` gets it before it starts.

    Raises SetupError when no Prefect server is named or it has no deployments of ours, after waiting `wait_s` for them.
    """
    if not PREFECT_API_URL.value():
        raise SetupError(
            "PREFECT_API_URL is not set: name the Prefect server, e.g. http://127.0.0.1:4200/api"
        )
    # The version check would fail a worker that starts while the server is unavailable: it waits instead.
    # Both client contexts are held open for the process's life: otherwise each run would build its own.
    with (
        services.override(s),
        temporary_settings({PREFECT_CLIENT_SERVER_VERSION_CHECK_ENABLED: False}),
        SyncClientContext(),
    ):
        async with client_context() as context:
            worker = Worker(s, context.client, wait_s=wait_s)
            ready(worker)
            await worker.run()


def run(settings: Settings, *, wait_s: float = 0) -> None:
    """`dealflow worker`: until SIGTERM or SIGINT, then finish what is under way. Raises what `serve` raises.

    The loop runs outside the main thread: Prefect's engine installs its own SIGTERM handler for each run, which would
    stop the run and the worker. Outside the main thread it cannot, and the signals stay ours.
    """
    stopping = threading.Event()
    stops: list[Callable[[], object]] = []

    def ready(worker: Worker) -> None:
        loop = asyncio.get_running_loop()
        stops.append(lambda: loop.call_soon_threadsafe(worker.stop))
        if stopping.is_set():
            worker.stop()

    def stop(*_: object) -> None:
        stopping.set()
        for call in stops:
            with contextlib.suppress(RuntimeError):  # the loop has ended already
                call()

    async def main() -> None:
        s = await open_services(settings)
        try:
            await serve(s, ready, wait_s=wait_s)
        finally:
            await s.close()

    for name in (signal.SIGTERM, signal.SIGINT):
        signal.signal(name, stop)
    with ThreadPoolExecutor(1, "dealflow-worker") as pool:
        done = pool.submit(asyncio.run, main())
        while not done.done():
            wait([done], timeout=1)  # signal handlers run in between
        done.result()
