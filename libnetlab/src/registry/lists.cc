#include <algorithm>
#include <charconv>
#include <nlohmann/json.hpp>

#include "netlab/json.h"
#include "netlab/oci.h"
#include "netlab/text.h"
#include "proxy_impl.h"

namespace netlab::registry {

namespace {

constexpr std::size_t most_pages = 200, most_names = 200'000;
constexpr std::size_t most_lists = 256; // held in memory

std::size_t limit_of(std::string_view query) {
  auto text = parameter(query, "n");
  std::size_t out = 0;
  std::from_chars(text.data(), text.data() + text.size(), out);
  return out;
}

// An index of manifests, as referrers are given.
std::string index_of(const json& entries) {
  json out = {{"schemaVersion", 2}, {"mediaType", oci::index_type}, {"manifests", entries}};
  return out.dump(-1, ' ', false, json::error_handler_t::replace);
}

} // namespace

task<list_outcome> proxy::impl::fetch_tags(upstream& from, std::string image) {
  list_outcome out;
  std::vector<std::string> names;
  std::string next;
  for (std::size_t page = 0; page < most_pages && names.size() < most_names; ++page) {
    query q;
    q.repository = from.repository(repository_of(image));
    q.path = next.empty() ? "tags/list?n=1000" : next;
    q.body_limit = 16u << 20;
    q.attempts = 2;
    auto asking = from.ask(std::move(q));
    auto got = co_await asking;
    if (!got || got->status != 200) {
      out.status = got ? got->status : got.error().code == errc::timeout ? 504 : 502;
      out.why = got ? "the upstream answers " + std::to_string(got->status) : got.error().message;
      co_return out;
    }
    auto data = parse_json(got->body);
    if (!data || !data->is_object()) {
      out.status = 502;
      out.why = "the upstream's list of tags is malformed";
      co_return out;
    }
    if (auto tags = data->find("tags"); tags != data->end() && tags->is_array())
      for (const auto& each : *tags)
        if (each.is_string() && oci::is_tag(each.get_ref<const std::string&>()))
          names.push_back(each.get<std::string>());
    auto link = next_link(got->header("link"));
    if (link.empty() || link == next) break;
    next = std::move(link);
  }
  std::sort(names.begin(), names.end());
  names.erase(std::unique(names.begin(), names.end()), names.end());
  out.names = std::move(names);
  co_return out;
}

void proxy::impl::answer_tags(const question_ptr& q) {
  auto give = [this, q](const std::vector<std::string>& all) {
    auto limit = limit_of(q->call->query);
    auto last = parameter(q->call->query, "last");
    auto page = page_of(all, last, limit);
    json tags = json::array();
    for (const auto& each : page.names) tags.push_back(each);
    http_reply out;
    out.content_type = "application/json";
    out.headers = fields(q, {});
    if (page.more && !page.names.empty())
      out.headers.emplace_back("Link", "</v2/" + q->name + "/tags/list?n=" + std::to_string(limit) +
                                           "&last=" + url_encode(page.names.back()) +
                                           (q->ns.empty() ? "" : "&ns=" + url_encode(q->ns)) +
                                           ">; rel=\"next\"");
    out.body = json{{"name", q->name}, {"tags", std::move(tags)}}.dump();
    q->call->reply(std::move(out));
  };
  auto local = [this, image = q->image] {
    std::vector<std::string> out;
    auto found = cache.index().tags().find(image);
    if (found != cache.index().tags().end())
      for (const auto& [name, t] : found->second) out.push_back(name);
    return out;
  };
  auto held = tag_lists.find(q->image);
  if (held != tag_lists.end() && world.clock.now() < held->second.until) return give(held->second.names);
  if (q->from->config().hosted) {
    auto names = local();
    if (names.empty()) return refuse(q, 404, "NAME_UNKNOWN", "nothing of that name was pushed");
    return give(names);
  }
  run<list_outcome>(fetch_tags(*q->from, q->image), [this, q, give, local](const list_outcome& got) {
    if (got.names) {
      if (tag_lists.size() >= most_lists) tag_lists.clear();
      tag_lists[q->image] = {*got.names, world.clock.now() + believed_for(*q->from, {})};
      return give(*got.names);
    }
    if (got.status == 404) return refuse(q, 404, "NAME_UNKNOWN", "the registry does not have " + q->image);
    // What was listed last, else what is here, is better than nothing.
    auto old = tag_lists.find(q->image);
    auto names = old != tag_lists.end() ? old->second.names : local();
    if (!names.empty()) return give(names);
    refuse_as(q, got.status, got.why, q->from->blocked(), "NAME_UNKNOWN");
  });
}

// Manifests here whose subject is `digest`.
std::string proxy::impl::local_referrers(const std::string& digest) const {
  json entries = json::array();
  auto& held = const_cast<store&>(cache); // reading a manifest brings it into memory
  std::vector<std::string> all;
  for (const auto& [d, e] : cache.index().entries())
    if (e.manifest) all.push_back(d);
  std::sort(all.begin(), all.end());
  for (const auto& d : all) {
    auto m = held.manifest(d);
    if (!m || m->text->find(digest) == std::string::npos) continue;
    auto read = oci::parse_manifest(*m->text);
    if (!read || !read->subject || read->subject->digest.to_string() != digest) continue;
    json entry = {{"mediaType", m->media_type}, {"digest", d}, {"size", m->text->size()}};
    auto type = read->artifact_type;
    if (type.empty() && read->config) type = read->config->media_type;
    if (!type.empty()) entry["artifactType"] = type;
    if (!read->annotations.empty())
      if (auto notes = parse_json(read->annotations)) entry["annotations"] = *notes;
    entries.push_back(std::move(entry));
  }
  return index_of(entries);
}

task<manifest_outcome> proxy::impl::fetch_referrers(upstream& from, std::string image, std::string digest) {
  manifest_outcome out;
  auto made = std::make_shared<stored_manifest>();
  made->media_type = oci::index_type;
  query q;
  q.repository = from.repository(repository_of(image));
  q.path = "referrers/" + digest;
  q.headers.emplace_back("Accept", std::string(oci::index_type));
  q.attempts = 2;
  auto asking = from.ask(std::move(q));
  auto got = co_await asking;
  bool answered = got && got->status == 200;
  if (answered) {
    auto read = oci::parse_manifest(got->body);
    if (read && read->index) {
      made->text = std::make_shared<const std::string>(std::move(got->body));
      out.found = made;
      co_return out;
    }
  }
  if (got && (got->status == 404 || answered)) {
    // A registry without the API keeps them under a tag (distribution-spec, "Referrers Tag Schema").
    auto tag = digest;
    tag[tag.find(':')] = '-';
    auto taking = take_manifest(from, image, tag, {});
    auto kept = co_await taking;
    if (kept.found) co_return kept;
    if (kept.status == 404) {
      made->text = std::make_shared<const std::string>(index_of(json::array()));
      out.found = made;
      co_return out;
    }
  }
  out.status = got ? got->status : 502;
  out.why = got ? "the upstream answers " + std::to_string(got->status) : got.error().message;
  co_return out;
}

void proxy::impl::answer_referrers(const question_ptr& q) {
  if (!oci::parse_digest(q->reference))
    return refuse(q, 400, "DIGEST_INVALID", "\"" + q->reference + "\" is no digest");
  auto give = [this, q](const std::string& text) {
    auto type = parameter(q->call->query, "artifactType");
    http_reply out;
    out.content_type = oci::index_type;
    out.headers = fields(q, {});
    out.body = text;
    if (!type.empty()) {
      auto data = parse_json(text);
      if (!data || !data->is_object())
        return refuse(q, 502, "UNAVAILABLE", "the list of referrers is malformed");
      json kept = json::array();
      if (auto list = data->find("manifests"); list != data->end() && list->is_array())
        for (const auto& each : *list)
          if (each.is_object() && each.contains("artifactType") && each["artifactType"] == type)
            kept.push_back(each);
      out.headers.emplace_back("OCI-Filters-Applied", "artifactType");
      out.body = index_of(kept);
    }
    q->call->reply(std::move(out));
  };
  if (q->from->config().hosted) return give(local_referrers(q->reference));
  auto key = q->image + "@" + q->reference;
  auto held = referrer_lists.find(key);
  if (held != referrer_lists.end() && world.clock.now() < held->second.second)
    return give(held->second.first);
  run<manifest_outcome>(
      fetch_referrers(*q->from, q->image, q->reference), [this, q, give, key](const manifest_outcome& got) {
        if (!got.found) return give(local_referrers(q->reference));
        if (referrer_lists.size() >= most_lists) referrer_lists.clear();
        referrer_lists[key] = {*got.found->text, world.clock.now() + believed_for(*q->from, {})};
        give(*got.found->text);
      });
}

void proxy::impl::answer_catalog(const http_call_ptr& call) {
  std::vector<std::string> all;
  for (const auto& [image, tags] : cache.index().tags()) all.push_back(image);
  auto limit = limit_of(call->query);
  auto page = page_of(all, parameter(call->query, "last"), limit);
  http_reply out;
  out.content_type = "application/json";
  out.headers = common_fields();
  if (page.more && !page.names.empty())
    out.headers.emplace_back("Link", "</v2/_catalog?n=" + std::to_string(limit) +
                                         "&last=" + url_encode(page.names.back()) + ">; rel=\"next\"");
  json names = json::array();
  for (const auto& each : page.names) names.push_back(each);
  out.body = json{{"repositories", std::move(names)}}.dump();
  call->reply(std::move(out));
}

} // namespace netlab::registry
