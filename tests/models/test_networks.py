import pytest
import torch

from ddpm_dp.models.architectures import NETWORKS, Architecture
from ddpm_dp.models.networks import Attention


@pytest.mark.parametrize(
    ("network", "shape"),
    [("mlp", (2,)), ("mlp", (1, 8, 8)), ("unet", (3, 16, 16)), ("unet", (1, 28, 28)), ("unet", (3, 64, 64))],
)
@pytest.mark.parametrize(("levels", "second"), [(None, None), (17, "v")])
def test_networks_keep_the_shape_and_broadcast_time(network, shape, levels, second):
    net = Architecture(network, shape, levels, 8, 1, 0.0, second).build()
    for parameter in net.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    x = torch.randn(3, *shape)
    each, shared = net(x, torch.full((3,), 0.5)), net(x, torch.tensor([0.5]))
    assert each.shape == (3, shape[0] * (2 if second else 1), *shape[1:]) and torch.allclose(each, shared, atol=1e-5)
    assert not torch.allclose(each, net(x, torch.tensor([0.9])), rtol=0, atol=1e-6)


@pytest.mark.parametrize(("side", "sizes"), [(28, [7]), (64, [16, 8])])
def test_where_a_unet_attends(side, sizes):
    """At the lowest resolution; from 64x64 on, at 16x16 too."""
    net = Architecture("unet", (1, side, side), 256, 8, 1, 0.0).build()
    seen = []
    for layer in net.modules():
        if isinstance(layer, Attention):
            layer.register_forward_hook(lambda layer, x, y: seen.append(y.shape[-1]))
    net(torch.zeros(1, 1, side, side), torch.ones(1))
    assert sorted(set(seen), reverse=True) == sizes


def test_unet_refuses_sides_it_cannot_halve_twice():
    with pytest.raises(ValueError, match="divisible by 4"):
        Architecture("unet", (1, 30, 30), None, 8, 1, 0.0).build()
    with pytest.raises(ValueError, match="divisible by 8"):
        Architecture("unet", (1, 68, 68), None, 8, 1, 0.0).build()


def test_names_that_are_not_known_are_refused():
    with pytest.raises(ValueError, match=f"network = 'transformer' .*{', '.join(NETWORKS)}"):
        Architecture("transformer", (1, 8, 8), None, 8, 1, 0.0).build()
    with pytest.raises(ValueError, match="second output = 'w' .*v, u"):
        Architecture("mlp", (1, 8, 8), None, 8, 1, 0.0, second="w")
