"""A recipe in the same minutes on one core: the accuracy of ours, and of the loops of torchvision's and timm's scripts.

python -m benchmarks.same_minutes RECIPE DIR FILE SEED …: DIR has folders train, val and test of 32 px images. Ours trains the
recipe as its command does, from the start of the process to the scored weights: it reads all files once into an empty cache,
and `runtime=auto` measures first. The peers get as many steps as fit into the same seconds, by the speed of their own first
steps, which are not counted, and again with more if that left time over: the recipe's network, optimizer, schedule, crops,
smoothing and averaged weights, with the classes that their scripts take, in the precision and the memory layout that ours
chose. Their flips are random, the only ones they have. FILE gets one line a training; what is there is not trained again.
"""

import itertools
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
import yaml
from timm.data import create_loader
from timm.data.dataset import ImageDataset
from timm.loss import LabelSmoothingCrossEntropy
from timm.scheduler import CosineLRScheduler
from timm.utils import ModelEmaV3
from torch import Tensor, nn
from torch.optim.lr_scheduler import CosineAnnealingLR, LinearLR, SequentialLR
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from torch.utils.data import DataLoader
from torchvision.datasets import ImageFolder
from torchvision.transforms import v2

from benchmarks.loops import session_of
from sota_exp.config.overrides import compose_configuration
from sota_exp.techniques.regularization.average.ema import compute_decay

SIZE = 32

#: Steps before a peer's loop is timed, and steps that are timed.
WARM_UP, TIMED = 20, 150

#: Share of our seconds that a peer's training takes at least; one that ended earlier is trained again with more steps.
LEAST_SHARE = 0.95


class Recipe:
    """What all loops train. words: the overrides that name the recipe and its data. runtime: precision and memory layout."""

    def __init__(self, words: tuple[str, ...], runtime: dict[str, Any]) -> None:
        torch.set_num_threads(1)
        self.precision = runtime["precision"]
        self.layout = torch.channels_last if runtime["channels_last"] else torch.contiguous_format
        self.session = session_of(compose_configuration([*words, "runtime.threads=1"]))
        self.experiment = self.session.experiment

    def optimizer(self, model: nn.Module) -> torch.optim.Optimizer:
        """torch's or timm's class, with the decay of the recipe on weights alone."""
        own, groups = self.experiment.optimizer, self.experiment.regularization.weight_decay
        optimizer = own(groups(model, own.weight_decay))
        for group in optimizer.param_groups:
            group["lr"] = group["initial_lr"] = self.session.peak_lr
        return optimizer

    def transform(self, training: bool) -> v2.Compose:
        """What the peers do to an image, of which they read the file in each epoch."""
        pad = round(self.experiment.augmentation.crop.padding_fraction * SIZE)
        mode = self.experiment.augmentation.crop.padding_mode
        crop = v2.RandomCrop(SIZE, padding=pad, padding_mode=mode)
        scaled = [v2.PILToTensor(), v2.ToDtype(torch.float32, scale=True)]
        norm = v2.Normalize(self.session.evaluator.preprocessing.mean, self.session.evaluator.preprocessing.std)
        return v2.Compose([*([crop, v2.RandomHorizontalFlip()] if training else []), *scaled, norm])

    def forward(self, model: nn.Module, images: Tensor) -> Tensor:
        with torch.autocast("cpu", torch.bfloat16, enabled=self.precision == "bf16"):
            return model(images.contiguous(memory_format=self.layout)).float()

    @property
    def folder(self) -> Path:
        return Path(self.experiment.data.root)

    def score(self, model: nn.Module) -> float:
        """Accuracy on the test images."""
        images = ImageFolder(str(self.folder / "test"), self.transform(training=False))
        model.eval()
        with torch.no_grad():
            right = [
                (self.forward(model, batch).argmax(1) == labels).sum().item()
                for batch, labels in DataLoader(images, 500)
            ]
        return sum(right) / len(images)

    def decay(self, steps: int, every: int) -> float:
        """Of an average that is updated `every` steps, with the recipe's mean age."""
        return compute_decay(self.experiment.regularization.average.horizon, every, steps)

    def start(self, steps: int) -> tuple[nn.Module, torch.optim.Optimizer, int]:
        """A new network, its optimizer, and the steps of its warm-up."""
        model = self.session.network().train().to(memory_format=self.layout)
        return model, self.optimizer(model), max(1, round(self.experiment.schedule.warmup.fraction * steps))


def repeat(loader: DataLoader[Any]) -> Iterator[Any]:
    """The batches of one epoch after the other."""
    return itertools.chain.from_iterable(itertools.repeat(loader))


def torchvision_loop(recipe: Recipe, steps: int) -> Iterator[nn.Module]:
    """The averaged network after each step, as references/classification/train.py trains."""
    experiment, every = recipe.experiment, 32
    images = ImageFolder(str(recipe.folder / "train"), recipe.transform(training=True))
    loader = DataLoader(images, experiment.batch_size, shuffle=True, drop_last=True)
    model, optimizer, warm_up = recipe.start(steps)
    ramp = LinearLR(optimizer, experiment.schedule.warmup.start_factor, total_iters=warm_up)
    schedule = SequentialLR(optimizer, [ramp, CosineAnnealingLR(optimizer, steps - warm_up)], [warm_up])
    criterion = nn.CrossEntropyLoss(label_smoothing=find_smoothing(recipe))
    average = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(recipe.decay(steps, every)), use_buffers=True)
    for step, (batch, labels) in enumerate(repeat(loader)):
        loss = criterion(recipe.forward(model, batch), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % every == 0:
            average.update_parameters(model)
            if step < warm_up:
                average.n_averaged.fill_(0)
        loss.item()
        schedule.step()
        yield average.module


def timm_loop(recipe: Recipe, steps: int) -> Iterator[nn.Module]:
    """The averaged network after each step, as timm's train.py trains."""
    experiment = recipe.experiment
    images = ImageDataset(str(recipe.folder / "train"))
    loader = create_loader(
        images,
        (3, SIZE, SIZE),
        experiment.batch_size,
        is_training=True,
        no_aug=True,
        use_prefetcher=False,
        num_workers=0,
    )
    images.transform = recipe.transform(training=True)  # timm has no padded crops
    model, optimizer, warm_up = recipe.start(steps)
    schedule = CosineLRScheduler(
        optimizer,
        t_initial=steps,
        warmup_t=warm_up,
        warmup_lr_init=experiment.schedule.warmup.start_factor * recipe.session.peak_lr,
        t_in_epochs=False,
    )
    criterion = LabelSmoothingCrossEntropy(find_smoothing(recipe))
    average = ModelEmaV3(model, decay=recipe.decay(steps, 1), update_after_step=warm_up)
    for step, (batch, labels) in enumerate(repeat(loader)):
        loss = criterion(recipe.forward(model, batch), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        average.update(model, step)
        schedule.step_update(step + 1)
        yield average.module


PEERS = {"torchvision": torchvision_loop, "timm": timm_loop}


def find_smoothing(recipe: Recipe) -> float:
    """The label smoothing of the recipe, 0 without."""
    return float(vars(recipe.experiment.regularization.smoothing).get("label_smoothing", 0.0))


def train_peer(loop: str, recipe: Recipe, seconds: float) -> dict[str, Any]:
    """As many steps as fit into `seconds`, scoring included."""
    torch.manual_seed(recipe.experiment.seed)
    per_epoch = len(recipe.session.crops.train) // recipe.experiment.batch_size
    trial = PEERS[loop](recipe, WARM_UP + TIMED)
    for _ in range(WARM_UP):
        model = next(trial)
    began = time.perf_counter()
    for _ in range(TIMED):
        next(trial)
    step_seconds = (time.perf_counter() - began) / TIMED
    began = time.perf_counter()
    recipe.score(model)
    steps = int((seconds - (time.perf_counter() - began)) / step_seconds)
    while True:
        torch.manual_seed(recipe.experiment.seed)
        began = time.perf_counter()
        training = PEERS[loop](recipe, steps)
        for _ in range(steps):
            model = next(training)
        accuracy = recipe.score(model)
        used = time.perf_counter() - began
        if used >= LEAST_SHARE * seconds:
            return {"epochs": round(steps / per_epoch, 2), "accuracy": accuracy, "seconds": used}
        steps = int(steps * seconds / used)


def train_ours(words: tuple[str, ...]) -> dict[str, Any]:
    """The recipe's own command, `runtime=auto` and the start of the process included."""
    with tempfile.TemporaryDirectory() as place:
        program = [sys.executable, "-m", "sota_exp", "train", *words, "runtime=auto", f"hydra.run.dir={place}/run"]
        own = {"OMP_NUM_THREADS": "1", "SOTA_EXP_CACHE": f"{place}/cache"}
        began = time.perf_counter()
        subprocess.run(program, check=True, stdout=subprocess.DEVNULL, env=os.environ | own)
        seconds = time.perf_counter() - began
        result = json.loads((Path(place) / "run" / "result.json").read_text())
        runtime = yaml.safe_load((Path(place) / "run" / "config.yaml").read_text())["runtime"]
    chosen = {key: runtime[key] for key in ("precision", "channels_last")}
    return {"accuracy": result["metrics"]["test/accuracy"], "seconds": seconds, "runtime": chosen}


def main(recipe: str, folder: str, file: Path, seeds: list[int]) -> None:
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    done = [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []
    for seed in seeds:
        data = ("data=image_folder", f"data.root={folder}", f"data.image_size={SIZE}")
        words = (f"recipe={recipe}", "scale=full", *data, f"seed={seed}", "tracking=none")
        for loop in ("ours", *PEERS):
            if any((each["loop"], each["seed"]) == (loop, seed) for each in done):
                continue
            if loop == "ours":
                found = train_ours(words)
            else:
                (own,) = [each for each in done if (each["loop"], each["seed"]) == ("ours", seed)]
                found = train_peer(loop, Recipe(words=words, runtime=own["runtime"]), own["seconds"])
            done.append({"loop": loop, "seed": seed, **found})
            with file.open("a") as lines:
                print(json.dumps(done[-1]), file=lines)
            print(done[-1], flush=True)


if __name__ == "__main__":
    name, folder, file, *seeds = sys.argv[1:]
    main(name, str(Path(folder).resolve()), Path(file), list(map(int, seeds)))
