"""DVC and FVC: as trained, in bfloat16, from files that are broken."""

from dataclasses import replace

import pytest
import torch

from icmhcodec.codecs.video import registry
from icmhcodec.errors import FormatError
from icmhcodec.modelfile import ModelFile
from icmhcodec.training.video_network import Sizes, fresh
from tests.codecs.video.tiny import frames, tiny_model, tiny_network

BOTH = pytest.mark.parametrize("architecture", ["dvc", "fvc"])


@BOTH
@torch.no_grad()
def test_equals_what_was_trained(architecture):
    net, codec = tiny_network(architecture), registry.build(tiny_model(architecture))
    for parameter in net.parameters():
        if parameter.ndim == 4:
            parameter.copy_(parameter.half().float())
    current, reference = frames(2).split(1)
    motion = net.motion.g_a(net.seen_motion(current, reference))
    close = {"rtol": 1e-4, "atol": 1e-4}
    torch.testing.assert_close(codec.motion_latent(current, reference), motion, **close)
    prediction, _, _ = net.predict(net.motion.g_s(motion), reference)
    torch.testing.assert_close(codec.prediction(motion, reference), prediction, **close)
    residual = net.residual.g_a(net.seen_residual(current, prediction))
    torch.testing.assert_close(codec.residual_latent(current, prediction), residual, **close)
    frame = net.reconstruct(net.residual.g_s(residual), prediction)
    torch.testing.assert_close(codec.reconstruct(residual, prediction), frame, **close)
    for name, latent in (("motion", motion), ("residual", residual)):
        z = getattr(net, name).h_a(latent)
        torch.testing.assert_close(codec.latent(name).hyper_analysis(latent), z, **close)
        assert latent.shape[2:] == (4, 8)
        assert z.shape[2:] == (1, 2)
        assert latent.std() > 1  # its symbols are not all zero


@BOTH
@torch.no_grad()
def test_bfloat16_is_near_and_comes_back(architecture):
    codec = registry.build(tiny_model(architecture))
    low = codec.to("cpu", torch.bfloat16)
    current, reference = frames(2).split(1)
    y = codec.motion_latent(current, reference)
    p, q = codec.prediction(y, reference), low.prediction(y, reference)
    assert not torch.equal(p, q.float())
    assert (p - q.float()).abs().mean() < 0.02
    assert torch.equal(low.to("cpu", torch.float32).prediction(y, reference), p)
    assert low.fingerprint == codec.fingerprint


@torch.no_grad()
def test_an_unmoved_frame_is_predicted_by_the_reference():
    codec = registry.build(tiny_model("dvc"))
    _, reference = frames(2).split(1)
    codec.flow_head.weight.zero_()
    codec.flow_head.bias.zero_()
    codec.compensation.leave.weight.zero_()
    codec.compensation.leave.bias.zero_()
    y = torch.zeros(1, 8, 4, 8)
    torch.testing.assert_close(codec.prediction(y, reference), reference, atol=1e-5, rtol=0)


@BOTH
def test_each_latent_has_its_skip_index_and_gains(architecture):
    codec = registry.build(tiny_model(architecture))
    assert (codec.motion.default_skip, codec.residual.default_skip) == (0, 2)
    for name in ("motion", "residual"):
        low, high = codec.latent(name).gains(0)[0], codec.latent(name).gains(9 * 256)[0]
        assert (low < high).all()


@BOTH
def test_broken_weights_are_refused(architecture):
    model = tiny_model(architecture)
    names = [name for name in model.tensors if ".entropy_bottleneck." not in name]
    for name in names[:: len(names) // 12]:
        less = {k: v for k, v in model.tensors.items() if k != name}
        with pytest.raises(FormatError):
            registry.build(replace(model, tensors=less))
        other = torch.cat([model.tensors[name]] * 2)
        with pytest.raises(FormatError):
            registry.build(replace(model, tensors={**model.tensors, name: other}))


@BOTH
def test_numbers_that_are_not_finite_are_refused(architecture):
    model = tiny_model(architecture)
    for name in ("motion.g_a.0.weight", "residual.gain", _own(architecture)):
        spoilt = model.tensors[name].clone()
        spoilt.view(-1)[0] = torch.nan
        with pytest.raises(FormatError, match="finite"):
            registry.build(replace(model, tensors={**model.tensors, name: spoilt}))


def _own(architecture: str) -> str:
    return {"dvc": "compensation.leave.weight", "fvc": "frame.1.bias"}[architecture]


@pytest.mark.parametrize("levels", [0, 9])
def test_a_pyramid_of_other_heights_is_refused(levels):
    model = tiny_model("dvc")
    kept = {k: v for k, v in model.tensors.items() if not k.startswith("estimation")}
    level = {k: v for k, v in model.tensors.items() if k.startswith("estimation.levels.0.")}
    for number in range(levels):
        kept |= {k.replace("levels.0", f"levels.{number}"): v for k, v in level.items()}
    with pytest.raises(FormatError, match="pyramid"):
        registry.build(replace(model, tensors=kept))


def test_other_kinds_of_files_are_refused():
    model = tiny_model("dvc")
    for metadata in ({"kind": "base"}, {"architecture": "ssf"}, {"architecture": "x y"}):
        with pytest.raises(FormatError):
            registry.build(ModelFile({**model.metadata, **metadata}, model.tensors))


@pytest.mark.parametrize(("architecture", "parameters"), [("dvc", 12_954_928), ("fvc", 16_863_571)])
def test_real_sizes(architecture, parameters):
    with torch.device("meta"):
        residual = {"dvc": (128, 192), "fvc": (128, 128)}[architecture]
        net = fresh(architecture, Sizes(residual=residual))
    assert sum(p.numel() for p in net.parameters()) == parameters
