"""`dealflow rehearse`: a quarter of one's own sales process in seconds, on the stand-ins and on virtual time.

People: `rates.py` (how they behave), `buyers.py`, `reps.py` with `supplies.py`, `signers.py`.
Around them: `world.py` (the stand-ins), `desk.py` (gateway and worker), `play.py` (the play), `checks.py` (what must
never happen), `report.py`, `show.py`.
"""
