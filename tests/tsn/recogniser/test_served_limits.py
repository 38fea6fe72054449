"""The limits of a served recogniser, as its environment says."""

import pytest

from tsn.recogniser.served_limits import DEFAULT_SECONDS, served_limits
from tsn.streams.limits import DEFAULT_LIMITS, Limits


def test_variables_set_them() -> None:
    assert served_limits({"TSN_SERVE_PIXELS": ""}).video == DEFAULT_LIMITS
    assert served_limits({}).seconds == DEFAULT_SECONDS
    found = served_limits({"TSN_SERVE_PIXELS": "9", "TSN_SERVE_SECONDS": "0.5"})
    assert (found.video, found.seconds) == (Limits(pixels=9), 0.5)


@pytest.mark.parametrize("text", ["many", "0", "-1", "nan", "inf"])
def test_what_is_no_number_above_0_is_named(text: str) -> None:
    with pytest.raises(ValueError, match=f"TSN_SERVE_FRAMES is a number above 0, not '{text}'"):
        served_limits({"TSN_SERVE_FRAMES": text})
