"""`python -m longtake` is the `longtake` command."""

from longtake.command import main

main()
