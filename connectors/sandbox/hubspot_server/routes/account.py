"""Owners, account details and usage, and form submissions.

Sources: owners and account guides, form submission pages (read 2026-04-13; facts sections 1, 2, 5, 10).
"""

from datetime import timedelta
from typing import Any
from zoneinfo import ZoneInfo

from connectors.sandbox.hubspot_server.errors import Refusal, correlation_id, missing_fields
from connectors.sandbox.hubspot_server.portal import CURRENCY, TIME_ZONE, Owner
from connectors.sandbox.hubspot_server.records.catalog import object_type
from connectors.sandbox.hubspot_server.records.record import Source
from connectors.sandbox.hubspot_server.times import instant
from connectors.sandbox.hubspot_server.web import Call, Site

FORM_DELAY_S = 2.0
"""A form answers before the contact exists (observed; facts section 10)."""


def mount(site: Site) -> None:
    """Add the routes."""
    owners = ["/crm/owners/{version}", "/crm/v3/owners", "/crm/v3/owners/"]
    site.serve("GET", owners, list_owners)
    site.serve("GET", ["/crm/owners/{version}/{owner_id}", "/crm/v3/owners/{owner_id}"], read_owner)
    account = ("/account-info/{version}", "/account-info/v3")
    site.serve("GET", [f"{a}/details" for a in account], details)
    site.serve("GET", [f"{a}/api-usage/daily/private-apps" for a in account], usage)
    form = "/submissions/v3/integration"
    site.serve("POST", [f"{form}/submit/{{portal_id}}/{{form_guid}}"], submit_form)
    site.serve("POST", [f"{form}/secure/submit/{{portal_id}}/{{form_guid}}"], submit_form)


async def list_owners(call: Call) -> tuple[int, Any]:
    """Owners, 100 a page by default; optionally by e-mail."""
    limit = call.number("limit", 100, 500)
    wanted, archived = call.text("email"), call.flag("archived")
    rows = [
        o
        for o in call.portal.owners
        if o.archived == archived and (wanted is None or o.email == wanted.lower())
    ]
    rows.sort(key=lambda o: int(o.id))
    after = call.text("after")
    if after:
        rows = [o for o in rows if int(o.id) >= int(after)]
    answer: dict[str, Any] = {"results": [_owner(o) for o in rows[:limit]]}
    if len(rows) > limit:
        answer["paging"] = {"next": {"after": rows[limit].id}}
    return 200, answer


async def read_owner(call: Call) -> tuple[int, Any]:
    """One owner by id, or by user id with idProperty=userId."""
    ident, by_user = call.args["owner_id"], call.text("idProperty") == "userId"
    for owner in call.portal.owners:
        mine = str(owner.user_id) if by_user else owner.id
        if mine == ident and owner.archived == call.flag("archived"):
            return 200, _owner(owner)
    raise Refusal(404, f"Owner with id {ident} was not found", category="OBJECT_NOT_FOUND")


async def details(call: Call) -> tuple[int, Any]:
    """The account's details."""
    offset = call.portal.bench.clock.now().astimezone(ZoneInfo(TIME_ZONE)).utcoffset() or timedelta(0)
    return 200, {
        "portalId": call.portal.portal_id,
        "accountType": "DEVELOPER_TEST",
        "timeZone": TIME_ZONE,
        "companyCurrency": CURRENCY,
        "additionalCurrencies": ["USD", "GBP"],
        "utcOffset": f"{'-' if offset < timedelta(0) else '+'}{str(abs(offset))[:-3].rjust(5, '0')}",
        "utcOffsetMilliseconds": int(offset.total_seconds() * 1000),
        "uiDomain": "app.hubspot.com",
        "dataHostingLocation": "eu1",
    }


async def usage(call: Call) -> tuple[int, Any]:
    """Requests used today."""
    now = call.portal.bench.clock.now().astimezone(ZoneInfo(TIME_ZONE))
    midnight = (now + timedelta(days=1)).replace(hour=0, minute=0, second=0, microsecond=0)
    row = {
        "name": "private-apps-api-calls-daily",
        "usageLimit": call.portal.limits.daily,
        "currentUsage": call.portal.limits.used_today,
        "collectedAt": instant(call.portal.bench.clock.now_ms()),
        "fetchStatus": "SUCCESS",
        "resetsAt": instant(int(midnight.timestamp() * 1000)),
    }
    return 200, {"results": [row]}


async def submit_form(call: Call) -> tuple[int, Any]:
    """A form submission: the answer comes first, the contact a moment later, by e-mail one per person."""
    portal, body = call.portal, call.body()
    if call.args["portal_id"] != str(portal.portal_id):
        raise Refusal(404, "There is no such portal")
    fields = body.get("fields")
    if not isinstance(fields, list) or not fields:
        raise missing_fields(["fields"])
    if len(fields) > 1_000:
        raise Refusal(400, "A submission has at most 1,000 fields")
    _check_age(call, body.get("submittedAt"))
    kind, schema = object_type("contacts"), portal.schema
    given = {
        str(f.get("name")): f.get("value")
        for f in fields
        if f.get("objectTypeId", "0-1") == "0-1" and schema.find(kind, str(f.get("name")))
    }
    if not given.get("email"):
        raise Refusal(400, "The form needs an email field", sub_category="REQUIRED_FIELD")
    checked = portal.checks.new(kind, {**given, "email": _spare(call)})
    checked.values["email"] = str(given["email"]).strip().lower()
    guid = call.args["form_guid"]
    portal.forms.append({"form": guid, "fields": given})
    portal.forms_under_way += 1

    async def arrive() -> None:
        portal.forms_under_way -= 1
        source, known = Source("FORM", guid), portal.crm.unique.holder(kind, "email", checked.values["email"])
        record = portal.crm.find(kind, known) if known else None
        if record is None:
            portal.crm.create(kind, checked.values, source)
        else:
            portal.crm.update(record, checked.values, source)

    portal.bench.clock.after(FORM_DELAY_S, arrive, "form submission")
    return 200, {"inlineMessage": "Thanks for submitting the form."}


def _spare(call: Call) -> str:
    return f"form-{correlation_id()}@example.test"


def _check_age(call: Call, submitted_at: Any) -> None:
    if submitted_at is None:
        return
    now_ms = call.portal.bench.clock.now_ms()
    if not str(submitted_at).isdigit() or not 0 <= now_ms - int(submitted_at) < 30 * 86_400_000:
        raise Refusal(400, "submittedAt must be in milliseconds and less than a month ago")


def _owner(owner: Owner) -> dict[str, Any]:
    return {
        "id": owner.id,
        "email": owner.email,
        "type": "PERSON",
        "firstName": owner.first_name,
        "lastName": owner.last_name,
        "userId": owner.user_id,
        "userIdIncludingInactive": owner.user_id,
        "createdAt": "2024-02-05T08:30:00Z",
        "updatedAt": "2026-01-12T09:00:00Z",
        "archived": owner.archived,
        "teams": [],
    }
