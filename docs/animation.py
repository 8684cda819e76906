"""The film at the top of the README: `python docs/animation.py` writes docs/films.gif, and prints its alternative text.

Fashion-MNIST, 16 of 4,000 steps: the DP's path and even steps from the same noise, as the explorer records them.
"""

import io
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

import ddpm_dp
from ddpm_dp.explorer.films import draw_films
from ddpm_dp.explorer.source import Source
from ddpm_dp.reporting import plotting
from ddpm_dp.strides import even

MODEL, VARIANCE, K = "fashion-mnist/hybrid", "spectral", 16
SCALE, GAP, BAR = 4, 12, 6  # pixels
PAUSE, LAST = 250, 3000  # milliseconds of a frame, and of the last one

source = Source.named(MODEL)
costs, prices = (ddpm_dp.step_costs(each, VARIANCE) for each in (source.train, source.priced_on))
paths = {"DP": ddpm_dp.solve(costs, K).path(K), "even": even(source.train.noise, K)}
films = draw_films(source, VARIANCE, [paths])
_, height, width = source.train.shape
sheet = np.asarray(Image.open(io.BytesIO(films["sheet"])))[:, :, 0]
sheet = sheet.reshape(len(paths), films["seeds"], 2, height, K + 1, width)[:, :, 0]  # of x and the guess, x
font = ImageFont.load_default(22)


def bits_of(path: np.ndarray) -> float:
    return ddpm_dp.bits_per_dim(prices.of(path).total, source.train.d)


def frame(i: int) -> Image.Image:
    """After i steps: for each path a line of words, its images, and how far it is."""
    row = height * SCALE + 3 * GAP + 22 + BAR
    picture = Image.new("RGB", (films["seeds"] * (width * SCALE + GAP) + GAP, len(paths) * row), "white")
    draw = ImageDraw.Draw(picture)
    for p, (name, path) in enumerate(paths.items()):
        top, colour = p * row, plotting.STYLES[name]["color"]
        draw.text((GAP, top), f"{name}: t = {path[K - i]:,}", colour, font)
        draw.text((picture.width - GAP, top), f"{bits_of(path):.2f} bits/dim", colour, font, anchor="ra")
        for seed in range(films["seeds"]):
            image = Image.fromarray(sheet[p, seed, :, i]).resize(
                (width * SCALE, height * SCALE), Image.Resampling.NEAREST
            )
            picture.paste(image, (GAP + seed * (width * SCALE + GAP), top + 22 + GAP))
        under = top + 22 + 2 * GAP + height * SCALE
        draw.rectangle((GAP, under, GAP + (picture.width - 2 * GAP) * i / K, under + BAR // 2), colour)
    return picture


frames = [frame(i).quantize(32, dither=Image.Dither.NONE) for i in range(K + 1)]  # half of the bytes
out = Path(__file__).with_name("films.gif")
frames[0].save(out, save_all=True, append_images=frames[1:], duration=[PAUSE] * K + [LAST], loop=0, optimize=True)
said = " and ".join(f"{name} ({bits_of(path):.2f} bits/dim)" for name, path in paths.items())
what = f"{films['seeds']} images made in {K} of {source.T:,} steps"
print(f"Film: {what}, from the same noise, along two paths: {said}")
