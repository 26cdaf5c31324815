"""Planets and moons in space: seas and clouds, gas bands, rings, craters, ice, lava, crescents."""

import math
import random

import bpy
import materials
import numpy as np
import shapes
import sky
import stage
import terrain
from nodes import Graph, set_input

# Sort, its colours, place in the frame (x, z, radius), sun's azimuth, rings, moons, nebula, ground.
BLUE, RUST, TEAL = (0.05, 0.10, 0.30), (0.28, 0.07, 0.03), (0.02, 0.16, 0.16)
PURPLE, ROSE, GREY = (0.16, 0.04, 0.26), (0.30, 0.05, 0.12), (0.05, 0.06, 0.08)
JOVIAN = [(0.62, 0.42, 0.26), (0.82, 0.70, 0.54), (0.42, 0.20, 0.10), (0.86, 0.80, 0.70)]
SATURN = [(0.80, 0.66, 0.42), (0.88, 0.78, 0.56), (0.66, 0.50, 0.30), (0.90, 0.84, 0.68)]
AZURE = [(0.05, 0.20, 0.62), (0.12, 0.38, 0.80), (0.03, 0.12, 0.45), (0.35, 0.62, 0.90)]
ORCHID = [(0.45, 0.16, 0.52), (0.75, 0.42, 0.66), (0.25, 0.08, 0.38), (0.90, 0.66, 0.72)]
MINT = [(0.30, 0.62, 0.56), (0.55, 0.80, 0.72), (0.16, 0.42, 0.42), (0.75, 0.90, 0.82)]
MOODS = [
    ("gas", SATURN, (0.05, 0.0, 0.74), 118, True, 2, BLUE, False),
    ("earth", None, (0.0, 0.0, 1.0), 128, False, 0, GREY, False),
    ("rust", None, (-0.35, 0.05, 0.95), 75, False, 2, RUST, False),
    ("gas", JOVIAN, (0.45, -0.1, 1.05), 130, False, 3, GREY, False),
    ("earth", None, (0.2, -2.75, 3.0), 68, False, 1, BLUE, False),
    ("moon", None, (0.0, 0.0, 1.0), 112, False, 0, PURPLE, False),
    ("gas", AZURE, (-0.2, 0.05, 0.62), 70, True, 1, TEAL, False),
    ("lava", None, (0.25, 0.0, 0.92), 66, False, 1, ROSE, False),
    ("gas", ORCHID, (-0.5, 0.55, 0.80), -75, True, 1, PURPLE, True),
    ("ice", None, (-0.15, 0.0, 0.92), -105, False, 2, BLUE, False),
    ("moon", None, (0.9, -0.75, 1.25), -60, False, 0, RUST, False),
    ("earth", None, (0.55, 0.55, 0.42), 120, False, 0, GREY, True),
    ("gas", MINT, (0.0, 2.55, 2.9), 125, False, 2, TEAL, False),
    ("rust", None, (0.0, 0.0, 0.66), 62, True, 1, ROSE, False),
    ("earth", None, (-0.45, 0.0, 0.85), -66, False, 1, PURPLE, False),
]


def space(tint, offset: float) -> None:
    """Fill the world with stars of several sizes and a faint nebula."""
    world = bpy.data.worlds.new("space")
    bpy.context.scene.world = world
    graph = Graph(world.node_tree)
    ray = graph.vector("NORMALIZE", graph.coordinates("Generated"))
    drift = graph.noise(2.2, ray, 8.0, 0.62, 0.7, offset)
    other = graph.noise(1.6, ray, 6.0, 0.6, 0.4, offset + 9)
    warm = tuple(0.5 * tint[i] + 0.5 * (0.20, 0.10, 0.07)[i] for i in range(3))
    colour = graph.mix(graph.smooth(other, 0.35, 0.65), tint, warm)
    colour = graph.mix(graph.smooth(drift, 0.42, 0.80), (0.001, 0.0015, 0.004), colour)
    for scale, size in ((70.0, 0.10), (170.0, 0.16)):
        cells = graph.node("TexVoronoi", Vector=ray, Scale=scale)
        chance, hue, _ = graph.split(cells.outputs["Color"])
        reach = graph.math("MULTIPLY", graph.math("POWER", chance, 5.0), size)
        lit = graph.smooth(
            graph.math("SUBTRACT", reach, cells.outputs["Distance"]), 0.0, 0.45 * size
        )
        star = graph.mix(hue, (1.0, 0.75, 0.5), (0.6, 0.75, 1.0))
        colour = graph.mix(1.0, colour, graph.mix(lit, (0, 0, 0), star), "ADD")
    background = next(node for node in world.node_tree.nodes if node.type == "BACKGROUND")
    set_input(world.node_tree, background.inputs["Color"], colour)
    # The nebula is for the eye: it must not light the night side.
    world.cycles.sampling_method = "NONE"
    unseen = graph.math("MULTIPLY", graph.node("LightPath").outputs["Is Diffuse Ray"], 0.96)
    set_input(world.node_tree, background.inputs["Strength"], graph.math("SUBTRACT", 1.0, unseen))


def crater(graph: Graph, place, scale: float):
    """Give a height of bowls with raised rims, of many sizes."""
    cells = graph.node("TexVoronoi", Vector=place, Scale=scale)
    chance = graph.split(cells.outputs["Color"])[0]
    size = graph.math("ADD", graph.math("MULTIPLY", chance, 0.42), 0.12)
    far = graph.math("DIVIDE", cells.outputs["Distance"], size)
    steps = [(0, 0.12), (0.45, 0.16), (0.66, 0.95), (0.74, 0.9), (1.0, 0.5)]
    return graph.split(graph.ramp(far, [(at, (h, h, h)) for at, h in steps]))[0]


def rocky(name: str, dark, light, pole, offset: float, craters: float = 1.0, red=None):
    """Make a world of stone: plains, highlands, craters, and ice at its poles."""
    material, graph, shader = materials.begin(name)
    place = graph.coordinates()
    land = graph.noise(1.5, place, 11.0, 0.62, 0.5, offset)
    fine = graph.noise(9.0, place, 9.0, 0.66, 0.2, offset)
    tone = graph.math("ADD", graph.math("MULTIPLY", land, 0.7), graph.math("MULTIPLY", fine, 0.3))
    holes = 0.5
    for scale, part in ((2.3, 0.55), (6.0, 0.3), (15.0, 0.18)):
        hole = graph.math("SUBTRACT", crater(graph, place, scale), 0.5)
        holes = graph.math("ADD", holes, graph.math("MULTIPLY", hole, part * craters))
    colour = graph.mix(graph.smooth(tone, 0.38, 0.62), dark, light)
    bright = graph.math("ADD", 0.72, graph.math("MULTIPLY", holes, 0.56))
    colour = graph.mix(1.0, colour, graph.join(bright, bright, bright), "MULTIPLY")
    if pole:
        high = graph.math("ABSOLUTE", graph.split(place)[2])
        cap = graph.math("ADD", high, graph.math("MULTIPLY", fine, 0.16))
        colour = graph.mix(graph.smooth(cap, 0.97, 1.0), colour, pole)
    if red:  # Glowing cracks where the crust is thin.
        ridge = graph.math("ABSOLUTE", graph.math("SUBTRACT", land, 0.5))
        crack = graph.math("SUBTRACT", 1.0, graph.smooth(ridge, 0.0, 0.022))
        hot = graph.math("MULTIPLY", crack, graph.smooth(fine, 0.40, 0.58))
        graph.tree.links.new(graph.mix(hot, (0.9, 0.05, 0.0), red), shader.inputs["Emission Color"])
        graph.tree.links.new(graph.math("MULTIPLY", hot, 3.0), shader.inputs["Emission Strength"])
    set_input(graph.tree, shader.inputs["Base Color"], colour)
    shader.inputs["Roughness"].default_value = 0.95
    shader.inputs["Specular IOR Level"].default_value = 0.1
    height = graph.math("ADD", holes, graph.math("MULTIPLY", tone, 1.2))
    set_input(graph.tree, shader.inputs["Normal"], graph.bump(height, 0.9, 0.06))
    return material


def earth(offset: float):
    """Make seas, shores, forests, deserts, mountains and polar ice."""
    material, graph, shader = materials.begin("earth")
    place = graph.coordinates()
    land = graph.noise(1.35, place, 12.0, 0.58, 0.3, offset)
    high = graph.math("ABSOLUTE", graph.split(place)[2])
    dry = graph.noise(2.5, place, 6.0, 0.6, 0.2, offset + 5)
    green = graph.mix(graph.smooth(dry, 0.42, 0.6), (0.03, 0.09, 0.025), (0.34, 0.24, 0.11))
    soil = graph.mix(graph.smooth(land, 0.55, 0.68), green, (0.26, 0.20, 0.15))
    sea = graph.mix(graph.smooth(land, 0.34, 0.52), (0.006, 0.025, 0.11), (0.02, 0.14, 0.26))
    shore = graph.smooth(land, 0.515, 0.525)
    colour = graph.mix(shore, sea, soil)
    cold = graph.math("ADD", high, graph.math("MULTIPLY", land, 0.30))
    ice = graph.smooth(cold, 1.00, 1.05)
    colour = graph.mix(ice, colour, (0.82, 0.87, 0.92))
    set_input(graph.tree, shader.inputs["Base Color"], colour)
    rough = graph.math("ADD", 0.42, graph.math("MULTIPLY", graph.math("MAXIMUM", shore, ice), 0.5))
    set_input(graph.tree, shader.inputs["Roughness"], rough)
    relief = graph.math("MAXIMUM", land, 0.52)
    set_input(graph.tree, shader.inputs["Normal"], graph.bump(relief, 0.8, 0.10))
    return material


def clouds(offset: float):
    """Make a cover of swirling clouds, clear between them."""
    material, graph, shader = materials.begin("clouds")
    flat = graph.stretch(graph.coordinates(), (1.0, 1.0, 1.7))
    warp = graph.noise(1.1, flat, 3.0, 0.5, 0, offset + 2)
    swirl = graph.vector("ADD", flat, graph.join(warp, graph.math("MULTIPLY", warp, 0.6), warp))
    puff = graph.noise(2.2, swirl, 12.0, 0.62, 0.9, offset)
    shader.inputs["Base Color"].default_value = (0.92, 0.93, 0.95, 1)
    shader.inputs["Roughness"].default_value = 1.0
    alpha = graph.math("MULTIPLY", graph.smooth(puff, 0.50, 0.68), 0.95)
    set_input(graph.tree, shader.inputs["Alpha"], alpha)
    return material


def gas(colours, offset: float):
    """Make bands of cloud that eddy along their borders, and one great storm."""
    material, graph, shader = materials.begin("gas")
    place = graph.coordinates()
    z = graph.split(place)[2]
    eddy = graph.noise(3.0, graph.stretch(place, (1, 1, 3.2)), 9.0, 0.6, 1.2, offset)
    broad = graph.noise(1.0, graph.stretch(place, (0.5, 0.5, 2)), 3.0, 0.5, 0, offset + 4)
    spot = graph.vector("DISTANCE", graph.stretch(place, (1, 1, 2.0)), (-0.1, -0.93, -0.5))
    storm = graph.math("SUBTRACT", 1.0, graph.smooth(spot, 0.05, 0.34))
    level = graph.math("ADD", z, graph.math("MULTIPLY", graph.math("SUBTRACT", eddy, 0.5), 0.11))
    level = graph.math("ADD", level, graph.math("MULTIPLY", broad, 0.06))
    level = graph.math("ADD", level, graph.math("MULTIPLY", storm, 0.16))
    band = graph.noise(3.6, graph.join(0, 0, level), 4.0, 0.62, 0, offset)
    stops = [0.30, 0.42, 0.48, 0.53, 0.58, 0.70]
    order = [colours[i] for i in (2, 0, 1, 3, 0, 1)]
    colour = graph.ramp(band, list(zip(stops, order, strict=True)))
    colour = graph.mix(graph.math("MULTIPLY", storm, 0.7), colour, colours[2])
    tone = graph.math("ADD", 0.8, graph.math("MULTIPLY", eddy, 0.4))
    colour = graph.mix(1.0, colour, graph.join(tone, tone, tone), "MULTIPLY")
    set_input(graph.tree, shader.inputs["Base Color"], colour)
    shader.inputs["Roughness"].default_value = 1.0
    shader.inputs["Specular IOR Level"].default_value = 0.0
    return material


def air(colour, towards, strength: float):
    """Make an atmosphere's rim: brightest at the planet's edge, only where the sun reaches."""
    material, graph, shader = materials.begin("air")
    graph.tree.nodes.remove(shader)
    geometry = graph.node("NewGeometry")
    across = graph.vector("DOT_PRODUCT", geometry.outputs["Normal"], geometry.outputs["Incoming"])
    day = graph.vector("DOT_PRODUCT", geometry.outputs["Normal"], tuple(towards))
    steps = [(0, 0), (0.10, 0.25), (0.20, 1.0), (0.27, 0.8), (0.55, 0.16), (1, 0.0)]
    rim = graph.split(graph.ramp(across, [(at, (h, h, h)) for at, h in steps]))[0]
    shine = graph.math("MULTIPLY", rim, graph.smooth(day, -0.14, 0.60))
    light = graph.node("Emission", Color=colour, Strength=graph.math("MULTIPLY", shine, strength))
    both = graph.node("AddShader")
    output = next(node for node in graph.tree.nodes if node.type == "OUTPUT_MATERIAL")
    graph.tree.links.new(light.outputs[0], both.inputs[0])
    graph.tree.links.new(graph.node("BsdfTransparent").outputs[0], both.inputs[1])
    graph.tree.links.new(both.outputs[0], output.inputs["Surface"])
    material.cycles.emission_sampling = "NONE"
    return material


def rings(colour, inner: float, outer: float, offset: float):
    """Make a flat disc of fine rings with gaps between them."""
    material, graph, shader = materials.begin("rings")
    far = graph.vector("LENGTH", graph.coordinates())
    line = graph.noise(7.0 / inner, graph.join(far, 0, 0), 7.0, 0.72, 0, offset)
    pale = tuple(0.35 + 0.65 * c for c in colour)
    graph.tree.links.new(graph.mix(line, colour, pale), shader.inputs["Base Color"])
    shader.inputs["Roughness"].default_value = 1.0
    edge = graph.math(
        "MULTIPLY",
        graph.smooth(far, inner, inner * 1.06),
        graph.math("SUBTRACT", 1.0, graph.smooth(far, outer * 0.96, outer)),
    )
    alpha = graph.math("MULTIPLY", edge, graph.smooth(line, 0.34, 0.62))
    through = graph.node("BsdfTranslucent", Color=pale)
    lit = graph.node("MixShader", Fac=0.45)
    seen = graph.node("MixShader", Fac=alpha)
    output = next(node for node in graph.tree.nodes if node.type == "OUTPUT_MATERIAL")
    for node, one, two in (
        (lit, shader.outputs[0], through.outputs[0]),
        (seen, graph.node("BsdfTransparent").outputs[0], lit.outputs[0]),
    ):
        graph.tree.links.new(one, node.inputs[1])
        graph.tree.links.new(two, node.inputs[2])
    graph.tree.links.new(seen.outputs[0], output.inputs["Surface"])
    radius = np.linspace(inner, outer, 3)[:, None]
    turn = np.linspace(0, 2 * math.pi, 257)[None, :]
    x, y = radius * np.cos(turn), radius * np.sin(turn)
    return terrain.sheet("rings", np.stack([x, y, 0 * x], axis=-1), material)


def globe(sort: str, colours, seed: int, towards, rng: random.Random):
    """Make a planet of radius one with what surrounds it."""
    offset = 1.7 * seed + 0.3
    skin = {
        "earth": lambda: earth(offset),
        "gas": lambda: gas(colours, offset),
        "rust": lambda: rocky(
            "rust", (0.20, 0.06, 0.025), (0.56, 0.24, 0.10), (0.85, 0.84, 0.82), offset, 0.4
        ),
        "moon": lambda: rocky("moon", (0.10, 0.10, 0.11), (0.42, 0.40, 0.38), None, offset),
        "ice": lambda: rocky(
            "ice", (0.22, 0.42, 0.55), (0.78, 0.86, 0.90), (0.95, 0.97, 1.0), offset, 0.3
        ),
        "lava": lambda: rocky(
            "lava", (0.02, 0.018, 0.02), (0.10, 0.07, 0.06), None, offset, 0.3, (1.0, 0.28, 0.03)
        ),
    }[sort]()
    rim = {"earth": (0.25, 0.5, 1.0), "rust": (0.9, 0.5, 0.3), "ice": (0.4, 0.75, 1.0)}
    parts = [shapes.ball(1.0, skin, segments=256)]
    if sort == "earth":
        parts.append(shapes.ball(1.008, clouds(offset), segments=256))
    colour = colours[1] if sort == "gas" else rim.get(sort)
    if colour:
        power = {"earth": 1.6, "gas": 0.5}.get(sort, 0.7)
        parts.append(shapes.ball(1.028, air(colour, towards, power), segments=256))
    tilt = (rng.uniform(-0.15, 0.3), rng.uniform(-0.45, 0.45), rng.uniform(-0.2, 0.2))
    for part in parts:
        part.rotation_euler = tilt
    return parts


def ground(seed: int, rng: random.Random, draw: np.random.Generator) -> None:
    """Lay a moon's stony plain before the viewer, with mountains on its horizon."""

    def height(x, y):
        hills = 0.9 * terrain.fractal(x / 14, y / 14, seed) * terrain.smooth(y, 2, 20)
        peaks = terrain.smooth(y, 60, 500) * 60 * terrain.ridged(x / 170, y / 170, seed)
        return hills + peaks - 20 * terrain.smooth(y, 60, 500) + 0.05 * terrain.fractal(x, y, seed)

    dust = materials.ground(
        (0.22, 0.19, 0.17), (0.12, 0.105, 0.10), bump=0.9, grain=2.0, speckle=0.2, offset=seed
    )
    terrain.fan(height, dust, near=0.6, far=900, angle=90)
    stone = materials.stone((0.26, 0.23, 0.21), (0.13, 0.12, 0.11), 1.2)
    rocks = [shapes.rock(rng, stone, 0.7) for _ in range(4)]
    x, y = terrain.places(draw, 240, 3, 60, 80)
    terrain.scatter(draw, rocks, x, y, height, (0.04, 0.42), 0.3, 0.25)


def build(seed: int) -> None:
    """Build one planet."""
    rng, draw = random.Random(f"planets {seed}"), np.random.default_rng(seed)
    sort, colours, (x, z, radius), azimuth, ringed, moons, nebula, landed = MOODS[seed % len(MOODS)]
    towards = sky.direction(azimuth, rng.uniform(8, 24))
    space(nebula, seed * 2.3)
    sun = stage.lamp("SUN", 5.2, (1.0, 0.95, 0.88), angle=math.radians(0.5))
    sun.rotation_euler = towards.to_track_quat("Z", "Y").to_euler()
    scale = 700.0 if landed else 1.0  # Seen from a moon, the planet must stand behind its hills.
    depth = 4.6 * scale
    parts = globe(sort, colours, seed, towards, rng)
    if ringed:
        tone = colours[1] if colours else (0.55, 0.36, 0.24)
        disc = rings(tone, 1.32, rng.uniform(2.0, 2.25), seed)
        disc.rotation_euler = (rng.uniform(0.26, 0.42), rng.choice((-1, 1)) * 0.32, 0)
        parts[0].rotation_euler = disc.rotation_euler
        parts.append(disc)
    for part in parts:
        part.scale = (radius * scale,) * 3
        part.location = (x * scale, depth, z * scale)
    spots = [(-1.15, 0.72), (1.18, 0.66), (-1.05, -0.62), (1.12, -0.6), (0.1, 0.9), (-0.2, -0.85)]
    reach = radius * (1.75 if ringed else 1.12)
    free = [s for s in spots if math.hypot(s[0] - x, (s[1] - z) * (1.6 if ringed else 1)) > reach]
    for index, (east, up) in enumerate(rng.sample(free, min(moons, len(free)))):
        size = rng.choice((0.06, 0.09, 0.14, 0.2)) if index == 0 else rng.uniform(0.03, 0.07)
        kind = rng.choice(("moon", "rust", "ice", "moon"))
        moon = globe(kind, None, seed + 20 + index, towards, rng)
        if landed:
            up = 0.35 + 0.5 * abs(up)
        for part in moon:
            part.scale = (size * scale,) * 3
            part.location = (east * scale, depth, up * scale)
    if landed:
        ground(seed, rng, draw)
        stage.camera((0, 0, 1.9), (0, 100, 1.9), lens=50, shift=0.22)
    else:
        stage.camera((0, 0, 0), (0, 1, 0), lens=50)
    stage.bloom(0.12, 1.2, 0.5)
    stage.expose(0.1)
