"""`dealflow rehearse`: a quarter of one's own sales process in seconds, on the stand-ins and on virtual time.

`rates.py` (how people behave), `buyers.py`, `reps.py`, `signers.py` (the people), `world.py` (the stand-ins),
`desk.py` (gateway and worker), `play.py` (the play), `checks.py` (what must never happen), `report.py`.
"""
