"""Knowledge distillation: trains the student on the softened outputs of a trained teacher as well as on the labels.

loss_i = (1 − alpha)·loss(z_i, y_i) + alpha·T²·KL(softmax(t_i/T) ‖ softmax(z_i/T)), softmaxes in float32. The teacher
runs in evaluation mode, without gradients, on the same augmented and mixed images as the student, with its own
normalization (and resized to `image_size`, if set). Label smoothing changes y, not t. The weight of a sample, such as
the certainty of a pseudo-label, is a factor of both parts.

Paper: Hinton, Vinyals & Dean 2015, Distilling the Knowledge in a Neural Network, 1503.02531; the same images for both:
Beyer et al. 2021, Knowledge distillation: A good teacher is patient and consistent, 2106.05237
Setting: alpha 0.9, T 4. With mixup, long training and a BiT teacher, ResNet-50 reaches 82.8 % on ImageNet in the second
paper. path: a file if source=file, runs:/RUN_ID if source=mlflow. name null: the network in model.json beside these
weights, or resnet50 for published teachers.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sota_exp.models.load_weights import take_network_keys
from sota_exp.models.memory_format import set_memory_format
from sota_exp.models.network_names import list_networks
from sota_exp.models.saved import build_described_network
from sota_exp.models.weight_files import NO_NORMALIZATION, ChannelMean, ChannelStd, read_weights, replace_mean_and_std
from sota_exp.models.zoo import (
    advised,
    build_by_name,
    build_timm,
    build_torchvision,
    load_timm_weights,
    load_torchvision_weights,
)
from sota_exp.stages.batch import Batch, BatchTransform
from sota_exp.stages.data import Preprocessing
from sota_exp.stages.loss import Distillation, Loss
from sota_exp.stages.model import PublishedWeights
from sota_exp.stages.random import RandomNumbers
from sota_exp.stages.stage import Fraction, InvalidValue, Legal, Pixels, Positive, one_of, require

#: What to do where the published weights of a teacher cannot be fetched.
OFFLINE = "without a connection give them in a file: regularization.distillation.source=file and .path=FILE"

TEACHER_SOURCES = ("torchvision", "timm", "file", "mlflow")
#: Those that need a path.
SOURCES_WITH_PATH = ("file", "mlflow")


def distillation_loss(logits: Tensor, teacher_logits: Tensor, temperature: float) -> Tensor:
    """T²·KL(teacher ‖ student) at temperature T, from logits [B, C] → float32 loss per sample [B]."""
    student = F.log_softmax(logits.float() / temperature, dim=1)
    teacher = F.log_softmax(teacher_logits.float() / temperature, dim=1)
    return temperature**2 * F.kl_div(student, teacher, reduction="none", log_target=True).sum(1)


def renormalize(images: Tensor, old: Preprocessing, new: Preprocessing) -> Tensor:
    """Images [B, 3, H, W] normalized by `old` → the same images normalized by `new`."""
    old_mean, old_std, new_mean, new_std = torch.tensor([old.mean, old.std, new.mean, new.std]).view(4, 1, 3, 1, 1)
    shift, scale = (old_mean - new_mean) / new_std, old_std / new_std
    return torch.addcmul(shift.to(images.device, non_blocking=True), images, scale.to(images.device, non_blocking=True))


@dataclass(frozen=True, kw_only=True)
class TeacherTransform(BatchTransform):
    """Adds the logits of `network` for the images of the batch, resized to `size` pixels unless None.

    order: int64 [C], index of the teacher's output for each class of the student; None if the order is equal.
    """

    network: nn.Module
    order: Tensor | None
    student: Preprocessing
    own: Preprocessing
    size: int | None

    @torch.no_grad()
    def __call__(self, batch: Batch, progress: float, rng: RandomNumbers) -> Batch:
        images = renormalize(batch.images, self.student, self.own)
        if self.size is not None:
            images = F.interpolate(images, size=(self.size, self.size), mode="bilinear", antialias=True)
        logits = self.network(images)
        return replace(batch, teacher_logits=logits if self.order is None else logits.index_select(1, self.order))


@dataclass(frozen=True, kw_only=True)
class DistilledLoss(Loss):
    """(1 − alpha) times the student's own loss plus alpha times the divergence from the teacher."""

    loss: Loss
    alpha: float
    temperature: float

    def __call__(self, logits: Tensor, batch: Batch) -> Tensor:
        divergence = distillation_loss(logits, batch.teacher_logits, self.temperature)
        return (1 - self.alpha) * self.loss(logits, batch) + self.alpha * divergence


@dataclass(frozen=True, kw_only=True)
class LogitDistillation(Distillation):
    source: Annotated[str, one_of(*TEACHER_SOURCES)]
    name: Annotated[
        str | None,
        Legal(
            lambda value, source: value is None or source in SOURCES_WITH_PATH or value in list_networks(source),
            "a network of source={source}",
            lambda: list_networks("torchvision") | list_networks("timm"),
        ),
    ]
    tag: str
    path: Annotated[
        str | None,
        Legal(
            lambda value, source: (
                (value and ("mlflow" if value.startswith("runs:/") else "file"))
                == (source if source in SOURCES_WITH_PATH else None)
            ),
            "a file if source=file, runs:/ and the id of a run if source=mlflow, else null; here source={source}",
        ),
    ]
    store: str | None
    alpha: Fraction
    temperature: Positive
    image_size: Pixels | None
    mean: ChannelMean | None
    std: ChannelStd | None

    @property
    def published_name(self) -> str:
        """Name of the teacher, for published weights."""
        return self.name or "resnet50"

    def load_published(self, student: Preprocessing) -> PublishedWeights:
        """The teacher's weights and preprocessing: `mean` and `std` if set, else the weights', else the student's."""
        with advised(OFFLINE):
            if self.source == "torchvision":
                published = load_torchvision_weights(self.published_name, self.tag)
            elif self.source == "timm":
                published = load_timm_weights(self.published_name, self.tag, None)
            else:
                published = read_weights(str(self.path), self.store, "", student)
        return replace(published, preprocessing=replace_mean_and_std(self.mean, self.std, published.preprocessing))

    def content_hash(self) -> str:
        return self.load_published(NO_NORMALIZATION).content_hash

    def network(self, num_classes: int, description: dict[str, Any]) -> nn.Module:
        """The untrained teacher: a published network, that of `description` (a `model.json`), or any network by name.

        Raises:
            InvalidValue: `name` is missing, or differs from that in `description`.
        """
        if self.source == "torchvision":
            return build_torchvision(self.published_name, num_classes)
        if self.source == "timm":
            return build_timm(self.published_name, num_classes, None)
        if not description:
            legal = f"the name of the network in {self.path}, which has no model.json beside it"
            require(self.name is not None, "name", "null", legal)
            return build_by_name(str(self.name), num_classes)
        own = description["arch"].get("name")
        legal = f"null, or {own} as in the model.json beside the weights"
        require(self.name in (None, own), "name", self.name, legal)
        return build_described_network(description)

    def order(self, classes: Sequence[str], description: dict[str, Any]) -> list[int] | None:
        """Indices of the student's classes among those of the teacher; None if the order is equal.

        Raises:
            InvalidValue: the classes differ.
        """
        own = list(description.get("classes", classes))
        not_shared = sorted({*own} ^ {*classes})
        legal = f"a teacher with the same classes; only one of the two networks has {', '.join(not_shared[:3])}"
        require(not not_shared, "path", self.path, legal)
        return None if own == list(classes) else [own.index(name) for name in classes]

    def build_teacher(
        self, classes: Sequence[str], preprocessing: Preprocessing, device: torch.device
    ) -> BatchTransform:
        published = self.load_published(preprocessing)
        order = self.order(classes, published.description)
        network = self.network(len(classes), published.description)
        try:
            network.load_state_dict(take_network_keys(network, published.state, "path", str(self.path)))
        except RuntimeError as error:
            reason = str(error).splitlines()[1].strip()
            legal = f"a teacher whose weights fit and which has {len(classes)} classes ({reason})"
            raise InvalidValue("name", self.name or "null", legal) from error
        network = set_memory_format(network.requires_grad_(False).eval().to(device), torch.channels_last)
        return TeacherTransform(
            network=network,
            order=None if order is None else torch.tensor(order, device=device),
            student=preprocessing,
            own=published.preprocessing,
            size=self.image_size,
        )

    def wrap(self, loss: Loss) -> Loss:
        return DistilledLoss(loss=loss, alpha=self.alpha, temperature=self.temperature)
