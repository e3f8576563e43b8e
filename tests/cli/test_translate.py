"""`sota-exp translate` with one quoted command or many words, and with flags that are lost."""

import shlex

import pytest

from sota_exp.cli import main


def test_a_quoted_command_is_translated(capsys: pytest.CaptureFixture[str]) -> None:
    line = "torchrun --nproc_per_node=2 train.py --model resnet50 --batch-size 64 --print-freq 7"
    assert main.run_command_line(["translate", line]) == 0
    out, err = capsys.readouterr()
    words = shlex.split(out)
    assert words[:2] == ["sota-exp", "train"]
    assert {"model.arch.name=resnet50", "batch_size=128"} <= set(words)
    assert err == "no counterpart: --print-freq: metrics are written once per epoch\n"
    assert main.run_command_line(["translate", *shlex.split(line)]) == 0
    assert capsys.readouterr().out == out


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
