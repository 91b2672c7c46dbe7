"""Where things are, whatever folder a test file lies in."""

import os
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
DATA = ROOT / "tests" / "data"
SHARED = Path(os.environ.get("DEALFLOW_SHARED", ROOT.parent / "shared"))
"""Facts and vendors' specifications beside the repository, where there are any: not part of the product."""
