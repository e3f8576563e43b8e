"""Imported by the server of tests/forked.py: composes and builds once what most programs do, for its forks."""

from sota_exp.config.rules import check_rules
from tests.composing import compositions_share_their_work
from tests.experiments import OFF, TINY, composed

with compositions_share_their_work():
    for recipe in ((), OFF, ("recipe=torchvision",)):
        configuration = composed(*TINY, *recipe)
        check_rules(configuration)
        assert configuration.experiment
