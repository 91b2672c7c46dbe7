"""The gateway as it runs, in a thread of the test's process."""

import asyncio
import contextlib
import json
import queue
import shutil
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import uvicorn

from config.settings import load_settings
from flows.gateway.app import build_app
from flows.ledger.database import Ledger, open_ledger
from flows.operations.launch import free_port
from flows.services import utc_now
from tests.stand_ins import SECRETS


@dataclass
class Gate:
    """The gateway as it runs: uvicorn on a free port. `public` is the address that vendors believe to call."""

    url: str
    public: str
    ledger: Ledger
    client: httpx.AsyncClient
    database: Path

    async def post(self, path: str, **more: Any) -> httpx.Response:
        """Call it."""
        return await self.client.post(path, **more)

    async def get(self, path: str, **more: Any) -> httpx.Response:
        """Call it."""
        return await self.client.get(path, **more)

    async def raw(self, request: bytes) -> bytes:
        """Exactly these bytes, and all that comes back."""
        port = int(self.url.rpartition(":")[2])
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            writer.write(request)
            with contextlib.suppress(ConnectionError):
                await writer.drain()
            async with asyncio.timeout(20):
                return await reader.read(200_000)
        finally:
            writer.close()

    def rows(self, table: str) -> list[dict[str, Any]]:
        """What is really in the database, read past all our code."""
        with contextlib.closing(sqlite3.connect(self.database)) as db:
            db.row_factory = sqlite3.Row
            order = "id" if table in ("inbox", "deliveries") else "1"
            found = [dict(row) for row in db.execute(f"select * from {table} order by {order}")]
        for row in found:
            for name in ("content", "headers", "outcome"):
                if isinstance(row.get(name), str):
                    row[name] = json.loads(row[name])
        return found

    async def until(self, look: Callable[[], Any], within_s: float = 60) -> Any:
        """The first truth that `look` gives."""
        async with asyncio.timeout(within_s):
            while not (found := look()):
                await asyncio.sleep(0.02)
        return found


class _Server(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """It runs in a thread: signals are not its business."""
        yield


@contextlib.contextmanager
def running_gateway(
    tmp_path: Path, template: Path, environment: Mapping[str, str], busy_s: float = 15
) -> Iterator[Gate]:
    """A gateway with a loop and a ledger of its own, which waits `busy_s` for another writer; a new ledger begins as a
    copy of `template`.
    """
    settings = load_settings(
        {
            **SECRETS,
            "DEALFLOW_HOME": str(tmp_path / "gate"),
            "DEALFLOW_GATEWAY_PORT": str(free_port()),
            "DEALFLOW_PUBLIC_URL": "https://sales.example.com/hooks-of-ours",
            **environment,
        }
    )
    if not (home := tmp_path / "gate").exists():
        home.mkdir(mode=0o700)
        shutil.copy(template, home / "ledger.db")
    ready: queue.Queue[tuple[_Server, Ledger] | BaseException] = queue.Queue()

    async def serve() -> None:
        try:
            ledger = await open_ledger(settings.database, busy_s=busy_s)
            app = build_app(settings, ledger, utc_now)
        except BaseException as problem:
            ready.put(problem)
            return
        config = uvicorn.Config(
            app, host=settings.gateway_host, port=settings.gateway_port, log_config=None, access_log=False
        )
        server = _Server(config)
        ready.put((server, ledger))
        await server.serve()

    thread = threading.Thread(target=lambda: asyncio.run(serve()), daemon=True)
    thread.start()
    started = ready.get(timeout=30)
    if isinstance(started, BaseException):
        raise started
    server, ledger = started
    while not server.started:
        assert thread.is_alive(), "the gateway did not start"
        time.sleep(0.01)
    url = f"http://{settings.gateway_host}:{settings.gateway_port}"
    client = httpx.AsyncClient(base_url=url, timeout=30, trust_env=False, verify=False)  # no TLS: loopback
    try:
        yield Gate(url, settings.base_url, ledger, client, tmp_path / "gate" / "ledger.db")
    finally:
        server.should_exit = True
        thread.join(20)
