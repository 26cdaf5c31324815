"""Materials of nature and of the house, each a function that gives a new material."""

from collections.abc import Sequence

import bpy
from nodes import Graph, set_input

Triple = Sequence[float]


def plain(name: str, colour, roughness: float = 0.5, **inputs: object):
    """Make a principled material; further inputs by name, such as Metallic=1 or Coat_Weight=1."""
    material, graph, shader = begin(name)
    for key, value in {"Base_Color": colour, "Roughness": roughness, **inputs}.items():
        set_input(graph.tree, shader.inputs[key.replace("_", " ")], value)
    return material


def begin(name: str):
    """Give (material, graph, principled node) of a new material to write one's own on."""
    material = bpy.data.materials.new(name)
    tree = material.node_tree
    shader = next(node for node in tree.nodes if node.type == "BSDF_PRINCIPLED")
    return material, Graph(tree), shader


def glow(name: str, colour: Triple, strength: float):
    """Make a lamp's surface: plain emission that the haze leaves alone."""
    material, graph, shader = begin(name)
    emission = graph.node("Emission", Color=colour, Strength=strength)
    surface = next(n for n in graph.tree.nodes if n.type == "OUTPUT_MATERIAL").inputs["Surface"]
    graph.tree.links.new(emission.outputs[0], surface)
    graph.tree.nodes.remove(shader)
    material["clear"] = True
    return material


def water(
    deep: Triple = (0.012, 0.035, 0.045),
    waves: float = 0.35,
    scale: float = 1.0,
    roughness: float = 0.03,
    offset: float = 0.0,
    calm: float = 0.5,
    fade: float = 60.0,
):
    """Make a lake or sea for a plane in metres: ripples that calm down with distance.

    waves is the bump's strength (0.03 a mirror, 0.3 a lake, 1 a sea), scale above 1 makes them
    finer, calm 0..1 is how much of it lies in smooth patches, fade the metres to half the waves.
    """
    material, graph, shader = begin("water")
    place = graph.coordinates()
    long = graph.stretch(place, (0.5 * scale, 1.3 * scale, 1.0))
    ripples = graph.noise(1.2, long, detail=5.0, roughness=0.55, distortion=0.3, offset=offset)
    swell = graph.noise(0.22, long, detail=2.0, offset=offset + 3)
    height = graph.math("ADD", ripples, graph.math("MULTIPLY", swell, 1.6))
    depth = graph.node("CameraData").outputs["View Distance"]
    strength = graph.math("DIVIDE", waves * fade, graph.math("ADD", depth, fade))
    patches = graph.noise(0.035 * scale, graph.stretch(place, (0.3, 1.5, 1.0)), offset=offset + 7)
    windy = graph.smooth(patches, 0.30 + 0.2 * calm, 0.48 + 0.2 * calm)
    windy = graph.math("ADD", 1.0 - calm, graph.math("MULTIPLY", windy, calm))
    shader.inputs["Base Color"].default_value = (*deep, 1.0)
    shader.inputs["IOR"].default_value = 1.33
    rough = graph.math("ADD", roughness, graph.math("MULTIPLY", windy, 0.06 * min(waves * 3, 1)))
    set_input(graph.tree, shader.inputs["Roughness"], rough)
    set_input(
        graph.tree,
        shader.inputs["Normal"],
        graph.bump(height, graph.math("MULTIPLY", strength, windy), 0.35 / scale),
    )
    return material


def ground(
    flat,
    steep,
    top=None,
    line: float = 0.0,
    blend: float = 6.0,
    slope: float = 0.72,
    bump: float = 0.5,
    grain: float = 1.0,
    offset: float = 0.0,
    speckle: float = 0.35,
):
    """Make land: `flat` colour on gentle slopes, `steep` on rock faces, `top` (snow) above `line`.

    slope is the upward normal below which rock shows, blend the height over which snow begins,
    grain above 1 makes the texture finer. Colours may be sockets.
    """
    material, graph, shader = begin("ground")
    geometry = graph.node("NewGeometry")
    place = geometry.outputs["Position"]
    up = graph.split(geometry.outputs["Normal"])[2]
    height = graph.split(place)[2]
    coarse = graph.noise(0.12 * grain, place, detail=8.0, roughness=0.62, offset=offset)
    fine = graph.noise(1.7 * grain, place, detail=6.0, roughness=0.65, offset=offset + 5)
    uneven = graph.math("SUBTRACT", graph.math("ADD", coarse, fine), 1.0)
    tilt = graph.math("ADD", up, graph.math("MULTIPLY", uneven, 0.22))
    colour = graph.mix(graph.smooth(tilt, slope - 0.07, slope + 0.07), steep, flat)
    tone = graph.math("ADD", 1.0, graph.math("MULTIPLY", uneven, speckle * 4))
    colour = graph.mix(1.0, colour, graph.join(tone, tone, tone), "MULTIPLY")
    rough = 0.9
    if top is not None:
        level = graph.math("ADD", height, graph.math("MULTIPLY", uneven, blend * 3.0))
        snowy = graph.math(
            "MULTIPLY",
            graph.smooth(level, line - blend, line + blend),
            graph.smooth(tilt, slope - 0.16, slope - 0.02),
        )
        colour = graph.mix(snowy, colour, top)
        rough = graph.math("SUBTRACT", 0.92, graph.math("MULTIPLY", snowy, 0.35))
    set_input(graph.tree, shader.inputs["Base Color"], colour)
    set_input(graph.tree, shader.inputs["Roughness"], rough)
    shader.inputs["Specular IOR Level"].default_value = 0.25
    relief = graph.math("ADD", graph.math("MULTIPLY", coarse, 3.0), fine)
    set_input(graph.tree, shader.inputs["Normal"], graph.bump(relief, bump, 1.0 / grain))
    return material


def foliage(dark: Triple, light: Triple, spread: float = 0.25, leaf: float = 0.25):
    """Make leaves: each object its own shade between two colours, light passing through a little.

    spread is how far the brightness strays, leaf how much light passes through.
    """
    material, graph, shader = begin("foliage")
    chance = graph.random()
    colour = graph.mix(chance, dark, light)
    tone = graph.noise(2.5, graph.coordinates(), detail=2.0)
    tone = graph.math("ADD", 1.0 - spread, graph.math("MULTIPLY", tone, 2 * spread))
    colour = graph.mix(1.0, colour, graph.join(tone, tone, tone), "MULTIPLY")
    set_input(graph.tree, shader.inputs["Base Color"], colour)
    shader.inputs["Roughness"].default_value = 0.7
    shader.inputs["Specular IOR Level"].default_value = 0.2
    through = graph.node("BsdfTranslucent", Color=colour)
    mixed = graph.node("MixShader", Fac=leaf)
    output = next(node for node in graph.tree.nodes if node.type == "OUTPUT_MATERIAL")
    for index, value in ((1, shader.outputs[0]), (2, through.outputs[0])):
        set_input(graph.tree, mixed.inputs[index], value)
    graph.tree.links.new(mixed.outputs[0], output.inputs["Surface"])
    return material


def wood(
    dark: Triple = (0.10, 0.045, 0.02),
    light: Triple = (0.36, 0.19, 0.09),
    scale: float = 1.0,
    planks: float = 0.0,
    roughness: float = 0.42,
    offset: float = 0.0,
):
    """Make wood with its grain along X; planks is a board's width across Y (0: a single piece)."""
    material, graph, shader = begin("wood")
    place = graph.coordinates()
    seam = 1.0
    tone = 0.5
    if planks:
        x, y, z = graph.split(place)
        across = graph.math("DIVIDE", y, planks)
        board = graph.math("FLOOR", across)
        chance = graph.node("TexWhiteNoise", noise_dimensions="1D", W=board)
        tone = chance.outputs["Value"]
        edge = graph.math("ABSOLUTE", graph.math("SUBTRACT", graph.math("FRACT", across), 0.5))
        seam = graph.math("SUBTRACT", 1.0, graph.smooth(edge, 0.485, 0.498))
        shift = graph.math("MULTIPLY", tone, 37.0)
        place = graph.join(graph.math("ADD", x, shift), y, graph.math("ADD", z, shift))
    along = graph.stretch(place, (0.55 * scale, 7.0 * scale, 7.0 * scale))
    rings = graph.noise(0.8, along, detail=3.0, distortion=1.6, offset=offset)
    bands = graph.math("FRACT", graph.math("MULTIPLY", rings, 7.0))
    bands = graph.math("MULTIPLY", bands, graph.math("SUBTRACT", 2.0, bands))
    fibre = graph.noise(9.0, graph.stretch(place, (0.35 * scale, 9 * scale, 9 * scale)), detail=5.0)
    mixed = graph.math(
        "ADD", graph.math("MULTIPLY", bands, 0.42), graph.math("MULTIPLY", fibre, 0.58)
    )
    if planks:
        mixed = graph.math(
            "ADD", mixed, graph.math("MULTIPLY", graph.math("SUBTRACT", tone, 0.5), 0.35)
        )
    colour = graph.mix(graph.smooth(mixed, 0.15, 0.95), dark, light)
    if planks:
        colour = graph.mix(seam, tuple(c * 0.12 for c in dark), colour)
    set_input(graph.tree, shader.inputs["Base Color"], colour)
    rough = graph.math("ADD", roughness - 0.1, graph.math("MULTIPLY", fibre, 0.2))
    set_input(graph.tree, shader.inputs["Roughness"], rough)
    relief = graph.math(
        "MULTIPLY", graph.math("ADD", mixed, graph.math("MULTIPLY", fibre, 0.4)), seam
    )
    set_input(graph.tree, shader.inputs["Normal"], graph.bump(relief, 0.25, 0.02 / scale))
    return material


def stone(
    colour: Triple = (0.30, 0.28, 0.26),
    vein: Triple = (0.16, 0.15, 0.15),
    scale: float = 1.0,
    roughness: float = 0.75,
    bump: float = 0.5,
    offset: float = 0.0,
):
    """Make rough stone: mottled and pitted, for rocks, walls and slabs; scale 1 suits a metre."""
    material, graph, shader = begin("stone")
    place = graph.coordinates()
    mottle = graph.noise(
        2.0 * scale, place, detail=9.0, roughness=0.62, distortion=0.4, offset=offset
    )
    grit = graph.noise(16.0 * scale, place, detail=5.0, roughness=0.7, offset=offset)
    blend = graph.math(
        "ADD", graph.math("MULTIPLY", mottle, 0.7), graph.math("MULTIPLY", grit, 0.3)
    )
    set_input(
        graph.tree,
        shader.inputs["Base Color"],
        graph.mix(graph.smooth(blend, 0.36, 0.62), vein, colour),
    )
    shader.inputs["Roughness"].default_value = roughness
    relief = graph.math("ADD", mottle, graph.math("MULTIPLY", grit, 0.25))
    set_input(graph.tree, shader.inputs["Normal"], graph.bump(relief, bump, 0.12 / scale))
    return material


def marble(
    colour: Triple = (0.78, 0.76, 0.73),
    vein: Triple = (0.22, 0.22, 0.24),
    scale: float = 1.0,
    roughness: float = 0.16,
    offset: float = 0.0,
):
    """Make polished marble with thin veins."""
    material, graph, shader = begin("marble")
    place = graph.coordinates()
    warp = graph.noise(1.4 * scale, place, detail=7.0, roughness=0.6, distortion=1.4, offset=offset)
    ridge = graph.math("ABSOLUTE", graph.math("SUBTRACT", warp, 0.5))
    line = graph.math("SUBTRACT", 1.0, graph.smooth(ridge, 0.0, 0.05))
    cloud = graph.noise(0.9 * scale, place, detail=4.0, offset=offset + 9)
    amount = graph.math("MULTIPLY", line, graph.smooth(cloud, 0.4, 0.7))
    base = graph.mix(cloud, colour, tuple(0.8 * c for c in colour))
    set_input(graph.tree, shader.inputs["Base Color"], graph.mix(amount, base, vein))
    shader.inputs["Roughness"].default_value = roughness
    return material


def glass(
    colour: Triple = (1, 1, 1), roughness: float = 0.0, ior: float = 1.48, shadow: float = 0.75
):
    """Make real glass that casts a tinted shadow, since caustics are off; shadow 1 is clear."""
    material, graph, shader = begin("glass")
    graph.tree.nodes.remove(shader)
    clear = graph.node("BsdfGlass", Color=colour, Roughness=roughness, IOR=ior)
    tint = tuple(shadow * c for c in colour)
    facing = graph.node("LayerWeight", Blend=0.35).outputs["Facing"]
    through = graph.node("BsdfTransparent", Color=graph.mix(facing, tint, (0.05, 0.05, 0.05)))
    mixed = graph.node("MixShader", Fac=graph.node("LightPath").outputs["Is Shadow Ray"])
    output = next(node for node in graph.tree.nodes if node.type == "OUTPUT_MATERIAL")
    for index, value in ((1, clear.outputs[0]), (2, through.outputs[0])):
        set_input(graph.tree, mixed.inputs[index], value)
    graph.tree.links.new(mixed.outputs[0], output.inputs["Surface"])
    return material


def wax(colour: Triple, depth: float = 0.1, roughness: float = 0.38, weight: float = 1.0):
    """Make wax, skin or fruit flesh: light enters about `depth` units (red goes deepest)."""
    return plain(
        "wax",
        colour,
        roughness,
        Subsurface_Weight=weight,
        Subsurface_Scale=depth,
        Subsurface_Radius=(1.0, 0.55, 0.35),
    )


def metal(colour: Triple = (0.9, 0.88, 0.85), roughness: float = 0.22, brushed: float = 0.0):
    """Make metal: gold (1.0, 0.72, 0.32), copper (0.95, 0.5, 0.35), brass (0.88, 0.66, 0.32)."""
    material, graph, shader = begin("metal")
    shader.inputs["Base Color"].default_value = (*colour, 1.0)
    shader.inputs["Metallic"].default_value = 1.0
    smudge = graph.noise(6.0, graph.coordinates(), detail=5.0)
    rough = graph.math("ADD", roughness * 0.7, graph.math("MULTIPLY", smudge, roughness * 0.6))
    set_input(graph.tree, shader.inputs["Roughness"], rough)
    shader.inputs["Anisotropic"].default_value = brushed
    return material


def paint(colour, roughness: float = 0.25, coat: float = 1.0, flakes: float = 0.0):
    """Make lacquer under a clear coat: toys, glazed ceramic; flakes 0..1 for a metallic."""
    return plain(
        "paint", colour, roughness + 0.2, Coat_Weight=coat, Coat_Roughness=0.04, Metallic=flakes
    )


def cloth(colour: Triple, scale: float = 90.0, sheen: float = 0.5):
    """Make woven cloth: two crossing waves as threads, and a soft sheen at grazing angles."""
    material, graph, shader = begin("cloth")
    x, y, _ = graph.split(graph.coordinates())
    threads = graph.math(
        "MULTIPLY",
        graph.math("SINE", graph.math("MULTIPLY", x, scale * 6.28)),
        graph.math("SINE", graph.math("MULTIPLY", y, scale * 6.28)),
    )
    mottle = graph.noise(5.0, graph.coordinates(), detail=6.0)
    colour = graph.mix(mottle, tuple(0.75 * c for c in colour), colour)
    set_input(graph.tree, shader.inputs["Base Color"], colour)
    shader.inputs["Roughness"].default_value = 0.9
    shader.inputs["Specular IOR Level"].default_value = 0.15
    shader.inputs["Sheen Weight"].default_value = sheen
    set_input(graph.tree, shader.inputs["Normal"], graph.bump(threads, 0.35, 0.3 / scale))
    return material


def snow(tint: Triple = (0.86, 0.90, 0.96), grain: float = 1.0):
    """Make snow: near white, softly uneven, with a few sparkling grains."""
    material, graph, shader = begin("snow")
    place = graph.node("NewGeometry").outputs["Position"]
    soft = graph.noise(0.8 * grain, place, detail=7.0, roughness=0.55)
    shader.inputs["Base Color"].default_value = (*tint, 1.0)
    shader.inputs["Roughness"].default_value = 0.6
    shader.inputs["Sheen Weight"].default_value = 0.2
    set_input(graph.tree, shader.inputs["Normal"], graph.bump(soft, 0.35, 0.4 / grain))
    return material


def sand(
    colour: Triple = (0.62, 0.38, 0.19),
    ripples: float = 0.6,
    scale: float = 1.0,
    turn: float = 0.3,
    offset: float = 0.0,
    fade: float = 30.0,
):
    """Make sand with wind ripples across `turn` radians that fade out after `fade` metres."""
    material, graph, shader = begin("sand")
    place = graph.node("NewGeometry").outputs["Position"]
    drift = graph.noise(0.15, place, detail=3.0, offset=offset)
    turned = graph.stretch(place, (1, 1, 0.6), rotation=(0, 0, turn))
    waves = graph.node(
        "TexWave",
        wave_type="BANDS",
        bands_direction="X",
        wave_profile="SIN",
        Vector=turned,
        Scale=1.5 * scale,
        Distortion=4.5,
        Detail=2.0,
        Detail_Scale=0.9,
        Phase_Offset=graph.math("MULTIPLY", drift, 30.0),
    )
    grit = graph.noise(60.0, place, detail=3.0, offset=offset)
    height = graph.math("ADD", waves.outputs[1], graph.math("MULTIPLY", grit, 0.12))
    depth = graph.node("CameraData").outputs["View Distance"]
    near = graph.math("EXPONENT", graph.math("DIVIDE", depth, -fade))
    patch = graph.smooth(graph.noise(0.25, place, detail=2.0, offset=offset + 4), 0.35, 0.6)
    strength = graph.math("MULTIPLY", graph.math("MULTIPLY", near, ripples), patch)
    tone = graph.math("ADD", graph.math("MULTIPLY", drift, 0.5), graph.math("MULTIPLY", grit, 0.5))
    deep = tuple(0.72 * c for c in colour)
    set_input(
        graph.tree,
        shader.inputs["Base Color"],
        graph.mix(graph.smooth(tone, 0.3, 0.7), deep, colour),
    )
    shader.inputs["Roughness"].default_value = 0.95
    shader.inputs["Specular IOR Level"].default_value = 0.15
    set_input(graph.tree, shader.inputs["Normal"], graph.bump(height, strength, 0.06 / scale))
    return material


def foam(offset: float = 0.0, scale: float = 1.0):
    """Make surf for a sheet above the water: white where its mask "foam" and a lace agree."""
    material, graph, shader = begin("foam")
    place = graph.coordinates()
    lace = graph.noise(
        1.1 * scale, place, detail=8.0, roughness=0.68, distortion=1.2, offset=offset
    )
    amount = graph.smooth(graph.math("ADD", graph.attribute("foam"), lace), 0.85, 1.15)
    shader.inputs["Base Color"].default_value = (0.86, 0.90, 0.92, 1.0)
    shader.inputs["Roughness"].default_value = 0.8
    set_input(graph.tree, shader.inputs["Alpha"], graph.math("MULTIPLY", amount, 0.92))
    return material


def beam(colour: Triple = (1.0, 0.9, 0.7), strength: float = 1.0, length: float = 100.0):
    """Make light seen in the air, for a cone along its own Z: bright at z=0, gone at `length`."""
    material, graph, shader = begin("beam")
    z = graph.split(graph.coordinates())[2]
    along = graph.math("SUBTRACT", 1.0, graph.smooth(z, 0.0, length))
    facing = graph.node("LayerWeight", Blend=0.5).outputs["Facing"]
    soft = graph.math("POWER", graph.math("SUBTRACT", 1.0, facing), 2.0)
    shine = graph.math("MULTIPLY", graph.math("MULTIPLY", along, soft), strength)
    light = graph.node("Emission", Color=colour, Strength=shine)
    both = graph.node("AddShader")
    output = next(node for node in graph.tree.nodes if node.type == "OUTPUT_MATERIAL")
    graph.tree.links.new(light.outputs[0], both.inputs[0])
    graph.tree.links.new(graph.node("BsdfTransparent").outputs[0], both.inputs[1])
    graph.tree.links.new(both.outputs[0], output.inputs["Surface"])
    graph.tree.nodes.remove(shader)
    material.cycles.emission_sampling = "NONE"
    material["clear"] = True
    return material
