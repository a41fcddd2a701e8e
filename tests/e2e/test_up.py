"""`./lab up`, as a newcomer types it: the bastion runs and a virtual node boots against it."""

import os
import re
import subprocess

import pytest

from lab import bastion, netns


@pytest.mark.netlab_only
def test_up_once(request):
    """With --once it ends after the node has booted, and leaves no namespace behind."""
    environment = dict(os.environ, NETLAB=request.config.getoption("--netlab"))
    done = subprocess.run([str(bastion.REPOSITORY / "lab"), "up", "--once"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          text=True, timeout=120, env=environment, cwd="/")
    print(done.stdout)
    assert done.returncode == 0
    for stage in ("DISCOVER", "OFFER", "ACK"):
        assert re.search(rf"\b{stage}\b", done.stdout, re.I), f"the timeline shows no {stage}"
    assert "the virtual node booted" in done.stdout
    assert not re.search(r"^netlab-up-", netns.run("ip", "netns", "list"), re.M)
