"""What a sweep refuses before its first trial, of the keys and values that it fixes or searches."""

from pathlib import Path

import pytest

from sota_exp.cli import main
from tests.experiments import TINY

FOLDER = "data=image_folder data.root={photos} data.image_size=16"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("optimizer.momentumm=choice(null,3)", "optimizer.momentumm: no such key; legal: lr, weight_decay, momentum."),
        ("optimizer.momentumm=choice(3,4)", "optimizer.momentumm: no such key"),
        ("data.stored_size=choice(null,16)", "data.stored_size: no such key"),
        ("data.stored_size=range(16,20)", "data.stored_size: no such key"),
        (
            "augmentation/mix=choice(none,mixup) augmentation.mix.aplha=choice(0.1,0.2)",
            "augmentation.mix.aplha: no such",
        ),
        ("hydra.sweeper.confirm.seeds=0", "hydra.sweeper.confirm.top=0 leaves out the confirmation"),
        ("hydra.sweeper.confirm.topp=2", "confirm.topp: no such key; legal: top, seeds. Did you mean top?"),
        ("study=ladder", "study=ladder: not of sweep; sota-exp ablate has it: sota-exp ablate study=ladder"),
        ("+study=ladder", "study=ladder: not of sweep"),
        (f"{FOLDER} data.class_order=choice(natural,foo)", "data.class_order=foo is not legal: /"),
        (
            "data/split=cross_validation optimizer.lr=choice(0.1,0.2)",
            "hydra.sweeper.seeds=1 from seed=0: with data/split=cross_validation a trial is its folds; legal: multiples of",
        ),
        (
            "data/split=cross_validation hydra.sweeper.seeds=5 seed=3 optimizer.lr=choice(0.1,0.2)",
            "hydra.sweeper.seeds=5 from seed=3: with data/split=cross_validation a trial is its folds",
        ),
        (
            "data/split=cross_validation data.split.folds=3 hydra.sweeper.seeds=3 optimizer.lr=choice(0.1,0.2)",
            "hydra.sweeper.confirm.seeds=5: legal with data/split=cross_validation: multiples of data.split.folds=3",
        ),
        (
            "data/split=repeated data.split.repeat=2 optimizer.lr=choice(0.1,0.2)",
            "data.split.repeat=2: here the seed of a run chooses its split",
        ),
        ("model/weights=checkpoint model.weights.path=choice(a.pt,b.pt)", "model.weights.path=a.pt is not legal: /"),
    ],
)
def test_wrong_choices_end_the_command(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], words: str, message: str
) -> None:
    (tmp_path / "photos" / "cat").mkdir(parents=True)
    given = words.format(photos=tmp_path / "photos").split()
    tiny = [word for word in TINY if not word.startswith("data")] if "data=" in words else TINY
    assert main.run_command_line(["sweep", *tiny, *given, f"hydra.sweep.dir={tmp_path}/s"]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "s" / "0").exists()
