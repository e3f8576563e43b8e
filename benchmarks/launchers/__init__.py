"""Shows that a launcher changes no number: `python -m benchmarks.launchers joblib`."""
