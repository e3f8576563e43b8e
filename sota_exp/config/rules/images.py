"""Rules about images: cropping, rotation, mixing, repetition, and the size of evaluation."""

from sota_exp.config.rules.conditions import (
    Rule,
    all_of,
    any_of,
    compute_rank_batch_size,
    count_copies,
    has_option,
    has_technique,
    has_value,
    not_,
    values_satisfy,
)

USES_FIXRES = has_option("augmentation/train_size", "fixres")
USES_RESIZED_CROP = has_option("augmentation/crop", "random_resized")
USES_MIXING, USES_REPEATS = has_technique("augmentation/mix"), has_option("augmentation/repeat", "repeated")
SEARCHES_RESOLUTION = has_option("evaluation/resolution", "search")
USES_FINE_TUNING = has_technique("evaluation/fine_tune")
HAS_SMALL_IMAGES = values_satisfy(lambda size: size < 96, "data.image_size")

#: Networks whose position embedding or attention windows fit one image size.
IS_FIXED_SIZE_NETWORK = any_of(
    all_of(has_option("model/arch", "timm"), values_satisfy(lambda size: size is not None, "model.arch.img_size")),
    all_of(
        has_option("model/arch", "torchvision"),
        values_satisfy(lambda name: name.startswith(("vit_", "maxvit")), "model.arch.name"),
    ),
)

#: Augmentation that makes copies of an image differ. The alternating flip is the same for all copies in an epoch.
HAS_RANDOM_AUGMENTATION = any_of(
    has_technique("augmentation/crop"),
    has_option("augmentation/flip", "random"),
    has_technique("augmentation/geometry"),
    has_technique("augmentation/policy"),
    has_technique("augmentation/erase"),
    USES_MIXING,
)

IMAGE_RULES = (
    Rule(
        name="FixRes without resized crop",
        level="error",
        condition=all_of(USES_FIXRES, not_(USES_RESIZED_CROP)),
        reason="augmentation/train_size=fixres compensates for objects that random resized crops enlarge",
        fix="augmentation/crop=random_resized or augmentation/train_size=native",
        source="Touvron et al. 2019, arXiv:1906.06423",
    ),
    Rule(
        name="several sizes for a network of fixed size",
        level="error",
        condition=all_of(any_of(USES_FIXRES, SEARCHES_RESOLUTION), IS_FIXED_SIZE_NETWORK),
        reason="this transformer accepts one image size; FixRes and evaluation/resolution=search need several",
        fix="augmentation/train_size=native and evaluation/resolution=fixed, or a network that accepts any size",
        source="Dosovitskiy et al. 2020, arXiv:2010.11929, section 3.2",
    ),
    Rule(
        name="FixRes below 16 px",
        condition=values_satisfy(
            lambda size, ratio: size / ratio < 16, "data.image_size", "augmentation.train_size.ratio"
        ),
        reason="augmentation/train_size=fixres trains on images below 16 px, too small for four downsampling stages",
        fix="a larger data.image_size or augmentation/train_size=native",
        source="this project's networks downsample by 8, ResNets by 32",
    ),
    Rule(
        name="FixRes of ratio one",
        condition=has_value("augmentation.train_size.ratio", 1),
        reason="augmentation.train_size.ratio=1 trains at the evaluation size: FixRes has no effect",
        fix="a ratio near 1.27, or augmentation/train_size=native",
        source="Touvron et al. 2019, arXiv:1906.06423",
    ),
    Rule(
        name="FixRes with crops that hardly enlarge",
        condition=all_of(USES_FIXRES, values_satisfy(lambda scale: scale[0] >= 0.5, "augmentation.crop.scale")),
        reason="crops of at least half the image enlarge objects by 17 % on average at most, less than FixRes assumes",
        fix="augmentation/train_size=native, or augmentation.crop.scale=[0.08,1.0]",
        source="the mean of 1/√area over U(a, 1) is 2/(1 + √a)",
    ),
    Rule(
        name="padding for photographs",
        condition=all_of(
            has_option("augmentation/crop", "pad"),
            has_value("augmentation.crop.padding_mode", "constant"),
            values_satisfy(lambda size: size > 64, "data.image_size"),
        ),
        reason="augmentation/crop=pad shifts images over a black border, made for images of up to 64 px",
        fix="recipe=photos, or augmentation/crop=random_resized",
        source="Szegedy et al. 2014, arXiv:1409.4842",
    ),
    Rule(
        name="evaluation enlarges what training shows whole",
        condition=all_of(
            has_option("augmentation/crop", "pad", "none"),
            values_satisfy(lambda ratio: ratio < 0.95, "evaluation.resolution.crop_ratio"),
        ),
        reason="evaluation cuts out the centre and enlarges it, but training shows whole images: objects are larger",
        fix="data.crop_ratio=1.0, or augmentation/crop=random_resized",
        source="Touvron et al. 2019, arXiv:1906.06423; CIFAR-10 photographs: 77 instead of 82 %",
    ),
    Rule(
        name="fine-tuning for a size without resized crop",
        condition=all_of(USES_FINE_TUNING, not_(USES_RESIZED_CROP)),
        reason="evaluation/fine_tune corrects for objects that training enlarges, which only random resized crops do",
        fix="evaluation/fine_tune=none",
        source="Touvron et al. 2019, arXiv:1906.06423",
    ),
    Rule(
        name="fine-tuning on hidden labels",
        level="error",
        condition=all_of(USES_FINE_TUNING, has_option("supervision", "label_propagation")),
        reason="evaluation/fine_tune uses every label, but supervision=label_propagation hides most of them",
        fix="evaluation/fine_tune=none",
        source="this project",
    ),
    Rule(
        name="fine-tuning with another loss",
        condition=all_of(USES_FINE_TUNING, has_option("loss", "binary_cross_entropy")),
        reason="evaluation/fine_tune trains a softmax, but loss=binary_cross_entropy trained independent sigmoids",
        fix="loss=cross_entropy or evaluation/fine_tune=none",
        source="Wightman et al. 2021, arXiv:2110.00476; Touvron et al. 2019, arXiv:1906.06423",
    ),
    Rule(
        name="selection on test images",
        condition=all_of(
            not_(has_option("data/split", "cross_validation")),
            any_of(has_value("data.val_fraction", None), has_value("data.test_fraction", None)),
            any_of(
                has_value("evaluation.select", "best"),
                has_option("schedule/early_stopping", "patience"),
                SEARCHES_RESOLUTION,
            ),
        ),
        reason="data.val_fraction or data.test_fraction is null: if the data set lacks that split, val and test are"
        " the same images, and the reported accuracy is on images that selected the model",
        fix="a fraction, or evaluation.select=last without resolution search and early stopping",
        source="Recht et al. 2019, arXiv:1902.10811",
    ),
    Rule(
        name="flips that change labels",
        condition=all_of(
            any_of(has_technique("augmentation/flip"), has_option("evaluation/tta", "flip")),
            values_satisfy(lambda kept: "horizontal_flip" not in kept, "data.label_preserving"),
        ),
        reason="data.label_preserving lacks horizontal_flip: a mirrored image may belong to another class",
        fix="augmentation/flip=none and evaluation/tta=none",
        source="the declaration of the data set",
    ),
    Rule(
        name="large rotations that change labels",
        condition=any_of(
            all_of(
                has_option("augmentation/policy", "trivialaugment"),
                values_satisfy(lambda kept: len(kept) == 0, "data.label_preserving"),
            ),
            all_of(
                values_satisfy(lambda degrees: degrees > 45, "augmentation.geometry.degrees"),
                values_satisfy(lambda kept: "large_rotation" not in kept, "data.label_preserving"),
            ),
        ),
        reason="rotations by more than 45° (TrivialAugment: up to 135°) may change the label in this data set",
        fix="augmentation/policy=none or randaugment (30°), and augmentation.geometry.degrees=15",
        source="the declaration of the data set",
    ),
    Rule(
        name="repeats without augmentation",
        condition=all_of(USES_REPEATS, not_(HAS_RANDOM_AUGMENTATION)),
        reason="augmentation/repeat=repeated repeats each image, but no augmentation makes the copies differ",
        fix="augmentation=classic, or augmentation/repeat=none",
        source="Hoffer et al. 2019, arXiv:1901.09335",
    ),
    Rule(
        name="repeats in a short training",
        condition=values_satisfy(
            lambda repeats, epochs: (1 - 1 / repeats) ** epochs > 0.01,
            "augmentation.repeat.num_repeats",
            "schedule.length.epochs",
        ),
        reason="repeated augmentation never shows more than 1 % of the training images in so few epochs",
        fix="more epochs (17 for 4 repeats, 12 for 3), or augmentation/repeat=none",
        source="the share of images never shown is (1 − 1/num_repeats)^epochs",
    ),
    Rule(
        name="mixing an image with itself",
        condition=all_of(
            USES_MIXING, values_satisfy(lambda same, batch: 2 * same > batch, count_copies, compute_rank_batch_size)
        ),
        reason="augmentation/mix mixes images with themselves: copies of one fill over half of a process's batch",
        fix="a batch_size of at least twice augmentation.repeat.num_repeats per process",
        source="the bound of the pairing, max(0, 2·copies − batch)",
    ),
    Rule(
        name="pretrained weights at a small size",
        condition=all_of(has_option("model/weights", "pretrained"), HAS_SMALL_IMAGES),
        reason="pretrained weights fit objects at 224 px, for which data.image_size below 96 is too small",
        fix="data.image_size=128 to 224, even if the images are smaller",
        source="Touvron et al. 2019, arXiv:1906.06423; Kornblith et al. 2018, arXiv:1805.08974",
    ),
    Rule(
        name="a pretrained teacher at a small size",
        condition=all_of(
            has_value("regularization.distillation.source", "timm", "torchvision"),
            has_value("regularization.distillation.image_size", None),
            HAS_SMALL_IMAGES,
        ),
        reason="the pretrained teacher fits images of 224 px, but gets the student's images of less than 96 px",
        fix="regularization.distillation.image_size=224",
        source="Touvron et al. 2019, arXiv:1906.06423",
    ),
)
