#include "dns/filter.h"

#include <time.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "netlab/text.h"

namespace netlab::lua {

namespace {

constexpr std::size_t most_zone_bytes = 1u << 20;

constexpr std::string_view everybody = "everybody";

option_type list_entry() {
  return type::one_of({type::url(), type::path(),
                       type::table({
                           optional("name", type::string(), "how groups and statistics call it"),
                           optional("url", type::url(), "where it is downloaded from"),
                           optional("path", type::path(), "its file; read again when it changes"),
                           optional("rules", type::list(type::string()), "its lines, in the recipe"),
                           with_default("subdomains", type::boolean(), false,
                                        "plain names count for everything below them as well"),
                           optional("refresh", type::duration(), "instead of `lists_refresh`"),
                       })});
}

std::string at_index(const std::string& option, std::size_t i) {
  return option + "[" + std::to_string(i + 1) + "]";
}

result<dns::list_source> read_entry(const value& v, const std::string& at) {
  dns::list_source out;
  if (v.is<std::string>()) {
    out.name = out.url = v.as<std::string>();
    return out;
  }
  if (v.is<file_path>()) {
    out.name = out.path = v.as<file_path>().path;
    if (out.name.find("://") != std::string::npos || out.name.find(":/") != std::string::npos)
      return fail(errc::invalid,
                  "\"" + printable(out.name) + "\": lists come by http and https, or from a file", at);
    return out;
  }
  const auto& o = v.as<options>();
  out.url = o.maybe<std::string>("url").value_or("");
  if (auto path = o.maybe<file_path>("path")) out.path = path->path;
  for (const auto& rule : o.list<std::string>("rules")) out.text += rule + "\n";
  out.subdomains = o.get<bool>("subdomains");
  out.refresh = o.maybe<duration>("refresh");
  if (o.has("url") + o.has("path") + o.has("rules") != 1)
    return fail(errc::invalid, "one of \"url\", \"path\" and \"rules\" is needed", at);
  out.name = o.maybe<std::string>("name").value_or(!out.url.empty()    ? out.url
                                                   : !out.path.empty() ? out.path
                                                                       : at);
  return out;
}

result<void> read_lists(const options& o, const char* option, bool allow,
                        std::vector<dns::list_source>& out) {
  const auto* found = o.find(option);
  if (!found) return {};
  const auto& entries = found->as<value_list>();
  for (std::size_t i = 0; i < entries.size(); ++i) {
    auto entry = read_entry(entries[i], at_index(option, i));
    if (!entry) return tl::unexpected(entry.error());
    entry->allow = allow;
    out.push_back(std::move(*entry));
  }
  return {};
}

result<dns::group_member> read_member(const std::string& text, const std::string& at) {
  if (text.find('/') != std::string::npos) {
    auto network = cidr::parse(text);
    if (!network) return fail(errc::invalid, network.error().message, at);
    return dns::group_member(cidr{network->network(), network->prefix});
  }
  if (auto address = ip_address::parse(text))
    return dns::group_member(cidr{*address, static_cast<std::uint8_t>(address->is_v4() ? 32 : 128)});
  if (auto mac = mac_address::parse(text)) return dns::group_member(*mac);
  if (text.empty()) return fail(errc::invalid, "a client's name is empty", at);
  return dns::group_member(text);
}

// Lists by their names; the allow lists that no group names count for everybody.
class list_names {
public:
  explicit list_names(const std::vector<dns::list_source>& lists) : lists_(lists) {}
  result<dns::list_mask> mask(const std::vector<std::string>& names, const std::string& at) {
    dns::list_mask out = 0;
    for (const auto& name : names) {
      auto found = std::find_if(lists_.begin(), lists_.end(), [&](const auto& l) { return l.name == name; });
      if (found == lists_.end()) return fail(errc::invalid, unknown(name), at);
      out |= dns::list_mask{1} << (found - lists_.begin());
    }
    named_ |= out;
    return out;
  }
  dns::list_mask for_everybody() const {
    dns::list_mask out = 0;
    for (std::size_t i = 0; i < lists_.size(); ++i)
      if (lists_[i].allow) out |= dns::list_mask{1} << i;
    return out & ~named_;
  }

private:
  std::string unknown(const std::string& name) const {
    std::vector<std::string_view> names;
    for (const auto& l : lists_) names.push_back(l.name);
    return "no list has the name \"" + printable(name) + "\"" + did_you_mean(name, names);
  }
  const std::vector<dns::list_source>& lists_;
  dns::list_mask named_ = 0;
};

// The lists of a Pi-hole behind those of the recipe, which count for its groups as well.
void add_pihole(const dns::pihole_setup& from, std::vector<dns::list_source>& lists,
                std::vector<dns::filter_group>& groups, dns::list_mask& others) {
  // More than 64 are an error that dns::check() tells.
  auto before = std::min<std::size_t>(lists.size(), 63);
  auto ours = (dns::list_mask{1} << before) - 1;
  others = (others & ours) | from.everybody << before;
  for (auto group : from.groups) {
    group.lists = ours | group.lists << before;
    groups.push_back(std::move(group));
  }
  lists.insert(lists.end(), from.lists.begin(), from.lists.end());
}

struct group_lists {
  dns::list_mask everybody = dns::all_lists;
  std::vector<dns::filter_group> groups;
  std::vector<dns::safe_search> safe; // of everybody else, then of each group
};

option_type safe_search_words() { return type::enumeration({"off", "moderate", "strict"}); }
dns::safe_search safe_search_of(const options& o, dns::safe_search unless_said) {
  auto word = o.maybe<std::string>("safe_search");
  if (!word) return unless_said;
  return *word == "strict"     ? dns::safe_search::strict
         : *word == "moderate" ? dns::safe_search::moderate
                               : dns::safe_search::off;
}

result<group_lists> read_groups(const options& o, const std::vector<dns::list_source>& lists) {
  dns::list_mask others = dns::all_lists;
  std::vector<dns::filter_group> groups;
  list_names names(lists);
  std::vector<dns::safe_search> safe{safe_search_of(o, dns::safe_search::off)};
  auto everybody_safe = safe[0];
  auto given = o.maybe<value_map>("groups").value_or(value_map{});
  for (const auto& item : given.items) {
    const auto& g = item.value.as<options>();
    auto at = "groups." + item.name;
    dns::filter_group group;
    group.name = item.name;
    if (g.has("lists")) {
      auto mask = names.mask(g.list<std::string>("lists"), at + ".lists");
      if (!mask) return tl::unexpected(mask.error());
      group.lists = *mask;
    }
    auto clients = g.list<std::string>("clients");
    for (std::size_t i = 0; i < clients.size(); ++i) {
      auto member = read_member(clients[i], at_index(at + ".clients", i));
      if (!member) return tl::unexpected(member.error());
      group.members.push_back(std::move(*member));
    }
    auto schedule = g.list<options>("schedule");
    for (std::size_t i = 0; i < schedule.size(); ++i) {
      const auto& s = schedule[i];
      auto here = at_index(at + ".schedule", i);
      auto when = dns::weekly_window::parse(s.get<std::string>("days"), s.get<std::string>("from"),
                                            s.get<std::string>("to"));
      if (!when) return fail(errc::invalid, when.error().message, here + "." + when.error().op);
      auto mask = names.mask(s.list<std::string>("lists"), here + ".lists");
      if (!mask) return tl::unexpected(mask.error());
      group.schedule.push_back({*when, *mask});
    }
    if (group.name == everybody) {
      if (!clients.empty() || !schedule.empty())
        return fail(errc::invalid, "\"everybody\" is who is in no group: it takes lists only", at);
      others = group.lists;
      everybody_safe = safe_search_of(g, safe[0]);
      continue;
    }
    if (clients.empty()) return fail(errc::invalid, "a group needs clients", at + ".clients");
    groups.push_back(std::move(group));
    safe.push_back(safe_search_of(g, safe[0]));
  }
  safe[0] = everybody_safe;
  auto always = names.for_everybody();
  for (auto& g : groups) {
    g.lists |= always;
    for (auto& e : g.schedule) e.lists |= always;
  }
  return group_lists{others | always, std::move(groups), std::move(safe)};
}

} // namespace

std::vector<option> dns_filter_fields() {
  return {
      optional("blocklists", type::list(list_entry()),
               "names that are not answered: URLs and files of hosts, plain names, \"*.name\", \"||name^\" "
               "with \"@@\" "
               "and regular expressions, or { url | path | rules, name, subdomains, refresh }"),
      optional("allowlists", type::list(list_entry()),
               "exceptions from every block list, in the same formats"),
      with_default("lists_refresh", type::duration(), "24h",
                   "how often the lists of URLs are asked for again"),
      with_default("blocking",
                   type::one_of({type::enumeration({"null", "nxdomain", "nodata", "refused"}), type::ip(),
                                 type::list(type::ip())}),
                   "null",
                   "what a blocked name is answered with: 0.0.0.0 and ::, an error, nothing, or an address"),
      with_default("blocking_ttl", type::duration(), "2s", "how long clients keep such an answer"),
      optional(
          "groups",
          type::map(type::table({
              optional("clients", type::list(type::string()),
                       "addresses, networks, MAC addresses, and names of nodes and leases"),
              optional("lists", type::list(type::string()),
                       "names of the lists that count; all unless given"),
              optional("safe_search", safe_search_words(), "instead of the server's"),
              optional("schedule",
                       type::list(type::table({
                           with_default("days", type::string(), "daily", "\"mon-fri\", \"sat,sun\""),
                           with_default("from", type::string(), "00:00",
                                        "by the clock of the machine that netlab runs on, in `time_zone`"),
                           with_default("to", type::string(), "24:00", "before `from`: the next day"),
                           required("lists", type::list(type::string()), "the lists that count then"),
                       })),
                       "other lists at some hours; the first entry that holds counts"),
          })),
          "whose lists count for whom; \"everybody\" is who is in no group"),
      optional("time_zone", type::string(),
               "of the hours of schedules: \"Europe/Prague\"; the machine's own when left out"),
      with_default(
          "safe_search", safe_search_words(), "off",
          "search engines and video sites leave adult content out: Google, Bing, DuckDuckGo, YouTube "
          "and others; \"moderate\" differs for YouTube"),
      optional("pihole", type::handle("dns.pihole"),
               "a Pi-hole whose lists, domains, groups, clients and local records count as well"),
  };
}

result<dns_filter_settings> read_dns_filter(const options& o) {
  dns_filter_settings out;
  auto& lists = out.lists.lists;
  if (auto read = read_lists(o, "blocklists", false, lists); !read) return tl::unexpected(read.error());
  if (auto read = read_lists(o, "allowlists", true, lists); !read) return tl::unexpected(read.error());
  out.lists.refresh = o.get<duration>("lists_refresh");
  auto given = read_groups(o, lists);
  if (!given) return tl::unexpected(given.error());
  out.piholes = o.objects<pihole_import>("pihole");
  for (const auto& p : out.piholes) add_pihole(p->setup, lists, given->groups, given->everybody);
  if (auto fine = dns::check(out.lists); !fine)
    return fail(errc::invalid, fine.error().message, "blocklists");
  given->safe.resize(1 + given->groups.size(), given->safe[0]); // a Pi-hole's groups
  out.safe = std::move(given->safe);
  out.zone_name = o.maybe<std::string>("time_zone").value_or("");
  auto groups = dns::filter_groups::make(given->everybody, std::move(given->groups));
  if (!groups) return tl::unexpected(groups.error());
  out.groups = std::move(*groups);

  auto addresses = o.list<ip_address>("blocking");
  if (auto word = o.maybe<std::string>("blocking")) {
    using kind = dns::blocking::kind;
    out.blocking.mode = *word == "nxdomain"  ? kind::nxdomain
                        : *word == "nodata"  ? kind::nodata
                        : *word == "refused" ? kind::refused
                                             : kind::null;
  } else {
    if (addresses.empty()) return fail(errc::invalid, "the list is empty", "blocking");
    out.blocking.mode = dns::blocking::kind::address;
    out.blocking.addresses = std::move(addresses);
  }
  auto seconds = std::chrono::duration_cast<std::chrono::seconds>(o.get<duration>("blocking_ttl")).count();
  out.blocking.ttl = static_cast<std::uint32_t>(std::clamp<std::int64_t>(seconds, 0, 86400));
  return out;
}

result<void> dns_filter_settings::load_zone(files& from) {
  if (zone_name.empty()) return {};
  auto path = time_zone::path_of(zone_name);
  auto bytes = path ? from.read(*path, most_zone_bytes) : result<std::string>(std::string());
  auto read = bytes ? time_zone::parse(as_bytes(*bytes)) : tl::unexpected(bytes.error());
  if (!read)
    return fail(errc::invalid,
                "\"" + printable(zone_name) +
                    "\" is no time zone that this machine knows; Debian's package tzdata brings them",
                "time_zone");
  zone = std::move(*read);
  return {};
}

json pihole_import::status() const {
  return {{"lists", setup.lists.size()}, {"groups", setup.groups.size()}, {"names", setup.hosts.size()}};
}

void dns_filter::start(const std::string& server, const std::string& folder, bool alone) {
  auto config = settings_.lists;
  config.server = server;
  config.folder = folder;
  if (!settings_.has_lists()) {
    started_ = true;
    return plan_change();
  }
  if (alone) config.run_aside = [](const std::function<void()>& job) { job(); };
  lists_ = std::make_unique<dns::filter_lists>(world_, std::move(config), [this](auto fresh) {
    filter_ = std::move(fresh);
    // The server takes what is there when it starts.
    if (started_) changed_();
  });
  lists_->start();
  started_ = true;
  plan_change();
}

void dns_filter::stop() {
  schedule_.cancel();
  lists_.reset();
}

dns::week_minute dns_filter::now() const {
  using namespace std::chrono;
  auto utc = floor<seconds>(world_.clock.wall());
  seconds offset{};
  if (settings_.zone) {
    offset = settings_.zone->offset(utc);
  } else {
    time_t t = utc.time_since_epoch().count();
    tm local{};
    localtime_r(&t, &local);
    offset = seconds(local.tm_gmtoff);
  }
  auto here = utc + offset;
  auto day = floor<days>(here);
  auto minutes =
      (weekday(day).iso_encoding() - 1) * 24 * 60 + floor<std::chrono::minutes>(here - day).count();
  return static_cast<dns::week_minute>(minutes);
}

void dns_filter::plan_change() {
  auto minutes = settings_.groups.until_change(now());
  if (!minutes) return;
  // Not the whole way at once: the clock may be set, and summer time begins.
  bool there = *minutes <= 1;
  auto wait = there ? duration(std::chrono::seconds(61))
                    : duration(std::chrono::minutes(std::min(*minutes - 1, 30u)));
  if (there) {
    auto since_epoch =
        std::chrono::floor<std::chrono::seconds>(world_.clock.wall()).time_since_epoch().count();
    wait = std::chrono::seconds(60 - since_epoch % 60);
  }
  schedule_ = world_.scheduler.after(wait, [this, before = settings_.groups.lists(now())] {
    if (settings_.groups.lists(now()) != before) changed_();
    plan_change();
  });
}

void dns_filter::fill(dns::snapshot& out, const std::vector<dns::known_client>& clients) const {
  out.policies.clear();
  for (auto mask : settings_.groups.lists(now())) {
    auto i = out.policies.size();
    out.policies.push_back(
        {filter_, mask, i < settings_.safe.size() ? settings_.safe[i] : dns::safe_search::off});
  }
  out.client_policies = settings_.groups.assignments(clients);
}

std::vector<std::string> dns_filter::group_names() const {
  std::vector<std::string> out{std::string(everybody)};
  for (const auto& g : settings_.groups.groups()) out.push_back(g.name);
  return out;
}

std::vector<std::string> dns_filter::list_names() const {
  std::vector<std::string> out;
  for (const auto& l : settings_.lists.lists) out.push_back(l.name);
  return out;
}

json dns_filter::status() const {
  json lists = json::array();
  if (lists_)
    for (const auto& l : lists_->status()) {
      json entry = {{"list", printable(l.name)}, {"rules", l.rules}};
      if (l.allow) entry["allow"] = true;
      if (l.malformed + l.unsupported > 0) entry["left_out"] = l.malformed + l.unsupported;
      if (l.changed) entry["changed"] = format_time(*l.changed, false);
      if (l.checked) entry["checked"] = format_time(*l.checked, false);
      if (!l.trouble.empty()) entry["trouble"] = printable(l.trouble);
      lists.push_back(std::move(entry));
    }
  json out = {{"names", filter_ ? filter_->names() : 0}, {"lists", std::move(lists)}};
  return out;
}

} // namespace netlab::lua
