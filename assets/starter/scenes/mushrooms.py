"""Mushrooms on a mossy forest floor, low and near, the wood behind them a blur of light."""

import math
import random

import materials
import numpy as np
import shapes
import sky
import stage
import terrain
from mathutils import Euler, Matrix, Vector

MOSS, DRY, DEEP = (
    ((0.030, 0.075, 0.012), (0.12, 0.22, 0.035)),
    ((0.12, 0.085, 0.03), (0.30, 0.22, 0.09)),
    ((0.012, 0.040, 0.018), (0.045, 0.11, 0.04)),
)
RUST, GOLD, BROWN = (0.36, 0.10, 0.02), (0.62, 0.36, 0.04), (0.16, 0.08, 0.035)
# Sort, how many, hour, sun's azimuth, floor, fallen leaves, the wood behind, how high we look from.
MOODS = [
    ("toadstool", 3, "golden", -40, MOSS, RUST, (0.10, 0.15, 0.03), 9),
    ("boletus", 2, "morning", 60, MOSS, None, (0.05, 0.11, 0.03), 8),
    ("bells", 14, "golden", 25, DEEP, None, (0.02, 0.055, 0.035), 6),
    ("chanterelle", 9, "morning", -70, MOSS, GOLD, (0.09, 0.13, 0.03), 20),
    ("toadstool", 1, "rose", 35, DEEP, BROWN, (0.06, 0.05, 0.045), 5),
    ("parasol", 3, "golden", 75, DRY, GOLD, (0.22, 0.13, 0.03), 6),
    ("blue", 11, "dusk", 20, DEEP, None, (0.006, 0.020, 0.035), 7),
    ("boletus", 5, "golden", -30, DRY, RUST, (0.20, 0.09, 0.02), 16),
    ("white", 6, "morning", -50, MOSS, None, (0.06, 0.12, 0.05), 12),
    ("toadstool", 7, "morning", 95, MOSS, GOLD, (0.12, 0.16, 0.04), 18),
    ("bells", 24, "rose", -20, DRY, BROWN, (0.11, 0.07, 0.05), 10),
    ("blue", 5, "night", -35, MOSS, None, (0.004, 0.012, 0.022), 5),
    ("chanterelle", 5, "golden", 40, DRY, BROWN, (0.15, 0.10, 0.03), 8),
    ("parasol", 1, "morning", -85, MOSS, None, (0.07, 0.13, 0.05), 7),
    ("white", 10, "golden", 55, DEEP, RUST, (0.05, 0.06, 0.03), 22),
]
# Cap profile from the middle outwards, its height above the rim for one unit of radius.
CAPS = {
    "toadstool": [(0, 0.62), (0.25, 0.60), (0.55, 0.48), (0.85, 0.22), (0.98, 0.03), (1.0, -0.03)],
    "boletus": [(0, 0.66), (0.3, 0.64), (0.65, 0.52), (0.93, 0.24), (1.02, 0.02), (0.98, -0.10)],
    "bells": [(0, 1.25), (0.16, 1.20), (0.42, 0.95), (0.72, 0.48), (0.93, 0.12), (1.0, -0.02)],
    "chanterelle": [(0, -0.42), (0.2, -0.30), (0.5, -0.02), (0.8, 0.10), (0.98, 0.06), (1.02, 0)],
    "parasol": [(0, 0.50), (0.10, 0.48), (0.22, 0.38), (0.55, 0.27), (0.88, 0.10), (1.0, -0.02)],
    "white": [(0, 0.74), (0.3, 0.71), (0.62, 0.56), (0.88, 0.28), (1.0, 0.04), (0.97, -0.06)],
}
CAPS["blue"] = CAPS["bells"]
# Radius of the cap, height of the stem, its radius at foot, middle and top.
BUILDS = {
    "toadstool": (0.56, 0.85, (0.19, 0.105, 0.085)),
    "boletus": (0.56, 0.62, (0.30, 0.27, 0.18)),
    "bells": (0.17, 0.62, (0.028, 0.022, 0.018)),
    "blue": (0.26, 0.72, (0.040, 0.030, 0.024)),
    "chanterelle": (0.46, 0.55, (0.09, 0.12, 0.22)),
    "parasol": (0.72, 1.25, (0.11, 0.055, 0.05)),
    "white": (0.42, 0.46, (0.14, 0.12, 0.11)),
}
TONES = {
    "toadstool": ((0.62, 0.012, 0.008), (0.72, 0.10, 0.02)),
    "boletus": ((0.16, 0.055, 0.018), (0.34, 0.15, 0.05)),
    "bells": ((0.38, 0.20, 0.08), (0.70, 0.56, 0.36)),
    "blue": ((0.02, 0.16, 0.55), (0.10, 0.55, 0.85)),
    "chanterelle": ((0.78, 0.34, 0.02), (0.86, 0.50, 0.06)),
    "parasol": ((0.22, 0.12, 0.06), (0.66, 0.54, 0.38)),
    "white": ((0.72, 0.66, 0.56), (0.84, 0.80, 0.72)),
}


def skin(kind: str, radius: float, offset: float):
    """Make a cap's skin: darker in the middle, mottled, light passing through its rim."""
    material, graph, shader = materials.begin("cap")
    place = graph.coordinates()
    x, y, _ = graph.split(place)
    out = graph.math("DIVIDE", graph.vector("LENGTH", graph.join(x, y, 0)), radius)
    mottle = graph.noise(5.0 / radius * 0.4, place, 6.0, 0.6, 0.4, offset)
    streak = graph.math("MULTIPLY", graph.math("SUBTRACT", mottle, 0.5), 1.1)
    colour = graph.mix(graph.smooth(graph.math("ADD", out, streak), 0.15, 1.1), *TONES[kind])
    if kind == "parasol":  # Scales that tear open towards the rim.
        cells = graph.node("TexVoronoi", Vector=place, Scale=9.0 / radius).outputs["Distance"]
        scale = graph.smooth(graph.math("ADD", cells, graph.math("MULTIPLY", out, 0.25)), 0.4, 0.55)
        colour = graph.mix(scale, TONES[kind][0], colour)
    graph.tree.links.new(colour, shader.inputs["Base Color"])
    if kind in ("blue", "bells"):
        glow = 0.5 if kind == "blue" else 0.06
        graph.tree.links.new(colour, shader.inputs["Emission Color"])
        shader.inputs["Emission Strength"].default_value = glow
    shader.inputs["Roughness"].default_value = {"toadstool": 0.28, "boletus": 0.38}.get(kind, 0.5)
    shader.inputs["Coat Weight"].default_value = 0.5 if kind in ("toadstool", "boletus") else 0.1
    shader.inputs["Subsurface Weight"].default_value = 0.5
    shader.inputs["Subsurface Scale"].default_value = 0.12 * radius
    graph.tree.links.new(graph.bump(mottle, 0.3, 0.03 * radius), shader.inputs["Normal"])
    material.cycles.emission_sampling = "NONE"
    return material


def gills(kind: str):
    """Make the underside: blades that run from stem to rim, or a sponge."""
    material, graph, shader = materials.begin("gills")
    tone = {"boletus": (0.56, 0.46, 0.16), "blue": (0.15, 0.55, 0.85), "white": (0.42, 0.24, 0.18)}
    x, y, _ = graph.split(graph.coordinates())
    turn = graph.math("MULTIPLY", graph.math("ARCTAN2", y, x), 64.0)
    blade = graph.math("SINE", turn)
    pale = tone.get(kind, (0.76, 0.68, 0.50) if kind != "chanterelle" else (0.80, 0.42, 0.05))
    if kind == "boletus":
        blade = graph.noise(60.0, graph.coordinates(), 2.0)
    dark = tuple(0.45 * c for c in pale)
    graph.tree.links.new(
        graph.mix(graph.smooth(blade, -0.8, 0.7), dark, pale), shader.inputs["Base Color"]
    )
    if kind == "blue":
        shader.inputs["Emission Color"].default_value = (0.1, 0.6, 1.0, 1)
        shader.inputs["Emission Strength"].default_value = 1.0
    shader.inputs["Roughness"].default_value = 0.7
    graph.tree.links.new(graph.bump(blade, 0.8, 0.012), shader.inputs["Normal"])
    material.cycles.emission_sampling = "NONE"
    return material


def flesh(kind: str):
    """Make the stem: pale fibres that run upwards."""
    material, graph, shader = materials.begin("stem")
    pair = {
        "blue": ((0.10, 0.25, 0.40), (0.35, 0.62, 0.75)),
        "bells": ((0.30, 0.19, 0.11), (0.66, 0.55, 0.40)),
        "chanterelle": ((0.72, 0.36, 0.04), (0.86, 0.58, 0.14)),
        "boletus": ((0.52, 0.40, 0.24), (0.76, 0.68, 0.52)),
    }.get(kind, ((0.58, 0.52, 0.42), (0.82, 0.79, 0.72)))
    fibre = graph.noise(9.0, graph.stretch(graph.coordinates(), (1, 1, 0.12)), 6.0, 0.65)
    graph.tree.links.new(
        graph.mix(graph.smooth(fibre, 0.35, 0.65), *pair), shader.inputs["Base Color"]
    )
    shader.inputs["Roughness"].default_value = 0.65
    shader.inputs["Subsurface Weight"].default_value = 0.4
    shader.inputs["Subsurface Scale"].default_value = 0.04
    graph.tree.links.new(graph.bump(fibre, 0.5, 0.02), shader.inputs["Normal"])
    return material


def warts(rng: random.Random, profile, radius: float) -> list[tuple[Vector, float]]:
    """Give places and sizes of the white flakes on a toadstool's cap."""
    spots: list[tuple[Vector, float]] = []
    for _ in range(400):
        part, turn = math.sqrt(rng.random()) * 0.97, rng.uniform(0, 6.283)
        height = float(np.interp(part, [p[0] for p in profile], [p[1] for p in profile]))
        place = Vector((part * math.cos(turn), part * math.sin(turn), height)) * radius
        size = radius * rng.uniform(0.045, 0.10) * (1.1 - 0.45 * part)
        if all((place - other).length > 1.5 * (size + far) for other, far in spots):
            spots.append((place, size))
    return spots


def mushroom(rng: random.Random, kind: str, place: Vector, size: float, stuff, young: float):
    """Grow one mushroom; young 0..1 closes its cap and thickens its stem."""
    cap_skin, under, body, white = stuff
    radius, tall, (foot, middle, neck) = BUILDS[kind]
    radius *= 1 - 0.35 * young
    lift = 1 + 0.55 * young
    profile = [(a, b * lift) for a, b in CAPS[kind]]
    curve = [(a * radius, b * radius) for a, b in shapes.rounded(profile, 5)]
    funnel = kind == "chanterelle"
    parts = [shapes.lathe(curve[::-1], cap_skin, 72, sharp=180)]
    rim = curve[-1]
    inner = -0.62 * radius if funnel else (-0.02 if kind != "boletus" else -0.10) * radius
    below = [(0, inner + 0.02), (neck * 0.9, inner), (0.55 * radius, 0.10 * radius * (not funnel)),
             (0.86 * radius, 0.0), rim]  # fmt: skip
    if funnel:
        below = [(neck * 0.6, -0.75 * radius), (0.55 * radius, -0.24 * radius), rim]
    parts.append(shapes.lathe(shapes.rounded(below, 4), under, 72, sharp=180))
    wave, shift = (0.11 if funnel else 0.025), rng.uniform(0, 6)
    for part in parts:
        for vertex in part.data.vertices:
            turn, out = math.atan2(vertex.co.y, vertex.co.x), vertex.co.xy.length / radius
            ripple = math.cos(3 * turn + shift) + 0.7 * math.cos(5 * turn + 2 * shift)
            vertex.co.z += wave * radius * ripple * out**2
            vertex.co.xy *= 1 + 0.6 * wave * math.cos(2 * turn + shift) * out
    if kind == "toadstool":
        for spot, wide in warts(rng, profile, radius):
            flake = shapes.ball(wide, white, spot, 16)
            flake.scale = (rng.uniform(0.8, 1.2), rng.uniform(0.8, 1.2), 0.45)
            out = spot.xy.length / radius
            tilt = Vector((spot.x, spot.y, max(radius * (1.15 - out), 0.01)))
            flake.rotation_euler = tilt.to_track_quat("Z", "Y").to_euler()
            parts.append(flake)
    top = tall + (0.62 * radius if funnel else 0.0)
    stem = [(0, -0.25), (foot * 0.8, -0.25), (foot, 0.02), (foot * 0.85, 0.12 * tall),
            (middle, 0.42 * tall), (neck, 0.9 * tall), (neck, top + 0.06)]  # fmt: skip
    fat = 1 + 0.25 * young
    stalk = [(a * fat, b) for a, b in shapes.rounded(stem, 4)]
    trunk = shapes.lathe([*stalk, (0, top + 0.06)], body, 40, sharp=180)
    bend = rng.gauss(0, 0.10) * (2.0 if kind in ("bells", "blue") else 1.0)
    for vertex in trunk.data.vertices:
        vertex.co.x += bend * max(vertex.co.z, 0) ** 2 / tall
    crown = (
        Matrix.Translation((bend * top**2 / tall, 0, top))
        @ Euler((rng.gauss(0, 0.07), 1.6 * bend + rng.gauss(0, 0.05), 0)).to_matrix().to_4x4()
    )
    if kind in ("toadstool", "parasol") and young < 0.6:  # The torn veil around the stem.
        level = 0.66 * tall
        skirt = [(neck, level + 0.03), (neck * 1.5, level), (neck * 2.1, level - 0.10)]
        veil = shapes.lathe(shapes.rounded(skirt, 4), white, 40, sharp=180)
        for vertex in veil.data.vertices:
            turn = math.atan2(vertex.co.y, vertex.co.x)
            vertex.co.z += 0.014 * math.sin(7 * turn + shift)
            vertex.co.x += bend * vertex.co.z**2 / tall
        parts_below = [trunk, veil]
    else:
        parts_below = [trunk]
    whole = (
        Matrix.Translation(place)
        @ Euler((rng.gauss(0, 0.05), rng.gauss(0, 0.05), rng.uniform(0, 6.283)))
        .to_matrix()
        .to_4x4()
        @ Matrix.Scale(size, 4)
    )
    for part in parts:
        part.matrix_world = whole @ crown @ part.matrix_basis
    for part in parts_below:
        part.matrix_world = whole


def leaf(rng: random.Random, material):
    """Make one fallen leaf of unit length, curled."""
    curl, rows = rng.uniform(0.3, 1.0), []
    for step in range(9):
        t = step / 8
        wide = 0.30 * math.sin(math.pi * t**0.8) ** 0.8
        bow = curl * 0.30 * (2 * t - 1) ** 2
        rows.append(
            [(s * wide, t - 0.5, bow + 0.5 * curl * wide * s * s) for s in (-1, -0.5, 0, 0.5, 1)]
        )
    return terrain.sheet("leaf", np.array(rows), material)


def wood(rng: random.Random, tint, sun, dark: bool) -> None:
    """Hang the wood's blur behind: a curtain of leaves, trunks, and the light between them."""
    material, graph, shader = materials.begin("wood")
    graph.tree.nodes.remove(shader)
    place = graph.coordinates()
    shade = graph.noise(0.16, place, 5.0, 0.55, 0.3, rng.uniform(0, 50))
    rise = graph.smooth(graph.split(place)[2], -2.0, 14.0)
    light = tuple(2.6 * c for c in tint)
    colour = graph.mix(graph.smooth(shade, 0.36, 0.66), tuple(0.35 * c for c in tint), light)
    colour = graph.mix(graph.math("MULTIPLY", rise, 0.5), colour, light)
    output = next(n for n in graph.tree.nodes if n.type == "OUTPUT_MATERIAL").inputs["Surface"]
    graph.tree.links.new(graph.node("Emission", Color=colour).outputs[0], output)
    material.cycles.emission_sampling = "NONE"
    curtain = shapes.box((120, 0.1, 60), material, (0, 34, -8), 0)
    curtain.visible_shadow = curtain.visible_diffuse = False
    bark = materials.stone(tuple(0.04 + 0.5 * c for c in tint), (0.02, 0.017, 0.014), 0.6, 0.9)
    for _ in range(rng.randint(5, 9)):
        x, y = rng.uniform(-15, 15), rng.uniform(9, 26)
        width = rng.uniform(0.35, 0.9)
        rod = shapes.tube([(x, y, -2), (x + rng.gauss(0, 0.5), y, 20)], width, bark, 6)
        rod.visible_shadow = False
    for _ in range(70 if not dark else 34):
        shine = materials.glow("gap", sun, rng.uniform(1.0, 5.0) if not dark else rng.uniform(1, 3))
        spot = (rng.gauss(0, 11), rng.uniform(22, 33), abs(rng.gauss(4, 4.5)))
        gap = shapes.ball(rng.uniform(0.06, 0.22), shine, spot, 12)
        gap.visible_shadow = False


def build(seed: int) -> None:
    """Build one group of mushrooms."""
    rng, draw = random.Random(f"mushrooms {seed}"), np.random.default_rng(seed)
    kind, count, hour, azimuth, tones, fallen, tint, lift = MOODS[seed % len(MOODS)]
    dark = hour in ("dusk", "night")
    sky.outdoors(hour, azimuth, None if dark else rng.uniform(20, 32), softness=2.5)

    def height(x, y):
        mound = 0.35 * np.exp(-(x**2 + (y - 0.4) ** 2) / 3.5)
        return mound + 0.16 * terrain.fractal(x / 2.6, y / 2.6, seed, 4) - 0.02 * np.abs(x)

    soil = materials.ground(
        tuple(0.7 * c for c in tones[0]), (0.06, 0.04, 0.02), bump=0.8, grain=6, speckle=0.4
    )
    terrain.patch(height, soil, 44, 60, 420, (0, 20))
    moss = materials.foliage(*tones, spread=0.35, leaf=0.35)
    tufts = [shapes.grass(rng, moss, 70, rng.uniform(0.10, 0.17), 0.10, 0.009) for _ in range(4)]
    x, y = terrain.places(draw, 5200, 0.2, 16, 74, 0.35)
    y = y - 5.2
    terrain.scatter(draw, tufts, x, y, height, (0.6, 1.3), 0.2)
    blades = [shapes.grass(rng, moss, 9, 0.75, 0.10, 0.012) for _ in range(3)]
    x, y = draw.uniform(-6, 6, 70), draw.uniform(-1.6, 9, 70)
    clear = np.hypot(x, y) > 1.3
    terrain.scatter(draw, blades, x[clear], y[clear], height, (0.6, 1.3), 0.1)
    if fallen:
        for tone in (1.0, 0.6):
            sheet = materials.foliage(
                tuple(0.5 * tone * c for c in fallen), tuple(tone * c for c in fallen), leaf=0.3
            )
            models = [leaf(rng, sheet) for _ in range(4)]
            x, y = draw.uniform(-7, 7, 130), draw.uniform(-3.4, 9, 130)
            terrain.scatter(
                draw, models, x, y, lambda x, y: height(x, y) + 0.09, (0.22, 0.42), 0.35
            )
    radius, tall, _ = BUILDS[kind]
    white = materials.plain("veil", (0.80, 0.77, 0.68), 0.7, Subsurface_Weight=0.3)
    stuff = (skin(kind, radius, seed), gills(kind), flesh(kind), white)
    wide = radius * (0.9 + 1.15 * math.sqrt(count))
    spots = shapes.settle(draw, [0.72 * radius] * count, 1.7 * wide, 0.9 * wide, 0.0)
    high, near = 0.0, None
    for index, (x, y) in enumerate(spots):
        level = float(height(np.array([x]), np.array([y]))[0])
        young = 0.0 if index == 0 else rng.random() ** 1.6
        size = (1.12 if index == 0 else rng.uniform(0.62, 1.0)) * (1 - 0.3 * young)
        mushroom(rng, kind, Vector((x, y, level - 0.02)), size, stuff, young)
        high = max(high, level + size * (tall + 0.6 * radius))
        if near is None or y < near[1]:
            near = (x, y, level + 0.6 * size * tall)
    if kind == "blue":
        for x, y in spots:
            stage.point((x, y, 0.95), 1.5, (0.15, 0.55, 1.0), 0.15)
    suns = {"golden": (1.0, 0.80, 0.42), "morning": (0.85, 0.95, 0.62), "rose": (1.0, 0.66, 0.5)}
    wood(rng, tint, suns.get(hour, (0.25, 0.5, 0.8)), dark)
    if not dark:
        stage.area((2.5, -3.0, 2.5), (0, 0, 0.6), 26, 2.5, (0.85, 0.95, 1.0))
    up, turn = math.radians(lift), rng.uniform(-0.2, 0.2)
    away = 2.4 + 1.45 * max(high, 1.4 * wide)
    across = [x for x, _ in spots]
    aim = Vector(((min(across) + max(across)) / 2, 0, 0.16 + 0.42 * high))
    eye = Vector((math.sin(turn) * math.cos(up), -math.cos(turn) * math.cos(up), math.sin(up)))
    stage.camera(aim + away * eye, aim, lens=50, fstop=0.10, focus=near)
    stage.haze(26, tuple(1.4 * c for c in tint), start=away + 2, most=0.8)
    stage.bloom(0.25, 1.6, 0.5)
    stage.expose({"night": 1.6, "dusk": 0.9}.get(hour, 0.15))
