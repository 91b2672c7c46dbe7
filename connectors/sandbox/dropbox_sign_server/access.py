"""Access control: Basic or Bearer keys, and three call budgets per minute of real time.

Source: openapi-2026-07.yaml `securitySchemes`, `components.headers`, `x-error-codes.exceeded_rate`;
help.dropbox.com/integrations/api-requests-that-count-against-limit (2025-12-04): 100, 25 and 10 a minute.
"""

import base64
import binascii
import time
from typing import Literal

from starlette.requests import Request

from connectors.sandbox.dropbox_sign_server.errors import VendorError
from connectors.sandbox.dropbox_sign_server.knobs import Knobs

Tier = Literal["standard", "high", "test"]


def check_key(request: Request) -> None:
    """Accept any key but an empty one or one that starts with `bad-`. Raises VendorError (401)."""
    scheme, _, credential = request.headers.get("authorization", "").partition(" ")
    key = credential.strip()
    if scheme.lower() == "basic":
        try:
            key = base64.b64decode(key, validate=True).decode().partition(":")[0]
        except (binascii.Error, UnicodeDecodeError):
            key = ""
    elif scheme.lower() != "bearer":
        key = ""
    if not key:
        raise VendorError("unauthorized", "Unauthorized user. No credentials supplied.")
    if key.startswith("bad-"):
        raise VendorError("unauthorized", "Unauthorized api key")


def tier_of(method: str, path: str) -> Tier:
    """The budget that a call uses. Which calls are "high tier" is not public: sends and files, as a guess."""
    tail = path.removeprefix("/v3/signature_request/")
    return "high" if tail != path and tail.split("/")[0].startswith(("send", "files")) else "standard"


class Budgets:
    """Calls left in the current minute, per tier, for the one account."""

    def __init__(self, knobs: Knobs) -> None:
        self._knobs = knobs
        self._used: dict[tuple[Tier, int], int] = {}

    def take(self, tier: Tier) -> dict[str, str]:
        """Use one call and return the headers. Raises VendorError (429, no Retry-After) when spent."""
        window = int(time.time()) // 60
        self._used = {k: n for k, n in self._used.items() if k[1] == window}
        limit: int = getattr(self._knobs, tier)
        used = self._used.get((tier, window), 0)
        headers = {
            "X-RateLimit-Limit": str(limit),
            "X-RateLimit-Remaining": str(max(0, limit - used - 1)),
            "X-Ratelimit-Reset": str((window + 1) * 60),
        }
        if used >= limit:
            raise VendorError("exceeded_rate", "Too many requests.", headers=headers)
        self._used[(tier, window)] = used + 1
        return headers

    def clear(self) -> None:
        """Reset the minute (used by reset)."""
        self._used.clear()
