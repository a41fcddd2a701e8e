#pragma once
#include <functional>
#include <memory>
#include <string>

#include "netlab/fetch.h"
#include "netlab/part_file.h"
#include "netlab/transfer_plan.h"
#include "records.h"

namespace netlab::fetch {

// What one transfer is to bring.
struct download_request {
  std::string name; // of the file in the folder
  std::string url;
  http_headers headers;             // beside the plan's own
  std::optional<checksum> expected; // of what is transferred
  transfer_validators have; // of the copy in place, for a conditional request; empty: fetch in any case
};

struct download_outcome {
  bool unchanged = false; // the copy in place is the source's
  std::string path;       // of the part, whole and synced
  transfer_validators of;
  part_file::digests digests;
  std::uint64_t bytes = 0;
};

// One transfer into a part file, begun or gone on with. Dropping it ends it; the part stays. errc::conflict:
// the checksum is wrong, and the part is deleted; errc::limit with op "part.room": no room, likewise.
class download {
public:
  download(const runtime& world, records& kept, const fetch_options& options, std::string boot_id);
  ~download();
  download(const download&) = delete;
  download& operator=(const download&) = delete;

  // `begun(from, size)` tells where it starts and how long the whole is (0: unknown); `progress(bytes)` how
  // much of it is there; `done` runs once, never inside start().
  struct events {
    std::function<void(std::uint64_t from, std::uint64_t size)> begun;
    std::function<void(std::uint64_t bytes)> progress;
    std::function<void(result<download_outcome>)> done;
  };
  void start(download_request request, events on);

private:
  struct impl;
  std::shared_ptr<impl> impl_;
};

} // namespace netlab::fetch
