"""Short clips of stacks and yards: sky, stack, white steam or black smoke; open material covered or bare.

Steam leaves the mouth detached, white, and dissolves sooner in dry air; smoke is dark, attached, and rises with the
wind. The pictures are drawn, not filmed: they test the way of the data, not the quality of a detector.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from workbench.district.behaviour import runs
from workbench.district.climate import World
from workbench.district.noise import stream
from workbench.district.population import Site
from workbench.district.simulate import SiteResult

SIZE, FRAMES, FPS = 180, 24, 8.0


def plan(result: SiteResult, world: World, budget: int) -> list[dict[str, Any]]:
    """Return the clips of one camera: times and true scene, spread over the period, some inside offences."""
    site = result.site
    if not site.camera:
        return []
    rng = stream(world.seed, "clips", site.enterprise_id)
    point = next(p for p in site.points if p.system == "video")
    offence = "black_smoke" if site.camera == "stack" else "fugitive_dust"
    bouts = [e for e in result.episodes if e.scheme.mechanism == offence]
    working = runs(result.on_hour > 0.5, shortest=1)
    daylight = np.array([h for a, b in working for h in range(a, b) if 8 <= h % 24 < 17])
    out = []
    for k in range(budget):
        if bouts and k % 2 == 0 and not bouts[0].scheme.silent:
            e = bouts[int(rng.integers(len(bouts)))]
            hour = int(rng.integers(e.start, max(e.start + 1, e.end))) // 10
        elif daylight.size:
            hour = int(daylight[int(rng.integers(daylight.size))])
        else:
            hour = int(rng.integers(0, world.days * 24))
        inside = any(e.start <= hour * 10 < e.end for e in bouts)
        humid = float(world.weather[site.street]["humidity"][hour])
        if site.camera == "stack":
            scene = "black_smoke" if inside else ("white_steam" if rng.random() < 0.25 + 0.5 * (humid > 80) else "clean")
            if not inside and rng.random() < 0.04:
                scene = "black_smoke"  # a puff at lighting up: seen, and no offence
        else:
            scene = (
                "uncovered"
                if (inside and not bouts[0].scheme.silent) or rng.random() < 0.08
                else ("dust" if rng.random() < 0.08 else "covered")
            )
        clip_id = f"V{site.enterprise_id[1:]}-{k + 1:02d}"
        start = world.at(hour * 10 + int(rng.integers(10)))
        out.append(
            {
                "clip_id": clip_id, "point_id": point.point_id, "start": start, "path": f"data/clips/{clip_id}.mp4", "fps": FPS,
                "label": scene if rng.random() < 0.65 else "", "scene": scene, "humidity": humid,
                "wind": float(world.weather[site.street]["wind_speed"][hour]), "hour": hour % 24,
            }
        )  # fmt: skip
    return out


def render(clip: dict[str, Any], site: Site, world: World, file: Path) -> None:
    """Draw one clip into an mp4 file."""
    import cv2

    rng = stream(world.seed, "render", clip["clip_id"])
    scene_rng = stream(world.seed, "scene", site.enterprise_id)  # one camera always looks at the same place
    back = _yard(scene_rng, clip["scene"]) if site.camera == "yard" else _stack(scene_rng)
    light = 0.62 + 0.38 * np.sin(np.pi * np.clip((clip["hour"] - 5) / 14, 0, 1))
    writer = cv2.VideoWriter(str(file), cv2.VideoWriter.fourcc(*"mp4v"), FPS, (SIZE, SIZE))
    puffs = _Puffs(rng, clip)
    try:
        for _ in range(FRAMES):
            frame = puffs.draw(back.copy())
            frame = frame * light + rng.normal(0, 2.0, frame.shape)
            shift = np.array([[1, 0, rng.normal(0, 0.3)], [0, 1, rng.normal(0, 0.3)]], np.float32)
            writer.write(cv2.warpAffine(np.clip(frame, 0, 255).astype(np.uint8), shift, (SIZE, SIZE), borderMode=cv2.BORDER_REPLICATE))
    finally:
        writer.release()


def _stack(rng: np.random.Generator) -> np.ndarray:
    import cv2

    y = np.linspace(0, 1, SIZE)[:, None, None]
    sky = np.array([225.0, 205.0, 185.0]) * (1 - 0.18 * (1 - y)) * np.ones((SIZE, SIZE, 1))
    sky = sky + cv2.resize(rng.normal(0, 6, (7, 7)), (SIZE, SIZE), interpolation=cv2.INTER_CUBIC)[..., None]
    sky[110:, 78:102] = (95, 100, 108)
    sky[150:, 20:150] = (70, 82, 90)
    return np.asarray(sky)


def _yard(rng: np.random.Generator, scene: str) -> np.ndarray:
    y, x = np.mgrid[0:SIZE, 0:SIZE]
    picture = np.where((y < 60)[..., None], np.array([215.0, 205.0, 195.0]), np.array([96.0, 112.0, 122.0]))
    heap = (y > 165 - 95 * np.exp(-(((x - 90) / 48.0) ** 2))) & (y < 166)
    bare = np.array([88.0, 128.0, 168.0]) + rng.normal(0, 15, (SIZE, SIZE, 1))
    net = np.array([70.0, 122.0, 62.0]) + 12.0 * (((x // 3 + y // 3) % 2)[..., None] - 0.5)
    picture = np.where(heap[..., None], bare if scene in ("uncovered", "dust") else net, picture)
    return np.asarray(picture, float)


class _Puffs:
    """Blobs carried by wind and buoyancy; steam evaporates, smoke persists, dust stays low."""

    def __init__(self, rng: np.random.Generator, clip: dict[str, Any]) -> None:
        self.rng, self.scene = rng, clip["scene"]
        self.drift = 0.6 + 1.1 * min(clip["wind"], 5.0) * (1 if rng.random() < 0.5 else -1)
        self.life = {"white_steam": 8 + 0.16 * (clip["humidity"] - 40), "black_smoke": 34.0, "dust": 22.0}.get(self.scene, 0.0)
        self.puffs: list[list[float]] = []
        for _ in range(25 if self.life else 0):
            self._step()

    def _step(self) -> None:
        low = self.scene == "dust"
        for _ in range(2):
            x, y = (90 + self.rng.normal(0, 22), 120.0) if low else (90 + self.rng.normal(0, 4), 108.0)
            self.puffs.append([x, y, 5.0 + self.rng.random() * 3, 0.0])
        for p in self.puffs:
            p[0] += self.drift + self.rng.normal(0, 0.8)
            p[1] -= (0.5 if low else 3.0) + self.rng.normal(0, 0.5)
            p[2] += 0.55
            p[3] += 1.0
        self.puffs = [p for p in self.puffs if p[3] < self.life]

    def draw(self, frame: np.ndarray) -> np.ndarray:
        """Return the frame with all puffs blended in, one step further."""
        if not self.life:
            return frame
        self._step()
        colour = {"white_steam": (246, 246, 246), "black_smoke": (38, 38, 42), "dust": (120, 150, 176)}[self.scene]
        y, x = np.mgrid[0:SIZE, 0:SIZE]
        clear = np.ones((SIZE, SIZE))
        for px, py, r, age in self.puffs:
            if self.scene == "white_steam" and age < 2:
                continue  # vapour condenses a little above the mouth
            thick = 0.42 * (1 - age / self.life)
            clear *= 1 - thick * np.exp(-((x - px) ** 2 + (y - py) ** 2) / (r * r))
        return frame * clear[..., None] + np.array(colour) * (1 - clear)[..., None]
