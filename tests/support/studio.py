"""What tests of Studio need of its server."""

import subprocess
import sys


def sign_in_link(server):
    command = [sys.executable, "-m", "modelwright", "studio", "--home", str(server.settings.home)]
    found = subprocess.run(command, capture_output=True, text=True, check=True, env=server.environ)
    return found.stdout.strip()
