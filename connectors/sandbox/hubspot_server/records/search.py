"""Search: filter groups over indexed values, one sort rule, pages up to 10,000 results.

Source: https://developers.hubspot.com/docs/api-reference/latest/crm/search-the-crm (read 2026-04-13). The
index lags: a record or change shows only `search_lag_s` virtual seconds later. Records without the property
do not match NEQ, NOT_IN and NOT_CONTAINS_TOKEN (not documented; the strict reading).
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from connectors.sandbox.hubspot_server.errors import Refusal
from connectors.sandbox.hubspot_server.records.calculated import number
from connectors.sandbox.hubspot_server.records.catalog import ObjectType, object_type
from connectors.sandbox.hubspot_server.records.crm import Crm
from connectors.sandbox.hubspot_server.records.record import Record, Snapshot
from connectors.sandbox.hubspot_server.records.schema import Property
from connectors.sandbox.hubspot_server.routes.objects import BASES
from connectors.sandbox.hubspot_server.times import instant, to_ms
from connectors.sandbox.hubspot_server.web import Call, Site

MAX_PAGE = 200
MAX_RESULTS = 10_000
MAX_BODY = 3_000  # characters
MAX_GROUPS, MAX_FILTERS, MAX_ALL_FILTERS = 5, 6, 18
_COMPARING = ("EQ", "NEQ", "LT", "LTE", "GT", "GTE", "BETWEEN", "CONTAINS_TOKEN", "NOT_CONTAINS_TOKEN")
OPERATORS = frozenset((*_COMPARING, "IN", "NOT_IN", "HAS_PROPERTY", "NOT_HAS_PROPERTY"))
_QUERY_IN = {
    "deals": ("dealname",),
    "contacts": ("firstname", "lastname", "email", "phone", "company", "hs_additional_emails"),
    "companies": ("name", "domain", "website", "phone"),
    "products": ("name", "description", "hs_sku", "price"),
    "leads": ("hs_lead_name",),
    "quotes": ("hs_title",),
    "notes": ("hs_note_body",),
    "tasks": ("hs_task_subject", "hs_task_body"),
    "emails": ("hs_email_subject",),
    "calls": ("hs_call_title", "hs_call_body"),
    "meetings": ("hs_meeting_title", "hs_meeting_body"),
}
_WORD = re.compile(r"[\w*]+", re.UNICODE)
_ACTIVE = ("HAS_PROPERTY", "NOT_HAS_PROPERTY")


@dataclass
class _Hit:
    record: Record
    values: dict[str, str]


def mount(site: Site) -> None:
    """Add the route."""
    site.serve("POST", [f"{b}/search" for b in BASES], search)


async def search(call: Call) -> tuple[int, Any]:
    """One page of matches with the total."""
    body, kind, crm = call.body(), call.kind(), call.portal.crm
    if len(call.raw.decode("utf-8", "replace")) > MAX_BODY:
        raise Refusal(400, f"The request body is longer than {MAX_BODY} characters")
    limit, after = _page(body)
    tests = _groups(crm, kind, body.get("filterGroups") or [])
    words = [w.lower() for w in _WORD.findall(str(body.get("query") or ""))]
    until_s = crm.clock.now_s() - crm.settings.search_lag_s
    hits = [
        _Hit(record, snapshot.values)
        for record, snapshot in _indexed(crm, kind, until_s)
        if (not tests or any(all(t(record, snapshot.values) for t in group) for group in tests))
        and _has_words(kind, snapshot.values, words)
    ]
    _sort(crm, kind, hits, body.get("sorts") or [])
    page = hits[after : after + limit]
    answer: dict[str, Any] = {
        "total": len(hits),
        "results": [_shown(crm, hit, body.get("properties") or ()) for hit in page],
    }
    if after + limit < len(hits) and page:
        answer["paging"] = {"next": {"after": str(after + limit)}}
    return 200, answer


def _page(body: Mapping[str, Any]) -> tuple[int, int]:
    limit, after = body.get("limit", 10), body.get("after", 0)
    if not isinstance(limit, int) or not 0 <= limit <= MAX_PAGE:
        raise Refusal(400, f"limit must be at most {MAX_PAGE}")
    try:
        start = int(after or 0)
    except (TypeError, ValueError):
        raise Refusal(400, f"after {after} is not an integer") from None
    if start < 0 or start + limit > MAX_RESULTS:
        raise Refusal(400, f"Paging past {MAX_RESULTS} results is not supported")
    return limit, start


def _indexed(crm: Crm, kind: ObjectType, until_s: float) -> list[tuple[Record, Snapshot]]:
    found = []
    for record in [*crm.all(kind), *crm.all(kind, archived=True)]:
        snapshot = record.indexed(until_s)
        if snapshot is not None and not snapshot.archived and not record.archived:
            found.append((record, snapshot))
    return found


def _groups(crm: Crm, kind: ObjectType, given: Any) -> list[list[Any]]:
    if not isinstance(given, list) or len(given) > MAX_GROUPS:
        raise Refusal(400, f"At most {MAX_GROUPS} filterGroups are allowed")
    filters = [list(g.get("filters") or []) for g in given]
    if any(len(f) > MAX_FILTERS for f in filters) or sum(map(len, filters)) > MAX_ALL_FILTERS:
        raise Refusal(400, f"At most {MAX_FILTERS} filters a group and {MAX_ALL_FILTERS} in all are allowed")
    return [[_test(crm, kind, f) for f in group] for group in filters]


def _test(crm: Crm, kind: ObjectType, given: Mapping[str, Any]) -> Any:
    name, operator = str(given.get("propertyName", "")), str(given.get("operator", ""))
    if operator not in OPERATORS:
        raise Refusal(400, f"operator {operator} is not one of {sorted(OPERATORS)}")
    if name.startswith("associations."):
        return _association_test(crm, kind, name, operator, given)
    prop = crm.schema.find(kind, name)
    if prop is None:
        raise Refusal(400, f"Property {name} does not exist for object type {kind.type_id}")
    if operator in _ACTIVE:
        wanted = operator == "HAS_PROPERTY"
        return lambda record, values: (name in values) is wanted
    if operator in ("IN", "NOT_IN"):
        if not isinstance(given.get("values"), list) or not given["values"]:
            raise Refusal(400, f"{operator} needs values")
        members = {str(v) for v in given["values"]}
        return _member_test(prop, members, operator == "IN")
    if given.get("value") in (None, ""):
        raise Refusal(400, f"{operator} needs a value")
    if operator == "BETWEEN" and given.get("highValue") in (None, ""):
        raise Refusal(400, "BETWEEN needs highValue")
    return _value_test(prop, operator, str(given["value"]), str(given.get("highValue", "")))


def _member_test(prop: Property, members: set[str], inside: bool) -> Any:
    def test(record: Record, values: dict[str, str]) -> bool:
        have = values.get(prop.name)
        if have is None:
            return False
        # Strings are indexed in lower case: an upper-case entry in the list matches nothing.
        mine = set(have.split(";")) if prop.multiple else {have.lower() if prop.type == "string" else have}
        return bool(mine & members) is inside

    return test


def _value_test(prop: Property, operator: str, value: str, high: str) -> Any:
    low, top = comparable(prop, value), comparable(prop, high) if high else None
    pattern = _token_pattern(value)

    def test(record: Record, values: dict[str, str]) -> bool:
        raw = values.get(prop.name)
        if raw is None:
            return False
        if operator == "CONTAINS_TOKEN":
            return bool(pattern(raw))
        if operator == "NOT_CONTAINS_TOKEN":
            return not pattern(raw)
        if prop.multiple and operator in ("EQ", "NEQ"):
            return (value in raw.split(";")) is (operator == "EQ")
        have = comparable(prop, raw)
        match operator:
            case "EQ":
                return bool(have == low)
            case "NEQ":
                return bool(have != low)
            case "LT":
                return bool(have < low)
            case "LTE":
                return bool(have <= low)
            case "GT":
                return bool(have > low)
            case "GTE":
                return bool(have >= low)
        return bool(low <= have <= top)

    return test


def _association_test(crm: Crm, kind: ObjectType, name: str, operator: str, given: Mapping[str, Any]) -> Any:
    target = object_type(name.removeprefix("associations."))
    if operator not in ("EQ", "IN", "HAS_PROPERTY", "NOT_HAS_PROPERTY"):
        raise Refusal(400, f"{operator} is not supported for {name}")
    wanted = {str(v) for v in given.get("values") or [given.get("value")]}

    def test(record: Record, values: dict[str, str]) -> bool:
        associated = set(crm.links.ids(kind, record.id, target))
        if operator in _ACTIVE:
            return bool(associated) is (operator == "HAS_PROPERTY")
        return bool(associated & wanted)

    return test


def comparable(prop: Property, text: str) -> Any:
    """A value in the form that its property type compares by. Raises Refusal 400 for a bad filter value."""
    if prop.type == "number":
        found = number(text)
        if found is None:
            raise Refusal(400, f"{text} is not a number for property {prop.name}")
        return found
    if prop.type in ("date", "datetime"):
        try:
            return to_ms(text)
        except ValueError:
            raise Refusal(400, f"{text} is not a date for property {prop.name}") from None
    return text if prop.type == "enumeration" else text.lower()


def _token_pattern(value: str) -> Any:
    tests = [
        re.compile(re.escape(w).replace(r"\*", r"\w*"), re.IGNORECASE | re.UNICODE)
        for w in _WORD.findall(value)
    ]

    def test(text: str) -> bool:
        tokens = _WORD.findall(text)
        return bool(tests) and all(any(t.fullmatch(token) for token in tokens) for t in tests)

    return test


def _has_words(kind: ObjectType, values: dict[str, str], words: list[str]) -> bool:
    if not words:
        return True
    text = " ".join(values.get(n, "") for n in _QUERY_IN.get(kind.key, ("name",))).lower()
    tokens = _WORD.findall(text)
    return all(any(t.startswith(w) for t in tokens) for w in words)


def _sort(crm: Crm, kind: ObjectType, hits: list[_Hit], given: Any) -> None:
    hits.sort(key=lambda h: (h.record.created_ms, int(h.record.id)))  # oldest first unless asked
    if not given:
        return
    if len(given) > 1:
        raise Refusal(400, "Only one sort rule is supported")
    rule = given[0]
    if isinstance(rule, str):
        name, down = rule.removeprefix("-"), rule.startswith("-")
    else:
        name, down = str(rule.get("propertyName")), rule.get("direction") == "DESCENDING"
    prop = crm.schema.find(kind, name)
    if prop is None:
        raise Refusal(400, f"Property {name} does not exist for object type {kind.type_id}")
    with_value = [h for h in hits if name in h.values]
    without = [h for h in hits if name not in h.values]
    with_value.sort(key=lambda h: comparable(prop, h.values[name]), reverse=down)
    hits[:] = [*with_value, *without]


def _shown(crm: Crm, hit: _Hit, properties: Any) -> dict[str, Any]:
    kind = hit.record.kind
    names = dict.fromkeys([*(properties or kind.defaults), kind.created, kind.last_modified, "hs_object_id"])
    return {
        "id": hit.record.id,
        "properties": {n: hit.values.get(n) for n in names if crm.schema.find(kind, n)},
        "createdAt": instant(hit.record.created_ms),
        "updatedAt": hit.values.get(kind.last_modified, instant(hit.record.updated_ms)),
        "archived": False,
    }
