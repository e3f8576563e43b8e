"""`sota-exp translate` with one quoted command or many words, and with flags that are lost."""

import shlex

import pytest

from sota_exp.cli import main
from tests.config.translate.test_from_torchvision import PUBLISHED


def test_a_quoted_command_is_translated(capsys: pytest.CaptureFixture[str]) -> None:
    line = "torchrun --nproc_per_node=2 train.py --model resnet50 --batch-size 64 --print-freq 7"
    assert main.run_command_line(["translate", line]) == 0
    out, err = capsys.readouterr()
    words = shlex.split(out)
    assert words[:2] == ["sota-exp", "train"]
    assert {"model.arch.name=resnet50", "batch_size=128"} <= set(words)
    first, *to_do = err.splitlines()
    assert first == "no counterpart: --print-freq: metrics are written once per epoch"
    assert "`torchrun --nproc_per_node=2 -m sota_exp train …`" in to_do[0] and "--data-path is missing" in to_do[1]
    assert main.run_command_line(["translate", *shlex.split(line)]) == 0
    assert capsys.readouterr().out == out


def test_every_word_of_a_command_is_translated_or_listed(capsys: pytest.CaptureFixture[str]) -> None:
    line = "train.py --data-path . --amp --workers 16 --device cuda --print-freq 10 --start-epoch 0 --batch-size 64"
    assert main.run_command_line(["translate", line]) == 0
    out, err = capsys.readouterr()
    words = {"runtime.precision=fp16", "runtime.workers=16", "runtime.device=cuda", "batch_size=64", "data.root=."}
    assert words <= set(shlex.split(out))
    assert [each.split(":")[1] for each in err.splitlines()] == [" --print-freq", " --start-epoch"]


def test_the_shortest_command_keeps_what_is_no_technique(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run_command_line(["translate", *PUBLISHED, "--workers", "8", "--amp", "--data-path", "."]) == 0
    words = shlex.split(capsys.readouterr().out)
    assert "recipe=torchvision_exact" in words
    assert {"runtime.workers=8", "runtime.precision=fp16", "data=image_folder", "data.root=."} <= set(words)


@pytest.mark.parametrize(
    "arguments",
    [["train.py --modle resnet50"], ["torchrun --nproc_per_node=0 train.py"], ["--reverse", "seed=1"]],
)
def test_mistakes_end_with_status_2_and_one_line(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run_command_line(["translate", *arguments]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_without_a_command_the_usage_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run_command_line(["translate"]) == 2
    assert "translate needs WORD: sota-exp translate WORD …" in capsys.readouterr().err
