#include "netlab/boot_source.h"

#include "service_impl.h"

namespace netlab::boot {

// One request on its way along the sources.
struct service::impl::source_question {
  source_request request;
  machine who;
  asset_reply_fn reply;
};

bool service::impl::sources_may_answer(const asset_request& request) const {
  if (options.sources.empty()) return false;
  std::string_view path = request.path;
  for (std::string_view folder : {"/ipxe/", "/shim/", "/grub/", "/uki/", "/profiles/"})
    if (path.starts_with(folder)) return false;
  return loader_key(path.substr(1)).empty() && !efi_loader_of(path.substr(1));
}

void service::impl::open_from_sources(const asset_request& request, asset_reply_fn reply) {
  auto query = parse_query(request.query);
  bool script = request.path == "/ipxe" || request.path == "/grub";
  auto m = script ? meet_loader(request, query) : who(request, query);
  // What an operator chose for the next boot is one of the recipe's own profiles.
  if (override_for(m)) return open_own(request, std::move(reply));
  auto question = std::make_shared<source_question>();
  question->request = {request, std::move(query), m.identity, m.facts, base_url(request)};
  question->who = std::move(m);
  question->reply = std::move(reply);
  ask_source(question, 0);
}

void service::impl::ask_source(const std::shared_ptr<source_question>& question, std::size_t at) {
  const auto& asked = question->request.asked;
  if (at == options.sources.size()) return open_own(asked, std::move(question->reply));
  auto self = weak_from_this();
  options.sources[at].answer(question->request, [self, question, at](result<source_answer> got) {
    auto alive = self.lock();
    if (!alive) return question->reply(fail(errc::closed, "the boot service has stopped", "boot.open"));
    if (!got && got.error().code == errc::closed) return question->reply(tl::unexpected(got.error()));
    const auto& path = question->request.asked.path;
    if (got) return alive->send_from_source(*question, std::move(*got));
    if (got.error().code == errc::not_found) return alive->ask_source(question, at + 1);
    auto text = question->who.label() + ": " + path + " of " + alive->options.sources[at].name + ": " +
                got.error().message;
    alive->tell(question->who, {&source_failed, text, got.error().message});
    // matchbox answers 404 to everything that it cannot make, and so do the recipe's own documents.
    question->reply(fail(errc::not_found, std::string(source_failed.id) + ": " + text, "boot.open"));
  });
}

void service::impl::send_from_source(source_question& question, source_answer answer) {
  const auto& asked = question.request.asked;
  if (auto* file = std::get_if<asset::file_path>(&answer.content.content)) {
    // EDK2 takes a boot file over HTTP for what its type or its name says (UEFI 2.10 §24.7.3).
    if (file->path.ends_with(".efi")) answer.content.content_type = "application/efi";
  }
  if (answer.stage && !asked.head) {
    if (answer.shown.empty()) answer.shown = asked.path.substr(1);
    answer.content.on_done = reporter(asked, question.who, *answer.stage, std::move(answer.shown), nullptr);
  }
  question.reply(std::move(answer.content));
}

} // namespace netlab::boot
