"""CRM objects in batches: batch read, update and upsert, matched by id or key and never by position.

Sources: developers.hubspot.com error handling (207, objectWriteTraceId), "using object APIs", the merge
changelog; recorded answers of a production connector (order of results, duplicate ids), all read 2026-11-22.
"""

from collections.abc import Iterable, Mapping, Sequence

from connectors.hubspot.calls import (
    BATCH,
    BATCH_WITH_HISTORY,
    Calls,
    SomeDone,
    chunks,
    context_values,
    parsed_rows,
    path,
    row_error,
)
from connectors.hubspot.lenient_json import items, mapping
from connectors.hubspot.records import BatchRead, BatchWrite, Record, RowError, parse_record

_MERGED_IDS = "hs_merged_object_ids"  # "12;34"
_MERGED_VIDS = "hs_calculated_merged_vids"  # contacts: "12:1700000000000;34:..."
_NOT_FOUND = "OBJECT_NOT_FOUND"


class BatchCalls(Calls):
    """Batches are split into the vendor's sizes; a failure after the first chunk is marked `applied` "maybe"."""

    async def read_batch(
        self,
        object_type: str,
        ids: Iterable[str],
        *,
        properties: Sequence[str],
        id_property: str | None = None,
        history: Sequence[str] = (),
        archived: bool = False,
    ) -> BatchRead:
        """Read many records, by id or unique property value: one call per 100 (50 with history). Repeats are
        dropped.

        A merged id maps to the surviving record. Raises ConnectorError when a call fails as
        a whole.
        """
        size = BATCH_WITH_HISTORY if history else BATCH
        records: dict[str, Record] = {}
        missing: list[str] = []
        failed: dict[str, RowError] = {}
        for asked in chunks(dict.fromkeys(ids), size):
            body = _read_body(asked, properties, id_property, history)
            route = path("crm", "objects", self._versions.objects, object_type, "batch", "read")
            answer = await self._send(
                f"read_batch_{object_type}",
                "POST",
                route + ("?archived=true" if archived else ""),
                body,
                write=False,
                expect=(200, 207),
            )
            found = _matched(asked, parsed_rows(answer, parse_record), id_property)
            records |= {key: _only(record, properties, id_property) for key, record in found.items()}
            left = [one for one in asked if one not in found]
            bad = _failed_reads(left, items(mapping(answer.json()).get("errors")))
            failed |= bad
            missing.extend(one for one in left if one not in bad)
        return BatchRead(records, tuple(missing), failed)

    async def batch_update(self, object_type: str, rows: Mapping[str, Mapping[str, str]]) -> BatchWrite:
        """Set properties of many records by id: one call per 100; one bad row does not stop the others.

        Safe to repeat. Ids that were merged into another record give errors. Contacts cannot be updated by e-mail
        here.
        """
        return await self._write(object_type, "update", rows, None)

    async def batch_upsert(
        self, object_type: str, id_property: str, rows: Mapping[str, Mapping[str, str]]
    ) -> BatchWrite:
        """Create or update many records by a unique property (key of `rows`): one call per 100. Safe to
        repeat.

        Keys that differ only in case are refused with ValueError, because HubSpot rejects the whole batch for
        them. Associations cannot be set here. Always give every property we own (partial upserts by e-mail
        are not supported).
        """
        if len({key.casefold() for key in rows}) != len(rows):
            raise ValueError(f"two rows share one {id_property}")
        return await self._write(object_type, "upsert", rows, id_property)

    async def _write(
        self,
        object_type: str,
        verb: str,
        rows: Mapping[str, Mapping[str, str]],
        id_property: str | None,
    ) -> BatchWrite:
        records: dict[str, Record] = {}
        errors: dict[str, RowError] = {}
        unknown: list[str] = []
        route = path("crm", "objects", self._versions.objects, object_type, "batch", verb)
        with SomeDone() as progress:
            for keys in chunks(rows, BATCH):
                traces = {f"row-{number}": key for number, key in enumerate(keys)}
                body = {"inputs": [_input(t, k, rows[k], id_property) for t, k in traces.items()]}
                answer = await self._send(
                    f"batch_{verb}_{object_type}", "POST", route, body, write=True, expect=(200, 201, 207)
                )
                progress.chunks += 1
                done = _written(traces, parsed_rows(answer, parse_record), id_property)
                bad = _failed_writes(traces, items(mapping(answer.json()).get("errors")))
                records |= done
                errors |= {key: error for key, error in bad.items() if key not in done}
                unknown.extend(key for key in keys if key not in done and key not in bad)
        return BatchWrite(records, errors, tuple(unknown))


def _read_body(
    asked: Sequence[str], properties: Sequence[str], id_property: str | None, history: Sequence[str]
) -> dict[str, object]:
    wanted = [*properties, _MERGED_IDS, _MERGED_VIDS]
    body: dict[str, object] = {"inputs": [{"id": one} for one in asked]}
    if id_property:
        body["idProperty"] = id_property
        wanted.append(id_property)
    body["properties"] = list(dict.fromkeys(wanted))
    if history:
        body["propertiesWithHistory"] = list(dict.fromkeys(history))
    return body


def _matched(asked: Sequence[str], rows: Sequence[Record], id_property: str | None) -> dict[str, Record]:
    """The record for each requested id, found directly or by its list of merged ids."""
    by_key: dict[str, Record] = {}
    for record in rows:
        if id_property:
            for value in _values_of(record, id_property):
                by_key.setdefault(value, record)
        else:
            by_key[record.id] = record
    if not id_property:
        for record in rows:
            for old in _merged_into(record):
                by_key.setdefault(old, record)
    keyed = ((one, by_key.get(one.casefold() if id_property else one)) for one in asked)
    return {one: record for one, record in keyed if record is not None}


def _values_of(record: Record, id_property: str) -> list[str]:
    # A contact is also found by its additional addresses; HubSpot stores addresses in lower case.
    values = [record.properties.get(id_property)]
    if id_property == "email":
        values.extend((record.properties.get("hs_additional_emails") or "").split(";"))
    return [value.casefold() for value in values if value]


def _merged_into(record: Record) -> list[str]:
    plain = (record.properties.get(_MERGED_IDS) or "").split(";")
    dated = (record.properties.get(_MERGED_VIDS) or "").split(";")
    return [one.strip() for one in (*plain, *(entry.partition(":")[0] for entry in dated)) if one.strip()]


def _only(record: Record, properties: Sequence[str], id_property: str | None) -> Record:
    """The record without the two properties that were added for matching."""
    extra = {_MERGED_IDS, _MERGED_VIDS} - set(properties) - {id_property}
    kept = {name: value for name, value in record.properties.items() if name not in extra}
    return Record(**{**record.__dict__, "properties": kept})


def _failed_reads(left: Sequence[str], errors: Sequence[object]) -> dict[str, RowError]:
    """Requested ids for which HubSpot reported an error. A plain "not found" is not a failure; an error without
    an id may be about any of the remaining ones."""
    failed: dict[str, RowError] = {}
    for data in errors:
        error = row_error(data)
        if error.category == _NOT_FOUND:
            continue
        named = set(context_values(data, "ids")) | set(context_values(data, "id"))
        failed |= {one: error for one in left if not named or one in named}
    return failed


def _input(trace: str, key: str, properties: Mapping[str, str], id_property: str | None) -> dict[str, object]:
    row: dict[str, object] = {"id": key, "properties": dict(properties), "objectWriteTraceId": trace}
    if id_property:
        row["idProperty"] = id_property
    return row


def _written(traces: Mapping[str, str], rows: Sequence[Record], id_property: str | None) -> dict[str, Record]:
    by_value = {key.casefold(): key for key in traces.values()}
    done: dict[str, Record] = {}
    for record in rows:
        key = traces.get(record.write_trace_id or "")
        if key is None and id_property is None:
            key = by_value.get(record.id)
        elif key is None and id_property is not None:
            key = next((by_value[v] for v in _values_of(record, id_property) if v in by_value), None)
        if key is not None:
            done[key] = record
    return done


def _failed_writes(traces: Mapping[str, str], errors: Sequence[object]) -> dict[str, RowError]:
    by_value = {key.casefold(): key for key in traces.values()}
    failed: dict[str, RowError] = {}
    for data in errors:
        named = [traces.get(trace) for trace in context_values(data, "objectWriteTraceId")]
        trace = mapping(data).get("objectWriteTraceId")
        named.append(traces.get(trace) if isinstance(trace, str) else None)
        for field in ("ids", "id"):
            named.extend(by_value.get(value.casefold()) for value in context_values(data, field))
        failed |= {key: row_error(data) for key in named if key is not None}
    return failed
