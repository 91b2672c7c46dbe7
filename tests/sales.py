"""A portal with deals in it, and what a sales team does there."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from flows.ledger import documents
from flows.services import Services
from tests.stand_ins import OWNER, StandIns

BUYER = {
    "name": "Analytical Engines Ltd",
    "domain": "analytical-engines.example",
    "address": "12 Difference Row",
    "city": "London",
    "zip": "EC2A 4BX",
    "country": "United Kingdom",
}
ADA = {"email": "ada@analytical-engines.example", "firstname": "Ada", "lastname": "Byron", "jobtitle": "Head"}
ITEM = {"name": "Onboarding workshop", "quantity": "2", "price": "1800"}


@dataclass
class Sales:
    """A portal with deals in it, as a sales team would have them."""

    world: StandIns
    s: Services

    async def deal(
        self,
        stage: str,
        *,
        name: str = "Contract desk",
        labels: Sequence[str] = ("Signer", "Decision maker"),
        contact: Mapping[str, str] | None = ADA,
        company: Mapping[str, str] | None = BUYER,
        items: Sequence[Mapping[str, str]] = (ITEM,),
        proposal: bool = True,
        **properties: str,
    ) -> str:
        """A deal standing in `stage` that meets every exit criterion, except for what is left out."""
        portal = await self.s.portal()
        links: list[dict[str, Any]] = []
        rows: list[dict[str, Any]] = []
        if company is not None:
            rows.append({"object_type": "companies", "key": "c", "properties": dict(company)})
            links.append({"to_type": "companies", "to_id": "@c"})
        if contact is not None:
            rows.append({"object_type": "contacts", "key": "p", "properties": dict(contact)})
            links += [{"to_type": "contacts", "to_id": "@p", "label": label} for label in labels] or [
                {"to_type": "contacts", "to_id": "@p"}
            ]
        for at, item in enumerate(items):
            rows.append({"object_type": "line_items", "key": f"i{at}", "properties": dict(item)})
            links.append({"to_type": "line_items", "to_id": f"@i{at}"})
        values = {
            "dealname": name,
            "pipeline": portal.pipeline_id,
            "dealstage": portal.stage_ids[stage],
            "amount": "24000",
            "deal_currency_code": "EUR",
            "hubspot_owner_id": OWNER,
            "dealflow_need": "Every contract signed and filed within a day.",
            **properties,
        }
        rows.append(
            {
                "object_type": "deals",
                "properties": {k: v for k, v in values.items() if v},
                "associations": links,
            }
        )
        deal_id = self.world.seed(*rows)[-1]
        if proposal:
            await self.proposal_on_file(deal_id)
        return deal_id

    async def proposal_on_file(self, deal_id: str) -> None:
        """As if a proposal had been filed before."""
        async with self.s.ledger.write() as tx:
            document = await documents.freeze(
                tx,
                deal_id=deal_id,
                kind="proposal",
                source_sha256="0" * 64,
                sha256="1" * 64,
                title="Proposal",
                content=b"%PDF-earlier",
                now=self.s.clock(),
            )
            await documents.note_file(tx, document.id, "1")

    async def stage_of(self, deal_id: str) -> str | None:
        """Our key for the stage the deal stands in at HubSpot."""
        portal = await self.s.portal()
        return portal.stage_key(self.world.record("deals", deal_id)["properties"].get("dealstage"))

    async def move(self, deal_id: str, stage: str) -> None:
        """A person moves the deal."""
        portal = await self.s.portal()
        self.world.rep("deals", id=deal_id, properties={"dealstage": portal.stage_ids[stage]})

    def contact_of(self, deal_id: str) -> str:
        """The id of the deal's first contact."""
        found: str = self.world.record("deals", deal_id)["associations"]["contacts"][0]["id"]
        return found

    def notes_of(self, deal_id: str) -> list[dict[str, Any]]:
        """The notes on a deal."""
        linked = self.world.record("deals", deal_id)["associations"].get("notes", [])
        ids = {link["id"] for link in linked}
        return [n for n in self.world.records("notes") if n["id"] in ids]

    async def opened(self, request_id: str) -> None:
        """Wait until a signature request has been processed and is out for signature."""
        for _ in range(200):
            found = next(r for r in self.world.requests() if r["signature_request_id"] == request_id)
            if found["phase"] != "processing":
                return
            await asyncio.sleep(0.02)
        raise AssertionError("the request was never processed")
