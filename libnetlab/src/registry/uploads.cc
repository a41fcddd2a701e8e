#include "uploads.h"

#include <unistd.h>

#include <array>

namespace netlab::registry {

namespace {

class upload_sink final : public http_sink {
public:
  explicit upload_sink(std::shared_ptr<upload> to) : to_(std::move(to)) { to_->busy = true; }
  ~upload_sink() override { to_->busy = false; }
  void take(byte_view bytes) override { uploads::append(*to_, bytes); }

private:
  std::shared_ptr<upload> to_;
};

} // namespace

uploads::~uploads() {
  for (const auto& [id, each] : open_) ::unlink(each->path.c_str());
}

result<std::shared_ptr<upload>> uploads::begin(const std::string& repository, boot_time now) {
  if (open_.size() >= most) return fail(errc::limit, "too many uploads are under way", "registry.upload");
  std::array<std::uint8_t, 16> name;
  random_.fill(name);
  auto made = std::make_shared<upload>();
  made->id = to_hex(name);
  made->repository = repository;
  made->path = folder_ + "/upload-" + made->id;
  made->file = std::make_unique<part_file>(made->path, 0);
  made->used = now;
  if (auto ok = made->file->open(false, false); !ok) return tl::unexpected(ok.error());
  open_.emplace(made->id, made);
  return made;
}

std::shared_ptr<upload> uploads::find(std::string_view id, std::string_view repository) const {
  auto found = open_.find(id);
  return found == open_.end() || found->second->repository != repository ? nullptr : found->second;
}

void uploads::drop(const std::string& id) {
  auto found = open_.find(id);
  if (found == open_.end()) return;
  ::unlink(found->second->path.c_str());
  open_.erase(found);
}

void uploads::expire(boot_time now) {
  for (auto it = open_.begin(); it != open_.end();) {
    auto& each = *it->second;
    if (each.busy || now - each.used < life) {
      ++it;
      continue;
    }
    ::unlink(each.path.c_str());
    it = open_.erase(it);
  }
}

std::shared_ptr<http_sink> uploads::sink(std::shared_ptr<upload> to) {
  return std::make_shared<upload_sink>(std::move(to));
}

void uploads::append(upload& to, byte_view bytes) {
  if (to.trouble) return;
  if (auto ok = to.file->write(bytes); !ok) to.trouble = ok.error();
}

} // namespace netlab::registry
