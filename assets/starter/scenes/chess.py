"""Chessmen on a board in the middle of a game: wood, ivory, marble or metal, in shallow focus."""

import math
import random

import bpy
import materials
import shapes
import sky
import stage
from mathutils import Vector

# Positions of real openings and endings, so that the men stand as players leave them.
OPEN, SICILIAN, GAMBIT, MIDDLE, ENDING, START, LATE = (
    "r1bqkbnr/pppp1ppp/2n5/4p3/2B1P3/5N2/PPPP1PPP/RNBQK2R",
    "r1bqkb1r/pp2pppp/2np1n2/8/3NP3/2N5/PPP2PPP/R1BQKB1R",
    "rnbqkb1r/ppp2ppp/4pn2/3p2B1/2PP4/2N5/PP2PPPP/R2QKBNR",
    "r2q1rk1/pp2bppp/2n1bn2/3p4/3N4/1BN1B3/PPP2PPP/R2Q1RK1",
    "8/5pk1/3R2p1/4P3/2p5/2P2K2/5P2/1r6",
    "rnbqkbnr/pppppppp/8/8/4P3/8/PPPP1PPP/RNBQKBNR",
    "2kr3r/ppp2p2/2n3p1/4N3/3P4/2P1B3/PP3PPP/R4RK1",
)
# Set, board, position, square that is in focus (file, rank), view from, light.
MOODS = [
    ("wood", "walnut", OPEN, "e4", (-20, 36), "window"),
    ("ivory", "marble", SICILIAN, "d4", (35, 32), "sun"),
    ("wood", "walnut", START, "e1", (8, 14), "warm"),
    ("ivory", "slate", MIDDLE, "d4", (-40, 33), "cool"),
    ("wood", "maple", GAMBIT, "g5", (25, 28), "sun"),
    ("metal", "slate", ENDING, "f3", (-15, 16), "warm"),
    ("ivory", "walnut", LATE, "e5", (-55, 22), "window"),
    ("wood", "walnut", MIDDLE, "g8", (160, 18), "sun"),
    ("marble", "walnut", OPEN, "f3", (20, 36), "sun"),
    ("wood", "maple", START, "b8", (195, 16), "cool"),
    ("red", "maple", SICILIAN, "f6", (205, 36), "window"),
    ("ivory", "slate", ENDING, "d6", (60, 13), "warm"),
    ("wood", "walnut", LATE, "g1", (-30, 34), "warm"),
    ("metal", "marble", GAMBIT, "c4", (-62, 26), "sun"),
    ("red", "walnut", START, "d8", (165, 18), "warm"),
]
FOOT = [(0, 0), (0.36, 0), (0.385, 0.02), (0.385, 0.07), (0.35, 0.10), (0.335, 0.13), (0.36, 0.16),
        (0.345, 0.20), (0.27, 0.25), (0.22, 0.31)]  # fmt: skip
# Profiles above the common foot, for a man of one unit's footprint scale.
BODIES = {
    "p": [(0.16, 0.45), (0.125, 0.62), (0.13, 0.68), (0.22, 0.72), (0.22, 0.745), (0.14, 0.78),
          (0.17, 0.83), (0.205, 0.91), (0.205, 0.98), (0.16, 1.07), (0.08, 1.115), (0, 1.125)],
    "r": [(0.20, 0.50), (0.185, 0.80), (0.19, 0.86), (0.26, 0.90), (0.26, 0.93), (0.225, 0.96),
          (0.27, 1.02), (0.285, 1.07), (0.285, 1.24), (0.27, 1.255), (0.205, 1.255), (0.195, 1.24),
          (0.195, 1.13), (0, 1.12)],
    "b": [(0.165, 0.55), (0.125, 0.88), (0.13, 0.93), (0.235, 0.97), (0.235, 1.0), (0.15, 1.03),
          (0.15, 1.06), (0.195, 1.14), (0.20, 1.23), (0.165, 1.34), (0.10, 1.43), (0.045, 1.475),
          (0.06, 1.51), (0.062, 1.54), (0.04, 1.575), (0, 1.585)],
    "q": [(0.175, 0.60), (0.13, 1.02), (0.135, 1.08), (0.255, 1.12), (0.255, 1.15), (0.16, 1.18),
          (0.16, 1.22), (0.20, 1.38), (0.265, 1.56), (0.268, 1.60), (0.235, 1.60), (0.20, 1.56),
          (0.13, 1.585), (0.06, 1.63), (0.075, 1.67), (0.075, 1.70), (0.045, 1.74), (0, 1.75)],
    "k": [(0.185, 0.65), (0.14, 1.10), (0.145, 1.17), (0.265, 1.21), (0.265, 1.24), (0.17, 1.27),
          (0.17, 1.31), (0.21, 1.48), (0.255, 1.66), (0.245, 1.70), (0.17, 1.74), (0.07, 1.765),
          (0.06, 1.79), (0, 1.79)],
    "n": [(0.21, 0.34), (0.235, 0.37), (0.25, 0.40), (0.235, 0.43), (0, 0.44)],
}  # fmt: skip
# fmt: off
# A horse's head from the side: muzzle to the right.
HEAD = [(-0.20, 0.40), (-0.25, 0.62), (-0.235, 0.86), (-0.15, 1.08), (-0.06, 1.20), (-0.045, 1.33),
        (0.02, 1.245), (0.11, 1.17), (0.20, 1.05), (0.31, 0.90), (0.335, 0.83), (0.30, 0.765),
        (0.235, 0.755), (0.16, 0.80), (0.075, 0.815), (0.10, 0.70), (0.175, 0.56), (0.20, 0.40)]
# fmt: on


def join(parts: list) -> bpy.types.Object:
    """Put several meshes into the first, so that a man is copied as one thing."""
    graph = bpy.context.evaluated_depsgraph_get()
    vertices, faces = [], []
    for part in parts:
        mesh = part.evaluated_get(graph).to_mesh()
        first = len(vertices)
        vertices.extend(part.matrix_basis @ v.co for v in mesh.vertices)
        faces.extend([first + v for v in face.vertices] for face in mesh.polygons)
    whole = shapes.add("man", vertices, faces)
    whole.data.set_sharp_from_angle(angle=math.radians(42))
    for part in parts:
        bpy.data.objects.remove(part)
    whole.data.materials.append(None)  # A slot, which every copy fills for itself.
    whole.hide_render = True
    return whole


def horse() -> list:
    """Carve a knight's head: a rounded silhouette, narrower at muzzle and ears, with a mane."""
    curve = bpy.data.curves.new("head", "CURVE")
    curve.dimensions, curve.fill_mode = "2D", "BOTH"
    curve.extrude, curve.bevel_depth, curve.bevel_resolution = 0.075, 0.055, 5
    curve.offset = -0.05
    line = curve.splines.new("BEZIER")
    line.bezier_points.add(len(HEAD) - 1)
    for point, (x, z) in zip(line.bezier_points, HEAD, strict=True):
        point.co = (x, z, 0)
        point.handle_left_type = point.handle_right_type = "AUTO"
    line.use_cyclic_u, line.resolution_u = True, 8
    head = bpy.data.objects.new("head", curve)
    bpy.context.scene.collection.objects.link(head)
    head.rotation_euler.x = math.pi / 2
    bpy.context.view_layer.update()
    graph = bpy.context.evaluated_depsgraph_get()
    mesh = bpy.data.meshes.new_from_object(head.evaluated_get(graph))
    mesh.transform(head.matrix_world)
    bpy.data.objects.remove(head)
    for vertex in mesh.vertices:
        x, _, z = vertex.co
        thin = 1.35 - 0.55 * min(max((z - 0.45) / 0.8, 0), 1) - 0.35 * min(max(x / 0.33, 0), 1)
        vertex.co.y *= thin
    carved = bpy.data.objects.new("head", mesh)
    bpy.context.scene.collection.objects.link(carved)
    parts = [carved]
    for index in range(9):  # Locks of the mane along the neck.
        t = index / 8
        lock = shapes.ball(0.07, segments=20, location=(-0.235 + 0.15 * t**2.2, 0, 0.55 + 0.62 * t))
        lock.scale = (0.85, 0.85, 0.75)
        parts.append(lock)
    for hand in (-1, 1):
        parts.append(shapes.ball(0.026, segments=16, location=(0.06, hand * 0.098, 1.06)))
        ear = shapes.lathe([(0, 0), (0.035, 0.02), (0.03, 0.07), (0, 0.16)], segments=16)
        ear.location = (-0.03, hand * 0.055, 1.17)
        parts.append(ear)
    return parts


def men() -> dict:
    """Turn the six men, each about one square wide."""
    models = {}
    for name, body in BODIES.items():
        parts = [shapes.lathe([*FOOT, *shapes.rounded(body, 4)], segments=72, sharp=35)]
        if name == "r":
            cut = parts[0].modifiers.new("crenels", "BOOLEAN")
            bars = []
            for turn in (0, 60, 120):
                bar = shapes.box((0.8, 0.085, 0.4), None, (0, 0, 1.155), 0, math.radians(turn))
                bars.append(bar)
            tool = join(bars)
            cut.object, cut.solver = tool, "EXACT"
        if name == "b":
            tool = shapes.box((0.5, 0.035, 0.4), None, (0.16, 0, 1.24), 0)
            tool.rotation_euler.y = math.radians(-38)
            tool.rotation_euler.z = math.radians(90)
            tool.hide_render = True
            cut = parts[0].modifiers.new("mitre", "BOOLEAN")
            cut.object, cut.solver = tool, "EXACT"
        if name == "q":
            for index in range(9):
                turn = 2 * math.pi * index / 9
                spot = (0.252 * math.cos(turn), 0.252 * math.sin(turn), 1.605)
                parts.append(shapes.ball(0.042, segments=20, location=spot))
        if name == "k":
            parts.append(shapes.box((0.055, 0.05, 0.26), None, (0, 0, 1.77), 0.012))
            parts.append(shapes.box((0.19, 0.05, 0.06), None, (0, 0, 1.885), 0.012))
        if name == "n":
            parts += horse()
        bpy.context.view_layer.update()
        models[name] = join(parts)
    return models


def stuff(kind: str):
    """Give the light men's and the dark men's material."""
    if kind == "wood":
        return (
            materials.wood((0.42, 0.26, 0.12), (0.66, 0.47, 0.26), 0.9, roughness=0.3),
            materials.wood((0.035, 0.014, 0.007), (0.12, 0.045, 0.022), 0.9, roughness=0.25),
        )
    if kind == "metal":
        return materials.metal((0.92, 0.90, 0.86), 0.2), materials.metal((0.95, 0.58, 0.30), 0.24)
    if kind == "marble":
        return (
            materials.marble((0.80, 0.78, 0.74), scale=2.5),
            materials.marble((0.05, 0.10, 0.075), (0.3, 0.36, 0.3), scale=2.5),
        )
    coat = {"Coat_Weight": 0.7, "Coat_Roughness": 0.08, "Subsurface_Weight": 0.3}
    dark = (0.30, 0.012, 0.012) if kind == "red" else (0.018, 0.014, 0.013)
    ivory = materials.plain("ivory", (0.74, 0.66, 0.50), 0.38, Subsurface_Scale=0.08, **coat)
    return ivory, materials.plain("ebony", dark, 0.36, Subsurface_Scale=0.02, **coat)


def board(kind: str, seed: int) -> None:
    """Lay 64 squares in a bevelled frame on a table."""
    light, dark, rim = {
        "walnut": lambda: (
            materials.wood((0.40, 0.25, 0.12), (0.62, 0.44, 0.25), 0.6, offset=seed),
            materials.wood((0.07, 0.028, 0.012), (0.20, 0.085, 0.04), 0.6, offset=seed),
            materials.wood((0.05, 0.02, 0.01), (0.15, 0.065, 0.03), 0.4),
        ),
        "maple": lambda: (
            materials.wood((0.55, 0.40, 0.22), (0.74, 0.58, 0.36), 0.6, offset=seed),
            materials.wood((0.20, 0.08, 0.03), (0.40, 0.18, 0.08), 0.6, offset=seed),
            materials.wood((0.30, 0.15, 0.06), (0.50, 0.28, 0.13), 0.4),
        ),
        "marble": lambda: (
            materials.marble((0.74, 0.72, 0.68), scale=0.8, offset=seed),
            materials.marble((0.055, 0.06, 0.065), (0.35, 0.35, 0.36), 0.8, offset=seed),
            materials.marble((0.12, 0.12, 0.125), (0.4, 0.4, 0.4), 0.5),
        ),
        "slate": lambda: (
            materials.stone((0.36, 0.37, 0.39), (0.24, 0.25, 0.27), 0.7, 0.28, 0.1),
            materials.stone((0.06, 0.065, 0.075), (0.025, 0.027, 0.03), 0.7, 0.24, 0.1),
            materials.metal((0.55, 0.56, 0.58), 0.3),
        ),
    }[kind]()
    shapes.box((9.3, 9.3, 0.42), rim, (0, 0, -0.44), 0.08)
    tiles = [shapes.box((0.988, 0.988, 0.2), m, (0, 0, -0.2), 0.012) for m in (dark, light)]
    for index in range(64):
        file, rank = index % 8, index // 8
        shapes.copy(tiles[(file + rank) % 2], (file - 3.5, rank - 3.5, -0.2))
    for tile in tiles:
        tile.hide_render = True


def room(kind: str, rng: random.Random, seed: int) -> None:
    """Light the board, and hang lamps far behind it for the lens to blur."""
    turn = rng.choice((-1, 1))
    if kind == "sun":
        sky.outdoors("golden", turn * rng.uniform(40, 80), rng.uniform(18, 30), softness=1.2)
    else:
        tone = {"window": (0.75, 0.85, 1.0), "warm": (0.5, 0.3, 0.16), "cool": (0.25, 0.4, 0.8)}
        sky.gradient(tone[kind], (0.16, 0.10, 0.06), 0.5 if kind == "window" else 0.22)
        key = {"window": (0.95, 0.97, 1.0), "warm": (1.0, 0.74, 0.46), "cool": (0.65, 0.8, 1.0)}
        rim = (1.0, 0.62, 0.34) if kind == "cool" else (0.9, 0.95, 1.0)
        stage.studio_lights((0, 0, 0.5), 4.2, turn, key[kind], rim=rim, strength=1.1)


def build(seed: int) -> None:
    """Build one picture of chess."""
    rng = random.Random(f"chess {seed}")
    made, wood, position, square, (turn, lift), lit = MOODS[seed % len(MOODS)]
    board(wood, seed)
    table = materials.wood((0.05, 0.022, 0.012), (0.17, 0.08, 0.04), 0.25, 3.0, 0.35)
    if wood in ("marble", "maple"):
        table = materials.plain("table", (0.10, 0.115, 0.13), 0.5)
    shapes.box((60, 60, 1), table, (0, 0, -1.44), 0)
    models, (pale, dark) = men(), stuff(made)
    for row, line in enumerate(position.split("/")):
        file = 0
        for letter in line:
            if letter.isdigit():
                file += int(letter)
                continue
            white = letter.isupper()
            spot = (file - 3.5 + rng.gauss(0, 0.04), 3.5 - row + rng.gauss(0, 0.04), 0)
            model = models[letter.lower()]
            facing = (math.pi / 2 if white else -math.pi / 2) + rng.gauss(0, 0.35)
            if letter in "nN":  # Most players turn their knights to the side, which shows the head.
                facing += rng.choice((-1, 1)) * rng.uniform(0.8, 1.3)
            size = {"p": 0.92}.get(letter.lower(), 1.0)
            twin = shapes.copy(model, spot, facing, size)
            twin.material_slots[0].link = "OBJECT"
            twin.material_slots[0].material = pale if white else dark
            file += 1
    room(lit, rng, seed)
    focus = Vector(("abcdefgh".index(square[0]) - 3.5, int(square[1]) - 4.5, 0.8))
    if lit != "sun":
        ahead = math.radians(turn)
        for _ in range(40):
            tone = rng.choice(((1.0, 0.6, 0.25), (1.0, 0.8, 0.5), (0.5, 0.7, 1.0)))
            far, side = rng.uniform(16, 28), rng.uniform(-16, 16)
            place = (
                -far * math.sin(ahead) + side * math.cos(ahead),
                far * math.cos(ahead) + side * math.sin(ahead),
                rng.uniform(0.5, 9),
            )
            power = rng.uniform(1, 4) if lit == "window" else rng.uniform(3, 14)
            shine = materials.glow("far light", tone, power)
            shapes.ball(rng.uniform(0.08, 0.2), shine, place, 12)
    away, up, way = rng.uniform(6.0, 8.0), math.radians(lift), math.radians(turn)
    eye = Vector((math.sin(way) * math.cos(up), -math.cos(way) * math.cos(up), math.sin(up)))
    aim = focus * 0.72
    aim.z = 0.55
    stage.camera(
        aim + eye * away, aim, lens=rng.choice((42, 50, 55)), fstop=0.10 if lift < 30 else 0.18,
        focus=focus,
    )  # fmt: skip
    stage.expose(0.0)
