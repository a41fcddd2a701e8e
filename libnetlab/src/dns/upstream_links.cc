#include "upstream_links.h"

#include <algorithm>

namespace netlab::dns {

namespace {

constexpr duration keep_idle = std::chrono::seconds(20);
constexpr duration connect_patience = std::chrono::seconds(5);
constexpr std::size_t max_outstanding = 1000; // of one connection; the next question opens another

} // namespace

struct upstream_links::connection {
  std::string key;
  endpoint peer;
  std::unique_ptr<netlab::stream> stream; // none while it is being made
  frame_reader frames;
  std::unordered_map<std::uint16_t, transmission> waiting; // by message id
  boot_time used{};
  bool answered = false, ended = false;
};

upstream_links::upstream_links(runtime& world, callbacks on)
    : world_(world), on_(std::move(on)),
      ports_(world.net, world.clock, {on_.on_message, on_.on_failure, on_.after}) {}
upstream_links::~upstream_links() { self_.reset(); }

void upstream_links::send(transmission t) {
  if (t.over == transport::udp) return ports_.send(std::move(t));
  if (t.over == transport::https) return send_https(t);
  send_stream(std::move(t), false);
}

void upstream_links::close(std::uint64_t attempt) {
  ports_.close(attempt);
  exchanges_.erase(attempt);
  auto found = streams_.find(attempt);
  if (found == streams_.end()) return;
  if (auto c = found->second.lock())
    std::erase_if(c->waiting, [&](const auto& w) { return w.second.attempt == attempt; });
  streams_.erase(found);
}

void upstream_links::send_https(transmission& t) {
  http_request r;
  r.method = "POST"; // GET would put the names into logs and caches on the way
  r.url = t.to.url;
  r.headers = {{"content-type", "application/dns-message"}, {"accept", "application/dns-message"}};
  r.body = as_text(t.bytes);
  r.timeout = std::chrono::seconds(6);
  r.connect_timeout = connect_patience;
  r.redirects = 0;
  r.body_limit = max_message;
  r.ca_file = t.to.ca_file;
  if (!t.to.host.empty()) {
    auto address = t.to.address.address;
    auto text = address.is_v6() ? "[" + address.to_string() + "]" : address.to_string();
    r.resolve = {t.to.host + ":" + std::to_string(t.to.address.port) + ":" + text};
  }
  auto attempt = t.attempt;
  exchanges_[attempt] =
      world_.http.send(std::move(r), [this, attempt, from = t.to.address](result<http_response> got) {
        if (!got)
          on_.on_failure(attempt, got.error().message);
        else if (got->status != 200)
          on_.on_failure(attempt, "HTTP status " + std::to_string(got->status));
        else
          on_.on_message(attempt, from, as_bytes(got->body));
        // What follows ends the exchange, which holds this function: on the next turn.
        world_.scheduler.post([weak = std::weak_ptr(self_)] {
          if (auto alive = weak.lock()) (*alive)->on_.after();
        });
      });
}

void upstream_links::send_stream(transmission t, bool fresh) {
  auto key = std::string(to_string(t.over)) + " " + t.to.address.to_string() + " " + t.to.server_name + " " +
             t.to.ca_file;
  auto& all = open_[key];
  auto id = get16(t.bytes.data());
  auto now = world_.clock.now();
  std::shared_ptr<connection> c;
  if (!fresh)
    for (auto& each : all) {
      bool stuck = !each->stream && now - each->used > connect_patience;
      if (!each->ended && !stuck && each->waiting.size() < max_outstanding && !each->waiting.contains(id)) {
        c = each;
        break;
      }
    }
  if (!c) {
    c = std::make_shared<connection>();
    c->key = key;
    c->peer = t.to.address;
    c->used = now;
    all.push_back(c);
    connect(c, t);
    if (!sweeper_) sweeper_ = world_.scheduler.after(keep_idle, [this] { sweep(); });
  }
  streams_[t.attempt] = c;
  if (c->stream) {
    c->used = now;
    c->stream->write(framed(t.bytes));
  }
  c->waiting.emplace(id, std::move(t));
}

void upstream_links::connect(const std::shared_ptr<connection>& c, const transmission& t) {
  connect_options o;
  o.peer = t.to.address;
  o.tls = t.over == transport::tls;
  o.server_name = t.to.server_name;
  o.ca_file = t.to.ca_file;
  world_.net.connect(o, [links = std::weak_ptr(self_),
                         weak = std::weak_ptr(c)](result<std::unique_ptr<netlab::stream>> made) {
    auto alive = links.lock();
    auto mine = weak.lock();
    if (!alive || !mine || mine->ended) return;
    auto& self = **alive;
    if (!made) return self.on_end(mine, made.error().message);
    mine->stream = std::move(*made);
    mine->used = self.world_.clock.now();
    mine->stream->on_data([links, weak](byte_view bytes) {
      auto there = links.lock();
      auto held = weak.lock();
      if (there && held) (*there)->on_data(held, bytes);
    });
    mine->stream->on_end([links, weak](std::optional<error> why) {
      auto there = links.lock();
      auto held = weak.lock();
      if (there && held) (*there)->on_end(held, why ? why->message : "the upstream closed the connection");
    });
    std::string all;
    for (const auto& [id, waiting] : mine->waiting) all += framed(waiting.bytes);
    mine->stream->write(std::move(all));
  });
}

void upstream_links::on_data(const std::shared_ptr<connection>& c, byte_view bytes) {
  auto weak = std::weak_ptr(self_);
  c->frames.add(bytes);
  c->used = world_.clock.now();
  for (auto frame = c->frames.next(); !frame.empty(); frame = c->frames.next()) {
    if (frame.size() < header_size) continue;
    auto found = c->waiting.find(get16(frame.data()));
    if (found == c->waiting.end()) continue; // late, or never asked
    c->answered = true;
    on_.on_message(found->second.attempt, c->peer, frame);
  }
  if (c->frames.broken()) on_end(c, "the upstream sent an empty message");
  if (auto alive = weak.lock()) (*alive)->on_.after();
}

void upstream_links::on_end(const std::shared_ptr<connection>& c, const std::string& why) {
  if (c->ended) return;
  c->ended = true;
  auto weak = std::weak_ptr(self_);
  // The stream is running its callback: it goes on the loop's next turn.
  if (c->stream) world_.scheduler.post([gone = std::shared_ptr<netlab::stream>(std::move(c->stream))] {});
  if (auto found = open_.find(c->key); found != open_.end()) {
    found->second.remove(c);
    if (found->second.empty()) open_.erase(found);
  }
  auto waiting = std::move(c->waiting);
  c->waiting.clear();
  for (auto& [id, t] : waiting) {
    streams_.erase(t.attempt);
    // A kept connection that the upstream closed as our question was on its way is no failure of anybody.
    if (c->answered)
      send_stream(std::move(t), true);
    else
      on_.on_failure(t.attempt, why);
  }
  if (auto alive = weak.lock()) (*alive)->on_.after();
}

void upstream_links::sweep() {
  auto now = world_.clock.now();
  for (auto at = open_.begin(); at != open_.end();) {
    at->second.remove_if([&](const std::shared_ptr<connection>& c) {
      bool idle = c->waiting.empty() && now - c->used >= keep_idle;
      if (idle) c->ended = true;
      return idle;
    });
    at = at->second.empty() ? open_.erase(at) : std::next(at);
  }
  sweeper_ = open_.empty() ? timer() : world_.scheduler.after(keep_idle, [this] { sweep(); });
}

} // namespace netlab::dns
