#include <doctest/doctest.h>

#include <fstream>
#include <set>
#include <sstream>

#include "../../bindings/lua/host/api.h"
#include "../../bindings/lua/host/bindings.h"
#include "../../bindings/lua/host/documentation.h"
#include "../../bindings/lua/host/messages.h"
#include "support/source_folder.h"

using namespace netlab::lua;

namespace {
std::string committed(const std::string& path) {
  std::ifstream in(netlab::test::source_folder() + "/" + path);
  std::ostringstream out;
  out << in.rdbuf();
  return out.str();
}
} // namespace

// To bring them up to date: cmake --build --preset release --target reference
TEST_CASE("lua documentation: the committed reference, stubs and messages are what the tables say") {
  auto a = describe_everything();
  CHECK(committed("docs/reference.md") == doc_markdown(a));
  CHECK(committed("docs/messages.md") == doc_messages());
  CHECK(committed("lua/netlab/stubs.lua") == doc_stubs(a));
}

TEST_CASE("lua documentation: everything is described") {
  auto a = describe_everything();
  for (const auto& [name, c] : a.constructors()) {
    CAPTURE(name);
    CHECK(!c.schema.help.empty());
    CHECK(!c.schema.example.empty());
    CHECK(a.kinds().count(c.kind) == 1);
    for (const auto& o : c.schema.options) {
      CAPTURE(o.name);
      CHECK(!o.help.empty());
    }
    CHECK(doc_text(a, name));
  }
  for (const auto& [name, f] : a.functions()) {
    CAPTURE(name);
    CHECK(!f.help.empty());
    CHECK(doc_text(a, "netlab." + name));
  }
  for (const auto& [name, k] : a.kinds()) {
    CAPTURE(name);
    CHECK(!k.help.empty());
  }
  CHECK(!doc_text(a, "no_such_name"));
}

TEST_CASE("lua documentation: message ids are well formed and unique") {
  std::set<std::string> seen;
  for (const auto* m : all_messages()) {
    std::string id(m->id);
    CAPTURE(id);
    CHECK(seen.insert(id).second);
    CHECK(id.rfind("NL-", 0) == 0);
    CHECK(std::string(m->explain).size() > 20);
  }
}
