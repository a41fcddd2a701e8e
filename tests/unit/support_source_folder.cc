#include "support/source_folder.h"

namespace netlab::test {

std::string source_folder() { return NETLAB_SOURCE_DIR; }

} // namespace netlab::test
