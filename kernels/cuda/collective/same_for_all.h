// Words of the ranks before they work together: all of them hear the same, and so decide alike. The thread
// that starts the rank calls it.
#pragma once

#include <string>

#include "base/core/status.h"
#include "kernels/rendezvous.h"

namespace quire::kernels::cuda {

// The first rank's that has any, with its number, on every rank; "" where none has. A record's length of it.
inline absl::StatusOr<std::string> FirstWord(const std::string& word, Rendezvous& rendezvous,
                                             int64_t limit_us = Rendezvous::kUsualLimitUs) {
  constexpr size_t kLongest = 512;
  QUIRE_ASSIGN_OR_RETURN(const auto words, rendezvous.AllGather(word.substr(0, kLongest), limit_us));
  for (size_t rank = 0; rank < words.size(); ++rank) {
    if (!words[rank].empty()) return "rank " + std::to_string(rank) + ": " + words[rank];
  }
  return "";
}

// The same, where some ranks are only `late` for want of the others, who know better why.
inline absl::StatusOr<std::string> FirstReason(const std::string& word, bool late, Rendezvous& rendezvous,
                                               int64_t limit_us) {
  QUIRE_ASSIGN_OR_RETURN(const std::string reason, FirstWord(late ? "" : word, rendezvous, limit_us));
  return reason.empty() ? FirstWord(word, rendezvous) : reason;
}

}  // namespace quire::kernels::cuda
