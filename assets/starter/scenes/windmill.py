"""Windmills: thatched ones by a canal, brick ones in meadows and corn, white ones on dry hills."""

import math
import random

import bpy
import materials
import numpy as np
import shapes
import sky
import stage
import terrain

# Hour, sun's azimuth and height, clouds, mill, land, how many, mist.
MOODS = [
    ("golden", 75, 12, 0.40, "thatch", "canal", 1, 0.3),
    ("noon", -105, 40, 0.50, "white", "dry", 3, 0.0),
    ("sunset", -22, 5, 0.45, "thatch", "canal", 3, 0.3),
    ("morning", 95, 24, 0.55, "brick", "corn", 1, 0.0),
    ("dawn", 48, 7, 0.25, "thatch", "meadow", 2, 1.0),
    ("storm", -70, 20, 0.85, "brick", "meadow", 1, 0.1),
    ("rose", 100, 8, 0.35, "white", "dry", 2, 0.0),
    ("morning", -85, 26, 0.30, "thatch", "canal", 4, 0.0),
    ("dusk", 15, 3, 0.30, "brick", "canal", 1, 0.4),
    ("golden", -95, 10, 0.25, "brick", "corn", 2, 0.4),
    ("noon", 80, 34, 0.35, "thatch", "poppies", 1, 0.0),
    ("sunset", 85, 6, 0.55, "white", "dry", 1, 0.0),
    ("overcast", 60, 40, 0.60, "thatch", "meadow", 1, 0.8),
    ("golden", 28, 9, 0.20, "white", "corn", 1, 0.3),
    ("rose", -60, 7, 0.45, "brick", "canal", 2, 0.7),
]


def thatch(dark, light):
    """Make thatch or weathered shingles: fine streaks that run down the wall."""
    material, graph, shader = materials.begin("thatch")
    x, y, z = graph.split(graph.coordinates())
    turn = graph.math("MULTIPLY", graph.math("ARCTAN2", y, x), 5.0)
    streaks = graph.noise(
        9.0, graph.join(turn, graph.math("MULTIPLY", z, 0.22), 0.0), detail=5.0, roughness=0.7
    )
    rows = graph.math("FRACT", graph.math("DIVIDE", z, 0.85))
    mottle = graph.noise(0.7, graph.coordinates(), detail=5.0)
    tone = graph.math("ADD", streaks, graph.math("MULTIPLY", rows, 0.16))
    tone = graph.math("ADD", tone, graph.math("MULTIPLY", mottle, 0.5))
    graph.tree.links.new(
        graph.mix(graph.smooth(tone, 0.60, 1.05), dark, light), shader.inputs["Base Color"]
    )
    shader.inputs["Roughness"].default_value = 0.95
    graph.tree.links.new(graph.bump(tone, 0.7, 0.10), shader.inputs["Normal"])
    return material


def brick():
    """Make brickwork around a tower: courses of red and brown bricks with pale mortar."""
    material, graph, shader = materials.begin("brick")
    x, y, z = graph.split(graph.coordinates())
    around = graph.math("MULTIPLY", graph.math("ARCTAN2", y, x), 4.2)
    wall = graph.node(
        "TexBrick",
        Vector=graph.join(around, z, 0.0),
        Color1=(0.26, 0.085, 0.05),
        Color2=(0.16, 0.06, 0.04),
        Mortar=(0.36, 0.32, 0.27),
        Scale=1.6,
        Mortar_Size=0.018,
    )
    mottle = graph.noise(0.8, graph.coordinates(), detail=6.0)
    tone = graph.math("ADD", 0.55, graph.math("MULTIPLY", mottle, 0.9))
    colour = graph.mix(1.0, wall.outputs["Color"], graph.join(tone, tone, tone), "MULTIPLY")
    graph.tree.links.new(colour, shader.inputs["Base Color"])
    shader.inputs["Roughness"].default_value = 0.9
    graph.tree.links.new(
        graph.bump(graph.math("SUBTRACT", 1.0, wall.outputs["Fac"]), 0.4, 0.03),
        shader.inputs["Normal"],
    )
    return material


def bars(name: str, pieces, material) -> bpy.types.Object:
    """Join many square bars (from, to, thickness) into one mesh."""
    vertices, faces = [], []
    for start, end, thick in pieces:
        start, end = np.array(start, float), np.array(end, float)
        along = (end - start) / np.linalg.norm(end - start)
        side = np.cross(along, (0.13, 0.99, 0.05))
        side *= thick / 2 / np.linalg.norm(side)
        up = np.cross(along, side)
        first = len(vertices)
        for place in (start, end):
            vertices.extend(
                place + a * side + b * up for a, b in ((-1, -1), (1, -1), (1, 1), (-1, 1))
            )
        faces.extend(
            [first + i for i in face]
            for face in (
                (3, 2, 1, 0),
                (4, 5, 6, 7),
                (0, 1, 5, 4),
                (1, 2, 6, 5),
                (2, 3, 7, 6),
                (3, 0, 4, 7),
            )
        )
    item = shapes.add(name, vertices, faces, material, smooth=False)
    return item


def cross(reach: float, turn: float, timber, canvas) -> list[bpy.types.Object]:
    """Make the four sails in the plane y = 0 about the origin, canvas set on part of each."""
    pieces, items = [], []
    for arm in range(4):
        angle = turn + arm * math.pi / 2
        out = np.array([math.cos(angle), 0, math.sin(angle)])
        side = np.array([-math.sin(angle), 0, math.cos(angle)])

        def at(along, across, deep=0.0, out=out, side=side):
            return out * along * reach + side * across * reach + np.array([0, deep, 0])

        pieces.append((at(0, 0), at(1.0, 0), 0.26))
        for across in (0.06, 0.12, 0.18):
            pieces.append((at(0.16, across, 0.05), at(1.0, across, 0.05), 0.07))
        pieces.append((at(0.16, -0.035), at(1.0, -0.035), 0.07))
        for step in range(20):
            along = 0.16 + 0.84 * step / 19
            pieces.append((at(along, -0.035, 0.03), at(along, 0.18, 0.03), 0.07))
        if canvas is not None:
            corners = [at(0.18, 0.005, -0.07), at(0.97, 0.005, -0.07)]
            corners += [at(0.97, 0.175, -0.02), at(0.18, 0.175, -0.02)]
            items.append(shapes.add("canvas", corners, [(0, 1, 2, 3)], canvas, smooth=False))
    return [bars("sails", pieces, timber), *items]


def mill(rng: random.Random, style: str, spot, facing: float, lighted: bool) -> None:
    """Build a mill about 15 m to its cap; its sails face -Y turned by `facing`."""
    timber = materials.wood((0.05, 0.032, 0.022), (0.16, 0.11, 0.075), 1.0, roughness=0.7)
    white = materials.stone((0.80, 0.78, 0.74), (0.66, 0.63, 0.58), 0.8, 0.85, 0.25)
    dark = materials.plain("window", (0.012, 0.014, 0.018), 0.15)
    sailcloth = rng.choice([None, materials.plain("sailcloth", (0.66, 0.60, 0.50), 0.9)])
    lit = materials.glow("lit window", (1.0, 0.62, 0.25), 3.0)
    items, door, frame = [], (0.05, 0.16, 0.10), materials.paint((0.78, 0.77, 0.73), 0.4)

    def wall(z):
        """Give the tower's radius at a height."""
        return np.interp(z, *zip(*outline, strict=True))

    if style == "thatch":
        outline = [(-2, 4.7), (3.6, 4.5), (4.0, 4.4), (8, 3.15), (12.6, 2.3)]
        base = [(0, -2), (4.75, -2), (4.5, 3.7), (0, 3.7)]
        items.append(shapes.lathe(base, brick(), 8, sharp=20))
        straw = thatch((0.085, 0.062, 0.045), (0.27, 0.21, 0.145))
        body = [(0, 3.6), (4.75, 3.6), (4.0, 5.2), (3.15, 8), (2.55, 11), (2.3, 12.7), (0, 12.7)]
        items.append(shapes.lathe(body, straw, 8, sharp=30))
        # A gallery runs around the foot of the thatch.
        ring = [(4.2, 3.75), (6.1, 3.75), (6.1, 3.92), (4.2, 3.92)]
        items.append(shapes.lathe([*ring, ring[0]], timber, 16, sharp=20))
        rails = []
        for k in range(16):
            a, b = (2 * math.pi * (k + j) / 16 for j in (0, 1))
            p, q = ((6.0 * math.cos(t), 6.0 * math.sin(t)) for t in (a, b))
            rails += [((*p, 3.9), (*p, 4.95), 0.10), ((*p, 4.9), (*q, 4.9), 0.09)]
            rails += [((*p, 4.4), (*q, 4.4), 0.06)]
            rails.append(((*p, 3.8), (4.45 * math.cos(a), 4.45 * math.sin(a), 1.9), 0.13))
        items.append(bars("gallery", rails, timber))
    elif style == "brick":
        outline = [(-2, 4.0), (12.6, 2.5)]
        items.append(
            shapes.lathe(
                [(0, -2), (4.0, -2), (2.5, 12.4), (2.62, 12.5), (2.62, 12.8), (0, 12.8)],
                brick(),
                64,
            )
        )
        items.append(
            shapes.lathe([(2.4, 12.1), (2.66, 12.15), (2.66, 12.4), (2.4, 12.4)], frame, 64)
        )
    else:
        outline = [(-2, 3.5), (9.0, 3.2)]
        items.append(
            shapes.lathe(
                [(0, -2), (3.55, -2), (3.4, 0), (3.2, 8.9), (3.1, 9.1), (0, 9.1)], white, 64
            )
        )
    top = 9.1 if style == "white" else 12.7
    if style == "white":
        straw = thatch((0.07, 0.055, 0.042), (0.24, 0.19, 0.13))
        items.append(
            shapes.lathe(
                [(0, 9.0), (3.65, 8.95), (3.6, 9.15), (1.8, 11.2), (0, 12.9)], straw, 64, sharp=60
            )
        )
        axle, reach, ahead = 9.9, 7.4, 4.1
    else:
        cap = shapes.lathe(
            shapes.rounded(
                [(2.55, 0), (2.75, 0.25), (2.6, 1.2), (1.9, 2.3), (0.9, 2.95), (0, 3.15)]
            ),
            thatch((0.05, 0.045, 0.042), (0.17, 0.15, 0.125)),
            48,
            (0, 0, top),
            sharp=60,
        )
        cap.scale.y = 1.18
        items.append(cap)
        axle, reach, ahead = top + 1.25, 10.6, 3.7
    items.append(bars("axle", [((0, 0.5, axle), (0, -ahead - 0.25, axle), 0.55)], timber))
    blades = cross(reach, rng.uniform(0.15, 1.40), timber, sailcloth)
    for blade in blades:
        blade.location = (0, -ahead, axle)
    items += blades
    if style != "white":
        # The tail pole by which the miller turns the cap into the wind.
        pole = [((0, 3.0, top + 1.0), (0, 7.4, 4.4 if style == "thatch" else 1.2), 0.25)]
        pole += [
            ((s * 2.2, 1.0, top + 0.8), (0, 7.0, 4.8 if style == "thatch" else 1.8), 0.16)
            for s in (-1, 1)
        ]
        items.append(bars("tail", pole, timber))
    openings = [
        (-1.3, 0.0, 1.3, 2.3, True),
        (-2.1, 1.6, 0.8, 1.1, False),
        (-1.0, 5.6, 0.8, 1.1, False),
    ]
    openings += [(-1.85, 7.4, 0.7, 1.0, False), (-0.75, 1.6, 0.8, 1.1, False)]
    for turn, z, wide, tall, is_door in openings:
        reach_out = float(wall(z + tall / 2)) - (0.24 if style == "thatch" else 0.02)
        x, y = reach_out * math.cos(turn), reach_out * math.sin(turn)
        leaf = materials.paint(door, 0.4) if is_door else (lit if lighted else dark)
        items.append(
            shapes.box(
                (wide + 0.25, 0.5, tall + 0.25), frame, (x, y, z - 0.1), 0.03, turn + math.pi / 2
            )
        )
        x, y = (reach_out + 0.05) / reach_out * x, (reach_out + 0.05) / reach_out * y
        items.append(shapes.box((wide, 0.5, tall), leaf, (x, y, z), 0.02, turn + math.pi / 2))
    parent = bpy.data.objects.new("mill", None)
    bpy.context.scene.collection.objects.link(parent)
    for item in items:
        item.parent = parent
    parent.location, parent.rotation_euler = spot, (0, 0, facing)


def land(kind: str, seed: int, bend: float):
    """Give the height of the ground; a canal lies at z = 0 where there is one."""

    def height(x, y):
        soft = terrain.fractal(x / 45, y / 45, seed, 5)
        if kind == "canal":
            middle = bend * (y - 30) * 0.16 + 7 * np.sin(y / 70 + seed) - 4 * bend
            edge = np.abs(x - middle) - (6.5 + 0.5 * terrain.noise(x / 6, y / 6, seed))
            bank = terrain.smooth(edge, -1.0, 1.2)
            return -1.2 + 1.9 * bank + 0.22 * soft * bank
        if kind == "dry":
            hill = 9 * np.exp(-((x / 75) ** 2) - ((y - 62) / 34) ** 2)
            return (
                hill
                + 0.8 * soft
                - 45 * terrain.smooth(y, 90, 420)
                + 60
                * terrain.smooth(y, 1200, 4500)
                * (1 + 2 * terrain.fractal(x / 1300, y / 1300, seed))
            )
        return 0.6 * soft + 22 * terrain.smooth(y, 300, 2500) * (
            1 + terrain.fractal(x / 500, y / 500, seed)
        )

    return height


def plants(rng, draw, kind: str, height, seed: int, mills) -> None:
    """Grow grass, corn, reeds or poppies, and trees along the horizon."""
    blade = {
        "corn": ((0.42, 0.26, 0.07), (0.62, 0.42, 0.14)),
        "dry": ((0.24, 0.19, 0.08), (0.40, 0.32, 0.14)),
    }.get(kind, ((0.04, 0.09, 0.018), (0.13, 0.20, 0.04)))
    tall = {"corn": 0.95, "dry": 0.4}.get(kind, 0.5)
    tufts = [shapes.grass(rng, materials.foliage(*blade), 70, tall, 0.22) for _ in range(4)]
    x, y = terrain.places(draw, 7000 if kind == "corn" else 3600, 2.6, 60, 84, power=0.55)
    keep = (height(x, y) > 0.25) | (kind not in ("canal",))
    keep &= np.all([np.hypot(x - a, y - b) > 6.5 for a, b in mills], axis=0)
    if kind == "dry":
        keep &= terrain.noise(x / 4, y / 4, seed) > 0.02
    if kind == "corn":
        keep &= np.abs(x + 2.5 - 0.05 * y) > 1.3  # A path leads through it.
    terrain.scatter(draw, tufts, x[keep], y[keep], height, (0.7, 1.2), tilt=0.1, sink=0.02)
    if kind == "poppies":
        petals = materials.foliage((0.55, 0.02, 0.01), (0.80, 0.07, 0.02), leaf=0.4)
        bloom = shapes.lathe(
            [(0, 0.50), (0.05, 0.53), (0.075, 0.60), (0.06, 0.61), (0, 0.52)], petals, 12
        )
        x, y = terrain.places(draw, 5200, 2.5, 55, 84, power=0.6)
        some = terrain.noise(x / 7, y / 7, seed) > -0.18
        some &= np.all([np.hypot(x - a, y - b) > 6.5 for a, b in mills], axis=0)
        terrain.scatter(draw, [bloom], x[some], y[some], height, (0.8, 1.25), tilt=0.15)
    if kind == "canal":
        reed = ((0.10, 0.12, 0.03), (0.28, 0.24, 0.08))
        reeds = [shapes.grass(rng, materials.foliage(*reed), 50, 1.5, 0.25) for _ in range(3)]
        x, y = terrain.places(draw, 9000, 6, 130, 80, power=0.7)
        edge = (height(x, y) > -0.35) & (height(x, y) < 0.35)
        edge &= terrain.noise(x / 9, y / 9, seed) > -0.1
        terrain.scatter(draw, reeds, x[edge][:900], y[edge][:900], height, (0.6, 1.2), tilt=0.1)
    if kind == "dry":
        return
    leaves = materials.foliage((0.02, 0.05, 0.012), (0.055, 0.09, 0.022))
    skin = materials.plain("bark", (0.06, 0.045, 0.035), 0.9)
    trees = [shapes.tree(rng, leaves, skin, 1.0, 0.045, 1100) for _ in range(4)]
    x, y = terrain.places(draw, 2400, 190, 1500, 80, power=0.5)
    wood = (terrain.noise(x / 170, y / 60, seed + 4) > 0.16) & (height(x, y) > 0.3)
    terrain.scatter(draw, trees, x[wood][:420], y[wood][:420], height, (9, 17), sink=0.04)


def build(seed: int) -> None:
    """Build one picture of windmills."""
    rng, draw = random.Random(f"windmill {seed}"), np.random.default_rng(seed)
    hour, azimuth, lift, clouds, style, kind, count, mist = MOODS[seed % len(MOODS)]
    bend = rng.choice((-1, 1))
    height = land(kind, seed, bend)
    sky.outdoors(
        hour, azimuth, lift, clouds=clouds, offset=seed * 3.3, stars=0.4 * (hour == "dusk")
    )
    flat = {
        "dry": (0.27, 0.18, 0.09),
        "corn": (0.26, 0.17, 0.06),
    }.get(kind, (0.055, 0.095, 0.022))
    cover = materials.ground(flat, (0.13, 0.10, 0.06), slope=0.8, grain=2.0, bump=0.4, offset=seed)
    terrain.fan(height, cover, near=1.2, far=6000, rows=480, columns=400)
    if kind == "canal":
        terrain.plane(materials.water(waves=rng.choice((0.03, 0.08)), offset=seed, calm=0.7))
    mills, side = [], bend if kind == "canal" else rng.choice((-1, 1))
    lens = rng.choice((28, 32, 35))
    for index in range(count):
        away = max(rng.uniform(38, 48), 1.5 * lens) + index * rng.uniform(34, 52)
        if kind == "dry":
            away = 52 + 9 * index
        across = -side * away * rng.uniform(0.10, 0.20)
        if index:
            across = (
                (side if index % 2 and kind != "canal" else -side) * away * rng.uniform(0.20, 0.26)
            )
            if kind == "dry":
                across = side * (12 + 17 * (index - 1))
        if kind == "canal":
            middle = bend * (away - 30) * 0.16 + 7 * math.sin(away / 70 + seed) - 4 * bend
            bank = -bend if index % 2 == 0 else bend
            across = middle + bank * (13 + rng.uniform(0, 4) * (index + 1))
        edge = away * 18 / lens - 13  # No sail may leave the frame.
        across = min(max(across, -edge), edge)
        base = float(
            np.min(height(across + np.array([-3, 3, 0, 0]), away + np.array([0, 0, -3, 3])))
        )
        facing = rng.uniform(-0.7, 0.7) + math.atan2(-across, away)
        mill(rng, style, (across, away, base), facing, hour == "dusk")
        mills.append((across, away))
    plants(rng, draw, kind, height, seed, mills)
    eye = float(height(np.array([0.0]), np.array([2.0]))[0]) + rng.uniform(1.7, 2.6)
    eye = max(eye, 3.4 if kind == "canal" else 1.7)  # Higher, so that the canal shows.
    tip = float(height(np.array([mills[0][0]]), np.array([mills[0][1]]))[0])
    tip += 17.6 if style == "white" else 25.0
    half = 13.5 / lens
    pitch = max((tip + 1.5 - eye) / (mills[0][1] - 5) - half, 0.06)
    stage.camera((0, 0, eye), (0, 100, eye + 100 * pitch), lens=lens)
    stage.haze(4500)
    if mist:
        stage.haze(330 / (0.1 + mist), start=25, ceiling=6, most=0.85)
    stage.expose({"dusk": 0.8, "noon": -0.2}.get(hour, 0.1))
