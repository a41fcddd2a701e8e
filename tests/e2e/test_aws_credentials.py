"""Every place that credentials come from, to the end: netlab finds them where Debian's awscli does, AWS' stand-in sees
who it is, and what is missing or over is told with what to do."""

import hashlib
import json
import pathlib
import subprocess

import pytest

from lab import netns
from test_aws import SECRET, StandIn, environment

pytestmark = [pytest.mark.netlab_only]
WHO = """
local netlab = require "netlab"
local opt = netlab.args { { name = "profile", type = "string" }, { name = "mfa", type = "string" } }
local aws = netlab.aws.client { region = "eu-west-1", profile = opt.profile, mfa_code = opt.mfa, backoff = "4ms" }
netlab.main(function()
  local who, err = aws.sts:get_caller_identity {}
  print(who and who.arn or err.message)
  -- Once more: what has been found is kept, or renewed.
  if who then who, err = aws.ec2:describe_vpcs {} end
  if not who then print(err.message) end
  return who and 0 or 1
end)
"""


class Asker:
    """A user with a home of their own and nothing in the environment."""

    def __init__(self, cloud, folder):
        self.cloud, self.folder, self.home = cloud, folder, folder / "home"
        (self.home / ".aws/sso/cache").mkdir(parents=True)
        (folder / "who.lua").write_text(WHO)

    def config(self, text, credentials=f"[base]\naws_access_key_id = AKIDTEST\naws_secret_access_key = {SECRET}\n"):
        (self.home / ".aws/config").write_text(text)
        (self.home / ".aws/credentials").write_text(credentials)

    def login(self, session, **token):
        path = self.home / ".aws/sso/cache" / (hashlib.sha1(session.encode()).hexdigest() + ".json")
        path.write_text(json.dumps({"accessToken": "portal-token", "expiresAt": "2099-01-01T00:00:00Z"} | token))

    def environment(self, **more):
        out = environment(self.cloud.endpoint, self.home)
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            del out[name]
        return out | more

    def who(self, *options, expect=0, **more):
        done = subprocess.run([self.cloud.binary, "run", "who.lua", *options], cwd=self.folder, env=self.environment(**more), timeout=60, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        assert done.returncode == expect, done.stdout
        for secret in (SECRET, "secret-of-", "token-of-", "portal-token", "web-token", "container-token"):
            assert secret not in done.stdout, done.stdout
        return done.stdout

    def awscli(self, *options, **more):
        done = subprocess.run(["aws", "--endpoint-url", self.cloud.endpoint, *options, "sts", "get-caller-identity"], env=self.environment(**more), timeout=60, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)["Arn"]


@pytest.fixture
def asker(request, tmp_path):
    cloud = StandIn(pathlib.Path(request.config.getoption("--netlab")).resolve(), tmp_path / "aws")
    yield Asker(cloud, tmp_path)
    cloud.close()


@pytest.mark.needs("aws")
def test_profiles(asker):
    """Keys, sessions of MFA, roles by another profile and with a code, a process; what is over and what is missing."""
    keys = {"AWS_ACCESS_KEY_ID": "AKIDTEST", "AWS_SECRET_ACCESS_KEY": SECRET}
    assert "user/AKIDTEST" in asker.who(**keys) and "user/AKIDTEST" in asker.awscli(**keys)
    program = asker.folder / "vault"
    program.write_text(f"""#!/bin/sh\necho '{{"Version": 1, "AccessKeyId": "AKIDTEST", "SecretAccessKey": "{SECRET}", "Expiration": "2099-01-01T00:00:00Z"}}'\n""")
    program.chmod(0o755)
    asker.config(f"""
[profile role]
role_arn = arn:aws:iam::123456789012:role/lab-admin
source_profile = base
role_session_name = me
[profile guarded]
role_arn = arn:aws:iam::123456789012:role/lab-admin
source_profile = base
mfa_serial = arn:aws:iam::123456789012:mfa/me
[profile vault]
credential_process = {program}
[profile sealed]
credential_process = /bin/sh -c "echo the vault is sealed >&2; exit 3"
""", f"[base]\naws_access_key_id = AKIDTEST\naws_secret_access_key = {SECRET}\n[session]\naws_access_key_id = ASIAROLE\naws_secret_access_key = {SECRET}\naws_session_token = role-session\n"
         f"[old]\naws_access_key_id = AKIDOLD\naws_secret_access_key = {SECRET}\n"
         f"[dated]\naws_access_key_id = ASIAROLE\naws_secret_access_key = {SECRET}\naws_session_token = role-session\nexpiration = 2026-01-01T00:00:00Z\n")
    assert "user/AKIDTEST" in asker.who("--profile", "base") and "user/AKIDTEST" in asker.awscli("--profile", "base")
    assert "user/ASIAROLE" in asker.who(AWS_PROFILE="session") and "user/ASIAROLE" in asker.awscli(AWS_PROFILE="session")
    assert "assumed-role/lab-admin/me" in asker.who("--profile", "role")
    assert "asks for a code of arn:aws:iam::123456789012:mfa/me" in asker.who("--profile", "guarded", expect=1)
    assert "MultiFactorAuthentication failed" in asker.who("--profile", "guarded", "--mfa", "000000", expect=1)
    assert "assumed-role/lab-admin/netlab" in asker.who("--profile", "guarded", "--mfa", "123456")
    assert "user/AKIDTEST" in asker.who("--profile", "vault") and "user/AKIDTEST" in asker.awscli("--profile", "vault")
    assert "credential_process of profile sealed ended with 3: the vault is sealed" in asker.who("--profile", "sealed", expect=1)
    old = asker.who("--profile", "old", expect=1)
    assert "the credentials of profile old have expired" in old and "make a new access key for profile old" in old
    dated = asker.who("--profile", "dated", expect=1)
    assert "expired at 2026-01-01T00:00:00Z" in dated and "aws sts get-session-token" in dated
    assert 'there is no profile "nobody"' in asker.who("--profile", "nobody", expect=1)
    assert "instance metadata is disabled" in asker.who(expect=1, AWS_PROFILE="")


def test_a_code_is_used_once(asker):
    """The recipes take a role with an MFA code once for all that they ask: AWS takes no code twice."""
    asker.config("[profile guarded]\nrole_arn = arn:aws:iam::123456789012:role/lab-admin\nsource_profile = base\nmfa_serial = arn:aws:iam::123456789012:mfa/me\n")
    command = asker.cloud.command("cost-check", "--profile", "guarded", "--mfa-code", "123456", "--aws-budget", "me@example.org")
    done = subprocess.run(command, cwd=asker.folder, env=asker.environment(), timeout=60, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    assert done.returncode == 0 and "AWS Budget netlab-lab watches too" in done.stdout, done.stdout


def test_single_sign_on(asker):
    """By a session and by the older form; nobody logged in, and a login that is over, here or in the portal's eyes."""
    asker.config("""
[profile new]
sso_session = home
sso_account_id = 123456789012
sso_role_name = admin
[sso-session home]
sso_region = eu-west-1
sso_start_url = https://home.example.org/start
[profile older]
sso_start_url = https://older.example.org/start
sso_region = eu-west-1
sso_account_id = 123456789012
sso_role_name = reader
""")
    assert "nobody is logged in to SSO for profile new: run: aws sso login --profile new" in asker.who("--profile", "new", expect=1)
    asker.login("home")
    assert "assumed-role/admin/session" in asker.who("--profile", "new")
    asker.login("https://older.example.org/start")
    assert "assumed-role/reader/session" in asker.who("--profile", "older")
    asker.login("home", expiresAt="2026-01-01T00:00:00Z")
    assert "the SSO login of profile new has expired: run: aws sso login --profile new" in asker.who("--profile", "new", expect=1)
    asker.login("home", accessToken="revoked")
    revoked = asker.who("--profile", "new", expect=1)
    assert "UnauthorizedException" in revoked and "aws sso login --profile new" in revoked, revoked


def test_web_identity(asker):
    """By variables and by profile; the token is read from its file, and a token that is over says so."""
    token = asker.folder / "token"
    token.write_text("web-token\n")
    role = "arn:aws:iam::123456789012:role/pod"
    asker.config(f"[profile web]\nrole_arn = {role}\nweb_identity_token_file = {token}\n")
    assert "assumed-role/pod/session" in asker.who(AWS_WEB_IDENTITY_TOKEN_FILE=str(token), AWS_ROLE_ARN=role)
    assert "assumed-role/pod/session" in asker.who("--profile", "web")
    token.write_text("over")
    assert "InvalidIdentityToken" in asker.who("--profile", "web", expect=1)
    token.unlink()
    assert f"{token}: No such file" in asker.who("--profile", "web", expect=1)


@pytest.mark.needs("aws")
def test_instance_and_container(request, tmp_path):
    """Metadata where EC2 and ECS have it, 169.254.169.254 and 169.254.170.2, in a namespace that has these addresses."""
    binary = pathlib.Path(request.config.getoption("--netlab")).resolve()
    with netns.Network() as network:
        machine = network.host("instance")
        for address in ("169.254.169.254", "169.254.170.2"):
            machine.ip("addr", "add", f"{address}/32", "dev", "lo")
        with netns.inside(machine.name):
            cloud = StandIn(binary, tmp_path / "aws", address="169.254.169.254:80")
            asker = Asker(cloud, tmp_path)
            here = {"AWS_EC2_METADATA_DISABLED": "false"}
            try:
                assert "assumed-role/lab-bastion/session" in asker.who(**here) and "assumed-role/lab-bastion/session" in asker.awscli(**here)
                # Roles take their credentials there too.
                asker.config("[profile far]\nrole_arn = arn:aws:iam::123456789012:role/far\ncredential_source = Ec2InstanceMetadata\n")
                assert "assumed-role/far/netlab" in asker.who("--profile", "far", **here)
                # A session that ends while netlab runs is renewed without a word.
                (tmp_path / "who.lua").write_text(WHO.replace("  -- Once more", f'  assert(netlab.http.get("{cloud.endpoint}/-/expire"))\n  -- Once more'))
                assert "expired" not in asker.who(**here)
                (tmp_path / "who.lua").write_text(WHO)
                cloud.world(no_role=True)
                assert "this instance has no role: attach an instance profile" in asker.who(expect=1, **here)
            finally:
                cloud.close()
            cloud = StandIn(binary, tmp_path / "ecs", address="169.254.170.2:80")
            asker.cloud = cloud
            task = {"AWS_CONTAINER_CREDENTIALS_RELATIVE_URI": "/v2/credentials/lab", "AWS_CONTAINER_AUTHORIZATION_TOKEN": "container-token"}
            try:
                assert "assumed-role/task/session" in asker.who(**task)
                assert "the container's credentials answers 403" in asker.who(expect=1, **(task | {"AWS_CONTAINER_AUTHORIZATION_TOKEN": "wrong"}))
                full = {"AWS_CONTAINER_CREDENTIALS_FULL_URI": f"{cloud.endpoint}/v2/credentials/lab", "AWS_CONTAINER_AUTHORIZATION_TOKEN": "container-token"}
                assert "assumed-role/task/session" in asker.who(**full) and "assumed-role/task/session" in asker.awscli(**full)
                # Nothing answers: no metadata, no container.
                assert "no instance metadata answers here" in asker.who(expect=1, **here)
            finally:
                cloud.close()
