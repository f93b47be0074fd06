// The bridge to Debian's Abseil, whose string_view is not the standard's: for StrCat and its like. Header
// only, any thread.
#pragma once

#include <string_view>

#include "absl/strings/string_view.h"

namespace quire {

inline absl::string_view Absl(std::string_view text) { return {text.data(), text.size()}; }

}  // namespace quire
