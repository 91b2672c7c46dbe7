"""HubSpot's data path: one method per API call we use, over httpx, on dated API versions.

The methods live by family in `objects.py`, `batches.py`, `associations.py`, `files.py`; the account's own
settings are read here. Portal set-up (creating properties and stages) is `portal.py`.
"""

from __future__ import annotations

import httpx

from connectors.http.exchange import Exchange, OnCall, Timeouts
from connectors.http.pacing import Lane, Pace
from connectors.hubspot.associations import AssociationCalls
from connectors.hubspot.batches import BatchCalls
from connectors.hubspot.calls import Calls, Versions, parsed, parsed_rows, path
from connectors.hubspot.files import FileCalls
from connectors.hubspot.lenient_json import next_after
from connectors.hubspot.objects import Filter, ObjectCalls, Sort
from connectors.hubspot.records import (
    AccountDetails,
    Owner,
    Pipeline,
    Property,
    parse_account,
    parse_owner,
    parse_pipeline,
    parse_property,
)
from connectors.hubspot.statuses import HUBSPOT

__all__ = ["Filter", "HubSpotClient", "Sort", "Versions"]


class SettingCalls(Calls):
    """Settings of the account. Pipelines, properties and owners change rarely: callers cache them."""

    async def account_details(self) -> AccountDetails:
        """Portal id, time zone, currencies. The cheapest call that checks the token."""
        route = path("account-info", self._versions.account, "details")
        return parsed(await self._get("account_details", route), parse_account)

    async def pipelines(self, object_type: str = "deals") -> tuple[Pipeline, ...]:
        """All pipelines with their stages."""
        answer = await self._get("pipelines", path("crm", "pipelines", self._versions.pipelines, object_type))
        return parsed_rows(answer, parse_pipeline)

    async def properties(self, object_type: str) -> tuple[Property, ...]:
        """All property definitions of an object type."""
        answer = await self._get(
            "properties", path("crm", "properties", self._versions.properties, object_type)
        )
        return parsed_rows(answer, parse_property)

    async def owners(self, *, archived: bool = False) -> tuple[Owner, ...]:
        """All owners; archived=True lists the deactivated ones instead. One call per 100."""
        owners: list[Owner] = []
        after: str | None = None
        while True:
            params = {"limit": "100", "archived": "true" if archived else "false"}
            if after:
                params["after"] = after
            answer = await self._get("owners", path("crm", "owners", self._versions.owners), params)
            owners.extend(parsed_rows(answer, parse_owner))
            following = next_after(answer.json())
            if following is None:
                return tuple(owners)
            if following == after:
                answer.not_understood("a page that gives itself as the next")
            after = following


class HubSpotClient(ObjectCalls, BatchCalls, AssociationCalls, FileCalls, SettingCalls):
    """All HubSpot calls. Each makes one attempt, and returns its answer or raises a
    `connectors.http.errors.ConnectorError`.

    Share one instance per process; it holds one connection pool. `aclose` it (or use `async with`).
    """

    def __init__(
        self,
        token: str,
        *,
        base_url: str = "https://api.hubapi.com",
        versions: Versions | None = None,
        http: httpx.AsyncClient | None = None,
        pace: Pace | None = None,
        on_call: OnCall | None = None,
        timeouts: Timeouts | None = None,
    ) -> None:
        if not token:
            raise ValueError("HubSpot needs a token")
        exchange = Exchange(
            HUBSPOT,
            base_url=base_url,
            authorization=f"Bearer {token}",
            http=http,
            pace=pace,
            on_call=on_call,
            timeouts=timeouts,
        )
        super().__init__(exchange, versions or Versions(), Lane.NORMAL)

    def in_lane(self, lane: Lane) -> HubSpotClient:
        """The same client (same connections and limits) whose calls wait in another lane."""
        other = HubSpotClient.__new__(HubSpotClient)
        Calls.__init__(other, self._exchange, self._versions, lane)
        return other

    def read_only(self) -> HubSpotClient:
        """The same client (same connections and limits) that only reads: its first write raises WouldWriteError."""
        other = HubSpotClient.__new__(HubSpotClient)
        Calls.__init__(other, self._exchange.read_only(_about), self._versions, self._lane)
        return other

    async def aclose(self) -> None:
        """Close the connections that this client opened itself."""
        await self._exchange.close()

    async def __aenter__(self) -> HubSpotClient:
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.aclose()


def _about(path: str) -> str:
    """The object types in a path such as `/crm/objects/2026-03/deals/batch/upsert`."""
    family, kind, *rest = path.strip("/").split("/")
    if family == "files":
        return "files"
    return " to ".join(rest[1:3]) if kind == "associations" else rest[1]
