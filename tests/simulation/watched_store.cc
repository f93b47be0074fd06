#include "absl/strings/str_cat.h"
#include "base/core/status.h"
#include "tests/simulation/processes.h"
#include "tests/simulation/world.h"

namespace quire::simulation {

using coordinator::LedgerState;
using coordinator::StoredRequest;

WatchedStore::WatchedStore(World* world) : world_(world) {
  if (world_->sqlite_path().empty()) return;
  auto opened = coordinator::SqliteStore::Open(world_->sqlite_path());
  if (opened.ok()) {
    sqlite_ = *std::move(opened);
  } else {
    world_->checker.Violate("SQLite: " + MessageOf(opened.status()));
  }
}

void WatchedStore::RequireSame(const char* what, const absl::Status& sqlite, const absl::Status& model) {
  if (sqlite.code() == model.code()) return;
  world_->checker.Violate(
      absl::StrCat(what, ": SQLite says ", sqlite.ToString(), ", the model ", model.ToString()));
}

absl::StatusOr<uint64_t> WatchedStore::TakeOver() {
  const absl::StatusOr<uint64_t> term = world_->disk.TakeOver();
  if (!sqlite_ || !term.ok()) return term;
  const absl::StatusOr<uint64_t> same = sqlite_->TakeOver();
  RequireSame("TakeOver", same.status(), term.status());
  if (same.ok() && *same != *term) world_->checker.Violate("TakeOver: SQLite has another term");
  return term;
}

absl::StatusOr<LedgerState> WatchedStore::Load() {
  absl::StatusOr<LedgerState> state = world_->disk.Load();
  if (!sqlite_ || !state.ok()) return state;
  absl::StatusOr<LedgerState> same = sqlite_->Load();
  RequireSame("Load", same.status(), state.status());
  if (same.ok() && (same->open_requests != state->open_requests || same->accounts != state->accounts ||
                    same->keys != state->keys || same->prices != state->prices ||
                    same->last_closed_ms != state->last_closed_ms)) {
    world_->checker.Violate("Load: SQLite has other rows");
  }
  return same;
}

absl::StatusOr<std::optional<StoredRequest>> WatchedStore::Find(const RequestId& id) {
  absl::StatusOr<std::optional<StoredRequest>> found = world_->disk.Find(id);
  if (!sqlite_ || !found.ok()) return found;
  absl::StatusOr<std::optional<StoredRequest>> same = sqlite_->Find(id);
  RequireSame("Find", same.status(), found.status());
  const bool equal = same.ok() && same->has_value() == found->has_value() &&
                     (!found->has_value() || ((*same)->row == (*found)->row &&
                                              (*same)->posted_nano_usd == (*found)->posted_nano_usd));
  if (!equal) world_->checker.Violate("Find: SQLite has another row");
  return same;
}

absl::StatusOr<std::optional<coordinator::EntryRow>> WatchedStore::FindEntry(const RequestId& id) {
  absl::StatusOr<std::optional<coordinator::EntryRow>> found = world_->disk.FindEntry(id);
  if (!sqlite_ || !found.ok()) return found;
  absl::StatusOr<std::optional<coordinator::EntryRow>> same = sqlite_->FindEntry(id);
  RequireSame("FindEntry", same.status(), found.status());
  if (same.ok() && *same != *found) world_->checker.Violate("FindEntry: SQLite has another entry");
  return same;
}

absl::Status WatchedStore::Commit(const coordinator::LedgerBatch& batch) {
  world_->checker.BeforeCommit();
  const uint64_t commits = world_->disk.commits();
  const absl::Status status = world_->disk.Commit(batch);
  const bool stands = world_->disk.commits() != commits;  // even if the caller is told otherwise
  if (sqlite_ && (stands || coordinator::IsFatal(status) || absl::IsInternal(status))) {
    RequireSame("Commit", sqlite_->Commit(batch), stands ? absl::OkStatus() : status);
  }
  world_->checker.AfterCommit(batch, status, world_->cluster.now_us(), kReapAfterUs);
  return status;
}

}  // namespace quire::simulation
