#include <doctest/doctest.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <map>
#include <random>
#include <set>

#include "dns/filter_format.h"
#include "dns/filter_line.h"
#include "dns/filter_reader.h"
#include "netlab/dns_filter_compiler.h"
#include "netlab/dns_name.h"
#include "netlab/simulation.h"
#include "support/temporary_folder.h"

using namespace netlab;
using namespace netlab::dns;

namespace {

class kept_rules final : public rule_sink {
public:
  void on_name(byte_view wire, bool allow, bool subtree) override {
    rules.push_back((allow ? "+" : "-") + std::string(subtree ? "*." : "") +
                    name::from_wire(wire)->to_string());
  }
  const char* on_regex(std::string_view pattern, bool allow) override {
    rules.push_back((allow ? "+/" : "-/") + std::string(pattern));
    return nullptr;
  }
  std::vector<std::string> rules;
};

using kind = line_result::kind;
using strings = std::vector<std::string>;

strings rules_of(std::string_view line, kind expected, bool allow = false, bool subdomains = false) {
  kept_rules out;
  auto got = parse_line(line, allow, subdomains, out);
  CHECK_MESSAGE(got.what == expected, line << ": " << (got.why ? got.why : "no reason"));
  CHECK_MESSAGE((got.why != nullptr) == (expected == kind::unsupported || expected == kind::malformed), line);
  return out.rules;
}

filter_source text_list(std::string name, std::string text, bool allow = false) {
  filter_source out;
  out.name = std::move(name);
  out.text = std::move(text);
  out.allow = allow;
  return out;
}

struct compiled_lists {
  explicit compiled_lists(const std::vector<filter_source>& sources, const filter_limits& limits = {}) {
    seeded_random random(42);
    options.path = folder / "lists.filter";
    options.now = wall_time(std::chrono::hours(24 * 365 * 50));
    options.inputs[0] = 7;
    options.limits = limits;
    auto made = compile_filter(sources, options, random);
    REQUIRE_MESSAGE(made, (made ? "" : made.error().message));
    report = *made;
    auto opened = open_filter(options.path, limits);
    REQUIRE_MESSAGE(opened, (opened ? "" : opened.error().message));
    filter = *opened;
  }
  verdict ask(std::string_view text, list_mask lists = all_lists) const {
    auto asked = name::parse(text)->lower();
    return filter->match(asked.wire(), lists);
  }
  filter_action action(std::string_view text, list_mask lists = all_lists) const {
    return ask(text, lists).action;
  }

  test::temporary_folder folder;
  compile_options options;
  compile_report report;
  std::shared_ptr<const compiled_filter> filter;
};

constexpr auto none = filter_action::none, block = filter_action::block, allow = filter_action::allow;

} // namespace

TEST_CASE("filter lines: every format that lists come in") {
  CHECK(rules_of("0.0.0.0 ads.example.org", kind::rule) == strings{"-ads.example.org"});
  CHECK(rules_of("127.0.0.1\tA.example  b.example # why\r", kind::rule) ==
        strings{"-a.example", "-b.example"});
  CHECK(rules_of(":: six.example", kind::rule) == strings{"-six.example"});
  CHECK(rules_of("127.0.0.1 localhost localhost.localdomain", kind::own_name).empty());
  CHECK(rules_of("fe80::1%lo0 localhost", kind::own_name).empty());
  CHECK(rules_of("0.0.0.0 0.0.0.0", kind::own_name).empty());
  CHECK(rules_of("ads.example.org.", kind::rule) == strings{"-ads.example.org"});
  CHECK(rules_of("_tracker.example#comment", kind::rule) == strings{"-_tracker.example"});
  CHECK(rules_of("ads.example.org", kind::rule, false, true) == strings{"-*.ads.example.org"});
  CHECK(rules_of("*.example.org", kind::rule) == strings{"-*.example.org"});
  CHECK(rules_of(".example.org", kind::rule) == strings{"-*.example.org"});
  CHECK(rules_of("||example.org^", kind::rule) == strings{"-*.example.org"});
  CHECK(rules_of("||example.org", kind::rule) == strings{"-*.example.org"});
  CHECK(rules_of("||*.example.org^", kind::rule) == strings{"-*.example.org"});
  CHECK(rules_of("|example.org^|", kind::rule) == strings{"-example.org"});
  CHECK(rules_of("||zip^", kind::rule) == strings{"-*.zip"});
  CHECK(rules_of("@@||example.org^$important", kind::rule) == strings{"+*.example.org"});
  CHECK(rules_of("@@example.org", kind::rule) == strings{"+example.org"});
  CHECK(rules_of("good.example", kind::rule, true) == strings{"+good.example"});
  CHECK(rules_of("/^ad[0-9]+\\./", kind::rule) == strings{"-/^ad[0-9]+\\."});
  CHECK(rules_of("@@/^ok/$important", kind::rule) == strings{"+/^ok"});
  CHECK(rules_of("address=/a.example/b.example/0.0.0.0", kind::rule) ==
        strings{"-*.a.example", "-*.b.example"});
  CHECK(rules_of("local=/a.example/", kind::rule) == strings{"-*.a.example"});
  CHECK(rules_of("b\xc3\xbc"
                 "cher.example",
                 kind::rule) == strings{"-xn--bcher-kva.example"});
  CHECK(rules_of("||B\xc3\x9c"
                 "CHER.example^",
                 kind::rule) == strings{"-*.xn--bcher-kva.example"});
  for (auto nothing :
       {"", "   ", "\r", "# comment", "! comment", "; comment", "[Adblock Plus 2.0]", "## heading ##"})
    CHECK(rules_of(nothing, kind::blank).empty());
}

TEST_CASE("filter lines: what a resolver cannot keep is told apart from what is wrong") {
  for (auto line : {"example.org##.banner",
                    "##.banner",
                    "example.org#@#.x",
                    "example.org#$#body { }",
                    "/banner/img/x",
                    "/banner",
                    "||example.org/path^",
                    "||example.org^$third-party",
                    "||example.org^$client=1.2.3.4",
                    "||ads.*^",
                    "||1.2.3.4^",
                    "-banner-",
                    "example.org/x",
                    "&ad_box=",
                    "ads*.example.org",
                    "10.0.0.1 nas.lan",
                    "address=/nas.lan/10.0.0.1",
                    "server=/corp.lan/10.0.0.1",
                    "[$path=/x]example.org##.x",
                    "*.ads*.org",
                    "|https://example.org/|"}) {
    if (std::string_view(line) == "-banner-") continue;
    CHECK_MESSAGE(rules_of(line, kind::unsupported).empty(), line);
  }
  auto label = std::string(64, 'a');
  std::string longest;
  for (int i = 0; i < 64; ++i) longest += "abc.";
  for (std::string line :
       {std::string("two words"), std::string("1.2.3.4"), std::string("0.0.0.0"), std::string("com"),
        std::string("a..b"), label + ".org", longest + "org", std::string("ex(ample.org"),
        std::string("0.0.0.0 a..b"), std::string("||^"), std::string("@@"), std::string("||a..b^"),
        std::string("//"), std::string("999.1.1.1 x.org"), std::string("\xff\xfe.org"), std::string("*."),
        std::string("local=/a..b/")})
    CHECK_MESSAGE(rules_of(line, kind::malformed).empty(), line);
}

TEST_CASE("filter reader: lines in pieces, counts, the first bad ones by number") {
  const std::string text =
      "\xef\xbb\xbf# list\r\n0.0.0.0 a.example\r\n\r\nbad line here\n||b.example^$popup\n"
      "c.example" +
      std::string(200, 'x') + "\nd.example";
  filter_limits limits;
  limits.line = 100;
  for (std::size_t piece : {text.size(), std::size_t{1}, std::size_t{7}, std::size_t{101}}) {
    filter_source source;
    kept_rules out;
    list_reader reader(source, limits, out);
    for (std::size_t at = 0; at < text.size(); at += piece)
      reader.read(std::string_view(text).substr(at, piece));
    auto report = reader.finish();
    CHECK(out.rules == strings{"-a.example", "-d.example"});
    CHECK(report.lines == 7);
    CHECK(report.rules == 2);
    CHECK(report.unsupported == 1);
    CHECK(report.malformed == 2);
    REQUIRE(report.first.size() == 3);
    CHECK(report.first[0].number == 4);
    CHECK(report.first[0].text == "bad line here");
    CHECK(report.first[1].number == 5);
    CHECK(report.first[2].number == 6);
    CHECK(report.first[2].why == "the line is too long");
    CHECK(report.refused.empty());
    CHECK(report.digest == sha256_of(as_bytes(text)));
  }
}

TEST_CASE("filter reader: formats by majority, and texts that are no lists") {
  auto format = [](const std::string& text) { return inspect_list(text_list("x", text))->format; };
  CHECK(format("0.0.0.0 a.example\n0.0.0.0 b.example\n") == "hosts");
  CHECK(format("a.example\nb.example\n") == "domains");
  CHECK(format("[Adblock Plus]\n||a.example^\n@@||b.example^\n") == "adblock");
  CHECK(format("*.a.example\n") == "wildcard");
  CHECK(format("address=/a.example/0.0.0.0\n") == "dnsmasq");
  CHECK(format("a.example\n||b.example^\n") == "mixed");
  CHECK(format("") == "");
  auto refused = [](const std::string& text) { return inspect_list(text_list("x", text))->refused; };
  CHECK(refused("\n  <!DOCTYPE html>\n<p>login</p>\n").find("web page") != std::string::npos);
  CHECK(refused("\xef\xbb\xbf<html>").find("web page") != std::string::npos);
  CHECK(refused("{\"error\": 1}").find("JSON") != std::string::npos);
  CHECK(refused(std::string("\x1f\x8b\x08\x00", 4)).find("archive") != std::string::npos);
  CHECK(refused(std::string("a.example\nb\0c\n", 14)).find("binary") != std::string::npos);
  CHECK(refused("<" + std::string(10000, 'x')).find("web page") != std::string::npos);
  filter_limits small;
  small.bytes = 10;
  CHECK(inspect_list(text_list("x", "a.example\nb.example\n"), small)->refused.find("larger") !=
        std::string::npos);
  filter_source absent;
  absent.path = "/nonexistent/list";
  CHECK(inspect_list(absent).error().code == errc::not_found);
}

TEST_CASE("filter: exact names, subtrees, exceptions, expressions and whose they are") {
  compiled_lists c(
      {text_list("hosts", "0.0.0.0 ads.example.org\n0.0.0.0 both.example\n"),
       text_list("adblock", "||tracker.net^\n||both.example^\n@@||good.tracker.net^\n/^ad[0-9]+\\./\n"),
       text_list("allowed", "ads.example.org\n/\\.cdn\\.example$/\n", true)});
  CHECK(c.report.names == 4);
  CHECK(c.report.rules == 8);
  CHECK(c.report.regexes == 2);
  CHECK(c.filter->rules() == 8);
  CHECK(c.filter->list_name(1) == "adblock");
  CHECK(c.filter->list_name(9).empty());
  CHECK(c.filter->lists()[2].allow);
  CHECK(c.filter->inputs()[0] == 7);
  CHECK(c.filter->created() == c.options.now);

  CHECK(c.ask("ads.example.org") == verdict{allow, 2});
  CHECK(c.ask("ads.example.org", 1) == verdict{block, 0});
  CHECK(c.action("x.ads.example.org", 1) == none);
  CHECK(c.action("example.org") == none);
  CHECK(c.ask("tracker.net") == verdict{block, 1});
  CHECK(c.ask("a.b.c.TRACKER.net") == verdict{block, 1});
  CHECK(c.ask("x.good.tracker.net") == verdict{allow, 1});
  CHECK(c.action("nottracker.net") == none);
  CHECK(c.action("net") == none);
  CHECK(c.action(".") == none);
  CHECK(c.ask("both.example") == verdict{block, 0});
  CHECK(c.ask("both.example", 2) == verdict{block, 1});
  CHECK(c.ask("sub.both.example") == verdict{block, 1});
  CHECK(c.ask("ad12.anything") == verdict{block, 1});
  CHECK(c.action("xad12.anything") == none);
  CHECK(c.action("ad12.anything", 1) == none);
  CHECK(c.ask("ad1.cdn.example") == verdict{allow, 2});
  CHECK(c.action("tracker.net", 0) == none);
  CHECK(c.filter->match({}, all_lists).action == none);
  std::uint8_t cut[] = {7, 't', 'r'};
  CHECK(c.filter->match(cut, all_lists).action == none);

  auto why = c.filter->explain(name::parse("both.example")->wire(), all_lists);
  REQUIRE(why.size() == 2);
  CHECK(why[0].rule == "both.example");
  CHECK(why[1].rule == "*.both.example");
  CHECK(why[1].list == 1);
  why = c.filter->explain(name::parse("ad1.cdn.example")->wire(), all_lists);
  REQUIRE(why.size() == 2);
  CHECK(why[0].action == allow);
  CHECK(why[0].rule == "/\\.cdn\\.example$/");
}

TEST_CASE("filter: agrees with a plain model on random rules, lists and names") {
  std::mt19937 random(3);
  auto pick = [&](unsigned n) { return static_cast<unsigned>(random() % n); };
  auto random_name = [&] {
    std::string out;
    for (unsigned i = 1 + pick(5); i > 0; --i) out += std::string(1, static_cast<char>('a' + pick(4))) + ".";
    return out + (pick(2) ? "org" : "net");
  };
  for (int round = 0; round < 8; ++round) {
    struct rule {
      std::string name;
      bool allow, subtree;
      unsigned list;
    };
    std::vector<rule> rules;
    unsigned lists = 1 + pick(6);
    std::vector<std::string> texts(lists);
    for (int i = 0; i < 200 + round * 200; ++i) {
      rule r{random_name(), pick(10) == 0, pick(3) == 0, pick(lists)};
      texts[r.list] += (r.allow ? "@@" : "") + std::string(r.subtree ? "||" : "|") + r.name + "^\n";
      rules.push_back(r);
    }
    std::vector<filter_source> sources;
    for (unsigned l = 0; l < lists; ++l) sources.push_back(text_list("l" + std::to_string(l), texts[l]));
    compiled_lists c(sources);
    CHECK(c.filter->verify());
    for (int i = 0; i < 2000; ++i) {
      auto asked = random_name();
      auto mask = list_mask{random()} & 63;
      bool blocked = false, allowed = false;
      for (const auto& r : rules) {
        bool names = asked == r.name || (r.subtree && asked.ends_with("." + r.name));
        if (names && (mask >> r.list & 1)) (r.allow ? allowed : blocked) = true;
      }
      auto got = c.ask(asked, mask);
      auto wanted = allowed ? allow : blocked ? block : none;
      CHECK_MESSAGE(got.action == wanted, asked);
      if (got.action != none) CHECK((mask >> got.list & 1) == 1);
    }
  }
}

TEST_CASE("filter: more rules than the buffers hold, and more combinations of lists than 65,536") {
  std::vector<std::string> texts(18);
  constexpr unsigned names = 70'000;
  for (unsigned i = 0; i < names; ++i)
    for (unsigned l = 0; l < texts.size(); ++l)
      if (((i + 1) >> l & 1) != 0) texts[l] += "n" + std::to_string(i) + ".example\n";
  std::vector<filter_source> sources;
  for (auto& t : texts) sources.push_back(text_list("l", t));
  compiled_lists c(sources);
  CHECK(c.report.names == names);
  CHECK(c.report.bytes < names * (8 * 5 / 4 + sizeof(rule_class)) + 8192);
  CHECK(c.filter->verify());
  for (unsigned i = 0; i < names; i += 7) {
    auto asked = "n" + std::to_string(i) + ".example";
    CHECK(c.action(asked, list_mask{i + 1}) == block);
    CHECK(c.action(asked, ~list_mask{i + 1}) == none);
    CHECK(c.action("x" + asked) == none);
  }
}

TEST_CASE("filter: expressions are bounded in number, length and time") {
  filter_limits limits;
  limits.regexes = 3;
  limits.regex_length = 40;
  compiled_lists c({text_list("x", "/(a+)+$/\n/(/\n/(?=look)/\n/a{1000}{1000}/\n/" + std::string(41, 'b') +
                                       "/\n/^track/;querytype=A\n/^(x|y)*z$/\n/^Upper/\n/^four/\n")},
                   limits);
  CHECK(c.report.regexes == 3);
  CHECK(c.report.lists[0].malformed == 5);
  CHECK(c.report.lists[0].unsupported == 1);
  CHECK(c.action("upper.example") == block);
  CHECK(c.action("four.org") == none);
  // What takes a backtracking engine years.
  CHECK(c.action(std::string(60, 'a') + "." + std::string(60, 'a') + ".b") == none);
  CHECK(c.action("xyxyz") == block);
}

TEST_CASE("filter: a damaged, cut or foreign file is an error that says so, never a crash") {
  compiled_lists c({text_list("x", "a.example\n||b.example^\n/^c/\n")});
  auto path = c.options.path;
  std::ifstream in(path, std::ios::binary);
  std::string good((std::istreambuf_iterator<char>(in)), {});
  auto damaged = c.folder / "damaged";
  auto put = [&](const std::string& bytes) {
    std::ofstream(damaged, std::ios::binary | std::ios::trunc) << bytes;
    return open_filter(damaged);
  };
  CHECK(open_filter(c.folder / "absent").error().code == errc::not_found);
  CHECK(open_filter(c.folder.path()).error().code == errc::invalid);
  CHECK(put("").error().message.find("no compiled list") != std::string::npos);
  CHECK(put(good.substr(0, good.size() - 1)).error().message.find("cut short") != std::string::npos);
  CHECK(put(good + "x").error().code == errc::invalid);
  for (std::size_t at = 0; at < sizeof(filter_header); at += 5) {
    auto bad = good;
    bad[at] = static_cast<char>(bad[at] ^ 0x41);
    CHECK(put(bad).error().code == errc::invalid);
  }
  auto tail = good;
  tail.back() = static_cast<char>(tail.back() ^ 1);
  CHECK(put(tail).error().message.find("tables") != std::string::npos);
  auto table = good;
  for (std::size_t at = table_at; at < table_at + bucket_size; ++at) table[at] = static_cast<char>(at * 37);
  auto opened = put(table); // the table is not read at opening
  REQUIRE(opened);
  (void)(*opened)->match(name::parse("a.example")->wire(), all_lists);
  CHECK((*opened)->verify().error().message.find("damaged") != std::string::npos);
  CHECK(c.filter->verify());
}

TEST_CASE("filter: the compiler replaces a file whole, gives up when told to, and leaves nothing behind") {
  compiled_lists c({text_list("x", "a.example\n")});
  seeded_random random(1);
  std::atomic<bool> stop = true;
  auto options = c.options;
  options.stop = &stop;
  filter_source big;
  big.name = big.path = c.folder / "big.list";
  {
    std::ofstream out(big.path);
    for (int i = 0; i < 20000; ++i) out << "n" << i << ".example\n";
  }
  CHECK(compile_filter({big}, options, random).error().code == errc::cancelled);
  stop = false;
  CHECK(compile_filter({}, options, random).error().code == errc::invalid);
  CHECK(compile_filter(std::vector<filter_source>(65), options, random).error().code == errc::invalid);
  filter_source absent;
  absent.path = c.folder / "absent";
  CHECK(compile_filter({absent}, options, random).error().code == errc::not_found);
  options.limits.rules = 100;
  CHECK(compile_filter({big}, options, random).error().code == errc::limit);
  options.limits.rules = 1'000'000;
  options.path = "/nonexistent/folder/lists.filter";
  CHECK_FALSE(compile_filter({big}, options, random));
  CHECK(c.action("a.example") == block);
  options.path = c.options.path;
  auto report = compile_filter({big}, options, random);
  REQUIRE(report);
  CHECK(report->names == 20000);
  CHECK(c.action("a.example") == block); // the old one goes on
  auto fresh = open_filter(options.path);
  REQUIRE(fresh);
  CHECK((*fresh)->match(name::parse("n19999.example")->wire(), all_lists).action == block);
  CHECK((*fresh)->match(name::parse("a.example")->wire(), all_lists).action == none);
  std::size_t files = 0;
  for (const auto& entry : std::filesystem::directory_iterator(c.folder.path()))
    files += entry.is_regular_file();
  CHECK(files == 2); // the list and the compiled one
}
