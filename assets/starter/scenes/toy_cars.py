"""Toy cars of lacquered tin: on a wooden floor in the sun, on paper, in a town of blocks."""

import math
import random

import bpy
import materials
import numpy as np
import shapes
import sky
import stage

# Floor, arrangement, light, side it comes from, camera's height and turn, lens.
MOODS = [
    ("oak", "single", "sun", 1, 0.30, -38, 60),
    ("paper", "row", "studio", -1, 0.50, 30, 55),
    ("road", "traffic", "sun", -1, 0.55, 18, 40),
    ("walnut", "few", "lamp", 1, 0.34, -30, 55),
    ("paper", "single", "studio", 1, 0.28, 42, 60),
    ("oak", "row", "sun", -1, 0.42, -24, 50),
    ("road", "traffic", "soft", 1, 1.10, -20, 40),
    ("rug", "few", "sun", 1, 0.45, 34, 52),
    ("paper", "few", "studio", -1, 0.95, -28, 52),
    ("walnut", "single", "sun", -1, 0.22, 24, 65),
    ("oak", "many", "soft", 1, 1.70, 10, 46),
    ("road", "traffic", "lamp", -1, 0.40, -14, 40),
    ("rug", "single", "soft", -1, 0.34, -44, 58),
    ("paper", "many", "studio", 1, 1.60, -16, 46),
    ("walnut", "row", "lamp", 1, 0.40, 28, 50),
]
PAINTS = [
    (0.60, 0.018, 0.016),
    (0.015, 0.12, 0.45),
    (0.78, 0.48, 0.02),
    (0.02, 0.26, 0.16),
    (0.74, 0.70, 0.60),
    (0.75, 0.22, 0.03),
    (0.16, 0.48, 0.56),
    (0.62, 0.20, 0.28),
    (0.025, 0.03, 0.04),
    (0.36, 0.50, 0.10),
]
PAPERS = [
    (0.78, 0.62, 0.42),
    (0.30, 0.55, 0.62),
    (0.76, 0.42, 0.38),
    (0.56, 0.62, 0.44),
    (0.5, 0.5, 0.62),
]
SORTS = ("sedan", "mini", "van", "pickup", "lorry", "racer", "coupe", "bus")


class Car:
    """Builds one car along X, standing on z = 0, and carries it to its place."""

    def __init__(self, rng: random.Random, sort: str, colour, parts: dict) -> None:
        self.rng, self.parts, self.items = rng, parts, []
        self.body = materials.paint(colour, 0.12, 1.0, rng.choice((0, 0, 0.25)))
        second = rng.choice([c for c in PAINTS if c != colour])
        self.second = materials.paint(second, 0.12)
        self.cream = materials.paint((0.76, 0.72, 0.62), 0.12)
        getattr(self, sort)()

    def slab(self, outline, wide: float, top: float, material, bevel: float = 0.045):
        """Extrude a side view across the car, narrower by `top` at its highest point."""
        low, high = min(z for _, z in outline), max(z for _, z in outline)
        points = []
        for side in (-1, 1):
            for x, z in outline:
                part = (z - low) / (high - low)
                points.append((x, side * wide / 2 * (1 - (1 - top) * part**1.5), z))
        n = len(outline)
        faces = [tuple(range(n)), tuple(range(2 * n - 1, n - 1, -1))]
        faces += [(i, n + i, n + (i + 1) % n, (i + 1) % n) for i in range(n)]
        item = shapes.add("slab", points, faces, material, smooth=False)
        shapes.soften(item, bevel, 4).modifiers["bevel"].angle_limit = math.radians(28)
        self.items.append(item)
        return item

    def chassis(self, long, low, line, wide, axles, wheel, top=0.90):
        """Build the body with its wheel arches, the wheels, lamps and bumpers.

        line is the upper edge from the tail to the nose.
        """
        outline = [(-long / 2, low)]
        for axle in axles:
            for step in range(13):
                turn = math.pi * (1 - step / 12)
                outline.append(
                    (axle + wheel * 1.22 * math.cos(turn), low + wheel * 1.12 * math.sin(turn))
                )
        outline += [(long / 2, low), *reversed(line)]
        self.slab(outline, wide, top, self.body)
        under = long - 0.25
        self.items.append(
            shapes.box((under, wide * 0.72, 0.16), self.parts["black"], (0, 0, low - 0.05), 0.02)
        )
        for axle in axles:
            for side in (-1, 1):
                self.wheel(axle, side * (wide / 2 - 0.075), wheel, side)
        nose, tail = long / 2, -long / 2
        for side in (-1, 1):
            self.lamp((nose - 0.015, side * wide * 0.33, low + 0.24), 0.085, "lens", 1)
            self.lamp((tail + 0.01, side * wide * 0.36, low + 0.24), 0.05, "red", -1)
        for end, out in ((nose, 1), (tail, -1)):
            z = low + 0.07
            bar = [
                (end - out * 0.10, -wide * 0.50, z),
                (end + out * 0.045, -wide * 0.42, z),
                (end + out * 0.06, 0, z),
                (end + out * 0.045, wide * 0.42, z),
                (end - out * 0.10, wide * 0.50, z),
            ]
            self.items.append(shapes.tube(bar, 0.035, self.parts["chrome"], 4))
        for row in range(4):
            z = low + 0.16 + 0.045 * row
            self.items.append(
                shapes.tube(
                    [(nose + 0.006, -wide * 0.19, z), (nose + 0.006, wide * 0.19, z)],
                    0.013,
                    self.parts["chrome"],
                )
            )

    def lamp(self, spot, size, kind, out) -> None:
        """Set a round lamp with a chrome rim."""
        ball = shapes.ball(size, self.parts[kind], spot, 24)
        ball.scale.x = 0.5
        rim = shapes.ring(size, size * 0.2, self.parts["chrome"], spot, 32, 10)
        rim.rotation_euler.y = math.pi / 2
        self.items += [ball, rim]

    def wheel(self, x, y, radius, side) -> None:
        """Turn a tyre with its rim and hub cap."""
        r, half = radius, 0.10
        tyre = [
            (0.55 * r, -half),
            (0.88 * r, -half),
            (0.97 * r, -half * 0.75),
            (r, -half * 0.3),
            (r, half * 0.3),
            (0.97 * r, half * 0.75),
            (0.88 * r, half),
            (0.62 * r, half),
            (0.58 * r, half * 0.8),
        ]
        cap = [
            (0, half * 1.02),
            (0.16 * r, half),
            (0.22 * r, half * 0.75),
            (0.50 * r, half * 0.55),
            (0.56 * r, half * 0.85),
            (0.62 * r, half * 0.98),
        ]
        for profile, key in (
            (tyre, "rubber"),
            (cap[::-1], "chrome" if self.rng.random() < 0.6 else "white"),
        ):
            item = shapes.lathe(profile, self.parts[key], 40, (x, y, radius), 35)
            item.rotation_euler.x = -side * math.pi / 2
            self.items.append(item)

    def cabin(self, outline, wide, top, posts=()) -> None:
        """Set dark windows, a roof in the body's colour, and posts."""
        self.slab(outline, wide, top, self.parts["glass"], 0.035)
        high = max(z for _, z in outline)
        roof = sorted(x for x, z in outline if z > high - 0.06)
        start, stop = roof[0] - 0.02, roof[-1] + 0.02
        lid = [
            (start, high - 0.045),
            (stop, high - 0.045),
            (stop - 0.07, high + 0.035),
            (start + 0.07, high + 0.035),
        ]
        self.slab(lid, wide * top * 1.06, 0.9, self.body, 0.03)
        low = min(z for _, z in outline)
        base = sorted(x for x, z in outline if z < low + 0.02)
        lines = [(base[0], roof[0]), (base[-1], roof[-1]), *((p, p) for p in posts)]
        for foot, head in lines:
            for side in (-1, 1):
                rod = [
                    (foot, side * wide * 0.492, low),
                    (head, side * wide * top * 0.492, high - 0.02),
                ]
                self.items.append(shapes.tube(rod, 0.028, self.body, 3))

    def sedan(self):
        line = [(-1.0, 0.48), (-0.93, 0.58), (-0.5, 0.62), (0.45, 0.62), (0.9, 0.57), (1.0, 0.46)]
        self.chassis(2.0, 0.17, line, 0.86, (-0.58, 0.60), 0.20)
        self.cabin([(-0.68, 0.60), (0.48, 0.60), (0.20, 0.93), (-0.42, 0.93)], 0.78, 0.80, (-0.1,))

    def mini(self):
        line = [(-0.72, 0.46), (-0.68, 0.60), (0.36, 0.62), (0.64, 0.56), (0.74, 0.44)]
        self.chassis(1.48, 0.16, line, 0.84, (-0.44, 0.45), 0.21)
        self.cabin([(-0.66, 0.59), (0.40, 0.60), (0.22, 0.95), (-0.56, 0.95)], 0.77, 0.82, (-0.1,))
        for side in (-0.13, 0.13):
            self.items.append(
                shapes.box((0.42, 0.10, 0.012), self.cream, (0.42, side, 0.613), 0.005)
            )

    def coupe(self):
        line = [(-1.0, 0.42), (-0.9, 0.53), (-0.4, 0.57), (0.3, 0.55), (0.85, 0.46), (1.02, 0.34)]
        self.chassis(2.04, 0.13, line, 0.90, (-0.60, 0.62), 0.20, 0.86)
        self.cabin([(-0.80, 0.54), (0.42, 0.54), (0.04, 0.80), (-0.36, 0.80)], 0.78, 0.74)

    def van(self):
        line = [(-0.95, 0.62), (0.84, 0.62), (0.95, 0.5)]
        self.chassis(1.9, 0.18, line, 0.88, (-0.56, 0.58), 0.20, 0.97)
        self.slab(
            [(-0.95, 0.60), (0.87, 0.60), (0.87, 0.66), (-0.95, 0.66)],
            0.885,
            0.98,
            self.cream,
            0.02,
        )
        self.cabin(
            [(-0.92, 0.65), (0.86, 0.65), (0.60, 1.12), (-0.86, 1.12)],
            0.84,
            0.86,
            (-0.42, 0.02, 0.42),
        )
        for x in (-0.5, 0.1):
            self.items.append(
                shapes.tube([(x, -0.3, 1.18), (x, 0.3, 1.18)], 0.02, self.parts["chrome"])
            )
        case = self.rng.choice(((0.5, 0.42, 0.16), (0.36, 0.5, 0.14)))
        self.items.append(shapes.box(case, self.second, (-0.3, 0.02, 1.19), 0.035))

    def bus(self):
        line = [(-1.2, 0.64), (1.14, 0.64), (1.2, 0.5)]
        self.chassis(2.4, 0.19, line, 0.92, (-0.70, 0.74), 0.21, 0.98)
        self.cabin(
            [(-1.18, 0.63), (1.16, 0.63), (1.08, 1.02), (-1.12, 1.02)],
            0.89,
            0.95,
            (-0.72, -0.27, 0.18, 0.63),
        )
        self.slab(
            [(-1.13, 1.02), (1.09, 1.02), (1.02, 1.16), (-1.06, 1.16)], 0.88, 0.82, self.cream, 0.05
        )

    def pickup(self):
        line = [(-1.02, 0.56), (0.36, 0.56), (0.42, 0.60), (0.86, 0.57), (1.0, 0.45)]
        self.chassis(2.04, 0.20, line, 0.88, (-0.60, 0.62), 0.22, 0.95)
        self.cabin([(-0.16, 0.56), (0.46, 0.58), (0.26, 0.96), (-0.10, 0.96)], 0.80, 0.84)
        for side in (-1, 1):
            self.items.append(
                shapes.box((0.80, 0.05, 0.14), self.body, (-0.60, side * 0.40, 0.54), 0.02)
            )
        self.items.append(shapes.box((0.05, 0.85, 0.14), self.body, (-1.0, 0, 0.54), 0.02))
        for x, y, s in ((-0.75, -0.12, 0.26), (-0.42, 0.14, 0.24), (-0.72, 0.2, 0.2)):
            self.items.append(
                shapes.box(
                    (s, s, s), self.parts["wood"], (x, y, 0.55), 0.02, self.rng.uniform(-0.3, 0.3)
                )
            )

    def lorry(self):
        line = [(-1.15, 0.42), (0.40, 0.42), (0.46, 0.66), (1.0, 0.64), (1.12, 0.5)]
        self.chassis(2.3, 0.20, line, 0.88, (-0.66, 0.70), 0.22, 0.97)
        self.cabin([(0.44, 0.64), (1.02, 0.64), (0.88, 1.02), (0.48, 1.02)], 0.82, 0.88)
        self.slab(
            [(-1.2, 0.44), (0.36, 0.44), (0.36, 1.16), (-1.2, 1.16)], 0.92, 0.99, self.second, 0.05
        )
        for z in (0.52, 1.08):
            self.slab(
                [(-1.205, z), (0.365, z), (0.365, z + 0.035), (-1.205, z + 0.035)],
                0.935,
                1,
                self.cream,
                0.008,
            )

    def racer(self):
        line = [(-0.98, 0.40), (-0.8, 0.50), (-0.3, 0.50), (0.2, 0.44), (0.85, 0.36), (1.02, 0.28)]
        outline = [(-0.98, 0.16), (1.02, 0.16), *reversed(line)]
        self.slab(outline, 0.52, 0.8, self.body, 0.07)
        for axle in (-0.62, 0.62):
            self.items.append(
                shapes.tube([(axle, -0.42, 0.22), (axle, 0.42, 0.22)], 0.03, self.parts["chrome"])
            )
            for side in (-1, 1):
                self.wheel(axle, side * 0.42, 0.235, side)
        self.slab(
            [(-0.34, 0.46), (0.06, 0.44), (-0.04, 0.56), (-0.30, 0.62)],
            0.34,
            0.8,
            self.parts["glass"],
            0.05,
        )
        self.items.append(shapes.ball(0.115, self.cream, (-0.20, 0, 0.64), 32))
        for side in (-1, 1):
            self.items.append(
                shapes.box((0.04, 0.03, 0.2), self.parts["black"], (-0.9, side * 0.2, 0.44), 0.01)
            )
        self.items.append(shapes.box((0.2, 0.72, 0.035), self.second, (-0.92, 0, 0.63), 0.015))
        self.items.append(shapes.box((0.16, 0.76, 0.03), self.second, (0.98, 0, 0.20), 0.012))
        badge = shapes.lathe(
            [(0, 0), (0.13, 0), (0.13, 0.01), (0, 0.01)], self.cream, 40, (0.42, 0, 0.415), 30
        )
        badge.rotation_euler.y = 0.11
        self.items.append(badge)

    def put(self, x: float, y: float, turn: float, z: float = 0.0) -> None:
        """Carry all parts to their place."""
        holder = bpy.data.objects.new("car", None)
        holder.location, holder.rotation_euler.z = (x, y, z), turn
        bpy.context.scene.collection.objects.link(holder)
        for item in self.items:
            item.parent = holder


def floor(kind: str, rng: random.Random, seed: int) -> None:
    """Lay what the cars stand on."""
    if kind == "paper":
        colour = stage.deal(seed, "paper", PAPERS)
        stage.backdrop(materials.plain("paper", colour, 0.85), 40, 5.5, 12, 2.5)
        return
    if kind == "road":
        material, graph, shader = materials.begin("play mat")
        x, y, _ = graph.split(graph.node("NewGeometry").outputs["Position"])
        lane = graph.math("ABSOLUTE", graph.math("SUBTRACT", graph.math("ABSOLUTE", y), 0.0))
        asphalt = graph.math("LESS_THAN", lane, 1.5)
        edge = graph.math(
            "LESS_THAN", graph.math("ABSOLUTE", graph.math("SUBTRACT", lane, 1.36)), 0.035
        )
        dash = graph.math(
            "MULTIPLY",
            graph.math("LESS_THAN", lane, 0.045),
            graph.math("LESS_THAN", graph.math("FRACT", graph.math("DIVIDE", x, 1.3)), 0.55),
        )
        fuzz = graph.noise(60.0, graph.coordinates(), detail=3.0)
        turf = graph.mix(fuzz, (0.10, 0.22, 0.05), (0.19, 0.34, 0.08))
        colour = graph.mix(
            asphalt, turf, graph.mix(fuzz, (0.045, 0.047, 0.055), (0.075, 0.078, 0.088))
        )
        colour = graph.mix(graph.math("MAXIMUM", edge, dash), colour, (0.66, 0.64, 0.56))
        graph.tree.links.new(colour, shader.inputs["Base Color"])
        shader.inputs["Roughness"].default_value = 0.95
        shader.inputs["Specular IOR Level"].default_value = 0.1
        graph.tree.links.new(graph.bump(fuzz, 0.6, 0.03), shader.inputs["Normal"])
    elif kind == "rug":
        material = materials.cloth(
            stage.deal(seed, "rug", [(0.42, 0.36, 0.28), (0.13, 0.20, 0.30)]), 9.0
        )
    else:
        dark = kind == "walnut"
        material = materials.wood(
            *(
                ((0.07, 0.03, 0.016), (0.24, 0.12, 0.06))
                if dark
                else ((0.24, 0.12, 0.055), (0.52, 0.32, 0.16))
            ),
            0.6,
            planks=1.3,
            roughness=0.30 if dark else 0.38,
            offset=seed,
        )
    shapes.box((60, 60, 0.1), material, (0, 12, -0.1), 0)


def town(rng: random.Random, draw, parts) -> None:
    """Build houses of painted blocks and toy trees beside the road and far behind, out of focus."""
    paints = [materials.paint(tuple(0.85 * c for c in colour), 0.4, 0.4) for colour in PAINTS[:8]]
    green = [materials.paint(c, 0.45, 0.3) for c in ((0.05, 0.25, 0.07), (0.12, 0.34, 0.06))]
    for row, y in enumerate((2.7, 4.9, 7.6)):
        x = -7.5 - 2 * row
        while x < 7.5 + 2 * row:
            wide, tall = rng.uniform(0.9, 1.5), rng.uniform(0.9, 1.7) + 0.5 * row
            if rng.random() < 0.3:
                shapes.lathe(
                    [(0, 0), (0.1, 0), (0.1, 0.4), (0, 0.4)], parts["wood"], 24, (x, y - 0.3, 0)
                )
                shapes.lathe(
                    shapes.rounded([(0, 0.32), (0.42, 0.36), (0.36, 0.6), (0.2, 1.0), (0, 1.25)]),
                    rng.choice(green),
                    40,
                    (x, y - 0.3, 0),
                )
            else:
                shapes.box((wide, 1.0, tall), rng.choice((*paints, parts["wood"])), (x, y, 0), 0.04)
                w = wide / 2 * 1.06
                roof = shapes.add(
                    "roof",
                    [(i * w, j * 0.54, 0) for j in (-1, 1) for i in (-1, 1)]
                    + [(0, j * 0.54, 0.6) for j in (-1, 1)],
                    [(0, 1, 4), (3, 2, 5), (0, 4, 5, 2), (1, 3, 5, 4), (0, 2, 3, 1)],
                    rng.choice(paints),
                    False,
                    (x, y, tall),
                )
                shapes.soften(roof, 0.03)
            x += wide + rng.uniform(0.25, 0.9)


def arrange(way: str, rng: random.Random, draw) -> tuple[list[tuple[float, float, float]], float]:
    """Give places and turns of the cars, and how far the camera stands off."""
    if way == "single":
        return [(0, 0, 0.0)], 4.3
    if way == "few":
        return [
            (-0.3, -0.5, 0.15),
            (-1.75, 1.5, rng.uniform(-0.6, 0.2)),
            (1.7, 1.6, rng.uniform(0, 0.8)),
        ], 6.8
    if way == "row":
        lean = rng.uniform(0.9, 1.25)
        return [((i - 2) * 1.35, 0.05 * i, -lean) for i in range(5)], 8.8
    if way == "many":
        spots = shapes.settle(draw, [1.22] * 14, 8.5, 7.5, 0.05)
        return [(x, y, rng.uniform(0, 6.283)) for x, y in spots], 12.5
    lanes = []
    for lane, turn in ((-0.68, 0.0), (0.68, math.pi)):
        x = -3.0 + rng.uniform(0, 0.9)
        while x < 3.1:
            lanes.append((x, lane, turn))
            x += 2.75 + rng.uniform(0, 1.5)
    return lanes, 6.6


def build(seed: int) -> None:
    """Build one picture of toy cars."""
    rng, draw = random.Random(f"cars {seed}"), np.random.default_rng(seed)
    ground, way, light, side, rise, turn, lens = MOODS[seed % len(MOODS)]
    parts = {
        "black": materials.plain("under", (0.015, 0.015, 0.016), 0.6),
        "rubber": materials.plain("rubber", (0.018, 0.018, 0.019), 0.55),
        "white": materials.paint((0.72, 0.70, 0.64), 0.2),
        "chrome": materials.metal((0.85, 0.85, 0.86), 0.12),
        "glass": materials.plain("window", (0.020, 0.028, 0.036), 0.06, Coat_Weight=1.0),
        "lens": materials.plain("lens", (0.80, 0.76, 0.60), 0.1, Coat_Weight=1.0),
        "red": materials.plain("rear", (0.45, 0.01, 0.01), 0.15, Coat_Weight=1.0),
        "wood": materials.wood((0.30, 0.18, 0.09), (0.56, 0.38, 0.20), 1.5),
    }
    floor(ground, rng, seed)
    places, away = arrange(way, rng, draw)
    sorts, paints = list(SORTS), list(PAINTS)
    random.Random("sorts").shuffle(sorts)
    rng.shuffle(paints)
    cars = []
    for index, (x, y, heading) in enumerate(places):
        sort = sorts[(seed * 3 + index) % len(sorts)]
        cars.append(Car(rng, sort, paints[index % len(paints)], parts))
        cars[-1].put(x, y, heading)
    if way == "traffic":
        town(rng, draw, parts)
    if light == "sun":
        sky.gradient((0.55, 0.70, 1.0), (0.50, 0.40, 0.32), 0.45)
        sun = stage.lamp("SUN", 5.0, (1.0, 0.80, 0.56), angle=math.radians(1.5))
        sun.rotation_euler = (math.radians(52), 0, math.radians(side * 115))
    elif light == "lamp":
        sky.gradient((0.20, 0.26, 0.5), (0.16, 0.12, 0.12), 0.22)
        stage.area((side * 3.5, 1.5, 4.5), (0, 0, 0.3), 520, 0.9, (1.0, 0.62, 0.32))
        stage.area((-side * 5, -3, 3), (0, 0, 0.3), 200, 2.5, (0.5, 0.66, 1.0))
    else:
        sky.gradient((1.0, 1.0, 1.0), (0.7, 0.68, 0.66), 0.45 if light == "soft" else 0.35)
        scale = 2.2 if way in ("single", "few") else 4.0
        stage.studio_lights((0, 0, 0.3), scale, side, strength=1.25)
    yaw = math.radians(turn if way != "single" else 0)
    if way == "single":  # Turn the car itself, so that the paper's wall stays behind it.
        holder = next(item for item in bpy.data.objects if item.name.startswith("car"))
        holder.rotation_euler.z = math.radians(-90 + turn)
    elif ground == "paper":
        yaw *= 0.5
    lift, lens = math.atan(rise), lens * 0.88
    flat = away * math.cos(lift)
    eye = (flat * math.sin(yaw), -flat * math.cos(yaw), 0.25 + away * math.sin(lift))
    stage.camera(
        eye,
        (0, 0 if way == "single" else 0.15, 0.38),
        lens=lens,
        fstop=0.35 if way == "single" else 0.24,
        focus=(0, -0.5, 0.4),
    )
    if way != "single":
        stage.fill([item for car in cars for item in car.items], 0.06)
    stage.expose(0.6 if light == "lamp" else 0.0)
