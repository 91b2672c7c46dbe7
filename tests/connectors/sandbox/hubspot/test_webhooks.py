"""Webhooks: what is sent, how it is signed, and how it is retried."""

import base64
import hashlib
import hmac
import json
import random
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from connectors.sandbox.hubspot_server.events import hash_uri, retry_delays, signed_headers

V = "2026-09"
SECRET = "sandbox-client-secret"


class Inbox:
    """A webhook receiver; `status` is what it answers."""

    def __init__(self):
        self.status = 200
        self.posts = []
        inbox = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["content-length"]))
                inbox.posts.append((dict(self.headers.items()), body))
                self.send_response(inbox.status)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *args):
                return

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/webhooks/hubspot"
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def events(self, kind=None):
        found = [e for _, body in self.posts for e in json.loads(body)]
        return [e for e in found if kind is None or e["subscriptionType"] == kind]

    def close(self):
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def inbox(hub):
    found = Inbox()
    hub.control("PUT", "webhooks", target_url=found.url)
    yield found
    found.close()


def deal(hub, **more):
    body = {"properties": {"dealname": "Press", "dealstage": "qualifiedtobuy", **more}}
    return hub.api.post(f"/crm/objects/{V}/deals", json=body).json()["id"]


def test_creation_and_changes_arrive_as_arrays(hub, inbox):
    """A create is one creation event and one per subscribed property, with the vendor's fields."""
    ident = deal(hub, description="not subscribed")
    hub.wait_for(lambda: len(inbox.events()) >= 3)
    created = inbox.events("deal.creation")[0]
    assert created["objectId"] == int(ident)
    assert created["changeFlag"] == "NEW"
    assert created["attemptNumber"] == 0
    assert created["changeSource"] == "INTEGRATION"
    assert created["portalId"] == hub.control("GET", "state")["portal_id"]
    assert not {"eventType", "objectTypeId"} & set(created)
    changed = {e["propertyName"]: e["propertyValue"] for e in inbox.events("deal.propertyChange")}
    assert changed == {"dealstage": "qualifiedtobuy", "pipeline": "default"}


def test_events_of_one_moment_travel_together(hub, inbox):
    """A burst of 250 changes comes in arrays of at most 100, not in 250 deliveries."""
    stage = {"dealname": "x", "dealstage": "contractsent"}
    rows = [{"object_type": "deals", "properties": stage} for _ in range(250)]
    hub.control(
        "PUT",
        "webhooks",
        target_url=inbox.url,
        subscriptions=[{"subscriptionType": "deal.creation"}],
    )
    hub.control("POST", "seed", records=rows, webhooks=True)
    hub.wait_for(lambda: len(inbox.events()) == 250)
    assert max(len(json.loads(body)) for _, body in inbox.posts) == 100
    assert len(inbox.posts) == 3
    assert len({e["objectId"] for e in inbox.events()}) == 250


def test_deliveries_carry_both_signatures_over_the_target_url(hub, inbox):
    """v1 over secret and body, v3 over method, URL, body and time: computed here on their own."""
    deal(hub)
    headers, body = hub.wait_for(lambda: inbox.posts)[0]
    assert headers["X-HubSpot-Signature"] == hashlib.sha256(SECRET.encode() + body).hexdigest()
    assert headers["X-HubSpot-Signature-Version"] == "v1"
    text = b"POST" + inbox.url.encode() + body + headers["X-HubSpot-Request-Timestamp"].encode()
    expected = base64.b64encode(hmac.new(SECRET.encode(), text, hashlib.sha256).digest()).decode()
    assert headers["X-HubSpot-Signature-v3"] == expected


@pytest.mark.parametrize(
    ("at_ms", "expected"),
    [
        (1693657560000, "K36dawei4A+QBNolUOqo7s91KQDWQ5MXZ/QufNYuk/Y="),
        (1700000300000, "RnbPH7+UMKVkbV32P8bz450N4M56aPmcru1+D3kSDtw="),
    ],
)
def test_v3_signature_matches_known_answers(at_ms, expected):
    """Vectors checked with the official helper."""
    headers = signed_headers(
        "yyyyyyyy-yyyy-yyyy-yyyy-yyyyyyyyyyyy",
        "https://www.example.com/webhook_uri",
        b"{'example_field':'example_value'}",
        at_ms,
    )
    assert headers["X-HubSpot-Signature-v3"] == expected


def test_url_in_the_hash_is_decoded_in_part():
    """Only the listed percent codes are decoded; a blank stays as it is."""
    assert hash_uri("https://a.test/x%3Ay%20z?q=%2f%C3%A4%40") == "https://a.test/x:y%20z?q=/%C3%A4@"


def deliveries(hub):
    return hub.control("GET", "deliveries")["deliveries"]


def test_refused_delivery_is_retried_ten_times_and_then_given_up(hub, inbox):
    """A 500 is retried; attemptNumber rises from 0 to 10, then the delivery has failed."""
    inbox.status = 500
    deal(hub)
    hub.wait_for(lambda: deliveries(hub))

    def settled():
        row, now_ms = deliveries(hub)[0], hub.control("GET", "clock")["now_ms"]
        return row if row["state"] == "failed" or (row["next_at_ms"] or 0) > now_ms else None

    for _ in range(11):
        row = hub.wait_for(settled)
        if row["state"] == "failed":
            break
        hub.advance(24 * 3600)
    assert row["state"] == "failed"
    numbers = [json.loads(body)[0]["attemptNumber"] for _, body in inbox.posts]
    assert numbers == list(range(11))


@pytest.mark.parametrize("seed", range(5))
def test_ten_retries_fit_into_a_day(seed):
    """Ten gaps of random length, together at most 24 hours."""
    gaps = retry_delays(random.Random(seed))
    assert len(gaps) == 10
    assert min(gaps) > 0
    assert sum(gaps) <= 24 * 3600
    assert gaps != retry_delays(random.Random(seed + 1))


def test_retry_that_is_accepted_ends_it(hub, inbox):
    """After a 2xx nothing more comes."""
    inbox.status = 404
    deal(hub)
    hub.wait_for(
        lambda: inbox.posts and deliveries(hub)[0]["attempts"][0]["status"]
    )  # the retry is planned now
    inbox.status = 204
    hub.advance(24 * 3600)
    hub.wait_for(lambda: deliveries(hub)[0]["state"] == "delivered")
    assert len(inbox.posts) == 2


def test_association_change_tells_about_each_direction(hub, inbox):
    """Linking a deal and a contact is one event a direction; a primary company is two messages."""
    hub.control(
        "PUT",
        "webhooks",
        target_url=inbox.url,
        subscriptions=[
            {"subscriptionType": f"{k}.associationChange"} for k in ("deal", "contact", "company")
        ],
    )
    ident = deal(hub)
    contact = hub.api.post(f"/crm/objects/{V}/contacts", json={"properties": {"email": "a@example.test"}})
    hub.api.put(f"/crm/objects/{V}/deals/{ident}/associations/default/contacts/{contact.json()['id']}")
    hub.wait_for(lambda: len(inbox.events()) >= 2)
    assert {e["associationType"] for e in inbox.events()} == {"DEAL_TO_CONTACT", "CONTACT_TO_DEAL"}
    assert not any(e["associationRemoved"] for e in inbox.events())
    company = hub.api.post(f"/crm/objects/{V}/companies", json={"properties": {"name": "A"}}).json()["id"]
    spec = [{"associationCategory": "HUBSPOT_DEFINED", "associationTypeId": 5}]
    hub.api.put(f"/crm/objects/{V}/deals/{ident}/associations/companies/{company}", json=spec)
    hub.wait_for(lambda: len(inbox.events("deal.associationChange")) >= 3)
    primary = [e for e in inbox.events() if e["associationType"] == "DEAL_TO_COMPANY"]
    assert sorted(e["isPrimaryAssociation"] for e in primary) == [False, True]


def test_merge_event_names_all_the_ids(hub, inbox):
    """primaryObjectId, mergedObjectIds and newObjectId tell where the record went."""
    a, b = deal(hub), deal(hub)
    body = {"primaryObjectId": a, "objectIdToMerge": b}
    hub.api.post(f"/crm/objects/{V}/deals/merge", json=body)
    event = hub.wait_for(lambda: inbox.events("deal.merge"))[0]
    assert (event["primaryObjectId"], event["mergedObjectIds"], event["newObjectId"]) == (
        int(a),
        [int(b)],
        int(a),
    )


def test_deletion_is_reported(hub, inbox):
    """Archiving sends deal.deletion."""
    ident = deal(hub)
    hub.api.delete(f"/crm/objects/{V}/deals/{ident}")
    assert hub.wait_for(lambda: inbox.events("deal.deletion"))[0]["objectId"] == int(ident)


def test_generic_subscription_carries_the_type(hub, inbox):
    """object.creation events name their objectTypeId."""
    hub.control(
        "PUT", "webhooks", target_url=inbox.url, subscriptions=[{"subscriptionType": "object.creation"}]
    )
    deal(hub)
    assert hub.wait_for(inbox.events)[0]["objectTypeId"] == "0-3"


def test_last_modified_cannot_be_subscribed(hub):
    """HubSpot has no webhooks for hs_lastmodifieddate, nor for types it does not know."""
    for row in (
        {"subscriptionType": "deal.propertyChange", "propertyName": "hs_lastmodifieddate"},
        {"subscriptionType": "deal.propertyChange"},
        {"subscriptionType": "deal.opened"},
    ):
        body = {"target_url": "http://127.0.0.1:9", "subscriptions": [row]}
        assert hub.api.put("/_sandbox/webhooks", json=body).status_code == 422


def test_dropped_and_doubled_deliveries(hub, inbox):
    """Mischief: everything doubled arrives twice with the same events; dropped never arrives."""
    hub.control("PUT", "deliveries/mischief", duplicate=1.0)
    deal(hub)
    hub.wait_for(lambda: len(inbox.posts) == 2)
    assert inbox.posts[0][1] == inbox.posts[1][1]
    hub.control("PUT", "deliveries/mischief", drop=1.0)
    deal(hub)
    hub.wait_for(lambda: len(hub.control("GET", "deliveries")["deliveries"]) == 2)
    assert len(inbox.posts) == 2


def test_client_secret_can_be_changed(hub, inbox):
    """A new secret signs from then on."""
    hub.control("PUT", "webhooks", target_url=inbox.url, client_secret="rotated")
    deal(hub)
    headers, body = hub.wait_for(lambda: inbox.posts)[0]
    assert headers["X-HubSpot-Signature"] == hashlib.sha256(b"rotated" + body).hexdigest()
