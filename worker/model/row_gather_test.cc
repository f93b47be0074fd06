// What rank 0 samples from rows whose parts the ranks have: the whole rows' tokens, over every form of a
// group.
#include "worker/model/row_gather.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <optional>

#include "kernels/reference/reference_backend.h"
#include "kernels/sampling/sampler.h"
#include "kernels/sampling/testing/sampler_cases.h"
#include "worker/parallel/test_ranks.h"
#include "worker/parallel/thread_communicator.h"

namespace quire::worker {
namespace {

using kernels::RowNeed;
using kernels::SampledToken;
using kernels::SampleSpec;
using kernels::Tensor;

// A step's rows by the specs they are sampled by.
struct Rows {
  int64_t vocab = 0, sampled = 0;
  std::vector<std::vector<float>> logits;  // [rows][vocab]
  std::vector<SampleSpec> specs;

  std::vector<RowNeed> Needs() const {
    std::vector<RowNeed> needs;
    for (const SampleSpec& spec : specs) needs.push_back(kernels::NeedOf(spec));
    return needs;
  }
};

Rows AnyRows(int64_t vocab, int64_t sampled, uint32_t seed) {
  Rows rows{.vocab = vocab, .sampled = sampled, .logits = kernels::UglyRows(vocab, seed), .specs = {}};
  rows.logits[3][static_cast<size_t>(sampled - 1)] =
      std::nanf("");  // of the last rank that may be sampled from
  rows.specs = kernels::AssortedSpecs(sampled, std::ssize(rows.logits), seed);
  for (size_t i = 0; i < rows.specs.size(); i += 2) {
    rows.specs[i].params = {.temperature = i % 4 == 0 ? 0.0f : 0.6f, .top_k = 20, .top_p = 0.95f};
    rows.specs[i].allowed = {};
  }
  return rows;
}

ModelConfig ConfigOf(int64_t vocab) {
  ModelConfig config;
  config.vocab = vocab;
  config.hidden = 16;
  config.layers = 1;
  config.ffn = 128;
  config.query_heads = config.kv_heads = 8;
  config.head_dim = 2;
  return config;
}

void ExpectTokensOf(const Rows& rows, std::span<const SampledToken> tokens) {
  kernels::Sampler sampler(rows.sampled);
  ASSERT_EQ(tokens.size(), rows.logits.size());
  for (size_t i = 0; i < tokens.size(); ++i) {
    SCOPED_TRACE(i);
    const SampledToken want = sampler.Sample(rows.logits[i], rows.specs[i]);
    EXPECT_EQ(tokens[i].failed, want.failed);
    EXPECT_EQ(tokens[i].id, want.id);
    EXPECT_EQ(tokens[i].logprob, want.logprob);
    ASSERT_EQ(tokens[i].top_logprobs.size(), want.top_logprobs.size());
    for (size_t j = 0; j < want.top_logprobs.size(); ++j) {
      EXPECT_EQ(tokens[i].top_logprobs[j].id, want.top_logprobs[j].id);
      EXPECT_EQ(tokens[i].top_logprobs[j].logprob, want.top_logprobs[j].logprob);
    }
  }
}

class RankRows {
 public:
  RankRows(kernels::Communicator& communicator, int64_t vocab, int64_t sampled, int64_t rows)
      : rank_(communicator.rank()), backend_(kernels::MakeReferenceBackend()) {
    for (int r = 0; r < communicator.size(); ++r) {
      vocab_.push_back(MakeShard(ConfigOf(vocab), r, communicator.size())->vocab);
    }
    const Range mine = vocab_[rank_];
    const kernels::StepLimits limits{.wanted_rows = rows,
                                     .sampled_ids = rank_ == 0 ? sampled : 0,
                                     .part_ids = std::clamp<int64_t>(sampled - mine.begin, 0, mine.size())};
    EXPECT_TRUE(backend_->ReserveStep(limits).ok());
    memory_ = backend_->Allocate(kernels::DType::kF32, rows, rank_ == 0 ? vocab : mine.size()).value();
    gather_.emplace(vocab_, limits, *backend_, communicator);
  }

  void Check(const Rows& rows, std::span<const RowNeed> needs) {
    const int64_t count = std::ssize(rows.logits);
    const Range mine = vocab_[rank_];
    for (int64_t i = 0; i < count; ++i) {
      std::fill_n(memory_.f32(i), memory_.cols, 7e7f);  // the last step's
      std::copy_n(&rows.logits[i][mine.begin], mine.size(), memory_.f32(i));
    }
    ASSERT_TRUE(gather_->Gather(memory_.Rows(count).Columns(mine.size()), needs).ok());
    if (rank_ != 0) return;
    std::vector<const SampleSpec*> specs;
    for (const SampleSpec& spec : rows.specs) specs.push_back(&spec);
    backend_->Sample(memory_.Rows(count), specs, gather_->runs());
    ExpectTokensOf(rows, backend_->ReadSampled().value());
    for (int64_t i = 0; i < count && needs.empty(); ++i) {
      EXPECT_EQ(std::memcmp(memory_.f32(i), rows.logits[i].data(), sizeof(float) * rows.vocab), 0) << i;
    }
  }

 private:
  const size_t rank_;
  std::unique_ptr<kernels::Backend> backend_;
  std::vector<Range> vocab_;
  Tensor memory_;
  std::optional<RowGather> gather_;
};

// {vocabulary, ids that may be sampled}: of whole runs and not, the last rank with none, borders within runs.
constexpr std::pair<int64_t, int64_t> kSizes[] = {
    {4096, 4096}, {2999, 2990}, {1024, 400}, {200, 199}, {130, 2}};

void CheckAll(kernels::Communicator& communicator) {
  for (const auto& [vocab, sampled] : kSizes) {
    SCOPED_TRACE(testing::Message() << vocab << " ids, " << sampled << " sampled");
    RankRows rank(communicator, vocab, sampled, 10);
    for (const uint32_t seed : {1, 2, 3}) {
      const Rows rows = AnyRows(vocab, sampled, seed);
      rank.Check(rows, rows.Needs());
      rank.Check(rows, {});
    }
  }
}

class RowGatherTest : public testing::TestWithParam<std::tuple<GroupForm, int>> {};

TEST_P(RowGatherTest, RankZeroSamplesAsFromWholeRows) {
  RunGroup(std::get<0>(GetParam()), std::get<1>(GetParam()),
           [](RankGroup& group) { CheckAll(*group.rendezvous->HostCommunicator().value()); });
}

INSTANTIATE_TEST_SUITE_P(Forms, RowGatherTest, testing::Combine(kAllForms, testing::Values(2, 3, 4, 8)),
                         [](const auto& info) {
                           return absl::StrCat(FormName(std::get<0>(info.param)), std::get<1>(info.param));
                         });

TEST(RowGatherThreads, RankZeroSamplesAsFromWholeRows) {
  for (const int ranks : {2, 5, 8}) {
    ThreadGroup group(ranks);
    RunRanks(ranks, [&](int rank) { CheckAll(*group.MakeCommunicator(rank)); });
  }
}

// Counts what crosses.
class CountingCommunicator final : public kernels::Communicator {
 public:
  explicit CountingCommunicator(std::unique_ptr<kernels::Communicator> inner) : inner_(std::move(inner)) {}
  int rank() const override { return inner_->rank(); }
  int size() const override { return inner_->size(); }
  absl::Status AllReduceSum(Tensor x) override { return inner_->AllReduceSum(x); }
  absl::Status Gather(const kernels::ByteSpans& mine, std::span<const kernels::ByteSpans> into) override {
    sent.push_back(0);
    for (const std::span<uint8_t> span : mine) sent.back() += std::ssize(span);
    return inner_->Gather(mine, into);
  }
  std::vector<int64_t> sent;

 private:
  const std::unique_ptr<kernels::Communicator> inner_;
};

TEST(RowGatherThreads, FewRunsCrossWhereTheyAreEnough) {
  constexpr int64_t kVocab = 16384, kRows = 10;  // 128 runs a rank
  Rows greedy = AnyRows(kVocab, kVocab, 1), usual = greedy, mixed = greedy;
  for (Rows* rows : {&greedy, &usual, &mixed}) {
    for (std::vector<float>& row : rows->logits) row = greedy.logits[0];
    rows->specs.assign(kRows, SampleSpec());
  }
  for (SampleSpec& spec : greedy.specs) spec.params.temperature = 0.0f;
  for (SampleSpec& spec : usual.specs) spec.params = {.temperature = 0.6f, .top_k = 20, .top_p = 0.95f};
  mixed.specs[0].params.temperature = 0.0f;
  ThreadGroup group(2);
  RunRanks(2, [&](int r) {
    CountingCommunicator communicator(group.MakeCommunicator(r));
    RankRows rank(communicator, kVocab, kVocab, kRows);
    for (const Rows* rows : {&greedy, &usual, &mixed}) rank.Check(*rows, rows->Needs());
    rank.Check(usual, {});
    if (r == 0) return;
    const int64_t bits = kRows * 128 / 8, run = 64 * 4, whole = kVocab / 2 * 4;
    ASSERT_EQ(communicator.sent.size(), 7u);
    EXPECT_EQ(communicator.sent[0], bits);
    EXPECT_EQ(communicator.sent[1], kRows * run);
    EXPECT_EQ(communicator.sent[2], bits);
    EXPECT_LE(communicator.sent[3], kRows * 22 * run);
    EXPECT_EQ(communicator.sent[4], bits);
    EXPECT_EQ(communicator.sent[5], run + (kRows - 1) * whole);
    EXPECT_EQ(communicator.sent[6], kRows * whole);
  });
}

}  // namespace
}  // namespace quire::worker
