"""The arms that each kind of study has, from its settings and the configuration of the command."""

import functools
from collections.abc import Sequence

from sota_exp import CONF, PACKAGE
from sota_exp.config.catalog import load_catalog
from sota_exp.config.hydra_compose import list_own_options
from sota_exp.config.rules import check_rules
from sota_exp.config.values import flatten
from sota_exp.errors import ConfigError, NotTrainable
from sota_exp.study import plan
from sota_exp.study.arms import StudyConfiguration
from sota_exp.study.plan import ForbiddenCheck, StudyDesign
from sota_exp.study.screening import plan_screening
from sota_exp.study.settings import StudySettings
from sota_exp.study.technique import Technique, build_overrides, build_slot_techniques
from sota_exp.study.two_stage import plan_two_stages


def build_blueprint(settings: StudySettings, base: StudyConfiguration) -> StudyDesign:
    """The arms of each kind of study."""
    if settings.kind == "null":
        return plan.plan_null(settings.num_arms)
    if settings.kind == "one_slot":
        return _design_one_slot(settings, base)
    choices, values = base.configuration.choices, flatten(base.configuration.values)
    chosen = settings.get_chosen_techniques()
    if settings.only is None:
        chosen = [each for each in chosen if each.given is None or values.get(each.given) is not None]
    techniques = [each.at(choices, values) for each in chosen]
    if settings.kind == "leave_one_out":
        return plan.plan_leave_one_out([*techniques, *_find_other_slots(settings, base, techniques)], choices)
    if settings.kind == "one_change":
        return plan.plan_one_change(techniques, choices)
    absent = [each.at(choices, values) for each in settings.get_absent_techniques()]
    if settings.kind in ("add_one_in", "pairs"):
        return (plan.plan_pairs if settings.kind == "pairs" else plan.plan_add_one_in)(techniques, absent)
    forbidden = make_forbidden_check([*absent, *techniques], base)
    if settings.kind == "ladder":
        return plan.plan_ladder(techniques, forbidden, absent)
    replaces, is_auto = settings.forbidden == "replace", settings.kind == "auto"
    beside = is_auto or settings.beside_leave_one_out
    design = plan_screening(techniques, settings.interactions, forbidden, replaces, beside, absent)
    return plan_two_stages(design) if is_auto else design


def _read_neutral_options() -> dict[str, str]:
    """Slot → its neutral option; `none` where there are several."""
    found: dict[str, str] = {}
    for option in load_catalog(CONF, PACKAGE):
        if option.is_neutral and "/" in option.group:
            found.setdefault(option.group, option.name)
    return found


def _find_other_slots(
    settings: StudySettings, base: StudyConfiguration, techniques: Sequence[Technique]
) -> list[Technique]:
    """One technique per slot that is on and that no named technique sets, directly or through a preset."""
    if not settings.every_slot or settings.only is not None:
        return []
    keys = {key for technique in techniques for key in technique.keys}
    neutral = _read_neutral_options()
    taken = {slot for slot in neutral if slot in keys or slot.rpartition("/")[0] in keys or slot.startswith("data/")}
    return build_slot_techniques(base.configuration.choices, neutral, taken)


def _design_one_slot(settings: StudySettings, base: StudyConfiguration) -> StudyDesign:
    slot = settings.slot or ""
    names = [option.name for option in load_catalog(CONF, PACKAGE) if option.group == slot] + list_own_options(slot)
    if not names:
        raise ConfigError(f"study.slot={slot}: no such slot; `sota-exp techniques` lists all slots")
    reference = settings.reference or _read_neutral_options().get(slot, base.configuration.choices.get(slot, names[0]))
    if reference not in names:
        raise ConfigError(f"study.reference={reference}: no such option of {slot}; legal: {', '.join(names)}")
    return plan.plan_one_slot(slot, names, reference)


def make_forbidden_check(techniques: Sequence[Technique], base: StudyConfiguration) -> ForbiddenCheck:
    """A function from the techniques that are on to the reason why they cannot be trained together, or None.

    It raises a `ConfigError` of a technique whose keys, options or values are wrong.
    """

    @functools.cache
    def reason(on: tuple[str, ...]) -> str | None:
        try:
            check_rules(base.compose(base.combine_overrides(build_overrides(techniques, on))))
        except NotTrainable as error:
            return str(error)
        return None

    return reason
