"""The names of `import sampan as sp` are what they say, whatever else was imported."""

import importlib

import sampan as sp


def test_a_package_of_the_same_name_does_not_hide_a_function() -> None:
    importlib.import_module("sampan.data.contract")

    assert callable(sp.data)
    assert sp.features is importlib.import_module("sampan.features")
