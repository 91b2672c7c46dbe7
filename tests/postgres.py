"""A PostgreSQL server for tests: a configured one, that of this machine, or a started one."""

import asyncio
import os
import pwd
import secrets
import shutil
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Coroutine
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import asyncpg
import sqlalchemy as sa

_USUAL = "postgresql://postgres@127.0.0.1:5432/test"


@dataclass
class PostgresServer:
    """A server on which databases can be made; `why_not` says why there is none."""

    url: str = ""
    why_not: str = ""
    process: subprocess.Popen[bytes] | None = None
    folder: Path | None = None
    made: list[str] = field(default_factory=list)

    def database(self, *, template: str = "") -> str:
        """A new database; its async SQLAlchemy URL."""
        name = f"dealflow_t_{os.getpid()}_{secrets.token_hex(4)}"
        wait_for(
            _execute(self.url, f"create database {name}" + (f" template {template}" if template else ""))
        )
        self.made.append(name)
        # A test needs no durability: without this each commit waits for the disk.
        wait_for(_execute(self.url, f"alter database {name} set synchronous_commit = off"))
        return self.address_of(name)

    def address_of(self, name: str) -> str:
        """Where that database is."""
        url = sa.make_url(self.url).set(drivername="postgresql+asyncpg", database=name)
        return url.render_as_string(hide_password=False)

    def drop(self, url: str) -> None:
        """Drop a database and its connections."""
        name = sa.make_url(url).database or ""
        wait_for(_execute(self.url, f"drop database if exists {name} with (force)"))
        if name in self.made:
            self.made.remove(name)


def find_server() -> PostgresServer:
    """Raises nothing: `why_not` says why there is none."""
    wanted = os.environ.get("DEALFLOW_TEST_POSTGRES_URL", "")
    for url in [wanted] if wanted else [_USUAL]:
        problem = wait_for(_problem_with(url))
        if not problem:
            return PostgresServer(url)
        if wanted:
            return PostgresServer(why_not=f"the one at DEALFLOW_TEST_POSTGRES_URL does not serve: {problem}")
    return _start_server()


def _start_server() -> PostgresServer:
    """A server of our own on a free port, run by somebody who is not root, gone with the test run."""
    homes = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    initdb = str(homes[-1]) if homes else shutil.which("initdb")
    if initdb is None:
        return PostgresServer(why_not="none answers on 127.0.0.1:5432, and no initdb is installed")
    folder = Path(tempfile.mkdtemp(prefix="dealflow-pg-"))
    user = _unprivileged() if os.geteuid() == 0 else None
    if user is not None:
        shutil.chown(folder, user)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    data, log = folder / "data", folder / "server.log"
    setup = [initdb, "-D", str(data), "-U", "postgres", "-A", "trust", "--no-sync", "--encoding=UTF8"]
    made = subprocess.run(setup, user=user, cwd=folder, capture_output=True, check=False)
    if made.returncode != 0:
        shutil.rmtree(folder, ignore_errors=True)
        return PostgresServer(why_not="initdb failed: " + made.stderr.decode(errors="replace").strip()[-200:])
    postgres = str(Path(initdb).with_name("postgres"))
    options = ["-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories=", "-c", "fsync=off"]
    with log.open("wb") as out:
        process = subprocess.Popen(
            [postgres, "-D", str(data), "-p", str(port), *options],
            user=user,
            cwd=folder,
            stdout=out,
            stderr=out,
        )
    server = PostgresServer(
        f"postgresql://postgres@127.0.0.1:{port}/postgres", process=process, folder=folder
    )
    deadline = time.monotonic() + 30
    while problem := wait_for(_problem_with(server.url)):
        if process.poll() is not None or time.monotonic() > deadline:
            server.why_not = f"the one that was started does not answer: {problem}"
            break
        time.sleep(0.1)
    return server


def _unprivileged() -> str:
    names = {entry.pw_name for entry in pwd.getpwall()}
    return "postgres" if "postgres" in names else "nobody"


async def _problem_with(url: str) -> str:
    try:
        connection = await asyncpg.connect(_plain(url), timeout=5)
    except (OSError, asyncpg.PostgresError, TimeoutError) as problem:
        return type(problem).__name__
    try:
        may = await connection.fetchval(
            "select rolcreatedb or rolsuper from pg_roles where rolname = current_user"
        )
    finally:
        await connection.close()
    return "" if may else "its user may not create databases"


async def _execute(url: str, statement: str) -> None:
    connection = await asyncpg.connect(_plain(url), timeout=10)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()


def _plain(url: str) -> str:
    return sa.make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)


def wait_for(work: Coroutine[Any, Any, Any]) -> Any:
    """Run this in a thread of its own: fixtures may be set up where an event loop runs already."""
    result: list[Any] = []
    problems: list[BaseException] = []

    def run() -> None:
        try:
            result.append(asyncio.run(work))
        except BaseException as problem:
            problems.append(problem)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    if problems:
        raise problems[0]
    return result[0]
