"""What dealflow does. Rooms from top to bottom; a room imports only rooms below it (README.md says what each holds).

cli/ trials/ operations/               the command; dealflow tried out; a machine set up and checked
prefect_flows.py                       the flows that operators see in Prefect
gateway/ worker/ provision/            deliveries in; events claimed, run and settled; HubSpot set up
reconcile/                             the vendors and the ledger compared
follow_up/ hand_over/                  stalled deals; won deals
contracts/ proposals/ gates/ leads/    a process each
deals/                                 deals read, mirrored, written to
services.py                            clients, ledger, clock and process, built in one place
documents/ ledger/ retries.py          PDF and e-mail texts; durable memory; what is tried again
rules/ processes.py errors.py          pure decisions; the table of events and flows; the root of errors
"""
