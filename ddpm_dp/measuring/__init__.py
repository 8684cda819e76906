"""The one pass of a denoiser over data that prices every step of every path."""
