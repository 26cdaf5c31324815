"""Land as meshes: numpy noise, a fan of ground before the camera, and scattering upon it."""

import math
from collections.abc import Callable, Sequence

import bpy
import numpy as np

Height = Callable[[np.ndarray, np.ndarray], np.ndarray]
Masks = dict[str, Callable[[np.ndarray, np.ndarray], np.ndarray]]


def noise(x: np.ndarray, y: np.ndarray, seed: int = 0) -> np.ndarray:
    """Give smooth gradient noise of about -0.7..0.7 with features one unit wide."""
    column, row = np.floor(x).astype(np.int64), np.floor(y).astype(np.int64)
    fx, fy = x - column, y - row
    ease_x, ease_y = (f * f * f * (f * (f * 6 - 15) + 10) for f in (fx, fy))

    def corner(dx: int, dy: int) -> np.ndarray:
        mixed = (column + dx) * 374761393 + (row + dy) * 668265263 + (seed % 9973) * 2147483647
        with np.errstate(over="ignore"):  # The hash is meant to wrap around.
            mixed = (mixed ^ (mixed >> 13)) * 1274126177
        angle = ((mixed ^ (mixed >> 16)) & 0xFFFF) * (2 * math.pi / 65536)
        return np.cos(angle) * (fx - dx) + np.sin(angle) * (fy - dy)

    near = corner(0, 0) * (1 - ease_x) + corner(1, 0) * ease_x
    far = corner(0, 1) * (1 - ease_x) + corner(1, 1) * ease_x
    return near * (1 - ease_y) + far * ease_y


def fractal(x, y, seed: int = 0, octaves: int = 7, gain: float = 0.5) -> np.ndarray:
    """Add octaves of noise: rolling hills, of about -1..1."""
    total, size = np.zeros(np.broadcast(x, y).shape), 1.0
    for octave in range(octaves):
        turn = 0.6 * octave
        u, v = x * math.cos(turn) - y * math.sin(turn), x * math.sin(turn) + y * math.cos(turn)
        total += size * noise(u * 2**octave, v * 2**octave, seed + 31 * octave)
        size *= gain
    return total * 1.2


def ridged(x, y, seed: int = 0, octaves: int = 8, gain: float = 0.52) -> np.ndarray:
    """Add octaves of folded noise: mountains with sharp ridges and eroded flanks, of 0..1."""
    total, weight, size, reach = np.zeros(np.broadcast(x, y).shape), 1.0, 1.0, 0.0
    for octave in range(octaves):
        turn = 0.7 * octave
        u, v = x * math.cos(turn) - y * math.sin(turn), x * math.sin(turn) + y * math.cos(turn)
        fold = (1 - np.abs(noise(u * 2**octave, v * 2**octave, seed + 17 * octave)) * 1.8) ** 2
        total += fold * weight * size
        reach += size
        weight = np.clip(fold * 1.4, 0, 1)
        size *= gain
    return total / reach


def smooth(value, low: float, high: float) -> np.ndarray:
    """Map low..high to 0..1 with a soft start and end."""
    part = np.clip((np.asarray(value) - low) / (high - low), 0, 1)
    return part * part * (3 - 2 * part)


def sheet(
    name: str, points: np.ndarray, material: bpy.types.Material, masks: Masks | None = None
) -> bpy.types.Object:
    """Make a smooth mesh from a rows x columns x 3 array of points.

    masks gives named functions of (x, y) that a material reads with graph.attribute(name).
    """
    rows, columns, _ = points.shape
    index = np.arange(rows * columns, dtype=np.int32).reshape(rows, columns)
    quads = np.stack([index[:-1, :-1], index[:-1, 1:], index[1:, 1:], index[1:, :-1]], axis=-1)
    mesh = bpy.data.meshes.new(name)
    mesh.vertices.add(rows * columns)
    mesh.vertices.foreach_set("co", points.astype(np.float32).ravel())
    mesh.loops.add(quads.size)
    mesh.loops.foreach_set("vertex_index", quads.ravel())
    mesh.polygons.add(quads.size // 4)
    mesh.polygons.foreach_set("loop_start", np.arange(0, quads.size, 4, dtype=np.int32))
    mesh.update(calc_edges=True)
    mesh.validate()
    for mask, value in (masks or {}).items():
        layer = mesh.attributes.new(mask, "FLOAT", "POINT")
        amount = np.broadcast_to(value(points[..., 0], points[..., 1]), (rows, columns))
        layer.data.foreach_set("value", amount.astype(np.float32).ravel())
    mesh.shade_smooth()
    mesh.materials.append(material)
    item = bpy.data.objects.new(name, mesh)
    bpy.context.scene.collection.objects.link(item)
    return item


def fan(
    height: Height,
    material: bpy.types.Material,
    near: float = 1.0,
    far: float = 4000.0,
    angle: float = 100.0,
    rows: int = 520,
    columns: int = 420,
    heading: float = 0.0,
    masks: Masks | None = None,
) -> bpy.types.Object:
    """Make ground spread like a fan from the origin along +Y, finest near by, so the camera there
    sees the same detail at every distance. Put the camera over the origin, or a little before it.
    """
    radius = np.geomspace(near, far, rows)[:, None]
    turn = np.radians(np.linspace(-angle / 2, angle / 2, columns) + heading)[None, :]
    x, y = radius * np.sin(turn), radius * np.cos(turn)
    return sheet("fan", np.stack([x, y, height(x, y)], axis=-1), material, masks)


def patch(
    height: Height,
    material: bpy.types.Material,
    width: float,
    depth: float,
    cells: int = 400,
    centre: Sequence[float] = (0.0, 0.0),
    masks: Masks | None = None,
) -> bpy.types.Object:
    """Make a rectangle of ground with even cells around a centre."""
    x, y = np.meshgrid(
        np.linspace(-width / 2, width / 2, cells) + centre[0],
        np.linspace(-depth / 2, depth / 2, cells) + centre[1],
    )
    return sheet("patch", np.stack([x, y, height(x, y)], axis=-1), material, masks)


def plane(material: bpy.types.Material, size: float = 20_000.0, z: float = 0.0):
    """Make a square around the origin: water, a table top, a floor."""
    half = size / 2
    corners = np.array([[[-half, -half, 0], [half, -half, 0]], [[-half, half, 0], [half, half, 0]]])
    item = sheet("plane", corners, material)
    item.location.z = z
    return item


def slope(height: Height, x: np.ndarray, y: np.ndarray, step: float = 0.5) -> np.ndarray:
    """Give the steepness (rise over run) of the ground."""
    across = height(x + step, y) - height(x - step, y)
    along = height(x, y + step) - height(x, y - step)
    return np.hypot(across, along) / (2 * step)


def places(
    rng: np.random.Generator,
    count: int,
    near: float,
    far: float,
    angle: float = 70.0,
    power: float = 1.0,
) -> tuple[np.ndarray, np.ndarray]:
    """Draw points in the fan before the camera; power above 1 draws more of them far away."""
    radius = near + (far - near) * rng.random(count) ** (1 / (1 + power))
    turn = np.radians(angle * (rng.random(count) - 0.5))
    return radius * np.sin(turn), radius * np.cos(turn)


def scatter(
    rng: np.random.Generator,
    models: Sequence[bpy.types.Object],
    x,
    y,
    height: Height,
    size: tuple[float, float] = (0.8, 1.3),
    tilt: float = 0.04,
    sink: float = 0.0,
) -> int:
    """Set linked copies of the models on the ground, turned and scaled at random; gives how many.

    The models themselves stay hidden. sink pushes them into the ground by that share of their
    size, so that nothing floats on a slope.
    """
    collection = bpy.context.scene.collection
    ground = height(np.asarray(x), np.asarray(y))
    for model in models:
        model.hide_render = True
    for east, north, level in zip(np.ravel(x), np.ravel(y), np.ravel(ground), strict=True):
        model = models[int(rng.integers(len(models)))]
        item = bpy.data.objects.new(model.name, model.data)
        scale = float(rng.uniform(*size))
        item.scale = (scale * rng.uniform(0.9, 1.1), scale * rng.uniform(0.9, 1.1), scale)
        item.rotation_euler = (rng.normal(0, tilt), rng.normal(0, tilt), rng.uniform(0, 6.283))
        item.location = (east, north, level - sink * scale)
        collection.objects.link(item)
    return int(np.size(ground))
