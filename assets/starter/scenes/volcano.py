"""A volcano: quiet under snow by day, smoking at dawn, with glowing lava at dusk and by night."""

import math
import random

import bpy
import materials
import numpy as np
import shapes
import sky
import stage
import terrain
from mathutils import noise as field

# Hour, sun's azimuth and height, clouds, activity, foreground, snow on the top.
MOODS = [
    ("dusk", -30, 4, 0.30, "lava", "plain", False),
    ("golden", -80, 14, 0.30, "smoke", "lake", True),
    ("night", 70, 30, 0.00, "fountain", "plain", False),
    ("morning", 85, 22, 0.35, "quiet", "wood", True),
    ("sunset", -70, 7, 0.35, "smoke", "plain", False),
    ("dusk", 25, 4, 0.20, "fountain", "lake", False),
    ("noon", -95, 34, 0.40, "smoke", "plain", False),
    ("rose", 75, 9, 0.25, "quiet", "lake", True),
    ("night", -60, 28, 0.10, "lava", "lake", False),
    ("storm", 80, 18, 0.75, "plume", "plain", False),
    ("dawn", -65, 9, 0.20, "smoke", "wood", True),
    ("dusk", -80, 6, 0.45, "plume", "plain", False),
    ("golden", 80, 16, 0.15, "plume", "wood", False),
    ("night", 20, 24, 0.00, "plume", "plain", False),
    ("noon", 100, 30, 0.50, "quiet", "lake", True),
]


def mountain(seed: int, rng: random.Random, front: str):
    """Give the land's height, a mask of lava, and the top: a cone with gullies and a crater."""
    x0, y0 = rng.uniform(-380, 380), rng.uniform(2500, 3000)
    tall, wide = rng.uniform(820, 1080), rng.uniform(1000, 1250)
    rim, dent = rng.uniform(95, 150), rng.uniform(-2.2, -0.9)

    def polar(x, y):
        reach = np.hypot(x - x0, y - y0)
        turn = np.arctan2(y - y0, x - x0)
        return reach * (1 + 0.10 * terrain.noise(2 * np.cos(turn), 2 * np.sin(turn), seed)), turn

    def height(x, y):
        reach, turn = polar(x, y)
        out = np.maximum(reach - rim, 0)
        cone = tall * np.exp(-out / wide * 1.9) * (1 - 0.25 * terrain.smooth(out, 0, 5200))
        # Gullies run down from the rim: ridges stretched along the slope.
        u, v = turn * 5.5 + 0.35 * terrain.noise(reach / 300, turn * 3, seed), reach / 1500
        gully = terrain.ridged(u, v, seed + 3, 5) - 0.45
        depth = terrain.smooth(out, 0, 420) * (1 - terrain.smooth(out, 1500, 3600))
        cone = cone + 75 * gully * depth
        crater = 130 * (1 - terrain.smooth(reach, 0.35 * rim, rim))
        notch = 45 * np.exp(-(((turn - dent) / 0.35) ** 2)) * np.exp(-((out / 220) ** 2))
        jag = 14 * terrain.fractal(x / 60, y / 60, seed + 6, 5) * np.exp(-out / 600)
        land = cone - crater - notch + jag - 60
        rough = terrain.fractal(x / 330, y / 330, seed + 1, 6) * terrain.smooth(y, 250, 900)
        land = land + 26 * rough * terrain.smooth(out, 600, 1900)
        near = 1 - terrain.smooth(y, 60, 900)
        plain = 2.5 * terrain.fractal(x / 30, y / 30, seed + 2, 6)
        if front == "lake":
            shore = 900 + 160 * terrain.noise(x / 330, 0 * y + 0.5, seed)
            return np.where(y < shore, -6 - 0 * x, 0) + np.where(
                y >= shore, np.maximum(land, 1.5) * terrain.smooth(y, shore, shore + 260) - 0.5, 0
            )
        base = np.maximum(land, 0) * (1 - near) + plain * near
        return base + 0.35 * terrain.fractal(x / 3, y / 3, seed, 5) * (y < 200)

    def lava(x, y):
        reach, turn = polar(x, y)
        out = reach - rim
        total = 0 * x
        for index, (long, wide_at) in enumerate(((1500, 0.050), (1000, 0.042), (700, 0.035))):
            way = dent + (0, 0.42, -0.38)[index]
            bend = 0.30 * terrain.noise(reach / 260, 0 * reach + index + 0.5, seed)
            bend = bend + 0.10 * terrain.noise(reach / 70, 0 * reach + index + 3.5, seed)
            off = np.abs(turn - way - bend * terrain.smooth(out, 0, 500))
            line = np.exp(-((off / (wide_at * (0.6 + 160 / (reach + 60)))) ** 2))
            total = np.maximum(total, line * (1 - terrain.smooth(out, 0.35 * long, long)))
        return np.where(reach < rim * 0.8, 1.0, total * terrain.smooth(out, -rim, -rim * 0.3))

    peak = (x0, y0, tall - 60)
    return height, lava, peak, rim


def rock(seed: int, snow: bool, tall: float, hot: float, green: bool):
    """Make ash and basalt, snow above a line, and lava where the mask says so."""
    ash = (0.050, 0.062, 0.022) if green else (0.075, 0.060, 0.050)
    material = materials.ground(
        ash,
        (0.060, 0.050, 0.045),
        (0.80, 0.84, 0.92) if snow else None,
        line=0.62 * tall,
        blend=75,
        slope=0.55,
        bump=0.9,
        grain=0.12,
        offset=seed,
        speckle=0.45,
    )
    if not hot:
        return material
    graph = materials.Graph(material.node_tree)
    shader = next(node for node in material.node_tree.nodes if node.type == "BSDF_PRINCIPLED")
    place = graph.node("NewGeometry").outputs["Position"]
    crust = graph.noise(0.022, place, detail=6.0, roughness=0.7, offset=seed)
    heat = graph.math(
        "MULTIPLY",
        graph.attribute("lava"),
        graph.math("ADD", 0.35, graph.math("MULTIPLY", crust, 1.2)),
    )
    colour = graph.ramp(
        heat,
        [
            (0.0, (0, 0, 0)),
            (0.22, (0.25, 0.008, 0.0)),
            (0.5, (1.0, 0.10, 0.005)),
            (0.9, (1.0, 0.42, 0.06)),
        ],
    )
    graph.tree.links.new(colour, shader.inputs["Emission Color"])
    graph.tree.links.new(graph.math("MULTIPLY", heat, hot), shader.inputs["Emission Strength"])
    material.cycles.emission_sampling = "NONE"
    return material


def puff(rng: random.Random, material):
    """Make a billow of ash: a ball with smaller balls of noise upon it."""
    item = shapes.ball(1.0, material, segments=56)
    move = (rng.uniform(0, 50), rng.uniform(0, 50), 0)
    for vertex in item.data.vertices:
        place = vertex.co.copy()
        spot = [c + m for c, m in zip(place, move, strict=True)]
        swell = 0.0
        for scale, size in ((1.7, 0.26), (3.6, 0.15), (7.5, 0.075)):
            swell += size * (1 - abs(field.noise([c * scale for c in spot])) * 2.6)
        vertex.co = place * (0.75 + swell)
    return item


def plume(rng: random.Random, draw, peak, rim: float, kind: str, lit: bool) -> None:
    """Raise ash over the crater: a column that widens and drifts, glowing below by night."""
    x0, y0, z0 = peak
    grey = rng.uniform(0.10, 0.22) if kind == "plume" else rng.uniform(0.5, 0.66)
    material, graph, shader = materials.begin("ash")
    place = graph.node("NewGeometry").outputs["Position"]
    tone = graph.noise(0.01, place, detail=6.0)
    tone = graph.math("MULTIPLY", graph.math("ADD", 0.6, graph.math("MULTIPLY", tone, 0.8)), grey)
    graph.tree.links.new(
        graph.join(tone, graph.math("MULTIPLY", tone, 0.94), graph.math("MULTIPLY", tone, 0.89)),
        shader.inputs["Base Color"],
    )
    shader.inputs["Roughness"].default_value = 1.0
    shader.inputs["Specular IOR Level"].default_value = 0.0
    if lit:
        low = graph.math(
            "EXPONENT",
            graph.math("DIVIDE", graph.math("SUBTRACT", graph.split(place)[2], z0), -190.0),
        )
        shader.inputs["Emission Color"].default_value = (1.0, 0.16, 0.02, 1)
        graph.tree.links.new(graph.math("MULTIPLY", low, 0.9), shader.inputs["Emission Strength"])
        material.cycles.emission_sampling = "NONE"
    thick = kind == "plume"
    wind = rng.choice((-1, 1)) * (rng.uniform(0.25, 0.6) if thick else rng.uniform(0.9, 1.6))
    top = rng.uniform(900, 1300) if thick else rng.uniform(350, 600)
    if not thick:  # Steam is thin, thinner at its edges, and gone where the wind has carried it.
        facing = graph.node("LayerWeight", Blend=0.5).outputs["Facing"]
        edge = graph.math("SUBTRACT", 1.0, graph.smooth(facing, 0.05, 0.80))
        drift = graph.math("DIVIDE", graph.math("SUBTRACT", graph.split(place)[0], x0), wind * top)
        edge = graph.math("MULTIPLY", edge, graph.math("SUBTRACT", 1.0, graph.smooth(drift, 0, 1)))
        edge = graph.math("MULTIPLY", edge, 0.4)
        graph.tree.links.new(edge, shader.inputs["Alpha"])
        # Light that wanders inside a cloud: its shaded side takes on the sky's own colour.
        graph.tree.links.new(sky.air_colour(graph, None), shader.inputs["Emission Color"])
        shader.inputs["Emission Strength"].default_value = 0.28
        material.cycles.emission_sampling = "NONE"
        bpy.context.scene.cycles.transparent_max_bounces = 32
    models = [puff(rng, material) for _ in range(4)]
    for model in models:
        model.hide_render = True
    count = 230 if thick else 80
    for index in range(count):
        t = (index + draw.random()) / count
        size = (
            rim * ((0.34 + 1.5 * t**1.15) if thick else (0.20 + 0.9 * t)) * draw.uniform(0.7, 1.1)
        )
        ring, turn = rim * (0.15 + 1.7 * t) * math.sqrt(draw.random()), draw.uniform(0, 6.283)
        drift = wind * top * (t**1.7 if thick else t**1.25)
        spot = (
            x0 + drift + ring * math.cos(turn),
            y0 + ring * math.sin(turn),
            z0 - 60 + top * (t if thick else t**0.8),
        )
        item = shapes.copy(models[index % 4], spot, draw.uniform(0, 6.283), size)
        item.rotation_euler.x = draw.uniform(0, 6.283)
        item.visible_shadow = thick


def fountain(rng: random.Random, draw, peak, rim: float) -> None:
    """Throw glowing drops up from the crater, each drawn out along its path."""
    x0, y0, z0 = peak
    hot = [
        materials.glow("drop", colour, 3.0)
        for colour in ((1.0, 0.55, 0.12), (1.0, 0.28, 0.03), (1.0, 0.12, 0.01))
    ]
    drops = [shapes.ball(1.0, colour, segments=8) for colour in hot]
    for drop in drops:
        drop.hide_render = True
    for _ in range(900):
        speed, lean = draw.uniform(30, 92), abs(draw.normal(0, 0.24))
        way, age = draw.uniform(0, 6.283), draw.random()
        up, out = speed * math.cos(lean), speed * math.sin(lean)
        time = age * up / 9.81 * 1.7
        z = up * time - 4.9 * time**2
        place = (x0 + out * time * math.cos(way), y0 + out * time * math.sin(way), z0 - 70 + z)
        if z < -60:
            continue
        size = draw.uniform(1.2, 4.2)
        item = shapes.copy(drops[min(2, int(age * 3.2))], place, 0, size)
        item.scale = (size, size, size * 1.8)
        item.visible_diffuse = item.visible_shadow = False
    stage.point((x0, y0, z0 + 90), 1.2e7, (1.0, 0.16, 0.02), 60)


def build(seed: int) -> None:
    """Build one volcano."""
    rng, draw = random.Random(f"volcano {seed}"), np.random.default_rng(seed)
    hour, azimuth, lift, clouds, mood, front, snow = MOODS[seed % len(MOODS)]
    height, lava, peak, rim = mountain(seed, rng, front)
    dark = hour in ("dusk", "night")
    sky.outdoors(
        hour,
        azimuth,
        lift,
        clouds=clouds,
        offset=seed * 1.9,
        cloud_scale=rng.uniform(0.8, 1.3),
        stars={"night": 1.0, "dusk": 0.3}.get(hour, 0.0),
        softness=0.8,
    )
    # Exposure lifts the night, so its lava needs less to stay orange rather than white.
    hot = 0.0 if mood in ("quiet", "smoke") else 1.7 if hour == "night" else 2.4 if dark else 3.5
    land = rock(seed, snow, peak[2], hot, front == "wood" or snow)
    angle, columns = (130, 760) if mood == "plume" else (96, 560)  # As wide as the lens sees.
    terrain.fan(height, land, 1.5, 9000, angle, 760, columns, masks={"lava": lava})
    if front == "lake":
        terrain.plane(materials.water(waves=rng.choice((0.03, 0.09)), offset=seed, calm=0.7))
    stone = materials.stone((0.11, 0.095, 0.085), (0.04, 0.036, 0.034), 1.0)
    rocks = [shapes.rock(rng, stone, rng.uniform(0.5, 0.8)) for _ in range(4)]
    if front == "plain":
        x, y = terrain.places(draw, 900, 7, 160, 75, 0.6)
        terrain.scatter(draw, rocks, x, y, height, (0.15, 1.3), tilt=0.3, sink=0.3)
    if front in ("wood", "lake"):
        bark = materials.plain("bark", (0.05, 0.035, 0.03), 0.9)
        needles = materials.foliage((0.010, 0.028, 0.014), (0.035, 0.065, 0.022))
        pines = [shapes.pine(rng, needles, bark, 1.0, rng.uniform(0.17, 0.24)) for _ in range(3)]
        low, high = (45, 800) if front == "wood" else (900, 2100)
        x, y = terrain.places(draw, 7000, low, high, 78, 0.7)
        level = height(x, y)
        grown = (level > 0.8) & (level < 260) & (terrain.noise(x / 130, y / 90, seed) > -0.15)
        terrain.scatter(draw, pines, x[grown][:3000], y[grown][:3000], height, (9, 20), sink=0.03)
    if mood in ("smoke", "plume"):
        plume(rng, draw, peak, rim, mood, dark and mood == "plume")
    if mood == "fountain":
        fountain(rng, draw, peak, rim)
    if dark and hot:
        stage.point((peak[0], peak[1] - 100, peak[2] + 150), 1.0e7, (1.0, 0.14, 0.02), 80)
    eye = max(float(height(np.array([0.0]), np.array([2.0]))[0]), 0) + rng.uniform(2.5, 7)
    eye += 16 if front == "wood" else 0
    up = {"plume": 0.24, "smoke": 0.17, "fountain": 0.16}.get(mood, 0.13)
    stage.camera(
        (0, 0, eye),
        (peak[0] + rng.uniform(-480, 480), peak[1], eye + peak[1] * up),
        lens=24 if mood == "plume" else rng.choice((28, 34, 42)),
    )
    stage.haze(11000)
    if rng.random() < 0.5 and front != "plain":
        stage.haze(2600, start=400, ceiling=70, most=0.7)
    if hot:
        stage.bloom(0.3, 1.4, 0.5)
    stage.expose({"night": 1.4, "dusk": 0.8, "noon": -0.2}.get(hour, 0.05))
