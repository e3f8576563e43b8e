"""A network that Python hands in is trained as it is, and what a run records of it is honest."""

from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

import sota_exp
from sota_exp.cli.python.objects import digest_network
from sota_exp.cli.rerun import main as rerun
from sota_exp.errors import ConfigError
from sota_exp.report.run.page import write_run_report
from sota_exp.stages import handed_in
from sota_exp.stages.stage import InvalidValue
from sota_exp.techniques.model.arch.python import PythonNetwork
from sota_exp.tracking.mlflow_note import format_run_note
from tests.experiments import TINY
from tests.handed_in import Colours, Tiny

WORDS = [word for word in (*TINY, "scale=smoke", "recipe=baseline") if not word.startswith(("data", "model.arch"))]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("objects")


@pytest.fixture(autouse=True)
def inside(folder, monkeypatch):
    monkeypatch.chdir(folder)


@pytest.fixture(scope="module")
def trained(folder):
    """A run of a network and a data set, and the network."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        network = Tiny()
        return sota_exp.train(*WORDS, model=network, data=Colours(), quiet=True), network


def test_the_run_says_what_it_was(trained):
    run, network = trained
    assert run.status == "finished"
    assert (run.choices["model/arch"], run.choices["data"]) == ("python", "python")
    arch, data = run.values["model"]["arch"], run.values["data"]
    weights = sum(each.numel() for each in network.parameters())
    assert arch == {"_option_": "python", "name": "Tiny", "num_parameters": weights, "digest": digest_network(network)}
    assert data["name"] == "Colours" and data["image_size"] == 24
    assert run.saved.data_digest == data["digest"]
    assert torch.equal(network[0].weight, Tiny()[0].weight), "the network itself is not trained"
    assert "the run can't be repeated from its files" in (run.directory / "run.log").read_text()


def test_the_same_objects_are_the_same_run_and_others_are_not(trained):
    run, _ = trained
    assert sota_exp.train(*WORDS, model=Tiny(), data=Colours(), quiet=True).directory == run.directory
    other = Tiny()
    nn.init.zeros_(other[-1].bias)
    assert sota_exp.train(*WORDS, model=other, data=Colours(), quiet=True).directory != run.directory


def test_this_process_predicts_and_evaluates(trained):
    run, _ = trained
    images = [Colours()[index][0] for index in range(4)]
    found = sota_exp.predict(run.model, images)
    assert found.classes == Colours.classes
    assert (found.probabilities == sota_exp.predict(run, images).probabilities).all()
    assert sota_exp.evaluate(run, quiet=True).metrics.accuracy["test"] == run.metrics.accuracy["test"]


def test_another_process_says_why_it_cannot_and_what_to_do(trained, monkeypatch):
    run, network = trained
    monkeypatch.setattr(handed_in, "_objects", {})
    says = "model/arch=python: Tiny was handed in from Python, which this process does not have; its weights are in"
    for ask in (
        lambda: sota_exp.predict(str(run.directory), Colours()[0][0]),
        lambda: sota_exp.evaluate(run),
        lambda: rerun([str(run.directory), "seed=1"]),
    ):
        with pytest.raises(ConfigError, match=says) as caught:
            ask()
        assert "\n" not in str(caught.value)
    assert not list(run.directory.parent.glob("*-rerun-*")), "nothing is left of what could not start"
    network.load_state_dict(load_file(run.directory / "model.safetensors"))


def test_page_and_note_promise_no_command_for_a_network(trained):
    run, _ = trained
    page, note = write_run_report(run.directory).paths[1].read_text(), format_run_note(run.saved)
    for text in (page, note):
        assert "The network and the data set were handed in from Python" in text
        assert "no command repeats this run from its files" in text
        assert "sota-exp train " not in text and "sota-exp rerun" not in text
    choices = run.saved.choices | {"model/arch": "small"}
    note = format_run_note(replace(run.saved, result=run.saved.result | {"choices": choices}))
    assert "sota-exp train" in note and "commands find it as long as the cache has its images" in note


def test_wrong_objects_are_told():
    with pytest.raises(ConfigError, match=r"model: str is no module; legal: a torch.nn.Module, float \[B, 3, H, W\]"):
        sota_exp.train(*WORDS, model="resnet18")
    with pytest.raises(
        ConfigError, match=r"model.arch: the network gives \[1, 3\] for an image; legal: \[1, 4\], logits"
    ):
        sota_exp.train(*WORDS, model=Tiny(3), data=Colours(), quiet=True)


CHANGES = {
    "a weight": lambda network: nn.init.zeros_(network[-1].bias),
    "a buffer": lambda network: network[1].running_mean.add_(1),
    "a layer without weights": lambda network: network.__setitem__(2, nn.GELU()),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_the_digest_knows_every_change(change):
    network = Tiny()
    assert digest_network(network) == digest_network(Tiny())
    change(network)
    assert digest_network(network) != digest_network(Tiny())


def test_nobody_published_weights():
    with pytest.raises(InvalidValue, match="nobody published"):
        PythonNetwork(name="Tiny", num_parameters=1, digest="x").load_published("")
