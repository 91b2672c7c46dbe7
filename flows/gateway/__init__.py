"""The gateway: `receiver.py` takes deliveries (verify, store, acknowledge), `ops_page.py` shows the state to people."""
