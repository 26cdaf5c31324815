"""Glass marbles with twisted colour inside, on wood, sand, cloth or paper in low sunlight."""

import math
import random

import materials
import numpy as np
import shapes
import sky
import stage
import terrain
from mathutils import Euler

SETS = [
    [(0.02, 0.25, 0.75), (0.05, 0.60, 0.75)],
    [(0.80, 0.05, 0.03), (0.95, 0.45, 0.04)],
    [(0.05, 0.45, 0.12), (0.75, 0.75, 0.08)],
    [(0.45, 0.05, 0.55), (0.90, 0.20, 0.45)],
    [(0.85, 0.55, 0.05), (0.85, 0.85, 0.80)],
    [(0.02, 0.03, 0.05), (0.75, 0.78, 0.80)],
]
GROUNDS = ("wood", "paper", "sand", "cloth", "dark", "stone", "linen")


def vane(rng: random.Random, radius: float, colour, twist: float, width: float):
    """Make one twisted ribbon of coloured glass through the middle of a marble."""
    shine = materials.plain("vane", colour, 0.25, Subsurface_Weight=0.4, Subsurface_Scale=0.05)
    rows, points = 40, []
    for index in range(rows):
        t = 2 * index / (rows - 1) - 1
        reach = width * radius * math.cos(t * math.pi / 2) ** 0.6
        turn = twist * t
        row = []
        for across in np.linspace(-1, 1, 9):
            bow = 0.25 * reach * (1 - across * across)
            row.append(
                (
                    reach * across * math.cos(turn) - bow * math.sin(turn),
                    reach * across * math.sin(turn) + bow * math.cos(turn),
                    0.82 * radius * t,
                )
            )
        points.append(row)
    return terrain.sheet("vane", np.array(points), shine)


def cat_eye(rng: random.Random, radius: float, colours) -> list:
    """Make a clear marble with two to four vanes."""
    tint = tuple(0.86 + 0.14 * c for c in rng.choice(colours))
    parts = [shapes.ball(radius, materials.glass(tint, ior=1.46, shadow=0.9), segments=96)]
    count, twist = rng.randint(2, 4), rng.uniform(0.7, 1.8) * rng.choice((-1, 1))
    for index in range(count):
        ribbon = vane(rng, radius, colours[index % len(colours)], twist, rng.uniform(0.5, 0.75))
        ribbon.rotation_euler.z = math.pi * index / count
        parts.append(ribbon)
    return parts


def swirl(rng: random.Random, radius: float, colours) -> list:
    """Make an opaque marble of folded colours under a glassy surface."""
    material, graph, shader = materials.begin("swirl")
    place = graph.stretch(graph.coordinates(), (1.6 / radius * 0.5, 0.6 / radius, 0.6 / radius))
    fold = graph.noise(0.9, place, detail=4.0, distortion=2.6, offset=rng.uniform(0, 50))
    white = (0.86, 0.85, 0.82)
    colour = graph.ramp(
        fold,
        [
            (0.0, colours[0]),
            (0.42, colours[0]),
            (0.47, white),
            (0.53, white),
            (0.57, colours[1]),
            (1.0, colours[1]),
        ],
    )
    graph.tree.links.new(colour, shader.inputs["Base Color"])
    shader.inputs["Roughness"].default_value = 0.3
    shader.inputs["Coat Weight"].default_value = 1.0
    shader.inputs["Coat Roughness"].default_value = 0.01
    shader.inputs["Subsurface Weight"].default_value = 0.3
    shader.inputs["Subsurface Scale"].default_value = 0.08
    return [shapes.ball(radius, material, segments=96)]


def solid(rng: random.Random, radius: float, colours) -> list:
    """Make a marble of tinted glass with a few bubbles."""
    deep = tuple(min(1.0, 0.25 + 0.9 * c) for c in rng.choice(colours))
    parts = [shapes.ball(radius, materials.glass(deep, ior=1.48, shadow=0.95), segments=96)]
    bubble = materials.glass((1, 1, 1), ior=0.69)
    for _ in range(rng.randint(3, 9)):
        way = [rng.gauss(0, 0.3 * radius) for _ in range(3)]
        parts.append(shapes.ball(radius * rng.uniform(0.015, 0.05), bubble, way, 24))
    return parts


def lay(rng: random.Random, kind, radius: float, colours, x: float, y: float, z: float) -> None:
    """Put one marble down, turned any way."""
    parts = kind(rng, radius, colours)
    turn = Euler([rng.uniform(0, 6.28) for _ in range(3)]).to_matrix().to_4x4()
    for part in parts:
        part.matrix_world = turn @ part.matrix_basis
        part.location.x += x
        part.location.y += y
        part.location.z += z


def drift(ground: str, seed: int, x, y):
    """Give the height of the ground: level, but for sand."""
    return (
        0.12 * terrain.fractal(np.asarray(x) / 2.2, np.asarray(y) / 2.2, seed) * (ground == "sand")
    )


def floor(kind: str, rng: random.Random, seed: int) -> None:
    """Make the ground the marbles lie on."""
    paper = [(0.75, 0.70, 0.60), (0.25, 0.50, 0.62), (0.80, 0.42, 0.34), (0.62, 0.66, 0.45)]
    made = {
        "wood": lambda: materials.wood(planks=1.6, scale=0.45, roughness=0.3, offset=seed),
        "dark": lambda: materials.wood((0.02, 0.012, 0.008), (0.10, 0.05, 0.03), 0.5, 2.2, 0.22),
        "paper": lambda: materials.plain("paper", rng.choice(paper), 0.7),
        "sand": lambda: materials.sand((0.72, 0.58, 0.40), 0.5, 1.6, fade=60),
        "cloth": lambda: materials.cloth((0.06, 0.12, 0.26), 22),
        "linen": lambda: materials.cloth((0.70, 0.66, 0.58), 16),
        "stone": lambda: materials.stone((0.34, 0.34, 0.35), (0.18, 0.18, 0.19), 0.8, 0.5, 0.25),
    }[kind]()
    if kind == "sand":
        terrain.patch(
            lambda x, y: drift(kind, seed, x, y),
            made,
            40,
            40,
            400,
        )
    else:
        terrain.plane(made, 60)


def build(seed: int) -> None:
    """Build one picture of marbles."""
    rng, draw = random.Random(f"marbles {seed}"), np.random.default_rng(seed)
    ground = stage.deal(seed, "ground", GROUNDS)
    count = stage.deal(seed, "count", (4, 3, 5, 9, 14, 24, 40, 7))
    hour = stage.deal(seed, "hour", ("golden", "morning", "noon", "golden", "rose"))
    azimuth = rng.choice((-1, 1)) * rng.uniform(25, 75)
    sky.outdoors(hour, azimuth, rng.uniform(20, 38), clouds=0.4, offset=seed, softness=1.2)
    floor(ground, rng, seed)
    mixed = count > 6
    kinds = (
        [cat_eye, swirl, solid]
        if mixed
        else [stage.deal(seed, "sort", (cat_eye, solid, swirl, cat_eye))]
    )
    colours = [rng.choice(SETS)] if not mixed else rng.sample(SETS, rng.choice((2, 4, 6)))
    radii = sorted((rng.choice((0.5, 0.5, 0.5, 0.36, 0.72)) for _ in range(count)), reverse=True)
    spread = 0.5 + 1.05 * math.sqrt(count)
    spots = shapes.settle(draw, radii, 1.25 * spread, spread, 0.005)
    for (x, y), radius in zip(spots, radii, strict=False):
        lay(
            rng,
            rng.choice(kinds),
            radius,
            rng.choice(colours),
            x,
            y,
            radius + drift(ground, seed, x, y),
        )
    lift = math.radians(rng.uniform(14, 46))
    lens = rng.choice((45, 55, 65))
    discs = [(x, y, radius) for (x, y), radius in zip(spots, radii, strict=False)]
    away = max(3.2 + 1.6 * spread, stage.step_back(discs, lens, lift, 1.25))
    aim = (0, 0, 0.35)
    near = min(spots, key=lambda spot: spot[1] + abs(spot[0]) * 0.5)
    stage.camera(
        (rng.uniform(-0.5, 0.5), -away * math.cos(lift), away * math.sin(lift)),
        aim,
        lens=lens,
        fstop=rng.choice((0.10, 0.16, 0.24)),
        focus=(*near, 0.5),
    )
    stage.expose(-0.1)
