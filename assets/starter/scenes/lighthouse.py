"""A lighthouse on its headland, by day, in the last light, at night and in mist."""

import math
import random

import materials
import numpy as np
import shapes
import sky
import stage
import terrain

# Hour, sun's azimuth, clouds, viewpoint, mist.
MOODS = [
    ("golden", -70, 0.45, "sea", 0),
    ("dusk", 20, 0.35, "meadow", 0),
    ("noon", 130, 0.40, "meadow", 0),
    ("storm", -80, 0.95, "sea", 0.3),
    ("sunset", 11, 0.40, "sea", 0),
    ("night", 40, 0.10, "shore", 0),
    ("morning", 75, 0.55, "shore", 0),
    ("rose", -110, 0.35, "meadow", 0.2),
    ("overcast", 50, 0.8, "shore", 0.9),
    ("golden", 105, 0.15, "meadow", 0),
    ("dawn", -30, 0.35, "shore", 0.3),
    ("noon", -110, 0.65, "sea", 0),
    ("dusk", -30, 0.55, "sea", 0.2),
    ("morning", -85, 0.25, "meadow", 0.1),
    ("sunset", -75, 0.65, "shore", 0),
]
PAINTS = [
    ("bands", (0.60, 0.035, 0.025)),
    ("plain", (0.82, 0.80, 0.76)),
    ("bands", (0.02, 0.02, 0.025)),
    ("stone", (0.42, 0.38, 0.32)),
    ("bands", (0.03, 0.10, 0.28)),
    ("top", (0.60, 0.05, 0.03)),
    ("spiral", (0.60, 0.035, 0.025)),
]


def plaster(style: str, colour, tall: float, bands: int):
    """Make weathered paint: white with bands, a spiral, a red top, or bare stone."""
    if style == "stone":
        return materials.stone(colour, (0.22, 0.20, 0.17), 0.7, 0.85, 0.5)
    material, graph, shader = materials.begin("plaster")
    place = graph.coordinates()
    x, y, z = graph.split(place)
    part = graph.math("DIVIDE", z, tall / bands)
    if style == "spiral":
        turn = graph.math("DIVIDE", graph.math("ARCTAN2", y, x), 2 * math.pi)
        part = graph.math("ADD", graph.math("MULTIPLY", part, 0.5), turn)
        second = graph.math("LESS_THAN", graph.math("FRACT", part), 0.5)
    elif style == "bands":
        second = graph.math(
            "LESS_THAN", graph.math("FRACT", graph.math("MULTIPLY", part, 0.5)), 0.5
        )
    else:
        second = graph.math("GREATER_THAN", z, tall * 0.72 if style == "top" else tall * 2)
    paint = graph.mix(second, (0.80, 0.78, 0.74), colour)
    streak = graph.noise(0.7, graph.stretch(place, (2.2, 2.2, 0.25)), detail=7.0, roughness=0.65)
    paint = graph.mix(
        graph.math("MULTIPLY", graph.smooth(streak, 0.5, 0.75), 0.45), paint, (0.30, 0.26, 0.20)
    )
    graph.tree.links.new(paint, shader.inputs["Base Color"])
    shader.inputs["Roughness"].default_value = 0.6
    brick = graph.noise(3.0, place, detail=6.0)
    graph.tree.links.new(graph.bump(brick, 0.25, 0.1), shader.inputs["Normal"])
    return material


def tower(rng: random.Random, spot, tall: float, style, lit: float, beams: bool) -> None:
    """Build the tower with its gallery, lantern and cap."""
    x, y, z = spot
    foot, neck = tall * rng.uniform(0.13, 0.165), tall * rng.uniform(0.080, 0.095)
    wall = plaster(*style, tall, rng.choice((5, 6, 7)))
    dark = materials.plain("iron", (0.025, 0.027, 0.03), 0.4, Metallic=0.6)
    cap = materials.paint(
        rng.choice([(0.45, 0.03, 0.02), (0.02, 0.02, 0.022), (0.05, 0.13, 0.10)]), 0.3
    )
    profile = [(foot * 1.12, -3), (foot * 1.12, 0.4), (foot * 1.05, 0.7)]
    profile += [
        (neck + (foot - neck) * (1 - t) ** 1.35, 0.7 + (tall - 0.7) * t)
        for t in np.linspace(0, 1, 14)
    ]
    profile += [
        (neck * 1.12, tall + 0.2),
        (neck * 1.45, tall + 0.7),
        (neck * 1.45, tall + 0.95),
        (0, tall + 0.95),
    ]
    shapes.lathe(profile, wall, 72, spot, sharp=25)
    deck, room = z + tall + 0.95, neck * 0.82
    high = room * 1.55
    for level in (0.45, 0.9):
        shapes.ring(neck * 1.38, 0.035, dark, (x, y, deck + level), 48, 8)
    for index in range(20):
        turn = 2 * math.pi * index / 20
        px, py = x + neck * 1.38 * math.cos(turn), y + neck * 1.38 * math.sin(turn)
        shapes.tube([(px, py, deck - 0.1), (px, py, deck + 0.92)], 0.03, dark)
    shapes.lathe(
        [(0, 0), (room, 0), (room, 0.5), (room * 0.96, 0.55), (0, 0.55)],
        cap,
        48,
        (x, y, deck),
        sharp=30,
    )
    pane = materials.glass(shadow=0.95, ior=1.05)
    shapes.lathe([(room * 0.93, 0.5), (room * 0.93, 0.5 + high)], pane, 12, (x, y, deck), sharp=1)
    for index in range(12):
        turn = 2 * math.pi * index / 12
        px, py = x + room * 0.94 * math.cos(turn), y + room * 0.94 * math.sin(turn)
        shapes.tube([(px, py, deck + 0.5), (px, py, deck + 0.52 + high)], 0.04, dark)
    top = 0.5 + high
    shapes.lathe(
        [
            (0, top),
            (room * 1.12, top),
            (room * 1.14, top + 0.12),
            *shapes.rounded(
                [
                    (room * 1.02, top + 0.2),
                    (room * 0.7, top + room * 0.55),
                    (room * 0.25, top + room * 0.85),
                ]
            ),
            (0.12, top + room * 0.9),
            (0.12, top + room * 1.0),
            (0.2, top + room * 1.08),
            (0.12, top + room * 1.2),
            (0.03, top + room * 1.25),
            (0.02, top + room * 1.7),
            (0, top + room * 1.72),
        ],
        cap,
        48,
        (x, y, deck),
        sharp=35,
    )
    lens = shapes.ball(
        room * 0.42,
        materials.glow("lens", (1.0, 0.80, 0.48), 1.2 + 45 * lit),
        (x, y, deck + 0.5 + high / 2),
        24,
    )
    lens.scale.z = 1.35
    for level in (0.25, 0.47, 0.69):
        wide = neck + (foot - neck) * (1 - level) ** 1.35
        turn = math.radians(-90 + rng.uniform(-35, 35))
        glow = (
            materials.glow("window", (1.0, 0.62, 0.25), 5)
            if lit > 0.5
            else materials.plain("pane", (0.02, 0.025, 0.03), 0.1)
        )
        window = shapes.box(
            (0.9, 0.5, 1.5),
            glow,
            (
                x + (wide - 0.2) * math.cos(turn),
                y + (wide - 0.2) * math.sin(turn),
                z + tall * level,
            ),
            0.05,
            turn + math.pi / 2,
        )
        shapes.box(
            (1.25, 0.42, 1.85),
            wall if style[0] == "stone" else dark,
            (window.location.x, window.location.y, window.location.z - 0.17),
            0.06,
            turn + math.pi / 2,
        )
    if beams:
        light = materials.beam((1.0, 0.86, 0.6), 0.35 * lit, 130)
        heading = rng.uniform(-0.5, 0.5)
        for side in (0, math.pi):
            cone = shapes.lathe(
                [(0.5, 0), (9, 130)], light, 48, (x, y, deck + 0.5 + high / 2), sharp=180
            )
            cone.rotation_euler = (0, math.radians(89), heading + side)
            cone.visible_shadow = cone.visible_diffuse = False
        stage.point((x, y, deck + 0.5 + high / 2), 2500 * lit, (1.0, 0.8, 0.5), 0.5)


def cottage(rng: random.Random, spot, turn: float, lit: bool) -> None:
    """Build the keeper's house: white walls, a slate or red roof, chimneys, windows."""
    x, y, z = spot
    wide, deep, high, ridge = rng.uniform(9, 13), 6.5, 3.2, 3.0
    wall = materials.stone((0.80, 0.78, 0.73), (0.66, 0.63, 0.57), 0.6, 0.8, 0.2)
    roof = materials.stone(
        rng.choice([(0.30, 0.09, 0.05), (0.10, 0.11, 0.13)]), (0.06, 0.05, 0.05), 1.5, 0.7
    )
    pane = (
        materials.glow("lit pane", (1.0, 0.6, 0.25), 4)
        if lit
        else materials.plain("pane", (0.03, 0.04, 0.05), 0.1)
    )
    w, d = wide / 2, deep / 2
    parts = [
        shapes.add(
            "walls",
            [
                (-w, -d, -2),
                (w, -d, -2),
                (w, d, -2),
                (-w, d, -2),
                (-w, -d, high),
                (w, -d, high),
                (w, d, high),
                (-w, d, high),
                (-w, 0, high + ridge),
                (w, 0, high + ridge),
            ],
            [(0, 1, 5, 4), (2, 3, 7, 6), (1, 2, 6, 9, 5), (3, 0, 4, 8, 7)],
            wall,
            smooth=False,
        )
    ]
    for side in (-1, 1):
        lean = math.atan2(ridge, d)
        slab = shapes.box((wide + 0.7, math.hypot(d, ridge) + 0.5, 0.22), roof, bevel=0.04)
        slab.rotation_euler.x = -side * lean
        slab.location = (0, side * (d / 2 + 0.12), high + ridge / 2 - 0.05)
        parts.append(slab)
    for offset in (-0.36, 0.36):
        parts.append(
            shapes.box((0.9, 0.9, 2.2), wall, (wide * offset, 0, high + ridge - 0.9), 0.05)
        )
    for offset in (-0.34, -0.12, 0.14, 0.34):
        door = abs(offset - 0.14) < 0.01
        parts.append(
            shapes.box(
                (1.1, 0.12, 2.1 if door else 1.3),
                roof if door else pane,
                (wide * offset, -d, 0.1 if door else 1.1),
                0.03,
            )
        )
    for part in parts:
        east, north = part.location.x, part.location.y
        part.location = (
            x + east * math.cos(turn) - north * math.sin(turn),
            y + east * math.sin(turn) + north * math.cos(turn),
            z + part.location.z,
        )
        part.rotation_euler.z += turn


def headland(seed: int, rng: random.Random, view: str, spot):
    """Give the land's height: a rocky point with a grassy top, in front of the viewer or under."""
    x0, y0 = spot
    tall = rng.uniform(9, 15) if view != "shore" else rng.uniform(6, 9)
    side = 1 if x0 > 0 else -1

    def height(x, y):
        rough = terrain.fractal(x / 34, y / 34, seed)
        reach = np.hypot((x - x0) / 46, (y - y0) / 34)
        inland = (x - x0) * side / 60 - np.abs(y - y0 - 12) / 60
        shape = np.maximum(1.45 - reach, inland) + 0.38 * rough
        if view == "meadow":
            shape = np.maximum(
                shape, 1.25 - np.hypot((x - side * 22) / 60, (y + 6) / (y0 * 0.8)) + 0.3 * rough
            )
        if view == "shore":
            shape = np.maximum(
                shape, 0.22 - np.hypot((x - side * 9) / 24, (y - 2) / 20) + 0.5 * rough
            )
        cliff = (
            tall
            * terrain.smooth(shape, 0.02, 0.42)
            * (0.62 + 0.38 * terrain.smooth(shape, 0.4, 1.2))
        )
        stony = (
            2.2 * terrain.ridged(x / 12, y / 12, seed + 3, 6) * terrain.smooth(shape, -0.25, 0.1)
        )
        stony = stony * (1 - 0.85 * terrain.smooth(shape, 0.35, 0.6))
        pad = np.exp(-((np.hypot(x - x0, y - y0) / 16) ** 4))
        return (
            -5
            + 4 * terrain.smooth(shape, -0.5, 0.02)
            + cliff * (1 - pad)
            + tall * pad
            + stony * (1 - pad)
        )

    return height


def build(seed: int) -> None:
    """Build one lighthouse."""
    rng, draw = random.Random(f"lighthouse {seed}"), np.random.default_rng(seed)
    hour, azimuth, clouds, view, mist = MOODS[seed % len(MOODS)]
    dark = hour in ("dusk", "night")
    sky.outdoors(
        hour,
        azimuth,
        clouds=clouds,
        offset=seed * 1.7,
        stars={"night": 1.0, "dusk": 0.3}.get(hour, 0),
        disc=0.9 if hour == "sunset" and abs(azimuth) < 40 else 0,
    )
    spot = (
        rng.choice((-1, 1)) * rng.uniform(9, 24),
        {"sea": 125, "meadow": 95, "shore": 105}[view] * rng.uniform(0.9, 1.15),
    )
    height = headland(seed, rng, view, spot)
    turf = stage.deal(
        seed, "turf", [(0.075, 0.11, 0.03), (0.14, 0.13, 0.045), (0.055, 0.085, 0.03)]
    )
    land = materials.ground(turf, (0.17, 0.15, 0.13), slope=0.80, bump=0.6, grain=1.3, offset=seed)
    terrain.fan(height, land, 1.0, 420, 110, 620, 520)
    terrain.plane(materials.water((0.01, 0.045, 0.06), 0.75, 0.45, 0.05, seed, 0.35, 90))
    terrain.fan(
        lambda x, y: 0.06 + 0 * x,
        materials.foam(seed, 0.7),
        3,
        400,
        110,
        300,
        300,
        masks={"foam": lambda x, y: 0.62 * terrain.smooth(height(x, y), -2.6, -0.3)},
    )
    base = float(height(np.array([spot[0]]), np.array([spot[1]]))[0])
    tall = rng.uniform(19, 27)
    tower(
        rng,
        (*spot, base),
        tall,
        stage.deal(seed, "paint", PAINTS),
        1.0 if dark else 0.5 if mist else 0.12,
        dark or mist > 0.5,
    )
    if seed % 4:
        side = 1 if spot[0] > 0 else -1
        home = (spot[0] + side * rng.uniform(13, 17), spot[1] + rng.uniform(1, 6))
        low = float(height(np.array([home[0]]), np.array([home[1]]))[0])
        cottage(rng, (*home, low), rng.uniform(-0.4, 0.4), dark)
    stones = [
        shapes.rock(rng, materials.stone((0.20, 0.18, 0.16), (0.08, 0.075, 0.07), 1.0))
        for _ in range(4)
    ]
    x, y = terrain.places(draw, 1500, 6, 170, 80)
    level = height(x, y)
    shore = (level > -1.2) & (level < 2.2)
    terrain.scatter(
        draw, stones, x[shore][:240], y[shore][:240], height, (0.4, 1.7), tilt=0.3, sink=0.3
    )
    if view == "meadow":
        tufts = [
            shapes.grass(
                rng,
                materials.foliage(tuple(0.7 * c for c in turf), tuple(2.2 * c for c in turf)),
                60,
                0.5,
                0.28,
            )
            for _ in range(4)
        ]
        x, y = terrain.places(draw, 9000, 3, 70, 75, power=0.6)
        green = (height(x, y) > 5) & (terrain.noise(x / 7, y / 7, seed) > -0.25)
        terrain.scatter(draw, tufts, x[green][:4200], y[green][:4200], height, (0.5, 1.2), tilt=0.1)
    eye = (
        max(float(height(np.array([0.0]), np.array([0.5]))[0]), 0.0)
        + {"sea": 4.0, "meadow": 1.8, "shore": 2.2}[view]
    )
    aim = base + tall * rng.uniform(0.30, 0.42)
    stage.camera(
        (0, 0, eye),
        (spot[0] * rng.uniform(0.15, 0.55), spot[1], aim),
        lens=rng.choice((36, 42, 48)),
    )
    stage.haze(2500 if not mist else 2500 / (1 + 6 * mist))
    if dark:
        stage.bloom(0.35, 1.5, 0.5)
    stage.expose({"night": 1.5, "dusk": 0.6, "noon": -0.2}.get(hour, 0.0))
