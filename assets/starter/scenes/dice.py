"""Dice thrown on felt, wood, marble or paper: ivory, lacquer, clear resin, metal and wood."""

import itertools
import math
import random

import bpy
import materials
import numpy as np
import shapes
import sky
import stage
from mathutils import Euler, Matrix, Vector
from tumble import tumble

IVORY, INK, WHITE = (0.78, 0.72, 0.58), (0.012, 0.012, 0.014), (0.82, 0.82, 0.80)
RED, BLUE, GREEN = (0.55, 0.012, 0.015), (0.02, 0.09, 0.50), (0.01, 0.22, 0.07)
AMBER, VIOLET, PINK, TEAL = (
    (0.85, 0.33, 0.02),
    (0.22, 0.03, 0.42),
    (0.80, 0.16, 0.28),
    (0, 0.3, 0.3),
)
# Make, body colours, pips, ground, how many, form, light, focal ratio.
MOODS = [
    ("resin", [(1.0, 0.05, 0.04)], WHITE, "felt green", 2, "thrown", "warm", 0.10),
    ("lacquer", [WHITE], INK, "wood", 5, "thrown", "window", 0.14),
    ("lacquer", [RED, WHITE, INK], None, "marble", 7, "thrown", "window", 0.16),
    ("lacquer", [BLUE, TEAL, WHITE], None, "paper sky", 5, "tower", "sun", 0.5),
    ("metal", [(1.0, 0.72, 0.32)], INK, "slate", 3, "thrown", "warm", 0.12),
    (
        "lacquer",
        [RED, AMBER, GREEN, BLUE, VIOLET, PINK],
        WHITE,
        "paper cream",
        26,
        "heap",
        "sun",
        0.3,
    ),
    ("wood", [(0.36, 0.19, 0.09)], IVORY, "linen", 4, "thrown", "sun", 0.14),
    ("resin", [(0.15, 0.45, 1.0)], WHITE, "slate", 4, "thrown", "cool", 0.10),
    ("lacquer", [IVORY], (0.20, 0.015, 0.01), "felt red", 5, "cup", "warm", 0.16),
    ("lacquer", [INK], WHITE, "paper rose", 3, "thrown", "sun", 0.3),
    ("resin", [(0.12, 0.85, 0.35), (1.0, 0.62, 0.08)], WHITE, "wood", 6, "thrown", "sun", 0.14),
    ("lacquer", [PINK, WHITE, AMBER], None, "paper mint", 12, "thrown", "sun", 0.4),
    ("metal", [(0.86, 0.86, 0.88)], RED, "felt blue", 5, "thrown", "cool", 0.12),
    ("lacquer", [WHITE], INK, "felt green", 1, "thrown", "warm", 0.08),
    ("lacquer", [RED, IVORY], None, "dark", 10, "heap", "warm", 0.14),
]
FACES = {
    1: [(0, 0)],
    2: [(-1, -1), (1, 1)],
    3: [(-1, -1), (0, 0), (1, 1)],
    4: [(-1, -1), (-1, 1), (1, -1), (1, 1)],
    5: [(-1, -1), (-1, 1), (1, -1), (1, 1), (0, 0)],
    6: [(-1, -1), (-1, 1), (1, -1), (1, 1), (-1, 0), (1, 0)],
}
# Opposite faces add up to seven, as on every real die.
SIDES = {1: (0, 0), 6: (180, 0), 2: (90, 0), 5: (-90, 0), 3: (0, 90), 4: (0, -90)}


def die(body, pip) -> bpy.types.Object:
    """Make a die of one unit around its middle: rounded edges, pips drilled and inlaid."""
    item = shapes.box((1, 1, 1), body, bevel=0)
    item.data.transform(Matrix.Translation((0, 0, -0.5)))
    bevel = item.modifiers.new("bevel", "BEVEL")
    bevel.width, bevel.segments = 0.11, 6
    spots, vertices, faces = [], [], []
    for number, (pitch, roll) in SIDES.items():
        turn = Euler((math.radians(pitch), math.radians(roll), 0)).to_matrix().to_4x4()
        size = 0.17 if number == 1 else 0.135
        for x, y in FACES[number]:
            spots.append((turn @ Vector((0.25 * x, 0.25 * y, 0.575)), size))
            drill = shapes.ball(size, segments=28)
            first = len(vertices)
            vertices.extend(vertex.co + spots[-1][0] for vertex in drill.data.vertices)
            faces.extend([first + v for v in face.vertices] for face in drill.data.polygons)
            bpy.data.objects.remove(drill)
    drills = shapes.add("drills", vertices, faces)
    cut = item.modifiers.new("pips", "BOOLEAN")
    cut.object, cut.solver = drills, "MANIFOLD"
    graph = bpy.context.evaluated_depsgraph_get()
    mesh = bpy.data.meshes.new_from_object(item.evaluated_get(graph))
    item.modifiers.clear()
    item.data = mesh
    bpy.data.objects.remove(drills)
    mesh.materials.clear()
    mesh.materials.append(body)
    mesh.materials.append(pip)
    for face in mesh.polygons:
        sunk = max(abs(c) for c in face.center) < 0.499
        inlaid = any((face.center - spot).length < 1.001 * size for spot, size in spots)
        face.material_index = int(sunk and inlaid)
    mesh.shade_smooth()
    mesh.set_sharp_from_angle(angle=math.radians(28))
    return item


def body_box(location) -> bpy.types.Object:
    """Make a plain chamfered cube that falls in a die's place: fast to collide."""
    corners = []
    for sign in itertools.product((-1, 1), repeat=3):
        for axis in range(3):
            corners.append([s * (0.5 if k == axis else 0.46) for k, s in enumerate(sign)])
    hull = shapes.add("hull", corners, [(0, 1, 2)], location=location)
    hull.hide_render = True
    return hull


def stuff(make: str, colour):
    """Give a die's material."""
    if make == "resin":
        return materials.glass(colour, ior=1.42, shadow=0.95)
    if make == "metal":
        return materials.metal(colour, 0.24)
    if make == "wood":
        return materials.wood((0.12, 0.05, 0.02), colour, 0.9, roughness=0.35)
    return materials.plain(
        "die", colour, 0.42, Coat_Weight=0.8, Coat_Roughness=0.05,
        Subsurface_Weight=0.25, Subsurface_Scale=0.06,
    )  # fmt: skip


def ground(kind: str, seed: int):
    """Give the table's material."""
    sort, _, tint = kind.partition(" ")
    if sort == "felt":
        colour = {"green": (0.012, 0.13, 0.05), "red": (0.24, 0.012, 0.02)}
        return materials.cloth(colour.get(tint, (0.015, 0.05, 0.20)), 30, 0.8)
    if sort == "paper":
        colour = {
            "sky": (0.25, 0.50, 0.66), "cream": (0.78, 0.70, 0.56),
            "rose": (0.74, 0.34, 0.32), "mint": (0.36, 0.62, 0.50),
        }  # fmt: skip
        return materials.plain("paper", colour[tint], 0.7)
    return {
        "wood": lambda: materials.wood(planks=2.6, scale=0.4, roughness=0.32, offset=seed),
        "dark": lambda: materials.wood((0.02, 0.012, 0.008), (0.11, 0.05, 0.03), 0.4, 2.4, 0.22),
        "marble": lambda: materials.marble((0.62, 0.60, 0.57), scale=0.35, offset=seed),
        "slate": lambda: materials.stone((0.10, 0.10, 0.11), (0.04, 0.04, 0.045), 0.7, 0.3, 0.12),
        "linen": lambda: materials.cloth((0.66, 0.60, 0.50), 14),
    }[sort]()


def light(kind: str, rng: random.Random, scale: float, seed: int) -> None:
    """Light the table: low sun, a window, a warm lamp by night or a cool one."""
    side = rng.choice((-1, 1))
    if kind == "sun":
        sky.outdoors("golden", side * rng.uniform(35, 75), rng.uniform(22, 36), softness=1.4)
        return
    cool = kind == "cool"
    dim = 0.45 if kind == "window" else 0.16
    sky.gradient((0.7, 0.8, 1.0), (0.35, 0.28, 0.22) if not cool else (0.2, 0.25, 0.4), dim)
    key = {"window": (0.95, 0.97, 1.0), "warm": (1.0, 0.78, 0.52), "cool": (0.62, 0.78, 1.0)}[kind]
    rim = (1.0, 0.6, 0.3) if cool else (0.9, 0.95, 1.0)
    stage.studio_lights((0, 0, 0.5), scale, side, key, rim=rim, strength=1.25)
    for _ in range(34 if kind != "window" else 0):  # Lamps far behind, drawn as discs by the lens.
        tone = rng.choice(((1.0, 0.55, 0.2), (1.0, 0.8, 0.5), (0.4, 0.6, 1.0) if cool else key))
        shine = materials.glow("far light", tone, rng.uniform(4, 18))
        place = (rng.uniform(-22, 22), rng.uniform(18, 34), rng.uniform(-0.5, 9))
        shapes.ball(rng.uniform(0.1, 0.25), shine, place, 12)


def cup(rng: random.Random) -> bpy.types.Object:
    """Lay a leather dice cup on its side, its mouth towards the dice."""
    leather = materials.plain("leather", (0.16, 0.05, 0.02), 0.5, Coat_Weight=0.2)
    profile = [(0, 0), (0.92, 0), (1.0, 0.06), (1.06, 2.5), (1.10, 2.62), (1.02, 2.68),
               (0.96, 2.58), (0.90, 0.15), (0, 0.12)]  # fmt: skip
    item = shapes.lathe(profile, leather, 96, (-1.9, 1.3, 1.07), sharp=50)
    item.rotation_euler = (0, math.radians(88.6), rng.uniform(-0.75, -0.45))
    return item


def gather(movers: list) -> list:
    """Move the dice's middle to the origin and leave out those that rolled far away."""
    spots = np.array([hull.matrix_world.translation[:2] for hull in movers])
    spots -= np.median(spots, axis=0)
    far = np.hypot(*spots.T)
    limit = 1.3 * float(np.quantile(far, 0.7)) + 0.8
    kept = [(hull, spot) for hull, spot, way in zip(movers, spots, far, strict=True) if way < limit]
    middle = np.mean([spot for _, spot in kept], axis=0)
    for hull, spot in kept:
        hull.location.x, hull.location.y = spot - middle
    bpy.context.view_layer.update()
    return [hull for hull, _ in kept]


def build(seed: int) -> None:
    """Build one picture of dice."""
    rng, draw = random.Random(f"dice {seed}"), np.random.default_rng(seed)
    make, colours, pips, table, count, form, lit, fstop = MOODS[seed % len(MOODS)]
    # A round table: its far edge is level however the viewer turns.
    wide = 16 if lit in ("warm", "cool") else 120
    shapes.lathe([(wide, -0.5), (wide, 0), (0, 0)], ground(table, seed), 160)
    floor = shapes.box((200, 200, 1), None, (0, 0, -1), 0)
    floor.hide_render = True
    models = []
    for colour in colours:
        dot = pips or (WHITE if sum(colour) < 1.2 else INK)
        models.append(die(stuff(make, colour), materials.plain("pip", dot, 0.4)))
    spread = 0.9 + 0.85 * math.sqrt(count)
    movers, top = [], 1.0
    if form == "tower":
        for index in range(count):
            twin = shapes.copy(models[index % len(models)], (0, 0, 0.5 + index), rng.uniform(0, 6))
            twin.location.x, twin.location.y = rng.gauss(0, 0.06), rng.gauss(0, 0.06)
            twin.rotation_euler.x = math.pi / 2 * rng.randint(0, 3)
        for x, y in ((-1.9, -0.7), (1.7, 0.4)):
            shapes.copy(rng.choice(models), (x, y, 0.5), rng.uniform(0, 6))
        top, spread = count, 0.68 * count
    else:
        heap = form == "heap"
        wide = 0.55 * math.sqrt(count) if heap else spread
        spots = shapes.settle(draw, [0.88] * count, 1.6 * wide, 1.1 * wide, 0.0) if not heap else []
        for index in range(count):
            x, y = spots[index] if index < len(spots) else draw.uniform(-wide / 2, wide / 2, 2)
            if form == "cup":
                x, y = 1.5 + 0.7 * x, 0.9 * y - 0.8
            level = 0.9 + (0.95 * index if heap else 0.1 * (index % 3))
            twin = body_box((x, y, level))
            slant = 2.0 if heap else 0.3  # Thrown dice have nearly come to rest.
            flat = [math.pi / 2 * rng.randint(0, 3) + rng.gauss(0, slant) for _ in range(2)]
            twin.rotation_euler = (*flat, rng.uniform(0, 6.28))
            movers.append(twin)
        fixed = [floor, cup(rng)] if form == "cup" else [floor]
        tumble(movers, fixed, 110 + 3 * count, 0.8)
        if form == "cup":
            movers = [hull for hull in movers if hull.location.length < 4]
        else:
            movers = gather(movers)
        for index, hull in enumerate(movers):
            twin = shapes.copy(models[index % len(models)], (0, 0, 0))
            twin.matrix_world = hull.matrix_world
        top = max(twin.matrix_world.translation.z for twin in movers) + 0.5
        spread = max(0.8, *(max(abs(t.location.x), abs(t.location.y)) + 0.6 for t in movers))
        spread = max(spread, 2.6) if form == "cup" else spread
    for model in models:
        model.hide_render = True
    light(lit, rng, 1.0 + 0.9 * spread, seed)
    lift = math.radians(rng.uniform(12, 20) if form == "tower" else rng.uniform(17, 42))
    if lit in ("warm", "cool"):  # Low enough to see the lamps behind the table's edge.
        lift = math.radians(rng.uniform(12, 18))
    away = 3.4 + 3.2 * spread
    aim = (0, 0, (0.5 if form == "tower" else 0.4) * top)
    near = min(movers, key=lambda t: t.location.y + 0.5 * abs(t.location.x)) if movers else None
    focus = tuple(near.location) if near else (0, -0.5, 0.5 * top)
    turn = rng.uniform(-0.5, 0.5)
    stage.camera(
        (away * math.sin(turn) * math.cos(lift), -away * math.cos(turn) * math.cos(lift),
         aim[2] + away * math.sin(lift)),
        aim, lens=55, fstop=fstop, focus=focus,
    )  # fmt: skip
    stage.expose(0.0)
