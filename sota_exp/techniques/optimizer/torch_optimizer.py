"""Adam's moments, which several optimizers share."""

from dataclasses import dataclass

from sota_exp.stages.optimizer import OptimizerFactory
from sota_exp.stages.stage import FractionBelowOne, Positive


@dataclass(frozen=True, kw_only=True)
class MomentOptimizer(OptimizerFactory):
    """An optimizer with moving averages of the gradient (decay `beta1`) and of its square (decay `beta2`)."""

    beta1: FractionBelowOne
    beta2: FractionBelowOne
    eps: Positive
