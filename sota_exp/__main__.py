"""`python -m sota_exp` is `sota-exp`."""

from sota_exp.cli.main import main

if __name__ == "__main__":
    main()
