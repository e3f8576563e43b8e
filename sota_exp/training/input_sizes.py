"""Which image sizes a network reads: transformers are built for one size, others have a smallest one."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from torch import Tensor, nn

from sota_exp.errors import GPU_ERRORS, ConfigError, first_line, is_out_of_memory
from sota_exp.models.cost import read_blank_image
from sota_exp.stages.evaluation import EvaluationView
from sota_exp.stages.model import Model
from sota_exp.stages.stage import InvalidValue
from sota_exp.training.loop import TrainingSession, TrainingState, start_training

#: Usual sizes in pixels, tried in this order to say which one is legal; 75 is Inception's smallest.
USUAL_SIZES = (32, 48, 64, 75, 96, 112, 128, 160, 176, 192, 224, 240, 256, 288, 299, 320, 336, 384, 448, 512)


def require_input_sizes(
    network: nn.Module, views: Sequence[EvaluationView], arch: Model | None = None, train_size: int | None = None
) -> None:
    """Run the network, [B, 3, S, S] → [B, C], on a blank image of every size.

    views: of evaluation, the default first. arch: builds the network, unless its weights are finished. train_size: of
    training crops in pixels.

    Raises:
        ConfigError: the network does not read a size; the message says which key sets it, and what is legal.
    """
    default = views[0].size
    keys = {default: "data.image_size"}
    if train_size is not None:
        keys.setdefault(train_size, "augmentation/train_size")
    keys |= {view.size: "evaluation/resolution" for view in views if view.size not in keys}
    for size, key in keys.items():
        reason = find_reading_error(network, size)
        if not reason:
            continue
        if key != "data.image_size":
            option = "native" if key == "augmentation/train_size" else "fixed"
            legal = f"{key}={option}, which keeps to {default} px"
        else:
            legal = list_legal_sizes(network, arch, size)
        raise ConfigError(f"{key}: the network does not read images of {size} px ({reason}); legal: {legal}")


def start_checked_training(session: TrainingSession) -> TrainingState:
    """The state before the first step of a network that reads all image sizes of its configuration, and gives logits.

    Raises:
        ConfigError: it does not.
    """
    state, experiment = start_training(session), session.experiment
    views = experiment.evaluation.resolution.views()
    require_input_sizes(state.model, views, experiment.model.arch, session.crops.size)
    require_logits(state.model, session.crops.size, len(session.data.classes))
    return state


def require_logits(network: nn.Module, size: int, num_classes: int) -> None:
    """Check that the network gives a logit for each class.

    Raises:
        ConfigError: it gives something else.
    """
    found = read_blank_image(network, size)
    given = list(found.shape) if isinstance(found, Tensor) else type(found).__name__
    if given != [1, num_classes]:
        raise ConfigError(f"model.arch: the network gives {given} for an image; legal: [1, {num_classes}], logits")


def find_reading_error(network: nn.Module, size: int) -> str:
    """Why the network does not read an image of `size` px; "" if it does."""
    try:
        read_blank_image(network, size)
    except (ArithmeticError, AssertionError, IndexError, RuntimeError, ValueError) as error:
        if is_out_of_memory(error) or any(words in str(error) for words in GPU_ERRORS):  # no fault of the size
            raise
        return first_line(error)
    return ""


def list_legal_sizes(network: nn.Module, arch: Model | None, size: int) -> str:
    """What to set instead of `data.image_size=size`, as overrides."""
    found = next((usual for usual in USUAL_SIZES if not find_reading_error(network, usual)), None)
    words = ["another size" if found is None else f"data.image_size={found}"]
    if arch is not None and can_be_built_for(arch, size):
        words.append(f"model.arch.img_size={size}, which builds the network for {size} px")
    return ", or ".join(words)


def can_be_built_for(arch: Any, size: int) -> bool:
    """Whether the architecture has an `img_size`, and a network that is built for it reads images of `size` px."""
    if "img_size" not in vars(arch):
        return False
    try:
        return not find_reading_error(replace(arch, img_size=size)(2), size)
    except (InvalidValue, ArithmeticError, AssertionError, IndexError, RuntimeError, ValueError, TypeError):
        return False
