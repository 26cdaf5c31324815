"""Skies as light: palettes by hour with a gradient, a sun, clouds, stars and a moon."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import bpy
from mathutils import Vector
from nodes import Graph, set_input

Triple = Sequence[float]


@dataclass(frozen=True)
class Palette:
    """The colours of an hour in linear light, and the sun or moon that goes with them."""

    zenith: Triple
    middle: Triple
    horizon: Triple
    glow: Triple
    sun: Triple
    energy: float
    elevation: float


PALETTES = {
    "dawn": Palette(
        (0.10, 0.17, 0.36),
        (0.42, 0.36, 0.50),
        (0.95, 0.56, 0.42),
        (1.0, 0.50, 0.22),
        (1.0, 0.62, 0.38),
        4.0,
        7,
    ),
    "golden": Palette(
        (0.13, 0.26, 0.55),
        (0.42, 0.50, 0.62),
        (0.98, 0.72, 0.42),
        (1.0, 0.62, 0.22),
        (1.0, 0.66, 0.34),
        4.6,
        12,
    ),
    "morning": Palette(
        (0.10, 0.26, 0.62),
        (0.30, 0.50, 0.80),
        (0.72, 0.80, 0.88),
        (1.0, 0.82, 0.55),
        (1.0, 0.86, 0.66),
        4.2,
        24,
    ),
    "noon": Palette(
        (0.06, 0.20, 0.58),
        (0.22, 0.45, 0.85),
        (0.62, 0.78, 0.95),
        (0.9, 0.9, 0.85),
        (1.0, 0.95, 0.86),
        4.6,
        48,
    ),
    "sunset": Palette(
        (0.07, 0.09, 0.26),
        (0.46, 0.25, 0.25),
        (1.0, 0.38, 0.12),
        (1.0, 0.36, 0.06),
        (1.0, 0.42, 0.16),
        4.0,
        4,
    ),
    "rose": Palette(
        (0.16, 0.20, 0.44),
        (0.48, 0.38, 0.50),
        (0.92, 0.58, 0.52),
        (1.0, 0.55, 0.42),
        (1.0, 0.60, 0.50),
        3.6,
        6,
    ),
    "dusk": Palette(
        (0.012, 0.03, 0.12),
        (0.06, 0.10, 0.28),
        (0.46, 0.25, 0.24),
        (1.0, 0.42, 0.12),
        (0.75, 0.5, 0.55),
        0.0,
        2,
    ),
    "overcast": Palette(
        (0.36, 0.42, 0.50),
        (0.52, 0.57, 0.63),
        (0.70, 0.72, 0.74),
        (0.5, 0.5, 0.48),
        (1.0, 0.97, 0.92),
        0.7,
        40,
    ),
    "storm": Palette(
        (0.06, 0.08, 0.12),
        (0.16, 0.20, 0.25),
        (0.52, 0.53, 0.50),
        (0.8, 0.66, 0.42),
        (1.0, 0.84, 0.60),
        1.8,
        16,
    ),
    "night": Palette(
        (0.003, 0.007, 0.026),
        (0.010, 0.022, 0.068),
        (0.035, 0.058, 0.12),
        (0.10, 0.13, 0.20),
        (0.62, 0.74, 1.0),
        0.42,
        26,
    ),
}


def direction(azimuth: float, elevation: float) -> Vector:
    """Point from the scene to a sun; azimuth 0 is ahead (+Y), 90 to the right (+X), 180 behind."""
    turn, lift = math.radians(azimuth), math.radians(elevation)
    return Vector(
        (math.sin(turn) * math.cos(lift), math.cos(turn) * math.cos(lift), math.sin(lift))
    )


def outdoors(
    palette: str | Palette,
    azimuth: float = 60.0,
    elevation: float | None = None,
    clouds: float = 0.0,
    cloud_scale: float = 1.0,
    disc: float = 0.0,
    stars: float = 0.0,
    offset: float = 0.0,
    sun: float = 1.0,
    softness: float = 1.0,
    strength: float = 1.0,
) -> Vector:
    """Light the scene with a sky and its sun, and give the direction to the sun.

    clouds 0..1 is the share of the sky they cover, cloud_scale above 1 makes them smaller, and
    offset gives other ones. disc is the visible sun's or moon's radius in degrees (0 for none),
    stars 0..1 their brightness, sun a factor on its light, softness its angle in degrees.
    """
    colours = PALETTES[palette] if isinstance(palette, str) else palette
    height = colours.elevation if elevation is None else elevation
    towards = direction(azimuth, height)
    _air_group(colours, towards)
    world = bpy.data.worlds.new("sky")
    bpy.context.scene.world = world
    graph = Graph(world.node_tree)
    ray = graph.vector("NORMALIZE", graph.coordinates("Generated"))
    clear = colour = _air(graph, ray)
    if stars:
        colour = _starred(graph, ray, colour, stars)
    if disc:
        colour = _disc(graph, ray, colour, towards, colours, disc)
    if clouds:
        colour = _clouded(graph, ray, colour, towards, colours, clouds, cloud_scale, offset)
    seen = next(node for node in world.node_tree.nodes if node.type == "BACKGROUND")
    felt = graph.node("Background", Color=clear, Strength=strength)
    set_input(world.node_tree, seen.inputs["Color"], colour)
    seen.inputs["Strength"].default_value = strength
    # Light that reaches rough surfaces does without the clouds, whose noise costs time.
    both = graph.node("MixShader", Fac=graph.node("LightPath").outputs["Is Diffuse Ray"])
    world.node_tree.links.new(seen.outputs[0], both.inputs[1])
    world.node_tree.links.new(felt.outputs[0], both.inputs[2])
    surface = next(node for node in world.node_tree.nodes if node.type == "OUTPUT_WORLD")
    world.node_tree.links.new(both.outputs[0], surface.inputs["Surface"])
    world.cycles.sampling_method = "MANUAL"
    world.cycles.sample_map_resolution = 256
    data = bpy.data.lights.new("sun", "SUN")
    data.energy, data.color = 1.5 * colours.energy * sun, tuple(colours.sun)
    data.angle = math.radians(softness)
    item = bpy.data.objects.new("sun", data)
    item.rotation_euler = towards.to_track_quat("Z", "Y").to_euler()
    bpy.context.scene.collection.objects.link(item)
    return towards


def gradient(top: Triple, bottom: Triple, strength: float = 0.3) -> None:
    """Light an indoor scene with a plain gradient from below to above: the room around it."""
    world = bpy.data.worlds.new("room")
    bpy.context.scene.world = world
    graph = Graph(world.node_tree)
    height = graph.split(graph.vector("NORMALIZE", graph.coordinates("Generated")))[2]
    background = next(node for node in world.node_tree.nodes if node.type == "BACKGROUND")
    colour = graph.mix(graph.smooth(height, -0.6, 0.8), bottom, top)
    set_input(world.node_tree, background.inputs["Color"], colour)
    background.inputs["Strength"].default_value = strength


def air_colour(graph: Graph, colour: Triple | None):
    """Give the haze's colour inside a material: `colour`, or the horizon's in that direction."""
    if colour is not None:
        return colour
    if "air" not in bpy.data.node_groups:
        raise ValueError("haze() needs a colour, or sky.outdoors() called before it")
    x, y, _ = graph.split(graph.node("NewGeometry").outputs["Incoming"])
    flat = graph.join(graph.math("MULTIPLY", x, -1.0), graph.math("MULTIPLY", y, -1.0), 0.03)
    return _air(graph, graph.vector("NORMALIZE", flat))


def _air(graph: Graph, ray):
    node = graph.node("Group")
    node.node_tree = bpy.data.node_groups["air"]
    set_input(graph.tree, node.inputs[0], ray)
    return node.outputs[0]


def _air_group(colours: Palette, towards: Vector) -> None:
    """Write the clear sky once, as a group that both the world and the haze can use."""
    tree = bpy.data.node_groups.new("air", "ShaderNodeTree")
    tree.interface.new_socket("Ray", in_out="INPUT", socket_type="NodeSocketVector")
    tree.interface.new_socket("Colour", in_out="OUTPUT", socket_type="NodeSocketColor")
    graph = Graph(tree)
    ray = tree.nodes.new("NodeGroupInput").outputs[0]
    height = graph.math("MAXIMUM", graph.split(ray)[2], 0.0)
    lift = graph.math("POWER", height, 0.6)
    colour = graph.ramp(
        lift, [(0.0, colours.horizon), (0.34, colours.middle), (0.95, colours.zenith)]
    )
    facing = graph.math("MAXIMUM", graph.vector("DOT_PRODUCT", ray, tuple(towards)), 0.0)
    wide = graph.math("MULTIPLY", graph.math("POWER", facing, 7.0), 0.38)
    close = graph.math("MULTIPLY", graph.math("POWER", facing, 90.0), 0.7)
    glow = graph.math("ADD", wide, close)
    colour = graph.mix(1.0, colour, graph.mix(glow, (0, 0, 0), colours.glow), "ADD")
    output = tree.nodes.new("NodeGroupOutput")
    tree.links.new(colour, output.inputs[0])


def _starred(graph: Graph, ray, colour, brightness: float):
    cells = graph.node("TexVoronoi", Vector=ray, Scale=150.0)
    size = graph.math(
        "MULTIPLY", graph.math("POWER", graph.split(cells.outputs["Color"])[0], 6.0), 0.13
    )
    lit = graph.math("GREATER_THAN", size, cells.outputs["Distance"])
    fade = graph.smooth(graph.split(ray)[2], 0.02, 0.4)
    amount = graph.math("MULTIPLY", graph.math("MULTIPLY", lit, fade), brightness)
    return graph.mix(amount, colour, (0.9, 0.95, 1.1))


def _disc(graph: Graph, ray, colour, towards: Vector, colours: Palette, radius: float):
    edge = math.cos(math.radians(radius))
    soft = (1.0 - edge) * 0.12
    facing = graph.vector("DOT_PRODUCT", ray, tuple(towards))
    shine = 0.9 + 2.2 * colours.energy
    bright = tuple(channel * shine for channel in colours.sun)
    if colours.energy < 1.0:  # A moon: a stone's face with grey seas.
        seas = graph.noise(60.0 / radius, ray, detail=3.0)
        bright = graph.mix(graph.smooth(seas, 0.42, 0.62), (1.2, 1.15, 1.0), (0.62, 0.62, 0.60))
    return graph.mix(graph.smooth(facing, edge - soft, edge + soft), colour, bright)


def _clouded(
    graph: Graph,
    ray,
    colour,
    towards: Vector,
    colours: Palette,
    cover: float,
    scale: float,
    offset: float,
):
    """Lay a flat sheet of clouds overhead, brighter on the side that faces the sun."""
    x, y, z = graph.split(ray)
    reach = graph.math("DIVIDE", scale, graph.math("ADD", graph.math("MAXIMUM", z, 0.0), 0.16))
    sheet = graph.join(graph.math("MULTIPLY", x, reach), graph.math("MULTIPLY", y, reach), 0.0)
    side = Vector((towards.x, towards.y, 0)).normalized() * 0.10
    density = graph.noise(1.1, sheet, detail=7.0, roughness=0.56, distortion=0.25, offset=offset)
    beyond = graph.noise(
        1.1,
        graph.vector("ADD", sheet, tuple(side)),
        detail=4.0,
        roughness=0.56,
        distortion=0.25,
        offset=offset,
    )
    low = 0.66 - 0.36 * cover
    amount = graph.smooth(density, low, low + 0.16)
    lit = graph.smooth(graph.math("SUBTRACT", density, beyond), -0.07, 0.08)
    thick = graph.smooth(density, low + 0.04, low + 0.34)
    day = min(1.0, colours.energy / 2.5)
    warm = [
        0.25 * h + 0.3 * m + 0.75 * s * day
        for h, m, s in zip(colours.horizon, colours.middle, colours.sun, strict=True)
    ]
    grey = [
        0.5 * h + 0.25 * m + 0.25 * z
        for h, m, z in zip(colours.horizon, colours.middle, colours.zenith, strict=True)
    ]
    shade = graph.mix(graph.math("MULTIPLY", thick, 0.7), graph.mix(lit, grey, warm), grey)
    facing = graph.math("MAXIMUM", graph.vector("DOT_PRODUCT", ray, tuple(towards)), 0.0)
    rim = graph.math("MULTIPLY", graph.math("POWER", facing, 10.0), 0.5)
    shade = graph.mix(rim, shade, colours.glow, "ADD")
    fade = graph.smooth(z, 0.0, 0.22)
    return graph.mix(graph.math("MULTIPLY", amount, fade), colour, shade)
