"""The ledger's database is away, locked, or its disk is full: acknowledged deliveries are stored, others get 503."""

import contextlib
import os
import resource
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import sqlalchemy as sa

from flows.operations.launch import HOST, Parts, free_port
from tests.proof.forwarder import Forwarder

Stack = Any  # the class of conftest.py, which cannot be imported by name

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

_WORKER_WAITS_S = (
    15  # for another writer (flows.ledger.database); the gateway waits for three seconds (flows.cli.app)
)


def _buyer(number: int) -> dict[str, str]:
    return {"email": f"buyer{number}@firm{number}.example", "company": f"Firm {number}"}


def _until_taken(stack: Stack, number: int) -> int:
    """Send a lead as a web form with retries does; returns how many answers were 503."""
    for refused in range(60):
        status = stack.lead(**_buyer(number)).status_code
        if status == 202:
            return refused
        assert status == 503
        time.sleep(0.25)
    raise AssertionError("the gateway never took the lead")


def _one_deal_each(stack: Stack, count: int) -> None:
    stack.until("every lead is a deal", lambda: len(stack.records("deals")) >= count)
    stack.until_quiet()
    keys = [d["properties"]["dealflow_lead_key"] for d in stack.records("deals")]
    assert len(keys) == len(set(keys)) == count
    assert len(stack.records("contacts")) == len(stack.records("companies")) == count
    stack.until_only_done(count)
    stack.until("everything works again", lambda: stack.health()["ok"])


@pytest.mark.postgres
def test_postgresql_restarts_under_the_gateway_and_the_worker(
    stack: Stack, postgres_server: Any, migrated_template: Any
) -> None:
    """Connections are cut and refused while leads come in and are handled: 503, then recovery, nothing lost."""
    if postgres_server.why_not:
        pytest.skip(f"no PostgreSQL server: {postgres_server.why_not}")
    template = sa.make_url(migrated_template("postgresql")).database or ""
    url = sa.make_url(postgres_server.database(template=template))
    forwarder = Forwarder((url.host or HOST, url.port or 5432))
    try:
        stack.database_url = url.set(host=HOST, port=forwarder.port).render_as_string(hide_password=False)
        stack.start(DEALFLOW_WORKER_LEASE_S="8")
        worker = stack.worker.process.pid
        slow = {"kind": "slow", "path": "contacts/batch/upsert", "delay_s": 2, "times": 1}
        assert stack.hubspot.post("/_sandbox/faults", json=slow).status_code == 201
        for number in range(3):
            assert stack.lead(**_buyer(number)).status_code == 202
        stack.until(
            "a run has started", lambda: any(f["hits"] for f in stack.hubspot.get("/_sandbox/faults").json())
        )
        forwarder.cut()
        for number in range(3, 6):
            assert stack.lead(**_buyer(number)).status_code == 503
        assert httpx.get(f"{stack.gateway}/healthz", trust_env=False).status_code == 503
        time.sleep(2.5)  # the run ends, and cannot store its result
        forwarder.restore()
        for number in range(3, 6):
            _until_taken(stack, number)
        _one_deal_each(stack, 6)
        assert stack.worker.process.pid == worker and stack.worker.process.poll() is None
    finally:
        stack.stop()
        forwarder.close()


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Another process holds SQLite's write lock: a backup tool, a person with a shell."""
    program = (
        "import sqlite3, sys\n"
        "held = sqlite3.connect(sys.argv[1], isolation_level=None, timeout=20)\n"
        "held.execute('begin immediate')\n"
        "print('locked', flush=True)\n"
        "sys.stdin.read()\n"
        "held.execute('rollback')\n"
    )
    other = subprocess.Popen(
        [sys.executable, "-c", program, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    try:
        assert other.stdout is not None and other.stdout.readline() == b"locked\n"
        yield
    finally:
        other.communicate(timeout=20)


def test_sqlite_locked_for_longer_than_anybody_waits(stack: Stack) -> None:
    """A delivery that cannot be stored gets 503; gateway and worker recover when the lock is released."""
    stack.start(DEALFLOW_WORKER_LEASE_S="8")
    worker = stack.worker.process.pid
    slow = {"kind": "slow", "path": "contacts/batch/upsert", "delay_s": 2, "times": 1}
    assert stack.hubspot.post("/_sandbox/faults", json=slow).status_code == 201
    assert stack.lead(**_buyer(0)).status_code == 202
    stack.until(
        "a run has started", lambda: any(f["hits"] for f in stack.hubspot.get("/_sandbox/faults").json())
    )
    with _locked(stack.home / "ledger.db"):
        assert stack.lead(**_buyer(1)).status_code == 503
        time.sleep(_WORKER_WAITS_S + 2)  # the worker's run ends, and cannot store its result
    _until_taken(stack, 1)
    _one_deal_each(stack, 2)
    assert stack.worker.process.pid == worker and stack.worker.process.poll() is None


def test_sqlite_when_the_disk_is_full(tmp_path: Path) -> None:
    """A commit without disk space: 503, nothing half-stored; with space again the same process continues."""
    port = free_port()
    environment = {k: v for k, v in os.environ.items() if not k.startswith("DEALFLOW_")} | {
        "DEALFLOW_HOME": str(tmp_path),
        "DEALFLOW_DROPBOX_SIGN_API_KEY": "key",
        "DEALFLOW_HUBSPOT_WEBHOOKS": "off",
        "DEALFLOW_LEADS_TOKEN": "token",
        "DEALFLOW_GATEWAY_PORT": str(port),
    }
    parts = Parts(tmp_path / "logs", environment)
    url, ledger = f"http://{HOST}:{port}", tmp_path / "ledger.db"

    def send(number: int) -> int:
        lead = {"last_name": "Byron", "message": "x" * 4_000, **_buyer(number)}
        headers = {"Authorization": "Bearer token"}
        status: int = httpx.post(f"{url}/leads", json=lead, headers=headers, trust_env=False).status_code
        return status

    gateway = parts.dealflow("gateway", "gateway", stdout=subprocess.DEVNULL)
    try:
        parts.wait_for(gateway, f"{url}/metrics")
        taken = [n for n in range(3) if send(n) == 202]
        assert taken == [0, 1, 2]
        files = (ledger, ledger.with_name("ledger.db-wal"))
        full = max(f.stat().st_size for f in files if f.exists()) + 64 * 1024
        pid = gateway.process.pid
        before = resource.prlimit(pid, resource.RLIMIT_FSIZE, (full, resource.RLIM_INFINITY))
        answers = {n: send(n) for n in range(3, 40)}
        assert set(answers.values()) == {202, 503}
        # The rest of the last page may still hold a row or two.
        looks = [httpx.get(f"{url}/healthz", trust_env=False).json()["ledger"] for _ in range(20)]
        assert looks[-1] == "OperationalError"
        taken += [n for n, status in answers.items() if status == 202]
        _holds_exactly(ledger, taken)

        resource.prlimit(pid, resource.RLIMIT_FSIZE, before)
        again = [n for n, status in answers.items() if status == 503]
        assert {send(n) for n in again} == {202}
        _holds_exactly(ledger, taken + again)
        assert gateway.process.poll() is None
    finally:
        parts.stop()


def _holds_exactly(ledger: Path, numbers: list[int]) -> None:
    """There is a delivery and an event for each acknowledged lead, and for no other."""
    with contextlib.closing(sqlite3.connect(ledger)) as db:
        assert db.execute("pragma integrity_check").fetchone() == ("ok",)
        stored = [body for (body,) in db.execute("select body from deliveries")]
        wanted = {n: f"buyer{n}@firm{n}.example".encode() for n in numbers}
        assert len(stored) == len(numbers)
        assert all(sum(email in body for body in stored) == 1 for email in wanted.values())
        assert db.execute("select count(*) from inbox").fetchone() == (len(numbers),)
