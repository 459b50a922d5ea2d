"""Run the converter from PYON v1 as a command."""

from sipyco_pyon.migrate import main

if __name__ == "__main__":
    main()
