"""What bash, zsh and fish offer at a Tab: netlab's commands, their options and those of a recipe."""

import os
import pathlib
import subprocess

import pytest

pytestmark = pytest.mark.netlab_only


@pytest.fixture
def words(request, tmp_path):
    """A function (shell program, lines for it) that runs the lines after netlab's completion was loaded."""
    binary = pathlib.Path(request.config.getoption("--netlab")).absolute()
    environment = {**os.environ, "PATH": f"{binary.parent}:{os.environ['PATH']}", "HOME": str(tmp_path), "LC_ALL": "C.UTF-8"}
    (tmp_path / "lab.lua").write_text('require("netlab").args { { name = "lab_name", type = "string", help = "of the lab" } }\n')

    def run(shell, lines, *options):
        script = tmp_path / f"netlab.{shell}"
        script.write_bytes(subprocess.run([binary, "completion", shell], stdout=subprocess.PIPE, check=True).stdout)
        done = subprocess.run([shell, *options, "-c", lines.replace("SCRIPT", str(script))], cwd=tmp_path, env=environment, timeout=60,
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        assert done.returncode == 0, done.stdout
        return done.stdout.split()
    return run


LINES = {"re": ["reload", "registry"], "dns ta": ["tail"], "dns tail --f": ["--follow"], "run lab.lua --": ["--lab-name"]}


@pytest.mark.parametrize("line", LINES)
def test_bash(words, line):
    out = words("bash", f"source SCRIPT; COMP_WORDS=(netlab {line})" """
        COMP_CWORD=$((${#COMP_WORDS[@]} - 1)); _netlab; printf '%s\\n' "${COMPREPLY[@]}" """)
    assert out == LINES[line]


@pytest.mark.needs("zsh")
@pytest.mark.parametrize("line", LINES)
def test_zsh(words, line):
    # compadd speaks to the line editor, which a script has none of: what would be shown is what it gets.
    out = words("zsh", "compdef() { :; }; compadd() { print -l -- $found; }; source SCRIPT\n"
                f"words=(netlab {line}); CURRENT=$#words; _netlab", "-f")
    assert out == LINES[line]


@pytest.mark.needs("fish")
@pytest.mark.parametrize("line", LINES)
def test_fish(words, line):
    out = words("fish", f"source SCRIPT; complete -C 'netlab {line}' | string split -f1 \\t", "--no-config")
    assert sorted(out) == sorted(LINES[line])
