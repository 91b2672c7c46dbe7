"""HubSpot's deliveries over real HTTP: refused and stored deliveries, and their events in the inbox."""

import base64
import hashlib
import hmac
import json
import time
from typing import Any

import pytest

SECRET = "sandbox-client-secret"
PATH = "/webhooks/hubspot"
EVENT = {
    "eventId": 1,
    "subscriptionId": 7,
    "portalId": 48213377,
    "appId": 6110942,
    "occurredAt": 1763800000000,
    "subscriptionType": "deal.propertyChange",
    "attemptNumber": 0,
    "objectId": 41220075301,
    "propertyName": "dealstage",
    "propertyValue": "presentation",
    "changeSource": "CRM_UI",
}


def v3(body: bytes, *, url: str, at_s: float | None = None, secret: str = SECRET) -> dict[str, str]:
    """HubSpot's newer signature: over method, address, body and time."""
    at_ms = str(int((time.time() if at_s is None else at_s) * 1000))
    digest = hmac.new(secret.encode(), f"POST{url}".encode() + body + at_ms.encode(), hashlib.sha256).digest()
    return {
        "X-HubSpot-Signature-v3": base64.b64encode(digest).decode(),
        "X-HubSpot-Request-Timestamp": at_ms,
    }


def v1(body: bytes, secret: str = SECRET) -> dict[str, str]:
    """The older one: over the body alone."""
    return {
        "X-HubSpot-Signature": hashlib.sha256(secret.encode() + body).hexdigest(),
        "X-HubSpot-Signature-Version": "v1",
    }


def encoded(*events: Any) -> bytes:
    """A delivery's body as HubSpot writes it."""
    return json.dumps(list(events), separators=(",", ":")).encode()


async def send(gate: Any, body: bytes, **more: Any) -> Any:
    """A genuine delivery."""
    return await gate.post(PATH, content=body, headers=v3(body, url=gate.public + PATH), **more)


async def test_a_genuine_delivery_is_stored_then_acknowledged(gate: Any) -> None:
    """v3 over the public address: 200, exact bytes and headers kept, one inbox row about the deal."""
    body = encoded(EVENT)

    answer = await send(gate, body)

    assert answer.status_code == 200 and answer.json() == {"stored": 1}
    (delivery,) = gate.rows("deliveries")
    assert delivery["body"] == body and delivery["source"] == "hubspot"
    (row,) = gate.rows("inbox")
    assert (row["kind"], row["deal_id"], row["state"]) == ("deal.changed", "41220075301", "due")
    assert row["delivery_id"] == delivery["id"]


def _tampered(body: bytes, headers: dict[str, str]) -> dict[str, str]:
    return headers | {"X-HubSpot-Signature-v3": "A" + headers["X-HubSpot-Signature-v3"][1:]}


HOUR = 3600
REFUSED = {
    "unsigned": lambda body, url: {},
    "forged v3": lambda body, url: v3(body, url=url, secret="another"),
    "forged v1": lambda body, url: v1(body, secret="another"),
    "empty v3": lambda body, url: {**v3(body, url=url), "X-HubSpot-Signature-v3": ""},
    "other body": lambda body, url: v3(body + b" ", url=url),
    "six minutes old": lambda body, url: v3(body, url=url, at_s=time.time() - 360),
    "six minutes ahead": lambda body, url: v3(body, url=url, at_s=time.time() + 360),
    "without time": lambda body, url: {
        k: v for k, v in v3(body, url=url).items() if k != "X-HubSpot-Request-Timestamp"
    },
    "time in words": lambda body, url: {**v3(body, url=url), "X-HubSpot-Request-Timestamp": "now"},
    "bad v3 beside good v1": lambda body, url: {**v1(body), **v3(body, url=url, secret="another")},
    "stale v3 beside good v1": lambda body, url: {**v1(body), **v3(body, url=url, at_s=time.time() - HOUR)},
    "v2 that we do not take": lambda body, url: {**v1(body), "X-HubSpot-Signature-Version": "v2"},
    "signed for the inner address": lambda body, url: v3(body, url="http://127.0.0.1:8080" + PATH),
    "signed for another path": lambda body, url: v3(body, url=url + "/x"),
    "signed as http": lambda body, url: v3(body, url=url.replace("https", "http")),
}


@pytest.mark.parametrize("how", REFUSED)
async def test_nobody_unproven_gets_in(gate: Any, how: str) -> None:
    """Unsigned, forged, stale or signed for another address: 401, and only a count is stored."""
    body = encoded(EVENT)

    answer = await gate.post(PATH, content=body, headers=REFUSED[how](body, gate.public + PATH))

    assert answer.status_code == 401, answer.text
    assert gate.rows("deliveries") == gate.rows("inbox") == []
    assert [(r["name"], r["n"]) for r in gate.rows("counts")] == [("refused.hubspot.401", 1)]


async def test_v1_alone_is_enough(gate: Any) -> None:
    """Accounts whose app signs only the older way are served."""
    body = encoded(EVENT)

    assert (await gate.post(PATH, content=body, headers=v1(body))).status_code == 200
    assert len(gate.rows("inbox")) == 1


async def test_a_good_v3_does_not_care_for_v1(gate: Any) -> None:
    """v3 decides when it is sent."""
    body = encoded(EVENT)
    headers = {**v1(body, secret="another"), **v3(body, url=gate.public + PATH)}

    assert (await gate.post(PATH, content=body, headers=headers)).status_code == 200


@pytest.mark.parametrize("edge_s", [-295, 295])
async def test_just_inside_the_window_both_ways(gate: Any, edge_s: int) -> None:
    """Clocks may differ by up to five minutes in either direction."""
    body = encoded(EVENT)
    headers = v3(body, url=gate.public + PATH, at_s=time.time() + edge_s)

    assert (await gate.post(PATH, content=body, headers=headers)).status_code == 200


async def test_a_query_is_part_of_the_address(gate: Any) -> None:
    """The signature covers the query as it was called; it is not dropped or decoded."""
    body, query = encoded(EVENT), "?from=a%20b&to=c%2Fd"
    signed_as = gate.public + PATH + "?from=a%20b&to=c/d"  # %2F is one of the twelve that are decoded

    good = await gate.post(PATH + query, content=body, headers=v3(body, url=signed_as))
    bad = await gate.post(PATH + query, content=body, headers=v3(body, url=gate.public + PATH))

    assert (good.status_code, bad.status_code) == (200, 401)


BIG = 1024 * 1024


async def test_too_large_by_its_own_word(gate: Any) -> None:
    """More than 1 MiB announced: 413 before it is read, whoever signed it; only a count is stored."""
    body = b"[" + b" " * BIG + b"]"

    answer = await send(gate, body)

    assert answer.status_code == 413
    assert gate.rows("deliveries") == gate.rows("inbox") == []
    assert gate.rows("counts")[0]["name"] == "refused.hubspot.413"


async def test_too_large_in_chunks(gate: Any) -> None:
    """More than 1 MiB without a length: 413 as soon as it is over."""

    async def chunks() -> Any:
        for _ in range(17):
            yield b" " * 65_536

    answer = await gate.post(PATH, content=chunks(), headers=v1(b""))

    assert answer.status_code == 413 and gate.rows("deliveries") == []


async def test_a_length_that_lies_small_does_not_help(gate: Any) -> None:
    """An invalid length header does not disable the limit."""
    head = (
        f"POST {PATH} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n".encode()
    )
    piece = b"10000\r\n" + b" " * 65_536 + b"\r\n"

    answer = await gate.raw(head + piece * 17)

    assert answer.startswith(b"HTTP/1.1 413") and gate.rows("deliveries") == []


async def test_just_1_mib_is_taken(gate: Any) -> None:
    """The limit itself is allowed."""
    body = encoded({**EVENT, "propertyValue": "x"})
    body = body[:-1] + b" " * (BIG - len(body)) + b"]"
    assert len(body) == BIG

    assert (await send(gate, body)).status_code == 200


@pytest.mark.parametrize(
    "body", [b"{not json", b"", b'"text"', b"[1, 2]", b"\xff\xfe", b"[" * 100_000, b"null"]
)
async def test_a_proven_sender_that_cannot_be_read_is_a_dead_letter(gate: Any, body: bytes) -> None:
    """Kept byte for byte with the reason, acknowledged (a retry would bring the same), for a person to see."""
    answer = await send(gate, body)

    assert answer.status_code == 200
    (row,) = gate.rows("inbox")
    assert row["state"] == "dead" and row["kind"] == "unreadable" and row["reason"]
    assert gate.rows("deliveries")[0]["body"] == body


async def test_a_full_batch_of_100(gate: Any) -> None:
    """A hundred events in one delivery are a hundred rows."""
    body = encoded(*({**EVENT, "eventId": n, "objectId": 5000 + n} for n in range(100)))

    assert (await send(gate, body)).json() == {"stored": 100}
    assert len({r["deal_id"] for r in gate.rows("inbox")}) == 100


async def test_repeats_add_nothing(gate: Any) -> None:
    """The same delivery again, a retry with another attempt number, the same event in another batch: one row."""
    other = {**EVENT, "eventId": 2, "objectId": 99}
    for body in (
        encoded(EVENT),
        encoded(EVENT),
        encoded({**EVENT, "attemptNumber": 3}),
        encoded(other, EVENT),
    ):
        assert (await send(gate, body)).status_code == 200

    assert [r["deal_id"] for r in gate.rows("inbox")] == ["41220075301", "99"]
    assert [r["repeats"] for r in gate.rows("deliveries")] == [1, 0, 0]


async def test_two_changes_that_share_an_event_id_are_two(gate: Any) -> None:
    """HubSpot's eventId is not unique: what differs is kept."""
    await send(gate, encoded(EVENT, {**EVENT, "propertyValue": "closing", "occurredAt": 1763800000500}))

    assert len(gate.rows("inbox")) == 2


OTHERS = [
    ({"subscriptionType": "contact.creation", "objectId": 5}, None),
    ({"subscriptionType": "contact.propertyChange", "objectId": 5, "propertyName": "email"}, None),
    ({"subscriptionType": "company.creation", "objectId": 6}, None),
    ({"subscriptionType": "object.creation", "objectId": 7, "objectTypeId": "0-1"}, None),
    ({"subscriptionType": "contact.privacyDeletion", "objectId": 8}, None),
    ({"subscriptionType": "something.brandNew", "objectId": 9}, None),
    ({"subscriptionType": ""}, None),
    ({"subscriptionType": "deal.creation", "objectId": 10}, "10"),
    ({"subscriptionType": "deal.deletion", "objectId": 11}, "11"),
    ({"subscriptionType": "deal.restore", "objectId": 12}, "12"),
    ({"eventType": "deal.creation", "objectId": 13}, "13"),
    ({"subscriptionType": "object.propertyChange", "objectId": 14, "objectTypeId": "0-3"}, "14"),
    (
        {
            "subscriptionType": "deal.merge",
            "objectId": 15,
            "primaryObjectId": 15,
            "mergedObjectIds": [16],
            "newObjectId": 17,
        },
        "17",
    ),
    ({"subscriptionType": "deal.merge", "primaryObjectId": 18, "mergedObjectIds": [19]}, "18"),
    (
        {
            "subscriptionType": "deal.associationChange",
            "associationType": "DEAL_TO_CONTACT",
            "fromObjectId": 20,
            "toObjectId": 1,
        },
        "20",
    ),
    (
        {
            "subscriptionType": "contact.associationChange",
            "associationType": "CONTACT_TO_DEAL",
            "fromObjectId": 1,
            "toObjectId": 21,
        },
        "21",
    ),
    (
        {
            "subscriptionType": "line_item.associationChange",
            "associationType": "LINE_ITEM_TO_DEAL",
            "fromObjectId": 2,
            "toObjectId": 22,
            "associationRemoved": True,
        },
        "22",
    ),
    (
        {
            "subscriptionType": "contact.associationChange",
            "associationType": "CONTACT_TO_COMPANY",
            "fromObjectId": 1,
            "toObjectId": 3,
        },
        None,
    ),
    ({"subscriptionType": "deal.creation", "objectId": "twelve"}, None),
    ({"subscriptionType": "deal.creation", "objectId": "1" * 60}, None),
    ({"subscriptionType": "deal.creation"}, None),
]


@pytest.mark.parametrize(("changes", "deal_id"), OTHERS)
async def test_every_event_finds_its_deal_or_is_ignored(
    gate: Any, changes: dict[str, Any], deal_id: str | None
) -> None:
    """Deals by plain, generic, merge and association events, both directions; all else is kept as ignored."""
    plain = {k: EVENT[k] for k in ("eventId", "subscriptionId", "portalId", "appId", "occurredAt")}

    assert (await send(gate, encoded({**plain, "attemptNumber": 0, **changes}))).status_code == 200

    (row,) = gate.rows("inbox")
    assert row["deal_id"] == deal_id
    assert row["state"] == ("ignored" if deal_id is None else "due")
    assert row["reason"] if deal_id is None else row["reason"] is None


async def test_a_merge_also_names_the_deal_that_is_gone(gate: Any) -> None:
    """The mirror must learn that the merged deal is no more, so its id is in the event."""
    merge = {
        "subscriptionType": "deal.merge",
        "primaryObjectId": 15,
        "mergedObjectIds": [16],
        "newObjectId": 17,
    }
    await send(gate, encoded(merge))

    assert set(gate.rows("inbox")[0]["content"]["also"]) == {"15", "16"}


@pytest.mark.gate(DEALFLOW_HUBSPOT_PORTAL_ID="48213377")
async def test_another_account_is_ignored(gate: Any) -> None:
    """With the portal id set, events of another HubSpot account are kept but not acted on."""
    await send(gate, encoded({**EVENT, "portalId": 1}, EVENT))

    assert sorted(r["state"] for r in gate.rows("inbox")) == ["due", "ignored"]


async def test_property_values_are_not_in_the_inbox_row(gate: Any) -> None:
    """What was changed to what stays in the delivery: the row that flows see holds no personal data."""
    await send(gate, encoded({**EVENT, "propertyName": "dealname", "propertyValue": "Ada Byron"}))

    assert "Ada" not in json.dumps(gate.rows("inbox")[0]["content"])


@pytest.mark.gate(DEALFLOW_PUBLIC_URL="")
async def test_the_stand_ins_own_deliveries_are_accepted(gate: Any, world: Any) -> None:
    """What the HubSpot stand-in signs and sends arrives, end to end."""
    world.hub.put(
        "/_sandbox/webhooks", json={"target_url": gate.url + PATH, "client_secret": SECRET}
    ).raise_for_status()
    (company,) = world.seed({"object_type": "companies", "properties": {"name": "B"}})
    made = world.rep("deals", create=True, properties=_deal(world))
    world.rep("deals", id=made["id"], associations=[{"to_type": "companies", "to_id": company}])

    rows = await gate.until(lambda: [r for r in gate.rows("inbox") if r["deal_id"] == made["id"]])

    assert rows[0]["state"] == "due"  # one that waits covers those that follow

    def deliveries() -> list[dict[str, Any]]:
        return world.hub.get("/_sandbox/deliveries").json()["deliveries"]

    # A try on its way has status 0 and no error, too: only what has ended says something.
    await gate.until(lambda: all(d["state"] != "pending" for d in deliveries()))
    assert {a["status"] for d in deliveries() for a in d["attempts"]} == {200}


def _deal(world: Any) -> dict[str, str]:
    pipelines = world.hub.get(
        "/crm/pipelines/2026-03/deals", headers={"Authorization": "Bearer test-token"}
    ).json()["results"]
    first = pipelines[-1]
    return {"dealname": "Deal", "pipeline": first["id"], "dealstage": first["stages"][0]["id"]}
