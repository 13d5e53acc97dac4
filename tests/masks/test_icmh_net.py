import torch

from icmhcodec.masks import kinds
from icmhcodec.masks.icmh_net import IcmhNet
from tests.masks.nets import inputs


def test_it_has_the_papers_size() -> None:
    net = IcmhNet(192)
    layers = [p.numel() for name, p in net.named_parameters() if "condition" not in name]
    assert sum(layers) == 3_982_464  # 3.98 M in the paper's table


def test_the_logit_is_the_difference_of_two() -> None:
    torch.manual_seed(0)
    net = kinds.create("icmh-net", 12).requires_grad_(False)
    assert isinstance(net, IcmhNet)
    mean, index = inputs(0)
    arguments = (torch.zeros(1), torch.ones(1).long(), torch.zeros(1).long())
    before = net(mean[None] / 256, index[None].long(), *arguments)
    net.third.bias += 2.5  # both alike
    after = net(mean[None] / 256, index[None].long(), *arguments)
    assert torch.allclose(before, after, atol=1e-4)
    net.third.bias[12:] += 1  # "selected"
    assert torch.allclose(
        net(mean[None] / 256, index[None].long(), *arguments), before + 1, atol=1e-4
    )


def test_all_of_it_learns() -> None:
    torch.manual_seed(0)
    net = kinds.create("icmh-net", 12)
    mean, index = inputs(0)
    arguments = (torch.rand(1) * 9, torch.ones(1).long(), torch.zeros(1).long())
    net(mean[None] / 256, index[None].long(), *arguments).square().mean().backward()
    for name, parameter in net.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.any(), name
