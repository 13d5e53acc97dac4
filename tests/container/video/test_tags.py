import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from icmhcodec.container import Chunk
from icmhcodec.container.video import pack_tags, unpack_tags
from icmhcodec.errors import FormatError

words = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20)


@given(st.dictionaries(words, words, max_size=5))
def test_round_trip(tags: dict[str, str]) -> None:
    assert unpack_tags(pack_tags(tags)) == tags


def test_a_tag_without_its_text() -> None:
    with pytest.raises(FormatError, match="without its text"):
        unpack_tags(Chunk("tAGs", zlib.compress(b"a\0b\0c")))
    assert unpack_tags(pack_tags({"a\0": "b\0c"})) == {"a": "bc"}
