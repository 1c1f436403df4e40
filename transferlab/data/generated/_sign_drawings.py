"""German traffic signs drawn from polygons, circles and text, one for each class of GTSRB.

Lengths are in half widths of a sign: x to the right and y downwards from its centre, from -1 to 1.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from transferlab.data.content import digest as digest_of
from transferlab.data.content import drawn
from transferlab.data.pictures.gtsrb import CLASSES

if TYPE_CHECKING:
    from PIL import Image

Point = tuple[float, float]
Colour = tuple[int, int, int]
SIZE = 128
"""Pixels of a drawing's side."""
_FINE = 6
"""Drawn so many times larger, then averaged."""
REACH = 1.05
"""Where a drawing ends: a little margin around the sign."""
RED, WHITE, BLACK = (196, 28, 38), (242, 242, 240), (18, 18, 20)
BLUE, YELLOW, GREEN, GREY = (16, 78, 170), (250, 178, 24), (20, 140, 80), (88, 88, 88)


@cache
def drawings() -> np.ndarray:
    """uint8 [43, 4, 128, 128]: red, green, blue, each times opacity, and opacity of each class's sign."""
    signs = np.stack([_pixels(_SIGNS[name]) for name in CLASSES])
    signs.setflags(write=False)
    return signs


def digest() -> str:
    """SHA-256 of the drawings."""
    return drawn(drawings, digest_of([Path(__file__)]))


def _pixels(draw: Callable[[Sheet], None]) -> np.ndarray:
    from PIL import Image

    sheet = Sheet()
    draw(sheet)
    small = np.array(sheet.image.resize((SIZE, SIZE), Image.Resampling.BOX))  # averages what is opaque alone
    opacity = small[:, :, 3:] / 255
    small[:, :, :3] = np.round(small[:, :, :3] * opacity)
    return small.transpose(2, 0, 1)


class Sheet:
    """A transparent sheet to draw a sign on."""

    def __init__(self) -> None:
        from PIL import Image, ImageDraw

        side = SIZE * _FINE
        self.image = Image.new("RGBA", (side, side), (*GREY, 0))
        self._pen = ImageDraw.Draw(self.image)

    def polygon(self, points: Sequence[Point], colour: Colour, rounding: float = 0.0) -> None:
        """A filled polygon, its corners rounded with a radius that comes on top of its points."""
        self._pen.polygon([_place(point) for point in points], fill=colour)
        if rounding:
            self.line([*points, points[0]], 2 * rounding, colour)

    def disc(self, centre: Point, radius: float, colour: Colour) -> None:
        (x, y), r = _place(centre), _length(radius)
        self._pen.ellipse([x - r, y - r, x + r, y + r], fill=colour)

    def ring(self, centre: Point, radius: float, width: float, colour: Colour) -> None:
        """A circle's line, whose middle has ``radius``."""
        self.line(arc(centre, radius, 0, 360), width, colour)

    def line(self, points: Sequence[Point], width: float, colour: Colour) -> None:
        """A line through ``points`` with round ends and joints."""
        self._pen.line([_place(point) for point in points], fill=colour, width=round(_length(width)))
        for point in points:
            self.disc(point, width / 2, colour)

    def bar(self, start: Point, end: Point, width: float, colour: Colour) -> None:
        """A straight line with square ends."""
        across = _across(start, end, width / 2)
        points = [
            (p[0] + s * across[0], p[1] + s * across[1]) for p, s in ((start, 1), (end, 1), (end, -1), (start, -1))
        ]
        self.polygon(points, colour)

    def arrow(self, points: Sequence[Point], width: float, head: float, colour: Colour, barbed: bool = True) -> None:
        """A line, square where it starts, with a head ``head`` wide whose tip is the last point.

        A barbed head is two strokes as wide as the line, else it is a triangle.
        """
        start, end = points[-2:]
        length = math.hypot(end[0] - start[0], end[1] - start[1])
        dx, dy = (end[0] - start[0]) / length, (end[1] - start[1]) / length

        def at(back: float, across: float) -> Point:
            return end[0] - back * dx - across * dy, end[1] - back * dy + across * dx

        base = at(0.7 * head, 0)
        self._pen.line([_place(p) for p in (*points[:-1], base)], fill=colour, width=round(_length(width)))
        for point in points[1:-1]:
            self.disc(point, width / 2, colour)
        sides = at(0.55 * head, head / 2), at(0.55 * head, -head / 2)
        if not barbed:
            self.polygon([end, *sides], colour)
            return
        self.bar(base, at(0.8 * width, 0), width, colour)
        thick = 1.35 * width  # along the arrow, of a stroke that is as wide as the line
        self.polygon([end, sides[0], at(0.55 * head + thick, head / 2), at(thick, 0)], colour)
        self.polygon([end, sides[1], at(0.55 * head + thick, -head / 2), at(thick, 0)], colour)

    def text(self, words: str, centre: Point, width: float, height: float, colour: Colour) -> None:
        """Words stretched so that their ink fills the box."""
        from PIL import Image

        mask = _ink(words).resize((round(_length(width)), round(_length(height))), Image.Resampling.BILINEAR)
        x, y = _place(centre)
        self.image.paste(colour, (round(x - mask.width / 2), round(y - mask.height / 2)), mask)


@cache
def _ink(words: str) -> Image.Image:
    import matplotlib
    from PIL import Image, ImageDraw, ImageFont

    path = Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf"
    font = ImageFont.truetype(str(path), 300)
    mask = Image.new("L", (400 * len(words), 500))
    # DejaVu Sans is too thin for the signs' DIN 1451, and its bold too thick.
    ImageDraw.Draw(mask).text((50, 50), words, fill=255, font=font, stroke_width=7)
    return mask.crop(mask.getbbox())


def _length(length: float) -> float:
    return length * SIZE * _FINE / (2 * REACH)


def _place(point: Point) -> Point:
    return _length(point[0] + REACH), _length(point[1] + REACH)


def _across(start: Point, end: Point, length: float) -> Point:
    """A vector at right angles to the way from start to end."""
    dx, dy = end[0] - start[0], end[1] - start[1]
    scale = length / math.hypot(dx, dy)
    return -dy * scale, dx * scale


def arc(centre: Point, radius: float, start: float, end: float) -> list[Point]:
    """Points on a circle, from one angle to another in degrees clockwise from the right."""
    angles = np.radians(np.linspace(start, end, 60))
    return [(centre[0] + radius * math.cos(a), centre[1] + radius * math.sin(a)) for a in angles]


def _regular(corners: int, radius: float, turn: float) -> list[Point]:
    angles = (math.radians(turn + 360 * i / corners) for i in range(corners))
    return [(radius * math.cos(a), radius * math.sin(a)) for a in angles]


# Faces


def prohibition(sheet: Sheet) -> None:
    sheet.disc((0, 0), 1.0, WHITE)
    sheet.disc((0, 0), 0.97, RED)
    sheet.disc((0, 0), 0.73, WHITE)


def end_of(sheet: Sheet) -> None:
    sheet.disc((0, 0), 1.0, GREY)
    sheet.disc((0, 0), 0.97, WHITE)


def stripes(sheet: Sheet) -> None:
    """Five black stripes from below on the left to above on the right."""
    for i in range(-2, 3):
        offset = 0.085 * i
        reach = 0.68 - 0.02 * abs(i)
        sheet.bar((-reach + offset, reach + offset), (reach + offset, -reach + offset), 0.065, BLACK)


def mandatory(sheet: Sheet) -> None:
    sheet.disc((0, 0), 1.0, WHITE)
    sheet.disc((0, 0), 0.955, BLUE)


def warning(sheet: Sheet, up: int = 1) -> None:
    """A triangle that stands on its side, or with up=-1 on its corner."""
    middle = 0.25 * up
    for radius, rounding, colour in ((1.0, 0.12, WHITE), (0.93, 0.12, RED), (0.77, 0.03, WHITE)):
        corners = [(radius * x, radius * y + middle) for x, y in _regular(3, 1.0, -90 * up)]
        sheet.polygon(corners, colour, rounding)


# Symbols


def _number(sheet: Sheet, number: str, colour: Colour, size: float = 1.0) -> None:
    """Digits apart from each other, as DIN 1451 has them."""
    wide, gap, height = (0.47, 0.11, 0.78) if len(number) == 2 else (0.34, 0.08, 0.74)
    wide, gap, height = size * wide, size * gap, size * height
    widths = [wide * (0.6 if digit == "1" else 1) for digit in number]
    x = -(sum(widths) + gap * (len(number) - 1)) / 2
    for digit, width in zip(number, widths, strict=True):
        sheet.text(digit, (x + width / 2, 0), width, height, colour)
        x += width + gap


def _speed(number: str) -> Callable[[Sheet], None]:
    def draw(sheet: Sheet) -> None:
        prohibition(sheet)
        _number(sheet, number, BLACK)

    return draw


def _end_of_speed_limit_80(sheet: Sheet) -> None:
    end_of(sheet)
    _number(sheet, "80", GREY, 1.25)
    stripes(sheet)


def _car(sheet: Sheet, x: float, y: float, colour: Colour) -> None:
    """From behind: wheels, body and roof."""
    sheet.polygon([(x - 0.25, y), (x + 0.25, y), (x + 0.25, y + 0.12), (x - 0.25, y + 0.12)], colour, 0.02)
    sheet.line([(x - 0.2, y), (x - 0.15, y - 0.14), (x + 0.15, y - 0.14), (x + 0.2, y)], 0.06, colour)
    for wheel in (x - 0.2, x + 0.2):
        sheet.bar((wheel, y + 0.1), (wheel, y + 0.22), 0.1, colour)


def _lorry(sheet: Sheet, x: float, y: float, colour: Colour) -> None:
    """From behind, beside a car."""
    sheet.bar((x, y - 0.36), (x, y + 0.12), 0.46, colour)
    for wheel in (x - 0.15, x + 0.15):
        sheet.bar((wheel, y + 0.1), (wheel, y + 0.22), 0.12, colour)


def _overtaking(
    face: Callable[[Sheet], None], left: Callable[[Sheet, float, float, Colour], None], colours: tuple[Colour, Colour]
) -> Callable[[Sheet], None]:
    def draw(sheet: Sheet) -> None:
        face(sheet)
        y = 0.0 if left is _car else 0.06
        left(sheet, -0.31, y, colours[0])
        _car(sheet, 0.32, y, colours[1])
        if face is end_of:
            stripes(sheet)

    return draw


def _priority_at_next_crossing(sheet: Sheet) -> None:
    warning(sheet)
    sheet.bar((-0.3, 0.24), (0.3, 0.24), 0.09, BLACK)
    sheet.polygon(
        [(0, -0.32), (0.2, -0.02), (0.13, 0.0), (0.13, 0.56), (0, 0.46), (-0.13, 0.56), (-0.13, 0.0), (-0.2, -0.02)],
        BLACK,
    )


def _priority_road(sheet: Sheet) -> None:
    for radius, colour in ((0.96, GREY), (0.93, WHITE), (0.6, YELLOW)):
        sheet.polygon(_regular(4, radius, 0), colour, 0.04)


def _yield(sheet: Sheet) -> None:
    warning(sheet, up=-1)


def _stop(sheet: Sheet) -> None:
    for radius, colour in ((1.04, WHITE), (0.97, RED)):
        sheet.polygon(_regular(8, radius, 22.5), colour, 0.01)
    sheet.text("STOP", (0, 0), 1.5, 0.6, WHITE)


def _no_trucks(sheet: Sheet) -> None:
    prohibition(sheet)
    sheet.polygon([(-0.14, -0.28), (0.6, -0.28), (0.6, 0.14), (-0.14, 0.14)], BLACK)
    sheet.polygon([(-0.56, 0.18), (-0.56, 0.0), (-0.4, -0.16), (-0.18, -0.16), (-0.18, 0.18)], BLACK)
    sheet.polygon([(-0.47, 0.0), (-0.38, -0.1), (-0.28, -0.1), (-0.28, 0.0)], WHITE)
    sheet.bar((-0.5, 0.15), (0.56, 0.15), 0.08, BLACK)
    for x in (-0.36, 0.36):
        sheet.disc((x, 0.2), 0.13, WHITE)
        sheet.disc((x, 0.2), 0.1, BLACK)


def _no_entry(sheet: Sheet) -> None:
    sheet.disc((0, 0), 1.0, WHITE)
    sheet.disc((0, 0), 0.96, RED)
    sheet.bar((-0.76, 0), (0.76, 0), 0.36, WHITE)


def _danger(sheet: Sheet) -> None:
    warning(sheet)
    sheet.polygon([(-0.085, -0.33), (0.085, -0.33), (0.045, 0.3), (-0.045, 0.3)], BLACK, 0.02)
    sheet.disc((0, 0.47), 0.095, BLACK)


def _curve_right(sheet: Sheet) -> None:
    warning(sheet)
    bend = arc((0.02, 0.28), 0.16, 180, 270)
    sheet.arrow([(-0.14, 0.54), *bend, (0.3, 0.12)], 0.16, 0.27, BLACK, barbed=False)


def _double_curve(sheet: Sheet) -> None:
    warning(sheet)
    sheet.arrow([(0.11, 0.52), (0.11, 0.2), (-0.1, 0.12), (-0.1, -0.26)], 0.15, 0.18, BLACK, barbed=False)


def _bumpy_road(sheet: Sheet) -> None:
    warning(sheet)
    sheet.bar((-0.46, 0.5), (0.46, 0.5), 0.09, BLACK)
    for x in (-0.2, 0.2):
        hump = [(x + 0.2 * t, 0.48 - 0.13 * (1 + math.cos(math.pi * t))) for t in np.linspace(-1, 1, 30)]
        sheet.polygon(hump, BLACK)


def _slippery_road(sheet: Sheet) -> None:
    warning(sheet)
    c, s = math.cos(0.14), math.sin(0.14)

    def turned(points: Sequence[Point]) -> list[Point]:
        return [(c * x - s * y, s * x + c * y + 0.18) for x, y in points]

    sheet.polygon(turned([(-0.21, -0.06), (0.21, -0.06), (0.21, 0.08), (-0.21, 0.08)]), BLACK, 0.02)
    sheet.line(turned([(-0.17, -0.06), (-0.12, -0.18), (0.12, -0.18), (0.17, -0.06)]), 0.06, BLACK)
    for x in (-0.16, 0.16):
        top, bottom = turned([(x, 0.05), (x, 0.16)])
        sheet.bar(top, bottom, 0.1, BLACK)
        way = [(x + 0.02 + 0.06 * math.sin(9 * t), 0.4 + 0.18 * t) for t in np.linspace(0, 1, 30)]
        sheet.line(way, 0.04, BLACK)


def _road_narrows(sheet: Sheet) -> None:
    warning(sheet)
    sheet.polygon([(-0.24, 0.58), (-0.12, 0.58), (-0.09, -0.28), (-0.16, -0.28)], BLACK)
    sheet.polygon(
        [
            (0.16, 0.58),
            (0.28, 0.58),
            (0.27, 0.2),
            (0.13, 0.0),
            (0.12, -0.28),
            (0.05, -0.28),
            (0.05, 0.05),
            (0.16, 0.24),
        ],
        BLACK,
    )


def _road_works(sheet: Sheet) -> None:
    warning(sheet)
    sheet.disc((-0.02, -0.24), 0.085, BLACK)
    sheet.polygon([(-0.12, -0.16), (0.02, -0.12), (-0.06, 0.2), (-0.22, 0.16)], BLACK, 0.02)
    sheet.line([(-0.2, 0.16), (-0.32, 0.56)], 0.1, BLACK)
    sheet.line([(-0.1, 0.18), (0.0, 0.34), (-0.04, 0.56)], 0.1, BLACK)
    sheet.line([(-0.02, -0.08), (0.14, 0.08)], 0.07, BLACK)
    sheet.line([(-0.22, -0.02), (0.26, 0.36)], 0.045, BLACK)
    sheet.polygon([(0.1, 0.58), (0.32, 0.26), (0.4, 0.3), (0.56, 0.58)], BLACK)


def _traffic_lights(sheet: Sheet) -> None:
    warning(sheet)
    for y, colour in ((-0.2, RED), (0.11, YELLOW), (0.42, GREEN)):
        sheet.disc((0, y), 0.15, BLACK)
        sheet.disc((0, y), 0.125, colour)


def _walker(sheet: Sheet, x: float, y: float, size: float, step: int) -> None:
    """A figure that strides to the right, or with step=-1 to the left; (x, y) between its feet."""

    def at(points: Sequence[Point]) -> list[Point]:
        return [(x + step * size * px, y + size * py) for px, py in points]

    sheet.disc(at([(0.03, -0.9)])[0], 0.1 * size, BLACK)
    sheet.polygon(at([(-0.1, -0.76), (0.1, -0.76), (0.08, -0.42), (-0.1, -0.42)]), BLACK, 0.03 * size)
    sheet.line(at([(-0.03, -0.42), (-0.12, -0.2), (-0.26, 0.0)]), 0.1 * size, BLACK)
    sheet.line(at([(0.03, -0.42), (0.16, -0.2), (0.2, 0.0)]), 0.1 * size, BLACK)
    sheet.line(at([(-0.08, -0.74), (-0.24, -0.5)]), 0.08 * size, BLACK)
    sheet.line(at([(0.08, -0.74), (0.26, -0.52)]), 0.08 * size, BLACK)


def _pedestrians(sheet: Sheet) -> None:
    warning(sheet)
    _walker(sheet, 0.0, 0.57, 0.88, -1)


def _children(sheet: Sheet) -> None:
    warning(sheet)
    _walker(sheet, 0.13, 0.53, 0.74, -1)
    _walker(sheet, -0.2, 0.5, 0.5, -1)
    sheet.line([(-0.12, 0.18), (0.02, 0.08)], 0.05, BLACK)


def _bicycles(sheet: Sheet) -> None:
    warning(sheet)
    for x in (-0.26, 0.26):
        sheet.ring((x, 0.4), 0.17, 0.05, BLACK)
    frame = [(-0.26, 0.4), (-0.12, 0.14), (0.14, 0.14), (-0.02, 0.4), (-0.26, 0.4)]
    sheet.line(frame, 0.045, BLACK)
    sheet.line([(-0.15, 0.06), (-0.02, 0.4)], 0.045, BLACK)
    sheet.line([(0.26, 0.4), (0.12, 0.02), (0.22, -0.02)], 0.045, BLACK)
    sheet.line([(-0.22, 0.05), (-0.08, 0.05)], 0.06, BLACK)


def _ice(sheet: Sheet) -> None:
    warning(sheet)
    for turn in range(6):
        c, s = math.cos(math.radians(60 * turn + 30)), math.sin(math.radians(60 * turn + 30))

        def at(along: float, across: float, c: float = c, s: float = s) -> Point:
            return (c * along - s * across, 0.2 + s * along + c * across)

        sheet.line([(0, 0.2), at(0.28, 0)], 0.06, BLACK)
        for side in (-1, 1):
            sheet.line([at(0.15, 0), at(0.24, side * 0.09)], 0.055, BLACK)


def _wild_animals(sheet: Sheet) -> None:
    warning(sheet)

    def at(points: Sequence[Point]) -> list[Point]:
        return [(0.82 * x, 0.82 * y + 0.08) for x, y in points]

    body = [(-0.2, 0.0), (-0.06, 0.1), (0.16, 0.2), (0.26, 0.28), (0.22, 0.4), (0.06, 0.37), (-0.1, 0.3), (-0.2, 0.16)]
    neck, head = (
        [(-0.22, 0.1), (-0.3, -0.12), (-0.2, -0.14), (-0.08, 0.06)],
        [(-0.42, -0.04), (-0.28, -0.18), (-0.2, -0.1)],
    )
    for shape in (body, neck, head):
        sheet.polygon(at(shape), BLACK, 0.015)
    antlers = ([(-0.22, -0.16), (-0.16, -0.3), (-0.2, -0.38)], [(-0.2, -0.16), (-0.06, -0.28)])
    forelegs = ([(-0.14, 0.26), (-0.36, 0.3), (-0.34, 0.42)], [(-0.1, 0.28), (-0.3, 0.2)])
    hindlegs = ([(0.2, 0.36), (0.3, 0.46), (0.44, 0.54)], [(0.14, 0.36), (0.2, 0.5), (0.34, 0.57)])
    for lines, width in ((antlers, 0.03), (forelegs, 0.045), (hindlegs, 0.05)):
        for line in lines:
            sheet.line(at(line), width, BLACK)


def _end_of_all_limits(sheet: Sheet) -> None:
    end_of(sheet)
    stripes(sheet)


def _turn_right_ahead(sheet: Sheet) -> None:
    mandatory(sheet)
    bend = arc((0.02, 0.02), 0.32, 180, 270)
    sheet.arrow([(-0.3, 0.62), *bend, (0.66, -0.3)], 0.22, 0.66, WHITE)


def _ahead_only(sheet: Sheet) -> None:
    mandatory(sheet)
    sheet.arrow([(0, 0.72), (0, -0.76)], 0.22, 0.76, WHITE)


def _ahead_or_right(sheet: Sheet) -> None:
    mandatory(sheet)
    sheet.arrow([(-0.14, 0.68), (-0.14, -0.72)], 0.18, 0.56, WHITE)
    sheet.arrow([(-0.14, 0.2), (0.7, 0.2)], 0.18, 0.56, WHITE)


def _keep_right(sheet: Sheet) -> None:
    mandatory(sheet)
    sheet.arrow([(-0.52, -0.52), (0.54, 0.54)], 0.22, 0.76, WHITE)


def _roundabout(sheet: Sheet) -> None:
    mandatory(sheet)
    for turn in (20, 140, 260):
        way = arc((0, 0), 0.52, turn, turn - 75)
        tip = arc((0, 0), 0.52, turn, turn - 105)[-1]
        sheet.arrow([*way, tip], 0.12, 0.36, WHITE)


def _mirrored(draw: Callable[[Sheet], None]) -> Callable[[Sheet], None]:
    def mirror(sheet: Sheet) -> None:
        from PIL import ImageOps

        draw(sheet)
        sheet.image = ImageOps.mirror(sheet.image)

    return mirror


_SIGNS: dict[str, Callable[[Sheet], None]] = {
    **{f"speed_limit_{n}": _speed(n) for n in ("20", "30", "50", "60", "70", "80", "100", "120")},
    "end_of_speed_limit_80": _end_of_speed_limit_80,
    "no_overtaking": _overtaking(prohibition, _car, (RED, BLACK)),
    "no_overtaking_by_trucks": _overtaking(prohibition, _lorry, (RED, BLACK)),
    "priority_at_next_crossing": _priority_at_next_crossing,
    "priority_road": _priority_road,
    "yield": _yield,
    "stop": _stop,
    "no_vehicles": prohibition,
    "no_trucks": _no_trucks,
    "no_entry": _no_entry,
    "danger": _danger,
    "curve_left": _mirrored(_curve_right),
    "curve_right": _curve_right,
    "double_curve": _double_curve,
    "bumpy_road": _bumpy_road,
    "slippery_road": _slippery_road,
    "road_narrows": _road_narrows,
    "road_works": _road_works,
    "traffic_lights": _traffic_lights,
    "pedestrians": _pedestrians,
    "children": _children,
    "bicycles": _bicycles,
    "ice": _ice,
    "wild_animals": _wild_animals,
    "end_of_all_limits": _end_of_all_limits,
    "turn_right_ahead": _turn_right_ahead,
    "turn_left_ahead": _mirrored(_turn_right_ahead),
    "ahead_only": _ahead_only,
    "ahead_or_right": _ahead_or_right,
    "ahead_or_left": _mirrored(_ahead_or_right),
    "keep_right": _keep_right,
    "keep_left": _mirrored(_keep_right),
    "roundabout": _roundabout,
    "end_of_no_overtaking": _overtaking(end_of, _car, (GREY, GREY)),
    "end_of_no_overtaking_by_trucks": _overtaking(end_of, _lorry, (GREY, GREY)),
}
