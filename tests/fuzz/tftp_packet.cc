// Untrusted bytes through the TFTP codec, both engines, the path cleaner and the client's URL parser.
#include <cstdlib>
#include <string>

#include "tftp/path.h"
#include "tftp/receiver.h"
#include "tftp/sender.h"

using namespace netlab;
using namespace netlab::tftp;

namespace {

[[noreturn]] void broken() { std::abort(); }

void check_round_trip(const packet& value) {
  if (const auto* r = std::get_if<request>(&value)) {
    if (r->mode == transfer_mode::other) return;
    auto bytes = encode(*r);
    auto again = decode(bytes);
    if (bytes.size() > max_request_size) return;
    if (!again) broken();
    auto& back = std::get<request>(*again);
    if (back.file != r->file || back.write != r->write || back.mode != r->mode) broken();
    if (back.wanted.blksize != r->wanted.blksize || back.wanted.tsize != r->wanted.tsize) broken();
    if (auto path = clean_path(r->file)) {
      if (path->front() != '/' || path->find("//") != std::string::npos) broken();
      if ((*path + "/").find("/../") != std::string::npos || path->find('\\') != std::string::npos) broken();
    }
  }
}

// Two packets are cut from the input: length byte, bytes, the rest.
void drive_sender(byte_view first, byte_view second, const options& wanted) {
  auto text = std::make_shared<const std::string>(3000, 'x');
  boot_time now{};
  sender engine(make_content(text), negotiate(wanted, {}, text->size()), now);
  engine.start(now);
  for (auto each : {first, second, first}) {
    auto out = engine.on_packet(each, now);
    if (!out.empty() && out.segment == 0) broken();
    now = std::max(now, engine.deadline());
    if (!engine.finished()) engine.on_deadline(now);
  }
  if (engine.report().bytes > text->size()) broken();
}

void drive_receiver(byte_view first, byte_view second) {
  get_options what;
  what.server = {ip_address::v4(10, 0, 0, 1), 69};
  what.file = "file";
  what.windowsize = 4;
  what.max_size = 2000;
  boot_time now{};
  receiver engine(what, now);
  engine.start(now);
  const endpoint from{ip_address::v4(10, 0, 0, 1), 4000};
  std::size_t got = 0;
  for (auto each : {first, second, first, second}) got += engine.on_packet(from, each, now).data.size();
  if (got > what.max_size || got != engine.result().bytes) broken();
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  byte_view whole(data, size);
  options wanted;
  if (auto value = decode(whole)) {
    check_round_trip(*value);
    if (const auto* r = std::get_if<request>(&*value)) wanted = r->wanted;
    if (const auto* o = std::get_if<oack>(&*value)) wanted = o->granted;
  }
  std::size_t cut = size == 0 ? 0 : std::min<std::size_t>(data[0], size - 1);
  auto first = whole.subspan(size == 0 ? 0 : 1, cut);
  auto second = whole.subspan(size == 0 ? 0 : 1 + cut);
  drive_sender(whole, second, wanted);
  drive_sender(first, second, {1428, 4, 1, 0, 0});
  drive_receiver(whole, second);
  drive_receiver(first, second);
  (void)parse_url("tftp://10.0.0.1/" + std::string(as_text(whole)));
  (void)parse_url(as_text(whole));
  return 0;
}
