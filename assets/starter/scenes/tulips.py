"""Tulip fields in striped beds that run to a flat horizon, from a petal's height and from above."""

import math
import random

import bpy
import materials
import numpy as np
import shapes
import sky
import stage
import terrain

# Hour, sun's azimuth and height, clouds, viewpoint, the beds' slant, colours, mill.
MOODS = [
    ("golden", 40, 12, 0.40, "path", 4, "sunset", True),
    ("morning", 65, 22, 0.55, "high", 32, "mixed", False),
    ("noon", 110, 42, 0.50, "path", -3, "reds", False),
    ("dawn", -25, 7, 0.35, "low", 12, "pinks", False),
    ("golden", -75, 14, 0.45, "high", -38, "sunset", True),
    ("noon", -95, 40, 0.62, "close", 20, "yellow", False),
    ("sunset", 20, 5, 0.50, "path", 0, "mixed", True),
    ("overcast", 60, 40, 0.60, "low", -18, "purples", False),
    ("rose", -60, 8, 0.40, "high", 14, "pinks", False),
    ("morning", 30, 20, 0.30, "close", -30, "reds", False),
    ("noon", 75, 38, 0.45, "high", -12, "reds", True),
    ("golden", 18, 9, 0.20, "close", 8, "pinks", False),
    ("storm", -80, 18, 0.85, "path", 6, "yellow", True),
    ("dusk", 15, 4, 0.35, "high", 24, "purples", True),
    ("morning", -50, 18, 0.60, "low", 2, "mixed", False),
]
RED, SCARLET, YELLOW = (0.50, 0.012, 0.016), (0.62, 0.06, 0.012), (0.78, 0.50, 0.02)
ORANGE, PINK, ROSE = (0.74, 0.22, 0.02), (0.72, 0.22, 0.32), (0.55, 0.04, 0.17)
WHITE, PURPLE, PLUM = (0.78, 0.76, 0.68), (0.20, 0.035, 0.26), (0.085, 0.010, 0.045)
SETS = {
    "sunset": (ORANGE, YELLOW, RED, SCARLET),
    "mixed": (RED, YELLOW, PINK, WHITE, PURPLE),
    "reds": (RED, WHITE, SCARLET, RED),
    "pinks": (PINK, ROSE, WHITE, PINK),
    "yellow": (YELLOW, RED, YELLOW, WHITE),
    "purples": (PURPLE, PINK, PLUM, WHITE),
}
BED, PITCH = 1.15, 1.6


def petals(colour):
    """Make petals: paler at the foot, each clump its own shade, the sun shining through."""
    material, graph, shader = materials.begin("petal")
    tip = graph.smooth(graph.attribute("tip"), 0.0, 0.55)
    foot = tuple(0.45 * c + 0.55 * f for c, f in zip(colour, (0.55, 0.50, 0.14), strict=True))
    tone = graph.math("ADD", 0.82, graph.math("MULTIPLY", graph.random(), 0.36))
    full = graph.mix(1.0, colour, graph.join(tone, tone, tone), "MULTIPLY")
    shade = graph.mix(tip, foot, full)
    graph.tree.links.new(shade, shader.inputs["Base Color"])
    shader.inputs["Roughness"].default_value = 0.55
    shader.inputs["Specular IOR Level"].default_value = 0.2
    through = graph.node("BsdfTranslucent", Color=shade)
    mixed = graph.node("MixShader", Fac=0.42)
    output = next(node for node in graph.tree.nodes if node.type == "OUTPUT_MATERIAL")
    graph.tree.links.new(shader.outputs[0], mixed.inputs[1])
    graph.tree.links.new(through.outputs[0], mixed.inputs[2])
    graph.tree.links.new(mixed.outputs[0], output.inputs["Surface"])
    return material


def clump(draw: np.random.Generator, bloom, leaf, count: int, cells: int):
    """Plant one metre of a bed as a single mesh: cups of six petals, stems, leaves."""
    points, faces, slots, tips = [], [], [], []

    def grid(place: np.ndarray, slot: int, tip) -> None:
        rows, columns, _ = place.shape
        start = sum(len(block) for block in points)
        points.append(place.reshape(-1, 3))
        tips.append(np.broadcast_to(tip, (rows, columns)).ravel())
        for i in range(rows - 1):
            for j in range(columns - 1):
                a = start + i * columns + j
                faces.append((a, a + 1, a + columns + 1, a + columns))
                slots.append(slot)

    v, u = np.linspace(0, 1, cells + 1)[:, None], np.linspace(-1, 1, cells)[None, :]
    for index in range(count):
        # An even jitter, since tulips are set by machine: no bald spots, no two in one place.
        x = ((index * 0.618) % 1 - 0.5) * BED + draw.normal(0, 0.02)
        y = (index + draw.random()) / count - 0.5
        tall, size = draw.normal(0.44, 0.028), draw.uniform(0.9, 1.2)
        lean, way = draw.uniform(0, 0.05), draw.uniform(0, 6.283)
        top = np.array([x + lean * math.cos(way), y + lean * math.sin(way), tall])
        flare, spin = draw.uniform(-0.25, 0.35), draw.uniform(0, 6.283)
        for petal in range(6):
            inner = petal % 2
            wide = 0.66 * np.sqrt(np.clip(np.sin(math.pi * (0.14 + 0.86 * v)), 0.004, 1))
            turn = spin + petal * math.pi / 3 + u * wide
            reach = 0.034 * size * (0.28 + 0.85 * np.sin(math.pi * np.minimum(v, 0.95) * 0.78))
            reach = reach * (1 - 0.10 * inner) * (1 + flare * v**2) * (1 - 0.06 * u**2)
            lift = 0.074 * size * (v - 0.07 * u**2 * v)
            cup = np.stack([reach * np.cos(turn), reach * np.sin(turn), lift + 0 * u], axis=-1)
            grid(cup + top, 0, v + 0 * u)
        foot = np.array([x, y, -0.02])
        part = np.array([0.0, 0.5, 1.0])[:, None]
        ring = np.linspace(0, 2 * math.pi, 5)[None, :]
        line = foot + (top - foot) * part[..., None] ** np.array([1.6, 1.6, 1.0])
        rod = np.stack([np.cos(ring), np.sin(ring), 0 * ring], axis=-1) * 0.0045
        grid(line + rod, 1, 0.0)
        for _ in range(3):
            way, long = draw.uniform(0, 6.283), draw.uniform(0.24, 0.36)
            out, across = (np.array([math.cos(way + k), math.sin(way + k), 0]) for k in (0, 1.571))
            t = np.linspace(0, 1, 5)[:, None, None]
            spine = foot + out * long * (0.12 * t + 0.45 * t**2.4)
            spine = spine + np.array([0, 0, long]) * (t - 0.18 * t**3)
            fold = np.array([-1.0, 0.0, 1.0])[None, :, None]
            width = 0.022 * np.sin(math.pi * (0.12 + 0.86 * t))
            grid(spine + across * fold * width + out * 0.35 * np.abs(fold) * width, 1, 0.0)
    item = shapes.add("tulips", np.concatenate(points), faces)
    for material in (bloom, leaf):
        item.data.materials.append(material)
    item.data.polygons.foreach_set("material_index", slots)
    layer = item.data.attributes.new("tip", "FLOAT", "POINT")
    layer.data.foreach_set("value", np.concatenate(tips).astype(np.float32))
    return item


def field(rng, draw, colours, slant: float, shift: float, view: str) -> None:
    """Lay out the beds: clumps near by, strips of colour from where one sees no single flower."""
    leaf = materials.foliage((0.040, 0.085, 0.030), (0.085, 0.15, 0.050), 0.2, 0.25)
    blooms = [petals(colour) for colour in colours]
    fine = 7 if view in ("low", "close") else 5
    near = [[clump(draw, bloom, leaf, 46, fine) for _ in range(2)] for bloom in blooms]
    for model in (item for pair in near for item in pair):
        model.hide_render = True
    ahead = np.array([math.sin(slant), math.cos(slant)])
    aside = np.array([ahead[1], -ahead[0]])
    limit = 70.0
    band, last, run = [], 0, 0
    for _ in range(640):  # Two to five beds of a sort side by side.
        if run == 0:
            last, run = (last + rng.randrange(1, len(colours))) % len(colours), rng.randint(2, 5)
        band.append(last)
        run -= 1
    collection = bpy.context.scene.collection
    for bed in range(-320, 320):
        across = bed * PITCH + shift
        sort = band[bed + 320]
        if abs(across) < limit * 1.2:
            for step in range(-70, 71):
                x, y = aside * across + ahead * step
                away = math.hypot(x, y)
                if y < -1 or away > limit or (away > 4 and abs(x) > 0.72 * y + 3):
                    continue
                item = bpy.data.objects.new("bed", near[sort][(step * 7 + bed) % 2].data)
                item.location = (x, y, 0)
                item.rotation_euler.z = -slant + math.pi * ((step + bed) % 2)
                item.scale.z = 1 + draw.normal(0, 0.03)
                collection.objects.link(item)
        ends = [-700.0, 900.0]
        if abs(across) < limit:
            reach = math.sqrt(limit**2 - across**2)
            ends = [-700.0, -reach, reach - 0.5, 900.0]
        for start, stop in zip(ends[::2], ends[1::2], strict=True):
            corners = []
            for along, side, z in (
                (start, -1, 0.0),
                (stop, -1, 0.0),
                (start, -0.9, 0.43),
                (stop, -0.9, 0.43),
                (start, 0.9, 0.43),
                (stop, 0.9, 0.43),
                (start, 1, 0.0),
                (stop, 1, 0.0),
            ):
                x, y = aside * (across + side * BED / 2) + ahead * along
                corners.append((x, y, z))
            strip = shapes.add(
                "strip", corners, [(0, 1, 3, 2), (2, 3, 5, 4), (4, 5, 7, 6)], blooms[sort], False
            )
            layer = strip.data.attributes.new("tip", "FLOAT", "POINT")
            layer.data.foreach_set("value", [0, 0, 1, 1, 1, 1, 0, 0])


def mill(rng: random.Random, spot) -> None:
    """Stand a thatched windmill at the field's far edge."""
    thatch = materials.stone((0.13, 0.10, 0.075), (0.07, 0.055, 0.045), 1.5, 0.95)
    brick = materials.stone((0.26, 0.12, 0.08), (0.18, 0.08, 0.06), 1.5, 0.9)
    white = materials.plain("sail", (0.62, 0.60, 0.55), 0.7)
    x, y, _ = spot
    shapes.lathe([(4.6, -1), (4.4, 5), (0, 5)], brick, 8, spot, 10)
    shapes.lathe([(5.6, 5), (5.6, 5.3), (4.3, 5.4), (2.6, 15), (0, 15)], thatch, 8, spot, 10)
    shapes.lathe([(2.9, 14.8), (2.8, 16), (1.8, 17.6), (0, 18.2)], thatch, 16, spot)
    first = rng.uniform(0.2, 1.2)
    for arm in range(4):
        turn = first + arm * math.pi / 2
        out = np.array([math.cos(turn), 0, math.sin(turn)])
        side = np.array([-out[2], 0, out[0]])
        hub = np.array([x, y - 3.4, 16.2])
        shapes.tube([hub, hub + out * 11.5], 0.18, thatch, 2)
        frame = [hub + out * a + side * b for a, b in ((2, 0), (11.4, 0), (11.4, 1.9), (2, 1.9))]
        shapes.add("sail", frame, [(0, 1, 2, 3)], white, False)
    shapes.tube([(x, y, 16.2), (x, y - 3.6, 16.2)], 0.3, thatch)


def build(seed: int) -> None:
    """Build one tulip field."""
    rng, draw = random.Random(f"tulips {seed}"), np.random.default_rng(seed)
    hour, azimuth, lift, clouds, view, slant, colours, milled = MOODS[seed % len(MOODS)]
    sky.outdoors(
        hour,
        azimuth,
        lift,
        clouds=clouds,
        offset=seed * 2.7,
        cloud_scale=rng.uniform(0.7, 1.2),
        disc=0.9 if hour == "sunset" else 0.0,
    )
    soil = materials.ground((0.085, 0.060, 0.042), (0.07, 0.05, 0.035), grain=4.0, offset=seed)
    terrain.plane(soil, 8000)
    # Stand on a path (half a pitch off a bed), except from above.
    field(rng, draw, SETS[colours], math.radians(slant), PITCH / 2, view)
    bark = materials.plain("bark", (0.05, 0.04, 0.03), 0.9)
    leaves = materials.foliage((0.02, 0.045, 0.015), (0.06, 0.10, 0.025))
    trees = [shapes.tree(rng, leaves, bark, 1.0, 0.06, 700) for _ in range(3)]
    x = draw.uniform(-520, 520, 260)
    y = draw.uniform(560, 760, 260)
    wood = terrain.noise(x / 90, y / 200, seed) > -0.12
    terrain.scatter(draw, trees, x[wood], y[wood], lambda a, b: 0 * a, (9, 19))
    if milled:
        mill(rng, (rng.choice((-1, 1)) * rng.uniform(18, 34), rng.uniform(120, 170), 0))
    eye, aim, lens, fstop, focus = {
        "path": (rng.uniform(1.3, 1.8), -0.16, 30, None, None),
        "high": (rng.uniform(2.6, 5.5), -0.17, rng.choice((28, 38)), None, None),
        "low": (rng.uniform(0.62, 0.72), -0.07, 40, 1.6, (0, 2.2, 0.4)),
        "close": (rng.uniform(0.50, 0.56), -0.05, 60, 2.5, (0, 1.5, 0.45)),
    }[view]
    stage.camera(
        (0, 0, eye),
        (rng.uniform(-0.5, 0.5), 10, eye + 10 * aim),
        lens=lens,
        fstop=fstop,
        focus=focus,
    )
    stage.haze(2600)
    stage.expose({"dusk": 0.9, "noon": -0.2, "overcast": 0.2}.get(hour, 0.05))
