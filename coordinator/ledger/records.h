// The ledger's rows as plain data: what a LedgerStore loads and commits. Amounts are nano-dollars, times Unix
// milliseconds, everything is an integer. Owned by whoever holds the copy; free to pass between threads.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/core/api_key.h"
#include "base/core/ids.h"
#include "base/core/token_price.h"
#include "proto/coordinator.pb.h"

namespace quire::coordinator {

struct AccountRow {
  std::string id;
  std::optional<int64_t> cap_nano_usd = std::nullopt;  // none: unlimited
  int64_t balance_nano_usd = 0;                        // posted so far
  int64_t held_nano_usd = 0;                           // by open requests

  bool operator==(const AccountRow&) const = default;
};

struct KeyRow {
  std::string id;
  KeyKind kind = KeyKind::kApi;
  std::string hmac;  // ApiKeyHmac's 32 bytes
  std::string account;
  std::string name;
  std::vector<std::string> models;  // empty: all
  int64_t created_ms = 0;
  int64_t revoked_ms = 0;  // 0: live

  bool operator==(const KeyRow&) const = default;
};

struct PriceRow {
  std::string model;
  TokenPrice price;

  bool operator==(const PriceRow&) const = default;
};

enum class RequestState { kOpen = 0, kClosed = 1 };

struct RequestRow {
  RequestId id;
  std::string account;  // empty: settled before it was ever admitted (R7)
  std::string key_id;
  std::string model;
  uint64_t price_version = 0;
  RequestState state = RequestState::kOpen;
  uint64_t choices = 0;
  uint64_t max_tokens = 0;  // per choice
  uint64_t prompt_tokens = 0;
  uint64_t granted = 0;
  std::optional<uint64_t> cached_tokens;   // fixed at the first delivered position
  std::map<uint32_t, uint64_t> delivered;  // by choice, only ever growing
  int64_t held_nano_usd = 0;
  v1::SettleReason reason = v1::SETTLE_UNSPECIFIED;
  bool forgettable = false;  // settled, and nothing was billed: kept for a while only (R10)

  bool operator==(const RequestRow&) const = default;
};

// What is posted: what a request delivered; an entry taken back; money for the account. The store has these
// numbers.
enum class EntryKind { kUsage = 0, kReversal = 1, kCredit = 2 };

// One posting; immutable, for ever. Of a request that delivered something there is one; none is taken back
// twice.
struct EntryRow {
  RequestId id;  // a usage's is its request's (entry_id.h)
  std::string account;
  std::string key_id;  // it, the model and its price's version: of a usage, and of what takes it back
  std::string model;
  uint64_t price_version = 0;
  TokenCounts billed = {};      // of a usage
  int64_t amount_nano_usd = 0;  // below 0: for the account
  EntryKind kind = EntryKind::kUsage;
  std::optional<RequestId> reverses = std::nullopt;  // of a reversal
  std::string note = {};                             // the operator's words

  bool operator==(const EntryRow&) const = default;
};

// What a leader keeps in memory: everything but closed requests and entries.
struct LedgerState {
  std::vector<AccountRow> accounts;
  std::vector<KeyRow> keys;
  std::vector<PriceRow> prices;  // all versions
  std::vector<RequestRow> open_requests;
  int64_t last_closed_ms = 0;  // of the latest posting; 0: there is none
};

// One transaction: rows as they shall stand, and entries to insert. Empty batches are committed too: the term
// check is what lets their replies go (R1).
struct LedgerBatch {
  uint64_t term = 0;
  int64_t unix_ms = 0;  // closed_ms of every entry in it; never less than the batch before said
  std::vector<AccountRow> accounts;
  std::vector<KeyRow> keys;
  std::vector<PriceRow> prices;
  std::vector<RequestRow> requests;
  std::vector<EntryRow> entries;
  // Forgettable requests that were settled before this are deleted, the oldest first, so many at most. Alone
  // this is no reason to commit.
  int64_t forget_before_ms = 0;
  uint64_t forget_most = 0;

  bool IsEmpty() const {
    return accounts.empty() && keys.empty() && prices.empty() && requests.empty() && entries.empty();
  }
};

}  // namespace quire::coordinator
