"""Model check of a process: from the first stage, can every deal still be won, and where does each ending lead?

The model: a person moves a deal to the next stage when its gate can be met, the worker acts on entry, a contract
that was sent can end in every way. What people supply can always be supplied; what the worker makes, only once a
stage asks for it. Anybody may move a deal to lost at any time.
"""

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from flows.rules.handbook.text import ACTIONS, ENDS
from flows.rules.lint.finding import Finding
from flows.rules.process.error import Place
from flows.rules.process.sales_process import Criterion, OnEnter, SalesProcess


@dataclass(frozen=True)
class _State:
    """Where a deal stands, what the worker has done for it so far, and whether a contract is out."""

    at: int
    done: frozenset[OnEnter]
    contract_out: bool = False


@dataclass(frozen=True)
class _Move:
    """How a deal comes to a state; `by` is a signature outcome, or nothing when a person moves it."""

    to: _State
    by: str = ""


class _Model:
    def __init__(self, process: SalesProcess) -> None:
        self.process = process
        self.keys = process.keys
        self.send = process.stage_for("send_contract")
        self.start = self._enter(self.keys.index(process.first.key), frozenset())
        self.came: dict[_State, tuple[_State, str] | None] = {self.start: None}
        self.moves: dict[_State, list[_Move]] = {}
        waiting = deque([self.start])
        while waiting:
            state = waiting.popleft()
            self.moves[state] = list(self._moves(state))
            for move in self.moves[state]:
                if move.to not in self.came:
                    self.came[move.to] = (state, move.by)
                    waiting.append(move.to)
        self.winning = self._winning()

    def _enter(self, at: int, done: frozenset[OnEnter], contract_out: bool = False) -> _State:
        actions = self.process.stages[at].on_enter
        return _State(at, done | set(actions), contract_out or "send_contract" in actions)

    def _moves(self, state: _State) -> Iterator[_Move]:
        if self.process.stages[state.at].closed is not None:
            return
        target = self.next_stage(state.at)
        if target is not None and not self.lacking(state, target):
            yield _Move(self._enter(target, state.done, state.contract_out))
        if not state.contract_out or self.send is None:
            return
        for name, rule in self.process.signature_outcomes:
            if rule.move_to is None:
                continue
            to = self.keys.index(rule.move_to)
            # A signed contract moves the deal from anywhere, any other ending only from where it was sent.
            if name == "completed":
                if all(_possible(c, state.done) for c in self.send.exit_criteria):
                    yield _Move(self._enter(to, state.done), name)
            # One that was not signed is no way to win; that it leads there is a finding of its own.
            elif self.keys[state.at] == self.send.key and self.process.stages[to].closed != "won":
                yield _Move(self._enter(to, state.done - {"send_contract"}), name)

    def next_stage(self, at: int) -> int | None:
        """Where a person moves a deal next: the first stage that may be entered from here; never to lost."""
        return next((i for i in self.later(at) if self.may_enter(at, i)), None)

    def later(self, at: int) -> list[int]:
        """The stages after this one, without lost."""
        return [i for i in range(at + 1, len(self.keys)) if self.process.stages[i].closed != "lost"]

    def may_enter(self, at: int, target: int) -> bool:
        """Whether `enter_from` of the target lets a deal come from here."""
        allowed = self.process.stages[target].enter_from
        return not allowed or self.keys[at] in allowed

    def lacking(self, state: _State, target: int) -> list[Criterion]:
        """What the gate before `target` asks for and nobody can have brought by now."""
        gate = self.process.gate_before(self.keys[target])
        return [c for c in gate if not _possible(c, state.done)]

    def _winning(self) -> set[_State]:
        won = self.keys.index(self.process.won.key)
        good = {s for s in self.moves if s.at == won}
        while more := {
            s for s, moves in self.moves.items() if s not in good and any(m.to in good for m in moves)
        }:
            good |= more
        return good

    def wrong_turns(self) -> Iterator[tuple[Place, _State, _Move]]:
        """Moves after which an open deal can no longer be won, though it could before."""
        told: set[Place] = set()
        for state in (s for s in self.moves if s in self.winning):
            for move in self.moves[state]:
                place: Place = (
                    ("signature_outcomes", move.by, "move_to") if move.by else ("stages", move.to.at)
                )
                closed = self.process.stages[move.to.at].closed is not None
                if move.to not in self.winning and not closed and place not in told:
                    told.add(place)
                    yield place, state, move

    def path(self, state: _State) -> list[_Move]:
        """The shortest way to this state, from the first stage on."""
        before = self.came[state]
        return [*(self.path(before[0]) if before else ()), _Move(state, before[1] if before else "")]

    def stages(self, path: Sequence[_Move]) -> str:
        """A path as stages."""
        labels = (self.process.stages[move.to.at].label for move in path)
        ends = (f" (contract {move.by})" if move.by else "" for move in path)
        return " → ".join(label + end for label, end in zip(labels, ends, strict=True))

    def story(self, path: Sequence[_Move]) -> tuple[str, ...]:
        """A path as what happens, step by step, and why it ends there."""
        told: list[str] = []
        for before, move in zip((None, *path), path, strict=False):
            stage = self.process.stages[move.to.at]
            if before is None:
                what = f"A new deal stands in {stage.label}"
            elif move.by:
                what = f"The contract {ENDS[move.by]}: dealflow moves the deal to {stage.label}"
            else:
                what = f"A person moves it to {stage.label}, with {self._brought(before.to.at, move.to.at)}"
            does = "".join(f"; on entry dealflow {ACTIONS.get(action, action)}" for action in stage.on_enter)
            told.append(f"{what}{does}.")
        return (*told, f"There it ends: {self.dead_end(path[-1].to)}.")

    def _brought(self, at: int, target: int) -> str:
        """What a person has brought by the time the deal moves on, in words."""
        if self.later(at)[0] != target:
            return "everything that is asked for up to there"
        left = self.process.stages[at]
        return f"everything that {left.label} asks for" if left.exit_criteria else "nothing to be proven"

    def only_from(self, at: int) -> str:
        """Who may enter, in words."""
        stage = self.process.stages[at]
        names = " or ".join(self.process.stage(key).label for key in stage.enter_from)
        return f"{stage.label} may be entered from {names} only"

    def dead_end(self, state: _State) -> str:
        """Why a deal is stuck here."""
        target = self.next_stage(state.at)
        later = self.later(state.at)
        if not later:
            return "nothing comes after it but lost"
        if target != later[0]:
            return self.only_from(later[0])
        label = self.process.stages[target].label
        if lacking := self.lacking(state, target):
            first, action = lacking[0], lacking[0].evidence.made_by()
            says = f"{first.key} (“{first.says.rstrip('.')}”)"
            return f"{label} takes {says}, which only {action} can bring about, and no stage on the way does that"
        return f"{label} is open to it, but leads nowhere"


def _possible(criterion: Criterion, done: frozenset[OnEnter]) -> bool:
    action = criterion.evidence.made_by()
    return action is None or action in done


def check_paths(process: SalesProcess) -> Iterator[Finding]:
    """Unreachable stages, traps, and a win that cannot be reached, each shown as a path of stages."""
    model = _Model(process)
    won = model.keys.index(process.won.key)
    if model.start not in model.winning:
        still_open = [s for s in model.moves if process.stages[s.at].closed is None]
        furthest = max(still_open, key=lambda s: (s.at, len(s.done)))
        path = model.path(furthest)
        reason = f"no deal can ever be won: {model.stages(path)}, and there it ends"
        example = "the stages before won must bring about all that their gates ask for"
        place: Place = ("stages", furthest.at)
        yield Finding("won-unreachable", "error", place, reason, example, model.story(path))
        return
    reached = {s.at for s in model.moves}
    for i, stage in enumerate(process.stages):
        if i not in reached and stage.closed != "lost":
            where = "it stands after a closed stage" if i > won else "the way to won leads around it"
            where = f"{model.only_from(i)}, and {where}" if stage.enter_from else where
            reason = f"no deal ever comes to {stage.label}: {where}, and no signature outcome leads to it"
            yield Finding("unreachable", "error", ("stages", i), reason, "put it before won, or remove it")
    for place, state, move in model.wrong_turns():
        path = [*model.path(state), move]
        reason = f"a trap: {model.stages(path)}, and there it ends: from there no deal can be won any more"
        example = "lead to a stage from which the deal can still be won, or to lost"
        yield Finding("trap", "error", place, reason, example, model.story(path))
