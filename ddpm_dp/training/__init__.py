"""Training a DDPM: what to train, the losses, which timesteps they look at, and the loop."""
