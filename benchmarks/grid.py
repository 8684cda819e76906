"""What `spectral` owes to JPEG: `python benchmarks/grid.py FOLDER` (some 15 minutes on one core), FOLDER being that of
Tiny ImageNet (train.zip and val.zip).

Its photographs are JPEGs of 64x64 pixels, whose frequencies were rounded in blocks of 8x8 pixels; colours have half the
resolution, so their blocks are 16x16. The blocks of `spectral` begin where JPEG's do. What if they begin 4 pixels
further? Images and network are shifted in a circle, there and back: the network sees what it saw, and answers what it
answered, but for the noise, which is drawn for other pixels. (The seam of the circle then lies inside one block in
eight, down and across: a part of the difference.)
"""

import sys

import ddpm_dp
from ddpm_dp.models.denoiser import Denoiser, Prediction

MODEL, IMAGES, TIMESTEPS, SHIFTS, BUDGETS = "tiny-imagenet-64/hybrid", 64, 40, (0, 4), (8, 16, 32)


def shifted(values, by):
    return values.roll((by, by), (2, 3))


class Shifted(Denoiser):
    """A network that sees images shifted by some pixels down and across, in a circle, and answers so."""

    def __init__(self, network, by):
        self.network, self.by = network, by
        self.noise, self.shape, self.levels, self.second = network.noise, network.shape, network.levels, network.second
        self.id = f"{network.id}, shifted by {by}"

    def __call__(self, x_t, t):
        answer = self.network(shifted(x_t, -self.by), t)
        return Prediction(**{name: None if x is None else shifted(x, self.by) for name, x in answer._asdict().items()})


network, data = ddpm_dp.load(MODEL), ddpm_dp.load_dataset("images", path=sys.argv[1], size=64)
print(
    f"{MODEL}, {IMAGES} training and {IMAGES} held-out images, {TIMESTEPS} of {network.noise.T:,} timesteps measured."
)
print("Held-out bits/dim of all steps, and what K chosen steps cost more. Decoder: fitted.")
print("blocks begin at  variance       all" + "".join(f"{f'K = {K}':>10s}" for K in BUDGETS))
for by in SHIFTS:
    model = Shifted(network, by)
    train, test = (
        model.network.images(images[:IMAGES]).roll((by, by), (2, 3)).numpy() for images in (data.train, data.test)
    )
    fitted = ddpm_dp.measure(model, train, timesteps=TIMESTEPS, batch_size=32)
    held_out = ddpm_dp.measure(model, test, fitted=fitted, timesteps=TIMESTEPS, batch_size=32)
    for variance in ("analytic", "local", "spectral"):
        prices = ddpm_dp.step_costs(ddpm_dp.Measured(fitted, held_out).judge, variance)
        best = ddpm_dp.solve(ddpm_dp.step_costs(fitted, variance), max(BUDGETS))

        def bits(path, prices=prices, d=held_out.d):
            return ddpm_dp.bits_per_dim(prices.of(path).total, d)

        whole = bits(range(held_out.T + 1))
        print(
            f"{by:>15d}  {variance:10s} {whole:7.3f}" + "".join(f"{bits(best.path(K)) - whole:+10.3f}" for K in BUDGETS)
        )
