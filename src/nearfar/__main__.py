"""`python -m nearfar`, which is also what torchrun starts."""

from nearfar.commands import main

if __name__ == "__main__":
    main()
