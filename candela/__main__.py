"""``python -m candela`` is the command ``candela``."""

from candela.cli import main

if __name__ == "__main__":
    main()
