import subprocess
import sys


def test_without_the_extra_it_is_said_how_to_install_it():
    program = "import sys; sys.modules['typer'] = None; import hubbub.server"
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert result.returncode == 1
    assert 'pip install "hubbub[server]"' in result.stderr.splitlines()[-1]
