"""Lint of what a process says in words: required, factual, inspectable, buyer-centric; stages that help."""

from collections.abc import Iterator

from flows.rules.lint import words
from flows.rules.lint.finding import Finding, Spot, spots
from flows.rules.process.sales_process import SalesProcess

_TOLD_EXAMPLE = "The buyer has told us in writing that they go ahead"
SIMPLE = (  # rule, pattern, reason, better wording
    (
        "optional-step",
        words.OPTIONAL,
        "is not part of every sale (Required): a gate that some deals may pass is no gate",
        "take it out of exit_criteria and into help or follow_up; or make it true for all: "
        "'The buyer has told us who else has a say'",
    ),
    (
        "feeling",
        words.FEELING,
        "is a feeling or a guess (Factual): two people would answer differently",
        "'The buyer has named a date for the decision'",
    ),
    (
        "vague",
        words.VAGUE,
        "has no yes or no (Factual): nobody can say when it is reached",
        "say what is there when it is done: 'The positions the buyer asked for are on the deal'",
    ),
    (
        "vague",
        words.ORDER,
        "tells somebody what to do (Factual): a gate asks whether something is so",
        "say what is so when it is done: 'The buyer has told us what they need'",
    ),
    (
        "follow-up-criterion",
        words.CHASED,
        "is follow-up (Buyer-centric): the buyer is no further for it",
        "take it out of exit_criteria and give the stage follow_up: {after_days: 3, task: ...}",
    ),
    (
        "seller-internal",
        words.SELLER_INTERNAL,
        "is about our own company (Buyer-centric): the buyer is no further for it",
        "ask for what the buyer did: 'The buyer has named a date for the decision'",
    ),
)


def check_wording(process: SalesProcess) -> Iterator[Finding]:
    """Findings on every sentence of the process."""
    yield from _buyer(process)
    for spot in spots(process):
        yield from _criterion(spot)
    yield from _stages(process)
    yield from _repeated(process)


def _buyer(process: SalesProcess) -> Iterator[Finding]:
    """Whose way the stages follow."""
    example = "buyer: {who: ..., problem: ..., decides: ...}: start from who buys and how, then hang the stages on it"
    if process.buyer is None:
        reason = "nothing says who buys, what their problem is and how they decide (Buyer-centric)"
        yield Finding("no-buyer", "warning", ("buyer",), reason, example)
        return
    for name, text in process.buyer:
        if words.PLACEHOLDER.fullmatch(text.strip(" .-")):
            reason = f"{text!r} says nothing about the buyer (Buyer-centric)"
            yield Finding("no-buyer", "warning", ("buyer", name), reason, example)


def _criterion(spot: Spot) -> Iterator[Finding]:
    says, place = spot.criterion.says, (*spot.place, "says")
    for rule, pattern, reason, example in SIMPLE:
        if found := pattern.search(says):
            yield Finding(rule, "warning", place, f"{found.group(0).strip()!r} {reason}", example)
    if (found := words.PERCENTAGE.search(says)) and not words.MONEY_SHARE.search(says):
        reason = f"{found.group(0)!r} measures certainty (Factual): a gate is passed or not"
        yield Finding(
            "percentage", "warning", place, reason, "'The buyer has accepted the proposal in writing'"
        )
    if words.QUESTION.search(says):
        reason = "is a question, not a statement that is true or false (Factual)"
        yield Finding("vague", "warning", place, reason, "'The buyer has told us who decides'")
    for pattern, told in ((words.INTERNAL, words.TOLD), (words.BOARD, words.TOLD_US)):
        if (found := pattern.search(says)) and not told.search(says):
            what = f"{found.group(0).strip()!r} happens inside the buyer's company"
            reason = f"{what} (Inspectable): we cannot look it up"
            yield Finding("buyer-internal", "warning", place, reason, _TOLD_EXAMPLE)
            break
    yield from _topic(spot)


def _topic(spot: Spot) -> Iterator[Finding]:
    """Evidence that proves something else than what the sentence says."""
    evidence = spot.criterion.evidence
    for (kind, value), topic in words.TOPICS.items():
        if getattr(evidence, kind, None) == value and not topic.search(spot.criterion.says):
            reason = f"{kind} {value} proves something that the sentence does not speak of (Inspectable)"
            example = "name in `says` what is looked up, or point `evidence` at what the sentence means"
            yield Finding("wrong-evidence", "warning", (*spot.place, "evidence"), reason, example)


def _stages(process: SalesProcess) -> Iterator[Finding]:
    for i, stage in enumerate(process.stages):
        place = ("stages", i)
        named = f"{stage.key.replace('_', ' ')}, {stage.label}"
        if stage.closed is None and words.FOLLOW_UP.search(named):
            reason = f"{stage.label!r} is follow-up: the buyer is no further than in the stage before"
            example = "remove the stage and give the one before it follow_up: {after_days: 3, task: ...}"
            yield Finding("follow-up-stage", "error", (*place, "label"), reason, example)
        if words.SELLER_STEP.search(stage.buyer_step):
            reason = "buyer_step says what we do, not what the buyer does (Buyer-centric)"
            yield Finding(
                "buyer-step-ours", "warning", (*place, "buyer_step"), reason, "'Compares the offers in hand'"
            )
        if _no_help(stage.help, stage.label, stage.buyer_step):
            reason = f"{stage.help!r} is no help to the buyer: in a stage the buyer cannot go on alone"
            yield Finding(
                "no-help", "warning", (*place, "help"), reason, "'Bring figures from companies like theirs'"
            )
        criteria = stage.exit_criteria
        if criteria and all(words.SELLER_ACT.search(c.says) for c in criteria):
            reason = (
                "every criterion is something we did (Buyer-centric): the buyer may not have moved at all"
            )
            example = "ask for what the buyer did with it: 'The buyer has named the terms they want changed'"
            yield Finding("seller-only", "warning", (*place, "exit_criteria"), reason, example)


def _no_help(text: str, *others: str) -> bool:
    said = _plain(text)
    return (
        said in {_plain(other) for other in others}
        or len(said) < 5
        or words.PLACEHOLDER.fullmatch(text.strip(" .-")) is not None
        or words.CHASING.match(text.strip()) is not None
    )


def _repeated(process: SalesProcess) -> Iterator[Finding]:
    """Two criteria, or two stages, that read the same."""
    seen: dict[tuple[str, str], str] = {}
    texts = [("says", s.criterion.key, (*s.place, "says"), s.criterion.says) for s in spots(process)]
    for i, stage in enumerate(process.stages):
        texts += [(n, stage.key, ("stages", i, n), getattr(stage, n)) for n in ("buyer_step", "help")]
    for name, key, place, text in texts:
        before = seen.setdefault((name, _plain(text)), key)
        if before != key:
            reason = f"reads the same as in {before}: nobody can tell the two apart"
            example = "say what is different here, or remove one"
            yield Finding("same-words", "warning", place, reason, example)


def _plain(text: str) -> str:
    return " ".join("".join(c if c.isalnum() else " " for c in text.casefold()).split())
