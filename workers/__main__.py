"""`python -m workers render` and `python -m workers deliver`."""

from workers.app import main

if __name__ == "__main__":
    main()
