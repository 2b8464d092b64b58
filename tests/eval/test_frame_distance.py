"""Distances between frames against scipy's."""

import numpy as np
import pytest
from scipy.spatial.distance import cdist

from audiovq.errors import ConfigError, NonFiniteError
from audiovq.eval import frame_distance as module
from audiovq.eval.frame_distance import frame_distance, number_frames


def every(distance, number):
    index = np.arange(number)[:, None]
    return distance.pairwise(index, index)[..., 0] * distance.grid


@pytest.mark.parametrize("table", [0, 2048])
def test_vectors_against_scipy(table, monkeypatch):
    monkeypatch.setattr(module, "TABLE", table)
    vectors = np.random.default_rng(0).normal(size=(60, 12)) + 3
    _, different = number_frames([vectors])
    ours = every(frame_distance("euclidean", different), 60)
    assert np.abs(ours - cdist(different, different)).max() < 1e-7
    ours = every(frame_distance("angular", different), 60)
    cosine = np.clip(1 - cdist(different, different, "cosine"), -1, 1)
    assert np.abs(ours - np.arccos(cosine) / np.pi).max() < 1e-7
    assert not ours.diagonal().any()  # equal vectors, exactly
    assert np.array_equal(ours, ours.T)


def test_known_angles():
    _, vectors = number_frames([np.array([[0.0, 0], [1, 0], [2, 0], [0, 3], [-1, 0], [1, 1]])])
    order = {tuple(v): i for i, v in enumerate(vectors.tolist())}
    far = every(frame_distance("angular", vectors), 6)

    def angle(a, b):
        return far[order[a], order[b]]

    assert angle((1, 0), (2, 0)) == pytest.approx(0, abs=1e-7)
    assert angle((1, 0), (0, 3)) == pytest.approx(0.5)
    assert angle((1, 0), (-1, 0)) == pytest.approx(1)
    assert angle((1, 0), (1, 1)) == pytest.approx(0.25)
    assert angle((0, 0), (1, 0)) == 0.5  # zero is at 1/2 from all, by definition
    assert angle((0, 0), (0, 0)) == 0


def test_equal_frames_have_equal_numbers():
    numbers, vectors = number_frames(
        [np.array([[1.0, -0.0], [2, 2]]), np.array([[1.0, 0.0], [3, 3], [2, 2]])]
    )
    assert numbers[0] == numbers[2]
    assert numbers[1] == numbers[4]
    assert len(vectors) == 3
    numbers, vectors = number_frames([np.array([4, 0, 4])])
    assert (numbers.tolist(), vectors) == ([4, 0, 4], None)
    # ids whose vectors are equal are the same frame
    numbers, _ = number_frames([np.array([0, 1, 2])], np.array([[1.0], [2], [1]]))
    assert numbers[0] == numbers[2] != numbers[1]


def test_refused():
    with pytest.raises(ConfigError, match="reach from 0 to 7"):
        number_frames([np.array([0, 7])], np.zeros((7, 2)))
    with pytest.raises(ConfigError, match="vectors already"):
        number_frames([np.zeros((2, 2))], np.zeros((7, 2)))
    with pytest.raises(NonFiniteError, match="vector 1 of 2"):
        number_frames([np.array([[0.0], [np.nan]])])
    with pytest.raises(ConfigError, match="accepted: identity"):
        frame_distance("cosine", None)
    with pytest.raises(ConfigError, match="needs vectors"):
        frame_distance("angular", None)
