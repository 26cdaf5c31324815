"""Sand dunes under a low sun, from rippled crests near by to pale ranges far away."""

import math
import random

import materials
import numpy as np
import shapes
import sky
import stage
import terrain

# Hour, sun's azimuth and height, clouds, and the sand's colour.
MOODS = [
    ("golden", 95, 13, 0.15, "ochre"),
    ("sunset", 35, 5, 0.35, "red"),
    ("noon", -100, 32, 0.10, "pale"),
    ("dawn", -75, 8, 0.25, "rose"),
    ("morning", 110, 20, 0.40, "ochre"),
    ("dusk", -80, 12, 0.15, "ochre"),
    ("golden", -65, 10, 0.45, "red"),
    ("night", 60, 30, 0.00, "pale"),
    ("rose", 100, 9, 0.30, "rose"),
    ("noon", 90, 26, 0.35, "red"),
    ("storm", -85, 16, 0.80, "ochre"),
    ("golden", 18, 9, 0.20, "ochre"),
    ("morning", -95, 15, 0.05, "white"),
    ("sunset", -100, 7, 0.20, "ochre"),
    ("dawn", 80, 10, 0.0, "red"),
]
SAND = {
    "ochre": (0.60, 0.36, 0.16),
    "red": (0.55, 0.20, 0.07),
    "pale": (0.62, 0.44, 0.26),
    "rose": (0.60, 0.36, 0.25),
    "white": (0.70, 0.50, 0.32),
}


def dunes(seed: int, rng: random.Random, azimuth: float):
    """Give dunes as the wind makes them: a long climb, a sharp crest, a steep lee side.

    The wind comes from about where the sun stands, so that the lee sides lie in shadow.
    """
    wind = math.radians(-90 - azimuth + rng.uniform(-40, 40))
    length, tall = rng.uniform(75, 125), rng.uniform(10, 17)

    def row(u, v, long, key):
        bend = 0.8 * terrain.noise(u / (2.6 * long), v / (1.5 * long), seed + key)
        phase = (
            u / long + bend + 0.15 * terrain.noise(u / (0.6 * long), v / (0.5 * long), seed + key)
        )
        part = phase - np.floor(phase)
        lee = np.clip((part - 0.70) / 0.30, 0, 1)
        return np.where(part < 0.70, np.sin(part / 0.70 * math.pi / 2) ** 1.6, (1 - lee) ** 1.25)

    def height(x, y):
        u, v = x * math.cos(wind) + y * math.sin(wind), y * math.cos(wind) - x * math.sin(wind)
        size = tall * np.clip(0.7 + 1.2 * terrain.noise(u / 210, v / 160, seed + 2), 0.12, 2)
        giants = 64 * np.clip(0.45 + 1.3 * terrain.noise(u / 700, v / 600, seed + 6), 0, 1.2)
        return row(u, v, length, 0) * size + row(u, v, 480, 9) * giants

    return height


def lookout(rng: random.Random, land, sun) -> tuple[float, float, float]:
    """Find a spot with open, sunlit ground before it and a high dune further on: (x, y, height)."""
    turn = np.radians(np.linspace(-26, 26, 15))[None, :]
    near, far = (np.linspace(*span, 24)[:, None] for span in ((8, 150), (260, 900)))
    best = (-1e9, 0.0, 0.0, 0.0)
    for _ in range(140):
        x, y = rng.uniform(-1500, 1500), rng.uniform(-1500, 1500)
        here = float(land(np.array([x]), np.array([y]))[0])
        east, north = x + near * np.sin(turn), y + near * np.cos(turn)
        front = land(east, north)
        lit = np.ones(front.shape, bool)
        for step in (6, 14, 30, 60, 110, 190, 300):
            lit &= land(east + step * sun.x, north + step * sun.y) < front + step * sun.z
        back = land(x + far * np.sin(turn), y + far * np.cos(turn))
        blocked = min(0.0, here - float(front.max()) + 3)
        balance = -abs(float(lit.mean()) - 0.72) * 90
        score = blocked * 3 + balance + 0.5 * (float(back.max()) - here) + front.std() * 2
        best = max(best, (score, x, y, here))
    return best[1:]


def build(seed: int) -> None:
    """Build one desert."""
    rng, draw = random.Random(f"desert {seed}"), np.random.default_rng(seed)
    hour, azimuth, lift, clouds, tint = MOODS[seed % len(MOODS)]
    land = dunes(seed, rng, azimuth)
    east, north, base = lookout(rng, land, sky.direction(azimuth, lift))

    def height(x, y):
        return land(x + east, y + north) - base

    night = hour == "night"
    sky.outdoors(
        hour,
        azimuth,
        lift,
        clouds=clouds,
        offset=seed * 2.3,
        softness=0.6,
        stars=1.0 if night else 0.4 if hour == "dusk" else 0.0,
        disc=1.3 if hour == "sunset" and abs(azimuth) < 60 else 0.0,
    )
    sand = materials.sand(
        SAND[tint], ripples=0.8, scale=0.8, turn=rng.uniform(-0.6, 0.6), offset=seed
    )
    terrain.fan(height, sand, near=1.0, far=6000, rows=800, columns=520)
    if seed % 3 == 1:
        tufts = [
            shapes.grass(
                rng, materials.foliage((0.16, 0.14, 0.06), (0.34, 0.28, 0.12)), 60, 0.8, 0.2
            )
            for _ in range(3)
        ]
        x, y = terrain.places(draw, 500, 7, 90, 70)
        some = terrain.noise(x / 9, y / 9, seed) > 0.22
        terrain.scatter(draw, tufts, x[some], y[some], height, (0.6, 1.4), tilt=0.1, sink=0.05)
    eye = rng.uniform(3.0, 9.0)
    stage.camera(
        (0, 0, eye),
        (rng.uniform(-20, 20), 100, eye + rng.uniform(-9, 4)),
        lens=rng.choice((28, 35, 50)),
    )
    stage.haze(3200)
    stage.expose({"night": 1.6, "dusk": 0.9, "noon": -0.35}.get(hour, 0.0))
