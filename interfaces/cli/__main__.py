"""`python -m interfaces.cli`: the command line, for whoever starts it without knowing its place."""

from interfaces.cli import main

if __name__ == "__main__":
    main()
