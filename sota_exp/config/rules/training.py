"""Rules about the training: learning rate, length, stopping, accumulation, averages, decay."""

from sota_exp.config.configuration import Configuration
from sota_exp.config.rules.conditions import (
    Rule,
    chosen,
    either,
    every,
    negated,
    number,
    numbers,
    on,
    rank_batch,
    value,
)

ADAPTIVE = chosen("optimizer", "adam", "adamw", "lamb", "lion", "muon", "rmsprop")
STOPPING, EMA, SWA = (
    chosen("schedule/early_stopping", "patience"),
    *(chosen("regularization/average", name) for name in ("ema", "swa")),
)
EPOCHS, PATIENCE, HORIZON = (
    "schedule.length.epochs",
    "schedule.early_stopping.patience",
    "regularization.average.horizon",
)


def _num_steps(run: Configuration) -> float | None:
    """The most optimizer steps that a training on `scale.train_images` images has; None where all images are used."""
    images, batch, epochs = (number(path)(run) for path in ("scale.train_images", "batch_size", EPOCHS))
    return None if images is None or not batch or epochs is None else images // batch * epochs


def _first_cycle_is_short(num_cycles: float, cycle_mult: float, epochs: float) -> bool:
    """Whether the first of the cycles, which takes 1 / Σ cycle_mult^i of training, is shorter than an epoch."""
    total, length = 0.0, 1.0
    for _ in range(int(min(num_cycles, epochs + 1))):
        total, length = total + length, length * cycle_mult
        if total > epochs:
            return True
    return False


OF_TRAINING = (
    Rule(
        name="warm-up as long as training",
        level="error",
        fires=every(on("schedule/warmup"), value("schedule.warmup.fraction", lambda share: share >= 1)),
        reason="schedule.warmup.fraction is the share of training that is warm-up; at 1 or more nothing is left to train",
        mend="a fraction below 1, such as 0.05",
        source="Goyal et al. 2017, arXiv:1706.02677: 5 of 90 epochs",
    ),
    Rule(
        name="one-cycle with a warm-up",
        level="error",
        fires=every(chosen("schedule/lr", "one_cycle"), on("schedule/warmup")),
        reason="schedule/lr=one_cycle has its own warm-up; a second one before it is neither policy",
        mend="schedule/warmup=none",
        source="Smith & Topin 2017, arXiv:1708.07120",
    ),
    Rule(
        name="warm-up within one stair",
        level="warning",
        fires=every(
            chosen("schedule/stepping", "epoch"),
            on("schedule/warmup"),
            numbers(lambda share, epochs: 0 < share * epochs <= 1, "schedule.warmup.fraction", EPOCHS),
        ),
        reason="with schedule/stepping=epoch a warm-up of at most an epoch is one stair: the whole first epoch trains at its"
        " least learning rate",
        mend="schedule/stepping=step, or a warm-up of several epochs",
        source="torchvision's reference, whose warm-up has 5 stairs",
    ),
    Rule(
        name="restarts within one stair",
        level="warning",
        fires=every(
            chosen("schedule/lr", "cosine_restarts"),
            chosen("schedule/stepping", "epoch"),
            numbers(
                _first_cycle_is_short,
                "schedule.lr.num_cycles",
                "schedule.lr.cycle_mult",
                EPOCHS,
            ),
        ),
        reason="with schedule/stepping=epoch the first cycle of the restarts is shorter than an epoch, which is one stair",
        mend="schedule/stepping=step, fewer schedule.lr.num_cycles or more epochs",
        source="Loshchilov & Hutter 2016, arXiv:1608.03983: cycles of 1, 10 and 50 epochs",
    ),
    Rule(
        name="restarts of one cycle",
        level="warning",
        fires=every(chosen("schedule/lr", "cosine_restarts"), value("schedule.lr.num_cycles", lambda cycles: cycles == 1)),
        reason="schedule.lr.num_cycles=1 never restarts: it is schedule/lr=cosine",
        mend="two cycles or more, or schedule/lr=cosine",
        source="Loshchilov & Hutter 2016, arXiv:1608.03983",
    ),
    Rule(
        name="early stopping under an annealed schedule",
        level="warning",
        fires=every(STOPPING, chosen("schedule/lr", "cosine", "cosine_restarts", "exponential", "one_cycle")),
        reason="a schedule that is cut short was never annealed: its weights are worse than those of a shorter one",
        mend="schedule/lr=step or constant, or a shorter schedule.length.epochs",
        source="Loshchilov & Hutter 2016, arXiv:1608.03983",
    ),
    Rule(
        name="patience as long as training",
        level="warning",
        fires=every(STOPPING, numbers(lambda patience, epochs: patience > epochs - 2, PATIENCE, EPOCHS)),
        reason="schedule.early_stopping.patience is not shorter than training: the first epoch is a gain, and stopping at the"
        " last is none",
        mend="a smaller patience, or schedule/early_stopping=none",
        source="Prechelt 1998, Early Stopping – But When?",
    ),
    Rule(
        name="early stopping that ships the last epoch",
        level="warning",
        fires=every(STOPPING, value("evaluation.select", lambda select: select == "last")),
        reason="evaluation.select=last ships the weights of the epoch that made training stop, patience epochs after the best",
        mend="evaluation.select=best",
        source="Prechelt 1998, Early Stopping – But When?",
    ),
    Rule(
        name="early stopping before the second stage",
        level="warning",
        fires=every(
            STOPPING,
            either(
                numbers(lambda patience, share, epochs: patience <= share * epochs, PATIENCE, "model.tuning.fraction", EPOCHS),
                numbers(lambda patience, share, epochs: patience <= share * epochs, PATIENCE, "supervision.labels_only", EPOCHS),
                every(SWA, numbers(lambda patience, share, epochs: patience <= share * epochs, PATIENCE,
                                   "regularization.average.start", EPOCHS)),
            ),
        ),
        reason="patience may run out in the first stage, before model/tuning=gradual frees the network, before labels propagate"
        " or before SWA begins",
        mend="a patience longer than the first stage, or schedule/early_stopping=none",
        source="Prechelt 1998, Early Stopping – But When?",
    ),
    Rule(
        name="micro-batch as large as the batch",
        level="warning",
        fires=numbers(lambda micro, batch: micro >= batch, "schedule.accumulation.micro_batch_size", rank_batch),
        reason="schedule.accumulation.micro_batch_size is not below a process's share of batch_size, so nothing is accumulated",
        mend="a larger batch_size or a smaller micro_batch_size",
        source="this project",
    ),
    Rule(
        name="long EMA horizon",
        level="warning",
        fires=every(EMA, value(HORIZON, lambda horizon: horizon > 0.5)),
        reason="an average over more than half of training keeps its first weights in it",
        mend="regularization.average.horizon near 0.04",
        source="torchvision's rule gives 3.9 % of training on ImageNet, and 100 % on 50,000 images",
    ),
    Rule(
        name="EMA shorter than a step",
        level="warning",
        fires=every(
            EMA,
            negated(chosen("scale", "smoke")),  # Whose numbers mean nothing: every recipe would be warned of.
            numbers(lambda horizon, steps: horizon * steps < 1, HORIZON, _num_steps),
        ),
        reason="scale.train_images and the epochs make so few steps that regularization.average.horizon holds less than one: the"
        " average is the last weights",
        mend="a longer training, or regularization.average.horizon of a few steps",
        source="Polyak & Juditsky 1992: an average of many steps",
    ),
    Rule(
        name="SWA under an annealed schedule",
        level="warning",
        fires=every(SWA, chosen("schedule/lr", "cosine", "one_cycle", "exponential")),
        reason="SWA averages points that a high learning rate keeps apart; under a rate that falls to nothing they lie together",
        mend="schedule/lr=constant or cosine_restarts",
        source="Izmailov et al. 2018, arXiv:1803.05407",
    ),
    Rule(
        name="linear scaling for an adaptive optimizer",
        level="warning",
        fires=every(
            chosen("schedule/lr_scaling", "linear"), ADAPTIVE
        ),
        reason="the learning rate of adaptive optimizers grows with the square root of the batch",
        mend="schedule/lr_scaling=square_root",
        source="Malladi et al. 2022, arXiv:2205.10287",
    ),
    Rule(
        name="an adaptive optimizer at the rate of another",
        level="warning",
        fires=every(ADAPTIVE, value("optimizer.lr", lambda lr: lr > 0.05)),
        reason="optimizer.lr is above 0.05, a rate for gradient descent: steps of adaptive optimizers do not shrink"
        " with the gradient, and training fails",
        mend="optimizer.lr=0.001 for adam and adamw, 0.0002 for lion, 0.005 for lamb, 0.002 for muon, 0.016 for rmsprop",
        source="the options' own defaults",
    ),
    Rule(
        name="linear scaling without warm-up",
        level="warning",
        fires=every(
            chosen("schedule/lr_scaling", "linear"),
            negated(either(on("schedule/warmup"), chosen("schedule/lr", "one_cycle"))),
            numbers(
                lambda batch, base: base > 0 and batch / base >= 4, "batch_size", "schedule.lr_scaling.base_batch_size"
            ),
        ),
        reason="schedule/lr_scaling=linear multiplies the learning rate by 4 or more, which the first steps do not bear"
        " without a warm-up",
        mend="schedule/warmup=linear",
        source="Goyal et al. 2017, arXiv:1706.02677, section 2.2",
    ),
    Rule(
        name="linear scaling beyond its range",
        level="warning",
        fires=every(chosen("schedule/lr_scaling", "linear"), numbers(lambda batch: batch > 8192, "batch_size")),
        reason="schedule/lr_scaling=linear kept accuracy up to batches of 8,192 images and lost it beyond",
        mend="optimizer=lamb with schedule/lr_scaling=square_root, or a smaller batch_size",
        source="Goyal et al. 2017, arXiv:1706.02677, figure 1",
    ),
    Rule(
        name="L2 in Adam",
        level="warning",
        fires=every(chosen("optimizer", "adam"), on("regularization/weight_decay"),
                    value("optimizer.weight_decay", lambda decay: decay > 0)),
        reason="in optimizer=adam weight decay goes through the gradient and is divided by its size: weights with large"
        " gradients hardly decay",
        mend="optimizer=adamw",
        source="Loshchilov & Hutter 2017, arXiv:1711.05101",
    ),
    Rule(
        name="decay by zero",
        level="warning",
        fires=every(chosen("regularization/weight_decay", "weights_only"), value("optimizer.weight_decay", lambda d: d == 0)),
        reason="regularization/weight_decay=weights_only says where to decay, and optimizer.weight_decay is 0: nothing decays",
        mend="an optimizer.weight_decay above 0, or regularization/weight_decay=none",
        source="this project",
    ),
)  # fmt: skip
