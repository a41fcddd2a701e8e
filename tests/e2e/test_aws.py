"""The lab's recipes against the strict stand-in of tests/aws, with Debian's awscli beside them: what one makes the
other sees, whatever is killed on the way."""

import base64
import http.server
import json
import os
import pathlib
import random
import re
import shlex
import shutil
import signal
import subprocess
import threading
import time
import urllib.parse
import urllib.request

import pytest

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]
RECIPES = REPOSITORY / "examples/aws"
IMAGE = "ami-0ipxearm640000000"  # one that the stand-in has
SECRET = "secret-of-the-test"
pytestmark = [pytest.mark.netlab_only]


def environment(endpoint, home, **more):
    out = {key: value for key, value in os.environ.items() if not key.startswith("AWS_")}
    out.update(HOME=str(home), AWS_ENDPOINT_URL=endpoint, AWS_REGION="eu-west-1", AWS_DEFAULT_REGION="eu-west-1", AWS_PAGER="",
               AWS_ACCESS_KEY_ID="AKIDTEST", AWS_SECRET_ACCESS_KEY=SECRET, AWS_EC2_METADATA_DISABLED="true")
    out.update(more)
    return out


class StandIn:
    """The stand-in on an address of its own, so that no port is fought over."""

    used = 0

    def __init__(self, binary, folder, address=None, **options):
        StandIn.used += 1
        self.address = address or f"127.{100 + StandIn.used % 100}.{os.getpid() // 250 % 250}.{os.getpid() % 250 + 1}:24567"
        self.endpoint = f"http://{self.address}"
        self.binary, self.folder = str(binary), folder
        folder.mkdir(parents=True, exist_ok=True)
        self.home = folder / "home"
        self.home.mkdir(exist_ok=True)
        self.log = open(folder / "stand-in.log", "wb")
        command = [self.binary, "--control", str(folder / "control.sock"), "run", str(REPOSITORY / "tests/aws/stand_in.lua"), "--listen", self.address]
        for key, value in options.items():
            command += [f"--{key}", str(value)]
        self.process = subprocess.Popen(command, stdout=self.log, stderr=subprocess.STDOUT)
        deadline = time.monotonic() + 30
        while True:
            try:
                self.ask("list")
                break
            except OSError:
                assert self.process.poll() is None and time.monotonic() < deadline, (folder / "stand-in.log").read_text()
                time.sleep(0.02)

    def ask(self, what, **query):
        with urllib.request.urlopen(f"{self.endpoint}/-/{what}?{urllib.parse.urlencode(query)}", timeout=20) as answer:
            body = answer.read().decode()
        return json.loads(body) if body.startswith(("[", "{")) else body

    def world(self, **what):
        """What there is to be told of prices, bills and free hours."""
        request = urllib.request.Request(f"{self.endpoint}/-/world", json.dumps(what).encode(), method="POST")
        urllib.request.urlopen(request, timeout=20).read()

    def list(self, lab):
        found = self.ask("list", lab=lab)
        return sorted(found) if found else []

    def command(self, recipe, *options):
        return [self.binary, "run", str(RECIPES / f"{recipe}.lua"), "--pace", "40ms", "--backoff", "4ms", "--visibility", "250ms", "--lab", "lab",
                "--prices", str(self.folder / "prices.json"), *options]

    def run(self, recipe, *options, expect=None, **more):
        done = subprocess.run(self.command(recipe, *options), env=environment(self.endpoint, self.home, **more), stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, timeout=120, text=True, cwd=self.folder)
        assert SECRET not in done.stdout
        if expect is not None:
            assert done.returncode == expect, done.stdout
        return done

    def netlab(self, *words, expect=0):
        """A command of netlab's that asks AWS: what it prints."""
        done = subprocess.run([str(self.binary), *words], env=environment(self.endpoint, self.home), stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, timeout=120, text=True, cwd=self.folder)
        assert done.returncode == expect and SECRET not in done.stdout, done.stdout
        return done.stdout

    def aws(self, *words, **more):
        command = ["aws", "--endpoint-url", self.endpoint, "--output", "json", *words]
        done = subprocess.run(command, env=environment(self.endpoint, self.home, **more), stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=120, text=True)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout or "{}")

    def close(self):
        self.process.terminate()
        self.process.wait(20)
        self.log.close()


@pytest.fixture
def stand_in(request, tmp_path):
    made = []

    def start(**options):
        made.append(StandIn(pathlib.Path(request.config.getoption("--netlab")).resolve(), tmp_path / f"aws{len(made)}", **options))
        return made[-1]
    yield start
    for each in made:
        each.close()


def test_recipes(stand_in):
    """An evening: price, raise, launch, check, audit, end, remove; exit codes say what happened."""
    cloud = stand_in(delay=0.05, lag=0.05)
    planned = cloud.run("lab", "--dry-run", expect=2).stdout
    assert "nobody can log in to the bastion without --ssh and --key" in planned
    assert "is the whole internet" in cloud.run("lab", "--ssh", "::/0", "--yes", expect=2).stdout and cloud.list("lab") == []
    assert "+ vpc/main" in planned and "the bastion then costs $2.8" in planned and cloud.list("lab") == []
    assert "a NAT gateway would be $38.69 a month, 387 times the budget" in planned
    assert "holds a registry cache of up to 2 GB" in planned and "10 GB more would be $0.18 a month" in planned
    assert "the NAT gateway is never free: $38.69 a month" in cloud.run("lab", "--dry-run", "--nat", "gateway", expect=2).stdout
    assert "0.3667/month (20 GB gp3)" in cloud.run("lab", "--dry-run", "--disk", "20GiB", expect=2).stdout.replace("0.37", "0.3667")
    ssh = ("--ssh", "2001:db8::1/128")
    saved = str(cloud.folder / "plan.json")
    assert "nothing was changed: --yes does it" in cloud.run("lab", "--save", saved, *ssh, expect=2).stdout
    cloud.run("lab", "--plan", saved, "--yes", *ssh, expect=2)
    cloud.run("lab", "--yes", *ssh, expect=0)
    assert "+ instance/talos-node-3  $0/h (t4g.small" in cloud.run("talos-launch", "--image", IMAGE, "--count", "3", "--dry-run", expect=2).stdout
    launched = cloud.run("talos-launch", "--image", IMAGE, "--count", "3", "--yes", expect=2).stdout
    assert "talos-node-3" in launched and "10.20.13.13" in launched
    four = cloud.run("talos-launch", "--image", IMAGE, "--count", "4", "--hours", "5", "--dry-run", expect=2).stdout
    assert "$0.0491 for an evening of 5 h" in four and "with the bastion these are 5 t4g instances: the lab's rule is 4 at once" in four
    checked = cloud.run("cost-check").stdout
    assert "an experiment of 3 nodes for 3 h costs" in checked
    calls = {call["action"] for call in cloud.ask("calls")}
    assert "GetCostAndUsage" not in calls
    report = cloud.folder / "audit"
    audited = cloud.run("audit", "--report", str(report), "--allow-ssh", "2001:db8::1/128", expect=0).stdout
    assert "Nothing is public" in audited
    assert "lets SSH in from 2001:db8::1/128" in cloud.run("audit", "--allow-ssh", "2001:db8::2/128", expect=2).stdout
    filed = json.loads((cloud.folder / "audit.json").read_text())
    assert filed["clean"] is True and filed["account"] == "123456789012" and "account 123456789012" in audited
    told = cloud.run("teardown", "--session", expect=2).stdout  # without --yes it only tells
    assert re.search(r"eu-west-1 instance +i-\w+ +talos-node-3 +free in the t4g.small trial", told) and "vpc" not in told, told
    assert "subnet" in cloud.run("teardown", "--all", expect=2).stdout
    cloud.run("teardown", "--session", "--yes", expect=2)
    assert not [line for line in cloud.list("lab") if line.startswith("instance talos")]
    cloud.run("talos-launch", "--image", IMAGE, "--count", "2", "--yes", expect=2)
    cloud.run("reaper", "--once", expect=0)  # they have three hours
    cloud.run("teardown", "--session", "--yes", expect=2)
    cloud.run("talos-launch", "--image", IMAGE, "--count", "2", "--hours", "0.0001", "--yes", expect=2)
    deadline = time.monotonic() + 60
    while (ended := cloud.run("reaper", "--once")).returncode != 2:
        assert ended.returncode == 0 and time.monotonic() < deadline, ended.stdout
    assert "talos-node-1" in ended.stdout and "talos-node-2" in ended.stdout
    gone = cloud.run("teardown", "--all", "--yes", expect=2).stdout
    assert "nothing of lab lab is left in 2 regions: $0.00 a month" in gone
    assert cloud.list("lab") == []
    cloud.run("teardown", "--all", "--yes", expect=0)


@pytest.mark.needs("aws")
def test_awscli_sees_the_same(stand_in):
    """awscli signs and encodes on its own: both clients see what the other made."""
    cloud = stand_in(delay=0.02)
    cloud.run("lab", "--yes", expect=2)
    cloud.run("talos-launch", "--image", IMAGE, "--count", "2", "--yes", expect=2)
    mine = "Name=tag:netlab:lab,Values=lab"
    assert cloud.aws("ec2", "describe-vpcs", "--filters", mine)["Vpcs"][0]["CidrBlock"] == "10.20.0.0/16"
    subnets = cloud.aws("ec2", "describe-subnets", "--filters", mine)["Subnets"]
    assert sorted(s["CidrBlock"] for s in subnets) == ["10.20.1.0/24", "10.20.13.0/24"]
    groups = {g["GroupName"]: g for g in cloud.aws("ec2", "describe-security-groups", "--filters", mine)["SecurityGroups"]}
    pairs = [p["UserIdGroupPairs"][0]["GroupId"] for p in groups["bastion-sg"]["IpPermissions"] if p["UserIdGroupPairs"]]
    assert pairs == [groups["talos-nodes-sg"]["GroupId"]]
    nodes = [i for r in cloud.aws("ec2", "describe-instances", "--filters", "Name=tag:netlab:session,Values=yes")["Reservations"] for i in r["Instances"]]
    assert sorted(n["PrivateIpAddress"] for n in nodes) == ["10.20.13.11", "10.20.13.12"]
    assert all(n["MetadataOptions"]["HttpTokens"] == "required" and n["State"]["Name"] == "running" for n in nodes)
    template = cloud.aws("ec2", "describe-launch-template-versions", "--launch-template-name", "lab-bastion")["LaunchTemplateVersions"][0]["LaunchTemplateData"]
    assert template["CreditSpecification"] == {"CpuCredits": "standard"}
    assert [i["DeviceIndex"] for i in template["NetworkInterfaces"]] == [0, 1]
    scaling = cloud.aws("autoscaling", "describe-auto-scaling-groups")["AutoScalingGroups"]
    assert [g["AutoScalingGroupName"] for g in scaling] == ["tf-asg"]
    actions = cloud.aws("autoscaling", "describe-scheduled-actions", "--auto-scaling-group-name", "tf-asg")["ScheduledUpdateGroupActions"]
    assert sorted((a["Recurrence"], a["TimeZone"], a["DesiredCapacity"]) for a in actions) == [
        ("0 18 * * *", "Europe/Dublin", 1), ("0 23 * * *", "Europe/Dublin", 0)]
    assert sorted(r["RoleName"] for r in cloud.aws("iam", "list-roles", "--path-prefix", "/netlab/lab/")["Roles"]) == ["lab-bastion", "lab-reaper"]
    # The fix that an audit names is a command that works.
    opened = ["IpProtocol=tcp,FromPort=22,ToPort=22,Ipv6Ranges=[{CidrIpv6=::/0}]", "IpProtocol=-1,IpRanges=[{CidrIp=0.0.0.0/0}]"]
    for permission in opened:
        cloud.aws("ec2", "authorize-security-group-ingress", "--group-id", groups["bastion-sg"]["GroupId"], "--ip-permissions", permission)
    found = cloud.run("audit", expect=2).stdout
    assert "bastion-sg lets port 22 in from ::/0" in found and "bastion-sg lets all ports in from 0.0.0.0/0" in found, found
    assert "ingress: - tcp 22 ::/0" in cloud.run("lab", "--dry-run", expect=2).stdout
    for fix in re.findall(r"aws (ec2 revoke-security-group-ingress .*)", found):
        cloud.aws(*shlex.split(fix))
    cloud.run("audit", expect=0)
    made = cloud.aws("ec2", "create-network-interface", "--subnet-id", next(s["SubnetId"] for s in subnets if s["CidrBlock"] == "10.20.13.0/24"))
    eni = made["NetworkInterface"]["NetworkInterfaceId"]
    assert f"in the way: network interface {eni} is not the lab's" in cloud.run("teardown", "--all", "--dry-run", expect=1).stdout
    refused = cloud.run("teardown", "--all", "--yes", expect=1).stdout
    assert eni in refused and "nothing was deleted" in refused
    cloud.aws("ec2", "delete-network-interface", "--network-interface-id", eni)
    # What others made beside the lab is priced; with the lab's tag it is named, and nobody deletes it.
    cloud.aws("elb", "create-load-balancer", "--load-balancer-name", "old", "--listeners", "Protocol=HTTP,LoadBalancerPort=80,InstancePort=80")
    cloud.aws("logs", "create-log-group", "--log-group-name", "/lab/boots", "--tags", "netlab:lab=lab")
    cloud.world(tagged=[{"region": "us-east-1", "arn": "arn:aws:rds:us-east-1:123456789012:db:notes", "tags": [{"key": "netlab:lab", "value": "lab"}]}])
    checked = cloud.run("cost-check", "--all-regions", expect=2).stdout
    assert re.search(r"eu-west-1 classic load balancer +old +\$0.0280/h, \$20.44 a month", checked), checked
    assert re.search(r"us-east-1 rds db +arn:aws:rds:us-east-1:123456789012:db:notes +only the bill tells what it costs", checked), checked
    assert ", and what 1 of them costs only the bill tells" in checked
    told = cloud.aws("resourcegroupstaggingapi", "get-resources", "--tag-filters", "Key=netlab:lab,Values=lab")["ResourceTagMappingList"]
    assert {r["ResourceARN"].split(":")[2] for r in told} == {"ec2", "logs"} and len(told) > 15
    asked = cloud.run("teardown", "--all", expect=1).stdout
    assert "delete it by hand" in asked and "/lab/boots" in asked, asked
    left = cloud.run("teardown", "--all", "--yes", expect=1).stdout
    assert "2 resources of lab lab are left, $0.00 a month, and what 1 of them costs only the bill tells:" in left and "db:notes" in left, left
    assert "2 of them were made by somebody else: delete them by hand" in left and "run it again" not in left, left
    cloud.aws("logs", "delete-log-group", "--log-group-name", "/lab/boots")
    cloud.world(tagged=[])
    cloud.run("teardown", "--all", "--yes", expect=0)


def test_money(stand_in):
    """Prices are fetched when that is asked for, a bill costs a cent and is kept, what is unexpected shows in the code."""
    cloud = stand_in(delay=0.02)
    cloud.run("lab", "--yes", expect=2)
    idle = cloud.run("cost-check", expect=0).stdout
    assert "month to date: $0.0000" in idle and "within the budget of $0.10" in idle
    cloud.run("talos-launch", "--image", IMAGE, "--count", "3", "--hours", "3", "--yes", expect=2)
    evening = cloud.run("cost-check", expect=0).stdout
    assert "public IPv4" not in evening and "elastic ip" in evening, evening  # three hours of the address, not a month
    cost = float(re.search(r"rest of the month: \$([0-9.]+)", evening)[1])
    assert 0.010 < cost < 0.035, evening
    assert "over the budget of $0.01" in cloud.run("cost-check", "--budget", "0.01", expect=2).stdout

    cloud.world(products=[
        {"service": "AmazonEC2", "sku": "A", "unit": "Hrs", "price": "0.0999", "attributes": {
            "usagetype": "EU-BoxUsage:t4g.small", "operatingSystem": "Linux", "preInstalledSw": "NA", "tenancy": "Shared", "capacitystatus": "Used"}},
        {"service": "AmazonEC2", "sku": "B", "unit": "Hrs", "price": "0.0480", "attributes": {"usagetype": "EU-NatGateway-Hours"}},
        {"service": "AmazonEC2", "sku": "C", "unit": "Hrs", "price": "9", "attributes": {"usagetype": "NatGateway-Hours"}},
        {"service": "AmazonEC2", "sku": "D", "unit": "Hrs", "price": "0.0520", "attributes": {"usagetype": "EUC1-NatGateway-Hours"}}])
    refreshed = cloud.netlab("aws", "prices", "--refresh")
    assert re.search(r"t4g.small +\$0.0999 +an hour \(was \$0.0184\)", refreshed) and re.search(r"nat_gateway +\$0.048 +an hour\n", refreshed)
    assert re.search(r"t4g.small +\$0.0999 +an hour\n", cloud.netlab("aws", "prices"))
    assert "those of eu-central-1, eu-north-1" in cloud.netlab("aws", "prices", "--refresh", "--region", "xx-1", expect=1)
    assert "(was $0.048)" in cloud.netlab("aws", "prices", "--refresh", "--region", "eu-central-1")
    kept = json.loads((cloud.folder / "prices.json").read_text())["prices"]
    assert (kept["eu-west-1"]["nat_gateway"], kept["eu-central-1"]) == (0.048, {"nat_gateway": 0.052})
    assert "the bastion then costs $15." in cloud.run("lab", "--dry-run").stdout

    kept = str(cloud.folder / "cost-explorer.json")
    cloud.world(costs=[{"service": "Amazon Elastic Compute Cloud - Compute", "amount": 0.02}])
    asked = cloud.run("cost-check", "--cost-explorer", "--cache", kept, expect=0).stdout
    assert "asking costs $0.01" in asked and "month to date by the bill: $0.0200" in asked
    cloud.world(costs=[{"service": "Amazon Relational Database Service", "amount": 0.01}])
    assert "asking costs" not in cloud.run("cost-check", "--cost-explorer", "--cache", kept, expect=0).stdout  # kept for the day
    (cloud.folder / "cost-explorer.json").unlink()
    assert "Amazon Relational Database Service $0.0100  UNEXPECTED" in cloud.run("cost-check", "--cost-explorer", "--cache", kept, expect=2).stdout
    assert [call["action"] for call in cloud.ask("calls")].count("GetCostAndUsage") == 2

    (cloud.folder / "prices.json").write_text(json.dumps({"dates": {"eu-west-1": time.strftime("%Y-%m-%d", time.gmtime(time.time() - 400 * 86400))}, "prices": {"eu-west-1": {"t4g.small": 0.02}}}))
    old = cloud.run("cost-check", expect=0).stdout
    assert "the prices are 400 days old" in old and "152 h of a bastion cost $3.04" in old, old
    (cloud.folder / "prices.json").write_text("[]")
    assert "is no table of prices" in cloud.run("lab", "--dry-run").stdout
    (cloud.folder / "prices.json").unlink()

    for _ in range(2):  # made once, and no mistake when it is there
        assert "AWS Budget netlab-lab watches too" in cloud.run("cost-check", "--aws-budget", "me@example.org", expect=0).stdout
    cloud.world(free=[{"service": "Amazon Elastic Compute Cloud", "usageType": "EU-BoxUsage:t4g.small", "actualUsageAmount": 600, "forecastedUsageAmount": 900, "limit": 750, "unit": "Hrs"}])
    assert "will not last for the month" in cloud.run("cost-check", expect=2).stdout
    # Who may not see budgets has no proof of zero; who may sees the lab's budget go with it.
    cloud.ask("deny", action="budgets:DescribeBudgets")
    unproven = cloud.run("teardown", "--all", "--yes", expect=1).stdout
    assert "not looked at: all regions, budget" in unproven and "that is no proof" in unproven, unproven
    cloud.ask("deny", action="")
    cloud.run("teardown", "--all", "--yes", expect=0)
    assert "netlab-lab" not in str(cloud.aws("budgets", "describe-budgets", "--account-id", "123456789012"))


@pytest.mark.needs("aws", "curl")
def test_bucket_and_package(stand_in):
    """The package goes into the lab's bucket; the bastion's own script fetches it with Debian's curl, which signs on its
    own, by the role that the metadata service names, and refuses other bytes."""
    cloud = stand_in(delay=0.02)
    package = cloud.folder / "netlab_0.1.0_arm64.deb"
    package.write_bytes(os.urandom(300_000))
    options = ("--bucket", "third-death-star-packages", "--package", str(package))
    assert "needs --bucket" in cloud.run("lab", *options[2:], "--dry-run", expect=2).stdout
    assert "bucket/third-death-star-packages" in cloud.run("lab", *options, "--dry-run", expect=2).stdout
    cloud.run("lab", *options, "--yes", expect=2)
    cloud.run("lab", *options, "--yes", expect=0)
    key = cloud.aws("s3api", "list-objects-v2", "--bucket", "third-death-star-packages")["Contents"][0]["Key"]
    assert key.startswith("packages/") and key.endswith("/netlab_0.1.0_arm64.deb")
    block = cloud.aws("s3api", "get-public-access-block", "--bucket", "third-death-star-packages")["PublicAccessBlockConfiguration"]
    assert set(block.values()) == {True} and len(block) == 4
    data = cloud.aws("ec2", "describe-launch-template-versions", "--launch-template-name", "lab-bastion", "--versions", "$Default")
    script = base64.b64decode(data["LaunchTemplateVersions"][0]["LaunchTemplateData"]["UserData"]).decode()

    class Metadata(http.server.BaseHTTPRequestHandler):
        def answer(self, text):
            self.send_response(200 if text else 404)
            self.send_header("content-length", str(len(text)))
            self.end_headers()
            self.wfile.write(text.encode())

        def do_PUT(self):
            self.answer("imds-token" if self.path == "/latest/api/token" and self.headers["X-aws-ec2-metadata-token-ttl-seconds"] else "")

        def do_GET(self):
            known = {"/": "lab-bastion", "/lab-bastion": json.dumps(
                {"Code": "Success", "AccessKeyId": "ASIAROLE", "SecretAccessKey": SECRET, "Token": "role-session", "Expiration": "2099-01-01T00:00:00Z"}, indent=2)}
            fine = self.headers["X-aws-ec2-metadata-token"] == "imds-token" and self.path.startswith("/latest/meta-data/iam/security-credentials")
            self.answer(known.get(self.path.removeprefix("/latest/meta-data/iam/security-credentials"), "") if fine else "")

        def log_message(self, *_):
            pass

    metadata = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Metadata)
    threading.Thread(target=metadata.serve_forever, daemon=True).start()
    fetched = cloud.folder / "fetched.deb"
    part = script[script.index("imds="):script.index("apt-get install")]
    assert "https://s3.dualstack.eu-west-1.amazonaws.com/third-death-star-packages/packages/" in part
    part = (part.replace("http://169.254.169.254", f"http://127.0.0.1:{metadata.server_port}").replace("https://s3.dualstack.eu-west-1.amazonaws.com", cloud.endpoint)
            .replace("/var/tmp/netlab.deb", str(fetched)).replace("--retry 10 --retry-all-errors --retry-delay 3", "").replace("--retry 10 --retry-all-errors", ""))

    def boot():
        return subprocess.run(["sh", "-euc", part], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=60)
    done = boot()
    assert done.returncode == 0 and fetched.read_bytes() == package.read_bytes(), done.stdout
    cloud.aws("s3api", "put-object", "--bucket", "third-death-star-packages", "--key", key, "--body", __file__)
    done = boot()
    assert done.returncode != 0 and "FAILED" in done.stdout, done.stdout
    metadata.shutdown()
    gone = cloud.run("teardown", "--all", "--yes", expect=2).stdout
    assert "deleted bucket third-death-star-packages" in gone and cloud.list("lab") == []


def test_launch_follows_boots(request, stand_in, tmp_path):
    """talos-launch shows the boots that the bastion sees, and says which node stopped where. The nodes are virtual: they
    ask the boot service for what iPXE would ask it for."""
    cloud = stand_in(delay=0.02)
    cloud.run("lab", "--yes", expect=2)
    host = cloud.address.split(":")[0]
    for name in ("kernel", "initrd"):
        (tmp_path / name).write_bytes(os.urandom(5000))
    (tmp_path / "machine.yaml").write_text("machine: {}\n")
    (tmp_path / "bastion.lua").write_text(f"""
local netlab = require "netlab"
netlab.state "state"
local nodes = netlab.nodes {{}}
local boot = netlab.boot.service {{ nodes = nodes, assets = "{tmp_path}",
  profiles = {{ talos = {{ kernel = "kernel", initrd = {{ "initrd" }}, args = {{ "console=ttyS0" }}, config = "{tmp_path}/machine.yaml" }} }},
  groups = {{ {{ profile = "talos" }} }} }}
netlab.http.server {{ listen = "{host}:18080", serve = {{ boot }} }}
""")
    bastion = subprocess.Popen([cloud.binary, "run", str(tmp_path / "bastion.lua")], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=tmp_path)
    status = f"{cloud.binary} --state {tmp_path / 'state'} status --boots --json"

    def machine(mac, *names):
        base = f"http://{host}:18080"
        with urllib.request.urlopen(f"{base}/ipxe?mac={mac}&arch=arm64", timeout=20) as answer:
            script = answer.read().decode()
        assert "kernel" in script
        for name in names:
            urllib.request.urlopen(f"{base}/{name}?mac={mac}" if name == "config" else f"{base}/assets/{name}?mac={mac}", timeout=20).read()

    def boots():
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            macs = {i["PrivateIpAddress"]: i["MacAddress"] for i in cloud.aws("ec2", "describe-network-interfaces", "--filters", "Name=tag:netlab:session,Values=yes")["NetworkInterfaces"]}
            if len(macs) == 2:
                machine(macs["10.20.13.11"], "kernel", "initrd", "config")
                machine(macs["10.20.13.12"], "kernel")
                return

    nodes = threading.Thread(target=boots)
    nodes.start()
    try:
        shown = cloud.run("talos-launch", "--image", IMAGE, "--count", "2", "--status", status, "--stage", "config", "--patience", "12s", "--yes", expect=1).stdout
        assert "talos-node-1" in shown and "config" in shown, shown
        assert "1 of 2 nodes came to config" in shown, shown
        assert "talos-node-2 did not come to config" in shown, shown
        nodes.join(60)
        macs = {i["PrivateIpAddress"]: i["MacAddress"] for i in cloud.aws("ec2", "describe-network-interfaces", "--filters", "Name=tag:netlab:session,Values=yes")["NetworkInterfaces"]}
        machine(macs["10.20.13.12"], "initrd", "config")
        assert "2 of 2 nodes came to config" in cloud.run("talos-launch", "--image", IMAGE, "--count", "2", "--status", status, "--stage", "config", "--yes", expect=0).stdout
    finally:
        bastion.terminate()
        bastion.wait(20)


def test_killed_at_random_points(stand_in):
    """Fifty kills while requests are throttled and answers are lost: nothing twice, nothing left, round after round."""
    cloud = stand_in(delay=0.15, lag=0.1)
    dice = random.Random(20261121)
    kills = 0

    def phase(*command):
        """Killed six times where chance has it, and started again until it is done."""
        nonlocal kills
        here = survived = 0
        while True:
            child = subprocess.Popen(cloud.command(*command), env=environment(cloud.endpoint, cloud.home), stdout=subprocess.PIPE,
                                     stderr=subprocess.STDOUT, cwd=cloud.folder)
            try:
                out = child.communicate(timeout=0.03 + dice.random() * 0.5 if here < 6 else 120)[0]
            except subprocess.TimeoutExpired:
                child.send_signal(signal.SIGKILL)
                child.communicate()
                kills, here = kills + 1, here + 1
                continue
            if child.returncode in (0, 2):
                return
            survived += 1
            assert survived < 20, out.decode()

    while kills < 50:
        cloud.ask("set", lose=0.03, throttle=0.3)
        phase("lab", "--yes")
        cloud.ask("set", lose=0, throttle=0)
        cloud.run("lab", "--dry-run", expect=0)
        raised = cloud.list("lab")
        assert len(raised) == len(set(raised)) == 17, raised
        cloud.ask("set", lose=0.03, throttle=0.3)
        phase("talos-launch", "--image", IMAGE, "--count", "3", "--yes")
        nodes = [line.strip() for line in cloud.list("lab") if line.startswith("instance talos-node")]
        assert nodes == [f"instance talos-node-{n}" for n in (1, 2, 3)]
        phase("teardown", "--all", "--yes")
        cloud.ask("set", lose=0, throttle=0)
        cloud.run("teardown", "--all", "--yes")
        assert cloud.list("lab") == []


def test_fleet(stand_in):
    """One declaration in several regions at once; one that is not enabled is told, the others are raised and removed."""
    cloud = stand_in(delay=0.02)
    regions = ("--regions", "eu-west-1,us-east-1,ap-east-1")
    planned = cloud.run("fleet", *regions, "--dry-run", expect=2).stdout
    assert "ap-east-1        not enabled" in planned and cloud.list("lab-eu-west-1") == []
    cloud.run("fleet", *regions, "--yes", expect=2)
    assert [line for line in cloud.list("lab-us-east-1") if line.startswith("instance")]
    cloud.run("fleet", *regions, "--yes", expect=0)
    cloud.run("fleet", *regions, "--down", "--yes", expect=2)
    assert cloud.list("lab-eu-west-1") == cloud.list("lab-us-east-1") == []


def test_recipes_run_side_by_side(stand_in):
    """The reaper stays up, and is in nobody's way."""
    cloud = stand_in()
    here = environment(cloud.endpoint, cloud.home, XDG_RUNTIME_DIR=str(cloud.folder))
    reaper = subprocess.Popen(cloud.command("reaper"), env=here, stdout=subprocess.DEVNULL, stderr=subprocess.STDOUT, cwd=cloud.folder)
    try:
        deadline = time.monotonic() + 60
        while not [call for call in cloud.ask("calls") or [] if call["action"] == "DescribeInstances"]:
            assert reaper.poll() is None and time.monotonic() < deadline
            time.sleep(0.05)
        cloud.run("lab", "--dry-run", expect=2, XDG_RUNTIME_DIR=str(cloud.folder))
    finally:
        reaper.terminate()
        assert reaper.wait(30) == 0


@pytest.mark.needs("faketime")
def test_wrong_clock(stand_in):
    """A machine whose clock is off by minutes works; by twenty, either way, it is told so once, before anything is made."""
    cloud = stand_in()

    def at(offset, recipe, *options, expect):
        done = subprocess.run(["faketime", "-f", offset, *cloud.command(recipe, *options)], cwd=cloud.folder, timeout=120, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              env=environment(cloud.endpoint, cloud.home, FAKETIME_DONT_FAKE_MONOTONIC="1"))
        assert done.returncode == expect, done.stdout
        return done.stdout

    for offset, words in (("+20m", "ahead of AWS'"), ("-20m", "behind AWS'")):
        for recipe, options in (("lab", ("--dry-run",)), ("lab", ("--yes",)), ("cost-check", ()), ("teardown", ("--all", "--yes"))):
            said = at(offset, recipe, *options, expect=1)
            assert re.search(r"this machine's clock is (19m 5\ds|20m( \d+s)?) " + words, said) and "timedatectl set-ntp true" in said, said
            assert said.count("NL-AWS-005") == 1 and "expired" not in said, said
    assert cloud.list("lab") == []
    made = {call["action"] for call in cloud.ask("calls") or []}
    assert not [action for action in made if action.startswith(("Create", "Allocate", "Run"))], made
    at("-4m", "lab", "--yes", expect=2)
    at("+4m", "lab", "--dry-run", expect=0)


def test_credentials_say_why(stand_in):
    cloud = stand_in()
    expired = cloud.run("lab", "--dry-run", expect=1, AWS_ACCESS_KEY_ID="AKIDOLD").stdout
    assert "have expired" in expired and "export new AWS_ACCESS_KEY_ID" in expired
    assert "another one is refused" in cloud.run("lab", "--help", expect=0).stdout
    wrong = cloud.run("lab", "--yes", "--account", "999999999999", expect=1).stdout
    assert "the credentials are of account 123456789012" in wrong
    cloud.ask("deny", action="ec2:CreateVpc")
    denied = cloud.run("lab", "--yes", expect=1).stdout
    assert '"Action":"ec2:CreateVpc"' in denied and cloud.list("lab") == []
    cloud.ask("deny", action="")
    cloud.run("lab", "--yes", expect=2)
    assert "does not belong to lab other" in cloud.run("lab", "--yes", "--lab", "other", expect=1).stdout and cloud.list("other") == []
    before = cloud.list("lab")
    assert "InvalidAMIID.NotFound" in cloud.run("talos-launch", "--image", "ami-0000", "--yes", expect=1).stdout
    small = cloud.run("lab", "--disk", "1GiB", "--yes", expect=1).stdout  # an image's disk is no matter of the declaration alone
    assert "needs a volume of 2 GB, lab-bastion has 1 GB: give it 2GiB, $0.18 for a month of 730 h" in small, small
    assert "--hours" in cloud.run("talos-launch", "--image", IMAGE, "--hours", "-1", "--yes", expect=2).stdout and cloud.list("lab") == before


@pytest.mark.needs("aws")
@pytest.mark.skipif(not shutil.which("moto_server"), reason="machine: no moto_server, of which Debian 12 has no package; the stand-in is the judge")
def test_moto_agrees(request, tmp_path):
    """The happy path against an implementation that we did not write."""
    process = subprocess.Popen(["moto_server", "-H", "127.0.0.1", "-p", "0"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        for line in process.stdout:
            if "Running on" in line:
                endpoint = line.split()[-1].strip()
                break
        threading.Thread(target=process.stdout.read, daemon=True).start()  # it logs each request
        asked = subprocess.run(["aws", "--endpoint-url", endpoint, "ec2", "describe-images", "--filters", "Name=architecture,Values=arm64"],
                               env=environment(endpoint, tmp_path), stdout=subprocess.PIPE, timeout=60, check=True)
        image = json.loads(asked.stdout)["Images"][0]["ImageId"]
        (tmp_path / "ask.lua").write_text("""
local netlab = require "netlab"
local aws = netlab.aws.client { region = "eu-west-1" }
local lab = netlab.plugin("awslab").lab {
  name = "lab", aws = aws, region = "eu-west-1", cidr = "10.2.0.0/16", nat = "instance",
  subnets = { public = { cidr = "10.2.1.0/24", public = true }, private = { cidr = "10.2.2.0/24" } },
  groups = { inside = { ingress = { { group = "outside" } } }, outside = { ingress = { { group = "inside" }, { cidr = "192.0.2.0/24", port = 22 } } } },
  bastion = { group = "bastions", address = "10.2.2.5", groups = { "outside" }, image = "IMAGE", disk = "15GiB", key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIEbmf0rp8D6MBzBOY7l3Z3xY0m1cpXOjX1d4i9Xb1dJX test", schedule = { start = "18:00", stop = "23:00" } },
  nodes = { groups = { "inside" }, image = "IMAGE", disk = "15GiB", first_address = "10.2.2.11" }, bucket = { name = "packages-of-the-lab" },
  pace = "50ms", visibility = "1s",
}
netlab.main(function()
  local made = assert(aws.ec2:create_vpc { cidr_block = "10.1.0.0/16", tag_specifications = { { resource_type = "vpc", tags = { a = "b" } } } })
  local found = assert(aws.ec2:describe_vpcs { filters = { ["tag:a"] = "b" } })
  assert(#found.vpcs == 1 and found.vpcs[1].vpc_id == made.vpc.vpc_id and found.vpcs[1].is_default == false)
  assert(aws.iam:create_role { role_name = "r", assume_role_policy_document = "{}" })
  assert(assert(aws.iam:list_roles {}).roles[1].role_name == "r")
  assert(aws.ec2:delete_vpc { vpc_id = made.vpc.vpc_id })
  -- A lab, as far as moto goes: it knows no image by Debian's parameter, and forgets the tags of DHCP options.
  local first = assert(lab:apply())
  assert(first.code == 2, first.failed[1] and first.failed[1].message)
  local again = assert(lab:plan())
  assert(again.code == 0, again:text())
  local launched = assert(lab:launch { count = 2 })
  assert(launched.code == 2, launched.failed[1] and launched.failed[1].message)
  assert(launched.nodes[2].ip == "10.2.2.12" and #assert(lab:nodes()) == 2)
  local gone = assert(lab:destroy())
  assert(gone.code == 2, gone.failed[1] and gone.failed[1].message)
  local left = assert(lab:inventory {})
  assert(#left.unseen == 0)
  for _, item in ipairs(left.items) do assert(item.lab ~= "lab", item.id) end
end)
""".replace("IMAGE", image))
        binary = pathlib.Path(request.config.getoption("--netlab")).resolve()
        done = subprocess.run([str(binary), "run", "ask.lua"], cwd=tmp_path, env=environment(endpoint, tmp_path), stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, timeout=60, text=True)
        assert done.returncode == 0, done.stdout
    finally:
        process.terminate()
        process.wait(20)
