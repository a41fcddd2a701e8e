#include "fill.h"

#include <unistd.h>

#include <algorithm>
#include <utility>

#include "import.h"
#include "messages.h"
#include "netlab/oci.h"
#include "netlab/text.h"

namespace netlab::registry {

namespace {

constexpr std::uint64_t withheld = 64u << 10; // the last bytes of what is not known to be right yet
constexpr int most_breaks = 6;                // of the connection, one after the other without a byte between
constexpr duration pause_after_break = std::chrono::milliseconds(250);
constexpr std::uint64_t unannounced = 1u << 20;   // claimed at a time for a blob of unknown size
constexpr std::size_t straight_window = 1u << 20; // held for a client that is slower than the upstream

} // namespace

fill::fill(const runtime& world, store& into, upstream& from, std::string repository, std::string digest)
    : world_(world), store_(into), from_(from), repository_(std::move(repository)),
      digest_(std::move(digest)), expected_(*oci::parse_digest(digest_)) {}

void fill::start(std::function<void(const std::shared_ptr<fill>&)> ended) {
  ended_ = std::move(ended);
  world_.scheduler.post([weak = weak_from_this()] {
    auto self = weak.lock();
    if (!self) return;
    self->run_ = task_run<bool>(self->run(), [raw = self.get()](bool) {
      // The run itself goes when the turn is over: it is on the stack now.
      raw->world_.scheduler.post([kept = raw->shared_from_this()] { kept->run_ = {}; });
      raw->conclude();
    });
    self->run_.start();
  });
}

void fill::stop() {
  ended_ = nullptr;
  run_ = {};
  waiting_.clear();
}

std::uint64_t fill::readable() const {
  if (phase_ == phase::whole) return size_;
  if (phase_ != phase::growing || !part_) return 0;
  return std::min(part_->bytes(), size_ - std::min(size_, withheld));
}

void fill::join() {
  ++readers_;
  hold();
}

void fill::leave() {
  if (--readers_ == 0 && std::exchange(holding_, false)) store_.index().release(digest_);
}

void fill::hold() {
  if (phase_ != phase::whole || readers_ == 0 || std::exchange(holding_, true)) return;
  store_.index().hold(digest_);
}

bool fill::claim(std::uint64_t end) {
  if (size_ > 0) return store_.claim(*room_, size_);
  // An upstream that does not say how much will come: some at a time.
  return store_.claim(*room_, (end + unannounced - 1) / unannounced * unannounced) ||
         store_.claim(*room_, end);
}

void fill::set(phase to) {
  phase_ = to;
  tell();
}

void fill::tell() {
  if (waiting_.empty() || std::exchange(telling_, true)) return;
  world_.scheduler.post([weak = weak_from_this()] {
    auto self = weak.lock();
    if (!self) return;
    self->telling_ = false;
    auto all = std::move(self->waiting_);
    self->waiting_.clear();
    for (auto& fn : all) fn();
  });
}

bool fill::fail_with(error why, int status) {
  failure_ = std::move(why);
  status_ = status;
  set(phase::failed);
  return false;
}

// False ends the exchange.
bool fill::take_head(int status, const http_headers& headers) {
  using action = transfer_verdict::action;
  verdict_ = judge(status, headers, begun_);
  if (verdict_.what != action::append && verdict_.what != action::begin) return false;
  if (verdict_.size == 0 && verdict_.what == action::append) verdict_.size = size_;
  // A blob whose length changes is not the blob that was begun.
  if (size_ != 0 && verdict_.size != 0 && verdict_.size != size_) {
    trouble_ =
        error{errc::protocol,
              "it announces " + std::to_string(verdict_.size) + " bytes instead of " + std::to_string(size_),
              "registry.fill"};
    return false;
  }
  if (size_ == 0) size_ = verdict_.size;
  // An upstream without ranges sends everything again: what is here of it stays, because readers are beyond
  // it.
  skip_ = verdict_.what == action::begin ? part_->bytes() : 0;
  if (!claim(part_->bytes())) {
    trouble_ = error{errc::limit, "there is no room for " + format_size(size_), "part.room"};
    return false;
  }
  if (phase_ == phase::asking && size_ > 0) set(phase::growing);
  return true;
}

result<void> fill::start_over() {
  room_->written = 0;
  return part_->open(false, sha512());
}

void fill::take(byte_view bytes) {
  if (trouble_) return;
  auto again = std::min<std::uint64_t>(skip_, bytes.size());
  skip_ -= again;
  bytes = bytes.subspan(static_cast<std::size_t>(again));
  if (bytes.empty()) return;
  if (size_ != 0 && part_->bytes() + bytes.size() > size_) {
    trouble_ = error{errc::protocol, "it sends more than it announced", "registry.fill"};
  } else if (!claim(part_->bytes() + bytes.size())) {
    trouble_ =
        error{errc::limit, "there is no room for more than " + format_size(part_->bytes()), "part.room"};
  } else if (auto ok = part_->write(bytes); !ok) {
    trouble_ = ok.error();
  } else {
    room_->written = part_->bytes();
    tell();
  }
  if (!trouble_) return;
  // An exchange cannot be ended inside its own body: the next turn does it.
  world_.scheduler.post([weak = weak_from_this()] {
    auto self = weak.lock();
    if (!self || !self->run_ || !self->ended_) return;
    self->run_ = {};
    self->give_up();
    self->conclude();
  });
}

// The disk, or an upstream that sends nonsense: what is here of the blob is of no use.
bool fill::give_up() {
  part_->close();
  ::unlink(part_->path().c_str());
  auto what = from_.config().name + "/" + repository_ + "@" + digest_ + ": " + trouble_->message;
  bool room = trouble_->code == errc::limit || trouble_->op.starts_with("part.");
  if (!room || size_ == 0) {
    world_.log(room ? msg_disk_trouble : msg_bad_upstream, what, {{"upstream", from_.config().name}});
    return fail_with(*trouble_);
  }
  world_.log(msg_no_room, what + "; it is passed on without being kept");
  failure_ = *trouble_;
  set(phase::no_room);
  return false;
}

void fill::conclude() {
  if (phase_ != phase::whole) part_.reset();
  if (auto* room = std::exchange(room_, nullptr)) store_.rest_part(*room);
  if (auto fn = std::exchange(ended_, nullptr)) fn(shared_from_this());
  tell();
}

void fill::become_whole() {
  phase_ = phase::whole;
  store_.part_is_blob(*std::exchange(room_, nullptr), digest_, size_);
  hold();
  tell();
}

task<bool> fill::import_it() {
  const auto& folder = from_.config().import;
  if (folder.empty()) co_return false;
  auto there = imported_blob(world_.files, folder, digest_);
  if (there.empty()) co_return false;
  // Beside the beginning that an upstream may have sent.
  auto source = world_.files.info(there);
  if (!source || !store_.claim(*room_, room_->written + source->size)) co_return false;
  auto beside = store_.part_path(room_->name) + ".import";
  auto size = std::make_shared<std::uint64_t>(0);
  // The name tells the size, which is known when all of it has been read.
  disk_worker::job bring_in = [&files = world_.files, &into = store_, there, beside, digest = digest_,
                               size]() -> result<void> {
    auto got = adopt(there, beside, digest);
    if (!got) return tl::unexpected(got.error());
    *size = *got;
    auto to = into.blob_path(digest, *got);
    if (auto ok = files.make_folders(to.substr(0, to.rfind('/')), 0750); !ok) return ok;
    if (::rename(beside.c_str(), to.c_str()) == 0) return {};
    auto failed = system_fail(errno, to, "registry.import");
    ::unlink(beside.c_str());
    return failed;
  };
  on_disk bringing(store_.worker(), std::move(bring_in));
  auto placed = co_await bringing;
  if (!placed) {
    world_.log(msg_damaged, "import: " + placed.error().message);
    co_return false;
  }
  auto file = open_file::open(store_.blob_path(digest_, *size));
  if (!file) co_return false;
  file_ = *file;
  size_ = *size;
  imported_ = true;
  become_whole();
  co_return true;
}

task<bool> fill::run() {
  room_ = &store_.take_part(store::part_name(digest_));
  auto importing = import_it();
  auto imported = co_await importing;
  if (imported) co_return true;
  using action = transfer_verdict::action;
  auto path = store_.part_path(room_->name);
  part_ = std::make_shared<part_file>(path, 0);
  // What an earlier process left is read here as well, for its digest.
  disk_worker::job open = [part = part_, longer = sha512()] { return part->open(true, longer); };
  on_disk opening(store_.worker(), std::move(open));
  auto opened = co_await opening;
  if (opened) {
    auto reader = open_file::open(path);
    if (reader)
      file_ = *reader;
    else
      opened = tl::unexpected(reader.error());
  }
  if (!opened) {
    world_.log(msg_disk_trouble, opened.error().message);
    trouble_ = error{errc::limit, opened.error().message, "part.room"};
  }
  auto wait = pause_after_break;
  int breaks = 0;
  bool anew = false; // a part of an earlier process turned out to be wrong
  bool resumed = part_->bytes() > 0;
  while (true) {
    begun_ = {part_->bytes(), {}, true};
    query q;
    q.repository = from_.repository(repository_);
    q.path = "blobs/" + digest_;
    q.control = control_;
    q.headers = request_fields(begun_, {});
    // No room to begin with: only the size is wanted.
    q.on_head = [this](int status, const http_headers& headers) {
      if (!trouble_) return take_head(status, headers);
      verdict_ = judge(status, headers, {});
      size_ = verdict_.size;
      return false;
    };
    q.on_body = [this](byte_view bytes) { take(bytes); };
    verdict_ = {};
    auto asking = from_.ask(std::move(q));
    auto got = co_await asking;
    if (trouble_) co_return give_up();
    bool whole = verdict_.what == action::complete || (size_ > 0 && part_->bytes() == size_);
    // Without an announced length, the end of the exchange is the end of the blob.
    if (!whole && got && size_ == 0 && got->status == 200) {
      size_ = part_->bytes();
      whole = true;
    }
    if (whole) {
      size_ = part_->bytes();
      auto found = part_->finish();
      bool right = (sha512() ? *found.sha512 : found.sha256) == expected_;
      if (!right && resumed && !anew) {
        // The disk kept something else than what was written to it before: once more from the beginning.
        anew = true;
        if (auto again = start_over(); !again) co_return fail_with(again.error());
        if (phase_ == phase::growing)
          co_return fail_with({errc::conflict, "its beginning was damaged", "registry.fill"});
        continue;
      }
      if (!right) {
        part_->close();
        ::unlink(path.c_str());
        auto is = (sha512() ? *found.sha512 : found.sha256).to_string();
        world_.log(msg_wrong_digest,
                   from_.config().name + "/" + repository_ + " sends " + is + " for " + digest_ +
                       "; it was not served to its end",
                   {{"upstream", from_.config().name}});
        co_return fail_with(
            {errc::conflict, "the upstream sent something else under this digest", "registry.fill"});
      }
      auto to = store_.blob_path(digest_, size_);
      disk_worker::job place = [&files = world_.files, part = part_, path, to]() -> result<void> {
        if (auto ok = part->sync(); !ok) return ok;
        if (auto ok = files.make_folders(to.substr(0, to.rfind('/')), 0750); !ok) return ok;
        if (::rename(path.c_str(), to.c_str()) != 0) return system_fail(errno, to, "registry.fill");
        return {};
      };
      on_disk placing(store_.worker(), std::move(place));
      auto placed = co_await placing;
      if (!placed) {
        world_.log(msg_disk_trouble, digest_ + ": " + placed.error().message);
        co_return fail_with(placed.error());
      }
      become_whole();
      co_return true;
    }
    if (verdict_.what == action::ask_again) {
      if (std::exchange(anew, true)) co_return fail_with({errc::protocol, verdict_.failure, "registry.fill"});
      if (auto again = start_over(); !again) co_return fail_with(again.error());
      continue;
    }
    if (got && got->status >= 400) {
      if (got->status == 429) retry_after_ = from_.blocked();
      co_return fail_with({got->status == 404 ? errc::not_found : errc::refused,
                           "the upstream answers " + std::to_string(got->status), "registry.fill"},
                          got->status);
    }
    // The connection broke: on from here.
    if (part_->bytes() > begun_.bytes) {
      breaks = 0;
      wait = pause_after_break;
    }
    auto why = got ? error{errc::closed, "the connection ended early", "registry.fill"} : got.error();
    bool worth_it =
        !got ? why.code != errc::limit && why.code != errc::invalid && why.code != errc::denied : true;
    if (++breaks >= most_breaks || !worth_it || part_->bytes() == 0) {
      disk_worker::job keep = [part = part_] { return part->sync(); };
      on_disk keeping(store_.worker(), std::move(keep));
      (void)co_await keeping;
      co_return fail_with(why);
    }
    world_.log(msg_broken, from_.config().name + "/" + repository_ + "@" + digest_ + " broke off after " +
                               format_size(part_->bytes()) + ": " + why.message + "; it is gone on with");
    netlab::pause rest(world_.scheduler, wait);
    co_await rest;
    wait *= 2;
  }
}

result<http_body::piece> fill_body::read(std::uint64_t offset, std::uint64_t most,
                                         std::function<void()> ready) {
  using phase = fill::phase;
  if (fill_->state() == phase::failed || fill_->state() == phase::no_room)
    return tl::unexpected(fill_->failure());
  auto readable = fill_->readable();
  piece out;
  if (readable > offset) {
    out.file = fill_->file();
    out.offset = offset;
    out.length = std::min(most, readable - offset);
  } else {
    fill_->wait(std::move(ready));
  }
  return out;
}

straight_body::straight_body(const runtime& world, upstream& from, std::string repository, std::string digest,
                             std::uint64_t size)
    : world_(world), from_(from), repository_(std::move(repository)), digest_(std::move(digest)),
      size_(size) {}

void straight_body::ask(std::uint64_t offset) {
  asked_ = true;
  position_ = offset;
  if (offset == 0) sum_.emplace(oci::parse_digest(digest_)->algorithm);
  run_ = task_run<bool>(fetch(offset), [raw = this](bool) { raw->tell(); });
  run_.start();
}

task<bool> straight_body::fetch(std::uint64_t offset) {
  query q;
  q.repository = from_.repository(repository_);
  q.path = "blobs/" + digest_;
  q.control = control_;
  q.attempts = 1;
  if (offset > 0) q.headers.emplace_back("Range", "bytes=" + std::to_string(offset) + "-");
  auto skip = std::make_shared<std::uint64_t>(0);
  q.on_head = [skip, offset](int status, const http_headers&) {
    if (status == 200) *skip = offset; // it does not do ranges: what is not wanted is dropped
    return status == 200 || status == 206;
  };
  q.on_body = [this, skip](byte_view bytes) {
    auto left_out = std::min<std::uint64_t>(*skip, bytes.size());
    *skip -= left_out;
    bytes = bytes.subspan(static_cast<std::size_t>(left_out));
    if (position_ + held_.size() + bytes.size() > size_) {
      failure_ = error{errc::protocol, "the upstream sends more than it announced", "registry.straight"};
      return tell();
    }
    if (sum_) sum_->update(bytes);
    held_.append(as_text(bytes));
    if (held_.size() >= straight_window) control_->pause(true);
    tell();
  };
  auto asking = from_.ask(std::move(q));
  auto got = co_await asking;
  if (failure_) co_return false;
  if (!got || got->status >= 300 || position_ + held_.size() != size_) {
    failure_ =
        got ? error{errc::closed, "the upstream did not send everything", "registry.straight"} : got.error();
    co_return false;
  }
  if (sum_ && sum_->finish() != *oci::parse_digest(digest_)) {
    world_.log(msg_wrong_digest, from_.config().name + "/" + repository_ + " sends something else for " +
                                     digest_ + "; it was not served to its end");
    failure_ =
        error{errc::conflict, "the upstream sent something else under this digest", "registry.straight"};
    co_return false;
  }
  right_ = true;
  co_return true;
}

void straight_body::tell() {
  if (!ready_) return;
  world_.scheduler.post(std::exchange(ready_, nullptr));
}

result<http_body::piece> straight_body::read(std::uint64_t offset, std::uint64_t most,
                                             std::function<void()> ready) {
  if (!asked_) ask(offset);
  piece out;
  // The end of what cannot be taken back waits until the whole is known to be right.
  std::uint64_t keep = right_ || !sum_ ? 0 : withheld;
  auto free = held_.size() > keep ? held_.size() - keep : 0;
  if (failure_) return tl::unexpected(*failure_);
  if (free > 0) {
    auto take = static_cast<std::size_t>(std::min<std::uint64_t>(most, free));
    out.bytes = held_.substr(0, take);
    held_.erase(0, take);
    position_ += take;
    if (held_.size() < straight_window / 2) control_->pause(false);
    return out;
  }
  ready_ = std::move(ready);
  return out;
}

} // namespace netlab::registry
