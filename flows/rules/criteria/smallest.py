"""Why a deal may stand in a stage or not: verdicts, and the smallest set of facts that would open the gate.

The set is exact. Each criterion is met by one of a few ways (`any_of` offers them), each way asks for evidence about
separate things (the contacts, the line items, one property, ...), and asking for more never needs fewer facts; so the
choice of ways is searched with branch and bound. Among equally small sets the ways written first in the file win.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from flows.rules.criteria.evidence import Leaf
from flows.rules.criteria.judge import DealFacts, Verdict, asked_before, judge, unmet
from flows.rules.criteria.need import Need, Wanted
from flows.rules.process.sales_process import Criterion, SalesProcess

_MOST_STEPS = 20_000
Asked = Sequence[tuple[str, Criterion]]


@dataclass(frozen=True)
class Smallest:
    """The smallest set of facts that meets some criteria; None when no facts can meet them all.

    `exact` is False when there were too many ways to compare them all: then a smaller set may exist.
    """

    needs: tuple[Need, ...] | None
    exact: bool = True

    @property
    def count(self) -> int:
        """How many facts: two line items are two."""
        return sum(need.count for need in self.needs or ())

    @property
    def text(self) -> str:
        """In words."""
        if self.needs is None:
            return (
                "no facts: the criteria contradict each other" if self.exact else "too many ways to compare"
            )
        return ", ".join(need.says for need in self.needs)


@dataclass(frozen=True)
class Explanation:
    """A deal before the gate of `target`. `by_criterion`: what would meet each unmet criterion alone."""

    deal_id: str
    stage: str | None
    target: str
    verdicts: tuple[Verdict, ...]
    smallest: Smallest
    by_criterion: Mapping[str, Smallest]

    @property
    def open(self) -> bool:
        """Whether every criterion is met."""
        return not unmet(self.verdicts)


def explain(process: SalesProcess, target: str, facts: DealFacts) -> Explanation:
    """All verdicts before the stage `target`, and what would open it."""
    asked = asked_before(process, target)
    verdicts = tuple(judge([criterion], facts, stage)[0] for stage, criterion in asked)
    alone = {
        criterion.key: smallest([(stage, criterion)], facts)
        for (stage, criterion), verdict in zip(asked, verdicts, strict=True)
        if not verdict.met
    }
    together = smallest(asked, facts) if alone else Smallest(())
    return Explanation(facts.deal_id, facts.stage, target, verdicts, together, alone)


def smallest(asked: Asked, facts: DealFacts) -> Smallest:
    """The smallest set of facts that meets all these criteria (each with the key of its own stage)."""
    return _Search(asked, facts).run()


class _Search:
    """Branch and bound over the ways to meet each criterion. A set of wanted evidence is a bit mask."""

    def __init__(self, asked: Asked, facts: DealFacts) -> None:
        self.facts = facts
        self.wanted: list[Wanted] = []
        numbers: dict[tuple[Leaf, str], int] = {}
        options: list[list[int]] = []
        for stage, criterion in asked:
            masks: list[int] = []
            for way in criterion.evidence.ways(facts.owner):
                mask = 0
                for leaf in way:
                    # Only where the stage matters does it make two askings of the same different ones.
                    place = stage if leaf.from_entry() else ""
                    number = numbers.setdefault((leaf, place), len(numbers))
                    if number == len(self.wanted):
                        self.wanted.append(Wanted(leaf, place))
                    mask |= 1 << number
                if mask not in masks:
                    masks.append(mask)
            options.append(masks)
        # What leaves no choice comes first: it makes the bound tight.
        self.options = sorted(options, key=len)
        self.asked = asked
        self.parts = _parts(self.wanted)
        self.known: dict[int, tuple[Need, ...] | None] = {}
        self.best: tuple[int, int] | None = None  # facts, mask
        self.steps = 0

    def run(self) -> Smallest:
        self._descend(0, 0)
        exact = self.steps <= _MOST_STEPS
        if self.best is None:
            return Smallest(None, exact)
        found = [need for part in self.parts for need in self._part(part & self.best[1]) or ()]
        return Smallest(tuple(self._signed(need) for need in found), exact)

    def _descend(self, at: int, chosen: int) -> None:
        self.steps += 1
        if self.steps > _MOST_STEPS:
            return
        cost = self._cost(chosen)
        if cost is None or (self.best is not None and cost >= self.best[0]):
            return
        if at == len(self.options):
            self.best = (cost, chosen)
            return
        masks = self.options[at]
        if any(mask & ~chosen == 0 for mask in masks):
            masks = [0]  # met by what is wanted anyway: nothing can be gained by wanting more
        for mask in masks:
            self._descend(at + 1, chosen | mask)

    def _cost(self, chosen: int) -> int | None:
        total = 0
        for part in self.parts:
            needs = self._part(part & chosen)
            if needs is None:
                return None
            total += sum(need.count for need in needs)
        return total

    def _part(self, mask: int) -> tuple[Need, ...] | None:
        if mask not in self.known:
            wanted = [one for number, one in enumerate(self.wanted) if mask >> number & 1]
            self.known[mask] = _missing(wanted, self.facts) if wanted else ()
        return self.known[mask]

    def _signed(self, need: Need) -> Need:
        """With the criteria that ask for it, and who supplies it."""
        criteria = [
            c
            for _, c in self.asked
            if any(leaf in need.serves for way in c.evidence.ways(self.facts.owner) for leaf in way)
        ]
        return replace(
            need,
            criteria=tuple(c.key for c in criteria),
            supplied_by=tuple(dict.fromkeys(c.supplied_by for c in criteria)),
        )


def _parts(wanted: Sequence[Wanted]) -> list[int]:
    """Masks of evidence about separate things, in the order of the file. Things that are compared go together."""
    masks: dict[str, int] = {}
    joined: dict[str, str] = {}

    def root(thing: str) -> str:
        while thing in joined:
            thing = joined[thing]
        return thing

    things = [one.leaf.about() for one in wanted]
    for thing, *others in things:
        for other in others:
            left, right = root(thing), root(other)
            if left != right:
                joined[right] = left
    for number, (thing, *_) in enumerate(things):
        masks[root(thing)] = masks.get(root(thing), 0) | 1 << number
    return list(masks.values())


def _missing(wanted: Sequence[Wanted], facts: DealFacts) -> tuple[Need, ...] | None:
    """The fewest facts that meet all of this, which is about one thing; None when none do."""
    if all(one.leaf.check(facts, one.stage).text for one in wanted):
        return ()
    return wanted[0].leaf.fewest(wanted, facts)
