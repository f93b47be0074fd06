#include "worker/parallel/agreement.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "base/core/status.h"

namespace quire::worker {
namespace {

absl::Status Differ(size_t rank, absl::string_view mine, absl::string_view first) {
  const std::pair<absl::string_view, absl::string_view> here = absl::StrSplit(mine, absl::MaxSplits('=', 1));
  const std::pair<absl::string_view, absl::string_view> there =
      absl::StrSplit(first, absl::MaxSplits('=', 1));
  return absl::InvalidArgumentError(absl::StrCat(
      "rank ", rank, " has ", here.first, " ", here.second, ", rank 0 has ", there.first, " ", there.second,
      ": start all ranks of a group with the same options, model and program, and on machines "
      "of different kinds with the same --isa"));
}

}  // namespace

std::string EncodeRecord(const RankRecord& record) {
  std::string text;
  for (const auto& [name, value] : record) absl::StrAppend(&text, name, "=", value, "\n");
  return text;
}

absl::Status CheckEqual(std::span<const std::string> records) {
  const std::vector<absl::string_view> first = absl::StrSplit(records[0], '\n');
  for (size_t rank = 1; rank < records.size(); ++rank) {
    const std::vector<absl::string_view> lines = absl::StrSplit(records[rank], '\n');
    for (size_t i = 0; i < std::max(first.size(), lines.size()); ++i) {
      const absl::string_view mine = i < lines.size() ? lines[i] : "",
                              theirs = i < first.size() ? first[i] : "";
      if (mine != theirs) return Differ(rank, mine, theirs);
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<bool> AllSay(bool mine, kernels::Rendezvous& rendezvous) {
  constexpr char kSo[] = "so";
  QUIRE_ASSIGN_OR_RETURN(const auto words, rendezvous.AllGather(mine ? kSo : "not so"));
  return std::ranges::all_of(words, [&](const std::string& word) { return word == kSo; });
}

absl::Status AgreeOn(const RankRecord& mine, kernels::Rendezvous& rendezvous, int64_t limit_us) {
  QUIRE_ASSIGN_OR_RETURN(const std::vector<std::string> records,
                         rendezvous.AllGather(EncodeRecord(mine), limit_us));
  return CheckEqual(records);
}

absl::Status AgreeOn(RankRecord mine, const BufferSizes& buffers, kernels::Rendezvous& rendezvous,
                     int64_t timeout_ms) {
  mine.emplace_back("exchange bytes", absl::StrCat(buffers.exchange_bytes));
  mine.emplace_back("plan bytes", absl::StrCat(buffers.plan_bytes));
  return AgreeOn(mine, rendezvous, timeout_ms * 1000);
}

}  // namespace quire::worker
