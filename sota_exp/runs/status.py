"""Values of `status` in result.json."""

#: Statuses of a run whose training is complete, so that metrics and weights are final.
COMPLETE_STATUSES = ("finished", "stopped_early")

#: All statuses.
STATUSES = (*COMPLETE_STATUSES, "pruned", "interrupted", "failed")
