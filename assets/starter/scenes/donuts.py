"""Glazed donuts with sprinkles, drizzle, nuts or sugar: alone, stacked, on plates and in rows."""

import math
import random

import bpy
import materials
import numpy as np
import shapes
import sky
import stage
from mathutils import Vector
from mathutils import noise as field

RADIUS, THICK = 0.33, 0.19
# Arrangement, table, icings, camera's height above the table in degrees, light from (1 right).
MOODS = [
    ("single", "pink", ("strawberry",), 30, 1),
    ("stack", "oak", ("chocolate", "vanilla", "strawberry"), 12, -1),
    ("rows", "mint", ("strawberry", "vanilla", "chocolate", "mint"), 74, 1),
    ("plate", "walnut", ("chocolate",), 33, -1),
    ("crowd", "marble", ("strawberry", "vanilla", "lilac"), 28, 1),
    ("single", "slate", ("chocolate",), 24, -1),
    ("stack", "blue", ("lilac", "strawberry"), 15, 1),
    ("lean", "oak", ("strawberry", "chocolate"), 20, 1),
    ("rows", "walnut", ("chocolate", "caramel", "vanilla"), 58, -1),
    ("plate", "marble", ("vanilla", "strawberry", "mint"), 40, 1),
    ("single", "yellow", ("blueberry",), 40, -1),
    ("crowd", "slate", ("sugar", "chocolate", "caramel"), 33, -1),
    ("lean", "pink", ("vanilla", "blueberry"), 16, -1),
    ("plate", "oak", ("sugar", "caramel"), 27, 1),
    ("stack", "yellow", ("chocolate", "mint", "caramel", "strawberry"), 10, -1),
]
ICINGS = {
    "strawberry": (0.86, 0.24, 0.34),
    "chocolate": (0.075, 0.026, 0.012),
    "vanilla": (0.86, 0.80, 0.70),
    "mint": (0.40, 0.74, 0.56),
    "lilac": (0.52, 0.34, 0.74),
    "caramel": (0.55, 0.24, 0.05),
    "blueberry": (0.14, 0.24, 0.62),
}
CANDY = [
    (0.85, 0.05, 0.06),
    (0.95, 0.62, 0.04),
    (0.08, 0.42, 0.80),
    (0.20, 0.60, 0.12),
    (0.92, 0.90, 0.86),
    (0.85, 0.20, 0.55),
]
PAPERS = {
    "pink": (0.80, 0.42, 0.45),
    "mint": (0.40, 0.66, 0.58),
    "blue": (0.26, 0.46, 0.70),
    "yellow": (0.86, 0.62, 0.18),
}


def dough(sugared: bool):
    """Make fried dough: brown above and below, with the pale band a frying pan leaves."""
    material, graph, shader = materials.begin("dough")
    place = graph.coordinates()
    z = graph.split(place)[2]
    spots = graph.noise(7.0, place, detail=6.0, roughness=0.6)
    level = graph.math("ABSOLUTE", graph.math("SUBTRACT", z, -0.015))
    level = graph.math("ADD", level, graph.math("MULTIPLY", spots, 0.07))
    brown = graph.mix(graph.smooth(spots, 0.3, 0.7), (0.40, 0.16, 0.045), (0.55, 0.27, 0.09))
    colour = graph.mix(graph.smooth(level, 0.045, 0.10), (0.80, 0.54, 0.26), brown)
    if sugared:
        grit = graph.noise(70.0, place, detail=3.0)
        dust = graph.math("ADD", grit, graph.math("MULTIPLY", z, 1.3))
        colour = graph.mix(graph.smooth(dust, 0.42, 0.60), colour, (0.88, 0.87, 0.85))
    graph.tree.links.new(colour, shader.inputs["Base Color"])
    shader.inputs["Roughness"].default_value = 0.62
    shader.inputs["Subsurface Weight"].default_value = 0.25
    shader.inputs["Subsurface Scale"].default_value = 0.04
    crumb = graph.noise(45.0, place, detail=5.0, roughness=0.65)
    graph.tree.links.new(graph.bump(crumb, 0.45, 0.02), shader.inputs["Normal"])
    return material


def icing(name: str):
    """Make glaze that shines and lets a little light in."""
    return materials.plain(
        "icing",
        ICINGS[name],
        0.30,
        Subsurface_Weight=0.0 if name == "chocolate" else 0.35,
        Subsurface_Scale=0.03,
        Coat_Weight=0.8,
        Coat_Roughness=0.08,
    )


def body(rng: random.Random, material) -> bpy.types.Object:
    """Make the ring of dough, uneven and flat below."""
    item = shapes.ring(RADIUS, THICK, material, segments=96, sides=40)
    shift = Vector((rng.uniform(0, 99), 0, 0))
    for vertex in item.data.vertices:
        swell = 1 + 0.035 * field.noise(vertex.co * 3.2 + shift)
        x, y, z = vertex.co
        vertex.co = (x * swell, y * swell, max(z * 0.92, -0.135 + 0.12 * min(z + 0.13, 0)))
    return item


def surface(turn: float, tip: float, lift: float) -> Vector:
    """Give a point above the dough: around the ring, and up from the outside in degrees."""
    up = math.radians(tip)
    reach = RADIUS + (THICK + lift) * math.cos(up)
    return Vector(
        (reach * math.cos(turn), reach * math.sin(turn), 0.92 * (THICK + lift) * math.sin(up))
    )


def coat(rng: random.Random, material) -> bpy.types.Object:
    """Make the glaze: a thick skin over the top whose edge runs down in drops."""
    waves = [(k, rng.uniform(0, 6.28), rng.uniform(2, 7)) for k in (2, 3, 5, 8, 11)]
    around, across = 120, 26
    vertices, faces = [], []
    for i in range(around):
        turn = 2 * math.pi * i / around
        drip = sum(size * math.cos(k * turn + phase) for k, phase, size in waves)
        low, high = 14 - drip, 172 + 0.4 * drip
        for j in range(across):
            part = j / (across - 1)
            ends = 1 - abs(2 * part - 1) ** 7
            bulge = 0.8 * math.exp(-(((part - 0.07) / 0.06) ** 2))
            lift = -0.018 + 0.040 * ends * (1 + 0.35 * bulge)
            vertices.append(surface(turn, low + (high - low) * part, lift))
            if j:
                ahead = (i + 1) % around
                faces.append(
                    (i * across + j - 1, ahead * across + j - 1, ahead * across + j, i * across + j)
                )
    return shapes.add("icing", vertices, faces, material)


def topping(rng: random.Random, kind: str, parent, models) -> None:
    """Strew sprinkles or nuts, or draw a drizzle, on the glaze."""
    if kind == "drizzle":
        line: list[Vector] = []
        steps = 900
        for step in range(steps + 1):
            part = step / steps
            x = 1.1 * part - 0.55
            y = 0.56 * math.sin(part * 52) + 0.12 * x
            off = math.hypot(x, y) - RADIUS
            if abs(off) > THICK * 0.86:
                if len(line) > 3:
                    shapes.tube(line, 0.014, models["drizzle"], 4).parent = parent
                line = []
                continue
            z = 0.92 * math.sqrt((THICK + 0.024) ** 2 - off * off)
            line.append(Vector((x, y, z)))
        if len(line) > 3:
            shapes.tube(line, 0.014, models["drizzle"], 4).parent = parent
        return
    for _ in range(110 if kind == "sprinkles" else 90):
        turn, tip = rng.uniform(0, 6.283), rng.gauss(88, 26)
        if not 42 < tip < 140:
            continue
        out = (surface(turn, tip, 0.1) - surface(turn, tip, 0.0)).normalized()
        spin = Vector((rng.gauss(0, 1), rng.gauss(0, 1), rng.gauss(0, 1)))
        spin = (spin - spin.dot(out) * out).normalized()
        bit = shapes.copy(rng.choice(models[kind]), surface(turn, tip, 0.027), 0.0)
        bit.rotation_euler = spin.to_track_quat("Z", "Y").to_euler()
        if kind == "nuts":
            bit.scale = [rng.uniform(0.016, 0.03)] * 3
        bit.parent = parent


def donut(rng: random.Random, flavour: str, top: str, models) -> bpy.types.Object:
    """Make one donut on an empty, its underside 0.135 below it."""
    parent = bpy.data.objects.new("donut", None)
    bpy.context.scene.collection.objects.link(parent)
    body(rng, models["sugared" if flavour == "sugar" else "dough"]).parent = parent
    if flavour != "sugar":
        coat(rng, models[flavour]).parent = parent
        if top != "plain":
            topping(rng, top, parent, models)
    return parent


def pantry(rng: random.Random) -> dict:
    """Make what all donuts of a picture share."""
    few = rng.sample(CANDY, rng.randint(3, 6))
    rod = [
        (0, -0.032),
        (0.007, -0.030),
        (0.0095, -0.025),
        (0.0095, 0.025),
        (0.007, 0.030),
        (0, 0.032),
    ]
    sticks = [shapes.lathe(rod, materials.paint(colour, 0.2), 10, sharp=180) for colour in few]
    nut = materials.stone((0.62, 0.40, 0.20), (0.42, 0.22, 0.09), 8.0, 0.6, 0.2)
    nuts = [shapes.rock(rng, nut, 0.7, 9, 12) for _ in range(3)]
    for item in (*sticks, *nuts):
        item.hide_render = True
    swirl = rng.choice([(0.88, 0.82, 0.74), (0.10, 0.035, 0.016)])
    return {
        "dough": dough(False),
        "sugared": dough(True),
        "sprinkles": sticks,
        "nuts": nuts,
        "drizzle": materials.paint(swirl, 0.15),
        **{name: icing(name) for name in ICINGS},
    }


def table(name: str) -> None:
    """Lay the ground: paper that curves up into a wall, or a wide table."""
    if name in PAPERS:
        stage.backdrop(materials.plain("paper", PAPERS[name], 0.8), 30, 7, 12, 3)
        return
    top = {
        "oak": lambda: materials.wood((0.20, 0.10, 0.045), (0.50, 0.31, 0.16), 0.7, planks=0.8),
        "walnut": lambda: materials.wood(
            (0.035, 0.016, 0.008), (0.15, 0.07, 0.03), 0.7, planks=1.1
        ),
        "marble": lambda: materials.marble(scale=0.8),
        "slate": lambda: materials.stone((0.10, 0.105, 0.115), (0.05, 0.05, 0.055), 1.4, 0.5, 0.2),
    }[name]()
    shapes.box((40, 40, 0.2), top, (0, 10, -0.2), 0)


def plate(x: float, y: float, size: float, colour) -> None:
    """Set a glazed plate with a raised rim."""
    profile = [(0, 0.0), (0.60, 0.0), (0.62, 0.02), (0.70, 0.035), (1.0, 0.115), (1.01, 0.125)]
    profile += [(1.0, 0.132), (0.70, 0.06), (0.64, 0.04), (0, 0.04)]
    body = [(0, 0.0), *[(r * size, z) for r, z in shapes.rounded(profile[1:-1], 4)], (0, 0.04)]
    shapes.lathe(body, materials.paint(colour, 0.12), 96, (x, y, 0), sharp=60)


def mug(rng: random.Random, x: float, y: float) -> None:
    """Set a mug of coffee behind."""
    glaze = materials.paint(
        rng.choice([(0.80, 0.78, 0.74), (0.10, 0.20, 0.28), (0.6, 0.2, 0.14)]), 0.2
    )
    wall = [(0, 0), (0.26, 0), (0.29, 0.03), (0.31, 0.3), (0.31, 0.72), (0.30, 0.74), (0.285, 0.72)]
    shapes.lathe([*wall, (0.28, 0.1), (0, 0.08)], glaze, 64, (x, y, 0))
    shapes.lathe([(0, 0.62), (0.283, 0.62), (0, 0.621)], icing("chocolate"), 48, (x, y, 0))
    arc = [(0.29 + 0.2 * math.sin(t), 0.38 - 0.2 * math.cos(t)) for t in np.linspace(0, 3.14, 24)]
    shapes.tube([(x + a, y, b) for a, b in arc], 0.04, glaze, 6)


def build(seed: int) -> None:
    """Build one picture of donuts."""
    rng, draw = random.Random(f"donuts {seed}"), np.random.default_rng(seed)
    form, top, flavours, view, side = MOODS[seed % len(MOODS)]
    sky.gradient((0.75, 0.80, 0.90), (0.40, 0.34, 0.30), 0.35)
    table(top)
    models = pantry(rng)
    spots, focus, wide = [], (0, -0.45, 0.15), 1.55  # Spots: x, y, z, tilt.
    if form == "single":
        spots = [(0, 0, 0.135, 0.0)]
    elif form == "stack":
        spots = [
            (rng.uniform(-0.05, 0.05), rng.uniform(-0.04, 0.04), 0.135 + 0.315 * k, 0.0)
            for k in range(rng.randint(3, 4))
        ]
        wide, focus = 2.0, (0, -0.45, 0.4)
    elif form == "rows":
        spots = [(1.12 * (i - 1.5), 1.12 * (j - 1), 0.135, 0.0) for i in range(4) for j in range(3)]
        wide, focus = 4.7, (0, -0.5, 0.2)
    elif form == "plate":
        plate(0, 0, 1.25, rng.choice([(0.82, 0.80, 0.76), (0.20, 0.32, 0.40), (0.75, 0.5, 0.45)]))
        spots = [(-0.52, 0.22, 0.175, 0.0), (0.54, 0.20, 0.175, 0.0), (0.0, 0.0, 0.49, 0.0)]
        spots[2:] = [(0.02, -0.58, 0.175, 0.0), (0.03, 0.0, 0.48, 0.05)][: 1 + seed % 2]
        mug(rng, rng.choice((-1.7, 1.5)), 1.6)
        wide, focus = 3.1, (0, -0.6, 0.3)
    elif form == "crowd":
        spots = [(x, y, 0.135, 0.0) for x, y in shapes.settle(draw, [0.56] * 9, 3.4, 2.9, 0.02)]
        x, y, *_ = min(spots, key=lambda spot: math.hypot(spot[0], spot[1] + 0.8))
        wide, focus = 5.0, (x, y - 0.3, 0.2)
    elif form == "lean":
        spots = [(0.25, 0.35, 0.135, 0.0), (0.25, 0.35, 0.45, 0.0), (-0.32, -0.28, 0.5, 1.15)]
        wide = 2.1
    tops = ["sprinkles", "drizzle", "nuts", "plain", "sprinkles"]
    first = rng.randrange(5)
    for index, (x, y, z, tilt) in enumerate(spots):
        flavour = flavours[index % len(flavours)]
        style = tops[(first + index % len(flavours)) % 5]
        if len(spots) == 1 and style == "plain":
            style = "sprinkles"
        item = donut(rng, flavour, style, models)
        item.location = (x, y, z)
        item.rotation_euler = (tilt, 0, rng.uniform(0, 6.28) if tilt == 0 else 0.0)
    stage.studio_lights((0, 0, 0.2), max(1.3, wide / 1.7), side, strength=0.9)
    away, tilt, turn = 1.35 * wide + 0.4, math.radians(view), rng.uniform(-0.4, 0.4)
    middle = 0.135 + 0.5 * max(z for _, _, z, _ in spots) * 0.8
    if form == "rows":
        turn *= 0.4
    stage.camera(
        (
            away * math.sin(turn) * math.cos(tilt),
            -away * math.cos(turn) * math.cos(tilt),
            middle + away * math.sin(tilt),
        ),
        (0, 0, middle),
        lens=45,
        fstop=0.22 if view < 50 else 0.5,
        focus=focus,
    )
    stage.fill([item for item in bpy.data.objects if item.parent], 0.08, slack=0.025)
    stage.expose(0.0)
