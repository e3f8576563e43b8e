"""Rules about training: learning rate, length, early stopping, accumulation, weight averages, weight decay."""

from sota_exp.config.rules.conditions import (
    Rule,
    all_of,
    any_of,
    compute_rank_batch_size,
    has_option,
    has_technique,
    has_value,
    not_,
    values_satisfy,
)

USES_ADAPTIVE_OPTIMIZER = has_option("optimizer", "adam", "adamw", "lamb", "lion", "muon", "rmsprop")
USES_WARMUP = has_technique("schedule/warmup")
USES_EARLY_STOPPING = has_option("schedule/early_stopping", "patience")
DECAYS_TO_ZERO = has_option("schedule/lr", "cosine", "one_cycle", "exponential")
STEPS_BY_EPOCH = has_option("schedule/stepping", "epoch")
SCALES_LINEARLY = has_option("schedule/lr_scaling", "linear")
EPOCHS_KEY = "schedule.length.epochs"
PATIENCE_KEY = "schedule.early_stopping.patience"
HORIZON_KEY = "regularization.average.horizon"


def _first_cycle_is_short(num_cycles: float, cycle_mult: float, epochs: float) -> bool:
    """Whether the first cycle, 1 / Σ cycle_mult^i of training, is shorter than an epoch."""
    total, length = 0.0, 1.0
    for _ in range(int(min(num_cycles, epochs + 1))):
        total, length = total + length, length * cycle_mult
        if total > epochs:
            return True
    return False


def _ends_before(patience: float, share: float, epochs: float) -> bool:
    """Whether patience may run out before a stage that starts at a share of training; at 1 there is none."""
    return share < 1 and patience <= share * epochs


TRAINING_RULES = (
    Rule(
        name="one-cycle with a warm-up",
        level="error",
        condition=all_of(has_option("schedule/lr", "one_cycle"), USES_WARMUP),
        reason="schedule/lr=one_cycle has its own warm-up; with a second it is no longer the one-cycle policy",
        fix="schedule/warmup=none",
        source="Smith & Topin 2017, arXiv:1708.07120",
    ),
    Rule(
        name="warm-up within one epoch",
        condition=all_of(
            STEPS_BY_EPOCH,
            values_satisfy(lambda share, epochs: 0 < share * epochs <= 1, "schedule.warmup.fraction", EPOCHS_KEY),
        ),
        reason="with schedule/stepping=epoch, a warm-up of at most one epoch stays at its lowest learning rate",
        fix="schedule/stepping=step, or a warm-up of several epochs",
        source="torchvision's reference, whose warm-up has 5 steps",
    ),
    Rule(
        name="restarts within one epoch",
        condition=all_of(
            STEPS_BY_EPOCH,
            values_satisfy(_first_cycle_is_short, "schedule.lr.num_cycles", "schedule.lr.cycle_mult", EPOCHS_KEY),
        ),
        reason="with schedule/stepping=epoch, a first cycle of less than an epoch stays at one learning rate",
        fix="schedule/stepping=step, fewer schedule.lr.num_cycles or more epochs",
        source="Loshchilov & Hutter 2016, arXiv:1608.03983: cycles of 1, 10 and 50 epochs",
    ),
    Rule(
        name="restarts of one cycle",
        condition=has_value("schedule.lr.num_cycles", 1),
        reason="schedule.lr.num_cycles=1 never restarts: it is schedule/lr=cosine",
        fix="at least two cycles, or schedule/lr=cosine",
        source="Loshchilov & Hutter 2016, arXiv:1608.03983",
    ),
    Rule(
        name="early stopping of an annealed schedule",
        condition=all_of(USES_EARLY_STOPPING, any_of(DECAYS_TO_ZERO, has_option("schedule/lr", "cosine_restarts"))),
        reason="early stopping ends the schedule before its learning rate is low; a shorter schedule does better",
        fix="schedule/lr=step or constant, or a shorter schedule.length.epochs",
        source="Loshchilov & Hutter 2016, arXiv:1608.03983",
    ),
    Rule(
        name="patience as long as training",
        condition=values_satisfy(lambda patience, epochs: patience > epochs - 2, PATIENCE_KEY, EPOCHS_KEY),
        reason="schedule.early_stopping.patience is so long that training cannot stop before its last epoch",
        fix="a smaller patience, or schedule/early_stopping=none",
        source="Prechelt 1998, Early Stopping – But When?",
    ),
    Rule(
        name="early stopping that keeps the last epoch",
        condition=all_of(USES_EARLY_STOPPING, has_value("evaluation.select", "last")),
        reason="evaluation.select=last keeps the weights of the last epoch, which is patience epochs after the best",
        fix="evaluation.select=best",
        source="Prechelt 1998, Early Stopping – But When?",
    ),
    Rule(
        name="early stopping before the second stage",
        condition=any_of(
            values_satisfy(_ends_before, PATIENCE_KEY, "model.tuning.fraction", EPOCHS_KEY),
            values_satisfy(_ends_before, PATIENCE_KEY, "supervision.labels_only", EPOCHS_KEY),
            values_satisfy(_ends_before, PATIENCE_KEY, "regularization.average.start", EPOCHS_KEY),
        ),
        reason="patience may run out before model/tuning=gradual unfreezes, label propagation starts or SWA starts",
        fix="a patience longer than the first stage, or schedule/early_stopping=none",
        source="Prechelt 1998, Early Stopping – But When?",
    ),
    Rule(
        name="micro-batch as large as the batch",
        condition=values_satisfy(
            lambda micro, batch: micro >= batch, "schedule.accumulation.micro_batch_size", compute_rank_batch_size
        ),
        reason="schedule.accumulation.micro_batch_size is at least a process's batch: nothing is accumulated",
        fix="a larger batch_size or a smaller micro_batch_size",
        source="this project",
    ),
    Rule(
        name="long EMA horizon",
        condition=values_satisfy(lambda horizon: horizon > 0.5, HORIZON_KEY),
        reason="an average over more than half of training still contains the first weights",
        fix="regularization.average.horizon near 0.04",
        source="torchvision's rule gives 3.9 % of training on ImageNet, and 100 % on 50,000 images",
    ),
    Rule(
        name="EMA shorter than a step",
        condition=all_of(
            not_(has_option("scale", "smoke")),  # Its numbers mean nothing, and the rule would fire on every recipe.
            values_satisfy(
                lambda horizon, images, batch, epochs: horizon * (images // batch * epochs) < 1,
                HORIZON_KEY,
                "scale.train_images",
                "batch_size",
                EPOCHS_KEY,
            ),
        ),
        reason="regularization.average.horizon is less than one step: the average equals the last weights",
        fix="a longer training, or a regularization.average.horizon of several steps",
        source="Polyak & Juditsky 1992: an average of many steps",
    ),
    Rule(
        name="SWA under an annealed schedule",
        condition=all_of(has_option("regularization/average", "swa"), DECAYS_TO_ZERO),
        reason="SWA averages weights that differ; under a learning rate that decays to zero they are almost equal",
        fix="schedule/lr=constant or cosine_restarts",
        source="Izmailov et al. 2018, arXiv:1803.05407",
    ),
    Rule(
        name="linear scaling for an adaptive optimizer",
        condition=all_of(SCALES_LINEARLY, USES_ADAPTIVE_OPTIMIZER),
        reason="the learning rate of adaptive optimizers scales with the square root of the batch size",
        fix="schedule/lr_scaling=square_root",
        source="Malladi et al. 2022, arXiv:2205.10287",
    ),
    Rule(
        name="an SGD learning rate for an adaptive optimizer",
        condition=all_of(USES_ADAPTIVE_OPTIMIZER, values_satisfy(lambda lr: lr > 0.05, "optimizer.lr")),
        reason="optimizer.lr is above 0.05, too much for steps that do not shrink with the gradient",
        fix="optimizer.lr=0.001 for adam and adamw, 0.0002 for lion, 0.005 for lamb, 0.002 for muon, 0.016 for rmsprop",
        source="the options' own defaults",
    ),
    Rule(
        name="linear scaling without warm-up",
        condition=all_of(
            SCALES_LINEARLY,
            not_(any_of(USES_WARMUP, has_option("schedule/lr", "one_cycle"))),
            values_satisfy(lambda batch, base: batch >= 4 * base, "batch_size", "schedule.lr_scaling.base_batch_size"),
        ),
        reason="schedule/lr_scaling=linear multiplies the learning rate by 4 or more, too much without a warm-up",
        fix="schedule/warmup=linear",
        source="Goyal et al. 2017, arXiv:1706.02677, section 2.2",
    ),
    Rule(
        name="linear scaling beyond its range",
        condition=all_of(SCALES_LINEARLY, values_satisfy(lambda batch: batch > 8192, "batch_size")),
        reason="schedule/lr_scaling=linear preserved accuracy up to batches of 8,192 images, and not beyond",
        fix="optimizer=lamb with schedule/lr_scaling=square_root, or a smaller batch_size",
        source="Goyal et al. 2017, arXiv:1706.02677, figure 1",
    ),
    Rule(
        name="L2 in Adam",
        condition=all_of(
            has_option("optimizer", "adam"),
            has_technique("regularization/weight_decay"),
            values_satisfy(lambda decay: decay > 0, "optimizer.weight_decay"),
        ),
        reason="optimizer=adam divides weight decay by the gradient's magnitude: weights with large ones hardly decay",
        fix="optimizer=adamw",
        source="Loshchilov & Hutter 2017, arXiv:1711.05101",
    ),
    Rule(
        name="weight decay of zero",
        condition=all_of(
            has_option("regularization/weight_decay", "weights_only"),
            has_value("optimizer.weight_decay", 0),
        ),
        reason="regularization/weight_decay=weights_only selects what decays, but optimizer.weight_decay is 0",
        fix="an optimizer.weight_decay above 0, or regularization/weight_decay=none",
        source="this project",
    ),
)
