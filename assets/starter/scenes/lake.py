"""A mountain lake at different hours and seasons, with pines, stones and a jetty."""

import random

import materials
import numpy as np
import shapes
import sky
import stage
import terrain

# Hour, sun's azimuth, clouds, season, mist: dealt by hand so that no two pictures are alike.
MOODS = [
    ("morning", 75, 0.45, "summer", 0.0),
    ("dawn", -28, 0.30, "summer", 1.0),
    ("golden", -95, 0.25, "autumn", 0.0),
    ("noon", 140, 0.60, "summer", 0.0),
    ("sunset", 14, 0.45, "summer", 0.2),
    ("overcast", 60, 0.75, "autumn", 0.9),
    ("rose", 120, 0.35, "winter", 0.1),
    ("night", 12, 0.12, "summer", 0.2),
    ("golden", 70, 0.50, "summer", 0.5),
    ("noon", -120, 0.20, "winter", 0.0),
    ("storm", -50, 0.85, "summer", 0.1),
    ("dusk", 0, 0.30, "winter", 0.3),
    ("morning", -110, 0.70, "autumn", 0.6),
    ("sunset", 100, 0.60, "autumn", 0.0),
    ("rose", -20, 0.20, "summer", 0.8),
]
GREEN, GOLD = (
    ((0.010, 0.030, 0.014), (0.035, 0.075, 0.022)),
    ((0.30, 0.12, 0.012), (0.55, 0.30, 0.03)),
)


def shape(seed: int, rng: random.Random):
    """Give the height of the land: a bank at the viewer's feet, a headland, hills and mountains."""
    side = rng.choice((-1, 1))
    shore = rng.uniform(260, 520)
    peak = rng.uniform(420, 820)
    centre = rng.uniform(-500, 500)
    cape = (side * rng.uniform(45, 75), rng.uniform(95, 170))

    def height(x, y):
        edge = shore + 90 * terrain.noise(x / 160, y * 0 + 0.5, seed)
        hills = terrain.smooth(y - edge, -40, 700) * (
            70 + 90 * terrain.fractal(x / 500, y / 500, seed)
        )
        rise = terrain.smooth(y - 1.6 * shore, 0, 2600)
        massif = 0.55 + 0.45 * np.exp(-(((x - centre) / 900) ** 2))
        peaks = rise * massif * peak * (0.15 + 1.35 * terrain.ridged(x / 1300, y / 1300, seed + 3))
        land = -3 + 4.0 * terrain.smooth(y - edge, -20, 25) + hills + peaks
        head = np.exp(-(((x - cape[0]) / 42) ** 2) - ((y - cape[1]) / 22) ** 2)
        land += 8 * head * (1 + 0.3 * terrain.fractal(x / 9, y / 9, seed))
        bank = 3.4 * terrain.smooth(6.5 + 2.2 * terrain.noise(x / 3, y / 3, seed) - y, -2.5, 3.5)
        return land + bank + 0.25 * terrain.fractal(x / 2.5, y / 2.5, seed) * (y < 400)

    return height, cape


def forest(rng: random.Random, draw: np.random.Generator, height, cape, season: str) -> None:
    """Plant the far shore and the headland."""
    bark = materials.plain("bark", (0.06, 0.04, 0.03), 0.9)
    needles = materials.foliage(*GREEN)
    frost = materials.plain("frost", (0.80, 0.85, 0.92), 0.8) if season == "winter" else None
    models = [
        shapes.pine(rng, needles, bark, 1.0, rng.uniform(0.17, 0.24), snow=frost) for _ in range(4)
    ]
    if season == "autumn":
        leaves = materials.foliage(*GOLD)
        models += [shapes.tree(rng, leaves, bark, 0.75, 0.04, 900) for _ in range(2)]
    x, y = terrain.places(draw, 9000, 200, 1700, 75, power=0.4)
    wood = (height(x, y) > 0.6) & (height(x, y) < 190) & (terrain.slope(height, x, y, 3) < 0.8)
    wood &= terrain.noise(x / 120, y / 120, 5) > -0.32
    terrain.scatter(draw, models, x[wood][:3200], y[wood][:3200], height, (11, 22), sink=0.03)
    x, y = cape[0] + draw.normal(0, 30, 260), cape[1] + draw.normal(0, 14, 260)
    dry = height(x, y) > 0.8
    terrain.scatter(draw, models, x[dry][:90], y[dry][:90], height, (9, 19), sink=0.03)


def foreground(
    rng: random.Random, draw: np.random.Generator, height, season: str, seed: int
) -> None:
    """Lay stones and reeds along the bank, and on some days a jetty."""
    stone = materials.stone((0.26, 0.25, 0.24), (0.09, 0.09, 0.085), 1.2)
    rocks = [shapes.rock(rng, stone, rng.uniform(0.5, 0.75)) for _ in range(4)]
    x, y = draw.uniform(-9, 9, 90), draw.uniform(4.2, 10.5, 90)
    wet = (height(x, y) > -0.7) & (np.abs(x) > 0.8)
    terrain.scatter(draw, rocks, x[wet], y[wet], height, (0.10, 0.62), tilt=0.2, sink=0.2)
    blade = {
        "autumn": ((0.28, 0.17, 0.05), (0.42, 0.28, 0.09)),
        "winter": ((0.30, 0.24, 0.16), (0.48, 0.42, 0.33)),
    }.get(season, ((0.05, 0.10, 0.02), (0.16, 0.22, 0.05)))
    tufts = [shapes.grass(rng, materials.foliage(*blade), 45, 0.75, 0.14) for _ in range(3)]
    x, y = draw.uniform(-8, 8, 160), draw.uniform(3.4, 7.5, 160)
    edge = (np.abs(height(x, y) - 0.15) < 0.55) & (terrain.noise(x / 1.5, y / 1.5, seed) > -0.05)
    terrain.scatter(draw, tufts, x[edge], y[edge], height, (0.5, 1.1), tilt=0.1)
    if seed % 3 == 0:
        board = materials.wood((0.09, 0.07, 0.055), (0.27, 0.23, 0.19), 2.0, roughness=0.7)
        left = rng.uniform(-1.6, 1.4)
        for index in range(34):
            slat = shapes.box((1.5, 0.25, 0.05), board, (left, 3.2 + 0.28 * index, 0.50), 0.012)
            slat.rotation_euler.z = rng.gauss(0, 0.012)
        for index in range(5):
            for edge in (-0.68, 0.68):
                shapes.lathe(
                    [(0, -2), (0.075, -2), (0.07, 0.84), (0, 0.86)],
                    board,
                    16,
                    (left + edge, 4.2 + 2.05 * index, 0),
                )


def build(seed: int) -> None:
    """Build one lake."""
    rng, draw = random.Random(f"lake {seed}"), np.random.default_rng(seed)
    hour, azimuth, clouds, season, mist = MOODS[seed % len(MOODS)]
    height, cape = shape(seed, rng)
    night = hour == "night"
    sky.outdoors(
        hour,
        azimuth,
        clouds=clouds,
        offset=seed * 3.1,
        stars=0.9 if night else 0.0,
        disc=1.1 if night or hour == "sunset" else 0.0,
    )
    grass = {"autumn": (0.16, 0.10, 0.03), "winter": (0.74, 0.79, 0.86)}.get(
        season, (0.05, 0.075, 0.02)
    )
    land = materials.ground(
        grass,
        (0.13, 0.12, 0.115),
        (0.82, 0.86, 0.93),
        line=rng.uniform(240, 420) if season != "winter" else 20,
        blend=40,
        slope=0.66,
        offset=seed,
        bump=0.7,
    )
    terrain.fan(height, land, near=1.2, far=6500)
    terrain.plane(materials.water(waves=rng.choice((0.03, 0.07, 0.16)), offset=seed, calm=0.75))
    forest(rng, draw, height, cape, season)
    foreground(rng, draw, height, season, seed)
    eye = rng.uniform(2.4, 3.6)
    stage.camera(
        (0, 0, eye),
        (rng.uniform(-6, 6), 100, eye + rng.uniform(1, 7)),
        lens=rng.choice((24, 28, 35)),
    )
    stage.haze(9000 if mist < 0.5 else 4500)
    if mist:
        stage.haze(700 / (0.1 + mist), start=60, ceiling=11, most=0.8)
    stage.expose({"night": 1.4, "dusk": 0.7, "noon": -0.2}.get(hour, 0.15))
