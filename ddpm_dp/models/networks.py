"""Two small networks: `MLP` for points and tiny images, `UNet` for images.

Both map (x_t, t / T) to `outputs` tensors of x_t's shape, one after the other along dimension 1.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def time_embedding(time: Tensor, width: int) -> Tensor:
    """Sines and cosines of time = t / T in (0, 1], (batch,) -> (batch, width), as in Ho et al. at T = 1,000."""
    frequencies = torch.exp(-math.log(10_000) * torch.arange(width // 2, device=time.device) / (width // 2))
    angles = 1000 * time[:, None] * frequencies
    return torch.cat([angles.sin(), angles.cos()], dim=1)


def features(x: Tensor, levels: int | None) -> Tensor:
    """x, and beside it (dim 1) sines and cosines of it with the period of two and of one grey level.

    When the noise is smaller than a grey level, eps is what x_t is off the nearest level. A network cannot see that in
    x_t itself, but easily in waves of the grid's own period (Kingma et al. 2021, "Fourier features").
    """
    if levels is None:
        return x
    waves = [math.pi * (levels - 1) / 2 * x, math.pi * (levels - 1) * x]
    return torch.cat([x, *(wave(angle) for angle in waves for wave in (torch.sin, torch.cos))], dim=1)


def count_of_features(inputs: int, levels: int | None) -> int:
    """How many features that many inputs have.

    Counted on one of them, on the CPU even where a network is built on "meta" to know its shapes: arithmetic there has
    torch import sympy, which takes as long as torch.
    """
    return inputs * features(torch.zeros(1, 1, device="cpu"), levels).shape[1]


def start_at_zero(*layers: nn.Module) -> None:
    """Set weights and biases to 0: what these layers add is learned from nothing."""
    for layer in layers:
        for parameter in layer.parameters():
            nn.init.zeros_(parameter)


class MLP(nn.Module):
    """Residual multilayer perceptron on the flattened input: `depth` blocks of `width` units."""

    def __init__(
        self, shape: tuple[int, ...], levels: int | None, width: int, depth: int, dropout: float, outputs: int
    ):
        super().__init__()
        d = math.prod(shape)
        if width < 2 or width % 2:
            raise ValueError(f"width = {width}; MLP takes an even number, for as many sines as cosines of the time.")
        self.width, self.levels, self.dropout = width, levels, nn.Dropout(dropout)
        self.time = nn.Sequential(nn.Linear(width, width), nn.SiLU())
        self.first = nn.Linear(count_of_features(d, levels), width)
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(depth))
        self.modulate = nn.ModuleList(nn.Linear(width, 2 * width) for _ in range(depth))
        self.hidden = nn.ModuleList(nn.Linear(width, width) for _ in range(depth))
        self.out = nn.ModuleList(nn.Linear(width, width) for _ in range(depth))
        self.last = nn.Linear(width, d * outputs)
        start_at_zero(*self.modulate, *self.out, self.last)  # the identity, which predicts 0

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        # One image in a batch of equal times costs one embedding: `measure` evaluates whole data sets at one t.
        embedding = self.time(time_embedding(time, self.width))
        h = self.first(features(x.flatten(1), self.levels))
        for norm, modulate, hidden, out in zip(self.norms, self.modulate, self.hidden, self.out, strict=True):
            scale, shift = modulate(embedding).chunk(2, dim=1)
            h = h + out(self.dropout(F.silu(hidden(norm(h) * (1 + scale) + shift))))
        return self.last(F.silu(h)).view(len(x), -1, *x.shape[2:])


class ResidualBlock(nn.Module):
    """GroupNorm, SiLU, convolution, twice, with the time embedding added between (Ho et al. 2020, appendix B)."""

    def __init__(self, channels_in: int, channels_out: int, embedding: int, dropout: float):
        super().__init__()
        self.norm1 = nn.GroupNorm(math.gcd(8, channels_in), channels_in)
        self.conv1 = nn.Conv2d(channels_in, channels_out, 3, padding=1)
        self.time = nn.Linear(embedding, channels_out)
        self.norm2 = nn.GroupNorm(math.gcd(8, channels_out), channels_out)
        self.conv2 = nn.Conv2d(channels_out, channels_out, 3, padding=1)
        self.dropout = nn.Dropout(dropout)
        self.skip = nn.Conv2d(channels_in, channels_out, 1) if channels_in != channels_out else nn.Identity()
        start_at_zero(self.conv2)

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        h = self.conv1(F.silu(self.norm1(x))) + self.time(embedding)[:, :, None, None]
        return self.skip(x) + self.conv2(self.dropout(F.silu(self.norm2(h))))


class Attention(nn.Module):
    """Self-attention over the positions of a feature map, four heads."""

    def __init__(self, channels: int):
        super().__init__()
        self.norm = nn.GroupNorm(math.gcd(8, channels), channels)
        self.qkv = nn.Conv2d(channels, 3 * channels, 1)
        self.out = nn.Conv2d(channels, channels, 1)
        start_at_zero(self.out)

    def forward(self, x: Tensor) -> Tensor:
        batch, channels, height, width = x.shape
        qkv = self.qkv(self.norm(x)).view(batch, 3, 4, channels // 4, height * width).transpose(-1, -2)
        h = F.scaled_dot_product_attention(*qkv.unbind(1))
        return x + self.out(h.transpose(-1, -2).reshape(x.shape))


class WithAttention(nn.Module):
    """A residual block, then self-attention."""

    def __init__(self, residual: ResidualBlock, attention: Attention):
        super().__init__()
        self.residual, self.attention = residual, attention

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        return self.attention(self.residual(x, embedding))


BLOCKS = (ResidualBlock, WithAttention)  # the layers of a UNet that are told the time


class UNet(nn.Module):
    """A UNet of three resolutions (1, 1/2, 1/4) with `width`, 2 `width`, 2 `width` channels, attention at the lowest.

    From 64x64 on there is a fourth, 1/8, with 4 `width` channels, and attention after each block at 1/4 too: at 16x16,
    as in Nichol & Dhariwal 2021. `depth` residual blocks per resolution on the way down, one more on the way up. Height
    and width must divide by 4 (8 from 64x64 on).
    """

    def __init__(
        self, shape: tuple[int, ...], levels: int | None, width: int, depth: int, dropout: float, outputs: int
    ):
        super().__init__()
        large = len(shape) == 3 and min(shape[1:]) >= 64
        multiples, attended = ((1, 2, 2, 4), 2) if large else ((1, 2, 2), None)
        smallest = 2 ** (len(multiples) - 1)
        if len(shape) != 3 or shape[1] % smallest or shape[2] % smallest or width % 4:
            raise ValueError(
                f"UNet takes images (channels, height, width) with sides divisible by {smallest} and a width divisible "
                f"by 4; given shape {shape}, width {width}: use network='mlp', or other sizes."
            )
        self.width, self.levels = width, levels
        embedding = 4 * width
        self.time = nn.Sequential(nn.Linear(width, embedding), nn.SiLU(), nn.Linear(embedding, embedding), nn.SiLU())
        self.first = nn.Conv2d(count_of_features(shape[0], levels), width, 3, padding=1)
        self.down, self.up = nn.ModuleList(), nn.ModuleList()
        kept, channels = [width], width

        def block(channels: int, out: int, level: int) -> nn.Module:
            residual = ResidualBlock(channels, out, embedding, dropout)
            return WithAttention(residual, Attention(out)) if level == attended else residual

        for level, multiple in enumerate(multiples):
            if level:
                self.down.append(nn.Conv2d(channels, channels, 3, stride=2, padding=1))
                kept.append(channels)
            for _ in range(depth):
                self.down.append(block(channels, multiple * width, level))
                channels = multiple * width
                kept.append(channels)
        first, last = (ResidualBlock(channels, channels, embedding, dropout) for _ in range(2))
        self.middle = nn.ModuleList([first, Attention(channels), last])
        for level, multiple in reversed([*enumerate(multiples)]):
            if level < len(multiples) - 1:
                self.up.append(nn.Upsample(scale_factor=2, mode="nearest"))
            for _ in range(depth + 1):
                self.up.append(block(channels + kept.pop(), multiple * width, level))
                channels = multiple * width
        self.norm = nn.GroupNorm(math.gcd(8, channels), channels)
        self.last = nn.Conv2d(channels, shape[0] * outputs, 3, padding=1)
        start_at_zero(self.last)

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        embedding = self.time(time_embedding(time, self.width))
        h = self.first(features(x, self.levels))
        kept = [h]
        for layer in self.down:
            h = layer(h, embedding) if isinstance(layer, BLOCKS) else layer(h)
            kept.append(h)
        for layer in self.middle:
            h = layer(h, embedding) if isinstance(layer, BLOCKS) else layer(h)
        for layer in self.up:
            h = layer(torch.cat([h, kept.pop()], 1), embedding) if isinstance(layer, BLOCKS) else layer(h)
        return self.last(F.silu(self.norm(h)))
