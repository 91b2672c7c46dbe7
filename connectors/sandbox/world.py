"""The shared parts of both stand-ins: one clock, and for each vendor a request log, faults and deliveries."""

import random
import uuid
from dataclasses import dataclass, field

from connectors.sandbox.clock import Clock
from connectors.sandbox.deliveries import Deliveries
from connectors.sandbox.faults import Faults
from connectors.sandbox.requestlog import RequestLog


@dataclass
class Bench:
    """The log, faults, deliveries and random generator of one stand-in, created before its state."""

    vendor: str
    clock: Clock
    log: RequestLog
    faults: Faults
    deliveries: Deliveries
    dice: random.Random = field(default_factory=lambda: random.Random(0))

    def new_uuid(self) -> str:
        """A UUID from the seeded random generator: same seed, same ids."""
        return str(uuid.UUID(int=self.dice.getrandbits(128), version=4))

    def new_hex(self, digits: int = 40) -> str:
        """Hex digits from the seeded random generator (Dropbox Sign's ids have 40)."""
        return f"{self.dice.getrandbits(digits * 4):0{digits}x}"

    def reset(self, seed: int = 0) -> None:
        """Reset the bench with this seed; the shared clock is not changed."""
        self.dice.seed(seed)
        self.log.clear()
        self.faults.clear()
        self.faults.seed(seed)
        self.deliveries.clear()
        self.deliveries.seed(seed)
