"""A city after dark: a skyline over water, roofs from above, a wet street between towers."""

import math
import random

import materials
import numpy as np
import shapes
import sky
import stage
import terrain
from sky import Palette

EVENINGS = {
    "blue": Palette(
        (0.006, 0.018, 0.085),
        (0.018, 0.05, 0.18),
        (0.085, 0.13, 0.28),
        (0.10, 0.08, 0.07),
        (1, 1, 1),
        0.0,
        2,
    ),
    "purple": Palette(
        (0.010, 0.008, 0.05),
        (0.045, 0.022, 0.10),
        (0.20, 0.075, 0.13),
        (0.25, 0.07, 0.05),
        (1, 1, 1),
        0.0,
        2,
    ),
    "amber": Palette(
        (0.007, 0.016, 0.055),
        (0.04, 0.05, 0.10),
        (0.27, 0.125, 0.05),
        (0.30, 0.11, 0.02),
        (1, 1, 1),
        0.0,
        2,
    ),
    "deep": Palette(
        (0.0015, 0.003, 0.011),
        (0.005, 0.008, 0.022),
        (0.034, 0.028, 0.036),
        (0.05, 0.03, 0.02),
        (1, 1, 1),
        0.0,
        2,
    ),
    "teal": Palette(
        (0.002, 0.014, 0.032),
        (0.006, 0.04, 0.062),
        (0.05, 0.11, 0.13),
        (0.06, 0.06, 0.04),
        (1, 1, 1),
        0.0,
        2,
    ),
    "rose": Palette(
        (0.012, 0.014, 0.06),
        (0.06, 0.032, 0.085),
        (0.30, 0.11, 0.105),
        (0.30, 0.12, 0.06),
        (1, 1, 1),
        0.0,
        2,
    ),
}
# Where we stand and what colour the evening has.
MOODS = [
    ("rooftops", "deep"),
    ("rooftops", "teal"),
    ("street", "blue"),
    ("waterfront", "amber"),
    ("rooftops", "purple"),
    ("waterfront", "deep"),
    ("street", "teal"),
    ("waterfront", "blue"),
    ("rooftops", "amber"),
    ("street", "purple"),
    ("waterfront", "teal"),
    ("rooftops", "blue"),
    ("waterfront", "rose"),
    ("street", "amber"),
    ("waterfront", "purple"),
]


def facade(rng: random.Random, tone, warm: float, lit: float):
    """Make a wall of windows, each lit or dark by chance, with some floors lit throughout."""
    material, graph, shader = materials.begin("facade")
    x, y, z = graph.split(graph.coordinates())
    side = graph.node("NewGeometry").outputs["Normal"]
    nx, ny, nz = (graph.math("ABSOLUTE", part) for part in graph.split(side))
    across = graph.math(
        "ADD",
        graph.math("MULTIPLY", x, graph.math("GREATER_THAN", ny, 0.5)),
        graph.math("MULTIPLY", y, graph.math("GREATER_THAN", nx, 0.5)),
    )
    wide, high = rng.choice((1.6, 2.2, 3.0)), rng.choice((3.2, 3.5, 3.8))
    across, up = graph.math("DIVIDE", across, wide), graph.math("DIVIDE", z, high)
    column, floor = graph.math("FLOOR", across), graph.math("FLOOR", up)
    house = graph.math("MULTIPLY", graph.random(), 211.0)
    cell = graph.join(column, floor, graph.math("ADD", house, graph.math("MULTIPLY", nx, 17.0)))
    chance = graph.node("TexWhiteNoise", noise_dimensions="3D", Vector=cell).outputs
    storey = graph.node(
        "TexWhiteNoise", noise_dimensions="2D", Vector=graph.join(floor, house, 0.0)
    ).outputs
    share = graph.math(
        "ADD", lit, graph.math("MULTIPLY", graph.math("POWER", storey["Value"], 7.0), 0.7)
    )
    on = graph.math("LESS_THAN", chance["Value"], share)
    gap, sill = rng.choice((0.10, 0.20, 0.28)), rng.choice((0.14, 0.24))

    def within(value, margin):
        middle = graph.math("ABSOLUTE", graph.math("SUBTRACT", graph.math("FRACT", value), 0.5))
        return graph.math("LESS_THAN", middle, 0.5 - margin)

    pane = graph.math("MULTIPLY", within(across, gap), within(up, sill))
    pane = graph.math("MULTIPLY", pane, graph.math("LESS_THAN", nz, 0.5))
    hue, power, _ = graph.split(chance["Color"])
    colour = graph.mix(graph.math("LESS_THAN", hue, warm), (0.62, 0.80, 1.0), (1.0, 0.62, 0.26))
    shine = graph.math(
        "MULTIPLY",
        graph.math("MULTIPLY", pane, on),
        graph.math("ADD", 0.14, graph.math("MULTIPLY", graph.math("POWER", power, 3.0), 3.4)),
    )
    graph.tree.links.new(graph.mix(pane, tone, (0.012, 0.016, 0.024)), shader.inputs["Base Color"])
    graph.tree.links.new(
        graph.math("SUBTRACT", 0.7, graph.math("MULTIPLY", pane, 0.55)), shader.inputs["Roughness"]
    )
    # The street's lamps light the walls from below, the sky a little everywhere.
    below = graph.math("EXPONENT", graph.math("DIVIDE", z, -26.0))
    wash = graph.math("ADD", 0.07, graph.math("MULTIPLY", below, 0.9))
    wash = graph.math("MULTIPLY", wash, graph.math("SUBTRACT", 1.0, pane))
    lamplit = tuple(c * w for c, w in zip(tone, (1.0, 0.62, 0.36), strict=True))
    colour = graph.mix(pane, lamplit, colour)
    shine = graph.math("ADD", shine, wash)
    graph.tree.links.new(colour, shader.inputs["Emission Color"])
    graph.tree.links.new(shine, shader.inputs["Emission Strength"])
    material.cycles.emission_sampling = "NONE"
    return material


def building(rng: random.Random, x, y, wide, deep, tall, walls, crowns, beacon) -> None:
    """Build a tower with setbacks, and on the tall ones a lit crown, a spire or a beacon."""
    wall = rng.choice(walls)
    foot, level = (wide, deep), 0.0
    steps = 1 if tall < 60 else rng.choice((1, 2, 3))
    for step in range(steps):
        rise = (tall - level) * (1.0 if step == steps - 1 else rng.uniform(0.5, 0.75))
        shapes.box((*foot, rise), wall, (x, y, level), 0)
        level += rise
        if step < steps - 1:
            foot = (foot[0] * rng.uniform(0.6, 0.85), foot[1] * rng.uniform(0.6, 0.85))
    shapes.box((foot[0] * 0.4, foot[1] * 0.4, 4), wall, (x, y, level), 0)
    if tall > 110 and rng.random() < 0.4:
        shapes.box(
            (foot[0] * 1.01, foot[1] * 1.01, rng.uniform(1.5, 5)),
            rng.choice(crowns),
            (x, y, level - 5),
            0,
        )
    if tall > 130 and rng.random() < 0.55:
        spire = rng.uniform(0.15, 0.35) * tall
        shapes.lathe(
            [(foot[0] * 0.12, 0), (foot[0] * 0.05, spire * 0.4), (0.2, spire)],
            wall,
            8,
            (x, y, level),
        )
        shapes.ball(1.1, beacon, (x, y, level + spire), 8)


def palette_of(rng: random.Random):
    """Give walls, crowns and the beacon of this city."""
    warm = rng.uniform(0.45, 0.9)
    tones = [(0.06, 0.06, 0.07), (0.10, 0.085, 0.075), (0.035, 0.045, 0.06), (0.13, 0.12, 0.11)]
    walls = [facade(rng, rng.choice(tones), warm, rng.uniform(0.08, 0.34)) for _ in range(9)]
    hues = [(0.2, 0.5, 1.0), (1.0, 0.35, 0.6), (1.0, 0.75, 0.4), (0.3, 1.0, 0.8), (0.6, 0.35, 1.0)]
    return (
        walls,
        [materials.glow("crown", hue, 1.1) for hue in hues],
        materials.glow("beacon", (1, 0.06, 0.03), 9),
    )


def waterfront(rng: random.Random, seed: int, made) -> None:
    """Set a skyline on the far bank, its lights drawn out in the water."""
    middle, spread = rng.uniform(-150, 150), rng.uniform(140, 260)
    for row in range(6):
        x = -900.0
        while x < 900:
            wide = rng.uniform(18, 42)
            swell = math.exp(-(((x - middle) / spread) ** 2))
            tall = rng.uniform(14, 48) + swell * rng.uniform(20, 230) * (0.6 + 0.1 * row)
            building(
                rng,
                x + wide / 2,
                620 + row * 55 + rng.uniform(-10, 10),
                wide,
                rng.uniform(20, 36),
                tall,
                *made,
            )
            x += wide + rng.uniform(2, 16)
    quay = materials.plain("quay", (0.04, 0.04, 0.045), 0.8)
    shapes.box((4000, 500, 3.0), quay, (0, 840, 0), 0)
    for x in np.arange(-600, 600, 16.0):
        shapes.ball(0.6, materials.glow("lamp", (1.0, 0.66, 0.30), 22), (float(x), 589, 7.5), 8)
    terrain.plane(materials.water((0.004, 0.008, 0.014), 0.5, 0.5, 0.06, seed, 0.3, 260))
    if seed % 2:
        bridge(rng, rng.choice((-1, 1)))
    eye = rng.uniform(4, 24)
    stage.camera(
        (0, 0, eye),
        (middle * 0.8, 620, eye + rng.uniform(42, 62)),
        lens=rng.choice((28, 34, 40, 48)),
    )


def bridge(rng: random.Random, side: int) -> None:
    """Hang a lit suspension bridge from one side of the river to the other."""
    steel = materials.plain("steel", (0.05, 0.055, 0.065), 0.5)
    lamp = materials.glow("bridge lamp", rng.choice([(1.0, 0.7, 0.35), (0.5, 0.75, 1.0)]), 26)
    bulb = shapes.ball(0.55, lamp, (0, 0, -500), 8)
    start, end = np.array([side * 330.0, 60.0]), np.array([side * 150.0, 640.0])
    long = float(np.hypot(*(end - start)))
    heading = math.atan2(end[1] - start[1], end[0] - start[0])
    middle = (start + end) / 2
    shapes.box((long * 1.5, 16, 2.4), steel, (*middle, 22), 0.3, heading)

    def at(part, across, z):
        place = start + (end - start) * part
        return (
            float(place[0] - across * math.sin(heading)),
            float(place[1] + across * math.cos(heading)),
            z,
        )

    for part in (0.2, 0.8):
        for across in (-8.5, 8.5):
            shapes.box((5, 2.6, 86), steel, at(part, across, -4), 0.2, heading)
        for level in (40, 78):
            shapes.box((3.5, 17, 3), steel, at(part, 0, level), 0.2, heading)
    for across in (-8.5, 8.5):
        line = []
        for step in range(61):
            part = step / 60
            sag = (
                ((part - 0.5) / 0.3) ** 2
                if 0.2 <= part <= 0.8
                else 1 - (0.2 - min(part, 1 - part)) / 0.2 * 0.95
            )
            line.append(at(part, across, 27 + 54 * sag))
            shapes.copy(bulb, line[-1])
            shapes.tube([line[-1], at(part, across, 24)], 0.12, steel, 1)
        shapes.tube(line, 0.45, steel, 2)
    for step in range(45):
        shapes.copy(bulb, at(step / 44, -7, 28), scale=0.8)


def rooftops(rng: random.Random, seed: int, made) -> None:
    """Look down the avenues of a grid of blocks from a high roof."""
    middle = (rng.uniform(-200, 200), rng.uniform(700, 1100))
    block, road = 62.0, 20.0
    for column in range(-13, 14):
        for row in range(0, 26):
            for half in (-0.25, 0.25):
                x = column * (block + road) + half * block
                y = 150 + row * (block + road)
                swell = math.exp(-(((x - middle[0]) / 300) ** 2) - ((y - middle[1]) / 380) ** 2)
                tall = rng.uniform(12, 46) + swell * rng.uniform(10, 230)
                if abs(x) < 60 and y < 420:
                    tall = min(tall, 60)
                building(
                    rng,
                    x,
                    y,
                    block * rng.uniform(0.38, 0.47),
                    block * rng.uniform(0.7, 0.94),
                    tall,
                    *made,
                )
    asphalt, graph, shader = materials.begin("street")
    x, y, _ = graph.split(graph.node("NewGeometry").outputs["Position"])
    near = []
    for value, start in ((x, block / 2), (y, 150 + block / 2)):
        part = graph.math(
            "FRACT", graph.math("DIVIDE", graph.math("SUBTRACT", value, start), block + road)
        )
        middle_line = graph.math(
            "ABSOLUTE", graph.math("SUBTRACT", part, 0.5 * road / (block + road))
        )
        near.append(graph.math("SUBTRACT", 1.0, graph.smooth(middle_line, 0.02, 0.13)))
    dots = graph.smooth(
        graph.noise(0.16, graph.join(x, y, 0.0), detail=3.0, roughness=0.7), 0.42, 0.68
    )
    flow = graph.math(
        "MULTIPLY",
        graph.math("MAXIMUM", *near),
        graph.math("ADD", 0.25, graph.math("MULTIPLY", dots, 2.2)),
    )
    hue = graph.noise(0.05, graph.join(x, y, 0.0), detail=1.0, offset=4)
    shader.inputs["Base Color"].default_value = (0.02, 0.02, 0.022, 1)
    graph.tree.links.new(
        graph.mix(graph.smooth(hue, 0.4, 0.6), (1.0, 0.42, 0.10), (1.0, 0.66, 0.34)),
        shader.inputs["Emission Color"],
    )
    graph.tree.links.new(flow, shader.inputs["Emission Strength"])
    asphalt.cycles.emission_sampling = "NONE"
    terrain.plane(asphalt, 9000)
    eye = rng.uniform(95, 300)
    # Stand over an avenue, so that it runs away into the picture.
    away = (block + road) * 0.5 * rng.choice((-1, 1))
    stage.camera(
        (away, 0, eye),
        (away + rng.uniform(-160, 160), 700, eye - rng.uniform(90, 190)),
        lens=rng.choice((24, 32, 46)),
    )


def street(rng: random.Random, seed: int, made) -> None:
    """Stand in a wet street at lamp height, its traffic out of focus."""
    width = rng.uniform(11, 15)
    for side in (-1, 1):
        y = -20.0
        while y < 700:
            deep = rng.uniform(18, 36)
            tall = rng.uniform(18, 60) + (rng.uniform(30, 130) if y > 120 else 0)
            building(rng, side * (width + 14), y + deep / 2, 28, deep, tall, *made)
            y += deep + rng.choice((0.3, 0.3, 7))
    walk = materials.stone((0.12, 0.12, 0.125), (0.07, 0.07, 0.075), 1.0, 0.35, 0.2)
    for side in (-1, 1):
        shapes.box((6, 900, 0.18), walk, (side * (width - 3), 400, 0), 0.04)
    wet, graph, shader = materials.begin("wet asphalt")
    place = graph.coordinates()
    puddle = graph.smooth(graph.noise(0.35, place, detail=4.0, offset=seed), 0.42, 0.58)
    shader.inputs["Base Color"].default_value = (0.012, 0.012, 0.014, 1)
    graph.tree.links.new(
        graph.math("SUBTRACT", 0.30, graph.math("MULTIPLY", puddle, 0.24)),
        shader.inputs["Roughness"],
    )
    grit = graph.noise(14.0, place, detail=4.0)
    graph.tree.links.new(
        graph.bump(grit, graph.math("SUBTRACT", 0.28, graph.math("MULTIPLY", puddle, 0.25)), 0.05),
        shader.inputs["Normal"],
    )
    terrain.plane(wet, 3000)
    iron = materials.plain("iron", (0.02, 0.02, 0.02), 0.5)
    lamp = materials.glow("street lamp", (1.0, 0.62, 0.26), 30)
    for index, y in enumerate(np.arange(9, 300, 21.0)):
        for side in (-1, 1):
            x = side * (width - 5)
            shapes.lathe(
                [(0.10, 0), (0.07, 0.6), (0.05, 5.4), (0, 5.4)], iron, 12, (x, float(y), 0.15)
            )
            shapes.ball(0.26, lamp, (x, float(y), 5.7), 16)
            if index < 4:
                stage.point((x, float(y), 5.7), 420, (1.0, 0.62, 0.28), 0.3)
    red, white = (
        materials.glow("rear", (1.0, 0.03, 0.015), 26),
        materials.glow("front", (1.0, 0.92, 0.78), 40),
    )
    for _ in range(46):
        y, coming = 22 + 330 * rng.random() ** 1.5, rng.random() < 0.5
        x = (-1 if coming else 1) * rng.choice((1.9, 5.0))
        for offset in (-0.65, 0.65):
            shapes.ball(0.11, white if coming else red, (x + offset, y, 0.75), 8)
    signs = [
        materials.glow("sign", hue, 5)
        for hue in ((1.0, 0.1, 0.35), (0.1, 0.6, 1.0), (0.2, 1.0, 0.5), (1.0, 0.6, 0.1))
    ]
    for _ in range(22):
        side = rng.choice((-1, 1))
        shapes.box(
            (rng.uniform(0.6, 1.6), 0.25, rng.uniform(1.0, 5)),
            rng.choice(signs),
            (side * (width - 0.9), rng.uniform(14, 150), rng.uniform(3, 8)),
            0.03,
        )
    stage.camera(
        (rng.uniform(-3, 3), -6, rng.uniform(0.9, 2.4)),
        (rng.uniform(-1.5, 1.5), 60, rng.uniform(6, 11)),
        lens=rng.choice((28, 35, 45)),
        fstop=rng.choice((0.14, 0.22)),
        focus=(0, rng.choice((7, 12)), 1),
    )


def build(seed: int) -> None:
    """Build one city."""
    rng = random.Random(f"city {seed}")
    where, evening = MOODS[seed % len(MOODS)]
    sky.outdoors(
        EVENINGS[evening],
        rng.uniform(-40, 40),
        clouds=rng.choice((0, 0.35, 0.55)),
        offset=seed * 5.3,
        stars=0.6 if evening == "deep" else 0.0,
    )
    view = {"waterfront": waterfront, "rooftops": rooftops, "street": street}[where]
    view(rng, seed, palette_of(rng))
    stage.bloom(0.35, 1.0, 0.5)
    stage.haze(3000 if view is not street else 500)
    stage.expose({waterfront: 0.7, rooftops: 0.35, street: 0.25}[view], soft=view is street)
