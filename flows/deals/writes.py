"""Outward writes on a deal that several flows share: file a PDF, write a note or a task, move the stage. Each once.

Every write looks first when an earlier try ended in doubt: files by deterministic name, notes and tasks by a marker
in their body, stages by reading the deal.
"""

import hashlib
import html
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Literal

from connectors.hubspot.association_types import type_id
from connectors.hubspot.records import NewLink, Record
from flows.deals.associated import associated_records
from flows.ledger import documents
from flows.ledger.documents import StoredDocument
from flows.ledger.effects import Result, Writer, perform
from flows.ledger.inbox import Event
from flows.retries import reading, repeating, writing
from flows.services import Services

FOLDER = "/dealflow"
_TASK_DUE = timedelta(days=1)


def writer_for(s: Services, event: Event) -> Writer:
    """Outward writes for this event, by this process."""
    return Writer(s.ledger, s.owner, event.id, s.clock, s.new_token, s.planned)


async def file_document(s: Services, writer: Writer, document: StoredDocument) -> str:
    """Upload a frozen PDF once; returns HubSpot's file id. The name carries the hash, so a repeat finds it."""
    name = f"{document.kind}-{document.deal_id}-v{document.version}-{document.sha256[:12]}.pdf"

    async def upload(_token: str) -> Result:
        # RETURN_EXISTING under a name made from the content: repeating gives the same file.
        record = await repeating(
            lambda: s.hubspot.upload_file(
                name, document.content, folder_path=FOLDER, content_type="application/pdf"
            )
        )
        return {"file_id": record.id}

    async def find(token: str) -> Result | None:
        return await upload(token)

    result = await perform(
        writer,
        key=f"file:{document.kind}:{document.deal_id}:{document.version}",
        kind="file_pdf",
        deal_id=document.deal_id,
        attempt=upload,
        find=find,
    )
    file_id = str(result["file_id"])
    async with s.ledger.write() as tx:
        await documents.note_file(tx, document.id, file_id)
    return file_id


async def write_note(
    s: Services,
    writer: Writer,
    *,
    deal_id: str,
    cause: str,
    text: str,
    attachment_ids: Sequence[str] = (),
) -> str:
    """Put one note on the deal for this cause; returns its id. `text` is plain and is escaped here."""
    key = note_key(deal_id, cause)
    marker, body = _marked(key, text)

    return await _write_marked(
        s,
        writer,
        "note",
        key=key,
        deal_id=deal_id,
        marker=marker,
        create=lambda: s.hubspot.create_note(
            body,
            timestamp_ms=int(s.clock().timestamp() * 1000),
            attachment_ids=attachment_ids,
            associations=[NewLink(deal_id, type_id("notes", "deals"))],
        ),
    )


def note_key(deal_id: str, cause: str) -> str:
    """The natural key of the note for this cause."""
    return f"note:{deal_id}:{cause}"


async def write_task(
    s: Services,
    writer: Writer,
    *,
    deal_id: str,
    cause: str,
    subject: str,
    text: str,
    owner_id: str | None,
    due_at: datetime | None = None,
) -> str:
    """Put one open task on the deal for this cause, due in a day unless said; returns its id. `text` is plain and
    escaped here.
    """
    key = f"task:{deal_id}:{cause}"
    marker, body = _marked(key, text)

    return await _write_marked(
        s,
        writer,
        "task",
        key=key,
        deal_id=deal_id,
        marker=marker,
        create=lambda: s.hubspot.create_task(
            subject,
            due_ms=int((due_at or s.clock() + _TASK_DUE).timestamp() * 1000),
            body=body,
            owner_id=owner_id,
            priority="HIGH" if due_at is None else "MEDIUM",
            associations=[NewLink(deal_id, type_id("tasks", "deals"))],
        ),
    )


def _marked(key: str, text: str) -> tuple[str, str]:
    """A marker for what is written under this key, and the text as HTML that ends with it."""
    marker = "dealflow " + hashlib.sha256(key.encode()).hexdigest()[:20]
    paragraphs = "".join(f"<p>{html.escape(line)}</p>" for line in text.splitlines() if line.strip())
    return marker, f"{paragraphs}<p><small>{marker}</small></p>"


async def _write_marked(
    s: Services,
    writer: Writer,
    what: Literal["note", "task"],
    *,
    key: str,
    deal_id: str,
    marker: str,
    create: Callable[[], Awaitable[Record]],
) -> str:
    """Write the deal's note or task under this key once; a body that carries the marker is it. Returns its id."""
    id_name, body_name = f"{what}_id", f"hs_{what}_body"

    async def attempt(_token: str) -> Result:
        return {id_name: (await writing(create)).id}

    async def find(_token: str) -> Result | None:
        _, found = await associated_records(s, f"{what}s", [deal_id], (body_name,))
        seen = next((r.id for r in found.values() if marker in (r.properties.get(body_name) or "")), None)
        return {id_name: seen} if seen else None

    result = await perform(writer, key=key, kind=f"write_{what}", deal_id=deal_id, attempt=attempt, find=find)
    return str(result[id_name])


def deal_key(deal_id: str, cause: str) -> str:
    """The natural key of setting deal properties for this cause."""
    return f"deal:{deal_id}:{cause}"


async def set_deal(
    s: Services,
    writer: Writer,
    *,
    deal_id: str,
    cause: str,
    properties: Mapping[str, str],
    before: Mapping[str, str] | None = None,
) -> Result:
    """Set deal properties once for this cause (a stage move is one).

    `before`: what the caller saw there. After a doubtful try, a deal that shows neither the old nor the new
    values was changed by somebody since, and is left alone: the result then says `superseded`.
    """

    async def update(_token: str) -> Result:
        # Setting the same values twice changes nothing, so a doubtful try may simply be repeated.
        await repeating(lambda: s.hubspot.update("deals", deal_id, properties))
        return {"properties": sorted(properties)}

    async def find(_token: str) -> Result | None:
        deal = await reading(
            lambda: s.hubspot.read("deals", deal_id, properties=tuple({**properties, **(before or {})}))
        )
        if _shows(deal, properties):
            return {"properties": sorted(properties)}
        if before is not None and not _shows(deal, before):
            return {"superseded": True}
        return None

    return await perform(
        writer,
        key=deal_key(deal_id, cause),
        kind="set_deal",
        deal_id=deal_id,
        attempt=update,
        find=find,
    )


def _shows(deal: Record, values: Mapping[str, str]) -> bool:
    return all(_same(deal.properties.get(name) or "", value) for name, value in values.items())


def _same(shown: str, wanted: str) -> bool:
    """Equal, or the same moment in another spelling (HubSpot drops `.000`)."""
    if shown == wanted:
        return True
    try:
        return datetime.fromisoformat(shown) == datetime.fromisoformat(wanted)
    except (ValueError, TypeError):
        return False
