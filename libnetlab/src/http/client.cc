#include <curl/curl.h>
#include <unistd.h>

#include <algorithm>
#include <map>
#include <unordered_map>
#include <utility>

#include "client_error.h"
#include "netlab/event_loop.h"
#include "netlab/http_client.h"
#include "netlab/text.h"
#include "request.h"

namespace netlab {

std::string_view http_response::header(std::string_view name) const {
  for (const auto& [key, value] : headers)
    if (iequals(key, name)) return value;
  return {};
}

namespace http {

namespace {

struct slist_free {
  void operator()(curl_slist* list) const { curl_slist_free_all(list); }
};
struct easy_free {
  void operator()(CURL* easy) const { curl_easy_cleanup(easy); }
};

void append(std::unique_ptr<curl_slist, slist_free>& list, const std::string& line) {
  if (auto* longer = curl_slist_append(list.get(), line.c_str())) {
    (void)list.release();
    list.reset(longer);
  }
}

// 0 is curl's "no limit"; anything shorter than its unit still has to run out.
long milliseconds(duration d) {
  if (d == duration::max()) return 0;
  auto ms = std::chrono::ceil<std::chrono::milliseconds>(d).count();
  return static_cast<long>(std::clamp<std::int64_t>(ms, 1, 1'000'000'000));
}

// One exchange. Owned by the core; the caller's handle names it by number.
struct transfer {
  std::unique_ptr<CURL, easy_free> easy;
  std::unique_ptr<curl_slist, slist_free> headers, resolve;
  char detail[CURL_ERROR_SIZE] = {};
  http_request request;
  http_response response;
  std::function<void(result<http_response>)> done;
  std::string where;
  bool started = false, cancelled = false, too_large = false, head_seen = false, unwanted = false;
  bool paused = false, held = false; // as the caller wishes, and as curl was told
  std::optional<error> refused;      // found before anything was sent
};

// Everything behind the client: one curl multi handle that is told which sockets are ready and when its
// time is up. Handles of exchanges share it, so that either side may be dropped first.
class core : public std::enable_shared_from_this<core> {
public:
  explicit core(event_loop& loop) : loop_(loop), multi_(curl_multi_init()) {
    curl_multi_setopt(multi_, CURLMOPT_SOCKETFUNCTION, &core::on_socket);
    curl_multi_setopt(multi_, CURLMOPT_SOCKETDATA, this);
    curl_multi_setopt(multi_, CURLMOPT_TIMERFUNCTION, &core::on_timer);
    curl_multi_setopt(multi_, CURLMOPT_TIMERDATA, this);
    curl_multi_setopt(multi_, CURLMOPT_MAXCONNECTS, 16L); // kept open for reuse
  }
  ~core() { close(); }
  core(const core&) = delete;
  core& operator=(const core&) = delete;

  std::uint64_t send(http_request request, std::function<void(result<http_response>)> done);
  void cancel(std::uint64_t id);
  void pause(std::uint64_t id, bool on);
  void close();

private:
  void prepare(transfer& t, std::uint64_t id);
  void start(std::uint64_t id);
  void act(curl_socket_t socket, int events);
  void after_curl();
  void finish(std::uint64_t id, CURLcode code);
  void forget(std::uint64_t id);
  static bool show_head(transfer& t);

  static int on_socket(CURL*, curl_socket_t socket, int what, void* self, void*);
  static int on_timer(CURLM*, long timeout_ms, void* self);
  static int on_close_socket(void* self, curl_socket_t socket);
  static std::size_t on_body(char* data, std::size_t size, std::size_t count, void* state);
  static std::size_t on_header(char* data, std::size_t size, std::size_t count, void* state);

  event_loop& loop_;
  CURLM* multi_;
  timer timer_;
  std::unordered_map<curl_socket_t, std::shared_ptr<void>> watches_;
  std::map<std::uint64_t, std::unique_ptr<transfer>> transfers_;
  std::uint64_t last_id_ = 0;
  int in_curl_ = 0; // curl refuses to be called from its own callbacks
};

int core::on_socket(CURL*, curl_socket_t socket, int what, void* self_pointer, void*) {
  auto& self = *static_cast<core*>(self_pointer);
  self.watches_.erase(socket);
  if (what == CURL_POLL_REMOVE) return 0;
  bool read = what & CURL_POLL_IN, write = what & CURL_POLL_OUT;
  self.watches_[socket] =
      self.loop_.watch(socket, read, write, [&self, socket](bool readable, bool writable) {
        self.act(socket, (readable ? CURL_CSELECT_IN : 0) | (writable ? CURL_CSELECT_OUT : 0));
      });
  return 0;
}

int core::on_timer(CURLM*, long timeout_ms, void* self_pointer) {
  auto& self = *static_cast<core*>(self_pointer);
  if (timeout_ms < 0) {
    self.timer_.cancel();
  } else {
    self.timer_ = self.loop_.scheduler().after(std::chrono::milliseconds(timeout_ms),
                                               [&self] { self.act(CURL_SOCKET_TIMEOUT, 0); });
  }
  return 0;
}

int core::on_close_socket(void* self, curl_socket_t socket) {
  static_cast<core*>(self)->watches_.erase(socket); // a watch never outlives its descriptor
  return ::close(socket);
}

// Once, before the body or, without one, at the end.
bool core::show_head(transfer& t) {
  if (!t.request.on_head || std::exchange(t.head_seen, true)) return true;
  long status = 0;
  curl_easy_getinfo(t.easy.get(), CURLINFO_RESPONSE_CODE, &status);
  t.unwanted = !t.request.on_head(static_cast<int>(status), t.response.headers);
  return !t.unwanted;
}

std::size_t core::on_body(char* data, std::size_t size, std::size_t count, void* state) {
  auto& t = *static_cast<transfer*>(state);
  auto length = size * count;
  if (t.cancelled || !show_head(t) || t.cancelled) return CURL_WRITEFUNC_ERROR;
  // curl reads on for as long as something comes: it would hand over tens of megabytes before it is told.
  if (t.paused && t.request.on_body) {
    t.held = true;
    return CURL_WRITEFUNC_PAUSE;
  }
  t.response.bytes += length;
  if (t.request.on_body) {
    t.request.on_body(as_bytes(std::string_view(data, length)));
    return t.cancelled ? CURL_WRITEFUNC_ERROR : length;
  }
  if (length > t.request.body_limit - std::min(t.request.body_limit, t.response.body.size())) {
    t.too_large = true;
    return CURL_WRITEFUNC_ERROR;
  }
  t.response.body.append(data, length);
  return length;
}

std::size_t core::on_header(char* data, std::size_t size, std::size_t count, void* state) {
  auto& t = *static_cast<transfer*>(state);
  std::string_view line(data, size * count);
  if (line.starts_with("HTTP/")) { // of an interim answer, a redirect, then the real one
    t.response.headers.clear();
    return size * count;
  }
  auto colon = line.find(':');
  if (colon != std::string_view::npos && colon > 0)
    t.response.headers.emplace_back(to_lower(trim(line.substr(0, colon))), trim(line.substr(colon + 1)));
  return size * count;
}

std::uint64_t core::send(http_request request, std::function<void(result<http_response>)> done) {
  auto id = ++last_id_;
  auto t = std::make_unique<transfer>();
  t->request = std::move(request);
  t->done = std::move(done);
  t->where = describe_request(t->request.method, t->request.url);
  prepare(*t, id);
  bool refused = t->refused.has_value();
  transfers_.emplace(id, std::move(t));
  if (refused) {
    loop_.scheduler().post([weak = weak_from_this(), id] {
      if (auto self = weak.lock()) self->finish(id, CURLE_OK);
    });
  } else if (in_curl_ == 0) {
    start(id);
  }
  return id;
}

void core::prepare(transfer& t, std::uint64_t id) {
  auto& q = t.request;
  auto refuse = [&](std::string why) {
    t.refused = error{errc::invalid, t.where + ": " + why, "http.client"};
  };
  if (!is_token(q.method)) return refuse("the method is malformed");
  // curl stops at a NUL and passes line breaks on: both would send another request than was meant.
  if (q.url.empty() ||
      std::any_of(q.url.begin(), q.url.end(), [](unsigned char c) { return c <= 0x20 || c == 0x7f; }))
    return refuse("the URL is empty or holds a blank or control byte");
  bool has_type = false, has_agent = false;
  for (const auto& [name, value] : q.headers) {
    if (!is_token(name) || !is_field_value(value))
      return refuse("the header \"" + printable(name) + "\" is malformed");
    has_type = has_type || iequals(name, "content-type");
    has_agent = has_agent || iequals(name, "user-agent");
    append(t.headers, value.empty() ? name + ";" : name + ": " + value);
  }
  t.easy.reset(curl_easy_init());
  if (!multi_ || !t.easy) {
    t.refused = error{errc::limit, t.where + ": curl has no memory for the request", "http.client"};
    return;
  }
  auto* easy = t.easy.get();
  auto set = [&](CURLoption option, auto value) { curl_easy_setopt(easy, option, value); };
  set(CURLOPT_NOSIGNAL, 1L);
  set(CURLOPT_URL, q.url.c_str());
  set(CURLOPT_PROTOCOLS_STR, "http,https");
  set(CURLOPT_REDIR_PROTOCOLS_STR, "http,https");
  set(CURLOPT_PROXY, q.proxy.c_str()); // "" also keeps the environment's proxies out
  set(CURLOPT_NOPROXY, "");
  set(CURLOPT_NETRC, static_cast<long>(CURL_NETRC_IGNORED));
  set(CURLOPT_ERRORBUFFER, t.detail);
  set(CURLOPT_TIMEOUT_MS, milliseconds(q.timeout));
  set(CURLOPT_CONNECTTIMEOUT_MS, milliseconds(std::min(q.connect_timeout, q.timeout)));
  if (q.stall_time != duration::max()) {
    set(CURLOPT_LOW_SPEED_LIMIT, 1L); // bytes a second
    set(CURLOPT_LOW_SPEED_TIME, std::max(1L, milliseconds(q.stall_time) / 1000));
  }
  if (!has_agent) set(CURLOPT_USERAGENT, "netlab");
  set(CURLOPT_PRIVATE, reinterpret_cast<void*>(static_cast<std::uintptr_t>(id)));
  set(CURLOPT_WRITEFUNCTION, &core::on_body);
  set(CURLOPT_WRITEDATA, static_cast<void*>(&t));
  set(CURLOPT_HEADERFUNCTION, &core::on_header);
  set(CURLOPT_HEADERDATA, static_cast<void*>(&t));
  set(CURLOPT_CLOSESOCKETFUNCTION, &core::on_close_socket);
  set(CURLOPT_CLOSESOCKETDATA, static_cast<void*>(this));
  set(CURLOPT_SSL_VERIFYPEER, q.verify ? 1L : 0L);
  set(CURLOPT_SSL_VERIFYHOST, q.verify ? 2L : 0L);
  if (!q.ca_file.empty()) set(CURLOPT_CAINFO, q.ca_file.c_str());

  bool head = q.method == "HEAD", get = q.method == "GET", post = q.method == "POST";
  if (head) {
    set(CURLOPT_NOBODY, 1L);
  } else if (post || !q.body.empty()) {
    set(CURLOPT_POST, 1L);
    set(CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(q.body.size()));
    set(CURLOPT_POSTFIELDS, q.body.data());
    if (!post) set(CURLOPT_CUSTOMREQUEST, q.method.c_str());
    if (!has_type) append(t.headers, "Content-Type:"); // not curl's guess that it is a form
    append(t.headers, "Expect:");                      // not a second's wait for servers that ignore it
  } else if (!get) {
    set(CURLOPT_CUSTOMREQUEST, q.method.c_str());
  }
  // With a method of its own curl would repeat that method where the redirect asks for GET.
  bool follow = q.redirects > 0 && ((get && q.body.empty()) || head || post);
  set(CURLOPT_FOLLOWLOCATION, follow ? 1L : 0L);
  set(CURLOPT_MAXREDIRS, static_cast<long>(q.redirects));
  if (!head && !q.on_body)
    set(CURLOPT_MAXFILESIZE_LARGE,
        static_cast<curl_off_t>(std::min<std::uint64_t>(q.body_limit, std::uint64_t{1} << 62)));
  if (t.headers) set(CURLOPT_HTTPHEADER, t.headers.get());
  for (const auto& entry : q.resolve) append(t.resolve, entry);
  if (t.resolve) set(CURLOPT_RESOLVE, t.resolve.get());
}

void core::start(std::uint64_t id) {
  auto& t = *transfers_.at(id);
  t.started = true;
  ++in_curl_;
  auto code = curl_multi_add_handle(multi_, t.easy.get());
  --in_curl_;
  if (code == CURLM_OK) return;
  t.started = false;
  t.refused = error{errc::io, t.where + ": " + curl_multi_strerror(code), "http.client"};
  loop_.scheduler().post([weak = weak_from_this(), id] {
    if (auto self = weak.lock()) self->finish(id, CURLE_OK);
  });
}

void core::act(curl_socket_t socket, int events) {
  auto self = shared_from_this(); // a callback may drop the client
  int running = 0;
  ++in_curl_;
  curl_multi_socket_action(multi_, socket, events, &running);
  --in_curl_;
  after_curl();
}

void core::after_curl() {
  if (in_curl_ > 0) return;
  int left = 0;
  while (multi_) {
    auto* message = curl_multi_info_read(multi_, &left);
    if (!message) break;
    if (message->msg != CURLMSG_DONE) continue;
    void* id = nullptr;
    curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &id);
    auto code = message->data.result; // gone once the handle is removed
    finish(static_cast<std::uint64_t>(reinterpret_cast<std::uintptr_t>(id)), code);
  }
  if (!multi_) return;
  // What callbacks dropped or began while curl could not be called.
  std::vector<std::uint64_t> dropped, fresh;
  for (const auto& [id, t] : transfers_) {
    if (t->cancelled)
      dropped.push_back(id);
    else if (!t->started && !t->refused)
      fresh.push_back(id);
  }
  for (auto id : dropped) forget(id);
  for (auto id : fresh) start(id);
}

void core::finish(std::uint64_t id, CURLcode code) {
  auto it = transfers_.find(id);
  if (it == transfers_.end()) return;
  auto& t = *it->second;
  if (t.cancelled) return forget(id);
  result<http_response> out = fail(errc::io, "");
  if (code == CURLE_OK && !t.refused) show_head(t);
  if (t.cancelled) return forget(id); // by its own on_head
  if (t.refused) {
    out = tl::unexpected(std::move(*t.refused));
  } else if (t.unwanted) {
    out = fail(errc::cancelled, t.where + ": the response was not wanted", "http.client");
  } else if (t.too_large || code == CURLE_FILESIZE_EXCEEDED) {
    out = fail(errc::limit, t.where + ": the body is larger than " + format_size(t.request.body_limit),
               "http.client");
  } else if (code != CURLE_OK) {
    long os_error = 0;
    curl_easy_getinfo(t.easy.get(), CURLINFO_OS_ERRNO, &os_error);
    out = tl::unexpected(client_error(code, t.where, t.detail, os_error));
  } else {
    long status = 0;
    char* url = nullptr;
    curl_easy_getinfo(t.easy.get(), CURLINFO_RESPONSE_CODE, &status);
    curl_easy_getinfo(t.easy.get(), CURLINFO_EFFECTIVE_URL, &url);
    t.response.status = static_cast<int>(status);
    t.response.url = url ? url : t.request.url;
    out = std::move(t.response);
  }
  auto done = std::move(t.done);
  forget(id);
  if (done) done(std::move(out)); // last: it may drop its exchange, or the client
}

void core::forget(std::uint64_t id) {
  auto it = transfers_.find(id);
  if (it == transfers_.end()) return;
  auto gone = std::move(it->second);
  transfers_.erase(it);
  ++in_curl_;
  if (gone->started && multi_) curl_multi_remove_handle(multi_, gone->easy.get());
  gone->easy.reset(); // before what its options point to
  --in_curl_;
}

void core::cancel(std::uint64_t id) {
  auto it = transfers_.find(id);
  if (it == transfers_.end()) return;
  it->second->cancelled = true;
  it->second->done = nullptr;
  // on_body stays: it may be the function that is running. It is not called again.
  if (in_curl_ == 0) forget(id);
}

// curl may hand on what it holds inside the call that resumes: that happens in a turn of its own.
void core::pause(std::uint64_t id, bool on) {
  auto it = transfers_.find(id);
  if (it == transfers_.end() || it->second->cancelled || it->second->paused == on) return;
  it->second->paused = on;
  loop_.scheduler().post([weak = weak_from_this(), id] {
    auto self = weak.lock();
    if (!self || !self->multi_) return;
    auto found = self->transfers_.find(id);
    if (found == self->transfers_.end() || found->second->cancelled || !found->second->started) return;
    auto& t = *found->second;
    if (std::exchange(t.held, t.paused) == t.paused) return;
    ++self->in_curl_;
    curl_easy_pause(t.easy.get(), t.paused ? CURLPAUSE_RECV : CURLPAUSE_CONT);
    --self->in_curl_;
    self->after_curl();
  });
}

void core::close() {
  if (!multi_) return;
  if (in_curl_ > 0) { // from within on_body: curl is on the stack, act() holds us until it is off
    for (auto& [id, t] : transfers_) {
      t->cancelled = true;
      t->done = nullptr;
    }
    return;
  }
  while (!transfers_.empty()) forget(transfers_.begin()->first);
  ++in_curl_;
  curl_multi_cleanup(std::exchange(multi_, nullptr));
  --in_curl_;
  watches_.clear();
  timer_.cancel();
}

class handle final : public http_exchange {
public:
  handle(std::weak_ptr<core> core, std::uint64_t id) : core_(std::move(core)), id_(id) {}
  ~handle() override {
    if (auto c = core_.lock()) c->cancel(id_);
  }
  void pause(bool on) override {
    if (auto c = core_.lock()) c->pause(id_, on);
  }

private:
  std::weak_ptr<core> core_;
  std::uint64_t id_;
};

class client final : public http_client {
public:
  explicit client(event_loop& loop) : core_(std::make_shared<core>(loop)) {}
  ~client() override { core_->close(); }
  std::unique_ptr<http_exchange> send(http_request request,
                                      std::function<void(result<http_response>)> done) override {
    return std::make_unique<handle>(core_, core_->send(std::move(request), std::move(done)));
  }

private:
  std::shared_ptr<core> core_;
};

} // namespace
} // namespace http

std::unique_ptr<http_client> make_http_client(event_loop& loop) {
  return std::make_unique<http::client>(loop);
}

} // namespace netlab
