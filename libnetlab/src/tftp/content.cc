#include "content.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <sys/uio.h>

#include "netascii.h"

namespace netlab::tftp {

namespace {

class text_content final : public content {
public:
  explicit text_content(std::shared_ptr<const std::string> text) : text_(std::move(text)) {}

  std::optional<std::uint64_t> size() const override { return text_->size(); }

  result<std::size_t> read(std::uint64_t offset, const block_layout& into) override {
    std::size_t done = 0;
    for (std::size_t i = 0; i < into.count && offset < text_->size(); ++i) {
      auto slot = into.slot(i);
      auto part = std::min<std::size_t>(slot.size(), text_->size() - offset);
      std::memcpy(slot.data(), text_->data() + offset, part);
      offset += part;
      done += part;
    }
    return done;
  }

private:
  std::shared_ptr<const std::string> text_;
};

class file_content final : public content {
public:
  explicit file_content(std::shared_ptr<open_file> file) : file_(std::move(file)) {}

  std::optional<std::uint64_t> size() const override { return file_->size(); }

  result<std::size_t> read(std::uint64_t offset, const block_layout& into) override {
    // A file that grows while it is sent keeps the size that the client was told.
    auto left = offset < file_->size() ? file_->size() - offset : 0;
    auto wanted = static_cast<std::size_t>(std::min<std::uint64_t>(left, into.count * into.block));
    std::size_t done = 0;
    while (done < wanted) {
      auto got = read_some(offset + done, into, done, wanted);
      if (!got) return got;
      if (*got == 0) return fail(errc::io, "the file became shorter while it was sent", "tftp.read");
      done += *got;
    }
    return done;
  }

private:
  // One preadv(2) for as many blocks as fit into one call, from the `done`-th byte of the layout on.
  result<std::size_t> read_some(std::uint64_t offset, const block_layout& into, std::size_t done,
                                std::size_t wanted) const {
    std::array<iovec, 64> parts;
    int used = 0;
    for (auto at = done; at < wanted && used < static_cast<int>(parts.size());) {
      auto slot = into.slot(at / into.block).subspan(at % into.block);
      auto length = std::min(slot.size(), wanted - at);
      parts[static_cast<std::size_t>(used++)] = {slot.data(), length};
      at += length;
    }
    for (;;) {
      auto got = ::preadv(file_->descriptor(), parts.data(), used, static_cast<off_t>(offset));
      if (got >= 0) return static_cast<std::size_t>(got);
      if (errno != EINTR) return system_fail(errno, "cannot read the file", "tftp.read");
    }
  }

  std::shared_ptr<open_file> file_;
};

class netascii_content final : public content {
public:
  explicit netascii_content(std::unique_ptr<content> inner) : inner_(std::move(inner)) {}

  std::optional<std::uint64_t> size() const override { return std::nullopt; }

  // The place of an output offset in the input depends on everything before it, so that each call
  // remembers where its first byte was and converts forward from there.
  result<std::size_t> read(std::uint64_t offset, const block_layout& into) override {
    byte_vector scrap(std::min<std::uint64_t>(offset - start_.out, 16384));
    while (start_.out < offset) {
      auto part = std::min<std::uint64_t>(scrap.size(), offset - start_.out);
      auto made = convert(start_, byte_span(scrap).first(part));
      if (!made) return made;
      if (*made == 0) return std::size_t{0};
    }
    auto here = start_;
    std::size_t done = 0;
    for (std::size_t i = 0; i < into.count; ++i) {
      auto made = convert(here, into.slot(i));
      if (!made) return made;
      done += *made;
      if (*made < into.block) break;
    }
    return done;
  }

private:
  struct place {
    std::uint64_t in = 0, out = 0;
    netascii_encoder encoder;
  };

  result<std::size_t> convert(place& here, byte_span out) {
    std::array<std::uint8_t, 4096> raw;
    auto rest = out;
    while (!rest.empty()) {
      auto got = inner_read(here.in, raw);
      if (!got) return got;
      if (*got == 0 && !here.encoder.pending()) break;
      auto in = byte_view(raw.data(), *got);
      here.encoder.convert(in, rest);
      here.in += *got - in.size();
    }
    auto made = out.size() - rest.size();
    here.out += made;
    return made;
  }

  result<std::size_t> inner_read(std::uint64_t offset, byte_span out) {
    return inner_->read(offset, block_layout{out, 0, out.size(), 1});
  }

  std::unique_ptr<content> inner_;
  place start_;
};

} // namespace

std::unique_ptr<content> make_content(std::shared_ptr<const std::string> text) {
  return std::make_unique<text_content>(std::move(text));
}
std::unique_ptr<content> make_content(std::shared_ptr<open_file> file) {
  return std::make_unique<file_content>(std::move(file));
}
std::unique_ptr<content> make_netascii(std::unique_ptr<content> inner) {
  return std::make_unique<netascii_content>(std::move(inner));
}

} // namespace netlab::tftp
