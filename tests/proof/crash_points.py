"""Crash points: before and after every commit of the ledger and every call of a vendor, found at run time.

There is no list: every write transaction and every vendor call is a point, named after its caller.
"""

import os
import signal
import sys
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

from connectors.http.exchange import Exchange
from connectors.http.sdk_calls import SdkCall
from flows.ledger.database import Ledger


class Points:
    """Counts the points that this process passes and writes their names to `log_path`, one a line.

    At the `die_at`-th (from 1) point whose name `only` accepts it kills itself as `kill -9` does: no clean-up.
    """

    def __init__(
        self, log_path: str, die_at: int = 0, only: Callable[[str], bool] = lambda _name: True
    ) -> None:
        self._log = os.open(log_path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self._die_at, self._only, self._met = die_at, only, 0
        self._lock = threading.Lock()

    def hit(self, name: str) -> None:
        """Record that this process is at this point; kill it if it is the chosen one."""
        with self._lock:
            if not self._only(name):
                return
            self._met += 1
            os.write(self._log, name.encode() + b"\n")
            if self._met == self._die_at:
                os.kill(os.getpid(), signal.SIGKILL)

    def install(self) -> None:
        """Make every commit and every vendor call of this process a point."""
        write, call, fetch, run = Ledger.write, Exchange.call, Exchange.fetch, SdkCall.run

        def watched_write(ledger: Ledger) -> AbstractAsyncContextManager[Any]:
            caller = sys._getframe(1)
            where = f"{caller.f_globals.get('__name__')}.{caller.f_code.co_name}"
            return self._around_commit(write(ledger), where)

        async def watched_call(exchange: Exchange, operation: str, *args: Any, **more: Any) -> Any:
            return await self._around_call(call, exchange, operation, *args, **more)

        async def watched_fetch(exchange: Exchange, operation: str, *args: Any, **more: Any) -> Any:
            return await self._around_call(fetch, exchange, operation, *args, **more)

        def watched_run(sdk: SdkCall, operation: str, *args: Any, **more: Any) -> Any:
            name = f"call {sdk._vendor.name} {operation}"
            self.hit(f"before {name}")
            answer = run(sdk, operation, *args, **more)
            self.hit(f"after {name}")
            return answer

        Ledger.write = watched_write  # type: ignore[method-assign]
        Exchange.call = watched_call  # type: ignore[method-assign]
        Exchange.fetch = watched_fetch  # type: ignore[method-assign]
        SdkCall.run = watched_run  # type: ignore[method-assign]

    async def _around_call(
        self, real: Any, exchange: Exchange, operation: str, *args: Any, **more: Any
    ) -> Any:
        name = f"call {exchange.vendor.name} {operation}"
        self.hit(f"before {name}")
        answer = await real(exchange, operation, *args, **more)
        self.hit(f"after {name}")
        return answer

    @asynccontextmanager
    async def _around_commit(self, transaction: Any, where: str) -> AsyncIterator[Any]:
        async with transaction as tx:
            yield tx
            self.hit(f"before commit in {where}")
        self.hit(f"after commit in {where}")
