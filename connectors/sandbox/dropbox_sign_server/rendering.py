"""Renders a request's files outside the event loop, once per state of the request."""

import asyncio

from connectors.sandbox.dropbox_sign_server import documents
from connectors.sandbox.dropbox_sign_server.records import SignatureRequest
from connectors.sandbox.dropbox_sign_server.state import State


async def rendered(state: State, request: SignatureRequest, kind: str) -> bytes:
    """The `pdf` or `zip` of the present state; its bytes do not change between downloads."""
    content = await asyncio.shield(begin(state, request, kind))
    request.handed_out[kind] = content
    return content


def begin(state: State, request: SignatureRequest, kind: str) -> asyncio.Task[bytes]:
    """Start to render the file, as the vendor does when everybody has signed; a running task is reused."""
    version = len(request.history)
    kept = request.making.get(kind)
    if kept is not None and kept[0] == version and not _failed(kept[1]):
        return kept[1]
    make = documents.current_pdf if kind == "pdf" else documents.current_zip
    task = asyncio.create_task(asyncio.to_thread(make, request, state.account.email))
    request.making[kind] = (version, task)
    return task


def _failed(task: asyncio.Task[bytes]) -> bool:
    return task.done() and (task.cancelled() or task.exception() is not None)
