#include <doctest/doctest.h>

#include <map>

#include "netlab/ipxe_script.h"

using namespace netlab;
using namespace netlab::boot;

namespace {

// A world of URLs; runs a machine in it to its end.
struct world {
  std::map<std::string, std::string> urls;
  std::vector<std::string> fetched;
  duration slept{};
  ipxe_action last;

  ipxe_action run(ipxe_machine& m, ipxe_action action) {
    for (int i = 0; i < 1000; ++i) {
      if (auto* f = std::get_if<ipxe_fetch>(&action)) {
        fetched.push_back(f->url);
        auto found = urls.find(f->url);
        action = found == urls.end() ? m.fetched(fail(errc::not_found, "404"))
                                     : m.fetched(ipxe_image{found->second, found->second.size()});
      } else if (auto* s = std::get_if<ipxe_sleep>(&action)) {
        slept += s->time;
        action = m.slept();
      } else {
        return action;
      }
    }
    return action;
  }
  ipxe_action script(const std::string& text, ipxe_settings settings = {}) {
    ipxe_machine m(std::move(settings), 500);
    auto out = run(m, m.start("#!ipxe\n" + text, "http://10.0.0.1:8080/boot.ipxe"));
    console = m.console();
    return out;
  }
  std::vector<std::string> console;
};

std::string why(const ipxe_action& a) {
  auto* f = std::get_if<ipxe_failed>(&a);
  return f ? std::to_string(f->line) + ": " + f->why : std::string("(did not fail)");
}
int exit_code(const ipxe_action& a) {
  auto* e = std::get_if<ipxe_exit>(&a);
  return e ? e->code : -99;
}

} // namespace

TEST_CASE("ipxe: a script chained from another one boots a kernel with its initramfs") {
  world w;
  w.urls["http://10.0.0.1:8080/boot.ipxe"] =
      "#!ipxe\nchain "
      "ipxe?uuid=${uuid}&mac=${mac:hexhyp}&serial=${serial:uristring}&arch=${buildarch:uristring}\n";
  w.urls["http://10.0.0.1:8080/ipxe?uuid=u-1&mac=52-54-00-0a-4d-11&serial=A%2FB%20C&arch=x86_64"] =
      "#!ipxe\nkernel /assets/vmlinuz a=${mac} b initrd=initrd.gz\ninitrd assets/initrd.gz\nboot\n";
  w.urls["http://10.0.0.1:8080/assets/vmlinuz"] = "MZ";
  w.urls["http://10.0.0.1:8080/assets/initrd.gz"] = "x";
  ipxe_machine m(
      {{"uuid", "u-1"}, {"mac", "52:54:00:0A:4D:11"}, {"serial", "A/B C"}, {"buildarch", "x86_64"}});
  auto end = w.run(m, m.start("http://10.0.0.1:8080/boot.ipxe"));
  auto* boot = std::get_if<ipxe_boot>(&end);
  REQUIRE(boot);
  CHECK(boot->kernel == "http://10.0.0.1:8080/assets/vmlinuz");
  CHECK(boot->cmdline == "a=52:54:00:0A:4D:11 b initrd=initrd.gz");
  REQUIRE(boot->initrds.size() == 1);
  CHECK(boot->initrds[0].name == "initrd.gz");
  CHECK(boot->initrds[0].url == "http://10.0.0.1:8080/assets/initrd.gz");
}

TEST_CASE("ipxe: a program given by DHCP starts as it is") {
  world w;
  w.urls["tftp://10.0.0.1/linux.efi"] = "MZ...";
  ipxe_machine m({});
  auto end = w.run(m, m.start("tftp://10.0.0.1/linux.efi"));
  REQUIRE(std::get_if<ipxe_boot>(&end));
  CHECK(std::get<ipxe_boot>(end).kernel == "tftp://10.0.0.1/linux.efi");
}

TEST_CASE("ipxe: || and && run what the status before asks for") {
  world w;
  CHECK(exit_code(w.script("isset ${nothing} || echo no\nisset ${x} && echo yes\nexit 0", {{"x", "1"}})) ==
        0);
  CHECK(w.console == std::vector<std::string>{"no", "yes"});
  CHECK(exit_code(w.script("iseq a b && exit 7 ||\nexit 3")) == 3);
  CHECK(exit_code(w.script("iseq a a && exit 0 ||\nexit 3")) == 0);
  CHECK(exit_code(w.script("iseq a b && echo x || echo y\nexit")) == 0);
  CHECK(w.console == std::vector<std::string>{"y"});
  CHECK(why(w.script("echo a\niseq a b\necho c")) == "3: iseq: \"a\" is not \"b\"");
  CHECK(w.console == std::vector<std::string>{"a"});
}

TEST_CASE("ipxe: goto, labels, comments, continuations, set, inc, clear") {
  world w;
  auto end = w.script("# a comment\n"
                      "set n 0\n"
                      ":again\n"
                      "inc n\n"
                      "echo round \\\n"
                      "  ${n} # the rest is a comment\n"
                      "iseq ${n} 3 || goto again\n"
                      "clear n\n"
                      "isset ${n} && exit 1 ||\n"
                      "goto end\n"
                      "exit 2\n"
                      ":end\n");
  CHECK(exit_code(end) == 0);
  CHECK(w.console == std::vector<std::string>{"round 1", "round 2", "round 3"});
  CHECK(why(w.script("goto nowhere")) == "2: goto: there is no label :nowhere");
}

TEST_CASE("ipxe: expansion is nested and cannot run away") {
  ipxe_settings s = {{"a", "b"}, {"b", "deep"}, {"mac", "02:00:0a:14:0d:0b"}, {"loop", "${loop}${loop}"}};
  CHECK(expand_ipxe("${${a}}", s).value() == "deep");
  CHECK(expand_ipxe("x${unknown}y", s).value() == "xy");
  CHECK(expand_ipxe("${net0/mac:hexhyp} ${mac:hexraw}", s).value() == "02-00-0a-14-0d-0b 02000a140d0b");
  CHECK(expand_ipxe("${open", s).value() == "${open");
  CHECK(expand_ipxe("}${a}", s).value() == "}b");
  CHECK_FALSE(expand_ipxe("${loop}", s).has_value());
  CHECK_FALSE(expand_ipxe("${mac:nonsense}", s).has_value());
}

TEST_CASE("ipxe: a child's failure comes back to its parent, unless it replaced it") {
  world w;
  w.urls["http://10.0.0.1:8080/child"] = "#!ipxe\necho child\nexit 4\n";
  CHECK(exit_code(w.script("chain child || echo caught\necho after\nexit 0")) == 0);
  CHECK(w.console == std::vector<std::string>{"child", "caught", "after"});
  CHECK(exit_code(w.script("chain --replace --autofree child || echo caught\necho after")) == 4);
  CHECK(w.console == std::vector<std::string>{"child"});
  CHECK(why(w.script("chain missing")) == "2: http://10.0.0.1:8080/missing: 404");
}

TEST_CASE("ipxe: endless scripts end with a reason") {
  world w;
  CHECK(why(w.script(":a\ngoto a")).find("a loop?") != std::string::npos);
  w.urls["http://10.0.0.1:8080/self"] = "#!ipxe\nchain self\n";
  CHECK(why(w.script("chain self")).find("without an end") != std::string::npos);
  w.urls["http://10.0.0.1:8080/r"] = "#!ipxe\nchain --replace r\n";
  CHECK(why(w.script("chain --replace r")).find("end") != std::string::npos);
}

TEST_CASE("ipxe: what needs a human, or is unknown, stops with the line") {
  world w;
  CHECK(why(w.script("echo a\n\nshell")) == "4: shell: waits for somebody at the keyboard");
  CHECK(why(w.script("prompt")) == "2: prompt: waits for somebody at the keyboard");
  CHECK(exit_code(w.script("prompt --timeout 3000 || exit 0")) == 0);
  CHECK(why(w.script("frobnicate now")) == "2: unknown command \"frobnicate\"");
  CHECK(why(w.script("kernel --wrong x || frob")) == "2: unknown command \"frob\"");
  CHECK(why(w.script("boot")) == "2: boot: no image was selected");
  CHECK(why(w.script("sleep x")) == "2: sleep: wants 0 to 86400 seconds");
  ipxe_machine m({});
  CHECK(why(m.start("hello", "http://h/x")) == "0: it does not begin with #!ipxe");
  CHECK(why(m.slept()) == "0: nothing slept");
  CHECK(why(m.fetched(ipxe_image{})) == "0: nothing was asked for");
  CHECK(why(m.boot_failed("x")) == "0: nothing was started");
}

TEST_CASE("ipxe: images, arguments and a boot that fails") {
  world w;
  w.urls["http://h/k"] = "MZ";
  w.urls["http://h/i"] = "i";
  ipxe_machine m({});
  auto end =
      w.run(m, m.start("#!ipxe\nimgfree\nkernel http://h/k old\nimgargs k new one\n"
                       "initrd --name first http://h/i\nimgfetch -n second http://h/i\nmodule http://h/i\n"
                       "imgfree i\nsleep 2\nboot || goto failed\n:failed\necho ${errmsg}\nexit 5\n",
                       "http://h/s"));
  auto* boot = std::get_if<ipxe_boot>(&end);
  REQUIRE(boot);
  CHECK(boot->cmdline == "new one");
  REQUIRE(boot->initrds.size() == 2);
  CHECK(boot->initrds[0].name == "first");
  CHECK(boot->initrds[1].name == "second");
  CHECK(w.slept == std::chrono::seconds(2));
  CHECK(exit_code(w.run(m, m.boot_failed("Exec format error"))) == 5);
  CHECK(m.console() == std::vector<std::string>{"Exec format error"});
}

TEST_CASE("resolve_url: as RFC 3986 has it") {
  const std::string base = "http://10.0.0.1:8080/a/b.ipxe?q=1";
  CHECK(resolve_url(base, "ipxe?x=http://y") == "http://10.0.0.1:8080/a/ipxe?x=http://y");
  CHECK(resolve_url(base, "/c") == "http://10.0.0.1:8080/c");
  CHECK(resolve_url(base, "../../d/./e") == "http://10.0.0.1:8080/d/e");
  CHECK(resolve_url(base, "//h/x") == "http://h/x");
  CHECK(resolve_url(base, "?z") == "http://10.0.0.1:8080/a/b.ipxe?z");
  CHECK(resolve_url(base, "tftp://h/x") == "tftp://h/x");
  CHECK(resolve_url("http://h", "x") == "http://h/x");
  CHECK(resolve_url("", "x") == "x");
}

TEST_CASE("talos: the configuration's address is filled in as Talos does") {
  talos_variables v = {"u-1", "S 1", "02:00:0a:14:0d:0b", "n1", ""};
  CHECK(talos_config_url("a talos.config=http://h/config?mac=${mac}&uuid= b", v).value() ==
        "http://h/config?mac=02%3A00%3A0a%3A14%3A0d%3A0b&uuid=u-1");
  CHECK(talos_config_url("talos.config=http://h/${uuid}/c?s=${SERIAL}&h=x-${hostname}-y&o=${other}", v)
            .value() == "http://h/${uuid}/c?s=S%201&h=x-n1-y&o=%24%7Bother%7D");
  CHECK(talos_config_url("talos.config=http://a/ talos.config=http://b/", v).value() == "http://b/");
  CHECK(talos_config_url("talos.config=\"http://b/c\"", v).value() == "http://b/c");
  CHECK(talos_config_url("quiet", v).error().code == errc::not_found);
  CHECK(talos_config_url("", v).error().code == errc::not_found);
  CHECK(talos_config_url("talos.config=metal-iso", v).error().code == errc::unsupported);
  CHECK(talos_config_url("talos.config=http://h/?uuid", v).value() == "http://h/?uuid=u-1");
}
