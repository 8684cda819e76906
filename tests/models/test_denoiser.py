import pytest
import torch

from ddpm_dp import Prediction


def test_second_output_by_its_name():
    x0, v = torch.zeros(2), torch.ones(2)
    prediction = Prediction(x0, v=v)
    assert prediction.second(None) is None and prediction.second("v") is v
    with pytest.raises(ValueError, match="needs a denoiser with an output u; this one has none"):
        prediction.second("u")
    for wrong in ("typo", "x0", "learned"):
        with pytest.raises(ValueError, match=f"second output = '{wrong}' is not known; expected one of v, u"):
            prediction.second(wrong)
