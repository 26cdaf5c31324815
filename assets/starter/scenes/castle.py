"""A castle on its hill: round towers with tall roofs, battlements, banners and lit windows."""

import math
import random

import materials
import numpy as np
import shapes
import sky
import stage
import terrain

# Hour, sun's azimuth and height, clouds, season, mist, water before it.
MOODS = [
    ("golden", -70, 14, 0.40, "summer", 0.0, True),
    ("morning", 70, 20, 0.35, "summer", 0.8, False),
    ("sunset", -85, 8, 0.45, "autumn", 0.0, False),
    ("noon", -95, 36, 0.50, "summer", 0.0, True),
    ("dusk", 20, 5, 0.30, "summer", 0.3, False),
    ("overcast", 60, 40, 0.75, "winter", 0.4, False),
    ("golden", 85, 12, 0.55, "autumn", 0.4, True),
    ("dawn", -50, 8, 0.30, "summer", 1.0, False),
    ("night", 75, 28, 0.10, "summer", 0.2, True),
    ("rose", 80, 9, 0.35, "winter", 0.2, False),
    ("storm", -75, 20, 0.85, "summer", 0.2, False),
    ("noon", 75, 30, 0.40, "autumn", 0.0, False),
    ("dusk", -60, 6, 0.50, "winter", 0.3, True),
    ("morning", -80, 18, 0.60, "summer", 0.1, True),
    ("golden", 35, 9, 0.25, "summer", 0.7, False),
]
STONES = [(0.44, 0.38, 0.29), (0.36, 0.34, 0.31), (0.60, 0.55, 0.47), (0.42, 0.31, 0.22)]
ROOFS = [(0.055, 0.075, 0.11), (0.27, 0.085, 0.045), (0.05, 0.10, 0.085), (0.10, 0.085, 0.08)]


def masonry(colour, offset: float):
    """Make walls of cut stone: courses, single blocks, and streaks of weather."""
    material, graph, shader = materials.begin("masonry")
    x, y, z = graph.split(graph.coordinates())
    around = graph.math("ADD", graph.math("MULTIPLY", graph.math("ARCTAN2", y, x), 4.0), x)
    block = graph.node(
        "TexBrick",
        Vector=graph.join(around, z, 0.0),
        Scale=1.0,
        Mortar_Size=0.025,
        Brick_Width=1.15,
        Row_Height=0.52,
        Color1=colour,
        Color2=tuple(0.72 * c for c in colour),
        Mortar=tuple(0.45 * c for c in colour),
    )
    place = graph.node("NewGeometry").outputs["Position"]
    streak = graph.noise(0.35, graph.stretch(place, (2, 2, 0.3)), detail=7.0, offset=offset)
    worn = graph.math("MULTIPLY", graph.smooth(streak, 0.48, 0.72), 0.55)
    paint = graph.mix(worn, block.outputs["Color"], tuple(0.4 * c for c in colour))
    graph.tree.links.new(paint, shader.inputs["Base Color"])
    shader.inputs["Roughness"].default_value = 0.9
    grit = graph.noise(3.0, place, detail=6.0)
    graph.tree.links.new(graph.bump(grit, 0.35, 0.2), shader.inputs["Normal"])
    return material


class Kit:
    """The materials of one castle and the pieces that build it."""

    def __init__(self, rng: random.Random, seed: int, snowy: bool, lit: bool) -> None:
        self.rng = rng
        self.wall = masonry(stage.deal(seed, "stone", STONES), seed)
        tint = stage.deal(seed, "roof", ROOFS)
        if snowy:
            tint = tuple(0.45 * c + 0.42 for c in tint)
        self.slate = materials.stone(tint, tuple(0.6 * c for c in tint), 1.3, 0.7, 0.4)
        self.pane = (
            materials.glow("lit", (1.0, 0.60, 0.24), 5)
            if lit
            else materials.plain("dark", (0.012, 0.012, 0.014), 0.5)
        )
        hue = stage.deal(seed, "flag", [(0.5, 0.02, 0.02), (0.02, 0.07, 0.35), (0.55, 0.35, 0.02)])
        self.cloth = materials.plain("flag", hue, 0.8)
        self.iron = materials.plain("iron", (0.03, 0.03, 0.03), 0.5)
        self.merlon = shapes.box((0.6, 1.1, 1.2), self.wall, bevel=0.05)
        self.merlon.hide_render = True

    def merlons(self, spot, reach: float, size: float) -> None:
        """Set battlements around a round top."""
        count = max(9, int(reach * 6.283 / (2.1 * size)))
        for index in range(count):
            turn = 2 * math.pi * index / count
            place = (spot[0] + reach * math.cos(turn), spot[1] + reach * math.sin(turn), spot[2])
            shapes.copy(self.merlon, place, turn, size)

    def window(self, spot, turn: float, wide: float, tall: float) -> None:
        """Set a pointed window that just stands out of the wall."""
        w, points = (
            wide / 2,
            [(-1, 0), (1, 0), (1, 0.7), (0.55, 0.9), (0, 1), (-0.55, 0.9), (-1, 0.7)],
        )
        for grow, out, material in ((1.35, 0.0, self.wall), (1.0, 0.07, self.pane)):
            ring = [(a * w * grow, -out - 0.1, (b - 0.5) * tall * grow) for a, b in points]
            back = [(a, 0.6, b) for a, _, b in ring]
            n = len(ring)
            sides = [(i, (i + 1) % n, n + (i + 1) % n, n + i) for i in range(n)]
            item = shapes.add(
                "window", ring + back, [tuple(range(n)), *sides], material, False, spot
            )
            item.rotation_euler.z = turn + math.pi / 2

    def tower(self, x, y, low, radius, tall, roof: float, flag: bool) -> None:
        """Build a round tower from well below the ground, with a cone or with battlements."""
        flare = radius * 1.17
        profile = [
            (radius * 1.14, low - 25),
            (radius * 1.10, low),
            (radius, low + 0.22 * tall),
            (radius, low + tall - 1.6),
            (flare, low + tall - 0.5),
            (flare, low + tall + 0.6),
            (flare * 0.88, low + tall + 0.6),
            (flare * 0.88, low + tall),
            (0, low + tall),
        ]
        shapes.lathe([(r, z - low) for r, z in profile], self.wall, 40, (x, y, low), 25)
        self.merlons((x, y, low + tall + 0.55), flare * 0.94, min(1.0, radius * 0.27))
        crown = low + tall
        if roof:
            cone, eaves = radius * 0.98, crown + 1.0
            shapes.lathe(
                [(cone * 0.86, crown - 0.1), (cone * 0.86, eaves + 0.4)], self.wall, 32, (x, y, 0)
            )
            line = [
                (cone * 1.18, eaves - 0.1),
                (cone * 1.16, eaves + 0.05),
                (cone * 0.92, eaves + 0.12 * roof),
                (cone * 0.5, eaves + 0.5 * roof),
                (0.08, eaves + roof),
                (0, eaves + roof),
            ]
            shapes.lathe([(0, eaves - 0.1), *line], self.slate, 32, (x, y, 0), 35)
            crown = eaves + roof - 0.3
            shapes.tube([(x, y, crown), (x, y, crown + 3.4)], 0.07, self.iron)
        elif flag:
            shapes.tube([(x, y, crown), (x, y, crown + 6)], 0.09, self.iron)
            crown += 2.6
        if flag:
            wave = [
                (x + 0.1 + 2.6 * t, y + 0.35 * math.sin(5 * t) * t, crown + b * (1 - 0.5 * t) + 2.5)
                for b in (-0.75, 0.75)
                for t in np.linspace(0, 1, 9)
            ]
            shapes.add("flag", wave, [(i, i + 1, i + 10, i + 9) for i in range(8)], self.cloth)
        for level in np.arange(0.34, 0.93, 7.0 / max(tall, 9)):
            if self.rng.random() < 0.85:
                turn = math.radians(-90 + self.rng.uniform(-50, 50))
                place = (
                    x + radius * math.cos(turn),
                    y + radius * math.sin(turn),
                    low + level * tall,
                )
                self.window(place, turn, self.rng.uniform(0.7, 0.95), self.rng.uniform(1.9, 2.5))

    def curtain(self, start, end, low: float, tall: float) -> None:
        """Build a wall with battlements between two towers."""
        run = np.subtract(end, start)
        long, turn = float(np.hypot(*run)), math.atan2(run[1], run[0])
        middle = np.add(start, end) / 2
        shapes.box((long, 2.4, tall + 25), self.wall, (*middle, low - 25), 0.05, turn)
        side = np.array([math.sin(turn), -math.cos(turn)]) * 1.05
        shapes.box(
            (long, 0.5, 0.4), self.wall, (*(middle + side * 1.15), low + tall - 0.7), 0.08, turn
        )
        for index in range(int(long / 2.0)):
            spot = np.add(start, run * ((index + 0.5) / int(long / 2.0))) + side
            shapes.copy(self.merlon, (*spot, low + tall - 0.02), turn + math.pi / 2)

    def hall(self, x, y, low, wide, deep, tall, ridge, turn: float) -> None:
        """Build the great hall: gables, a steep roof, a row of tall windows, dormers."""
        w, d = wide / 2, deep / 2
        walls = [
            (i * w, j * d, k) for k in (-25, tall) for i, j in ((-1, -1), (1, -1), (1, 1), (-1, 1))
        ]
        walls += [(-w, 0, tall + ridge), (w, 0, tall + ridge)]
        faces = [(0, 1, 5, 4), (2, 3, 7, 6), (1, 2, 6, 9, 5), (3, 0, 4, 8, 7)]
        item = shapes.add("hall", walls, faces, self.wall, False, (x, y, low))
        item.rotation_euler.z = turn
        e, drop = 0.5, 0.5 * ridge / d
        roof = [
            (-w - e, -d - e, tall - drop + 0.3),
            (w + e, -d - e, tall - drop + 0.3),
            (w + e, 0, tall + ridge + 0.3),
            (-w - e, 0, tall + ridge + 0.3),
            (w + e, d + e, tall - drop + 0.3),
            (-w - e, d + e, tall - drop + 0.3),
        ]
        item = shapes.add(
            "roof", roof, [(0, 1, 2, 3), (3, 2, 4, 5)], self.slate, False, (x, y, low)
        )
        item.rotation_euler.z = turn
        shell = item.modifiers.new("thick", "SOLIDIFY")
        shell.thickness = 0.35
        out = np.array([math.sin(turn), -math.cos(turn)])
        along = np.array([math.cos(turn), math.sin(turn)])
        for index in range(int(wide / 3.4)):
            offset = (index - (int(wide / 3.4) - 1) / 2) * 3.2
            spot = np.array([x, y]) + along * offset + out * d
            for level in np.arange(0.42 * tall, tall - 1.6, 5.0):
                self.window((*spot, low + level), math.atan2(out[1], out[0]), 1.1, 2.9)


def raise_castle(kit: Kit, rng: random.Random, centre, low: float) -> float:
    """Put towers, curtains, hall and keep together; gives the height of the tallest roof."""
    x, y = centre
    count, reach = rng.choice((5, 6, 7)), rng.uniform(19, 25)
    first, ring = rng.uniform(0, 1.2), []
    for index in range(count):
        turn = first + 2 * math.pi * index / count + rng.uniform(-0.12, 0.12)
        far = reach * rng.uniform(0.85, 1.1)
        ring.append((x + far * 1.2 * math.cos(turn), y + far * 0.8 * math.sin(turn)))
    pointed = rng.random() < 0.75
    for index, spot in enumerate(ring):
        kit.curtain(spot, ring[(index + 1) % count], low, rng.uniform(7.5, 9.5))
        radius = rng.uniform(2.7, 3.9)
        roof = radius * rng.uniform(2.0, 3.0) if pointed and rng.random() < 0.8 else 0
        kit.tower(*spot, low, radius, rng.uniform(12, 18), roof, rng.random() < 0.35)
    turn = rng.uniform(-0.35, 0.35)
    wide, tall = rng.uniform(16, 22), rng.uniform(14, 18)
    hx = x + rng.uniform(-4, 4)
    kit.hall(hx, y + 1, low, wide, 9.5, tall, rng.uniform(6, 8), turn)
    side, best = rng.choice((-1, 1)), 0.0
    for offset, grow in ((side * wide * 0.52, 1.0), (-side * wide * 0.5, 0.72)):
        radius, high = rng.uniform(3.6, 4.6) * (0.6 + 0.4 * grow), rng.uniform(27, 34) * grow
        roof = radius * rng.uniform(2.4, 3.2)
        kit.tower(
            hx + offset * math.cos(turn),
            y - 1 + offset * math.sin(turn),
            low,
            radius,
            high,
            roof,
            True,
        )
        best = max(best, high + roof)
    kit.tower(hx + side * 3, y + 7, low, 2.4, 31 * rng.uniform(0.85, 1.1), 9.0, False)
    return low + best


def build(seed: int) -> None:
    """Build one castle."""
    rng, draw = random.Random(f"castle {seed}"), np.random.default_rng(seed)
    hour, azimuth, lift, clouds, season, mist, wet = MOODS[seed % len(MOODS)]
    dark = hour in ("dusk", "night")
    sky.outdoors(
        hour,
        azimuth,
        lift,
        clouds=clouds,
        offset=seed * 2.1,
        cloud_scale=rng.uniform(0.8, 1.2),
        stars={"night": 1.0, "dusk": 0.25}.get(hour, 0.0),
    )
    centre = (rng.choice((-1, 1)) * rng.uniform(8, 34), rng.uniform(150, 185))
    low = rng.uniform(20, 34)

    def height(x, y):
        reach = np.hypot((x - centre[0]) / 1.25, y - centre[1])
        rough = terrain.fractal(x / 40, y / 40, seed, 6)
        hill = (low + 3.5) * np.exp(-((np.maximum(reach + 7 * rough - 20, 0) / 34) ** 2))
        hill = np.where(reach < 27, np.minimum(hill, low + 0.4), hill)
        crag = 3.5 * terrain.ridged(x / 26, y / 26, seed + 2, 6) * terrain.smooth(reach, 24, 34)
        hill = hill + crag * (1 - terrain.smooth(reach, 42, 75))
        far = terrain.smooth(np.hypot(x, y), 330, 2300)
        back = far * (80 + 420 * terrain.ridged(x / 1500, y / 1500, seed + 5))
        plain = 2.2 * terrain.fractal(x / 60, y / 60, seed + 1, 6)
        if wet:
            bank = terrain.smooth(np.hypot(x, y) + 9 * rough, 84, 112)
            plain = -4 + bank * 6 + plain * bank
        return plain + hill + back + 0.1 * terrain.fractal(x / 2, y / 2, seed, 3) * (y < 60)

    turf = {"autumn": (0.15, 0.11, 0.03), "winter": (0.74, 0.78, 0.85)}.get(
        season, (0.065, 0.11, 0.022)
    )
    top = (0.8, 0.84, 0.92)
    land = materials.ground(
        turf,
        (0.16, 0.145, 0.13),
        top,
        line=330 if season != "winter" else -50,
        blend=40,
        slope=0.74,
        bump=0.7,
        grain=0.9,
        offset=seed,
    )
    terrain.fan(height, land, 1.2, 6500, 100, 680, 480)
    if wet:
        terrain.plane(
            materials.water(waves=rng.choice((0.03, 0.08)), offset=seed, calm=0.7), z=-0.4
        )
    kit = Kit(rng, seed, season == "winter", dark)
    best = raise_castle(kit, rng, centre, low)
    bark = materials.plain("bark", (0.06, 0.045, 0.035), 0.9)
    needles = materials.foliage((0.012, 0.032, 0.014), (0.04, 0.075, 0.022))
    frost = materials.plain("frost", (0.8, 0.85, 0.92), 0.8) if season == "winter" else None
    models = [shapes.pine(rng, needles, bark, 1.0, 0.22, snow=frost) for _ in range(3)]
    if season != "winter":
        hues = (
            ((0.24, 0.07, 0.012), (0.50, 0.26, 0.03))
            if season == "autumn"
            else ((0.02, 0.05, 0.012), (0.065, 0.12, 0.022))
        )
        leaves = materials.foliage(*hues)
        models += [shapes.tree(rng, leaves, bark, 0.8, 0.045, 1100) for _ in range(3)]
    x, y = terrain.places(draw, 9000, 88 if wet else 60, 620, 74, 0.5)
    reach = np.hypot((x - centre[0]) / 1.25, y - centre[1])
    grown = (reach > 35) & (height(x, y) > 0.4) & (terrain.slope(height, x, y, 2) < 0.9)
    grown &= terrain.noise(x / 45, y / 45, seed) > np.where(y < centre[1] - 20, -0.04, -0.25)
    terrain.scatter(draw, models, x[grown][:2400], y[grown][:2400], height, (7, 13), sink=0.03)
    if not wet:
        hue = (0.40, 0.36, 0.28) if season == "winter" else tuple(1.8 * c for c in turf)
        blade = materials.foliage(tuple(0.5 * c for c in hue), hue, 0.2, 0.35)
        tufts = [shapes.grass(rng, blade, 60, 0.4, 0.22, 0.008) for _ in range(3)]
        x, y = terrain.places(draw, 3600, 2, 60, 78, 0.4)
        some = terrain.noise(x / 5, y / 5, seed) > (0.15 if season == "winter" else -0.3)
        terrain.scatter(draw, tufts, x[some], y[some], height, (0.5, 1.2), tilt=0.1)
    eye = 2.2 if wet else float(height(np.array([0.0]), np.array([1.5]))[0]) + rng.uniform(1.8, 6)
    # No longer a lens than leaves room above the highest banner.
    fits = 13.5 * centre[1] / (0.58 * (best - eye) + 9)
    stage.camera(
        (0, 0, eye),
        (
            centre[0] * rng.uniform(0.3, 0.8),
            centre[1],
            eye + (best - eye) * rng.uniform(0.42, 0.50),
        ),
        lens=min(rng.choice((40, 46, 54)), fits),
    )
    stage.haze(3800)
    if mist:
        stage.haze(420 / (0.15 + mist), start=70, ceiling=9, most=0.85)
    if dark:
        stage.bloom(0.35, 1.5, 0.5)
    stage.expose({"night": 1.5, "dusk": 1.0, "noon": -0.2}.get(hour, 0.05))
