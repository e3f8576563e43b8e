"""Rules about the network: weights, tuning, norm layers, teacher, loss and supervision."""

import operator

from sota_exp.config.rules.conditions import (
    Rule,
    all_of,
    any_of,
    compute_norm_batch_size,
    count_processes,
    has_option,
    has_technique,
    has_value,
    not_,
    values_satisfy,
)

BATCH_NORM = has_option("regularization/norm", "batch")
STARTS_FROM_SCRATCH, HEAD_ONLY = has_option("model/weights", "scratch"), has_option("model/tuning", "head_only")
USES_SMOOTHING = has_technique("regularization/smoothing")
USES_BINARY_LOSS = has_option("loss", "binary_cross_entropy")
#: Data sets without the 1,000 classes of ImageNet. Not listed: a user's own images, whose classes are unknown here.
HAS_OTHER_CLASSES_THAN_IMAGENET = has_option(
    "data", "animals_on_photos", "digits_on_photos", "imagenette", "cifar10", "cifar100", "svhn", "fashion_mnist",
    "flowers102", "oxford_pets", "food101", "stanford_cars",
)  # fmt: skip
USES_LABEL_PROPAGATION = has_option("supervision", "label_propagation")
HAS_PRETRAINED_TEACHER = has_value("regularization.distillation.source", "timm", "torchvision")
TEACHES_WITH_LABELS = values_satisfy(lambda alpha: alpha < 1, "regularization.distillation.alpha")

NETWORK_RULES = (
    Rule(
        name="a network without files",
        condition=has_option("model/arch", "python"),
        reason="model/arch=python: no file has the code of this network, so the run can't be repeated from its files",
        fix="make it an option of your own package, where other processes are to train it",
        source="this project",
    ),
    Rule(
        name="pretrained weights of a small network",
        level="error",
        condition=all_of(has_option("model/arch", "small"), has_option("model/weights", "pretrained")),
        reason="model/weights=pretrained: no pretrained weights exist for model/arch=small",
        fix="model/arch=timm or torchvision, or model/weights=checkpoint",
        source="this project",
    ),
    Rule(
        name="group norm with pretrained weights",
        level="error",
        condition=all_of(has_option("regularization/norm", "group"), has_option("model/weights", "pretrained")),
        reason="regularization/norm=group drops the running statistics on which pretrained layers depend",
        fix="regularization/norm=batch, or none, which folds the statistics into a scale and a shift",
        source="Wu & He 2018, arXiv:1803.08494",
    ),
    Rule(
        name="zero-initialized branches of a trained network",
        condition=all_of(
            not_(STARTS_FROM_SCRATCH),
            BATCH_NORM,
            has_value("regularization.norm.zero_init_last_gamma", True),
        ),
        reason="regularization.norm.zero_init_last_gamma has no effect on loaded weights",
        fix="regularization.norm.zero_init_last_gamma=false",
        source="Goyal et al. 2017, arXiv:1706.02677",
    ),
    Rule(
        name="ghost batches as large as the batch",
        condition=values_satisfy(
            lambda ghost, batch: ghost >= batch, "regularization.norm.ghost_batch_size", compute_norm_batch_size
        ),
        reason="regularization.norm.ghost_batch_size is at least a norm layer's batch: this is ordinary batch norm",
        fix="a smaller ghost_batch_size, or regularization/norm=batch",
        source="Hoffer et al. 2017, arXiv:1705.08741",
    ),
    Rule(
        name="ghost batches cut by micro-batches",
        condition=values_satisfy(
            lambda ghost, micro: micro > ghost and micro % ghost != 0,
            "regularization.norm.ghost_batch_size",
            "schedule.accumulation.micro_batch_size",
        ),
        reason="regularization.norm.ghost_batch_size does not divide schedule.accumulation.micro_batch_size: every"
        " micro-batch ends in a smaller ghost batch, unlike the whole batch",
        fix="a micro_batch_size that is a multiple of ghost_batch_size",
        source="Dimitriou & Arandjelovic 2020, arXiv:2007.08554",
    ),
    Rule(
        name="batch norm in micro-batches",
        condition=all_of(
            has_option("schedule/accumulation", "micro_batches"),
            has_option("regularization/norm", "batch", "sync_batch"),
        ),
        reason="with schedule/accumulation, batch norm uses the statistics of micro-batches, not of the whole batch",
        fix="regularization/norm=group, or ghost_batch of the micro-batch's size, or accept the difference",
        source="Ioffe & Szegedy 2015, arXiv:1502.03167",
    ),
    Rule(
        name="batch norm of few images",
        condition=all_of(BATCH_NORM, values_satisfy(lambda batch: batch < 8, compute_norm_batch_size)),
        reason="batch norm computes its statistics from fewer than 8 images, too few to be close to evaluation's",
        fix="regularization/norm=group, sync_batch on several processes, or larger batches",
        source="Wu & He 2018, arXiv:1803.08494",
    ),
    Rule(
        name="synchronized batch norm in one process",
        condition=all_of(has_option("regularization/norm", "sync_batch"), lambda run: count_processes() == 1),
        reason="regularization/norm=sync_batch in one process is ordinary batch norm",
        fix="torchrun --nproc_per_node=2 or more on CUDA devices, or regularization/norm=batch",
        source="Peng et al. 2017, arXiv:1711.07240",
    ),
    Rule(
        name="tuning a classifier on random features",
        condition=all_of(STARTS_FROM_SCRATCH, has_option("model/tuning", "head_only", "gradual")),
        reason="model/tuning=head_only and gradual train the classifier on random features without pretrained weights",
        fix="model/weights=pretrained or model/tuning=full",
        source="Kornblith et al. 2018, arXiv:1805.08974; Kumar et al. 2022, arXiv:2202.10054",
    ),
    Rule(
        name="stochastic depth in a frozen network",
        condition=all_of(HEAD_ONLY, has_technique("regularization/stochastic_depth")),
        reason="model/tuning=head_only runs all layers below the classifier in evaluation mode, which drops no branch",
        fix="regularization/stochastic_depth=none, or model/tuning=gradual",
        source="Huang et al. 2016, arXiv:1603.09382",
    ),
    Rule(
        name="training statistics in a frozen network",
        condition=all_of(HEAD_ONLY, has_option("regularization/norm", "ghost_batch", "sync_batch")),
        reason="model/tuning=head_only keeps norm layers in evaluation mode, where ghost and sync_batch have no effect",
        fix="regularization/norm=batch, or model/tuning=gradual",
        source="Ioffe & Szegedy 2015, arXiv:1502.03167",
    ),
    Rule(
        name="clipping without the trained classifier",
        condition=all_of(HEAD_ONLY, has_value("regularization.clip.exclude_classifier", True)),
        reason="regularization/clip=adaptive excludes the classifier, all that model/tuning=head_only trains",
        fix="regularization/clip=norm, or regularization.clip.exclude_classifier=false",
        source="Brock et al. 2021, arXiv:2102.06171",
    ),
    Rule(
        name="a pretrained teacher of other classes",
        level="error",
        condition=all_of(HAS_OTHER_CLASSES_THAN_IMAGENET, HAS_PRETRAINED_TEACHER),
        reason="regularization/distillation=logits compares teacher and student class by class, but pretrained"
        " networks have ImageNet's classes, not those of this data set",
        fix="a teacher trained on this data set: regularization.distillation.source=file and"
        " .path=RUN/model.safetensors",
        source="Hinton et al. 2015, arXiv:1503.02531: teacher and student have the same classes",
    ),
    Rule(
        name="a teacher of the student's architecture",
        condition=all_of(
            HAS_PRETRAINED_TEACHER,
            lambda run: run.choices.get("model/arch") == run.values["regularization"]["distillation"]["source"],
            values_satisfy(operator.eq, "regularization.distillation.name", "model.arch.name"),
        ),
        reason="the pretrained teacher has the student's architecture: the student could start from its weights",
        fix="model/weights=pretrained instead of a teacher, or a larger teacher",
        source="Hinton et al. 2015, arXiv:1503.02531: the teacher is larger than the student",
    ),
    Rule(
        name="label smoothing with a teacher",
        condition=all_of(USES_SMOOTHING, TEACHES_WITH_LABELS),
        reason="the teacher distinguishes similar classes from others; label smoothing treats all wrong ones alike",
        fix="regularization/smoothing=none",
        source="Hinton et al. 2015, arXiv:1503.02531: the other part of the loss uses the correct labels",
    ),
    Rule(
        name="label techniques that distillation ignores",
        condition=all_of(
            has_value("regularization.distillation.alpha", 1),
            any_of(USES_SMOOTHING, USES_BINARY_LOSS, USES_LABEL_PROPAGATION),
        ),
        reason="regularization.distillation.alpha=1 ignores label smoothing, loss and label propagation",
        fix="an alpha below 1, or regularization/smoothing=none, loss=cross_entropy, supervision=full",
        source="the loss (1 − alpha)·labels + alpha·teacher",
    ),
    Rule(
        name="a softmax teacher with binary cross-entropy",
        condition=all_of(USES_BINARY_LOSS, TEACHES_WITH_LABELS),
        reason="loss=binary_cross_entropy treats the logits as independent sigmoids, the teacher as one softmax",
        fix="loss=cross_entropy",
        source="Hinton et al. 2015, arXiv:1503.02531; Wightman et al. 2021, arXiv:2110.00476",
    ),
    Rule(
        name="smoothed binary targets",
        condition=all_of(USES_BINARY_LOSS, USES_SMOOTHING),
        reason="binary cross-entropy treats classes as independent; smoothing gives wrong ones a positive target",
        fix="regularization/smoothing=none",
        source="Wightman et al. 2021, arXiv:2110.00476",
    ),
    Rule(
        name="label propagation with every label given",
        condition=all_of(has_value("supervision.labelled_fraction", 1), has_value("supervision.labelled_file", None)),
        reason="supervision.labelled_fraction=1 hides no label, so there is none to infer",
        fix="a labelled_fraction below 1, or supervision=full",
        source="Iscen et al. 2019, arXiv:1904.04717",
    ),
    Rule(
        name="label propagation that never starts",
        condition=values_satisfy(
            lambda share, epochs: (epochs - 1) / epochs < share < 1, "supervision.labels_only", "schedule.length.epochs"
        ),
        reason="supervision.labels_only extends past the start of the last epoch: no pseudo-label is ever computed",
        fix="supervision.labels_only=0.4, or more epochs; 1 trains with the given labels alone, to compare with",
        source="Iscen et al. 2019, arXiv:1904.04717",
    ),
    Rule(
        name="label propagation on frozen features",
        condition=all_of(USES_LABEL_PROPAGATION, HEAD_ONLY),
        reason="model/tuning=head_only freezes the features, so that every epoch computes the same graph",
        fix="model/tuning=full or gradual",
        source="Iscen et al. 2019, arXiv:1904.04717: the graph follows the network",
    ),
    Rule(
        name="a batch too small for labelled and unlabelled images",
        condition=all_of(USES_LABEL_PROPAGATION, values_satisfy(lambda batch: batch < 2, "batch_size")),
        reason="supervision=label_propagation needs a labelled and an unlabelled image in each batch",
        fix="a batch_size of at least 2",
        source="Iscen et al. 2019, arXiv:1904.04717",
    ),
)
