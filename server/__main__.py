"""`python -m server` is the command `arcgis-license-mcp`."""

from server.cli import main

if __name__ == "__main__":
    main()
