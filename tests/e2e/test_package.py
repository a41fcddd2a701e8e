"""The Debian package, as a machine that has nothing but it and what it depends on: .package/check installs, runs and
purges it there. The package of arm64 is looked at by `./lab test arm64`, which has to cross compile it first."""

import pathlib
import subprocess

import pytest

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]
pytestmark = [pytest.mark.netlab_only, pytest.mark.needs("lintian", "dpkg-shlibdeps")]


def words(*command):
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=300, cwd=REPOSITORY)
    return done.returncode, done.stdout


def test_package_installs_runs_and_goes(request, tmp_path):
    binary = pathlib.Path(request.config.getoption("--netlab")).resolve()
    arch = words("dpkg", "--print-architecture")[1].strip()
    code, out = words(".package/deb", arch, str(binary), str(tmp_path / "package"))
    assert code == 0, out
    deb = out.strip().splitlines()[-1]
    if words("apt-cache", "show", "libuv1")[0]:
        pytest.skip("machine: apt has no package lists")
    code, said = words(".package/check", deb, str(tmp_path / "check"))
    assert code == 0, said
    for step in ("files and owners", "checksums", "lintian", "installed by dpkg, with its dependencies alone", "netlab 0.1.0 runs", "its recipes are good", "purged"):
        assert f"ok: {step}" in said, said

    # The check can fail.
    tree = tmp_path / "package/tree"
    (tree / "opt").mkdir()
    (tree / "opt/thing").write_text("out of place")
    broken = str(tmp_path / "broken.deb")
    assert words("dpkg-deb", "--root-owner-group", "-Znone", "--build", str(tree), broken)[0] == 0
    code, said = words(".package/check", broken, str(tmp_path / "check"))
    assert code == 1 and "out of place: ./opt/" in said, said
