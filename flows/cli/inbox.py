"""`dealflow inbox`: what arrived, what came of it, and how it is handled again."""

import json
from typing import Any, Literal, get_args

from cyclopts import App

from flows.cli.output import (
    Json,
    Limit,
    Refused,
    WrongUsage,
    read_ledger,
    run_async,
    say,
    settings_now,
    show_rows,
    write_ledger,
)

inbox_app = App(name="inbox")

EventState = Literal["due", "claimed", "parked", "held", "done", "ignored", "dead"]


@inbox_app.command(name="list")
def inbox_list(
    *,
    state: list[EventState] | None = None,
    deal: str | None = None,
    limit: Limit = 50,
    as_json: Json = False,
) -> None:
    """Events, newest first; ignored ones only when asked for with --state ignored."""
    from flows.ledger import inbox

    async def read(tx: Any) -> list[dict[str, Any]]:
        shown = state or [x for x in get_args(EventState) if x != "ignored"]
        rows = await inbox.listing(tx, states=shown, deal_id=deal, limit=limit)
        return [
            {
                "id": e.id,
                "kind": e.kind,
                "deal": e.deal_id,
                "state": e.state,
                "try": e.attempts,
                "failures": e.failures,
                "received": f"{e.received_at:%Y-%m-%d %H:%M:%S}",
                "next": f"{e.due_at:%H:%M:%S}" if e.state in ("due", "parked", "held") else None,
                "what": e.reason or (e.outcome or {}).get("summary"),
            }
            for e in rows
        ]

    show_rows(read_ledger(read), as_json)


@inbox_app.command(name="show")
def inbox_show(event_id: int, *, as_json: Json = False) -> None:
    """One event with its delivery: exact headers and body as they came."""
    from flows.ledger import inbox

    async def read(tx: Any) -> list[dict[str, Any]]:
        found = await inbox.load(tx, [event_id])
        if not found:
            raise Refused(f"there is no event {event_id} in the inbox")
        event = found[0]
        delivery = await inbox.delivery(tx, event.delivery_id) if event.delivery_id else None
        shown = dict(event.__dict__)
        if delivery is not None:
            shown["headers"] = delivery.headers
            shown["body"] = delivery.body.decode("utf-8", "replace")
            shown["repeats"] = delivery.repeats
        return [shown]

    row = read_ledger(read)[0]
    if as_json:
        say(json.dumps(row, default=str, indent=2))
    else:
        show_rows([{"field": k, "value": v} for k, v in row.items() if v is not None], False)


@inbox_app.command(name="replay")
def inbox_replay(*event_ids: int, live: bool = False, as_json: Json = False) -> None:
    """Show what events would do if they came again now, against what they did; with --live let them come again.

    Without --live nothing is written: not at HubSpot, not at Dropbox Sign, not in the ledger.

    Parameters
    ----------
    event_ids
        Rows of the inbox, as `dealflow inbox list` numbers them.
    live
        Put each into the inbox once more, as a new row for the worker. What is done already is not done again.
    """
    from flows.services import open_services, utc_now
    from flows.trials.replay import again, dry_run, find

    if not event_ids:
        raise WrongUsage("name at least one event")
    settings = settings_now()

    async def in_ledger() -> dict[int, int]:
        from flows.ledger.database import open_ledger

        ledger = await open_ledger(settings.database)
        try:
            found = await find(ledger, event_ids, portal_id=settings.hubspot_portal_id)
            return await again(ledger, found, now=utc_now())
        finally:
            await ledger.close()

    async def in_a_copy() -> list[Any]:
        s = await open_services(settings)
        try:
            found = await find(s.ledger, event_ids, portal_id=settings.hubspot_portal_id)
            return [await dry_run(s, one) for one in found]
        finally:
            await s.close()

    if live:
        made: dict[int, int] = run_async(in_ledger())
        if as_json:
            say(json.dumps([{"id": old, "replayed_as": new} for old, new in made.items()], indent=2))
        else:
            say("\n".join(f"event {old} comes again as event {new}" for old, new in made.items()))
        return
    reports = run_async(in_a_copy())
    if as_json:
        say(json.dumps([r.as_json() for r in reports], default=str, indent=2))
    else:
        say("\n\n".join("\n".join(r.lines()) for r in reports))


@inbox_app.command(name="retry")
def inbox_retry(event_id: int) -> None:
    """Let a dead, parked or held event be handled again now, as it came."""
    from flows.ledger import inbox
    from flows.services import utc_now

    async def again(tx: Any) -> bool:
        return await inbox.retry(tx, event_id, now=utc_now())

    if not write_ledger(again):
        raise Refused(f"event {event_id} is not dead, parked or held: there is nothing to retry")
    say(f"event {event_id} is due again")
