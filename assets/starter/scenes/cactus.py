"""Cacti: saguaros in the desert at several hours, and small ones in clay pots on a table."""

import math
import random

import bpy
import materials
import numpy as np
import shapes
import sky
import stage
import terrain
from mathutils import Vector

# In the desert: hour, sun's azimuth and height, clouds. In pots: "pots", wall, wood, side, count.
MOODS = [
    ("sunset", -30, 5, 0.45),
    ("golden", 80, 13, 0.25),
    ("pots", (0.62, 0.40, 0.34), "pale", 1, 3),
    ("noon", -90, 36, 0.45),
    ("dusk", 25, 4, 0.30),
    ("pots", (0.16, 0.30, 0.30), "dark", -1, 4),
    ("rose", -80, 9, 0.40),
    ("morning", 95, 20, 0.35),
    ("pots", (0.70, 0.66, 0.58), "pale", -1, 5),
    ("golden", -70, 10, 0.55),
    ("pots", (0.55, 0.34, 0.09), "dark", 1, 1),
    ("storm", 75, 18, 0.80),
    ("dawn", 35, 8, 0.30),
    ("pots", (0.24, 0.28, 0.40), "dark", 1, 3),
    ("night", 60, 26, 0.00),
]


def flesh(green, pale):
    """Make a cactus's skin: waxy, darker in the furrows, dusty."""
    material, graph, shader = materials.begin("cactus")
    crest = graph.smooth(graph.attribute("crest"), 0.15, 0.95)
    dust = graph.noise(6.0, graph.coordinates(), detail=6.0)
    tone = graph.math("ADD", 0.75, graph.math("MULTIPLY", dust, 0.5))
    colour = graph.mix(crest, tuple(0.45 * c for c in green), pale)
    colour = graph.mix(1.0, colour, graph.join(tone, tone, tone), "MULTIPLY")
    graph.tree.links.new(colour, shader.inputs["Base Color"])
    shader.inputs["Roughness"].default_value = 0.5
    shader.inputs["Specular IOR Level"].default_value = 0.3
    return material


class Mesh:
    """Gathers grids and needles into one object with the slots flesh, needle and flower."""

    def __init__(self, draw: np.random.Generator, made) -> None:
        self.draw, self.made = draw, made
        self.points, self.faces, self.slots, self.crest, self.total = [], [], [], [], 0

    def take(self, points, faces, slot: int, crest=0.0) -> None:
        """Add a piece."""
        points = np.asarray(points, dtype=float).reshape(-1, 3)
        self.faces.extend(tuple(self.total + i for i in face) for face in faces)
        self.slots.extend([slot] * len(faces))
        self.points.append(points)
        self.crest.append(np.broadcast_to(crest, len(points)))
        self.total += len(points)

    def needles(self, place, normal, long: float, count: int) -> None:
        """Set a star of spines on a spot of the skin."""
        normal = Vector(normal).normalized()
        across = normal.orthogonal().normalized()
        other = normal.cross(across)
        for _ in range(count):
            turn, tilt = self.draw.uniform(0, 6.283), self.draw.uniform(0.2, 1.25)
            way = normal * math.cos(tilt) + (
                across * math.cos(turn) + other * math.sin(turn)
            ) * math.sin(tilt)
            side = way.orthogonal().normalized() * long * 0.035
            foot = Vector(place) - normal * long * 0.05
            tip = foot + way * long * self.draw.uniform(0.6, 1.1)
            self.take([foot - side, foot + side, tip], [(0, 1, 2)], 1)

    def stem(self, path, radii, ribs: int, depth: float, spine: float, every: int = 2, star=5):
        """Draw a ribbed body along a path, with spines on its crests."""
        around = ribs * 6
        rows, edges = [], []
        for index, (centre, radius) in enumerate(zip(path, radii, strict=True)):
            ahead = Vector(path[min(index + 1, len(path) - 1)]) - Vector(path[max(index - 1, 0)])
            ahead.normalize()
            across = ahead.cross(Vector((0.03, 1, 0.02))).normalized()
            other = ahead.cross(across)
            ring = []
            for step in range(around):
                turn = 2 * math.pi * step / around
                wave = abs(math.cos(turn * ribs / 2)) ** 0.8
                out = across * math.cos(turn) + other * math.sin(turn)
                place = Vector(centre) + out * radius * (1 - depth * (1 - wave))
                ring.append(place)
                edges.append(wave)
                if step % 6 == 0 and spine and index % every == 0 and 0 < index < len(path) - 1:
                    self.needles(place, out + ahead * 0.2, spine, star)
            rows.append(ring)
        faces = [
            (a + k, a + (k + 1) % around, a + around + (k + 1) % around, a + around + k)
            for a in range(0, (len(rows) - 1) * around, around)
            for k in range(around)
        ]
        self.take([place for ring in rows for place in ring], faces, 0, np.array(edges))

    def pad(self, foot, way, size: float, twist: float) -> tuple:
        """Draw a prickly pear's pad from its foot along a way; gives frame and tip."""
        way = Vector(way).normalized()
        flat = Vector((math.cos(twist), math.sin(twist), 0))
        flat = (flat - way * flat.dot(way)).normalized()
        thick = way.cross(flat)
        rows, columns, points, crest = 13, 20, [], []
        for i in range(rows):
            v = math.pi * (i / (rows - 1))
            wide = math.sin(v) * (0.72 + 0.18 * (1 - math.cos(v)) / 2)
            for j in range(columns):
                u = 2 * math.pi * j / columns
                place = Vector(foot) + way * size * (1 - math.cos(v)) * 0.98
                place += flat * size * 0.78 * wide * math.cos(u)
                place += thick * size * 0.15 * math.sin(v) ** 0.7 * math.sin(u)
                points.append(place)
                crest.append(0.75)
                if i % 2 and j % 2 and 0 < i < rows - 1:
                    out = flat * math.cos(u) * 0.4 + thick * math.sin(u)
                    self.needles(place, out, size * 0.16, 3)
        faces = [
            (
                i * columns + j,
                i * columns + (j + 1) % columns,
                (i + 1) * columns + (j + 1) % columns,
                (i + 1) * columns + j,
            )
            for i in range(rows - 1)
            for j in range(columns)
        ]
        self.take(points, faces, 0, np.array(crest))
        return Vector(foot), way, flat

    def flower(self, place, normal, size: float) -> None:
        """Open a flower of two rings of petals."""
        normal = Vector(normal).normalized()
        across = normal.orthogonal().normalized()
        other = normal.cross(across)
        for ring, (count, rise, long) in enumerate(((11, 0.45, 1.0), (8, 0.95, 0.75))):
            for index in range(count):
                turn = 2 * math.pi * (index + 0.5 * ring) / count
                out = across * math.cos(turn) + other * math.sin(turn)
                side = normal.cross(out) * size * 0.21
                foot = Vector(place) - normal * size * 0.05
                middle = foot + (out * 0.55 + normal * rise * 0.8) * size * long
                tip = foot + (out * 1.0 + normal * rise) * size * long
                self.take([foot, middle - side, tip, middle + side], [(0, 1, 2, 3)], 2)

    def finish(self) -> bpy.types.Object:
        """Give the object."""
        item = shapes.add("cactus", np.concatenate(self.points), self.faces)
        for material in self.made:
            item.data.materials.append(material)
        item.data.polygons.foreach_set("material_index", self.slots)
        layer = item.data.attributes.new("crest", "FLOAT", "POINT")
        layer.data.foreach_set("value", np.concatenate(self.crest).astype(np.float32))
        return item


def column(tall: float, radius: float, rows: int = 34, lean: float = 0.0):
    """Give the path and radii of an upright stem with a round top."""
    t = np.linspace(0, 1, rows)
    dome = np.sqrt(
        np.clip(1 - np.clip((t - 1 + 1.1 * radius / tall) / (1.1 * radius / tall), 0, 1) ** 2, 0, 1)
    )
    radii = radius * (0.86 + 0.2 * np.sin(math.pi * np.clip(t * 1.1, 0, 1))) * dome + 0.001
    return [(lean * a * a * tall, 0.0, float(a) * tall) for a in t], radii


def saguaro(rng, draw, made, near: bool):
    """Grow a saguaro about 6 m tall with none to five arms."""
    mesh = Mesh(draw, made)
    tall, radius = rng.uniform(4.6, 7.2), rng.uniform(0.27, 0.36)
    ribs, spine = (18, 0.10) if near else (12, 0.0)
    path, radii = column(tall, radius, 64 if near else 30, rng.uniform(-0.02, 0.02))
    path[0] = (0, 0, -0.4)
    mesh.stem(path, radii, ribs, 0.20, spine, 1)
    first = rng.uniform(0, 6.283)
    for arm in range(rng.choice((0, 2, 2, 3, 4))):
        turn = first + arm * rng.uniform(1.7, 2.6)
        out = np.array([math.cos(turn), math.sin(turn), 0])
        foot, reach = rng.uniform(0.28, 0.52) * tall, rng.uniform(0.75, 1.1)
        long, thin = rng.uniform(0.14, 0.40) * tall, radius * rng.uniform(0.62, 0.78)
        bend = [np.array([0, 0, foot]) + out * radius * 0.4]
        for t in np.linspace(0, 1, 12):
            a = t * math.pi / 2
            bend.append(
                np.array([0, 0, foot + 0.55 * (1 - math.cos(a))])
                + out * (radius * 0.5 + reach * math.sin(a))
            )
        top = bend[-1]
        count = 30 if near else 16
        bend += [top + np.array([0, 0, long * t]) for t in np.linspace(0, 1, count + 1)[1:]]
        t = np.linspace(0, 1, len(bend))
        cap = np.sqrt(np.clip(1 - np.clip((t - 0.90) / 0.10, 0, 1) ** 2, 0, 1))
        mesh.stem(
            bend, thin * (0.82 + 0.2 * np.sin(math.pi * t)) * cap + 0.001, ribs - 6, 0.2, spine, 1
        )
    return mesh.finish()


def barrel(rng, draw, made, flowers: int):
    """Grow a globe of about unit height with a crown of flowers."""
    mesh = Mesh(draw, made)
    t = np.linspace(0.08, 1, 30)
    radii = 0.5 * np.sin(math.pi * t) ** 0.62 + 0.001
    path = [(0, 0, 0.5 * (1 - math.cos(math.pi * a)) * rng.uniform(0.999, 1.0)) for a in t]
    mesh.stem(path, radii, rng.choice((15, 19, 22)), 0.22, 0.15, 1, 6)
    for index in range(flowers):
        turn = 2 * math.pi * index / max(flowers, 1) + rng.uniform(-0.2, 0.2)
        out = Vector((math.cos(turn), math.sin(turn), 0))
        mesh.flower(out * 0.22 + Vector((0, 0, 0.95)), out * 0.6 + Vector((0, 0, 1)), 0.19)
    return mesh.finish()


def pear(rng, draw, made, levels: int, flowers: bool):
    """Grow a prickly pear of pads upon pads, about two units tall."""
    mesh = Mesh(draw, made)
    grown = [mesh.pad((0, 0, -0.06), (rng.uniform(-0.1, 0.1), 0, 1), 0.42, rng.uniform(-0.4, 0.4))]
    for level in range(levels):
        after = []
        for foot, way, flat in grown:
            for lean in rng.sample((-0.85, -0.35, 0.3, 0.8), rng.choice((1, 2, 2, 3))):
                size = 0.36 * rng.uniform(0.75, 1.1) * 0.92**level
                long = 0.42 * 0.92**level
                tip = foot + way * long * (1.90 - 0.62 * abs(lean)) + flat * long * 0.62 * lean
                out = way + flat * lean + Vector((0, rng.uniform(-0.35, 0.35), 0.15))
                after.append(
                    mesh.pad(tip, out, size, math.atan2(flat.y, flat.x) + rng.uniform(-0.7, 0.7))
                )
                if flowers and level == levels - 1 and rng.random() < 0.8:
                    mesh.flower(after[-1][0] + after[-1][1] * size * 1.95, after[-1][1], 0.17)
        grown = after
    return mesh.finish()


def desert(seed: int, rng, draw, mood) -> None:
    """Stand saguaros on a stony plain before far mesas."""
    hour, azimuth, lift, clouds = mood
    sky.outdoors(
        hour,
        azimuth,
        lift,
        clouds=clouds,
        offset=seed * 2.9,
        stars={"night": 1.0, "dusk": 0.3}.get(hour, 0.0),
        disc=1.0 if hour == "sunset" else 0.0,
    )

    def height(x, y):
        far = terrain.smooth(np.hypot(x, y), 500, 2600)
        mesa = terrain.smooth(terrain.fractal(x / 900, y / 900, seed + 4, 6), 0.05, 0.22)
        hills = 190 * far * (0.75 * mesa + 0.5 * terrain.ridged(x / 1200, y / 1200, seed + 7))
        return hills + 1.6 * terrain.fractal(x / 45, y / 45, seed, 7) * terrain.smooth(
            np.hypot(x, y), 2, 30
        )

    tint = stage.deal(seed, "earth", [(0.40, 0.22, 0.12), (0.46, 0.30, 0.17), (0.36, 0.17, 0.09)])
    land = materials.ground(
        tint, tuple(0.6 * c for c in tint), bump=0.6, grain=1.6, offset=seed, speckle=0.4, slope=0.8
    )
    terrain.fan(height, land, 1.0, 6000, 100, 560, 420)
    spine = materials.plain("spine", (0.60, 0.50, 0.34), 0.6)
    bloom = materials.foliage((0.60, 0.05, 0.16), (0.72, 0.16, 0.22), 0.1, 0.4)
    yellow = materials.foliage((0.72, 0.45, 0.02), (0.75, 0.55, 0.05), 0.1, 0.4)
    skin = flesh((0.070, 0.115, 0.045), (0.16, 0.21, 0.085))
    near = saguaro(rng, draw, (skin, spine, bloom), True)
    tall = [saguaro(rng, draw, (skin, spine, bloom), False) for _ in range(5)]
    side = rng.choice((-1, 1))
    spot = (np.array([side * rng.uniform(1.6, 3.6)]), np.array([rng.uniform(10.5, 14)]))
    terrain.scatter(draw, [near], *spot, height, (0.85, 1.05), 0.02, 0.02)
    x, y = terrain.places(draw, 260, 20, 420, 72, 0.7)
    keep = np.hypot(x - spot[0], y - spot[1]) > 9
    terrain.scatter(draw, tall, x[keep][:120], y[keep][:120], height, (0.55, 1.1), 0.02, 0.03)
    pad = pear(rng, draw, (flesh((0.08, 0.13, 0.06), (0.14, 0.21, 0.10)), spine, yellow), 2, True)
    globe = barrel(rng, draw, (flesh((0.06, 0.10, 0.03), (0.15, 0.19, 0.06)), yellow, bloom), 7)
    x, y = terrain.places(draw, 60, 5.0, 45, 66, 0.5)
    keep = (np.hypot(x - spot[0], y - spot[1]) > 1.6) & ((np.abs(x) > 0.8) | (y > 9))
    x, y = x[keep], y[keep]
    terrain.scatter(draw, [pad], x[:14], y[:14], height, (0.6, 1.0), 0.05, 0.02)
    terrain.scatter(draw, [globe], x[14:28], y[14:28], height, (0.35, 0.75), 0.05, 0.04)
    dry = materials.foliage((0.17, 0.15, 0.07), (0.36, 0.30, 0.14))
    sage = materials.foliage((0.09, 0.12, 0.07), (0.20, 0.23, 0.14))
    tufts = [shapes.grass(rng, leaf, 70, 0.5, 0.2, 0.009) for leaf in (dry, dry, sage)]
    x, y = terrain.places(draw, 2600, 3, 160, 76, 0.6)
    some = terrain.noise(x / 7, y / 7, seed) > 0.0
    terrain.scatter(draw, tufts, x[some], y[some], height, (0.5, 1.3), 0.1, 0.03)
    stone = materials.stone(tuple(0.9 * c for c in tint), tuple(0.4 * c for c in tint), 1.4)
    rocks = [shapes.rock(rng, stone, rng.uniform(0.5, 0.75)) for _ in range(3)]
    x, y = terrain.places(draw, 420, 3, 90, 76, 0.5)
    terrain.scatter(draw, rocks, x, y, height, (0.05, 0.38), 0.3, 0.3)
    eye = float(height(np.array([0.0]), np.array([1.0]))[0]) + rng.uniform(1.3, 2.2)
    stage.camera(
        (0, 0, eye),
        (spot[0][0] * rng.uniform(0.1, 0.7), 12, eye + rng.uniform(1.0, 1.7)),
        lens=rng.choice((28, 32, 35)),
    )
    stage.haze(3600)
    stage.expose({"night": 1.5, "dusk": 1.3, "noon": -0.3}.get(hour, 0.05))


def pot(rng, spot, radius: float, tall: float) -> None:
    """Turn a clay pot or a glazed one, filled with gravel to just below its rim."""
    clay = rng.choice(
        [
            materials.stone((0.46, 0.19, 0.10), (0.36, 0.14, 0.075), 2.0, 0.85, 0.15),
            materials.stone((0.46, 0.19, 0.10), (0.36, 0.14, 0.075), 2.0, 0.85, 0.15),
            materials.paint(
                rng.choice([(0.70, 0.66, 0.60), (0.06, 0.20, 0.26), (0.62, 0.30, 0.20)]), 0.2
            ),
        ]
    )
    foot, lip = radius * 0.70, radius * 1.10
    profile = [
        (0, 0),
        (foot * 0.95, 0),
        (foot, 0.015),
        (radius * 0.97, tall * 0.72),
        (lip - 0.01, tall * 0.72),
        (lip, tall * 0.74),
        (lip * 1.02, tall * 0.98),
        (lip * 1.0, tall),
        (lip * 0.93, tall),
        (lip * 0.91, tall * 0.98),
        (radius * 0.9, tall * 0.8),
    ]
    shapes.lathe(profile, clay, 72, spot, 50)
    soil = materials.stone((0.24, 0.20, 0.16), (0.07, 0.055, 0.045), 7.0, 0.95, 1.0)
    shapes.lathe(
        [(radius * 0.97, 0), (radius * 0.5, 0.012), (0, 0.016)],
        soil,
        40,
        (spot[0], spot[1], spot[2] + tall * 0.88),
    )


def pots(seed: int, rng, draw, mood) -> None:
    """Set potted cacti on a wooden table before a painted wall, in light from a window."""
    _, wall, wood, side, count = mood
    sky.gradient((0.9, 0.95, 1.0), (0.5, 0.42, 0.36), 0.35)
    stage.backdrop(
        materials.stone(wall, tuple(0.93 * c for c in wall), 0.4, 0.9, 0.04), 20, 3.6, 8, 0.05
    )
    board = (
        materials.wood(planks=0.55, offset=seed)
        if wood == "dark"
        else materials.wood((0.30, 0.19, 0.11), (0.58, 0.43, 0.28), planks=0.55, offset=seed)
    )
    shapes.box((16, 12, 0.12), board, (0, -3.3, -0.10), 0.02)
    hues = [
        ((0.05, 0.13, 0.05), (0.12, 0.24, 0.09)),
        ((0.07, 0.14, 0.09), (0.17, 0.28, 0.17)),
        ((0.08, 0.12, 0.03), (0.20, 0.26, 0.07)),
    ]
    petals = [
        ((0.72, 0.12, 0.26), (0.75, 0.22, 0.34)),
        ((0.75, 0.42, 0.03), (0.78, 0.55, 0.06)),
        ((0.70, 0.08, 0.03), (0.74, 0.16, 0.05)),
        ((0.74, 0.60, 0.62), (0.78, 0.70, 0.70)),
    ]
    sizes = [rng.uniform(0.30, 0.42) * (1.25 if count == 1 else 1) for _ in range(count)]
    spread = 1.02 * (count - 1)
    sorts = rng.sample(["globe", "pear", "column", "globe", "column"], count)
    if count == 1:
        sorts = ["pear"]
    for index, (radius, sort) in enumerate(zip(sizes, sorts, strict=True)):
        x = (index - (count - 1) / 2) * 1.02 + rng.uniform(-0.06, 0.06)
        y = (0.38 if index % 2 else -0.1) + rng.uniform(-0.12, 0.12)
        tall = radius * rng.uniform(1.35, 1.7)
        pot(rng, (x, y, 0.02), radius, tall)
        spine = materials.plain("spine", rng.choice([(0.70, 0.64, 0.52), (0.55, 0.30, 0.12)]), 0.5)
        made = (flesh(*rng.choice(hues)), spine, materials.foliage(*rng.choice(petals), 0.1, 0.4))
        if sort == "globe":
            item, grow = barrel(rng, draw, made, rng.choice((0, 6, 8))), radius * 1.62
        elif sort == "pear":
            item, grow = pear(rng, draw, made, 2, rng.random() < 0.7), radius * 1.15
        else:
            mesh = Mesh(draw, made)
            for stem in range(rng.choice((1, 2, 3))):
                way = rng.uniform(0, 6.283)
                off = 0 if stem == 0 else 0.30
                path, radii = column(
                    rng.uniform(1.5, 2.1) / (1 + 0.6 * stem), 0.27 / (1 + 0.3 * stem), 44
                )
                path = [
                    (p[0] + off * math.cos(way), p[1] + off * math.sin(way), p[2]) for p in path
                ]
                mesh.stem(path, radii, 11, 0.22, 0.11, 2, 7)
            item, grow = mesh.finish(), radius * 1.5
        item.location = (x, y, 0.02 + tall * 0.86)
        item.scale = (grow, grow, grow)
        item.rotation_euler.z = rng.uniform(-0.5, 0.5)
    stage.area((side * 4.5, -1.6, 4.2), (0, 0, 0.6), 420, 1.6, (1.0, 0.90, 0.76))
    stage.area((-side * 4.5, -2.5, 2.5), (0, 0, 0.6), 60, 3.0, (0.75, 0.86, 1.0))
    stage.area((-side * 2.2, 2.6, 3.6), (0, 0, 0.8), 130, 0.8, (1.0, 0.95, 0.9))
    away = max(4.5, 3.5 + spread)
    stage.camera(
        (rng.uniform(-0.8, 0.8), -away, 1.0 + 0.22 * away),
        (0, 0.1, 0.78),
        lens=48,
        fstop=0.16,
        focus=(0, -0.1, 0.8),
    )
    stage.expose(0.0)


def build(seed: int) -> None:
    """Build one picture of cacti."""
    rng, draw = random.Random(f"cactus {seed}"), np.random.default_rng(seed)
    mood = MOODS[seed % len(MOODS)]
    (pots if mood[0] == "pots" else desert)(seed, rng, draw, mood)
