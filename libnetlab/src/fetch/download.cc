#include "download.h"

#include <sys/stat.h>

#include "netlab/url.h"

namespace netlab::fetch {

struct download::impl : std::enable_shared_from_this<download::impl> {
  impl(const runtime& w, records& k, const fetch_options& o, std::string id)
      : world(w), kept(k), options(o), boot_id(std::move(id)) {}

  const runtime& world;
  records& kept;
  const fetch_options& options;
  std::string boot_id;
  download_request request;
  events on;
  std::unique_ptr<part_file> file;
  transfer_part part;
  transfer_verdict verdict;
  std::unique_ptr<http_exchange> exchange;
  std::optional<error> failure; // found while the body came
  bool asked_again = false;

  bool with_sha512() const {
    return request.expected && request.expected->algorithm == digest_algorithm::sha512;
  }

  void look_for_part() {
    part = {};
    part.checked = request.expected.has_value();
    auto record = kept.read_part(request.name);
    struct stat info {};
    if (!record || ::stat(kept.part_path(request.name).c_str(), &info) != 0) return;
    if (record->url != request.url) return;
    // After a power cut blocks may be missing that the size pretends to; only a checksum would tell.
    if (record->boot_id != boot_id && !part.checked) return;
    part.of = record->of;
    part.bytes = static_cast<std::uint64_t>(info.st_size);
  }

  void ask() {
    auto path = kept.part_path(request.name);
    file = std::make_unique<part_file>(path, options.reserve);
    http_request q;
    q.url = request.url;
    q.headers = request.headers;
    for (auto& field : request_fields(part, request.have)) q.headers.push_back(std::move(field));
    q.timeout = duration::max();
    q.stall_time = options.stall_time;
    q.connect_timeout = std::chrono::seconds(10);
    q.verify = options.verify;
    q.ca_file = options.ca_file;
    q.redirects = 10;
    q.on_head = [weak = weak_from_this()](int status, const http_headers& headers) {
      auto self = weak.lock();
      return self && self->take_head(status, headers);
    };
    q.on_body = [weak = weak_from_this()](byte_view bytes) {
      if (auto self = weak.lock()) self->take(bytes);
    };
    exchange = world.http.send(std::move(q), [weak = weak_from_this()](result<http_response> got) {
      if (auto self = weak.lock()) self->end(std::move(got));
    });
  }

  // False ends the exchange: its body is not wanted.
  bool take_head(int status, const http_headers& headers) {
    verdict = judge(status, headers, part);
    using action = transfer_verdict::action;
    if (verdict.what != action::append && verdict.what != action::begin) return false;
    bool keep = verdict.what == action::append;
    if (!keep) part.bytes = 0;
    auto ready = [&]() -> result<void> {
      part_record record{request.url, keep ? part.of : verdict.of, boot_id};
      if (!keep)
        if (auto ok = kept.write_part(request.name, record); !ok) return ok;
      if (auto ok = file->open(keep, with_sha512()); !ok) return ok;
      if (verdict.size > file->bytes()) return file->room_for(verdict.size - file->bytes());
      return {};
    }();
    if (!ready) {
      failure = ready.error();
      return false;
    }
    if (on.begun) on.begun(file->bytes(), verdict.size);
    return true;
  }

  void take(byte_view bytes) {
    if (failure) return;
    if (verdict.size && file->bytes() + bytes.size() > verdict.size)
      failure = error{errc::protocol, "the source sends more than it announced", "fetch.body"};
    else if (auto ok = file->write(bytes); !ok)
      failure = ok.error();
    else if (on.progress)
      on.progress(file->bytes());
    // An exchange cannot be dropped inside its own body: the next turn does it.
    if (failure)
      world.scheduler.post([weak = weak_from_this()] {
        auto self = weak.lock();
        if (!self || !self->exchange) return;
        self->exchange.reset();
        self->give_up(*self->failure);
      });
  }

  void give_up(error why) {
    exchange.reset();
    file.reset();
    // No room: what came must not fill the disk that leases are written to.
    if (why.op == "part.room") kept.drop_part(request.name);
    finish(tl::unexpected(std::move(why)));
  }

  void finish(result<download_outcome> what) {
    if (auto done = std::exchange(on.done, nullptr)) done(std::move(what));
  }

  void end(result<http_response> got) {
    using action = transfer_verdict::action;
    auto finished = std::move(exchange); // our own caller's; goes when this function returns
    if (failure) return give_up(*failure);
    bool judged = !got && got.error().code == errc::cancelled;
    if (!got && !judged) {
      file.reset();
      return finish(tl::unexpected(got.error()));
    }
    if (verdict.what == action::append || verdict.what == action::begin) return complete();
    auto what = verdict.what;
    if (what == action::unchanged) {
      download_outcome out;
      out.unchanged = true;
      out.of = verdict.of;
      if (out.of.etag.empty() && out.of.last_modified.empty()) out.of = request.have;
      return finish(std::move(out));
    }
    if (what == action::complete) {
      verdict.of = part.of;
      if (auto ok = file->open(true, with_sha512()); !ok) return give_up(ok.error());
      if (on.begun) on.begun(file->bytes(), verdict.size);
      return complete();
    }
    if (what == action::ask_again && !asked_again) {
      asked_again = true;
      file.reset();
      kept.drop_part(request.name);
      part.bytes = 0;
      part.of = {};
      return ask();
    }
    give_up({errc::refused, verdict.failure, "fetch.head"});
  }

  void complete() {
    if (verdict.size && file->bytes() < verdict.size)
      return give_up(
          {errc::closed,
           "the connection ended after " + format_size(file->bytes()) + " of " + format_size(verdict.size),
           "fetch.body"});
    if (file->bytes() == 0) return give_up({errc::protocol, "the source sent an empty file", "fetch.body"});
    download_outcome out;
    out.path = file->path();
    out.of = verdict.of;
    if (verdict.what == action_append() && out.of.etag.empty() && out.of.last_modified.empty())
      out.of = part.of;
    out.bytes = file->bytes();
    out.digests = file->finish();
    if (request.expected) {
      const auto& found = with_sha512() ? *out.digests.sha512 : out.digests.sha256;
      if (found != *request.expected) {
        kept.drop_part(request.name);
        return give_up(
            {errc::conflict,
             "wrong checksum: expected " + request.expected->to_string() + ", found " + found.to_string(),
             "fetch.checksum"});
      }
    }
    if (auto synced = file->sync(); !synced) return give_up(synced.error());
    file.reset();
    finish(std::move(out));
  }

  static transfer_verdict::action action_append() { return transfer_verdict::action::append; }
};

download::download(const runtime& world, records& kept, const fetch_options& options, std::string boot_id)
    : impl_(std::make_shared<impl>(world, kept, options, std::move(boot_id))) {}

download::~download() {
  impl_->on = {};
  impl_->exchange.reset();
}

void download::start(download_request request, events on) {
  auto& d = *impl_;
  d.request = std::move(request);
  d.on = std::move(on);
  d.look_for_part();
  d.ask();
}

} // namespace netlab::fetch
