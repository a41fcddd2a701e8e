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

constexpr int most_breaks = 6; // of the connection, one after the other without a byte between
constexpr duration pause_after_break = std::chrono::milliseconds(250);
// What comes is written in aligned pieces of that size, and what does not make one after that time. The page
// cache then keeps it in pieces as large, which cost a tenth less to send than what was written as it came.
constexpr std::uint64_t piece = 256u << 10;
constexpr duration piece_time = std::chrono::milliseconds(10);
constexpr std::uint64_t unannounced = 1u << 20; // claimed at a time for a blob of unknown size

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
  late_ = {};
  run_ = {};
  waiting_.clear();
}

std::optional<std::uint64_t> fill::size() const { return measured() ? std::optional(size_) : std::nullopt; }

std::uint64_t fill::readable() const {
  if (ended_well()) return size_;
  if ((phase_ != phase::growing && phase_ != phase::passing) || !part_) return 0;
  auto end = measured() ? size_ : come();
  return std::min(come(), end - std::min(end, withheld));
}

std::optional<fill::reader> fill::join(bool reads) {
  if (phase_ == phase::passing) return std::nullopt;
  auto out = readers_.insert(readers_.end(), reads ? 0 : http_body::unknown);
  hold();
  return out;
}

void fill::leave(reader who) {
  readers_.erase(who);
  if (readers_.empty() && std::exchange(holding_, false)) store_.index().release(digest_);
  if (phase_ != phase::passing) return;
  world_.scheduler.post([weak = weak_from_this()] {
    if (auto self = weak.lock()) self->advance();
  });
}

void fill::hold() {
  if (phase_ != phase::whole || readers_.empty() || std::exchange(holding_, true)) return;
  store_.index().hold(digest_);
}

bool fill::claim(std::uint64_t end) {
  if (size_ > 0) return store_.claim(*room_, size_);
  // An upstream that does not say how much will come: some at a time.
  return store_.claim(*room_, (end + unannounced - 1) / unannounced * unannounced) ||
         store_.claim(*room_, end);
}

void fill::show() {
  if (phase_ == phase::asking && (size_ > 0 || part_->bytes() > withheld)) set(phase::growing);
}

bool fill::pass_on(const error& why) {
  if (slowest() == http_body::unknown) return false;
  world_.log(msg_no_room, from_.config().name + "/" + repository_ + "@" + digest_ + ": " + why.message +
                              "; the rest is passed on without being kept");
  late_ = {};
  failure_ = why;
  window_ = window(part_->bytes());
  phase_ = phase::passing;
  store_.settle_part(*room_);
  hand_over(as_bytes(std::exchange(held_, {})));
  // Not in the middle of the exchange, which the last of them could end.
  world_.scheduler.post([weak = weak_from_this()] {
    if (auto self = weak.lock()) self->advance();
  });
  return true;
}

void fill::hand_over(byte_view bytes) {
  part_->hash(bytes);
  window_.take(bytes);
  if (window_.full()) control_->pause(true);
  tell();
}

std::uint64_t fill::slowest() const {
  auto found = std::min_element(readers_.begin(), readers_.end());
  return found == readers_.end() ? http_body::unknown : *found;
}

void fill::advance() {
  if (phase_ != phase::passing) return;
  auto from = slowest();
  window_.let_go(from);
  if (window_.low()) control_->pause(false);
  if (from < part_->bytes()) return;
  // The room is free as soon as nobody reads there any more.
  if (auto* room = std::exchange(room_, nullptr)) {
    part_->close();
    file_.reset();
    store_.drop_part(*room);
  }
  if (over_) return conclude();
  if (from != http_body::unknown || !run_) return;
  run_ = {};
  fail_with({errc::cancelled, "nobody reads it any more", "registry.fill"});
  conclude();
}

result<http_body::piece> fill::read(reader who, std::uint64_t offset, std::uint64_t most,
                                    std::function<void()> ready) {
  if (phase_ == phase::failed || phase_ == phase::no_room) return tl::unexpected(failure_);
  http_body::piece out;
  auto end = readable();
  std::uint64_t length = 0;
  if (end > offset) {
    bool passed = phase_ == phase::passing;
    if (passed && offset >= part_->bytes()) {
      out.bytes = window_.read(offset, std::min(most, end - offset));
      length = out.bytes.size();
    } else {
      out.file = file_;
      out.offset = offset;
      out.length = length = std::min(most, (passed ? std::min(end, part_->bytes()) : end) - offset);
    }
  }
  *who = offset + length;
  out.last = ended_well() && *who == size_;
  if (length == 0 && !out.last) wait(std::move(ready));
  if (phase_ == phase::passing) advance();
  return out;
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
  skip_ = verdict_.what == action::begin ? come() : 0;
  if (phase_ != phase::passing && !claim(part_->bytes())) {
    error why{errc::limit, "there is no room for " + (size_ > 0 ? format_size(size_) : "it"), "part.room"};
    // Who has got nothing of it yet is better served alone.
    if (phase_ == phase::asking || !pass_on(why)) {
      trouble_ = why;
      return false;
    }
  }
  show();
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
  auto end = come() + held_.size() + bytes.size();
  if (size_ != 0 && end > size_)
    return stop_for({errc::protocol, "it sends more than it announced", "registry.fill"});
  if (phase_ != phase::passing && !claim(end)) {
    error why{errc::limit, "there is no room for more than " + format_size(part_->bytes()), "part.room"};
    if (!pass_on(why)) return stop_for(why);
  }
  if (phase_ == phase::passing) return hand_over(bytes);
  held_.append(as_text(bytes));
  if (auto whole = end / piece * piece; whole > part_->bytes())
    write(static_cast<std::size_t>(whole - part_->bytes()));
  else if (!late_)
    late_ = world_.scheduler.after(piece_time, [this] { write(held_.size()); });
}

void fill::write(std::size_t bytes) {
  late_ = {};
  if (trouble_ || bytes == 0) return;
  auto before = part_->bytes();
  auto ok = part_->write(as_bytes(held_).first(bytes));
  held_.erase(0, static_cast<std::size_t>(part_->bytes() - before));
  room_->written = part_->bytes();
  if (!ok && !pass_on(ok.error())) return stop_for(ok.error());
  show();
  tell();
}

// An exchange cannot be ended inside its own body: the next turn does it.
void fill::stop_for(error why) {
  trouble_ = std::move(why);
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
  if (!room) {
    world_.log(msg_bad_upstream, what, {{"upstream", from_.config().name}});
    return fail_with(*trouble_);
  }
  world_.log(msg_no_room, what + "; it is passed on without being kept");
  failure_ = *trouble_;
  set(phase::no_room);
  return false;
}

void fill::conclude() {
  over_ = true;
  late_ = {};
  held_ = {};
  // Somebody still reads what was kept.
  if (phase_ == phase::passing && room_) return advance();
  if (!ended_well()) part_.reset();
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
    begun_ = {come(), {}, true};
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
    write(held_.size());
    // What the upstream refuses, it refuses whether there is room or not.
    if (trouble_ && (verdict_.what == action::begin || verdict_.what == action::append)) co_return give_up();
    bool whole = verdict_.what == action::complete || (size_ > 0 && come() == size_);
    // Without an announced length, the end of the exchange is the end of the blob.
    if (!whole && got && size_ == 0 && (got->status == 200 || got->status == 206)) whole = true;
    if (whole) {
      size_ = come();
      auto found = part_->finish();
      bool right = (sha512() ? *found.sha512 : found.sha256) == expected_;
      if (!right && resumed && !anew) {
        // The disk kept something else than what was written to it before: once more from the beginning.
        anew = true;
        if (auto again = start_over(); !again) co_return fail_with(again.error());
        if (phase_ != phase::asking)
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
      if (phase_ == phase::passing) {
        right_ = true;
        tell();
        co_return true;
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
    if (come() > begun_.bytes) {
      breaks = 0;
      wait = pause_after_break;
    }
    auto why = got ? error{errc::closed, "the connection ended early", "registry.fill"} : got.error();
    bool worth_it =
        !got ? why.code != errc::limit && why.code != errc::invalid && why.code != errc::denied : true;
    if (++breaks >= most_breaks || !worth_it || come() == 0) {
      disk_worker::job keep = [part = part_] { return part->sync(); };
      on_disk keeping(store_.worker(), std::move(keep));
      (void)co_await keeping;
      co_return fail_with(why);
    }
    world_.log(msg_broken, from_.config().name + "/" + repository_ + "@" + digest_ + " broke off after " +
                               format_size(come()) + ": " + why.message + "; it is gone on with");
    netlab::pause rest(world_.scheduler, wait);
    co_await rest;
    wait *= 2;
  }
}

} // namespace netlab::registry
