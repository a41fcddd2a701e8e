#include <doctest/doctest.h>

#include "netlab/boot_profile.h"

using namespace netlab;
using namespace netlab::boot;

namespace {

using names = std::vector<std::string>;

machine_facts facts() {
  machine_facts f;
  f.macs = {mac_address::parse("02:00:0a:14:0d:0b").value(), mac_address::parse("02:00:0a:14:0d:0c").value()};
  f.uuid = "00112233-4455-6677-8899-aabbccddeeff";
  f.serial = "S-1";
  f.name = "talos-1";
  f.role = "controlplane";
  f.cpu = cpu::arm64;
  f.labels = {{"zone", "b"}};
  f.query = {{"os", "installed"}};
  return f;
}

bool selects(std::string key, names any) {
  return matches(group{"", {{std::move(key), std::move(any)}}, "p", {}}, facts());
}

} // namespace

TEST_CASE("profile: variants override field by field, and one way of booting replaces the other") {
  profile p;
  p.name = "talos";
  p.common.args = names{"a"};
  p.variants["amd64"] = {"k-amd64", names{"i-amd64"}, std::nullopt, std::nullopt};
  p.variants["arm64"] = {std::nullopt, std::nullopt, names{"b", "c"}, "talos-arm64.efi"};
  auto amd = resolve(p, cpu::amd64).value();
  CHECK(amd.kernel == "k-amd64");
  CHECK(amd.initrd == names{"i-amd64"});
  CHECK(amd.args == names{"a"});
  CHECK(amd.uki.empty());
  auto arm = resolve(p, cpu::arm64).value();
  CHECK(arm.uki == "talos-arm64.efi");
  CHECK(arm.kernel.empty());
  CHECK(arm.args == names{"b", "c"});
  // An i386 loader on a PC gets the 64-bit kernel.
  CHECK(resolve(p, cpu::i386).value().arch == "amd64");
  auto none = resolve(p, cpu::riscv64);
  REQUIRE_FALSE(none.has_value());
  CHECK(none.error().code == errc::not_found);
  CHECK(none.error().message == "profile \"talos\" has no riscv64 variant (it has amd64, arm64)");
}

TEST_CASE("profile: a common part serves every processor; an empty profile is invalid") {
  profile p;
  p.name = "x";
  CHECK(resolve(p, cpu::amd64).error().code == errc::invalid);
  p.variants["arm64"].args = names{"only-args"};
  CHECK(resolve(p, cpu::arm64).error().code == errc::invalid);
  p.common.kernel = "vmlinuz";
  CHECK(resolve(p, cpu::riscv64).value().kernel == "vmlinuz");
  CHECK(resolve(p, cpu::arm64).value().args == names{"only-args"});
  p.variants["aarch64"].uki = "a.efi"; // another spelling of a variant's name
  p.variants.erase("arm64");
  CHECK(resolve(p, cpu::arm64).value().uki == "a.efi");
}

TEST_CASE("group: selectors are equal, in any spelling, globbed or listed") {
  CHECK(selects("mac", {"02:00:0a:14:0d:0b"}));
  CHECK(selects("mac", {"02-00-0A-14-0D-0C"})); // the second card
  CHECK(selects("mac", {"0200.0a14.0d0b"}));
  CHECK(selects("mac", {"02-00-0a-*"}));
  CHECK(selects("mac", {"52:54:00:00:00:01", "02:00:0a:14:0d:0b"}));
  CHECK_FALSE(selects("mac", {"52:54:*"}));
  CHECK_FALSE(selects("mac", {""}));
  CHECK(selects("uuid", {"00112233445566778899AABBCCDDEEFF"}));
  CHECK(selects("uuid", {"00112233-*"}));
  CHECK(selects("arch", {"aarch64"}));
  CHECK_FALSE(selects("arch", {"amd64"}));
  CHECK(selects("serial", {"S-?"}));
  CHECK(selects("name", {"talos-*"}));
  CHECK(selects("role", {"controlplane"}));
  CHECK(selects("zone", {"a", "b"}));
  CHECK(selects("os", {"installed"})); // a query parameter
  CHECK(selects("rack", {""}));        // absence
  CHECK_FALSE(selects("rack", {"1"}));
  CHECK_FALSE(selects("zone", {}));
}

TEST_CASE("group: most selectors first, then the recipe's order") {
  std::vector<group> groups = {
      {"default", {}, "d", {}},
      {"zone", {{"zone", {"b"}}}, "z", {}},
      {"role", {{"role", {"controlplane"}}}, "r", {}},
      {"both", {{"zone", {"b"}}, {"role", {"worker"}}}, "no", {}},
  };
  CHECK(select_group(groups, facts())->name == "zone");
  groups[3].match[1].any = {"controlplane"};
  CHECK(select_group(groups, facts())->name == "both");
  CHECK(select_group(groups, machine_facts{})->name == "default");
  groups.erase(groups.begin());
  CHECK(select_group(groups, machine_facts{}) == nullptr);
}

TEST_CASE("template: names are filled in, everything else stays") {
  auto lookup = [](std::string_view name) -> std::optional<std::string> {
    if (name == "name") return "talos-1";
    if (name == "metadata.zone") return "b";
    if (name == "role") return "";
    return std::nullopt;
  };
  CHECK(render("a={{name}} b={{ metadata.zone }}", lookup).value() == "a=talos-1 b=b");
  CHECK(render("${mac:hexhyp} ${uuid}", lookup).value() == "${mac:hexhyp} ${uuid}");
  CHECK(render("{{ .Values.x }} {{- if }} {{}} {{", lookup).value() == "{{ .Values.x }} {{- if }} {{}} {{");
  CHECK(render("\\{{name}}", lookup).value() == "{{name}}");
  CHECK(render("{{role|worker}} {{nothing|x y}} {{name|z}}", lookup).value() == "worker x y talos-1");
  CHECK(render("{{nothing|}}.", lookup).value() == ".");
  CHECK(render("", lookup).value().empty());
  CHECK(render("{{name", lookup).value() == "{{name");
  CHECK(render("{{name}", lookup).value() == "{{name}");
}

TEST_CASE("template: a name without a value is an error that names it and its line") {
  auto lookup = [](std::string_view name) -> std::optional<std::string> {
    if (name == "serial") return "";
    return std::nullopt;
  };
  auto unknown = render("one\ntwo {{nmae}}", lookup);
  REQUIRE_FALSE(unknown.has_value());
  CHECK(unknown.error().message == "line 2: nothing is called {{nmae}} here (write \\{{ for plain braces)");
  auto empty = render("{{serial}}", lookup);
  REQUIRE_FALSE(empty.has_value());
  CHECK(empty.error().message.find("{{serial}} has no value for this node") != std::string::npos);
}
