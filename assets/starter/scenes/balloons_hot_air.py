"""Hot-air balloons over misty valleys, meadows, deserts, lakes and mountains."""

import math
import random

import bpy
import materials
import numpy as np
import shapes
import sky
import stage
import terrain
from nodes import Graph

# Hour, sun's azimuth, clouds, land, mist, how many, the nearest one's width in the frame.
MOODS = [
    ("golden", 75, 0.30, "valley", 0.8, 12, 0.20),
    ("dawn", -60, 0.35, "desert", 0.3, 22, 0.16),
    ("morning", -100, 0.45, "meadow", 0.0, 3, 0.32),
    ("rose", 100, 0.30, "mountains", 0.5, 8, 0.22),
    ("noon", 120, 0.50, "meadow", 0.0, 9, 0.25),
    ("sunset", -32, 0.45, "valley", 0.5, 10, 0.18),
    ("morning", 85, 0.20, "desert", 0.0, 5, 0.32),
    ("golden", -110, 0.55, "lake", 0.2, 6, 0.24),
    ("dawn", 40, 0.20, "mountains", 0.9, 16, 0.15),
    ("noon", -90, 0.35, "mountains", 0.0, 2, 0.35),
    ("dusk", 15, 0.25, "valley", 0.5, 9, 0.22),
    ("rose", -80, 0.50, "lake", 0.6, 11, 0.17),
    ("golden", 110, 0.10, "desert", 0.6, 30, 0.13),
    ("morning", 60, 0.65, "valley", 1.0, 4, 0.30),
    ("sunset", 85, 0.25, "meadow", 0.3, 1, 0.36),
]
DYES = [
    ((0.75, 0.04, 0.03), (0.90, 0.55, 0.05), (0.88, 0.84, 0.75)),
    ((0.03, 0.12, 0.48), (0.85, 0.85, 0.82), (0.80, 0.10, 0.06)),
    ((0.90, 0.38, 0.03), (0.92, 0.70, 0.08), (0.55, 0.03, 0.10)),
    ((0.02, 0.32, 0.38), (0.90, 0.80, 0.55), (0.88, 0.30, 0.10)),
    ((0.32, 0.05, 0.38), (0.85, 0.25, 0.42), (0.92, 0.72, 0.20)),
    ((0.04, 0.30, 0.08), (0.85, 0.80, 0.20), (0.90, 0.88, 0.80)),
    ((0.80, 0.12, 0.25), (0.90, 0.86, 0.80), (0.10, 0.25, 0.55)),
]
RAINBOW = [(0.70, 0.03, 0.03), (0.88, 0.30, 0.02), (0.92, 0.68, 0.04), (0.06, 0.42, 0.10)]
RAINBOW += [(0.03, 0.18, 0.60), (0.26, 0.05, 0.45)]
GORES = 24


def fabric(rng: random.Random, glowing: float):
    """Make the envelope's cloth: gores, zigzags, bands or a spiral, lit a little from inside."""
    material, graph, shader = materials.begin("envelope")
    x, y, z = graph.split(graph.coordinates())
    turn = graph.math("DIVIDE", graph.math("ARCTAN2", y, x), 2 * math.pi)
    turn = graph.math("ADD", turn, 0.5)
    gore = graph.math("MULTIPLY", turn, float(GORES))
    level = graph.math("DIVIDE", graph.math("ADD", z, 9.5), 19.5)
    dyes = list(rng.choice(DYES))
    pattern = rng.choice(("gores", "gores", "rainbow", "zigzag", "bands", "spiral", "belt"))

    def steps(value, colours):
        """Cycle hard-edged through colours as value grows by one each."""
        part = graph.math("FRACT", graph.math("DIVIDE", value, float(len(colours))))
        node = graph.node("ValToRGB", Fac=part)
        node.color_ramp.interpolation = "CONSTANT"
        while len(node.color_ramp.elements) < len(colours):
            node.color_ramp.elements.new(1.0)
        for index, colour in enumerate(colours):
            node.color_ramp.elements[index].position = index / len(colours)
            node.color_ramp.elements[index].color = (*colour, 1)
        return node.outputs[0]

    half = graph.math("ABSOLUTE", graph.math("SUBTRACT", graph.math("FRACT", gore), 0.5))
    if pattern == "gores":
        colour = steps(gore, rng.choice((dyes[:2], dyes, [dyes[0], dyes[0], dyes[1], dyes[2]])))
    elif pattern == "rainbow":
        colour = steps(graph.math("MULTIPLY", gore, 0.5), RAINBOW)
    elif pattern == "zigzag":
        rise = graph.math(
            "ADD", graph.math("MULTIPLY", level, 9.0), graph.math("MULTIPLY", half, 1.6)
        )
        colour = steps(rise, [dyes[0], dyes[1], dyes[0], dyes[2]])
    elif pattern == "bands":
        colour = steps(graph.math("MULTIPLY", level, 8.0), [*dyes, dyes[1]])
    elif pattern == "spiral":
        colour = steps(
            graph.math("ADD", gore, graph.math("FLOOR", graph.math("MULTIPLY", level, 12.0))),
            [dyes[0], dyes[0], dyes[1], dyes[1], dyes[2], dyes[2]],
        )
    else:
        belt = graph.math("ABSOLUTE", graph.math("SUBTRACT", level, 0.55))
        belt = graph.math("ADD", belt, graph.math("MULTIPLY", half, 0.10))
        belt = graph.math("LESS_THAN", belt, 0.15)
        colour = graph.mix(belt, dyes[0], steps(gore, [dyes[1], dyes[2]]))
    # Seams between the gores darken the cloth a little, as do the tapes around it.
    seam = graph.math("SUBTRACT", 1.0, graph.math("MULTIPLY", graph.smooth(half, 0.44, 0.5), 0.45))
    colour = graph.mix(1.0, colour, graph.join(seam, seam, seam), "MULTIPLY")
    graph.tree.links.new(colour, shader.inputs["Base Color"])
    shader.inputs["Roughness"].default_value = 0.5
    shader.inputs["Sheen Weight"].default_value = 0.2
    # Light through the cloth: what the sky gives from behind, and the burner's own light.
    low = graph.math("SUBTRACT", 1.15, level)
    graph.tree.links.new(graph.mix(0.25, colour, (1.0, 0.55, 0.2)), shader.inputs["Emission Color"])
    graph.tree.links.new(
        graph.math("MULTIPLY", graph.math("POWER", low, 2.0), glowing),
        shader.inputs["Emission Strength"],
    )
    material.cycles.emission_sampling = "NONE"
    return material


def envelope(material) -> bpy.types.Object:
    """Make the envelope about 19 m wide around its middle, each gore bulging between its tapes."""
    outline = [(1.5, -10.8), (2.3, -9.6), (4.2, -7.0), (6.6, -3.6), (8.6, 0.0), (9.5, 3.4)]
    outline += [(9.0, 6.4), (7.0, 8.9), (4.0, 10.4), (1.4, 10.95), (0.0, 11.0)]
    item = shapes.lathe(shapes.rounded(outline, 5), material, GORES * 6, sharp=180)
    for vertex in item.data.vertices:
        x, y, _ = vertex.co
        part = math.atan2(y, x) / (2 * math.pi) * GORES
        bulge = 1 + 0.028 * (abs(math.sin(math.pi * part)) - 0.5)
        vertex.co.x, vertex.co.y = x * bulge, y * bulge
    return item


def balloon(rng: random.Random, spot, near: bool, glowing: float, parts) -> None:
    """Hang a balloon in the air: envelope, skirt, burner, ropes and a basket with people."""
    base = envelope(fabric(rng, glowing))
    base.rotation_euler.z = turn = rng.uniform(0, 6.283)
    items = [base]
    wicker, rope, flame, cloth = parts
    basket = shapes.box((1.9, 1.9, 1.5), wicker, (0, 0, -14.5), 0.15)
    rail = shapes.box((2.1, 2.1, 0.22), rope, (0, 0, -13.05), 0.1)
    frame = shapes.box((1.3, 1.3, 0.18), rope, (0, 0, -12.0), 0.05)
    items += [basket, rail, frame]
    for i, j in ((1, 1), (1, -1), (-1, 1), (-1, -1)):
        items.append(
            shapes.tube([(0.9 * i, 0.9 * j, -13.1), (0.6 * i, 0.6 * j, -11.9)], 0.06, rope)
        )
        items.append(
            shapes.tube([(0.6 * i, 0.6 * j, -11.9), (1.2 * i, 1.2 * j, -10.4)], 0.035, rope)
        )
    if near:
        for x in (-0.5, 0.4):
            coat = materials.cloth(
                rng.choice([(0.5, 0.06, 0.05), (0.05, 0.1, 0.3), (0.4, 0.35, 0.1)])
            )
            items.append(shapes.box((0.5, 0.4, 1.0), coat, (x, 0, -13.2), 0.15))
            items.append(shapes.ball(0.19, cloth, (x, 0, -12.05), 20))
    if rng.random() < 0.6:
        items.append(
            shapes.lathe([(0, 0), (0.3, 0.4), (0.22, 1.2), (0, 2.4)], flame, 16, (0, 0, -11.8))
        )
    for item in items:
        x, y, z = item.location
        item.location = (
            spot[0] + x * math.cos(turn) - y * math.sin(turn),
            spot[1] + x * math.sin(turn) + y * math.cos(turn),
            spot[2] + z,
        )
        item.rotation_euler.z = turn


def land(kind: str, seed: int):
    """Give the height of the ground below, about 100 m under the camera at the origin."""

    def height(x, y):
        roll = terrain.fractal(x / 700, y / 700, seed)
        far = terrain.smooth(y, 1200, 5200)
        if kind == "meadow":
            return 22 * roll + far * (120 + 160 * terrain.fractal(x / 1500, y / 1500, seed + 5))
        if kind == "valley":
            sides = terrain.smooth(np.abs(x + 200 * roll), 250, 1500) * 160
            return (
                30 * roll
                + sides
                + far * 300 * (0.5 + terrain.fractal(x / 1400, y / 1400, seed + 5, 5, 0.42))
            )
        if kind == "desert":
            fins = terrain.ridged(x / 420, y / 420, seed)
            mesa = terrain.smooth(terrain.fractal(x / 1100, y / 1100, seed + 4), 0.12, 0.22)
            return 46 * fins + 14 * roll + 110 * mesa * (0.4 + 0.6 * far)
        if kind == "lake":
            shore = terrain.smooth(np.abs(x - 260 * roll) + 0.25 * y, 900, 1900)
            return -6 + 150 * shore * (1 + roll) + 260 * far * (0.6 + roll)
        peaks = terrain.ridged(x / 3300, y / 3300, seed + 3, 7, 0.42)
        return 40 * roll + 1500 * terrain.smooth(y, 1500, 7000) * peaks

    return height


def cover(kind: str, rng: random.Random, draw, height, seed: int) -> None:
    """Lay the ground and plant trees on it."""
    colours = {
        "meadow": ((0.07, 0.12, 0.025), (0.14, 0.12, 0.07)),
        "valley": ((0.05, 0.085, 0.025), (0.10, 0.095, 0.06)),
        "desert": ((0.50, 0.27, 0.13), (0.42, 0.20, 0.10)),
        "lake": ((0.05, 0.09, 0.025), (0.13, 0.12, 0.10)),
        "mountains": ((0.06, 0.085, 0.03), (0.15, 0.14, 0.135)),
    }[kind]
    flat = colours[0]
    if kind in ("meadow", "valley"):
        # Fields: large cells of their own green or straw, as seen from the air.
        ground = materials.ground(flat, colours[1], bump=0.2, grain=0.15, offset=seed, speckle=0.2)
        graph = Graph(ground.node_tree)
        shader = next(n for n in graph.tree.nodes if n.type == "BSDF_PRINCIPLED")
        base = shader.inputs["Base Color"].links[0].from_socket
        place = graph.node("NewGeometry").outputs["Position"]
        cells = graph.node(
            "TexVoronoi", Vector=graph.stretch(place, (1, 1.5, 0), (0, 0, 0.4)), Scale=0.0035
        )
        tone = graph.split(cells.outputs["Color"])[0]
        field = graph.ramp(
            tone,
            [
                (0, (0.7, 0.9, 0.6)),
                (0.35, (1.1, 1.1, 1)),
                (0.6, (2.6, 1.7, 1.2)),
                (0.8, (0.9, 1.3, 0.7)),
                (1, (3.6, 2.1, 1.4)),
            ],
        )
        graph.tree.links.new(graph.mix(1.0, base, field, "MULTIPLY"), shader.inputs["Base Color"])
    else:
        top = (0.84, 0.88, 0.94) if kind == "mountains" else None
        ground = materials.ground(
            flat, colours[1], top, 420, 120, slope=0.62, grain=0.3, offset=seed, bump=0.6
        )
    terrain.fan(height, ground, near=20, far=14000, rows=620, columns=460)
    if kind == "lake":
        terrain.plane(materials.water(waves=0.06, scale=0.2, offset=seed, fade=900), 40000)
    if kind == "desert":
        return
    bark = materials.plain("bark", (0.06, 0.04, 0.03), 0.9)
    leaves = materials.foliage((0.018, 0.045, 0.012), (0.05, 0.085, 0.02))
    models = [shapes.tree(rng, leaves, bark, 1.0, 0.05, 700) for _ in range(2)]
    models += [shapes.pine(rng, leaves, bark, 1.0, 0.24, 14) for _ in range(2)]
    x, y = terrain.places(draw, 14000, 120, 3600, 75, power=0.6)
    wood = (terrain.noise(x / 260, y / 260, seed + 7) > 0.12) & (height(x, y) > 3)
    terrain.scatter(draw, models, x[wood][:3200], y[wood][:3200], height, (9, 17), sink=0.04)


def build(seed: int) -> None:
    """Build one flight of balloons."""
    rng, draw = random.Random(f"balloons {seed}"), np.random.default_rng(seed)
    hour, azimuth, clouds, kind, mist, count, wide = MOODS[seed % len(MOODS)]
    height = land(kind, seed)
    sky.outdoors(
        hour, azimuth, clouds=clouds, offset=seed * 2.7, stars=0.5 if hour == "dusk" else 0
    )
    cover(kind, rng, draw, height, seed)
    eye = float(height(np.array([0.0]), np.array([60.0]))[0]) + rng.uniform(70, 130)
    pitch = rng.uniform(-0.02, 0.10)  # The horizon lies a little below the middle.
    stage.camera((0, 0, eye), (0, 100, eye + 100 * pitch), lens=35)
    glowing = {"dusk": 0.9, "dawn": 0.25, "sunset": 0.25}.get(hour, 0.10)
    parts = (
        materials.wood((0.10, 0.05, 0.02), (0.30, 0.17, 0.08), 3.0),
        materials.plain("rope", (0.07, 0.05, 0.035), 0.8),
        materials.glow("burner", (1.0, 0.5, 0.12), 14.0),
        materials.plain("face", (0.5, 0.28, 0.18), 0.6),
    )
    placed: list[tuple[float, float, float]] = []
    for index in range(count):
        for _ in range(200):
            size = (
                wide if index == 0 else wide * rng.uniform(0.05, 0.8) ** (1.3 if count > 6 else 1)
            )
            size = max(size, 0.02)
            # u and v run over the picture: its width is 1.03 and its height 0.77 at distance 1.
            half = size * 1.03 / 2
            away = 9.5 / half
            u = rng.uniform(-0.47 + half, 0.47 - half)
            if index == 0:
                u = rng.choice((-1, 1)) * rng.uniform(0.08, 0.22)
            low, high = -0.34 + 1.8 * half, 0.36 - 1.42 * half
            if low > high:
                continue
            v = rng.uniform(max(low, -0.16), high)
            if any(abs(u - a) < half + c and abs(v - b) < 1.5 * (half + c) for a, b, c in placed):
                continue
            spot = (u * away, away, eye + (v + pitch) * away)
            if spot[2] - 18 < float(height(np.array([spot[0]]), np.array([away]))[0]) + 6:
                continue
            placed.append((u, v, half))
            balloon(rng, spot, size > 0.14, glowing * rng.uniform(0.5, 1.3), parts)
            break
    stage.haze(9000 if mist < 0.5 else 6000)
    if mist:
        low = float(np.min(height(np.linspace(-900, 900, 40), np.full(40, 1500.0))))
        stage.haze(2600 / (0.1 + mist), start=250, ceiling=45, most=0.85, low=low)
    if hour == "dusk":
        stage.bloom(0.3, 2.0, 0.4)
    stage.expose({"dusk": 0.8, "noon": -0.2}.get(hour, 0.1))
