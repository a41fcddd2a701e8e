#include "dns/filter.h"
#include "dns/log.h"
#include "dns/records.h"
#include "dns/server_options.h"
#include "dns/upstreams.h"
#include "dns/zones.h"

namespace netlab::lua {

schema dns_server_schema() {
  schema s;
  s.name = "dns.server";
  s.help =
      "The network's resolver: it knows the lab's names, keeps answers, and asks upstreams for the rest.";
  auto add = [&s](const std::vector<option>& more) {
    s.options.insert(s.options.end(), more.begin(), more.end());
  };
  s.options = {
      optional("name", type::string(), "how messages and commands call it"),
      required("listen", type::listen(),
               "where, by UDP and TCP: \"addr:port\", lan:at(port), or a list of them"),
  };
  add(dns_upstream_fields());
  add({
      optional("domain", type::string(),
               "ours: never forwarded, and added to bare names; the network's domain unless given"),
      optional(
          "records", dns_records_type(),
          "names of the recipe: an address, a list of them, or { a, aaaa, cname, txt, srv, mx, ptr, caa, ns, "
          "https, svcb, naptr, sshfp, tlsa, uri, ds, other, "
          "ttl }; a name without a dot lies in the domain, \"*.apps.lab.internal\" is a wildcard"),
      optional("hosts", type::one_of({type::path(), type::list(type::path())}),
               "hosts files, read again when they change"),
      dns_zones_field(),
      optional("names", type::one_of({type::handle("dns.names"), type::list(type::handle("dns.names"))}),
               "names that the recipe sets while it runs; its `records`, files and reservations come first, "
               "leases after them"),
      optional("nodes", type::one_of({type::handle("nodes"), type::list(type::handle("nodes"))}),
               "machines whose names lead to their reserved addresses"),
      optional("leases", type::one_of({type::handle("dhcp.server"), type::list(type::handle("dhcp.server"))}),
               "DHCP servers whose clients get names for as long as they hold a lease"),
      with_default("ttl", type::duration(), "5m", "of our own records, unless they say otherwise"),
      with_default("workers", type::integer(1, 64), 1, "threads that answer, each with a cache of its own"),
      with_default("cache",
                   type::one_of({type::size(),
                                 type::table({
                                     with_default("size", type::size(), "4MiB", "memory, of each worker"),
                                     with_default("save", type::boolean(), true,
                                                  "keep answers in the state folder over restarts"),
                                 })}),
                   "4MiB",
                   "memory for answers, of each worker; { save = true } keeps them over restarts as well"),
      with_default("min_ttl", type::duration(), "0s", "the least time that an answer is kept"),
      with_default("max_ttl", type::duration(), "24h", "the longest time that an answer is kept"),
      with_default("max_negative_ttl", type::duration(), "1h", "the same for \"no such name\""),
      with_default("stale", type::duration(), "24h",
                   "how long after its time an answer may be given when no upstream answers (RFC 8767); "
                   "\"0s\": never"),
      with_default("prefetch", type::boolean(), true, "renew popular answers before their time is over"),
      with_default("udp_size", type::integer(512, 4096), 1232,
                   "the largest answer by UDP; a larger one goes by TCP"),
      with_default("clients", type::list(type::one_of({type::cidr(), type::ip()})),
                   json::array({"127.0.0.0/8", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16",
                                "169.254.0.0/16", "100.64.0.0/10", "::1/128", "fc00::/7", "fe80::/10"}),
                   "who may ask; everybody else is refused, so that nobody abuses an open resolver"),
      optional("rate_limit", type::number(1, 1e9),
               "queries a second that one client may send; no limit unless given"),
      optional("rate_burst", type::number(1, 1e9),
               "queries that it may send at once after a rest; ten seconds' worth"),
      with_default("special_domains", type::boolean(), true,
                   "tell browsers and phones not to go around this resolver (use-application-dns.net, "
                   "mask.icloud.com, resolver.arpa)"),
      with_default("rebind_protection", type::boolean(), false,
                   "leave private addresses out of what `upstreams` answer"),
      optional("rebind_allow", type::one_of({type::string(), type::list(type::string())}),
               "domains that may lead to private addresses"),
      optional("tls",
               type::table({
                   required("certificate", type::path(), "its chain, PEM"),
                   required("key", type::path(), "its key, PEM"),
                   required("listen", type::listen(), "where, usually port 853"),
               }),
               "DNS over TLS for clients"),
  });
  s.options.push_back(optional(
      "dnssec",
      type::one_of(
          {type::boolean(),
           type::table({
               optional("anchors", type::map(type::one_of({type::string(), type::list(type::string())})),
                        "keys that are trusted, by zone, instead of the root's: the data of DS or DNSKEY "
                        "records, { [\"corp.example\"] = \"12345 13 2 49fd…\" }; with \".\" left out, "
                        "only what lies below these is validated"),
               optional("negative", type::list(type::string()),
                        "zones whose broken signatures are not looked at"),
           })}),
      "validate what upstreams answer, by the root zone's keys: what is forged or broken is SERVFAIL, what "
      "is "
      "proven has the AD bit; names of our own and forwarded zones without an anchor are left alone"));
  add(dns_filter_fields());
  s.options.push_back(dns_log_field());
  s.options.push_back(
      optional("on_query", type::function("function(query)"),
               "asked before anything else about every query, { name, type, client, transport, node? }: "
               "returns nil to "
               "pass it on, an address or list of them, \"refuse\", \"nxdomain\", \"nodata\", or { a, aaaa, "
               "cname, txt, srv, mx, "
               "ptr, caa, ns, ttl, rcode, rewrite = name, delay }; without it no query waits for Lua"));
  s.options.push_back(
      with_default("on_query_timeout", type::duration(), "500ms", "how long a query waits for it"));
  s.options.push_back(with_default("on_query_default", type::enumeration({"pass", "refuse"}), "pass",
                                   "what counts when it does not answer in time, fails, or too many wait"));
  s.example = "netlab.dns.server {\n"
              "  listen = lan:at(53), domain = \"lab.internal\", nodes = nodes, leases = { dhcp },\n"
              "  upstreams = { \"tls://1.1.1.1\", \"tls://9.9.9.9\" }, records = { registry = lan.ip },\n"
              "}";
  return s;
}

} // namespace netlab::lua
