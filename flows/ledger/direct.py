"""SQLite without a thread in between, for one process that does one thing at a time and needs speed, not company.

aiosqlite hands every statement to a thread and waits; here it runs where it is asked for. Four times as fast, and
nothing else runs meanwhile: only for a ledger that is thrown away (a rehearsal), never for a gateway or a worker.
"""

import asyncio
import sqlite3
from collections.abc import Callable, Generator
from typing import Any

import aiosqlite


class _AtOnce:
    """Stands where aiosqlite has its queue to the thread."""

    def put_nowait(self, item: tuple[asyncio.Future[Any] | None, Callable[[], Any]]) -> None:
        """Do it now. What it raises goes to who waits for it."""
        future, work = item
        try:
            result = work()
        except Exception as problem:
            if future is None:
                raise
            future.set_exception(problem)
        else:
            if future is not None:
                future.set_result(result)


class _Direct(aiosqlite.Connection):
    """A connection whose work is done by the caller. Written for aiosqlite 0.22."""

    def __init__(self, connector: Callable[[], sqlite3.Connection]) -> None:
        super().__init__(connector, 64)
        self._tx: Any = _AtOnce()

    def __await__(self) -> Generator[Any, None, aiosqlite.Connection]:
        return self._connect().__await__()  # its thread is never started

    async def _execute(self, fn: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        if self._connection is None:
            raise ValueError("Connection closed")
        return fn(*args, **kwargs)


def connect(*args: Any, **kwargs: Any) -> aiosqlite.Connection:
    """For SQLAlchemy's `async_creator_fn`: a connection that has yet to be awaited."""
    return _Direct(lambda: sqlite3.connect(*args, **kwargs))
