"""Shapes with soft edges: turned profiles, bevelled boxes, stones, trees and grass."""

import itertools
import math
import random
from collections.abc import Sequence

import bpy
import numpy as np
from mathutils import Matrix, Vector
from mathutils import noise as field

Triple = Sequence[float]


def add(
    name: str, vertices, faces, material=None, smooth: bool = True, location: Triple = (0, 0, 0)
) -> bpy.types.Object:
    """Make an object of vertices and faces and link it to the scene."""
    mesh = bpy.data.meshes.new(name)
    mesh.from_pydata([tuple(v) for v in vertices], [], [tuple(f) for f in faces])
    if smooth:
        mesh.shade_smooth()
    if material is not None:
        mesh.materials.append(material)
    item = bpy.data.objects.new(name, mesh)
    item.location = location
    bpy.context.scene.collection.objects.link(item)
    return item


def copy(
    item: bpy.types.Object, location: Triple, turn: float = 0.0, scale: float = 1.0, material=None
) -> bpy.types.Object:
    """Make a linked copy of an object; with another material it gets its own."""
    twin = item.copy()
    if material is not None:
        twin.material_slots[0].link = "OBJECT"
        twin.material_slots[0].material = material
    twin.location, twin.scale = location, (scale, scale, scale)
    twin.rotation_euler = (0, 0, turn)
    twin.hide_render = False
    bpy.context.scene.collection.objects.link(twin)
    return twin


def soften(item: bpy.types.Object, width: float, segments: int = 3) -> bpy.types.Object:
    """Round the hard edges by a bevel and smooth the shading between them."""
    bevel = item.modifiers.new("bevel", "BEVEL")
    bevel.width, bevel.segments, bevel.limit_method = width, segments, "ANGLE"
    bevel.harden_normals = True
    item.data.shade_smooth()
    return item


def lathe(
    profile: Sequence[tuple[float, float]],
    material=None,
    segments: int = 64,
    location: Triple = (0, 0, 0),
    sharp: float = 40.0,
) -> bpy.types.Object:
    """Turn a profile of (radius, height) points around Z: candles, vases, chessmen, towers.

    Begin and end with radius 0 for a closed body. Edges turning more than `sharp` degrees stay
    crisp; give corners two or three close points to round them.
    """
    vertices, rings = [], []
    for radius, height in profile:
        if radius < 1e-6:
            rings.append([len(vertices)] * segments)
            vertices.append((0.0, 0.0, height))
            continue
        rings.append(list(range(len(vertices), len(vertices) + segments)))
        for index in range(segments):
            turn = 2 * math.pi * index / segments
            vertices.append((radius * math.cos(turn), radius * math.sin(turn), height))
    faces = []
    for low, high in itertools.pairwise(rings):
        for index in range(segments):
            after = (index + 1) % segments
            corners = (low[index], low[after], high[after], high[index])
            faces.append(tuple(dict.fromkeys(corners)))
    faces = [face for face in faces if len(face) > 2]
    item = add("turned", vertices, faces, material, location=location)
    item.data.set_sharp_from_angle(angle=math.radians(sharp))
    return item


def rounded(points: Sequence[tuple[float, float]], steps: int = 6) -> list[tuple[float, float]]:
    """Run a smooth curve through profile points, for lathe()."""
    path = [Vector((*point, 0)) for point in points]
    curve = []
    for index in range(len(path) - 1):
        before, start = path[max(index - 1, 0)], path[index]
        end, after = path[index + 1], path[min(index + 2, len(path) - 1)]
        for step in range(steps):
            t = step / steps
            bend = 0.5 * (
                2 * start
                + (end - before) * t
                + (2 * before - 5 * start + 4 * end - after) * t**2
                + (3 * start - before - 3 * end + after) * t**3
            )
            curve.append((max(bend.x, 0.0), bend.y))
    return [*curve, points[-1]]


def box(
    size: Triple,
    material=None,
    location: Triple = (0, 0, 0),
    bevel: float = 0.02,
    turn: float = 0.0,
) -> bpy.types.Object:
    """Make a box that stands on z = 0 of its location, with rounded edges."""
    x, y, z = size[0] / 2, size[1] / 2, size[2]
    vertices = [
        (i * x, j * y, k * z) for k in (0, 1) for i, j in ((-1, -1), (1, -1), (1, 1), (-1, 1))
    ]
    faces = [(3, 2, 1, 0), (4, 5, 6, 7), (0, 1, 5, 4), (1, 2, 6, 5), (2, 3, 7, 6), (3, 0, 4, 7)]
    item = add("box", vertices, faces, material, smooth=False, location=location)
    item.rotation_euler.z = turn
    return soften(item, bevel) if bevel else item


def ball(radius: float, material=None, location: Triple = (0, 0, 0), segments: int = 64):
    """Make a smooth sphere around its location."""
    steps = segments // 2
    profile = [
        (radius * math.sin(math.pi * i / steps), -radius * math.cos(math.pi * i / steps))
        for i in range(steps + 1)
    ]
    return lathe(profile, material, segments, location, sharp=180)


def ring(
    radius: float,
    thickness: float,
    material=None,
    location: Triple = (0, 0, 0),
    segments: int = 64,
    sides: int = 24,
) -> bpy.types.Object:
    """Make a torus that lies flat around its location."""
    vertices, faces = [], []
    for i in range(segments):
        turn = 2 * math.pi * i / segments
        for j in range(sides):
            tip = 2 * math.pi * j / sides
            reach = radius + thickness * math.cos(tip)
            vertices.append(
                (reach * math.cos(turn), reach * math.sin(turn), thickness * math.sin(tip))
            )
            ahead, beside = (i + 1) % segments, (j + 1) % sides
            faces.append(
                (i * sides + j, ahead * sides + j, ahead * sides + beside, i * sides + beside)
            )
    return add("ring", vertices, faces, material, location=location)


def tube(
    points: Sequence[Triple], radius: float, material=None, sides: int = 3, taper: float = 1.0
) -> bpy.types.Object:
    """Draw a round rod through points (a wick, a rope, a rail); taper scales its far end."""
    curve = bpy.data.curves.new("tube", "CURVE")
    curve.dimensions, curve.bevel_depth, curve.bevel_resolution = "3D", radius, sides
    curve.use_fill_caps = True
    line = curve.splines.new("POLY")
    line.points.add(len(points) - 1)
    for index, (spot, place) in enumerate(zip(line.points, points, strict=True)):
        spot.co = (*place, 1.0)
        spot.radius = 1 + (taper - 1) * index / max(len(points) - 1, 1)
    line.use_smooth = True
    if material is not None:
        curve.materials.append(material)
    item = bpy.data.objects.new("tube", curve)
    bpy.context.scene.collection.objects.link(item)
    return item


def rock(
    rng: random.Random, material=None, flat: float = 0.7, cuts: int = 9, detail: int = 40
) -> bpy.types.Object:
    """Make a stone of about unit radius: a ball cut by planes and roughened; scatter() it."""
    item = ball(1.0, material, segments=detail)
    planes = [
        (
            Vector((rng.gauss(0, 1), rng.gauss(0, 1), rng.gauss(0, 1))).normalized(),
            rng.uniform(0.62, 0.9),
        )
        for _ in range(cuts)
    ]
    shift = Vector((rng.uniform(0, 99), rng.uniform(0, 99), 0))
    for vertex in item.data.vertices:
        place = vertex.co.copy()
        for normal, distance in planes:
            over = place.dot(normal) - distance
            if over > 0:
                place -= normal * over * 0.92
        rough = field.fractal(place * 1.6 + shift, 0.9, 2.0, 5)
        place *= 1 + 0.10 * rough
        vertex.co = (place.x, place.y * rng.uniform(0.995, 1.005), place.z * flat)
    item.name = "rock"
    return item


def pine(
    rng: random.Random,
    needles,
    bark,
    height: float = 1.0,
    width: float = 0.36,
    layers: int = 26,
    snow=None,
) -> bpy.types.Object:
    """Make a conifer `height` tall of about 1000 faces, some snowed on if given; scatter() it."""
    vertices, faces, slots = [], [], []

    def quad(a, b, c, d, slot):
        start = len(vertices)
        vertices.extend((a, b, c, d))
        faces.append((start, start + 1, start + 2, start + 3))
        slots.append(slot)

    for side in range(5):
        one, two = (2 * math.pi * (side + k) / 5 for k in (0, 1))
        thick = 0.016
        quad(
            (thick * math.cos(one), thick * math.sin(one), -0.05),
            (thick * math.cos(two), thick * math.sin(two), -0.05),
            (0.002 * math.cos(two), 0.002 * math.sin(two), 0.96),
            (0.002 * math.cos(one), 0.002 * math.sin(one), 0.96),
            1,
        )
    for layer in range(layers):
        part = (layer + 0.5) / layers
        level = 0.10 + 0.90 * part
        reach = width * (1 - part) ** 0.85 + 0.012
        boughs = max(5, int(13 * (1 - part) + 5))
        for bough in range(boughs):
            turn = 2 * math.pi * (bough + rng.random()) / boughs + layer
            long = reach * rng.uniform(0.65, 1.12)
            rise = level + rng.uniform(-0.012, 0.012)
            out = Vector((math.cos(turn), math.sin(turn), 0))
            across = Vector((-out.y, out.x, 0)) * long * rng.uniform(0.2, 0.3)
            foot = Vector((0, 0, rise))
            middle = foot + out * long * 0.55 - Vector((0, 0, long * 0.12))
            tip = foot + out * long - Vector((0, 0, long * rng.uniform(0.25, 0.5)))
            lower = Vector((0, 0, long * 0.16))
            slot = 2 if snow is not None and rng.random() < 0.55 else 0
            quad(foot, middle - across - lower, tip, middle, slot)
            quad(foot, middle, tip, middle + across - lower, slot)
    item = add("pine", [Vector(v) * height for v in vertices], faces)
    item.data.shade_flat()
    for material in (needles, bark, *([snow] if snow else [])):
        item.data.materials.append(material)
    item.data.polygons.foreach_set("material_index", slots)
    return item


def tree(
    rng: random.Random, leaves, bark, height: float = 1.0, leaf: float = 0.035, count: int = 1600
) -> bpy.types.Object:
    """Make a broad-leaved tree: a forked trunk under clumps of leaves; scatter() it."""
    clumps = [(Vector((0, 0, 0.68)), 0.26)]
    for _ in range(7):
        turn, out = rng.uniform(0, 6.283), rng.uniform(0.12, 0.27)
        centre = Vector((out * math.cos(turn), out * math.sin(turn), rng.uniform(0.42, 0.82)))
        clumps.append((centre, rng.uniform(0.11, 0.19)))
    vertices, faces, slots = [], [], []
    for centre, _ in clumps:
        start = Vector((0, 0, -0.03))
        fork = Vector((0, 0, 0.26))
        for low, high, thick, thin in ((start, fork, 0.030, 0.02), (fork, centre, 0.016, 0.004)):
            first = len(vertices)
            for place, width in ((low, thick), (high, thin)):
                vertices.extend(
                    place + Vector((width * math.cos(t), width * math.sin(t), 0))
                    for t in (0, 1.571, 3.142, 4.712)
                )
            faces.extend(
                (first + k, first + (k + 1) % 4, first + 4 + (k + 1) % 4, first + 4 + k)
                for k in range(4)
            )
            slots.extend([1] * 4)
    for index in range(count):
        centre, radius = clumps[index % len(clumps)]
        way = Vector((rng.gauss(0, 1), rng.gauss(0, 1), rng.gauss(0, 0.9))).normalized()
        place = centre + way * radius * rng.uniform(0.62, 1.06)
        spin = Matrix.Rotation(rng.uniform(0, 6.283), 3, way)
        slant = (
            way + Vector((rng.gauss(0, 0.5), rng.gauss(0, 0.5), rng.gauss(0, 0.5)))
        ).normalized()
        side = spin @ slant.orthogonal().normalized() * leaf
        other = slant.cross(side)
        first = len(vertices)
        vertices.extend((place - side, place + other * 0.6, place + side, place - other * 0.6))
        faces.append((first, first + 1, first + 2, first + 3))
        slots.append(0)
    item = add("tree", [v * height for v in vertices], faces)
    item.data.shade_flat()
    item.data.materials.append(leaves)
    item.data.materials.append(bark)
    item.data.polygons.foreach_set("material_index", slots)
    return item


def grass(
    rng: random.Random,
    material,
    blades: int = 40,
    height: float = 0.4,
    spread: float = 0.25,
    width: float = 0.012,
) -> bpy.types.Object:
    """Make a tuft of bent blades (reeds, meadow, dune grass); scatter() it."""
    vertices, faces = [], []
    for _ in range(blades):
        turn, lean = rng.uniform(0, 6.283), rng.uniform(0.05, 0.6)
        foot = Vector((rng.gauss(0, spread), rng.gauss(0, spread), -0.04))
        tall = height * rng.uniform(0.55, 1.1)
        out = Vector((math.cos(turn), math.sin(turn), 0))
        side = Vector((-out.y, out.x, 0)) * width
        middle = foot + out * tall * lean * 0.35 + Vector((0, 0, tall * 0.62))
        tip = foot + out * tall * lean + Vector((0, 0, tall * (1 - 0.3 * lean)))
        first = len(vertices)
        vertices.extend((foot - side, foot + side, middle + side * 0.7, middle - side * 0.7, tip))
        faces.extend(((first, first + 1, first + 2, first + 3), (first + 3, first + 2, first + 4)))
    return add("grass", vertices, faces, material)


def settle(
    rng: np.random.Generator,
    radii: Sequence[float],
    width: float,
    depth: float,
    gap: float = 0.02,
    tries: int = 400,
) -> list[tuple[float, float]]:
    """Lay discs of these radii in a rectangle around the origin without any two touching.

    Discs that find no room are left out, so the answer may be shorter; give large ones first.
    """
    done: list[tuple[float, float, float]] = []
    for radius in radii:
        for _ in range(tries):
            x, y = rng.uniform(-width / 2, width / 2), rng.uniform(-depth / 2, depth / 2)
            if all(math.hypot(x - a, y - b) > radius + r + gap for a, b, r in done):
                done.append((x, y, radius))
                break
    return [(x, y) for x, y, _ in done]
