"""A network that does not read a size of the configuration: the message names the key, and what is legal."""

import pytest
import torch
from torch import nn

from sota_exp.cli import main
from sota_exp.errors import ConfigError, error_to_failure
from sota_exp.stages.evaluation import EvaluationView
from sota_exp.techniques.model.arch.small import SmallNetwork
from sota_exp.techniques.model.arch.timm import TimmNetwork
from sota_exp.techniques.model.arch.torchvision import TorchvisionNetwork
from sota_exp.training.input_sizes import list_legal_sizes, require_input_sizes
from sota_exp.training.listener import Listener, RunRequest
from sota_exp.training.run import run
from tests.experiments import OFF, TINY, composed

SMALL = SmallNetwork(name="resnet_xs", width_multiplier=0.25)
VIT = TimmNetwork(name="vit_tiny_patch16_224", img_size=None)


def views(*sizes: int) -> list[EvaluationView]:
    return [EvaluationView(resize=size, size=size) for size in sizes]


def test_sizes_that_the_network_reads_pass() -> None:
    require_input_sizes(SMALL(4), views(16, 48, 61), SMALL, 24)
    require_input_sizes(VIT(4), views(224), VIT, 224)


@pytest.mark.parametrize(
    ("arch", "sizes", "train_size", "message"),
    [
        (VIT, (96,), 96, r"data.image_size: .* 96 px .*legal: data.image_size=224, or model.arch.img_size=96, which"),
        (VIT, (224,), 128, r"augmentation/train_size: .* 128 px .*legal: augmentation/train_size=native"),
        (VIT, (224, 192), 224, r"evaluation/resolution: .* 192 px .*legal: evaluation/resolution=fixed, .* 224 px"),
        (TorchvisionNetwork(name="inception_v3"), (48,), 48, r"data.image_size: .* 48 px .*legal: data.image_size=75$"),
        (TorchvisionNetwork(name="vit_b_16"), (48,), None, r"data.image_size: .*legal: data.image_size=224$"),
    ],
    ids=["vit", "vit fixres", "vit search", "inception", "torchvision vit"],
)
def test_the_message_names_what_is_legal(arch, sizes, train_size, message) -> None:
    torch.manual_seed(0)
    with pytest.raises(ConfigError, match=message) as error:
        require_input_sizes(arch(4), views(*sizes), arch, train_size)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("error", [ZeroDivisionError("integer modulo by zero"), IndexError("out of range")])
def test_any_error_that_sizes_cause_is_told(monkeypatch, error) -> None:
    """As maxvit_tiny_rw_224 divides by zero when it is built for 20 px."""

    def forward(network: nn.Module, images: torch.Tensor) -> torch.Tensor:
        if images.shape[-1] < 32:
            raise error
        return images.mean((2, 3))

    network = SMALL(4)
    monkeypatch.setattr(type(network), "forward", forward)
    with pytest.raises(ConfigError, match=f"{error}.*legal: data.image_size=32$"):
        require_input_sizes(network, views(20), SMALL)


def test_finished_weights_are_not_built_for_another_size() -> None:
    assert list_legal_sizes(VIT(4), None, 96) == "data.image_size=224"


def test_what_the_message_says_works(tmp_path) -> None:
    tiny = [word for word in TINY if not word.startswith("model.arch")]
    words = [*tiny, *OFF, "model/arch=timm", "model.arch.name=vit_tiny_patch16_224"]
    words += ["schedule.length.epochs=1", "data.image_size=32"]
    request = RunRequest(configuration=composed(*words), directory=tmp_path / "a")
    with pytest.raises(ConfigError, match=r"model.arch.img_size=32"):
        run(request, Listener())
    request = RunRequest(configuration=composed(*words, "model.arch.img_size=32"), directory=tmp_path / "b")
    assert run(request, Listener())["status"] == "finished"


def test_explain_says_the_same_without_a_traceback(capsys) -> None:
    tiny = [word for word in TINY if not word.startswith("model.arch")]
    words = [*tiny, "model/arch=timm", "model.arch.name=vit_tiny_patch16_224", "data.image_size=32"]
    assert main.run_command_line(["explain", *words]) == 2
    assert "legal: data.image_size=224, or model.arch.img_size=32" in capsys.readouterr().err


class BrokenGpu(nn.Module):
    """What PyTorch says where it has no kernels for an old GPU."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(1))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        raise torch.AcceleratorError("CUDA error: no kernel image is available for execution on the device\nmore")


def test_a_gpu_that_fails_is_no_fault_of_the_size() -> None:
    with pytest.raises(RuntimeError, match="no kernel image") as error:
        require_input_sizes(BrokenGpu(), views(16))
    failure = str(error_to_failure(error.value))
    assert failure.startswith("the GPU failed: CUDA error: no kernel image") and "runtime.device=cpu" in failure
