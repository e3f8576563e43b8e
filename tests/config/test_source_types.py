"""What is read from the source of options is what their classes state, without importing them."""

import subprocess
import sys
from typing import get_type_hints

import pytest

from sota_exp.config.build import get_field_types, import_class, is_config_class
from sota_exp.config.source_types import ROOT, SourceClass, check_values, read_fields
from sota_exp.errors import ConfigError
from sota_exp.stages.stage import get_legal_values
from tests.experiments import composed
from tests.options import options

CLASSES = sorted({option.target for option in options()} | {".".join(ROOT)})

#: Fields whose annotation needs more than types and constants: checked after the import of PyTorch.
NOT_EVALUATED = {"dataset", "interpolation", "milestones", "policy", "uri"}


@pytest.mark.parametrize("path", CLASSES)
def test_the_source_states_what_the_class_does(path):
    cls = import_class(path, "")
    module, _, name = path.rpartition(".")
    found = {
        name: kind for name, kind in read_fields(SourceClass(module, name)).items() if type(kind) is not SourceClass
    }
    schema = type("Schema", (), {"__annotations__": found})
    leaves = {name: kind for name, kind in get_field_types(cls).items() if not is_config_class(kind)}
    leaves = {name: kind for name, kind in leaves.items() if name in found or name not in NOT_EVALUATED}
    assert get_type_hints(schema) == leaves
    words = {name: legal.words for name, legal in get_legal_values(schema).items()}
    assert words == {name: legal.words for name, legal in get_legal_values(cls).items() if name in leaves}


def test_groups_are_found_by_their_class():
    assert read_fields(SourceClass(*ROOT))["runtime"] == SourceClass("sota_exp.config.experiment", "RuntimeSettings")


WRONG = {
    "optimizer.lr=-1": "optimizer.lr=-1.0 is not legal: a number above 0",
    "optimizer.lr=abc": "optimizer.lr=abc: expected a number",
    "batch_size=0": "batch_size=0 is not legal: images, at least 1",
    "seed=-1": "seed=-1 is not legal: an integer from 0",
    "runtime.precision=fp8": "runtime.precision=fp8 is not legal: one of fp32, bf16",
    "runtime.threads=0": "runtime.threads=0 is not legal: a count of at least 1, or null",
    "scale.eval_images=1": "scale.eval_images=1 is not legal: a count of at least 2, or null",
    "evaluation.select=first": "evaluation.select=first is not legal: one of best, last",
    "evaluation.batch_size=x": "evaluation.batch_size=x: expected an integer",
    "data.image_size=4": "data.image_size=4 is not legal: pixels, at least 8",
    "model.arch.width_multiplier=wide": "model.arch.width_multiplier=wide: expected a number",
    "regularization.smoothing.label_smoothing=2": "regularization.smoothing.label_smoothing=2.0 is not legal",
}


@pytest.mark.parametrize(("override", "message"), WRONG.items(), ids=WRONG)
def test_wrong_values_are_told(override, message):
    with pytest.raises(ConfigError) as caught:
        check_values(composed(override).values)
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize("override", ["optimizer.lr=-1", "seed=x", "data=image_folder data.root=nope", "seed=-1"])
def test_they_are_told_before_pytorch_is_imported(override, tmp_path):
    program = (
        "import sys; sys.modules['torch'] = None; from sota_exp.cli.main import run_command_line; "
        f"sys.exit(run_command_line(['train', *{override.split()!r}]))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=tmp_path, check=False)
    assert done.returncode == 2 and done.stderr.count("\n") == 1, done.stderr
    assert done.stderr.startswith(f"sota-exp: {override.split()[-1].partition('=')[0]}=")
