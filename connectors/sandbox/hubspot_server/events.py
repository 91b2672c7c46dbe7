"""Webhook events: subscriptions, events collected in arrays, signed as HubSpot signs.

Source: https://developers.hubspot.com/docs/api/webhooks and .../webhooks/validating-requests (read
2025-01-03): up to 100 events a delivery, 5 s time-out, 10 retries over 24 hours at random delays.
"""

import base64
import hashlib
import hmac
import itertools
import json
import random
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from connectors.sandbox.clock import Clock
from connectors.sandbox.deliveries import Deliveries
from connectors.sandbox.ids import Ids

MAX_EVENTS = 100
GATHER_S = 0.05
RETRIES = 10
RETRY_SPAN_S = 24 * 3600.0
DEFAULT_SUBSCRIPTIONS: tuple[tuple[str, str | None], ...] = (
    ("deal.creation", None),
    ("deal.deletion", None),
    ("deal.merge", None),
    ("deal.associationChange", None),
    *(
        ("deal.propertyChange", p)
        for p in ("dealstage", "amount", "pipeline", "closedate", "hubspot_owner_id")
    ),
    ("contact.creation", None),
    ("contact.propertyChange", "email"),
    ("company.creation", None),
)
_UNSUBSCRIBABLE = {"hs_lastmodifieddate", "num_unique_conversion_events"}
_TYPE = re.compile(
    r"(contact|company|deal|product|line_item)\."
    r"(creation|deletion|merge|restore|propertyChange|associationChange)|object\.[A-Za-z]+"
)


@dataclass
class Subscription:
    """One active subscription; propertyChange has one for each property."""

    id: int
    type: str
    property: str | None


def retry_delays(dice: random.Random) -> list[float]:
    """Ten random gaps (seconds) that together fill at most 24 hours."""
    at = sorted(dice.uniform(30.0, RETRY_SPAN_S) for _ in range(RETRIES))
    return [b - a for a, b in itertools.pairwise([0.0, *at])]


class Events:
    """The webhooks of one portal."""

    def __init__(
        self,
        clock: Clock,
        deliveries: Deliveries,
        dice: random.Random,
        *,
        portal_id: int,
        app_id: int,
        target_url: str | None,
        client_secret: str,
    ) -> None:
        self._clock = clock
        self._deliveries = deliveries
        self._dice = dice
        self._portal_id = portal_id
        self._app_id = app_id
        self.target_url = target_url
        self.client_secret = client_secret
        self.signature_clock: Literal["real", "virtual"] = "real"
        self.subscriptions: list[Subscription] = []
        self._ids = Ids(2_871_001)
        self._event_ids = Ids(3_000_000_001)
        self._waiting: list[dict[str, Any]] = []
        self._flush_due = False
        if target_url:
            self.subscribe_default()

    def subscribe_default(self) -> None:
        """Subscribe to the events that a sales worker uses."""
        self.subscribe([{"subscriptionType": t, "propertyName": p} for t, p in DEFAULT_SUBSCRIPTIONS])

    def subscribe(self, wanted: list[Mapping[str, Any]]) -> None:
        """Replace the subscriptions. Raises ValueError for a type or property without webhooks in HubSpot."""
        found = []
        for row in wanted:
            kind, prop = str(row["subscriptionType"]), row.get("propertyName")
            if not _TYPE.fullmatch(kind):
                raise ValueError(f"{kind} is not a subscription type")
            if kind.endswith("propertyChange") and not prop:
                raise ValueError(f"{kind} needs a propertyName: one subscription a property")
            if prop in _UNSUBSCRIBABLE:
                raise ValueError(f"{prop} cannot be subscribed")
            found.append(Subscription(next(self._ids), kind, prop))
        self.subscriptions = found

    def emit(self, kind: str, fields: Mapping[str, Any], *, at_ms: int, prop: str | None = None) -> None:
        """Send an event; `kind` is the subscription type. Without a subscription nothing is sent."""
        if not self.target_url:
            return
        for sub in self.subscriptions:
            generic = sub.type.startswith("object.") and sub.type.split(".")[1] == kind.split(".")[1]
            if (sub.type != kind and not generic) or (sub.property and sub.property != prop):
                continue
            event = {
                "eventId": next(self._event_ids),
                "subscriptionId": sub.id,
                "portalId": self._portal_id,
                "appId": self._app_id,
                "occurredAt": at_ms,
                "subscriptionType": sub.type,
                "attemptNumber": 0,
                **{k: v for k, v in fields.items() if v is not None and (generic or k != "objectTypeId")},
            }
            self._waiting.append(event)
            if not self._flush_due:
                self._flush_due = True
                self._clock.after(GATHER_S, self._flush, "gather hubspot events")

    @property
    def waiting(self) -> bool:
        """Whether events are gathered for a delivery."""
        return self._flush_due

    async def _flush(self) -> None:
        self._flush_due = False
        waiting, self._waiting = self._waiting, []
        self._dice.shuffle(waiting)  # order is not guaranteed
        for start in range(0, len(waiting), MAX_EVENTS):
            self._send(waiting[start : start + MAX_EVENTS])

    def _send(self, events: list[dict[str, Any]]) -> None:
        url = self.target_url
        if not url:
            return
        secret = self.client_secret

        def build(attempt: int) -> tuple[bytes, Mapping[str, str]]:
            rows = [{**e, "attemptNumber": attempt} for e in events]
            body = json.dumps(rows, separators=(",", ":"), ensure_ascii=False).encode()
            now_s = time.time() if self.signature_clock == "real" else self._clock.now_s()
            return body, signed_headers(secret, url, body, int(now_s * 1000))

        about = {
            "events": len(events),
            "types": sorted({str(e["subscriptionType"]) for e in events}),
            "object_ids": sorted({e["objectId"] for e in events if "objectId" in e}),
        }
        self._deliveries.send("hubspot events", url, build, about)


def signed_headers(secret: str, url: str, body: bytes, at_ms: int) -> dict[str, str]:
    """Headers of a delivery: signatures v1 and v3, as HubSpot sends them."""
    v1 = hashlib.sha256(secret.encode() + body).hexdigest()
    base = b"POST" + hash_uri(url).encode() + body + str(at_ms).encode()
    v3 = base64.b64encode(hmac.new(secret.encode(), base, hashlib.sha256).digest()).decode()
    return {
        "Content-Type": "application/json",
        "User-Agent": "HubSpot Connect 2.0 (http://dev.hubspot.com/) (namespace: webhooks-nio-http-client)",
        "X-HubSpot-Signature": v1,
        "X-HubSpot-Signature-Version": "v1",
        "X-HubSpot-Signature-v3": v3,
        "X-HubSpot-Request-Timestamp": str(at_ms),
    }


_DECODE = {f"{ord(c):02X}": c for c in ":/?@!$'()*,;"}


def hash_uri(url: str) -> str:
    """The URL in the form for the v3 hash: only these percent codes are decoded, others stay."""
    return re.sub(r"%([0-9A-Fa-f]{2})", lambda m: _DECODE.get(m.group(1).upper(), m.group(0)), url)
