# SPDX-License-Identifier: GPL-2.0
"""A picture of installations: a bar for each, a colour for each phase, the same phases at the same colours."""

from html import escape

WIDTH = 1180
LEFT = 190
RIGHT = 30
BAR = 34
ROW = 62
LEGEND_ROW = 22
LEGEND_COLUMNS = 3
FONT = "font-family='DejaVu Sans, sans-serif'"
# The colours of Okabe and Ito, which colour-blind readers can tell apart, and lighter ones of the same.
COLOURS = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#f0e442", "#999999")


def _colour(number):
    return COLOURS[number % len(COLOURS)], 1 if number < len(COLOURS) else 0.55


def _ticks(total):
    step = next(step for step in (10, 30, 60, 120, 300, 600, 1800) if total / step <= 16 or step == 1800)
    return range(0, int(total) + 1, step)


def draw(rows, goal=None, span="From power-on to power-off"):
    """The picture as SVG; `rows` are (label, phases), `goal` a number of seconds that is marked."""
    titles = list(dict.fromkeys(phase.title for _, phases in rows for phase in phases))
    total = max([phases[-1].end for _, phases in rows] + [goal or 0]) * 1.02
    scale = (WIDTH - LEFT - RIGHT) / total
    top = 46
    bottom = top + ROW * len(rows)
    height = bottom + 50 + LEGEND_ROW * (-(-len(titles) // LEGEND_COLUMNS))
    out = [f"<svg xmlns='http://www.w3.org/2000/svg' width='{WIDTH}' height='{height}' viewBox='0 0 {WIDTH} {height}'>"]
    out.append(f"<rect width='{WIDTH}' height='{height}' fill='white'/>")

    def text(where, row, content, size=12, anchor="start", fill="#222"):
        out.append(f"<text x='{where:.1f}' y='{row:.1f}' {FONT} font-size='{size}' text-anchor='{anchor}' fill='{fill}'>{escape(content)}</text>")

    text(LEFT, 22, f"{span}, seconds", 14)
    for tick in _ticks(total):
        where = LEFT + tick * scale
        out.append(f"<line x1='{where:.1f}' y1='{top - 8}' x2='{where:.1f}' y2='{bottom}' stroke='#ddd'/>")
        text(where, bottom + 16, str(tick), 11, "middle", "#555")
    for number, (label, phases) in enumerate(rows):
        row = top + ROW * number
        text(LEFT - 12, row + BAR / 2 + 4, label, 12, "end")
        for phase in phases:
            colour, opacity = _colour(titles.index(phase.title))
            where, width = LEFT + phase.start * scale, max(phase.seconds * scale, 0.5)
            place = f"x='{where:.1f}' y='{row}' width='{width:.1f}' height='{BAR}'"
            out.append(f"<rect {place} fill='{colour}' fill-opacity='{opacity}' stroke='white' stroke-width='0.7'>")
            out.append(f"<title>{escape(phase.title)}: {phase.seconds:.0f} s</title></rect>")
            if width > 26:
                text(where + width / 2, row + BAR / 2 + 4, f"{phase.seconds:.0f}", 11, "middle", "#111")
        text(LEFT + phases[-1].end * scale - 2, row + BAR + 14, f"{phases[-1].end:.0f} s", 12, "end")
    if goal:
        where = LEFT + goal * scale
        out.append(f"<line x1='{where:.1f}' y1='{top - 14}' x2='{where:.1f}' y2='{bottom}' stroke='#b00' stroke-dasharray='5 3'/>")
        text(where, top - 18, f"goal {goal} s", 11, "middle", "#b00")
    column = (WIDTH - 2 * RIGHT) / LEGEND_COLUMNS
    for number, title in enumerate(titles):
        colour, opacity = _colour(number)
        where = RIGHT + column * (number % LEGEND_COLUMNS)
        row = bottom + 38 + LEGEND_ROW * (number // LEGEND_COLUMNS)
        out.append(f"<rect x='{where:.1f}' y='{row}' width='14' height='14' fill='{colour}' fill-opacity='{opacity}'/>")
        text(where + 20, row + 12, title)
    out.append("</svg>")
    return "\n".join(out) + "\n"
