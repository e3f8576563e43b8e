"""Rules about images: how they are cut, turned, mixed, repeated, and at which size they are evaluated."""

from sota_exp.config.rules.conditions import (
    Rule,
    chosen,
    copies,
    either,
    every,
    negated,
    number,
    numbers,
    on,
    rank_batch,
    value,
)

FIXRES, RESIZED_CROP = chosen("augmentation/train_size", "fixres"), chosen("augmentation/crop", "random_resized")
MIXED, REPEATED = on("augmentation/mix"), chosen("augmentation/repeat", "repeated")
SEARCHED, TUNED = chosen("evaluation/resolution", "search"), on("evaluation/fine_tune")

#: Networks whose position embedding or attention windows are made for one image size.
ONE_SIZE = either(
    every(chosen("model/arch", "timm"), value("model.arch.img_size", lambda size: size is not None)),
    every(
        chosen("model/arch", "torchvision"), value("model.arch.name", lambda name: name.startswith(("vit_", "maxvit")))
    ),
)

#: Augmentation that shows two copies of an image differently. The alternating flip goes by image and epoch.
VARIED = either(
    on("augmentation/crop"),
    chosen("augmentation/flip", "random"),
    on("augmentation/geometry"),
    on("augmentation/policy"),
    on("augmentation/erase"),
    MIXED,
)

OF_IMAGES = (
    Rule(
        name="FixRes without resized crop",
        level="error",
        fires=every(FIXRES, negated(RESIZED_CROP)),
        reason="augmentation/train_size=fixres makes up for objects that random resized crops enlarge; no other crop does",
        mend="augmentation/crop=random_resized or augmentation/train_size=native",
        source="Touvron et al. 2019, arXiv:1906.06423",
    ),
    Rule(
        name="several sizes for a network of one",
        level="error",
        fires=every(either(FIXRES, SEARCHED), ONE_SIZE),
        reason="this transformer is built for images of one size; FixRes and a search of resolution need several",
        mend="augmentation/train_size=native and evaluation/resolution=fixed, or a network that reads any size",
        source="Dosovitskiy et al. 2020, arXiv:2010.11929, section 3.2",
    ),
    Rule(
        name="FixRes below 16 px",
        level="warning",
        fires=every(
            FIXRES,
            numbers(
                lambda size, ratio: ratio > 0 and size / ratio < 16, "data.image_size", "augmentation.train_size.ratio"
            ),
        ),
        reason="augmentation/train_size=fixres trains on crops of less than 16 px, of which a network that halves its maps"
        " four times sees a single place",
        mend="a larger data.image_size or augmentation/train_size=native",
        source="this project's networks divide the side by 8, ResNets by 32",
    ),
    Rule(
        name="FixRes of ratio one",
        level="warning",
        fires=every(FIXRES, value("augmentation.train_size.ratio", lambda ratio: ratio == 1)),
        reason="augmentation.train_size.ratio=1 trains at the size of evaluation: FixRes changes nothing",
        mend="a ratio near 1.27, or augmentation/train_size=native",
        source="Touvron et al. 2019, arXiv:1906.06423",
    ),
    Rule(
        name="FixRes with crops that hardly enlarge",
        level="warning",
        fires=every(FIXRES, RESIZED_CROP, value("augmentation.crop.scale", lambda scale: scale[0] >= 0.5)),
        reason="crops of at least half of the image enlarge objects by at most 17 % on average, less than FixRes takes back",
        mend="augmentation/train_size=native, or augmentation.crop.scale=[0.08,1.0]",
        source="the mean of 1/√area over U(a, 1) is 2/(1 + √a)",
    ),
    Rule(
        name="fine-tuning for a size without resized crop",
        level="warning",
        fires=every(TUNED, negated(RESIZED_CROP)),
        reason="evaluation/fine_tune adapts the network to objects as large as evaluation shows them; without random resized"
        " crops it was trained on such already",
        mend="evaluation/fine_tune=none",
        source="Touvron et al. 2019, arXiv:1906.06423",
    ),
    Rule(
        name="fine-tuning on hidden labels",
        level="error",
        fires=every(TUNED, chosen("supervision", "label_propagation")),
        reason="evaluation/fine_tune learns from the label of every training image, and supervision=label_propagation hides"
        " most of them",
        mend="evaluation/fine_tune=none",
        source="this project",
    ),
    Rule(
        name="fine-tuning by another loss",
        level="warning",
        fires=every(TUNED, chosen("loss", "binary_cross_entropy")),
        reason="evaluation/fine_tune learns with softmax cross-entropy, and the classifier was trained to answer each class on"
        " its own: its probabilities change their meaning",
        mend="loss=cross_entropy or evaluation/fine_tune=none",
        source="Wightman et al. 2021, arXiv:2110.00476; Touvron et al. 2019, arXiv:1906.06423",
    ),
    Rule(
        name="choosing on what reports",
        level="warning",
        fires=every(
            either(*(value(f"data.{part}_fraction", lambda share: share is None) for part in ("val", "test"))),
            either(
                value("evaluation.select", lambda select: select == "best"),
                chosen("schedule/early_stopping", "patience"),
                SEARCHED,
            ),
        ),
        reason="data.val_fraction or data.test_fraction is null: where the set lacks that part, val and test are the same images,"
        " and what is chosen on them reports on them too",
        mend="a fraction, or evaluation.select=last with nothing searched or stopped early, as torchvision's reference does",
        source="Recht et al. 2019, arXiv:1902.10811",
    ),
    Rule(
        name="flips that change labels",
        level="warning",
        fires=every(
            either(on("augmentation/flip"), chosen("evaluation/tta", "flip")),
            value("data.label_preserving", lambda kept: "horizontal_flip" not in kept),
        ),
        reason="data.label_preserving does not list horizontal_flip: mirrored images of this set may belong to another class",
        mend="augmentation/flip=none and evaluation/tta=none",
        source="the data set's own declaration",
    ),
    Rule(
        name="large rotations that change labels",
        level="warning",
        fires=either(
            every(
                chosen("augmentation/policy", "trivialaugment"),
                value("data.label_preserving", lambda kept: len(kept) == 0),
            ),
            every(
                value("augmentation.geometry.degrees", lambda degrees: degrees > 45),
                value("data.label_preserving", lambda kept: "large_rotation" not in kept),
            ),
        ),
        reason="images are turned by more than 45° (TrivialAugment: up to 135°), and this set does not declare that turning"
        " leaves a label true",
        mend="augmentation/policy=none or randaugment (30°), and augmentation.geometry.degrees=15",
        source="the data set's own declaration",
    ),
    Rule(
        name="repeats without augmentation",
        level="warning",
        fires=every(REPEATED, negated(VARIED)),
        reason="augmentation/repeat=repeated shows copies of an image, and nothing here makes them differ: the batch is smaller"
        " than it seems",
        mend="augmentation=classic, or augmentation/repeat=none",
        source="Hoffer et al. 2019, arXiv:1901.09335",
    ),
    Rule(
        name="repeats in a short training",
        level="warning",
        fires=every(
            REPEATED,
            numbers(
                lambda repeats, epochs: repeats >= 1 and (1 - 1 / repeats) ** epochs > 0.01,
                "augmentation.repeat.num_repeats",
                "schedule.length.epochs",
            ),
        ),
        reason="an epoch of repeated augmentation shows one image in num_repeats: in so few epochs more than 1 % of the training"
        " images are never seen",
        mend="more epochs (17 for 4 repeats, 12 for 3), or augmentation/repeat=none",
        source="(1 − 1/num_repeats)^epochs, each epoch drawing anew",
    ),
    Rule(
        name="mixing an image with itself",
        level="warning",
        fires=every(MIXED, numbers(lambda same, batch: 2 * same > batch, copies, rank_batch)),
        reason="augmentation/mix pairs images of one process's batch, more than half of which are copies of one image: some"
        " pairs are an image and itself",
        mend="a batch_size of at least twice augmentation.repeat.num_repeats for each process",
        source="the pairing's own bound, max(0, 2·copies − batch)",
    ),
    Rule(
        name="published weights at a small size",
        level="warning",
        fires=every(chosen("model/weights", "pretrained"), numbers(lambda size: size < 96, "data.image_size")),
        reason="published weights were mostly trained at 224 px, and data.image_size is less than 96: their features are for"
        " larger objects",
        mend="data.image_size=128 to 224, larger than the images are, if need be",
        source="Touvron et al. 2019, arXiv:1906.06423; Kornblith et al. 2018, arXiv:1805.08974",
    ),
    Rule(
        name="a published teacher at a small size",
        level="warning",
        fires=every(
            chosen("regularization/distillation", "logits"),
            value("regularization.distillation.source", lambda source: source in ("timm", "torchvision")),
            value("regularization.distillation.image_size", lambda size: size is None),
            numbers(lambda size: size < 96, number("data.image_size")),
        ),
        reason="the published teacher was mostly trained at 224 px and is shown the student's images, of less than 96 px",
        mend="regularization.distillation.image_size=224",
        source="Touvron et al. 2019, arXiv:1906.06423",
    ),
)
