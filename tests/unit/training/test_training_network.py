"""The encoding: monotone, bounded, fitted on what is there; the ensemble starts at the mean."""

import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

from loopline.components.contract.spec import ModelSpec
from loopline.components.training.network import Ensemble, PiecewiseLinear, Predictor

NAN = float("nan")


def fitted(values, bins=4):
    encoding = PiecewiseLinear(1, bins)
    encoding.fit(torch.tensor(values).reshape(-1, 1))
    return encoding


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(-1e6, 1e6, width=32) | st.just(NAN), min_size=1, max_size=50))
@example([0.0, 1e-44, 2e-44])  # a bin narrower than the smallest number with a finite reciprocal
def test_encoding_is_finite_and_monotone_for_any_training_values(values):
    encoding = fitted(values)
    probes = torch.tensor([-1e30, -5.0, 0.0, 5.0, 1e30, NAN]).reshape(-1, 1)
    encoded = encoding(probes)
    assert torch.isfinite(encoded).all()
    pieces = encoded[:5, :-1]
    assert (pieces.diff(dim=0) >= -1e-6).all()
    assert encoded[:, -1].tolist() == [0, 0, 0, 0, 0, 1]


def test_missing_is_the_mean_row_with_a_flag():
    encoding = fitted([0.0, 1.0, 2.0, 3.0, 4.0])
    assert encoding(torch.tensor([[NAN]]))[0].tolist() == [0, 0, 0, 0, 1]
    assert torch.allclose(encoding(torch.arange(5.0).reshape(-1, 1))[:, :-1].mean(0), torch.zeros(4), atol=1e-6)


def test_column_that_is_all_missing_or_constant_says_nothing():
    for values in ([NAN, NAN], [3.0, 3.0]):
        assert fitted(values)(torch.tensor([[1.0]]))[0, :-1].abs().sum() == 0


def test_untrained_predictor_answers_near_the_mean():
    network = Ensemble(ModelSpec(members=3), 2, [4])
    network.fit(torch.randn(100, 2), torch.tensor(0.25).logit())
    answer = Predictor(network.eval(), "binary_classification", 1, 0)(torch.randn(50, 2), torch.zeros(50, 1).long())
    assert answer.shape == (50, 1)
    assert abs(float(answer.detach().mean()) - 0.25) < 0.15
