"""Base codecs by the architecture that their file names."""

import pytest

from icmhcodec.codecs.architectures import ARCHITECTURES, build
from icmhcodec.codecs.export import build_base
from icmhcodec.errors import FormatError
from icmhcodec.modelfile import ModelFile
from tests.codecs.compressai_models import random_model, with_compressais_names


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_a_file_makes_the_codec_that_it_names(name):
    state = with_compressais_names(random_model(name).state_dict())
    model = build_base(state, "random", name, {})
    codec = build(model)
    assert type(codec) is ARCHITECTURES[name].codec
    assert codec.entropy.has_means == ARCHITECTURES[name].means


def test_others_are_refused():
    model = ModelFile({"id": "a", "kind": "base", "architecture": "cheng2021"}, {})
    with pytest.raises(FormatError, match="'cheng2021' is not known here; known are mean-scale, "):
        build(model)


def test_a_file_of_another_architecture_than_it_names_is_refused():
    state = with_compressais_names(random_model("cheng2020-anchor").state_dict())
    model = build_base(state, "random", "cheng2020-anchor", {})
    model.metadata["architecture"] = "mean-scale"
    with pytest.raises(FormatError, match="g_a"):
        build(model)
