#include "netlab/dns_safe_search.h"

#include <algorithm>
#include <array>
#include <string>

namespace netlab::dns {

namespace {

struct rewrite {
  std::string_view name; // dotted
  std::string_view strict, moderate;
};

constexpr std::string_view youtube_strict = "restrict.youtube.com";
constexpr std::string_view youtube_moderate = "restrictmoderate.youtube.com";

constexpr auto rewrites = std::to_array<rewrite>({
    {"bing.com", "strict.bing.com", {}},
    {"duckduckgo.com", "safe.duckduckgo.com", {}},
    {"ecosia.org", "strict-safe-search.ecosia.org", {}},
    {"html.duckduckgo.com", "safe.duckduckgo.com", {}},
    {"lite.duckduckgo.com", "safe.duckduckgo.com", {}},
    {"m.youtube.com", youtube_strict, youtube_moderate},
    {"pixabay.com", "safesearch.pixabay.com", {}},
    {"search.brave.com", "forcesafe.search.brave.com", {}},
    {"start.duckduckgo.com", "safe.duckduckgo.com", {}},
    {"www.bing.com", "strict.bing.com", {}},
    {"www.duckduckgo.com", "safe.duckduckgo.com", {}},
    {"www.ecosia.org", "strict-safe-search.ecosia.org", {}},
    {"www.youtube-nocookie.com", youtube_strict, youtube_moderate},
    {"www.youtube.com", youtube_strict, youtube_moderate},
    {"youtube.googleapis.com", youtube_strict, youtube_moderate},
    {"youtubei.googleapis.com", youtube_strict, youtube_moderate},
});
static_assert(std::is_sorted(rewrites.begin(), rewrites.end(),
                             [](const rewrite& a, const rewrite& b) { return a.name < b.name; }));

// Google answers searches under "google." and each of these (https://www.google.com/supported_domains).
constexpr auto google_ends = std::to_array<std::string_view>({
    "ad",     "ae",     "al",     "am",     "as",     "at",     "az",     "ba",     "be",     "bf",
    "bg",     "bi",     "bj",     "bs",     "bt",     "by",     "ca",     "cat",    "cd",     "cf",
    "cg",     "ch",     "ci",     "cl",     "cm",     "cn",     "co.ao",  "co.bw",  "co.ck",  "co.cr",
    "co.id",  "co.il",  "co.in",  "co.jp",  "co.ke",  "co.kr",  "co.ls",  "co.ma",  "co.mz",  "co.nz",
    "co.th",  "co.tz",  "co.ug",  "co.uk",  "co.uz",  "co.ve",  "co.vi",  "co.za",  "co.zm",  "co.zw",
    "com",    "com.af", "com.ag", "com.ar", "com.au", "com.bd", "com.bh", "com.bn", "com.bo", "com.br",
    "com.bz", "com.co", "com.cu", "com.cy", "com.do", "com.ec", "com.eg", "com.et", "com.fj", "com.gh",
    "com.gi", "com.gt", "com.hk", "com.jm", "com.kh", "com.kw", "com.lb", "com.ly", "com.mm", "com.mt",
    "com.mx", "com.my", "com.na", "com.ng", "com.ni", "com.np", "com.om", "com.pa", "com.pe", "com.pg",
    "com.ph", "com.pk", "com.pr", "com.py", "com.qa", "com.sa", "com.sb", "com.sg", "com.sl", "com.sv",
    "com.tj", "com.tr", "com.tw", "com.ua", "com.uy", "com.vc", "com.vn", "cv",     "cz",     "de",
    "dj",     "dk",     "dm",     "dz",     "ee",     "es",     "fi",     "fm",     "fr",     "ga",
    "ge",     "gg",     "gl",     "gm",     "gr",     "gy",     "hn",     "hr",     "ht",     "hu",
    "ie",     "im",     "iq",     "is",     "it",     "je",     "jo",     "kg",     "ki",     "kz",
    "la",     "li",     "lk",     "lt",     "lu",     "lv",     "md",     "me",     "mg",     "mk",
    "ml",     "mn",     "mu",     "mv",     "mw",     "ne",     "nl",     "no",     "nr",     "nu",
    "pl",     "pn",     "ps",     "pt",     "ro",     "rs",     "ru",     "rw",     "sc",     "se",
    "sh",     "si",     "sk",     "sm",     "sn",     "so",     "sr",     "st",     "td",     "tg",
    "tl",     "tm",     "tn",     "to",     "tt",     "vu",     "ws",
});
static_assert(std::is_sorted(google_ends.begin(), google_ends.end()));

} // namespace

std::string_view safe_search_target(byte_view wire, safe_search how) {
  if (how == safe_search::off || wire.size() < 2 || wire.size() > 40) return {};
  char text[40];
  std::size_t size = 0;
  for (std::size_t at = 0; at < wire.size() && wire[at] != 0;) {
    if (size > 0) text[size++] = '.';
    auto length = wire[at++];
    if (length > 63 || at + length > wire.size()) return {};
    std::copy_n(wire.begin() + static_cast<std::ptrdiff_t>(at), length, text + size);
    size += length;
    at += length;
  }
  std::string_view name(text, size);
  auto found = std::lower_bound(rewrites.begin(), rewrites.end(), name,
                                [](const rewrite& r, std::string_view n) { return r.name < n; });
  if (found != rewrites.end() && found->name == name)
    return how == safe_search::moderate && !found->moderate.empty() ? found->moderate : found->strict;
  if (name.starts_with("www.")) name.remove_prefix(4);
  constexpr std::string_view google = "google.";
  if (name.starts_with(google) &&
      std::binary_search(google_ends.begin(), google_ends.end(), name.substr(google.size())))
    return "forcesafesearch.google.com";
  return {};
}

} // namespace netlab::dns
