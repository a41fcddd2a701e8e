#pragma once
#include <memory>
#include <string>
#include <vector>

#include "boot/fetching.h"
#include "boot/source.h"
#include "host/object.h"
#include "host/schema.h"
#include "http/sources.h"
#include "netlab/boot_service.h"

namespace netlab::lua {

// What a profile's config, generic, ignition and cloud may be, and the document made of it; null when the
// option is not given.
option_type document_type();
boot::document_fn make_document(host& h, const options& o, const std::string& option_name);

// netlab.boot.service: profiles, groups and what serves them. It binds nothing itself: HTTP and TFTP
// servers of the recipe serve it, and a DHCP server asks it what each machine boots.
class boot_object final : public service, public served_source {
public:
  boot::service_options settings;
  std::vector<std::shared_ptr<source_function_handle>> sources;
  std::string assets; // as the recipe wrote it; relative to the state folder
  bool has_http = false, has_tftp = false;
  bool asks_lease_names = false; // a group may match by what a lease calls its machine
  // The recipe's netlab.boot.assets, or our own files: those of Talos profiles and of URLs.
  std::shared_ptr<assets_object> shared_files;
  std::unique_ptr<fetching> own_files;
  std::vector<std::string> profile_notes;

  bool fits(std::string_view kind) const override { return kind == "asset.source"; }
  std::string default_name() const override { return "boot"; }
  result<void> check(host& h) override;
  result<void> start(host& h) override;
  void drain(std::function<void()> done) override;
  std::vector<std::string> notes() const override { return notes_; }
  json status() const override;

  asset_source* source() override { return service_.get(); }
  void served_by_http(std::uint16_t port) override;
  void served_by_tftp() override { has_tftp = true; }

  // What DHCP asks; empty before start().
  boot_policy_fn policy() { return service_->policy(); }
  boot::service& engine() { return *service_; }

private:
  void make(host& h, bool running);
  fetching* files() const { return shared_files ? &shared_files->files : own_files.get(); }
  std::unique_ptr<boot::service> service_;
  std::vector<std::string> notes_;
};

} // namespace netlab::lua
