#include <nlohmann/json.hpp>

#include "host/api.h"
#include "host/bindings.h"
#include "host/bytes_loop.h"
#include "host/host.h"
#include "host/messages.h"
#include "http/sources.h"
#include "netlab/digest.h"
#include "netlab/tftp_client.h"
#include "netlab/tftp_server.h"
#include "network/network.h"

namespace netlab::lua {

namespace {

class tftp_service final : public service {
public:
  listen_list listen;
  tftp::server_config settings;
  std::vector<object_ptr> entries;
  std::string off; // why it stays off: every place where it would listen is in a VPC

  std::string default_name() const override {
    return listen.empty() ? "tftp" : "tftp-" + std::to_string(listen[0].endpoint.port);
  }

  std::vector<claimed_endpoint> endpoints() const override {
    std::vector<claimed_endpoint> out;
    if (!off.empty()) return out;
    if (server_) {
      // Port 0 is known by its number once bound; an address that is waited for is not among them.
      auto bound = on_bytes_loop(*host_, [this] { return server_->local(); });
      if (bound.size() == listen.size()) {
        for (const auto& e : bound) out.push_back({"udp", e});
        return out;
      }
    }
    for (const auto& l : listen) out.push_back({"udp", l.endpoint});
    return out;
  }

  result<void> check(host&) override {
    if (entries.empty() && settings.root.empty())
      return fail(errc::invalid, "one of \"root\" and \"serve\" is needed");
    return {};
  }

  std::vector<std::string> notes() const override {
    if (off.empty()) return {};
    return {off + " [" + messages::off_in_vpc.id + "]"};
  }

  result<void> start(host& h) override {
    host_ = &h;
    if (!off.empty()) {
      h.world().log(messages::off_in_vpc, off, {{"server", name()}});
      return {};
    }
    settings.name = name();
    settings.source = sources_.open(entries, h.world().scheduler, h.bytes().scheduler);
    for (const auto& l : listen) settings.listen.push_back(l.endpoint);
    settings.on_access = [log = h.bytes().log](const tftp::access_record& a) {
      if (!log.enabled(log_level::debug)) return;
      log.write(log_level::debug, "tftp " + a.path,
                {{"client", a.client.to_string()},
                 {"bytes", std::to_string(a.report.bytes)},
                 {"blksize", std::to_string(a.blksize)},
                 {"windowsize", std::to_string(a.windowsize)},
                 {"result", a.report.completed ? "complete" : a.report.reason}});
    };
    return on_bytes_loop(h, [&]() -> result<void> {
      server_ = std::make_unique<tftp::server>(h.bytes(), settings);
      return server_->start();
    });
  }

  void drain(std::function<void()> done) override {
    if (!server_) return done();
    auto& control = host_->world().scheduler;
    host_->bytes().scheduler.post([this, &control, done = std::move(done)] {
      server_->drain([&control, done] { control.post(done); });
    });
  }

  json status() const override {
    if (!off.empty()) return {{"off", off}};
    if (!server_) return json::object();
    return {{"transfers", transfers()}};
  }
  std::vector<reading> readings() const override {
    if (!server_) return {};
    return {{"netlab_tftp_transfers", {}, static_cast<double>(transfers())}};
  }

private:
  std::size_t transfers() const {
    return on_bytes_loop(*host_, [this] { return server_->transfers(); });
  }

  host* host_ = nullptr;
  served_sources sources_;
  std::unique_ptr<tftp::server> server_; // lives on the bytes loop
};

schema server_schema() {
  schema s;
  s.name = "tftp.server";
  s.help = "A read-only TFTP server for boot services, files that the recipe makes and a folder.";
  s.options = {
      optional("name", type::string(), "how messages and commands call it"),
      required("listen", type::listen(), "where: \"addr:port\", lan:at(port), or a list of them"),
      optional("serve", type::list(type::handle("asset.source")),
               "boot services and netlab.assets.handler, asked in order"),
      optional("root", type::path(), "a folder whose files are served; asked after `serve`"),
      with_default("single_port", type::boolean(), false,
                   "answer from the port that was asked, for firewalls that lose track of a second one"),
      with_default("max_blksize", type::integer(8, 65464), 65464, "the largest block size granted"),
      with_default("max_windowsize", type::integer(1, 1024), 64, "the most blocks on their way (RFC 7440)"),
      with_default("fit_mtu", type::boolean(), true, "never let a block be fragmented"),
      with_default("timeout", type::duration(), "1s", "before the first retransmission"),
      with_default("retries", type::integer(1, 100), 6, "retransmissions without progress before giving up"),
      with_default("transfers", type::integer(1, 1000000), 1024, "at a time"),
      with_default("transfers_per_client", type::integer(1, 1000000), 64, "at a time, by address"),
  };
  s.example = "netlab.tftp.server { listen = lan:at(69), serve = { boot } }";
  return s;
}

result<object_ptr> create_server(host&, const options& o) {
  auto out = std::make_shared<tftp_service>();
  for (auto& place : o.get<listen_list>("listen")) {
    auto* lan = dynamic_cast<network*>(place.network.get());
    auto why = lan ? lan->keeps_off("tftp.server") : std::string{};
    if (why.empty())
      out->listen.push_back(place);
    else
      out->off = std::move(why);
  }
  if (!out->listen.empty()) out->off.clear();
  for (const auto& e : o.list<object_ptr>("serve")) {
    out->entries.push_back(e);
    if (auto* source = dynamic_cast<served_source*>(e.get()); source && out->off.empty())
      source->served_by_tftp();
  }
  auto& s = out->settings;
  if (auto root = o.maybe<file_path>("root")) s.root = root->path;
  s.single_port = o.get<bool>("single_port");
  s.max_blksize = static_cast<std::uint32_t>(o.get<std::int64_t>("max_blksize"));
  s.max_windowsize = static_cast<std::uint32_t>(o.get<std::int64_t>("max_windowsize"));
  s.fit_mtu = o.get<bool>("fit_mtu");
  s.timeout = o.get<duration>("timeout");
  s.retries = static_cast<unsigned>(o.get<std::int64_t>("retries"));
  s.max_transfers = static_cast<std::size_t>(o.get<std::int64_t>("transfers"));
  s.max_transfers_per_client = static_cast<std::size_t>(o.get<std::int64_t>("transfers_per_client"));
  return out;
}

const schema& get_schema() {
  static const schema s = [] {
    schema out;
    out.name = "tftp.get";
    out.options = {
        with_default("blksize", type::integer(8, 65464), 1428, "asked of the server"),
        optional("windowsize", type::integer(1, 65535), "asked of the server; not asked for unless given"),
        with_default("probe", type::boolean(), false, "only ask for the size, as UEFI firmware does first"),
        with_default("keep", type::size(), "1MiB", "how much of the content to return; all of it is hashed"),
        with_default("timeout", type::duration(), "5m", "for the whole transfer"),
        with_default("max_size", type::size(), "4GiB", "a larger file is an error"),
        optional("address", type::ip(), "our address to ask from"),
        optional("interface", type::string(), "the interface to ask on")};
    return out;
  }();
  return s;
}

int get(call& c) {
  auto url = c.text(1, "the URL");
  if (!c.given(2)) {
    lua_settop(c.L, 1);
    lua_newtable(c.L);
  }
  auto o = c.table(2, get_schema());
  auto parsed = tftp::parse_url(url);
  if (!parsed) return c.fail(parsed.error());
  auto& what = *parsed;
  what.blksize = static_cast<std::uint32_t>(o.get<std::int64_t>("blksize"));
  if (auto window = o.maybe<std::int64_t>("windowsize"))
    what.windowsize = static_cast<std::uint32_t>(*window);
  what.probe = o.get<bool>("probe");
  what.max_size = o.get<byte_size>("max_size").bytes;
  if (auto local = o.maybe<ip_address>("address")) what.local.address = *local;
  what.device = o.maybe<std::string>("interface").value_or("");
  struct download {
    std::string body;
    sha256 hash;
    std::unique_ptr<tftp::client_transfer> transfer;
  };
  auto state = std::make_shared<download>();
  std::optional<error> refused;
  auto& world = c.owner.world();
  return c.wait("tftp.get " + url, o.get<duration>("timeout"), [&](waker w) -> std::shared_ptr<void> {
    tftp::get_callbacks on;
    on.on_data = [raw = state.get(), keep = o.get<byte_size>("keep").bytes](byte_view b) {
      raw->hash.update(b);
      if (raw->body.size() < keep)
        raw->body += as_text(b.first(std::min<std::size_t>(b.size(), keep - raw->body.size())));
    };
    on.on_done = [w, raw = state.get()](result<tftp::get_result> r) {
      if (!r) return w.fail(r.error());
      json out = {{"bytes", r->bytes},
                  {"elapsed", static_cast<double>(r->elapsed.count()) / 1e9},
                  {"blksize", r->blksize},
                  {"windowsize", r->windowsize},
                  {"server", r->server.to_string()},
                  {"retransmissions", r->retransmissions}};
      if (r->size) out["size"] = *r->size;
      auto digest = raw->hash.finish();
      out["sha256"] = to_hex(digest);
      w([out, body = raw->body](lua_State* L) {
        push(L, out);
        push(L, std::string_view(body));
        lua_setfield(L, -2, "body");
        return 1;
      });
    };
    auto begun = tftp::get(world, what, std::move(on));
    if (!begun) {
      world.scheduler.post([w, e = begun.error()] { w.fail(e); });
      return nullptr;
    }
    state->transfer = std::move(*begun);
    return state;
  });
}

} // namespace

void bind_tftp(api& a) {
  a.constructor(server_schema(), "tftp.server", create_server);
  a.kind({"tftp.server", "A TFTP server.", {}, {}});
  a.function(
      {"tftp.get",
       get,
       "Fetches a file over TFTP.",
       {{"url", "string", "tftp://10.0.0.1/file, with a numeric address"}, {"options?", "table", ""}},
       {{"file", "table?", "{ bytes, size, elapsed (seconds), sha256, body, blksize, windowsize, server }"},
        {"err?", "netlab.error", ""}},
       true,
       get_schema()});
}

} // namespace netlab::lua
