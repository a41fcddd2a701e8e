#include "registry_client.h"

#include <algorithm>

#include "netlab/encoding.h"
#include "netlab/oci.h"
#include "netlab/text.h"
#include "netlab/url.h"

namespace netlab::fetch {

namespace {
constexpr int most_steps = 4; // index in index in index
}

struct registry_client::flow {
  oci_reference of;
  std::string arch, reference;
  std::function<void(result<std::vector<oci_layer>>)> done;
  std::unique_ptr<http_exchange> exchange;
  bool authorised = false;
  int steps = 0;
};

std::string registry_client::key(const oci_reference& of) { return of.host + "/" + of.repository; }

std::string registry_client::blob_url(const oci_reference& of, const checksum& digest) {
  return of.base_url() + "/blobs/" + digest.to_string();
}

http_headers registry_client::blob_headers(const oci_reference& of) const {
  auto found = authorization_.find(key(of));
  if (found == authorization_.end()) return {};
  return {{"Authorization", found->second}};
}

const credential* registry_client::credential_of(const oci_reference& of) const {
  auto found = options_.credentials.find(of.host);
  return found == options_.credentials.end() ? nullptr : &found->second;
}

http_request registry_client::request(std::string url) const {
  http_request q;
  q.url = std::move(url);
  q.body_limit = 8u << 20;
  q.redirects = 5; // registry.k8s.io sends manifests to other hosts as well
  q.verify = options_.verify;
  q.ca_file = options_.ca_file;
  return q;
}

void registry_client::layers(const oci_reference& of, const std::string& arch,
                             std::function<void(result<std::vector<oci_layer>>)> done) {
  auto f = std::make_shared<flow>();
  f->of = of;
  f->arch = arch;
  f->reference = of.reference;
  f->done = std::move(done);
  flows_.push_back(f);
  read(f);
}

void registry_client::read(const std::shared_ptr<flow>& f) {
  auto q = request(f->of.base_url() + "/manifests/" + f->reference);
  q.headers = blob_headers(f->of);
  q.headers.emplace_back("Accept", std::string(oci::manifest_types));
  f->exchange = world_.http.send(std::move(q), [this, late = std::weak_ptr(f)](result<http_response> got) {
    if (auto still = late.lock()) on_manifest(still, std::move(got));
  });
}

void registry_client::on_manifest(const std::shared_ptr<flow>& f, result<http_response> got) {
  if (!got) return end(f, tl::unexpected(got.error()));
  if (got->status == 401 && !f->authorised) return authorise(f, *got);
  auto where = shown_url(f->of.base_url()) + ":" + f->reference;
  if (got->status == 404)
    return end(f, fail(errc::not_found, "the registry has no " + f->of.repository + ":" + f->reference,
                       "fetch.oci"));
  if (got->status == 401 || got->status == 403) {
    authorization_.erase(key(f->of));
    return end(f, fail(errc::refused,
                       "the registry " + f->of.host + " does not let us read " + f->of.repository + " (" +
                           std::to_string(got->status) + ")" +
                           (credential_of(f->of) ? "" : ": give credentials for " + f->of.host),
                       "fetch.oci"));
  }
  if (got->status != 200)
    return end(f, fail(errc::refused, "the registry answers " + std::to_string(got->status) + " for " + where,
                       "fetch.oci"));
  // What is asked for by digest is what it says it is, whoever sent it.
  if (auto wanted = checksum::parse(f->reference); wanted && f->reference.find(':') != std::string::npos) {
    hasher sum(wanted->algorithm);
    sum.update(as_bytes(got->body));
    if (auto found = sum.finish(); found != *wanted)
      return end(f, fail(errc::conflict,
                         "wrong checksum of a manifest: expected " + wanted->to_string() + ", found " +
                             found.to_string(),
                         "fetch.checksum"));
  }
  auto manifest = read_manifest(got->body, f->arch);
  if (!manifest) return end(f, tl::unexpected(manifest.error()));
  if (manifest->next.empty()) return end(f, std::move(manifest->layers));
  if (++f->steps > most_steps)
    return end(f, fail(errc::protocol, "the registry's indexes lead in circles", "fetch.oci"));
  f->reference = manifest->next;
  read(f);
}

void registry_client::authorise(const std::shared_ptr<flow>& f, const http_response& got) {
  f->authorised = true;
  const auto* account = credential_of(f->of);
  auto demand = oci::parse_challenge(got.header("www-authenticate"));
  auto basic = [&] { return "Basic " + base64(account->username + ":" + account->password); };
  if (demand && demand->scheme == "basic" && account) {
    authorization_[key(f->of)] = basic();
    return read(f);
  }
  auto url = demand ? oci::token_url(*demand, f->of.repository, f->of.tls) : tl::unexpected(demand.error());
  if (!url)
    return end(f, fail(errc::refused,
                       "the registry " + f->of.host + " wants credentials" +
                           (account ? " of a kind that netlab does not have" : " for " + f->of.repository),
                       "fetch.oci"));
  auto q = request(*url);
  auto base = f->of.base_url();
  if (account && oci::may_share_credentials(host_of(base), host_of(*url)))
    q.headers.emplace_back("Authorization", basic());
  f->exchange = world_.http.send(std::move(q), [this, late = std::weak_ptr(f)](result<http_response> answer) {
    if (auto still = late.lock()) on_token(still, std::move(answer));
  });
}

void registry_client::on_token(const std::shared_ptr<flow>& f, result<http_response> got) {
  if (!got) return end(f, tl::unexpected(got.error()));
  auto token = oci::parse_token(got->body);
  if (got->status != 200 || !token)
    return end(f, fail(errc::refused,
                       "the registry's token server gives no token for " + f->of.repository + " (" +
                           std::to_string(got->status) + ")",
                       "fetch.oci"));
  authorization_[key(f->of)] = "Bearer " + token->value;
  read(f);
}

void registry_client::end(const std::shared_ptr<flow>& f, result<std::vector<oci_layer>> what) {
  auto held = f; // the list's own reference may be the last
  std::erase(flows_, held);
  auto exchange = std::move(held->exchange);
  if (auto done = std::exchange(held->done, nullptr)) done(std::move(what));
}

} // namespace netlab::fetch
