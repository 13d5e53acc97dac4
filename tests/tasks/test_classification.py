from __future__ import annotations

import json
import math

import numpy as np

from icmhcodec.tasks import classification
from icmhcodec.tasks.classification import Classification

NETWORK = Classification()


def classes(*numbers):
    return np.array(numbers, np.int64)


def test_the_best_five_are_in_order():
    assert classification.best(np.array([0, 3, 1, 9, 2, 8, 3.5])).tolist() == [3, 5, 6, 1, 4]
    assert classification.best(np.array([0, 3.0])).tolist() == [1, 0]


def test_metrics_count_labels_and_agreement():
    observations = [
        NETWORK.observe(classes(1, 2, 3, 4, 5), classes(1, 9, 8, 7, 6), 1),
        NETWORK.observe(classes(1, 2, 3, 4, 5), classes(2, 1, 3, 4, 5), 5),
        NETWORK.observe(classes(1, 2, 3, 4, 5), classes(2, 1, 3, 4, 5), 6),
        NETWORK.observe(classes(1, 2, 3, 4, 5), classes(2, 1, 3, 4, 5), None),
    ]
    expected = {"top1": 100 / 3, "top5": 200 / 3, "agreement": 25}
    assert NETWORK.metric(json.loads(json.dumps(observations))) == expected


def test_without_labels_there_is_agreement_alone():
    observed = NETWORK.observe(classes(1, 2), classes(1, 3), None)
    assert NETWORK.metric([observed]) == {"agreement": 100}
    assert math.isnan(NETWORK.metric([])["agreement"])
