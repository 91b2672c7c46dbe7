"""Outgoing events: payload, hash, headers, the multipart form, and the rule that clears a URL.

Source: openapi-2026-07.yaml `EventCallbackRequest`; hash recipe as in dropbox-sign 2.0.0
`event_callback_helper.py`; retries and the ten failures after the events walkthrough (read 2026-11-22).
"""

import base64
import hashlib
import hmac
import json
from urllib.parse import urlsplit

from connectors.sandbox.clock import Clock
from connectors.sandbox.deliveries import Deliveries, Delivery
from connectors.sandbox.dropbox_sign_server import views
from connectors.sandbox.dropbox_sign_server.drafts import LOOPBACK
from connectors.sandbox.dropbox_sign_server.records import Account, ApiApp, SignatureRequest
from connectors.sandbox.dropbox_sign_server.state import State

RETRIES_S = [300.0, 900.0, 2700.0, 8100.0, 24_300.0, 72_900.0]
"""5 min, 15 min, 45 min, 2 h 15, 6 h 45 and 20 h 15 after the try before, in virtual time."""
TIMEOUT_S = 30.0
FAILURES_UNTIL_CLEARED = 10
ANSWER = b"Hello API Event Received"
_BOUNDARY = "----------------------------dropboxsignstandin"


def new_deliveries(clock: Clock) -> Deliveries:
    """Deliveries by the vendor's rules: within 30 s an answer of 200 with the exact text."""
    return Deliveries(
        clock,
        timeout_s=TIMEOUT_S,
        retry_delays_s=list(RETRIES_S),
        accepts=lambda status, body: status == 200 and ANSWER in body,
        in_flight=10,
    )


def is_loopback(url: str) -> bool:
    """Whether a URL is on this machine: the stand-in calls nobody else."""
    parts = urlsplit(url)
    return parts.scheme in ("http", "https") and parts.hostname in LOOPBACK


def event_hash(api_key: str, event_time: str, event_type: str) -> str:
    """Lower-case hex HMAC-SHA256 over time and type only: the body is not covered."""
    return hmac.new(api_key.encode(), f"{event_time}{event_type}".encode(), hashlib.sha256).hexdigest()


def form(api_key: str, payload: views.Json, *, hexed: bool = False) -> tuple[bytes, dict[str, str]]:
    """The body and headers of a delivery: one text field `json`.

    Content-Sha256 is base64 of the digest; integrators dispute whether of its bytes or of its hex text (`hexed`).
    """
    text = json.dumps(payload, separators=(",", ":"))
    digest = hmac.new(api_key.encode(), text.encode(), hashlib.sha256)
    mark = base64.b64encode(digest.hexdigest().encode() if hexed else digest.digest()).decode()
    body = (
        f'--{_BOUNDARY}\r\nContent-Disposition: form-data; name="json"\r\n\r\n{text}\r\n--{_BOUNDARY}--\r\n'
    ).encode()
    return body, {
        "Content-Type": f"multipart/form-data; boundary={_BOUNDARY}",
        "User-Agent": "Dropbox Sign API",
        "Content-Sha256": mark,
    }


class Events:
    """Sends events to the account's and the app's callback URL, and clears a URL that keeps failing."""

    def __init__(self, state: State) -> None:
        self._state = state
        state.bench.deliveries.on_settled = self._settled

    def emit(
        self,
        event_type: str,
        request: SignatureRequest | None = None,
        *,
        related: str | None = None,
        message: str | None = None,
        more: views.Json | None = None,
        client_id: str | None = None,
    ) -> None:
        """Send an event to all callback URLs. `more` adds top-level objects (account, template)."""
        state = self._state
        content: views.Json = dict(more or {})
        if request is not None:
            content["signature_request"] = views.signature_request(request, state.account, state.public_url)
            client_id = request.draft.client_id
        for app_id, url in self._targets(client_id):
            self.post(
                event_type, content, url, app_id=app_id, client_id=client_id, related=related, message=message
            )

    def post(
        self,
        event_type: str,
        content: views.Json,
        url: str,
        *,
        app_id: str | None = None,
        client_id: str | None = None,
        related: str | None = None,
        message: str | None = None,
        event_time: str | None = None,
        api_key: str | None = None,
    ) -> Delivery:
        """Queue one delivery. The body is fixed now: retries send the old time and state."""
        state = self._state
        key = api_key if api_key is not None else state.api_key
        at = event_time if event_time is not None else str(int(state.bench.clock.now_s()))
        account_id = state.account.account_id
        payload: views.Json = {
            "account_guid": account_id,
            "client_id": client_id,
            "event": {
                "event_time": at,
                "event_type": event_type,
                "event_hash": event_hash(key, at, event_type),
                "event_metadata": {
                    "related_signature_id": related,
                    "reported_for_account_id": account_id,
                    "reported_for_app_id": app_id,
                    "event_message": message,
                },
            },
            **content,
        }
        body, headers = form(key, payload, hexed=state.knobs.content_sha256 == "hex")
        shown = content.get("signature_request")
        request_id = shown.get("signature_request_id") if isinstance(shown, dict) else None
        about = {"signature_request_id": request_id, "related_signature_id": related, "app_id": app_id}
        return state.bench.deliveries.send(event_type, url, lambda _attempt: (body, headers), about)

    def _targets(self, client_id: str | None) -> list[tuple[str | None, str]]:
        state = self._state
        app = state.apps.get(client_id or "")
        found: list[tuple[str | None, str]] = []
        if app is not None and app.callback_url:
            found.append((app.client_id, app.callback_url))
        if state.account.callback_url and not (found and state.knobs.app_callback_only):
            found.append((None, state.account.callback_url))
        return found

    async def _settled(self, row: Delivery) -> None:
        state = self._state
        if row.attempts and row.attempts[-1].ok:
            state.failures[row.url] = 0
            return
        state.failures[row.url] = state.failures.get(row.url, 0) + 1
        if state.failures[row.url] < FAILURES_UNTIL_CLEARED:
            return
        state.failures[row.url] = 0
        owners: list[Account | ApiApp] = [state.account, *state.apps.values()]
        for owner in owners:
            if owner.callback_url == row.url:
                owner.callback_url = None
