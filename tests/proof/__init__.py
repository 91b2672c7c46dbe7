"""The proof that nothing is lost and nothing happens twice: stories played against the sandbox while the worker is
killed, its calls go wrong, or its deliveries come in any order; judged by the sandbox's own records.

`story.py` (what people do), `verdict.py` (what must hold afterwards), `points.py` (crash points), `victim.py` (the
process that is killed), `crashes.py` (the crash matrix), `desk_stage.py` (a worker that nobody kills), `faults.py` (the
fault matrix), `orders.py` (deliveries in any order), `__main__.py` (`make crash`).
"""
