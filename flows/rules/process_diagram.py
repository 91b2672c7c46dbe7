"""The process as one SVG picture: stages from left to right, their gates, the worker's part, how a contract can end."""

import itertools
import textwrap
import unicodedata
from collections.abc import Iterator
from html import escape

from flows.rules.process_text import ENDINGS, SUPPLIERS, days
from flows.rules.sales_process import SalesProcess, Stage

CARD, GAP, EDGE, TOP = 232, 44, 28, 84
LINE, LANE, HEAD = 16, 34, 42
_INK, _SOFT, _RULE, _PAPER = "#1f2933", "#52606d", "#cbd2d9", "#ffffff"
_HEAD = {None: "#1d4e89", "won": "#1b7a43", "lost": "#7b8794"}
_DOT = {"rep": "#1d4e89", "buyer": "#c2571a", "worker": "#6b3fa0", "manager": "#8a6d00"}
_DOES = {
    "generate_proposal": "files a proposal",
    "send_contract": "sends the contract",
    "hand_over": "hands the buyer over",
}


def diagram(process: SalesProcess) -> str:
    """SVG text, complete in itself: no scripts, no fonts or pictures from elsewhere."""
    cards = [_Card(stage, EDGE + i * (CARD + GAP)) for i, stage in enumerate(process.stages)]
    height = max(card.height for card in cards)
    arrows = list(_arrows(process, cards, height)) + list(_endings(process, cards, TOP + height))
    lanes = sum(rule.move_to is not None for _, rule in process.signature_outcomes)
    bottom = TOP + height + 30 + lanes * LANE + 50
    width = 2 * EDGE + len(cards) * (CARD + GAP) - GAP
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{bottom}" viewBox="0 0 {width} {bottom}" '
        'font-family="system-ui, -apple-system, Segoe UI, Helvetica, Arial, sans-serif" role="img">',
        f"<title>{escape(process.name)}</title>",
        '<defs><marker id="tip" markerWidth="9" markerHeight="9" refX="7" refY="4.5" orient="auto">'
        f'<path d="M0,0 L9,4.5 L0,9 z" fill="{_SOFT}"/></marker></defs>',
        f'<rect width="{width}" height="{bottom}" fill="#f5f7fa"/>',
        _text(EDGE, 38, process.name, size=22, weight=600),
        _text(EDGE, 60, f"HubSpot pipeline: {process.pipeline}", fill=_SOFT),
        *(part for card in cards for part in card.drawn(height)),
        *arrows,
        *_legend(bottom - 18),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


class _Card:
    """One stage: lines of text are laid out first, so that all cards get the height of the longest."""

    def __init__(self, stage: Stage, x: int) -> None:
        self.stage, self.x, self.y = stage, x, TOP + HEAD + 12
        self.parts: list[str] = []
        self._lines(stage.buyer_step, 30, fill=_INK, style="italic")
        self._gap("How we help")
        self._lines(stage.help, 30)
        if stage.on_enter:
            self._gap("The worker, on entry")
            for action in stage.on_enter:
                box = f'x="{x + 12}" y="{self.y + 4}" width="{CARD - 24}" height="20" rx="4"'
                self.parts.append(f'<rect {box} fill="{_DOT["worker"]}"/>')
                self.y += LINE + 2
                self.parts.append(_text(x + 20, self.y, _DOES.get(action, action), fill="#ffffff"))
                self.y += 6
        if stage.exit_criteria:
            self._gap("Moves on when")
            for criterion in stage.exit_criteria:
                dot = self.y + LINE - 5
                self.parts.append(
                    f'<circle cx="{x + 17}" cy="{dot}" r="4" fill="{_DOT[criterion.supplied_by]}"/>'
                )
                self._lines(criterion.says, 28, indent=14)
                self.y += 3
        if stage.follow_up is not None:
            self._gap(f"Else, after {days(stage.follow_up.after_days)}")
            self._lines(stage.follow_up.task or _other_follow_up(stage), 30, fill=_SOFT)
        if stage.closed == "lost":
            self._gap("Reached from any open stage")
        self.height = self.y + 14 - TOP

    def _gap(self, heading: str) -> None:
        self.y += 12 + LINE - 4
        self.parts.append(_text(self.x + 12, self.y, heading, size=10.5, fill=_SOFT, weight=600))
        self.y += 2

    def _lines(
        self, text: str, width: int, *, indent: int = 0, fill: str = _INK, style: str = "normal"
    ) -> None:
        for line in _wrapped(text, width):
            self.y += LINE
            self.parts.append(_text(self.x + 12 + indent, self.y, line, fill=fill, style=style))

    def drawn(self, height: int) -> Iterator[str]:
        x, head = self.x, _HEAD[self.stage.closed]
        yield f'<rect x="{x}" y="{TOP}" width="{CARD}" height="{height}" rx="8" fill="{_PAPER}" stroke="{_RULE}"/>'
        round_top = f"M{x},{TOP + HEAD} v{8 - HEAD} a8,8 0 0 1 8,-8 h{CARD - 16} a8,8 0 0 1 8,8 v{HEAD - 8} z"
        yield f'<path d="{round_top}" fill="{head}"/>'
        label = _wrapped(self.stage.label, 26)
        shown = label[0] + ("…" if len(label) > 1 else "")
        yield _text(x + 12, TOP + 19, shown, size=14, fill="#ffffff", weight=600)
        yield _text(x + 12, TOP + 34, f"probability {self.stage.probability:.0%}", size=10.5, fill="#ffffff")
        yield from self.parts


def _other_follow_up(stage: Stage) -> str:
    plan = stage.follow_up
    if plan is None:
        return ""
    if plan.remind_signers:
        return "remind those who have not signed"
    return f"offer the e-mail {plan.email}" if plan.email else "count, then list for disqualification"


def _arrows(process: SalesProcess, cards: list[_Card], height: int) -> Iterator[str]:
    """People move a deal from stage to stage."""
    way = [card for card in cards if card.stage.closed != "lost"]
    for one, other in itertools.pairwise(way):
        if one.stage.closed is None:
            yield _path(f"M{one.x + CARD + 3},{TOP + HEAD // 2} H{other.x - 3}")


def _endings(process: SalesProcess, cards: list[_Card], bottom: int) -> Iterator[str]:
    """Each way a signature request ends that moves the deal has a line of its own below the cards."""
    send = next((card for card in cards if "send_contract" in card.stage.on_enter), None)
    if send is None:
        return
    by_key = {card.stage.key: card for card in cards}
    leaving = [(name, rule.move_to) for name, rule in process.signature_outcomes if rule.move_to is not None]
    arrived: dict[str, int] = {}
    for n, (name, target) in enumerate(leaving):
        to = by_key[target]
        lane = bottom + 30 + n * LANE
        start = send.x + CARD * (n + 1) // (len(leaving) + 1)
        # Several lines into one card, or back into the card they come from, end side by side.
        taken = arrived[target] = arrived.get(target, 0) + 1
        end = to.x + (
            CARD * (n + 1) // (len(leaving) + 1) + 12 if to is send else CARD // 2 - 14 + 14 * taken
        )
        yield _path(f"M{start},{bottom} V{lane} H{end} V{bottom + 4}")
        # Beside the arrow's tip, where no other line comes down.
        where, anchor = (end - 8, "end") if end > start else (end + 8, "start")
        yield _text(where, lane - 6, f"contract {ENDINGS.get(name, name)}", size=11.5, anchor=anchor)
    staying = [ENDINGS.get(name, name) for name, rule in process.signature_outcomes if rule.move_to is None]
    if staying:
        line = f"contract {', '.join(staying)}: stays in {send.stage.label}, with a note"
        y = bottom + 30 + len(leaving) * LANE - 8
        yield _text(send.x + CARD // 2, y, line, fill=_SOFT, size=11.5, anchor="middle")


def _legend(y: int) -> Iterator[str]:
    yield _text(EDGE, y, "supplied by", fill=_SOFT, size=11.5)
    x = EDGE + 84
    for who, colour in _DOT.items():
        yield f'<circle cx="{x}" cy="{y - 4}" r="4" fill="{colour}"/>'
        yield _text(x + 10, y, SUPPLIERS[who], fill=_SOFT, size=11.5)
        x += 34 + 7 * len(SUPPLIERS[who])


def _path(line: str) -> str:
    return f'<path d="{line}" fill="none" stroke="{_SOFT}" stroke-width="1.5" marker-end="url(#tip)"/>'


def _text(
    x: int,
    y: int,
    text: str,
    *,
    size: float = 12,
    fill: str = _INK,
    weight: int = 400,
    style: str = "normal",
    anchor: str = "start",
) -> str:
    return (
        f'<text x="{x}" y="{y}" font-size="{size:g}" fill="{fill}" font-weight="{weight}" font-style="{style}" '
        f'text-anchor="{anchor}">{escape(text)}</text>'
    )


def _wrapped(text: str, width: int) -> list[str]:
    """Lines of about so many letters; wide letters count twice. Never empty."""
    wide = sum(unicodedata.east_asian_width(c) in "WF" for c in text)
    fits = width // 2 if wide * 2 > len(text) else width
    # Control characters must not stand in XML at all.
    shown = "".join(c if c.isprintable() else " " for c in text)
    return textwrap.wrap(shown, fits) or [""]
