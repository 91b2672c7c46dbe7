"""HTTP in: `receiver.py` takes deliveries (verify, store, acknowledge), `ops_page.py` shows people what is going on."""
