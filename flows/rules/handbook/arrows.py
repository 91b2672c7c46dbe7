"""The arrows of the process picture: from stage to stage, and where the end of a contract takes a deal.

Arrows that are not straight run in lanes below a row of cards, each in a lane of its own. Shorter ones run above longer
ones and leave and arrive on the inner side, so that they do not cross.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Final

from flows.rules.handbook import svg
from flows.rules.handbook.text import ENDINGS
from flows.rules.process.sales_process import SalesProcess, Stage

LANE: Final = 30
_FIRST, _SIDE, _STEP = 22, 18, 16


@dataclass
class Place:
    """Where a stage is drawn: row and column from 0; x, y, width, height in pixels, known once the rows are."""

    stage: Stage
    row: int
    column: int
    x: int = 0
    y: int = 0
    width: int = 0
    height: int = 0

    @property
    def bottom(self) -> int:
        """The y of its lower edge."""
        return self.y + self.height


@dataclass
class _Ending:
    """A contract that ends so moves the deal to another stage. `leaves`, `arrives`: which of several, from inside."""

    name: str
    sender: Place
    target: Place
    leaves: int = 0
    arrives: int = 0
    lanes: dict[int, int] = field(default_factory=dict)  # gutter -> which lane

    @property
    def up(self) -> bool:
        return self.target.row < self.sender.row

    @property
    def gutters(self) -> list[int]:
        """Below which rows it runs: beside its sender first, then beside its target."""
        own, other = self.sender.row, self.target.row
        if self.up:
            return list(dict.fromkeys([own - 1, other]))
        return list(dict.fromkeys([own, max(own, other - 1)]))

    @property
    def left(self) -> bool:
        return self.target.column < self.sender.column

    @property
    def far(self) -> int:
        return abs(self.target.column - self.sender.column)


class Arrows:
    """All arrows of a picture; how much room they need below each row, and their drawing once the places are known."""

    def __init__(self, process: SalesProcess, places: Sequence[Place], head: int) -> None:
        self._process, self._head = process, head
        self._way = list(pairwise(place for place in places if place.stage.closed != "lost"))
        self._sender = next((p for p in places if "send_contract" in p.stage.on_enter), None)
        self._taken = [0] * (1 + max(place.row for place in places))
        self._floor = {place.row: place for place in places}
        self._endings = self._laid_out({place.stage.key: place for place in places})
        self._breaks: dict[int, int] = {}
        for one, other in self._way:
            if one.row != other.row and one.stage.closed is None:
                self._breaks[one.row] = self._take(one.row)

    def room(self, row: int) -> int:
        """Pixels below this row."""
        return _FIRST + self._taken[row] * LANE + (8 if self._taken[row] else 0)

    def drawn(self, right: int) -> Iterator[str]:
        """The lines; `right`: the x of the picture's right edge."""
        for one, other in self._way:
            if one.stage.closed is not None:
                continue
            start, end, middle = one.x + one.width + 3, other.x - 3, self._head // 2
            if one.row == other.row:
                yield svg.arrow([(start, one.y + middle), (end, one.y + middle)])
                continue
            lane, side = self._y(one.row, self._breaks[one.row]), right - _SIDE
            way = [(start, one.y + middle), (side, one.y + middle), (side, lane), (_SIDE, lane)]
            yield svg.arrow([*way, (_SIDE, other.y + middle), (end, other.y + middle)])
        for ending in self._endings:
            yield from self._ending(ending)

    def staying(self) -> list[str]:
        """What is said instead of drawn: a contract that ends so leaves the deal where it is."""
        if self._sender is None:
            return []
        label, rules = self._sender.stage.label, list(self._process.signature_outcomes)
        stays = [ENDINGS.get(name, name) for name, rule in rules if rule.move_to is None]
        again = [ENDINGS.get(name, name) for name, rule in rules if rule.move_to == self._sender.stage.key]
        lines = [f"contract {', '.join(stays)}: the deal stays in {label}, with a note"] if stays else []
        return lines + ([f"contract {', '.join(again)}: the deal enters {label} again"] if again else [])

    def _laid_out(self, places: dict[str, Place]) -> list[_Ending]:
        """Endings with their lanes, the shortest in the lanes next to the cards."""
        sender = self._sender
        if sender is None:
            return []
        moves = [(name, rule.move_to) for name, rule in self._process.signature_outcomes if rule.move_to]
        found = [_Ending(name, sender, places[key]) for name, key in moves if key != sender.stage.key]
        found.sort(key=lambda one: one.far)
        leaving: dict[tuple[bool, bool], int] = {}
        arriving: dict[str, int] = {}
        for one in found:
            one.leaves = leaving[one.up, one.left] = leaving.get((one.up, one.left), -1) + 1
            key = one.target.stage.key
            one.arrives = arriving[key] = arriving.get(key, -1) + 1
            one.lanes = {gutter: self._take(gutter) for gutter in one.gutters}
        return found

    def _take(self, gutter: int) -> int:
        self._taken[gutter] += 1
        return self._taken[gutter] - 1

    def _y(self, gutter: int, lane: int) -> int:
        return self._floor[gutter].bottom + _FIRST + lane * LANE

    def _ending(self, one: _Ending) -> Iterator[str]:
        sender, target = one.sender, one.target
        inner = sender.x + 24 if one.left else sender.x + sender.width - 24
        start = inner + (_STEP if one.left else -_STEP) * one.leaves
        below = target.row <= sender.row
        middle = target.x + target.width // 2 + (-_STEP if one.left else _STEP) * one.arrives
        from_above = target.x + target.width - 24 - _STEP * (3 - one.arrives if one.left else one.arrives)
        end = middle if below else from_above
        first, *rest = (self._y(gutter, lane) for gutter, lane in one.lanes.items())
        way: list[tuple[float, float]] = [(start, sender.y if one.up else sender.bottom), (start, first)]
        last = first
        if rest:  # past a row in between, beside the target's column
            last, aside = rest[0], 10 + 8 * one.arrives
            beside = target.x - aside if target.column else target.x + target.width + aside
            way += [(beside, first), (beside, last)]
        way += [(end, last), (end, target.bottom + 4 if below else target.y - 4)]
        yield svg.arrow(way)
        # Beside the arrow's tip, where no other line comes in.
        where, anchor = (end + 8, "start") if one.left or one.up else (end - 8, "end")
        yield svg.text(
            where, last - 6, f"contract {ENDINGS.get(one.name, one.name)}", size=11.5, anchor=anchor
        )
