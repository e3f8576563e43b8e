"""`python -m sota_exp` is `sota-exp`."""

from sota_exp.cli import main

if __name__ == "__main__":
    main()
