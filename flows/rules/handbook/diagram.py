"""The process as one SVG picture: stages in rows that fit a page, their gates, dealflow's part, how a contract ends."""

import math
from collections.abc import Iterator
from html import escape

from flows.rules.handbook import svg
from flows.rules.handbook.arrows import Arrows, Place
from flows.rules.handbook.text import SUPPLIERS, days
from flows.rules.process.sales_process import SalesProcess, Stage

CARD, GAP, EDGE, TOP = 232, 44, 36, 84
LINE, HEAD = 16, 42
MOST_IN_A_ROW = 4
_HEAD = {None: "#1d4e89", "won": "#1b7a43", "lost": "#616e7c"}
_DOT = {"rep": "#1d4e89", "buyer": "#c2571a", "worker": "#6b3fa0", "manager": "#8a6d00"}
_DOES = {
    "generate_proposal": "files a proposal",
    "send_contract": "sends the contract",
    "hand_over": "hands the buyer over",
}


def diagram(process: SalesProcess) -> str:
    """SVG text, complete in itself: no scripts, no fonts or pictures from elsewhere."""
    rows = math.ceil(len(process.stages) / MOST_IN_A_ROW)
    columns = math.ceil(len(process.stages) / rows)
    cards = [_Card(stage, *divmod(i, columns)) for i, stage in enumerate(process.stages)]
    arrows = Arrows(process, [card.place for card in cards], HEAD)
    width = 2 * EDGE + columns * (CARD + GAP) - GAP
    persona = _persona(process, (width - 2 * EDGE) // 7)
    y = TOP + LINE * len(persona)
    for row in range(rows):
        height = max(card.needs for card in cards if card.place.row == row)
        for place in (card.place for card in cards if card.place.row == row):
            place.x, place.y = EDGE + place.column * (CARD + GAP), y
            place.width, place.height = CARD, height
        y += height + arrows.room(row)
    staying = arrows.staying()
    bottom = y + 20 * len(staying) + 34
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{bottom}" viewBox="0 0 {width} {bottom}" '
        'font-family="system-ui, -apple-system, Segoe UI, Helvetica, Arial, sans-serif" role="img">',
        f"<title>{escape(process.name)}</title>",
        svg.TIP,
        f'<rect width="{width}" height="{bottom}" fill="#f5f7fa"/>',
        svg.text(EDGE, 38, process.name, size=22, weight=600),
        svg.text(EDGE, 60, f"HubSpot pipeline: {process.pipeline}", fill=svg.SOFT),
        *(svg.text(EDGE, 80 + LINE * n, line) for n, line in enumerate(persona)),
        *arrows.drawn(width),
        *(part for card in cards for part in card.drawn()),
        *(svg.text(EDGE, y + 6 + 20 * n, line, fill=svg.SOFT) for n, line in enumerate(staying)),
        *_legend(process, bottom - 16),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def _persona(process: SalesProcess, letters: int) -> list[str]:
    """Who buys, in lines of so many letters."""
    if process.buyer is None:
        return []
    said = [text.rstrip(".") for _, text in process.buyer]
    return svg.wrapped("Who buys: {}. Their problem: {}. How they decide: {}.".format(*said), letters)


class _Card:
    """One stage: its lines are laid out first, from its own corner, so that a row gets the height of the longest."""

    def __init__(self, stage: Stage, row: int, column: int) -> None:
        self.place = Place(stage, row, column)
        self.stage, self.y = stage, HEAD - 4
        self.parts: list[str] = []
        self._heading("The buyer")
        self._lines(stage.buyer_step, 30, style="italic")
        self._heading("How we help")
        self._lines(stage.help, 30)
        if stage.materials:
            self._heading("To give the buyer")
        for one in stage.materials:
            self._lines(one.name, 30)
        if stage.on_enter:
            self._heading("By itself, on entry")
        for action in stage.on_enter:
            box = f'x="12" y="{self.y + 4}" width="{CARD - 24}" height="20" rx="4"'
            self.parts.append(f'<rect {box} fill="{_DOT["worker"]}"/>')
            self.y += LINE + 2
            self.parts.append(svg.text(20, self.y, f"dealflow {_DOES.get(action, action)}", fill="#ffffff"))
            self.y += 6
        if stage.exit_criteria:
            self._heading("Moves on when")
        for criterion in stage.exit_criteria:
            dot = f'cx="17" cy="{self.y + LINE - 4}" r="4"'
            self.parts.append(f'<circle {dot} fill="{_DOT[criterion.supplied_by]}"/>')
            self._lines(criterion.says, 28, indent=14)
            self.y += 3
        if stage.follow_up is not None:
            self._heading(f"When it does not, after {days(stage.follow_up.after_days)}")
            self._lines(stage.follow_up.task or _other_follow_up(stage), 30)
        if stage.closed == "lost":
            self._heading("Reached from any open stage")
        self.needs = self.y + 14

    def _heading(self, words: str) -> None:
        self.y += 12 + LINE - 4
        self.parts.append(svg.text(12, self.y, words, size=10.5, fill=svg.SOFT, weight=600))
        self.y += 2

    def _lines(self, words: str, width: int, *, indent: int = 0, style: str = "normal") -> None:
        for line in svg.wrapped(words, width):
            self.y += LINE
            self.parts.append(svg.text(12 + indent, self.y, line, style=style))

    def drawn(self) -> Iterator[str]:
        """Its parts, in place."""
        place, label = self.place, svg.wrapped(self.stage.label, 26)
        yield f'<g transform="translate({place.x} {place.y})">'
        box = f'width="{CARD}" height="{place.height}" rx="8"'
        yield f'<rect {box} fill="{svg.PAPER}" stroke="{svg.RULE}"/>'
        round_top = f"M0,{HEAD} v{8 - HEAD} a8,8 0 0 1 8,-8 h{CARD - 16} a8,8 0 0 1 8,8 v{HEAD - 8} z"
        yield f'<path d="{round_top}" fill="{_HEAD[self.stage.closed]}"/>'
        shown = label[0] + ("…" if len(label) > 1 else "")
        yield svg.text(12, 19, shown, size=13, fill="#ffffff", weight=600)
        yield svg.text(12, 34, f"probability {self.stage.probability:.0%}", size=10.5, fill="#ffffff")
        yield from self.parts
        yield "</g>"


def _other_follow_up(stage: Stage) -> str:
    plan = stage.follow_up
    if plan is None:
        return ""
    if plan.remind_signers:
        return "remind those who have not signed"
    return f"offer the e-mail {plan.email}" if plan.email else "count, then list for disqualification"


def _legend(process: SalesProcess, y: int) -> Iterator[str]:
    """Whose part the dots are, of those that occur."""
    used = {criterion.supplied_by for stage in process.stages for criterion in stage.exit_criteria}
    if not used:
        return
    yield svg.text(EDGE, y, "supplied by", fill=svg.SOFT, size=11.5)
    x = EDGE + 84
    for who, colour in ((who, colour) for who, colour in _DOT.items() if who in used):
        yield f'<circle cx="{x}" cy="{y - 4}" r="4" fill="{colour}"/>'
        yield svg.text(x + 10, y, SUPPLIERS[who], fill=svg.SOFT, size=11.5)
        x += 40 + int(6.4 * len(SUPPLIERS[who]))
