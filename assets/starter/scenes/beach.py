"""A sandy beach: surf, wet sand, palms, rocks or dune grass, at several hours and from above."""

import math
import random

import materials
import numpy as np
import shapes
import sky
import stage
import terrain
from mathutils import Vector

# Hour, sun's azimuth, clouds, view (along the shore to a side, out to sea, from above), what
# stands there, the water.
MOODS = [
    ("noon", 120, 0.40, "left", "palms", "lagoon"),
    ("sunset", -8, 0.40, "out", "", "grey"),
    ("morning", -75, 0.30, "right", "grass", "blue"),
    ("golden", 70, 0.45, "out", "parasol", "lagoon"),
    ("rose", -35, 0.35, "left", "rocks", "grey"),
    ("noon", -110, 0.15, "above", "palms", "lagoon"),
    ("storm", -60, 0.80, "right", "rocks", "grey"),
    ("sunset", 16, 0.30, "right", "palms", "blue"),
    ("morning", 95, 0.60, "out", "grass", "lagoon"),
    ("dusk", -14, 0.25, "left", "palms", "blue"),
    ("noon", 80, 0.55, "right", "parasol", "lagoon"),
    ("golden", -85, 0.20, "above", "rocks", "blue"),
    ("overcast", 40, 0.70, "left", "grass", "grey"),
    ("golden", -50, 0.55, "right", "palms", "lagoon"),
    ("dawn", 12, 0.50, "out", "rocks", "grey"),
]
WATERS = {
    "lagoon": ((0.006, 0.11, 0.24), (0.03, 0.42, 0.44)),
    "blue": ((0.008, 0.05, 0.15), (0.05, 0.24, 0.28)),
    "grey": ((0.015, 0.045, 0.07), (0.08, 0.15, 0.15)),
}


def remembered(compute):
    """Keep a function's answers for whole grids, which several masks ask for."""
    known: dict = {}

    def ask(x, y):
        key = (np.shape(x), float(np.sum(x)), float(np.sum(y)))
        if key not in known:
            known[key] = compute(x, y)
        return known[key]

    return ask


def shore(seed: int, view: str, rng: random.Random):
    """Give the way to the water (positive on land) and the height of the land."""
    side = {"left": -1, "right": 1}.get(view, rng.choice((-1, 1)))
    bend, near = rng.uniform(0.5, 1.0), rng.uniform(2.0, 3.5)
    cape = (side * rng.uniform(60, 320), rng.uniform(1100, 1700))

    @remembered
    def inland(x, y):
        wave = 1.6 * terrain.noise(x / 9, y / 9, seed) + 0.5 * terrain.noise(x / 3, y / 3, seed + 1)
        if view == "out":
            line = 9.5 + 0.10 * side * x + 0.004 * x * x
            return line - y + wave
        if view == "above":  # The viewer hovers over the water's edge.
            return -side * x - 0.15 * (y - 90) + 14 * np.sin(y / 55 + seed) + 2 * wave
        # The bay swings round in front of the viewer, so that the shore leads into the picture.
        curve = 0.12 * y - near - bend * 150 * terrain.smooth(y, 60, 520) ** 2
        return -side * x - curve + wave

    @remembered
    def height(x, y):
        d = inland(x, y)
        up = np.maximum(d, 0)
        beach = 0.075 * up - 0.035 * np.maximum(up - 14, 0) + 0.055 * np.minimum(d, 0)
        dunes = terrain.smooth(d, 16, 60) * (2.5 + 3.5 * terrain.fractal(x / 30, y / 30, seed, 4))
        beach = np.maximum(beach, -4) + dunes
        beach += 0.05 * terrain.fractal(x / 1.7, y / 1.7, seed, 2) * terrain.smooth(d, 2, 8)
        far = np.exp(-(((x - cape[0]) / 330) ** 2) - ((y - cape[1]) / 260) ** 2)
        rise = far * 120 * (0.8 + 0.6 * terrain.fractal(x / 240, y / 240, seed, 5))
        hills = terrain.smooth(d, 120, 700) * (
            60 + 70 * terrain.fractal(x / 300, y / 300, seed + 5, 5)
        )
        return np.where(d < 0, np.maximum(beach, rise - 6), beach + rise + np.maximum(hills, 0))

    return inland, height


def sand(colour, offset: float):
    """Make sand that darkens and shines where the sea has just been, green far inland."""
    material, graph, shader = materials.begin("beach")
    place = graph.node("NewGeometry").outputs["Position"]
    wet = graph.attribute("wet")
    grit = graph.noise(30.0, place, 4.0, offset=offset)
    broad = graph.noise(0.5, place, 6.0, 0.6, 0.5, offset)
    tone = graph.math("ADD", graph.math("MULTIPLY", grit, 0.5), graph.math("MULTIPLY", broad, 0.5))
    dry = graph.mix(graph.smooth(tone, 0.35, 0.65), tuple(0.72 * c for c in colour), colour)
    damp = tuple(c * w for c, w in zip(colour, (0.36, 0.33, 0.30), strict=True))
    shade = graph.mix(wet, dry, damp)
    leaf = graph.mix(graph.smooth(broad, 0.4, 0.6), (0.02, 0.05, 0.015), (0.07, 0.11, 0.03))
    shade = graph.mix(graph.attribute("green"), shade, leaf)
    materials.set_input(graph.tree, shader.inputs["Base Color"], shade)
    rough = graph.math("SUBTRACT", 0.95, graph.math("MULTIPLY", wet, 0.80))
    materials.set_input(graph.tree, shader.inputs["Roughness"], rough)
    materials.set_input(
        graph.tree,
        shader.inputs["Specular IOR Level"],
        graph.math("ADD", 0.12, graph.math("MULTIPLY", wet, 0.5)),
    )
    lumps = graph.noise(3.5, place, 6.0, 0.62, 0.4, offset)
    relief = graph.math("ADD", lumps, graph.math("MULTIPLY", grit, 0.08))
    dull = graph.math("SUBTRACT", 0.75, graph.math("MULTIPLY", wet, 0.70))
    materials.set_input(graph.tree, shader.inputs["Normal"], graph.bump(relief, dull, 0.09))
    return material


def sea(kind: str, offset: float):
    """Make water that is clear over the sand, with foam where its mask and a lace agree."""
    material, graph, shader = materials.begin("sea")
    deep, clear = WATERS[kind]
    place = graph.node("NewGeometry").outputs["Position"]
    shoal = graph.attribute("shoal")
    patch = graph.noise(0.02, place, 4.0, 0.6, 0, offset)
    tint = graph.math("ADD", shoal, graph.math("MULTIPLY", graph.math("SUBTRACT", patch, 0.5), 0.5))
    colour = graph.mix(graph.smooth(tint, 0.05, 0.75), deep, clear)
    colour = graph.mix(graph.smooth(shoal, 0.82, 1.0), colour, (0.34, 0.36, 0.27))
    lace = graph.noise(0.9, place, 9.0, 0.68, 1.3, offset)
    foam = graph.smooth(graph.math("ADD", graph.attribute("foam"), lace), 0.95, 1.15)
    materials.set_input(
        graph.tree, shader.inputs["Base Color"], graph.mix(foam, colour, (0.82, 0.86, 0.87))
    )
    rough = graph.math("ADD", 0.06, graph.math("MULTIPLY", foam, 0.7))
    materials.set_input(graph.tree, shader.inputs["Roughness"], rough)
    shader.inputs["IOR"].default_value = 1.33
    chop = graph.noise(1.3, graph.stretch(place, (0.7, 1.2, 1)), 6.0, 0.58, 0.4, offset)
    depth = graph.node("CameraData").outputs["View Distance"]
    strength = graph.math("DIVIDE", 45.0, graph.math("ADD", depth, 70.0))
    relief = graph.math("ADD", chop, graph.math("MULTIPLY", foam, 0.25))
    materials.set_input(graph.tree, shader.inputs["Normal"], graph.bump(relief, strength, 0.30))
    return material


def surf(inland, height, seed: int, rng: random.Random, kind: str) -> None:
    """Lay the sea with breakers that steepen towards the shore."""
    length, tall, phase = rng.uniform(11, 17), rng.uniform(0.35, 0.6), rng.uniform(0, 6)

    @remembered
    def crest(x, y):
        d = inland(x, y) * 0.9 + 2.2 * terrain.noise(x / 26, y / 26, seed + 8)
        turn = 2 * math.pi * d / length + phase
        return np.exp(3.0 * (np.sin(turn) - 1)), np.cos(turn), d

    @remembered
    def strip(x, y):
        _, _, d = crest(x, y)
        broken = 0.55 + 0.6 * terrain.noise(x / 21, y / 21, seed + 4)
        return terrain.smooth(-d, 3, 14) * terrain.smooth(-d, 75, 30) * np.clip(broken, 0, 1)

    def level(x, y):
        peak, _, _ = crest(x, y)
        far = np.exp(-np.hypot(x, y) / 400)
        swell = 0.10 * terrain.fractal(x / 7, y / 11, seed + 2, 3) * far
        return swell * terrain.smooth(-inland(x, y), 1, 12) + tall * peak * strip(x, y)

    def foam(x, y):
        peak, lead, d = crest(x, y)
        edge = terrain.smooth(height(x, y), -0.26, -0.03)
        wash = 0.25 * terrain.smooth(-d, 26, 4)
        trail = np.exp(2.2 * (np.sin(np.arcsin(np.clip(lead, -1, 1)) * 0.9 + 1.2) - 1))
        return np.clip(0.62 * edge + wash + strip(x, y) * (0.75 * peak + 0.22 * trail), 0, 1)

    terrain.fan(
        level, sea(kind, seed), 1.5, 14000, 100, 520, 320,
        masks={"foam": foam, "shoal": lambda x, y: np.exp(np.minimum(height(x, y), 0) / 1.1)},
    )  # fmt: skip


def palm(rng: random.Random, leaves, bark):
    """Make a palm of height one: a leaning trunk and a crown of feathered fronds."""
    lean = rng.uniform(0.12, 0.36)
    trunk = [Vector((lean * t**1.7, 0, t)) for t in np.linspace(-0.06, 0.86, 14).clip(0)]
    trunk[0].z = -0.1
    vertices, faces, slots = [], [], []
    for row, place in enumerate(trunk):
        width = 0.020 - 0.009 * row / 13 + (0.012 if row < 2 else 0)
        for side in range(8):
            turn = math.pi * side / 4
            vertices.append(place + Vector((width * math.cos(turn), width * math.sin(turn), 0)))
        if row:
            for side in range(8):
                a, b = 8 * row + side, 8 * row + (side + 1) % 8
                faces.append((a - 8, b - 8, b, a))
                slots.append(1)
    top, count = trunk[-1], rng.randint(15, 20)
    for index in range(count):
        turn = 2.4 * index + rng.uniform(-0.2, 0.2)
        rise, long = rng.uniform(-0.15, 0.85), rng.uniform(0.30, 0.42)
        out = Vector((math.cos(turn), math.sin(turn), 0))
        spine, place = [top], top
        for step in range(16):
            pitch = rise - 1.9 * (step / 16) ** 1.2
            place = place + (out * math.cos(pitch) + Vector((0, 0, math.sin(pitch)))) * long / 16
            spine.append(place)
        for step in range(1, 17):
            along = (spine[step] - spine[step - 1]).normalized()
            size = 0.13 * math.sin(math.pi * (0.12 + 0.84 * step / 17)) ** 0.7
            for hand in (-1, 1):
                way = Vector((-out.y, out.x, 0)) * hand * 0.8 + along * 0.55
                tip = spine[step] + way * size - Vector((0, 0, size * rng.uniform(0.35, 0.7)))
                first = len(vertices)
                half = along * 0.009
                vertices.extend((spine[step] - half, spine[step] + half, tip + half * 0.3))
                faces.append((first, first + 1, first + 2))
                slots.append(0)
    item = shapes.add("palm", vertices, faces)
    item.data.materials.append(leaves)
    item.data.materials.append(bark)
    item.data.polygons.foreach_set("material_index", slots)
    return item


def parasol(rng: random.Random, x: float, y: float, z: float, colours) -> None:
    """Plant a striped parasol with two deck mattresses below it."""
    pole = materials.wood((0.3, 0.2, 0.1), (0.6, 0.45, 0.28), 4)
    shapes.lathe([(0, -0.4), (0.03, -0.4), (0.025, 2.35), (0, 2.38)], pole, 16, (x, y, z))
    profile = shapes.rounded([(0, 2.35), (0.5, 2.26), (1.0, 2.05), (1.45, 1.74)], 3)
    roof = shapes.lathe([*profile, (1.43, 1.62)], materials.cloth(colours[0], 60), 48, (x, y, z))
    roof.data.materials.append(materials.cloth(colours[1], 60))
    for face in roof.data.polygons:
        turn = math.atan2(face.center.y, face.center.x)
        face.material_index = int(turn / (2 * math.pi) * 12 + 12) % 2
    roof.rotation_euler = (rng.gauss(0, 0.02), 0.05, rng.uniform(0, 3))
    for side in (-1, 1):
        mat = shapes.box((0.62, 1.7, 0.12), materials.cloth(colours[0], 40),
                         (x + 0.75 * side, y - 0.2, z + 0.03), 0.05)  # fmt: skip
        mat.rotation_euler.z = 0.12 * side
        shapes.box((0.5, 0.26, 0.12), materials.cloth(colours[1], 40),
                   (x + 0.75 * side, y + 0.45, z + 0.13), 0.055, 0.12 * side)  # fmt: skip


def build(seed: int) -> None:
    """Build one beach."""
    rng, draw = random.Random(f"beach {seed}"), np.random.default_rng(seed)
    hour, azimuth, clouds, view, thing, kind = MOODS[seed % len(MOODS)]
    sky.outdoors(
        hour, azimuth, clouds=clouds, offset=seed * 2.9, stars=0.3 if hour == "dusk" else 0,
        disc=1.0 if hour == "sunset" and view == "out" else 0,
    )  # fmt: skip
    inland, height = shore(seed, view, rng)
    colour = rng.choice([(0.76, 0.62, 0.43), (0.80, 0.70, 0.54), (0.68, 0.53, 0.35)])
    masks = {
        "wet": lambda x, y: terrain.smooth(
            height(x, y) + 0.10 * terrain.noise(x / 4, y / 4, seed + 3), 0.27, 0.08
        ),
        "green": lambda x, y: np.maximum(
            terrain.smooth(inland(x, y), 34, 60), terrain.smooth(height(x, y), 6, 10)
        ),
    }
    terrain.fan(height, sand(colour, seed), 1.0, 6000, 100, 420, 340, masks=masks)
    surf(inland, height, seed, rng, kind)
    above = view == "above"
    x, y = terrain.places(draw, 6000, 9, 260 if not above else 330, 80)
    d = inland(x, y)
    if thing == "palms":
        leaves = materials.foliage((0.02, 0.06, 0.012), (0.07, 0.15, 0.03), leaf=0.35)
        bark = materials.stone((0.24, 0.18, 0.13), (0.12, 0.09, 0.07), 3)
        models = [palm(rng, leaves, bark) for _ in range(5)]
        grove = (d > 10) & (d < 75) & (y > 14)
        terrain.scatter(draw, models, x[grove][:150], y[grove][:150], height, (7, 12), 0.08)
        scrub = [shapes.grass(rng, leaves, 60, 0.9, 0.5, 0.03) for _ in range(3)]
        low = (d > 22) & (d < 90)
        terrain.scatter(draw, scrub, x[low][:700], y[low][:700], height, (0.8, 1.8))
    if thing == "rocks":
        stone = materials.stone((0.17, 0.15, 0.14), (0.06, 0.055, 0.05), 0.9)
        models = [shapes.rock(rng, stone, rng.uniform(0.6, 0.9)) for _ in range(5)]
        group = (terrain.noise(x / 22, y / 22, seed + 6) > 0.10) & (d > -22) & (d < 7) & (y > 13)
        terrain.scatter(draw, models, x[group][:60], y[group][:60], height, (0.5, 2.8), 0.2, 0.3)
    if thing == "grass" or above:
        tone = ((0.16, 0.15, 0.05), (0.40, 0.36, 0.15))
        models = [shapes.grass(rng, materials.foliage(*tone), 60, 0.8, 0.22) for _ in range(4)]
        x, y = terrain.places(draw, 16000, 2.5, 120, 85)
        d = inland(x, y)
        dune = (terrain.noise(x / 6, y / 6, seed + 6) > 0.02) & (d > (5 if view == "out" else 9))
        terrain.scatter(draw, models, x[dune][:3500], y[dune][:3500], height, (0.5, 1.2), 0.1)
    if thing == "parasol":
        colours = stage.deal(seed, "cloth", [((0.70, 0.06, 0.04), (0.80, 0.78, 0.72)),
                                             ((0.04, 0.25, 0.50), (0.80, 0.76, 0.62))])  # fmt: skip
        spots = [(s * rng.uniform(1.8, 3.2), rng.uniform(8, 9.5)) for s in (rng.choice((-1, 1)),)]
        if view != "out":
            side = -1 if view == "right" else 1
            spots = [(side * (3.6 + 1.4 * k + 0.10 * k), 11.0 + 7 * k) for k in range(5)]
        for x, y in spots:
            parasol(rng, x, y, float(height(np.array([x]), np.array([y]))[0]), colours)
    eye = max(float(height(np.array([0.0]), np.array([1.0]))[0]), 0) + rng.uniform(1.5, 2.3)
    if above:
        eye = rng.uniform(38, 55)
        stage.camera((0, 0, eye), (0, 100, eye - 50), lens=28)
    else:
        stage.camera((0, 0, eye), (0, 100, eye - rng.uniform(2, 8)), lens=rng.choice((26, 30, 35)))
    stage.haze(3500 if hour not in ("dawn", "overcast", "storm") else 1500)
    stage.expose({"dusk": 0.9, "noon": -0.25, "storm": 0.4}.get(hour, 0.0))
