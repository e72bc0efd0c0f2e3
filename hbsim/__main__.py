"""The module behind ``python -m hbsim``: it runs the command line."""

from hbsim.cli.main import main

if __name__ == "__main__":
    main()
