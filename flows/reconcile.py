"""Each hour HubSpot, Dropbox Sign and the ledger are compared: without any callback the end is the same, only later.

Trigger: schedule; on demand.
Reads: all contracts under way or ended lately, their requests and deals, in bulk; the callback URL.
Writes: events into the inbox (signature.check, contract.due, deal.changed); the account's callback URL when it is
empty; removes deliveries and handled events that are older than DEALFLOW_RETENTION_DAYS.
Once-key: contract, finding and day.
Needs: scope crm.objects.deals.read; a Dropbox Sign API key.
"""

from typing import Any

from prefect import flow
from prefect.artifacts import acreate_markdown_artifact
from prefect.client.schemas.objects import State
from prefect.states import Completed

from flows import services
from flows.reconciliation import reconcile_all


@flow(name="reconcile", persist_result=False)
async def reconcile() -> State[Any]:
    """Compare, ask for what is missing, tell the rest: ends in `LookAt` when a person has something to look at."""
    async with services.use() as s:
        done = await reconcile_all(s)
        await acreate_markdown_artifact(
            markdown=done.report(s), key="reconcile", description="What was compared, found, mended"
        )
    return Completed(name="LookAt" if done.count("look") else "Completed", message=done.summary)
