#pragma once
#include "netlab/log.h"

namespace netlab::boot {

// The texts are in messages.cc.
extern const message no_group, unknown_profile, no_variant, uki_on_bios, no_ipxe, no_stub, asset_missing,
    loader_loop, unsupported_machine, no_tftp, no_http, template_failed, uki_failed, document_failed,
    no_document, bad_profile, pi_files_missing, second_default_group, bad_name, outside_assets, bad_selector,
    url_not_fetched, no_groups, bad_argument, override_set, source_failed, no_grub, no_shim, grub_over_http,
    no_extlinux, asset_fetching, asset_unavailable;

} // namespace netlab::boot
