"""Values of `status` in result.json."""

#: Statuses of a run whose training is complete, so that metrics and weights are final.
COMPLETE = ("finished", "stopped_early")


STATUSES = ("finished", "stopped_early", "pruned", "failed", "interrupted")
