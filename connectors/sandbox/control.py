"""The control API that both stand-ins serve under `/_sandbox`: request log, faults, deliveries, clock, reset.

Vendor-specific controls (signer robots, webhook subscriptions, the rep) are added by each stand-in.
"""

import asyncio
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from fastapi import APIRouter, HTTPException, Query
from pydantic import BaseModel, ConfigDict, Field

from connectors.sandbox.deliveries import Mischief
from connectors.sandbox.faults import Fault, FaultKind
from connectors.sandbox.snapshots import NotAtRest, Snapshots
from connectors.sandbox.world import Bench


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")


class FaultIn(_Strict):
    """A fault to add; see `faults.py` for what each kind does."""

    kind: FaultKind
    path: str = ".*"
    method: str = "*"
    caller: str = ""
    status: int = 503
    times: int | None = 1
    after: int = 0
    probability: float = Field(1.0, ge=0, le=1)
    delay_s: float = Field(5.0, ge=0, le=120)
    headers: dict[str, str] = {}
    body: dict[str, Any] | None = None


class MischiefIn(_Strict):
    """What happens to outgoing deliveries."""

    drop: float = Field(0.0, ge=0, le=1)
    duplicate: float = Field(0.0, ge=0, le=1)
    delay_s: float = Field(0.0, ge=0)
    jitter_s: float = Field(0.0, ge=0)


class AdvanceIn(_Strict):
    """How far to move virtual time."""

    seconds: float = Field(ge=0)


class ResetIn(_Strict):
    """Start over with this seed."""

    seed: int = 0


class SnapshotIn(_Strict):
    """Which snapshot."""

    name: str = Field("set-up", min_length=1, max_length=100)


def control_router(bench: Bench, reset: Callable[[int], None], snapshots: Snapshots) -> APIRouter:
    """The shared `/_sandbox` routes for one stand-in. `reset(seed)` empties its state and its bench."""
    router = APIRouter(prefix="/_sandbox", tags=["sandbox"])

    @router.get("/health")
    async def health() -> dict[str, Any]:
        """Health: the vendor and the virtual time."""
        return {"vendor": bench.vendor, "ok": True, "now_ms": bench.clock.now_ms()}

    @router.get("/requests")
    async def requests(
        since: int = 0, path: str = "", method: str = "", limit: int = Query(1000, ge=1, le=20_000)
    ) -> dict[str, Any]:
        """The request log: rows with n > since, oldest first, and an exact count per operation."""
        rows = bench.log.rows(since=since, path=path, method=method)
        return {"total": bench.log.total, "counts": dict(bench.log.counts), "requests": rows[:limit]}

    @router.delete("/requests")
    async def forget_requests() -> dict[str, Any]:
        """Clear the request log and its counts."""
        bench.log.clear()
        return {"total": 0}

    @router.get("/faults")
    async def faults() -> list[dict[str, object]]:
        """All active faults with their hits."""
        return bench.faults.list()

    @router.post("/faults", status_code=201)
    async def plant(fault: FaultIn) -> dict[str, Any]:
        """Add a fault."""
        try:
            return asdict(bench.faults.plant(Fault(**fault.model_dump())))
        except ValueError as problem:
            raise HTTPException(422, str(problem)) from problem

    @router.delete("/faults")
    async def clear_faults() -> dict[str, Any]:
        """Remove all faults."""
        bench.faults.clear()
        return {"faults": 0}

    @router.get("/deliveries")
    async def deliveries(since: int = 0) -> dict[str, Any]:
        """Every webhook sent or due, with its attempts."""
        return {"open": bench.deliveries.open, "deliveries": bench.deliveries.rows(since=since)}

    @router.post("/deliveries/{delivery_id}/redeliver", status_code=202)
    async def redeliver(delivery_id: int) -> dict[str, Any]:
        """Send a logged delivery again, byte for byte if the vendor would."""
        try:
            return {"id": bench.deliveries.redeliver(delivery_id).id}
        except KeyError as missing:
            raise HTTPException(404, f"no delivery {delivery_id} in the log") from missing

    @router.put("/deliveries/mischief")
    async def mischief(wanted: MischiefIn) -> dict[str, Any]:
        """Drop, double, delay or reorder deliveries from now on."""
        bench.deliveries.mischief = Mischief(**wanted.model_dump())
        return wanted.model_dump()

    @router.get("/clock")
    async def clock() -> dict[str, Any]:
        """Virtual time and the pending timers."""
        return {"now_ms": bench.clock.now_ms(), "timers": bench.clock.pending()}

    @router.post("/clock/advance")
    async def advance(step: AdvanceIn) -> dict[str, Any]:
        """Move virtual time forward; timers that become due fire in order. Both stand-ins share the clock."""
        fired = await bench.clock.advance(step.seconds)
        await asyncio.sleep(0)
        return {"now_ms": bench.clock.now_ms(), "fired": fired}

    @router.post("/reset")
    async def start_over(wanted: ResetIn | None = None) -> dict[str, Any]:
        """Reset this stand-in: records, log, faults, deliveries. The clock continues."""
        reset(wanted.seed if wanted else 0)
        return {"ok": True}

    _snapshots(router, bench, snapshots)
    return router


def _snapshots(router: APIRouter, bench: Bench, snapshots: Snapshots) -> None:
    @router.post("/snapshot", status_code=201)
    async def snapshot(wanted: SnapshotIn | None = None) -> dict[str, Any]:
        """Keep everything under a name: records, ids, set-up, files, limits, log, faults, deliveries, time.

        409 while something is under way. The last twenty are kept; a reset does not forget them.
        """
        name = (wanted or SnapshotIn()).name
        try:
            snapshots.take(name)
        except NotAtRest as reason:
            raise HTTPException(409, str(reason)) from reason
        return {"name": name, "now_ms": bench.clock.now_ms()}

    @router.post("/restore")
    async def restore(wanted: SnapshotIn | None = None) -> dict[str, Any]:
        """Everything as that snapshot has it. The clock goes back for both stand-ins: restore both."""
        name = (wanted or SnapshotIn()).name
        try:
            snapshots.restore(name)
        except KeyError as missing:
            raise HTTPException(404, f"there is no snapshot {name!r}") from missing
        return {"name": name, "now_ms": bench.clock.now_ms()}
