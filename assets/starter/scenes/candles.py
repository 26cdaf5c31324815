"""Candles burning on a table, from a pair to a crowd, with soft lights behind."""

import math
import random

import bpy
import materials
import numpy as np
import shapes
import sky
import stage

# Wax colours, table, background glow: dealt by seed.
WAXES = [
    [(0.86, 0.78, 0.62)],
    [(0.55, 0.03, 0.025), (0.70, 0.06, 0.04)],
    [(0.10, 0.22, 0.42), (0.75, 0.78, 0.82)],
    [(0.85, 0.42, 0.10), (0.88, 0.68, 0.30)],
    [(0.80, 0.35, 0.42), (0.88, 0.66, 0.66), (0.86, 0.80, 0.74)],
    [(0.14, 0.30, 0.16)],
    [(0.40, 0.16, 0.42), (0.62, 0.45, 0.70)],
]
GLOWS = [
    ((1.0, 0.55, 0.18), (1.0, 0.75, 0.40)),
    ((0.20, 0.45, 1.0), (0.5, 0.7, 1.0)),
    ((1.0, 0.30, 0.20), (1.0, 0.75, 0.25), (0.25, 0.9, 0.45)),
    ((0.9, 0.35, 0.8), (0.35, 0.45, 1.0)),
    ((1.0, 0.82, 0.55),),
]
FORMS = ("pillars", "tapers", "glasses", "pillars", "bowl")


def wax(colour, height: float):
    """Make wax that glows from within below its flame, fading down the candle."""
    material, graph, shader = materials.begin("candle")
    z = graph.split(graph.coordinates())[2]
    near = graph.smooth(z, height - 0.55, height + 0.02)
    warm = tuple(c * w for c, w in zip(colour, (1.0, 0.55, 0.22), strict=True))
    shader.inputs["Base Color"].default_value = (*colour, 1)
    shader.inputs["Roughness"].default_value = 0.36
    shader.inputs["Subsurface Weight"].default_value = 1.0
    shader.inputs["Subsurface Scale"].default_value = 0.09
    shader.inputs["Subsurface Radius"].default_value = (1.0, 0.5, 0.25)
    shader.inputs["Emission Color"].default_value = (*warm, 1)
    graph.tree.links.new(
        graph.math("MULTIPLY", graph.math("POWER", near, 2.2), 1.3),
        shader.inputs["Emission Strength"],
    )
    soft = graph.noise(5.0, graph.coordinates(), detail=3.0)
    graph.tree.links.new(graph.bump(soft, 0.25, 0.02), shader.inputs["Normal"])
    material.cycles.emission_sampling = "NONE"
    return material


def flame_material():
    """Make a flame: blue and clear at its foot, white-hot in the middle, orange at the tip."""
    material, graph, shader = materials.begin("flame")
    z = graph.split(graph.coordinates())[2]
    part = graph.smooth(z, -0.01, 0.20)
    colour = graph.ramp(
        part,
        [
            (0.0, (0.10, 0.20, 1.0)),
            (0.16, (1.0, 0.50, 0.16)),
            (0.45, (1.0, 0.70, 0.30)),
            (1.0, (1.0, 0.36, 0.06)),
        ],
    )
    power = graph.ramp(
        part, [(0.0, (0.02,) * 3), (0.2, (0.4,) * 3), (0.5, (1.0,) * 3), (1, (0.5,) * 3)]
    )
    facing = graph.node("LayerWeight", Blend=0.4).outputs["Facing"]
    emission = graph.node("Emission", Color=colour, Strength=graph.math("MULTIPLY", power, 16.0))
    clear = graph.node("BsdfTransparent")
    mixed = graph.node("MixShader", Fac=graph.math("MULTIPLY", facing, 0.9))
    output = next(n for n in graph.tree.nodes if n.type == "OUTPUT_MATERIAL").inputs["Surface"]
    graph.tree.links.new(emission.outputs[0], mixed.inputs[1])
    graph.tree.links.new(clear.outputs[0], mixed.inputs[2])
    graph.tree.links.new(mixed.outputs[0], output)
    graph.tree.nodes.remove(shader)
    material.cycles.emission_sampling = "NONE"
    return material


def light(rng: random.Random, x: float, y: float, z: float, fire, soot, size: float = 1.0) -> None:
    """Set a wick, a flame and its lamp on a candle's top."""
    bend = rng.uniform(-0.012, 0.012)
    shapes.tube([(x, y, z - 0.03), (x, y, z + 0.02), (x + bend, y, z + 0.045 * size)], 0.0055, soot)
    profile = [
        (0, 0),
        (0.016, 0.012),
        (0.027, 0.04),
        (0.029, 0.06),
        (0.022, 0.105),
        (0.011, 0.155),
        (0.003, 0.195),
        (0, 0.205),
    ]
    flame = shapes.lathe(
        shapes.rounded(profile), fire, 32, (x + bend * 0.7, y, z + 0.022), sharp=180
    )
    flame.scale = (size, size, size * rng.uniform(0.9, 1.25))
    flame.rotation_euler = (rng.gauss(0, 0.03), rng.gauss(0, 0.05), 0)
    flame.visible_shadow = False
    stage.point((x + bend, y, z + 0.12 * size), 5.5 * size, (1.0, 0.56, 0.22), 0.03)


def pillar(rng, x, y, radius, height, colour, fire, soot) -> None:
    """Make a pillar candle with a molten hollow, an uneven rim and a few runs of wax."""
    dip = 0.035
    profile = [
        (0, 0),
        (radius, 0),
        (radius, height - 0.03),
        (radius * 0.99, height),
        (radius * 0.93, height + 0.012),
        (radius * 0.84, height - 0.004),
        (radius * 0.7, height - dip),
        (0, height - dip - 0.006),
    ]
    body = shapes.lathe(profile, wax(colour, height), 96, (x, y, 0), sharp=180)
    soft, deep = rng.uniform(0, 6.28), rng.uniform(0.01, 0.04)
    for vertex in body.data.vertices:
        turn = math.atan2(vertex.co.y, vertex.co.x)
        if vertex.co.z > height - 0.02:
            vertex.co.z -= deep * (0.5 + 0.5 * math.cos(turn - soft)) + 0.006 * math.sin(3 * turn)
    for _ in range(rng.randint(0, 4)):
        turn, fall = rng.uniform(0, 6.28), rng.uniform(0.08, 0.5) * height
        drop = shapes.lathe(
            shapes.rounded(
                [
                    (0, -fall),
                    (0.021, -fall + 0.01),
                    (0.024, -fall + 0.03),
                    (0.013, -fall + 0.09),
                    (0.012, -0.05),
                    (0, 0),
                ]
            ),
            body.data.materials[0],
            20,
            (
                x + radius * 0.985 * math.cos(turn),
                y + radius * 0.985 * math.sin(turn),
                height - deep - 0.01,
            ),
            sharp=180,
        )
        drop.name = "run"
    light(rng, x, y, height - dip, fire, soot, rng.uniform(0.95, 1.15))


def taper(rng, x, y, colour, brass, fire, soot) -> float:
    """Make a slender candle in a turned candlestick; gives its height."""
    stick, tall = rng.uniform(0.18, 0.7), rng.uniform(0.5, 0.95)
    profile = [
        (0.19, 0),
        (0.195, 0.012),
        (0.17, 0.03),
        (0.05, 0.06),
        (0.028, 0.10),
        (0.05, stick * 0.5),
        (0.026, stick * 0.62),
        (0.03, stick - 0.06),
        (0.075, stick - 0.03),
        (0.078, stick),
        (0.05, stick + 0.004),
    ]
    shapes.lathe([(0, 0), *shapes.rounded(profile), (0, stick)], brass, 64, (x, y, 0))
    top = stick + tall
    body = wax(colour, tall)
    shapes.lathe(
        [(0, -0.01), (0.046, 0), (0.038, tall - 0.02), (0.030, tall), (0, tall - 0.004)],
        body,
        48,
        (x, y, stick),
        sharp=60,
    )
    light(rng, x, y, top - 0.004, fire, soot)
    return top


def cup(rng, x, y, colour, clear, fire, soot) -> None:
    """Make a tealight in a little glass."""
    r, h = rng.uniform(0.13, 0.19), rng.uniform(0.24, 0.38)
    shapes.lathe(
        [
            (0, 0),
            (r * 0.9, 0),
            (r * 0.98, 0.015),
            (r, h - 0.01),
            (r - 0.007, h),
            (r - 0.014, h - 0.01),
            (r - 0.02, 0.04),
            (0, 0.035),
        ],
        clear,
        64,
        (x, y, 0),
        sharp=60,
    )
    fill = rng.uniform(0.10, 0.16)
    shapes.lathe(
        [(0, 0.037), (r - 0.024, 0.042), (r - 0.022, fill), (0, fill - 0.008)],
        wax(colour, fill + 0.25),
        48,
        (x, y, 0),
        sharp=60,
    )
    light(rng, x, y, fill - 0.006, fire, soot, 0.8)


def lights_behind(rng: random.Random, colours) -> None:
    """Hang bright balls far behind, which the lens draws as discs.

    Few rays meet so small a thing: pinpoints would leave speckles that the denoiser turns into
    cracks, and a pixel whose first rays all missed must not stop early.
    """
    bpy.context.scene.cycles.use_adaptive_sampling = False
    for _ in range(rng.randint(26, 60)):
        colour = rng.choice(colours)
        shine = materials.glow("far light", colour, rng.uniform(4, 22) / 5)
        shapes.ball(
            2.2 * rng.uniform(0.02, 0.05),
            shine,
            (rng.uniform(-5, 5), rng.uniform(5, 8.5), rng.uniform(0.1, 3.4)),
            12,
        )


def build(seed: int) -> None:
    """Build one picture of candles."""
    rng, draw = random.Random(f"candles {seed}"), np.random.default_rng(seed)
    form = FORMS[seed % len(FORMS)]
    waxes, glows = stage.deal(seed, "wax", WAXES), stage.deal(seed, "glow", GLOWS[:4])
    sky.gradient((0.05, 0.06, 0.10), (0.10, 0.06, 0.04), 0.35)
    fire, soot = flame_material(), materials.plain("wick", (0.02, 0.015, 0.012), 0.9)
    table = stage.deal(
        seed,
        "table",
        [
            materials.wood(planks=0.55, roughness=0.35, scale=0.8),
            materials.stone((0.12, 0.12, 0.13), (0.045, 0.045, 0.05), 1.5, 0.32, 0.15),
            materials.wood(
                (0.03, 0.015, 0.008), (0.13, 0.06, 0.03), 0.8, planks=0.8, roughness=0.3
            ),
            materials.marble((0.55, 0.53, 0.50), scale=1.1),
        ],
    )
    shapes.box((9, 4.4, 0.2), table, (0, 0.3, -0.2), 0.03)
    focus, tall, spots = (0.0, 0.0, 0.5), 0.8, []
    if form == "pillars":
        count = 1 + seed % 9
        radii = sorted((rng.uniform(0.15, 0.27) for _ in range(count)), reverse=True)
        spots = shapes.settle(draw, radii, 0.30 + 0.20 * count, 0.25 + 0.14 * count, 0.025)
        for (x, y), radius in zip(spots, radii, strict=False):
            high = rng.uniform(0.35, 0.75) + 0.30 * max(y, 0)
            tall = max(tall, high + 0.1)
            pillar(rng, x, y, radius, high, rng.choice(waxes), fire, soot)
        focus = (*min(spots, key=lambda spot: spot[1]), 0.5)
    elif form == "tapers":
        brass = materials.metal(
            rng.choice([(0.88, 0.66, 0.32), (0.8, 0.8, 0.82), (0.9, 0.5, 0.35)]), 0.2
        )
        count = rng.randint(2, 5)
        for index in range(count):
            x = (index - (count - 1) / 2) * 0.46 + rng.uniform(-0.05, 0.05)
            tall = max(
                tall, taper(rng, x, rng.uniform(-0.3, 0.3), rng.choice(waxes), brass, fire, soot)
            )
        focus = (0, -0.1, 0.6)
    else:
        spots = shapes.settle(draw, [0.24] * rng.randint(5, 13), 1.7, 1.5, 0.015)
        for x, y in spots:
            tint = rng.choice(waxes)
            pale = tuple(0.5 + 0.5 * c / max(tint) for c in tint) if form == "bowl" else (1, 1, 1)
            cup(
                rng,
                x,
                y,
                tint if form == "glasses" else (0.86, 0.80, 0.68),
                materials.glass(pale),
                fire,
                soot,
            )
        focus, tall = (*min(spots, key=lambda spot: abs(spot[0]) + abs(spot[1] + 0.5)), 0.2), 0.3
    lights_behind(rng, glows)
    stage.area((2.5, 2.5, 2.2), (0, 0, 0.4), 35, 1.0, glows[0])
    stage.area((-2.5, -1.5, 2.5), (0, 0, 0.4), 16, 2.0, (0.5, 0.65, 1.0))
    turn = rng.uniform(-0.25, 0.25)
    lens = rng.choice((42, 50, 60))
    away = 2.7 + 0.9 * tall
    if spots:
        away = max(away, stage.step_back([(x, y, 0.27) for x, y in spots], lens, margin=1.3))
    stage.camera(
        (away * math.sin(turn), -away * math.cos(turn), rng.uniform(0.55, 1.5)),
        (0, 0, 0.25 + 0.38 * tall),
        lens=lens,
        fstop=0.11,
        focus=focus,
    )
    if form == "tapers":  # The tallest must not touch the frame.
        near = [item for item in bpy.data.objects if item.type == "MESH" and item.location.y < 4]
        stage.fill([item for item in near if item.location.z >= 0], 0.08, slack=0.02)
    stage.bloom(0.3, 2.0, 0.6)
    stage.expose(0.1, soft=True)
