"""``python -m hbsim``."""

from hbsim.cli.main import main

if __name__ == "__main__":
    main()
