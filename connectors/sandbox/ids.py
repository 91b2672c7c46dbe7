"""Numbers that count up, as the vendors' ids do; unlike `itertools.count` a snapshot can keep them."""

from dataclasses import dataclass


@dataclass
class Ids:
    """`next(ids)` gives `coming`, then counts on by `step`."""

    coming: int
    step: int = 1

    def __next__(self) -> int:
        """The next number."""
        given = self.coming
        self.coming += self.step
        return given
