"""The proof that nothing is lost and nothing happens twice: stories run against the sandbox while the worker is
killed, its calls fail, or its deliveries arrive in any order; judged by the sandbox's own records.

`story.py` (the steps of people), `verdict.py` (what must hold afterwards), `crash_points.py`, `worker_process.py` (the
process that is killed), `process_harness.py` (runs it), `crashes.py` (the crash matrix), `desk_harness.py` (a worker in
this process), `faults.py` (the fault matrix), `orders.py` (deliveries in any order), `__main__.py` (`make crash`).
"""
