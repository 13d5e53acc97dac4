from __future__ import annotations

import sys

import numpy as np
import pytest
import torch

from icmhcodec.errors import MissingWeightsError, UsageError
from icmhcodec.tasks import yolox


def letterbox(picture):
    return yolox.INPUT.tensor(picture)[0].numpy()


def test_it_has_the_published_parameters(network):
    assert sum(p.numel() for p in network.parameters()) == 904_463
    assert not network.training
    assert not any(p.requires_grad for p in network.parameters())


def noise_batch(_):
    return np.random.default_rng(0).uniform(0, 255, (2, 3, 416, 416)).astype(np.float32)


def photo_batch(photo):
    return np.stack([letterbox(photo(seed=1)), letterbox(photo(416, 300, seed=2))])


# On photos float32 rounding moves box offsets (in strides) by up to 6e-4 between two runtimes:
# onnxruntime itself is 3e-4 from this network in float64. Scores and noise stay within 1e-4.
@pytest.mark.parametrize(("batch", "boxes"), [(noise_batch, 1e-4), (photo_batch, 1e-3)])
def test_a_batch_equals_onnxruntime_picture_by_picture(network, network_file, photo, batch, boxes):
    ort = pytest.importorskip("onnxruntime")
    x = batch(photo)
    with torch.inference_mode():
        ours = network(torch.from_numpy(x)).numpy()
    session = ort.InferenceSession(str(network_file), providers=["CPUExecutionProvider"])
    expected = np.concatenate([session.run(None, {"images": one[None]})[0] for one in x])
    np.testing.assert_allclose(ours[..., :4], expected[..., :4], rtol=0, atol=boxes)
    np.testing.assert_allclose(ours[..., 4:], expected[..., 4:], rtol=0, atol=1e-4)


def test_a_batch_of_two_equals_two_of_one(network, photo):
    x = torch.from_numpy(photo_batch(photo))
    with torch.inference_mode():
        both, single = network(x), torch.cat([network(one[None]) for one in x])
    np.testing.assert_allclose(both, single, rtol=0, atol=1e-4)


def test_features_are_the_neck_at_three_strides(network):
    x = torch.rand(2, 3, 256, 192)
    shapes = [tuple(f.shape) for f in network.features(x)]
    assert shapes == [(2, 64, 32, 24), (2, 128, 16, 12), (2, 256, 8, 6)]


def test_features_and_heads_give_the_output(network):
    x = torch.rand(1, 3, 64, 64)
    with torch.inference_mode():
        heads = [h(f).flatten(2) for h, f in zip(network.heads, network.features(x), strict=True)]
        expected = network(x.flip(1) * 255)
    assert torch.equal(torch.cat(heads, 2).transpose(1, 2), expected)


def test_features_need_multiples_of_32(network):
    with pytest.raises(UsageError, match="multiples of 32: 100x64"):
        network.features(torch.rand(1, 3, 64, 100))


def test_gradients_reach_every_colour_of_the_picture(network, photo, as_tensor):
    x = as_tensor(photo(64, 64)).requires_grad_()
    sum(f.square().mean() for f in network.features(x)).backward()
    assert (x.grad.abs().amax((0, 2, 3)) > 0).all()
    assert x.grad.isfinite().all()


@pytest.mark.parametrize("size", [(300, 451), (451, 300), (100, 80), (416, 416), (600, 4)])
def test_preprocess_equals_the_pillow_path(network, photo, as_tensor, size):
    picture = photo(*size)
    ours, pillow = network.preprocess(as_tensor(picture))[0], letterbox(picture)
    assert pillow.shape == (3, 416, 416)
    # Pillow rounds to integers after each direction
    np.testing.assert_allclose(ours.numpy(), pillow, rtol=0, atol=1.1)


def test_letterbox_is_blue_first_top_left_on_grey():
    picture = np.zeros((208, 416, 3), np.uint8)
    picture[..., 2] = 200
    square = letterbox(picture)
    assert (square[0, :208] == 200).all()
    assert (square[1:, :208] == 0).all()
    assert (square[:, 208:] == 114).all()


def test_preprocess_is_differentiable(network, photo, as_tensor):
    x = as_tensor(photo(100, 80)).requires_grad_()
    network.preprocess(x).sum().backward()
    assert (x.grad > 0).all()


def raw(*objects):
    """Raw output with (index, x, y, log w, log h, objectness, {class: score}) set."""
    output = np.zeros((3549, 85), np.float32)
    for index, *box, objectness, classes in objects:
        output[index, :5] = *box, objectness
        for number, score in classes.items():
            output[index, 5 + number] = score
    return output


def test_select_decodes_boxes_and_scales_them_to_the_picture():
    # stride 16 starts at 52 * 52; row 2, column 3 there
    output = raw((2704 + 2 * 26 + 3, 0.5, 0.25, np.log(2), np.log(3), 0.5, {2: 0.8}))
    found = yolox.select(output, 832, 832)
    np.testing.assert_allclose(found.boxes, [[80, 24, 144, 120]], rtol=1e-5)
    np.testing.assert_allclose(found.scores, [0.4])
    assert found.classes.tolist() == [3]


def test_select_keeps_several_classes_of_a_place_but_no_low_scores():
    output = raw((60, 0, 0, 1, 1, 1.0, {0: 0.5, 79: 0.7, 5: 0.0099}))
    found = yolox.select(output, 416, 416)
    assert found.classes.tolist() == [90, 1]


def test_select_clips_to_the_picture_and_bears_huge_boxes():
    found = yolox.select(raw((60, 0, 0, 1e6, 1e6, 1.0, {0: 1.0})), 200, 416)
    assert found.boxes.tolist() == [[0, 0, 416, 200]]


def test_select_gives_at_most_100_best_first():
    objects = [(i * 3, 0, 0, -3, -3, 1.0, {0: 0.1 + i / 1000}) for i in range(150)]
    found = yolox.select(raw(*objects), 416, 416)
    assert len(found.scores) == 100
    assert (np.diff(found.scores) <= 0).all()
    assert found.scores[0] == pytest.approx(0.249)


def test_predict_agrees_with_the_forward_pass(network, photo, as_tensor):
    picture = photo(200, 320)
    found = network.predict(picture)
    with torch.inference_mode():
        output = network(network.preprocess(as_tensor(picture)))[0].numpy()
    # the two letterboxes differ by rounding, so only the strongest score is compared
    best = (output[:, 4:5] * output[:, 5:]).max()
    assert found.boxes.shape == (len(found.scores), 4)
    assert found.scores.max(initial=0.0) == pytest.approx(best, abs=0.02)
    assert (found.boxes[:, 2] <= 320).all()
    assert (found.boxes[:, 3] <= 200).all()


def test_boxes_are_given_in_the_originals_pixels(network, photo):
    picture = photo(120, 160)
    found, enlarged = network.predict(picture), network.predict(picture, (320, 480))
    assert len(found.boxes)
    np.testing.assert_allclose(enlarged.boxes, found.boxes * [2, 4, 2, 4], rtol=1e-6)


def test_loading_without_onnx_says_what_to_install(network_file, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(MissingWeightsError, match=r"icmhcodec\[tasks\]"):
        yolox.load_yolox(network_file)
