"""Paths, independent of the folder of a test file."""

import os
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
DATA = ROOT / "tests" / "data"
SHARED = Path(os.environ.get("DEALFLOW_SHARED", ROOT.parent / "shared"))
"""Facts and vendors' specifications next to the repository, if they exist: not part of the product."""
