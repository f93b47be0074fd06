#include "base/core/model_name.h"

#include <string>

#include "absl/strings/str_cat.h"
#include "base/core/json_text.h"

namespace quire {

absl::Status CheckModelName(std::string_view name) {
  constexpr size_t kMaxBytes = 256;
  const std::string quoted = JsonQuoted(name);  // whatever can't stay as it is is changed there
  if (!name.empty() && name.size() <= kMaxBytes && std::string_view(quoted).substr(1, name.size()) == name &&
      quoted.size() == name.size() + 2) {
    return absl::OkStatus();
  }
  return absl::InvalidArgumentError(
      absl::StrCat("a model can't be called ", quoted.substr(0, kMaxBytes),
                   ": give --model-name 1 to 256 bytes of UTF-8 without control characters, \" and \\"));
}

}  // namespace quire
