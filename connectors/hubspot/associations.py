"""Associations between records: read and created in batches of up to thousands.

Source: developers.hubspot.com "associate records" guide, read 2026-11-22. Creating one again is harmless;
sending labels replaces the labels of the pair. For an id that was merged into another record the answer is empty:
ask with the surviving id.
"""

from collections.abc import Iterable, Sequence

from connectors.http.errors import RejectedError, UnreadableAnswerError
from connectors.http.exchange import Answer
from connectors.hubspot.calls import (
    ASSOCIATION_READ,
    ASSOCIATION_WRITE,
    Calls,
    SomeDone,
    chunks,
    parsed_rows,
    path,
    results,
    row_error,
)
from connectors.hubspot.lenient_json import identifier, items, mapping, next_after
from connectors.hubspot.records import Link, LinkType, RowError, parse_label, parse_link

_NOTHING_ASSOCIATED = "OBJECT_NOT_FOUND"


class AssociationCalls(Calls):
    """These calls have their own, lower limit at HubSpot; the `associations` bucket enforces it."""

    async def association_labels(self, from_type: str, to_type: str) -> tuple[LinkType, ...]:
        """All association types between two object types in this account, custom labels included."""
        route = path("crm", "associations", self._versions.associations, from_type, to_type, "labels")
        answer = await self._get("association_labels", route)
        return parsed_rows(answer, parse_label)

    async def associated(
        self, from_type: str, to_type: str, ids: Iterable[str]
    ) -> dict[str, tuple[Link, ...]]:
        """Associations of each id (an empty tuple without any): one call per 1,000 ids, further pages per id.

        Raises RejectedError when HubSpot reports a row error other than "nothing associated".
        """
        links: dict[str, dict[str, Link]] = {one: {} for one in dict.fromkeys(ids)}
        queue: list[tuple[str, str | None]] = [(one, None) for one in links]
        route = path("crm", "associations", self._versions.associations, from_type, to_type, "batch", "read")
        while queue:
            batch, queue = queue[:ASSOCIATION_READ], queue[ASSOCIATION_READ:]
            body = {"inputs": [{"id": one, "after": at} if at else {"id": one} for one, at in batch]}
            answer = await self._send(
                "associated", "POST", route, body, write=False, expect=(200, 207), bucket="associations"
            )
            _refuse_other_errors(answer)
            for row in results(answer):
                from_id = identifier(mapping(mapping(row).get("from")).get("id"))
                if from_id not in links:
                    continue
                for link in _links(answer, row):
                    links[from_id][link.to_id] = link
                if after := next_after(row):
                    if (from_id, after) in batch:
                        answer.not_understood("a page that gives itself as the next")
                    queue.append((from_id, after))
        return {one: tuple(found.values()) for one, found in links.items()}

    async def associate_default(
        self, from_type: str, to_type: str, pairs: Iterable[tuple[str, str]]
    ) -> tuple[RowError, ...]:
        """Associate pairs (from id, to id) without a label: one call per 2,000. Safe to repeat; returns row
        errors."""
        route = path("crm", "associations", self._versions.associations, from_type, to_type)
        route += "/batch/associate/default"
        errors: list[RowError] = []
        with SomeDone() as progress:
            for batch in chunks(dict.fromkeys(pairs), ASSOCIATION_WRITE):
                body = {"inputs": [{"from": {"id": one}, "to": {"id": other}} for one, other in batch]}
                answer = await self._send(
                    "associate_default",
                    "POST",
                    route,
                    body,
                    write=True,
                    expect=(200, 201, 207),
                    bucket="associations",
                )
                progress.chunks += 1
                errors.extend(row_error(row) for row in items(mapping(answer.json()).get("errors")))
        return tuple(errors)

    async def associate(
        self, from_type: str, from_id: str, to_type: str, to_id: str, types: Sequence[tuple[str, int]]
    ) -> None:
        """Associate two records with labels, given as (category, type id). Replaces the pair's labels; safe to
        repeat."""
        if not types:
            raise ValueError("at least one association type is needed; use associate_default for none")
        route = path(
            "crm", "objects", self._versions.associations, from_type, from_id, "associations", to_type, to_id
        )
        body = [{"associationCategory": category, "associationTypeId": number} for category, number in types]
        await self._send(
            "associate", "PUT", route, body, write=True, expect=(200, 201), bucket="associations"
        )


def _links(answer: Answer, row: object) -> list[Link]:
    try:
        return [parse_link(one) for one in items(mapping(row).get("to"))]
    except UnreadableAnswerError as error:
        answer.not_understood(error.detail)


def _refuse_other_errors(answer: Answer) -> None:
    for data in items(mapping(answer.json()).get("errors")):
        error = row_error(data)
        if error.category != _NOTHING_ASSOCIATED:
            raise RejectedError(
                answer.vendor, answer.operation, status=answer.status, category=error.category
            )
