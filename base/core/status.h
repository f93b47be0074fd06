// The three macros and helpers that make absl::Status readable. Header only.
#pragma once

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

#define QUIRE_CONCAT_INNER(a, b) a##b
#define QUIRE_CONCAT(a, b) QUIRE_CONCAT_INNER(a, b)

// Returns from the calling function if `expression` is not OK.
#define QUIRE_RETURN_IF_ERROR(expression)                                                  \
  do {                                                                                     \
    if (absl::Status quire_status = (expression); !quire_status.ok()) return quire_status; \
  } while (false)

// QUIRE_ASSIGN_OR_RETURN(auto x, F()): x = *F(), or returns F()'s error.
#define QUIRE_ASSIGN_OR_RETURN(target, expression) \
  QUIRE_ASSIGN_OR_RETURN_INNER(QUIRE_CONCAT(quire_or_, __LINE__), target, expression)
#define QUIRE_ASSIGN_OR_RETURN_INNER(holder, target, expression) \
  auto holder = (expression);                                    \
  if (!holder.ok()) return holder.status();                      \
  target = *std::move(holder)

namespace quire {

// A std::string of a status message (Debian's absl::string_view is not std::string_view).
inline std::string MessageOf(const absl::Status& status) { return std::string(status.message()); }

}  // namespace quire
