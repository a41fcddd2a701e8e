#pragma once
#include <memory>
#include <string>
#include <vector>

#include "host/object.h"
#include "netlab/fetch.h"
#include "netlab/json.h"

namespace netlab::lua {

// The files of one assets folder that come from elsewhere, and the thread that fetches them: transfers write
// and sync, which neither DHCP nor nodes that are loading shall wait for. Owned by the graph's objects;
// control loop only. Simulated runs, which have one thread, fetch on that.
class fetching {
public:
  explicit fetching(host& h);
  ~fetching();
  fetching(const fetching&) = delete;
  fetching& operator=(const fetching&) = delete;

  fetch::fetch_options settings; // the folder is start()'s

  // While the recipe declares. A second file of one name must be the same one.
  result<void> add(fetch::wanted_file file);
  bool empty() const { return files_.empty(); }
  asset_library& library() { return *library_; }
  result<void> start(host& h, const std::string& folder);
  void stop(std::function<void()> done);
  // { ready = "2 of 3 files", files = { … } }
  json status() const;

private:
  struct own_thread;
  std::vector<fetch::wanted_file> files_;
  std::shared_ptr<fetch::library> library_;
  std::unique_ptr<fetch::fetcher> here_;
  std::unique_ptr<own_thread> thread_;
};

// netlab.boot.assets: which files of the assets folder come from where. A boot service takes it instead of
// the folder's name.
class assets_object final : public service {
public:
  explicit assets_object(host& h) : files(h) {}
  fetching files;
  std::string folder; // as the recipe wrote it; relative to the state folder

  std::string default_name() const override { return "assets"; }
  result<void> start(host& h) override;
  void drain(std::function<void()> done) override { files.stop(std::move(done)); }
  json status() const override { return files.status(); }
};

} // namespace netlab::lua
