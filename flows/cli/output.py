"""What all commands of the command line share: printing, settings, the ledger, and the two ways to refuse."""

import json
import os
import sys
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter, validators

from flows.errors import FlowError

if TYPE_CHECKING:
    from config.settings import Settings

Limit = Annotated[int, Parameter(validator=validators.Number(gte=1))]
Json = Annotated[bool, Parameter(name="--json", help="Print JSON instead of text.")]


class WrongUsage(FlowError):
    """The options do not go together: printed as one line, exit code 2."""


class Refused(FlowError):
    """The command did its work and the answer is no: printed as one line, exit code 1."""


def complain(text: str) -> None:
    """One line to standard error."""
    sys.stderr.write(f"dealflow: {text}\n")


def say(text: str) -> None:
    """One line (or text) to standard output."""
    sys.stdout.write(text + "\n")


def show_rows(rows: list[dict[str, Any]], as_json: bool) -> None:
    """Rows as JSON or as a table."""
    if as_json:
        say(json.dumps(rows, default=str, indent=2))
        return
    if not rows:
        say("nothing")
        return
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for name in rows[0]:
        table.add_column(name, overflow="fold")
    for row in rows:
        table.add_row(*("" if v is None else str(v) for v in row.values()))
    # Piped into another tool, a row is a line.
    Console(width=None if sys.stdout.isatty() else 1000).print(table)


def settings_now() -> "Settings":
    """The settings, with logging set up as they say."""
    import logging

    from config.settings import load_settings, unknown_names

    settings = load_settings()
    logging.basicConfig(
        level=settings.log_level,
        format="%(asctime)s %(levelname)s %(name)s %(message)s",
        stream=sys.stderr,
    )
    for name in ("httpx", "httpcore", "alembic", "aiosqlite"):
        logging.getLogger(name).setLevel(logging.WARNING)
    for name in unknown_names(os.environ):
        complain(f"{name} is set, but no such setting exists: a misspelling?")
    return settings


def run_async(work: Coroutine[Any, Any, Any]) -> Any:
    """Run asynchronous work to its end."""
    import asyncio

    return asyncio.run(work)


def read_ledger(read: Any) -> Any:
    """What `read` gives in a transaction that only reads."""
    return run_async(_in_ledger(read, write=False))


def write_ledger(write: Any) -> Any:
    """What `write` gives in a transaction that may write."""
    return run_async(_in_ledger(write, write=True))


async def _in_ledger(work: Any, *, write: bool) -> Any:
    from flows.ledger.database import open_ledger

    ledger = await open_ledger(settings_now().database)
    try:
        async with ledger.write() if write else ledger.read() as tx:
            return await work(tx)
    finally:
        await ledger.close()
