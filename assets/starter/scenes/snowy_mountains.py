"""Snowy mountains: ranges, a lone horn, peaks above a sea of mist, pines under snow before them."""

import random

import materials
import numpy as np
import shapes
import sky
import stage
import terrain

# Hour, sun's azimuth and height, clouds, form, mist, pines before it.
MOODS = [
    ("golden", 82, 12, 0.25, "horn", 0.0, True),
    ("morning", -75, 22, 0.35, "range", 0.3, True),
    ("rose", 110, 7, 0.20, "range", 0.0, False),
    ("dawn", -85, 10, 0.35, "layers", 0.8, False),
    ("noon", 95, 36, 0.45, "wall", 0.0, True),
    ("night", 70, 28, 0.00, "horn", 0.2, True),
    ("sunset", 100, 6, 0.45, "wall", 0.0, False),
    ("morning", 70, 26, 0.15, "layers", 0.0, False),
    ("golden", -105, 10, 0.50, "range", 0.7, True),
    ("storm", -60, 18, 0.85, "wall", 0.4, True),
    ("noon", -80, 30, 0.20, "horn", 0.0, False),
    ("dusk", 25, 3, 0.15, "range", 0.3, True),
    ("rose", -85, 8, 0.40, "horn", 0.9, False),
    ("overcast", 60, 40, 0.60, "range", 0.7, True),
    ("sunset", -72, 7, 0.30, "layers", 0.5, False),
]


def mountains(form: str, seed: int, rng: random.Random):
    """Give the height of a snowfield falling away from the viewer and of the peaks behind."""
    bend = rng.uniform(-0.5, 0.5)
    peak = (rng.uniform(-650, 650), rng.uniform(4300, 5200))
    tall = rng.uniform(1500, 1900)

    def ridges(x, y, size, key):
        # Bending the ridges by slower noise keeps them from looking like a crumpled sheet.
        u = x / size + 0.22 * terrain.noise(x / size * 1.4, y / size * 1.4, seed + key)
        v = y / size + 0.22 * terrain.noise(x / size * 1.4 + 7, y / size * 1.4, seed + key + 1)
        return terrain.ridged(u, v, seed + key + 2, 7, 0.42)

    def height(x, y):
        field = 3.5 * terrain.fractal(x / 60, y / 60, seed, 5)
        fall = -170 * terrain.smooth(y + 0.25 * np.abs(x), 35, 900)
        banks = 60 * terrain.smooth(np.abs(x - bend * y), 120, 900) * terrain.smooth(y, 60, 700)
        land = fall + field + banks * (1 + 0.7 * terrain.fractal(x / 250, y / 250, seed + 4))
        rise = terrain.smooth(y, 1000, 4600)
        if form == "horn":
            dx, dy = x - peak[0], y - peak[1]
            turn = np.arctan2(dy, dx)
            # Four faces that meet in edges make the horn.
            faces = 1 + 0.22 * np.cos(4 * turn + bend * 6) + 0.10 * np.cos(3 * turn + seed)
            part = np.hypot(dx, dy) / (1750 * faces)
            cone = np.clip(1 - part, 0, 1) ** 1.15
            crags = 0.20 * (ridges(x, y, 1300, 3) - 0.45) * np.sqrt(cone)
            spire = tall * 1.12 * np.maximum(cone + crags, 0)
            return land + np.maximum(spire, 0.55 * tall * rise * ridges(x, y, 3300, 9))
        if form == "wall":
            rise = terrain.smooth(y, 500, 4200)
            return land + tall * rise * (0.10 + 0.95 * ridges(x, y, 3000, 3))
        if form == "layers":
            waves = terrain.smooth(y, 300, 7500) * 1900
            return land + waves * ridges(x, y * 1.4, 2800, 3)
        return land + tall * rise * (0.05 + 1.0 * ridges(x, y, 3900, 3) ** 1.15)

    return height


def pines(rng: random.Random, draw: np.random.Generator, height, seed: int) -> None:
    """Plant snow-laden pines: a few near the edges of the frame, a wood along the valley."""
    bark = materials.plain("bark", (0.06, 0.04, 0.03), 0.9)
    needles = materials.foliage((0.008, 0.024, 0.014), (0.025, 0.05, 0.024))
    frost = materials.plain("frost", (0.80, 0.85, 0.92), 0.8)
    models = [
        shapes.pine(rng, needles, bark, 1.0, rng.uniform(0.15, 0.22), 34, snow=frost)
        for _ in range(5)
    ]
    x, y = terrain.places(draw, 9000, 90, 1900, 80, power=0.5)
    wood = terrain.noise(x / 130, y / 130, seed + 8) + 0.35 * np.abs(x) / y > 0.10
    wood &= terrain.slope(height, x, y, 3) < 0.9
    terrain.scatter(draw, models, x[wood][:2600], y[wood][:2600], height, (9, 19), sink=0.03)
    side = rng.choice((-1, 1))
    x, y = [], []
    for index in range(rng.randint(4, 9)):
        y.append(rng.uniform(26, 75))
        x.append(side * y[-1] * rng.uniform(0.26, 0.50) * (-1 if index % 4 == 3 else 1))
    terrain.scatter(draw, models, np.array(x), np.array(y), height, (8, 15), sink=0.03)


def build(seed: int) -> None:
    """Build one view of snowy mountains."""
    rng, draw = random.Random(f"snowy {seed}"), np.random.default_rng(seed)
    hour, azimuth, lift, clouds, form, mist, wooded = MOODS[seed % len(MOODS)]
    height = mountains(form, seed, rng)
    sky.outdoors(
        hour,
        azimuth,
        lift,
        clouds=clouds,
        offset=seed * 4.3,
        softness=0.6,
        stars=1.0 if hour == "night" else 0.3 if hour == "dusk" else 0.0,
    )
    cover = materials.ground(
        (0.80, 0.84, 0.91),
        (0.085, 0.08, 0.082),
        (0.82, 0.86, 0.93),
        line=-600,
        slope=rng.uniform(0.56, 0.64),
        grain=0.35,
        bump=0.55,
        offset=seed,
        speckle=0.12,
    )
    terrain.fan(height, cover, near=3, far=14000, rows=600, columns=430, angle=76)
    if wooded:
        pines(rng, draw, height, seed)
    eye = float(height(np.array([0.0]), np.array([3.0]))[0]) + rng.uniform(5, 11)
    far = np.linspace(1500, 9000, 120)[:, None]
    view = (height(far * np.linspace(-0.35, 0.35, 61)[None, :], far) - eye) / far
    # The highest summit stands about four fifths up the frame.
    lens = rng.choice((35, 42, 50))
    top, half = float(np.max(view)), 13.5 / lens
    pitch = min(max(top - 0.60 * half, 0.0), 0.62 * half)
    turn = rng.uniform(-12, 12)
    stage.camera((0, 0, eye), (turn, 100, eye + 100 * pitch), lens=lens)
    stage.haze(19000 if form != "layers" else 9000)
    if mist:
        stage.haze(1500 / (0.1 + mist), start=120, ceiling=75, most=0.92, low=-150)
    stage.expose({"night": 1.5, "dusk": 0.8, "noon": -0.45, "morning": -0.2}.get(hour, 0.0))
