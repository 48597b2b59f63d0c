"""Settings of a target, as a person writes them."""

from __future__ import annotations

import msgspec
import pytest

from sampan.core.settings import read_settings
from sampan.errors import ParameterError


class Crew(msgspec.Struct, frozen=True):
    port: str
    sailors: int = 2
    rowing: bool = False


def test_settings_are_read_as_what_they_are() -> None:
    assert Crew(port="Hue", sailors=3, rowing=True) == read_settings({"port": "Hue", "sailors": "3", "rowing": "true"}, Crew)
    assert Crew(port="Hue") == read_settings({"port": "Hue"}, Crew)


def test_all_faults_of_settings_are_named_at_once() -> None:
    with pytest.raises(ParameterError) as refused:
        read_settings({"sailors": "many", "rowin": "yes"}, Crew)

    assert (
        "port is needed; sailors=many: Expected `int`, got `str`; there is no setting 'rowin', perhaps rowing",
        "there are port, sailors, rowing",
    ) == (refused.value.message, refused.value.hint)
