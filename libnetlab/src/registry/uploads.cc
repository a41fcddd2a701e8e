#include "uploads.h"

#include <array>

namespace netlab::registry {

namespace {

constexpr std::uint64_t claimed_at_a_time = 1u << 20;

class upload_sink final : public http_sink {
public:
  upload_sink(uploads& all, std::shared_ptr<upload> to) : all_(all), to_(std::move(to)) { to_->busy = true; }
  ~upload_sink() override { to_->busy = false; }
  void take(byte_view bytes) override { all_.append(*to_, bytes); }

private:
  uploads& all_;
  std::shared_ptr<upload> to_;
};

} // namespace

uploads::~uploads() {
  for (const auto& [id, each] : open_) remove(*each);
}

void uploads::remove(upload& u) {
  if (u.room) store_.drop_part(*std::exchange(u.room, nullptr));
}

result<std::shared_ptr<upload>> uploads::begin(const std::string& repository, boot_time now) {
  if (open_.size() >= most) return fail(errc::limit, "too many uploads are under way", "registry.upload");
  std::array<std::uint8_t, 16> id;
  random_.fill(id);
  auto made = std::make_shared<upload>();
  made->id = to_hex(id);
  made->repository = repository;
  auto name = "upload-" + made->id;
  made->path = store_.part_path(name);
  made->file = std::make_unique<part_file>(made->path, 0);
  made->used = now;
  if (auto ok = made->file->open(false, false); !ok) return tl::unexpected(ok.error());
  made->room = &store_.take_part(name);
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
  remove(*found->second);
  open_.erase(found);
}

void uploads::expire(boot_time now) {
  for (auto it = open_.begin(); it != open_.end();) {
    auto& each = *it->second;
    if (each.busy || now - each.used < life) {
      ++it;
      continue;
    }
    remove(each);
    it = open_.erase(it);
  }
}

std::shared_ptr<http_sink> uploads::sink(std::shared_ptr<upload> to) {
  return std::make_shared<upload_sink>(*this, std::move(to));
}

void uploads::append(upload& to, byte_view bytes) {
  if (to.trouble || !to.room) return;
  auto end = to.file->bytes() + bytes.size();
  if (!store_.claim_anyway(*to.room, (end + claimed_at_a_time - 1) / claimed_at_a_time * claimed_at_a_time)) {
    to.trouble = error{errc::limit, "the disk is full", "registry.upload"};
    return;
  }
  if (auto ok = to.file->write(bytes); !ok) to.trouble = ok.error();
  to.room->written = to.file->bytes();
}

} // namespace netlab::registry
