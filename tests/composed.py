"""Imported by the server of tests/forked.py: imports, composes and builds once what most programs do, for its forks."""

import gc
import importlib
import tempfile

PRELOADED = (
    "torchvision",
    "optuna.storages._rdb.storage",
    "pytest",
    "optuna.importance",
    "scipy.stats",
    "sklearn.ensemble",
    "sqlalchemy.dialects.sqlite",
    "alembic.command",
    "altair",
    "jinja2",
    "markdown_it",
    "matplotlib.backends.backend_agg",
    "matplotlib.figure",
    "hydra.main",
    "mlflow.store.tracking.sqlalchemy_store",
    "sota_exp.cli.train",
    "sota_exp.cli.ablate",
    "sota_exp.cli.sweep",
    "sota_exp.sweep.end",
    "sota_exp.sweep.loop",
    "sota_exp.tracking.mlflow_upload",
    "sota_exp.training.run",
    "vl_convert",
)


def preload() -> None:
    """Import and compose. What is there at the end stays: neither the server nor its forks look for garbage in it."""
    gc.disable()
    for name in PRELOADED:
        importlib.import_module(name)

    import torch
    from optuna.storages import RDBStorage

    from sota_exp.config.rules import check_rules
    from tests.composing import compositions_share_their_work
    from tests.experiments import OFF, TINY, composed
    from tests.study_tables import studies_share_their_tables

    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder, studies_share_their_tables():
        RDBStorage(f"sqlite:///{folder}/study.db").engine.dispose()
    with compositions_share_their_work():
        for recipe in ((), OFF, ("recipe=torchvision",)):
            configuration = composed(*TINY, *recipe)
            check_rules(configuration)
            assert configuration.experiment
    gc.freeze()
    gc.enable()


preload()
