"""Each hour HubSpot, the e-signature service and the ledger are compared: without any callback the end is the same,
only later.

Trigger: schedule; on demand.
Reads: all contracts under way or ended lately, their requests and deals, in bulk; the callback URL.
Writes: events into the inbox (signature.check, contract.due, deal.changed); the account's callback URL when it is
empty; removes deliveries and handled events that are older than DEALFLOW_RETENTION_DAYS.
Once-key: contract, finding and day.
Needs: scope crm.objects.deals.read; an API key of the
e-signature service.
"""

from flows.reconcile.compare import reconcile_all
from flows.rules.outcome import Artifact, Finished
from flows.services import Services


async def run(s: Services) -> Finished:
    """Compare, ask for what is missing, report the rest: `LookAt` when a person has something to look at."""
    done = await reconcile_all(s)
    artifact = Artifact("reconcile", "What was compared, found, repaired", done.report(s))
    return Finished(done.summary, (artifact,), state="LookAt" if done.count("look") else "Completed")
