// What the ledger's commits made certain, told to those who keep a copy: the router hears which requests are
// open or closed, SlowFacts of keys, prices and accounts. The only way from the ledger to them, so that
// neither depends on a caller that waited, or on how a request came to its end. Runs on the ledger's thread,
// in the order of the commits.
#pragma once

#include "coordinator/api/slow_facts.h"
#include "coordinator/ledger/records.h"
#include "coordinator/routing/router.h"

namespace quire::coordinator {

// For LedgerOptions::on_news.
inline void TellNews(const LedgerBatch& news, Router& router, SlowFacts& facts) {
  for (const AccountRow& account : news.accounts) facts.PutAccount(account);
  for (const PriceRow& price : news.prices) facts.PutPrice(price);
  for (const KeyRow& key : news.keys) facts.PutKey(key);
  for (const RequestRow& request : news.requests) {
    if (request.state == RequestState::kClosed) {
      router.Release(request.id, std::nullopt);
    } else {
      router.Confirm(request.id, request.prompt_tokens, request.granted);
    }
  }
}

}  // namespace quire::coordinator
