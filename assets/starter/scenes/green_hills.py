"""Green hills: meadows folded over one another, with trees, hedges, flowers and morning mist."""

import math
import random

import materials
import numpy as np
import shapes
import sky
import stage
import terrain

# Hour, sun's azimuth and height, clouds, season, mist, what stands near by, height of the eye.
MOODS = [
    ("golden", -70, 13, 0.35, "summer", 0.0, "flowers", 1.8),
    ("morning", 60, 20, 0.45, "spring", 0.5, "tree", 1.8),
    ("noon", -100, 38, 0.55, "spring", 0.0, "flowers", 1.8),
    ("morning", 40, 12, 0.30, "spring", 0.45, "copses", 20),
    ("golden", 85, 15, 0.55, "spring", 0.0, "track", 1.8),
    ("storm", -75, 20, 0.80, "summer", 0.1, "tree", 1.8),
    ("morning", -85, 24, 0.60, "summer", 0.0, "sheep", 1.8),
    ("golden", 40, 8, 0.45, "summer", 0.2, "copses", 30),
    ("noon", 80, 34, 0.35, "summer", 0.0, "track", 14),
    ("rose", -95, 9, 0.40, "spring", 0.6, "copses", 45),
    ("overcast", 70, 40, 0.70, "spring", 0.7, "sheep", 1.8),
    ("golden", 100, 11, 0.15, "autumn", 0.1, "tree", 1.8),
    ("morning", 100, 16, 0.20, "spring", 0.2, "flowers", 1.1),
    ("dusk", -40, 8, 0.40, "summer", 0.4, "tree", 1.8),
    ("noon", -70, 30, 0.65, "spring", 0.0, "sheep", 1.8),
]
GRASS = {
    "spring": ((0.055, 0.145, 0.018), (0.10, 0.20, 0.025)),
    "summer": ((0.060, 0.110, 0.020), (0.15, 0.17, 0.035)),
    "autumn": ((0.100, 0.105, 0.025), (0.20, 0.15, 0.040)),
}


def hills(seed: int, rng: random.Random):
    """Give the land: long soft ridges that lie across the view, each higher than the last."""
    tall, long = rng.uniform(46, 74), rng.uniform(210, 300)

    def height(x, y):
        u = x / (1.5 * long) + 0.25 * terrain.noise(x / long, y / long, seed + 4)
        folds = terrain.fractal(u, y / long, seed, 3, 0.36)
        swell = terrain.fractal(x / 1500, y / 1300, seed + 9, 3, 0.4)
        return tall * folds + 70 * swell

    return height


def meadow(season: str, seed: int, turn: float):
    """Make grass in fields: each field its own green, mown lines in some, hedges by geometry."""
    material, graph, shader = materials.begin("meadow")
    place = graph.node("NewGeometry").outputs["Position"]
    bent = graph.stretch(place, (0.0085, 0.0060, 0.0), rotation=(0, 0, turn))
    cells = graph.node("TexVoronoi", Vector=bent, Scale=1.0, Randomness=0.75)
    chance, mown, _ = graph.split(cells.outputs["Color"])
    dark, light = GRASS[season]
    colour = graph.mix(chance, dark, light)
    straw = {"spring": (0.42, 0.36, 0.03), "summer": (0.36, 0.27, 0.09)}.get(
        season, (0.20, 0.12, 0.055)
    )
    colour = graph.mix(graph.math("GREATER_THAN", mown, 0.86), colour, straw)
    line = graph.math(
        "SINE",
        graph.math(
            "MULTIPLY",
            graph.split(graph.stretch(place, (1, 1, 1), rotation=(0, 0, 0.9 + turn)))[0],
            1.3,
        ),
    )
    stripe = graph.math("MULTIPLY", graph.math("GREATER_THAN", mown, 0.45), 0.09)
    broad = graph.noise(0.012, place, detail=7.0, roughness=0.6, offset=seed)
    fine = graph.noise(0.9, place, detail=7.0, roughness=0.68, offset=seed + 3)
    tone = graph.math("ADD", 0.30, graph.math("ADD", broad, graph.math("MULTIPLY", fine, 0.45)))
    tone = graph.math("ADD", tone, graph.math("MULTIPLY", line, stripe))
    colour = graph.mix(1.0, colour, graph.join(tone, tone, tone), "MULTIPLY")
    graph.tree.links.new(colour, shader.inputs["Base Color"])
    shader.inputs["Roughness"].default_value = 0.9
    shader.inputs["Specular IOR Level"].default_value = 0.15
    shader.inputs["Sheen Weight"].default_value = 0.25
    graph.tree.links.new(graph.bump(fine, 0.5, 0.7), shader.inputs["Normal"])
    return material


def sheep(rng: random.Random):
    """Make a sheep that looks at the grass: a woolly body, a dark head and legs."""
    wool = materials.plain("wool", (0.62, 0.58, 0.50), 0.95, Sheen_Weight=0.5)
    body = shapes.rock(rng, wool, 0.85, 0, 24)
    dark = materials.plain("face", (0.03, 0.027, 0.025), 0.8)
    points, faces, slots = [], [], []

    def take(item, scale, move, slot):
        start = len(points)
        points.extend(
            tuple(v.co[k] * scale[k] + move[k] for k in range(3)) for v in item.data.vertices
        )
        faces.extend(tuple(start + i for i in p.vertices) for p in item.data.polygons)
        slots.extend([slot] * len(item.data.polygons))
        item.hide_render = True

    take(body, (0.56, 0.33, 0.36), (0, 0, 0.62), 0)
    ball = shapes.ball(1, None, segments=12)
    take(ball, (0.20, 0.10, 0.12), (0.66, 0, rng.choice((0.22, 0.62))), 1)
    take(ball, (0.22, 0.13, 0.18), (0.50, 0, 0.55), 0)
    for x in (-0.34, 0.30):
        for y in (-0.15, 0.15):
            take(ball, (0.05, 0.05, 0.34), (x, y, 0.24), 1)
    item = shapes.add("sheep", points, faces)
    item.data.materials.append(wool)
    item.data.materials.append(dark)
    item.data.polygons.foreach_set("material_index", slots)
    return item


def plant(rng, draw, height, season: str, seed: int, turn: float) -> list:
    """Set copses in the hollows, single trees, and hedges along some field edges."""
    bark = materials.plain("bark", (0.06, 0.045, 0.032), 0.9)
    dark, light = (
        ((0.14, 0.055, 0.012), (0.38, 0.19, 0.03))
        if season == "autumn"
        else ((0.016, 0.042, 0.012), (0.055, 0.105, 0.020))
    )
    leaves = materials.foliage(dark, light)
    trees = [shapes.tree(rng, leaves, bark, 1.0, 0.042, 1500) for _ in range(3)]
    x, y = terrain.places(draw, 9000, 150, 2600, 80, 0.5)
    wood = terrain.noise(x / 170, y / 120, seed + 7) > 0.30
    wood &= terrain.slope(height, x, y, 3) < 0.5
    terrain.scatter(draw, trees, x[wood][:1100], y[wood][:1100], height, (8, 15), sink=0.02)
    x, y = terrain.places(draw, 60, 110, 900, 70, 0.6)
    terrain.scatter(draw, trees, x, y, height, (8, 14), sink=0.02)
    bush = [shapes.tree(rng, leaves, bark, 1.0, 0.06, 500) for _ in range(2)]
    for _ in range(16):
        away, way = rng.uniform(170, 1300), math.radians(rng.uniform(-36, 36))
        heading, long = (
            turn + rng.choice((0, math.pi / 2)) + rng.gauss(0, 0.15),
            rng.uniform(60, 240),
        )
        t = np.arange(-long / 2, long / 2, 2.4)
        x = away * math.sin(way) + t * math.cos(heading) + draw.normal(0, 0.4, t.size)
        y = away * math.cos(way) + t * math.sin(heading) + draw.normal(0, 0.4, t.size)
        keep = y > 110
        terrain.scatter(draw, bush, x[keep], y[keep], height, (3.2, 4.8), sink=0.3)
    return trees


def foreground(rng, draw, height, season: str, seed: int, near: str) -> None:
    """Let grass and flowers grow at the viewer's feet."""
    dark, light = GRASS[season]
    blade = materials.foliage(tuple(0.8 * c for c in dark), tuple(1.5 * c for c in light), 0.2, 0.4)
    tufts = [shapes.grass(rng, blade, 70, 0.34, 0.22, 0.007) for _ in range(4)]
    x, y = terrain.places(draw, 5200, 1.6, 55, 80, 0.35)
    terrain.scatter(draw, tufts, x, y, height, (0.5, 1.1), tilt=0.1, sink=0.02)
    if near != "flowers":
        return
    for colour in rng.sample(
        [
            (0.75, 0.60, 0.03),
            (0.60, 0.03, 0.02),
            (0.75, 0.74, 0.70),
            (0.22, 0.10, 0.50),
            (0.62, 0.16, 0.34),
        ],
        3,
    ):
        petal = materials.foliage(tuple(0.8 * c for c in colour), colour, 0.1, 0.35)
        models = []
        for _ in range(3):
            points, faces = [], []
            for _ in range(9):
                fx, fy, z = rng.gauss(0, 0.2), rng.gauss(0, 0.2), rng.uniform(0.20, 0.36)
                size, start = rng.uniform(0.022, 0.034), len(points)
                points.append((fx, fy, z - 0.012))
                for k in range(10):
                    reach = size * (1.0 if k % 2 else 0.72)
                    angle = 2 * math.pi * k / 10
                    points.append(
                        (
                            fx + reach * math.cos(angle),
                            fy + reach * math.sin(angle),
                            z + 0.006 * (k % 2),
                        )
                    )
                faces.extend((start, start + 1 + k, start + 1 + (k + 1) % 10) for k in range(10))
                points.extend(((fx - 0.003, fy, -0.02), (fx + 0.003, fy, -0.02), (fx, fy, z)))
                faces.append((len(points) - 3, len(points) - 2, len(points) - 1))
            models.append(shapes.add("flowers", points, faces, petal))
        x, y = terrain.places(draw, 3400, 2, 60, 80, 0.35)
        some = terrain.noise(x / 6, y / 6, seed + int(100 * colour[0])) > 0.0
        terrain.scatter(draw, models, x[some], y[some], height, (0.8, 1.3), tilt=0.1)


def build(seed: int) -> None:
    """Build one view over green hills."""
    rng, draw = random.Random(f"hills {seed}"), np.random.default_rng(seed)
    hour, azimuth, lift, clouds, season, mist, near, eye = MOODS[seed % len(MOODS)]
    land = hills(seed, rng)
    # Of some spots take the one that looks out farthest over the first valley.
    ahead = [(r * math.sin(t), r * math.cos(t)) for r in (90, 200, 350) for t in (-0.4, 0, 0.4)]
    dx, dy = np.array([(0, 0), *ahead]).T

    def outlook(spot):
        levels = land(spot[0] + dx, spot[1] + dy)
        return float(levels[0] - levels[1:].max() - 0.3 * levels[1:].mean())

    east, north = max(
        ((rng.uniform(-900, 900), rng.uniform(-900, 900)) for _ in range(80)), key=outlook
    )
    sky.outdoors(
        hour,
        azimuth,
        lift,
        clouds=clouds,
        offset=seed * 3.7,
        cloud_scale=rng.uniform(0.8, 1.3),
        disc=1.0 if hour == "sunset" else 0.0,
    )
    turn = rng.uniform(-0.7, 0.7)
    here = float(land(np.array([east]), np.array([north]))[0])
    down = rng.uniform(16, 30)

    def height(x, y):
        # The viewer's own slope falls into a valley, and the last hills rise above the others.
        away = np.hypot(x, y)
        far = terrain.smooth(away, 30, 240)
        base = (land(x + east, y + north) - here) * (0.10 + 0.90 * far)
        rough = 0.12 * terrain.fractal(x / 4, y / 4, seed + 2, 3) * (1 - far)
        slope = -down * (1 - np.exp(-away / 90))
        return base + rough + slope + 0.05 * np.maximum(away - 300, 0) ** 0.97

    terrain.fan(height, meadow(season, seed, turn), 1.0, 7000, 100, 620, 420)
    trees = plant(rng, draw, height, season, seed, turn)
    foreground(rng, draw, height, season, seed, near)
    if near == "tree":
        x, y = rng.choice((-1, 1)) * rng.uniform(6, 11), rng.uniform(26, 36)
        hero = shapes.tree(rng, *trees[0].data.materials, 1.0, 0.026, 7000)
        terrain.scatter(draw, [hero], np.array([x]), np.array([y]), height, (9, 12), sink=0.02)
    if near == "sheep":
        flock = [sheep(rng) for _ in range(3)]
        places = shapes.settle(draw, [0.9] * 26, 34, 44, 0.4)
        x, y = np.array(places).T
        y = y + 34
        terrain.scatter(draw, flock, x, y, height, (0.9, 1.15), tilt=0.03)
    side, fall, lens = rng.uniform(-12, 12), rng.uniform(8, 15), rng.choice((28, 35, 45))
    if near == "tree":  # Turn no farther from it than leaves its crown in the frame.
        place, room = 100 * x / y, 100 * (18 / lens - 4.5 / y - 0.03)
        side = min(max(side, place - room), place + room)
    stage.camera((0, 0, eye), (side, 100, eye - fall), lens=lens)
    stage.haze(9000 if not mist else 5000)
    if mist:
        stage.haze(800 / (0.1 + mist), start=90, ceiling=9, most=0.8, low=-down - 12)
    stage.expose({"dusk": 0.9, "noon": -0.25, "overcast": 0.15, "storm": 0.6}.get(hour, 0.05))
