#pragma once
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>

#include "netlab/clock.h"
#include "netlab/http_server.h"
#include "netlab/part_file.h"
#include "netlab/random.h"
#include "store.h"

namespace netlab::registry {

// One blob that a client pushes, in one or several requests (distribution-spec, "Pushing blobs").
struct upload {
  std::string id, repository, path;
  std::unique_ptr<part_file> file;
  parts::part* room = nullptr;  // of the store
  std::optional<error> trouble; // of the disk
  bool busy = false;            // a request's body is coming in
  boot_time used{};
};

// The uploads that are under way, in the store's folder of parts. One that nobody goes on with for an hour is
// dropped. One loop's thread; the store outlives it.
class uploads {
public:
  static constexpr duration life = std::chrono::hours(1);
  static constexpr std::size_t most = 256;

  uploads(random_source& random, store& into) : random_(random), store_(into) {}
  ~uploads();
  // errc::limit when there are too many.
  result<std::shared_ptr<upload>> begin(const std::string& repository, boot_time now);
  // Null when there is none of that name, or it belongs to another repository.
  std::shared_ptr<upload> find(std::string_view id, std::string_view repository) const;
  void drop(const std::string& id);
  void expire(boot_time now);
  // Appends a request's body as it comes.
  std::shared_ptr<http_sink> sink(std::shared_ptr<upload> to);
  void append(upload& to, byte_view bytes);

private:
  void remove(upload& u);

  random_source& random_;
  store& store_;
  std::map<std::string, std::shared_ptr<upload>, std::less<>> open_;
};

} // namespace netlab::registry
