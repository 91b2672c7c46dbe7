"""`dealflow rehearse`: simulates a quarter of your sales process in seconds, on the stand-ins and in virtual time.

People: `rates.py` (their behaviour), `buyers.py`, `reps.py` with `evidence.py` and `journal.py`, `signers.py`.
Around them: `world.py` (the stand-ins), `desk.py` (gateway and worker), `play.py` (the simulation), `checks.py` (the
promises), `report.py`.
"""
