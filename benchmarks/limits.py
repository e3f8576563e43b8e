"""Rows whose peer is what is allowed. Imports nothing large: a small process measures memory."""


def limit(name: str, value: float, goal: float, unit: str, **facts: object) -> dict[str, object]:
    """`ratio` of what was measured to its limit, which stands as the peer: at most 1. facts: precision, model, image_size."""
    return {
        "name": name,
        "ours": round(value, 3),
        "peer": goal,
        "ratio": round(value / goal, 3),
        "goal": 1,
        "unit": f"{unit} (at most the limit)",
        "precision": None,
        "model": None,
        "image_size": None,
        **facts,
    }
