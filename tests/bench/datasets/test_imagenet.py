from __future__ import annotations

import pytest

from icmhcodec.bench import datasets
from icmhcodec.bench.datasets import imagenet
from icmhcodec.errors import UsageError
from tests.bench.datasets.trees import picture


def labels(folder):
    return {s.name: s.truths["cls"] for s in datasets.recognise(folder, task="cls").samples}


def test_the_wordnet_ids_are_imagenets():
    ids = imagenet.wordnet_ids()
    assert len(set(ids)) == 1000
    assert list(ids) == sorted(ids)  # the order that defines the class indexes
    known = {0: "n01440764", 207: "n02099601", 388: "n02510455", 999: "n15075141"}
    assert {k: ids[k] for k in known} == known


def test_a_csv_gives_labels(tmp_path):
    for name in ("a.png", "b.png", "unlisted.png"):
        picture(tmp_path / "images" / name)
    rows = "author,File,label\nx,a.png,388\nx,b.png,n01440764\nx,absent.png,3\n"
    (tmp_path / "labels.csv").write_text(rows)
    assert labels(tmp_path) == {"a.png": 388, "b.png": 0}
    assert datasets.recognise(tmp_path).layout == "labels"


def test_a_csv_that_cannot_be_used_says_why(tmp_path):
    picture(tmp_path / "a.png")
    table = tmp_path / "labels.csv"
    table.write_text("file,label\na.png,dog\n")
    with pytest.raises(UsageError, match="label 'dog' is neither"):
        datasets.recognise(tmp_path)
    table.write_text("file,label\nother.png,1\n")
    with pytest.raises(UsageError, match="none of the files"):
        datasets.recognise(tmp_path)
    table.write_text("name,size\na.png,1\n")
    assert datasets.recognise(tmp_path).layout == "plain"


def test_a_csv_may_have_a_byte_order_mark_but_no_other_coding(tmp_path):
    picture(tmp_path / "a.png")
    table = tmp_path / "labels.csv"
    table.write_text("file,label\na.png,7\n", encoding="utf-8-sig")
    assert labels(tmp_path) == {"a.png": 7}
    for content in (b"file,label,by\na.png,7,Andr\xe9\n", b'file,label\n"a' + b"x" * 200_000):
        table.write_bytes(content)
        with pytest.raises(UsageError, match=r"labels\.csv: not a CSV in UTF-8"):
            labels(tmp_path)


def test_folders_named_by_wordnet_ids(tmp_path):
    for name in ("n02510455", "n01440764"):
        picture(tmp_path / name / "x.JPEG")
    assert labels(tmp_path) == {"n01440764/x.JPEG": 0, "n02510455/x.JPEG": 388}


def test_folders_listed_in_classes_txt(tmp_path):
    for name in ("zebra", "ant"):
        picture(tmp_path / name / "x.png")
    (tmp_path / "classes.txt").write_text("zebra\nbee\nant\n")
    assert labels(tmp_path) == {"ant/x.png": 2, "zebra/x.png": 0}
    (tmp_path / "classes.txt").write_text("zebra\n")
    with pytest.raises(UsageError, match="does not name the folder ant"):
        labels(tmp_path)


def test_a_thousand_folders_count_in_order(tmp_path):
    data = picture(tmp_path / "x.png", 1, 1).read_bytes()
    (tmp_path / "x.png").unlink()
    for number in range(1000):
        (tmp_path / str(number)).mkdir()
        (tmp_path / str(number) / "x.png").write_bytes(data)
    found = labels(tmp_path)
    assert found["9/x.png"] == 9
    assert found["10/x.png"] == 10


def test_an_unknown_order_is_an_error_for_classification_alone(tmp_path):
    for name in ("cats", "dogs"):
        picture(tmp_path / name / "x.png")
    assert datasets.recognise(tmp_path).layout == "plain"
    with pytest.raises(UsageError, match=r"classes\.txt"):
        labels(tmp_path)
