"""CRM objects one at a time and by page: read, list, search, create, update, archive; notes, tasks and e-mails.

Sources: developers.hubspot.com "using object APIs", "search the CRM", "notes" guides, read 2026-11-22.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from connectors.http.exchange import Answer
from connectors.hubspot.calls import Calls, parsed, parsed_rows, path
from connectors.hubspot.lenient_json import mapping, next_after, whole
from connectors.hubspot.records import ListPage, NewLink, Record, SearchPage, parse_record

MAX_NOTE_CHARS = 65_536
MAX_SEARCH_BODY_CHARS = 3_000
MAX_SEARCH_RESULTS = 10_000
_MAX_GROUPS, _MAX_FILTERS, _MAX_FILTERS_IN_ALL = 5, 6, 18


@dataclass(frozen=True)
class Filter:
    """One search condition. Dates are epoch milliseconds as text; IN and NOT_IN take `values`, BETWEEN
    `high`."""

    property: str
    operator: str
    value: str | None = None
    values: tuple[str, ...] = ()
    high: str | None = None

    def body(self) -> dict[str, object]:
        """The condition as the vendor's JSON."""
        row: dict[str, object] = {"propertyName": self.property, "operator": self.operator}
        if self.values:
            row["values"] = list(self.values)
        if self.value is not None:
            row["value"] = self.value
        if self.high is not None:
            row["highValue"] = self.high
        return row


@dataclass(frozen=True)
class Sort:
    """The one sort rule a search may have."""

    property: str
    descending: bool = False


class ObjectCalls(Calls):
    """One call each; see the class docstring of HubSpotClient for what is common to all."""

    async def read(
        self,
        object_type: str,
        object_id: str,
        *,
        properties: Sequence[str],
        id_property: str | None = None,
        history: Sequence[str] = (),
        associations: Sequence[str] = (),
        archived: bool = False,
    ) -> Record:
        """Read one record, by id or by the value of a unique property. After a merge its id differs from the
        requested one.

        Raises NotFoundError when there is none (an archived one counts as none unless archived=True).
        """
        params = _asked(properties, history, associations, archived)
        if id_property:
            params["idProperty"] = id_property
        route = path("crm", "objects", self._versions.objects, object_type, object_id)
        return parsed(await self._get(f"read_{object_type}", route, params), parse_record)

    async def list_page(
        self,
        object_type: str,
        *,
        properties: Sequence[str],
        associations: Sequence[str] = (),
        history: Sequence[str] = (),
        after: str | None = None,
        archived: bool = False,
        limit: int = 100,
    ) -> ListPage:
        """One page of all records in id order, associations inline; at most 100 a page (50 with history)."""
        params = _asked(properties, history, associations, archived)
        params["limit"] = str(min(limit, 50 if history else 100))
        if after:
            params["after"] = after
        route = path("crm", "objects", self._versions.objects, object_type)
        answer = await self._get(f"list_{object_type}", route, params)
        return ListPage(_records(answer), next_after(answer.json()))

    async def search(
        self,
        object_type: str,
        *,
        filters: Sequence[Filter],
        properties: Sequence[str],
        sort: Sort | None = None,
        limit: int = 200,
        after: str | None = None,
        or_groups: Sequence[Sequence[Filter]] = (),
    ) -> SearchPage:
        """Records where all `filters` hold (or all of one of `or_groups`). The index lags, and returns at
        most 10,000 per query, so never use it to decide whether to create.

        Raises ValueError for more than 5 groups, 6 filters each, 18 in all, or a body over 3,000 characters.
        """
        body = _search_body([g for g in (filters, *or_groups) if g], properties, sort, min(limit, 200), after)
        route = path("crm", "objects", self._versions.objects, object_type, "search")
        answer = await self._send(
            f"search_{object_type}", "POST", route, body, write=False, expect=(200,), bucket="search"
        )
        data = answer.json()
        total = whole(mapping(data).get("total"))
        if total is None:
            answer.not_understood("a search without a total")
        return SearchPage(_records(answer), total, next_after(data))

    async def create(
        self, object_type: str, properties: Mapping[str, str], associations: Sequence[NewLink] = ()
    ) -> Record:
        """Create one record with its associations. Not idempotent: on `applied` "maybe", check before
        repeating.

        Raises ConflictError with existing_id when a unique value is taken, RejectedError with property names.
        """
        body: dict[str, object] = {"properties": dict(properties)}
        if associations:
            body["associations"] = [_new_link(link) for link in associations]
        route = path("crm", "objects", self._versions.objects, object_type)
        answer = await self._send(f"create_{object_type}", "POST", route, body, write=True, expect=(201, 200))
        return parsed(answer, parse_record)

    async def update(self, object_type: str, object_id: str, properties: Mapping[str, str]) -> Record:
        """Set properties of one record; an empty text clears a value. Raises NotFoundError, RejectedError."""
        route = path("crm", "objects", self._versions.objects, object_type, object_id)
        body = {"properties": dict(properties)}
        answer = await self._send(f"update_{object_type}", "PATCH", route, body, write=True, expect=(200,))
        return parsed(answer, parse_record)

    async def archive(self, object_type: str, object_id: str) -> None:
        """Move a record to the recycle bin (90 days; only a person can restore it)."""
        route = path("crm", "objects", self._versions.objects, object_type, object_id)
        await self._send(f"archive_{object_type}", "DELETE", route, None, write=True, expect=(204, 200))

    async def create_note(
        self,
        body: str,
        *,
        timestamp_ms: int,
        attachment_ids: Sequence[str] = (),
        associations: Sequence[NewLink] = (),
        owner_id: str | None = None,
    ) -> Record:
        """Create a note, with files by id. timestamp_ms: epoch milliseconds. Notes have no unique property: to
        repeat safely, put a marker in the body and read the deal's notes first. Raises ValueError over
        65,536 characters.
        """
        if len(body) > MAX_NOTE_CHARS:
            raise ValueError(f"a note holds at most {MAX_NOTE_CHARS} characters")
        properties = {"hs_timestamp": str(timestamp_ms), "hs_note_body": body}
        if attachment_ids:
            properties["hs_attachment_ids"] = ";".join(attachment_ids)
        if owner_id:
            properties["hubspot_owner_id"] = owner_id
        return await self.create("notes", properties, associations)

    async def create_task(
        self,
        subject: str,
        *,
        due_ms: int,
        body: str = "",
        owner_id: str | None = None,
        priority: str = "MEDIUM",
        task_type: str = "TODO",
        associations: Sequence[NewLink] = (),
    ) -> Record:
        """Create an open task due at due_ms (epoch milliseconds); priority LOW, MEDIUM or HIGH. Not
        idempotent."""
        properties = {
            "hs_timestamp": str(due_ms),
            "hs_task_subject": subject,
            "hs_task_body": body,
            "hs_task_status": "NOT_STARTED",
            "hs_task_priority": priority,
            "hs_task_type": task_type,
        }
        if owner_id:
            properties["hubspot_owner_id"] = owner_id
        return await self.create("tasks", properties, associations)

    async def create_email(
        self,
        subject: str,
        *,
        timestamp_ms: int,
        text: str,
        html: str,
        from_email: str,
        to_email: str,
        owner_id: str | None = None,
        associations: Sequence[NewLink] = (),
    ) -> Record:
        """Create an outgoing e-mail on the timeline, without a status: HubSpot sends nothing. timestamp_ms: epoch
        milliseconds. Not idempotent: e-mails have no unique property, and their texts are read with the scope
        `sales-email-read` only. Source: developers.hubspot.com, e-mail activities guide, 2026-11-22.
        """
        properties = {
            "hs_timestamp": str(timestamp_ms),
            "hs_email_direction": "EMAIL",
            "hs_email_subject": subject,
            "hs_email_text": text,
            "hs_email_html": html,
            "hs_email_headers": json.dumps({"from": {"email": from_email}, "to": [{"email": to_email}]}),
        }
        if owner_id:
            properties["hubspot_owner_id"] = owner_id
        return await self.create("emails", properties, associations)


def _asked(
    properties: Sequence[str], history: Sequence[str], associations: Sequence[str], archived: bool
) -> dict[str, str]:
    params = {"archived": "true" if archived else "false"}
    if properties:
        params["properties"] = ",".join(dict.fromkeys(properties))
    if history:
        params["propertiesWithHistory"] = ",".join(dict.fromkeys(history))
    if associations:
        params["associations"] = ",".join(associations)
    return params


def _records(answer: Answer) -> tuple[Record, ...]:
    return parsed_rows(answer, parse_record)


def _new_link(link: NewLink) -> dict[str, object]:
    kind = {"associationCategory": link.category, "associationTypeId": link.type_id}
    return {"to": {"id": link.to_id}, "types": [kind]}


def _search_body(
    groups: Sequence[Sequence[Filter]],
    properties: Sequence[str],
    sort: Sort | None,
    limit: int,
    after: str | None,
) -> dict[str, object]:
    count = sum(len(group) for group in groups)
    if len(groups) > _MAX_GROUPS or count > _MAX_FILTERS_IN_ALL or any(len(g) > _MAX_FILTERS for g in groups):
        raise ValueError("a search takes at most 5 groups of 6 filters, 18 in all")
    body: dict[str, object] = {
        "filterGroups": [{"filters": [one.body() for one in group]} for group in groups],
        "properties": list(dict.fromkeys(properties)),
        "limit": limit,
    }
    if sort:
        body["sorts"] = [
            {"propertyName": sort.property, "direction": "DESCENDING" if sort.descending else "ASCENDING"}
        ]
    if after:
        body["after"] = after
    if len(json.dumps(body, separators=(",", ":"), ensure_ascii=False)) > MAX_SEARCH_BODY_CHARS:
        raise ValueError(f"a search body holds at most {MAX_SEARCH_BODY_CHARS} characters")
    return body
