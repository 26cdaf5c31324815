"""The stage every kind is built on: reset, camera, lamps, studio backdrops, haze and choices."""

import math
import random
from collections.abc import Iterable, Sequence
from typing import TypeVar

import bpy
import sky
from mathutils import Vector
from nodes import Graph, set_input

Choice = TypeVar("Choice")
Triple = Sequence[float]


def reset(samples: int = 48, size: tuple[int, int] = (512, 384)) -> None:
    """Empty the scene and set Cycles up for a small, denoised picture on the processor."""
    bpy.ops.wm.read_factory_settings(use_empty=True)
    scene = bpy.context.scene
    scene.render.engine = "CYCLES"
    scene.render.resolution_x, scene.render.resolution_y = size
    scene.render.resolution_percentage = 100
    scene.render.image_settings.file_format = "JPEG"
    scene.render.image_settings.quality = 88
    scene.render.dither_intensity = 1.0
    cycles = scene.cycles
    cycles.device = "CPU"
    cycles.samples = samples
    cycles.use_adaptive_sampling = True
    # The denoiser cleans what 16 samples leave, so that only the hard places take them all.
    cycles.adaptive_threshold = 0.1
    cycles.adaptive_min_samples = 16
    cycles.use_denoising = True
    cycles.denoiser = "OPENIMAGEDENOISE"
    cycles.max_bounces = 6
    cycles.diffuse_bounces = 1
    cycles.glossy_bounces = 3
    cycles.transmission_bounces = 6
    cycles.transparent_max_bounces = 8
    cycles.caustics_reflective = False
    cycles.caustics_refractive = False
    cycles.sample_clamp_indirect = 8.0
    cycles.blur_glossy = 0.5
    expose()


def expose(stops: float = 0.0, soft: bool = False) -> None:
    """Set exposure in stops; soft rolls bright flames and lamps off as film does."""
    view = bpy.context.scene.view_settings
    view.view_transform = "AgX" if soft else "Khronos PBR Neutral"
    view.look = "AgX - High Contrast" if soft else "None"
    view.exposure = stops + (0.6 if soft else 0.25)


def bloom(strength: float = 0.5, threshold: float = 2.0, size: float = 0.5) -> None:
    """Let what is brighter than the threshold glow into its surroundings, as a lens does at night.

    For flames, lamps and lit windows; it costs no time.
    """
    tree = bpy.data.node_groups.new("bloom", "CompositorNodeTree")
    tree.interface.new_socket("Image", in_out="OUTPUT", socket_type="NodeSocketColor")
    layers = tree.nodes.new("CompositorNodeRLayers")
    glare = tree.nodes.new("CompositorNodeGlare")
    settings = {"Type": "Bloom", "Threshold": threshold, "Strength": strength, "Size": size}
    for name, value in settings.items():
        glare.inputs[name].default_value = value
    tree.links.new(layers.outputs["Image"], glare.inputs["Image"])
    tree.links.new(glare.outputs["Image"], tree.nodes.new("NodeGroupOutput").inputs[0])
    bpy.context.scene.compositing_node_group = tree


def deal(seed: int, name: str, options: Sequence[Choice]) -> Choice:
    """Deal one option to this seed so that consecutive seeds use all of them before any repeats.

    Lists of different lengths run out of step, so that combinations seldom come back.
    """
    order = list(options)
    random.Random(name).shuffle(order)
    return order[seed % len(order)]


def camera(
    location: Triple,
    target: Triple,
    lens: float = 35.0,
    fstop: float | None = None,
    focus: Triple | None = None,
    shift: float = 0.0,
) -> bpy.types.Object:
    """Place the camera with a level horizon; with fstop it focuses on `focus`, else the target.

    `shift` slides the frame up (positive) without tilting, which keeps towers upright.
    """
    data = bpy.data.cameras.new("camera")
    data.lens = lens
    data.clip_start, data.clip_end = 0.01, 100_000.0
    data.shift_y = shift
    item = bpy.data.objects.new("camera", data)
    item.location = location
    aim = Vector(target) - Vector(location)
    item.rotation_euler = aim.to_track_quat("-Z", "Y").to_euler()
    if fstop is not None:
        data.dof.use_dof = True
        data.dof.aperture_fstop = fstop
        # The focal plane is perpendicular to the axis, so the depth along the axis is what counts.
        sharp = Vector(focus if focus is not None else target) - Vector(location)
        data.dof.focus_distance = sharp.dot(aim.normalized())
    bpy.context.scene.collection.objects.link(item)
    bpy.context.scene.camera = item
    return item


def step_back(
    discs: Iterable[Triple], lens: float, lift: float = 0.0, margin: float = 1.12
) -> float:
    """Give how far from the origin to stand so that no disc (x, y, radius) is cut by the frame.

    For a still life around the origin seen from -Y with this lens, from `lift` radians above.
    """
    reach = lens / 18.0 * margin
    return max((abs(x) + radius) * reach - y * math.cos(lift) for x, y, radius in discs)


def fill(
    items: Iterable[bpy.types.Object], margin: float = 0.07, slack: float | None = None
) -> None:
    """Slide the camera, without turning it, until these things fill the frame but for a margin.

    Their corners decide, so that no side cuts a thing. With `slack` the camera stays where it is
    if they are that far from all sides already. What was in focus stays so.
    """
    scene = bpy.context.scene
    bpy.context.view_layer.update()
    view, render = scene.camera, scene.render
    inward = view.matrix_world.inverted()
    corners = [inward @ item.matrix_world @ Vector(c) for item in items for c in item.bound_box]
    wide = 18.0 / view.data.lens * (1 - 2 * margin)
    tall = wide * render.resolution_y / render.resolution_x
    # Each corner asks to stand so far behind it that it falls within the half angle of its side.
    right, left = (max(c.z + side * c.x / wide for c in corners) for side in (1, -1))
    top, foot = (max(c.z + side * c.y / tall for c in corners) for side in (1, -1))
    back = max((right + left) / 2, (top + foot) / 2)
    if slack is not None:
        spare = (1 - 2 * margin) / (1 - 2 * slack)
        if all(-c.z * wide > spare * abs(c.x) and -c.z * tall > spare * abs(c.y) for c in corners):
            return
    slide = Vector((wide * (right - left) / 2, tall * (top - foot) / 2, back))
    view.location = view.matrix_world @ slide
    view.data.dof.focus_distance += back


def lamp(kind: str, energy: float, colour: Triple, **settings: object) -> bpy.types.Object:
    """Add a lamp of Blender's kind (POINT, AREA, SPOT, SUN) with its data's settings by name."""
    data = bpy.data.lights.new(kind.lower(), kind)
    data.energy = energy
    data.color = tuple(colour)[:3]
    for name, value in settings.items():
        setattr(data, name, value)
    item = bpy.data.objects.new(kind.lower(), data)
    bpy.context.scene.collection.objects.link(item)
    return item


def area(
    location: Triple,
    target: Triple,
    energy: float,
    size: float = 1.0,
    colour: Triple = (1, 1, 1),
    height: float | None = None,
) -> bpy.types.Object:
    """Add a soft rectangular lamp that faces its target (a softbox, a window, a strip)."""
    shape = "RECTANGLE" if height else "SQUARE"
    item = lamp("AREA", energy, colour, size=size, shape=shape)
    if height:
        item.data.size_y = height
    item.location = location
    item.rotation_euler = (Vector(target) - Vector(location)).to_track_quat("-Z", "Y").to_euler()
    return item


def point(location: Triple, energy: float, colour: Triple = (1, 1, 1), radius: float = 0.05):
    """Add a small round lamp: a flame, a bulb, a street light."""
    item = lamp("POINT", energy, colour, shadow_soft_size=radius)
    item.location = location
    return item


def studio_lights(
    target: Triple = (0, 0, 0.3),
    scale: float = 1.0,
    side: float = 1.0,
    key: Triple = (1.0, 0.93, 0.84),
    fill: Triple = (0.75, 0.86, 1.0),
    rim: Triple = (1.0, 1.0, 1.0),
    strength: float = 1.0,
) -> None:
    """Light a still life of about one unit: a key from `side`, a weak fill, a strip rim behind."""
    x, y, z = target
    power = strength * scale * scale
    area(
        (x + 2.2 * side * scale, y - 1.2 * scale, z + 2.4 * scale),
        target,
        110 * power,
        1.1 * scale,
        key,
    )
    area(
        (x - 2.6 * side * scale, y - 1.6 * scale, z + 1.2 * scale),
        target,
        22 * power,
        2.0 * scale,
        fill,
    )
    area(
        (x - 1.2 * side * scale, y + 2.6 * scale, z + 1.9 * scale),
        target,
        90 * power,
        0.5 * scale,
        rim,
        height=2.0 * scale,
    )


def backdrop(
    material: bpy.types.Material,
    width: float = 14.0,
    depth: float = 5.0,
    height: float = 7.0,
    radius: float = 2.0,
) -> bpy.types.Object:
    """Make a seamless paper sweep: floor at z=0 that curves up into a wall at y=depth."""
    steps = [(-8.0, 0.0), (depth - radius, 0.0)]
    for index in range(1, 17):
        turn = math.radians(90 * index / 16)
        steps.append((depth - radius + radius * math.sin(turn), radius - radius * math.cos(turn)))
    steps.append((depth, height))
    vertices = [(side * width / 2, y, z) for y, z in steps for side in (-1, 1)]
    faces = [(2 * i, 2 * i + 1, 2 * i + 3, 2 * i + 2) for i in range(len(steps) - 1)]
    mesh = bpy.data.meshes.new("backdrop")
    mesh.from_pydata(vertices, [], faces)
    mesh.shade_smooth()
    mesh.materials.append(material)
    item = bpy.data.objects.new("backdrop", mesh)
    bpy.context.scene.collection.objects.link(item)
    return item


def haze(
    distance: float,
    colour: Triple | None = None,
    start: float = 0.0,
    ceiling: float | None = None,
    most: float = 1.0,
    low: float = 0.0,
) -> None:
    """Fade every material into the air with distance from the camera; call it last in build().

    After `distance` units past `start` 63 percent of the surface is gone. Without a colour the
    haze takes that of the sky at the horizon in the same direction. `ceiling` keeps the haze low:
    above z = low it thins out over that many units, as mist on a lake does.
    """
    for material in bpy.data.materials:
        if material.get("clear"):
            continue
        _veil(material, distance, colour, start, ceiling, most, low)


def _veil(material, distance, colour, start, ceiling, most, low) -> None:
    graph = Graph(material.node_tree)
    output = next(node for node in graph.tree.nodes if node.type == "OUTPUT_MATERIAL")
    if not output.inputs["Surface"].links:
        return
    surface = output.inputs["Surface"].links[0].from_socket
    depth = graph.node("CameraData").outputs["View Distance"]
    depth = graph.math("MAXIMUM", graph.math("SUBTRACT", depth, start), 0.0)
    thickness = graph.math("DIVIDE", depth, -distance)
    if ceiling:
        height = graph.split(graph.node("NewGeometry").outputs["Position"])[2]
        above = graph.math("MAXIMUM", graph.math("SUBTRACT", height, low), 0.0)
        thinning = graph.math("EXPONENT", graph.math("DIVIDE", above, -ceiling))
        thickness = graph.math("MULTIPLY", thickness, thinning)
    veil = graph.math("SUBTRACT", 1.0, graph.math("EXPONENT", thickness))
    veil = graph.math("MULTIPLY", veil, most)
    glow = graph.node("Emission")
    set_input(graph.tree, glow.inputs["Color"], sky.air_colour(graph, colour))
    mixed = graph.node("MixShader")
    for index, value in enumerate((veil, surface, glow.outputs[0])):
        set_input(graph.tree, mixed.inputs[index], value)
    graph.tree.links.new(mixed.outputs[0], output.inputs["Surface"])
    # The veil is light already scattered to the eye: sampling it as a lamp would only cost time.
    material.cycles.emission_sampling = "NONE"
