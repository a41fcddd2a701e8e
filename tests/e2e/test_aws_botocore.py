"""The wire of AWS, action by action: what netlab sends and reads is what botocore sends and reads."""

import http.server
import json
import pathlib
import subprocess
import threading
import urllib.parse
import xml.etree.ElementTree as xml

import pytest
from awscli.botocore import loaders, model, parsers, serialize, xform_name

from test_aws import environment

pytestmark = [pytest.mark.netlab_only, pytest.mark.needs("aws")]


def exchange(tell):
    """A server that is asked one thing after the other: tell(number, method, path, headers, body) gives the answer's body."""

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True
        number = 0

        def answer(self):
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            told = tell(Handler.number, self.command, self.path, self.headers, body)
            Handler.number += 1
            self.send_response(200)
            self.send_header("content-length", str(len(told)))
            self.end_headers()
            self.wfile.write(told)

        do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = do_PATCH = answer

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


def listen(answer):
    """A server of the query protocols: answer("service.version.Action", fields) gives the body."""

    def tell(number, method, path, headers, body):
        fields = dict(urllib.parse.parse_qsl(body.decode(), keep_blank_values=True))
        scope = headers["authorization"].split("Credential=")[1].split("/")[3]
        return answer(f"{scope}.{fields['Version']}.{fields['Action']}", fields)

    return exchange(tell)


def ask_all(request, tmp_path, server, calls):
    """Has netlab make the calls, one after the other; the answers, or what went wrong instead of one."""
    (tmp_path / "calls.json").write_text(json.dumps(calls))
    (tmp_path / "ask.lua").write_text("""
local netlab = require "netlab"
local aws = netlab.aws.client { region = "eu-west-1" }
netlab.main(function()
  local out = {}
  for i, call in ipairs(netlab.json.decode(netlab.fs.read "calls.json")) do
    local got, err = aws:call(call.service, call.action, call.input or {}, { pages = 1 })
    out[i] = got or err.message
  end
  netlab.fs.write("answers.json", netlab.json.encode(out))
end)
""")
    binary = pathlib.Path(request.config.getoption("--netlab")).resolve()
    done = subprocess.run([str(binary), "run", "ask.lua"], cwd=tmp_path,
                          env=environment(f"http://127.0.0.1:{server.server_port}", tmp_path), stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, timeout=120, text=True)
    server.shutdown()
    assert done.returncode == 0, done.stdout
    return json.loads((tmp_path / "answers.json").read_text())


def test_requests_are_botocores(request, tmp_path):
    """Every action of EC2, Auto Scaling, IAM, STS and load balancing that Debian's botocore knows: its bytes are netlab's bytes."""
    calls, wanted = [], {}

    def sample(shape, depth=0):
        """A value for every member, and the same in snake_case."""
        if depth > 4:
            return None
        kind = shape.type_name
        if kind == "structure":
            theirs, ours = {}, {}
            for name, member in shape.members.items():
                value = sample(member, depth + 1)
                if value is not None and not (name == "Tags" and member.type_name != "list"):
                    theirs[name], ours[xform_name(name)] = value
            return (theirs, ours) if theirs else None
        if kind == "list":
            value = sample(shape.member, depth + 1)
            return ([value[0]], [value[1]]) if value is not None else None
        plain = {"string": "a b&ü", "character": "c", "boolean": True, "integer": 7, "long": 7, "float": 1.5, "double": 1.5}.get(kind)
        return (plain, plain) if plain is not None else None

    loader = loaders.Loader()
    for service in ("ec2", "autoscaling", "iam", "sts", "elbv2", "elb"):
        described = model.ServiceModel(loader.load_service_model(service, "service-2"), service)
        writer = serialize.create_serializer(described.metadata["protocol"], include_validation=False)
        for name in described.operation_names:
            operation = described.operation_model(name)
            value = sample(operation.input_shape) if operation.input_shape else None
            theirs, ours = value or ({}, {})
            wanted[f"{described.signing_name}.{described.api_version}.{name}"] = {key: str(text).lower() if isinstance(text, bool) else str(text)
                                                          for key, text in writer.serialize_to_request(theirs, operation)["body"].items()}
            calls.append({"service": service, "action": xform_name(name), "input": ours})
    got = {}

    def keep(name, fields):
        got[name] = fields
        return b"<R/>"

    told = ask_all(request, tmp_path, listen(keep), calls)
    missing = sorted(set(wanted) - set(got))
    assert not missing, (missing[:5], [each for each in told if isinstance(each, str)][:5])
    wrong = []
    for name, fields in wanted.items():
        ours = {key: value for key, value in got[name].items()}
        for key in set(fields) | set(ours):
            # A token that the caller leaves out is made, and the older botocore does not know all of them.
            if not key.endswith("ClientToken") and ours.get(key) != fields.get(key):
                wrong.append(f"{name}: {key}: botocore {fields.get(key)!r}, netlab {ours.get(key)!r}")
    assert len(wanted) > 700
    assert not wrong, "\n".join(wrong[:40]) + f"\n{len(wrong)} in all"


def test_answers_are_botocores(request, tmp_path):
    """Every answer of EC2, Auto Scaling, IAM, STS and load balancing that Debian's botocore knows, with one of each member
    and one entry in each list: what its parser reads is what netlab reads."""
    plain = {"string": "a b&amp;c", "character": "c", "boolean": "true", "integer": "7", "long": "7", "float": "1.5", "double": "1.5",
             "timestamp": "2026-11-21T12:00:00Z"}
    answers, wanted, calls = {}, {}, []

    def inside(shape, depth):
        """The XML of a value; None when it would be deeper than an example has to be."""
        kind = shape.type_name
        if kind in plain:
            return plain[kind]
        if depth > 7 or kind not in ("structure", "list"):
            return None
        if kind == "list":
            value = inside(shape.member, depth + 1)
            name = shape.member.serialization.get("name", "member")
            return None if value is None else f"<{name}>{value}</{name}>"
        out = ""
        for name, member in shape.members.items():
            if member.serialization.get("location") or member.serialization.get("xmlAttribute"):
                continue
            tag = member.serialization.get("name", name)
            if member.type_name == "list" and member.serialization.get("flattened"):
                value, tag = inside(member.member, depth + 2), member.member.serialization.get("name", tag)
            else:
                value = inside(member, depth + 1)
            if value is not None:
                out += f"<{tag}>{value}</{tag}>"
        return out or None

    def ours(shape, value):
        """What botocore read, with netlab's names; times stay as they came."""
        if shape.type_name == "structure":
            return {xform_name(key): ours(shape.members[key], each) for key, each in value.items() if key != "ResponseMetadata"}
        if shape.type_name == "list":
            return [ours(shape.member, each) for each in value]
        return plain["timestamp"] if shape.type_name == "timestamp" else value

    loader = loaders.Loader()
    for service in ("ec2", "autoscaling", "iam", "sts", "elbv2", "elb"):
        described = model.ServiceModel(loader.load_service_model(service, "service-2"), service)
        reader = parsers.create_parser(described.metadata["protocol"])
        for name in described.operation_names:
            shape = described.operation_model(name).output_shape
            body = inside(shape, 0) if shape else None
            if not body:
                continue
            wrapper = shape.serialization.get("resultWrapper")
            body = f"<{name}Response>{f'<{wrapper}>{body}</{wrapper}>' if wrapper else body}<requestId>r</requestId></{name}Response>"
            answers[f"{described.signing_name}.{described.api_version}.{name}"] = body.encode()
            wanted[f"{described.signing_name}.{described.api_version}.{name}"] = ours(shape, reader.parse({"status_code": 200, "headers": {}, "body": body.encode()}, shape))
            calls.append({"service": service, "action": xform_name(name), "name": f"{described.signing_name}.{described.api_version}.{name}"})

    told = ask_all(request, tmp_path, listen(lambda name, _: answers[name]), calls)
    got = {call["name"]: each for call, each in zip(calls, told)}
    wrong = []

    def compare(where, theirs, mine):
        if isinstance(theirs, dict) and isinstance(mine, dict):
            for key in theirs.keys() | mine.keys() - {"request_id", "response_metadata"}:
                compare(f"{where}.{key}", theirs.get(key), mine.get(key))
        elif isinstance(theirs, list) and isinstance(mine, list) and len(theirs) == len(mine):
            for one, other in zip(theirs, mine):
                compare(where + "[]", one, other)
        elif theirs != mine or isinstance(theirs, bool) != isinstance(mine, bool):
            wrong.append(f"{where}: botocore {theirs!r}, netlab {mine!r}")
    # A network that AWS has switched off names its groups unlike every other answer.
    for name, theirs in wanted.items():
        if name != "ec2.2016-11-15.DescribeClassicLinkInstances":
            compare(name, theirs, got[name])
    assert len(wanted) > 500
    assert not wrong, "\n".join(wrong[:40]) + f"\n{len(wrong)} in all"


def test_json_is_botocores(request, tmp_path):
    """Every action of Cost Explorer, Budgets, the price list, Systems Manager, EventBridge Scheduler, CloudWatch Logs and
    the tagging service that Debian's botocore knows: what is sent is what it sends, and what is read is what it reads."""
    plain = {"string": "a b&ü", "character": "c", "boolean": True, "integer": 7, "long": 7, "float": 1.5, "double": 1.5}

    def sample(shape, stamps, depth=0):
        """A value with each member, as it stands in JSON, and the same in snake_case; None when there is none."""
        kind = shape.type_name
        if kind == "timestamp":
            return stamps
        if kind in plain:
            return plain[kind], plain[kind]
        if depth > 6 or kind not in ("structure", "list", "map"):
            return None
        if kind == "structure":
            theirs, mine = {}, {}
            for name, member in shape.members.items():
                value = sample(member, stamps, depth + 1)
                if value is not None:
                    theirs[name], mine[xform_name(name)] = value
            return (theirs, mine) if theirs else None
        value = sample(shape.value if kind == "map" else shape.member, stamps, depth + 1)
        if value is None:
            return None
        return ({"a Key": value[0]}, {"a Key": value[1]}) if kind == "map" else ([value[0]], [value[1]])

    loader = loaders.Loader()
    calls, requests, bodies, answers = [], [], [], []
    for service in ("ce", "budgets", "pricing", "ssm", "scheduler", "logs", "resourcegroupstaggingapi"):
        described = model.ServiceModel(loader.load_service_model(service, "service-2"), service)
        writer = serialize.create_serializer(described.metadata["protocol"], include_validation=False)
        reader = parsers.create_parser(described.metadata["protocol"])
        for name in described.operation_names:
            operation = described.operation_model(name)
            theirs, mine = (operation.input_shape and sample(operation.input_shape, None)) or ({}, {})
            wanted = writer.serialize_to_request(theirs, operation)
            query = urllib.parse.urlencode(sorted((wanted["query_string"] or {}).items()), doseq=True)
            requests.append((wanted["method"], wanted["url_path"], query, wanted["headers"].get("X-Amz-Target"),
                             json.loads(wanted["body"] or b"{}")))
            body, read = (operation.output_shape and sample(operation.output_shape, (1795262400, 1795262400))) or ({}, {})
            bodies.append(json.dumps(body).encode())
            parsed = reader.parse({"status_code": 200, "headers": {}, "body": bodies[-1]}, operation.output_shape)
            assert {xform_name(key) for key in parsed} - {"response_metadata"} == set(read), name
            answers.append(read)
            calls.append({"service": service, "action": xform_name(name), "input": mine})
    got = []

    def tell(number, method, path, headers, body):
        path, _, query = path.partition("?")
        got.append((method, path, urllib.parse.urlencode(sorted(urllib.parse.parse_qsl(query, keep_blank_values=True))),
                    headers.get("X-Amz-Target"), json.loads(body or b"{}")))
        return bodies[number]

    read = ask_all(request, tmp_path, exchange(tell), calls)
    assert len(got) == len(requests) == len(read) > 200
    wrong = []
    for call, theirs, mine, answer, told in zip(calls, requests, got, answers, read):
        where = f"{call['service']}.{call['action']}"
        if "clientToken" not in theirs[4]:
            mine[4].pop("clientToken", None)  # made when it is left out; the older botocore does not know all of them
        if theirs != mine:
            wrong.append(f"{where}: botocore sends {theirs!r}\n   netlab {mine!r}")
        if isinstance(told, dict):
            told = {key: value for key, value in told.items() if key not in ("request_id", "response_metadata")}
        if answer != told and (answer or told):
            wrong.append(f"{where}: botocore reads {answer!r}\n   netlab {told!r}")
    assert not wrong, "\n".join(wrong[:20]) + f"\n{len(wrong)} in all"

def test_s3_is_botocores(request, tmp_path):
    """Every action of S3 that Debian's botocore knows: address, query, headers and body are what it sends."""
    import sys
    sys.path.insert(0, "/usr/lib/python3/dist-packages")
    plain = {"string": "a b&ü", "boolean": True, "integer": 7, "long": 7}

    def sample(shape, depth=0):
        """A value with each member, and the same in snake_case; None when there is none."""
        kind = shape.type_name
        if kind in plain:
            return plain[kind], plain[kind]
        if depth > 6 or kind not in ("structure", "list"):
            return None
        if kind == "list":
            value = sample(shape.member, depth + 1)
            return ([value[0]], [value[1]]) if value is not None else None
        theirs, mine = {}, {}
        for name, member in shape.members.items():
            where = member.serialization.get("location")
            value = sample(member, depth + 1)
            if where == "headers":
                value = {"word": "x"}, {"word": "x"}
            elif where == "header" and member.type_name == "string":
                value = "x y", "x y"  # a header is ASCII
            elif where == "header" and member.type_name == "list":
                value = ["x", "y"], ["x", "y"]
            elif where == "uri":
                value = ("bucket-1", "bucket-1") if name == "Bucket" else ("a/b c", "a/b c")
            # The length is the body's, which has none here; grants of access lists have an attribute, and are not sent.
            if value is not None and name != "ContentLength" and not member.serialization.get("xmlAttribute"):
                theirs[name], mine[xform_name(name)] = value
        return (theirs, mine) if theirs else None

    def tree(text):
        """The elements, in whatever order."""
        def inside(node):
            return node.tag.rpartition("}")[2], (node.text or "").strip(), sorted(inside(child) for child in node)
        return inside(xml.fromstring(text)) if text else None

    described = model.ServiceModel(loaders.Loader().load_service_model("s3", "service-2"), "s3")
    writer = serialize.create_serializer("rest-xml", include_validation=False)
    calls, requests = [], []
    for name in described.operation_names:
        operation = described.operation_model(name)
        if name == "WriteGetObjectResponse":
            continue  # an object lambda's: it goes to a host of its own
        theirs, mine = (operation.input_shape and sample(operation.input_shape)) or ({}, {})
        wanted = writer.serialize_to_request(theirs, operation)
        path, _, fixed = wanted["url_path"].partition("?")
        query = [(key, str(value).lower() if isinstance(value, bool) else str(value)) for key, value in (wanted["query_string"] or {}).items()]
        query += [(key, value) for key, value in urllib.parse.parse_qsl(fixed, keep_blank_values=True)]
        headers = {key.lower(): str(value).replace("True", "true") for key, value in wanted["headers"].items()
                   if key.lower().startswith("x-amz-") and not key.lower().startswith("x-amz-checksum-sha")}
        requests.append((wanted["method"], urllib.parse.unquote(path), sorted(query), headers, wanted["body"]))
        calls.append({"service": "s3", "action": xform_name(name), "input": mine})
    got = []

    def tell(number, method, path, headers, body):
        path, _, query = path.partition("?")
        got.append((method, urllib.parse.unquote(path), sorted(urllib.parse.parse_qsl(query, keep_blank_values=True)),
                    {key.lower(): value for key, value in headers.items() if key.lower().startswith("x-amz-")}, body))
        return b""

    told = ask_all(request, tmp_path, exchange(tell), calls)
    assert len(got) == len(requests) > 90, [each for each in told if isinstance(each, str)]
    wrong = []
    for call, theirs, mine in zip(calls, requests, got):
        for what, one, other in zip(("method", "path", "query"), theirs, mine):
            if one != other:
                wrong.append(f"{call['action']}: {what}: botocore {one!r}, netlab {other!r}")
        for key in theirs[3]:
            if mine[3].get(key) != theirs[3][key]:
                wrong.append(f"{call['action']}: {key}: botocore {theirs[3][key]!r}, netlab {mine[3].get(key)!r}")
        body = theirs[4] if isinstance(theirs[4], bytes) else str(theirs[4] or "").encode()
        same = tree(body) == tree(mine[4]) if body.startswith(b"<") else body == mine[4]
        if not same:
            wrong.append(f"{call['action']}: botocore {body!r}\n   netlab {mine[4]!r}")
    assert not wrong, "\n".join(wrong[:60]) + f"\n{len(wrong)} in all"
