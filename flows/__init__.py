"""What dealflow does, top to bottom.

cli.py, cli_*.py        the `dealflow` command; with demo.py and launch.py for all on one machine
replay.py               an event once more, dry or live
provision.py            HubSpot set-up against the process file (provision_*.py; cli_provision.py shows it)
process_cli.py          `dealflow process`: lint, diagram, handbook, schema and call notes of the process file
backtest.py             a process file on mirrored history (past_values.py, backtest_show.py)
rehearsal/              a quarter of the process in seconds, with simulated people
gateway/                HTTP in: verify, store, acknowledge; the ops page
worker.py, dispatch.py  claim due events; one table says which flow handles which kind
intake_leads.py         lead -> company, contact, deal (records of a batch: lead_records.py)
sync_deals.py           mirror, stage entries
generate_proposal.py    line items -> PDF on the deal
send_contract.py        once, to the right signers, from a frozen text
advance_on_signature.py read back, file the signed PDF, move the deal
reconcile.py            HubSpot, Dropbox Sign and the ledger compared each hour (reconciliation.py, reconcile_*.py)
hand_over.py            a won deal: debrief, tasks, the next deal (hand_over_words.py, follow_on.py)
guard_stage.py          a deal moved past its gate: told, or moved back (stage_entries.py, guard_words.py)
follow_up.py            a deal that does not get on gets what its stage's plan says; a stuck one a task for its owner
follow_up_*.py          its daily look (sweep), how a deal stands (looks), what is done (steps, email)
runs.py                 what every event-driven flow does around its own logic
explain.py              why a deal may stand where it stands, and what it lacks (explain_deals.py: all of them, daily)
deals.py, filing.py     a deal with all around it (activities.py: what took place); outward writes that flows share
proofs.py               what exit criteria are judged on: the deal, its papers, its contract
services.py, retries.py, documents.py, emails.py, wake.py
ledger/                 durable memory; the only place that knows the database
rules/                  pure decisions
"""
