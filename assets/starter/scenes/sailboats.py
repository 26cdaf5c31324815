"""Sailing boats at sea: a lone sloop, a few in company, a regatta under spinnakers."""

import math
import random

import bpy
import materials
import numpy as np
import shapes
import sky
import stage
import terrain

# Hour, sun's azimuth, clouds, boats, sails, coast, sea (0.1 calm to 0.6 rough).
MOODS = [
    ("golden", 70, 0.35, 1, "white", "none", 0.25),
    ("noon", -110, 0.45, 7, "spinnakers", "hills", 0.35),
    ("sunset", -14, 0.40, 1, "white", "none", 0.28),
    ("morning", 105, 0.30, 3, "white", "cliffs", 0.25),
    ("rose", -70, 0.35, 2, "tan", "hills", 0.10),
    ("overcast", 60, 0.60, 5, "mixed", "islands", 0.30),
    ("golden", -100, 0.55, 10, "spinnakers", "none", 0.30),
    ("dawn", 24, 0.25, 3, "white", "islands", 0.08),
    ("noon", 80, 0.25, 1, "stripes", "cliffs", 0.30),
    ("storm", -75, 0.85, 2, "white", "none", 0.60),
    ("sunset", 75, 0.50, 4, "mixed", "hills", 0.20),
    ("morning", -85, 0.60, 12, "white", "islands", 0.30),
    ("dusk", 10, 0.25, 2, "white", "hills", 0.06),
    ("golden", 28, 0.20, 6, "mixed", "islands", 0.22),
    ("noon", 130, 0.65, 2, "stripes", "islands", 0.40),
]
BRIGHT = [(0.70, 0.04, 0.03), (0.02, 0.14, 0.50), (0.90, 0.60, 0.03), (0.03, 0.35, 0.16)]
BRIGHT += [(0.85, 0.28, 0.03), (0.40, 0.05, 0.35), (0.02, 0.42, 0.52)]
HULLS = [(0.80, 0.80, 0.78), (0.02, 0.05, 0.14), (0.40, 0.03, 0.03), (0.03, 0.16, 0.14)]


def canvas(colour, second=None, panel: float = 1.1):
    """Make sailcloth with seams, striped with a second colour, the sun shining through."""
    material, graph, shader = materials.begin("canvas")
    z = graph.split(graph.coordinates())[2]
    part = graph.math("DIVIDE", z, panel)
    seam = graph.math("ABSOLUTE", graph.math("SUBTRACT", graph.math("FRACT", part), 0.5))
    base = colour
    if second:
        half = graph.math("FRACT", graph.math("DIVIDE", part, 4.0))
        base = graph.mix(graph.math("GREATER_THAN", half, 0.5), colour, second)
    dark = graph.math("SUBTRACT", 1.0, graph.math("MULTIPLY", graph.smooth(seam, 0.46, 0.5), 0.25))
    base = graph.mix(1.0, base, graph.join(dark, dark, dark), "MULTIPLY")
    graph.tree.links.new(base, shader.inputs["Base Color"])
    shader.inputs["Roughness"].default_value = 0.6
    soft = graph.noise(0.7, graph.coordinates(), detail=3.0)
    graph.tree.links.new(graph.bump(soft, 0.3, 0.25), shader.inputs["Normal"])
    through = graph.node("BsdfTranslucent", Color=base)
    mixed = graph.node("MixShader", Fac=0.42)
    output = next(node for node in graph.tree.nodes if node.type == "OUTPUT_MATERIAL")
    graph.tree.links.new(shader.outputs[0], mixed.inputs[1])
    graph.tree.links.new(through.outputs[0], mixed.inputs[2])
    graph.tree.links.new(mixed.outputs[0], output.inputs["Surface"])
    return material


def sail(tack, head, clew, belly: float, roach: float, material) -> bpy.types.Object:
    """Make a three-cornered sail that the wind fills towards +Y (or -Y with belly < 0)."""
    tack, head, clew = (np.array(corner, float) for corner in (tack, head, clew))
    rows, columns = 24, 16
    vertices, faces = [], []
    for i in range(rows + 1):
        up = i / rows
        luff = tack + (head - tack) * up
        leech = clew + (head - clew) * up
        leech = leech + (clew - tack) * roach * math.sin(math.pi * up**0.8)
        chord = float(np.linalg.norm(leech - luff))
        for j in range(columns + 1):
            along = j / columns
            place = luff + (leech - luff) * along
            place[1] += belly * chord * math.sin(math.pi * along**0.75)
            vertices.append(place)
            if i and j:
                first = i * (columns + 1) + j
                faces.append((first - columns - 2, first - columns - 1, first, first - 1))
    return shapes.add("sail", vertices, faces, material)


def spinnaker(colours, side: float) -> list[bpy.types.Object]:
    """Make the big balloon sail before the mast, in panels of its colours."""
    items = []
    for index in range(6):
        vertices, faces = [], []
        for i in range(25):
            up = i / 24
            wide = 3.1 * math.sin(math.pi * min(0.30 + 0.70 * up, 1.0)) ** 0.8
            for j in range(7):
                across = 2 * (index + j / 6) / 6 - 1
                out = 2.6 * (1 - across**2) * math.sin(math.pi * (0.15 + 0.85 * up)) ** 0.7
                place = (
                    3.0 + out + 1.4 * (1 - up),
                    side * 1.0 * (1 - up) + across * wide,
                    1.8 + 10.2 * up,
                )
                vertices.append(place)
                if i and j:
                    first = i * 7 + j
                    faces.append((first - 8, first - 7, first, first - 1))
        items.append(
            shapes.add("spinnaker", vertices, faces, colours[min(index, 5 - index) % len(colours)])
        )
    return items


def hull(material, deck) -> list[bpy.types.Object]:
    """Make a yacht's hull 10 m long with a deck, a cabin and a rail; the bow points to +X."""
    stations, ribs = 40, 14
    vertices, faces, top = [], [], []
    for i in range(stations + 1):
        t = i / stations
        x = -4.8 + 10.2 * t
        beam = 1.55 * (math.sin(math.pi * (0.24 + 0.76 * t)) ** 0.75 if t < 1 else 0.0) + 0.01
        sheer = 0.95 + 0.55 * (t - 0.35) ** 2 + 0.18 * t
        keel = -0.55 + 0.75 * max(0, t - 0.55) ** 2 * 3.4 + 0.3 * max(0, 0.2 - t)
        for j in range(ribs + 1):
            turn = math.pi * j / ribs
            y = beam * math.copysign(abs(math.cos(turn)) ** 0.6, math.cos(turn))
            depth = math.sin(turn) ** 0.8
            vertices.append(
                (x + 0.5 * (1 - depth) * max(0, t - 0.8), y, sheer + (keel - sheer) * depth)
            )
            if i and j:
                first = i * (ribs + 1) + j
                faces.append((first - ribs - 2, first - 1, first, first - ribs - 1))
        top += [(x, beam * 0.98, sheer - 0.03), (x, -beam * 0.98, sheer - 0.03)]
    faces.append(tuple(range(ribs + 1)))
    body = shapes.add("hull", vertices, faces, material)
    body.data.set_sharp_from_angle(angle=math.radians(50))
    planks = shapes.add(
        "deck", top, [(2 * i, 2 * i + 1, 2 * i + 3, 2 * i + 2) for i in range(stations)], deck
    )
    return [body, planks]


def paintwork(colour):
    """Make a hull's paint: red below the water, a white line, then its colour."""
    material, graph, shader = materials.begin("hull")
    z = graph.split(graph.coordinates())[2]
    paint = graph.mix(graph.math("GREATER_THAN", z, 0.26), (0.75, 0.75, 0.73), colour)
    paint = graph.mix(graph.math("GREATER_THAN", z, 0.12), (0.25, 0.03, 0.02), paint)
    graph.tree.links.new(paint, shader.inputs["Base Color"])
    shader.inputs["Roughness"].default_value = 0.25
    shader.inputs["Coat Weight"].default_value = 0.7
    return material


def boat(rng: random.Random, spot, heading: float, heel: float, style: str, parts) -> None:
    """Rig a sloop and set it on the water."""
    white, tan, bright, spar, teak = parts
    side = math.copysign(1.0, heel)
    items = hull(paintwork(rng.choice(HULLS)), teak)
    pale = materials.paint((0.78, 0.77, 0.74), 0.3)
    items.append(shapes.box((3.6, 1.7, 0.48), pale, (0.3, 0, 0.86), 0.2))
    items.append(
        shapes.box(
            (3.0, 1.74, 0.16), materials.paint((0.02, 0.025, 0.03), 0.1), (0.4, 0, 1.06), 0.05
        )
    )
    items.append(shapes.tube([(1.2, 0, 0.8), (1.1, 0, 13.3)], 0.085, spar, 4, 0.6))
    swing = side * rng.uniform(0.25, 0.55)
    end = (1.1 - 4.3 * math.cos(swing), 4.3 * math.sin(swing), 2.05)
    items.append(shapes.tube([(1.15, 0, 2.0), end], 0.07, spar))
    for y in (-1.3, 1.3):
        items.append(shapes.tube([(0.9, y, 0.95), (1.12, 0, 12.2)], 0.015, spar))
    items.append(shapes.tube([(-4.7, 0, 1.1), (1.1, 0, 13.2)], 0.015, spar))
    items.append(shapes.tube([(5.2, 0, 1.2), (1.12, 0, 12.4)], 0.018, spar))
    cloth = {"white": white, "tan": tan, "spinnakers": white}.get(style) or (
        rng.choice([white, tan, *bright[:3]]) if style == "mixed" else bright[-1]
    )
    items.append(sail((1.05, 0, 2.15), (1.02, 0.05 * side, 13.0), end, 0.10 * side, 0.13, cloth))
    if style == "spinnakers" and rng.random() < 0.75:
        items += spinnaker(rng.sample(bright[:-1], rng.choice((2, 3))), side)
    else:
        clew = (0.4, side * 1.35, 1.9)
        front = rng.choice(bright) if style in ("mixed", "stripes") else cloth
        items.append(sail((5.1, 0, 1.3), (1.35, 0, 11.6), clew, 0.12 * side, -0.03, front))
    for _ in range(rng.randint(1, 3)):
        coat = materials.plain("coat", rng.choice(BRIGHT), 0.8)
        x, y = rng.uniform(-3.9, -2.0), rng.uniform(-0.7, 0.7)
        items.append(shapes.box((0.42, 0.5, 0.85), coat, (x, y, 0.75), 0.15))
        items.append(
            shapes.ball(0.15, materials.plain("face", (0.5, 0.3, 0.2), 0.6), (x, y, 1.75), 20)
        )
    parent = bpy.data.objects.new("boat", None)
    bpy.context.scene.collection.objects.link(parent)
    for item in items:
        item.parent = parent
    parent.location = (*spot, -0.05)
    parent.rotation_euler = (-heel, rng.gauss(0, 0.015), heading)


def coast(kind: str, seed: int, hour: str) -> None:
    """Lay land along the horizon."""
    if kind == "none":
        return

    def height(x, y):
        rough = terrain.fractal(x / 420, y / 420, seed)
        if kind == "cliffs":
            edge = terrain.smooth(y + 0.9 * x - 200 * rough, 1150, 1240)
            return -12 + edge * (95 + 45 * terrain.fractal(x / 700, y / 700, seed + 2))
        rise = terrain.smooth(y, 1500, 3800)
        if kind == "hills":
            return -25 + rise * (230 + 330 * terrain.fractal(x / 1300, y / 1300, seed) + 30 * rough)
        bumps = terrain.fractal(x / 1000, y / 1000, seed, 6) - 0.16
        return -20 + terrain.smooth(y, 1000, 1700) * 330 * bumps

    land = {
        "cliffs": ((0.09, 0.11, 0.035), (0.52, 0.47, 0.38)),
        "hills": ((0.045, 0.07, 0.025), (0.14, 0.12, 0.10)),
        "islands": ((0.04, 0.065, 0.025), (0.16, 0.14, 0.11)),
    }[kind]
    cover = materials.ground(*land, slope=0.8, grain=0.3, bump=0.7, offset=seed)
    terrain.fan(height, cover, near=700, far=9000, rows=340, columns=420, angle=80)


def build(seed: int) -> None:
    """Build one picture of sailing boats."""
    rng = random.Random(f"sailboats {seed}")
    hour, azimuth, clouds, count, style, shore, sea = MOODS[seed % len(MOODS)]
    sky.outdoors(
        hour,
        azimuth,
        clouds=clouds,
        offset=seed * 3.7,
        disc=1.0 if hour == "sunset" and abs(azimuth) < 20 else 0.0,
        stars=0.3 if hour == "dusk" else 0.0,
    )
    deep = (0.008, 0.05, 0.075) if hour in ("noon", "morning") else (0.010, 0.030, 0.042)
    terrain.plane(materials.water(deep, 1.5 * sea, 0.6, offset=seed, calm=0.25, fade=140), 30000)
    coast(shore, seed, hour)
    first = rng.choice(BRIGHT)
    pale = (0.82, 0.80, 0.75)
    parts = (
        canvas(pale),
        canvas((0.42, 0.10, 0.045)),
        [*(canvas(colour, panel=1.5) for colour in BRIGHT), canvas(pale, first)],
        materials.metal((0.75, 0.75, 0.76), 0.3),
        materials.wood((0.22, 0.12, 0.06), (0.48, 0.31, 0.17), 1.0, planks=0.12),
    )
    eye = rng.uniform(2.2, 6.0)
    side, lean = rng.choice((-1, 1)), rng.choice((-1, 1)) * (0.05 + 0.35 * sea)
    placed: list[tuple[float, float]] = []
    for index in range(count):
        for _ in range(300):
            if index == 0:
                away = rng.uniform(36, 46) if count < 4 else rng.uniform(44, 60)
                u = side * rng.uniform(0.02, 0.12) if count == 1 else side * rng.uniform(0.10, 0.18)
            else:
                away = rng.uniform(55, 130 + 30 * count)
                u = rng.uniform(-0.31, 0.31)
            if all(abs(u - a) > 4.6 / away + 3.6 / b for a, b in placed):
                placed.append((u, away))
                course = rng.gauss(0.0, 0.45) + (math.pi if side > 0 else 0.0)
                boat(rng, (u * away, away), course, lean * rng.uniform(0.7, 1.3), style, parts)
                break
    away = placed[0][1]
    # The nearest boat stands on the lower sixth of the frame, its masthead well inside.
    pitch = 0.165 - eye / away
    stage.camera((0, 0, eye), (0, 100, eye + 100 * pitch), lens=50)
    stage.haze(7000 if hour != "overcast" else 3500)
    stage.expose({"dusk": 0.8, "noon": -0.25, "morning": -0.1}.get(hour, 0.1))
