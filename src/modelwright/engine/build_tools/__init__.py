"""Programs that run inside a build's container, with nothing but Python's own library: `runner.py`, `docker.py`."""
