"""The names that are read from the source are those that the libraries list when they are imported."""

import timm
import torchvision

from sota_exp.models.network_names import list_networks


def test_the_names_are_those_that_the_libraries_list():
    assert list_networks("timm") == set(timm.list_models())
    assert list_networks("torchvision") == set(torchvision.models.list_models(module=torchvision.models))
