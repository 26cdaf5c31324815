"""A bowl of fruit in window light: apples, oranges, lemons, pears, plums, grapes, bananas."""

import math
import random

import bpy
import materials
import shapes
import sky
import stage
from mathutils import Vector
from tumble import tumble

# Fruit in the bowl, bowl, table, wall, light, from how high (degrees).
MOODS = [
    (("apple red", "orange", "lemon", "grapes"), "white", "wood", (0.30, 0.36, 0.38), "window", 20),
    (("orange",), "blue", "linen", (0.62, 0.56, 0.46), "sun", 30),
    (("apple green", "pear", "lime"), "wood", "slate", (0.045, 0.055, 0.05), "window", 18),
    (("lemon", "lime"), "glass", "marble", (0.36, 0.46, 0.50), "sun", 24),
    (("plum", "peach", "grapes"), "brass", "dark", (0.05, 0.035, 0.03), "warm", 16),
    (("apple red",), "wood", "wood", (0.42, 0.30, 0.20), "sun", 36),
    (("banana", "orange", "apple red"), "white", "paper", (0.16, 0.42, 0.46), "window", 22),
    (("pear",), "clay", "linen", (0.22, 0.20, 0.17), "window", 15),
    (("peach", "apple green", "plum"), "blue", "wood", (0.66, 0.60, 0.52), "sun", 44),
    (("lemon", "orange", "grapes green"), "brass", "slate", (0.03, 0.04, 0.06), "warm", 20),
    (
        ("apple red", "apple green", "pear", "banana"),
        "clay",
        "linen",
        (0.50, 0.36, 0.24),
        "sun",
        26,
    ),
    (("orange", "lime", "plum"), "white", "marble", (0.55, 0.22, 0.16), "window", 32),
    (("grapes", "grapes green", "peach"), "glass", "dark", (0.10, 0.07, 0.10), "window", 18),
    (("apple green",), "white", "paper", (0.55, 0.60, 0.44), "sun", 20),
    (("lemon",), "clay", "wood", (0.10, 0.20, 0.30), "window", 24),
]
SIZES = {"apple": 0.36, "orange": 0.36, "lemon": 0.27, "lime": 0.24, "pear": 0.34, "plum": 0.24,
         "peach": 0.34}  # fmt: skip

# Profiles of radius one, turned around the core.
FORMS = {
    "apple": [(0, -0.74), (0.16, -0.80), (0.40, -0.84), (0.72, -0.62), (0.95, -0.12),
              (0.98, 0.28), (0.80, 0.68), (0.48, 0.86), (0.24, 0.80), (0.09, 0.62), (0, 0.52)],
    "orange": [(0, -0.93), (0.1, -0.94), (0.5, -0.82), (0.86, -0.45), (0.97, 0), (0.86, 0.46),
               (0.5, 0.83), (0.14, 0.93), (0.05, 0.91), (0, 0.90)],
    "lemon": [(0, -1.34), (0.10, -1.32), (0.17, -1.18), (0.40, -0.98), (0.78, -0.55), (0.92, 0),
              (0.78, 0.56), (0.42, 0.96), (0.16, 1.14), (0.07, 1.20), (0, 1.20)],
    "pear": [(0, -0.86), (0.12, -0.92), (0.45, -0.93), (0.82, -0.62), (0.98, -0.16),
             (0.84, 0.34), (0.54, 0.78), (0.40, 1.14), (0.28, 1.40), (0.12, 1.47), (0, 1.42)],
    "plum": [(0, -1.08), (0.3, -1.02), (0.78, -0.62), (0.95, 0), (0.80, 0.62), (0.36, 1.0),
             (0.10, 1.03), (0, 0.98)],
    "peach": [(0, -0.94), (0.3, -0.92), (0.78, -0.60), (0.99, -0.05), (0.86, 0.48),
              (0.46, 0.80), (0.18, 0.80), (0, 0.66)],
}  # fmt: skip


def skin(kind: str, rng: random.Random):
    """Make a fruit's skin: streaks, blushes, pores, bloom."""
    sort, _, tone = kind.partition(" ")
    material, graph, shader = materials.begin(sort)
    place, chance = graph.coordinates(), rng.uniform(0, 40)
    height = graph.split(place)[2]
    mottle = graph.noise(2.4, place, 5.0, 0.55, 0.3, chance)
    rough, coat, relief = 0.34, 0.35, None
    if sort == "apple":
        streak = graph.noise(6.0, graph.stretch(place, (1, 1, 0.16)), 6.0, 0.6, 0.2, chance)
        mixed = graph.math(
            "ADD", graph.math("MULTIPLY", mottle, 0.75), graph.math("MULTIPLY", streak, 0.5)
        )
        if tone == "red":
            colour = graph.ramp(mixed, [(0.46, (0.36, 0.008, 0.012)), (0.62, (0.50, 0.025, 0.018)),
                                        (0.74, (0.62, 0.30, 0.05))])  # fmt: skip
        else:
            colour = graph.ramp(mixed, [(0.45, (0.22, 0.38, 0.03)), (0.66, (0.36, 0.50, 0.06)),
                                        (0.80, (0.60, 0.50, 0.12))])  # fmt: skip
        dots = graph.node("TexVoronoi", Vector=place, Scale=24.0).outputs["Distance"]
        speck = graph.math("SUBTRACT", 1.0, graph.smooth(dots, 0.08, 0.17))
        colour = graph.mix(graph.math("MULTIPLY", speck, 0.45), colour, (0.70, 0.56, 0.30))
        coat = 0.6
    elif sort in ("orange", "lemon", "lime"):
        pair = {
            "orange": ((0.72, 0.20, 0.01), (0.85, 0.30, 0.02)),
            "lemon": ((0.78, 0.52, 0.03), (0.86, 0.66, 0.08)),
            "lime": ((0.10, 0.26, 0.02), (0.28, 0.42, 0.05)),
        }[sort]
        colour = graph.mix(graph.smooth(mottle, 0.35, 0.65), *pair)
        pores = graph.node("TexVoronoi", Vector=place, Scale=30.0).outputs["Distance"]
        relief = graph.bump(graph.smooth(pores, 0.0, 0.5), 0.55, 0.008)
        rough = 0.4
    elif sort == "pear":
        colour = graph.ramp(mottle, [(0.38, (0.34, 0.38, 0.05)), (0.55, (0.56, 0.50, 0.10)),
                                     (0.72, (0.60, 0.28, 0.08))])  # fmt: skip
        dots = graph.node("TexVoronoi", Vector=place, Scale=34.0).outputs["Distance"]
        speck = graph.math("SUBTRACT", 1.0, graph.smooth(dots, 0.10, 0.22))
        colour = graph.mix(graph.math("MULTIPLY", speck, 0.6), colour, (0.30, 0.20, 0.07))
        rough, coat = 0.45, 0.15
    elif sort == "plum":
        bloom = graph.noise(3.0, place, 7.0, 0.65, 0.6, chance)
        colour = graph.mix(
            graph.smooth(bloom, 0.35, 0.7), (0.055, 0.008, 0.035), (0.11, 0.06, 0.15)
        )
        rough, coat = 0.42, 0.1
    else:
        colour = graph.ramp(mottle, [(0.36, (0.62, 0.10, 0.05)), (0.52, (0.80, 0.32, 0.12)),
                                     (0.68, (0.86, 0.55, 0.22))])  # fmt: skip
        rough, coat = 0.75, 0.0
        shader.inputs["Sheen Weight"].default_value = 0.6
    ends = graph.smooth(graph.math("ABSOLUTE", height), 0.30, 0.42)
    if sort in ("lemon",):
        colour = graph.mix(graph.math("MULTIPLY", ends, 0.4), colour, (0.50, 0.46, 0.05))
    graph.tree.links.new(colour, shader.inputs["Base Color"])
    shader.inputs["Roughness"].default_value = rough
    shader.inputs["Coat Weight"].default_value = coat
    shader.inputs["Coat Roughness"].default_value = 0.12
    shader.inputs["Subsurface Weight"].default_value = 0.25
    shader.inputs["Subsurface Scale"].default_value = 0.05
    if relief is not None:
        graph.tree.links.new(relief, shader.inputs["Normal"])
    return material


def fruit(kind: str, rng: random.Random, stem) -> bpy.types.Object:
    """Grow one fruit around its middle, with a stem or a navel."""
    sort = kind.split()[0]
    r = SIZES[sort]
    shape = FORMS[{"lime": "lemon"}.get(sort, sort)]
    item = shapes.lathe([(a * r, b * r) for a, b in shapes.rounded(shape, 5)], skin(kind, rng), 64,
                        sharp=180)  # fmt: skip
    lobes, shift = {"apple": 5, "pear": 3}.get(sort, 2), rng.uniform(0, 6)
    for vertex in item.data.vertices:
        turn = math.atan2(vertex.co.y, vertex.co.x)
        bulge = 1 + 0.022 * math.cos(lobes * turn + shift) + 0.03 * math.cos(turn + 2 * shift)
        if sort in ("peach", "plum"):  # The seam down one side.
            bulge -= 0.055 * math.exp(-((turn / 0.16) ** 2))
        vertex.co.x *= bulge
        vertex.co.y *= bulge
    if sort in ("apple", "pear"):
        foot = 0.50 * r if sort == "apple" else 1.38 * r
        lean = rng.uniform(-0.12, 0.12)
        rod = shapes.tube([(0, 0, foot), (lean * 0.3, 0, foot + 0.10), (lean, 0, foot + 0.24)],
                          0.016, stem, taper=1.3)  # fmt: skip
        rod.parent = item
    elif sort in ("orange", "lime"):
        top = 0.90 * r if sort == "orange" else 1.2 * r
        shapes.ball(0.03, stem, (0, 0, top), 16).parent = item
    return item


def bunch(rng: random.Random, kind: str, x: float, y: float, z: float, stem) -> None:
    """Lay a bunch of grapes over the rim: berries around a bending stalk."""
    pale = kind.endswith("green")
    colour = (0.34, 0.42, 0.08) if pale else (0.07, 0.012, 0.06)
    tint = (0.45, 0.52, 0.16) if pale else (0.16, 0.04, 0.12)
    grape = []
    for part in (0.0, 0.5, 1.0):
        shade = tuple(a + (b - a) * part for a, b in zip(colour, tint, strict=True))
        inner = {"Subsurface_Weight": 0.7, "Subsurface_Scale": 0.12, "Coat_Weight": 0.25}
        grape.append(materials.plain("grape", shade, 0.28, **inner))
    model = shapes.ball(0.115, grape[0], segments=32)
    model.hide_render = True
    out = Vector((x, y, 0)).normalized()
    spots: list[Vector] = []
    for _ in range(900):
        t = rng.random() ** 0.8
        middle = Vector((x, y, z + 0.12)) + out * (0.75 * t - 0.42) - Vector((0, 0, 0.62 * t * t))
        wide = 0.30 * (1 - 0.62 * t)
        spot = (
            middle + Vector((rng.gauss(0, 1), rng.gauss(0, 1), rng.gauss(0, 1))).normalized() * wide
        )
        if spot.z > 0.11 and all((spot - other).length > 0.178 for other in spots):
            spots.append(spot)
    for spot in spots:
        berry = shapes.copy(
            model, spot, rng.uniform(0, 6), rng.uniform(0.86, 1.06), rng.choice(grape)
        )
        berry.scale.z *= 1.12
    start = Vector((x, y, z + 0.15)) - out * 0.4
    shapes.tube([start, start + Vector((0, 0, 0.25)) - out * 0.05,
                 start + Vector((0.05, 0, 0.46)) - out * 0.14], 0.018, stem)  # fmt: skip


def bananas(rng: random.Random, stem) -> None:
    """Rest a hand of three bananas across the rim in front of the other fruit."""
    peel, graph, shader = materials.begin("peel")
    spots = graph.noise(7.0, graph.coordinates(), 6.0, 0.7, 0.2, rng.uniform(0, 9))
    colour = graph.mix(graph.smooth(spots, 0.60, 0.72), (0.80, 0.52, 0.05), (0.22, 0.10, 0.03))
    graph.tree.links.new(colour, shader.inputs["Base Color"])
    shader.inputs["Roughness"].default_value = 0.45
    for index in range(3):
        rows = []
        for step in range(41):
            t = step / 40
            bend = -0.95 + 1.9 * t
            centre = Vector((0.92 * math.sin(bend), 0, -0.92 * math.cos(bend) + 0.92))
            reach = 0.155 * (1 - (2 * t - 1) ** 6) ** 0.5 * (0.86 + 0.14 * math.sin(math.pi * t))
            reach = max(reach, 0.035)
            normal = Vector((-math.sin(bend), 0, math.cos(bend)))
            rows.append((centre, normal, reach))
        vertices, faces = [], []
        for row, (centre, normal, reach) in enumerate(rows):
            for side in range(20):
                turn = 2 * math.pi * side / 20
                edge = reach * (1 + 0.06 * math.cos(5 * turn))
                vertices.append(centre + normal * edge * math.cos(turn)
                                + Vector((0, edge * math.sin(turn), 0)))  # fmt: skip
            if row:
                for side in range(20):
                    a, b = 20 * row + side, 20 * row + (side + 1) % 20
                    faces.append((a - 20, b - 20, b, a))
        faces += [tuple(range(19, -1, -1)), tuple(range(20 * 40, 20 * 41))]
        item = shapes.add("banana", vertices, faces, peel)
        for place in (rows[0], rows[40]):
            shapes.ball(0.036, stem, place[0], 16).parent = item
        item.location = (-0.05, -0.55 + 0.27 * index, 0.80 + 0.06 * index)
        item.rotation_euler = (-0.55 + 0.22 * index, 0.10, 0.10 + 0.13 * index)


def vessel(kind: str | None) -> bpy.types.Object:
    """Make the bowl: a foot, a curved wall and a rounded rim; a coarse one to fall into."""
    material = {
        "white": lambda: materials.paint((0.76, 0.75, 0.72), 0.1),
        "blue": lambda: materials.paint((0.03, 0.12, 0.30), 0.12),
        "clay": lambda: materials.stone((0.45, 0.20, 0.11), (0.32, 0.13, 0.07), 3, 0.7, 0.15),
        "wood": lambda: materials.wood(
            (0.13, 0.055, 0.025), (0.38, 0.19, 0.09), 1.1, roughness=0.36
        ),
        "glass": lambda: materials.glass((0.93, 0.98, 0.97), ior=1.4, shadow=0.9),
        "brass": lambda: materials.metal((0.88, 0.64, 0.32), 0.26),
    }.get(kind, lambda: None)()
    outer = [(0.0, 0.02), (0.42, 0.0), (0.44, 0.05), (0.43, 0.09), (0.75, 0.20), (1.05, 0.42),
             (1.26, 0.72), (1.29, 0.755), (1.255, 0.77), (1.215, 0.745), (1.0, 0.48), (0.70, 0.27),
             (0.35, 0.165), (0.0, 0.15)]  # fmt: skip
    if kind is None:
        return shapes.lathe(outer, segments=28)
    return shapes.lathe(shapes.rounded(outer, 5), material, 128, sharp=180)


def build(seed: int) -> None:
    """Build one bowl of fruit."""
    rng = random.Random(f"fruit {seed}")
    kinds, bowl, top, wall, lit, lift = MOODS[seed % len(MOODS)]
    stem = materials.plain("stem", (0.07, 0.04, 0.015), 0.8)
    table = {
        "wood": lambda: materials.wood(planks=1.5, scale=0.5, roughness=0.4, offset=seed),
        "dark": lambda: materials.wood((0.02, 0.012, 0.008), (0.10, 0.05, 0.03), 0.5, 1.6, 0.3),
        "linen": lambda: materials.cloth((0.66, 0.60, 0.50), 26),
        "slate": lambda: materials.stone((0.13, 0.13, 0.14), (0.06, 0.06, 0.065), 0.9, 0.4, 0.15),
        "marble": lambda: materials.marble((0.66, 0.64, 0.61), scale=0.5, offset=seed),
        "paper": lambda: materials.plain("paper", tuple(0.4 + 0.5 * c for c in wall), 0.7),
    }[top]()
    floor = shapes.box((16, 7.5, 0.5), table, (0, 0.6, -0.5), 0.04)
    plaster = materials.stone(wall, tuple(0.86 * c for c in wall), 0.25, 0.95, 0.12)
    shapes.box((40, 0.2, 24), plaster, (0, 5.2, -9), 0)
    vessel(bowl)
    round_ones = [kind for kind in kinds if kind.split()[0] in SIZES] or ["plum"]
    grown, hulls = [], []
    count = {"plum": 17, "lemon": 15, "lime": 15}.get(round_ones[0].split()[0], 11)
    if "banana" in kinds:
        count = 6
    for index in range(count + 3):
        kind = round_ones[index % len(round_ones)]
        sort, size = kind.split()[0], SIZES[kind.split()[0]]
        form = FORMS[{"lime": "lemon"}.get(sort, sort)]
        hull = shapes.lathe([(0.98 * a * size, 0.98 * b * size) for a, b in form], segments=14)
        hull.hide_render = True
        if index < count:
            ring = 0.62 if index % 4 else 0.0
            turn = 2.4 * index
            spot = (ring * math.cos(turn), ring * math.sin(turn), 0.62 + 0.27 * index)
        else:  # Two or three lie on the table.
            side = (-1, 1, -1)[index - count]
            spot = (side * rng.uniform(1.68, 1.86), rng.uniform(-0.8, 0.2), 0.45)
            if index - count == 2:
                spot = (spot[0] + 0.9, -1.75, 0.45)
        hull.location = spot
        easy = kind.startswith(("apple", "peach", "pear"))
        hull.rotation_euler = [rng.gauss(0, 0.5 if easy else 2) for _ in range(3)]
        grown.append(kind)
        hulls.append(hull)
    basin = vessel(None)
    tumble(hulls, [basin, floor], 40 + 2 * count, 0.9)
    basin.hide_render = True
    for kind, hull in zip(grown, hulls, strict=True):
        fruit(kind, rng, stem).matrix_world = hull.matrix_world
    tall = max(hull.location.z for hull in hulls) + 0.3
    if "banana" in kinds:
        bananas(rng, stem)
    for index, kind in enumerate(k for k in kinds if k.startswith("grapes")):
        turn = math.radians((-60, -125)[index] + rng.uniform(-12, 12))
        bunch(rng, kind, 1.12 * math.cos(turn), 1.12 * math.sin(turn), 0.80, stem)
    side = rng.choice((-1, 1))
    if lit == "sun":
        sky.outdoors("golden", side * rng.uniform(75, 120), rng.uniform(26, 38), softness=1.5)
    else:
        warm = lit == "warm"
        sky.gradient((0.30, 0.22, 0.16) if warm else (0.6, 0.72, 0.9), (0.2, 0.16, 0.12), 0.3)
        key = (1.0, 0.74, 0.46) if warm else (0.96, 0.98, 1.0)
        stage.area((4.2 * side, -0.8, 3.0), (0, 0, 0.5), 520, 2.2, key, height=2.8)
        stage.area((-4 * side, -2.5, 2.0), (0, 0, 0.4), 60, 2.5, (1.0, 0.85, 0.7))
        stage.area((-2.2 * side, 3.6, 3.4), (0, 0, 0.6), 130, 0.8, (0.9, 0.95, 1.0))
    up, way = math.radians(lift), rng.uniform(-0.12, 0.12)
    away = rng.uniform(7.0, 7.8)
    stage.camera(
        (away * math.sin(way) * math.cos(up), -away * math.cos(way) * math.cos(up),
         0.5 + away * math.sin(up)),
        (0, 0, 0.34 * tall + 0.08), lens=50, fstop=0.14, focus=(0, -0.9, 0.7),
    )  # fmt: skip
    stage.fill(hulls, 0.09, slack=0.03)
    stage.expose(0.0)
