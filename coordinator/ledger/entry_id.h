// The ids of entries: a usage has its request's, the others have what is made of their contents, so that
// saying the same thing twice names the same entry, and no id that an operator gives meets a request's. Pure.
#pragma once

#include <string_view>

#include "absl/strings/str_cat.h"
#include "base/core/absl_text.h"
#include "base/core/hash.h"
#include "base/core/ids.h"

namespace quire::coordinator {

// The first 128 bits of a SHA-256 over the parts, whose lengths keep them apart.
inline RequestId EntryIdOf(std::string_view kind, std::string_view first, std::string_view second) {
  const Digest digest =
      Sha256(absl::StrCat(Absl(kind), ":", first.size(), ":", Absl(first), ":", Absl(second)));
  return *RequestId::FromBytes(ToBytes(digest).substr(0, sizeof RequestId::bytes));
}

inline RequestId CreditId(std::string_view account, std::string_view reference) {
  return EntryIdOf("credit", account, reference);
}

inline RequestId ReversalId(const RequestId& entry) { return EntryIdOf("reversal", entry.ToBytes(), ""); }

}  // namespace quire::coordinator
