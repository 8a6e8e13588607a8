"""`python -m cgt`, which is what torchrun starts: `torchrun ... -m cgt train ...`."""

from cgt.cli.main import main

if __name__ == "__main__":
    main()
