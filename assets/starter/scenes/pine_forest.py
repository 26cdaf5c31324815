"""Pine forests: trunks in lit mist, hillsides that fade row by row into fog, woods under snow."""

import math
import random

import bpy
import materials
import numpy as np
import shapes
import sky
import stage
import terrain

# Form (inside, slopes, glade), hour, sun's azimuth and height, clouds, season, mist.
MOODS = [
    ("slopes", "morning", 60, 22, 0.5, "summer", 0.5),
    ("inside", "golden", 10, 16, 0.0, "summer", 0.8),
    ("slopes", "dawn", 35, 8, 0.2, "summer", 0.7),
    ("glade", "morning", -80, 28, 0.4, "summer", 0.2),
    ("inside", "morning", -18, 24, 0.0, "moss", 0.5),
    ("slopes", "golden", -75, 12, 0.35, "autumn", 0.5),
    ("glade", "rose", 95, 9, 0.3, "snow", 0.3),
    ("slopes", "morning", 80, 26, 0.45, "snow", 0.5),
    ("inside", "overcast", 20, 40, 0.0, "snow", 1.0),
    ("glade", "night", -40, 30, 0.0, "snow", 0.2),
    ("slopes", "dusk", -30, 6, 0.4, "summer", 1.0),
    ("inside", "sunset", -8, 9, 0.0, "moss", 0.7),
    ("glade", "golden", 70, 13, 0.3, "autumn", 0.6),
    ("slopes", "storm", -60, 20, 0.8, "summer", 0.9),
    ("inside", "noon", 30, 40, 0.0, "summer", 0.4),
]
NEEDLES = {
    "summer": ((0.008, 0.028, 0.014), (0.032, 0.062, 0.022)),
    "moss": ((0.012, 0.035, 0.010), (0.045, 0.075, 0.018)),
    "autumn": ((0.010, 0.028, 0.012), (0.042, 0.060, 0.018)),
    "snow": ((0.008, 0.024, 0.014), (0.025, 0.048, 0.024)),
}
FLOOR = {
    "summer": ((0.055, 0.06, 0.022), (0.075, 0.052, 0.03)),
    "moss": ((0.05, 0.085, 0.014), (0.06, 0.05, 0.026)),
    "autumn": ((0.15, 0.10, 0.03), (0.10, 0.07, 0.035)),
    "snow": ((0.78, 0.82, 0.90), (0.40, 0.42, 0.46)),
}


def bark():
    """Make pine bark: grey-brown plates with dark furrows, redder up the trunk."""
    material, graph, shader = materials.begin("bark")
    place = graph.coordinates()
    long = graph.stretch(place, (5, 5, 0.9))
    plates = graph.noise(1.6, long, detail=7.0, roughness=0.65, distortion=0.6)
    colour = graph.mix(
        graph.smooth(plates, 0.38, 0.62), (0.022, 0.015, 0.011), (0.15, 0.095, 0.062)
    )
    graph.tree.links.new(colour, shader.inputs["Base Color"])
    shader.inputs["Roughness"].default_value = 0.9
    graph.tree.links.new(graph.bump(plates, 0.9, 0.08), shader.inputs["Normal"])
    return material


def trunk(rng: random.Random, skin, needles, height: float = 24.0):
    """Make a tall old pine: a bare stem with dead stubs below and drooping boughs above."""
    radius = rng.uniform(0.20, 0.34)
    bend, lean = rng.uniform(0, 6.28), rng.uniform(0, 0.25)
    profile = [(radius * 1.9, -0.4), (radius * 1.35, 0.15), (radius * 1.05, 0.8)]
    profile += [(radius * (1 - 0.75 * k / 12), 0.8 + (height - 0.8) * k / 12) for k in range(1, 13)]
    item = shapes.lathe([(0, -0.4), *profile, (0, height)], skin, 18, sharp=180)
    mesh = item.data
    vertices = [tuple(v.co) for v in mesh.vertices]
    faces = [tuple(p.vertices) for p in mesh.polygons]
    slots = [0] * len(faces)
    vertices = [
        (
            x * (1 + 0.12 * math.sin(3 * math.atan2(y, x) + bend) * math.exp(-z)),
            y + lean * math.sin(z / 8 + bend),
            z,
        )
        for x, y, z in vertices
    ]

    def bough(level, turn, long, green):
        out = np.array([math.cos(turn), math.sin(turn), 0.0])
        side = np.array([-out[1], out[0], 0.0])
        root = np.array([0, lean * math.sin(level / 8 + bend), level])
        thick = 0.022 if green else 0.014
        first = len(vertices)
        tip = root + out * long + np.array([0, 0, -0.22 * long])
        for place, w in ((root, thick), (tip, 0.004)):
            vertices.extend(
                (
                    place + side * w,
                    place - side * w * 0.5 + (0, 0, w),
                    place - side * w * 0.5 - (0, 0, w),
                )
            )
        faces.extend(
            (first + k, first + (k + 1) % 3, first + 3 + (k + 1) % 3, first + 3 + k)
            for k in range(3)
        )
        slots.extend([0] * 3)
        if not green:
            return
        for k in range(26):
            part = 0.2 + 0.8 * k / 25
            spot = root + (tip - root) * part
            for hand in (-1, 1):
                reach = (
                    side * hand * (0.55 * long * (1 - 0.75 * part) + 0.12) * rng.uniform(0.7, 1.2)
                )
                reach = reach + out * 0.25 + np.array([0, 0, -rng.uniform(0.05, 0.35)])
                wide = out * 0.10
                first = len(vertices)
                vertices.extend(
                    (spot - wide, spot + wide, spot + reach + wide * 0.3, spot + reach - wide * 0.3)
                )
                faces.append((first, first + 1, first + 2, first + 3))
                slots.append(1)

    for _ in range(rng.randint(8, 16)):
        bough(rng.uniform(1.6, 8), rng.uniform(0, 6.28), rng.uniform(0.3, 1.3), False)
    for k in range(44):
        part = k / 43
        level = 5.5 + (height - 6) * part
        bough(level, k * 2.4 + rng.random(), (2.9 * (1 - part) + 0.5) * rng.uniform(0.6, 1.1), True)
    bpy.data.objects.remove(item)
    item = shapes.add("trunk", vertices, faces)
    item.data.set_sharp_from_angle(angle=math.radians(50))
    item.data.materials.append(skin)
    item.data.materials.append(needles)
    item.data.polygons.foreach_set("material_index", slots)
    return item


def fern(rng: random.Random, material):
    """Make a fern of arching fronds with leaflets."""
    vertices, faces = [], []
    for frond in range(9):
        turn, long = 6.283 * (frond + rng.random() * 0.6) / 9, rng.uniform(0.5, 0.9)
        out = np.array([math.cos(turn), math.sin(turn), 0.0])
        side = np.array([-out[1], out[0], 0.0])
        for k in range(14):
            part = (k + 1) / 15
            spot = out * long * part + np.array([0, 0, 0.75 * long * math.sin(2.3 * part) - 0.04])
            wide = 0.19 * long * math.sin(math.pi * min(part + 0.12, 1)) ** 0.8
            for hand in (-1, 1):
                first = len(vertices)
                tip = spot + side * hand * wide + out * 0.05 - np.array([0, 0, 0.2 * wide])
                vertices.extend((spot - out * 0.012, spot + out * 0.028, tip))
                faces.append((first, first + 1, first + 2))
    item = shapes.add("fern", vertices, faces, material)
    item.data.shade_flat()
    return item


def inside(rng, draw, seed: int, season: str, sun) -> None:
    """Stand among the trunks on a path of light."""

    def height(x, y):
        bumps = 0.5 * terrain.fractal(x / 9, y / 9, seed) + 0.10 * terrain.fractal(x, y, seed + 3)
        return bumps + 0.03 * y * terrain.noise(x / 40, y / 40, seed + 5)

    flat, steep = FLOOR[season]
    cover = materials.ground(flat, steep, slope=0.9, grain=3.0, bump=0.7, offset=seed, speckle=0.3)
    terrain.fan(height, cover, near=1.0, far=260, rows=420, columns=360)
    needles = materials.foliage(*NEEDLES[season], leaf=0.4)
    models = [trunk(rng, bark(), needles, rng.uniform(20, 28)) for _ in range(6)]
    x, y = terrain.places(draw, 900, 7, 170, 90, power=1.0)
    # A lane is left open towards the light, and no trunk stands close to another.
    lane = np.abs(x - y * math.tan(math.atan2(sun.x, sun.y)) * 0.35)
    keep, spots = [], []
    for index in np.argsort(y):
        spot = (x[index], y[index])
        gap = 1.7 + 0.006 * spot[1]
        if lane[index] > 1.5 and all(math.hypot(spot[0] - a, spot[1] - b) > gap for a, b in spots):
            keep.append(index)
            spots.append(spot)
    terrain.scatter(draw, models, x[keep], y[keep], height, (0.7, 1.15), tilt=0.015)
    if season == "snow":
        return
    leaf = {"autumn": ((0.20, 0.10, 0.02), (0.34, 0.20, 0.05))}.get(
        season, ((0.02, 0.06, 0.012), (0.07, 0.13, 0.025))
    )
    ferns = [fern(rng, materials.foliage(*leaf, leaf=0.45)) for _ in range(4)]
    x, y = terrain.places(draw, 1500, 3.2, 45, 80, power=0.8)
    some = terrain.noise(x / 4, y / 4, seed + 2) > -0.02
    terrain.scatter(draw, ferns, x[some], y[some], height, (0.5, 1.2), tilt=0.12, sink=0.03)
    stone = materials.stone((0.14, 0.15, 0.12), (0.05, 0.06, 0.035), 1.5)
    rocks = [shapes.rock(rng, stone, 0.6) for _ in range(3)]
    x, y = terrain.places(draw, 26, 5, 40, 70)
    terrain.scatter(draw, rocks, x, y, height, (0.15, 0.6), tilt=0.2, sink=0.3)


def slopes(rng, draw, seed: int, season: str) -> float:
    """Look over wooded hills that overlap into the distance; gives the eye's height."""
    side = rng.choice((-1, 1))

    def height(x, y):
        long = 620 + 0.16 * y
        phase = (y + 0.45 * side * x) / long + 0.5 * terrain.noise(x / 900, y / 900, seed + 1)
        waves = 0.5 - 0.5 * np.cos(6.283 * phase)
        size = 60 + 0.05 * np.clip(y, 0, 5000)
        rough = terrain.fractal(x / 650, y / 650, seed, 4, 0.4)
        return size * (waves * (0.8 + 0.5 * rough) + 0.7 * rough) - 40 * terrain.smooth(y, 0, 300)

    flat, steep = FLOOR[season]
    if season != "snow":
        flat = tuple(0.5 * a for a in flat)
    cover = materials.ground(flat, steep, slope=0.7, grain=0.4, bump=0.6, offset=seed)
    terrain.fan(height, cover, near=8, far=6500, rows=420, columns=340)
    skin = materials.plain("bark", (0.06, 0.04, 0.03), 0.9)
    frost = materials.plain("frost", (0.74, 0.79, 0.86), 0.8) if season == "snow" else None
    leaf = materials.foliage(*NEEDLES[season])
    models = [
        shapes.pine(rng, leaf, skin, 1.0, rng.uniform(0.13, 0.21), snow=frost) for _ in range(6)
    ]
    x, y = terrain.places(draw, 15000, 40, 2600, 66, power=0.75)
    wood = terrain.noise(x / 150, y / 150, seed + 6) > -0.42
    terrain.scatter(draw, models, x[wood][:9500], y[wood][:9500], height, (12, 26), sink=0.02)
    if season == "autumn":
        gold = materials.foliage((0.34, 0.13, 0.012), (0.55, 0.30, 0.03))
        larch = [shapes.pine(rng, gold, skin, 1.0, 0.17) for _ in range(2)]
        x, y = terrain.places(draw, 2600, 50, 2000, 66, power=0.75)
        some = terrain.noise(x / 110, y / 110, seed + 9) > 0.10
        terrain.scatter(draw, larch, x[some], y[some], height, (12, 22), sink=0.02)
    return float(np.max(height(np.linspace(-15, 15, 9), np.full(9, 30.0)))) + rng.uniform(42, 70)


def glade(rng, draw, seed: int, season: str) -> None:
    """Stand in a clearing with young pines before the edge of the wood."""

    def height(x, y):
        dip = 0.8 * terrain.fractal(x / 22, y / 22, seed) + 0.15 * terrain.fractal(
            x / 2, y / 2, seed
        )
        return dip + 26 * terrain.smooth(y, 60, 420) * (1 + terrain.fractal(x / 160, y / 160, seed))

    flat, steep = FLOOR[season]
    if season == "summer":
        flat = (0.075, 0.12, 0.025)
    cover = materials.ground(flat, steep, slope=0.75, grain=2.0, bump=0.5, offset=seed, speckle=0.2)
    terrain.fan(height, cover, near=1.2, far=1500, rows=460, columns=380)
    skin = materials.plain("bark", (0.06, 0.04, 0.03), 0.9)
    frost = materials.plain("frost", (0.78, 0.83, 0.90), 0.8) if season == "snow" else None
    leaf = materials.foliage(*NEEDLES[season], leaf=0.35)
    models = [
        shapes.pine(rng, leaf, skin, 1.0, rng.uniform(0.17, 0.24), 44, snow=frost) for _ in range(6)
    ]
    x, y = terrain.places(draw, 5200, 42, 420, 80, power=0.8)
    edge = y > 62 + 26 * terrain.noise(x / 30, y * 0 + 3, seed) - 0.35 * np.abs(x)
    terrain.scatter(draw, models, x[edge], y[edge], height, (10, 22), sink=0.02)
    x = np.array([rng.uniform(-0.42, 0.42) for _ in range(7)])
    y = np.array([rng.uniform(20, 46) for _ in range(7)])
    terrain.scatter(draw, models, x * y, y, height, (3.5, 9), sink=0.02)
    if season != "snow":
        blade = (
            ((0.26, 0.17, 0.05), (0.42, 0.30, 0.10))
            if season == "autumn"
            else ((0.05, 0.10, 0.02), (0.14, 0.20, 0.045))
        )
        tufts = [shapes.grass(rng, materials.foliage(*blade), 55, 0.5, 0.25) for _ in range(4)]
        x, y = terrain.places(draw, 2600, 2.5, 42, 80, power=0.7)
        terrain.scatter(draw, tufts, x, y, height, (0.5, 1.3), tilt=0.1)


def build(seed: int) -> None:
    """Build one pine forest."""
    rng, draw = random.Random(f"pine {seed}"), np.random.default_rng(seed)
    form, hour, azimuth, lift, clouds, season, mist = MOODS[seed % len(MOODS)]
    sun = sky.outdoors(
        hour,
        azimuth,
        lift,
        clouds=clouds,
        offset=seed * 2.9,
        stars=1.0 if hour == "night" else 0.0,
        softness=1.5,
    )
    stops = {"night": 1.5, "dusk": 0.8, "noon": -0.1}.get(hour, 0.1)
    if form == "inside":
        inside(rng, draw, seed, season, sun)
        eye = rng.uniform(1.5, 2.0)
        stage.camera((0, 0, eye), (rng.uniform(-6, 6), 100, eye + rng.uniform(4, 12)), lens=28)
        stage.haze(135 - 70 * mist)
        stops += 0.2
    elif form == "slopes":
        eye = slopes(rng, draw, seed, season)
        stage.camera(
            (0, 0, eye),
            (rng.uniform(-9, 9), 100, eye - rng.uniform(0, 9)),
            lens=rng.choice((35, 50)),
        )
        stage.haze(2600)
        stage.haze(1300 / (0.15 + mist), start=60, ceiling=70, most=0.95, low=-20)
    else:
        glade(rng, draw, seed, season)
        eye = 2.2
        stage.camera((0, 0, eye), (rng.uniform(-8, 8), 100, eye + 9), lens=rng.choice((28, 35)))
        stage.haze(1500)
        stage.haze(130 / (0.1 + mist), start=15, ceiling=7, most=0.85)
    stage.expose(stops)
