#!/usr/bin/python3
"""Makes names.cc: where the AWS APIs' own names differ from what a rule says.

    update_names.py FOLDER DATE > names.cc

FOLDER holds one <service>.json a service, as botocore's data/<service>/<version>/service-2.json has it.  Only
facts that shapes.cc cannot derive go into the file: see its comments for the rules.
"""
import collections
import json
import re
import sys
import textwrap

SERVICES = ["ec2", "autoscaling", "iam", "sts", "s3", "ce", "freetier", "pricing", "budgets", "scheduler", "ssm", "sso", "elbv2", "elb", "logs",
            "resourcegroupstaggingapi"]

FIRST, END, SPECIAL = re.compile("(.)([A-Z][a-z]+)"), re.compile("([a-z0-9])([A-Z])"), re.compile("[A-Z]{2,}s$")


def snake(name):
    found = SPECIAL.search(name)
    if found:
        name = name[: -len(found.group())] + "_" + found.group().lower()
    return END.sub(r"\1_\2", FIRST.sub(r"\1_\2", name)).lower()


def pascal(text):
    return "".join(part[:1].upper() + part[1:] for part in text.split("_"))


def singular(word):
    if word.endswith("ies"):
        return word[:-3] + "y"
    return word[:-1] if word.endswith("s") else word


def upper_first(word):
    return word[:1].upper() + word[1:]


class Model:
    def __init__(self, path):
        self.data = json.load(open(path))
        self.shapes, self.meta = self.data["shapes"], self.data["metadata"]
        self.protocol = self.meta["protocol"]
        if self.protocol not in ("ec2", "query", "json", "rest-json", "rest-xml"):
            self.protocol = next(p for p in self.meta["protocols"] if p in ("ec2", "query", "json", "rest-json", "rest-xml"))

    def members(self, side):
        """(action, parent's key or none, structure, member's name, member, its shape) of every structure."""
        for action, operation in self.data["operations"].items():
            if side not in operation:
                continue
            seen, todo = set(), [(operation[side]["shape"], "")]
            while todo:
                name, parent = todo.pop()
                if (name, parent) in seen:
                    continue
                seen.add((name, parent))
                shape = self.shapes[name]
                if shape["type"] == "structure":
                    for key, member in shape["members"].items():
                        target = self.shapes[member["shape"]]
                        yield action, parent, name, key, member, target
                        todo.append((member["shape"], snake(key) if side == "input" else member.get("locationName", key)))
                elif shape["type"] == "list":
                    todo.append((shape["member"]["shape"], parent))
                elif shape["type"] == "map":
                    todo.append((shape["value"]["shape"], parent))

    def innermost(self, shape):
        """What a list, or a list of lists, is of."""
        while shape["type"] == "list":
            shape = self.shapes[shape["member"]["shape"]]
        return shape

    def input_name(self, key, member, shape):
        if self.protocol == "ec2":
            return member.get("queryName") or upper_first(member.get("locationName", key))
        if self.protocol == "query" and shape["type"] == "list" and shape.get("flattened"):
            return shape["member"].get("locationName", key)
        return member.get("locationName", key)

    def input_rule(self, key, shape):
        name = pascal(snake(key))
        if self.protocol == "ec2" and shape["type"] == "list":
            return singular(name)
        if self.meta["serviceId"] in ("FreeTier", "CloudWatch Logs") or self.meta["endpointPrefix"].startswith("portal.sso"):
            return name[:1].lower() + name[1:]
        return name

    def output_rule(self, wire):
        if self.protocol == "ec2" and wire.endswith("Set"):
            base = wire[:-3]
            return snake(base if base.endswith("s") else base[:-1] + "ies" if base.endswith("y") else base + "s")
        return snake(wire)


def exceptions(uses, rule):
    """{key: value} where most uses differ from the rule, and {"context.key": value} where a
    context's uses differ from that, and {"Action/context.key": value} where one action's do."""
    usual, special = {}, {}
    for key, values in sorted(uses.items()):
        def most_used(some):
            votes = collections.Counter(some)
            return sorted(votes.items(), key=lambda item: (-item[1], item[0]))[0][0]
        most = most_used(value for value, _ in values)
        if most != rule(key, values[0][1][1]):
            usual[key] = most
        contexts = collections.defaultdict(list)
        for value, (context, _, action) in values:
            contexts[context].append((value, action))
        for context, those in contexts.items():
            here = most_used(value for value, _ in those)
            if here != most:
                special[context + "." + key] = here
            for value, action in those:
                if value != here:
                    special[action + "/" + context + "." + key] = value
    return usual, special


def describe(service, path):
    model = Model(path)
    out = collections.OrderedDict()
    out["protocol"] = [model.protocol + ("-" + model.meta["jsonVersion"] if model.protocol == "json" else "")]
    out["version"] = [model.meta["apiVersion"]]
    out["endpoint"] = [model.meta["endpointPrefix"]]
    if model.meta.get("signingName", model.meta["endpointPrefix"]) != model.meta["endpointPrefix"]:
        out["signing"] = [model.meta["signingName"]]
    if "targetPrefix" in model.meta:
        out["target"] = [model.meta["targetPrefix"]]
    out["actions"] = [f"{snake(a)}={a}" for a in sorted(model.data["operations"]) if pascal(snake(a)) != a]
    # Input names.
    uses = collections.defaultdict(list)
    for action, parent, _, key, member, shape in model.members("input"):
        if member.get("location"):
            continue
        wire = model.input_name(key, member, shape)
        uses[snake(key)].append(((wire == model.input_rule(key, shape)) and "=" or wire, (parent or action, key, action)))
    usual, special = exceptions(uses, lambda k, c: "=")
    rename = lambda item, key: item if item != "=" else "="
    out["in"] = [f"{k}={rename(v, k)}" for k, v in usual.items()] + [f"{k}={rename(v, k)}" for k, v in special.items()]
    out["tokens"] = sorted({f"{action}={key}" if key != "ClientToken" else action
                            for action, parent, _, key, member, _ in model.members("input")
                            if member.get("idempotencyToken") and not parent})
    # Maps and lists of them, whose keys are no names of members, and structures that are called tags as lists are elsewhere.
    for title, kind, sides in (("maps", "map", ("input", "output")), ("structures", "structure", ("input",))):
        uses = collections.defaultdict(list)
        for side in sides:
            for action, parent, _, key, _, shape in model.members(side):
                if kind == "map" or key == "Tags":
                    of = model.innermost(shape) if kind == "map" else shape
                    is_it = kind if of["type"] == kind else "="
                    uses[snake(key)].append((is_it, (snake(parent) if parent else action, key, action)))
        usual, special = exceptions(uses, lambda k, c: "=")
        out[title] = [k if v == kind else f"{k}==" for k, v in (usual | special).items()]
    # Output names and types.
    xml = model.protocol in ("ec2", "query", "rest-xml")
    uses, types = collections.defaultdict(list), collections.defaultdict(list)
    entries, counted = {}, set()  # how a list's entries are called, and lists of numbers
    for action, parent, _, key, member, shape in model.members("output"):
        if member.get("location") in ("header", "headers", "statusCode"):
            continue
        wire = member.get("locationName", key)
        if model.protocol == "rest-xml" and shape["type"] == "list" and shape.get("flattened"):
            wire = shape["member"].get("locationName", wire)
        if shape["type"] == "list" and model.protocol in ("ec2", "query") and not shape.get("flattened"):
            entry = shape["member"].get("locationName", "member")
            if entry != ("item" if model.protocol == "ec2" else "member"):
                entries[wire] = entry
            if model.shapes[shape["member"]["shape"]]["type"] in ("integer", "long", "double", "float"):
                counted.add(f"{wire}.{entry}")
        uses[wire].append((snake(key), (parent or action, key, action)))
        kind = {"boolean": "b", "integer": "n", "long": "n", "double": "n", "float": "n", "list": "l"}.get(shape["type"], "s")
        if kind == "l" and model.protocol == "rest-xml" and shape.get("flattened"):
            kind = "f"
        types[wire].append((kind, (parent or action, key, action)))
    if xml:
        usual, special = exceptions(uses, lambda k, c: model.output_rule(k))
        out["out"] = [f"{k}={v}" for k, v in usual.items()] + [f"{k}={v}" for k, v in special.items()]
        usual, special = exceptions(types, lambda k, c: "l" if model.protocol == "ec2" and k.endswith("Set") else "s")
        for letter, title in (("b", "booleans"), ("n", "numbers"), ("l", "lists"), ("f", "flat")):
            out[title] = [k for k, v in usual.items() if v == letter] + [k for k, v in special.items() if v == letter]
        out["texts"] = [k for k, v in special.items() if v == "s"]
        out["numbers"] += sorted(counted)
        out["entries"] = [f"{wire}={entry}" for wire, entry in sorted(entries.items())]
    else:
        # JSON carries its types; only where the member's name is not what snake_case makes of it.
        pass
    if model.protocol.startswith("rest"):
        lines = []
        headers, places, fields = {}, collections.defaultdict(list), collections.defaultdict(list)
        for action, operation in sorted(model.data["operations"].items()):
            if action == "WriteGetObjectResponse":
                continue  # an object lambda's answer: it goes to a host of its own, by headers of its own
            http = operation["http"]
            shape = model.shapes[operation["input"]["shape"]] if "input" in operation else {"members": {}}
            output = model.shapes[operation["output"]["shape"]] if "output" in operation else {"members": {}}
            for key, member in output["members"].items():
                if member.get("location") == "header":
                    headers[snake(key)] = member["locationName"].lower()
            for key, member in shape["members"].items():
                in_query = member.get("location") == "querystring"
                places[snake(key)].append((member["locationName"] if in_query else "=", (action, key, action)))
                in_head = member.get("location") == "header"
                fields[snake(key)].append((member["locationName"].lower() if in_head else "=", (action, key, action)))
            entry = [action, http["method"], http["requestUri"].replace("/{Bucket}", "") or "/"]
            payload = shape.get("payload")
            if payload:
                kind = model.shapes[shape["members"][payload]["shape"]]["type"]
                root = shape["members"][payload].get("locationName", payload)
                entry.append(f"{snake(payload)}:{'raw' if kind == 'blob' or kind == 'string' else root}")
            elif model.protocol == "rest-xml" and operation.get("input", {}).get("locationName"):
                entry.append(":" + operation["input"]["locationName"])
            if output.get("payload"):
                kind = model.shapes[output["members"][output["payload"]]["shape"]]["type"]
                entry.append(("raw>" if kind in ("blob", "string") else "in>") + snake(output["payload"]))
            lines.append("|".join(entry))
        out["http"] = lines
        usual, special = exceptions(fields, lambda k, c: "=")
        headers.update(usual)
        out["headers"] = [k if v == "x-amz-" + k.replace("_", "-") else f"{k}={v}" for k, v in sorted(headers.items())]
        out["headers"] += [f"{k}={v}" for k, v in special.items()]
        usual, special = exceptions(places, lambda k, c: "=")
        out["queries"] = [k if v == k.replace("_", "-") else f"{k}={v}" for k, v in (usual | special).items()]
    if model.protocol == "rest-xml":
        uses = collections.defaultdict(list)
        for action, parent, _, key, member, shape in model.members("input"):
            if shape["type"] == "list" and not member.get("location"):
                wire = member.get("locationName", key)
                how = (wire + "*") if shape.get("flattened") or member.get("flattened") else f"{wire}>{shape['member'].get('locationName', 'member')}"
                uses[snake(key)].append((how, (parent or action, key, action)))
        usual, special = exceptions(uses, lambda k, c: None)
        out["items"] = [f"{k}={v}" for k, v in (usual | special).items()]
    return out


def main():
    folder, date = sys.argv[1], sys.argv[2]
    print(f"// Made by update_names.py from botocore's models as of {date}: names and types that no rule of shapes.cc")
    print("// gives. Run the script again for new actions; nothing here is written by hand.")
    print('#include "names.h"\n\nnamespace netlab::aws {\n\n// clang-format off')
    print("std::span<const service_names> all_names() {\n  static constexpr service_names all[] = {")
    for service in SERVICES:
        print(f'    {{"{service}", R"(')
        for title, words in describe(service, f"{folder}/{service}.json").items():
            if words:
                print(textwrap.fill(f"@{title} " + " ".join(words), 118, break_long_words=False, break_on_hyphens=False))
        print(')"},')
    print("  };\n  return all;\n}\n// clang-format on\n\n} // namespace netlab::aws")


main()
